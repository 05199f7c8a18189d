"""Alignment of two id sets by two processes, one core each: seconds, bytes, CPU and memory.

Beside it the least that it can take on this machine: the same hashes and multiplications of libsodium and nothing else,
measured on a tenth of the ids just before and just after.
"""
from __future__ import annotations

import multiprocessing
import os
import queue
import resource
import threading
import time
from typing import Any

from protocols.crypto.group import Scalar, hash_and_multiply, multiply_all
from protocols.psi.feature_party import AlignFeatureParty
from protocols.psi.label_party import AlignLabelParty
from protocols.psi.parameters import AlignmentParams
from protocols.role import Message

PARAMS = AlignmentParams(("trim", "casefold", "nfkc"), 1000, 10**7, 10**7, b"bench")
SILENCE_S = 300


def align(rows: int) -> dict[str, Any]:
    """Align `rows` ids with `rows` ids of which nine tenths are the same."""
    before = _arithmetic_seconds(rows)
    report = _align(rows)
    least = (before + _arithmetic_seconds(rows)) / 2
    return report | {"arithmetic_seconds": round(least, 2), "over_arithmetic": round(report["seconds"] / least, 2)}


def _arithmetic_seconds(rows: int) -> float:
    """Hashing and two multiplications per id in two processes at once, scaled up from a tenth of the ids."""
    with multiprocessing.get_context("spawn").Pool(2) as pool:
        return 10 * max(pool.map(_arithmetic, [rows // 10] * 2, chunksize=1))


def _arithmetic(count: int) -> float:
    """Seconds of one side."""
    scalar, ids = Scalar.random(), [b"SYN-%010d" % number for number in range(count)]
    began = time.perf_counter()
    multiply_all(hash_and_multiply(ids, b"bench", scalar, map), scalar, map)
    return time.perf_counter() - began


def _align(rows: int) -> dict[str, Any]:
    context = multiprocessing.get_context("spawn")
    left, right = context.Pipe()
    reports = [context.Pipe(duplex=False) for _ in range(2)]
    parties = [(AlignLabelParty, rows, 0, "platform", left), (AlignFeatureParty, rows, rows // 10, "bank", right)]
    workers = [context.Process(target=_party, args=(*party, report[1]), daemon=True)
               for party, report in zip(parties, reports, strict=True)]
    began = time.perf_counter()
    for worker in workers:
        worker.start()
    found = [report[0].recv() for report in reports]
    seconds = time.perf_counter() - began
    for worker in workers:
        worker.join(10)
    return {"rows": rows, "seconds": round(seconds, 2), "parties": found, "load_average": os.getloadavg()[0]}


def _party(role_class, rows, first, peer, pipe, report) -> None:
    role = role_class([f"SYN-{number:010d}" for number in range(first, first + rows)], peer, PARAMS)
    inbox: queue.Queue[bytes] = queue.Queue()
    threading.Thread(target=_read, args=(pipe, inbox), daemon=True).start()
    sent, outbox = 0, role.start()
    while True:
        for message in outbox:
            pipe.send_bytes(message.kind.encode() + b"\0" + message.payload)
            sent += len(message.payload)
        if role.result() is not None:
            break
        kind, payload = inbox.get(timeout=SILENCE_S).split(b"\0", 1)
        outbox = role.handle(Message(peer, kind.decode(), payload))
    usage = resource.getrusage(resource.RUSAGE_SELF)
    report.send({"common": len(role.result().rows), "megabytes_sent": round(sent / 1e6, 1),
                 "cpu_seconds": round(usage.ru_utime + usage.ru_stime, 2), "peak_megabytes": usage.ru_maxrss // 1024})


def _read(pipe, inbox) -> None:
    """Both sides send large messages at once: somebody has to keep reading."""
    try:
        while True:
            inbox.put(pipe.recv_bytes())
    except EOFError:
        return
