"""Joint scoring of a model whose weights stay shared, through the bank's client and the platform's desk."""
from __future__ import annotations

import asyncio
import shutil
from pathlib import Path

import numpy as np
import pytest

from parties.bank.scoring.client import joint_score
from parties.bank.side import with_intercept
from parties.platform.scoring.gate import people_in
from parties.runtime.preparation import columns_of
from protocols.errors import TrustError
from protocols.scoring import messages as m
from protocols.scoring import scoring_pb2 as pb
from protocols.state import pack, unpack
from tests.scoring.asking import Asking, InProcess, scorer, service_of
from tests.scoring.conftest import fill, made_ready
from tests.scoring.homes import MODEL, Homes, make_homes
from tests.scoring.shared_homes import exact_scores, share_weights

STEPS = (2.0**-6 + 2.0**-7 + 2.0**-9) * 32 + 0.01  # rounding and both floods, in steps of 1/32
BANK_NAMES = ("inquiries", "income", "employment")


@pytest.fixture(scope="session")
def trained(tmp_path_factory):
    """Nodes with a shared model, its scores in the clear, and the bank's rows, of the first shared people."""
    homes = make_homes(tmp_path_factory.mktemp("shared"),
                       policy="maximum_snapshots_per_person = 3\nmaximum_scores_per_person_per_day = 50")
    halves = {role: homes.half(role) for role in ("bank", "platform")}
    rows = with_intercept(columns_of(homes.table("bank"), np.arange(100), halves["bank"]))
    exact = exact_scores(homes, halves, rows)
    return made_ready(share_weights(homes)), exact, rows


@pytest.fixture
def homes(trained, tmp_path: Path) -> Homes:
    """Of the test's own."""
    shutil.copytree(trained[0].bank.parent, tmp_path, dirs_exist_ok=True)
    return Homes(tmp_path / "bank", tmp_path / "platform", trained[0].shared)


class Applicants(Asking):
    """Asks with a row of the bank's table, read as a bureau's answer would be."""

    def values(self, number: int) -> dict[str, str | None]:
        lines = (self.homes.bank / "customers.csv").read_text().splitlines()
        told = dict(zip(lines[0].split(","), lines[number + 1].split(","), strict=True))
        return {name: told[name] for name in BANK_NAMES}

    def apply(self, number: int, values: dict[str, str | None] | None = None, **terms):
        asked = self.ask(number, **terms)
        return type(asked)(asked.token, asked.grant, asked.use,
                           self.model.shared.row(self.values(number) if values is None else values))


def answers(applicants: Applicants, asks, desk, **more) -> list:
    async def run() -> list:
        async with scorer(applicants, InProcess(desk, **more)) as client:
            client.share(applicants.model)
            return await asyncio.gather(*(client.score(ask, MODEL, 30) for ask in asks))

    return asyncio.run(run())


def test_a_bureaus_answer_becomes_the_row_that_the_model_was_trained_on(trained, homes) -> None:
    applicants = Applicants(homes)
    rows = np.stack([applicants.model.shared.row(applicants.values(n)) for n in range(100)])
    assert np.abs(rows - trained[2]).max() < 1e-12


def test_scores_are_the_models_and_become_probabilities(trained, homes) -> None:
    applicants = Applicants(homes)
    with service_of(homes) as service:
        found = answers(applicants, [applicants.apply(n) for n in range(70)], service.desk)
        kinds = {one.kind: one.numbers for one in service._admissions.untold()}
    assert kinds == {"shared.online": 70}
    steps = np.array([answer.joint for answer in found])
    assert np.abs(steps - trained[1][:70] * 32).max() < STEPS
    assert {answer.partial for answer in found} == {None}
    score = joint_score(found[0], applicants.model, None)
    expected = applicants.model.calibration.probability(steps[0] / 32)
    assert score.status == "answered" and abs(float(score.probability) - expected) < 1e-4


def test_while_one_call_is_under_way_the_others_wait_and_travel_together(homes) -> None:
    applicants = Applicants(homes)
    with service_of(homes) as service:
        transport = InProcess(service.desk)

        async def run() -> None:
            async with scorer(applicants, transport) as client:
                client.share(applicants.model)
                asks = [applicants.apply(n) for n in range(70)]
                await asyncio.gather(*(client.score(ask, MODEL, 30) for ask in asks))

        asyncio.run(run())
    assert [method for method, _ in transport.calls] == ["Hello", "Score", "Score"]
    assert 50 <= people_in(transport.calls[1][1]) <= 64 and 4 <= people_in(transport.calls[2][1]) <= 8


def test_who_is_refused_or_unknown_gets_no_score_and_the_others_do(trained, homes) -> None:
    applicants = Applicants(homes)
    asks = [applicants.apply(0), applicants.apply(1, purpose="advertising"), applicants.apply(2, token=b"?" * 16),
            applicants.apply(3)]
    with service_of(homes) as service:
        found = answers(applicants, asks, service.desk)
    assert [answer.cause for answer in found] == [None, "purpose refused", "unknown to the platform", None]
    assert [answer.joint is None for answer in found] == [False, True, True, False]
    assert abs(found[3].joint - trained[1][3] * 32) < STEPS


def test_nobody_admitted_is_an_answer_too(homes) -> None:
    applicants = Applicants(homes)
    with service_of(homes) as service:
        (found,) = answers(applicants, [applicants.apply(1, purpose="advertising")], service.desk)
    assert (found.status, found.cause) == ("refused", "purpose refused")


def test_without_a_bureau_answer_the_platform_is_not_asked(homes) -> None:
    applicants = Applicants(homes)
    with service_of(homes) as service:
        found = answers(applicants, [applicants.ask(1)], service.desk)
        assert not service._admissions.untold()
    assert found[0].cause == "no bureau answer for the bank's part"


def test_versions_of_both_sides_data_count_against_the_limit(homes) -> None:
    """Four rows of the bank for one person, three may be scored; the first again is no new version."""
    applicants = Applicants(homes)
    with service_of(homes) as service:
        told = [("0", "own"), ("8", "own"), ("0", "clerk"), ("8", "clerk"), ("0", "own")]
        for (inquiries, employment), cause in zip(told, [None, None, None, "scored too often", None], strict=True):
            values = {"inquiries": inquiries, "income": "500", "employment": employment}
            (found,) = answers(applicants, [applicants.apply(5, values)], service.desk)
            assert found.cause == cause, values


def test_a_new_row_of_the_platform_is_a_version_too(homes) -> None:
    applicants, causes = Applicants(homes), []
    path = homes.platform / "users.csv"
    for change in range(4):
        lines = path.read_text().splitlines()
        path.write_text("\n".join(_changed(line, change) for line in lines) + "\n")
        fill(homes)
        with service_of(homes) as service:
            causes.append(answers(applicants, [applicants.apply(7)], service.desk)[0].cause)
    assert causes == [None, None, None, "scored too often"]


def _changed(line: str, change: int) -> str:
    if not line.startswith("SYN-00007,"):
        return line
    name, _, *rest = line.split(",")
    return ",".join([name, str((0, 22, 37, 59)[change]), *rest])


def test_a_reply_that_is_changed_on_its_way_gives_no_score(homes) -> None:
    def tamper(method: str, way: str, body: bytes) -> bytes:
        return body[:-20] + bytes([body[-20] ^ 1]) + body[-19:] if (method, way) == ("Score", "back") else body

    applicants = Applicants(homes)
    with service_of(homes) as service:
        (found,) = answers(applicants, [applicants.apply(1)], service.desk, tamper=tamper)
    assert (found.status, found.cause) == ("unavailable", "a reply that was changed on its way")


def test_an_answer_that_a_deviating_platform_makes_up_is_no_score(homes, monkeypatch) -> None:
    applicants = Applicants(homes)
    with service_of(homes) as service:
        monkeypatch.setattr("protocols.scoring.shared.PlatformShared.answer", lambda self, part, people: bytes(131_152))
        (found,) = answers(applicants, [applicants.apply(1)], service.desk)
    assert (found.status, found.cause) == ("unavailable", "a reply that is none")


def test_a_swapped_weight_upload_is_refused_at_either_node(homes) -> None:
    """Each swapped upload would extract one projection of the other side's columns."""
    for role in ("bank", "platform"):
        kept = unpack(homes.vault(role).shares(MODEL))
        other = pack(kept | {"received": kept["received"][:-1] + bytes([kept["received"][-1] ^ 1])})
        homes.vault(role).put(MODEL, homes.half(role) | {"shares": homes.vault(role).keep_shares(MODEL, other)})
    with pytest.raises(TrustError, match="not those that the training pinned"):
        _ = Applicants(homes).model


def test_a_part_for_other_weights_is_answered_with_a_refusal(homes, monkeypatch) -> None:
    applicants = Applicants(homes)
    with service_of(homes) as service:
        monkeypatch.setattr(applicants.model.shared.crypto, "digest", bytes(32))
        (found,) = answers(applicants, [applicants.apply(1)], service.desk)
        assert not service._admissions.untold()
    assert (found.status, found.cause) == ("unavailable", "it does not accept this bank")


@pytest.mark.parametrize("shared", [b"", b"x" * 100, b"\0" * 131_152])
def test_a_part_that_is_none_opens_nothing(homes, shared: bytes) -> None:
    applicants = Applicants(homes)

    async def run(service) -> str:
        async with scorer(applicants, InProcess(service.desk)) as client:
            request = pb.ScoreRequest(version=m.VERSION, model=MODEL, items=[applicants.ask(1).item()], shared=shared)
            with pytest.raises(Exception, match=r"cannot read the call|does not accept this bank"):
                await client._caller.call("Score", request, pb.ScoreReply, 5)

    with service_of(homes) as service:
        asyncio.run(run(service))
        assert not service._admissions.untold()
