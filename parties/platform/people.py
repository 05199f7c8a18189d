"""Who the rows of a platform's table are."""
from __future__ import annotations

import numpy as np

from parties.runtime.tables import Table
from protocols.plan import Plan
from protocols.psi.identifiers import normalise


def people_of(table: Table, rows: np.ndarray, plan: Plan) -> list[str]:
    """Identifiers of the rows, spelled as the plan says."""
    return normalise((table.ids[row] for row in rows), plan.alignment.normalise)
