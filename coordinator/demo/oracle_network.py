"""The pooled comparison of a run of a network: the same, trained in plain torch with all columns in one place."""
from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from protocols.binning.columns import ColumnData
from protocols.network.bank_rows import BankRows
from protocols.network.columns import NetworkEncoder
from protocols.plan import Plan


def scores(bank: Mapping[str, ColumnData], encoder: NetworkEncoder, platform: np.ndarray, labels: np.ndarray,
           training: np.ndarray, plan: Plan) -> np.ndarray:
    """(m,) log-odds of a network that was trained on the rows of `training` (places among the m); `bank`: its columns
    of the m rows; `platform` (m, ·): whitened columns."""
    from protocols.network.pooled import fit  # noqa: PLC0415 - only a comparison of networks needs torch
    own, settings = encoder.transform(bank), plan.model.network
    rows = BankRows(labels[training], own.numeric[training], own.categories[training], own.levels)
    return fit(platform[training], rows, settings, settings.seed).scores(platform, own)
