"""The resident daemon of a party: it owns data, keys, vault, policy and audit log, and lives as long as the node.

Flower's executor reaches it through a local socket with four calls (agree, execute, publish, witness); each may be
repeated. Runs that were under way when it was killed go on by themselves after a restart.
"""
from __future__ import annotations

import json
import logging
import re
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from parties.runtime import local_api, retention, rollback, roster
from parties.runtime.config import LoadedParty
from parties.runtime.files import write_whole
from parties.runtime.hub_client import HubClient, HubUnreachable
from parties.runtime.oversight import Oversight
from parties.runtime.phases import Node
from parties.runtime.run_driver import RunDriver
from parties.runtime.side import Side
from parties.runtime.supernode import PartyFlower
from parties.runtime.tables import catalogue, load_table
from parties.runtime.vault import Vault
from parties.runtime.witness import Witness
from protocols.agreement import MAX_STATEMENT_BYTES, SignedAgreement, sign_statement, statement
from protocols.audit import RUN_ID
from protocols.crypto.identity import fingerprint, public_from_hex
from protocols.errors import MalformedMessage, PolicyRefused, SealscoreError, TrustError
from protocols.node.archive import code_digest
from protocols.node.audit_log import AuditLog
from protocols.node.identity_files import load_identity
from protocols.node.installation import signed_digests
from protocols.plan import Plan, canonical_json, may_score, parse_canonical_json, seats, utf8

log = logging.getLogger("sealscore.daemon")
HELLO_EVERY_S = 30.0
HOUSEKEEPING_EVERY_S = 3600.0
ROWS_ROUNDED_TO = 1000
MOST_REVOKED_TOLD = 1000
_HEX = re.compile(r"[0-9a-f]*")


class Daemon:
    """`start()`, then it serves until `stop()`."""

    def __init__(
        self, party: LoadedParty, side: Callable[..., Side],
        on_frame: Callable[[str, bytes], None] = lambda way, b: None,
    ):
        self._party, self._side = party, side
        self._identity = load_identity(party.home)
        self._audit = AuditLog(party.state / "audit", party.name, self._identity)
        self._vault = Vault(party.state / "vault", self._identity)
        self._hub = HubClient(party.config.coordinator.hub, party.home)
        self._releases, self._ledger = rollback.open_ledgers(party.state, self._identity)
        self._node = Node(party, side, self._identity, self._audit, self._vault, self._hub, self._releases, on_frame,
                          self._ledger)
        self._runs: dict[str, RunDriver] = {}
        self._lock = threading.RLock()
        self._stopping = threading.Event()
        self._news = threading.Event()  # the next hello is due
        self._oversight = Oversight(
            party, self._audit, self._vault, self._ledger, self._runs, self._lock, self._news.set
        )
        self._witness = Witness(party.config.coordinator, self._audit)
        self._fault: SealscoreError | None = None
        self._server: local_api.LocalServer | None = None
        self._flower: PartyFlower | None = None
        self._catalogue = self._check_tables()

    def _check_tables(self) -> dict[str, Any]:
        """Every configured table must load: its errors belong to the start, not into a run."""
        found = {}
        for name, config in self._party.config.tables.items():
            table = load_table(config, self._party.home)
            if config.label is not None:
                self._side().check_table(table)
            self._party.policy.check_sensitivity({c: spec.sensitivity for c, spec in config.columns.items()})
            found[name] = catalogue(table) | {"rows": _rounded(len(table))}
        return found

    # -- life

    def start(self) -> None:
        """Open the local socket, start Flower's processes, say hello, go on with interrupted runs.

        TrustError when a store is older than the audit log says.
        """
        ledgers = {rollback.RELEASES: self._releases, rollback.LEDGER: self._ledger}
        rollback.check(self._audit, ledgers, self._folder(), self._identity)
        self._mark()
        self._policy_digest = self._audit.keep_policy(canonical_json(self._party.policy.model_dump(mode="json")))
        calls = ("agree", "execute", "publish", "witness", "status", "refused")
        handlers = {name: getattr(self, name) for name in calls}
        handlers |= self._oversight.handlers()
        with self._lock:  # no call is answered before the runs that were under way are known
            self._open(handlers)

    def _mark(self) -> None:
        rollback.mark(self._audit, self._releases, self._ledger)

    def _open(self, handlers: dict[str, local_api.Handler]) -> None:
        self._server = local_api.serve(self._party.socket, handlers)
        self._flower = PartyFlower(
            self._party.home, self._party.config.coordinator.front, self._party.name, self._party.socket
        )
        self._flower.start()
        threading.Thread(target=self._say_hello, daemon=True).start()
        self._resume_runs()
        threading.Thread(target=self._keep_house, daemon=True).start()

    def serve_until(self, stop: threading.Event) -> None:
        """Wait for `stop`; TrustError when the hub and this node do not accept each other's certificates."""
        while not stop.wait(0.2):
            if self._fault is not None:
                raise self._fault

    def stop(self) -> None:
        """Stop serving, also after a start that failed; runs under way go on after the next start."""
        self._stopping.set()
        self._news.set()
        for part in (self._server, self._flower):
            if part is not None:
                part.stop()
        drivers = list(self._runs.values())
        for driver in drivers:
            driver.halt()
        for driver in drivers:
            driver.close()
        self._hub.close()
        for part in (self._releases, self._ledger, self._oversight, self._audit):
            part.close()

    def _say_hello(self) -> None:
        known = False
        while True:
            self._news.clear()
            if self._stopping.is_set():
                return
            try:
                self._hub.hello(self._said())
                known = True
                pause = HELLO_EVERY_S if self._all_told() else 1.0
            except HubUnreachable:
                pause = 1.0
            except SealscoreError as error:
                if isinstance(error, TrustError) and not known:
                    self._fault = error  # a start with a wrong certificate; later it may be the hub's to mend
                    return
                log.warning("hello: %s", error)
                pause = 5.0
            self._news.wait(pause)

    def _said(self) -> dict[str, Any]:
        """What the coordinator may know of this node."""
        revoked = self._oversight.revoked_models()[-MOST_REVOKED_TOLD:]
        return {"tables": self._catalogue, "role": self._party.config.node.role, "revoked": revoked}

    def _all_told(self) -> bool:
        """Tell the coordinator the ends of runs that it could not be told when they ended."""
        return all([driver.tell() for driver in list(self._runs.values())])

    def _resume_runs(self) -> None:
        for path in sorted(self._folder().glob("r-*/agreement.json")):
            try:
                if not retention.is_gone(path.parent):
                    self._resume_run(path)
            except Exception:  # one run whose files are damaged must not keep the others and the node down
                log.exception("run %s cannot be continued", path.parent.name)

    def _resume_run(self, path: Path) -> None:
        kept = json.loads(path.read_bytes())
        agreement = SignedAgreement.decode(canonical_json(kept["agreement"]))
        driver = self._driver(agreement, kept["identities"])
        self._runs[driver.run] = driver
        if driver.state == "running" and agreement.policy(self._party.name) != self._policy_digest:
            driver.refuse(f"the policy of {self._party.name} was changed during the run", "start a new run")
        elif driver.state == "running":
            log.info("going on with run %s", driver.run)
            driver.start()
        driver.deliver()

    def _keep_house(self) -> None:
        """Delete what the policy does not let this node keep any longer, at the start and every hour."""
        while not self._stopping.is_set():
            try:
                self._delete_due()
            except Exception:  # tried again in an hour; a disk that refuses must not end the thread
                log.exception("what is due to be deleted could not be")
            self._stopping.wait(HOUSEKEEPING_EVERY_S)

    def _delete_due(self) -> None:
        days, now = self._party.policy.retention_days, datetime.now(UTC)
        for run in retention.due_runs(self._folder(), days, now):
            with self._lock:
                driver = self._runs.get(run)
                if driver is None or driver.state != "running":
                    self._delete_run(run, driver, now)
        for run in retention.delete_scores(self._party.state / "scores", days, now):
            self._audit.append("run", {"run": run, "event": "scores deleted", "retention_days": days})

    def _delete_run(self, run: str, driver: RunDriver | None, now: datetime) -> None:
        if driver is not None:
            driver.wipe()
            del self._runs[run]
        retention.delete_run(self._folder() / run, now)
        self._audit.append("run", {"run": run, "event": "deleted", "retention_days": self._party.policy.retention_days})

    def _folder(self) -> Path:
        return self._party.state / "runs"

    # -- calls of the executor

    def agree(self, body: dict[str, Any]) -> dict[str, Any]:
        """Check a plan against the own policy and sign a statement on it."""
        run, plan = _run(body), _plan(body)
        with self._lock:  # two calls at once must not sign two statements for one run
            return self._agree(run, plan, _identities(body))

    def _agree(self, run: str, plan: Plan, identities: dict[str, bytes]) -> dict[str, Any]:
        try:
            self._check(plan, identities)
            self._check_frequency(run)
            self._check_run(run)
            if self._oversight.waits(run, plan):
                return {"ok": True, "waiting": "approval"}
        except SealscoreError as error:
            self._audit.append("refusal", {"run": run, "what": "plan", "cause": str(error)})
            if isinstance(error, PolicyRefused):
                return {"ok": False, "refused": str(error), "setting": error.setting}
            raise
        own = self._statement(run, plan)
        return {"ok": True, "statement": own, "signature": sign_statement(self._identity, own).hex()}

    def _check_run(self, run: str) -> None:
        """PolicyRefused for a run that nobody may start any more."""
        self._oversight.check(run)
        if retention.is_gone(self._folder() / run):
            raise PolicyRefused("retention_days", f"the state of run {run} was deleted here, after "
                                f"{self._party.policy.retention_days} days or as an older copy; start a new run")

    def _check(self, plan: Plan, identities: dict[str, bytes]) -> None:
        self._party.policy.check(plan, self._party.name)
        self._pinned(plan, identities)
        part = plan.parties[self._party.name]
        table = self._party.table(part.table)
        unknown = sorted(set(part.columns) - set(table.columns))
        if unknown:
            known, wanted = ", ".join(sorted(table.columns)), ", ".join(unknown)
            raise SealscoreError(f"{self._party.name}: table {part.table} has no column {wanted}; it has {known}")
        if (self._party.name in plan.label_parties) != (self._party.config.node.role == "bank"):
            role = self._party.config.node.role
            raise SealscoreError(f"{self._party.name} is a {role}: banks, and only they, are label_parties")
        self._party.policy.check_columns(plan, self._party.name)
        levels = {name: spec.sensitivity for name, spec in table.columns.items()}
        taken = self._check_model(plan) if plan.kind == "score" else part.columns
        self._party.policy.check_listed(part.table, taken, levels)

    def _check_model(self, plan: Plan) -> list[str]:
        """A model is used by those who trained it, once it is published: its scores are opened to one of its banks.

        Gives the columns of the own table that it takes.
        """
        half = self._vault.get(plan.model_id)
        if half["status"] == "revoked":
            raise PolicyRefused("approval", f"model {plan.model_id} was revoked by {self._party.name}; train another")
        if half["status"] != "published":
            raise SealscoreError(f"model {plan.model_id} was not published")
        if not may_score(half.get("parties", {}), seats(plan)):
            raise SealscoreError(f"model {plan.model_id} was trained by other parties than the plan names")
        if half.get("release", "owner") != plan.model.release:
            raise SealscoreError(f"model {plan.model_id} was trained with another model.release than the plan names")
        table = self._party.table(plan.parties[self._party.name].table)
        taken = sorted({column["column"] for column in half["encoder"]["columns"]})
        missing = sorted(set(taken) - set(table.columns))
        if missing:
            raise SealscoreError(f"{self._party.name}: the table to score has no column {', '.join(missing)}")
        return taken

    def _check_frequency(self, run: str) -> None:
        """Every run tests identifiers and opens hold-out scores: the policy limits how many a day."""
        since, allowed = time.time() - 86400, self._party.policy.maximum_runs_per_day
        others = (path for path in self._folder().glob("r-*/statement.json") if path.parent.name != run)
        recent = sum(path.stat().st_mtime > since for path in others)
        if recent >= allowed:
            raise PolicyRefused("maximum_runs_per_day", f"{recent} runs were agreed on in the last 24 hours")

    def _pinned(self, plan: Plan, identities: dict[str, bytes]) -> None:
        """The coordinator names identity keys; only those whose fingerprint the own policy pins are believed."""
        for name in plan.parties:
            if name == self._party.name:
                expected = self._identity.fingerprint
            else:
                expected = self._party.policy.peers[name].fingerprint
            if name not in identities or fingerprint(identities[name]) != expected:
                raise TrustError(
                    f"the identity key announced for {name} has not the fingerprint pinned in the policy of "
                    f"{self._party.name}; compare fingerprints with {name} by telephone"
                )

    def _statement(self, run: str, plan: Plan) -> str:
        """The same statement again when asked again: what was signed once stays."""
        path = self._folder() / run / "statement.json"
        if path.exists():
            kept = path.read_text(encoding="utf-8")
            if json.loads(kept)["plan"] != plan.digest():
                raise TrustError(f"run {run} was agreed on with another plan; start a new run")
            return kept
        text = statement(
            self._party.name, run, plan, self._policy_digest, code=code_digest(), **signed_digests(),
            rows=self._catalogue[plan.parties[self._party.name].table]["rows"], identity=self._identity.public.hex(),
        )
        write_whole(path, text.encode())
        return text

    def execute(self, body: dict[str, Any]) -> dict[str, Any]:
        """Start a run that all parties signed; again: say how it stands, or continue it after a failure."""
        run, plan, signed = _run(body), _plan(body), body.get("statements")
        with self._lock:
            self._check_run(run)
            known = self._runs.get(run)
            if known is not None and (known.working or known.state == "finished"):
                known.deliver()
                return {"ok": True, "state": known.state}
            if known is not None and known.state == "cancelled":
                return {"ok": False, "refused": f"run {run} was cancelled; start a new one"}
            agreement, identities = self._signed_agreement(run, plan, signed)
            if known is not None:
                known.close()
            keys = {name: key.hex() for name, key in identities.items()}
            kept = {"agreement": json.loads(agreement.encode()), "identities": keys}
            self._count_tested(agreement)
            self._audit.keep_agreement(run, agreement.encode())  # first: it refuses a second agreement for one run
            write_whole(self._folder() / run / "agreement.json", canonical_json(kept))
            self._audit.append("run", {"run": run, "event": "continued" if known else "started"})
            self._mark()
            driver = self._driver(agreement, keys)
            self._runs[run] = driver
            driver.start()
        return {"ok": True, "state": "started"}

    def _count_tested(self, agreement: SignedAgreement) -> None:
        """Every run tests the identifiers of each peer: the policy limits how many in a quarter."""
        now = time.time()
        for peer in roster.counterparts(agreement.plan, self._party.name):
            rows = _statement_object(agreement.statements[peer])["rows"]
            try:
                self._party.policy.check_tested(peer, rows, self._ledger.test(agreement.run, peer, rows, now))
            except PolicyRefused:
                self._ledger.untest(agreement.run)
                raise

    def _signed_agreement(self, run: str, plan: Plan, signed: Any) -> tuple[SignedAgreement, dict[str, bytes]]:
        """All statements, signed by pinned identities, made by the same installed code, within the policy of now."""
        if not isinstance(signed, dict) or set(signed) != set(plan.parties):
            raise MalformedMessage("expected a signed statement of each party of the plan")
        texts = {name: _text(entry, "statement") for name, entry in signed.items()}
        signatures = {name: _hex(_text(entry, "signature")) for name, entry in signed.items()}
        told = {name: _statement_object(text) for name, text in texts.items()}
        identities = {name: public_from_hex(str(entry.get("identity", ""))) for name, entry in told.items()}
        self._check(plan, identities)
        for name in set(told) - {self._party.name}:
            self._party.policy.check_peer_rows(name, told[name].get("rows"))
        agreement = SignedAgreement(run, plan, texts, signatures)
        agreement.check(identities)
        if len({canonical_json(entry.get("code")) for entry in told.values()}) != 1:
            raise TrustError("the parties run different code; install the same version of sealscore on all nodes")
        if texts[self._party.name] != self._statement(run, plan):
            raise TrustError("the statement in this party's name is not the one it signed")
        if agreement.policy(self._party.name) != self._policy_digest:
            raise TrustError(f"the policy of {self._party.name} changed since it signed; start a new run")
        return agreement, identities

    def _driver(self, agreement: SignedAgreement, identities: dict[str, str]) -> RunDriver:
        keys = {name: bytes.fromhex(key) for name, key in identities.items()}
        return RunDriver(self._node, agreement, keys, self._folder() / agreement.run)

    def publish(self, body: dict[str, Any]) -> dict[str, Any]:
        """Mark this party's half of a finished run as published, and describe it."""
        with self._lock:
            return self._publish(_run(body), body)

    def _publish(self, run: str, body: dict[str, Any]) -> dict[str, Any]:
        self._oversight.check(run)
        driver = self._runs.get(run)
        if driver is None or driver.state != "finished":
            return {"ok": False, "refused": f"run {run} has not finished here"}
        held = body.get("held")
        if type(held) is not int or held < 0:
            raise MalformedMessage("expected the number of records that the coordinator holds a checkpoint of")
        checkpoint = self._audit.checkpoint_message(held).hex()
        reply: dict[str, Any] = {"ok": True, "checkpoint": checkpoint, "held": self._witness.held()}
        model_id = "m-" + run.removeprefix("r-")
        if driver.kind == "train":
            half = self._vault.get(model_id)
            if half["status"] == "revoked":
                return {"ok": False, "refused": f"model {model_id} was revoked by {self._party.name}"}
            if half["status"] != "published":
                self._vault.put(model_id, half | {"status": "published"})
                self._audit.append("run", {"run": run, "event": "published", "model": model_id})
            facts = driver.fact("report")["training"]
            reply["half"] = {"party": self._party.name, "digest": self._vault.digest(model_id), **facts}
            metrics = driver.fact("metrics")
            if metrics:
                reply["metrics"] = metrics
        return reply

    def witness(self, body: dict[str, Any]) -> dict[str, Any]:
        """Countersign a checkpoint of the coordinator's log at the end of a run, and keep what it countersigned."""
        run = _run(body)
        with self._lock:
            driver = self._runs.get(run)
            if driver is None or driver.state != "finished":
                return {"ok": False, "refused": f"run {run} has not finished here"}
        return self._witness.exchange(body)

    def status(self, body: dict[str, Any]) -> dict[str, Any]:
        """How every run stands here."""
        return {"ok": True, "runs": {run: driver.state for run, driver in self._runs.items()}}

    def refused(self, body: dict[str, Any]) -> dict[str, Any]:
        """The executor refused something: record it."""
        what, cause = str(body.get("what", "archive"))[:64], str(body.get("cause", ""))[:500]
        self._audit.append("refusal", {"what": what, "cause": cause})
        return {"ok": True}


def _run(body: dict[str, Any]) -> str:
    run = body.get("run")
    if not isinstance(run, str) or RUN_ID.fullmatch(run) is None:
        raise MalformedMessage("expected a run as r- and 16 lower-case hex digits")
    return run


def _plan(body: dict[str, Any]) -> Plan:
    text = body.get("plan")
    if not isinstance(text, str):
        raise MalformedMessage("expected a plan in canonical form")
    return Plan.from_canonical(utf8(text))


def _identities(body: dict[str, Any]) -> dict[str, bytes]:
    named = body.get("identities")
    if not isinstance(named, dict):
        raise MalformedMessage("expected identity keys by party")
    return {str(name): public_from_hex(str(key)) for name, key in named.items()}


def _hex(text: Any) -> bytes:
    if not isinstance(text, str) or len(text) > 1024 or len(text) % 2 or _HEX.fullmatch(text) is None:
        raise MalformedMessage("expected lower-case hex digits")
    return bytes.fromhex(text)


def _text(entry: Any, name: str) -> str:
    value = entry.get(name) if isinstance(entry, dict) else None
    if not isinstance(value, str):
        raise MalformedMessage(f"expected the {name} of each party as text")
    return value


def _statement_object(text: str) -> dict[str, Any]:
    value = parse_canonical_json(utf8(text), MAX_STATEMENT_BYTES)
    if not isinstance(value, dict):
        raise MalformedMessage("expected each statement as a JSON object")
    return value


def _rounded(rows: int) -> int:
    """What others are told of the size of a table."""
    return -(-rows // ROWS_ROUNDED_TO) * ROWS_ROUNDED_TO

