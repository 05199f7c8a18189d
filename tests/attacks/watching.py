"""One strict training with the product's own roles, and what each side held while it ran.

Both sides' shares stand side by side here and nowhere else: a weak twin is "the same protocol, with this share opened",
ours is "one side's share alone".
"""
from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from protocols.crypto.keys import KeyPair
from protocols.crypto.ring import RING
from protocols.role import Message
from protocols.scorecard import layout as fixed
from protocols.scorecard.training import Trainer
from tests.protocols.scorecard.problems import Problem
from tests.protocols.scorecard.simulator import drive


@dataclass(frozen=True)
class Pair:
    """The two shares of one vector, (2, n) residues each."""

    bank: np.ndarray
    platform: np.ndarray

    def opened(self, bits: int) -> np.ndarray:
        """What both shares together are, float (n,)."""
        return RING.to_float(RING.add(self.bank, self.platform)) / 2.0**bits


@dataclass
class Watched:
    """`residuals`, `gradients`, `weights`: of the platform's block, one per step of the training, not of the power
    iteration; `tape`: (sender, message) in the order of delivery."""

    task: Problem
    bank: Trainer
    platform: Trainer
    tape: list[tuple[str, Message]] = field(default_factory=list)
    residuals: list[Pair] = field(default_factory=list)
    gradients: list[Pair] = field(default_factory=list)
    weights: list[Pair] = field(default_factory=list)
    norms: np.ndarray | None = None  # the two opened to the bank
    exact_norms: list[int] = field(default_factory=list)
    released: dict[str, np.ndarray] = field(default_factory=dict)  # by who flooded it: its share, before the flood

    @property
    def layout(self) -> fixed.Layout:
        return self.bank._layout


def watch(task: Problem, bank_keys: KeyPair, platform_keys: KeyPair) -> Watched:
    """Train, and note shares as they come up."""
    seen = Watched(task, task.label_trainer(bank_keys), task.feature_trainer(platform_keys))
    held: dict[str, list[dict[str, np.ndarray]]] = {"bank": [], "platform": []}
    for name, role in (("bank", seen.bank), ("platform", seen.platform)):
        _note_ends(role, held[name])
        _note_release(role, name, seen.released)
    _note_norms(seen)
    halves: dict[str, list[np.ndarray]] = {"bank": [], "platform": []}

    def on_message(sender: str, message: Message) -> None:
        seen.tape.append((sender, message))
        if message.kind == "residual.reply":
            halves["bank"].append(seen.bank._s["r"].copy())
        if (sender, message.kind) == ("bank", "backward.request"):
            halves["platform"].append(seen.platform._s["r.bank"].copy())

    drive(seen.bank, seen.platform, on_message=on_message)
    steps = slice(fixed.POWER_PASSES, None)
    seen.residuals = [Pair(*both) for both in zip(halves["bank"][steps], halves["platform"][steps], strict=True)]
    ends = list(zip(held["bank"][steps], held["platform"][steps], strict=True))
    seen.gradients = [Pair(bank["g_peer"], platform["g_own"]) for bank, platform in ends]
    seen.weights = [Pair(bank["w_peer"], platform["w_own"]) for bank, platform in ends]
    return seen


def _note_ends(role: Trainer, into: list[dict[str, np.ndarray]]) -> None:
    """Keep gradient and coefficients at the end of every pass."""
    end = role._end_pass

    def noting() -> list[Message]:
        into.append({name: role._s[name].copy() for name in ("g_own", "g_peer", "w_own", "w_peer")})
        return end()

    role._end_pass = noting


def _note_release(role: Trainer, name: str, into: dict[str, np.ndarray]) -> None:
    flood = role._flooded

    def noting(share: np.ndarray) -> np.ndarray:
        into[name] = share.copy()
        return flood(share)

    role._flooded = noting


def _note_norms(seen: Watched) -> None:
    choose = seen.bank._choose_step

    def noting(norms: np.ndarray) -> list[Message]:
        vectors = RING.add(seen.bank._norm_vectors(0), seen.platform._norm_vectors())
        exact = np.array(RING.to_ints(vectors), dtype=object) ** 2
        half = len(exact) // 2
        seen.norms, seen.exact_norms = norms.copy(), [int(exact[:half].sum()), int(exact[half:].sum())]
        return choose(norms)

    seen.bank._choose_step = noting
