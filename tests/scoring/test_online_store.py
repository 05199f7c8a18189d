"""Both kinds of online store behave alike; the Redis one runs against a real server where redis-server is on PATH."""
from __future__ import annotations

import time
import traceback
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import redis

from parties.platform.scoring.features import Codec, Features
from parties.platform.scoring.online_store import OnlineStore, StoreUnavailable, open_store
from protocols.crypto.box import Box
from protocols.errors import ConfigError, SealscoreError, TrustError
from tests.scoring.asking import Asking, service_of
from tests.scoring.conftest import fill
from tests.scoring.redis_server import PASSWORD, RedisServer, installed
from tests.scoring.test_desk import answers
from tests.tls_files import certificate

MODEL, OTHER = "m-" + "1" * 16, "m-" + "2" * 16


NEEDED = pytest.mark.skipif(not installed(), reason="no redis-server on PATH")
REAL = [pytest.mark.slow, NEEDED]


@pytest.fixture(scope="module")
def shared_server(tmp_path_factory) -> Iterator[RedisServer]:
    server = RedisServer(tmp_path_factory.mktemp("redis"))
    server.start()
    yield server
    server.kill()


@pytest.fixture
def server(tmp_path) -> Iterator[RedisServer]:
    """The test's own, to be killed."""
    made = RedisServer(tmp_path)
    made.start()
    yield made
    made.kill()


@pytest.fixture(params=["sqlite", pytest.param("redis", marks=REAL)])
def store(request, tmp_path: Path) -> Iterator[OnlineStore]:
    where = "state/scoring/features.db"
    if request.param == "redis":
        where = request.getfixturevalue("shared_server").url()
        with redis.Redis.from_url(where) as client:
            client.flushdb()
    kept = open_store(where, tmp_path)
    yield kept
    kept.close()


def token(number: int) -> bytes:
    return number.to_bytes(16, "big")


def test_a_refresh_replaces_all_of_its_model_and_nothing_else(store):
    assert store.snapshot(MODEL) is None and store.get(MODEL, [token(1)]) == [None]
    assert store.replace(MODEL, "first", ((token(n), b"a%d" % n) for n in range(2500))) == 2500
    assert store.replace(OTHER, "other", [(token(1), b"b1")]) == 1
    assert store.get(MODEL, [token(7), token(9999), token(0)]) == [b"a7", None, b"a0"]
    assert store.replace(MODEL, "second", [(token(7), b"new")]) == 1
    assert store.get(MODEL, [token(7), token(0)]) == [b"new", None] and store.snapshot(MODEL) == "second"
    assert store.get(OTHER, [token(1)]) == [b"b1"] and store.snapshot(OTHER) == "other"
    assert store.replace(MODEL, "third", []) == 0 and store.get(MODEL, [token(7)]) == [None]


def test_a_refresh_that_fails_changes_nothing(store):
    store.replace(MODEL, "first", [(token(1), b"a")])

    def broken():
        yield token(2), b"b"
        raise OSError("the table went away")

    with pytest.raises(OSError, match="went away"):
        store.replace(MODEL, "second", broken())
    assert store.get(MODEL, [token(1), token(2)]) == [b"a", None] and store.snapshot(MODEL) == "first"


def test_what_is_no_store_is_a_sentence(tmp_path):
    with pytest.raises(ConfigError, match="scoring.store"):
        open_store("mysql://somewhere", tmp_path)
    with pytest.raises(SealscoreError, match="Redis server"):
        open_store(f"unix://{tmp_path}/none.sock", tmp_path)


SECRET = "hunter2/x"


@pytest.mark.parametrize("where", [
    f"redis://:{SECRET}@127.0.0.1:1/0", f"redis://user:{SECRET}#@127.0.0.1:1", "redis://:hunter2@127.0.0.1:port/0",
    "redis://:hunter2@127.0.0.1:1/0?socket_timeout=hunter2", "redis://:hunter2@127.0.0.1:1/0?nonsense=hunter2",
    "rediss://:hunter2@127.0.0.1:1/0?ssl_cert_reqs=hunter2", "redis://:hunter2@127.0.0.1:1/0", "mysql://:hunter2@h",
    "rediss://:hunter2@127.0.0.1:1/0?ssl_ca_certs=/none/hunter2"])
def test_no_fault_of_an_address_prints_its_password(tmp_path, where):
    with pytest.raises(SealscoreError, match=r"scoring\.store") as caught:
        open_store(where, tmp_path)
    shown = "".join(traceback.format_exception(caught.value))
    assert "hunter2" not in shown


def test_nobody_is_asked_for_in_vain(store):
    assert store.get(MODEL, []) == []


@NEEDED
@pytest.mark.slow
def test_a_refresh_leaves_no_draft_and_no_end(server, tmp_path):
    store = open_store(server.url(), tmp_path)
    store.replace(MODEL, "first", ((token(n), b"a") for n in range(1500)))
    with pytest.raises(ZeroDivisionError):
        store.replace(MODEL, "second", ((token(n), b"%d" % (1 // (1200 - n))) for n in range(1500)))
    with redis.Redis.from_url(server.url()) as client:
        kept = f"sealscore:features:{MODEL}"
        assert set(client.keys()) == {kept.encode(), f"{kept}:snapshot".encode()} and client.ttl(kept) == -1
    store.close()


@NEEDED
@pytest.mark.slow
def test_a_wrong_password_is_a_sentence_without_it(shared_server, tmp_path):
    for address in (shared_server.url("guessed/one"), f"redis://127.0.0.1:{shared_server.port}/0"):
        with pytest.raises(StoreUnavailable, match="refuses this user and password") as caught:
            open_store(address, tmp_path)
        assert "guessed" not in "".join(traceback.format_exception(caught.value))


@NEEDED
@pytest.mark.slow
def test_tls_holds_to_its_authority(tmp_path):
    certificate(tmp_path, "server")
    (tmp_path / "other").mkdir()
    certificate(tmp_path / "other", "server")
    server = RedisServer(tmp_path, tls=tmp_path)
    server.start()
    try:
        store = open_store(server.url(), tmp_path)
        assert store.replace(MODEL, "first", [(token(1), b"a")]) == 1 and store.get(MODEL, [token(1)]) == [b"a"]
        store.close()
        for address in (server.url().replace("server.crt", "other/server.crt"), server.url().partition("?")[0],
                        server.url().replace("rediss", "redis").partition("?")[0]):
            with pytest.raises(StoreUnavailable, match="does not answer") as caught:
                open_store(address, tmp_path)
            assert PASSWORD not in str(caught.value)
    finally:
        server.kill()


@NEEDED
@pytest.mark.slow
def test_a_platform_outlives_its_server_and_says_so(homes, server, caplog):
    """Killed, back and empty, filled again, frozen: always an answer in time, and the process lives."""
    path = homes.platform / "platform.toml"
    path.write_text(path.read_text().replace("[scoring]", f'[scoring]\nstore = "{server.url()}"'))
    fill(homes)
    asking = Asking(homes)
    with service_of(homes) as service:
        def statuses(count: int = 1) -> set[tuple[str, str | None]]:
            asks = [asking.ask(1) for _ in range(count)]
            return {(one.status, one.cause) for one in answers(homes, asks, desk=service.desk)}

        def back() -> set[tuple[str, str | None]]:
            time.sleep(1.1)  # the server is not asked for a second after it failed
            return statuses()

        refused = {("refused", "the platform has no features at hand")}
        assert statuses() == {("answered", None)}
        server.kill()
        assert statuses() == refused and statuses(70) == refused
        server.start()
        assert back() == refused  # it forgot everything
        fill(homes)
        assert statuses() == {("answered", None)}
        server.freeze(True)
        began = time.monotonic()
        assert statuses(200) == refused and time.monotonic() - began < 4
        server.freeze(False)
        assert back() == {("answered", None)}
    assert PASSWORD not in caplog.text and "does not answer" in caplog.text and "Traceback" not in caplog.text


@pytest.mark.parametrize("features", [
    Features(b"p" * 16, 1_700_000_000, np.array([0.5, -1e300, 3.0])), Features(b"p" * 16, 0, np.array([]), (), 32),
    Features(b"q" * 16, 1, np.array([1.0]), ("payments", "contacts"), 0)])
def test_features_come_back_and_open_under_their_own_name_only(features):
    codec = Codec(Box(bytes(32)), MODEL)
    sealed = codec.seal(token(1), features)
    found = codec.open(token(1), sealed)
    assert (found.person, found.made_at_s, found.lacks, found.fraud) == (
        features.person, features.made_at_s, features.lacks, features.fraud)
    assert found.columns.tobytes() == features.columns.tobytes() and found.version == features.version
    for wrong, name in ((codec, token(2)), (Codec(Box(bytes(32)), OTHER), token(1)), (Codec(Box(b"k" * 32), MODEL),
                                                                                      token(1))):
        with pytest.raises(TrustError):
            wrong.open(name, sealed)


def test_a_version_is_what_a_person_has_not_when_it_was_made():
    one = Features(b"p" * 16, 1, np.array([1.0, 2.0]))
    assert one.version == Features(b"q" * 16, 2, np.array([1.0, 2.0])).version
    for other in (Features(b"p" * 16, 1, np.array([1.0, 2.5])), Features(b"p" * 16, 1, np.array([1.0, 2.0]), (), 3),
                  Features(b"p" * 16, 1, np.array([1.0, 2.0]), ("x",))):
        assert other.version != one.version
