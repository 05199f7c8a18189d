"""A policy in plain words: one sentence per setting, and what one policy permits that another does not.

A setting without a sentence here is explained by its description, and compared by its name: of `maximum_…` more permits
more, of `minimum_…` less does, of a list every entry is something more that is permitted.
"""
from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from typing import Any

from protocols.policy import PeerPolicy, Policy

SENTENCES: dict[str, str] = {
    "purposes": "A run may declare only one of these purposes: {value}.",
    "peers": "Only these parties may take part, each with the identity key whose fingerprint is pinned: {value}.",
    "kinds": "These kinds of work may be asked for: {value} (train makes a model, score opens scores of common people, "
             "online answers for one applicant at a time, fraud lets such answers carry this platform's fraud score).",
    "models": "These kinds of models may be trained and scored with: {value}.",
    "encodings": "Columns may be turned into numbers in these ways: {value}.",
    "alignments": "Whose rows a run may take: {value} (common: known to all platforms; covered: to at least one).",
    "release": "Who may get the coefficients of a model: {value} (owner: each party those of its own columns; shared: "
               "nobody, both sides score together).",
    "minimum_intersection_rows": "No run goes on with fewer than {value} people in common with a peer.",
    "minimum_bin_rows": "No bin of a column may hold fewer than {value} training rows.",
    "maximum_steps": "A training may take at most {value} steps.",
    "maximum_runs_per_day": "At most {value} runs may be agreed on in 24 hours.",
    "maximum_holdout_share": "One training may open the scores of at most {value:.0%} of the rows, to the bank whose "
                             "customers they are.",
    "maximum_commons_rho": "The noised counts for the banks' common bins may tell at most rho = {value:g} (zCDP) about "
                           "a person, all runs added up.",
    "maximum_woe_rho": "The noised event counts of a platform's bins (encoding woe) may tell at most rho = {value:g} "
                       "(zCDP) about a label, all runs and platforms added up; counts without noise are refused.",
    "activations": "The sigmoid may be replaced in training by these: {value} (anchored: its tangent at the bank's own "
                   "score of each row; deg1, deg3: one fixed polynomial for all rows).",
    "variants": "A training may be of these variants: {value} (strict: training rows open by polish only; "
                "open-score: the bank opens the platform's part of each training row's score in every round).",
    "maximum_polish": "After the strict steps the scores of the training rows may be opened to the bank {value} times.",
    "maximum_opened_rank": "Openings of training scores that share a person, all runs added up, may come to at most "
                           "{value:g} of the number of this platform's whitened columns.",
    "maximum_tree_splits": "Trees may ask on which side of a split by this party's columns people are for at most "
                           "{value} splits, all trainings that share a person added up; each is a bit about every row.",
    "maximum_tree_sums": "Trees may open at most {value} sums over this party's bins in one training.",
    "minimum_columns": "An opened score of this party must rest on at least {value} of its columns.",
    "maximum_snapshots_per_person": "A model whose weights stay shared, or any model online, may score a person under "
                                    "at most {value} versions of the data.",
    "maximum_scores_per_person_per_day": "Online, a person may be scored at most {value} times in a day (UTC).",
    "minimum_change_rows": "Between two trainings the people shared with a peer, and those taken of a bank, are the "
                           "same or differ by at least {value}.",
    "parameter_sets": "Encryption may use these parameter sets: {value} (product: 178 bits of modulus, slots: 218, "
                      "both of dimension 8192, for scorecards; pads: 108 of dimension 4096, hints: 216 of 8192, for "
                      "trees; each with 128 bits of security); a training needs both of its kind.",
    "sensitivity_allowed": "Columns of these levels (JR/T 0171) may take part: {value}.",
    "columns": "Of these tables only these columns may take part, at most at this level: {value}.",
    "approval": "Runs that fit this policy are agreed to in this way: {value} (auto: at once; human: after a person of "
                "this node has approved them).",
    "retention_days": "State and keys of runs that have ended, and files of scores, are deleted after {value} days.",
    "maximum_message_bytes": "A peer's message may have at most {value} bytes.",
    "tile_cache_bytes": "A training may keep at most {value} bytes of prepared tiles in memory.",
}
EXACT_COUNTS = ("Event counts of a platform's bins (encoding woe, if allowed) may be opened without noise, about a "
                "person to each platform once.")
ALL_COLUMNS = "Every column that the node's own file declares may take part."
PEER = ("{name} may bring at most {maximum_rows} people a run and {maximum_rows_per_quarter} in 91 days; its identity "
        "is the key with fingerprint {fingerprint}.")
Listed = dict[str, dict[str, str]]  # by table: columns with their levels
UNCOMPARED = ("version", "tile_cache_bytes")
MORE, LESS = ("maximum_", "retention_"), ("minimum_",)


@dataclass(frozen=True)
class Explained:
    """One setting: its value as text, and what it permits. `given`: whether the file says it or it is the default."""

    setting: str
    value: str
    given: bool
    permits: str

    def to_json(self) -> dict[str, Any]:
        """As plain JSON."""
        return asdict(self)


def explain(policy: Policy) -> list[Explained]:
    """Every setting of a policy in the order of the file's model, and every peer with its limits."""
    found = [Explained(name, text_of(getattr(policy, name)), name in policy.model_fields_set, _sentence(policy, name))
             for name in Policy.model_fields if name != "version"]
    for name, peer in policy.peers.items():
        told = PEER.format(name=name, **peer.model_dump())
        found.append(Explained(f"peers.{name}", peer.fingerprint[:16] + "…", True, told))
    return found


def _sentence(policy: Policy, name: str) -> str:
    value = getattr(policy, name)
    if name == "columns" and not value:
        return ALL_COLUMNS
    if name == "maximum_woe_rho" and value is None:
        return EXACT_COUNTS
    field = Policy.model_fields[name]
    template = SENTENCES.get(name, f"{field.description or name.replace('_', ' ')}: {{value}}.")
    return template.format(value=value if isinstance(value, int | float) else text_of(value))


def text_of(value: Any) -> str:
    """A value of a setting for a person."""
    if isinstance(value, dict):
        return ", ".join(_entry(key, held) for key, held in value.items()) or "none"
    if isinstance(value, tuple | list):
        return ", ".join(map(str, value)) or "none"
    return "not set" if value is None else str(value)


def _entry(key: str, held: Any) -> str:
    if isinstance(held, dict):
        return f"{key} ({text_of(held)})"
    return f"{key} ≤ {held}" if isinstance(held, str) else key


def permitted_beyond(first: Policy, second: Policy) -> list[tuple[str, str]]:
    """What `second` permits and `first` does not: (setting, sentence), empty when nothing."""
    return [entry for name in Policy.model_fields if name not in UNCOMPARED
            for entry in _comparison(name)(name, getattr(first, name), getattr(second, name))]


def _comparison(name: str) -> Callable[[str, Any, Any], Iterator[tuple[str, str]]]:
    special = {"peers": _peers, "columns": _columns, "approval": _approval, "maximum_woe_rho": _woe_rho}
    return special.get(name, _value)


def _value(name: str, first: Any, second: Any) -> Iterator[tuple[str, str]]:
    if isinstance(second, tuple):
        for entry in second:
            if entry not in first:
                yield name, f"{name} also permits {entry}"
    elif name.startswith(LESS) and second < first or name.startswith(MORE) and second > first:
        yield name, f"{name} is {second} instead of {first}"


def _woe_rho(name: str, first: float | None, second: float | None) -> Iterator[tuple[str, str]]:
    """Not set, counts may be exact, which is more than any rho."""
    if first is not None and second is None:
        yield name, "event counts of bins may be opened without noise"
    elif first is not None:
        yield from _value(name, first, second)


def _approval(name: str, first: str, second: str) -> Iterator[tuple[str, str]]:
    if (first, second) == ("human", "auto"):
        yield name, "runs begin without a person's approval"


def _peers(name: str, first: dict[str, PeerPolicy], second: dict[str, PeerPolicy]) -> Iterator[tuple[str, str]]:
    for peer, pinned in second.items():
        before, where = first.get(peer), f"peers.{peer}"
        if before is None:
            yield where, f"{peer} may take part, with the identity {pinned.fingerprint[:16]}…"
            continue
        if before.fingerprint != pinned.fingerprint:
            yield f"{where}.fingerprint", f"{peer} is another identity, {pinned.fingerprint[:16]}… instead of " \
                                          f"{before.fingerprint[:16]}…"
        for limit in ("maximum_rows", "maximum_rows_per_quarter"):
            for _, told in _value(limit, getattr(before, limit), getattr(pinned, limit)):
                yield f"{where}.{limit}", f"{peer}: {told}"


def _columns(name: str, first: Listed, second: Listed) -> Iterator[tuple[str, str]]:
    """An empty list permits all columns."""
    if not second:
        if first:
            yield name, "every declared column may take part"
        return
    for table, listed in second.items():
        for column, level in listed.items():
            before = first.get(table, {}).get(column) if first else "C2"
            if before is None or level > before:
                yield f"{name}.{table}", f"{table}.{column} may take part up to level {level}"
