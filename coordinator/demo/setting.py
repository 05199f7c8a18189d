"""Who takes part in a demo, with which tables, and the plans of its trainings."""
from __future__ import annotations

import csv
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from coordinator.demo.banks import split_bank
from coordinator.demo.federation import FEATURE, LABEL, PURPOSE, Table, inferred_table, is_bank
from coordinator.demo.population import Part, split_platform, write_population
from protocols.plan import Plan

BINS = ((16_000, 5), (6_500, 3), (0, 2))  # fewer bins for fewer rows: every coefficient needs 50 training rows
USUAL_INTERSECTION, SMALL_INTERSECTION = 1_000, 500
SMALL_BANK = 1_500  # rows; a smaller one may have fewer than 1,000 people in common with all platforms
Say = Callable[[str], None]


@dataclass(frozen=True)
class Setting:
    """Tables of all parties, banks first; rows of each; where they come from, in words."""

    tables: dict[str, Table]
    rows: dict[str, int]
    source: str

    @property
    def banks(self) -> tuple[str, ...]:
        """Names of the banks, the speaker first."""
        return tuple(party for party in self.tables if is_bank(party))

    @property
    def platforms(self) -> tuple[str, ...]:
        """Names of the platforms, the lead first."""
        return tuple(party for party in self.tables if not is_bank(party))

    @property
    def bins(self) -> int:
        """Bins per number that the rows of the smaller side allow."""
        both = min(sum(self.rows[bank] for bank in self.banks), *(self.rows[party] for party in self.platforms))
        return next(bins for least, bins in BINS if both >= least)

    @property
    def minimum_intersection(self) -> int:
        """Common people that each pair of a bank and a platform needs."""
        return USUAL_INTERSECTION if len(self.banks) == 1 or min(self.rows.values()) >= SMALL_BANK \
            else SMALL_INTERSECTION


def given(bank_csv: Path, platform_csv: Path, id_column: str, label: str, say: Say) -> Setting:
    """One bank and one platform from files; SealscoreError in the words of the parties' own command."""
    say(f"reading {bank_csv.name} and {platform_csv.name} …")
    tables = {
        LABEL: inferred_table("bank", bank_csv, id_column, label),
        FEATURE: inferred_table("platform", platform_csv, id_column, None),
    }
    rows = {LABEL: _lines(bank_csv), FEATURE: _lines(platform_csv)}
    return Setting(tables, rows, f"{bank_csv.name} and {platform_csv.name}")


def synthetic(folder: Path, rows: int, seed: int, banks: int, platforms: int, say: Say) -> Setting:
    """The generated population, split among `banks` and `platforms`."""
    say(f"making a synthetic population (seed {seed}, {rows:,} rows a side); no real person is in it …")
    files = write_population(folder, rows, seed)
    lenders = {LABEL: Part(files.bank_table, rows)} if banks == 1 else split_bank(files, banks, seed)
    knowers = {FEATURE: Part(files.platform_table, rows)} if platforms == 1 else split_platform(files, platforms, seed)
    split = [f"the {what} split among {count}" for what, count in
             (("bank's customers", banks), ("platform's columns", platforms)) if count > 1]
    parts = lenders | knowers
    return Setting({name: Table(part.table) for name, part in parts.items()},
                   {name: part.rows for name, part in parts.items()},
                   ", ".join([f"a synthetic population, seed {seed}", *split]))


def _lines(path: Path) -> int:
    """Data rows of a CSV file; quoted line breaks count as the csv module reads them."""
    with path.open(encoding="utf-8", newline="") as file:
        return sum(1 for row in csv.reader(file) if row) - 1


def policy_rules(*plans: Plan, again_on_nearly_the_same: bool = False, online: bool = False) -> list[str]:
    """Lines of a policy that permits what `plans` ask for and no more; the smallest intersection is Federation's.

    `again_on_nearly_the_same`: trainings with one platform less take people who differ by few; the policy says so.
    `online`: the model is to score applicants, one at a time.
    """
    only = {"models": [plan.model.kind for plan in plans], "encodings": [plan.model.encoding for plan in plans],
            "activations": [plan.model.activation for plan in plans],
            "alignments": [plan.alignment.rows for plan in plans], "release": [plan.model.release for plan in plans],
            "variants": [plan.model.variant for plan in plans]}
    kinds = dict.fromkeys([*(plan.kind for plan in plans), *(["online"] if online else [])])
    rules = [f"kinds = {json.dumps(list(kinds))}",
             *(f"{name} = {json.dumps(list(dict.fromkeys(values)))}" for name, values in only.items())]
    rules += [f"minimum_bin_rows = {min(plan.model.minimum_support for plan in plans)}",
              f"maximum_steps = {max(plan.model.most_steps for plan in plans)}",
              f"maximum_polish = {max(plan.model.polish for plan in plans)}",
              f"maximum_holdout_share = {round(max(p.slices.calibration + p.slices.test for p in plans), 9)}"]
    splits = sum(plan.model.boosting.most_splits for plan in plans if plan.model.boosting)
    rules += [f"maximum_tree_splits = {splits}"] if splits else []
    return [*rules, "minimum_change_rows = 1"] if again_on_nearly_the_same else rules


def plan_text(setting: Setting, parties: Sequence[str], *, seed: int, **model: Any) -> str:
    """The training plan of some of the parties, as TOML; equal seeds give a person the same slice in each. `model`: as
    `_scorecard` or, with a kind, `_boosting` and `_network` take it."""
    banks = [party for party in parties if is_bank(party)]
    labels = f'label_party = "{banks[0]}"' if len(banks) == 1 else f"label_parties = {json.dumps(banks)}"
    lines = [f'purpose = "{PURPOSE}"', labels,
             f"feature_parties = {json.dumps([party for party in parties if not is_bank(party)])}", ""]
    for party in parties:
        lines += [f"[parties.{party}]", 'table = "customers"',
                  f"columns = {json.dumps(setting.tables[party].columns)}", ""]
    kind = model.pop("kind", "scorecard")
    lines += [*{"scorecard": _scorecard, "boosting": _boosting, "network": _network}[kind](**model), ""]
    if setting.minimum_intersection != USUAL_INTERSECTION:
        lines += ["[alignment]", f"minimum_intersection = {setting.minimum_intersection}", ""]
    return "\n".join([*lines, "[slices]", f'seed = "{seed}"', ""])


def _scorecard(*, encoding: str, bins: int, steps: int, activation: str = "anchored", release: str = "owner",
               variant: str = "strict", polish: int = 0) -> list[str]:
    """[model] of a scorecard: what differs from the usual settings."""
    lines = ["[model]", f"encoding = {json.dumps(encoding)}", f"bins = {bins}", f"steps = {steps}"]
    lines += [f"activation = {json.dumps(activation)}"] if activation != "anchored" else []
    lines += [f"release = {json.dumps(release)}"] if release != "owner" else []
    lines += [f"variant = {json.dumps(variant)}"] if variant != "strict" else []
    return [*lines, *([f"polish = {polish}"] if polish else [])]


def _boosting(*, trees: int, depth: int, bins: int, learning_rate: float) -> list[str]:
    """[model] of boosted trees."""
    return ["[model]", 'kind = "boosting"', "", "[model.boosting]", f"trees = {trees}", f"depth = {depth}",
            f"bins = {bins}", f"learning_rate = {learning_rate}"]


def _network(*, bins: int, **settings: Any) -> list[str]:
    """[model] of a network, whose weights stay shared."""
    return ["[model]", 'kind = "network"', f"bins = {bins}", "", "[model.network]",
            *(f"{name} = {json.dumps(value)}" for name, value in settings.items())]
