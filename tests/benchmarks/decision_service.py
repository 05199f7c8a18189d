"""A bank's decision service and its platform as processes, ready for load: TLS, client certificates, consents given.

Every applicant has two consents of a thousand uses each, so that a load of minutes needs no calls but applications. The
applicants, models and homes are those of the scoring tests; what is asked is what the default rulebook may approve.
"""
from __future__ import annotations

import contextlib
import csv
import json
import ssl
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from cryptography.hazmat.primitives import hashes

from parties.bank.store import Unit
from parties.bank.store.opening import open_node_store
from parties.runtime.scoring.persons import PersonKey
from tests.parties.bank.service.support import CONSENTS, ready, reference, submission
from tests.parties.bank.service.test_listeners import TLS, trusting
from tests.scoring.homes import BANK_COLUMNS, MODEL, Homes, identifier
from tests.tls_files import certificate

USES, CLIENT = 1000, "gateway"
LIMITS = "[decisions.limits]\nper_s = 100000\nprovince_per_s = 100000\ncaller_per_s = 100000\nin_flight = 2000\n"


@dataclass(frozen=True)
class Running:
    """A service that listens. `bodies`: one application for each applicant, without its key."""

    url: str
    context: ssl.SSLContext
    pid: int
    bodies: list[bytes]


@contextlib.contextmanager
def service_process(homes: Homes, platform: str, deadline_ms: int, settings: str = "") -> Iterator[Running]:
    """The service of the bank of `homes`, which asks the platform at this address; `settings`: more of [decisions]."""
    _configure(homes, platform, deadline_ms, settings)
    bodies = _consenting(homes)
    home = homes.bank
    with open(home / "service.log", "wb") as log:
        words = [sys.executable, "-m", "protocols", "bank", "decisions", "serve", str(home / "bank.toml")]
        process = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=log, text=True)
    try:
        told = process.stdout.readline()
        if not told:
            raise RuntimeError((home / "service.log").read_text()[-2000:])
        port = json.loads(told)["http"].rpartition(":")[2]
        yield Running(f"https://localhost:{port}/v1/applications", trusting(home, CLIENT), process.pid, bodies)
    finally:
        process.terminate()
        process.wait(60)
        process.stdout.close()


def _configure(homes: Homes, platform: str, deadline_ms: int, settings: str) -> None:
    home = homes.bank
    ready(home)
    certificate(home, "server")
    shown, _ = certificate(home, CLIENT, certificate(home, "clients"))
    section = f'\n[decisions]\nlisten = "127.0.0.1:0"\nmodel = "{MODEL}"\nscore_deadline_ms = {deadline_ms}\n'
    way = f'\n[scoring.platforms.platform]\naddress = "{platform}"\n'
    tls = TLS.format(shown.fingerprint(hashes.SHA256()).hex()).replace('role = "operator"', 'role = "channel"')
    with (home / "bank.toml").open("a", encoding="utf-8") as file:
        file.write(way + section + settings + LIMITS + tls)


def bank_values(homes: Homes) -> list[dict[str, str]]:
    """The bureau columns of every person of the bank's table, as the file has them."""
    with (homes.bank / "customers.csv").open(newline="", encoding="utf-8") as file:
        return [{name: row[name] for name in BANK_COLUMNS} for row in csv.DictReader(file)]


def _consenting(homes: Homes) -> list[bytes]:
    """Give the consents of everybody whom both nodes know; what each of them asks."""
    party, now = homes.party("bank"), datetime.now(UTC)
    persons, ends = PersonKey.load(party.home), now + timedelta(days=1)
    names = [identifier(number) for number in range(homes.shared)]

    def grants(unit: Unit) -> None:
        for name in names:
            for purpose in CONSENTS:
                unit.consents.grant(reference(purpose, name), persons.person(name), purpose, now, ends, USES)

    with open_node_store(party) as store:
        store.write(grants)
    return [_body(name, values) for name, values in zip(names, bank_values(homes), strict=False)]


def _body(name: str, values: dict[str, str]) -> bytes:
    told = submission(name)
    return json.dumps(told | {"bureau": told["bureau"] | {"columns": values}}).encode()
