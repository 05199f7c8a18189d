"""Vouchers: signed, complete, closed to everybody but their recipient; and verified without the product."""
from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)

from parties.bank.lending import voucher as v
from parties.bank.lending.events import accepted, applied
from protocols.canonical import canonical_json
from protocols.crypto.identity import IdentityKey, public_pem
from protocols.errors import MalformedMessage, TrustError, UsageError
from tests.parties.bank.lending.loans import START, event, terms

README = Path(__file__).parents[4] / "parties" / "bank" / "lending" / "README.md"


@pytest.fixture
def identity():
    return IdentityKey.generate()


def drawn():
    account, _ = accepted(terms(), event("accept", START))
    return applied(account, event("draw", START, 999_999), 2)[0]


def test_a_voucher_says_what_was_agreed_paid_out_and_planned(identity):
    data = v.signed(v.voucher_of("bank", drawn()), identity)
    told = v.verified(data, identity.public)
    assert told.terms == terms() and told.drawn_fen == 999_999
    assert [(part.partner, part.fen) for part in told.funding] == [("own", 300_000), ("city", 699_999)]
    assert sum(due.principal_fen for due in told.installments) == 999_999
    assert v.signed(told, identity) == data


def test_there_is_none_before_the_draw_down():
    with pytest.raises(UsageError, match="draw it first"):
        v.voucher_of("bank", accepted(terms(), event("accept", START))[0])


def test_every_changed_byte_is_noticed(identity):
    data = v.signed(v.voucher_of("bank", drawn()), identity)
    for place in range(0, len(data), 7):
        changed = bytearray(data)
        changed[place] ^= 1
        with pytest.raises((TrustError, MalformedMessage)):
            v.verified(bytes(changed), identity.public)


def test_another_identity_is_refused_even_where_it_signed(identity):
    other = IdentityKey.generate()
    data = v.signed(v.voucher_of("bank", drawn()), other)
    with pytest.raises(TrustError, match="another identity"):
        v.verified(data, identity.public)
    renamed = canonical_json(json.loads(data) | {"identity": identity.public.hex()})
    with pytest.raises(TrustError, match="does not hold"):
        v.verified(renamed, identity.public)


def test_figures_that_do_not_follow_from_the_terms_are_noticed_though_signed(identity):
    honest = v.voucher_of("bank", drawn())
    funding = (v.Funded(partner="own", fen=300_001), v.Funded(partner="city", fen=699_998))
    moved = honest.model_copy(update={"funding": funding})
    with pytest.raises(TrustError, match="do not follow from its terms"):
        v.verified(v.signed(moved, identity), identity.public)


@pytest.mark.parametrize("bad", [b"", b"{}", b"[]", b'{"identity":1,"signature":2,"voucher":3}', v.SEALED, b"\xff" * 9])
def test_what_is_no_voucher_is_malformed(identity, bad):
    with pytest.raises((MalformedMessage, TrustError)):
        v.verified(bad, identity.public)


def test_a_signature_over_something_else_is_malformed(identity):
    body = {"version": 9}
    signature = identity.sign(v.CONTEXT, canonical_json(body)).hex()
    data = canonical_json({"identity": identity.public.hex(), "signature": signature, "voucher": body})
    with pytest.raises(MalformedMessage, match="version 1"):
        v.verified(data, identity.public)


def test_a_sealed_voucher_opens_for_its_recipient_alone(identity):
    data = v.signed(v.voucher_of("bank", drawn()), identity)
    partner, stranger = X25519PrivateKey.generate(), X25519PrivateKey.generate()
    sealed = v.sealed(data, partner.public_key())
    assert data[:40] not in sealed and sealed != v.sealed(data, partner.public_key())
    assert v.unsealed(sealed, partner) == data
    for bad, key in ((sealed, stranger), (sealed[:-1], partner), (sealed[:-1] + bytes([sealed[-1] ^ 1]), partner)):
        with pytest.raises(TrustError, match="does not open"):
            v.unsealed(bad, key)
    with pytest.raises(MalformedMessage, match="open it first"):
        v.verified(sealed, identity.public)
    with pytest.raises(MalformedMessage, match="expected a sealed voucher"):
        v.unsealed(data, partner)


def test_recipients_keys_are_x25519(identity):
    key = X25519PrivateKey.generate()
    pem = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    assert v.public_key(pem).public_bytes_raw() == key.public_key().public_bytes_raw()
    secret = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    assert v.private_key(secret).private_bytes_raw() == key.private_bytes_raw()
    for bad in (b"", secret, public_pem(identity.public)):
        with pytest.raises(TrustError, match="X25519 public key"):
            v.public_key(bad)
    for bad in (b"", pem, identity.to_pem()):
        with pytest.raises(TrustError, match="X25519 private key"):
            v.private_key(bad)


def test_the_ten_lines_of_the_readme_verify_a_voucher(identity, tmp_path, monkeypatch, capsys):
    code = re.search(r"```python\n(.*?)```", README.read_text(), re.DOTALL).group(1)
    assert len(code.splitlines()) <= 10
    monkeypatch.chdir(tmp_path)
    data = v.signed(v.voucher_of("bank", drawn()), identity)
    (tmp_path / "voucher.json").write_bytes(data)
    monkeypatch.setattr("sys.argv", ["verify.py", "voucher.json", identity.public.hex()])
    exec(compile(code, "README.md", "exec"), {})
    assert "l-1" in capsys.readouterr().out
    (tmp_path / "voucher.json").write_bytes(data.replace(b'"fen":300000', b'"fen":300001'))
    with pytest.raises(Exception, match="^$"):
        exec(compile(code, "README.md", "exec"), {})
