"""A bank's node that decides, in a folder; and a platform that answers as it is told."""
from __future__ import annotations

import hashlib
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

from parties.bank.decision.context import BankOnly, Contribution, JointScore
from parties.bank.decision.rulebook import default_files
from parties.bank.service import tokens
from parties.bank.service.assembly import Node, Service, audience
from parties.bank.store import migrate
from parties.bank.store.engines import engine_of
from parties.runtime.config import LoadedParty
from protocols.crypto.identity import IdentityKey
from protocols.node.identity_files import load_identity, write_identity

NODE = """
[node]
name = "bank"
role = "bank"

[coordinator]
front = "127.0.0.1:1"
hub = "127.0.0.1:1"

[tables.customers]
path = "customers.csv"
id = "id"
label = "default"

[tables.customers.columns]
inquiries = { type = "number", sensitivity = "C2" }

[decisions]
listen = "127.0.0.1:0"
grpc = "127.0.0.1:0"
"""
POLICY = 'purposes = ["credit-scoring"]\n[peers.platform]\nfingerprint = "' + "ab" * 32 + '"\n'
CONSENTS = ("bureau-inquiry", "joint-scoring")


class Platform:
    """Scores that follow from the person alone; `status` and `delay` are the test's to set."""

    model = "m-0123456789abcdef"

    def __init__(self) -> None:
        self.answer: JointScore | None = None
        self.asked: list[str] = []
        self.revoked: list[tuple[list[str], list[str]]] = []

    def bank_only(self, bureau: Any) -> BankOnly:
        if bureau is None:
            return BankOnly()
        part = Contribution(column="inquiries", bin="[0, 2)", points=Decimal("3.00"), most=Decimal("20.00"))
        return BankOnly(probability=Decimal("0.0400"), contributions=(part,))

    async def joint(self, submitted: Any, consent: Any) -> JointScore:
        if consent is None:
            return JointScore(status="not-asked", cause="no consent that holds")
        self.asked.append(submitted.person)
        if self.answer is not None:
            return self.answer
        share = int(hashlib.sha256(submitted.person.encode()).hexdigest(), 16) % 400 + 1
        return JointScore(status="answered", log_odds=Decimal(-3), probability=Decimal(share) / 10_000,
                          model=self.model, snapshot="s-1", age_s=60)

    def status(self) -> str:
        return "closed"

    async def revoke(self, references: list[str], persons: list[str], at_s: int, timeout_s: float) -> None:
        self.revoked.append((references, persons))

    async def close(self) -> None:
        return None


def make_home(home: Path, more: str = "") -> Path:
    """A node that is ready to decide; its file."""
    home.mkdir(mode=0o700, exist_ok=True)
    write_identity(home, IdentityKey.generate())
    (home / "bank.toml").write_text(NODE + more, encoding="utf-8")
    (home / "policy.toml").write_text(POLICY, encoding="utf-8")
    ready(home)
    return home / "bank.toml"


def ready(home: Path) -> None:
    """A rulebook and a store for the node at `home`."""
    (home / "state").mkdir(mode=0o700, exist_ok=True)
    for name, content in default_files().items():
        (home / "rulebook" / name).parent.mkdir(parents=True, exist_ok=True)
        (home / "rulebook" / name).write_bytes(content)
    engine = engine_of("sqlite:///state/decisions.db", home)
    migrate.upgrade(engine)
    engine.dispose()


def make_service(file: Path, platform: Platform | None) -> Service:
    """The service of a node; with a platform that answers, unless it is None."""
    return Service(Node.of(LoadedParty(file, "bank")), platform)


def token_of(file: Path, role: str, holder: str = "app") -> str:
    party = LoadedParty(file, "bank")
    return tokens.issue(tokens.token_key(load_identity(party.home)), audience(party), holder, role,
                        timedelta(hours=1), datetime.now(UTC))


def bearer(file: Path, role: str, holder: str = "app") -> dict[str, str]:
    return {"authorization": f"Bearer {token_of(file, role, holder)}"}


def reference(purpose: str, customer: str) -> str:
    """A consent's reference; like a bank's own, it holds no identifier."""
    return f"{purpose}.{hashlib.sha256(customer.encode()).hexdigest()[:12]}"


def waiting(service: Service) -> int:
    """How many withdrawals the platform has yet to hear of."""
    return service.store.read(lambda unit: unit.withdrawals.count())


def soon(hours: float = 1) -> str:
    return (datetime.now(UTC) + timedelta(hours=hours)).isoformat()


def submission(customer: str = "13800000001", **changes: Any) -> dict[str, Any]:
    """One that the default rulebook approves, as JSON; consents as `consenting` gives them."""
    told = {
        "customer": customer, "product": "weilidai", "amount_fen": 300_000, "term_months": 10,
        "purpose": "consumption", "province": "44",
        "identity": {"real_name_verified": True, "own_bank_card": True, "age": 35, "student": False,
                     "payment_score": 700, "invited": True},
        "consents": [{"reference": reference(purpose, customer), "purpose": purpose, "expires_at": soon()}
                     for purpose in CONSENTS],
        "bureau": {"columns": {"inquiries": "1"}, "credit_lines_elsewhere_fen": 1_000_000,
                   "annual_income_fen": 12_000_000, "provident_fund_months": 24, "inquiries_6m": 1,
                   "overdue_days_worst": 0, "reported_at": datetime.now(UTC).isoformat()},
    }
    return told | changes


async def consenting(http: Any, channel: dict[str, str], customer: str = "13800000001") -> str:
    """Give both consents of a customer; the person."""
    person = (await http.post("/v1/persons", json={"customer": customer}, headers=channel)).json()["person"]
    for purpose in CONSENTS:
        told = {"reference": reference(purpose, customer), "purpose": purpose, "expires_at": soon()}
        given = await http.post(f"/v1/persons/{person}/consents", json=told, headers=channel)
        assert given.status_code == 200, given.text
    return person


def keyed(headers: dict[str, str], key: str = "key-00000001") -> dict[str, str]:
    return headers | {"idempotency-key": key}
