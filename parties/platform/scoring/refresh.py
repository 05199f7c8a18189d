"""The feature job: encode this platform's table as each published model does, and fill the online store.

Every person who has a token gets the columns of the model, the names of what there is too little of, and, where one is
declared, the fraud score. Run it as often as the table is made anew: the age of the features is part of every answer.
"""
from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

import numpy as np

from parties.platform.scoring.features import PERSON_BYTES, Codec, Features, snapshot_name
from parties.platform.scoring.models import OnlineModel, OnlineModels
from parties.platform.scoring.online_store import OnlineStore
from parties.runtime.config import LoadedParty
from parties.runtime.scoring.directory import Directories, TokenDirectory
from parties.runtime.scoring.persons import PersonKey
from parties.runtime.scoring.settings import ScoringConfig
from parties.runtime.tables import Table, load_table
from protocols.crypto.identity import IdentityKey
from protocols.errors import DataError, UsageError
from protocols.node.at_rest import scoring_box

_PART = 10_000  # people encoded at a time


@dataclass(frozen=True)
class Refreshed:
    """What a refresh did for one model."""

    model: str
    snapshot: str
    people: int
    insufficient: int


def refresh(party: LoadedParty, identity: IdentityKey, store: OnlineStore, now: datetime) -> list[Refreshed]:
    """Fill the store for every model that was prepared; UsageError when there is none."""
    directories = Directories(party.state, identity)
    prepared = directories.models()
    models = [model for model in OnlineModels(party.state, identity, party.policy).published() if model.id in prepared]
    if not models:
        raise UsageError("no model is published here, allowed online (policy kinds) and prepared; run `scoring prepare "
                         "MODEL` first")
    job = _Job(party, identity, now)
    return [job.fill(store, model, [directories.load(model.id, peer) for peer in prepared[model.id]])
            for model in models]


class _Job:
    """One refresh: tables are read once, persons hashed once."""

    def __init__(self, party: LoadedParty, identity: IdentityKey, now: datetime):
        self._party, self._box = party, scoring_box(identity)
        self._config = party.config.scoring or ScoringConfig()
        self._at_s = int(now.timestamp())
        self._snapshot = snapshot_name(self._at_s)
        self._key = PersonKey.load(party.home)
        self._tables: dict[str, tuple[Table, list[bytes]]] = {}

    def fill(self, store: OnlineStore, model: OnlineModel, directories: list[TokenDirectory]) -> Refreshed:
        """Replace all that the store has of a model."""
        table, persons = self._table(model.table)
        people = _People(table, persons, self._config)
        rows = self._rows(model, people, directories)
        count = store.replace(model.id, self._snapshot, rows)
        lacking = sum(bool(names) for names in people.lacks)
        return Refreshed(model.id, self._snapshot, count, lacking)

    def _table(self, name: str) -> tuple[Table, list[bytes]]:
        if name not in self._tables:
            table = load_table(self._party.table(name), self._party.home)
            self._tables[name] = table, self._key.persons(table.ids)
        return self._tables[name]

    def _rows(self, model: OnlineModel, people: _People, directories: list[TokenDirectory]
              ) -> Iterator[tuple[bytes, bytes]]:
        codec = Codec(self._box, model.id)
        for start in range(0, len(people.table), _PART):
            rows = np.arange(start, min(start + _PART, len(people.table)))
            columns = model.columns(people.table, rows)
            persons = [people.persons[row] for row in rows]
            for directory in directories:
                for place, known in enumerate(directory.places(persons)):
                    if known >= 0:
                        features = people.features(rows[place], columns[place], self._at_s)
                        token = directory.tokens[known].tobytes()
                        yield token, codec.seal(token, features)


class _People:
    """A table's people with what the configuration says about them."""

    def __init__(self, table: Table, persons: list[bytes], config: ScoringConfig):
        self.table, self.persons = table, persons
        self.lacks = _lacks(table, config)
        self._fraud = _fraud(table, config)

    def features(self, row: int, columns: np.ndarray, at_s: int) -> Features:
        """Of one person."""
        return Features(self.persons[row][:PERSON_BYTES], at_s, columns, self.lacks[row], self._fraud[row])


def _lacks(table: Table, config: ScoringConfig) -> list[tuple[str, ...]]:
    """Of each row, the names of thresholds that it does not reach."""
    found: list[list[str]] = [[] for _ in range(len(table))]
    for threshold in config.sufficiency:
        values = _numbers(table, threshold.column, "sufficiency")
        for row in np.flatnonzero(~(values >= threshold.minimum)):  # a missing value compares as below
            found[row].append(threshold.name)
    return [tuple(names) for names in found]


def _fraud(table: Table, config: ScoringConfig) -> list[int | None]:
    """Of each row, the fraud score in steps of 1/32, None where it is missing or none is declared."""
    if config.fraud_column is None:
        return [None] * len(table)
    values = _numbers(table, config.fraud_column, "fraud_column")
    if ((values < 0) | (values > 1)).any():
        raise DataError(f"{table.config.path.name}: column {config.fraud_column!r} is the fraud score and must lie "
                        f"between 0 and 1; {int(((values < 0) | (values > 1)).sum())} rows do not")
    return [None if np.isnan(value) else round(value * 32) for value in values.tolist()]


def _numbers(table: Table, column: str, setting: str) -> np.ndarray:
    data = table.columns.get(column)
    if data is None or data.kind != "number":
        raise DataError(f"{table.config.path.name}: scoring.{setting} names {column!r}, which is no number column of "
                        "this table")
    return data.values
