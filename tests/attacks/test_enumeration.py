"""Telephone numbers are few: who can test them all, and how many."""
from __future__ import annotations

import hashlib
from collections.abc import Callable

import pytest

from protocols.audit import Record, row_commitment
from protocols.crypto.group import hash_to_group
from protocols.errors import DataError, PolicyRefused
from protocols.merkle import leaf_hash
from protocols.policy import Policy
from protocols.psi.aligner import _DOMAIN
from protocols.psi.feature_party import AlignFeatureParty
from protocols.psi.label_party import AlignLabelParty
from protocols.psi.parameters import AlignmentParams
from tests.protocols.scorecard.simulator import drive

SPACE = [f"1380000{k:04d}" for k in range(2000)]  # every number there is, as the attacker knows
BANK, PLATFORM = SPACE[100:400], SPACE[300:600]
SESSION = hashlib.sha256(b"a run").digest()
PARAMS = AlignmentParams(("trim",), 10, 300, 300, SESSION)


def enumerated(seen: bytes, guesses: list[str], images: list[Callable[[str], bytes]]) -> set[str]:
    """Numbers one of whose images stands somewhere in what was seen."""
    return {guess for guess in guesses if any(image(guess) in seen for image in images)}


def image_of_hash(name: str) -> Callable[[str], bytes]:
    return lambda text: hashlib.new(name, text.encode()).digest()


IMAGES = [str.encode, image_of_hash("sha256"), image_of_hash("blake2b"), image_of_hash("md5"),
          lambda text: hash_to_group(text.encode(), _DOMAIN + PARAMS.digest()), lambda text: hash_to_group(
              text.encode(), _DOMAIN)]


def test_offline_from_hashed_identifiers() -> None:
    weak = b"".join(hashlib.sha256(text.encode()).digest() for text in BANK)  # twin: "hashed, hence anonymous"
    assert enumerated(weak, SPACE, IMAGES) == set(BANK), "every customer of the bank"


def test_offline_from_what_travels_in_an_alignment() -> None:
    tape = []
    roles = AlignLabelParty(BANK, "platform", PARAMS), AlignFeatureParty(PLATFORM, "bank", PARAMS)
    drive(*roles, on_message=lambda sender, message: tape.append(message.payload))
    assert len(roles[0].result()) == 100
    assert enumerated(b"".join(tape), SPACE, IMAGES) == set()


def online(attacker: list[str], declared: int) -> set[str]:
    """Platform that puts in numbers of its choice: which of them it learns to be customers of the bank."""
    open_to_all = AlignmentParams(PARAMS.normalise, 10, len(attacker), 300, SESSION)
    capped = AlignmentParams(PARAMS.normalise, 10, 300, declared, SESSION)
    platform, bank = AlignFeatureParty(attacker, "bank", open_to_all), AlignLabelParty(BANK, "platform", capped)
    drive(bank, platform)
    return {attacker[row] for row in platform.result().rows}


def test_online_only_as_many_as_were_declared() -> None:
    assert online(SPACE, declared=len(SPACE)) == set(BANK), "twin: no cap, so the whole space is tested in one run"
    with pytest.raises(PolicyRefused, match="brings 2000 ids, at most 300"):
        online(SPACE, declared=300)
    with pytest.raises(DataError, match="more than the 300 declared"):
        AlignFeatureParty(SPACE, "bank", PARAMS)
    policy = Policy(purposes=("credit-scoring",), peers={"platform": {"fingerprint": "0" * 64, "maximum_rows": 300,
                                                                       "maximum_rows_per_quarter": 500}})
    policy.check_tested("platform", 300, earlier=200)
    with pytest.raises(PolicyRefused, match="300 rows after 201"):
        policy.check_tested("platform", 300, earlier=201)


def test_a_handful_of_people_is_not_singled_out() -> None:
    one_in_common = [*SPACE[400:409], BANK[0]]
    with pytest.raises(PolicyRefused, match="minimum_intersection"):
        drive(AlignLabelParty(BANK, "platform", PARAMS), AlignFeatureParty(one_in_common, "bank", PARAMS))


def test_two_runs_have_no_point_in_common() -> None:
    """Fresh scalars and a session in every hash: what was seen in one run tests nothing in another."""
    points = []
    for session in (SESSION, hashlib.sha256(b"another run").digest(), SESSION):
        params = AlignmentParams(("trim",), 10, 300, 300, session)
        roles = AlignLabelParty(BANK, "platform", params), AlignFeatureParty(PLATFORM, "bank", params)
        seen: set[bytes] = set()
        drive(*roles, on_message=lambda sender, message, seen=seen: seen.update(
            message.payload[4 + k : 36 + k] for k in range(0, len(message.payload) - 35, 32)
            if message.kind == "align.points"))
        points.append(seen)
        assert all(role._scalar is None for role in roles), "the secret is erased when the last tag is there"
    assert len(points[0]) == 600
    assert not points[0] & points[1] and not points[0] & points[2]


def test_commitments_and_log_leaves_are_salted() -> None:
    """An auditor who reads them could otherwise test every number, or every short message."""
    weak = hashlib.sha256(BANK[7].encode()).digest()
    assert enumerated(weak, SPACE, [image_of_hash("sha256")]) == {BANK[7]}
    one, other = (row_commitment(bytes([salt]) * 32, BANK) for salt in (1, 2))
    assert one != other
    records = [Record(0, "2026-01-31T12:00:00.000Z", "run", {"event": "started"}) for _ in range(2)]
    assert leaf_hash(records[0].encode()) != leaf_hash(records[1].encode())
    assert len({record.salt for record in records}) == 2 and len(records[0].salt) == 32
