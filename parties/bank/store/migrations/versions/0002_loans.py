"""Tables of the loan book.

Revision: 0002
"""
from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None
NUMBER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
PRINCIPAL = "repaid_fen >= 0 AND repaid_fen <= drawn_fen"


def upgrade() -> None:
    """Make them."""
    op.create_table(
        "loans",
        sa.Column("number", NUMBER, autoincrement=True, nullable=False),
        sa.Column("loan_id", sa.String(64), nullable=False),
        sa.Column("application_id", sa.String(64), nullable=False),
        sa.Column("person", sa.String(64), nullable=False),
        sa.Column("product", sa.String(32), nullable=False),
        sa.Column("status", sa.String(32), nullable=False),
        sa.Column("drawn_fen", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("repaid_fen", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("accepted_at", sa.BigInteger(), nullable=False),
        sa.Column("moved_at", sa.BigInteger(), nullable=False),
        sa.Column("ended_at", sa.BigInteger()),
        sa.Column("terms", sa.LargeBinary(), nullable=False),
        sa.Column("voucher", sa.LargeBinary()),
        sa.CheckConstraint(PRINCIPAL, name=op.f("ck_loans_principal")),
        sa.PrimaryKeyConstraint("number", name=op.f("pk_loans")),
        sa.UniqueConstraint("loan_id", name=op.f("uq_loans_loan_id")),
        sa.UniqueConstraint("application_id", name=op.f("uq_loans_application_id")),
    )
    op.create_index(op.f("ix_loans_person"), "loans", ["person"])
    op.create_index(op.f("ix_loans_ended_at"), "loans", ["ended_at"])
    op.create_table(
        "loan_movements",
        sa.Column("loan_id", sa.String(64), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("reference", sa.String(64), nullable=False),
        sa.Column("kind", sa.String(32), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("movement", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(["loan_id"], ["loans.loan_id"], name=op.f("fk_loan_movements_loan_id")),
        sa.PrimaryKeyConstraint("loan_id", "number", name=op.f("pk_loan_movements")),
        sa.UniqueConstraint("loan_id", "reference", name=op.f("uq_loan_movements_loan_id_reference")),
    )
    op.create_table(
        "loan_shares",
        sa.Column("loan_id", sa.String(64), nullable=False),
        sa.Column("partner", sa.String(32), nullable=False),
        sa.Column("drawn_fen", sa.BigInteger(), nullable=False),
        sa.Column("repaid_fen", sa.BigInteger(), nullable=False),
        sa.CheckConstraint(PRINCIPAL, name=op.f("ck_loan_shares_principal")),
        sa.ForeignKeyConstraint(["loan_id"], ["loans.loan_id"], name=op.f("fk_loan_shares_loan_id")),
        sa.PrimaryKeyConstraint("loan_id", "partner", name=op.f("pk_loan_shares")),
    )
    op.create_index(op.f("ix_loan_shares_partner"), "loan_shares", ["partner"])
