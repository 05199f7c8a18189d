"""The first tables of the bank's store.

Revision: 0001
"""
from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None
NUMBER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Make them."""
    op.create_table(
        "accesses",
        sa.Column("number", NUMBER, autoincrement=True, nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("who", sa.String(256), nullable=False),
        sa.Column("role", sa.String(256), nullable=False),
        sa.Column("purpose", sa.String(256), nullable=False),
        sa.Column("action", sa.String(32), nullable=False),
        sa.Column("person", sa.String(64)),
        sa.Column("application_id", sa.String(64)),
        sa.Column("count", sa.Integer(), server_default="1", nullable=False),
        sa.PrimaryKeyConstraint("number", name=op.f("pk_accesses")),
    )
    op.create_index(op.f("ix_accesses_at"), "accesses", ["at"])
    op.create_index(op.f("ix_accesses_person_number"), "accesses", ["person", "number"])
    op.create_table(
        "configurations",
        sa.Column("digest", sa.String(64), nullable=False),
        sa.Column("kind", sa.String(32), nullable=False),
        sa.Column("content", sa.LargeBinary(), nullable=False),
        sa.Column("added_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("digest", name=op.f("pk_configurations")),
    )
    op.create_table(
        "consents",
        sa.Column("reference", sa.String(64), nullable=False),
        sa.Column("person", sa.String(64), nullable=False),
        sa.Column("purpose", sa.String(32), nullable=False),
        sa.Column("granted_at", sa.BigInteger(), nullable=False),
        sa.Column("expires_at", sa.BigInteger(), nullable=False),
        sa.Column("maximum_uses", sa.Integer(), nullable=False),
        sa.Column("uses", sa.Integer(), server_default="0", nullable=False),
        sa.Column("withdrawn_at", sa.BigInteger()),
        sa.CheckConstraint("uses >= 0 AND uses <= maximum_uses", name=op.f("ck_consents_uses")),
        sa.PrimaryKeyConstraint("reference", name=op.f("pk_consents")),
    )
    op.create_index(op.f("ix_consents_person"), "consents", ["person"])
    op.create_table(
        "customers",
        sa.Column("person", sa.String(64), nullable=False),
        sa.Column("limit_fen", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("outstanding_fen", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("temporary_fen", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("temporary_until", sa.BigInteger()),
        sa.Column("frozen", sa.Boolean(), server_default=sa.false(), nullable=False),
        sa.Column("loans_repaid", sa.Integer(), server_default="0", nullable=False),
        sa.Column("worst_overdue_days", sa.Integer(), server_default="0", nullable=False),
        sa.Column("opened_at", sa.BigInteger(), nullable=False),
        sa.Column("active_at", sa.BigInteger()),
        sa.Column("reviewed_at", sa.BigInteger()),
        sa.CheckConstraint("limit_fen >= 0", name=op.f("ck_customers_limit")),
        sa.CheckConstraint("outstanding_fen >= 0", name=op.f("ck_customers_outstanding")),
        sa.CheckConstraint("temporary_fen >= 0", name=op.f("ck_customers_temporary")),
        sa.PrimaryKeyConstraint("person", name=op.f("pk_customers")),
    )
    op.create_table(
        "decisions",
        sa.Column("number", NUMBER, autoincrement=True, nullable=False),
        sa.Column("application_id", sa.String(64), nullable=False),
        sa.Column("person", sa.String(64)),
        sa.Column("digest", sa.String(64), nullable=False),
        sa.Column("rulebook", sa.String(64), nullable=False),
        sa.Column("outcome", sa.String(32), nullable=False),
        sa.Column("product", sa.String(32), nullable=False),
        sa.Column("arm", sa.String(32)),
        sa.Column("amount_fen", sa.BigInteger()),
        sa.Column("limit_fen", sa.BigInteger()),
        sa.Column("daily_rate", sa.String(32)),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("restricted_at", sa.BigInteger()),
        sa.Column("erased_at", sa.BigInteger()),
        sa.Column("record", sa.LargeBinary()),
        sa.PrimaryKeyConstraint("number", name=op.f("pk_decisions")),
        sa.UniqueConstraint("application_id", name=op.f("uq_decisions_application_id")),
    )
    op.create_index(op.f("ix_decisions_created_at"), "decisions", ["created_at"])
    op.create_index(op.f("ix_decisions_erased_at_created_at"), "decisions", ["erased_at", "created_at"])
    op.create_index(op.f("ix_decisions_person_number"), "decisions", ["person", "number"])
    op.create_table(
        "deletions",
        sa.Column("number", NUMBER, autoincrement=True, nullable=False),
        sa.Column("person", sa.String(64)),
        sa.Column("asked_at", sa.BigInteger(), nullable=False),
        sa.Column("asked_by", sa.String(256), nullable=False),
        sa.Column("due_at", sa.BigInteger()),
        sa.Column("state", sa.String(32), nullable=False),
        sa.Column("held_by", sa.String(256)),
        sa.Column("done_at", sa.BigInteger()),
        sa.Column("open", sa.Boolean()),
        sa.PrimaryKeyConstraint("number", name=op.f("pk_deletions")),
    )
    op.create_index(op.f("ix_deletions_state_due_at"), "deletions", ["state", "due_at"])
    op.create_index(op.f("uq_deletions_open"), "deletions", ["person", "open"], unique=True)
    op.create_table(
        "holds",
        sa.Column("person", sa.String(64), nullable=False),
        sa.Column("name", sa.String(64), nullable=False),
        sa.Column("reason", sa.String(256), nullable=False),
        sa.Column("changed_by", sa.String(256), nullable=False),
        sa.Column("since", sa.BigInteger(), nullable=False),
        sa.Column("until", sa.BigInteger()),
        sa.PrimaryKeyConstraint("person", "name", name=op.f("pk_holds")),
    )
    op.create_table(
        "idempotency",
        sa.Column("scope", sa.String(64), nullable=False),
        sa.Column("key", sa.String(128), nullable=False),
        sa.Column("request", sa.String(64), nullable=False),
        sa.Column("person", sa.String(64)),
        sa.Column("status", sa.Integer(), nullable=False),
        sa.Column("response", sa.LargeBinary(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("scope", "key", name=op.f("pk_idempotency")),
    )
    op.create_index(op.f("ix_idempotency_created_at"), "idempotency", ["created_at"])
    op.create_index(op.f("ix_idempotency_person"), "idempotency", ["person"])
    op.create_table(
        "limit_changes",
        sa.Column("number", NUMBER, autoincrement=True, nullable=False),
        sa.Column("person", sa.String(64), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("what", sa.String(32), nullable=False),
        sa.Column("before_fen", sa.BigInteger(), nullable=False),
        sa.Column("after_fen", sa.BigInteger(), nullable=False),
        sa.Column("until", sa.BigInteger()),
        sa.Column("reason", sa.String(256), nullable=False),
        sa.Column("changed_by", sa.String(256), nullable=False),
        sa.PrimaryKeyConstraint("number", name=op.f("pk_limit_changes")),
    )
    op.create_index(op.f("ix_limit_changes_person"), "limit_changes", ["person"])
    op.create_table(
        "quotas",
        sa.Column("partner", sa.String(32), nullable=False),
        sa.Column("quota_fen", sa.BigInteger(), nullable=False),
        sa.Column("cap_fen", sa.BigInteger(), nullable=False),
        sa.Column("reserved_fen", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("changed_at", sa.BigInteger(), nullable=False),
        sa.CheckConstraint("quota_fen >= 0 AND cap_fen >= 0", name=op.f("ck_quotas_quota")),
        sa.CheckConstraint("reserved_fen >= 0", name=op.f("ck_quotas_reserved")),
        sa.PrimaryKeyConstraint("partner", name=op.f("pk_quotas")),
    )
    op.create_table(
        "switches",
        sa.Column("person", sa.String(64), nullable=False),
        sa.Column("off_at", sa.BigInteger()),
        sa.Column("changed_at", sa.BigInteger(), nullable=False),
        sa.Column("changed_by", sa.String(256), nullable=False),
        sa.PrimaryKeyConstraint("person", name=op.f("pk_switches")),
    )
    op.create_table(
        "consent_uses",
        sa.Column("reference", sa.String(64), nullable=False),
        sa.Column("application_id", sa.String(64), nullable=False),
        sa.Column("used_at", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["reference"], ["consents.reference"], name=op.f("fk_consent_uses_reference")),
        sa.PrimaryKeyConstraint("reference", "application_id", name=op.f("pk_consent_uses")),
    )
    op.create_table(
        "quota_shares",
        sa.Column("reference", sa.String(64), nullable=False),
        sa.Column("partner", sa.String(32), nullable=False),
        sa.Column("original_fen", sa.BigInteger(), nullable=False),
        sa.Column("fen", sa.BigInteger(), nullable=False),
        sa.Column("reserved_at", sa.BigInteger(), nullable=False),
        sa.Column("until", sa.BigInteger()),
        sa.CheckConstraint("fen >= 0 AND fen <= original_fen", name=op.f("ck_quota_shares_fen")),
        sa.ForeignKeyConstraint(["partner"], ["quotas.partner"], name=op.f("fk_quota_shares_partner")),
        sa.PrimaryKeyConstraint("reference", "partner", name=op.f("pk_quota_shares")),
    )
    op.create_index(op.f("ix_quota_shares_until"), "quota_shares", ["until"])
    op.create_table(
        "reviews",
        sa.Column("application_id", sa.String(64), nullable=False),
        sa.Column("person", sa.String(64), nullable=False),
        sa.Column("asked_at", sa.BigInteger(), nullable=False),
        sa.Column("text", sa.String(2000), nullable=False),
        sa.Column("outcome", sa.String(32)),
        sa.Column("officer", sa.String(256)),
        sa.Column("note", sa.String(2000)),
        sa.Column("decided_at", sa.BigInteger()),
        sa.ForeignKeyConstraint(["application_id"], ["decisions.application_id"],
                                name=op.f("fk_reviews_application_id")),
        sa.PrimaryKeyConstraint("application_id", name=op.f("pk_reviews")),
    )
    op.create_index(op.f("ix_reviews_person"), "reviews", ["person"])
