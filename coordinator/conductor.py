"""Conducts one run: agree, execute, publish. It carries identifiers, digests and metrics, and cannot read more.

Every call to a party may be repeated: a run that failed is conducted again from the start with the same id, and the
parties answer with what they already did. A run whose conductor was killed under way is conducted on from the
agreement that the parties signed; they are told nothing in between.
"""
from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Callable, Iterator
from typing import Any, Protocol

from coordinator.registry import TERMINAL, WAITING, Registry, model_id_of
from protocols.agreement import SignedAgreement
from protocols.audit import from_hex
from protocols.crypto.identity import SIGNATURE_BYTES, public_from_hex
from protocols.errors import MalformedMessage, RunFailed, SealscoreError, TrustError
from protocols.plan import Plan

Body = dict[str, Any]
ME = "coordinator"
UNDER_WAY = ("running", "publishing")
APPROVAL = "approval"  # the phase in which a person of a party decides
POLL_S = 0.5
APPROVAL_POLL_S = 3.0
TURN_S = 30.0  # between the start of a Flower run and the registry's note of it
CANCEL_GRACE_S = 20.0


class Exchange(Protocol):
    """Sends one body to each party and returns each party's reply; raises RunFailed naming a party."""

    def __call__(self, method: str, bodies: dict[str, Body], stop: Callable[[], None]) -> dict[str, Body]: ...


class Trail(Protocol):
    """The coordinator's audit log (coordinator/trail.py)."""

    def run(self, run: str, event: str, **facts: Any) -> None: ...

    def agreement(self, agreement: SignedAgreement) -> None: ...

    def held(self, party: str) -> int: ...

    def checkpoint(self, party: str, public: bytes, message: bytes) -> bytes: ...

    @property
    def identity(self) -> str: ...

    def own_checkpoint(self, held: int) -> bytes: ...

    def countersigned(self, party: str, public: bytes, message: bytes) -> None: ...


class Cancelled(SealscoreError):
    """Somebody asked for the end of the run."""


class Abandoned(SealscoreError):
    """This Flower run conducts no longer, and says nothing about the run: the node looks after that."""


class Conductor:
    """One run for one Flower run. `conduct` leaves the registry in state finished, failed or cancelled.

    Abandoned leaves the registry as it is: another Flower run has taken this one's place, or will.
    """

    def __init__(
        self, registry: Registry, run: str, flower_run: str, identities: dict[str, str], exchange: Exchange,
        trail: Trail, clock: Callable[[], float] = time.monotonic, sleep: Callable[[float], None] = time.sleep,
    ):
        self._registry, self._run, self._exchange, self._trail = registry, run, exchange, trail
        self._flower_run = flower_run
        self._clock, self._sleep = clock, sleep
        self._plan = Plan.from_canonical(registry.run(run)["plan_json"].encode())
        self._parties = sorted(self._plan.parties)
        self._identities = {p: identities[p] for p in self._parties}
        self._phase = "agree"

    def await_turn(self) -> None:
        """Wait until the registry names this Flower run as the newest of the run; Abandoned when it does not."""
        end = self._clock() + TURN_S
        while self._registry.standing(self._run)[1] != self._flower_run:
            if self._clock() > end:
                raise Abandoned(f"{self._run} belongs to another Flower run")
            self._sleep(POLL_S)

    def conduct(self) -> None:
        """Run the three rounds; RunFailed and any other fault end up in the registry and are raised."""
        try:
            self._rounds()
        except Abandoned:
            raise
        except Cancelled:
            self._finish_cancel()
            self._trail.run(self._run, "cancelled")
        except RunFailed as failure:
            self._fail(failure.party, failure.phase, failure.cause, failure.next_step)
            self._trail.run(self._run, "failed", party=failure.party, phase=failure.phase, cause=failure.cause)
            raise
        except Exception as fault:
            cause = str(fault) if isinstance(fault, SealscoreError) else f"internal fault ({type(fault).__name__})"
            self._fail(ME, self._phase, cause, f"see the log; {self._resume()}")
            raise

    def _rounds(self) -> None:
        self._stop()
        self._registry.conducted(self._run, self._flower_run)
        self._trail.run(self._run, "launched", plan=self._plan.digest(), purpose=self._plan.purpose)
        if self._registry.run_state(self._run) in UNDER_WAY:
            self._raise_reported()
            signed = self._registry.statements(self._run)
            self._checked(signed)
        else:
            signed = self._agree()
            self._registry.forget_ends(self._run)
        self._execute(signed)
        self._publish()

    def _fail(self, party: str, phase: str, cause: str, next_step: str) -> None:
        self._registry.fail(self._run, party, phase, cause, next_step, by=self._flower_run)

    def _agree(self) -> Body:
        self._enter("agreeing", "agree")
        plan_text = self._plan.canonical().decode()
        body = {"run": self._run, "plan": plan_text, "identities": self._identities}
        replies = self._agreed(body)
        signed = {p: {"statement": _text(p, r, "statement"), "signature": _text(p, r, "signature")}
                  for p, r in replies.items()}
        agreement = self._checked(signed)
        self._registry.set_agreement(self._run, agreement.digest().hex(), signed)
        self._trail.agreement(agreement)
        self._note("agree", "finished")
        return signed

    def _agreed(self, body: Body) -> dict[str, Body]:
        """Ask until no party waits for a person to approve the run, at most as long as the plan gives the run."""
        end, replies, waiting = self._clock() + self._plan.limits.run_deadline_s, {}, self._parties
        while True:
            replies |= self._ask("agree", dict.fromkeys(waiting, body))
            waiting = [party for party in self._parties if replies[party].get("waiting") == APPROVAL]
            self._note_waiting(replies, waiting)
            if not waiting:
                return replies
            if self._clock() > end:
                cause = f"nobody approved the run within limits.run_deadline_s = {self._plan.limits.run_deadline_s} s"
                next_step = f"have it approved at {' and '.join(waiting)}, then `sealscore runs resume {self._run}`"
                raise RunFailed(waiting[0], APPROVAL, cause, next_step)
            self._pause(APPROVAL_POLL_S)

    def _note_waiting(self, replies: dict[str, Body], waiting: list[str]) -> None:
        """Say which parties wait, and of those that did that they do no longer."""
        held = {row["party"] for row in self._registry.progress(self._run) if row["phase"] == APPROVAL}
        for party in replies:
            if party in waiting or party in held:
                state = WAITING if party in waiting else "finished"
                self._registry.record_progress(self._run, party, {"phase": APPROVAL, "state": state})

    def _pause(self, seconds: float) -> None:
        end = self._clock() + seconds
        while self._clock() < end:
            self._stop()
            self._sleep(POLL_S)

    def _checked(self, signed: Body) -> SignedAgreement:
        """The agreement, signed by the identities in this coordinator's configuration."""
        try:
            texts = {p: s["statement"] for p, s in signed.items()}
            signatures = {p: from_hex(s["signature"], SIGNATURE_BYTES) for p, s in signed.items()}
            agreement = SignedAgreement(self._run, self._plan, texts, signatures)
            agreement.check({p: public_from_hex(key) for p, key in self._identities.items()})
        except SealscoreError as error:
            next_step = "compare the identity keys in coordinator.toml with those of the parties"
            raise RunFailed(ME, "agree", str(error), next_step) from None
        return agreement

    def _execute(self, signed: Body) -> None:
        self._enter("running", "execute")
        body = {"run": self._run, "plan": self._plan.canonical().decode(), "statements": signed}
        self._ask("execute", dict.fromkeys(self._parties, body))
        self._wait_for_parties()
        self._note("execute", "finished")

    def _wait_for_parties(self) -> None:
        end = self._clock() + self._plan.limits.run_deadline_s
        while True:
            self._stop()
            late = self._raise_reported()
            if not late:
                return
            if self._clock() > end:
                cause = f"no end within limits.run_deadline_s = {self._plan.limits.run_deadline_s} s"
                raise RunFailed(late[0], "execute", cause, self._resume())
            self._sleep(POLL_S)

    def _raise_reported(self) -> list[str]:
        """RunFailed in the words of a party that reported a failure; otherwise the parties whose part has not ended."""
        ended = {p: self._registry.outcome(self._run, p) for p in self._parties}
        failed = [o for o in ended.values() if o is not None and o["state"] != "finished"]
        if failed:
            raise self._reported(min(failed, key=lambda o: (o["state"] != "failed", o["updated_at"])))
        return [p for p, outcome in ended.items() if outcome is None]

    def _reported(self, outcome: Body) -> RunFailed:
        if outcome["state"] == "cancelled":
            cause = outcome["cause"] or "the party cancelled its part"
            return RunFailed(outcome["party"], outcome["phase"], cause, outcome["next_step"] or "ask the party")
        cause = outcome["cause"] or "the party gave no cause"
        return RunFailed(outcome["party"], outcome["phase"], cause, outcome["next_step"] or self._resume())

    def _publish(self) -> None:
        self._enter("publishing", "publish")
        digests = self._announced_digests()
        body = {"run": self._run, "card": digests if len(digests) == len(self._parties) else None}
        replies = self._ask("publish", {p: body | {"held": self._trail.held(p)} for p in self._parties})
        card = self._card(replies)
        countersigned = {party: self._keep_checkpoint(party, reply) for party, reply in replies.items()}
        self._registry.set_result(self._run, card)
        if self._plan.kind == "train":
            self._registry.publish_model(card["model_id"], self._run, card, _half_digests(card["halves"]))
        self._trail.run(self._run, "published", halves=_half_digests(card["halves"]))
        self._have_witnessed(replies, countersigned)
        self._note("publish", "finished")
        if not self._registry.set_state(self._run, "finished", by=self._flower_run):
            self._stop()
        self._trail.run(self._run, "finished")

    def _keep_checkpoint(self, party: str, reply: Body) -> bytes:
        """A party's signed checkpoint of its audit log goes into the coordinator's; countersigned."""
        try:
            data = _bytes(reply, "checkpoint")
            return self._trail.checkpoint(party, public_from_hex(self._identities[party]), data)
        except SealscoreError as error:
            next_step = f"ask {party} for its audit log and the auditor for a verification"
            raise RunFailed(party, "publish", str(error), next_step) from None

    def _have_witnessed(self, replies: dict[str, Body], countersigned: dict[str, bytes]) -> None:
        """Parties countersign the coordinator's log as it is now, and get their own checkpoints back countersigned.

        Who does not is noted in the log; the result stands nevertheless, for it is the parties and not the coordinator
        whom a rewritten log would deceive: they refuse, and keep the signed contradiction.
        """
        bodies: dict[str, Body] = {}
        for party, reply in replies.items():
            with self._noted(party):
                shown = self._trail.own_checkpoint(_count(reply, "held"))
                bodies[party] = {"run": self._run, "identity": self._trail.identity, "checkpoint": shown.hex(),
                                 "countersigned": countersigned[party].hex()}
        signed: dict[str, Body] = {}
        with self._noted():
            signed = self._exchange("witness", bodies, self._stop)
        for party, reply in sorted(signed.items()):
            with self._noted(party):
                self._trail.countersigned(party, public_from_hex(self._identities[party]), _signed_back(reply))

    @contextlib.contextmanager
    def _noted(self, party: str = "") -> Iterator[None]:
        """The log says who did not countersign it, and why."""
        try:
            yield
        except (Cancelled, Abandoned):
            raise
        except SealscoreError as error:
            party, cause = (error.party, error.cause) if isinstance(error, RunFailed) else (party, str(error))
            self._trail.run(self._run, "not witnessed", party=party, cause=cause)

    def _announced_digests(self) -> dict[str, str]:
        """The digest of each party's half as far as it came with the end of its part."""
        digests = {}
        for party in self._parties:
            outcome = self._registry.outcome(self._run, party)
            body = json.loads(outcome["body_json"] or "{}") if outcome else {}
            if isinstance(body, dict) and isinstance(body.get("digest"), str):
                digests[party] = body["digest"]
        return digests

    def _card(self, replies: dict[str, Body]) -> Body:
        """The model card (of a scoring run: its summary) out of what the parties publish."""
        held = self._registry.run(self._run)
        card = {
            "version": 1, "run": self._run, "kind": self._plan.kind, "model": self._plan.model.kind,
            "purpose": self._plan.purpose,
            "plan_digest": held["plan_digest"], "agreement": held["agreement_digest"],
            "model_id": self._plan.model_id or model_id_of(self._run),
            "halves": {p: r["half"] for p, r in replies.items() if isinstance(r.get("half"), dict)},
            **self._metrics(replies),
        }
        missing = [p for p in self._parties if p not in card["halves"]]
        if self._plan.kind == "train" and missing:
            raise RunFailed(missing[0], "publish", "the party published no half of the model", self._resume())
        return card

    def _metrics(self, replies: dict[str, Body]) -> Body:
        """`metrics` of the first bank, which speaks for all, and of several banks `metrics_by_bank`."""
        told = {p: replies[p].get("metrics") for p in self._plan.label_parties}
        each = {p: metrics if isinstance(metrics, dict) else {} for p, metrics in told.items()}
        speaker = {"metrics": each[self._plan.label_parties[0]]}
        return speaker if len(each) == 1 else speaker | {"metrics_by_bank": each}

    def _ask(self, method: str, bodies: dict[str, Body]) -> dict[str, Body]:
        self._note(method, "running")
        replies = self._exchange(method, bodies, self._stop)
        for party, reply in sorted(replies.items()):
            if reply.get("ok") is not True:
                raise self._refusal(party, method, reply)
        return replies

    def _refusal(self, party: str, method: str, reply: Body) -> RunFailed:
        cause = str(reply.get("refused") or reply.get("error") or "the party gave no cause")[:1000]
        setting = reply.get("setting")
        if isinstance(setting, str):
            next_step = f"change the plan, or ask {party} about its policy setting {setting}"
            return RunFailed(party, method, cause, next_step)
        return RunFailed(party, method, cause, self._resume())

    def _enter(self, state: str, phase: str) -> None:
        self._phase = phase
        if not self._registry.enter(self._run, state, by=self._flower_run):
            self._stop()
            raise SealscoreError(f"the run is {self._registry.run_state(self._run)} and cannot become {state}")

    def _stop(self) -> None:
        """Raise when somebody ended the run meanwhile, or another Flower run conducts it."""
        state, flower_run = self._registry.standing(self._run)
        if flower_run != self._flower_run:
            raise Abandoned(f"another Flower run conducts {self._run}")
        if state in ("cancelling", "cancelled"):
            raise Cancelled(f"the run is {state}")
        if state in TERMINAL:
            raise Abandoned(f"the run is {state} already")

    def _finish_cancel(self) -> None:
        """Wait a little for the parties to report, then close the run."""
        end = self._clock() + CANCEL_GRACE_S
        reported = self._registry.run_state(self._run) in TERMINAL
        while not reported and self._clock() < end:
            reported = all(self._registry.outcome(self._run, p) is not None for p in self._parties)
            self._sleep(POLL_S)
        self._registry.set_state(self._run, "cancelled")

    def _note(self, phase: str, state: str) -> None:
        self._registry.record_progress(self._run, ME, {"phase": phase, "state": state})

    def _resume(self) -> str:
        return f"`sealscore runs resume {self._run}` once the cause is gone"


def _text(party: str, reply: Body, field: str) -> str:
    value = reply.get(field)
    if not isinstance(value, str) or not value:
        raise RunFailed(party, "agree", f"the party's reply has no {field}", "install the same version on all nodes")
    return value


def _signed_back(reply: Body) -> bytes:
    if reply.get("ok") is not True:
        raise TrustError(str(reply.get("refused") or reply.get("error") or "the party gave no cause")[:1000])
    return _bytes(reply, "countersigned")


def _bytes(reply: Body, field: str) -> bytes:
    text = reply.get(field)
    if not isinstance(text, str):
        raise MalformedMessage(f"the party sent no {field} of an audit log")
    return from_hex(text, len(text) // 2)


def _count(reply: Body, field: str) -> int:
    value = reply.get(field)
    if type(value) is not int or value < 0:
        raise MalformedMessage(f"expected a number of records as {field}")
    return value


def _half_digests(halves: dict[str, Body]) -> dict[str, str]:
    return {party: str(half.get("digest", "")) for party, half in halves.items()}
