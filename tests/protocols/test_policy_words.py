"""Every setting has its sentence, and a difference is told in the direction in which it permits more."""
from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocols.node.policy_cli import main
from protocols.policy import Policy
from protocols.policy_words import LESS, MORE, SENTENCES, explain, permitted_beyond

BASE = f'purposes = ["credit-scoring"]\n{{}}\n[peers.platform]\nfingerprint = "{"a" * 64}"\n'
LISTED = '[columns.customers]\nage = "C1"\nincome = "C2"\n'


def policy(text: str = "", after: str = "") -> Policy:
    return Policy.from_toml_text(BASE.format(text) + after)


def test_every_setting_has_a_sentence():
    assert SENTENCES.keys() == Policy.model_fields.keys() - {"version"}
    told = explain(policy("minimum_columns = 9"))
    names = [entry.setting for entry in told if entry.given]
    assert names == ["purposes", "peers", "minimum_columns", "peers.platform"]
    assert all(entry.permits.endswith(".") and "{" not in entry.permits for entry in told)
    assert next(e.permits for e in told if e.setting == "minimum_columns").endswith("at least 9 of its columns.")


def test_every_setting_is_compared():
    """A new setting needs a name that says its direction, or a comparison of its own."""
    defaults = policy()
    plain = [name for name in Policy.model_fields if not isinstance(getattr(defaults, name), tuple | dict)]
    undirected = {name for name in plain if not name.startswith((*MORE, *LESS))}
    assert undirected == {"version", "approval", "tile_cache_bytes"}


@pytest.mark.parametrize(("less", "more", "setting"), [
    ('kinds = ["train"]', 'kinds = ["train", "score"]', "kinds"),
    ("minimum_bin_rows = 30", "minimum_bin_rows = 20", "minimum_bin_rows"),
    ("maximum_steps = 8", "maximum_steps = 9", "maximum_steps"),
    ('approval = "human"', 'approval = "auto"', "approval"),
    ("retention_days = 10", "retention_days = 90", "retention_days"),
    ("maximum_holdout_share = 0.1", "", "maximum_holdout_share"),
    ("minimum_change_rows = 5000", "", "minimum_change_rows"),
    ('parameter_sets = ["product", "pads", "hints"]', "", "parameter_sets"),
    ('maximum_tree_splits = 10', "", "maximum_tree_splits"),
    ("", 'models = ["scorecard", "boosting"]', "models"),
    ("maximum_woe_rho = 0.1", "maximum_woe_rho = 0.2", "maximum_woe_rho"),
    ("maximum_woe_rho = 0.1", "", "maximum_woe_rho"),
    ("", 'activations = ["anchored", "deg3"]', "activations"),
])
def test_what_one_permits_and_the_other_does_not(less, more, setting):
    assert [name for name, _ in permitted_beyond(policy(less), policy(more))] == [setting]
    assert permitted_beyond(policy(more), policy(less)) == []


def test_peers_differ_by_presence_identity_and_limits():
    other = policy(after=f'maximum_rows = 10\n[peers.telco]\nfingerprint = "{"b" * 64}"\n')
    assert [name for name, _ in permitted_beyond(policy(), other)] == ["peers.telco"]
    assert [name for name, _ in permitted_beyond(other, policy())] == ["peers.platform.maximum_rows"]
    swapped = Policy.from_toml_text(BASE.format("").replace("a" * 64, "c" * 64))
    assert [name for name, _ in permitted_beyond(policy(), swapped)] == ["peers.platform.fingerprint"]


def test_a_list_of_columns_permits_less_than_none():
    assert permitted_beyond(policy(), policy(after=LISTED)) == []
    assert [name for name, _ in permitted_beyond(policy(after=LISTED), policy())] == ["columns"]
    higher = policy(after=LISTED.replace('age = "C1"', 'age = "C2"\nzip = "C1"'))
    told = permitted_beyond(policy(after=LISTED), higher)
    assert [sentence for _, sentence in told] == ["customers.age may take part up to level C2",
                                                  "customers.zip may take part up to level C1"]


@given(st.integers(1, 64), st.integers(1, 64), st.booleans(), st.booleans())
def test_two_policies_permit_the_same_only_when_they_are_equal(one, other, first, second):
    both = [policy(f'maximum_steps = {steps}\napproval = "{"human" if human else "auto"}"')
            for steps, human in ((one, first), (other, second))]
    differ = bool(permitted_beyond(*both) or permitted_beyond(*both[::-1]))
    assert differ == ((one, first) != (other, second))


def run(capsys, *words: str) -> tuple[int, str, str]:
    code = main(list(words))
    told = capsys.readouterr()
    return code, told.out, told.err


@pytest.fixture
def files(tmp_path: Path) -> tuple[str, str]:
    paths = tmp_path / "a.toml", tmp_path / "b.toml"
    paths[0].write_text(BASE.format(""))
    paths[1].write_text(BASE.format('approval = "human"\nmaximum_steps = 40'))
    return str(paths[0]), str(paths[1])


def test_check_prints_every_setting(files, capsys):
    code, out, _ = run(capsys, "check", files[0])
    assert code == 0 and all(name in out for name in SENTENCES) and "valid policy" in out
    code, out, _ = run(capsys, "check", files[0], "--json")
    assert {entry["setting"] for entry in json.loads(out)["settings"]} == {*SENTENCES, "peers.platform"}


def test_diff_ends_like_diff(files, capsys):
    code, out, _ = run(capsys, "diff", *files)
    assert code == 1 and "maximum_steps is 40 instead of 32" in out and "without a person's approval" in out
    code, out, _ = run(capsys, "diff", *files, "--json")
    assert code == 1 and [e["setting"] for e in json.loads(out)["only_second"]] == ["maximum_steps"]
    code, out, _ = run(capsys, "diff", files[0], files[0])
    assert code == 0 and out.count("permits nothing") == 2


@pytest.mark.parametrize("text", ["", "purposes = [", BASE.format('colour = "red"'), BASE.format("retention_days = 0")])
def test_what_is_no_policy_is_one_sentence(text, tmp_path, capsys):
    path = tmp_path / "p.toml"
    path.write_text(text)
    code, out, err = run(capsys, "check", str(path))
    assert code == 2 and out == "" and err.startswith("error: p.toml: ") and err.count("\n") == 1
    code, _, err = run(capsys, "check", str(tmp_path / "none.toml"))
    assert code == 2 and "no such file" in err
