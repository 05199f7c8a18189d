"""Handshake, sealing and strict messages: what holds, and everything else that does not."""
from __future__ import annotations

import copy
import pickle

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocols.crypto.identity import IdentityKey
from protocols.errors import MalformedMessage, ReplayRefused, TrustError, UsageError
from protocols.scoring import messages as m
from protocols.scoring import scoring_pb2 as pb
from protocols.scoring.consent import Consent, read_grant
from protocols.scoring.session import WINDOW, BankHandshake, Pair, announced, welcome
from protocols.scoring.tokens import tokens

BANK, PLATFORM, THIRD = IdentityKey.generate(), IdentityKey.generate(), IdentityKey.generate()
AT_BANK = Pair("bank", "platform", BANK, PLATFORM.fingerprint)
AT_PLATFORM = Pair("bank", "platform", PLATFORM, BANK.fingerprint)


def sessions():
    handshake = BankHandshake(AT_BANK)
    answer, far = welcome(AT_PLATFORM, handshake.hello)
    return handshake.finish(answer), far


def frame(data: bytes) -> pb.Sealed:
    return m.decode(pb.Sealed, data)


def test_a_call_and_its_reply():
    near, far = sessions()
    assert near.id == far.id and far.bank == "bank" and far.public == BANK.public
    for text in (b"", b"one", b"two" * 1000):
        counter, sealed = near.request("Score", text)
        assert text == far.request("Score", frame(sealed)) and (not text or text not in sealed)
        reply = far.reply("Score", counter, text[::-1])
        assert near.reply("Score", counter, frame(reply)) == text[::-1]


def test_calls_may_overtake_each_other_and_come_once():
    near, far = sessions()
    calls = [near.request("Score", bytes([n])) for n in range(50)]
    for _, sealed in calls[::-1]:
        far.request("Score", frame(sealed))
    for _, sealed in calls:
        with pytest.raises(ReplayRefused):
            far.request("Score", frame(sealed))


def test_a_call_older_than_the_window_is_refused():
    near, far = sessions()
    _, first = near.request("Score", b"first")
    for _ in range(2 * WINDOW + 5):
        _, sealed = near.request("Score", b"")
        far.request("Score", frame(sealed))
    with pytest.raises(ReplayRefused):
        far.request("Score", frame(first))
    assert len(far._seen) <= 2 * WINDOW + 1


def test_a_call_is_of_one_method_direction_and_session():
    near, far = sessions()
    counter, sealed = near.request("Score", b"text")
    other, _ = sessions()
    reply = frame(far.reply("Score", counter, b"reply"))
    for wrong in (lambda: far.request("Revoke", frame(sealed)), lambda: near.reply("Score", counter, frame(sealed)),
                  lambda: far.request("Score", reply), lambda: other.reply("Score", counter, reply),
                  lambda: near.reply("Score", counter + 1, reply), lambda: near.reply("Revoke", counter, reply)):
        with pytest.raises(MalformedMessage):
            wrong()
    assert far.request("Score", frame(sealed)) == b"text"


@given(place=st.integers(0, 10**6), bit=st.integers(0, 7))
def test_one_flipped_bit_anywhere_is_refused(place, bit):
    near, far = sessions()
    _, sealed = near.request("Score", b"some text")
    changed = bytearray(sealed)
    changed[place % len(changed)] ^= 1 << bit
    with pytest.raises((MalformedMessage, ReplayRefused)):
        far.request("Score", frame(bytes(changed)))


@pytest.mark.parametrize(("bank", "platform"), [
    (Pair("bank", "platform", THIRD, PLATFORM.fingerprint), AT_PLATFORM),  # a certificate is not an identity
    (AT_BANK, Pair("bank", "platform", PLATFORM, THIRD.fingerprint)),
    (Pair("bank", "other", BANK, PLATFORM.fingerprint), AT_PLATFORM),
    (Pair("coast", "platform", BANK, PLATFORM.fingerprint), AT_PLATFORM)])
def test_a_hello_of_somebody_else_is_refused(bank, platform):
    with pytest.raises((TrustError, MalformedMessage)):
        welcome(platform, BankHandshake(bank).hello)


def test_an_answer_of_somebody_else_or_to_another_hello_is_refused():
    handshake = BankHandshake(AT_BANK)
    answer, _ = welcome(Pair("bank", "platform", THIRD, BANK.fingerprint), handshake.hello)
    with pytest.raises(TrustError, match="another identity"):
        handshake.finish(answer)
    answer, _ = welcome(AT_PLATFORM, BankHandshake(AT_BANK).hello)
    with pytest.raises(ReplayRefused):
        handshake.finish(answer)
    assert announced(handshake.hello) == "bank"


def test_a_hello_signed_by_the_wrong_key_is_refused():
    told = m.decode(pb.SignedHello, BankHandshake(AT_BANK).hello)
    told.signature = bytes(64)
    with pytest.raises(TrustError):
        welcome(AT_PLATFORM, m.encode(told))


def test_sessions_do_not_print_or_copy():
    for session in sessions():
        assert "REDACTED" in repr(session)
        for act in (pickle.dumps, copy.copy):
            with pytest.raises(TypeError):
                act(session)


CONSENT = Consent("bank", "platform", b"t" * 16, b"r" * 16, "credit-scoring", 1000, 2000, 3)


def test_a_grant_is_read_by_whom_it_is_for_only():
    grant = CONSENT.sign(BANK)
    assert read_grant(grant, "bank", "platform", b"t" * 16, BANK.public) == CONSENT
    for bank, platform, token, public in (
            ("coast", "platform", b"t" * 16, BANK.public), ("bank", "other", b"t" * 16, BANK.public),
            ("bank", "platform", b"u" * 16, BANK.public), ("bank", "platform", b"t" * 16, THIRD.public)):
        assert read_grant(grant, bank, platform, token, public) is None


@pytest.mark.parametrize("change", [
    {"token": b""}, {"reference": b"r" * 15}, {"purpose": "Any thing"}, {"purpose": ""}, {"not_after_s": 999},
    {"issued_at_s": 0}, {"maximum_uses": 0}, {"maximum_uses": 1001}, {"bank": "Bank"}, {"not_after_s": 2**60}])
def test_a_consent_outside_its_bounds_is_not_signed(change):
    with pytest.raises(MalformedMessage):
        Consent(**(vars(CONSENT) | change)).sign(BANK)


def test_tokens_are_distinct_and_equal_for_whoever_has_the_secret():
    found = tokens(b"s" * 32, range(1000))
    assert found == tokens(b"s" * 32, range(1000)) and len({*found, *tokens(b"u" * 32, range(1000))}) == 2000
    assert {len(token) for token in found} == {16}
    with pytest.raises(UsageError):
        tokens(b"short", [1])


# -- strict messages

ITEM = pb.ScoreItem(token=b"t" * 16, grant=CONSENT.sign(BANK), use=b"u" * 16)
REQUEST = pb.ScoreRequest(version=1, model="m-" + "0" * 16, items=[ITEM])
SCORED = pb.ScoreResult(status=pb.SCORED, partial=-40, snapshot="20260101T000000Z", age_s=5)
GOOD = [REQUEST, pb.ScoreReply(version=1, results=[SCORED]), pb.ScoreReply(version=1, refusal=pb.MODEL_REVOKED),
        pb.ScoreReply(version=1, results=[pb.ScoreResult(status=pb.UNKNOWN_PERSON)]),
        pb.ScoreReply(version=1, results=[pb.ScoreResult(status=pb.INSUFFICIENT_DATA, lacks=["contacts"],
                                                         snapshot="s")]),
        pb.RevokeConsents(version=1, references=[b"r" * 16], at_s=7), pb.RevokeAck(version=1, revoked=1),
        pb.Sealed(fault=pb.BUSY), pb.SignedHello(fault=pb.REFUSED)]


@pytest.mark.parametrize("message", GOOD, ids=lambda message: type(message).DESCRIPTOR.name)
def test_messages_come_back_as_they_went(message):
    data = m.encode(message)
    assert m.decode(type(message), data) == message
    for wrong in (data + b"\x00", data[:-1], data + b"\xfa\x07\x01x"):
        with pytest.raises(MalformedMessage):
            m.decode(type(message), wrong)


def of(message, **change):
    copied = type(message)()
    copied.CopyFrom(message)
    for name, value in change.items():
        if isinstance(value, list):
            copied.ClearField(name)
            getattr(copied, name).extend(value)
        else:
            setattr(copied, name, value)
    return copied


@pytest.mark.parametrize("message", [
    of(REQUEST, version=2), of(REQUEST, model="m-1"), of(REQUEST, items=[]), of(REQUEST, items=[ITEM] * 65),
    of(REQUEST, items=[pb.ScoreItem(token=b"t", grant=ITEM.grant, use=b"u" * 16)]),
    of(REQUEST, items=[pb.ScoreItem(token=b"t" * 16, use=b"u" * 16)]),
    pb.ScoreReply(version=1), pb.ScoreReply(version=1, results=[SCORED], refusal=pb.NOT_READY),
    pb.ScoreReply(version=1, results=[of(SCORED, status=0)]), pb.ScoreReply(version=1, results=[of(SCORED, status=99)]),
    pb.ScoreReply(version=1, results=[of(SCORED, partial=32768)]),
    pb.ScoreReply(version=1, results=[of(SCORED, lacks=["x"])]),
    pb.ScoreReply(version=1, results=[of(SCORED, snapshot="")]),
    pb.ScoreReply(version=1, results=[of(SCORED, fraud_score=33)]),
    pb.ScoreReply(version=1, results=[pb.ScoreResult(status=pb.CONSENT_REVOKED, partial=1)]),
    pb.ScoreReply(version=1, results=[pb.ScoreResult(status=pb.CONSENT_REVOKED, snapshot="s")]),
    pb.ScoreReply(version=1, results=[pb.ScoreResult(status=pb.INSUFFICIENT_DATA, snapshot="s")]),
    pb.RevokeConsents(version=1, at_s=7), pb.RevokeConsents(version=1, references=[b"r"], at_s=7),
    pb.RevokeConsents(version=1, references=[b"r" * 16]), pb.Sealed(), pb.Sealed(session=b"s" * 16),
    pb.Sealed(session=b"s" * 16, body=b"b" * 20, fault=pb.BUSY)])
def test_values_outside_their_rules_are_refused_both_ways(message):
    with pytest.raises(MalformedMessage):
        m.encode(message)
    with pytest.raises(MalformedMessage):
        m.decode(type(message), message.SerializeToString(deterministic=True))


@given(st.sampled_from([pb.ScoreRequest, pb.ScoreReply, pb.RevokeConsents, pb.Sealed, pb.SignedHello, pb.GrantBody]),
       st.binary(max_size=300))
def test_any_bytes_are_a_message_or_refused(cls, data):
    try:
        message = m.decode(cls, data)
    except MalformedMessage:
        return
    assert m.encode(message) == data
