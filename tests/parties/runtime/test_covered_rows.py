"""People whom some platforms do not know: rows, slices and encodings of all parties against a plain join."""
from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from parties.runtime.phases import Phases
from parties.runtime.preparation import Prepared, partial_scores, prepare, slices_of
from parties.runtime.tables import ColumnConfig, Table, TableConfig
from protocols.agreement import SignedAgreement
from protocols.audit import row_commitment
from protocols.binning.columns import ColumnData
from protocols.binning.encoder import COVERAGE, UNKNOWN_LABEL, Encoder
from protocols.errors import DataError, ProtocolError
from protocols.plan import Plan
from protocols.psi.parameters import UNKNOWN, Alignment
from protocols.psi.slices import TRAIN, slice_of
from protocols.role import Message, Role
from protocols.scorecard.whitening import Whitening

PEOPLE, SUPPORT = 900, 20
STEPS = ("trim", "casefold", "nfkc")


def plan_of(banks: int, platforms: int, rows: str = "covered", encoding: str = "dummy") -> Plan:
    names = [f"bank-{i}" for i in range(banks)], [f"platform-{i}" for i in range(platforms)]
    parties = {name: {"table": "t", "columns": ["x", "kind"]} for part in names for name in part}
    return Plan.model_validate({
        "purpose": "test", "label_parties": names[0], "feature_parties": names[1], "parties": parties,
        "alignment": {"rows": rows, "minimum_intersection": 1}, "model": {"encoding": encoding, "bins": 3},
        "slices": {"train": 0.5, "calibration": 0.25, "test": 0.25},
    })


def table_of(people: np.ndarray, spelling: str, seed: int) -> Table:
    """Everybody in `people` with a number and a category."""
    rng = np.random.default_rng(seed)
    people = rng.permutation(people)
    kinds = np.array(["a", "b", "c", None], dtype=object)[rng.choice(4, len(people), p=[0.5, 0.3, 0.15, 0.05])]
    values = np.where(rng.random(len(people)) < 0.1, np.nan, rng.normal(size=len(people)))
    config = TableConfig(path=Path("t.csv"), id="id", columns={
        "x": ColumnConfig(), "kind": ColumnConfig(type="category")})
    columns = {"x": ColumnData.of_numbers(values), "kind": ColumnData.of_labels(kinds.tolist())}
    return Table(config, [spelling.format(person) for person in people], None, columns)


def person(text: str) -> int:
    return int(text.strip().lower().removeprefix("p"))


class Store(dict):
    """A run's store in memory."""

    def put(self, name: str, value: bytes) -> None:
        self[name] = value

    def commit(self, facts: dict[str, bytes | None]) -> None:
        self.update(facts)


class Party(Phases):
    """Phases over a table in memory; a message of a bank is in the post before a platform waits for it."""

    def __init__(self, name: str, plan: Plan, tables: dict[str, Table], post: dict[tuple[str, str], Message]):
        self.tables, self.post, self.notes, self.roles = tables, post, [], []
        statements = {party: json.dumps({"rows": len(table)}) for party, table in tables.items()}
        node = SimpleNamespace(party=SimpleNamespace(name=name), side=lambda plan, sharing: self,
                               audit=SimpleNamespace(append=lambda kind, body: self.notes.append(body)))
        super().__init__(node, SignedAgreement("r-00000000000000aa", plan, statements, {}), {}, Store(), self.drive)

    def _table(self) -> Table:
        return self.tables[self._name]

    def aligner(self, ids: list[str], peer: str, *_: Any) -> list[int]:
        """In place of the protocol: people shared with the peer, in an order that both see alike."""
        shared = sorted({person(i) for i in ids} & {person(i) for i in self.tables[peer].ids})
        order = np.random.default_rng(len(shared)).permutation(len(shared))
        places = {person(text): row for row, text in enumerate(ids)}
        return [places[shared[index]] for index in order]

    def drive(self, phase: str, role: Role | list[int], peer: str | None = None, part: str | None = None) -> Any:
        if isinstance(role, list):
            return Alignment(np.array(role, dtype=np.int64))
        self.roles.append(part)
        for message in role.start():
            self.post[self._name, message.peer] = message
        if role.expects is not None:
            sent = self.post[role.expects, self._name]
            role.handle(Message(role.expects, sent.kind, sent.payload, sent.opening))
        return role.result()


def world(banks: int, platforms: int, shares: list[float], seed: int) -> tuple[Plan, dict[str, Table]]:
    """A plan, and tables that hold about these shares of the people."""
    rng, plan, tables = np.random.default_rng(seed), plan_of(banks, platforms), {}
    for number, (name, share) in enumerate(zip((*plan.label_parties, *plan.feature_parties), shares, strict=False)):
        people = np.flatnonzero(rng.random(PEOPLE) < share)
        tables[name] = table_of(people, "p{}" if name in plan.label_parties else " P{} ", number)
    return plan, tables


def aligned(plan: Plan, tables: dict[str, Table]) -> dict[str, Party]:
    """All parties after their alignment, banks first."""
    post: dict[tuple[str, str], Message] = {}
    parties = {name: Party(name, plan, tables, post) for name in (*plan.label_parties, *plan.feature_parties)}
    for party in parties.values():
        party.align()
    return parties


@settings(max_examples=12, deadline=None)
@given(st.integers(1, 2), st.integers(1, 3), st.lists(st.sampled_from([0.6, 0.8, 0.99, 1.0]), min_size=5, max_size=5),
       st.integers(0, 2**32 - 1))
def test_all_parties_train_on_the_rows_of_a_plain_join(
    banks: int, platforms: int, shares: list[float], seed: int
) -> None:
    plan, tables = world(banks, platforms, shares, seed)
    known = {name: {person(text): row for row, text in enumerate(table.ids)} for name, table in tables.items()}
    parties = aligned(plan, tables)
    for bank in plan.label_parties:
        covered = {p for p in known[bank] if any(p in known[name] for name in plan.feature_parties)}
        rows = parties[bank].align()[bank].rows
        joint = [person(tables[bank].ids[row]) for row in rows]
        assert len(joint) == len(covered) and set(joint) == covered
        for name in plan.feature_parties:
            assert parties[name].align()[bank].rows.tolist() == [known[name].get(p, UNKNOWN) for p in joint]
    for name in plan.feature_parties:
        check_encoding(plan, name, tables, parties)
    if len(plan.label_parties) == 1:
        check_encoding(plan, plan.label_parties[0], tables, parties)


def check_encoding(plan: Plan, name: str, tables: dict[str, Table], parties: dict[str, Party]) -> None:
    """Encoder, whitening and matrices of one party, person by person."""
    prepared = parties[name].encode(parties[name].align())
    table, fractions = tables[name], (plan.slices.train, plan.slices.calibration, plan.slices.test)
    known = {person(text): row for row, text in enumerate(table.ids)}
    people = {bank: [tables[bank].ids[row] for row in parties[bank].align()[bank].rows] for bank in prepared.of}
    slices = {bank: slice_of(ids, plan.slices.key(), fractions, STEPS) for bank, ids in people.items()}
    rows = {bank: np.array([known.get(person(i), UNKNOWN) for i in ids]) for bank, ids in people.items()}
    training = np.concatenate([rows[bank][slices[bank] == TRAIN] for bank in rows])
    own, absent = np.sort(training[training >= 0]), int((training < 0).sum())
    columns = table.take(own).columns
    encoder = Encoder.fit(columns, method="dummy", bins=3, minimum_support=SUPPORT, unknown=absent)
    assert prepared.encoder == encoder and (encoder.coverage is not None) == (absent >= SUPPORT)
    bins = np.hstack([c.expand(columns[c.column]) for c in encoder.columns])
    own_column = absent >= SUPPORT
    level = np.zeros((absent, bins.shape[1] + own_column))
    level[:, bins.shape[1]:] = 1
    stacked = np.vstack([level, np.hstack([bins, np.zeros((len(bins), int(own_column)))])])
    whitening = Whitening.fit(stacked)
    for bank, parts in prepared.of.items():
        for index, part in enumerate(parts.columns):
            expected = rows[bank][slices[bank] == index]
            assert np.array_equal(parts.rows[index], expected)
            for row, values in list(zip(expected, part, strict=True))[:12]:
                plain = encoder.transform(table.take(np.array([row])).columns)[0] if row >= 0 else level_row(encoder)
                assert np.allclose(values, whitening.transform(plain[None])[0], atol=1e-9)
    assert prepared.training_rows.tolist() == np.unique(own).tolist()


def level_row(encoder: Encoder) -> np.ndarray:
    row = np.zeros(len(encoder.features))
    if encoder.coverage is not None:
        row[-1] = 1
    return row


def small_world(rows: str = "covered") -> tuple[Plan, dict[str, Table]]:
    """One bank of 900; one platform knows the first 600, the other the last 700."""
    tables = {"bank-0": table_of(np.arange(900), "p{}", 1), "platform-0": table_of(np.arange(600), "P{}", 2),
              "platform-1": table_of(np.arange(200, 950), "P{}", 3)}
    return plan_of(1, 2, rows), tables


def test_what_a_party_keeps_is_what_it_goes_on_with() -> None:
    plan, tables = small_world()
    party = aligned(plan, tables)["platform-0"]
    first, roles = party.align(), len(party.roles)
    again = party.align()
    assert len(party.roles) == roles == 1
    assert first["bank-0"].rows.tolist() == again["bank-0"].rows.tolist()
    assert first["bank-0"].slices.tolist() == again["bank-0"].slices.tolist()
    unknown = (again["bank-0"].rows == UNKNOWN) & (again["bank-0"].slices == TRAIN)
    assert party._lacking == again["bank-0"].lacking == unknown.sum() > 0


def test_the_bank_counts_what_the_platform_that_lacks_most_lacks() -> None:
    plan, tables = small_world()
    parties = aligned(plan, tables)
    assert parties["bank-0"]._lacking == parties["platform-0"]._lacking > parties["platform-1"]._lacking > 0


def test_row_commitments_count_only_the_people_whom_a_party_knows() -> None:
    plan, tables = small_world()
    parties = aligned(plan, tables)
    assert {name: party.notes[0]["count"] for name, party in parties.items()} == {
        "bank-0": 900, "platform-0": 600, "platform-1": 700}
    party = parties["platform-0"]
    assert party.notes[0]["commitment"] == row_commitment(party._store.get("align.salt"), tables["platform-0"].ids)


def test_by_default_only_people_known_to_all_are_in() -> None:
    plan, tables = small_world("common")
    for party in aligned(plan, tables).values():
        joint = party.align()["bank-0"]
        assert len(joint.rows) == 400 and joint.slices is None and party._lacking == 0
        assert (joint.rows != UNKNOWN).all()


def test_one_platform_is_never_told_what_it_knows() -> None:
    plan = plan_of(1, 1)
    parties = aligned(plan, {"bank-0": table_of(np.arange(900), "p{}", 1),
                             "platform-0": table_of(np.arange(600), "P{}", 2)})
    assert all(party.roles == [] and len(party.align()["bank-0"].rows) == 600 for party in parties.values())


def test_a_bank_with_other_slices_is_refused() -> None:
    plan, tables = small_world()
    post: dict[tuple[str, str], Message] = {}
    other = plan.model_validate(plan.model_dump() | {"slices": {"seed": "2"}})
    Party("bank-0", other, tables, post).align()
    platform = Party("platform-0", plan, tables, post)
    with pytest.raises(ProtocolError, match="bank-0 put .* of 600 people into other slices"):
        platform.align()
    assert platform._store == {} and platform.notes == []


def prepared_platform(unknown: int, encoding: str) -> tuple[Table, np.ndarray, Prepared]:
    """500 people, `unknown` training rows more, all in the order of the slices."""
    table = table_of(np.arange(500), "P{}", 4)
    slices = np.repeat(np.arange(3, dtype=np.int8), [300, 100, 100])
    rows = np.concatenate([np.full(unknown, UNKNOWN), np.arange(500)])
    slices = np.concatenate([np.zeros(unknown, np.int8), slices])
    plan = plan_of(1, 2, encoding=encoding)
    return table, rows, prepare(table, {"bank-0": rows}, "platform-0", plan, slices={"bank-0": slices})


@pytest.mark.parametrize("encoding", ["dummy", "numeric"])
def test_scores_of_unknown_people_rest_on_their_own_coefficient(encoding: str) -> None:
    table, rows, prepared = prepared_platform(40, encoding)
    whitened = np.random.default_rng(0).normal(size=prepared.whitening.rotation.shape[1])
    half = {"encoder": prepared.encoder.to_json(), "whitening": prepared.whitening.to_json(),
            "coefficients": whitened.tolist()}
    coefficients, constant = prepared.whitening.coefficients(whitened)
    scores = partial_scores(table, rows, json.loads(json.dumps(half)))
    assert prepared.encoder.features[-1].label == UNKNOWN_LABEL
    assert np.allclose(scores[:40], coefficients[-1] + constant)
    own = prepared.encoder.transform(table.columns) @ coefficients + constant
    assert np.allclose(scores[40:], own) and np.ptp(scores[40:]) > 0
    assert np.allclose(prepared.of["bank-0"].columns[TRAIN][:40] @ whitened, scores[:40])
    shown = prepared.encoder.points_table(coefficients)[-1]
    assert shown["column"] == COVERAGE and [level["count"] for level in shown["bins"]] == [300, 40]


def test_few_unknown_people_stand_at_the_base_level() -> None:
    _, _, prepared = prepared_platform(SUPPORT - 1, "dummy")
    assert prepared.encoder.coverage is None and "unknown" not in {f.kind for f in prepared.encoder.features}
    assert "19 training rows are of people unknown" in prepared.encoder.warnings[-1]
    base = prepared.whitening.transform(np.zeros((1, len(prepared.encoder.features))))
    assert np.allclose(prepared.of["bank-0"].columns[TRAIN][:19], base, atol=1e-12)


def test_no_table_is_asked_for_a_row_that_it_does_not_hold() -> None:
    table = table_of(np.arange(100), "P{}", 4)
    rows = np.array([3, UNKNOWN])
    with pytest.raises(IndexError, match="negative"):
        table.take(rows)
    with pytest.raises(IndexError, match="negative"):
        table.columns["x"].take(rows)
    with pytest.raises(DataError, match="no identifier to hash"):
        slices_of(table, rows, plan_of(1, 2))
    with pytest.raises(DataError, match="no identifier to hash"):
        prepare(table, {"bank-0": rows}, "platform-0", plan_of(1, 2))


def test_only_people_known_to_a_platform_count_for_released_coefficients() -> None:
    plan, tables = small_world()
    parties, checked, recorded = aligned(plan, tables), {}, {}
    for name, party in parties.items():
        prepared = party.encode(party.align())
        policy = SimpleNamespace(check_rows=lambda rows, *_, name=name: checked.update({name: rows}))
        party._node = SimpleNamespace(party=SimpleNamespace(policy=policy), releases=SimpleNamespace(
            record=lambda run, training, people, coefficients, name=name: recorded.update({name: set(people)}),
            earlier=lambda *_: 0))
        party._store.put("table", b"digest")
        party._check_release(prepared, len(prepared.of["bank-0"].rows[TRAIN]), 30)
    known = {name: {person(text) for text in people} for name, people in recorded.items()}
    assert known["platform-0"] == {p for p in known["bank-0"] if p < 600}
    assert known["platform-1"] == {p for p in known["bank-0"] if p >= 200}
    assert checked == {name: min(len(known["platform-0"]), len(people)) if name == "bank-0" else len(people)
                       for name, people in known.items()}
