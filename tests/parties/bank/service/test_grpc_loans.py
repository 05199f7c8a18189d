"""Loans over gRPC, handler by handler without a socket: the same states, roles and refusals as over HTTP."""
from __future__ import annotations

import asyncio
import json
from types import SimpleNamespace

import grpc
import pytest
from google.protobuf.message_factory import GetMessageClass
from hypothesis import given
from hypothesis import strategies as st

from parties.bank.lending import told, voucher
from parties.bank.lending.account import opened
from parties.bank.lending.parts import Parts
from parties.bank.lending.schedule import Due
from parties.bank.lending.statement import Line, Payment, Statement
from parties.bank.service import loans_pb2 as pb
from parties.bank.service import messages as m
from parties.bank.service.grpc_app import grpc_handlers
from parties.bank.service.grpc_loans import LOAN_CALLS, LOANS, Accepting, Period
from parties.bank.service.grpc_shapes import plain, written
from tests.parties.bank.lending.loans import START, terms
from tests.parties.bank.service.support import bearer, consenting, keyed, submission, token_of


class Refused(Exception):
    """What `abort` told."""

    def __init__(self, code: grpc.StatusCode, sentence: str):
        super().__init__(sentence)
        self.code, self.sentence = code, sentence


class Context:
    """As much of a call's context as the handlers look at."""

    def __init__(self, token: str | None):
        self._token = token

    def invocation_metadata(self) -> tuple:
        return () if self._token is None else (("authorization", f"Bearer {self._token}"),)

    def auth_context(self) -> dict:
        return {}

    async def abort(self, code: grpc.StatusCode, sentence: str) -> None:
        raise Refused(code, sentence)


def caller(service, of=LOANS):
    """`await call(method, message, token)` of one gRPC service."""
    handlers = grpc_handlers(service)

    async def call(method: str, message, token: str | None):
        asked = SimpleNamespace(method=f"/{of.full_name}/{method}", invocation_metadata=())
        handler = next(found for one in handlers if (found := one.service(asked)) is not None)
        body = message if isinstance(message, bytes) else message.SerializeToString()
        return GetMessageClass(of.methods_by_name[method].output_type).FromString(
            await handler.unary_unary(body, Context(token)))

    return call


async def refused(reply, code: grpc.StatusCode, word: str = "") -> None:
    with pytest.raises(Refused) as caught:
        await reply
    assert caught.value.code == code and word in caught.value.sentence, caught.value
    assert "\n" not in caught.value.sentence


async def approved(http, channel: dict[str, str]) -> tuple[str, int]:
    """An approved application and its amount."""
    await consenting(http, channel)
    answer = (await http.post("/v1/applications", json=submission(), headers=keyed(channel))).json()
    return answer["application_id"], answer["offer"]["amount_fen"]


def test_a_loan_from_acceptance_to_repayment_is_the_same_over_both(service, client, file):
    channel, token, other = bearer(file, "channel"), token_of(file, "channel"), token_of(file, "channel", "app2")
    officer, call = token_of(file, "officer"), caller(service)
    not_found, conflict = grpc.StatusCode.NOT_FOUND, grpc.StatusCode.FAILED_PRECONDITION
    denied, wrong = grpc.StatusCode.PERMISSION_DENIED, grpc.StatusCode.INVALID_ARGUMENT

    async def steps():
        async with client() as http:
            name, amount = await approved(http, channel)
            accepting = pb.AcceptRequest(application_id=name, reference="r-1")
            await refused(call("Accept", accepting, other), not_found)
            await refused(call("Accept", accepting, officer), denied, "channel")
            twice = [await call("Accept", accepting, token) for _ in range(2)]
            assert twice[0].status == twice[1].status == "accepted" and twice[0].application_id == name
            loan = pb.LoanName(loan_id=twice[0].loan_id)
            await refused(call("GetVoucher", loan, token), wrong, "drawn")
            draw = {"loan_id": loan.loan_id, "reference": "r-2"}
            await refused(call("Draw", pb.LoanAmount(**draw, amount_fen=amount + 1), token), conflict)
            drawn = await call("Draw", pb.LoanAmount(**draw, amount_fen=amount), token)
            assert drawn.status == "active" and drawn.account.drawn_fen == amount
            assert sum(part.principal_fen for part in drawn.account.balances.values()) == amount
            await refused(call("Draw", pb.LoanAmount(**draw, amount_fen=amount - 1), token), conflict, "r-2")
            path = f"/v1/loans/{loan.loan_id}"
            for method, tail in (("GetSchedule", "/schedule"), ("GetStatement", "/statement")):
                reply = await call(method, loan, officer)
                over_http = (await http.get(path + tail, headers=channel)).content
                assert timeless(reply) == timeless(written(over_http, type(reply)))
            signed = (await call("GetVoucher", loan, token)).signed
            assert signed == (await http.get(path + "/voucher", headers=channel)).content
            assert voucher.verified(signed, service.node.identity.public).drawn_fen == amount
            await refused(call("GetLoan", loan, other), not_found)
            back = await call("Repay", pb.LoanAmount(loan_id=loan.loan_id, reference="r-3", amount_fen=1000), token)
            assert back.status == "active" and back.account.owed.principal_fen >= amount - 1000
            rest = pb.LoanAmount(loan_id=loan.loan_id, reference="r-4", amount_fen=1)
            await refused(call("Cancel", rest, token), conflict)
            await refused(call("Withdraw", pb.LoanChange(loan_id=loan.loan_id, reference="r-5"), token), conflict)
            owed = sum(plain((await call("GetLoan", loan, token)).account.owed).values())
            done = await call("Repay", pb.LoanAmount(loan_id=loan.loan_id, reference="r-6", amount_fen=owed), token)
            assert done.status in ("repaid", "cancelled") and not any(plain(done.account.owed).values())

    asyncio.run(steps())


def timeless(message) -> str:
    """A message without the moment of its last line, which is when it was asked for."""
    lines = getattr(getattr(message, "statement", None), "lines", ())
    for line in lines:
        line.at = line.at[:10]
    return str(message)


def test_what_a_call_cannot_be_is_told_in_one_sentence(service, file):
    token, call, wrong = token_of(file, "channel"), caller(service), grpc.StatusCode.INVALID_ARGUMENT

    async def steps():
        await refused(call("GetLoan", pb.LoanName(loan_id="l-1"), None), grpc.StatusCode.UNAUTHENTICATED, "token")
        await refused(call("GetLoan", pb.LoanName(loan_id="l-1"), token_of(file, "operator")),
                      grpc.StatusCode.PERMISSION_DENIED, "operator")
        await refused(call("Accept", pb.AcceptRequest(application_id="a-1"), token), wrong, "reference")
        await refused(call("Draw", pb.LoanAmount(loan_id="l-1", reference="r"), token), wrong, "amount_fen")
        await refused(call("Repay", pb.LoanAmount(loan_id="l 1", reference="r", amount_fen=1), token), wrong, "loan_id")
        await refused(call("Withdraw", pb.LoanChange(loan_id="l-1", reference="r\n"), token), wrong, "reference")
        for first in ("2026-02-30", "today", "2026-1-1", "0000-01-01", ""):
            await refused(call("GetStatement", pb.StatementRequest(loan_id="l-1", first=first), token), wrong, "first")
        await refused(call("GetLoan", b"\xff" * 20, token), wrong, "LoanName")

    asyncio.run(steps())
    assert service.metrics.value("grpc_requests", method="GetLoan", status="unauthenticated") == 1


def test_every_method_of_the_document_is_served():
    assert set(LOAN_CALLS) == {method.name for method in LOANS.methods}


@pytest.mark.parametrize(("names", "message"), [
    (set(m.LoanState.model_fields), pb.LoanState), (set(m.LoanPlan.model_fields), pb.LoanPlan),
    (set(m.LoanStatement.model_fields), pb.LoanStatement), (set(Accepting.model_fields), pb.AcceptRequest),
    ({"loan_id", *m.LoanAmount.model_fields}, pb.LoanAmount), ({"loan_id", *m.LoanChange.model_fields}, pb.LoanChange),
    (set(Period.model_fields), pb.StatementRequest), (set(Parts.__dataclass_fields__), pb.Parts),
    (set(Due.__dataclass_fields__), pb.Due), (set(Payment.__dataclass_fields__), pb.Payment),
    (set(Statement.__dataclass_fields__), pb.Statement), (set(Line.__dataclass_fields__), pb.StatementLine),
])
def test_both_interfaces_have_the_same_fields(names, message):
    assert names == {field.name for field in message.DESCRIPTOR.fields}


@given(fen=st.lists(st.integers(0, 10**13), min_size=16, max_size=16), days=st.integers(0, 5000))
def test_an_account_travels_whole(fen, days):
    parts = [Parts(*fen[k:k + 4]) for k in range(0, 16, 4)]
    values = {"at": "2026-01-01T00:00:00+00:00", "drawn_fen": fen[0], "owed": told.plain(parts[0]),
              "overdue": told.plain(parts[1]), "payable": told.plain(parts[2]), "days_past_due": days,
              "may_be_cancelled": bool(days % 2), "balances": {"north-bank": told.plain(parts[3])}}
    sent = written(json.dumps(values).encode(), pb.Account)
    got = plain(pb.Account.FromString(sent.SerializeToString()))
    assert got | {"balances": {name: plain(one) for name, one in got["balances"].items()}} == values


def test_an_account_has_the_fields_that_http_tells():
    shown = told.account_json(opened(terms(), START))
    assert set(shown) - {"status"} == {field.name for field in pb.Account.DESCRIPTOR.fields}
