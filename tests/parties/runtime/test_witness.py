"""A party as the coordinator's witness: both logs keep what both signed, a log that does not continue is refused."""
from __future__ import annotations

from pathlib import Path

import pytest

from coordinator.trail import Trail
from parties.runtime.config import CoordinatorConfig
from parties.runtime.witness import Witness
from protocols.audit import SignedCheckpoint, kept_countersignature
from protocols.crypto.identity import IdentityKey
from protocols.errors import ProtocolError, SealscoreError, TrustError
from protocols.node.audit_log import AuditLog
from protocols.node.identity_files import write_identity

ADDRESSES = {"front": "127.0.0.1:1", "hub": "127.0.0.1:2"}
RUN = "r-" + "1" * 16


class Sides:
    """A bank with its log, and a coordinator whose home is `home`."""

    def __init__(self, home: Path, log: Path, **pins: str):
        self.key, self.home = IdentityKey.generate(), home
        write_identity(home, IdentityKey.generate())
        self.trail = Trail(home, "coordinator")
        self.log = AuditLog(log, "bank", self.key)
        self.witness = Witness(CoordinatorConfig(**ADDRESSES, **pins), self.log)

    def body(self) -> dict[str, str]:
        """What the coordinator sends at the end of a run."""
        countersigned = self.trail.checkpoint("bank", self.key.public,
                                              self.log.checkpoint_message(self.trail.held("bank")))
        shown = self.trail.own_checkpoint(self.witness.held())
        return {"run": RUN, "identity": self.trail.identity, "checkpoint": shown.hex(),
                "countersigned": countersigned.hex()}

    def finish(self) -> None:
        reply = self.witness.exchange(self.body())
        self.trail.countersigned("bank", self.key.public, bytes.fromhex(reply["countersigned"]))

    def kinds(self) -> list[str]:
        return [record.kind for record in self.log.records()]


@pytest.fixture
def sides(tmp_path: Path):
    (tmp_path / "coordinator").mkdir()
    made = Sides(tmp_path / "coordinator", tmp_path / "audit")
    yield made
    made.log.close()


def test_both_logs_keep_what_both_signed(sides: Sides) -> None:
    for round_ in range(3):
        sides.trail.run(RUN, f"launched {round_}")
        sides.finish()
    assert sides.kinds() == ["log", *["checkpoint.countersigned", "checkpoint.peer"] * 3]
    theirs = AuditLog(sides.home / "state" / "audit", "coordinator", sides.trail._identity)
    kept = [kept_countersignature(r, "coordinator") for r in theirs.records() if r.kind == "checkpoint.countersigned"]
    mine = list(sides.log.records())
    assert len(kept) == 3 and [kept_countersignature(mine[each.index], "bank") for each in kept] == kept
    theirs.close()


def test_the_same_call_again_changes_nothing_that_was_signed(sides: Sides) -> None:
    body = sides.body()
    first, again = sides.witness.exchange(body), sides.witness.exchange(body)
    for reply in (first, again):
        sides.trail.countersigned("bank", sides.key.public, bytes.fromhex(reply["countersigned"]))


def rewritten(sides: Sides) -> None:
    """The coordinator's log is made anew, longer than before, and signed by its key."""
    for path in (sides.home / "state" / "audit").glob("*.jsonl"):
        path.unlink()
    for step in range(9):
        sides.trail.run(RUN, f"invented {step}")


def test_a_rewritten_log_is_refused_and_the_contradiction_kept(sides: Sides) -> None:
    sides.finish()
    rewritten(sides)
    with pytest.raises(SealscoreError):
        sides.finish()
    (refusal,) = [r for r in sides.log.records() if r.kind == "refusal"]
    assert refusal.body["peer"] == "coordinator" and refusal.body["what"] == "checkpoint"
    kept = SignedCheckpoint.from_json({name: refusal.body[name] for name in ("checkpoint", "signature")})
    assert kept.check("coordinator", bytes.fromhex(sides.trail.identity)).size > 9


def test_a_log_that_was_cut_cannot_be_shown(sides: Sides) -> None:
    for step in range(5):
        sides.trail.run(RUN, f"launched {step}")
    sides.finish()
    for path in (sides.home / "state" / "audit").glob("*.jsonl"):
        path.unlink()
    with pytest.raises(TrustError, match="it was cut or restored"):
        sides.body()


def test_only_the_pinned_identity_is_witnessed(tmp_path: Path) -> None:
    (tmp_path / "coordinator").mkdir()
    sides = Sides(tmp_path / "coordinator", tmp_path / "audit", fingerprint="0" * 64)
    with pytest.raises(TrustError, match="coordinator.fingerprint pins"):
        sides.finish()
    assert sides.kinds() == ["log"]
    sides.log.close()


@pytest.mark.parametrize("change", [
    {"identity": "00"}, {"identity": None}, {"checkpoint": ""}, {"checkpoint": 7}, {"checkpoint": "0" * 99_999},
    {"checkpoint": "zz"}, {"countersigned": ""}, {"countersigned": None}, {"countersigned": "abc"},
    {"identity": IdentityKey.generate().public.hex()},
])
def test_anything_else_is_refused_and_not_countersigned(sides: Sides, change: dict) -> None:
    with pytest.raises((ProtocolError, TrustError)):
        sides.witness.exchange(sides.body() | change)
    assert "checkpoint.peer" not in sides.kinds()


def test_another_party_s_countersignature_is_refused(sides: Sides, tmp_path: Path) -> None:
    with AuditLog(tmp_path / "other", "platform", IdentityKey.generate()) as other:
        other.append("run", {"run": RUN})
        message = other.checkpoint_message()
        foreign = sides.trail.checkpoint("platform", other._identity.public, message)
    with pytest.raises(TrustError):
        sides.witness.exchange(sides.body() | {"countersigned": foreign.hex()})
