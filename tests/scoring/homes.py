"""A bank and a platform that have trained a model, without having trained one: real homes, certificates, tables, halves
in sealed vaults and stores of a finished run, in a second."""
from __future__ import annotations

import json
import secrets
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from coordinator.certs import PartySpec, init_federation
from parties.runtime.config import LoadedParty
from parties.runtime.files import digest
from parties.runtime.phases import ALIGN_SECRETS
from parties.runtime.preparation import transformed
from parties.runtime.run_store import RunStore
from parties.runtime.tables import Table, load_table
from parties.runtime.vault import Vault
from protocols.agreement import SignedAgreement, sign_statement, statement
from protocols.binning.encoder import Encoder
from protocols.crypto.identity import IdentityKey, fingerprint
from protocols.node.at_rest import run_box
from protocols.node.audit_log import AuditLog
from protocols.node.identity_files import load_identity
from protocols.plan import Plan, canonical_json
from protocols.scorecard.whitening import Whitening
from protocols.state import pack

RUN, MODEL = "r-" + "5" * 16, "m-" + "5" * 16
BANK_COLUMNS = {"inquiries": 'type = "number"', "income": 'type = "number", special = ["-999"]',
                "employment": 'type = "category", missing = ["?"]'}
PLATFORM_COLUMNS = ("payments", "paid", "contacts", "nights", "fraud")


@dataclass
class Homes:
    """`bank` and `platform` are homes; people 0 … shared - 1 are known to both, in this joint order."""

    bank: Path
    platform: Path
    shared: int

    def party(self, role: str) -> LoadedParty:
        """As the node loads itself."""
        return LoadedParty(getattr(self, role) / f"{role}.toml", role)

    def identity(self, role: str) -> IdentityKey:
        """The node's key."""
        return load_identity(getattr(self, role))

    def vault(self, role: str) -> Vault:
        """The node's vault."""
        return Vault(getattr(self, role) / "state" / "vault", self.identity(role))

    def table(self, role: str) -> Table:
        """The node's table."""
        party = self.party(role)
        return load_table(next(iter(party.config.tables.values())), party.home)

    def half(self, role: str) -> dict:
        """What the vault holds."""
        return self.vault(role).get(MODEL)

    def partials(self) -> np.ndarray:
        """The platform's part of each shared person, float, in joint order."""
        return _own(self.table("platform"), self.half("platform"), platform_rows(self.shared))


def identifier(number: int) -> str:
    """Of a synthetic person."""
    return f"SYN-{number:05d}"


def platform_rows(shared: int) -> np.ndarray:
    """The platform's table has its people in another order, strangers first."""
    return np.arange(shared)[::-1] + 50


def make_homes(root: Path, shared: int = 400, *, encoding: str = "dummy", policy: str = "", scoring: str = "") -> Homes:
    """Two homes below `root`; `policy` and `scoring`: more lines for the platform's files."""
    rng = np.random.default_rng(7)
    keys = init_federation(root, [PartySpec("bank", "bank"), PartySpec("platform", "platform")], days=2)
    homes = Homes(root / "bank", root / "platform", shared)
    _bank_files(homes, rng, fingerprint(keys["platform"]))
    _platform_files(homes, rng, fingerprint(keys["bank"]), policy, scoring)
    _train(homes, rng, encoding)
    _run(homes)
    return homes


def _bank_files(homes: Homes, rng: np.random.Generator, peer: str) -> None:
    rows = ["id,inquiries,income,employment,bad"]
    for number in range(homes.shared + 20):
        income = rng.choice(["", "-999", f"{rng.integers(2000, 90000)}", f"{rng.random() * 1e4:.3f}"])
        rows.append(f"{identifier(number)},{rng.integers(0, 9)},{income},"
                    f"{rng.choice(['worker', 'clerk', '?', 'own'])},{int(rng.random() < 0.3)}")
    (homes.bank / "customers.csv").write_text("\n".join(rows) + "\n")
    columns = "\n".join(f"{name} = {{ {spec} }}" for name, spec in BANK_COLUMNS.items())
    (homes.bank / "bank.toml").write_text(_node("bank", "customers", 'label = "bad"') + columns + "\n")
    _write_policy(homes.bank, "platform", peer, "")


def _platform_files(homes: Homes, rng: np.random.Generator, peer: str, policy: str, scoring: str) -> None:
    strangers = [f"OTHER-{n}" for n in range(50)]
    rows = ["id," + ",".join(PLATFORM_COLUMNS)]
    for name in [*strangers, *map(identifier, reversed(range(homes.shared)))]:
        paid = "" if rng.random() < 0.05 else f"{rng.random() * 5000:.2f}"
        rows.append(f"{name},{rng.integers(0, 60)},{paid},{rng.integers(0, 200)},{rng.random():.4f},{rng.random():.3f}")
    (homes.platform / "users.csv").write_text("\n".join(rows) + "\n")
    columns = "\n".join(f"{name} = {{}}" for name in PLATFORM_COLUMNS)
    (homes.platform / "platform.toml").write_text(
        _node("platform", "users", "") + columns + f'\n[scoring]\nlisten = "127.0.0.1:0"\n{scoring}\n')
    kinds = "" if "kinds" in policy else 'kinds = ["train", "score", "online"]\n'
    _write_policy(homes.platform, "bank", peer, kinds, policy)


def _node(role: str, table: str, more: str) -> str:
    return (f'[node]\nname = "{role}"\nrole = "{role}"\n[coordinator]\nfront = "127.0.0.1:1"\nhub = "127.0.0.1:1"\n'
            f'[tables.{table}]\npath = "{table}.csv"\nid = "id"\n{more}\n[tables.{table}.columns]\n')


def _write_policy(home: Path, peer: str, pinned: str, kinds: str, more: str = "") -> None:
    (home / "policy.toml").write_text(f'purposes = ["credit-scoring"]\nminimum_columns = 3\n{kinds}{more}\n'
                                      f'[peers.{peer}]\nfingerprint = "{pinned}"\n')


def _train(homes: Homes, rng: np.random.Generator, encoding: str) -> None:
    """Halves as a training leaves them, with made-up coefficients."""
    seats = {"bank": "label", "platform": "feature"}
    calibration = {"intercept": -0.25, "slope": 0.9}
    for role, rows in (("bank", np.arange(homes.shared)), ("platform", platform_rows(homes.shared))):
        table = homes.table(role)
        names = [name for name in table.columns if name != "fraud"]
        columns = table.take(rows).select(names)
        encoder = Encoder.fit(columns, method=encoding, bins=4)
        whitening = Whitening.fit(encoder.transform(columns))
        weights = rng.normal(size=whitening.rotation.shape[1]) * 0.4
        half = {"version": 1, "model_id": MODEL, "run": RUN, "party": role, "agreement": "0" * 64,
                "status": "published", "parties": seats, "table": next(iter(homes.party(role).config.tables)),
                "encoder": encoder.to_json(), "whitening": whitening.to_json(), "coefficients": weights.tolist()}
        if role == "bank":
            alone = {"intercept": -1.5, "coefficients": (weights * 1.1).tolist(), "calibration": calibration}
            half |= {"intercept": -1.25, "calibration": calibration, "alone": alone}
        homes.vault(role).put(MODEL, half)


def _run(homes: Homes) -> None:
    """The store of the training's run at both nodes, finished, and its agreement."""
    plan = Plan.model_validate({
        "purpose": "credit-scoring", "label_party": "bank", "feature_parties": ["platform"],
        "parties": {"bank": {"table": "customers", "columns": list(BANK_COLUMNS)},
                    "platform": {"table": "users", "columns": list(PLATFORM_COLUMNS[:4])}}})
    texts = {role: statement(role, RUN, plan, "0" * 64, rows=1000) for role in ("bank", "platform")}
    signed = {role: sign_statement(homes.identity(role), text) for role, text in texts.items()}
    agreement, pair = SignedAgreement(RUN, plan, texts, signed), secrets.token_bytes(32)
    rows = {"bank": np.arange(homes.shared), "platform": platform_rows(homes.shared)}
    for role, peer in (("bank", "platform"), ("platform", "bank")):
        folder = getattr(homes, role) / "state" / "runs" / RUN
        folder.mkdir(parents=True)
        kept = {"agreement": json.loads(agreement.encode())}
        (folder / "agreement.json").write_bytes(canonical_json(kept | {"identities": {}}))
        store = RunStore(folder / "run.db", run_box(homes.identity(role), RUN))
        table = homes.party(role).home / ("customers.csv" if role == "bank" else "users.csv")
        store.commit({"state": json.dumps({"state": "finished"}).encode(), "table": digest(table),
                      "align.rows": pack({"bank": rows[role]}), ALIGN_SECRETS: pack({peer: pair})})
        store.close()
        with AuditLog(getattr(homes, role) / "state" / "audit", role, homes.identity(role)) as audit:
            audit.keep_agreement(RUN, agreement.encode())


def _own(table: Table, half: dict, rows: np.ndarray) -> np.ndarray:
    encoder, whitening = Encoder.from_json(half["encoder"]), Whitening.from_json(half["whitening"])
    return transformed(table, rows, encoder, whitening) @ np.array(half["coefficients"])
