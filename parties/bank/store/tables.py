"""Every table of the bank's store. People are keyed hashes (64 hex digits), money is fen, times are UTC.

`parties/bank/lending` adds its tables to the same METADATA. A change here needs a revision in `migrations/versions`:
a test compares the two.
"""
from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    PrimaryKeyConstraint,
    String,
    Table,
    false,
    text,
)

from parties.bank.store.values import Instant

METADATA = MetaData(naming_convention={
    "ix": "ix_%(table_name)s_%(column_0_N_name)s", "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s", "fk": "fk_%(table_name)s_%(column_0_N_name)s",
    "pk": "pk_%(table_name)s",
})
PERSON = String(64)
LABEL = String(64)
NAME = String(32)
TEXT = String(256)
NUMBER = BigInteger().with_variant(Integer, "sqlite")  # only INTEGER counts up by itself there


def _number() -> Column:
    return Column("number", NUMBER, primary_key=True, autoincrement=True)


def _fen(name: str, default: int | None = None) -> Column:
    return Column(name, BigInteger, nullable=False, server_default=None if default is None else str(default))


# One row per application. `record` is packed (payloads.py) and None once the retention has ended; the rest of the row
# then still says that there was a decision. `restricted_at`: the person asked for deletion, the law holds the record.
decisions = Table(
    "decisions", METADATA, _number(),
    Column("application_id", LABEL, nullable=False, unique=True),
    Column("person", PERSON, nullable=True),
    Column("digest", String(64), nullable=False),
    Column("rulebook", String(64), nullable=False),
    Column("outcome", NAME, nullable=False),
    Column("product", NAME, nullable=False),
    Column("arm", NAME),
    Column("amount_fen", BigInteger),
    Column("limit_fen", BigInteger),
    Column("daily_rate", String(32)),
    Column("created_at", Instant, nullable=False),
    Column("restricted_at", Instant),
    Column("erased_at", Instant),
    Column("record", LargeBinary),
    Index(None, "person", "number"), Index(None, "created_at"), Index(None, "erased_at", "created_at"),
    Index(None, "arm", "number"),
)

# What was answered under an idempotency key, and to which request.
idempotency = Table(
    "idempotency", METADATA,
    Column("scope", LABEL), Column("key", String(128)),
    Column("request", String(64), nullable=False),
    Column("person", PERSON),
    Column("status", Integer, nullable=False),
    Column("response", LargeBinary, nullable=False),
    Column("created_at", Instant, nullable=False),
    PrimaryKeyConstraint("scope", "key"), Index(None, "created_at"), Index(None, "person"),
)

# Rulebooks by digest, so that an old decision can be replayed.
configurations = Table(
    "configurations", METADATA,
    Column("digest", String(64), primary_key=True),
    Column("kind", NAME, nullable=False),
    Column("content", LargeBinary, nullable=False),
    Column("added_at", Instant, nullable=False),
)

# A person of the bank asked to look at a decision again, and what came of it.
reviews = Table(
    "reviews", METADATA,
    Column("application_id", LABEL, ForeignKey("decisions.application_id"), primary_key=True),
    Column("person", PERSON, nullable=False, index=True),
    Column("asked_at", Instant, nullable=False),
    Column("text", String(2000), nullable=False),
    Column("outcome", NAME),
    Column("officer", TEXT),
    Column("note", String(2000)),
    Column("decided_at", Instant),
)

# One authorisation each: one person, one purpose, an end, a number of uses (one, unless said otherwise).
consents = Table(
    "consents", METADATA,
    Column("reference", LABEL, primary_key=True),
    Column("person", PERSON, nullable=False, index=True),
    Column("purpose", NAME, nullable=False),
    Column("granted_at", Instant, nullable=False),
    Column("expires_at", Instant, nullable=False),
    Column("maximum_uses", Integer, nullable=False),
    Column("uses", Integer, nullable=False, server_default="0"),
    Column("withdrawn_at", Instant),
    CheckConstraint("uses >= 0 AND uses <= maximum_uses", "uses"),
)
consent_uses = Table(
    "consent_uses", METADATA,
    Column("reference", LABEL, ForeignKey("consents.reference")),
    Column("application_id", LABEL),
    Column("used_at", Instant, nullable=False),
    PrimaryKeyConstraint("reference", "application_id"),
)
# People who switched financial services off. `off_at` is None after they switched them on again.
switches = Table(
    "switches", METADATA,
    Column("person", PERSON, primary_key=True),
    Column("off_at", Instant),
    Column("changed_at", Instant, nullable=False),
    Column("changed_by", TEXT, nullable=False),
)
# What the platform has yet to hear of. Without a reference: every consent of the person that was given until `at`.
withdrawals = Table(
    "withdrawals", METADATA, _number(),
    Column("person", PERSON, nullable=False),
    Column("reference", LABEL),
    Column("at", Instant, nullable=False),
)

# Who read, listed or changed what about whom, and why. Rows are only ever added, and deleted after their time.
accesses = Table(
    "accesses", METADATA, _number(),
    Column("at", Instant, nullable=False),
    Column("who", TEXT, nullable=False),
    Column("role", TEXT, nullable=False),
    Column("purpose", TEXT, nullable=False),
    Column("action", NAME, nullable=False),
    Column("person", PERSON),
    Column("application_id", LABEL),
    Column("count", Integer, nullable=False, server_default="1"),
    Index(None, "person", "number"), Index(None, "at"),
)

# Requests for deletion, one open at a time per person, and what keeps data in spite of one.
deletions = Table(
    "deletions", METADATA, _number(),
    Column("person", PERSON),  # None once nothing is left
    Column("asked_at", Instant, nullable=False),
    Column("asked_by", TEXT, nullable=False),
    Column("due_at", Instant),
    Column("state", NAME, nullable=False),
    Column("held_by", TEXT),
    Column("done_at", Instant),
    Column("open", Boolean),  # True or NULL: NULLs are never equal, so only open ones exclude each other
    Index("uq_deletions_open", "person", "open", unique=True), Index(None, "state", "due_at"),
)
holds = Table(
    "holds", METADATA,
    Column("person", PERSON), Column("name", LABEL),
    Column("reason", TEXT, nullable=False),
    Column("changed_by", TEXT, nullable=False),
    Column("since", Instant, nullable=False),
    Column("until", Instant),
    PrimaryKeyConstraint("person", "name"),
)

# The limit account. What is drawn may exceed a limit only by the limit being cut later, never by drawing. Two indexes
# are for reviews that are due: one by age, one of those only whom nobody looked at since they were last active.
_UNSEEN = text("looked_at <= active_at")
customers = Table(
    "customers", METADATA,
    Column("person", PERSON, primary_key=True),
    _fen("limit_fen", 0), _fen("outstanding_fen", 0), _fen("temporary_fen", 0),
    Column("temporary_until", Instant),
    Column("frozen", Boolean, nullable=False, server_default=false()),
    Column("loans_repaid", Integer, nullable=False, server_default="0"),
    Column("worst_overdue_days", Integer, nullable=False, server_default="0"),
    Column("opened_at", Instant, nullable=False),
    Column("active_at", Instant),
    Column("reviewed_at", Instant),
    Column("late_at", Instant),  # when a loan that ended was last late,
    Column("late_days", Integer, nullable=False, server_default="0"),  # and at most how long since the review before
    Column("looked_at", Instant, nullable=False, server_default="0"),  # the last review, or the opening
    Index(None, "looked_at", "person"),
    Index("ix_customers_idle", "active_at", "person", sqlite_where=_UNSEEN, postgresql_where=_UNSEEN),
    CheckConstraint("limit_fen >= 0", "limit"), CheckConstraint("outstanding_fen >= 0", "outstanding"),
    CheckConstraint("temporary_fen >= 0", "temporary"),
)
limit_changes = Table(
    "limit_changes", METADATA, _number(),
    Column("person", PERSON, nullable=False, index=True),
    Column("at", Instant, nullable=False),
    Column("what", NAME, nullable=False),
    _fen("before_fen"), _fen("after_fen"),
    Column("until", Instant),
    Column("reason", TEXT, nullable=False),
    Column("changed_by", TEXT, nullable=False),
)

# Risk signals that were reported, and what followed.
signals = Table(
    "signals", METADATA,
    Column("person", PERSON), Column("reference", LABEL),
    Column("signal", NAME, nullable=False),
    Column("reported_by", TEXT, nullable=False),
    Column("at", Instant, nullable=False),
    Column("kind", NAME, nullable=False),
    _fen("before_fen"), _fen("after_fen"),
    Column("reason", NAME, nullable=False),
    Column("zh", TEXT, nullable=False),
    Column("en", TEXT, nullable=False),
    PrimaryKeyConstraint("person", "reference"),
)

# What each funding partner still takes, and who took part of it.
quotas = Table(
    "quotas", METADATA,
    Column("partner", NAME, primary_key=True),
    _fen("quota_fen"), _fen("cap_fen"), _fen("reserved_fen", 0),
    Column("changed_at", Instant, nullable=False),
    CheckConstraint("quota_fen >= 0 AND cap_fen >= 0", "quota"), CheckConstraint("reserved_fen >= 0", "reserved"),
)
quota_shares = Table(
    "quota_shares", METADATA,
    Column("reference", LABEL), Column("partner", NAME, ForeignKey("quotas.partner")),
    _fen("original_fen"), _fen("fen"),
    Column("reserved_at", Instant, nullable=False),
    Column("until", Instant),  # None once drawn: then only a release gives it back
    PrimaryKeyConstraint("reference", "partner"), Index(None, "until"),
    CheckConstraint("fen >= 0 AND fen <= original_fen", "fen"),
)
