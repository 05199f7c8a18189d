"""Every parser of `parsers.py` on damaged bytes: one of our errors or a value, in bounded time and memory."""
from __future__ import annotations

import json
import time
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from protocols.errors import SealscoreError
from protocols.plan import canonical_json
from tests.attacks.parsers import all_parsers
from tests.attacks.scan import EXEMPT, found_in_sources

PARSERS = all_parsers()
FOUND = json.loads((Path(__file__).parents[1] / "vectors" / "attacks" / "found.json").read_text())
SECONDS, MEMORY = 20.0, 96 * 2**20
STRANGE: list[Any] = [None, True, -1, 0, 2**53, 2**70, 1e308, 1e-320, "", "\ud800", "\0", "a" * 70_000, [], {}, [[]],
                      {"": {}}, "__proto__", "٣", "r-" + "0" * 16]


def survives(take: Callable[[bytes], object], data: bytes) -> bool:
    """Whether the parser took the bytes; anything raised but our own errors fails the test."""
    try:
        take(data)
    except SealscoreError as error:
        assert 0 < len(str(error)) < 2000, "a sentence"
        return False
    return True



# ---------------------------------------------------------------- damage


def damaged(good: bytes, kind: int, place: int, word: int) -> bytes:
    """One of eight kinds of damage at a place between 0 and the end."""
    at = place % (len(good) + 1)
    size = word.to_bytes(8, "little")
    return [
        lambda: good[:at],
        lambda: good + size[: 1 + word % 8],
        lambda: good[:at] + bytes([(good[at] if at < len(good) else 0) ^ (1 << word % 8)]) + good[at + 1 :],
        lambda: good[:at] + b"\xff" * 8 + good[at + 8 :],
        lambda: good[:at] + bytes(8) + good[at + 8 :],
        lambda: good[:at] + size + good[at + 8 :],
        lambda: good[:at] + good[at // 2 : at] + good[at:],
        lambda: good[:at] + good[at + 1 + word % 64 :],
    ][kind]()


def tree_damaged(value: Any, place: int, strange: Any) -> Any:
    """The same JSON with the value number `place` replaced, or a key added there."""
    nodes = list(_nodes(value))
    holder, key = nodes[place % len(nodes)]
    if holder is None:
        return strange
    holder[key] = strange
    return value


def _nodes(value: Any, holder: Any = None, key: Any = None):
    yield holder, key
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for name, child in list(items):
        yield from _nodes(child, value, name)
    if isinstance(value, dict):
        yield value, "unknown"


def in_json(value: Any, canonical: bool) -> bytes:
    """Bytes of a JSON value that may hold what canonical JSON may not."""
    try:
        return canonical_json(value) if canonical else json.dumps(value).encode()
    except ValueError:
        return json.dumps(value).encode()


@pytest.mark.parametrize("name", PARSERS)
def test_good_input_is_good(name: str) -> None:
    """Otherwise the damage below would be done to something that is refused for another reason."""
    parser = PARSERS[name]
    taken = [survives(parser.take, data) for data in parser.good()]
    assert all(taken) or name in REFUSED_ANYWAY


REFUSED_ANYWAY = {"answer to a hello", "chunks", "sealed frame", "certificate", "join bundle", "sum", "align.tags",
                  "align.joint", "inside a sealed frame"} | {n for n in PARSERS if n.startswith("wire ")}


@pytest.mark.parametrize("name", PARSERS)
def test_damaged_bytes(name: str) -> None:
    parser = PARSERS[name]
    good = parser.good()

    @settings(max_examples=parser.examples, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    @given(st.sampled_from(good), st.integers(0, 7), st.integers(0, 2**24), st.integers(0, 2**64 - 1))
    def run(data: bytes, kind: int, place: int, word: int) -> None:
        survives(parser.take, damaged(data, kind, place, word))

    run()


@pytest.mark.parametrize("name", [name for name, parser in PARSERS.items() if parser.json])
def test_damaged_trees(name: str) -> None:
    parser = PARSERS[name]
    good = parser.good()

    @settings(max_examples=parser.examples, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    @given(st.sampled_from(good), st.integers(0, 10_000), st.sampled_from(STRANGE), st.booleans())
    def run(data: bytes, place: int, strange: Any, canonical: bool) -> None:
        survives(parser.take, in_json(tree_damaged(json.loads(data), place, strange), canonical))

    run()


def hostile(good: bytes) -> list[bytes]:
    """Huge lengths, deep nesting, nothing."""
    lengths = [good[:at] + b"\xff" * 8 + good[at + 8 :] for at in (0, 4, 8, 16)]
    varints = [b"\x0a" + b"\xff" * 9 + b"\x01", b"\x0a\xff\xff\xff\x7f" + b"a" * 64, b"\x0a" * 100_000]
    nested = [b"[" * 200_000, b'{"a":' * 100_000, b"[" * 100_000 + b"]" * 100_000, b"a = " + b"[" * 100_000,
              b"9" * 100_000, b'"' + b"\\ud800" * 1000 + b'"']
    return [b"", b"\0", b"\xff" * 64, *lengths, *varints, *nested]


@pytest.mark.parametrize("name", PARSERS)
def test_time_and_memory_are_bounded(name: str) -> None:
    parser = PARSERS[name]
    good = parser.good()[0]
    survives(parser.take, good)  # what is made once is made
    for data in hostile(good):
        began = time.process_time()
        tracemalloc.start()
        try:
            survives(parser.take, data)
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        assert time.process_time() - began < SECONDS
        assert peak < MEMORY + 16 * len(data), f"{peak} bytes of memory for {len(data)} bytes"


# ---------------------------------------------------------------- what was found, and whether any is missing


@pytest.mark.parametrize("vector", FOUND, ids=lambda v: f"{v['parser']}: {v['what']}")
def test_what_fuzzing_found_stays_mended(vector: dict) -> None:
    data = vector.get("text", "").encode() + bytes.fromhex(vector.get("hex", "")) * vector.get("times", 1)
    assert survives(PARSERS[vector["parser"]].take, data) is False


def test_every_parser_has_an_entry() -> None:
    covered = {name for parser in PARSERS.values() for name in parser.covers}
    missing = found_in_sources() - covered - EXEMPT.keys()
    assert not missing, f"parsers without an entry in tests/attacks/parsers.py: {', '.join(sorted(missing))}"
    assert not EXEMPT.keys() - found_in_sources(), "exempt, and not there any more"
