"""Alignment against a plain set intersection, under interruption, and against peers that do not play by the rules."""
from __future__ import annotations

from collections import deque
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from protocols.errors import DataError, MalformedMessage, PolicyRefused, ProtocolError
from protocols.psi import messages as m
from protocols.psi.aligner import MEMBERSHIP, _shuffled
from protocols.psi.feature_party import AlignFeatureParty
from protocols.psi.label_party import AlignLabelParty
from protocols.psi.parameters import AlignmentParams
from protocols.role import Message

BANK, PLATFORM = "bank", "platform"
PARAMS = AlignmentParams(("trim", "casefold", "nfkc"), 1, 1000, 1000, b"r-0011223344556677 agreement")


@pytest.fixture(autouse=True)
def small_chunks(monkeypatch):
    monkeypatch.setattr(m, "CHUNK", 8)


def _bank(ids, params=PARAMS):
    return AlignLabelParty(ids, PLATFORM, params)


def _platform(ids, params=PARAMS):
    return AlignFeatureParty(ids, BANK, params)


def _drive(bank, platform, between=lambda role: role, seen=None):
    """Run both roles to the end; `between` may replace a role before each message (restart)."""
    roles = {BANK: bank, PLATFORM: platform}
    queue = deque((BANK, message) for message in bank.start())
    queue.extend((PLATFORM, message) for message in platform.start())
    while queue:
        sender, message = queue.popleft()
        if seen is not None:
            seen.append((sender, message))
        roles[message.peer] = between(roles[message.peer])
        answers = roles[message.peer].handle(Message(sender, message.kind, message.payload))
        queue.extend((message.peer, answer) for answer in answers)
    return roles[BANK].result(), roles[PLATFORM].result()


def _pairs(bank_ids, platform_ids, ours, theirs):
    return [(bank_ids[i], platform_ids[j]) for i, j in zip(ours.rows, theirs.rows, strict=True)]


id_sets = st.sets(st.sampled_from([f"person {i}" for i in range(40)]), min_size=1)


@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
@given(id_sets, id_sets, st.randoms())
def test_finds_exactly_the_intersection_in_one_order(left, right, random):
    bank_ids, platform_ids = list(left), [f" {text.upper()}" for text in right]
    random.shuffle(bank_ids)
    random.shuffle(platform_ids)
    if not left & right:
        with pytest.raises(PolicyRefused):
            _drive(_bank(bank_ids), _platform(platform_ids))
        return
    ours, theirs = _drive(_bank(bank_ids), _platform(platform_ids))
    pairs = _pairs(bank_ids, platform_ids, ours, theirs)
    assert {bank for bank, _ in pairs} == left & right and len(pairs) == len(left & right)
    assert all(platform.strip().casefold() == bank for bank, platform in pairs)


def _tables(n=30):
    return [f"p{i}" for i in range(n)], [f"P{i}" for i in range(n // 3, n // 3 + n)]


def test_every_step_survives_a_restart():
    bank_ids, platform_ids = _tables()

    def restarted(role):
        fresh = type(role)(bank_ids if role._peer == PLATFORM else platform_ids, role._peer, PARAMS)
        fresh.restore(role.snapshot())
        assert fresh.snapshot() == role.snapshot()
        return fresh

    ours, theirs = _drive(_bank(bank_ids), _platform(platform_ids), restarted)
    assert len(ours) == 20 and len(_pairs(bank_ids, platform_ids, ours, theirs)) == 20


def test_what_was_written_apart_is_not_written_again_and_comes_back():
    """As a driver keeps it: pieces once each, snapshots that do not grow with the table."""
    left, right = _tables(300)
    kept, sizes = {}, []

    def restarted(role):
        if role._peer != PLATFORM:
            return role
        new = role.new_pieces()
        assert not new.keys() & kept.keys() and role.new_pieces() == {}
        kept.update(new)
        state, fresh = role.snapshot(), _bank(left)
        sizes.append(len(state))
        fresh.pieces = kept.get
        fresh.restore(state)
        assert fresh.new_pieces() == {}
        return fresh

    ours, theirs = _drive(_bank(left), _platform(right), restarted)
    assert len(ours) == 200 and len(_pairs(left, right, ours, theirs)) == 200
    assert len(kept) == 2 * m.chunks(300) - 1  # the last chunk completes both directions and needs no keeping
    assert max(sizes[:-2]) < 700
    with pytest.raises(DataError, match="are gone"):
        _half_way(left).restore(_half_way(left).snapshot())


def _half_way(ids):
    """A bank that wrote one chunk of the peer's tags apart, where nobody finds it again."""
    bank = _bank(ids)
    bank.start()
    bank.handle(Message(PLATFORM, m.SIZE, m.encode_size(PARAMS.digest(), 300)))
    bank._seed = bytes(32)
    bank._begin_with(bank._seed)
    bank._peer_tags.append(bytes(32 * m.CHUNK))
    bank.new_pieces()
    return bank


def test_a_repeated_step_after_a_crash_gives_the_same_bytes():
    bank, platform = _bank(_tables()[0]), _platform(_tables()[1])
    (size,) = platform.start()
    before = bank.snapshot()
    first = bank.handle(Message(PLATFORM, size.kind, size.payload))
    again = _bank(_tables()[0])
    again.restore(before)
    assert [x.payload for x in again.handle(Message(PLATFORM, size.kind, size.payload))] == [x.payload for x in first]


def test_restore_refuses_a_changed_table():
    state = _bank(["a", "b"]).snapshot()
    with pytest.raises(DataError, match="changed since"):
        _bank(["a", "c"]).restore(state)


def test_the_secret_is_fresh_and_gone_afterwards():
    bank, platform = _bank(_tables()[0]), _platform(_tables()[1])
    secret = bank._scalar.to_bytes()
    assert secret != _bank(_tables()[0])._scalar.to_bytes()
    _drive(bank, platform)
    assert bank._scalar is None and secret not in bank.snapshot()


def test_both_sides_end_with_one_secret_that_is_of_this_alignment_alone():
    secrets = []
    for _ in range(2):
        bank, platform = _bank([f"p{n}" for n in range(20)]), _platform([f"p{n}" for n in range(5, 30)])
        _drive(bank, platform)
        secrets.append(bank.result().secret)
        assert platform.result().secret == secrets[-1] and len(secrets[-1]) == 32
        again = _bank([f"p{n}" for n in range(20)])
        again.restore(bank.snapshot())
        assert again.result().secret == secrets[-1]
    assert secrets[0] != secrets[1]


def test_every_id_tested_is_declared_as_an_opening():
    bank_ids, platform_ids = _tables(30)[0], _tables(24)[1]
    seen = []
    _drive(_bank(bank_ids), _platform(platform_ids), seen=seen)
    opened = {BANK: 0, PLATFORM: 0}
    for sender, message in seen:
        if message.opening is not None:
            assert message.kind == m.TAGS and message.opening.kind == MEMBERSHIP
            assert message.opening.learner == message.peer != sender
            opened[message.opening.learner] += message.opening.count
    assert opened == {BANK: len(bank_ids), PLATFORM: len(platform_ids)}


def test_orders_say_nothing_and_differ_between_runs():
    bank_ids, platform_ids = _tables(300)
    runs = [_drive(_bank(bank_ids), _platform(platform_ids))[0].rows for _ in range(2)]
    assert sorted(runs[0]) == sorted(runs[1]) and not np.array_equal(*runs)
    for rows in runs:
        assert abs(np.corrcoef(rows, np.arange(len(rows)))[0, 1]) < 0.35  # 5 sigma at 200 rows


def test_shuffle_is_a_permutation_that_depends_on_the_seed():
    assert sorted(_shuffled(b"1" * 32, 1000)) == list(range(1000))
    assert not np.array_equal(_shuffled(b"1" * 32, 1000), _shuffled(b"2" * 32, 1000))


def test_points_of_two_sessions_never_match():
    other = replace(PARAMS, session=b"another run")
    with pytest.raises(ProtocolError, match="other parameters"):
        _drive(_bank(["a"]), _platform(["a"], other))


@pytest.mark.parametrize("change", [{"normalise": ()}, {"minimum_intersection": 2}])
def test_both_sides_need_the_same_settings(change):
    with pytest.raises(ProtocolError, match="same plan"):
        _drive(_bank(["a", "b"]), _platform(["a", "b"], replace(PARAMS, **change)))


def test_minimum_intersection_is_enforced_by_each_side():
    params = replace(PARAMS, minimum_intersection=21)
    for small_side in (BANK, PLATFORM):
        bank, platform = _bank(_tables()[0], params), _platform(_tables()[1], params)
        lax = platform if small_side == BANK else bank
        lax._too_few = lambda: MalformedMessage("the other side should have refused")
        with pytest.raises((PolicyRefused, MalformedMessage)):
            _drive(bank, platform)
        assert bank.result() is None and platform.result() is None


def test_a_set_too_small_is_refused_before_any_point_is_sent():
    params = replace(PARAMS, minimum_intersection=5)
    bank = _bank(_tables()[0], params)
    with pytest.raises(PolicyRefused, match="fewer than 5"):
        bank.handle(Message(PLATFORM, m.SIZE, m.encode_size(params.digest(), 4)))
    assert bank._sent == 0


def test_declared_sizes_bind_both_sides():
    with pytest.raises(DataError, match="more than the 2 declared"):
        _bank(["a", "b", "c"], replace(PARAMS, own_declared_max=2))
    with pytest.raises(PolicyRefused, match="peer_declared_max"):
        _drive(_bank(["a"], replace(PARAMS, peer_declared_max=2)), _platform(["a", "b", "c"]))


@pytest.mark.parametrize(("ids", "match"), [
    ([], "no ids"), (["a", " A"], "1 of 2 ids repeat"), (["a", "  "], "1 of 2 ids are empty"),
    (["a", 7, None], "2 of 3 ids are not text"),
])
def test_bad_ids_are_counted_not_shown(ids, match):
    with pytest.raises(DataError, match=match):
        _bank(ids)


def _ready_bank(n=20):
    """A bank that has heard the platform's size of n and sent its first points."""
    bank = _bank(_tables(20)[0])
    points = bank.handle(Message(PLATFORM, m.SIZE, m.encode_size(PARAMS.digest(), n)))
    return bank, points


def _good_chunk(index=0, count=8):
    platform = _platform([f"q{i}" for i in range(20)])
    sent = platform.handle(Message(BANK, m.SIZE, m.encode_size(PARAMS.digest(), 20)))
    return sent[index].payload[:4 + 32 * count]


@pytest.mark.parametrize(("kind", "payload"), [
    (m.SIZE, m.encode_size(PARAMS.digest(), 20)),  # twice
    (m.POINTS, b""),
    (m.POINTS, m.encode_chunk(0, bytes(8 * 32))),  # identities
    (m.POINTS, m.encode_chunk(0, b"\xff" * 8 * 32)),  # not canonical
    (m.POINTS, m.encode_chunk(0, _good_chunk()[4:-1])),  # cut short
    (m.POINTS, m.encode_chunk(0, _good_chunk()[4:] + b"\0")),  # left over
    (m.POINTS, m.encode_chunk(1, _good_chunk()[4:])),  # out of order
    (m.TAGS, m.encode_chunk(0, bytes(8 * 16 - 1))),
    (m.TAGS, m.encode_chunk(1, bytes(8 * 16))),
    (m.JOINT, m.encode_joint(3, bytes(32))),  # not due
    ("align.other", b""),
])
def test_malformed_messages_are_refused_and_change_nothing(kind, payload):
    bank, _ = _ready_bank()
    before = bank.snapshot()
    with pytest.raises(MalformedMessage):
        bank.handle(Message(PLATFORM, kind, payload))
    assert bank.snapshot() == before


def test_messages_before_the_size_are_refused():
    for kind in (m.POINTS, m.TAGS, m.JOINT):
        with pytest.raises(MalformedMessage):
            _bank(["a"]).handle(Message(PLATFORM, kind, b""))


def test_messages_of_a_stranger_are_refused():
    with pytest.raises(MalformedMessage, match="not due"):
        _bank(["a"]).handle(Message("someone", m.SIZE, m.encode_size(PARAMS.digest(), 1)))


def test_more_points_than_committed_are_refused():
    bank, _ = _ready_bank(n=8)
    chunk = _good_chunk()
    bank.handle(Message(PLATFORM, m.POINTS, chunk))
    with pytest.raises(MalformedMessage, match="committed"):
        bank.handle(Message(PLATFORM, m.POINTS, m.encode_chunk(1, chunk[4:])))


def test_echoing_points_and_tags_makes_no_match():
    bank, outbox = _ready_bank()
    with pytest.raises(PolicyRefused, match="minimum_intersection"):
        while outbox:
            message = outbox.pop(0)
            outbox += bank.handle(Message(PLATFORM, message.kind, message.payload))


def test_an_id_put_in_twice_is_noticed():
    bank, platform = _bank(_tables()[0]), _platform(_tables()[1])
    platform._ids[1] = platform._ids[0]
    with pytest.raises(ProtocolError, match="more than once"):
        _drive(bank, platform)


def test_a_different_intersection_at_the_peer_ends_the_run():
    seen, bank = [], _bank(_tables()[0])
    platform = _platform(_tables()[1])
    honest = bank._take_joint
    bank._take_joint = lambda payload: honest(payload[:-1] + bytes([payload[-1] ^ 1]))
    with pytest.raises(ProtocolError, match="another intersection"):
        _drive(bank, platform, seen=seen)
    assert bank.result() is None


def test_progress_ends_complete():
    bank, platform = _bank(_tables()[0]), _platform(_tables()[1])
    assert bank.progress == (0, 1)
    _drive(bank, platform)
    assert bank.progress[0] == bank.progress[1] == 8


def test_nothing_more_is_answered_after_the_end():
    bank, platform = _bank(_tables()[0]), _platform(_tables()[1])
    _drive(bank, platform)
    for kind in (m.SIZE, m.POINTS, m.TAGS, m.JOINT):
        with pytest.raises(MalformedMessage):
            bank.handle(Message(PLATFORM, kind, bank._joint))
    assert len(bank.result()) == 20
