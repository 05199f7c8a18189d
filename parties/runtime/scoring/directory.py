"""Who has which token: made once from an alignment of a finished run, sealed, the same tokens on both sides.

    state/scoring/tokens/MODEL.PEER     sealed under a key of this node: run, persons and tokens of the joint order

`prepare` needs the table as it was in that run: rows are numbers of rows.
"""
from __future__ import annotations

import functools
import json
import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from parties.runtime.config import LoadedParty
from parties.runtime.files import digest
from parties.runtime.phases import ALIGN_SECRETS
from parties.runtime.run_store import RunStore
from parties.runtime.scoring.persons import PersonKey
from parties.runtime.tables import TableConfig, load_table
from parties.runtime.vault import Vault
from protocols.agreement import SignedAgreement
from protocols.audit import RUN_ID
from protocols.crypto.box import Box
from protocols.crypto.identity import IdentityKey
from protocols.errors import DataError, TrustError, UsageError
from protocols.node.at_rest import run_box, scoring_box
from protocols.node.identity_files import replace_private
from protocols.plan import Plan, canonical_json
from protocols.psi.parameters import UNKNOWN
from protocols.scoring.messages import TOKEN_BYTES
from protocols.scoring.tokens import tokens
from protocols.state import pack, unpack

FOLDER = Path("scoring") / "tokens"
PERSON_BYTES = 16  # of the 32 that name a person
_NAMED = re.compile(r"(m-[0-9a-f]{16})\.([a-z][a-z0-9-]{0,31})\Z")


@dataclass(frozen=True, repr=False)
class TokenDirectory:
    """People shared with `peer`. `persons`: uint8 (n, 16), rising; `tokens`: uint8 (n, 16)."""

    run: str
    peer: str
    persons: np.ndarray
    tokens: np.ndarray

    @classmethod
    def of(cls, run: str, peer: str, persons: list[bytes], named: list[bytes]) -> TokenDirectory:
        """Of equally long lists in any order; of a person only the first 16 bytes count."""
        people, given = _matrix([person[:PERSON_BYTES] for person in persons]), _matrix(named)
        order = np.lexsort(_halves(people).T[::-1])
        return cls(run, peer, people[order], given[order])

    def __len__(self) -> int:
        return len(self.persons)

    def token(self, person: str) -> bytes | None:
        """The token of a person (64 hex digits); None for whoever is not shared."""
        found = self.places([bytes.fromhex(person)])[0]
        return None if found < 0 else self.tokens[found].tobytes()

    def places(self, persons: list[bytes]) -> np.ndarray:
        """int64 (n,): where each of these people stands, -1 for whoever is not shared."""
        if not len(self):
            return np.full(len(persons), -1)
        wanted = _halves(_matrix([person[:PERSON_BYTES] for person in persons]))
        first = np.searchsorted(self._halves[0], wanted[:, 0])
        return np.array([self._place(start, half) for start, half in zip(first.tolist(), wanted, strict=True)],
                        dtype=np.int64)

    def _place(self, start: int, wanted: np.ndarray) -> int:
        """The person from `start` on, where first halves are equal to the wanted one."""
        firsts, seconds = self._halves
        while start < len(firsts) and firsts[start] == wanted[0]:
            if seconds[start] == wanted[1]:
                return start
            start += 1
        return -1

    @functools.cached_property
    def _halves(self) -> tuple[np.ndarray, np.ndarray]:
        """uint64 (n,) each: first and second halves of persons."""
        halves = _halves(self.persons)
        return np.ascontiguousarray(halves[:, 0]), np.ascontiguousarray(halves[:, 1])

    def __repr__(self) -> str:
        return f"TokenDirectory({self.run}, {self.peer}, {len(self)} people)"


class Directories:
    """Those of one node, kept in its state."""

    def __init__(self, state: Path, identity: IdentityKey):
        self._folder, self._box = state / FOLDER, scoring_box(identity)

    def keep(self, model: str, directory: TokenDirectory) -> None:
        """Write one, whole or not at all."""
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        name = f"{model}.{directory.peer}"
        data = pack({"run": directory.run, "persons": directory.persons, "tokens": directory.tokens})
        replace_private(self._folder / name, self._box.seal(f"tokens {name}", data))

    def load(self, model: str, peer: str) -> TokenDirectory:
        """One that was kept; UsageError when there is none, TrustError when it was changed."""
        path = self._folder / f"{model}.{peer}"
        if not path.exists():
            raise UsageError(f"no tokens of model {model} with {peer} are there; run `scoring prepare {model}` at both "
                             "nodes")
        told = unpack(_opened(self._box, path))
        return TokenDirectory(told["run"], peer, told["persons"], told["tokens"])

    def models(self) -> dict[str, list[str]]:
        """By model, the peers that it has tokens with."""
        found: dict[str, list[str]] = {}
        for path in sorted(self._folder.glob("m-*.*")):
            if named := _NAMED.match(path.name):
                found.setdefault(named[1], []).append(named[2])
        return found


def prepare(party: LoadedParty, identity: IdentityKey, model: str, run: str | None = None) -> list[TokenDirectory]:
    """Make the tokens of a published model from its training, or from a later `run` with it; one directory per peer.

    UsageError when the model cannot be scored online or the run is not at hand, DataError when the table was changed.
    """
    half = Vault(party.state / "vault", identity).get(model)
    _check_model(model, half)
    run = run or str(half["run"])
    if RUN_ID.fullmatch(run) is None:
        raise UsageError(f"expected a run such as r-0123456789abcdef, got {run[:40]!r}")
    folder = party.state / "runs" / run
    plan = _plan(folder, run)
    if plan.model_id != model and run != half["run"]:
        raise UsageError(f"run {run} is not the training of {model} and did not score with it; name one that did")
    made = _directories(party, run_box(identity, run), folder, run, plan)
    kept = Directories(party.state, identity)
    for directory in made:
        kept.keep(model, directory)
    return made


def _check_model(model: str, half: dict) -> None:
    if half["status"] != "published":
        raise UsageError(f"model {model} is {half['status']} here; only a published model scores")
    if half.get("kind") == "network":
        raise UsageError(f"model {model} is a network; scorecards and trees are scored online, networks in batches: "
                         "sealscore score")
    if list(half["parties"].values()).count("feature") != 1:
        raise UsageError(f"model {model} has several platforms: scored online, the bank would learn each one's part "
                         "instead of their sum; score it in batches")


def _plan(folder: Path, run: str) -> Plan:
    path = folder / "agreement.json"
    if not path.exists():
        raise UsageError(f"this node holds nothing of run {run} any more; score with the model once, then prepare "
                         "with --run RUN of that scoring")
    kept = json.loads(path.read_bytes())
    return SignedAgreement.decode(canonical_json(kept["agreement"])).plan


def _directories(party: LoadedParty, box: Box, folder: Path, run: str, plan: Plan) -> list[TokenDirectory]:
    store = RunStore(folder / "run.db", box)
    try:
        ended, aligned, pairs = json.loads(store.get("state") or b"{}"), store.get("align.rows"), \
            store.get(ALIGN_SECRETS)
        before = store.get("table")
    finally:
        store.close()
    if ended.get("state") != "finished" or aligned is None:
        raise UsageError(f"run {run} has not finished here; prepare from one that has")
    if pairs is None:
        raise UsageError(f"run {run} was made by an earlier version, which kept no secret for tokens; score with the "
                         "model once, then prepare with --run RUN of that scoring")
    config = party.table(plan.parties[party.name].table)
    if digest(party.home / config.path) != before:
        raise DataError(f"{config.path.name}: the table was changed since run {run}, so its rows are not the same "
                        "people; score with the model once, then prepare with --run RUN of that scoring")
    return _of_pairs(config, party, run, unpack(aligned), unpack(pairs))


def _of_pairs(config: TableConfig, party: LoadedParty, run: str, aligned: dict[str, np.ndarray],
              pairs: dict[str, bytes]) -> list[TokenDirectory]:
    """`aligned`: by bank, rows in joint order; `pairs`: by peer, what both sides of a pair have."""
    persons = PersonKey.load(party.home).persons(load_table(config, party.home).ids)
    made = []
    for peer, secret in pairs.items():
        rows = aligned[party.name if party.name in aligned else peer]
        positions = np.flatnonzero(rows != UNKNOWN)
        people = [persons[row] for row in rows[positions]]
        made.append(TokenDirectory.of(run, peer, people, tokens(secret, positions.tolist())))
    return made


def _opened(box: Box, path: Path) -> bytes:
    try:
        return box.open(f"tokens {path.name}", path.read_bytes())
    except TrustError:
        raise TrustError(f"{path.name} does not open: it was changed, swapped with another file, or sealed by another "
                         "node; run `scoring prepare` again") from None


def _matrix(values: list[bytes]) -> np.ndarray:
    return np.frombuffer(b"".join(values), np.uint8).reshape(-1, TOKEN_BYTES)


def _halves(people: np.ndarray) -> np.ndarray:
    """uint64 (n, 2), big endian so that they sort like the bytes."""
    return np.ascontiguousarray(people).view(">u8").astype(np.uint64)
