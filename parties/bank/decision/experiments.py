"""Experiments on decisions (domain row 15): who meets which arm, fixed by a keyed hash and nothing else.

A person's place in a group of experiments is a number in [0, 1) from a hash of the group's salt; experiments of a group
hold slices of that line which never overlap, so that nobody takes part in two of them. A second hash, under the
experiment's own salt, picks the arm. A grey release is an experiment whose challenger's share grows on stated dates:
whoever has the challenger keeps it. Person means the node's keyed hash of an identifier.
"""
from __future__ import annotations

import hashlib
from collections.abc import Mapping
from datetime import date
from decimal import Decimal
from types import MappingProxyType
from typing import Annotated, Self

from pydantic import AfterValidator, Field, PlainSerializer, StringConstraints, model_validator

from parties.bank.decision.products import Share, unique_names
from parties.bank.decision.values import Text, Whole
from protocols.plan import Name
from protocols.strict import Strict

Salt = Annotated[str, StringConstraints(min_length=4, max_length=64)]
Salts = Annotated[Mapping[Name, Salt], Field(max_length=32), AfterValidator(MappingProxyType),
                  PlainSerializer(dict, return_type=dict)]
LINE = 2**64


class Arm(Strict):
    """One way to decide: a graph of the rulebook (None: the rulebook's own), and its share of the experiment."""

    name: Name
    share: Share
    graph: Name | None = None


class Growth(Strict):
    """From this date on the challenger's share is this."""

    first: date
    share: Share


class Experiment(Strict):
    """The first arm is the champion. `slice` is [from, to) of the group's people; dates are included."""

    name: Name
    group: Name
    about: Text
    salt: Salt
    first: date
    last: date
    slice: tuple[Share, Share] = Field(("0", "1"), validate_default=True)
    arms: tuple[Arm, ...] = Field(min_length=2, max_length=8)
    growth: tuple[Growth, ...] = Field(default=(), max_length=32)
    planned_persons: Annotated[int, Whole, Field(ge=1, le=10**9)]

    @model_validator(mode="after")
    def _whole(self) -> Self:
        unique_names(f"experiment {self.name}: arm", [a.name for a in self.arms])
        if self.first > self.last:
            raise ValueError(f"experiment {self.name}: first is after last")
        if self.slice[0] >= self.slice[1]:
            raise ValueError(f"experiment {self.name}: slice must be a non-empty [from, to)")
        if sum(a.share for a in self.arms) != 1:
            raise ValueError(f"experiment {self.name}: expected shares of its arms that sum to 1")
        self._check_growth()
        return self

    def _check_growth(self) -> None:
        if self.growth and len(self.arms) != 2:
            raise ValueError(f"experiment {self.name}: growth needs exactly two arms")
        steps = [(self.first, self.arms[1].share), *((g.first, g.share) for g in self.growth)]
        for (day, share), (later, larger) in zip(steps, steps[1:], strict=False):
            if later <= day or larger < share:
                raise ValueError(f"experiment {self.name}: growth must go on in dates and never shrink, from the "
                                 "challenger's share on")

    def shares(self, on: date) -> tuple[Decimal, ...]:
        """The shares of the arms on a date, champion first."""
        grown = [g.share for g in self.growth if g.first <= on]
        return (1 - grown[-1], grown[-1]) if grown else tuple(a.share for a in self.arms)


class Experiments(Strict):
    """All experiments, and the salt of each group of them."""

    salts: Salts = Field(default_factory=dict, validate_default=True)
    experiments: tuple[Experiment, ...] = Field(default=(), max_length=64)

    @model_validator(mode="after")
    def _exclusive(self) -> Self:
        unique_names("experiment", [e.name for e in self.experiments])
        unique_names("arm", [a.name for e in self.experiments for a in e.arms])
        unique_names("salt", list(self.salts.values()) + [e.salt for e in self.experiments])
        for experiment in self.experiments:
            if experiment.group not in self.salts:
                raise ValueError(f"experiment {experiment.name}: salts has no {experiment.group}")
        for one, other in ((a, b) for a in self.experiments for b in self.experiments if a.name < b.name):
            if _overlap(one, other):
                raise ValueError(f"experiments {one.name} and {other.name} of a group share dates and people")
        return self

    def get(self, name: str) -> Experiment | None:
        """The experiment of this name, or None."""
        return next((e for e in self.experiments if e.name == name), None)


class Assignment(Strict):
    """What a person meets; arms have names of their own over all experiments, so the arm alone says it."""

    experiment: Name
    arm: Name
    graph: Name | None = None


def assign(person: str, experiments: Experiments, on: date, group: str = "decision") -> Assignment | None:
    """The one experiment of the group that covers this person on this date, and the arm; None for nobody's people."""
    running = [e for e in experiments.experiments if e.group == group and e.first <= on <= e.last]
    if not running:
        return None
    place = point(experiments.salts[group], person)
    experiment = next((e for e in running if _at(e.slice[0]) <= place < _at(e.slice[1])), None)
    return None if experiment is None else _assigned(experiment, person, on)


def expected_arm(experiment: Experiment, person: str, on: date) -> str:
    """The arm within the experiment, for a person it covers."""
    return _assigned(experiment, person, on).arm


def covers(experiments: Experiments, experiment: Experiment, person: str) -> bool:
    """Whether the person lies in the experiment's slice of its group."""
    return _at(experiment.slice[0]) <= point(experiments.salts[experiment.group], person) < _at(experiment.slice[1])


def point(salt: str, person: str) -> int:
    """A place on [0, 2^64) that depends on salt and person alone: SHA-256 over both, length first."""
    key = salt.encode()
    return int.from_bytes(hashlib.sha256(len(key).to_bytes(2) + key + person.encode()).digest()[:8])


def _assigned(experiment: Experiment, person: str, on: date) -> Assignment:
    """Later arms take the low end of the line, so that a growing challenger never hands anybody back."""
    place, reached = point(experiment.salt, person), Decimal(0)
    for arm, share in zip(reversed(experiment.arms), reversed(experiment.shares(on)), strict=True):
        reached += share
        if place < _at(reached):
            return Assignment(experiment=experiment.name, arm=arm.name, graph=arm.graph)
    champion = experiment.arms[0]
    return Assignment(experiment=experiment.name, arm=champion.name, graph=champion.graph)


def _at(share: Decimal) -> int:
    numerator, denominator = share.as_integer_ratio()
    return LINE * numerator // denominator


def _overlap(one: Experiment, other: Experiment) -> bool:
    return (one.group == other.group and one.first <= other.last and other.first <= one.last
            and one.slice[0] < other.slice[1] and other.slice[0] < one.slice[1])
