"""Agreements: signed by every party on this run and this plan, and by nobody else."""
from __future__ import annotations

import dataclasses
import json

import pytest

from protocols.agreement import SignedAgreement, sign_statement, statement
from protocols.crypto.identity import IdentityKey
from protocols.errors import MalformedMessage, ProtocolError, TrustError
from protocols.plan import Plan, canonical_json

RUN, OTHER_RUN = "r-0123456789abcdef", "r-fedcba9876543210"
KEYS = {"bank": IdentityKey.generate(), "platform": IdentityKey.generate()}
TRUST = {name: key.public for name, key in KEYS.items()}
PLAN = Plan.model_validate({
    "purpose": "credit-scoring", "label_party": "bank", "feature_parties": ["platform"],
    "parties": {"bank": {"table": "loans", "columns": ["age"]},
                "platform": {"table": "users", "columns": ["支付"]}}})
POLICY = "ab" * 32


def signed(run: str = RUN, plan: Plan = PLAN, **more: str) -> SignedAgreement:
    statements = {party: statement(party, run, plan, POLICY, **more) for party in KEYS}
    return SignedAgreement(run, plan, statements,
                           {party: sign_statement(KEYS[party], text) for party, text in statements.items()})


def test_an_agreement_round_trips_and_holds():
    agreement = signed(code="cd" * 32)
    decoded = SignedAgreement.decode(agreement.encode())
    assert decoded == agreement
    decoded.check(TRUST)
    assert decoded.policy("bank") == POLICY
    assert decoded.digest() == agreement.digest() != signed().digest()


def test_statements_cannot_override_what_they_are_on():
    with pytest.raises(TypeError):
        statement("bank", RUN, PLAN, POLICY, run=OTHER_RUN)


@pytest.mark.parametrize("forge", [
    lambda a: dataclasses.replace(a, run=OTHER_RUN),
    lambda a: dataclasses.replace(a, plan=a.plan.model_copy(update={"purpose": "marketing"})),
    lambda a: dataclasses.replace(a, signatures={**a.signatures, "bank": a.signatures["platform"]}),
    lambda a: dataclasses.replace(a, statements={**a.statements, "bank": a.statements["platform"]},
                                  signatures={**a.signatures, "bank": a.signatures["platform"]}),
    lambda a: dataclasses.replace(a, statements={**a.statements, "bank": a.statements["bank"].replace("ab", "ac")}),
    lambda a: dataclasses.replace(a, statements={"bank": a.statements["bank"]}),
    lambda a: dataclasses.replace(a, signatures={"bank": a.signatures["bank"]}),
    lambda a: dataclasses.replace(a, statements={**a.statements, "eve": a.statements["bank"]},
                                  signatures={**a.signatures, "eve": a.signatures["bank"]}),
], ids=["run", "plan", "signatures", "statements", "policy", "no statement", "no signature", "stranger"])
def test_forged_agreements_do_not_hold(forge):
    forged = forge(signed())
    with pytest.raises(TrustError):
        SignedAgreement.decode(forged.encode()).check(TRUST)


@pytest.mark.parametrize(("name", "value"), [("run", OTHER_RUN), ("party", "platform"), ("plan", "00" * 32)])
def test_a_party_cannot_sign_a_statement_on_something_else(name, value):
    agreement = signed()
    text = canonical_json({**json.loads(agreement.statements["bank"]), name: value}).decode()
    forged = dataclasses.replace(agreement, statements={**agreement.statements, "bank": text},
                                 signatures={**agreement.signatures, "bank": sign_statement(KEYS["bank"], text)})
    with pytest.raises(TrustError, match=f"another {name}"):
        forged.check(TRUST)


def test_a_statement_that_is_no_canonical_object_does_not_hold():
    for text in ("[]", "{ }", "no json"):
        agreement = signed()
        forged = dataclasses.replace(agreement, statements={**agreement.statements, "bank": text},
                                     signatures={**agreement.signatures, "bank": sign_statement(KEYS["bank"], text)})
        with pytest.raises(ProtocolError):
            forged.check(TRUST)


def test_unknown_identities_are_not_trusted():
    with pytest.raises(TrustError, match="no identity of platform"):
        signed().check({"bank": TRUST["bank"]})
    with pytest.raises(TrustError):
        signed().check({**TRUST, "bank": IdentityKey.generate().public})


@pytest.mark.parametrize("change", [
    lambda v: v | {"more": 1}, lambda v: v | {"signatures": {"bank": "00"}}, lambda v: v | {"signatures": []},
    lambda v: v | {"agreement": {}}, lambda v: v | {"agreement": v["agreement"] | {"version": 2}},
    lambda v: v | {"agreement": v["agreement"] | {"run": "r-1"}},
    lambda v: v | {"agreement": v["agreement"] | {"plan": {}}},
    lambda v: v | {"agreement": v["agreement"] | {"plan": v["agreement"]["plan"] | {"version": True}}},
    lambda v: v | {"agreement": v["agreement"] | {"statements": {"bank": 1}}}, lambda v: [],
])
def test_malformed_files_are_refused(change):
    data = canonical_json(change(json.loads(signed().encode())))
    with pytest.raises(MalformedMessage):
        SignedAgreement.decode(data)
