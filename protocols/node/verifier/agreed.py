"""A run's agreement as a verifier reads it: who signed what. Plans are data here; each party checked its own policy.

    file   {"agreement": {"plan", "run", "statements", "version"}, "signatures": {party: hex}}       canonical JSON
"""
from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from protocols.audit import RUN_ID, exact_fields, from_hex
from protocols.canonical import canonical_json, parse_canonical_json
from protocols.crypto.identity import SIGNATURE_BYTES, verify
from protocols.errors import MalformedMessage, TrustError

AGREED_CONTEXT = b"sealscore agreement v1"
MOST_AGREEMENT_BYTES = 4 * 1024 * 1024


@dataclass(frozen=True)
class Agreed:
    """What the parties of a run signed: the plan, and by party its statement."""

    run: str
    plan: dict[str, Any]
    statements: dict[str, dict[str, Any]]

    def policy(self, party: str) -> str:
        """Digest of the policy that `party` says was in force, hex; "" if its statement names none."""
        return str(self.statements[party].get("policy", ""))

    @property
    def label_parties(self) -> list[str]:
        """Banks, the speaker first."""
        return list(self.plan["label_parties"])

    @property
    def feature_parties(self) -> list[str]:
        """Platforms, the lead first."""
        return list(self.plan["feature_parties"])


def read_agreement(data: bytes, identities: Mapping[str, bytes]) -> Agreed:
    """Decode and check: every party of the plan, and nobody else, signed a statement on this run and plan.

    `identities` are the raw public keys the caller trusts, by party. MalformedMessage or TrustError otherwise.
    """
    value = exact_fields(parse_canonical_json(data, MOST_AGREEMENT_BYTES), "agreement", "signatures")
    body = exact_fields(value["agreement"], "plan", "run", "statements", "version")
    if not isinstance(body["run"], str) or RUN_ID.fullmatch(body["run"]) is None or body["version"] != 1:
        raise MalformedMessage("expected an agreement of version 1 on a run: r- and 16 lower-case hex digits")
    parties, texts, signatures = _plan_parties(body["plan"]), _texts(body["statements"]), _texts(value["signatures"])
    if set(texts) != parties or set(signatures) != parties:
        raise TrustError(f"expected statements of exactly {', '.join(sorted(parties))}, "
                         f"got {', '.join(sorted(set(texts) | set(signatures))) or 'none'}")
    told = {}
    for party in sorted(parties):
        if party not in identities:
            raise TrustError(f"no identity of {party} is trusted here; confirm it and add it")
        signature = from_hex(signatures[party], SIGNATURE_BYTES)
        verify(identities[party], AGREED_CONTEXT, texts[party].encode(), signature)
        told[party] = _statement(party, texts[party], body)
    if len({str(statement.get("code")) for statement in told.values()}) > 1:
        raise TrustError("the parties signed that they run different code")
    return Agreed(body["run"], body["plan"], told)


def _statement(party: str, text: str, body: dict[str, Any]) -> dict[str, Any]:
    told = parse_canonical_json(text.encode(), MOST_AGREEMENT_BYTES)
    if not isinstance(told, dict):
        raise MalformedMessage(f"expected an object as the statement of {party}")
    plan = hashlib.sha256(canonical_json(body["plan"])).hexdigest()
    for name, value in {"party": party, "run": body["run"], "plan": plan}.items():
        if told.get(name) != value:
            raise TrustError(f"the statement of {party} is on another {name} than the agreement of run {body['run']}")
    return told


def _plan_parties(plan: Any) -> set[str]:
    """Names of all parties of a plan, which must name the same ones as banks, platforms and in [parties]."""
    if isinstance(plan, dict) and isinstance(plan.get("parties"), dict):
        seats = [plan.get("label_parties"), plan.get("feature_parties")]
        named = [name for part in seats if isinstance(part, list) for name in part]
        if all(isinstance(name, str) for name in named) and all(seats) and sorted(named) == sorted(plan["parties"]):
            return set(named)
    raise MalformedMessage("expected a plan that names its banks, its platforms and exactly these as parties")


def _texts(value: Any) -> dict[str, str]:
    if not isinstance(value, dict) or not all(isinstance(text, str) for text in value.values()):
        raise MalformedMessage("expected texts by party name")
    return value
