"""Both kinds of online store behave alike; the Redis one needs a redis-server on this machine."""
from __future__ import annotations

import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from parties.platform.scoring.features import Codec, Features
from parties.platform.scoring.online_store import OnlineStore, open_store
from protocols.crypto.box import Box
from protocols.errors import ConfigError, SealscoreError, TrustError

MODEL, OTHER = "m-" + "1" * 16, "m-" + "2" * 16


@pytest.fixture(params=["sqlite", "redis"])
def store(request, tmp_path: Path) -> Iterator[OnlineStore]:
    if request.param == "sqlite":
        kept = open_store("state/scoring/features.db", tmp_path)
        yield kept
        kept.close()
        return
    if shutil.which("redis-server") is None:
        pytest.skip("no redis-server on this machine")
    socket = tmp_path / "redis.sock"
    server = subprocess.Popen(["redis-server", "--port", "0", "--unixsocket", str(socket), "--save", "", "--dir",
                               str(tmp_path)], stdout=subprocess.DEVNULL)
    try:
        end = time.monotonic() + 20
        while not socket.exists() and time.monotonic() < end:
            time.sleep(0.05)
        kept = open_store(f"unix://{socket}", tmp_path)
        yield kept
        kept.close()
    finally:
        server.terminate()
        server.wait(20)


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
