"""Risk signals, when a customer was late, and accounts that are due for review found without a look at all others.

Of a lateness from before only the days are known: it is dated by the customer's last activity, so that the next review
counts it if none came after, and no later one does.

Revision: 0005
"""
from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None
UNSEEN = sa.text("looked_at <= active_at")


def upgrade() -> None:
    """Make them."""
    op.create_table(
        "signals",
        sa.Column("person", sa.String(64), nullable=False),
        sa.Column("reference", sa.String(64), nullable=False),
        sa.Column("signal", sa.String(32), nullable=False),
        sa.Column("reported_by", sa.String(256), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("kind", sa.String(32), nullable=False),
        sa.Column("before_fen", sa.BigInteger(), nullable=False),
        sa.Column("after_fen", sa.BigInteger(), nullable=False),
        sa.Column("reason", sa.String(32), nullable=False),
        sa.Column("zh", sa.String(256), nullable=False),
        sa.Column("en", sa.String(256), nullable=False),
        sa.PrimaryKeyConstraint("person", "reference", name=op.f("pk_signals")),
    )
    op.add_column("customers", sa.Column("late_at", sa.BigInteger()))
    op.add_column("customers", sa.Column("late_days", sa.Integer(), server_default="0", nullable=False))
    op.add_column("customers", sa.Column("looked_at", sa.BigInteger(), server_default="0", nullable=False))
    op.execute("UPDATE customers SET looked_at = COALESCE(reviewed_at, opened_at), "
               "active_at = COALESCE(active_at, opened_at)")
    op.execute("UPDATE customers SET late_at = active_at, late_days = worst_overdue_days WHERE worst_overdue_days > 0")
    op.create_index(op.f("ix_customers_looked_at_person"), "customers", ["looked_at", "person"])
    op.create_index(op.f("ix_customers_idle"), "customers", ["active_at", "person"], sqlite_where=UNSEEN,
                    postgresql_where=UNSEEN)
