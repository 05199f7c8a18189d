"""Online scores of a model whose weights stay shared: one call for a micro-batch of up to 64 people.

    bank: rows X_B, share of w_B, Enc_P(P's share)            platform: rows X_P, share of w_P, Enc_B(B's share)
      X_B·w_B − r, under P's key  ── part ──▶
                                                    decrypts: X_B·w_B − r
                                  ◀── answer ──     X_P·w_P − m, under B's key | (X_B·w_B − r) + m + floods
      adds r and X_P·w_P − m: the scores, rounded to 2^-5

The platform sees no weight and no score, the bank no column and no weight: the argument, the floods and the limits are
those of batch scoring (`protocols/sharedscore/README.md`, which also says what is different online). Both products are
`crypto/prepared.py`: the two uploads of the training, pinned in the model card, made ready once; no message has a place
for another one. Every part and every answer has a fresh mask and a fresh zero, drawn from the operating system and kept
nowhere, so that none can come twice. The same part about the same data gets the same bytes while they are remembered.

    part      digest of the model's uploads 32 | per person: name of the bank's data 16 | reply of the product
    answer    digest of the part 32 | reply of the product | 16 per score: one share, residues modulo q0, then q1
"""
from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from protocols.crypto import prepared
from protocols.crypto.opening import open_shares
from protocols.crypto.prepared import PreparedVector
from protocols.crypto.ring import RING
from protocols.errors import DataError, MalformedMessage, ProtocolError, ReplayRefused, UsageError
from protocols.scorecard.holdout import SCORE_STEP_BITS
from protocols.scorecard.shared_weights import SCORE_SCALE_BITS
from protocols.scoring.messages import MAX_ITEMS
from protocols.sharedscore.flood import cover, versions
from protocols.sharedscore.label_party import SCORE_BOUND
from protocols.sharedscore.messages import DIGEST_BYTES, take_digest
from protocols.sharedscore.model import SharedModel, fixed_columns

OPENING = "shared.online"
NAME_BYTES = 16
REMEMBERED = 64  # answers, 0.13 MB each
_FLOODS = b"online".ljust(32, b"\0")  # in the place of the name of a batch's data


class _Side:
    """What both sides keep ready of one model. Thread-safe: nothing changes after the beginning but stocks of zeros."""

    def __init__(self, model: SharedModel):
        self._model, self.digest = model, model.weights.digest
        self._vector = PreparedVector(model.peer, model.weights.own, model.weights.received)

    def stock(self, zeros: int) -> None:
        """Make zeros ahead, while there is nothing else to do; 2 ms and 0.26 MB each."""
        self._vector.stock(zeros)

    def _rows(self, columns: np.ndarray) -> np.ndarray:
        columns = np.asarray(columns)
        if columns.ndim != 2 or columns.shape[1] != self._vector.columns or not 1 <= len(columns) <= MAX_ITEMS:
            raise DataError(f"expected 1 to {MAX_ITEMS} rows of {self._vector.columns} encoded columns for this model, "
                            f"got {columns.shape}")
        return fixed_columns(columns)

    def _finish(self, reply: bytes, rows: int) -> np.ndarray:
        return prepared.finish(self._model.keys, reply, rows, self._model.weights.columns_peer)

    def __repr__(self) -> str:
        return f"{type(self).__name__}(REDACTED)"

    def __reduce__(self):
        raise TypeError(f"a {type(self).__name__} is neither pickled nor copied; make it again from the vault")


# ---------------------------------------------------------------- bank


@dataclass(frozen=True, repr=False, eq=False)
class Asked:
    """A part on its way. `share`: the bank's own of X_B·w_B, (2, people)."""

    part: bytes
    share: np.ndarray


class BankShared(_Side):
    """The bank's half, ready."""

    def ask(self, columns: np.ndarray) -> Asked:
        """About rows of the bank's whitened columns, float64 (m, d), the first of ones. DataError for another shape."""
        rows = self._rows(columns)
        reply, share = self._vector.answer(rows)
        return Asked(b"".join([self.digest, *map(self._name, rows), reply]), share)

    def name(self, columns: np.ndarray) -> bytes:
        """16 bytes that stand for one whitened row, float64 (d,): the same for the same row, and say nothing of it."""
        return self._name(self._rows(columns[None])[0])

    def scores(self, asked: Asked, answered: Sequence[int], answer: bytes) -> np.ndarray:
        """Log-odds before calibration of the people in these places, in order, float64, multiples of 2^-5.

        ReplayRefused for the answer to another part; MalformedMessage or ProtocolError for one that holds no scores.
        """
        count, columns = len(answered), self._model.weights.columns_peer
        body = _body(answer, hashlib.sha256(asked.part).digest(), prepared.reply_bytes(count, columns) + 16 * count)
        reply, share = body[:-16 * count], body[-16 * count:]
        own = RING.add(asked.share[:, list(answered)], self._finish(reply, count))
        scores = open_shares(OPENING, own, RING.from_bytes(share, count)).floats(SCORE_SCALE_BITS)
        if np.abs(scores).max() > SCORE_BOUND:
            raise ProtocolError(f"shared scores: expected scores between -{SCORE_BOUND:.0f} and {SCORE_BOUND:.0f}, got "
                                "one beyond; the shares of the two sides do not fit, restore both vaults from backups "
                                "of the same model, or train again")
        return np.rint(scores * 2**SCORE_STEP_BITS) / 2**SCORE_STEP_BITS

    def _name(self, row: np.ndarray) -> bytes:
        """Stands for what the bank has of one person, the same for the same; says nothing else of it."""
        return hashlib.blake2b(row.astype("<i8").tobytes(), key=self._model.weights.secret, digest_size=NAME_BYTES,
                               person=b"sealscore-online").digest()


def _body(answer: bytes, part: bytes, expected: int) -> bytes:
    if len(answer) != DIGEST_BYTES + expected:
        raise MalformedMessage(f"expected {DIGEST_BYTES + expected} bytes of an answer of shared scores, got "
                               f"{len(answer)}")
    if answer[:DIGEST_BYTES] != part:
        raise ReplayRefused("an answer to another part than the one that was sent")
    return answer[DIGEST_BYTES:]


# ---------------------------------------------------------------- platform


@dataclass(frozen=True, repr=False, eq=False)
class Part:
    """A bank's part, read. `names`: 16 bytes for each person, which name the bank's data of that person."""

    digest: bytes
    names: tuple[bytes, ...]
    reply: bytes


@dataclass(frozen=True, repr=False, eq=False)
class Person:
    """Who gets a score. `place` in the part; `person`: the node's keyed hash; `columns`: whitened, float64 (d,)."""

    place: int
    person: bytes
    columns: np.ndarray


class PlatformShared(_Side):
    """The platform's half, ready."""

    def __init__(self, model: SharedModel):
        super().__init__(model)
        self._sent: OrderedDict[bytes, bytes] = OrderedDict()

    def read(self, part: bytes, people: int) -> Part:
        """The bank's part about so many people; MalformedMessage, TrustError for another version of the model.

        A version of a person's data is what the platform has of it and the name in the part: count it, durably, before
        calling `answer`.
        """
        if not 1 <= people <= MAX_ITEMS:
            raise UsageError(f"expected 1 to {MAX_ITEMS} people in a part, got {people}")
        rest = take_digest(part, self.digest)
        head, columns = NAME_BYTES * people, self._model.weights.columns_peer
        if len(rest) != head + prepared.reply_bytes(people, columns):
            raise MalformedMessage(f"expected {DIGEST_BYTES + head + prepared.reply_bytes(people, columns)} bytes of a "
                                   f"part of shared scores for {people} people, got {len(part)}")
        names = tuple(bytes(rest[at : at + NAME_BYTES]) for at in range(0, head, NAME_BYTES))
        return Part(hashlib.sha256(part).digest(), names, rest[head:])

    def answer(self, part: Part, people: Sequence[Person]) -> bytes:
        """What opens the scores of these people to the bank; of the others nothing leaves. Nobody: no bytes."""
        if not people:
            return b""
        request = _request(part, people)
        kept = self._sent.get(request)
        if kept is None:
            kept = self._sent.setdefault(request, self._answer(part, people))
            while len(self._sent) > REMEMBERED:
                self._sent.popitem(last=False)
        return kept

    def _answer(self, part: Part, people: Sequence[Person]) -> bytes:
        rows = self._rows(np.stack([one.columns for one in people]))
        places = [one.place for one in people]
        theirs = self._finish(part.reply, len(part.names))[:, places]
        reply, mask = self._vector.answer(rows)
        opened = RING.add(RING.add(theirs, mask), self._floods(part, people, rows))
        return b"".join([part.digest, reply, RING.to_bytes(opened)])

    def _floods(self, part: Part, people: Sequence[Person], rows: np.ndarray) -> np.ndarray:
        """(2, m): a function of the person, of the data of both sides and of the model, and a fresh part."""
        names = np.frombuffer(b"".join(part.names[one.place] for one in people), "<i8").reshape(-1, 2)
        drawn = versions(self._model.weights.secret, [one.person.hex() for one in people],
                         np.concatenate([rows, names], axis=1), _FLOODS)
        return cover(drawn)


def _request(part: Part, people: Sequence[Person]) -> bytes:
    """Digest of all that an answer depends on."""
    told = hashlib.sha256(part.digest)
    for one in people:
        told.update(bytes([one.place, len(one.person)]) + one.person + np.asarray(one.columns, "<f8").tobytes())
    return told.digest()
