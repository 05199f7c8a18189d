"""`sealscore bank` imports what the command needs, and still has every command."""
from __future__ import annotations

import subprocess
import sys

import pytest

from parties.bank import cli
from parties.bank.sides import bank_side
from parties.runtime.cli import party_app

HEAVY = ("fastapi", "alembic", "zen", "uvicorn", "sqlalchemy.orm")


@pytest.mark.parametrize("add", cli.PARTS, ids=lambda add: add.__name__)
def test_each_part_brings_the_commands_that_it_is_looked_up_by(add) -> None:
    app = party_app("bank", bank_side)
    before = cli.names_of(app)
    add(app)
    assert cli.names_of(app) - before == set(cli.PARTS[add])


def test_a_command_imports_its_own_part_only() -> None:
    app = party_app("bank", bank_side)
    assert cli.parts_for("serve", app) == []
    assert [add.__name__ for add in cli.parts_for("replay", app)] == ["_service"]
    for word in ("", "--help", "no-such-command"):
        assert cli.parts_for(word, app) == list(cli.PARTS)


def test_a_training_node_loads_no_web_server_and_no_rule_engine() -> None:
    shown = subprocess.run([sys.executable, "-c", "import sys, parties.bank.cli; print(*sys.modules)"],
                           capture_output=True, text=True, check=True, timeout=120).stdout.split()
    assert not set(HEAVY) & set(shown)


def test_help_names_the_commands_of_every_part(capsys) -> None:
    assert cli.main(["--help"]) == 0
    shown = capsys.readouterr().out
    assert all(command in shown for commands in cli.PARTS.values() for command in commands)
