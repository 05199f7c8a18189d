"""Two nodes as processes, gRPC over mutual TLS between them."""
from __future__ import annotations

import asyncio
import json
import signal
import subprocess
from pathlib import Path

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from coordinator.certs import PartySpec, init_federation
from parties.bank.scoring.transport import DirectTransport
from parties.platform.scoring.server import SERVICE
from protocols.node.tls import NodeTls
from protocols.scorecard.holdout import coarse
from tests.scoring.asking import Asking, scorer
from tests.scoring.homes import MODEL, identifier
from tests.scoring.processes import SEALSCORE, platform_process

VALUES = {"inquiries": "3", "income": "5000", "employment": "clerk"}


def bank(homes, *words: str) -> subprocess.CompletedProcess:
    return subprocess.run([*SEALSCORE, "bank", "scoring", *words[:1], str(homes.bank / "bank.toml"), *words[1:]],
                          capture_output=True, text=True, timeout=60, check=False, cwd=Path(__file__).parents[2])


def configure(homes, address: str) -> None:
    with (homes.bank / "bank.toml").open("a") as file:
        file.write(f'\n[scoring.platforms.platform]\naddress = "{address}"\n')


def score(homes, address: str, number: int, deadline_s: float = 10.0):
    asking = Asking(homes)

    async def run():
        async with scorer(asking, address=address) as client:
            return await client.score(asking.ask(number, f"once-{number}", "one"), MODEL, deadline_s)

    return asyncio.run(run())


def enough(homes) -> int:
    """Somebody with data enough, by number."""
    payments = homes.table("platform").columns["payments"].values[::-1]
    return int(next(n for n in range(homes.shared) if payments[n] >= 5))


@pytest.mark.slow
def test_a_bank_asks_a_platform(homes):
    number = enough(homes)
    with platform_process(homes) as (_, address):
        configure(homes, address)
        words = ("ask", MODEL, "--id", identifier(number), "--values", json.dumps(VALUES), "--consent", "c-1")
        done = bank(homes, *words)
        told = json.loads(done.stdout)
        again = json.loads(bank(homes, *words).stdout)
        stranger = bank(homes, "ask", MODEL, "--id", "nobody", "--consent", "c-2")
        _check_health_and_reflection(homes, address)
    model = Asking(homes).model
    expected = model.own.score(VALUES).log_odds + int(coarse(homes.partials())[number]) / 32
    assert told["score"]["status"] == "answered" and told["score"]["model"] == MODEL
    assert float(told["score"]["log_odds"]) == round(expected * 32) / 32
    assert float(told["score"]["probability"]) == round(float(model.calibration.probability(expected)), 4)
    assert told["bank_only"]["probability"] is not None and again["score"]["status"] == "answered"
    assert stranger.returncode == 2 and stranger.stderr.count("\n") == 1 and "nobody" not in stranger.stderr
    down = json.loads(bank(homes, *words).stdout)["score"]
    assert (down["status"], down["cause"], down["probability"]) == ("unavailable", "not reachable", None)


def _check_health_and_reflection(homes, address: str) -> None:
    with grpc.secure_channel(address, NodeTls.load(homes.bank).channel_credentials()) as channel:
        asked = health_pb2.HealthCheckRequest(service=SERVICE)
        assert health_pb2_grpc.HealthStub(channel).Check(asked, timeout=10).status == \
            health_pb2.HealthCheckResponse.SERVING
        listing = reflection_pb2.ServerReflectionRequest(list_services="")
        (reply,) = reflection_pb2_grpc.ServerReflectionStub(channel).ServerReflectionInfo(iter([listing]), timeout=10)
        assert SERVICE in {service.name for service in reply.list_services_response.service}


@pytest.mark.slow
def test_only_certificates_of_the_federation_get_in(homes, tmp_path):
    other = tmp_path / "other"
    init_federation(other, [PartySpec("bank", "bank")], days=2)
    with platform_process(homes) as (_, address):
        for credentials in (NodeTls.load(other / "bank").channel_credentials(),
                            grpc.ssl_channel_credentials((homes.bank / "tls" / "ca.crt").read_bytes())):
            with grpc.secure_channel(address, credentials) as channel, pytest.raises(grpc.RpcError) as refused:
                health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest(), timeout=5)
            assert refused.value.code() == grpc.StatusCode.UNAVAILABLE


@pytest.mark.slow
def test_a_killed_platform_is_no_answer_and_forgets_nothing(homes):
    number = enough(homes)
    with platform_process(homes) as (process, address):
        asking = Asking(homes)

        async def run():
            async with scorer(asking, DirectTransport(address, homes.bank)) as client:
                first = await client.score(asking.ask(number, f"once-{number}", "other"), MODEL, 10)
                process.send_signal(signal.SIGKILL)
                process.wait()
                return first, await client.score(asking.ask(number), MODEL, 0.5), client.status()

        first, second, status = asyncio.run(run())
    assert first.status == "answered" and second.status == "unavailable" and status.breaker.failures == 1
    with platform_process(homes) as (_, address):
        assert score(homes, address, number).cause == "consent used up"
    log = (homes.platform / "scoring.log").read_text()
    assert "Traceback" not in log and identifier(number) not in log


@pytest.mark.slow
@pytest.mark.parametrize(("file", "old", "new", "sentence"), [
    ("policy.toml", ', "online"', "", "policy setting kinds"),
    ("platform.toml", 'listen = "127.0.0.1:0"', "", "needs a section [scoring]"),
    ("platform.toml", 'listen = "127.0.0.1:0"', 'listen = "127.0.0.1:0"\nstore = "mysql://x"', "expected a file"),
    ("platform.toml", "[scoring]", "[scoring]\ncolour = 3", "colour"),
])
def test_a_platform_that_may_not_or_cannot_answer_says_so(homes, file, old, new, sentence):
    path = homes.platform / file
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))
    done = subprocess.run([*SEALSCORE, "platform", "scoring", "serve", str(homes.platform / "platform.toml")],
                          capture_output=True, text=True, timeout=60, check=False, cwd=Path(__file__).parents[2])
    assert done.returncode in (1, 2) and sentence in done.stderr and done.stderr.count("\n") == 1
