"""What a role says when it refuses its own data travels to coordinator and peer: it must not carry the data."""
from __future__ import annotations

import numpy as np
import pytest

from protocols.errors import DataError, ProtocolError
from protocols.scorecard.label_party import LabelTrainer
from protocols.scorecard.whitening import Whitening
from tests.protocols.scorecard.problems import problem


def test_a_refused_column_is_not_described_by_its_values():
    column = np.zeros((90_000, 1))
    column[0] = 317.0
    with pytest.raises(DataError, match="constant but for very few rows") as refusal:
        Whitening.fit(column)
    assert "300" not in str(refusal.value) and "299" not in str(refusal.value)


@pytest.mark.parametrize("norms", [(1.0, 1e6), (1.0, 1e-6), (0.0, 1.0), (-1.0, 1.0)])
def test_an_impossible_power_iteration_is_not_described_by_its_norms(norms):
    trainer = object.__new__(LabelTrainer)
    trainer._config = problem(220, 1, 1).config("bank")
    trainer._slope, trainer._block_eigenvalue = np.array([0.2512]), 0.2133
    with pytest.raises(ProtocolError, match="power iteration") as refusal:
        trainer._growth(np.array(norms))
    assert not any(character.isdigit() for character in str(refusal.value))
