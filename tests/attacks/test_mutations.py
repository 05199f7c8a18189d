"""The mutation gate itself: every edit applies, a few are run, and a gate that notices nothing says so."""
from __future__ import annotations

from dataclasses import replace

import pytest

from tests.attacks import mutate
from tests.attacks.mutate import ROOT, Unusable, main, mutated, survey
from tests.attacks.mutations import MUTATIONS

NAMED = {mutation.name: mutation for mutation in MUTATIONS}


@pytest.mark.parametrize("name", NAMED)
def test_every_edit_applies_and_names_tests_that_exist(name: str) -> None:
    mutation = NAMED[name]
    text = (ROOT / mutation.file).read_text(encoding="utf-8")
    assert mutated(text, mutation) != text
    for test in mutation.tests:
        path, _, function = test.partition("::")
        assert f"def {function}" in (ROOT / path).read_text(encoding="utf-8")


def test_names_are_distinct() -> None:
    assert len(NAMED) == len(MUTATIONS) > 35


def test_an_edit_that_does_not_apply_fails_loudly() -> None:
    mutation = replace(MUTATIONS[0], edits=(("this stands nowhere", ""),))
    with pytest.raises(Unusable, match="found 0 times"):
        mutated("some text", mutation)
    with pytest.raises(Unusable, match="found 2 times"):
        mutated("twice twice", replace(mutation, edits=(("twice", ""),)))
    with pytest.raises(Unusable, match="no Python"):
        mutated("x = 1", replace(mutation, edits=(("1", "("),)))


def test_an_unknown_word_is_an_error(capsys) -> None:
    assert main(["--only", "no such protection"]) == 2
    assert main(["--only", "sealing", "--list"]) == 0
    assert "replayed frames refused" in capsys.readouterr().out


@pytest.mark.slow
def test_the_gate_is_red_where_it_must_be_and_green_where_nothing_was_taken_out(capsys) -> None:
    """Two of the table (`make mutants` runs all), and a harmless edit, which must be reported as not noticed."""
    chosen = [NAMED["replayed frames refused"], NAMED["rows per released coefficient"]]
    harmless = replace(chosen[0], name="nothing", edits=(("_MAX_COUNTER = 2**62", "_MAX_COUNTER = 2**61"),))
    verdicts = survey([*chosen, harmless])
    assert [verdict.red for verdict in verdicts] == [True, True, False]
    assert "NOT NOTICED" in mutate.row(verdicts[-1])
