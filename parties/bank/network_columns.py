"""The bank's own rows for a network."""
from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from parties.runtime.preparation import OnSlices, slices_of, split
from parties.runtime.side import Rows
from parties.runtime.tables import Table
from protocols.network.bank_rows import BankColumns
from protocols.network.columns import NetworkEncoder
from protocols.plan import Plan
from protocols.psi.slices import TRAIN


@dataclass(frozen=True, repr=False)
class NetworkSlices:
    """The bank's columns of each slice in joint row order, and the table's rows."""

    columns: tuple[BankColumns, BankColumns, BankColumns]
    rows: tuple[np.ndarray, np.ndarray, np.ndarray]


@dataclass(frozen=True, repr=False)
class NetworkPrepared(OnSlices):
    """How the columns were encoded, and the bank's slices."""

    encoder: NetworkEncoder
    of: Mapping[str, NetworkSlices]


def prepare_network(table: Table, plan: Plan, given: Rows) -> NetworkPrepared:
    """The bank's own rows for a network."""
    ((bank, aligned),), names = given.by_bank.items(), list(plan.parties[given.party].columns)
    parts = split(aligned, given.slices[bank] if given.slices else slices_of(table, aligned, plan))
    encoder = NetworkEncoder.fit(table.take(np.sort(parts[TRAIN])).select(names), plan.model.minimum_support)
    columns = tuple(encoder.transform(table.take(part).select(names)) for part in parts)
    return NetworkPrepared(encoder, {bank: NetworkSlices(columns, parts)})
