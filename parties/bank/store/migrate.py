"""Revisions of the tables, by alembic. Nothing migrates silently: opening an older or a newer store is refused."""
from __future__ import annotations

from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy.engine import Engine
from sqlalchemy.exc import SQLAlchemyError

from parties.bank.store.engines import shown
from parties.bank.store.errors import Unreachable
from parties.runtime.files import make_private
from protocols.errors import ConfigError

VERSION_TABLE = "store_revision"
_FOLDER = Path(__file__).parent / "migrations"


def head() -> str:
    """The revision that this version works with."""
    return str(ScriptDirectory.from_config(_config()).get_current_head())


def revision(engine: Engine) -> str | None:
    """The revision of the store, None for one that has no tables yet; Unreachable when there is no database."""
    path = engine.url.database
    if engine.dialect.name == "sqlite" and not Path(str(path)).exists():
        return None
    try:
        with engine.connect() as connection:
            return MigrationContext.configure(connection, opts={"version_table": VERSION_TABLE}).get_current_revision()
    except SQLAlchemyError as fault:
        raise Unreachable(f"the store {shown(engine)} cannot be opened ({type(fault).__name__}); see that the database "
                          "runs and this account may use it") from None


def check(engine: Engine) -> str:
    """The revision, if it is the head; ConfigError otherwise."""
    found, wanted = revision(engine), head()
    if found == wanted:
        return found
    if found is not None and found not in _known():
        raise ConfigError(f"the store {shown(engine)} has revision {found[:32]}, which this version does not know; "
                          "update the software or restore a backup")
    raise ConfigError(f"the store {shown(engine)} has revision {found or 'none'}, expected {wanted}; run "
                      "`sealscore bank store upgrade` with the node's file")


def upgrade(engine: Engine) -> tuple[str | None, str]:
    """Bring the store to the head, in one transaction; (revision before, revision after)."""
    if engine.dialect.name == "sqlite":
        make_private(Path(str(engine.url.database)))
    before = revision(engine)
    if before is not None and before not in _known():
        check(engine)
    config = _config()
    try:
        with engine.begin() as connection:
            config.attributes["connection"] = connection
            command.upgrade(config, "head")
    except SQLAlchemyError as fault:
        raise Unreachable(f"the store {shown(engine)} could not be upgraded ({type(fault).__name__}); nothing was "
                          "changed, see that this account may create tables") from None
    return before, head()


def _known() -> set[str]:
    return {script.revision for script in ScriptDirectory.from_config(_config()).walk_revisions()}


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(_FOLDER).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    return config
