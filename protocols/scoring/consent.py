"""Consent grants: the bank signs, once per inquiry, that its customer agreed to be scored, for what and how long.

A grant names the person by token and the platform by name, so it is worth nothing elsewhere. The platform checks the
signature against the identity that it pinned; times and uses are for its store to count.
"""
from __future__ import annotations

from dataclasses import dataclass

from protocols.crypto.identity import IdentityKey, verify
from protocols.errors import MalformedMessage, TrustError
from protocols.scoring import messages as m
from protocols.scoring import scoring_pb2 as pb

CONTEXT = b"sealscore scoring consent v1"


@dataclass(frozen=True, repr=False)
class Consent:
    """One authorisation. `reference` and `token`: 16 bytes each; times in Unix seconds."""

    bank: str
    platform: str
    token: bytes
    reference: bytes
    purpose: str
    issued_at_s: int
    not_after_s: int
    maximum_uses: int = 1

    def __repr__(self) -> str:
        return f"Consent({self.reference.hex()}, {self.purpose}, {self.bank} to {self.platform})"

    def sign(self, identity: IdentityKey) -> pb.Grant:
        """As the bank's identity grants it; MalformedMessage for a value outside its bounds."""
        body = m.encode(pb.GrantBody(version=m.VERSION, **vars(self)))
        return pb.Grant(body=body, signature=identity.sign(CONTEXT, body))


def read_grant(grant: pb.Grant, bank: str, platform: str, token: bytes, public: bytes) -> Consent | None:
    """The consent in a grant that `bank`, whose raw identity is `public`, made for `platform` about `token`, or None
    for anything else."""
    try:
        verify(public, CONTEXT, grant.body, grant.signature)
        body = m.decode(pb.GrantBody, grant.body)
    except (TrustError, MalformedMessage):
        return None
    fields = {field.name: getattr(body, field.name) for field in body.DESCRIPTOR.fields if field.name != "version"}
    consent = Consent(**fields)
    return consent if (consent.bank, consent.platform, consent.token) == (bank, platform, token) else None
