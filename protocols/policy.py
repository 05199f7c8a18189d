"""A party's own rules, closed by default: what a plan may ask of it. TOML in, immutable `Policy` out.

A plan that asks for more is refused before any data is read, with the name of the setting.
"""
from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import Annotated, Literal

from pydantic import Field, StringConstraints

from protocols.errors import MalformedMessage, PolicyRefused
from protocols.plan import MOST_POLISH, Column, ModelKind, Name, Plan, canonical_json
from protocols.strict import Strict

Fingerprint = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
Level = Literal["C1", "C2"]
ROWS_PER_COEFFICIENT = 50  # notes: n=1024, d=256 gave every label away; n >= 50 * sum(d) does not
SetName = Literal["product", "slots", "pads", "hints"]
PARAMETER_SETS: dict[ModelKind, tuple[SetName, ...]] = {  # what a training of each kind of model encrypts with
    "scorecard": ("product", "slots"),  # protocols/crypto/params.py
    "boosting": ("pads", "hints"),  # protocols/boosting/parameters.py
    "network": ("product", "slots"),
}


class PeerPolicy(Strict):
    """A peer this party works with, known by the fingerprint of its identity key, confirmed out of band."""

    fingerprint: Fingerprint
    maximum_rows: int = Field(5_000_000, ge=1, description="people the peer may bring: each one it brings it tests")
    maximum_rows_per_quarter: int = Field(50_000_000, ge=1, description="people the peer may bring in 91 days, all "
                                          "runs added up")


class Policy(Strict):
    """The typed policy of one party."""

    version: Literal[1] = 1
    purposes: tuple[str, ...] = Field(min_length=1, description="purposes a run may declare")
    peers: dict[Name, PeerPolicy] = Field(min_length=1)
    kinds: tuple[Literal["train", "score", "online", "fraud"], ...] = ("train",)
    models: tuple[ModelKind, ...] = Field(("scorecard",), description="what may be trained and scored with")
    encodings: tuple[Literal["dummy", "numeric", "woe"], ...] = ("dummy",)
    activations: tuple[Literal["anchored", "deg1", "deg3"], ...] = ("anchored",)
    alignments: tuple[Literal["common", "covered"], ...] = ("common",)
    release: tuple[Literal["owner", "shared"], ...] = ("owner",)
    minimum_intersection_rows: int = Field(1000, ge=256)
    minimum_bin_rows: int = Field(20, ge=20)
    maximum_steps: int = Field(32, ge=1, le=64)
    variants: tuple[Literal["strict", "open-score"], ...] = ("strict",)
    maximum_polish: int = Field(0, ge=0, le=MOST_POLISH,
                                description="openings of training scores after the strict steps")
    maximum_opened_rank: float = Field(0.25, ge=0, le=0.25, description="openings of training scores that share a "
                                       "person, all runs added up, per whitened column of this platform")
    maximum_tree_splits: int = Field(1500, ge=1, description="boosting: splits by this platform's columns in all "
                                     "trainings that share a person; each tells the bank a bit about every row")
    maximum_tree_sums: int = Field(10_000_000, ge=1, description="boosting: sums over this platform's bins that one "
                                   "training may open")
    maximum_runs_per_day: int = Field(100, ge=1)
    maximum_holdout_share: float = Field(0.5, gt=0, lt=1, description="rows whose scores one training may open")
    maximum_commons_rho: float = Field(1.0, gt=0, description="privacy (zCDP) that common encodings of several banks "
                                       "may spend on a person, all runs added up")
    maximum_woe_rho: float | None = Field(None, gt=0, description="privacy (zCDP) of a label that event counts of "
                                          "bins (woe) may spend, all runs and platforms added up; left out: exact "
                                          "counts too")
    minimum_columns: int = Field(4, ge=1, description="columns behind an opened score: one alone would show its bins")
    maximum_snapshots_per_person: int = Field(12, ge=1, description="versions of a person's data that one model with "
                                              "shared weights, or any model online, may score")
    maximum_scores_per_person_per_day: int = Field(10, ge=1, description="online scores of one person in a day (UTC)")
    minimum_change_rows: int = Field(1000, ge=1, description="between two trainings the people shared with a peer, and "
                                      "those taken of a bank, are the same, or differ by at least so many")
    parameter_sets: tuple[SetName, ...] = ("product", "slots", "pads", "hints")
    sensitivity_allowed: tuple[Level, ...] = ("C1", "C2")
    columns: dict[Name, dict[Column, Level]] = Field({}, description="by table: the only columns that may take part, "
                                                     "each with the highest level it may be declared at; empty: all")
    approval: Literal["auto", "human"] = Field("auto", description="human: every run waits until a person of this node "
                                               "has approved it")
    retention_days: int = Field(90, ge=1, le=3660, description="days after its agreement that the state of a run that "
                                "has ended, its keys and its scores are kept")
    maximum_message_bytes: int = Field(512 * 1024 * 1024, ge=1024 * 1024)
    tile_cache_bytes: int = Field(2 * 1024**3, ge=0)

    def digest(self) -> str:
        """SHA-256 of the canonical JSON, hex: which policy was in force."""
        return hashlib.sha256(canonical_json(self.model_dump(mode="json"))).hexdigest()

    def check(self, plan: Plan, party: str) -> None:
        """Refuse a plan that asks `party` for more than this policy gives; PolicyRefused names the setting."""
        if party not in plan.parties:
            raise PolicyRefused("peers", f"the plan does not name {party} as a party")
        for setting, holds, sentence in self._rules(plan, party):
            if not holds:
                raise PolicyRefused(setting, sentence)

    def _rules(self, plan: Plan, party: str) -> list[tuple[str, bool, str]]:
        model, strangers = plan.model, sorted(set(plan.parties) - {party} - set(self.peers))
        needed = PARAMETER_SETS[model.kind] if plan.kind == "train" else ()
        sets = sorted(set(needed) - set(self.parameter_sets))
        return [
            ("purposes", plan.purpose in self.purposes,
             f"the plan's purpose is {plan.purpose}, allowed: {', '.join(self.purposes)}"),
            ("peers", not strangers, f"the plan names {', '.join(strangers)}, whose fingerprint is not pinned here"),
            ("kinds", plan.kind in self.kinds, f"a run of kind {plan.kind}, allowed: {', '.join(self.kinds)}"),
            ("parameter_sets", not sets,
             f"a run of kind {plan.kind} encrypts with the parameter set {', '.join(sets)}, allowed: "
             f"{', '.join(self.parameter_sets) or 'none'}"),
            ("models", model.kind in self.models,
             f"a model of kind {model.kind}, allowed: {', '.join(self.models)}"),
            ("encodings", model.kind == "boosting" or model.encoding in self.encodings,
             _encoding_sentence(model.encoding, self.encodings)),
            ("activations", model.activation in self.activations,
             f"activation = {model.activation!r} is asked for, allowed: {', '.join(self.activations)}"),
            ("alignments", plan.alignment.rows in self.alignments,
             f"alignment.rows = {plan.alignment.rows!r} is asked for, allowed: {', '.join(self.alignments)}"),
            ("release", model.release in self.release,
             f"release = {model.release!r} is asked for, allowed: {', '.join(self.release)}"),
            ("minimum_intersection_rows", plan.alignment.minimum_intersection >= self.minimum_intersection_rows,
             f"the plan accepts {plan.alignment.minimum_intersection} common rows, "
             f"at least {self.minimum_intersection_rows} are required"),
            ("minimum_bin_rows", model.minimum_support >= self.minimum_bin_rows,
             f"the plan accepts bins of {model.minimum_support} rows, at least {self.minimum_bin_rows} are required"),
            ("maximum_steps", model.most_steps <= self.maximum_steps,
             f"the plan asks for {model.most_steps} steps, at most {self.maximum_steps} are allowed"),
            ("variants", model.variant in self.variants,
             f"variant = {model.variant!r} is asked for, allowed: {', '.join(self.variants)}"),
            ("maximum_polish", model.polish <= self.maximum_polish,
             f"the plan opens the training rows' scores {model.polish} times after the strict steps, at most "
             f"{self.maximum_polish} are allowed"),
            ("maximum_commons_rho", len(plan.label_parties) == 1 or model.commons_rho <= self.maximum_commons_rho,
             f"the plan spends rho = {model.commons_rho:g} on the banks' common encoding, at most "
             f"{self.maximum_commons_rho:g} in all is allowed"),
            ("maximum_woe_rho", self._allows_woe(model.woe_rho * len(plan.feature_parties), model.encoding),
             f"the plan has woe_rho = {model.woe_rho:g} for each of {len(plan.feature_parties)} platforms (0: counts "
             f"without noise), at most {self.maximum_woe_rho or 0:g} in all is allowed"),
            ("maximum_holdout_share", plan.slices.calibration + plan.slices.test <= self.maximum_holdout_share + 1e-9,
             f"the plan opens scores of {plan.slices.calibration + plan.slices.test:.0%} of the rows, at most "
             f"{self.maximum_holdout_share:.0%} are allowed"),
        ]

    def check_columns(self, plan: Plan, party: str) -> None:
        """Refuse a plan in which opened scores of `party` would rest on too few columns to say little about each."""
        brought = len(plan.parties[party].columns)
        if party not in plan.label_parties and brought < self.minimum_columns:
            raise PolicyRefused(
                "minimum_columns",
                f"the plan takes {brought} columns of {party}, whose opened scores would show their bins; at least "
                f"{self.minimum_columns} are required",
            )

    def check_peer_rows(self, peer: str, rows: object) -> None:
        """Refuse a peer's announced number of rows above its cap; MalformedMessage if it is no number of rows."""
        if type(rows) is not int or rows < 1:
            raise MalformedMessage(f"expected a positive number of rows in the statement of {peer}")
        most = self.peers[peer].maximum_rows
        if rows > most:
            sentence = f"{peer} announces {rows} rows, at most {most} are allowed"
            raise PolicyRefused(f"peers.{peer}.maximum_rows", sentence)

    def check_spent(self, rho: float, earlier: float) -> None:
        """Refuse to add counts to one more common encoding when earlier ones about the same people spent too much."""
        if rho + earlier > self.maximum_commons_rho + 1e-9:
            raise PolicyRefused(
                "maximum_commons_rho",
                f"this run's common encoding would spend rho = {rho:g} after {earlier:g} of earlier runs on the same "
                f"people, at most {self.maximum_commons_rho:g} in all is allowed",
            )

    def check_openings(self, openings: int, earlier: int, rank: int) -> None:
        """Refuse to open training scores so often that the platform's columns follow from them (SECURITY.md).

        `earlier`: openings of other runs that share a person; `rank`: whitened columns in this run.
        """
        most = int(self.maximum_opened_rank * rank)
        if openings + earlier > most:
            before = f" after {earlier} of earlier runs on some of the same people" if earlier else ""
            raise PolicyRefused(
                "maximum_opened_rank",
                f"the plan opens {openings} numbers of each training row{before}, at most {most} are allowed for "
                f"{rank} whitened columns; open fewer (of a scorecard by variant and polish, of a network by width and "
                "epochs) or bring more columns",
            )

    def allowed_splits(self, planned: int, earlier: int) -> int:
        """How many splits by its columns a platform answers in a training of trees that may ask `planned`, after
        `earlier` in others that share a person; PolicyRefused when nothing is left."""
        left = self.maximum_tree_splits - earlier
        if left <= 0:
            raise PolicyRefused(
                "maximum_tree_splits",
                f"earlier trainings on some of the same people asked about {earlier} splits by this platform's "
                f"columns, at most {self.maximum_tree_splits} in all are answered",
            )
        return min(planned, left)

    def check_growth(self, peer: str, changed: int, together: bool = False) -> None:
        """Refuse a training whose people shared with `peer` differ from those of an earlier one by `changed` only.

        `together`: of the people of the bank `peer`, those whom the training takes after all platforms aligned. What
        two runs on nearly the same people open tells about the few that differ (notes on alignment). The number stays
        here: it follows from the others' private sets.
        """
        whose = f"of {peer} that all parties together would train on" if together else f"shared with {peer}"
        if 0 < changed < self.minimum_change_rows:
            raise PolicyRefused(
                "minimum_change_rows",
                f"the people {whose} differ from those of an earlier training by fewer than "
                f"{self.minimum_change_rows}; train on the same tables as then, or once more people have changed",
            )

    def check_tested(self, peer: str, rows: int, earlier: int) -> None:
        """Refuse a peer that would test more identifiers in a quarter than it may; `earlier`: by other runs."""
        most = self.peers[peer].maximum_rows_per_quarter
        if rows + earlier > most:
            raise PolicyRefused(
                f"peers.{peer}.maximum_rows_per_quarter",
                f"{peer} announces {rows} rows after {earlier} in other runs of the last 91 days, at most {most} are "
                "allowed",
            )

    def check_listed(self, table: str, columns: Iterable[str], levels: dict[str, str]) -> None:
        """Refuse columns of an own table that [columns] does not list, or that are declared above the listed level.

        `levels` maps the table's columns to C1, C2 or C3. Without [columns] every declared column may take part.
        """
        if not self.columns:
            return
        listed, setting = self.columns.get(table, {}), f"columns.{table}"
        unlisted = sorted(set(columns) - set(listed))
        if unlisted:
            allowed = ", ".join(sorted(listed)) or "none"
            raise PolicyRefused(setting, f"the run would take {', '.join(unlisted)}, allowed: {allowed}")
        above = sorted(column for column in columns if levels[column] > listed[column])
        if above:
            raise PolicyRefused(setting, f"{', '.join(above)} are declared at a higher level than is listed there")

    def check_versions(self, versions: int) -> None:
        """Refuse to open one more score of a person with a model whose weights stay shared; `versions`: of the data of
        the person with most of them, this run's included."""
        if versions > self.maximum_snapshots_per_person:
            raise PolicyRefused(
                "maximum_snapshots_per_person",
                f"this run would open the score of a person under {versions} versions of the data with one model, at "
                f"most {self.maximum_snapshots_per_person} are allowed; train a new model, or score data as they were",
            )

    def _allows_woe(self, rho: float, encoding: str) -> bool:
        return encoding != "woe" or self.maximum_woe_rho is None or 0 < rho <= self.maximum_woe_rho + 1e-9

    def check_woe(self, rho: float, earlier: float) -> None:
        """Refuse noised event counts when those of earlier runs about the same people spent too much."""
        if self.maximum_woe_rho is not None and rho + earlier > self.maximum_woe_rho + 1e-9:
            raise PolicyRefused(
                "maximum_woe_rho",
                f"event counts of this run would spend rho = {rho:g} after {earlier:g} of others about the same "
                f"people, at most {self.maximum_woe_rho:g} in all is allowed",
            )

    def check_sensitivity(self, levels: dict[str, str]) -> None:
        """Refuse columns above the allowed level; `levels` maps a column's name to C1, C2 or C3."""
        above = sorted(c for c, level in levels.items() if level not in self.sensitivity_allowed)
        if above:
            raise PolicyRefused("sensitivity_allowed", f"columns above the allowed level: {', '.join(above)}")

    def check_rows(self, rows_train: int, coefficients: int, earlier: int = 0, counts: int = 0) -> None:
        """Owner release with few rows gives labels away: require n >= 50 * sum of d (SECURITY.md, released weights).

        `earlier`: coefficients that other trainings released about some of the same people; `counts`: event counts of
        bins without noise (woe), which are equations about labels as coefficients are.
        """
        needed = ROWS_PER_COEFFICIENT * (coefficients + counts + earlier)
        if rows_train < needed:
            beside = f" and {counts} event counts of bins" if counts else ""
            before = f", after {earlier} of earlier trainings on the same people," if earlier else ""
            raise PolicyRefused(
                "release",
                f"releasing {coefficients} coefficients{beside} to their owners{before} needs at least {needed} "
                f"training rows, there are {rows_train}; take fewer columns or bins, or more rows",
            )


def _encoding_sentence(asked: str, allowed: tuple[str, ...]) -> str:
    if asked == "woe":
        return f"encoding = 'woe' would show each platform the default rate of its bins; allowed: {', '.join(allowed)}"
    return f"encoding = {asked!r} is asked for, allowed: {', '.join(allowed)}"
