"""Entries of `parsers.py`: calls of joint scoring, and of the application API over gRPC."""
from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from parties.bank.service import applications_pb2, grpc_app
from protocols.crypto.identity import IdentityKey
from protocols.scoring import messages, session
from protocols.scoring import scoring_pb2 as pb
from protocols.scoring.consent import Consent
from tests.attacks.samples import Parser

HERE = "protocols.scoring."


def _identity() -> IdentityKey:
    return IdentityKey.generate()


def _grant() -> pb.Grant:
    return Consent("bank", "platform", b"t" * 16, b"r" * 16, "credit-scoring", 1, 2**33).sign(_identity())


def _request() -> pb.ScoreRequest:
    item = pb.ScoreItem(token=b"t" * 16, grant=_grant(), use=b"u" * 16)
    return pb.ScoreRequest(version=1, model="m-0123456789abcdef", items=[item, item])


def _messages() -> dict[type, list[bytes]]:
    revoke = pb.RevokeConsents(version=1, references=[b"r" * 16], tokens=[b"t" * 16], at_s=7)
    hello = session.BankHandshake(session.Pair("bank", "platform", _identity(), "0" * 64)).hello
    body = pb.SignedHello.FromString(hello).body
    made = [_grant(), _request(), revoke, pb.RevokeAck(version=1, revoked=2),
            pb.ScoreReply(version=1, refusal=pb.NOT_READY), pb.Sealed(session=b"s" * 16, counter=3, body=b"b" * 40)]
    return {pb.SignedHello: [hello], pb.BankHello: [body], pb.GrantBody: [_grant().body]} | {
        type(message): [messages.encode(message)] for message in made}


def scoring() -> Iterator[Parser]:
    """What a bank and a platform send each other while an applicant waits, and what a channel sends its bank."""
    for cls, good in _messages().items():
        yield Parser(f"scoring {cls.DESCRIPTOR.name}", partial(messages.decode, cls), lambda good=good: good,
                     (HERE + "messages.decode", "protocols.wire.codec.parse"))
    submission = applications_pb2.Submission(customer="13800000001", product="p", amount_fen=5, term_months=3)
    yield Parser("submission over gRPC", partial(grpc_app._parsed, applications_pb2.Submission),
                 lambda: [submission.SerializeToString()], ("parties.bank.service.grpc_app._parsed",))
