"""The local socket: private, bounded, errors as replies."""
from __future__ import annotations

import logging
import stat
from pathlib import Path

import pytest

from parties.runtime import local_api
from protocols.errors import ConfigError, PolicyRefused, SealscoreError, TrustError


def refuse(_body: dict) -> dict:
    raise PolicyRefused("purposes", "marketing is not allowed")


def distrust(_body: dict) -> dict:
    raise TrustError("the signature does not hold")


def burst(_body: dict) -> dict:
    raise ValueError("customer 4711")


HANDLERS = {"echo": lambda body: {"ok": True, **body}, "refuse": refuse, "distrust": distrust, "burst": burst}


@pytest.fixture
def socket_path(tmp_path: Path):
    path = tmp_path / "local" / "s"
    server = local_api.serve(path, HANDLERS)
    yield path
    server.stop(0.1)
    assert not path.exists()


def test_a_call_carries_json_both_ways(socket_path: Path):
    assert local_api.call(socket_path, "echo", {"名": [1, None, "ü"]}) == {"ok": True, "名": [1, None, "ü"]}


def test_the_folder_is_private(socket_path: Path):
    assert stat.S_IMODE(socket_path.parent.stat().st_mode) == 0o700


def test_refusals_name_the_setting(socket_path: Path):
    reply = local_api.call(socket_path, "refuse", {})
    assert reply["ok"] is False and reply["setting"] == "purposes" and "marketing" in reply["refused"]


def test_other_errors_are_a_sentence(socket_path: Path):
    assert local_api.call(socket_path, "distrust", {}) == {"ok": False, "error": "the signature does not hold"}


def test_faults_show_no_data(socket_path: Path, caplog):
    with caplog.at_level(logging.CRITICAL):
        assert "4711" not in str(local_api.call(socket_path, "burst", {}))


def test_unknown_calls_and_silence_are_sentences(socket_path: Path, tmp_path: Path):
    with pytest.raises(SealscoreError, match="knows no call 'nothing'"):
        local_api.call(socket_path, "nothing", {})
    with pytest.raises(SealscoreError, match="not running"):
        local_api.call(tmp_path / "none", "echo", {})


def test_a_left_over_socket_is_one_too(tmp_path: Path):
    (tmp_path / "s").touch()
    with pytest.raises(SealscoreError, match="does not answer"):
        local_api.call(tmp_path / "s", "echo", {}, timeout_s=2.0)


def test_a_slow_daemon_meets_the_deadline(tmp_path: Path):
    import threading

    release = threading.Event()
    server = local_api.serve(tmp_path / "local" / "s", {"wait": lambda _b: {"ok": release.wait(10)}})
    with pytest.raises(SealscoreError, match="did not answer 'wait' within 0.2 s"):
        local_api.call(tmp_path / "local" / "s", "wait", {}, timeout_s=0.2)
    release.set()
    server.stop(1.0)


def test_open_folders_are_refused(tmp_path: Path):
    (tmp_path / "open").mkdir(mode=0o755)
    with pytest.raises(ConfigError, match="mode 0700"):
        local_api.serve(tmp_path / "open" / "s", HANDLERS)


def test_long_paths_are_refused(tmp_path: Path):
    with pytest.raises(ConfigError, match="shorter home"):
        local_api.serve(tmp_path / ("x" * 100) / "s", HANDLERS)


def test_a_restart_takes_the_socket_over(tmp_path: Path):
    first = local_api.serve(tmp_path / "l" / "s", {"who": lambda _b: {"n": 1}})
    second = local_api.serve(tmp_path / "l" / "s", {"who": lambda _b: {"n": 2}})
    assert local_api.call(tmp_path / "l" / "s", "who", {}) == {"n": 2}
    second.stop(0.1)
    first.stop(0.1)


def test_a_deep_home_gets_its_socket_in_a_private_folder(tmp_path: Path):
    deep = tmp_path / ("d" * 120) / "local"
    path = local_api.socket_path(deep)
    assert len(str(path)) < 100 and path == local_api.socket_path(deep)
    assert path != local_api.socket_path(deep.with_name("other"))
    server = local_api.serve(path, {"say": lambda body: {"ok": True}})
    assert path.parent.stat().st_mode & 0o777 == 0o700
    assert local_api.call(path, "say", {}) == {"ok": True}
    server.stop(0.1)
    assert not path.parent.exists()
    assert local_api.socket_path(tmp_path / "local") == tmp_path / "local" / "daemon.sock"
