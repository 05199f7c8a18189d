"""The section `[scoring]` of a party's file."""
from __future__ import annotations

from typing import Annotated, Self

from pydantic import Field, StringConstraints, model_validator

from protocols.plan import Column, Name
from protocols.strict import Strict

Address = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9.\-\[\]:]+:[0-9]{1,5}$")]


class Sufficiency(Strict):
    """One threshold below which a person's data is not enough; a missing value is below every threshold."""

    name: Name = Field(description="what the bank is told that lacks; nothing else of it is told")
    column: Column
    minimum: float


class PlatformAddress(Strict):
    """Where a bank finds a platform's scoring process: its address, or through the hub, which sees sizes and timing."""

    address: Address | None = None
    hub: bool = Field(False, description="through the coordinator's hub, where no direct connection is allowed")

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        if self.hub == (self.address is not None):
            raise ValueError("expected either address = \"HOST:PORT\" or hub = true")
        return self


class ScoringConfig(Strict):
    """Of a platform: how it answers; of a bank: whom it asks."""

    listen: Address | None = Field(None, description="platform: where `scoring serve` listens")
    hub: bool = Field(False, description="platform: take calls through the coordinator's hub too; it dials out")
    store: str = Field("state/scoring/features.db", description="platform: a file, relative to this one, or redis://…")
    sufficiency: tuple[Sufficiency, ...] = Field((), max_length=16)
    fraud_column: Column | None = Field(None, description="platform: column with its fraud score, 0 to 1; told to the "
                                        "bank in steps of 1/32 where the policy's kinds name \"fraud\"")
    scores_per_s: int = Field(300, ge=1, le=100_000, description="platform: of each bank; more is refused as busy")
    queue: int = Field(64, ge=1, le=10_000, description="platform: calls that may wait for their turn")
    audit_lag_s: int = Field(600, ge=10, le=86_400, description="platform: no score leaves when openings could not be "
                             "handed to the audit log for longer")
    platforms: dict[Name, PlatformAddress] = Field({}, description="bank: by name")

    @model_validator(mode="after")
    def _one_threshold_a_name(self) -> Self:
        if len({one.name for one in self.sufficiency}) != len(self.sufficiency):
            raise ValueError("two thresholds of sufficiency have the same name")
        return self
