"""Alignment of 100,000 with 100,000 ids in two processes, one core each. `pytest -m bench -s tests/benchmarks`."""
from __future__ import annotations

import multiprocessing
import os
import queue
import resource
import threading
import time

import pytest

from protocols.psi.feature_party import AlignFeatureParty
from protocols.psi.label_party import AlignLabelParty
from protocols.psi.parameters import AlignmentParams
from protocols.role import Message

ROWS = int(os.environ.get("SEALSCORE_BENCH_IDS", "100000"))
PARAMS = AlignmentParams(("trim", "casefold", "nfkc"), 1000, 10**7, 10**7, b"bench")


def _party(role_class, first, peer, pipe, report):
    role = role_class([f"SYN-{number:010d}" for number in range(first, first + ROWS)], peer, PARAMS)
    inbox: queue.Queue[bytes] = queue.Queue()
    threading.Thread(target=_read, args=(pipe, inbox), daemon=True).start()
    sent, outbox = 0, role.start()
    while True:
        for message in outbox:
            pipe.send_bytes(message.kind.encode() + b"\0" + message.payload)
            sent += len(message.payload)
        if role.result() is not None:
            break
        kind, payload = inbox.get(timeout=120).split(b"\0", 1)
        outbox = role.handle(Message(peer, kind.decode(), payload))
    usage = resource.getrusage(resource.RUSAGE_SELF)
    report.send((len(role.result()), sent, usage.ru_utime, usage.ru_maxrss // 1024))


def _read(pipe, inbox):
    """Both sides send large messages at once: somebody has to keep reading."""
    try:
        while True:
            inbox.put(pipe.recv_bytes())
    except EOFError:
        return


@pytest.mark.bench
@pytest.mark.timeout(600)
def test_two_processes():
    context = multiprocessing.get_context("spawn")
    left, right = context.Pipe()
    reports = [context.Pipe(duplex=False) for _ in range(2)]
    parties = [(AlignLabelParty, 0, "platform", left), (AlignFeatureParty, ROWS // 10, "bank", right)]
    workers = [context.Process(target=_party, args=(*party, report[1]))
               for party, report in zip(parties, reports, strict=True)]
    start = time.perf_counter()
    for worker in workers:
        worker.start()
    found = [report[0].recv() for report in reports]
    seconds = time.perf_counter() - start
    for worker in workers:
        worker.join()
    print(f"\n{ROWS} x {ROWS} ids: {seconds:.1f} s")
    for rows, sent, cpu, rss in found:
        print(f"  {rows} rows in common, {sent / 1e6:.1f} MB sent, {cpu:.1f} s of CPU, {rss} MB resident")
        assert rows == ROWS - ROWS // 10
    assert seconds <= 20 * max(1, ROWS / 100_000)
