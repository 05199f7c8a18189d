"""One strict training of several banks and platforms with the product's own roles, and what everybody held and saw."""
from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field

import numpy as np

from protocols.crypto.keys import KeyPair
from protocols.crypto.summed_product import Seed, finish_sum
from protocols.role import Message, Role
from protocols.scorecard.training import BACKWARD, FORWARD, LAYOUT
from tests.attacks.views import View
from tests.protocols.scorecard.simulator import Network, drive_all
from tests.protocols.scorecard.test_training_banks import Banks, circles


@dataclass
class Watched:
    """`views`: what came to each party, in order; `hub`: the summands that it adds, with whom each is for; `held`: each
    party's shares of residuals and gradients, by their names in its state; `opened`: what a bank's key and the hub
    together make of single summands of forward replies."""

    task: Banks
    roles: dict[str, Role]
    keys: dict[str, KeyPair]
    views: dict[str, View] = field(default_factory=lambda: defaultdict(list))
    hub: View = field(default_factory=list)
    held: dict[tuple[str, str], dict[bytes, np.ndarray]] = field(default_factory=lambda: defaultdict(dict))
    opened: list[np.ndarray] = field(default_factory=list)
    norms: np.ndarray | None = None

    def shares(self, party: str, name: str) -> np.ndarray:
        """(2, n): all different ones that the party held under names beginning with `name`."""
        return np.concatenate([share for (who, what), shares in self.held.items()
                               if who == party and what.startswith(name) for share in shares.values()], axis=1)


def watch_many(task: Banks) -> Watched:
    """Train; every bank and the lead have keys of their own."""
    keys = {name: KeyPair.generate() for name in (*task.banks, task.platforms[0])}
    circle = circles(task.banks)
    roles = {bank: task.label_trainer(bank, keys[bank], circle[bank] if len(task.banks) > 1 else None)
             for bank in task.banks}
    roles |= {name: task.feature_trainer(name, keys[task.platforms[0]]) for name in task.platforms}
    seen = Watched(task, roles, keys)
    _note_norms(seen)

    def on_message(sender: str, message: Message) -> None:
        seen.views[message.peer].append((message.kind, message.payload))
        for name, role in roles.items():
            _note_shares(seen, name, role)

    drive_all(roles, on_message, _Hub(seen))
    return seen


class _Hub(Network):
    """Notes what the hub adds; opens summands of forward replies as the bank that they are for could."""

    def __init__(self, seen: Watched):
        super().__init__()
        self._seen = seen

    def send(self, sender: str, message: Message) -> None:
        if message.contributors:
            self._seen.hub.append((f"{message.kind} to {message.peer}", message.payload))
        if message.contributors and message.kind == "forward.reply":
            bank, index = self._seen.roles[message.peer], message.contributors.index(sender)
            pad = bank._pad_seed(index).expand(bank._label("forward", message.peer), 1)
            self._seen.opened.append(finish_sum(self._seen.keys[message.peer], message.payload, bank._forward_shape(),
                                                LAYOUT, FORWARD, Seed(bank._s["point"]), [pad]))
        super().send(sender, message)


def _note_shares(seen: Watched, party: str, role: Role) -> None:
    """Of residuals (r) and gradients (g_own, g_peer): fresh shares of products, which are uniform; those of scores
    and coefficients are truncated."""
    for name, value in role._s.items():
        if name.split(".")[0] in ("r", "g_own", "g_peer") and value.shape[1]:
            seen.held[party, name].setdefault(value.tobytes(), value.copy())


def _note_norms(seen: Watched) -> None:
    speaker = seen.roles[seen.task.banks[0]]
    choose = speaker._choose_step

    def noting(norms: np.ndarray) -> list[Message]:
        seen.norms = norms.copy()
        return choose(norms)

    speaker._choose_step = noting


def summand_shapes(seen: Watched) -> dict[str, tuple]:
    """(shape, layout, coding) of the last summand that came, by what it is and whom it is for; sizes are public."""
    lead = seen.roles[seen.task.platforms[0]]
    shapes: dict[str, tuple] = {}
    for bank in seen.task.banks:
        role = seen.roles[bank]
        shapes[f"forward.reply to {bank}"] = role._forward_shape(), LAYOUT, FORWARD
        shapes[f"backward.reply to {bank}"] = role._backward_shape(), LAYOUT, BACKWARD
    columns = (lead._s["bank_columns"], lead._pass_rows(seen.task.banks[0]))
    shapes[f"backward.reply to {seen.task.platforms[0]}"] = columns, lead._banks_layout(), BACKWARD
    return shapes
