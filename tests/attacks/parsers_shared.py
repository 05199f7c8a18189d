"""Entries of `parsers.py`: what scoring with shared weights reads."""
from __future__ import annotations

from collections.abc import Iterator
from functools import cache

from protocols.role import Message
from protocols.sharedscore.model import SharedModel
from tests.attacks.samples import Parser, task
from tests.keys import key_pair
from tests.protocols.sharedscore import shared_models as models

FEATURE, LABEL = "protocols.sharedscore.feature_party.", "protocols.sharedscore.label_party."


@cache
def _trained() -> models.Trained:
    return models.train(task(), {name: key_pair(name) for name in ("bank", "platform")})


@cache
def _rows(*slices: str) -> models.Rows:
    return models.draw_rows(task(), dict.fromkeys(slices, 5))


@cache
def _bank_part() -> bytes:
    (part,) = models.scorers(_trained(), _rows("batch"))[0].start()
    return part.payload


@cache
def _verdict_due() -> bytes:
    """A platform that has opened the hold-out and waits for the verdict."""
    rows = _rows("calibration", "test")
    bank, platform = models.holdouts(_trained(), rows)
    (part,) = bank.start()
    platform.handle(Message("bank", part.kind, part.payload))
    return platform.snapshot()


@cache
def _platform_part() -> bytes:
    bank, platform = models.scorers(_trained(), _rows("batch"))
    (part,) = bank.start()
    return platform.handle(Message("bank", part.kind, part.payload))[0].payload


def _take_platform_part(data: bytes) -> object:
    bank, _ = models.scorers(_trained(), _rows("batch"))
    bank.start()
    return bank.handle(Message("platform", "platform.part", data))


def _take_verdict(data: bytes) -> object:
    _, platform = models.holdouts(_trained(), _rows("calibration", "test"))
    platform.restore(_verdict_due())
    return platform.handle(Message("bank", "verdict", data))


def shared() -> Iterator[Parser]:
    """Both roles of scoring, the hold-out's verdict, and the model in the vault."""
    yield Parser("bank's part of shared scores", lambda data: models.scorers(_trained(), _rows("batch"))[1].handle(
        Message("bank", "bank.part", data)), lambda: [_bank_part()], (FEATURE + "FeatureSharedScores.handle",), 6)
    yield Parser("platform's part of shared scores", _take_platform_part, lambda: [_platform_part()],
                 (LABEL + "LabelSharedScores.handle",), 6)
    yield Parser("verdict on shared scores", _take_verdict, lambda: [b"\1", b"\0"],
                 ("protocols.scorecard.holdout.ToldVerdict.handle",), 10)
    yield Parser("shared model in the vault", SharedModel.from_bytes, lambda: [_trained().platform.to_bytes()],
                 ("protocols.sharedscore.model.SharedModel.from_bytes",), 6)
