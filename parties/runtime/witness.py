"""The party as a witness of the coordinator's audit log, and the coordinator as one of the party's.

At the end of a run the coordinator shows a checkpoint of its log with the proof that it continues the one held here,
and brings back countersigned the checkpoint it got from this party. A log that was cut or rewritten has no such proof:
the refusal keeps the signed contradiction.
"""
from __future__ import annotations

from typing import Any

from parties.runtime.config import CoordinatorConfig
from protocols.audit import MAX_CHECKPOINT_BYTES, from_hex
from protocols.crypto.identity import fingerprint, public_from_hex
from protocols.errors import MalformedMessage, TrustError
from protocols.node.audit_log import AuditLog


class Witness:
    """Keeps in `audit` what this node and the coordinator of its configuration sign of each other's logs.

    Where the configuration pins no fingerprint the coordinator's word for its identity is taken: every checkpoint must
    continue those before it under whatever key, and the auditor compares the key with the one he trusts.
    """

    def __init__(self, coordinator: CoordinatorConfig, audit: AuditLog):
        self._name, self._pinned, self._audit = coordinator.name, coordinator.fingerprint, audit

    def held(self) -> int:
        """How many records of the coordinator's log are covered by the newest checkpoint held here."""
        return self._audit.held(self._name)

    def exchange(self, body: dict[str, Any]) -> dict[str, Any]:
        """Keep both signatures: {"identity", "checkpoint", "countersigned"} in hex; the reply is {"countersigned"}.

        TrustError for another identity than the pinned one, a log that does not continue what is held here, or a
        countersignature that is none; MalformedMessage for anything that is not of this form.
        """
        public = self._identity(body)
        self._audit.record_countersigned(self._name, public, _bytes(body, "countersigned"))
        signed_back = self._audit.record_peer_checkpoint(self._name, public, _bytes(body, "checkpoint"))
        return {"ok": True, "countersigned": signed_back.hex()}

    def _identity(self, body: dict[str, Any]) -> bytes:
        public = public_from_hex(_text(body, "identity"))
        if self._pinned is not None and fingerprint(public) != self._pinned:
            raise TrustError(f"the identity of {self._name} has not the fingerprint that coordinator.fingerprint pins "
                             "here; compare it by telephone")
        return public


def _bytes(body: dict[str, Any], field: str) -> bytes:
    text = _text(body, field)
    return from_hex(text, len(text) // 2)


def _text(body: dict[str, Any], field: str) -> str:
    value = body.get(field)
    if not isinstance(value, str) or len(value) > 2 * MAX_CHECKPOINT_BYTES:
        raise MalformedMessage(f"expected {field} in hex, of at most {MAX_CHECKPOINT_BYTES} bytes")
    return value
