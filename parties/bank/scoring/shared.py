"""The bank's half of a model whose weights stay shared, online: an applicant's row, one part for many, their scores."""
from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from parties.bank.scoring.own import OwnScorecard, Values
from parties.bank.side import with_intercept
from parties.runtime.config import LoadedParty
from parties.runtime.vault import Vault
from protocols.binning.encoder import Encoder
from protocols.scorecard.holdout import SCORE_STEP_BITS
from protocols.scorecard.whitening import Whitening
from protocols.scoring.shared import Asked, BankShared
from protocols.sharedscore.model import SharedModel

if TYPE_CHECKING:
    from parties.bank.scoring.client import PlatformAnswer


@dataclass(frozen=True, repr=False)
class SharedHalf:
    """`columns`: reads and encodes the bank's values; its coefficients are zeros, since the bank knows none."""

    columns: OwnScorecard
    whitening: Whitening
    crypto: BankShared

    @classmethod
    def load(cls, party: LoadedParty, vault: Vault, half: dict[str, Any]) -> SharedHalf:
        """Of a published half; TrustError when its upload is not the one that the training pinned."""
        encoder, whitening = Encoder.from_json(half["encoder"]), Whitening.from_json(half["whitening"])
        nothing = np.zeros(whitening.rotation.shape[1]).tolist()
        return cls(OwnScorecard(party.table(half["table"]), encoder, whitening, 0.0, nothing), whitening,
                   BankShared(SharedModel.from_bytes(vault.shares(half["model_id"]))))

    def row(self, values: Values) -> np.ndarray:
        """float64 (d,): what the model takes of one applicant, ones first. DataError for a bad value."""
        return with_intercept(self.whitening.transform(self.columns.encode(values)[None]))[0]

    def ask(self, rows: Sequence[np.ndarray]) -> Asked:
        """One part about many."""
        return self.crypto.ask(np.stack(rows))

    def scored(self, asked: Asked, answers: Sequence[PlatformAnswer], part: bytes) -> list[PlatformAnswer]:
        """The answers with the joint score where there is one; ProtocolError for a part that holds no scores."""
        places = [place for place, answer in enumerate(answers) if answer.partial is not None]
        found = list(answers)
        if not places:
            return found
        steps = np.rint(self.crypto.scores(asked, places, part) * 2**SCORE_STEP_BITS).astype(int).tolist()
        for place, joint in zip(places, steps, strict=True):
            found[place] = replace(answers[place], partial=None, joint=joint)
        return found
