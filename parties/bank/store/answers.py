"""Answers under idempotency keys, and configurations by digest."""
from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, bindparam, delete, select, tuple_

from parties.bank.store.errors import Conflict, Unknown
from parties.bank.store.inserts import insert_new
from parties.bank.store.payloads import Payloads
from parties.bank.store.tables import configurations, idempotency

# Built once: building a statement takes as long as running it, and every decision runs this.
_FIND = select(idempotency).where(idempotency.c.scope == bindparam("of"), idempotency.c.key == bindparam("named"))


@dataclass(frozen=True, repr=False)
class Answer:
    """What was answered: an HTTP-like status and the body. `first`: this call kept it; otherwise an earlier one did."""

    status: int
    body: bytes
    first: bool


class Idempotency:
    """One answer per scope (role or caller) and key. A key that comes with another request is a Conflict."""

    def __init__(self, connection: Connection, payloads: Payloads):
        self._connection, self._payloads = connection, payloads

    def find(self, scope: str, key: str, request: bytes) -> Answer | None:
        """The answer that was given to this request (its bytes), None if there is none yet."""
        row = self._connection.execute(_FIND, {"of": scope, "named": key}).one_or_none()
        if row is None:
            return None
        if row.request != hashlib.sha256(request).hexdigest():
            raise Conflict("this idempotency key came with another request before; use a new key for a new request")
        return Answer(row.status, self._payloads.unpack(_name(scope, key), row.response), first=False)

    def keep(self, scope: str, key: str, request: bytes, status: int, body: bytes, at: datetime,
             person: str | None = None) -> Answer:
        """Keep an answer unless there is one; whichever is kept. First of all in a job: if it is not `first`, the job
        ends there, because an earlier one did the rest."""
        values = {"scope": scope, "key": key, "request": hashlib.sha256(request).hexdigest(), "status": status,
                  "response": self._payloads.pack(_name(scope, key), body), "created_at": at, "person": person}
        if insert_new(self._connection, idempotency, values):
            return Answer(status, body, first=True)
        found = self.find(scope, key, request)
        if found is None:
            raise Conflict("this idempotency key was being forgotten just now; repeat the request")
        return found

    def forget(self, before: datetime, most: int = 500) -> int:
        """Delete answers older than this; how many."""
        key = (idempotency.c.scope, idempotency.c.key)
        old = select(*key).where(idempotency.c.created_at < before).limit(most)
        return self._connection.execute(delete(idempotency).where(tuple_(*key).in_(old))).rowcount


def _name(scope: str, key: str) -> str:
    return f"the answer to {scope} {key}"


class Configurations:
    """Bytes by their SHA-256, never changed and never deleted: rulebooks, so that old decisions can be replayed."""

    def __init__(self, connection: Connection):
        self._connection = connection

    def keep(self, digest: str, kind: str, content: bytes, at: datetime) -> bool:
        """Keep content under the digest that its maker gives it; whether it was new, Conflict when it is another."""
        values = {"digest": digest, "kind": kind, "content": content, "added_at": at}
        if insert_new(self._connection, configurations, values):
            return True
        if self.get(digest) != content:
            raise Conflict(f"another configuration is kept under {digest[:16]}…; its digest was not taken of its bytes")
        return False

    def get(self, digest: str) -> bytes:
        """What is kept under a digest; Unknown when there is nothing."""
        query = select(configurations.c.content).where(configurations.c.digest == digest)
        found = self._connection.execute(query).scalar_one_or_none()
        if found is None:
            raise Unknown(f"no configuration {digest[:16]}… is kept; replay at the node that decided")
        return bytes(found)

    def digests(self, kind: str) -> list[str]:
        """Those of a kind, the oldest first."""
        query = select(configurations.c.digest).where(configurations.c.kind == kind)
        return list(self._connection.execute(query.order_by(configurations.c.added_at)).scalars())
