"""The whole path: the service asks a platform's process over mutual TLS, and says so when that is gone."""
from __future__ import annotations

import asyncio
import json

import httpx
import pytest

from parties.bank.service.assembly import Node, Service
from parties.runtime.config import LoadedParty
from tests.parties.bank.service.support import bearer, consenting, keyed, ready, submission
from tests.scoring.asking import Asking
from tests.scoring.conftest import SUFFICIENCY, made_ready
from tests.scoring.homes import MODEL, Homes, identifier, make_homes
from tests.scoring.processes import platform_process
from tests.scoring.test_processes import configure, enough

pytestmark = pytest.mark.slow  # processes, servers or many threads at once

VALUES = {"inquiries": "3", "income": "5000", "employment": "clerk"}
SECTION = f'\n[decisions]\nlisten = "127.0.0.1:0"\nmodel = "{MODEL}"\nscore_deadline_ms = 20000\n'


@pytest.fixture
def homes(tmp_path) -> Homes:
    return made_ready(make_homes(tmp_path, scoring=SUFFICIENCY))


def asked(number: int) -> dict:
    told = submission(identifier(number))
    return told | {"bureau": told["bureau"] | {"columns": VALUES}}


async def wait_until(holds, seconds: float = 20) -> None:
    async with asyncio.timeout(seconds):
        while not holds():
            await asyncio.sleep(0.02)


async def steps(homes: Homes, process, number: int) -> None:
    file = homes.bank / "bank.toml"
    service = Service(Node.of(LoadedParty(file, "bank")))
    channel, auditor = bearer(file, "channel"), bearer(file, "auditor")
    handing = asyncio.create_task(service.revocations.run())
    async with httpx.AsyncClient(transport=httpx.ASGITransport(service.app()), base_url="http://bank") as http:
        person = await consenting(http, channel, identifier(number))
        answer = (await http.post("/v1/applications", json=asked(number), headers=keyed(channel))).json()
        record = (await http.get(f"/v1/applications/{answer['application_id']}/record", headers=auditor,
                                 params={"purpose": "spot check"})).json()["record"]
        score = record["context"]["score"]
        assert score["status"] == "answered" and answer["score"] == "joint" and score["model"] == MODEL, score
        model = Asking(homes).model
        assert record["context"]["bank_only"]["probability"] == str(model.bank_only(VALUES).probability)
        await http.put(f"/v1/persons/{person}/switch", json={"off": True}, headers=channel)
        await wait_until(lambda: len(service.revocations) == 0)  # the platform has acknowledged it
        process.kill()
        process.wait()
        await consenting(http, channel, identifier(number - 1))
        later = keyed(channel, "key-00000002")
        alone = (await http.post("/v1/applications", json=asked(number - 1), headers=later)).json()
        assert alone["outcome"] == "referred" and alone["score"] == "bank-only"
        assert service.metrics.value("joint_scores", status="unavailable") == 1
        wrong = asked(number) | {"bureau": asked(number)["bureau"] | {"columns": {"inquiries": "many-SYN-1"}}}
        refused = await http.post("/v1/applications", json=wrong, headers=keyed(channel, "key-00000003"))
        assert refused.status_code == 422 and "SYN-1" not in json.dumps(refused.json()["detail"])
    handing.cancel()
    await service.close()


@pytest.mark.timeout(180)
def test_a_decision_with_a_real_platform_and_without(homes):
    ready(homes.bank)
    number = enough(homes)
    with platform_process(homes) as (process, address):
        configure(homes, address)
        with (homes.bank / "bank.toml").open("a", encoding="utf-8") as file:
            file.write(SECTION)
        asyncio.run(steps(homes, process, number))
