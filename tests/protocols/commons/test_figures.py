"""Measures what the README states: condition numbers after whitening by noisy moments, seconds and bytes."""
from __future__ import annotations

import time

import numpy as np
import pytest

from protocols.binning.encoder import Encoder
from protocols.commons.common_encoding import Commons
from protocols.commons.encoding import CommonSettings
from protocols.commons.privacy import epsilon
from protocols.scorecard.whitening import Whitening
from tests.protocols.commons.banks import customers, names, pooled, roles_for
from tests.protocols.scorecard.simulator import drive_all

SEEDS = range(5)


def agreed(parts, rho: float, on_message=None) -> Commons:
    roles = roles_for(parts, CommonSettings(bins=5, minimum_support=20, rho=rho))
    drive_all(roles, on_message)
    return next(iter(roles.values())).result()


def spectrum(basis: np.ndarray, covariance: np.ndarray) -> tuple[float, float]:
    """Largest eigenvalue and condition number of the joint Gram matrix of all banks' whitened rows."""
    values = np.linalg.eigvalsh(basis.T @ covariance @ basis)
    return float(values[-1]), float(values[-1] / values[0])


def bases(found: Commons) -> dict[str, np.ndarray]:
    """Ways to whiten by the same moments."""
    known = np.where(found.noise == 0, found.covariance, 0.0)
    one_deviation = float(np.sqrt((found.noise**2).mean()))
    exact = np.zeros_like(found.noise)
    return {
        "none": np.eye(len(found.mean)),
        "within columns only": Whitening.from_moments(found.mean, known, exact).rotation,
        "as if exact": Whitening.from_moments(found.mean, found.covariance, exact).rotation,
        "one deviation": Whitening.from_moments(found.mean, found.covariance, one_deviation).rotation,
        "from_moments": Whitening.from_moments(found.mean, found.covariance, found.noise).rotation,
    }


@pytest.mark.bench
def test_condition_of_the_joint_gram() -> None:
    for rho in (0.01, 0.03, 0.1, 0.3, 1.0):
        rows: dict[str, list[tuple[float, float]]] = {}
        for seed in SEEDS:
            parts = {name: customers(10 * seed + index, 7000, more=4) for index, name in enumerate(names(3))}
            found = agreed(parts, rho)
            covariance = np.cov(found.encoder.transform(pooled(parts)).T, bias=True)
            for name, basis in bases(found).items():
                rows.setdefault(name, []).append(spectrum(basis, covariance))
        print(f"rho {rho} epsilon {epsilon(rho):.2f} features {len(covariance)}")
        for name, values in rows.items():
            largest, condition = np.array(values).max(axis=0)
            print(f"  {name:20} largest {largest:.2f} condition {condition:.1f}")


@pytest.mark.bench
def test_bins_are_as_good_as_those_of_the_pooled_rows() -> None:
    for rho in (0.01, 0.1, 1.0):
        parts = {name: customers(index, 7000, more=4) for index, name in enumerate(names(3))}
        together = pooled(parts)
        plain = {coded.column: coded for coded in Encoder.fit(together, method="dummy").columns}
        off = []
        for coded in agreed(parts, rho).encoder.columns:
            if coded.edges and len(coded.edges) == len(plain[coded.column].edges):
                values = np.sort(together[coded.column].values)
                ranks = [np.searchsorted(values, column.edges) for column in (coded, plain[coded.column])]
                off.append(np.abs(ranks[0] - ranks[1]).max() / len(values))
        print(f"rho {rho}: edges off by at most {100 * max(off):.1f} % of the rows, {len(off)} columns with equal bins")


@pytest.mark.bench
@pytest.mark.parametrize("count", [2, 3, 15])
def test_seconds_and_bytes(count: int) -> None:
    parts = {name: customers(index, 50_000 if count < 15 else 5_000, more=6) for index, name in enumerate(names(count))}
    sent: dict[str, int] = {}
    began = time.process_time()
    agreed(parts, 0.1, lambda sender, message: sent.update({message.kind: len(message.payload)}))
    print(f"{count} banks: {(time.process_time() - began) / count:.2f} s of CPU per bank, bytes {sent}")
