"""A model whose weights stay shared: trained, evaluated and scored by real nodes, in batches and online, and by neither
side alone."""
from __future__ import annotations

import json
import shutil
import stat
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from coordinator.demo.applications import DemoApplication, draw
from coordinator.demo.decisions import Branch
from coordinator.demo.federation import FEATURE, LABEL, TRIAL_RULES, Federation, Table
from parties.runtime.preparation import columns_of
from parties.runtime.tables import TableConfig, load_table
from parties.runtime.vault import Vault
from protocols.node.identity_files import load_identity
from protocols.plan import Plan
from protocols.psi.identifiers import normalise
from protocols.scorecard.calibration import Calibration
from protocols.sharedscore.model import SharedModel
from tests.end_to_end import support
from tests.protocols.sharedscore.shared_models import weights_in_the_clear
from tests.protocols.sharedscore.test_scores import PRECISION

BOUND = PRECISION + 2.0**-9
PEOPLE, PATIENT_MS = 20, 20_000
pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]


@pytest.fixture(scope="module")
def sharing(tables: dict[str, Table], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Federation]:
    """A federation whose policies allow both kinds of release, and scores online."""
    folder = tmp_path_factory.mktemp("sharing")
    rules = ['kinds = ["train", "score", "online"]', *TRIAL_RULES[1:], 'release = ["owner", "shared"]']
    with Federation(folder, tables, minimum_rows=1000, rules=rules) as running:
        yield running


@pytest.fixture(scope="module")
def trained(sharing: Federation, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """One finished training with shared weights; it has too few rows for the released coefficients of a second one."""
    plan = support.write_plan(tmp_path_factory.mktemp("plan") / "plan.toml", release="shared")
    return support.finished(sharing, plan)


def shares(federation: Federation, party: str, model_id: str) -> Path:
    return federation.home(party) / "state" / "vault" / f"{model_id}.shares"


def _vault(federation: Federation, party: str) -> Vault:
    home = federation.home(party)
    return Vault(home / "state" / "vault", load_identity(home))


def models(federation: Federation, model_id: str) -> tuple[SharedModel, SharedModel]:
    bank, platform = (SharedModel.from_bytes(_vault(federation, p).shares(model_id)) for p in (LABEL, FEATURE))
    return bank, platform


def test_nobody_holds_a_coefficient(sharing: Federation, trained: dict) -> None:
    card, opened = trained["result"], set()
    for party in (LABEL, FEATURE):
        half = support.vault_half(sharing, party, trained["model_id"])
        assert half["release"] == "shared" and not {"coefficients", "intercept"} & half.keys()
        assert half["weights"] == card["halves"][party]["weights"] and len(set(half["weights"].values())) == 2
        assert stat.S_IMODE(shares(sharing, party, trained["model_id"]).stat().st_mode) == 0o600
        report = json.loads(support.run_fact(sharing, party, trained["run"], "report"))
        assert report["columns"] == [] and report["release"] == "shared"
        for name in ("keys", "train.role", "evaluate.role.bank"):
            assert support.run_fact(sharing, party, trained["run"], name) is None
        opened |= {r["body"]["what"] for r in support.audit_records(sharing, party)
                   if r["kind"] == "opening" and r["body"].get("run") == trained["run"]
                   and r["body"]["phase"] != "online"}
    assert opened == {"membership", "step.norms", "step.size", "shared.calibration", "shared.test", "verdict"}
    assert card["metrics"]["auc_joint"] > card["metrics"]["auc_bank_only"]


def score(federation: Federation, model_id: str) -> tuple[str, dict[str, float]]:
    """(run, probability by identifier) of `sealscore score`."""
    done = support.sealscore("score", model_id, "--json", federation=federation)
    assert done.returncode == 0, done.stderr
    run = json.loads(done.stdout)["run"]
    rows = support.read_csv(federation.home(LABEL) / "state" / "scores" / f"{run}.csv")
    return run, {row["id"]: float(row["probability_of_default"]) for row in rows}


@pytest.fixture(scope="module")
def batch(sharing: Federation, trained: dict[str, Any]) -> tuple[str, dict[str, float]]:
    """The first batch of the model."""
    return score(sharing, trained["model_id"])


def scores_in_the_clear(
    federation: Federation, model_id: str, tables: dict[str, Table]
) -> tuple[list[str], np.ndarray, Calibration]:
    """Identifiers, log-odds of the joined tables with both sides' shares put together, and the bank's calibration."""
    steps = Plan.from_toml_text(support.plan_text()).alignment.normalise
    loaded = {p: load_table(TableConfig.model_validate(t.section), federation.folder) for p, t in tables.items()}
    places = {p: {name: row for row, name in enumerate(normalise(t.ids, steps))} for p, t in loaded.items()}
    common = [name for name in places[LABEL] if name in places[FEATURE]]
    halves = {p: support.vault_half(federation, p, model_id) for p in tables}
    columns = [columns_of(loaded[p], np.array([places[p][n] for n in common]), halves[p]) for p in (LABEL, FEATURE)]
    weights = weights_in_the_clear(*models(federation, model_id))
    joint = np.hstack([np.ones((len(common), 1)), *columns]) @ weights
    ids = [loaded[LABEL].ids[places[LABEL][name]] for name in common]
    return ids, joint, Calibration.from_json(halves[LABEL]["calibration"])


def agree(calibration: Calibration, joint: np.ndarray, got: np.ndarray) -> bool:
    """Whether probabilities are those of exact log-odds, within the floods and the rounding."""
    low, high = (calibration.probability(joint + sign * BOUND) for sign in (-1, 1))
    return bool(((low - 0.0001 <= got) & (got <= high + 0.0001)).all())


def test_a_batch_is_scored_by_both_sides_together(
    sharing: Federation, trained: dict, tables: dict, batch: tuple[str, dict[str, float]]
) -> None:
    run, scored = batch
    ids, joint, calibration = scores_in_the_clear(sharing, trained["model_id"], tables)
    assert len(scored) == round(0.88 * support.ROWS) and scored.keys() == set(ids)
    assert agree(calibration, joint, np.array([scored[name] for name in ids])) and len(set(scored.values())) > 60
    kinds = {r["body"]["what"]: r["body"]["count"] for r in support.audit_records(sharing, FEATURE)
             if r["kind"] == "opening" and r["body"].get("run") == run}
    assert kinds["shared.batch"] == len(scored)
    assert not list((sharing.home(FEATURE) / "state").glob("scores/*"))


def applicants(tables: dict[str, Table]) -> list[DemoApplication]:
    """Some people of the bank's table, nine in ten of them known to the platform."""
    plan = Plan.from_toml_text(support.plan_text(release="shared"))
    bank, platform = (Path(tables[party].section["path"]) for party in (LABEL, FEATURE))
    return draw(bank, platform, plan, 7, datetime.now(UTC), count=PEOPLE)


def asked_by_hand(federation: Federation, model_id: str, one: DemoApplication) -> dict[str, Any]:
    """`sealscore bank scoring ask` about an applicant, with the same answer of the bureau."""
    file, columns = federation.home(LABEL) / "bank.toml", one.submission["bureau"]["columns"]
    done = support.sealscore("bank", "scoring", "ask", str(file), model_id, "--id", one.submission["customer"],
                             "--consent", "by-hand", "--values", json.dumps(columns), "--deadline-ms", str(PATIENT_MS))
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)["score"]


def test_applicants_are_scored_online_as_in_the_batch(
    sharing: Federation, trained: dict, tables: dict, batch: tuple[str, dict[str, float]]
) -> None:
    people = applicants(tables)
    with Branch(sharing, trained["model_id"], PATIENT_MS) as branch:
        decided, _ = branch.decide(people)
        scored = [(person, one.probability) for person, one in zip(people, decided, strict=True) if one.probability]
        told = asked_by_hand(sharing, trained["model_id"], scored[0][0])
    ids, joint, calibration = scores_in_the_clear(sharing, trained["model_id"], tables)
    exact = dict(zip(ids, joint, strict=True))
    names = [person.submission["customer"] for person, _ in scored]
    assert len(scored) > PEOPLE / 2 and {one.answer["score"] for one in decided if one.probability} == {"joint"}
    assert agree(calibration, np.array([exact[name] for name in names]), np.array([got for _, got in scored]))
    assert told["status"] == "answered" and abs(float(told["log_odds"]) - exact[names[0]]) <= BOUND
    low, high = (calibration.probability(float(told["log_odds"]) + sign * 2 * BOUND) for sign in (-1, 1))
    assert low - 0.0001 <= batch[1][names[0]] <= high + 0.0001
    opened = [r["body"] for r in support.audit_records(sharing, FEATURE) if r["body"].get("phase") == "online"]
    assert sum(one["count"] for one in opened if one["what"] == "shared.online") == len(scored) + 1


def test_scoring_again_says_hardly_more(
    sharing: Federation, trained: dict, batch: tuple[str, dict[str, float]]
) -> None:
    """The flood of a version is the same, so scores agree but where the fresh part crosses a step of the rounding."""
    first, (_, second) = batch[1], score(sharing, trained["model_id"])
    same = sum(first[name] == second[name] for name in first)
    assert 0.8 * len(first) < same <= len(first)


def test_a_damaged_vault_scores_nothing(sharing: Federation, trained: dict, tmp_path: Path) -> None:
    path = shares(sharing, FEATURE, trained["model_id"])
    kept = shutil.copy2(path, tmp_path / "kept")
    data = bytearray(path.read_bytes())
    data[-100_000] ^= 1
    path.write_bytes(data)
    try:
        done = support.sealscore("score", trained["model_id"], "--json", federation=sharing)
    finally:
        shutil.copy2(kept, path)
    assert done.returncode != 0 and ".shares does not open" in done.stderr
    assert done.stderr.count("\n") == 1
