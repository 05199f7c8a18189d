"""A published model as the bank scores with it online: own part, calibration, and its own model without platforms."""
from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from parties.bank.decision.context import BankOnly, Contribution
from parties.bank.scoring.own import OwnScore, OwnScorecard, Values
from parties.bank.scoring.shared import SharedHalf
from parties.bank.scoring.trees import OwnTrees
from parties.runtime.config import LoadedParty
from parties.runtime.vault import Vault
from protocols.binning.encoder import Encoder
from protocols.boosting.columns import TreeColumns
from protocols.boosting.halves import LabelHalf
from protocols.crypto.identity import IdentityKey
from protocols.errors import UsageError
from protocols.scorecard.calibration import Calibration
from protocols.scorecard.whitening import Whitening

_POINTS = Decimal("0.01")


@dataclass(frozen=True, repr=False)
class BankModel:
    """`own`: of a scorecard whose weights do not stay shared, else `shared` or `trees`; `alone`: None for models of
    versions that did not keep it."""

    id: str
    run: str
    platform: str
    own: OwnScorecard | None
    calibration: Calibration
    alone: OwnScorecard | OwnTrees | None
    alone_calibration: Calibration | None
    shared: SharedHalf | None = None
    trees: OwnTrees | None = None

    @classmethod
    def load(cls, party: LoadedParty, identity: IdentityKey, model: str) -> BankModel:
        """From this node's vault; UsageError unless it is published and has one platform."""
        vault = Vault(party.state / "vault", identity)
        half = vault.get(model)
        platforms = [name for name, seat in half["parties"].items() if seat == "feature"]
        kind = half.get("kind", "scorecard")
        if half["status"] != "published" or len(platforms) != 1 or kind == "network":
            raise UsageError(f"model {model} is a {half['status']} model of kind {kind} with {len(platforms)} "
                             "platforms here; online scoring needs a published scorecard or trees, of one platform")
        if kind == "boosting":
            return cls._of_trees(party, half, platforms[0])
        alone = half.get("alone")
        return cls(model, half["run"], platforms[0],
                   _scorecard(party, half, half) if "coefficients" in half else None,
                   Calibration.from_json(half["calibration"]),
                   None if alone is None else _scorecard(party, half, alone),
                   None if alone is None else Calibration.from_json(alone["calibration"]),
                   SharedHalf.load(party, vault, half) if half.get("release") == "shared" else None)

    @classmethod
    def _of_trees(cls, party: LoadedParty, half: dict[str, Any], platform: str) -> BankModel:
        encoder, table = TreeColumns.model_validate(half["encoder"]), party.table(half["table"])
        joint, alone = (LabelHalf.model_validate(one["trees"]) for one in (half, half["alone"]))
        return cls(half["model_id"], half["run"], platform, None, Calibration.from_json(half["calibration"]),
                   OwnTrees(table, encoder, alone, None), Calibration.from_json(half["alone"]["calibration"]),
                   trees=OwnTrees(table, encoder, joint, platform))

    def own_log_odds(self, values: Values | None, sides: bytes | None) -> float | None:
        """The bank's part of the log-odds; of trees, where `sides` (a bit for each of the platform's splits) decide
        with it, all of them. None without a bureau answer or where weights stay shared. DataError for a bad value,
        MalformedMessage for sides that are not this model's."""
        if values is None or (self.trees is not None and sides is None):
            return None
        if self.trees is not None:
            return self.trees.margin(values, sides)
        return None if self.own is None else self.own.score(values).log_odds

    def bank_only(self, values: Values | None) -> BankOnly:
        """What the bank alone says, with contributions; empty without a bureau answer, and where the bank has no
        coefficients at all. DataError for a bad value."""
        card = self.alone or self.own
        if values is None:
            return BankOnly()
        if card is None:
            self.shared.row(values)  # what the joint score could not be asked with is refused here, as of any model
            return BankOnly()
        score = card.score(values)
        probability = probability_of(self.alone_calibration, score.log_odds) if self.alone else None
        return BankOnly(probability=probability, contributions=contributions(score))


def probability_of(calibration: Calibration, log_odds: float) -> Decimal:
    """Calibrated, to four places, as batch scoring rounds it."""
    return Decimal(f"{round(float(calibration.probability(log_odds)), 4):.4f}")


def contributions(score: OwnScore) -> tuple[Contribution, ...]:
    """Points to two places, one entry per column."""
    return tuple(Contribution(column=part.column, bin=part.bin and part.bin[:256], points=_points(part.points),
                              most=_points(part.most)) for part in score.parts)


def _points(value: float) -> Decimal:
    return Decimal(value).quantize(_POINTS) + 0


def _scorecard(party: LoadedParty, half: dict[str, Any], weights: dict[str, Any]) -> OwnScorecard:
    return OwnScorecard(party.table(half["table"]), Encoder.from_json(half["encoder"]),
                        Whitening.from_json(half["whitening"]), weights["intercept"], weights["coefficients"])
