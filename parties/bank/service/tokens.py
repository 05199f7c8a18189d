"""Signed tokens: JSON Web Tokens (RFC 7519) with EdDSA (RFC 8037) under a key derived from the bank's identity.

A token names its holder, one role and an end. The service takes no other algorithm, no other audience and no token
without an end; `[decisions.auth]` withdraws single tokens by their id, or all that were issued before a moment.
"""
from __future__ import annotations

import datetime as dt
import re
import secrets
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from parties.bank.service.callers import ROLES, Caller, Role
from parties.bank.service.refusals import Unauthenticated
from protocols.crypto.identity import IdentityKey
from protocols.errors import UsageError

ISSUER = "sealscore"
LONGEST_DAYS = 90
LEEWAY_S = 5
_PURPOSE = b"bank decisions tokens v1"
_HOLDER = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}\Z")
_OPTIONS = {"require": ["exp", "iat", "nbf", "aud", "iss", "sub", "jti"],
            "verify_exp": False, "verify_nbf": False, "verify_iat": False}  # times are compared at every use


def token_key(identity: IdentityKey) -> Ed25519PrivateKey:
    """The key that signs this bank's tokens and nothing else."""
    return Ed25519PrivateKey.from_private_bytes(identity.derived(_PURPOSE))


def issue(key: Ed25519PrivateKey, audience: str, holder: str, role: Role, valid_for: dt.timedelta,
          now: dt.datetime) -> str:
    """A token for `holder`; UsageError for a name, role or period that is not allowed."""
    if not _HOLDER.match(holder):
        raise UsageError(f"expected a holder of letters, digits and ._- (64 at most), got {holder!r}")
    if role not in ROLES:
        raise UsageError(f"expected a role of {', '.join(ROLES)}, got {role!r}")
    if not dt.timedelta() < valid_for <= dt.timedelta(days=LONGEST_DAYS):
        raise UsageError(f"expected a token for at most {LONGEST_DAYS} days, got {valid_for}")
    claims = {"iss": ISSUER, "aud": audience, "sub": holder, "role": role, "jti": secrets.token_hex(8),
              "iat": now, "nbf": now, "exp": now + valid_for}
    return jwt.encode(claims, key, algorithm="EdDSA")


@dataclass(frozen=True, repr=False)
class TokenCheck:
    """What a token must satisfy here. Verified tokens are remembered until they end: a signature costs 0.1 ms."""

    key: bytes  # raw public key, 32 bytes
    audience: str
    withdrawn: frozenset[str] = frozenset()
    not_issued_before: dt.datetime | None = None

    def caller(self, token: str, now_s: float) -> Caller:
        """Who holds the token; Unauthenticated says what is wrong with it and never repeats it."""
        claims = _verified(self.key, self.audience, token)
        if not claims["nbf"] - LEEWAY_S <= now_s < claims["exp"] + LEEWAY_S:
            raise Unauthenticated("expected a token that is valid now, got one that is not; get a new one")
        self._not_withdrawn(claims)
        return Caller(claims["sub"], claims["role"], "token")

    def _not_withdrawn(self, claims: dict[str, Any]) -> None:
        old = self.not_issued_before is not None and claims["iat"] < self.not_issued_before.timestamp()
        if old or claims["jti"] in self.withdrawn:
            raise Unauthenticated("expected a token that holds, got one that was withdrawn; get a new one")


@lru_cache(maxsize=1024)
def _verified(key: bytes, audience: str, token: str) -> dict[str, Any]:
    """Claims of a token whose signature, audience and form hold; times are compared by the caller at every use."""
    try:
        claims = jwt.decode(token, Ed25519PublicKey.from_public_bytes(key), algorithms=["EdDSA"], audience=audience,
                            issuer=ISSUER, options=_OPTIONS)
    except (jwt.InvalidTokenError, ValueError):
        raise Unauthenticated("expected a token signed by this bank for this service, got another; make one with "
                              "`sealscore bank decisions token`") from None
    times = all(type(claims[name]) is int for name in ("exp", "nbf", "iat"))
    if claims.get("role") not in ROLES or not times or not _HOLDER.match(claims["sub"]):
        raise Unauthenticated("expected a token with one role of this service, got another; get a new one")
    return claims
