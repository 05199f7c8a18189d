"""Scoring after a training: both releases against plaintext, pieces, floods, versions, refusals, crashes, verdicts."""
from __future__ import annotations

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from protocols.crypto.keys import KeyPair
from protocols.crypto.ring import RING
from protocols.errors import ConfigError, DataError, MalformedMessage, PolicyRefused, ProtocolError, TrustError
from protocols.network import pieces as pieces_module
from protocols.network.feature_scores import FeatureNetworkScores
from protocols.network.halves import FeatureHalf, LabelHalf
from protocols.network.pieces import coarse, from_coarse, pieces
from protocols.network.score_flood import cover
from protocols.network.settings import NetworkSettings
from protocols.role import Message, Role
from protocols.state import pack, unpack
from tests.protocols.network.finished import DATA, Finished, finished
from tests.protocols.scorecard.simulator import drive

CLOSE = {"owner": 2.0**-4, "shared": 2.0**-4 + 2.0**-6}  # half a step; half of both floods
RELEASES = pytest.mark.parametrize("release", ["owner", "shared"])
EITHER = pytest.mark.parametrize(("release", "activation"), [("owner", "none"), ("owner", "square"), ("shared", "none"),
                                                            ("shared", "square")])
SLICES = {"calibration": 5, "test": 9}


class Kept:
    """A score that keeps the numbers it was given: the first of a row is its log-odds."""

    def __init__(self):
        self.numbers: dict[str, list[np.ndarray]] = {}

    def __call__(self, name: str, rows: slice, z: np.ndarray) -> np.ndarray:
        assert rows.start == sum(map(len, self.numbers.get(name, []))) and rows.stop - rows.start == len(z)
        self.numbers.setdefault(name, []).append(z)
        return z[:, 0]

    def of(self, name: str) -> np.ndarray:
        return np.concatenate(self.numbers[name])


@settings(max_examples=10, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rows=st.integers(0, 40), columns=st.integers(1, 6), width=st.integers(1, 4), slices=st.booleans(),
       release=st.sampled_from(["owner", "shared"]), piece=st.sampled_from([1, 3, 8192]),
       activation=st.sampled_from(["none", "square"]), seed=st.integers(0, 2**20))
def test_any_rows_come_out_as_in_plaintext(
    bank_keys, rows, columns, width, slices, release, piece, activation, seed
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pieces_module, "PIECE_ROWS", piece)
        shape = {"calibration": rows, "test": 7} if slices else {"batch": rows + 1}
        done, kept, sent = finished(bank_keys, shape, columns, release, seed, width=width,
                                    activation=activation), Kept(), []
        bank, platform = done.bank(kept), done.platform()
        drive(bank, platform, on_message=lambda sender, message: sent.append(message))
    for name, count in shape.items():
        assert len(bank.result()[name]) == count
        if count:
            gap = np.abs(kept.of(name) - done.exact(name)).max()
            assert gap <= CLOSE[release] * 1.001 + (2.0**-9 if activation == "square" else 0)
            assert np.abs(bank.result()[name] - kept.of(name)[:, 0]).max() <= 2.0**-6
    kind = "embeddings" if activation == "none" else "activations"
    told = {name: sum(m.opening.count for m in sent if m.opening and m.opening.kind == f"{kind}.{name}")
            for name in shape}
    assert told == {name: count * width for name, count in shape.items()}
    assert bank.progress == platform.progress == (sum(m.kind == "piece.request" for m in sent),) * 2


def test_pieces_are_bounded_whatever_the_rows() -> None:
    for width in (1, 2, 5, 16, 64):
        found = pieces({"batch": 500_000}, NetworkSettings(width=width))
        assert sum(piece.count for piece in found) == 500_000
        assert max(piece.count for piece in found) * width * 32 < 26 * 10**6
    with pytest.raises(DataError, match="rows to score"):
        pieces({"calibration": 0, "test": 0}, NetworkSettings())


# ---------------------------------------------------------------- repeats and versions


def test_repeats_average_nothing_out_and_no_two_are_alike(bank_keys) -> None:
    secret, people, columns = bytes(32), [f"p{at}" for at in range(200)], np.zeros((200, 2), np.int64)
    drawn = np.stack([RING.to_float(cover(secret, people, columns, DATA, 1)) for _ in range(40)]) / 2.0**104
    assert drawn.std(axis=0).max() < 2.0**-5 / np.sqrt(12) * 1.6 and len(np.unique(drawn)) == drawn.size
    wide = 2.0**-3 / np.sqrt(12)
    assert drawn.mean(axis=0).std() == pytest.approx(wide, rel=0.15), "the mean of 40 is as far off as one"


def test_floods_differ_by_person_row_data_number_and_model() -> None:
    people, columns = ["a", "b"], np.zeros((2, 2), np.int64)

    def drawn(secret=bytes(32), people=people, columns=columns, data=DATA) -> np.ndarray:
        return RING.to_float(cover(secret, people, columns, data, 2)) / 2.0**104

    base = drawn()
    assert np.abs(np.diff(np.sort(base))).min() > 1e-4, "four numbers, four floods"
    assert np.abs(drawn() - base).max() < 2.0**-4.9, "the fresh part is small"
    for changed in ({"secret": b"\1" * 32}, {"people": ["c", "d"]}, {"columns": columns + 1}, {"data": bytes(32)}):
        assert np.abs(drawn(**changed) - base).max() > 2.0**-4.5


def test_versions_are_admitted_before_anything_leaves(bank_keys) -> None:
    done = finished(bank_keys, SLICES, 3, "shared", width=2)
    for data in (DATA, DATA, bytes(32)):
        drive(done.bank(Kept(), data), done.platform())
    first, again, other = (tags for _, tags in done.admitted)
    assert np.array_equal(first, again) and not (first == other).any() and len(set(first.tolist())) == len(first)
    assert done.admitted[0][0] == done.people

    def refuse(people, tags) -> None:
        raise PolicyRefused("maximum_snapshots_per_person", "no more")

    platform = done.platform(refuse)
    (request,) = done.bank(Kept()).start()
    with pytest.raises(PolicyRefused):
        platform.handle(Message("bank", request.kind, request.payload))
    assert platform.snapshot() == done.platform().snapshot() and platform.result() is None


# ---------------------------------------------------------------- refusals


def test_another_upload_than_the_pinned_one_is_refused(bank_keys) -> None:
    done, other = (finished(bank_keys, SLICES, 3, "shared") for _ in range(2))
    (request,) = other.bank(Kept()).start()
    with pytest.raises(TrustError, match="pinned"):
        done.platform().handle(Message("bank", request.kind, request.payload))


@EITHER
def test_only_the_message_that_is_due_is_taken(bank_keys, release, activation, monkeypatch) -> None:
    monkeypatch.setattr(pieces_module, "PIECE_ROWS", 1)
    done, checked = finished(bank_keys, {"calibration": 4, "test": 5}, 2, release, width=8,
                             activation=activation), set()
    strict = activation == "square"
    roles: dict[str, Role] = dict(zip(("bank", "platform"), done.holdouts(Kept(), lambda scores: True), strict=True))

    def on_message(sender: str, message: Message) -> None:
        receiver, body = roles[message.peer], message.payload
        before = receiver.snapshot()
        wrong = [Message(sender, message.kind, changed) for changed in (body[:-1], b"", body + b"\0")]
        wrong += [Message("stranger", message.kind, body), Message(sender, "piece", body)]
        if message.kind == "piece.request" and body[:4] != bytes(4):
            wrong += [Message(sender, message.kind, bytes(4) + body[4:])]
            wrong += [Message(sender, message.kind, body[:-1] + b"!")] if release == "shared" else []
        for variant in wrong:
            with pytest.raises(MalformedMessage):
                receiver.handle(variant)
                pytest.fail(f"{variant.kind} of {len(variant.payload)} bytes was taken for {message.kind}")
            assert receiver.snapshot() == before
        checked.add(message.kind)

    drive(*roles.values(), on_message=on_message)
    opened = {f"{done.label.settings.kind}.{name}" for name in SLICES}
    assert checked == {"piece.request", "verdict", *opened, *(["piece.reply"] if release == "shared" else []),
                       *(["square.request", "square.reply"] if release == "shared" and strict else [])}


def test_numbers_beyond_the_bound_are_refused(bank_keys) -> None:
    done = finished(bank_keys, {"batch": 2}, 2, "shared", width=1)
    bank = done.bank(Kept())
    replies = done.platform().handle(Message("bank", "piece.request", bank.start()[0].payload))
    bank.handle(Message("platform", replies[0].kind, replies[0].payload))
    share = RING.from_bytes(replies[1].payload, 2)
    far = RING.to_bytes(RING.add(share, RING.encode_ints([1 << 115] * 2)))
    with pytest.raises(ProtocolError, match="do not fit"):
        bank.handle(Message("platform", "embeddings.batch", far))
    with pytest.raises(DataError, match="out of range"):
        coarse(np.array([[5000.0]]))
    assert from_coarse(coarse(np.array([[1.06, -2.0]])), 1, 2).tolist() == [[1.0, -2.0]]


def test_roles_need_rows_of_this_model_and_names(bank_keys) -> None:
    done = finished(bank_keys, {"batch": 3}, 2, "shared")
    with pytest.raises(DataError, match="2 encoded columns"):
        FeatureNetworkScores("bank", done.feature, {"batch": np.zeros((3, 3))}, done.people, done.admit)
    for people, admit in ((done.people[1:], done.admit), (done.people, None)):
        with pytest.raises(ConfigError, match="what admits them"):
            FeatureNetworkScores("bank", done.feature, done.columns, people, admit)
    with pytest.raises(ConfigError, match="name the bank's data"):
        done.bank(Kept(), b"short")


# ---------------------------------------------------------------- crashes and verdicts


def again(old: Role, new: Role) -> Role:
    new.restore(old.snapshot())
    assert new.snapshot() == old.snapshot() and new.progress == old.progress
    return new


@EITHER
@pytest.mark.parametrize("better", [True, False])
def test_a_crash_after_every_message_changes_nothing(bank_keys, release, activation, better, monkeypatch) -> None:
    monkeypatch.setattr(pieces_module, "PIECE_ROWS", 1)
    done, seen = finished(bank_keys, {"calibration": 17, "test": 18}, 2, release, width=2, activation=activation), []

    def fresh() -> dict[str, Role]:
        def judge(scores) -> bool:
            seen.append(scores)
            return better
        first = lambda name, rows, z: z[:, 0]  # noqa: E731
        return dict(zip(("bank", "platform"), done.holdouts(first, judge), strict=True))

    roles = fresh()
    queue = [(name, message) for name, role in roles.items() for message in role.start()]
    while queue:
        sender, message = queue.pop(0)
        queue += [(message.peer, m) for m in roles[message.peer].handle(Message(sender, message.kind, message.payload))]
        roles[message.peer] = again(roles[message.peer], fresh()[message.peer])
    assert roles["platform"].result() is better and len(seen) == 1
    for name in ("calibration", "test"):
        assert np.abs(roles["bank"].result()[name] - done.exact(name)[:, 0]).max() <= CLOSE[release] + 2.0**-6 + 2.0**-9


# ---------------------------------------------------------------- in the vault


@EITHER
def test_halves_come_back_from_the_vault(bank_keys, release, activation) -> None:
    done = finished(bank_keys, SLICES, 3, release, width=2, activation=activation)
    label, feature = LabelHalf.from_bytes(done.label.to_bytes()), FeatureHalf.from_bytes(done.feature.to_bytes())
    assert label.to_bytes() == done.label.to_bytes() and feature.to_bytes() == done.feature.to_bytes()
    kept = Kept()
    drive(*Finished(label, feature, done.weights, done.columns, []).holdouts(kept, lambda scores: True))
    assert np.abs(kept.of("test") - done.exact("test")).max() <= CLOSE[release] * 1.001 + 2.0**-9
    assert "LabelHalf" in repr(label) and str(done.weights[0, 0])[:6] not in repr(label) + repr(feature)
    assert (label.card["weights"] is None) == (release == "owner")


DAMAGE = [("settings", 3), ("settings", '{"width":0}'), ("weight_bits", True), ("weight_bits", -1), ("epoch", 9),
          ("epoch", 2**40), ("columns_peer", 0), ("columns", 5), ("losses", np.array([np.nan, 1.0])),
          ("share", b"short"), ("more", 1), ("secret", b"short"), ("weights", np.zeros((2, 2))),
          ("levels", np.array([0])), ("levels", np.array([1.5])),
          ("module.weights", np.array([np.inf])), ("keys", b"none"), ("sealed", b"short"), ("own", None),
          ("module.weights", "text")]


@RELEASES
@pytest.mark.parametrize(("name", "value"), DAMAGE, ids=lambda value: str(value)[:20])
def test_a_damaged_half_is_refused(bank_keys, release, name, value) -> None:
    done = finished(bank_keys, SLICES, 3, release, width=2)
    for half in (done.label, done.feature):
        state = unpack(half.to_bytes())
        if name in state or name == "more":
            changes = [state | {name: value}, {key: part for key, part in state.items() if key != name}]
            for changed in changes[:1 if name == "more" else 2]:
                with pytest.raises(MalformedMessage):
                    type(half).from_bytes(pack(changed))
                    pytest.fail(f"{name} was taken")


def test_a_key_pair_read_back_is_the_same(bank_keys) -> None:
    done = finished(bank_keys, SLICES, 3, "shared")
    keys = LabelHalf.from_bytes(done.label.to_bytes()).keys
    assert isinstance(keys, KeyPair) and keys.public_bytes() == bank_keys.public_bytes()
