"""The party's executor: claims the SuperNode's tasks and runs only what is installed here.

A stock executor unpacks the archive that the coordinator ships and runs it. This one compares the archive's members
with its own (no code), answers anything else with an error and tells the daemon, which writes the audit record. It is a
process of its own because Flower's retry and heartbeat code may interrupt its process.
`python -m parties.runtime.executor --runtime HOST:PORT --secret FILE --socket SOCK`

With `flower_supernode` the only module of the parties that uses Flower's internal names; tests pin them.
"""
from __future__ import annotations

import argparse
import contextlib
import logging
import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
from flwr.app import Context, Message
from flwr.app.error import Error
from flwr.common.constant import SubStatus
from flwr.proto.runtime_pb2 import AcquireTaskRequest
from flwr.supercore.constant import TaskType
from flwr.supercore.heartbeat import HeartbeatSender, make_task_heartbeat_fn_http
from flwr.supercore.interceptors import (
    RuntimeTokenHttpInterceptor,
    RuntimeVersionHttpInterceptor,
    SuperExecAuthHttpInterceptor,
)
from flwr.supercore.retry import make_simple_http_retry_invoker
from flwr.supercore.runtime import RuntimeHttpClient
from flwr.supernode.runtime.run_clientapp import pull_task_input, push_message, push_task_output

from parties.runtime import local_api
from parties.runtime.client_app import SOCKET_VARIABLE, app
from protocols.errors import SealscoreError
from protocols.node import archive

log = logging.getLogger("sealscore.executor")
REFUSED = 100  # our own code in error replies; Flower's own are below 100
FAULT = 2
POLL_S, IDLE_POLL_S = 0.5, 2.0  # a question costs the SuperNode 4 ms of CPU; in a training none comes for minutes
BUSY_S = 15.0  # after a task: another is likely soon
_ACQUIRE = "/flwr.proto.Runtime/AcquireTask"


def _client(runtime: str, *interceptors: Any) -> RuntimeHttpClient:
    return RuntimeHttpClient.from_server_address(
        server_address=runtime,
        insecure=True,  # the SuperNode's runtime API listens on loopback and asks for the secret
        root_certificates=None,
        retry_invoker=make_simple_http_retry_invoker(),
        interceptors=[RuntimeVersionHttpInterceptor(component_name="flwr-clientapp"), *interceptors],
    )


class Executor:
    """Claims one task after the other; each is one control message to this party."""

    def __init__(self, runtime: str, secret: bytes, socket_path: Path):
        self._runtime, self._socket_path = runtime, socket_path
        guard = SuperExecAuthHttpInterceptor(master_secret=secret, protected_methods={_ACQUIRE})
        self._tasks = _client(runtime, guard)

    def run(self) -> None:
        """Work until a signal."""
        busy_until = 0.0
        while True:
            token = self._acquire()
            if token:
                self._serve(token)
                busy_until = time.monotonic() + BUSY_S
            else:
                time.sleep(POLL_S if time.monotonic() < busy_until else IDLE_POLL_S)

    def _acquire(self) -> str:
        try:
            request = AcquireTaskRequest(supported_task_types=[TaskType.CLIENT_APP])
            return self._tasks.AcquireTask(request).token
        except httpx.HTTPError as fault:
            log.warning("the SuperNode does not answer (%s)", type(fault).__name__)
            time.sleep(1.0)
            return ""

    def _serve(self, token: str) -> None:
        context, outcome = None, (SubStatus.FAILED, "see the party's own log")
        with _task_client(self._runtime, token) as client:
            try:
                message, context, run, shipped = pull_task_input(client)
                reply = self._reply(message, context, shipped, run.fab_hash)
                push_message(client, reply, context)
                if not reply.has_error():
                    outcome = (SubStatus.COMPLETED, "")
            except Exception:  # a task's fault must not end the executor, and its text stays here
                log.exception("a task failed")
            finally:
                push_task_output(client=client, context=context, sub_status=outcome[0], details=outcome[1])

    def _reply(self, message: Message, context: Context, shipped: Any, announced_hash: str) -> Message:
        """The daemon's answer, or an error that names a class of fault and no data."""
        try:
            archive.check(shipped.content, announced_hash)
            return app(message=message, context=context)
        except archive.ForeignArchive as foreign:
            self._tell_daemon(str(foreign), announced_hash)
            return Message(Error(code=REFUSED, reason=f"refused: {foreign}"), reply_to=message)
        except Exception:
            log.exception("message %s failed", message.metadata.message_type)
            return Message(Error(code=FAULT, reason="the party's client failed; see its log"), reply_to=message)

    def _tell_daemon(self, cause: str, archive_hash: str) -> None:
        log.error("refused: %s", cause)
        try:
            local_api.call(self._socket_path, "refused", {"what": "archive", "cause": cause, "sha256": archive_hash})
        except SealscoreError as error:
            log.error("the refusal could not be given to the daemon: %s", error)


@contextlib.contextmanager
def _task_client(runtime: str, token: str) -> Iterator[RuntimeHttpClient]:
    """A client of one task with its heartbeat."""
    client = _client(runtime, RuntimeTokenHttpInterceptor(token))
    beat = HeartbeatSender(make_task_heartbeat_fn_http(client))
    beat.start()
    try:
        yield client
    finally:
        if beat.is_running:
            beat.stop()
        client.close()


def main() -> int:
    """Process entry."""
    parser = argparse.ArgumentParser(prog="parties.runtime.executor")
    for name in ("--runtime", "--secret", "--socket"):
        parser.add_argument(name, required=True)
    options = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    for noisy in ("httpx", "flwr"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
    os.environ[SOCKET_VARIABLE] = options.socket
    log.info("resident; archive %s", archive.build()[1])
    with contextlib.suppress(KeyboardInterrupt):
        Executor(options.runtime, Path(options.secret).read_bytes(), Path(options.socket)).run()
    return 0


if __name__ == "__main__":
    sys.exit(main())
