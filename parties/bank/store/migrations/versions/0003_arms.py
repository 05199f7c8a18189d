"""Decisions of an experiment's arms, found without a look at all others.

Revision: 0003
"""
from __future__ import annotations

from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the index."""
    op.create_index(op.f("ix_decisions_arm_number"), "decisions", ["arm", "number"])
