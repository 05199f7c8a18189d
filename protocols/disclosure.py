"""What a run would tell whom, in plain words: for the person who approves it. Everything follows from its plan.

The openings come from `protocols/openings.py`, so what a person reads is what the egress door lets through.
"""
from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from protocols.openings import Kind, expected
from protocols.plan import Plan

COORDINATOR = "the coordinator"


@dataclass(frozen=True)
class Leaving:
    """One thing that leaves a node. `count`: how many numbers, in words; `opening`: its kind, "" where none opens."""

    to: str
    what: str
    count: str
    opening: str = ""


@dataclass(frozen=True)
class Disclosure:
    """One run as one of its parties sees it."""

    party: str
    kind: str
    purpose: str
    peers: tuple[str, ...]
    table: str
    columns: tuple[str, ...]
    model: str
    slices: str
    leaves: tuple[Leaving, ...]
    learns: dict[str, tuple[str, ...]]
    never: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """As plain JSON."""
        return asdict(self)

    def lines(self) -> list[str]:
        """For a terminal."""
        found = [f"purpose    {self.purpose}", f"with       {', '.join(self.peers)}", f"model      {self.model}",
                 f"rows       {self.slices}", f"own data   table {self.table}, {len(self.columns)} columns: "
                 f"{', '.join(self.columns)}", "", "what leaves this node"]
        found += [f"  to {item.to}: {item.what} ({item.count})" for item in self.leaves]
        for party, told in self.learns.items():
            found += ["", f"what {party} learns", *(f"  {sentence}" for sentence in told)]
        return [*found, "", "what nobody learns", *(f"  {sentence}" for sentence in self.never)]


def disclose(plan: Plan, party: str, rows: dict[str, int] | None = None) -> Disclosure:
    """What `plan` asks of `party`; `rows`: announced numbers of rows by party, where they are known."""
    own, peers = plan.parties[party], tuple(sorted(set(plan.parties) - {party}))
    return Disclosure(
        party=party, kind=plan.kind, purpose=plan.purpose, peers=peers, table=own.table, columns=own.columns,
        model=_model(plan), slices=_slices(plan), leaves=tuple(_leaving(plan, party, peers, (rows or {}).get(party))),
        learns={name: tuple(_learned(plan, name)) for name in (*sorted(plan.parties), COORDINATOR)},
        never=_never(plan),
    )


def _model(plan: Plan) -> str:
    if plan.kind == "score":
        return f"scores with the published model {plan.model_id}"
    model = plan.model
    if model.boosting is not None:
        trees = model.boosting
        return (f"boosted trees, up to {trees.trees} of depth {trees.depth}, up to {trees.bins} bins a column; each "
                "side keeps its own splits")
    if model.network is not None:
        net = model.network
        squared = f", each of {net.units} squared units" if net.strict else ""
        return (f"network, encoding {model.encoding}, source layer of {net.width} numbers{squared}, up to {net.epochs} "
                f"epochs, noise {net.noise:g}, release {model.release}")
    noise = f" (rho {model.woe_rho:g})" if model.woe_rho else ""
    open_score = model.variant == "open-score"
    steps = f"{model.openings} rounds, variant open-score" if open_score else f"{model.first_steps} steps"
    steps += f", then {model.polish} times {model.polish_steps} more" if model.polish else ""
    return f"{model.kind}, encoding {model.encoding}{noise}, {steps}, release {model.release}"


def _slices(plan: Plan) -> str:
    people = {"common": "people whom all of them know", "covered": "a bank's people whom at least one platform knows"}
    told = f"{people[plan.alignment.rows]}, at least {plan.alignment.minimum_intersection}"
    if plan.kind == "score":
        return told
    part = plan.slices
    return f"{told}; {part.train:.0%} to train, {part.calibration:.0%} to calibrate, {part.test:.0%} to test"


def _leaving(plan: Plan, party: str, peers: tuple[str, ...], rows: int | None) -> list[Leaving]:
    size = f"up to {rows} people" if rows else "everybody in the table"
    found = [Leaving(COORDINATOR, "names, types and missing rates of columns, progress, sizes and times of messages; "
                     "figures of the model card", "no row")]
    for peer in peers:
        if (peer in plan.label_parties) != (party in plan.label_parties):
            found.append(Leaving(peer, "identifiers, blinded so that only a comparison with the peer's own can be made",
                                 size))
        found += [Leaving(peer, kind.what, _count(plan, kind), kind.name) for kind in expected(plan, party, peer)]
    sealed = "encrypted or masked numbers that say nothing without this node's keys or the other half of a share"
    return [*found, Leaving("the peers", sealed, "all the rest")]


def _count(plan: Plan, kind: Kind) -> str:
    shares = {"calibration": plan.slices.calibration, "test": plan.slices.test}
    people = {"aligned": "person of the peer's who is compared", "scored": "common person"}
    if kind.name == "scores.training":
        return f"{plan.model.score_openings} for each training row"
    if kind.model == "network" and kind.per_row and plan.model.network is not None:
        each = plan.model.network.openings_per_row if kind.rows == "training" else plan.model.network.width
        return f"{each} for each {people.get(kind.rows, kind.rows + ' row')}"
    if kind.model == "boosting" and plan.model.boosting is not None:
        return _of_trees(plan.model.boosting.most_splits, kind, shares, plan)
    if not kind.per_row:
        return f"a few numbers about all {kind.rows} rows together"
    if kind.rows in shares:
        return f"one for each of {shares[kind.rows]:.0%} of the rows"
    return f"one for each {people.get(kind.rows, kind.rows + ' row')}"


def _of_trees(most: int, kind: Kind, shares: dict[str, float], plan: Plan) -> str:
    """A bit for each of so many splits at most, of whoever the kind is about."""
    if kind.name == "tree.sums":
        return f"up to {2 * plan.model.boosting.trees * 2 ** (plan.model.boosting.depth - 1)} for each bin"
    if not kind.per_row:
        return f"up to {most}" if kind.name == "tree.splits" else "one number"
    people = f"of {shares[kind.rows]:.0%} of the rows" if kind.rows in shares else f"{kind.rows} row"
    return f"up to {most} bits for each {people}"


def _learned(plan: Plan, learner: str) -> list[str]:
    """Each kind once, with those who give it."""
    if learner == COORDINATOR:
        return ["the plan, names and missing rates of columns, sizes of sets and messages, how many numbers were "
                "opened and the metrics of the model card; no row, score, coefficient or key"]
    givers: dict[str, tuple[Kind, list[str]]] = {}
    for giver in sorted(set(plan.parties) - {learner}):
        for kind in expected(plan, giver, learner):
            givers.setdefault(kind.name, (kind, []))[1].append(giver)
    return [f"{kind.what} (from {', '.join(names)})" for kind, names in givers.values()]


def _never(plan: Plan) -> tuple[str, ...]:
    kept = ["a value of a column of another party, and who is in a table without being shared"]
    if plan.model.release == "shared":
        kept.append("a coefficient of the model, not even of the own columns")
    if plan.kind == "train":
        kept.append("a label, residual or gradient (but the bank its own labels)")
        if not any(kind.per_row and kind.rows == "training" for kind in _opened(plan)):
            kept.append("the score of a training row")
    return tuple(kept)


def _opened(plan: Plan) -> list[Kind]:
    return [kind for giver in plan.parties for learner in plan.parties if giver != learner
            for kind in expected(plan, giver, learner)]
