"""Flower's internal names are used in three modules only; this fails when an update moves one."""
from __future__ import annotations

import ast
import importlib
import importlib.util
from importlib.metadata import version
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
ADAPTERS = ("coordinator/flower/adapter.py", "parties/runtime/executor.py", "parties/runtime/flower_supernode.py")
PUBLIC = {"flwr.app", "flwr.serverapp", "flwr.clientapp"}


def flower_imports(path: Path) -> list[tuple[str, str]]:
    """(module, name) of every `from flwr… import …` in a file; `import flwr…` is not used."""
    nodes = ast.walk(ast.parse(path.read_text()))
    return [(n.module, a.name) for n in nodes if isinstance(n, ast.ImportFrom) and n.module
            and n.module.split(".")[0] == "flwr" for a in n.names]


def test_the_pinned_version_is_installed():
    assert version("flwr") == "1.41.0"


@pytest.mark.parametrize("adapter", ADAPTERS)
def test_every_internal_name_is_where_we_expect_it(adapter: str):
    imports = flower_imports(ROOT / adapter)
    assert len(imports) > 3
    for module, name in imports:
        assert found(module, name), f"{module}.{name} moved; see {adapter}"


def found(module: str, name: str) -> bool:
    """Whether `from module import name` works: an attribute or a module below."""
    return hasattr(importlib.import_module(module), name) or bool(importlib.util.find_spec(f"{module}.{name}"))


@pytest.mark.parametrize(
    "name", ["StartRun", "StopRun", "ListRuns", "ListNodes", "RegisterNode", "UnregisterNode", "close"]
)
def test_the_control_client_has_the_calls_we_make(name: str):
    client = importlib.import_module("flwr.supercore.control").ControlHttpClient
    assert callable(getattr(client, name))


def test_messages_have_the_fields_we_set():
    from flwr.proto.control_pb2 import RegisterNodeRequest, StartRunRequest
    from flwr.proto.runtime_pb2 import AcquireTaskRequest, AcquireTaskResponse

    assert {"fab", "override_config"} <= set(StartRunRequest.DESCRIPTOR.fields_by_name)
    assert {"public_key", "name"} <= set(RegisterNodeRequest.DESCRIPTOR.fields_by_name)
    assert "supported_task_types" in AcquireTaskRequest.DESCRIPTOR.fields_by_name
    assert "token" in AcquireTaskResponse.DESCRIPTOR.fields_by_name


def test_error_codes_are_those_we_retry():
    from flwr.common.constant import ErrorCode

    from coordinator.server_app import REFUSED, TRANSIENT

    names = ("MESSAGE_UNAVAILABLE", "REPLY_MESSAGE_UNAVAILABLE", "NODE_UNAVAILABLE", "CLIENT_APP_CRASHED")
    assert {getattr(ErrorCode, n) for n in names} == TRANSIENT
    assert REFUSED not in {v for k, v in vars(ErrorCode).items() if k.isupper()}


def test_no_other_module_uses_internals():
    for folder in ("coordinator", "parties", "protocols"):
        for path in (ROOT / folder).rglob("*.py"):
            if path.relative_to(ROOT).as_posix() not in ADAPTERS:
                assert {module for module, _ in flower_imports(path)} <= PUBLIC, path


def test_a_reply_that_was_only_announced_is_given_up_soon():
    """The bound reaches the function that the grid calls."""
    from flwr.supercore.inflatable.inflatable_utils import ObjectPullError, ObjectUnavailableError, pull_objects
    from flwr.superlink.grid import http_grid

    from coordinator.flower.adapter import bound_reply_waits

    def never(object_id: str) -> bytes:
        raise ObjectUnavailableError(object_id)

    try:
        bound_reply_waits(0.0)
        bound_reply_waits(0.0)
        with pytest.raises(ObjectPullError):
            http_grid.pull_objects(object_ids=["a"], pull_object_fn=never)
        http_grid.pull_objects = len
        with pytest.raises(RuntimeError, match="elsewhere"):
            bound_reply_waits(1.0)
    finally:
        http_grid.pull_objects = pull_objects
