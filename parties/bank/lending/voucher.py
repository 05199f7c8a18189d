"""One voucher per loan (domain row 18): the agreement and what was paid out, signed by the bank's identity.

    {"identity": 64 hex, "signature": 128 hex, "voucher": {…}}     canonical JSON; the signature is over the voucher's
    bytes

Sealed for a customer or a funding partner with HPKE (RFC 9180 §5.1.1, base mode: DHKEM(X25519, HKDF-SHA256),
HKDF-SHA256, ChaCha20-Poly1305, info = the context below), so that whoever carries it learns its length and nothing
else.
"""
from __future__ import annotations

from typing import Annotated, Any, Literal

from cryptography.exceptions import InvalidTag, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.hpke import AEAD, KDF, KEM, Suite
from cryptography.hazmat.primitives.serialization import load_pem_private_key, load_pem_public_key
from pydantic import Field, ValidationError

from parties.bank.decision.values import Fen, Instant
from parties.bank.lending.account import Account
from parties.bank.lending.parts import Parts
from parties.bank.lending.schedule import schedule
from parties.bank.lending.terms import Terms
from protocols.canonical import canonical_json, parse_canonical_json
from protocols.crypto.identity import IdentityKey, verify
from protocols.errors import MalformedMessage, TrustError, UsageError
from protocols.plan import Name
from protocols.strict import Strict, first_problem

CONTEXT = b"sealscore loan voucher v1"
SEALED = b"sealscore sealed voucher 1\n"
MAX_VOUCHER_BYTES = 64 * 1024


class Planned(Strict):
    """One instalment of the plan."""

    due_on: Annotated[str, Field(pattern=r"^\d{4}-\d{2}-\d{2}$")]
    principal_fen: Fen
    interest_fen: Fen
    fee_fen: Fen


class Funded(Strict):
    """What one partner paid out."""

    partner: Name
    fen: Fen


class Voucher(Strict):
    """What was agreed, drawn, planned and funded; `issuer` is the bank's name as a party."""

    version: Literal[1] = 1
    issuer: Name
    terms: Terms
    drawn_at: Instant
    drawn_fen: Annotated[Fen, Field(ge=1)]
    installments: tuple[Planned, ...] = Field(max_length=120)
    funding: tuple[Funded, ...] = Field(max_length=16)


def voucher_of(issuer: str, account: Account) -> Voucher:
    """The voucher of a loan that was drawn; UsageError before that."""
    if account.drawn_at is None:
        raise UsageError("a voucher is made out for a loan that was drawn; draw it first")
    terms, fen = account.terms, account.drawn_fen
    shares = Parts(principal_fen=fen).split(terms.weights)
    plan = schedule(terms, fen, terms.day(account.drawn_at))
    return Voucher(
        issuer=issuer, terms=terms, drawn_at=account.drawn_at, drawn_fen=fen,
        installments=tuple(Planned(due_on=f"{due.due_on}", principal_fen=due.principal_fen,
                                   interest_fen=due.interest_fen, fee_fen=due.fee_fen) for due in plan),
        funding=tuple(Funded(partner=funder.partner, fen=part.principal_fen)
                      for funder, part in zip(terms.funding, shares, strict=True)))


def signed(voucher: Voucher, identity: IdentityKey) -> bytes:
    """The voucher with its signature: the same bytes every time."""
    value = voucher.model_dump(mode="json")
    signature = identity.sign(CONTEXT, canonical_json(value))
    return canonical_json({"identity": identity.public.hex(), "signature": signature.hex(), "voucher": value})


def verified(data: bytes, identity: bytes) -> Voucher:
    """The voucher if this identity (32 bytes) signed it and its figures follow from its terms; TrustError otherwise."""
    value = _envelope(data)
    if value["identity"] != identity.hex():
        raise TrustError("the voucher names another identity than the one it is checked against; compare fingerprints "
                         "with the bank by telephone")
    body = canonical_json(value["voucher"])
    verify(identity, CONTEXT, body, _hex(value["signature"]))
    try:
        voucher = Voucher.model_validate_json(body)
    except ValidationError as error:
        raise MalformedMessage(f"expected a loan voucher of version 1: {first_problem(error)}") from None
    _check_figures(voucher)
    return voucher


def issuer_of(data: bytes) -> str:
    """Whom a signed voucher names as its issuer, before anything is verified: to find the identity to check against."""
    value = _envelope(data)["voucher"]
    if not isinstance(value, dict) or not isinstance(value.get("issuer"), str):
        raise MalformedMessage("expected a voucher that names its issuer")
    return str(value["issuer"])[:32]


def sealed(data: bytes, recipient: X25519PublicKey) -> bytes:
    """A signed voucher that only the recipient can open; other bytes every time."""
    return SEALED + _suite().encrypt(data, recipient, CONTEXT)


def unsealed(data: bytes, key: X25519PrivateKey) -> bytes:
    """The signed voucher; TrustError if it was sealed for somebody else or changed."""
    if not data.startswith(SEALED):
        raise MalformedMessage("expected a sealed voucher; a signed one is verified as it is")
    try:
        return _suite().decrypt(data[len(SEALED):], key, CONTEXT)
    except InvalidTag:
        raise TrustError("the voucher does not open: it was sealed for another key, or changed") from None


def public_key(pem: bytes) -> X25519PublicKey:
    """A recipient's X25519 public key from PEM; TrustError for anything else."""
    try:
        key = load_pem_public_key(pem)
    except (ValueError, UnsupportedAlgorithm):
        key = None
    if not isinstance(key, X25519PublicKey):
        raise TrustError("expected an X25519 public key in PEM; make one with: openssl pkey -in my.key -pubout")
    return key


def private_key(pem: bytes) -> X25519PrivateKey:
    """A recipient's X25519 private key from unencrypted PEM; TrustError for anything else."""
    try:
        key = load_pem_private_key(pem, password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        key = None
    if not isinstance(key, X25519PrivateKey):
        raise TrustError("expected an X25519 private key in PEM; make one with: openssl genpkey -algorithm X25519")
    return key


def _suite() -> Suite:
    return Suite(KEM.X25519, KDF.HKDF_SHA256, AEAD.CHACHA20_POLY1305)


def _envelope(data: bytes) -> dict[str, Any]:
    if data.startswith(SEALED):
        raise MalformedMessage("this voucher is sealed; open it first: sealscore bank voucher open")
    value = parse_canonical_json(data, MAX_VOUCHER_BYTES)
    if not isinstance(value, dict) or set(value) != {"identity", "signature", "voucher"}:
        raise MalformedMessage("expected a signed voucher: an object of identity, signature and voucher")
    return value


def _hex(text: Any) -> bytes:
    try:
        return bytes.fromhex(text)
    except (TypeError, ValueError):
        raise MalformedMessage("expected the voucher's signature as hex digits") from None


def _check_figures(voucher: Voucher) -> None:
    terms = voucher.terms
    account = Account(terms, "active", voucher.drawn_at, drawn_at=voucher.drawn_at,
                      charged=Parts(principal_fen=voucher.drawn_fen))
    if voucher_of(voucher.issuer, account) != voucher:
        raise TrustError("the voucher is signed, but its plan or its shares do not follow from its terms; ask the bank")
