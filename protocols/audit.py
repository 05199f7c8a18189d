"""The audit trail as data: records, checkpoints and commitments. No files, no clock.

A record is one line of canonical JSON with a random salt of 256 bits; it is a leaf of the node's Merkle log
(`protocols.merkle`). The salt keeps a checkpoint, which travels to the peers, from giving away guessable records.
A checkpoint is the size and root of the log, signed by the node's identity. Peers keep each other's checkpoints in
their own logs and sign them back: the countersignature names the record of the *witness's* log that holds the
checkpoint, and both keep it. So a node that rewrites its past contradicts what its peers hold, and a witness that
forgets a checkpoint contradicts what it signed.

    record      {"at", "body", "index", "kind", "salt"}
    checkpoint  {"at", "node", "root", "size", "version"}
    signed      {"checkpoint": {...}, "signature"}
    message     {"checkpoint": {...}, "proof": [...], "signature", "since"}        to a peer that holds `since` records
    countersigned {"checkpoint": {...}, "countersignature", "index", "signature", "witness"}     back from that peer
"""
from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from protocols.canonical import canonical_json, parse_canonical_json
from protocols.crypto.identity import SIGNATURE_BYTES, IdentityKey, verify
from protocols.errors import MalformedMessage, TrustError
from protocols.merkle import HASH_BYTES

SALT_BYTES = 32
MAX_RECORD_BYTES = 256 * 1024
MAX_CHECKPOINT_BYTES = 16 * 1024
CHECKPOINT_CONTEXT = b"sealscore audit checkpoint v1"
COUNTERSIGN_CONTEXT = b"sealscore audit countersignature v1"
KINDS = {
    "log": "the log was opened for the first time, or repaired after a crash",
    "canary": "what the coordinator tried at its start, and must fail at, to open something",
    "run": "a run began or ended here",
    "agreement": "the signed agreement of a run",
    "phase": "a phase of a run began or ended",
    "egress": "bytes that left the node",
    "opening": "numbers that went from share to plaintext, and who learned them",
    "refusal": "a request, message or archive that was refused",
    "state": "how far the node's ledgers had come, or that older copies of its stores were put back",
    "decision": "what a person at the node decided: a run approved, rejected or revoked, a model revoked",
    "checkpoint.peer": "a checkpoint of a peer's log, countersigned",
    "checkpoint.countersigned": "a checkpoint of the own log that a peer countersigned",
}
RUN_ID = re.compile(r"r-[0-9a-f]{16}")
_NAME = re.compile(r"[a-z][a-z0-9-]{0,31}")
_INSTANT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", re.ASCII)


@dataclass(frozen=True)
class Record:
    """One thing that happened. `at` is UTC to the millisecond, `body` plain JSON without row data."""

    index: int
    at: str
    kind: str
    body: dict[str, Any]
    salt: bytes = field(default_factory=lambda: secrets.token_bytes(SALT_BYTES), repr=False)

    def encode(self) -> bytes:
        """The line that is hashed and stored, without its newline; MalformedMessage if it would not decode."""
        line = _canonical({"at": self.at, "body": self.body, "index": self.index, "kind": self.kind,
                           "salt": self.salt.hex()})
        Record.decode(line)
        return line

    @classmethod
    def decode(cls, line: bytes) -> Record:
        """Strict inverse of `encode`."""
        value = exact_fields(parse_canonical_json(line, MAX_RECORD_BYTES), "at", "body", "index", "kind", "salt")
        if not isinstance(value["kind"], str) or value["kind"] not in KINDS:
            raise MalformedMessage(f"expected a record of kind {', '.join(KINDS)}, got another")
        if not isinstance(value["body"], dict):
            raise MalformedMessage("expected an object as the body of a record")
        return cls(_count(value["index"]), _instant(value["at"]), value["kind"], value["body"],
                   from_hex(value["salt"], SALT_BYTES))


@dataclass(frozen=True)
class Checkpoint:
    """The state of a node's log: `root` of its first `size` records."""

    node: str
    size: int
    root: bytes
    at: str

    def to_json(self) -> dict[str, Any]:
        """As plain JSON."""
        return {"at": self.at, "node": self.node, "root": self.root.hex(), "size": self.size, "version": 1}

    @classmethod
    def from_json(cls, value: Any) -> Checkpoint:
        """Strict inverse of `to_json`."""
        value = exact_fields(value, "at", "node", "root", "size", "version")
        if _count(value["version"]) != 1:
            raise MalformedMessage("expected a checkpoint of version 1; update this node or the peer")
        return cls(_name(value["node"]), _count(value["size"]), from_hex(value["root"], HASH_BYTES),
                   _instant(value["at"]))


@dataclass(frozen=True)
class SignedCheckpoint:
    """A checkpoint and the signature of its node over the canonical bytes."""

    checkpoint: Checkpoint
    signature: bytes

    @classmethod
    def sign(cls, identity: IdentityKey, checkpoint: Checkpoint) -> SignedCheckpoint:
        """Sign with the node's identity."""
        return cls(checkpoint, identity.sign(CHECKPOINT_CONTEXT, canonical_json(checkpoint.to_json())))

    def check(self, node: str, public: bytes) -> Checkpoint:
        """The checkpoint, once it is shown to be `node`'s, whose raw public key is `public`; else TrustError."""
        if self.checkpoint.node != node:
            raise TrustError(f"expected a checkpoint of {node}, got one of {self.checkpoint.node}")
        verify(public, CHECKPOINT_CONTEXT, canonical_json(self.checkpoint.to_json()), self.signature)
        return self.checkpoint

    def to_json(self) -> dict[str, Any]:
        """As plain JSON."""
        return {"checkpoint": self.checkpoint.to_json(), "signature": self.signature.hex()}

    @classmethod
    def from_json(cls, value: Any) -> SignedCheckpoint:
        """Strict inverse of `to_json`."""
        value = exact_fields(value, "checkpoint", "signature")
        return cls(Checkpoint.from_json(value["checkpoint"]), from_hex(value["signature"], SIGNATURE_BYTES))

    def encode(self) -> bytes:
        """As canonical bytes."""
        return canonical_json(self.to_json())

    @classmethod
    def decode(cls, data: bytes) -> SignedCheckpoint:
        """Strict inverse of `encode`."""
        return cls.from_json(parse_canonical_json(data, MAX_CHECKPOINT_BYTES))


@dataclass(frozen=True)
class CheckpointMessage:
    """What a peer is sent: a checkpoint, and the proof that it continues the `since` records the peer knows of."""

    signed: SignedCheckpoint
    since: int = 0
    proof: tuple[bytes, ...] = ()

    def encode(self) -> bytes:
        """As canonical bytes."""
        return canonical_json({**self.signed.to_json(), "since": self.since, "proof": [h.hex() for h in self.proof]})

    @classmethod
    def decode(cls, data: bytes) -> CheckpointMessage:
        """Strict inverse of `encode`."""
        value = parse_canonical_json(data, MAX_CHECKPOINT_BYTES)
        value = exact_fields(value, "checkpoint", "proof", "signature", "since")
        if not isinstance(value["proof"], list):
            raise MalformedMessage("expected a list of hashes as proof")
        signed = SignedCheckpoint.from_json({key: value[key] for key in ("checkpoint", "signature")})
        return cls(signed, _count(value["since"]), tuple(from_hex(text, HASH_BYTES) for text in value["proof"]))


@dataclass(frozen=True)
class Countersigned:
    """A checkpoint that a peer, the witness, signed back after keeping it as record `index` of its own log."""

    signed: SignedCheckpoint
    witness: str
    index: int
    countersignature: bytes

    @classmethod
    def sign(cls, identity: IdentityKey, signed: SignedCheckpoint, witness: str, index: int) -> Countersigned:
        """Countersign with the witness's identity."""
        return cls(signed, witness, index, identity.sign(COUNTERSIGN_CONTEXT, _witnessed(signed, witness, index)))

    def check(self, witness: str, public: bytes) -> None:
        """Shown to be countersigned by `witness`, whose raw public key is `public`; else TrustError."""
        if self.witness != witness:
            raise TrustError(f"expected a countersignature of {witness}, got one of {self.witness}")
        verify(public, COUNTERSIGN_CONTEXT, _witnessed(self.signed, self.witness, self.index), self.countersignature)

    def to_json(self) -> dict[str, Any]:
        """As plain JSON."""
        return {**self.signed.to_json(), "witness": self.witness, "index": self.index,
                "countersignature": self.countersignature.hex()}

    @classmethod
    def from_json(cls, value: Any) -> Countersigned:
        """Strict inverse of `to_json`."""
        value = exact_fields(value, "checkpoint", "signature", "witness", "index", "countersignature")
        signed = SignedCheckpoint.from_json({key: value[key] for key in ("checkpoint", "signature")})
        return cls(signed, _name(value["witness"]), _count(value["index"]),
                   from_hex(value["countersignature"], SIGNATURE_BYTES))

    def encode(self) -> bytes:
        """As canonical bytes: the message to the checkpoint's owner."""
        return canonical_json(self.to_json())

    @classmethod
    def decode(cls, data: bytes) -> Countersigned:
        """Strict inverse of `encode`."""
        return cls.from_json(parse_canonical_json(data, MAX_CHECKPOINT_BYTES))


def _witnessed(signed: SignedCheckpoint, witness: str, index: int) -> bytes:
    return canonical_json({**signed.to_json(), "witness": witness, "index": index})


def held_checkpoint(record: Record) -> tuple[str, SignedCheckpoint]:
    """The peer and its checkpoint in a record of kind checkpoint.peer; MalformedMessage if it has none."""
    signed = {key: record.body.get(key) for key in ("checkpoint", "signature")}
    return _name(record.body.get("peer")), SignedCheckpoint.from_json(signed)


def kept_countersignature(record: Record, holder: str) -> Countersigned:
    """What a record of kind checkpoint.peer (its holder is the witness) or checkpoint.countersigned was signed back as.

    MalformedMessage if it says nothing of the sort.
    """
    told = {key: record.body.get(key) for key in ("checkpoint", "signature", "countersignature")}
    if record.kind == "checkpoint.peer":
        return Countersigned.from_json({**told, "witness": holder, "index": record.index})
    return Countersigned.from_json({**told, "witness": record.body.get("witness"), "index": record.body.get("index")})


def named_agreement(record: Record) -> tuple[str, str]:
    """Run and SHA-256 (hex) in a record of kind agreement; MalformedMessage otherwise."""
    run, digest = record.body.get("run"), record.body.get("sha256")
    if not isinstance(run, str) or RUN_ID.fullmatch(run) is None:
        raise MalformedMessage("expected a run as r- and 16 lower-case hex digits")
    return run, from_hex(digest, HASH_BYTES).hex()


def row_commitment(salt: bytes, identifiers: Iterable[str]) -> str:
    """Commit to a set of rows without giving it away: HMAC-SHA256 keyed by a secret salt of 32 bytes, hex.

    The order does not matter. The salt stays at the node: whoever has it can test every telephone number.
    """
    if len(salt) != SALT_BYTES:
        raise ValueError(f"a row commitment needs a salt of {SALT_BYTES} bytes, got {len(salt)}")
    commitment = hmac.new(salt, b"sealscore rows v1\0", hashlib.sha256)
    for identifier in sorted(identifiers):
        encoded = identifier.encode()
        commitment.update(len(encoded).to_bytes(8, "big") + encoded)
    return commitment.hexdigest()


def from_hex(text: Any, count: int) -> bytes:
    """Exactly `count` bytes from lower-case hex; MalformedMessage otherwise."""
    if not isinstance(text, str) or len(text) != 2 * count or re.fullmatch(r"[0-9a-f]*", text) is None:
        raise MalformedMessage(f"expected {2 * count} lower-case hex digits")
    return bytes.fromhex(text)


def _canonical(value: dict[str, Any]) -> bytes:
    try:
        return canonical_json(value)
    except (TypeError, ValueError, RecursionError):
        raise MalformedMessage("a record's body must be plain JSON: text, finite numbers, lists, objects") from None


def exact_fields(value: Any, *names: str) -> dict[str, Any]:
    """A JSON object with exactly these members; MalformedMessage otherwise."""
    if not isinstance(value, dict) or set(value) != set(names):
        raise MalformedMessage(f"expected an object with exactly {', '.join(names)}")
    return value


def _count(value: Any) -> int:
    if type(value) is not int or not 0 <= value < 2**53:
        raise MalformedMessage("expected a count: an integer from 0 to 2^53 - 1")
    return value


def _name(value: Any) -> str:
    if not isinstance(value, str) or _NAME.fullmatch(value) is None:
        raise MalformedMessage("expected a node's name: lower-case letters, digits and hyphens, at most 32")
    return value


def _instant(value: Any) -> str:
    if not isinstance(value, str) or _INSTANT.fullmatch(value) is None:
        raise MalformedMessage("expected an instant such as 2026-01-31T12:00:00.000Z")
    return value
