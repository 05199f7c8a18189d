"""The hub's process: `python -m coordinator.hub_main --home HOME --port PORT --registry URL --config FILE`.

Prints one JSON line {"hub": "HOST:PORT"} when it accepts connections; ends cleanly on SIGTERM and SIGINT.
"""
from __future__ import annotations

import argparse
import asyncio
import json
import logging
import signal
import sys
from collections.abc import Callable
from pathlib import Path

from coordinator.bulk import MIB, BulkStore, Limits
from coordinator.bulk_usage import UsageFiles
from coordinator.canary import guard, refuse_decryptors
from coordinator.config import load_config
from coordinator.hub import Hub, HubRegistry, server
from coordinator.members import Admission
from coordinator.registry import Registry
from protocols.errors import SealscoreError, UsageError
from protocols.node.tls import NodeTls

STOP_GRACE_S = 0.5


async def serve(tls: NodeTls, registry: HubRegistry, host: str, port: int,
                admits: Callable[[str], bool] = lambda party: True, limits: Limits | None = None) -> None:
    """Run the hub until SIGTERM or SIGINT."""
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    store = BulkStore(limits)
    hub = Hub(registry, admits, store, UsageFiles(tls.home))
    try:
        grpc_server, bound = server(hub, tls, f"{host}:{port}")
    except OSError:
        raise UsageError(f"cannot listen on {host}:{port}; is another hub running? set another port under "
                         f"[listen] hub") from None
    await grpc_server.start()
    sys.stdout.write(json.dumps({"hub": f"{host}:{bound}"}) + "\n")
    sys.stdout.flush()
    watcher = asyncio.create_task(hub.watch())
    await stop.wait()
    watcher.cancel()
    await grpc_server.stop(STOP_GRACE_S)
    await hub.bulks.write_usage()
    store.close()


def main(argv: list[str] | None = None) -> int:
    """Parse arguments and serve; one sentence and an exit code on failure."""
    parser = argparse.ArgumentParser(prog="hub", description="Relay of sealed frames between the parties.")
    parser.add_argument("--home", type=Path, required=True, help="the coordinator's home directory")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, required=True, help="0: any free port")
    parser.add_argument("--config", type=Path, help="coordinator.toml: only its parties are let in, also later ones")
    parser.add_argument("--registry", required=True, help="database URL of the coordinator's registry")
    parser.add_argument("--bulk-mib", type=int, default=Limits.total_bytes // MIB,
                        help="memory for bulks of all runs; one run gets at most half of it")
    options = parser.parse_args(argv)
    if options.bulk_mib < 1:
        parser.error("--bulk-mib: expected 1 or more")
    limits = Limits(run_bytes=options.bulk_mib * MIB // 2, total_bytes=options.bulk_mib * MIB)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    try:
        _refuse_decryptors(options.config)
        admits = {"admits": Admission(options.config)} if options.config else {}
        asyncio.run(serve(NodeTls.load(options.home), Registry(options.registry), options.host, options.port,
                          limits=limits, **admits))
    except SealscoreError as error:
        sys.stderr.write(f"error: {error}\n")
        return error.exit_code
    return 0


def _refuse_decryptors(config: Path | None) -> None:
    """TrustError when this process has loaded what can decrypt; recorded in the log of the node it belongs to."""
    if config is None:
        refuse_decryptors()
    else:
        settings = load_config(config)
        guard("hub", settings.home, settings.node.name)


if __name__ == "__main__":
    sys.exit(main())
