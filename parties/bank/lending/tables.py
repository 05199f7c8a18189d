"""Tables of the loan book, in the METADATA of the bank's store; revision 0002 makes them."""
from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    PrimaryKeyConstraint,
    Table,
    UniqueConstraint,
)

from parties.bank.store.tables import LABEL, METADATA, NAME, NUMBER, PERSON
from parties.bank.store.values import Instant

# One row per accepted offer. `terms` and `voucher` are packed (payloads.py); amounts repeat what the movements say, so
# that books can be added up without opening them, and a reader compares the two.
loans = Table(
    "loans", METADATA,
    Column("number", NUMBER, primary_key=True, autoincrement=True),
    Column("loan_id", LABEL, nullable=False, unique=True),
    Column("application_id", LABEL, nullable=False, unique=True),
    Column("person", PERSON, nullable=False, index=True),
    Column("product", NAME, nullable=False),
    Column("status", NAME, nullable=False),
    Column("drawn_fen", BigInteger, nullable=False, server_default="0"),
    Column("repaid_fen", BigInteger, nullable=False, server_default="0"),
    Column("accepted_at", Instant, nullable=False),
    Column("moved_at", Instant, nullable=False),
    Column("ended_at", Instant, index=True),
    Column("terms", LargeBinary, nullable=False),
    Column("voucher", LargeBinary),
    CheckConstraint("repaid_fen >= 0 AND repaid_fen <= drawn_fen", "principal"),
)

# Every entry of every loan, packed; only ever added. A reference stands once, so a repeated request moves nothing
# twice.
loan_movements = Table(
    "loan_movements", METADATA,
    Column("loan_id", LABEL, ForeignKey("loans.loan_id")), Column("number", Integer),
    Column("reference", LABEL, nullable=False),
    Column("kind", NAME, nullable=False),
    Column("at", Instant, nullable=False),
    Column("movement", LargeBinary, nullable=False),
    PrimaryKeyConstraint("loan_id", "number"), UniqueConstraint("loan_id", "reference"),
)

# What each partner paid out and was paid back of each loan.
loan_shares = Table(
    "loan_shares", METADATA,
    Column("loan_id", LABEL, ForeignKey("loans.loan_id")), Column("partner", NAME),
    Column("drawn_fen", BigInteger, nullable=False),
    Column("repaid_fen", BigInteger, nullable=False),
    PrimaryKeyConstraint("loan_id", "partner"), Index(None, "partner"),
    CheckConstraint("repaid_fen >= 0 AND repaid_fen <= drawn_fen", "principal"),
)
