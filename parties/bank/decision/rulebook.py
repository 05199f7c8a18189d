"""The rulebook: every file that decides, immutable, under one digest.

    rulebook.toml    which graph decides, which are shadows, what happens without the platform
    graphs/*.json    decision graphs (JDM)
    products.toml limits.toml pricing.toml partners.toml experiments.toml    the bank's figures
    reasons.toml     what applicants are told

The digest is SHA-256 over names and contents of exactly these files: a rulebook that differs in one byte is another,
and a record names the one that made it.
"""
from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping
from datetime import date, datetime
from functools import cached_property
from importlib import resources
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Literal, TypeVar
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import Field, field_validator

from parties.bank.decision import graph_check, jdm, money
from parties.bank.decision.application import Purpose
from parties.bank.decision.codes import CODES
from parties.bank.decision.graph import Graph
from parties.bank.decision.products import Product
from parties.bank.decision.reasons import Texts
from parties.bank.decision.values import Label
from protocols.canonical import canonical_json, parse_canonical_json
from protocols.errors import ConfigError, MalformedMessage
from protocols.plan import Name
from protocols.strict import Strict

MAX_FILE_BYTES = 1024 * 1024
MAX_FILES = 64
TOML = ("rulebook.toml", "reasons.toml", *money.FILES)
_GRAPH_FILE = re.compile(r"graphs/([a-z][a-z0-9-]{0,31})\.json")
_MOST_CHARS = 180  # of each thing that is wrong with a graph
_Model = TypeVar("_Model", bound=Strict)


class Settings(Strict):
    """`rulebook.toml`."""

    version: Label
    champion: Name
    shadows: tuple[Name, ...] = Field(default=(), max_length=4)
    platform_failure: Literal["bank-only", "defer", "refer"]
    forbidden_purposes: tuple[Purpose, ...]
    time_zone: Annotated[str, Field(max_length=64)]

    @field_validator("time_zone")
    @classmethod
    def _known_zone(cls, name: str) -> str:
        try:
            ZoneInfo(name)
        except (ZoneInfoNotFoundError, ValueError, OSError):
            raise ValueError(f"no time zone {name!r:.60}; write one such as Asia/Shanghai") from None
        return name


class Rulebook:
    """Checked and compiled; immutable, may be used by many threads."""

    def __init__(self, files: Mapping[str, bytes]):
        """ConfigError lists what is wrong with the files, every problem of every graph."""
        self.files: Mapping[str, bytes] = MappingProxyType(dict(sorted(files.items())))
        _check_names(self.files)
        self._file_digests = {name: hashlib.sha256(text).hexdigest() for name, text in self.files.items()}
        self.settings = self._read(Settings, "rulebook.toml")
        self.texts = self._read(Texts, "reasons.toml")
        figures = money.Money.from_texts({n: text.decode() for n, text in self.files.items() if n in money.FILES})
        self.products, self.limits, self.pricing = figures.products, figures.limits, figures.pricing
        self.funding, self.experiments = figures.funding, figures.experiments
        self._arms = {arm.name: arm.graph for e in self.experiments.experiments for arm in e.arms if arm.graph}
        self.texts.check("reasons.toml")
        self.graphs: Mapping[str, Graph] = MappingProxyType(dict(_graphs(self.files, self.texts)))
        _check_codes(self.texts)
        self._check_graph_names()

    @classmethod
    def load(cls, folder: Path) -> Rulebook:
        """Of a folder; a TOML file or graph that nothing reads is refused, other files are left alone."""
        if not folder.is_dir():
            raise ConfigError(f"{folder}: no such folder; `sealscore bank rulebook init {folder}` writes a rulebook")
        found = [*folder.glob("*.toml"), *folder.glob("graphs/*.json")]
        return cls({path.relative_to(folder).as_posix(): path.read_bytes() for path in found})

    @classmethod
    def from_bytes(cls, data: bytes) -> Rulebook:
        """Of what `to_bytes` gave; MalformedMessage for anything else."""
        value = parse_canonical_json(data, MAX_FILES * MAX_FILE_BYTES)
        if not isinstance(value, dict) or set(value) != {"version", "files"} or value["version"] != 1:
            raise MalformedMessage("expected a rulebook of version 1, got something else")
        files = value["files"]
        if not isinstance(files, dict) or not all(isinstance(text, str) for text in files.values()):
            raise MalformedMessage("expected a rulebook's files as text by name, got something else")
        return cls({name: text.encode() for name, text in files.items()})

    def to_bytes(self) -> bytes:
        """The whole rulebook, for the store that replays records."""
        return canonical_json({"version": 1, "files": {name: text.decode() for name, text in self.files.items()}})

    @cached_property
    def digest(self) -> str:
        """SHA-256 over names and contents, hex."""
        return hashlib.sha256(canonical_json({"version": 1, "files": self._file_digests})).hexdigest()

    @property
    def version(self) -> str:
        """The bank's own count."""
        return self.settings.version

    def graph_for(self, arm: str | None) -> str:
        """The name of the graph that decides for an arm of an experiment."""
        return self._arms.get(arm or "", self.settings.champion)

    def business_date(self, time: datetime) -> date:
        """In the rulebook's time zone."""
        return time.astimezone(ZoneInfo(self.settings.time_zone)).date()

    def file_digest(self, name: str) -> str:
        """Twelve hexadecimal digits that change with a file."""
        return self._file_digests[name][:12]

    def _read(self, model: type[_Model], name: str) -> _Model:
        if name not in self.files:
            raise ConfigError(f"{name}: not in the rulebook; `sealscore bank rulebook init` writes one to start from")
        return model.from_toml_text(_decoded(name, self.files[name]), name)

    def _check_graph_names(self) -> None:
        named = {self.settings.champion, *self.settings.shadows, *self._arms.values()}
        if missing := sorted(named - self.graphs.keys()):
            where = "experiments.toml" if missing[0] in self._arms.values() else "rulebook.toml"
            raise ConfigError(f"{where}: names the graph {missing[0]}, but there is no graphs/{missing[0]}.json")


def default_files() -> dict[str, bytes]:
    """The rulebook that is shipped, with the figures publicly stated for such loans."""
    root = resources.files("parties.bank.decision") / "defaults"
    found = {name: (root / name).read_bytes() for name in TOML}
    graphs = (entry for entry in (root / "graphs").iterdir() if entry.name.endswith(".json"))
    return found | {f"graphs/{entry.name}": entry.read_bytes() for entry in graphs}


def product_of(rulebook: Rulebook, name: str) -> Product:
    """A product that is known to be there."""
    found = rulebook.products.get(name)
    if found is None:
        raise ConfigError(f"products.toml: no product {name!r:.40}")
    return found


def _check_names(files: Mapping[str, bytes]) -> None:
    if len(files) > MAX_FILES:
        raise ConfigError(f"expected at most {MAX_FILES} files in a rulebook, got {len(files)}")
    for name, text in files.items():
        if name not in TOML and _GRAPH_FILE.fullmatch(name) is None:
            raise ConfigError(f"{name!r:.80}: nothing reads this file; a rulebook has {', '.join(TOML)} "
                              "and graphs/NAME.json")
        if len(text) > MAX_FILE_BYTES:
            raise ConfigError(f"{name}: expected at most {MAX_FILE_BYTES} bytes, got {len(text)}")
        _decoded(name, text)


def _decoded(name: str, text: bytes) -> str:
    try:
        return text.decode()
    except UnicodeDecodeError:
        raise ConfigError(f"{name}: expected UTF-8 text") from None


def _graphs(files: Mapping[str, bytes], texts: Texts) -> Iterable[tuple[str, Graph]]:
    found = []
    for name, text in files.items():
        if match := _GRAPH_FILE.fullmatch(name):
            document = jdm.parse(text, name)
            if wrong := graph_check.problems(document, texts.rules.keys()):
                raise ConfigError(f"{name}: " + "; ".join(map(_clipped, wrong[:10]))
                                  + (f" (and {len(wrong) - 10} more)" if len(wrong) > 10 else ""))
            found.append((match[1], Graph(document)))
    return found


def _clipped(sentence: str) -> str:
    """Names in a graph may be of any length; what is told of them is not."""
    return sentence if len(sentence) <= _MOST_CHARS else sentence[:_MOST_CHARS - 1] + "…"


def _check_codes(texts: Texts) -> None:
    """Every reason that the software itself gives has its words."""
    if missing := sorted(CODES - texts.rules.keys()):
        raise ConfigError(f"reasons.toml: no text for {', '.join(missing)}; take it from a new `rulebook init`")
