"""Drives one run of one party, phase by phase (`phases.py`), in a thread of its own.

What a phase found is a fact in the run's store, so a run that was interrupted goes on where it was. Parties never wait
without a deadline: the link ends the run when the peer is silent for too long.
"""
from __future__ import annotations

import functools
import json
import logging
import threading
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from parties.runtime import rollback, roster
from parties.runtime.bulk import Bulk
from parties.runtime.egress import EQUATIONS, TRAINING_NUMBERS, TREE_SIDES, Egress
from parties.runtime.link import Link, LinkConfig
from parties.runtime.mailroom import RECEIVE_S, Inbound, Mailroom
from parties.runtime.people import RunPeople
from parties.runtime.phases import MODEL_FACTS, Node, Phases, model_id, secret_facts
from parties.runtime.reporter import Reporter
from parties.runtime.run_store import Handled, RunStore
from protocols.agreement import SignedAgreement
from protocols.errors import RunFailed, SealscoreError
from protocols.node.at_rest import run_box
from protocols.plan import Plan
from protocols.role import Message, Role

log = logging.getLogger("sealscore.run")
NOTHING_SPENT = b'{"seconds": 0, "bytes": 0, "bytes_in": 0, "done": false}'
REFUSALS_EACH = 32  # of a kind and run are recorded one by one
STOP_S = 6.0  # what a step under way may take when the node stops or the run is continued anew


class Stopped(SealscoreError):
    """The coordinator ended the run, or a person here: for good, or failed elsewhere and perhaps resumed later."""

    def __init__(self, told: str):
        super().__init__(f"the run was ended: {told}")
        self.for_good = not told.startswith("failed")


class Halted(SealscoreError):
    """This node stops; the run goes on when it starts again."""


class RunDriver:
    """One run here. `start()` begins or continues it; `state` is running, finished, failed or cancelled.

    How the run ended is durable before the coordinator is told, and `tell` is repeated until it was.
    """

    def __init__(self, node: Node, agreement: SignedAgreement, identities: dict[str, bytes], folder: Path):
        self._node, self._agreement, self._plan = node, agreement, agreement.plan
        self.run, self._folder = agreement.run, folder
        self._name, self._identities = node.party.name, identities
        self._peers = roster.peers(agreement.plan, self._name)
        self._store = RunStore(folder / "run.db", run_box(node.identity, self.run))
        self._people = RunPeople(node.ledger, self.run)
        self._egress = Egress(self.run, self._plan.kind, self._store, node.audit, self._people.note,
                              self._plan.model.release, self._plan.model.score_openings, self._plan)
        self._halt = threading.Event()
        self._revoked = ""
        self._telling = threading.Lock()
        self._mail: Mailroom | None = None
        self._reporter = Reporter(node.hub, self.run, self._halt)
        self._phase = "link"
        ended = self.fact("state")
        self.state = "running" if ended is None else ended["state"]
        self._erase()  # a crash between the end and the erasure must not leave keys behind
        self._refusals: Counter[str] = Counter()
        self._thread = threading.Thread(target=self._work, name=f"run-{self.run}", daemon=True)

    def start(self) -> None:
        """Begin, or continue after a restart or a failure; after a failure the run's deadline begins anew."""
        began = self._store.get("began") if self._store.get("state") is None else None
        began = began or repr(time.time()).encode()
        self._end_at = float(began) + self._plan.limits.run_deadline_s
        self._store.commit({"state": None, "told": None, "began": began})
        self.state = "running"
        self._thread.start()

    def refuse(self, cause: str, next_step: str) -> None:
        """End a run that was under way and may not go on; the coordinator is told."""
        ending = functools.partial(self._end, "failed", cause=cause, next_step=next_step)
        self._thread = threading.Thread(target=ending, name=f"run-{self.run}", daemon=True)
        self._thread.start()

    @property
    def working(self) -> bool:
        """Whether a thread of this driver is on the run; a run in state running without one needs a new driver."""
        return self.state == "running" and self._thread.is_alive()

    def revoke(self, cause: str) -> None:
        """End the run for good, wherever it stands; one that has finished is left as it is."""
        self._revoked = cause
        if not self.working and self.state in ("running", "failed"):
            ending = functools.partial(self._end, "cancelled", cause=str(Stopped(cause)))
            self._thread = threading.Thread(target=ending, name=f"run-{self.run}", daemon=True)
            self._thread.start()

    def wipe(self) -> None:
        """Erase what is secret in the store of a run that has ended, and close it."""
        self.halt()
        if self._thread.is_alive():
            self._thread.join(STOP_S)
        self._store.erase(secret_facts(self._plan) + MODEL_FACTS, outbox=True)
        self.close()

    def deliver(self) -> None:
        """Hand over what a finished run still owes its peer, which may have been away when it ended here."""
        if self.state == "finished" and self._store.waiting() and not self._thread.is_alive():
            self._thread = threading.Thread(target=self._deliver, name=f"run-{self.run}", daemon=True)
            self._thread.start()

    @property
    def plan(self) -> Plan:
        """What the run was agreed on for."""
        return self._plan

    @property
    def kind(self) -> str:
        """train or score."""
        return self._plan.kind

    def halt(self) -> None:
        """Leave the run as it is, to be continued by another driver."""
        self._halt.set()

    def close(self) -> None:
        """Halt, wait for the thread and close the store; nothing is reported afterwards."""
        self.halt()
        if self._thread.is_alive():
            self._thread.join(STOP_S)
        self._close_links()
        with self._telling:  # nobody is in the middle of a report
            self._store.close()

    # -- the whole

    def _work(self) -> None:
        try:
            self._run()
        except Halted:
            log.info("run %s waits for the node's next start", self.run)
        except Exception:  # the disk refused what had to be written: a restart continues from what is there
            log.exception("run %s", self.run)
            if not self._halt.is_set():
                cause = "this node could not write down how its part of the run ended"
                next_step = f"see the log of {self._name}, restart its node, resume the run"
                self._reporter.tell(self._phase, "failed", cause=cause, next_step=next_step)
        finally:
            self._close_links()

    def _run(self) -> None:
        try:
            self._open_links()
            self._phases()
        except Halted:
            raise
        except Stopped as stop:
            self._end("cancelled" if stop.for_good else "failed", report="cancelled", cause=str(stop))
        except RunFailed as failure:
            self._check_halted()
            self._end("failed", cause=failure.cause, next_step=failure.next_step, phase=failure.phase)
        except SealscoreError as error:
            self._end("failed", cause=str(error), next_step="mend the cause, then start a new run")
        except Exception as fault:  # a fault of ours: the coordinator is told its class, the log keeps the rest
            self._check_halted()  # what the node's stop closed under this thread is no fault
            log.exception("run %s", self.run)
            cause = f"internal fault ({type(fault).__name__})"
            self._end("failed", cause=cause, next_step=f"see the log of {self._name}")
        else:
            self._end("finished", phase="run")
            self._await_delivery()

    def _phases(self) -> None:
        do = Phases(self._node, self._agreement, self._identities, self._store, self._drive, self._people)
        rows = self._timed("align", do.align)
        if self._plan.kind == "train":
            prepared = self._timed("encode", lambda: do.encode(rows))
            coefficients = self._timed("train", lambda: do.train(prepared))
            self._timed("evaluate", lambda: do.evaluate(prepared, coefficients))
        else:
            self._timed("score", lambda: do.score(rows))
        self._timed("publish", do.exchange_checkpoints)

    def _open_links(self) -> None:
        deadline_s, most = self._plan.limits.peer_deadline_s, self._node.party.policy.maximum_message_bytes
        bulk = Bulk(self._node.hub, self.run, deadline_s, most, self._node.on_frame)
        self._mail = Mailroom({peer: self._link(peer) for peer in self._peers}, bulk, self._store)
        self._mail.start()

    def _link(self, peer: str) -> Link:
        party = self._node.party
        config = LinkConfig(
            hub_address=party.config.coordinator.hub, home=party.home, party=party.name, peer=peer,
            peer_public_key=self._identities[peer], run=self.run, agreement=self._agreement.digest(),
            deadline_s=self._plan.limits.peer_deadline_s, max_message_bytes=party.policy.maximum_message_bytes,
        )
        return Link(config, self._store.towards(peer), functools.partial(self._refused, peer), self._node.on_frame)

    def _refused(self, peer: str, kind: str) -> None:
        """Record it; of very many only those whose number is a power of two, so that nobody can fill the log."""
        self._refusals[kind] += 1
        number = self._refusals[kind]
        if number <= REFUSALS_EACH or number & (number - 1) == 0:
            told = {"run": self.run, "what": kind, "from": peer, "number": number}
            self._node.audit.append("refusal", told)

    def _end(self, state: str, phase: str | None = None, report: str | None = None, **why: str) -> None:
        """Leave the run in a state that says all: here, durably, then at the coordinator."""
        self._phase = phase or self._phase
        if state != "finished":
            self._node.vault.discard(model_id(self.run))
            if EQUATIONS.isdisjoint(self._egress.openings()):
                self._node.releases.forget(self.run)
                self._node.ledger.unshare(self.run)
            if TRAINING_NUMBERS.isdisjoint(self._egress.openings()):
                self._node.releases.unopen_scores(self.run)
            if TREE_SIDES not in self._egress.openings():
                self._node.releases.unanswer_splits(self.run)
        self._node.audit.append("run", {"run": self.run, "event": state, "phase": self._phase, **why})
        rollback.mark(self._node.audit, self._node.releases, self._node.ledger)
        ended = {"state": state, "report": report or state, "phase": self._phase, **why}
        self._store.put("state", json.dumps(ended).encode())
        if state == "cancelled":
            self._close_links()
        self.state = state
        self._erase()
        self.tell()

    def _erase(self) -> None:
        """Nothing secret outlives the run, but that a failed one may be resumed, with the same keys and bytes."""
        secret = secret_facts(self._plan)
        if self.state == "finished":
            self._store.erase(secret, outbox=False)
        elif self.state == "cancelled":
            self._store.erase(secret + MODEL_FACTS, outbox=True)

    def tell(self) -> bool:
        """Report the end to the coordinator unless it knows; False when it cannot be reached now."""
        with self._telling:
            if self._halt.is_set() or self.state == "running" or self._store.get("told") is not None:
                return True
            ended = self.fact("state")
            self._phase = ended["phase"]
            body = self._closing_facts() if self.state == "finished" else None
            why = {name: ended[name] for name in ("cause", "next_step") if name in ended}
            told = self._reporter.tell(self._phase, ended["report"], wait=True, body=body, **why, **self._traffic())
            if told:
                self._store.put("told", b"1")
            return told

    def _deliver(self) -> None:
        try:
            self._open_links()
            self._await_delivery()
        except SealscoreError as error:
            log.info("run %s: %s", self.run, error)
        finally:
            self._close_links()

    def _await_delivery(self) -> None:
        """The peer may still wait for the last messages, or be away: stay until it has them or its deadline."""
        end = time.monotonic() + self._plan.limits.peer_deadline_s
        try:
            while not self._halt.is_set() and time.monotonic() < end and not self._mail.cancelled:
                if self._mail.drain(RECEIVE_S):
                    return
        except SealscoreError as error:
            log.info("run %s: %s", self.run, error)

    def _close_links(self) -> None:
        if self._mail is not None:
            self._mail.close()

    # -- driving a role

    def _drive(self, phase: str, role: Role, peer: str | None = None, part: str | None = None) -> Any:
        """Feed messages to a role until it has a result; persist each step before anything leaves.

        `peer`: whose messages a role that expects nobody in particular gets; `part` names the role's state if the
        phase has another role with the same peer.
        """
        name = ".".join(filter(None, (phase, "role", part or peer)))
        state = self._store.get(name)
        if state is None:
            self._release(phase, name, role, role.start(), ())
        else:
            role.pieces = lambda piece: self._store.get(f"{name}/{piece}")
            role.restore(state)
        self._mail.send()
        while role.result() is None:
            role.prepare()  # what was sent is on its way: work ahead while the peer works
            inbound = self._receive(phase, role.expects or peer, role.summands)
            self._release(phase, name, role, role.handle(inbound.message), inbound.handled)
            self._mail.acknowledge(inbound)
            self._mail.send()
            self._reporter.progress(phase, role, self._traffic())
        return role.result()

    def _release(
        self, phase: str, name: str, role: Role, messages: list[Message], handled: tuple[Handled, ...]
    ) -> None:
        facts = {f"{name}/{piece}": value for piece, value in role.new_pieces().items()}
        facts[name] = role.snapshot()
        if role.peer_public is not None and not self._store.has("train.peer_public"):
            facts["train.peer_public"] = role.peer_public
        step, _ = role.progress or (0, 1)
        self._egress.release(phase, step, messages, facts, handled)

    def _receive(self, phase: str, expected: str, summands: tuple[str, ...]) -> Inbound:
        while True:
            self._check_stopped()
            inbound = self._mail.receive(phase, expected, summands)
            if inbound is not None:
                return inbound

    def _check_stopped(self) -> None:
        self._check_halted()
        if self._revoked:
            raise Stopped(self._revoked)
        if self._mail.cancelled:
            raise Stopped(self._mail.cancelled)
        if time.time() > self._end_at:  # a peer that says it is alive and never answers is caught here
            cause = f"no end within limits.run_deadline_s = {self._plan.limits.run_deadline_s} s"
            others = " and ".join(self._peers)
            next_step = f"see what {others} wait for, then resume the run, or plan with a longer deadline"
            raise RunFailed(self._name, self._phase, cause, next_step)

    def _check_halted(self) -> None:
        if self._halt.is_set():
            raise Halted("the node stops")

    # -- telling

    def _timed(self, phase: str, work: Callable[[], Any]) -> Any:
        """Run one phase and keep its seconds and bytes; a phase that ended before costs nothing again."""
        self._phase = phase
        self._mail.set_phase(phase)
        self._check_stopped()
        spent = json.loads(self._store.get(f"spent.{phase}") or NOTHING_SPENT)
        self._reporter.phase()
        self._reporter.tell(phase, "running" if spent["seconds"] else "started", **self._traffic())
        began, before_out, before_in = time.monotonic(), self._mail.bytes_out, self._mail.bytes_in
        try:
            result = work()
        finally:
            if not spent["done"]:
                spent["seconds"] += time.monotonic() - began
                spent["bytes"] += self._mail.bytes_out - before_out
                spent["bytes_in"] += self._mail.bytes_in - before_in
                self._store.put(f"spent.{phase}", json.dumps(spent).encode())
        if not spent["done"]:
            self._note(phase, {"event": "ended", "seconds": round(spent["seconds"], 3), "bytes": spent["bytes"]})
            self._store.put(f"spent.{phase}", json.dumps(spent | {"done": True}).encode())
        traffic = self._traffic() | {"bytes_out": spent["bytes"]}
        self._reporter.tell(phase, "finished", wait=True, body={"seconds": spent["seconds"]}, **traffic)
        return result

    def _note(self, phase: str, body: dict[str, Any]) -> None:
        self._node.audit.append("phase", {"run": self.run, "phase": phase, **body})

    def _traffic(self) -> dict[str, int]:
        return {} if self._mail is None else {"bytes_out": self._mail.bytes_out, "bytes_in": self._mail.bytes_in}

    def _closing_facts(self) -> dict[str, Any]:
        model = model_id(self.run)
        digest = {"digest": self._node.vault.digest(model)} if self._plan.kind == "train" else {}
        return {"openings": self._egress.openings(), **digest}

    # -- for the daemon

    def fact(self, name: str) -> Any:
        """A JSON fact of the run, or None."""
        value = self._store.get(name)
        return None if value is None else json.loads(value)
