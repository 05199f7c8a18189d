"""The decision service with a model whose weights stay shared: its scores, and what becomes of retries and mistakes."""
from __future__ import annotations

import asyncio
import contextlib
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from parties.bank.scoring.connect import scorer_of
from parties.bank.service import deciding
from parties.bank.service.assembly import Node, Service
from parties.bank.service.scores import ModelScores, NoModel
from parties.bank.side import with_intercept
from parties.platform.scoring.server import Service as Platform
from parties.runtime.preparation import columns_of
from tests.parties.bank.service.support import bearer, consenting, keyed, ready, submission
from tests.scoring.asking import InProcess, service_of
from tests.scoring.conftest import made_ready
from tests.scoring.homes import MODEL, Homes, identifier, make_homes
from tests.scoring.shared_homes import exact_scores, share_weights
from tests.scoring.test_shared import STEPS, Applicants

SECTION = f'\n[decisions]\nlisten = "127.0.0.1:0"\nmodel = "{MODEL}"\nscore_deadline_ms = 20000\n'
PEOPLE = 12


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[Homes, np.ndarray]:
    """Nodes with a shared model, the bank's ready to decide, and scores of its first people in the clear."""
    homes = make_homes(tmp_path_factory.mktemp("shared-decisions"))
    halves = {role: homes.half(role) for role in ("bank", "platform")}
    rows = with_intercept(columns_of(homes.table("bank"), np.arange(PEOPLE), halves["bank"]))
    exact = exact_scores(homes, halves, rows)
    ready(homes.bank)
    with (homes.bank / "bank.toml").open("a", encoding="utf-8") as file:
        file.write(SECTION)
    return made_ready(share_weights(homes)), exact


@pytest.fixture
def homes(trained: tuple[Homes, np.ndarray], tmp_path: Path) -> Homes:
    """Of the test's own."""
    shutil.copytree(trained[0].bank.parent, tmp_path, dirs_exist_ok=True)
    return Homes(tmp_path / "bank", tmp_path / "platform", trained[0].shared)


class Desk:
    """A deciding bank and its platform, in process: what a channel does, and what each side has noted."""

    def __init__(self, homes: Homes, service: Service, platform: Platform):
        self.service, self._platform = service, platform
        self._values = Applicants(homes).values
        self._channel, self._auditor = (bearer(homes.bank / "bank.toml", role) for role in ("channel", "auditor"))
        self._http = httpx.AsyncClient(base_url="http://bank", transport=httpx.ASGITransport(
            service.app(), raise_app_exceptions=False))

    async def agree(self, number: int) -> None:
        await consenting(self._http, self._channel, identifier(number))

    async def apply(self, number: int, key: str = "", **bureau: Any) -> httpx.Response:
        """`bureau`: columns of its answer that differ from the bank's table."""
        told = submission(identifier(number))
        told["bureau"] |= {"columns": self._values(number) | bureau}
        return await self.post(told, key or f"key-{number:08d}")

    async def post(self, told: dict[str, Any], key: str) -> httpx.Response:
        return await self._http.post("/v1/applications", json=told, headers=keyed(self._channel, key))

    async def context(self, answer: httpx.Response) -> dict[str, Any]:
        """What the record says the decision rests on."""
        path = f"/v1/applications/{answer.json()['application_id']}/record"
        told = await self._http.get(path, headers=self._auditor, params={"purpose": "spot check"})
        return told.json()["record"]["context"]

    def opened(self) -> dict[str, int]:
        """What the platform counted, by kind."""
        return {one.kind: one.numbers for one in self._platform._admissions.untold()}

    def versions(self) -> int:
        return self._platform._admissions._one("SELECT count(*) FROM version")[0]


@contextlib.contextmanager
def deciding_bank(homes: Homes, tamper=lambda method, way, body: body) -> Iterator[Desk]:
    """The bank's service over the platform's desk."""
    with service_of(homes) as platform:
        node = Node.of(homes.party("bank"))
        transport = InProcess(platform.desk, tamper=tamper)
        scores = ModelScores(node.party, node.identity, MODEL, 20.0, "credit-scoring",
                             scorer_of(node.party, node.identity, "platform", transport))
        yield Desk(homes, Service(node, scores), platform)


def silent(method: str, way: str, body: bytes) -> bytes:
    """The platform is down."""
    return b"" if way == "back" else body


def forget_own_model(homes: Homes) -> None:
    """A half of an earlier version, which kept no model of the bank's own."""
    homes.vault("bank").put(MODEL, homes.half("bank") | {"alone": None})


def run(homes: Homes, steps, **more: Any) -> None:
    async def whole() -> None:
        with deciding_bank(homes, **more) as desk:
            try:
                await steps(desk)
            finally:
                await desk.service.close()

    asyncio.run(whole())


def test_decisions_rest_on_scores_that_both_sides_computed_together(trained, homes) -> None:
    async def steps(desk: Desk) -> None:
        await asyncio.gather(*map(desk.agree, range(PEOPLE)))
        answers = await asyncio.gather(*map(desk.apply, range(PEOPLE)))
        contexts = [await desk.context(answer) for answer in answers]
        assert [answer.json()["score"] for answer in answers] == ["joint"] * PEOPLE
        got = np.array([float(told["score"]["log_odds"]) for told in contexts])
        assert np.abs(got - trained[1]).max() * 32 < STEPS and {told["score"]["model"] for told in contexts} == {MODEL}
        assert all(told["bank_only"]["probability"] for told in contexts)  # of the model the bank fitted by itself
        assert desk.opened() == {"shared.online": PEOPLE} and desk.versions() == PEOPLE

    run(homes, steps)


def test_a_retry_asks_for_the_same_and_another_row_is_another_use(homes, monkeypatch) -> None:
    """Between the platform's answer and the record the service fails; whoever comes again with the key and another
    bureau answer does not get a second score out of the one consent."""
    whole = deciding._second

    def fails(*_: Any, **more: Any) -> None:
        raise RuntimeError("the disk is gone")

    async def steps(desk: Desk) -> None:
        for number in (1, 2):
            await desk.agree(number)
        monkeypatch.setattr(deciding, "_second", fails)
        for number in (1, 2):
            assert (await desk.apply(number, inquiries="3")).status_code == 500
        monkeypatch.setattr(deciding, "_second", whole)
        assert desk.opened() == {"shared.online": 2} and desk.versions() == 2
        again = await desk.context(await desk.apply(1, inquiries="3"))
        assert again["score"]["status"] == "answered" and again["consents"][1]["status"] == "valid"
        other = await desk.context(await desk.apply(2, inquiries="0"))
        assert (other["score"]["status"], other["score"]["cause"]) == ("refused", "consent used up")
        assert desk.opened() == {"shared.online": 2} and desk.versions() == 2

    run(homes, steps)


@pytest.mark.parametrize("kept", [True, False])
def test_a_bad_value_uses_no_consent_and_asks_nobody(homes, kept: bool) -> None:
    if not kept:
        forget_own_model(homes)

    async def steps(desk: Desk) -> None:
        await desk.agree(3)
        refused = await desk.apply(3, inquiries="many")
        assert refused.status_code == 422 and "many" not in refused.json()["detail"] and not desk.opened()
        answer = await desk.apply(3, "key-after", inquiries="4")
        assert answer.json()["score"] == "joint" and desk.opened() == {"shared.online": 1}
        assert ((await desk.context(answer))["bank_only"]["probability"] is not None) == kept

    run(homes, steps)


def test_without_a_bureau_answer_nobody_is_asked(homes) -> None:
    async def steps(desk: Desk) -> None:
        await desk.agree(4)
        told = await desk.context(await desk.post(submission(identifier(4), bureau=None), "key-bare"))
        assert told["score"]["cause"] == "no bureau answer for the bank's part" and not desk.opened()

    run(homes, steps)


@pytest.mark.parametrize("failure", ["refer", "defer", "bank-only"])
def test_without_a_model_of_its_own_the_bank_decides_as_one_that_has_none(homes, failure: str) -> None:
    forget_own_model(homes)
    path = homes.bank / "rulebook" / "rulebook.toml"
    path.write_text(path.read_text().replace('platform_failure = "refer"', f'platform_failure = "{failure}"'))
    found = []

    async def steps(desk: Desk) -> None:
        for number in (5, 6):
            await desk.agree(number)
        found.append((await desk.apply(5)).json())
        desk.service.use._parts.decider._scores = NoModel()
        found.append((await desk.apply(6)).json())

    run(homes, steps, tamper=silent)
    told = [(one["outcome"], one["score"], one["offer"], [why["code"] for why in one["reasons"]]) for one in found]
    assert told[0] == told[1] and told[0][1:3] == ("none", None)
