"""The party's local API: JSON calls over a Unix socket in a folder only the node's user can enter.

The executor and the command line talk to the resident daemon through it. A call never raises across the socket: what
a handler refuses comes back as {"ok": false, "refused": sentence, "setting": …}, other faults as {"ok": false,
"error": sentence}.
"""
from __future__ import annotations

import contextlib
import hashlib
import json
import logging
import os
import stat
import tempfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import grpc

from protocols.errors import ConfigError, PolicyRefused, SealscoreError
from protocols.json_object import json_object

log = logging.getLogger(__name__)
Handler = Callable[[dict[str, Any]], dict[str, Any]]
MAX_BODY_BYTES = 16 * 1024 * 1024
MAX_SOCKET_PATH_BYTES = 100  # Linux allows 107
_PREFIX = "/sealscore.Local/"
_OPTIONS = [
    ("grpc.max_receive_message_length", MAX_BODY_BYTES),
    ("grpc.max_send_message_length", MAX_BODY_BYTES),
    ("grpc.enable_http_proxy", 0),
]


class LocalServer:
    """A running local API; `stop` also removes the socket."""

    def __init__(self, server: grpc.Server, socket_path: Path):
        self._server, self._socket_path = server, socket_path

    def stop(self, grace_s: float = 1.0) -> None:
        """Refuse new calls, give running ones `grace_s` seconds, remove the socket."""
        self._server.stop(grace_s).wait()
        self._socket_path.unlink(missing_ok=True)
        with contextlib.suppress(OSError):  # made again at the next start
            self._socket_path.parent.rmdir()


class _Calls(grpc.GenericRpcHandler):
    def __init__(self, handlers: dict[str, Handler]):
        self._handlers = dict(handlers)

    def service(self, details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler | None:
        handler = self._handlers.get(details.method.removeprefix(_PREFIX))
        if handler is None or not details.method.startswith(_PREFIX):
            return None
        return grpc.unary_unary_rpc_method_handler(lambda body, _context: _answer(details.method, handler, body))


def _answer(method: str, handler: Handler, body: bytes) -> bytes:
    """Run one handler; errors become replies."""
    try:
        reply = handler(json_object(body, "the body of a local call"))
    except SealscoreError as error:
        reply = refusal(error)
    except Exception:  # the peer gets a class of fault and no data; the log keeps the rest
        log.exception("local call %s failed", method)
        reply = {"ok": False, "error": f"internal fault in {method.removeprefix(_PREFIX)}; see this node's log"}
    return json.dumps(reply, ensure_ascii=False, allow_nan=False).encode()


def refusal(error: SealscoreError) -> dict[str, Any]:
    """The reply that stands for `error`."""
    if isinstance(error, PolicyRefused):
        return {"ok": False, "refused": str(error), "setting": error.setting}
    return {"ok": False, "error": str(error)}


def socket_path(folder: Path) -> Path:
    """The daemon's socket in `folder`; when that path is longer than the system takes, in a private folder instead.

    That one lies directly under $XDG_RUNTIME_DIR or the folder of temporary files; `serve` checks owner and mode.
    """
    path = folder / "daemon.sock"
    if len(os.fsencode(path)) <= MAX_SOCKET_PATH_BYTES:
        return path
    root = Path(os.environ.get("XDG_RUNTIME_DIR") or tempfile.gettempdir())
    return root / f"sealscore-{os.getuid()}-{hashlib.sha256(os.fsencode(folder)).hexdigest()[:16]}" / path.name


def serve(socket_path: str | Path, handlers: dict[str, Handler], *, threads: int = 8) -> LocalServer:
    """Serve `handlers` on `socket_path`; its folder is made with mode 0700 and must not be open to others."""
    path = _checked(Path(socket_path))
    _private_folder(path.parent)
    path.unlink(missing_ok=True)
    server = grpc.server(ThreadPoolExecutor(threads, thread_name_prefix="local-api"), options=_OPTIONS)
    server.add_generic_rpc_handlers((_Calls(handlers),))
    server.add_insecure_port(f"unix:{path}")
    server.start()
    return LocalServer(server, path)


def call(socket_path: str | Path, method: str, body: dict[str, Any], timeout_s: float = 30.0) -> dict[str, Any]:
    """One call; SealscoreError when the daemon does not answer within `timeout_s`."""
    path = _checked(Path(socket_path))
    if not path.exists():
        raise SealscoreError("this node's daemon is not running (no local socket); start it with `serve`")
    with grpc.insecure_channel(f"unix:{path}", options=_OPTIONS) as channel:
        rpc = channel.unary_unary(_PREFIX + method)
        try:
            reply = rpc(json.dumps(body, ensure_ascii=False, allow_nan=False).encode(), timeout=timeout_s)
            return json_object(reply, "the daemon's reply")
        except grpc.RpcError as fault:
            raise SealscoreError(_explain(method, fault, timeout_s)) from None


def _explain(method: str, fault: grpc.RpcError, timeout_s: float) -> str:
    if fault.code() == grpc.StatusCode.UNIMPLEMENTED:
        return f"this node's daemon knows no call {method!r}; update the node"
    if fault.code() == grpc.StatusCode.DEADLINE_EXCEEDED:
        return f"this node's daemon did not answer {method!r} within {timeout_s:g} s; see its log"
    return f"this node's daemon does not answer ({fault.code().name.lower()}); start it with `serve`"


def _checked(path: Path) -> Path:
    if len(os.fsencode(path)) > MAX_SOCKET_PATH_BYTES:
        raise ConfigError(
            f"the path of the local socket has {len(os.fsencode(path))} bytes, at most {MAX_SOCKET_PATH_BYTES} are "
            "possible; choose a shorter home folder"
        )
    return path


def _private_folder(folder: Path) -> None:
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    facts = folder.stat()
    if facts.st_uid != os.getuid() or stat.S_IMODE(facts.st_mode) & 0o077:
        raise ConfigError(f"folder {folder.name} of the local socket must belong to this user with mode 0700")
