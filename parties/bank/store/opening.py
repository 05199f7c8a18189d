"""The store that a bank's own file names, its records sealed under a key of the node."""
from __future__ import annotations

from typing import TypeVar

from pydantic import ValidationError
from sqlalchemy.engine import Engine

from parties.bank.store.database import Store, open_store
from parties.bank.store.engines import engine_of
from parties.bank.store.settings import StoreConfig
from parties.runtime.config import LoadedParty
from protocols.errors import ConfigError
from protocols.node.at_rest import decisions_box
from protocols.node.identity_files import load_identity
from protocols.strict import Strict, first_problem

Part = TypeVar("Part", bound=Strict)


def decisions_part(party: LoadedParty, name: str, model: type[Part]) -> Part:
    """The section `[decisions.NAME]` alone, or its defaults, for commands that need no service; ConfigError names the
    setting that is wrong."""
    try:
        return model.model_validate((party.config.decisions or {}).get(name, {}))
    except ValidationError as error:
        raise ConfigError(f"{party.name}: [decisions.{name}] {first_problem(error)}") from None


def store_config(party: LoadedParty) -> StoreConfig:
    """The section `[decisions.store]`."""
    return decisions_part(party, "store", StoreConfig)


def node_engine(party: LoadedParty) -> Engine:
    """A connection to the database alone, for `migrate`."""
    return engine_of(store_config(party).url, party.home)


def open_node_store(party: LoadedParty) -> Store:
    """The open store of a node; ConfigError when `sealscore bank store upgrade` has to come first."""
    return open_store(store_config(party).url, party.home, decisions_box(load_identity(party.home)))
