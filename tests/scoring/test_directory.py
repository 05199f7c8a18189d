"""Tokens: the same at both nodes, for exactly the shared people, from a run that is really there."""
from __future__ import annotations

import json
import os
import shutil
import stat

import pytest

from parties.bank.scoring.cli import bank_scoring
from parties.bank.scoring.model import BankModel
from parties.platform.scoring.cli import platform_scoring
from parties.runtime.run_store import RunStore
from parties.runtime.scoring.directory import Directories, TokenDirectory, prepare
from parties.runtime.scoring.persons import PersonKey
from protocols.errors import DataError, TrustError, UsageError
from protocols.node import cli
from protocols.node.at_rest import run_box
from tests.scoring.homes import MODEL, RUN, identifier


def directory(homes, role: str) -> TokenDirectory:
    peer = "platform" if role == "bank" else "bank"
    return Directories(homes.party(role).state, homes.identity(role)).load(MODEL, peer)


def test_both_nodes_name_the_same_people_alike_and_nobody_else(homes):
    both = {role: (directory(homes, role), PersonKey.load(getattr(homes, role))) for role in ("bank", "platform")}
    named = [[found.token(key.person(identifier(n))) for n in range(homes.shared)] for found, key in both.values()]
    assert named[0] == named[1] and len(set(named[0])) == homes.shared and None not in named[0]
    for found, key in both.values():
        assert found.token(key.person("OTHER-1")) is None and found.token(key.person(identifier(10**5))) is None
    assert both["bank"][1].person(identifier(1)) != both["platform"][1].person(identifier(1))


def test_a_person_is_the_same_however_the_identifier_is_spelt(homes):
    key = PersonKey.load(homes.bank)
    assert key.person(" ＳＹＮ-1 ") == key.person("syn-1") and "REDACTED" in repr(key)
    path = homes.bank / "identity" / "persons.key"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    path.chmod(0o644)
    with pytest.raises(TrustError, match="0600"):
        PersonKey.load(homes.bank)
    path.chmod(0o600)
    path.write_text("nonsense")
    with pytest.raises(TrustError):
        PersonKey.load(homes.bank)


def test_lookups_among_many():
    people, named = [os.urandom(32) for _ in range(3000)], [os.urandom(16) for _ in range(3000)]
    twins = [b"\0" * 8 + bytes([n]) * 8 + b"." * 16 for n in range(5)]  # equal first halves
    found = TokenDirectory.of("r", "p", people + twins, named + [bytes([n]) * 16 for n in range(5)])
    assert all(found.token(person.hex()) == token for person, token in zip(people, named, strict=True))
    assert [found.token(twin.hex()) for twin in twins] == [bytes([n]) * 16 for n in range(5)]
    assert found.token(os.urandom(32).hex()) is None and found.token((b"\0" * 8 + b"\xff" * 24).hex()) is None
    assert TokenDirectory.of("r", "p", [], []).token(people[0].hex()) is None


def change_status(homes):
    homes.vault("bank").put(MODEL, homes.half("bank") | {"status": "revoked"})


def change_platforms(homes):
    seats = {"bank": "label", "one": "feature", "two": "feature"}
    homes.vault("bank").put(MODEL, homes.half("bank") | {"parties": seats})


def change_table(homes):
    with (homes.bank / "customers.csv").open("a") as file:
        file.write("SYN-99999,1,,own,0\n")


def facts(**changed):
    def change(homes):
        store = RunStore(homes.bank / "state" / "runs" / RUN / "run.db", run_box(homes.identity("bank"), RUN))
        store.commit({name.replace("_", "."): value for name, value in changed.items()})
        store.close()
    return change


@pytest.mark.parametrize(("change", "kind", "sentence"), [
    (change_status, UsageError, "is revoked here"), (change_platforms, UsageError, "several platforms"),
    (change_table, DataError, "was changed since run"), (facts(align_secrets=None), UsageError, "earlier version"),
    (facts(state=json.dumps({"state": "failed"}).encode()), UsageError, "has not finished"),
    (lambda homes: (homes.bank / "state" / "runs" / RUN / "agreement.json").unlink(), UsageError, "holds nothing of"),
])
def test_what_cannot_be_prepared_says_why_and_leaves_the_old_tokens(homes, change, kind, sentence):
    before = directory(homes, "bank").tokens.tobytes()
    change(homes)
    with pytest.raises(kind, match=sentence):
        prepare(homes.party("bank"), homes.identity("bank"), MODEL)
    assert directory(homes, "bank").tokens.tobytes() == before


@pytest.mark.parametrize(("role", "app"), [("bank", bank_scoring()), ("platform", platform_scoring())])
def test_a_model_of_several_platforms_is_refused_where_it_would_be_prepared(homes, role, app, capsys):
    seats = {"bank": "label", "platform": "feature", "telecom": "feature"}
    homes.vault(role).put(MODEL, homes.half(role) | {"parties": seats})
    party = homes.party(role)
    shutil.rmtree(party.state / "scoring" / "tokens")
    assert cli.run(app, ["prepare", str(party.home / f"{role}.toml"), MODEL], f"{role} scoring") == 2
    told = capsys.readouterr()
    assert told.err.count("\n") == 1 and "several platforms" in told.err and "score it in batches" in told.err
    assert not told.out and not (party.state / "scoring" / "tokens").exists()


def test_a_bank_that_is_told_to_decide_with_a_model_of_several_platforms_does_not_begin(homes):
    change_platforms(homes)
    with pytest.raises(UsageError, match="with 2 platforms here; online scoring needs a published scorecard"):
        BankModel.load(homes.party("bank"), homes.identity("bank"), MODEL)


@pytest.mark.parametrize("run", ["r-1", "../../etc", "r-" + "9" * 16])
def test_a_run_that_is_none_is_refused(homes, run):
    with pytest.raises(UsageError):
        prepare(homes.party("bank"), homes.identity("bank"), MODEL, run)


def test_a_changed_directory_does_not_open(homes):
    path = homes.bank / "state" / "scoring" / "tokens" / f"{MODEL}.platform"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    path.write_bytes(path.read_bytes()[:-1] + b"?")
    with pytest.raises(TrustError, match="scoring prepare"):
        directory(homes, "bank")
