"""What the parties of a run signed: the plan, and a statement of each party on it.

A statement is canonical JSON with at least `party`, `run`, `plan` (digest of the plan) and `policy` (digest of the
policy in force); a party adds what else it vouches for: digest of its installed code, row commitment, column names.
The signature covers the statement's bytes as transported. The agreement's digest binds every later message of the run.

    file   {"agreement": {"plan", "run", "statements", "version"}, "signatures": {party: hex}}       canonical JSON
"""
from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from protocols.audit import RUN_ID, from_hex
from protocols.crypto.identity import SIGNATURE_BYTES, IdentityKey, verify
from protocols.errors import MalformedMessage, TrustError
from protocols.plan import Plan, agreement_bytes, canonical_json, parse_canonical_json, utf8

STATEMENT_CONTEXT = b"sealscore agreement v1"
MAX_STATEMENT_BYTES = 256 * 1024
MAX_AGREEMENT_BYTES = 4 * 1024 * 1024


def statement(party: str, run: str, plan: Plan, policy: str, **more: Any) -> str:
    """A party's statement on a run: canonical JSON. `policy` is the digest of the policy in force, hex."""
    return canonical_json({**more, "party": party, "run": run, "plan": plan.digest(), "policy": policy}).decode()


def sign_statement(identity: IdentityKey, text: str) -> bytes:
    """Signature over a statement as transported."""
    return identity.sign(STATEMENT_CONTEXT, text.encode())


@dataclass(frozen=True)
class SignedAgreement:
    """All statements of a run with their signatures, by party."""

    run: str
    plan: Plan
    statements: dict[str, str]
    signatures: dict[str, bytes]

    def digest(self) -> bytes:
        """SHA-256 of run, plan and statements (32 bytes): what every later message is bound to."""
        return hashlib.sha256(agreement_bytes(self.run, self.plan, self.statements)).digest()

    def encode(self) -> bytes:
        """The file an auditor reads, canonical."""
        agreement = parse_canonical_json(agreement_bytes(self.run, self.plan, self.statements), MAX_AGREEMENT_BYTES)
        return canonical_json({"agreement": agreement,
                               "signatures": {party: sig.hex() for party, sig in self.signatures.items()}})

    @classmethod
    def decode(cls, data: bytes) -> SignedAgreement:
        """Strict inverse of `encode`; MalformedMessage otherwise."""
        value = _object(parse_canonical_json(data, MAX_AGREEMENT_BYTES), "agreement", "signatures")
        body = _object(value["agreement"], "plan", "run", "statements", "version")
        if not isinstance(body["run"], str) or RUN_ID.fullmatch(body["run"]) is None:
            raise MalformedMessage("expected a run as r- and 16 lower-case hex digits")
        plan = Plan.from_canonical(canonical_json(body["plan"]))
        signatures = {party: from_hex(sig, SIGNATURE_BYTES) for party, sig in _texts(value["signatures"]).items()}
        decoded = cls(body["run"], plan, _texts(body["statements"]), signatures)
        if decoded.encode() != data:
            raise MalformedMessage("an agreement that is not in canonical form")
        return decoded

    def check(self, identities: Mapping[str, bytes]) -> None:
        """Every party of the plan, and nobody else, signed a statement on this run and plan; TrustError otherwise.

        `identities` are the raw public keys the caller trusts, by party.
        """
        parties = set(self.plan.parties)
        if set(self.statements) != parties or set(self.signatures) != parties:
            raise TrustError(f"expected statements of exactly {', '.join(sorted(parties))}, "
                             f"got {', '.join(sorted(set(self.statements) | set(self.signatures))) or 'none'}")
        for party in sorted(parties):
            if party not in identities:
                raise TrustError(f"no identity of {party} is trusted here; confirm it and add it")
            verify(identities[party], STATEMENT_CONTEXT, utf8(self.statements[party]), self.signatures[party])
            self._check_statement(party)

    def policy(self, party: str) -> str:
        """Digest of the policy that `party` says was in force, hex; "" if its statement names none."""
        return str(self._statement(party).get("policy", ""))

    def _statement(self, party: str) -> dict[str, Any]:
        value = parse_canonical_json(utf8(self.statements[party]), MAX_STATEMENT_BYTES)
        if not isinstance(value, dict):
            raise MalformedMessage(f"expected an object as the statement of {party}")
        return value

    def _check_statement(self, party: str) -> None:
        expected = {"party": party, "run": self.run, "plan": self.plan.digest()}
        told = self._statement(party)
        for name, value in expected.items():
            if told.get(name) != value:
                raise TrustError(f"the statement of {party} is on another {name} than the agreement of run {self.run}")


def _object(value: Any, *names: str) -> dict[str, Any]:
    if not isinstance(value, dict) or set(value) != set(names):
        raise MalformedMessage(f"expected an object with exactly {', '.join(names)}")
    return value


def _texts(value: Any) -> dict[str, str]:
    if not isinstance(value, dict) or not all(isinstance(text, str) for text in value.values()):
        raise MalformedMessage("expected texts by party name")
    return value
