"""The load generator says what applicants would have felt."""
from __future__ import annotations

import asyncio
import json
import math
import os
import time

import pytest

from tests.benchmarks import decisions
from tests.benchmarks.http_load import HttpTarget
from tests.benchmarks.open_loop import OK, drive, due_times, measured, percentile, table


async def _at_once(number: int) -> str:
    return OK


def test_a_stall_is_felt_by_everybody_who_was_due_in_it() -> None:
    """One stall of 0.3 s in a service that answers one after another: a closed loop would count one slow request."""
    door = asyncio.Lock()

    async def send(number: int) -> str:
        async with door:
            await asyncio.sleep(0.3 if number == 20 else 0.0)
        return OK

    samples = asyncio.run(drive(send, due_times(100, 0.6, poisson=False)))
    assert len(samples.latencies) == 60
    assert 15 < sum(latency > 0.1 for latency in samples.latencies) < 45
    assert percentile(samples.latencies, 99) > 0.25


def test_a_blocked_generator_does_not_hide_what_was_due() -> None:
    async def send(number: int) -> str:
        if number == 5:
            time.sleep(0.25)  # noqa: ASYNC251 - this is the fault
        return OK

    samples = asyncio.run(drive(send, due_times(100, 0.3, poisson=False)))
    assert max(samples.latencies) > 0.2 and max(samples.lag) > 0.15


@pytest.mark.parametrize("poisson", [False, True])
def test_requests_are_due_at_the_rate(poisson: bool) -> None:
    times = list(due_times(200, 20, poisson=poisson))
    assert times == sorted(times) and times[-1] < 20 and abs(len(times) - 4000) < 250
    gaps = [b - a for a, b in zip(times, times[1:], strict=False)]
    assert (max(gaps) > 0.02) == poisson
    assert times == list(due_times(200, 20, poisson=poisson))


def test_percentiles_are_values_that_were_seen() -> None:
    values = [0.001 * n for n in range(1, 101)]
    assert [percentile(values, p) for p in (50, 99, 99.9)] == [0.05, 0.099, 0.1]
    assert math.isnan(percentile([], 50)) and percentile([3.0], 1) == 3.0


def test_errors_and_faults_are_counted_and_shown() -> None:
    async def send(number: int) -> str:
        if number % 10 == 3:
            raise ConnectionResetError("gone")
        return "HTTP 503" if number % 10 == 4 else OK

    told = asyncio.run(measured(send, due_times(500, 0.2, poisson=False), {"here": os.getpid()}))
    assert told["errors"] == {"ConnectionResetError": 10, "HTTP 503": 10} and told["requests"] == 100
    shown = table("x", told)
    assert "ConnectionResetError: 10" in shown and "here" in shown
    assert told["processes"]["here"]["rss_mb_max"] > 10 and json.dumps(told)


async def _serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answers by what the body asks for; chunked every other time."""
    chunked = False
    try:
        while True:
            head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
            length = int(head.split("content-length: ")[1].split("\r\n")[0])
            told = json.loads(await reader.readexactly(length))
            writer.write(_reply(told.get("status", 200), head.startswith("post /v1/applications http/1.1"), chunked))
            chunked = not chunked
    except asyncio.IncompleteReadError:
        writer.close()


def _reply(status: int, known: bool, chunked: bool) -> bytes:
    body = b'{"ok": 1}' if known else b"{}"
    if chunked:
        return (f"HTTP/1.1 {status} X\r\nTransfer-Encoding: chunked\r\n\r\n{len(body):x}\r\n".encode() + body
                + b"\r\n0\r\n\r\n")
    return f"HTTP/1.1 {status} X\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body


def test_http_requests_share_connections_and_every_status_counts(tmp_path, capsys) -> None:
    bodies = tmp_path / "bodies.jsonl"
    bodies.write_text('{"amount_fen": 100}\n\n{"amount_fen": 5, "status": 422}\n')

    async def run() -> tuple[dict, tuple[int, bytes], int]:
        server = await asyncio.start_server(_serve, "127.0.0.1", 0)
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1/applications"
        words = f"http --rate 100 --seconds 0.4 --warm-s 0.05 --url {url} --bodies {bodies} --header A=b".split()
        told = await decisions.load_http(decisions._options(words))
        target = HttpTarget(url)
        answers = [await target.post(b"{}", {}) for _ in range(3)]
        free = len(target._free)
        await target.close()
        server.close()
        await server.wait_closed()
        return told, answers[-1], free

    told, answer, free = asyncio.run(run())
    assert told["errors"] == {"HTTP 422": told["requests"] // 2}
    assert answer == (200, b'{"ok": 1}') and free == 1


def test_wrong_words_are_refused() -> None:
    with pytest.raises(SystemExit):
        decisions._options(["http", "--rate", "3"])
    with pytest.raises(ValueError, match="expected a URL"):
        HttpTarget("ftp://x/y")


@pytest.mark.slow
@pytest.mark.parametrize("release", ["owner", "shared"])
def test_the_scoring_process_answers_everybody_at_sixty_a_second(release: str, capsys) -> None:
    words = f"scoring --release {release} --rate 60 --seconds 5 --people 300 --json".split()
    assert decisions.main(words) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["requests"] > 200 and not told["errors"]
    assert told["processes"]["platform"]["rss_mb_max"] < 600
