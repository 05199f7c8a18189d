"""Sealed key files: round trips, wrong secrets, crashes on the way, and secrets that show nowhere."""
from __future__ import annotations

import itertools
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from coordinator.certs import PartySpec, init_federation
from protocols.errors import ConfigError, SealscoreError, TrustError, UsageError
from protocols.node import joining, key_secret, protection, sealed_file
from protocols.node.backup import backup, restore
from protocols.node.identity_files import load_identity, read_private
from protocols.node.key_secret import KeysConfig
from protocols.node.keys_cli import main
from protocols.node.tls import NodeTls

SECRET = "six random words are a good one"
VARIABLE = "SEALSCORE_TEST_PASSPHRASE"
BY_ENVIRONMENT = KeysConfig(protection="passphrase", passphrase_env=VARIABLE)
NAMES = {"identity/identity.key", "tls/node.key", "flower/supernode.key"}


@pytest.fixture(autouse=True)
def cheap(monkeypatch):
    """The KDF costs as little as possible here; its real cost is pinned in test_sealed_file_costs."""
    monkeypatch.setattr(sealed_file, "_SCRYPT_N", 2)


@pytest.fixture
def home(tmp_path) -> Path:
    init_federation(tmp_path / "fed", [PartySpec("bank", "bank")], 30)
    return tmp_path / "fed" / "bank"


@pytest.fixture
def secret(monkeypatch):
    """Puts the secret where the configuration says, and forgets what this process has opened."""
    def give(text: str = SECRET) -> None:
        monkeypatch.setenv(VARIABLE, text)
        protection._boxes.clear()
        protection._handed.clear()

    give()
    yield give
    protection._boxes.clear()


def sealed_home(home: Path, secret) -> Path:
    protection.protect(home, BY_ENVIRONMENT)
    secret()
    return home


def pems(home: Path) -> dict[str, bytes]:
    return {name: read_private(home / name) for name in NAMES}


def test_sealed_keys_open_and_stand_nowhere_on_the_disk(home, secret) -> None:
    before, identity = pems(home), load_identity(home)
    assert set(protection.protect(home, BY_ENVIRONMENT)) == NAMES
    assert VARIABLE not in os.environ, "children would inherit the passphrase"
    secret()
    assert pems(home) == before and load_identity(home).public == identity.public
    files = [p for p in home.rglob("*") if p.is_file()]
    for data in (pem.split(b"\n")[1] for pem in before.values()):
        assert not [p for p in files if data in p.read_bytes()]
    assert not [p for p in files if SECRET.encode() in p.read_bytes()]
    assert all((home / name).stat().st_mode & 0o777 == 0o600 for name in (*NAMES, protection.PROTECTION_FILE))
    assert NodeTls.load(home).ssl_context() is not None


def test_unprotect_is_the_inverse_and_both_may_be_repeated(home, secret) -> None:
    before = {name: (home / name).read_bytes() for name in NAMES}
    sealed_home(home, secret)
    assert protection.protect(home, BY_ENVIRONMENT) == []
    secret()
    assert set(protection.unprotect(home, BY_ENVIRONMENT)) == NAMES
    assert protection.unprotect(home, BY_ENVIRONMENT) == [] and not protection.is_protected(home)
    assert {name: (home / name).read_bytes() for name in NAMES} == before


def test_another_secret_opens_nothing_and_is_not_told(home, secret) -> None:
    sealed_home(home, secret)
    secret("another six words that are wrong")
    with pytest.raises(TrustError, match="the secret is another one") as caught:
        load_identity(home)
    assert "wrong" not in str(caught.value)


@pytest.mark.parametrize("name", [*sorted(NAMES), "identity/protection.key"])
def test_a_changed_file_is_refused(home, secret, name) -> None:
    sealed_home(home, secret)
    data = bytearray((home / name).read_bytes())
    data[-20] ^= 4
    (home / name).write_bytes(data)
    with pytest.raises(TrustError, match="does not open"):
        pems(home)


def test_keys_of_two_kinds_cannot_be_swapped(home, secret) -> None:
    sealed_home(home, secret)
    (home / "identity/identity.key").write_bytes((home / "tls/node.key").read_bytes())
    with pytest.raises(TrustError, match="does not open"):
        load_identity(home)


class Crash(Exception):
    """As good as a kill: nothing after it happens."""


@pytest.mark.parametrize("direction", ["protect", "unprotect"])
def test_a_crash_at_any_write_loses_no_key_and_the_same_command_finishes(home, secret, monkeypatch, direction) -> None:
    before = pems(home)
    if direction == "unprotect":
        sealed_home(home, secret)
    write = protection.replace_private
    for step in itertools.count():
        calls = itertools.count()

        def crashing(path: Path, data: bytes, calls=calls, step=step) -> None:
            if next(calls) == step:
                raise Crash
            write(path, data)

        monkeypatch.setattr(protection, "replace_private", crashing)
        secret()
        try:
            getattr(protection, direction)(home, BY_ENVIRONMENT)
        except Crash:
            secret()
            assert pems(home) == before
            continue
        break
    assert step >= 1
    expected = "sealed" if direction == "protect" else "plain"
    assert set(protection.status(home).values()) == {expected}
    secret()
    assert pems(home) == before


def test_a_running_node_keeps_its_keys(home, secret) -> None:
    (home / "state").mkdir()
    (home / "state/ready.json").write_text(json.dumps({"pid": os.getpid()}))
    for change in (protection.protect, protection.unprotect):
        with pytest.raises(UsageError, match="stop it"):
            change(home, BY_ENVIRONMENT)
    assert set(protection.status(home).values()) == {"plain"}


@pytest.mark.parametrize(("config", "told"), [
    (KeysConfig(), "keys.protection is none"),
    (BY_ENVIRONMENT, None),
])
def test_a_daemon_wants_setting_and_files_to_agree(home, secret, config, told) -> None:
    sealed_home(home, secret)
    if told:
        with pytest.raises(TrustError, match=told):
            protection.unlock(home, config)
    else:
        protection.unlock(home, config)


def test_a_daemon_refuses_plain_keys_where_sealed_ones_are_asked_for(home, secret) -> None:
    with pytest.raises(ConfigError, match="keys protect"):
        protection.unlock(home, BY_ENVIRONMENT)


def test_renewal_in_a_protected_home_writes_sealed_keys_that_move(home, secret) -> None:
    sealed_home(home, secret)
    joining.request_again(home, "bank", renew=True, rotate=True)
    assert set(protection.status(home).values()) == {"sealed"} and len(protection.status(home)) == 5
    new = read_private(home / "tls/next.key")
    os.replace(home / "tls/next.key", home / "tls/node.key")
    assert read_private(home / "tls/node.key") == new


def test_a_backup_holds_sealed_keys_and_the_restored_home_opens(home, secret, tmp_path) -> None:
    sealed_home(home, secret)
    (home / "bank.toml").write_text(f'[node]\nname="bank"\nrole="bank"\n[keys]\nprotection="passphrase"\n'
                                    f'passphrase_env="{VARIABLE}"\n')
    backup(home, tmp_path / "b", b"a passphrase of backups")
    secret()
    restore(tmp_path / "b", tmp_path / "new", b"a passphrase of backups")
    assert (tmp_path / "new/tls/node.key").read_bytes() == (home / "tls/node.key").read_bytes()
    secret()
    restored = load_identity(tmp_path / "new").public
    secret()
    assert restored == load_identity(home).public


def test_programs_that_know_nothing_of_it_read_a_copy_in_memory(home, secret) -> None:
    plain = read_private(home / "flower/supernode.key")
    assert protection.path_for_children(home / "flower/supernode.key") == str(home / "flower/supernode.key")
    sealed_home(home, secret)
    path = protection.path_for_children(home / "flower/supernode.key")
    assert path == protection.path_for_children(home / "flower/supernode.key") and str(home) not in path
    read = "import pathlib,sys; sys.stdout.write(pathlib.Path(sys.argv[1]).read_text())"
    for _ in range(2):  # a program that is started again reads it again
        assert subprocess.run([sys.executable, "-c", read, path], capture_output=True, check=True).stdout == plain
    with pytest.raises(OSError):
        os.write(int(path.rpartition("/")[2]), b"changed")


def test_a_child_reads_the_home_with_a_lent_key_and_its_environment_holds_none(home, secret) -> None:
    assert protection.lend(home) == {}
    sealed_home(home, secret)
    lent, public = protection.lend(home), load_identity(home).public.hex()
    main_key = Path(lent[protection.LENT_VARIABLE]).read_bytes()
    read = ("import pathlib,sys; from protocols.node.identity_files import load_identity as l; "
            "e=open('/proc/self/environ','rb').read()+open('/proc/self/cmdline','rb').read(); "
            "k=pathlib.Path(sys.argv[2]).read_bytes(); "
            "print(l(pathlib.Path(sys.argv[1])).public.hex(), k in e or k.hex().encode() in e)")
    environment = {k: v for k, v in os.environ.items() if k != VARIABLE} | lent
    done = subprocess.run([sys.executable, "-c", read, str(home), lent[protection.LENT_VARIABLE]],
                          env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.split() == [public, "False"] and len(main_key) == 32


# -- where a secret comes from


def command(*words: str, **more) -> KeysConfig:
    return KeysConfig(protection="command", command=(sys.executable, "-c", *words), **more)


def test_what_a_command_prints_is_the_secret() -> None:
    assert key_secret.obtain(command(f"print({SECRET!r})")) == SECRET.encode()


@pytest.mark.parametrize(("config", "told"), [
    (command(f"import sys; print({SECRET!r}); sys.stderr.write({SECRET!r}); sys.exit(3)"), "code 3"),
    (command(f"import time; print({SECRET!r}, flush=True); time.sleep(60)", command_timeout_s=1), "within 1 s"),
    (command("print('x' * 5000)"), "more than 4096"),
    (command("print('short')"), "at least 12 bytes"),
    (KeysConfig(protection="command", command=("/no/such/program",)), "cannot be run"),
    (KeysConfig(protection="passphrase"), "at a terminal"),
    (KeysConfig(protection="passphrase", passphrase_env="NOT_SET_ANYWHERE"), "not in the environment"),
])
def test_where_there_is_no_secret_one_sentence_says_so(config, told, capfd) -> None:
    with pytest.raises(SealscoreError, match=told) as caught:
        key_secret.obtain(config)
    shown = str(caught.value) + repr(caught.value) + "".join(capfd.readouterr())
    assert SECRET not in shown and "Traceback" not in shown


@pytest.mark.parametrize("section", [
    {"protection": "command"}, {"command": ["/bin/cat"]}, {"protection": "command", "command": ["cat", "x"]},
    {"protection": "none", "passphrase_env": "X"}, {"protection": "passphrase", "passphrase_env": "a b"},
    {"protection": "tpm"}, {"secret": "never in the file"},
])
def test_settings_that_do_not_fit_are_refused(section, tmp_path) -> None:
    lines = [f"{key} = {json.dumps(value)}" for key, value in section.items()]
    (tmp_path / "bank.toml").write_text("\n".join(["[keys]", *lines]))
    with pytest.raises(ConfigError, match="keys"):
        protection.keys_of(tmp_path / "bank.toml")


def test_the_commands(home, secret, capsys) -> None:
    path = home / "bank.toml"
    head = '[node]\nname = "bank"\nrole = "bank"\n'
    path.write_text(head)
    assert main(["status", str(path)]) == 0 and main(["protect", str(path)]) == 2
    assert '"passphrase" or "command"' in capsys.readouterr().err
    path.write_text(f'{head}[keys]\nprotection = "passphrase"\npassphrase_env = "{VARIABLE}"\n')
    assert main(["status", str(path)]) == 1
    assert main(["protect", str(path)]) == 0 and main(["status", str(path)]) == 0
    secret()
    assert main(["unprotect", str(path)]) == 0 and main(["status", str(path)]) == 1
    assert SECRET not in "".join(capsys.readouterr())
