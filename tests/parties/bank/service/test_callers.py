"""Who gets in: signed tokens, roles, and what neither a stolen nor a home-made token can do."""
from __future__ import annotations

import base64
import datetime as dt
import hashlib
import json

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from parties.bank.service import tokens
from parties.bank.service.callers import PERMISSIONS, ROLES, Caller
from parties.bank.service.credentials import Credentials
from parties.bank.service.refusals import Forbidden, Unauthenticated
from parties.bank.service.settings import ClientConfig
from protocols.crypto.identity import IdentityKey
from protocols.errors import UsageError

NOW = dt.datetime(2026, 11, 22, 12, tzinfo=dt.UTC)
HOUR = dt.timedelta(hours=1)
KEY = Ed25519PrivateKey.generate()
PUBLIC = KEY.public_key().public_bytes_raw()


def check(**changes) -> tokens.TokenCheck:
    return tokens.TokenCheck(**({"key": PUBLIC, "audience": "bank"} | changes))


def issued(**changes) -> str:
    told = {"key": KEY, "audience": "bank", "holder": "app", "role": "channel", "valid_for": HOUR, "now": NOW}
    return tokens.issue(**(told | changes))


def at(offset: dt.timedelta) -> float:
    return (NOW + offset).timestamp()


def test_a_token_names_its_holder_and_role():
    assert check().caller(issued(role="officer", holder="li.na"), at(HOUR / 2)) == Caller("li.na", "officer", "token")


@pytest.mark.parametrize("offset", [-HOUR, 2 * HOUR])
def test_a_token_holds_in_its_time_only(offset):
    token = issued()
    check().caller(token, at(HOUR / 2))  # remembered as verified, and still compared with the clock
    with pytest.raises(Unauthenticated, match="valid now"):
        check().caller(token, at(offset))


@pytest.mark.parametrize("forged", [
    lambda: issued(key=Ed25519PrivateKey.generate()),
    lambda: issued(audience="other-bank"),
    lambda: jwt.encode(jwt.decode(issued(), options={"verify_signature": False}), key="", algorithm="none"),
    lambda: jwt.encode(jwt.decode(issued(), options={"verify_signature": False}), PUBLIC.hex(), algorithm="HS256"),
    lambda: jwt.encode({"sub": "app", "role": "officer", "aud": "bank"}, KEY, algorithm="EdDSA"),
    lambda: jwt.encode(jwt.decode(issued(), options={"verify_signature": False}) | {"role": "root"}, KEY, "EdDSA"),
    lambda: jwt.encode(jwt.decode(issued(), options={"verify_signature": False}) | {"exp": "9" * 12}, KEY, "EdDSA"),
    lambda: promoted(issued()),
    lambda: "x.y.z", lambda: "", lambda: "é" * 100,
])
def test_no_other_token_holds(forged):
    token = forged()
    with pytest.raises(Unauthenticated) as refused:
        check().caller(token, at(HOUR / 2))
    assert not token or token not in str(refused.value)


def promoted(token: str) -> str:
    """The token with another role, its signature kept."""
    head, body, signature = token.split(".")
    claims = json.loads(base64.urlsafe_b64decode(body + "=" * (-len(body) % 4))) | {"role": "officer"}
    return ".".join([head, base64.urlsafe_b64encode(json.dumps(claims).encode()).decode().rstrip("="), signature])


def test_tokens_are_withdrawn_by_id_and_by_age():
    token = issued()
    name = jwt.decode(token, options={"verify_signature": False})["jti"]
    for withdrawing in (check(withdrawn=frozenset({name})), check(not_issued_before=NOW + HOUR)):
        with pytest.raises(Unauthenticated, match="withdrawn"):
            withdrawing.caller(token, at(HOUR / 2))
    assert check(not_issued_before=NOW).caller(token, at(HOUR / 2)).name == "app"


@pytest.mark.parametrize("changes", [{"holder": ""}, {"holder": "a b"}, {"role": "root"},
                                     {"valid_for": 100 * 24 * HOUR}, {"valid_for": -HOUR}])
def test_what_no_token_is_made_for(changes):
    with pytest.raises(UsageError):
        issued(**changes)


def test_the_key_of_tokens_follows_from_the_identity_and_is_not_it():
    identity = IdentityKey.generate()
    made = tokens.token_key(identity).public_key().public_bytes_raw()
    assert made == tokens.token_key(identity).public_key().public_bytes_raw() != identity.public


def test_a_certificate_is_known_by_its_digest_and_a_token_comes_first():
    shown = b"certificate"
    client = ClientConfig(role="auditor", certificate=hashlib.sha256(shown).hexdigest())
    known = Credentials(check(), {"gateway": client}, lambda: at(HOUR / 2))
    assert known.caller(None, shown) == Caller("gateway", "auditor", "certificate")
    assert known.caller(f"Bearer {issued()}", shown).by == "token"
    for authorization, certificate in ((None, None), (None, b"another"), ("Basic YTpi", None), ("Bearer ", None),
                                       (f"Bearer {'x' * 5000}", shown)):
        with pytest.raises(Unauthenticated, match="decisions token"):
            known.caller(authorization, certificate)


@pytest.mark.parametrize("role", ROLES)
@pytest.mark.parametrize("permission", sorted(PERMISSIONS))
def test_a_role_may_what_the_table_gives_it(role, permission):
    caller = Caller("x", role, "token")
    if role in PERMISSIONS[permission]:
        caller.require(permission)
    else:
        with pytest.raises(Forbidden, match=role):
            caller.require(permission)


def test_an_auditor_and_an_operator_write_nothing():
    writes = {"submit", "ask-review", "decide-review", "give-consent", "switch-off", "ask-deletion", "borrow",
              "report-signal"}
    assert not [name for name in writes if PERMISSIONS[name] & {"auditor", "operator"}]
    assert not [name for name in ("read-record", "follow", "list", "read-person", "read-accesses")
                if "operator" in PERMISSIONS[name]]
