"""The whole path: the service asks a platform's process over mutual TLS or through the hub, and says so when that is
gone."""
from __future__ import annotations

import asyncio
import json

import httpx
import numpy as np
import pytest

from parties.bank.service.assembly import Node, Service
from parties.bank.side import with_intercept
from parties.runtime.config import LoadedParty
from parties.runtime.preparation import columns_of
from tests.parties.bank.service.support import bearer, consenting, keyed, ready, submission, waiting
from tests.scoring.asking import Asking
from tests.scoring.conftest import SUFFICIENCY, made_ready
from tests.scoring.homes import MODEL, Homes, identifier, make_homes
from tests.scoring.processes import decisions_process, hub_process, platform_process
from tests.scoring.shared_homes import exact_scores, share_weights
from tests.scoring.test_processes import configure, enough
from tests.scoring.test_shared import STEPS

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
        await wait_until(lambda: not waiting(service))  # the platform has acknowledged it
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


async def through_the_hub(homes: Homes, url: str, hub) -> list[dict]:
    """Contexts of two decisions: one of the bank's own row of person 0, and one after the hub was killed."""
    file, found = homes.bank / "bank.toml", []
    channel, auditor = bearer(file, "channel"), bearer(file, "auditor")
    row = dict(zip(*[line.split(",") for line in (homes.bank / "customers.csv").read_text().splitlines()[:2]],
                   strict=True))
    async with httpx.AsyncClient(base_url=url, timeout=30) as http:
        for number in range(2):
            await consenting(http, channel, identifier(number))
            told = asked(number)
            told["bureau"]["columns"] = {name: row[name] for name in VALUES}
            made = await http.post("/v1/applications", json=told, headers=keyed(channel, f"key-0000000{number}"))
            path = f"/v1/applications/{made.json()['application_id']}/record"
            kept = await http.get(path, headers=auditor, params={"purpose": "spot check"})
            found.append(kept.json()["record"]["context"])
            hub.kill()
            hub.wait()
    return found


@pytest.mark.timeout(180)
def test_shared_weights_through_the_hub_with_every_process_for_real(tmp_path):
    homes = make_homes(tmp_path)
    halves = {role: homes.half(role) for role in ("bank", "platform")}
    row = with_intercept(columns_of(homes.table("bank"), np.arange(1), halves["bank"]))
    (exact,) = exact_scores(homes, halves, row)
    made_ready(share_weights(homes))
    ready(homes.bank)
    with (homes.bank / "bank.toml").open("a", encoding="utf-8") as file:
        file.write(f"\n[scoring.platforms.platform]\nhub = true\n{SECTION}")
    with hub_process(homes) as (hub, _), platform_process(homes), decisions_process(homes) as (_, url):
        log = homes.platform / "scoring.log"
        asyncio.run(wait_until(lambda: "takes calls through the hub" in log.read_text()))
        first, second = asyncio.run(through_the_hub(homes, url, hub))
    assert first["score"]["status"] == "answered", first["score"]
    assert abs(float(first["score"]["log_odds"]) - exact) * 32 < STEPS and first["bank_only"]["probability"]
    assert (second["score"]["status"], second["score"]["cause"]) == ("unavailable", "the hub is not reachable")
