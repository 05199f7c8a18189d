"""Plans as files: read, check against what the parties published, draft a commented one."""
from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from coordinator.config import CoordinatorConfig
from protocols.errors import ConfigError, UsageError
from protocols.plan import MAX_PLAN_BYTES, Plan

Catalogues = dict[str, dict[str, Any]]  # party -> table -> {"rows", "label", "columns": [{"name", "type", …}]}


def read_plan(path: Path) -> Plan:
    """Read a plan from a TOML file; ConfigError names file and setting."""
    try:
        if path.stat().st_size > MAX_PLAN_BYTES:
            raise ConfigError(f"{path.name}: expected a plan of at most {MAX_PLAN_BYTES} bytes")
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise ConfigError(f"no plan at {path}; `sealscore plan init` drafts one") from None
    except (OSError, UnicodeDecodeError):
        raise ConfigError(f"{path.name}: cannot be read as UTF-8 text") from None
    return Plan.from_toml_text(text, path.name)


def catalogues_of(parties: dict[str, dict[str, Any]]) -> Catalogues:
    """The published tables out of the registry's parties."""
    return {name: tables for name, row in parties.items() if isinstance(tables := row["catalogue"].get("tables"), dict)}


def problems(plan: Plan, config: CoordinatorConfig, catalogues: Catalogues) -> list[str]:
    """Everything that is wrong with a plan as far as the coordinator can know; empty when nothing is."""
    found = []
    for party, part in sorted(plan.parties.items()):
        if party not in config.parties:
            found.append(f"party {party} is not in {config.source.name}; there are {', '.join(sorted(config.parties))}")
        elif party in catalogues:
            found += _table_problems(party, part.table, part.columns, catalogues[party], party in plan.label_parties)
    found += _schema_problems(plan, catalogues)
    return found


def notes(plan: Plan) -> list[str]:
    """What is no problem, but may not be what its author expects."""
    found = []
    if plan.alignment.rows == "covered" and len(plan.feature_parties) == 1:
        found.append("alignment.rows = 'covered' is the same as 'common' with one platform")
    times = plan.model.score_openings
    if times and plan.kind == "train":
        found.append(f"scores of the training rows are opened to {plan.label_parties[0]} {times} times: every policy "
                     f"must allow it, and each platform must bring {4 * times} whitened columns or more")
    found += _policies_needed(plan)
    if plan.model.encoding == "woe" and not plan.model.woe_rho:
        found.append("model.encoding = 'woe' shows each platform how many defaults each of its bins holds, without "
                     "noise; model.woe_rho above 0 adds some")
    return found


def _policies_needed(plan: Plan) -> list[str]:
    """What policies must say for another model than a scorecard."""
    kind = plan.model.kind
    if kind == "scorecard" or plan.kind != "train":
        return []
    told = [f"every policy must have {kind!r} in models"]
    if plan.model.boosting is not None:
        told.append(f"up to {plan.model.boosting.most_splits} splits of trees may tell about rows of "
                    f"{plan.feature_parties[0]}; its maximum_tree_splits, all trainings that share a person added up, "
                    "says how many it answers")
    if plan.model.network is not None:
        openings = plan.model.network.openings_per_row
        told.append(f"{openings} numbers of each training row are opened to {plan.label_parties[0]}: "
                    f"{plan.feature_parties[0]} must bring {4 * openings} whitened columns or more")
    return told


def _table_problems(party: str, name: str, columns: tuple[str, ...], tables: dict[str, Any], labels: bool) -> list[str]:
    if name not in tables:
        return [f"{party} publishes no table {name}; there are {', '.join(sorted(tables))}"]
    known = {c["name"]: c for c in tables[name].get("columns", [])}
    missing = sorted(set(columns) - set(known))
    closed = sorted(c for c in set(columns) & set(known) if known[c].get("sensitivity") == "C3")
    found = [f"{party}.{name} has no column {', '.join(missing)}"] if missing else []
    if closed:
        found.append(f"{party}.{name}: columns of level C3 never leave a table: {', '.join(closed)}")
    if labels and not tables[name].get("label"):
        found.append(f"{party}.{name} has no label column, and {party} is a label party")
    return found


def _schema_problems(plan: Plan, catalogues: Catalogues) -> list[str]:
    """Columns that several banks publish with different types: common bins need the same."""
    first, *others = plan.label_parties
    if not others or any(party not in catalogues for party in plan.label_parties):
        return []
    types = {party: {c["name"]: c.get("type") for c in catalogues[party].get(plan.parties[party].table, {})
                     .get("columns", [])} for party in plan.label_parties}
    return [f"column {column} is {types[party][column]} at {party} and {types[first][column]} at {first}; banks that "
            "train together bring columns of the same types"
            for party in others for column in plan.parties[first].columns
            if column in types[party] and column in types[first] and types[party][column] != types[first][column]]


def require_sound(plan: Plan, config: CoordinatorConfig, catalogues: Catalogues) -> None:
    """ConfigError with the first problem and the number of further ones."""
    found = problems(plan, config, catalogues)
    if found:
        more = f" (and {len(found) - 1} more; see `sealscore plan check`)" if len(found) > 1 else ""
        raise ConfigError(f"plan: {found[0]}{more}")


def scoring_plan(trained: Plan, model_id: str, tables: dict[str, str], bank: str | None = None) -> Plan:
    """The plan that scores with a published model: one bank with all platforms, other tables where given.

    UsageError for a party that is not in the model, and when the model has several banks and none is named.
    """
    unknown = sorted({*tables, *((bank,) if bank else ())} - set(trained.parties))
    if unknown:
        raise UsageError(f"no party {unknown[0]} in model {model_id}; there are {', '.join(sorted(trained.parties))}")
    banks = trained.label_parties
    if bank not in ((None, *banks) if len(banks) == 1 else banks):
        got = f"{bank} is not one of them" if bank else "none is named"
        raise UsageError(f"model {model_id} has the banks {', '.join(banks)} and scores for one at a time; {got}; "
                         "choose with --bank")
    scored = bank or banks[0]
    content = trained.model_dump(mode="json")
    content["parties"] = {party: part | {"table": tables.get(party, part["table"])}
                          for party, part in content["parties"].items() if party == scored or party not in banks}
    return Plan.model_validate({**content, "label_parties": [scored], "kind": "score", "model_id": model_id})


def draft(config: CoordinatorConfig, catalogues: Catalogues) -> str:
    """A commented plan over all published columns of the first table of every bank and platform that published one.

    Several banks train together on the columns that all of them publish. ConfigError names what is missing.
    """
    banks, platforms = (_present(config, role, catalogues) for role in ("bank", "platform"))
    common = _common(banks, catalogues)
    lines = [
        "# A run: who takes part, with which columns, which model, for what purpose.",
        "# Check it with `sealscore plan check`, start it with `sealscore run`.",
        "version = 1",
        'purpose = "credit-scoring"       # each party\'s policy lists the purposes it allows',
        f"label_party = {json.dumps(banks[0])}" if len(banks) == 1 else
        f"label_parties = {json.dumps(banks)}  # the first one speaks for all",
        f"feature_parties = {json.dumps(platforms)}" + ("  # the first one leads" if len(platforms) > 1 else ""),
        "",
    ]
    for party in (*banks, *platforms):
        lines += _party_lines(party, catalogues[party], party in banks, common if party in banks else None)
    return "\n".join([*lines, *_model_lines(len(banks)), *_DEFAULTS]) + "\n"


def _present(config: CoordinatorConfig, role: str, catalogues: Catalogues) -> list[str]:
    names = _of_role(config, role)
    present = [name for name in names if catalogues.get(name)]
    if not present:
        raise ConfigError(f"{names[0]} has published no table yet; start its node and try again")
    return present


def _common(banks: list[str], catalogues: Catalogues) -> list[str] | None:
    """Columns that all of several banks publish with the same type, in the first one's order."""
    if len(banks) == 1:
        return None
    published = [{c["name"]: c.get("type") for c in catalogues[bank][_table_name(catalogues[bank], True)]
                  .get("columns", []) if c.get("sensitivity") != "C3"} for bank in banks]
    common = [name for name in published[0] if len({columns.get(name) for columns in published}) == 1]
    if not common:
        raise ConfigError(f"{', '.join(banks)} publish no column of the same name and type; banks that train together "
                          "need one schema")
    return common


def _of_role(config: CoordinatorConfig, role: str) -> list[str]:
    names = sorted(n for n, p in config.parties.items() if p.role == role)
    if not names:
        raise ConfigError(f"{config.source.name}: no party of role {role}")
    return names


def _model_lines(banks: int) -> tuple[str, ...]:
    return ("[model]", *(_SEVERAL_BANKS if banks > 1 else ()))


def _table_name(tables: dict[str, Any], labels: bool) -> str:
    """The first table, of a bank the first with a label if there is one."""
    return next((t for t in sorted(tables) if not labels or tables[t].get("label")), min(tables))


def _party_lines(party: str, tables: dict[str, Any], labels: bool, common: list[str] | None) -> list[str]:
    name = _table_name(tables, labels)
    table = tables[name]
    columns = [c for c in table.get("columns", []) if c.get("sensitivity") != "C3"]
    if common is not None:
        columns = sorted((c for c in columns if c["name"] in common), key=lambda c: common.index(c["name"]))
    rows = table.get("rows", "?")
    lines = [f"[parties.{party}]", f"table = {json.dumps(name)}          # {rows} rows", "columns = ["]
    lines += [f"  {json.dumps(c['name'], ensure_ascii=False)},  # {_column_note(c)}" for c in columns]
    return [*lines, "]", ""]


def _column_note(column: dict[str, Any]) -> str:
    note = f"{column.get('type', '?')}, {column.get('sensitivity', '?')}"
    return f"{note}, {100 * float(column.get('missing_rate', 0)):.0f} % missing"


_SEVERAL_BANKS = (
    'intercepts = "bank"              # each bank one of its own; "common": one for all',
    "commons_rho = 0.1                # privacy (zCDP) of what is opened to make the banks' common bins",
)
_DEFAULTS = (
    'kind = "scorecard"                # or "boosting" (trees), "network": then settings in [model.boosting], '
    "[model.network]",
    'encoding = "dummy"               # dummy: bins with the base level dropped; numeric: clipped and standardised;',
    "                                 # woe: bins by their default rate, which the platform then learns of its own",
    "bins = 5                         # quantile bins per numeric column (dummy, woe)",
    'activation = "anchored"           # around each row\'s own score at the bank; deg1, deg3: fixed polynomials',
    "steps = 8                        # full-batch steps, fixed in advance",
    "l2 = 0.001                       # ridge per row on whitened coordinates",
    "polish = 0                       # 1 to 3: open training scores to the bank, go on to the maximum likelihood",
    'release = "owner"                # each side gets its coefficients; "shared": nobody does, both score together',
    "",
    "[alignment]",
    'rows = "common"                  # people whom all platforms know; "covered": whom at least one knows',
    'normalise = ["trim", "casefold", "nfkc"]',
    "minimum_intersection = 1000",
    "",
    "[slices]                         # by keyed hash of the identifier: the same seed gives the same rows",
    "train = 0.7",
    "calibration = 0.1",
    "test = 0.2",
    'seed = "1"',
    "",
    "[limits]",
    "run_deadline_s = 3600",
    "peer_deadline_s = 120",
)
