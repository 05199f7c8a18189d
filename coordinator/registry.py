"""The coordinator's registry: runs, their progress, the parties and the published models.

SQLite by default, any SQLAlchemy URL by configuration. Several processes use it at once (hub, ServerApp, supervisor,
commands), so every write is one short transaction and every change of a run's state names the states it may start from.

    submitted -> agreeing -> running -> publishing -> finished
         any of the first four -> failed | cancelling -> cancelled;  failed -> submitted (resume)

A run may need several Flower runs, its attempts. Only the newest may change its state: a caller that says which one it
conducts (`by`) changes nothing once another has taken its place.
"""
from __future__ import annotations

import json
import math
import re
import secrets
from contextlib import AbstractContextManager
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Connection, Row, create_engine, delete, event, func, insert, or_, select, update
from sqlalchemy.engine import Engine, make_url
from sqlalchemy.exc import ArgumentError, SQLAlchemyError

from coordinator.registry_tables import METADATA, attempts, models, parties, progress, revocations, runs
from protocols.errors import ConfigError, ProtocolError, UsageError

ACTIVE = ("submitted", "agreeing", "running", "publishing")
TERMINAL = ("finished", "failed", "cancelled")
ATTEMPTS = 5  # Flower runs for one run before a lost control plane ends it
MOVES = {
    "submitted": ("failed",),
    "agreeing": ("submitted",),
    "running": ("agreeing",),
    "publishing": ("running",),
    "finished": ("publishing",),
    "failed": (*ACTIVE, "cancelling"),
    "cancelling": ACTIVE,
    "cancelled": ("cancelling",),
}
WAITING = "waiting"  # for a person of the party
PROGRESS_STATES = ("started", "running", WAITING, "finished", "failed", "cancelled")
WHOLE_RUN = "run"  # the phase in which a party reports the end of its part
_NUMBERS = ("step", "steps", "bytes_out", "bytes_in", "fraction", "eta_s")
_TEXTS = {"cause": 500, "next_step": 500, "body_json": 65_536}
_PHASE = re.compile(r"[a-z][a-z0-9_.-]{0,63}")


def new_run_id() -> str:
    """A fresh run id: `r-` and 16 hex digits."""
    return f"r-{secrets.token_hex(8)}"


def model_id_of(run: str) -> str:
    """The id of the model that a training run publishes."""
    return "m-" + run.removeprefix("r-")


class Registry:
    """All access to the registry; the methods may be called from several threads."""

    def __init__(self, url: str):
        self._engine = _open(url)
        try:
            METADATA.create_all(self._engine)
        except SQLAlchemyError as fault:
            raise ConfigError(f"registry.url: cannot open the registry ({type(fault).__name__})") from None
        self._reads = self._engine.execution_options(sealscore_read=True)

    def close(self) -> None:
        """Give all connections back."""
        self._engine.dispose()

    def _write(self) -> AbstractContextManager[Connection]:
        return self._engine.begin()

    def _all(self, query: Any) -> list[dict[str, Any]]:
        with self._reads.connect() as connection:
            return [dict(row._mapping) for row in connection.execute(query)]

    # runs

    def create_run(self, run: str, plan_json: str, plan_digest: str) -> None:
        """Record a submitted run."""
        values = {"id": run, "plan_json": plan_json, "plan_digest": plan_digest, "state": "submitted"}
        with self._write() as connection:
            connection.execute(insert(runs).values(**values, created_at=_now(), updated_at=_now()))

    def run(self, run: str) -> dict[str, Any]:
        """One run as a dict of its columns; UsageError when there is none."""
        found = self._all(select(runs).where(runs.c.id == run))
        if not found:
            raise UsageError(f"no run {run!r} in the registry; `sealscore runs list` shows the runs")
        return found[0]

    def runs(self, limit: int = 50) -> list[dict[str, Any]]:
        """The newest runs first."""
        return self._all(select(runs).order_by(runs.c.created_at.desc(), runs.c.id).limit(limit))

    def active_runs(self) -> list[dict[str, Any]]:
        """Runs that have not ended."""
        return self._all(select(runs).where(runs.c.state.not_in(TERMINAL)))

    def run_state(self, run: str) -> str | None:
        """The state of a run, or None when there is no such run."""
        found = self._all(select(runs.c.state).where(runs.c.id == run))
        return found[0]["state"] if found else None

    def standing(self, run: str) -> tuple[str | None, str | None]:
        """The state of a run and its newest Flower run; (None, None) when there is no such run."""
        found = self._all(select(runs.c.state, runs.c.flower_run_id).where(runs.c.id == run))
        return (found[0]["state"], found[0]["flower_run_id"]) if found else (None, None)

    def set_state(self, run: str, state: str, by: str | None = None) -> bool:
        """Move a run to `state` if it is in a state that allows it; False when it is not (a cancel came first)."""
        with self._write() as connection:
            return _move(connection, run, state, MOVES[state], {}, by)

    def enter(self, run: str, state: str, by: str | None = None) -> bool:
        """As `set_state`, and true when the run is already there or beyond: for steps that are repeated on resume."""
        order = (*ACTIVE, "finished")
        current, flower_run = self.standing(run)
        if current in order and order.index(current) >= order.index(state):
            return by in (None, flower_run)
        return self.set_state(run, state, by)

    def fail(self, run: str, party: str, phase: str, cause: str, next_step: str, by: str | None = None) -> bool:
        """End a run with a statement; the first failure is kept."""
        columns = {"party": party, "phase": phase, "cause": cause[:1000], "next_step": next_step[:1000]}
        with self._write() as connection:
            return _move(connection, run, "failed", MOVES["failed"], columns, by)

    def cancel(self, run: str) -> str:
        """Ask for the end of a run; its state afterwards. UsageError when it has ended already."""
        state = self.run(run)["state"]
        if state in TERMINAL:
            raise UsageError(f"run {run} has ended already ({state}); there is nothing to cancel")
        self.set_state(run, "cancelling")
        return self.run_state(run) or "cancelling"

    def reopen(self, run: str) -> None:
        """Make a failed run ready for new attempts; what parties reported as failed is forgotten."""
        cleared = dict.fromkeys(("party", "phase", "cause", "next_step", "flower_run_id"))
        with self._write() as connection:
            if not _move(connection, run, "submitted", MOVES["submitted"], cleared):
                raise UsageError(f"run {run} is not a failed run; only failed runs are resumed")
            connection.execute(delete(attempts).where(attempts.c.run == run))
            _forget_ends(connection, run)

    def forget_ends(self, run: str) -> None:
        """Forget what parties reported as failed: a report of the attempt before may come after `reopen`."""
        with self._write() as connection:
            _forget_ends(connection, run)

    # attempts

    def attach_flower_run(self, run: str, flower_run_id: int) -> None:
        """Remember the first Flower run of a run that was submitted or reopened."""
        with self._write() as connection:
            connection.execute(update(runs).where(runs.c.id == run).values(flower_run_id=str(flower_run_id)))
            _add_attempt(connection, run, 1, flower_run_id)

    def replace_flower_run(self, run: str, lost: str, flower_run_id: int, cause: str) -> bool:
        """Put another Flower run in the place of a `lost` one; False when the run ended or was cancelled meanwhile."""
        current = (runs.c.id == run) & (runs.c.flower_run_id == lost) & runs.c.state.in_(ACTIVE)
        with self._write() as connection:
            if connection.execute(update(runs).where(current).values(flower_run_id=str(flower_run_id))).rowcount == 0:
                return False
            ended = update(attempts).where(attempts.c.run == run, attempts.c.flower_run_id == lost)
            connection.execute(ended.values(lost_at=_now(), cause=cause[:1000]))
            newest = select(func.max(attempts.c.number)).where(attempts.c.run == run)
            _add_attempt(connection, run, (connection.execute(newest).scalar() or 1) + 1, flower_run_id)
            return True

    def conducted(self, run: str, flower_run_id: str) -> None:
        """Note that the ServerApp of a Flower run has taken the run over."""
        mine = (attempts.c.run == run) & (attempts.c.flower_run_id == flower_run_id)
        with self._write() as connection:
            connection.execute(update(attempts).where(mine).values(conducted_at=_now()))

    def attempts(self, run: str) -> list[dict[str, Any]]:
        """The Flower runs of a run since it was submitted or resumed, oldest first."""
        return self._all(select(attempts).where(attempts.c.run == run).order_by(attempts.c.number))

    def set_agreement(self, run: str, digest: str, statements: dict[str, Any]) -> None:
        """Keep what the parties signed; a second, different agreement for one run is refused."""
        with self._write() as connection:
            held = connection.execute(select(runs.c.agreement_digest).where(runs.c.id == run)).scalar_one()
            if held not in (None, digest):
                raise ProtocolError("the parties signed another agreement than before for the same run")
            values = {"agreement_digest": digest, "statements_json": json.dumps(statements, sort_keys=True)}
            connection.execute(update(runs).where(runs.c.id == run).values(**values))

    def statements(self, run: str) -> dict[str, Any]:
        """What each party signed, by party; empty before the agreement."""
        return json.loads(self.run(run)["statements_json"] or "{}")

    def set_result(self, run: str, result: dict[str, Any]) -> None:
        """Keep what the run ended with: the model card, or the summary of a scoring run."""
        with self._write() as connection:
            values = {"result_json": json.dumps(result, sort_keys=True, allow_nan=False)}
            connection.execute(update(runs).where(runs.c.id == run).values(**values))

    # progress

    def record_progress(self, run: str, party: str, event: dict[str, Any]) -> None:
        """Keep the newest report of a party for a phase; ProtocolError for a report that is out of bounds."""
        values = _checked_event(event)
        key = {"run": run, "party": party, "phase": values["phase"]}
        with self._write() as connection:
            if connection.execute(select(runs.c.id).where(runs.c.id == run)).first() is None:
                raise ProtocolError("progress of a run that this coordinator does not know")
            changed = update(progress).filter_by(**key).values(**values, updated_at=_now(), count=progress.c.count + 1)
            if connection.execute(changed).rowcount == 0:
                stamp = {"started_at": _now(), "updated_at": _now(), "count": 1}
                connection.execute(insert(progress).values({**key, **values, **stamp}))

    def progress(self, run: str) -> list[dict[str, Any]]:
        """The newest report per party and phase, in the order in which the phases began."""
        return self._all(select(progress).where(progress.c.run == run).order_by(progress.c.id))

    def outcome(self, run: str, party: str) -> dict[str, Any] | None:
        """The report with which a party ended its part, or None: a failure of any phase, or the end of phase `run`."""
        ended = or_(
            progress.c.state.in_(("failed", "cancelled")),
            (progress.c.phase == WHOLE_RUN) & (progress.c.state == "finished"),
        )
        query = select(progress).where(progress.c.run == run, progress.c.party == party, ended)
        found = self._all(query.order_by(progress.c.state == "cancelled", progress.c.updated_at).limit(1))
        return found[0] if found else None

    # parties

    def party_online(self, party: str, catalogue: dict[str, Any], identity: str | None = None) -> None:
        """Note that a party said hello, with the names and types of its columns."""
        values: dict[str, Any] = {"online_at": _now()}
        if catalogue:
            values["catalogue_json"] = json.dumps(catalogue, sort_keys=True, allow_nan=False)
        if identity:
            values["identity"] = identity
        self._take_revoked(party, catalogue.get("revoked"))
        with self._write() as connection:
            if connection.execute(update(parties).where(parties.c.name == party).values(**values)).rowcount == 0:
                connection.execute(insert(parties).values(name=party, **{"catalogue_json": "{}", **values}))

    def _take_revoked(self, party: str, models: Any) -> None:
        """A party says of which models it revoked its half; other models, and what is no list of names, say nothing."""
        named = {model for model in models if isinstance(model, str)} if isinstance(models, list) else set()
        for model in self.models() if named else ():
            if model["model_id"] in named and party in json.loads(model["card_json"]).get("halves", {}):
                self.revoke_model(model["model_id"], party)

    def parties(self) -> dict[str, dict[str, Any]]:
        """Every party that ever said hello: name -> {catalogue, identity, online_at}."""
        rows = self._all(select(parties).order_by(parties.c.name))
        return {r["name"]: {**r, "catalogue": json.loads(r["catalogue_json"])} for r in rows}

    # models

    def publish_model(self, model_id: str, run: str, card: dict[str, Any], digests: dict[str, str]) -> None:
        """Publish a model card; publishing the same card again changes nothing, another one is refused."""
        text = json.dumps(card, sort_keys=True, allow_nan=False)
        with self._write() as connection:
            held = connection.execute(select(models.c.card_json).where(models.c.model_id == model_id)).scalar()
            if held is None:
                values = {"model_id": model_id, "run": run, "card_json": text, "digests_json": json.dumps(digests)}
                connection.execute(insert(models).values(**values, state="published", created_at=_now()))
            elif held != text:
                raise UsageError(f"model {model_id} is published already with another card")

    def model(self, model_id: str) -> dict[str, Any]:
        """One model with its card; UsageError when there is none."""
        found = self._all(select(models).where(models.c.model_id == model_id))
        if not found:
            raise UsageError(f"no model {model_id!r} in the registry; `sealscore runs list` shows published models")
        return {**found[0], "card": json.loads(found[0]["card_json"]), "revoked_by": self.revoked_by(model_id)}

    def models(self) -> list[dict[str, Any]]:
        """The newest models first."""
        return self._all(select(models).order_by(models.c.created_at.desc(), models.c.model_id))

    def revoke_model(self, model_id: str, party: str) -> None:
        """Mark a model as not to be used any more, because `party` revoked its half; again changes nothing."""
        self.model(model_id)
        if party in self.revoked_by(model_id):
            return
        with self._write() as connection:
            connection.execute(insert(revocations).values(model_id=model_id, party=party, revoked_at=_now()))
            connection.execute(update(models).where(models.c.model_id == model_id).values(state="revoked"))

    def revoked_by(self, model_id: str) -> dict[str, str]:
        """Which parties revoked a model: name -> when this coordinator heard of it."""
        rows = self._all(select(revocations).where(revocations.c.model_id == model_id).order_by(revocations.c.party))
        return {row["party"]: row["revoked_at"] for row in rows}

    def counts(self) -> dict[str, int]:
        """Number of runs per state."""
        with self._reads.connect() as connection:
            rows: list[Row[Any]] = list(connection.execute(select(runs.c.state, func.count()).group_by(runs.c.state)))
        return {state: count for state, count in rows}


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")


def _forget_ends(connection: Connection, run: str) -> None:
    gone = progress.c.state.in_(("failed", "cancelled"))
    connection.execute(delete(progress).where(progress.c.run == run, gone))


def _add_attempt(connection: Connection, run: str, number: int, flower_run_id: int) -> None:
    values = {"run": run, "number": number, "flower_run_id": str(flower_run_id), "started_at": _now()}
    connection.execute(insert(attempts).values(**values))


def _move(
    connection: Connection, run: str, state: str, allowed: tuple[str, ...], columns: dict[str, Any],
    by: str | None = None,
) -> bool:
    change = update(runs).where(runs.c.id == run, runs.c.state.in_(allowed))
    if by is not None:
        change = change.where(runs.c.flower_run_id == by)
    return connection.execute(change.values(state=state, updated_at=_now(), **columns)).rowcount == 1


def _open(url: str) -> Engine:
    """An engine; SQLite gets WAL, a busy timeout and explicit transactions (its driver would begin too late)."""
    try:
        engine = create_engine(make_url(url), pool_pre_ping=True)
    except (ArgumentError, ModuleNotFoundError) as fault:
        raise ConfigError(f"registry.url: not a usable database address ({type(fault).__name__})") from None
    if engine.dialect.name == "sqlite":
        event.listen(engine, "connect", _sqlite_settings)
        event.listen(engine, "begin", _sqlite_begin)
    return engine


def _sqlite_settings(connection: Any, _record: Any) -> None:
    connection.isolation_level = None
    for pragma in ("busy_timeout=15000", "journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON"):
        connection.execute(f"PRAGMA {pragma}")


def _sqlite_begin(connection: Connection) -> None:
    reading = connection.get_execution_options().get("sealscore_read", False)
    connection.exec_driver_sql("BEGIN" if reading else "BEGIN IMMEDIATE")


def _checked_event(given: dict[str, Any]) -> dict[str, Any]:
    """The columns of a progress report, or ProtocolError; unknown keys are dropped."""
    phase, state = given.get("phase"), given.get("state")
    if not isinstance(phase, str) or not _PHASE.fullmatch(phase) or state not in PROGRESS_STATES:
        raise ProtocolError("a progress report needs a phase name and one of the states " + ", ".join(PROGRESS_STATES))
    values: dict[str, Any] = {"phase": phase, "state": state}
    for name in _NUMBERS:
        number = given.get(name, 0)
        if isinstance(number, bool) or not isinstance(number, int | float) or not math.isfinite(number) or number < 0:
            raise ProtocolError(f"progress field {name} must be a finite number that is not negative")
        values[name] = float(number) if name in ("fraction", "eta_s") else min(int(number), 2**53)
    for name, limit in _TEXTS.items():
        text = given.get(name) or ""
        if not isinstance(text, str) or len(text) > limit:
            raise ProtocolError(f"progress field {name} must be text of at most {limit} characters")
        values[name] = text
    return values
