"""What `sealscore doctor` finds at a bank that decides: the section [decisions] and all that it rests on.

It changes nothing: no key is made, no table, no connection to a platform.
"""
from __future__ import annotations

import datetime as dt
import json
import os
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from cryptography import x509

from parties.bank.decision.rulebook import Rulebook
from parties.bank.service.listeners import bound, ssl_context
from parties.bank.service.process import READY
from parties.bank.service.scores import prepared
from parties.bank.service.settings import DecisionsConfig, beside, decisions_of
from parties.bank.store import migrate
from parties.bank.store.opening import node_engine
from parties.runtime.config import LoadedParty
from parties.runtime.scoring.persons import KEY_FILE, PersonKey
from protocols.errors import ConfigError
from protocols.node.health import EXPIRY_DAYS, Finding, collect, ok, problem, warning
from protocols.node.identity_files import load_identity


def examine(party: LoadedParty) -> Iterator[Finding]:
    """All findings of the section; none where the file has no such section."""
    if party.config.decisions is None:
        return
    yield from collect(decisions=partial(_all, party))


def _all(party: LoadedParty) -> Iterator[Finding]:
    config = decisions_of(party)
    addresses = {"listen": config.listen} | ({"grpc": config.grpc} if config.grpc else {})
    yield from collect(
        decisions_rulebook=partial(_rulebook, party, config), decisions_store=partial(_store, party),
        decisions_model=partial(_model, party, config), decisions_keys=partial(_keys, party.home),
        decisions_tls=partial(_tls, party.home, config),
        **{f"decisions_{name}": partial(_address, party, name, one) for name, one in addresses.items()})


def _rulebook(party: LoadedParty, config: DecisionsConfig) -> Iterator[Finding]:
    rulebook = Rulebook.load(beside(party.home, config.rulebook))
    yield ok("decisions rulebook", f"{rulebook.version}, digest {rulebook.digest[:16]}…")


def _store(party: LoadedParty) -> Iterator[Finding]:
    engine = node_engine(party)
    try:
        yield ok("decisions store", f"reachable, tables of revision {migrate.check(engine)}")
    finally:
        engine.dispose()


def _model(party: LoadedParty, config: DecisionsConfig) -> Iterator[Finding]:
    if config.model is None:
        yield warning("decisions model", "none is configured: no platform is ever asked",
                      "set [decisions] model once one is published and prepared")
        return
    model, _ = prepared(party, load_identity(party.home), config.model)
    yield ok("decisions model", f"{model.id} is prepared, with {model.platform}")


def _keys(home: Path) -> Iterator[Finding]:
    if (home / KEY_FILE).exists():
        PersonKey.load(home)
        yield ok("decisions keys", f"{KEY_FILE} is for nobody else")
    else:
        yield ok("decisions keys", f"{KEY_FILE} is made at the first start")


def _tls(home: Path, config: DecisionsConfig) -> Iterator[Finding]:
    if config.tls is None:
        yield ok("decisions tls", "none: it listens on this machine alone")
        return
    ssl_context(home, config.tls)
    files = [beside(home, one) for one in (config.tls.certificate, config.tls.clients) if one is not None]
    for file in files:
        yield _dated(file)


def _dated(file: Path) -> Finding:
    """Of the certificate that ends first: a file may hold a chain."""
    try:
        found = x509.load_pem_x509_certificates(file.read_bytes())
    except ValueError:
        raise ConfigError(f"{file}: expected certificates as PEM; restore the file") from None
    first = min(found, key=lambda one: one.not_valid_after_utc)
    begun = max(one.not_valid_before_utc for one in found)
    until, now = first.not_valid_after_utc, dt.datetime.now(dt.UTC)
    told = f"{file.name}: valid until {until:%Y-%m-%d} ({(until - now).days} days)"
    if now >= until or now < begun:
        return problem("decisions tls", f"{file.name}: holds from {begun:%Y-%m-%d} to {until:%Y-%m-%d} only",
                       "put a certificate there that holds now")
    return warning("decisions tls", told, "renew it") if (until - now).days < EXPIRY_DAYS else ok("decisions tls", told)


def _address(party: LoadedParty, name: str, address: str) -> Iterator[Finding]:
    check = f"decisions {name}"
    if address.rpartition(":")[2] == "0":
        yield ok(check, f"{address}: any port that is free")
    elif _ours(party.state / READY, "http" if name == "listen" else name) == address:
        yield ok(check, f"{address}: this node's service listens")
    else:
        bound(address, f"decisions.{name}").close()
        yield ok(check, f"{address}: free")


def _ours(ready: Path, name: str) -> str | None:
    """The address of a service of this node that runs, None if none does: a killed one leaves its file behind."""
    try:
        told = json.loads(ready.read_bytes())
        os.kill(told["pid"], 0)
        return str(told[name])
    except (OSError, ValueError, KeyError, TypeError, OverflowError):
        return None
