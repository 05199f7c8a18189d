"""Quotas of funding partners: reserved for an application all at once or not at all, and never above what there is.

A reservation has the reference of its application; what takes a quota looks in the same statement whether the reference
stands already. It lapses at its `until` unless it is confirmed (the loan was drawn); as principal is repaid the
partner's part is released.
"""
from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, fields
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, bindparam, exists, select, update

from parties.bank.decision.context import Quota
from parties.bank.store.errors import Conflict, LimitExceeded, Unknown
from parties.bank.store.inserts import insert_all_new, insert_new
from parties.bank.store.tables import quota_shares, quotas
from parties.bank.store.values import checked_fen
from protocols.errors import UsageError

_MOST_LAPSED = 1000
# Built once: building a statement takes as long as running it, and every decision runs these.
_AFTER = quotas.c.reserved_fen + bindparam("more", type_=quotas.c.reserved_fen.type)
_TAKE = update(quotas).where(quotas.c.partner == bindparam("of"), quotas.c.quota_fen >= _AFTER,
                             quotas.c.cap_fen >= _AFTER,
                             ~exists().where(quota_shares.c.reference == bindparam("reference"))
                             ).values(reserved_fen=_AFTER)
_BACK = update(quotas).where(quotas.c.partner == bindparam("of")).values(
    reserved_fen=quotas.c.reserved_fen - bindparam("less", type_=quotas.c.reserved_fen.type))
_SHARES = select(quota_shares.c.partner, quota_shares.c.fen).where(quota_shares.c.reference == bindparam("of"))


@dataclass(frozen=True)
class PartnerQuota:
    """What a partner gives in all (`quota_fen`), the most that limits on concentration allow (`cap_fen`), and what is
    taken."""

    partner: str
    quota_fen: int
    cap_fen: int
    reserved_fen: int
    changed_at: datetime

    def as_context(self) -> Quota:
        """As a decision sees it: what is free of quota and cap, and what is taken."""
        return Quota(free_fen=max(0, min(self.quota_fen, self.cap_fen) - self.reserved_fen),
                     used_fen=self.reserved_fen)


_ALL = select(*(quotas.c[field.name] for field in fields(PartnerQuota))).order_by(quotas.c.partner)


class Quotas:
    """The quotas, on one connection."""

    def __init__(self, connection: Connection):
        self._connection = connection

    def set(self, partner: str, quota_fen: int, now: datetime, cap_fen: int | None = None) -> None:
        """Set what a partner gives; what is taken stays, also where it is more. Without a cap the quota is the cap."""
        values = {"quota_fen": checked_fen(quota_fen, 0), "changed_at": now,
                  "cap_fen": quota_fen if cap_fen is None else checked_fen(cap_fen, 0)}
        if not insert_new(self._connection, quotas, values | {"partner": partner, "reserved_fen": 0}):
            self._connection.execute(update(quotas).where(quotas.c.partner == partner).values(**values))

    def all(self) -> dict[str, PartnerQuota]:
        """By partner."""
        return {row.partner: PartnerQuota(*row) for row in self._connection.execute(_ALL)}

    def free(self, partners: Collection[str]) -> dict[str, Quota]:
        """Of those of these partners that have a quota, as a decision sees them; others are none of its business."""
        return {partner: quota.as_context() for partner, quota in self.all().items() if partner in partners}

    def reserve(self, reference: str, shares: Mapping[str, int], now: datetime, until: datetime | None) -> bool:
        """Take these fen of these partners until then; False if this very reservation stands already.

        LimitExceeded names the first partner that has less, and nothing is taken. Conflict when the reference stands
        for other shares or was given back; the job that meets one ends with it.
        """
        wanted = {partner: checked_fen(fen) for partner, fen in sorted(shares.items())}  # one order: no deadlock
        if not wanted:
            raise UsageError("a reservation names at least one partner and its fen")
        lacking = self._take(reference, wanted)
        if lacking is not None:
            if not self.of(reference):
                raise LimitExceeded(self._why_not(lacking, wanted[lacking]))
            self._same(reference, wanted)
            return False
        rows = [{"reference": reference, "partner": partner, "original_fen": fen, "fen": fen, "reserved_at": now,
                 "until": until} for partner, fen in wanted.items()]
        if insert_all_new(self._connection, quota_shares, rows) < len(rows):
            raise Conflict(f"{reference[:64]} is being reserved by another process; ask again")
        return True

    def confirm(self, reference: str, now: datetime) -> None:
        """The loan was drawn: the reservation no longer lapses. Unknown when it lapsed before or never was."""
        change = update(quota_shares).where(quota_shares.c.reference == reference, quota_shares.c.fen > 0)
        if self._connection.execute(change.values(until=None)).rowcount == 0:
            raise Unknown(f"{reference[:64]} has no reservation at {now:%Y-%m-%d %H:%M}; it lapsed: decide anew")

    def release(self, reference: str, shares: Mapping[str, int] | None = None) -> None:
        """Give these fen back to these partners, or all that is left; Conflict if it is more than is taken."""
        given = self.of(reference) if shares is None else shares
        with self._connection.begin_nested():
            for partner, fen in sorted(given.items()):
                self._give(reference, partner, checked_fen(fen, 0))

    def lapse(self, now: datetime) -> list[str]:
        """Give back what was reserved until now or before and not confirmed; the references, at most 1000 at once."""
        query = select(quota_shares.c.reference).where(quota_shares.c.until <= now, quota_shares.c.fen > 0)
        found = sorted(set(self._connection.execute(query.limit(_MOST_LAPSED)).scalars()))
        for reference in found:
            self.release(reference)
        return found

    def of(self, reference: str) -> dict[str, int]:
        """What a reservation holds by partner, in fen; empty when there is none. What was given back stands as 0."""
        return {partner: fen for partner, fen in self._connection.execute(_SHARES, {"of": reference})}

    def _same(self, reference: str, wanted: dict[str, int]) -> None:
        query = select(quota_shares).where(quota_shares.c.reference == reference)
        rows = self._connection.execute(query).all()
        if {row.partner: row.original_fen for row in rows} != wanted:
            raise Conflict(f"{reference[:64]} has reserved other shares already; a new application has a new reference")
        if any(row.fen != row.original_fen for row in rows):
            raise Conflict(f"what {reference[:64]} had reserved was given back; decide anew under a new reference")

    def _take(self, reference: str, wanted: dict[str, int]) -> str | None:
        """Of all, or of none: then the first that has less, or that the reference has taken already. Given back one by
        one, which is cheaper at every decision than a savepoint."""
        taken: dict[str, int] = {}
        for partner, fen in wanted.items():
            told = {"of": partner, "more": fen, "reference": reference}
            if self._connection.execute(_TAKE, told).rowcount == 0:
                for other, less in taken.items():
                    self._connection.execute(_BACK, {"of": other, "less": less})
                return partner
            taken[partner] = fen
        return None

    def _why_not(self, partner: str, fen: int) -> str:
        known = self.all().get(partner)
        free = "no quota is set" if known is None else f"{known.as_context().free_fen} fen are free"
        return f"partner {partner[:32]} cannot take {fen} fen: {free}"

    def _give(self, reference: str, partner: str, fen: int) -> None:
        share = update(quota_shares).where(quota_shares.c.reference == reference, quota_shares.c.partner == partner,
                                           quota_shares.c.fen >= fen)
        less: Any = {"fen": quota_shares.c.fen - fen}
        if self._connection.execute(share.values(less)).rowcount == 0:
            raise Conflict(f"{fen} fen are more than {reference[:64]} has reserved at partner {partner[:32]}")
        self._connection.execute(_BACK, {"of": partner, "less": fen})
