"""Run jobs at once from several stores, each with its own writers and connections, as several processes would."""
from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

from parties.bank.store import Unit, open_store


def at_once(url: str, stores: int, jobs: int, job: Callable[[Unit, int, int], Any]) -> list[Any]:
    """`job(unit, store, n)` for each of so many stores and jobs; results and refusals in any order."""
    results: list[Any] = []
    barrier = threading.Barrier(stores)

    def work(worker: int) -> None:
        with open_store(url) as store:
            barrier.wait(30)
            futures = [store.submit(lambda unit, n=n: job(unit, worker, n)) for n in range(jobs)]
            results.extend(future.exception() or future.result() for future in futures)

    threads = [threading.Thread(target=work, args=(worker,)) for worker in range(stores)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    return results
