"""Who calls and what a role may do. Four roles, and nothing a role is not given here is allowed.

| role     | may                                                                                           |
|----------|-----------------------------------------------------------------------------------------------|
| channel  | submit, follow its own applications and loans, reviews, consents, switch-off, deletion          |
| officer  | read records, list, reports of experiments, decide reviews, risk signals, switch a person off   |
| auditor  | read records, list, reports of experiments, accesses, metrics; writes nothing                   |
| operator | metrics; sees nobody's record                                                                   |
"""
from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

from parties.bank.service.refusals import Forbidden

Role = Literal["channel", "officer", "auditor", "operator"]
ROLES: tuple[Role, ...] = get_args(Role)
PERMISSIONS: dict[str, frozenset[Role]] = {
    "submit": frozenset({"channel"}),
    "follow": frozenset({"channel", "officer", "auditor"}),
    "list": frozenset({"officer", "auditor"}),
    "read-experiment": frozenset({"officer", "auditor"}),
    "read-record": frozenset({"officer", "auditor"}),
    "ask-review": frozenset({"channel", "officer"}),
    "decide-review": frozenset({"officer"}),
    "give-consent": frozenset({"channel"}),
    "read-person": frozenset({"channel", "officer", "auditor"}),
    "report-signal": frozenset({"officer"}),
    "switch-off": frozenset({"channel", "officer"}),
    "ask-deletion": frozenset({"channel", "officer"}),
    "read-accesses": frozenset({"auditor"}),
    "metrics": frozenset({"operator", "auditor"}),
    "borrow": frozenset({"channel"}),
    "read-loan": frozenset({"channel", "officer", "auditor"}),
}


@dataclass(frozen=True)
class Caller:
    """An authenticated caller: its name in the bank, its role, and what it showed."""

    name: str
    role: Role
    by: Literal["token", "certificate", "terminal"]

    def may(self, permission: str) -> bool:
        """Whether the role has a permission."""
        return self.role in PERMISSIONS[permission]

    def require(self, permission: str) -> None:
        """Forbidden unless the role has it."""
        if not self.may(permission):
            allowed = ", ".join(sorted(PERMISSIONS[permission]))
            raise Forbidden(f"expected a caller with the role {allowed}, got {self.role}; "
                            "ask the bank's operator for a token of such a role")

    def __str__(self) -> str:
        return f"{self.role}:{self.name}"
