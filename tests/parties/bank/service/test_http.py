"""The HTTP interface in process, on the real engine and store."""
from __future__ import annotations

import asyncio
import itertools
import json

from parties.bank.decision.context import JointScore
from parties.bank.service.refusals import Unavailable
from tests.parties.bank.service.support import CONSENTS, bearer, consenting, keyed, soon, submission, waiting

PROBLEM = "application/problem+json"


def run(steps):
    return asyncio.run(steps())


def refused(response, status: int, *words: str) -> None:
    """The response is a problem document of one sentence."""
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == PROBLEM
    told = response.json()
    assert told["status"] == status and told["type"].startswith("urn:sealscore:problem:") and "\n" not in told["detail"]
    for word in words:
        assert word in told["detail"], told


def test_an_application_from_consent_to_record(client, file, platform):
    channel, auditor = bearer(file, "channel"), bearer(file, "auditor", "wu")

    async def steps():
        async with client() as http:
            person = await consenting(http, channel)
            made = await http.post("/v1/applications", json=submission(), headers=keyed(channel))
            assert made.status_code == 201, made.text
            answer = made.json()
            assert answer["outcome"] == "approved" and answer["score"] == "joint" and answer["person"] == person
            assert sum(share["fen"] for share in answer["offer"]["funding"]) == answer["offer"]["amount_fen"]
            path = f"/v1/applications/{answer['application_id']}"
            assert (await http.get(path, headers=channel)).json() == {"answer": answer, "review": None}
            record = (await http.get(path + "/record", params={"purpose": "spot check"}, headers=auditor)).json()
            assert record["digest"] == answer["record"] and "13800000001" not in json.dumps(record)
            lines = (await http.get(f"/v1/persons/{person}/accesses", params={"purpose": "spot check"},
                                    headers=auditor)).json()["items"]
            assert [(one["who"], one["action"], one["purpose"]) for one in lines[:2]] == [
                ("wu", "read", "spot check"), ("app", "read", "progress query of the applicant")]
            state = (await http.get(f"/v1/persons/{person}", headers=channel)).json()
            assert [one["status"] for one in state["consents"]] == ["used", "used"]
        assert platform.asked == [person]

    run(steps)


def test_the_same_key_is_decided_once_and_another_body_is_refused(client, file, service):
    channel = bearer(file, "channel")

    async def steps():
        async with client() as http:
            await consenting(http, channel)
            told = submission()
            both = await asyncio.gather(*(http.post("/v1/applications", json=told, headers=keyed(channel))
                                          for _ in range(5)))
            assert {one.status_code for one in both} == {201} and len({one.text for one in both}) == 1
            again = await http.post("/v1/applications", json=told, headers=keyed(channel))
            assert again.text == both[0].text and again.headers["idempotency-replayed"] == "true"
            other = await http.post("/v1/applications", json=told | {"amount_fen": 400_000}, headers=keyed(channel))
            refused(other, 409, "idempotency key")
            assert service.metrics.value("decisions", outcome="approved") == 1
            elsewhere = await http.post("/v1/applications", json=told, headers=keyed(bearer(file, "channel", "app2")))
            assert elsewhere.json()["application_id"] != again.json()["application_id"]

    run(steps)


def test_a_consent_serves_one_application(client, file, platform):
    channel = bearer(file, "channel")

    async def steps():
        async with client() as http:
            await consenting(http, channel)
            for key in ("key-00000001", "key-00000002"):
                last = await http.post("/v1/applications", json=submission(), headers=keyed(channel, key))
            assert last.json()["outcome"] != "approved" and len(platform.asked) == 1

    run(steps)


def test_without_consent_or_after_the_switch_nobody_is_asked(client, file, platform, service):
    channel = bearer(file, "channel")

    async def steps():
        async with client() as http:
            bare = await http.post("/v1/applications", json=submission("1", consents=[]), headers=keyed(channel))
            assert bare.json()["outcome"] == "declined"
            person = await consenting(http, channel)
            off = await http.put(f"/v1/persons/{person}/switch", json={"off": True}, headers=channel)
            assert off.json()["switched_off"] and {one["status"] for one in off.json()["consents"]} == {"off"}
            answer = await http.post("/v1/applications", json=submission(), headers=keyed(channel, "key-00000002"))
            assert answer.json()["outcome"] == "declined" and answer.json()["reasons"]
            assert platform.asked == []
            assert waiting(service) == 1  # on its way to the platform as well
            refused(await http.post(f"/v1/persons/{person}/consents", headers=channel, json={
                "reference": "later", "purpose": CONSENTS[0], "expires_at": soon()}), 409, "switch")

    run(steps)


def test_a_platform_that_does_not_answer_is_visible(client, file, platform, service):
    platform.answer = JointScore(status="unavailable", cause="no answer in time")
    channel = bearer(file, "channel")

    async def steps():
        async with client() as http:
            await consenting(http, channel)
            answer = (await http.post("/v1/applications", json=submission(), headers=keyed(channel))).json()
            assert answer["outcome"] == "referred" and answer["score"] == "bank-only" and answer["offer"] is None
            assert service.metrics.value("joint_scores", status="unavailable") == 1

    run(steps)


def test_too_little_data_is_an_outcome_of_its_own(client, file, platform):
    platform.answer = JointScore(status="answered", lacks=("months-of-behaviour",))
    channel = bearer(file, "channel")

    async def steps():
        async with client() as http:
            await consenting(http, channel)
            answer = (await http.post("/v1/applications", json=submission(), headers=keyed(channel))).json()
            assert answer["outcome"] == "insufficient-data" and answer["lacks"] == ["months-of-behaviour"]

    run(steps)


def test_a_review_is_asked_for_and_decided_once(client, file):
    channel, officer = bearer(file, "channel"), bearer(file, "officer", "li.na")

    async def steps():
        async with client() as http:
            made = await http.post("/v1/applications", json=submission(consents=[]), headers=keyed(channel))
            path = f"/v1/applications/{made.json()['application_id']}/review"
            found = {"outcome": "upheld", "note": "no consent"}
            refused(await http.put(path, json=found, headers=officer), 404, "nobody asked")
            asked = await http.post(path, json={"text": "please look again"}, headers=channel)
            assert asked.json()["state"] == "asked"
            waiting = await http.get("/v1/reviews", params={"purpose": "daily work"}, headers=officer)
            assert [one["text"] for one in waiting.json()["items"]] == ["please look again"]
            refused(await http.put(path, json=found, headers=channel), 403, "officer")
            assert (await http.put(path, json=found, headers=officer)).json()["outcome"] == "upheld"
            refused(await http.put(path, json=found, headers=officer), 409, "outcome already")
            progress = await http.get(path.removesuffix("/review"), headers=channel)
            assert progress.json()["review"]["note"] == "no consent"

    run(steps)


def test_another_channel_sees_nothing(client, file):
    mine, other = bearer(file, "channel", "app"), bearer(file, "channel", "app2")

    async def steps():
        async with client() as http:
            made = await http.post("/v1/applications", json=submission(consents=[]), headers=keyed(mine))
            path = f"/v1/applications/{made.json()['application_id']}"
            refused(await http.get(path, headers=other), 404)
            refused(await http.post(path + "/review", json={"text": "x"}, headers=other), 404)
            refused(await http.get(path + "/record", params={"purpose": "look"}, headers=mine), 403, "auditor")
            assert (await http.get(path, headers=bearer(file, "officer"))).status_code == 200
            refused(await http.get(path, headers=bearer(file, "operator")), 403)
            refused(await http.get(path), 401, "authorization: Bearer")

    run(steps)


def test_a_deletion_is_queued_once_and_switches_off(client, file):
    channel = bearer(file, "channel")

    async def steps():
        async with client() as http:
            person = await consenting(http, channel)
            asked = [await http.delete(f"/v1/persons/{person}", headers=channel) for _ in range(2)]
            assert {one.status_code for one in asked} == {202} and asked[0].json() == asked[1].json()
            assert (await http.get(f"/v1/persons/{person}", headers=channel)).json()["switched_off"]

    run(steps)


def test_pages_hold_every_decision_once(client, file):
    channel, officer = bearer(file, "channel"), bearer(file, "officer")

    async def steps():
        async with client() as http:
            for number in range(7):
                await http.post("/v1/applications", json=submission(str(number), consents=[]),
                                headers=keyed(channel, f"key-0000000{number}"))
            seen, cursor = [], {}
            while cursor is not None:
                page = (await http.get("/v1/applications", headers=officer,
                                       params={"purpose": "report", "limit": 3} | cursor)).json()
                seen += [one["application_id"] for one in page["items"]]
                cursor = {"cursor": page["next"]} if page["next"] else None
            assert len(seen) == len(set(seen)) == 7
            wrong = {"purpose": "report", "cursor": "AAAA"}
            refused(await http.get("/v1/applications", headers=officer, params=wrong), 422, "begin without a cursor")
            refused(await http.get("/v1/applications", headers=channel, params=wrong), 403)

    run(steps)


SUBMISSIONS = [
    ({"amount_fen": 3.5}, "amount_fen"), ({"amount_fen": True}, "amount_fen"), ({"amount_fen": -1}, "amount_fen"),
    ({"amount_fen": 10**30}, "amount_fen"), ({"customer": ""}, "customer"), ({"customer": "  "}, "customer"),
    ({"province": "四四"}, "province"), ({"surprise-13800000001": 1}, "surprise"), ({"purpose": "gambling"}, "purpose"),
    ({"identity": None}, "identity"), ({"consents": [{}] * 40}, "consents"),
    ({"consents": [{"reference": "a", "purpose": "b", "expires_at": "2026-01-01T00:00:00"}]}, "expires_at"),
]
BODIES = [b"", b"{", b"[]", b"null", b"[" * 50_000, b'{"customer": "\\ud800"}', b"\xff\xfe",
          b'{"customer": ' + b"9" * 5000 + b"}", b'{"customer": 1e999}', b'{"a":1}' * 2]


def test_what_a_submission_cannot_be(client, file):
    channel = bearer(file, "channel")

    async def steps():
        async with client() as http:
            for changes, word in SUBMISSIONS:
                response = await http.post("/v1/applications", json=submission(**changes), headers=keyed(channel))
                refused(response, 422, word)

    run(steps)


def test_a_body_that_is_no_submission(client, file):
    channel = bearer(file, "channel")

    async def steps():
        async with client() as http:
            for body, kind in itertools.product(BODIES, ("application/json", "text/plain")):
                response = await http.post("/v1/applications", content=body,
                                           headers=keyed(channel) | {"content-type": kind})
                assert response.status_code in (400, 413, 422), response.text
                refused(response, response.status_code)

    run(steps)


def test_bodies_are_bounded_with_and_without_a_length(client, file):
    channel = bearer(file, "channel")

    async def chunks():
        for _ in range(100):
            yield b" " * 1024

    async def steps():
        async with client() as http:
            for content in (b" " * 70_000, chunks()):
                refused(await http.post("/v1/applications", content=content, headers=keyed(channel)), 413, "at most")

    run(steps)


def test_paths_methods_and_keys(client, file):
    channel = bearer(file, "channel")

    async def steps():
        async with client() as http:
            refused(await http.get("/v1/nothing", headers=channel), 404, "openapi.json")
            refused(await http.patch("/v1/applications", headers=channel), 405)
            refused(await http.post("/v1/applications", json=submission(), headers=channel), 422, "Idempotency-Key")
            refused(await http.post("/v1/applications", json=submission(), headers=keyed(channel, "short")), 422)
            refused(await http.post("/v1/applications", json=submission()), 401)
            assert (await http.get("/healthz")).json()["status"] == "ok"
            metrics = await http.get("/metrics", headers=bearer(file, "operator"))
            assert metrics.status_code == 200 and "# TYPE" in metrics.text
            refused(await http.get("/metrics", headers=channel), 403)

    run(steps)


def test_a_surge_is_throttled_and_told_when_to_come_again(client, service, file, monkeypatch):
    channel = bearer(file, "channel")
    monkeypatch.setattr(service.use._parts.throttle, "take", lambda *_: (_ for _ in ()).throw(Unavailable("busy", 7)))

    async def steps():
        async with client() as http:
            response = await http.post("/v1/applications", json=submission(consents=[]), headers=keyed(channel))
            refused(response, 503, "busy")
            assert response.headers["retry-after"] == "7"

    run(steps)


def test_a_fault_of_ours_tells_nothing(client, service, file, monkeypatch):
    def broken(*_):
        raise ZeroDivisionError("secret 13800000001")

    monkeypatch.setattr(service.rules, "decide", broken)

    async def steps():
        async with client() as http:
            response = await http.post("/v1/applications", json=submission(consents=[]),
                                       headers=keyed(bearer(file, "channel")))
            refused(response, 500, "same key")
            assert "secret" not in response.text

    run(steps)


def test_a_loan_from_acceptance_to_repayment(client, file):
    channel, other = bearer(file, "channel"), bearer(file, "channel", "app2")

    async def steps():
        async with client() as http:
            await consenting(http, channel)
            answer = (await http.post("/v1/applications", json=submission(), headers=keyed(channel))).json()
            path, amount = f"/v1/applications/{answer['application_id']}/accept", answer["offer"]["amount_fen"]
            refused(await http.post(path, json={"reference": "r-1"}, headers=other), 404)
            refused(await http.post(path, json={"reference": "r-1"}, headers=bearer(file, "officer")), 403)
            twice = [await http.post(path, json={"reference": "r-1"}, headers=channel) for _ in range(2)]
            assert {one.status_code for one in twice} == {200} and twice[0].json()["status"] == "accepted"
            loan = f"/v1/loans/{twice[0].json()['loan_id']}"
            refused(await http.get(loan + "/voucher", headers=channel), 422, "drawn")
            draw = {"reference": "r-2", "amount_fen": amount}
            refused(await http.post(loan + "/drawdown", json=draw | {"amount_fen": amount + 1}, headers=channel), 409)
            drawn = (await http.post(loan + "/drawdown", json=draw, headers=channel)).json()
            assert drawn["status"] == "active" and drawn["account"]["drawn_fen"] == amount
            voucher = (await http.get(loan + "/voucher", headers=channel)).json()
            assert sum(part["fen"] for part in voucher["voucher"]["funding"]) == amount
            plan = (await http.get(loan + "/schedule", headers=channel)).json()["plan"]
            assert sum(due["principal_fen"] for due in plan) == amount
            sheet = await http.get(loan + "/statement", headers=channel)
            assert sheet.status_code == 200 and sheet.json()["statement"]["status"] == "active"
            refused(await http.get(loan + "/statement", params={"first": "2020-01-01", "last": "2020-01-02"},
                                   headers=channel), 422, "statement")
            refused(await http.get(loan, headers=other), 404)
            back = (await http.post(loan + "/cancel", json={"reference": "r-3", "amount_fen": amount}, headers=channel))
            assert back.json()["status"] == "cancelled", back.text
            refused(await http.post(loan + "/repay", json={"reference": "r-4", "amount_fen": 1}, headers=channel), 409)

    run(steps)
