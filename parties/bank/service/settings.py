"""The section `[decisions]` of a bank's file: where the decision service listens, whom it lets in, what it rests on."""
from __future__ import annotations

import ipaddress
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import AwareDatetime, Field, StringConstraints, ValidationError, model_validator

from parties.bank.lending.agreement import LendingPolicy
from parties.bank.service.callers import Role
from parties.bank.service.throttle import Rate
from parties.bank.store.settings import StoreConfig
from parties.runtime.config import Address, LoadedParty
from protocols.errors import ConfigError
from protocols.plan import Name
from protocols.strict import Strict, first_problem

ModelId = Annotated[str, StringConstraints(pattern=r"^m-[0-9a-f]{16}$")]
Sha256 = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]


class TlsConfig(Strict):
    """The service's own certificate, as PEM files relative to the node's file; not the federation's."""

    certificate: str
    key: str = Field(description="mode 0600")
    clients: str | None = Field(None, description="authority of clients' certificates; without it clients show tokens")


class ClientConfig(Strict):
    """One client that is known by its certificate."""

    role: Role
    certificate: Sha256 = Field(description="SHA-256 of the certificate (DER), hex")


class AuthConfig(Strict):
    """Which tokens do not hold any more."""

    withdrawn: tuple[Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{16}$")], ...] = Field(
        (), max_length=10_000, description="ids of single tokens, as `decisions token` printed them")
    not_issued_before: AwareDatetime | None = Field(None, description="withdraws all older tokens")


class LimitsConfig(Strict):
    """How much is taken in, so that a surge of one region or caller does not take the service from the others."""

    per_s: float = Field(600, gt=0, le=100_000, description="applications per second in all")
    province_per_s: float = Field(300, gt=0, le=100_000, description="applications per second of one province")
    caller_per_s: float = Field(1000, gt=0, le=100_000, description="calls of any kind per second of one caller")
    in_flight: int = Field(256, ge=1, le=100_000, description="applications being decided at a time; more are told 503")
    body_bytes: int = Field(64 * 1024, ge=1024, le=4 * 1024**2)

    def shared_out(self, processes: int) -> LimitsConfig:
        """The part of one process: callers' connections are spread over all."""
        rates = {name: getattr(self, name) / processes for name in ("per_s", "province_per_s", "caller_per_s")}
        return self.model_copy(update=rates | {"in_flight": -(-self.in_flight // processes)})

    def rates(self) -> dict[str, Rate]:
        """Two seconds' worth may be saved up."""
        return {"all": _rate(self.per_s), "province": _rate(self.province_per_s), "caller": _rate(self.caller_per_s)}


class DecisionsConfig(Strict):
    """The whole section."""

    listen: Address = Field(description="HTTP; port 0: any that is free")
    grpc: Address | None = Field(None, description="the same calls over gRPC")
    workers: int = Field(1, ge=1, le=32, description="processes that decide, on one store; the cores it may have")
    rulebook: str = Field("rulebook", description="its folder, relative to this file")
    store: StoreConfig = StoreConfig()
    model: ModelId | None = Field(None, description="published model that is asked for joint scores; none: never asked")
    purpose: Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9-]{0,63}$")] = Field(
        "credit-scoring", description="what consents are signed for to the platform; its policy must allow it")
    score_deadline_ms: int = Field(120, ge=5, le=60_000, description="then the bank decides by its policy")
    lending: LendingPolicy = LendingPolicy()
    tls: TlsConfig | None = Field(None, description="needed to listen anywhere but on this machine")
    clients: dict[Name, ClientConfig] = Field({}, max_length=1000)
    auth: AuthConfig = AuthConfig()
    limits: LimitsConfig = LimitsConfig()

    @model_validator(mode="after")
    def _open_only_under_tls(self) -> Self:
        for address in filter(None, (self.listen, self.grpc)):
            if self.tls is None and not _is_loopback(address):
                raise ValueError(f"{address} is not on this machine alone: set [decisions.tls], or listen on 127.0.0.1")
        if self.clients and (self.tls is None or self.tls.clients is None):
            raise ValueError("[decisions.clients] needs the authority of their certificates in [decisions.tls] clients")
        if len({one.certificate for one in self.clients.values()}) != len(self.clients):
            raise ValueError("two clients have the same certificate")
        return self

    @property
    def offer_stands(self) -> timedelta:
        """How long an offer may be accepted, and its funding is reserved."""
        return timedelta(hours=self.lending.offer_valid_h)


def decisions_of(party: LoadedParty) -> DecisionsConfig:
    """The section of a loaded file; ConfigError when it is not there or does not hold."""
    section: dict[str, Any] | None = party.config.decisions
    if section is None:
        raise ConfigError("the node's file needs a section [decisions] with listen = \"127.0.0.1:PORT\"")
    try:
        return DecisionsConfig.model_validate(section)
    except ValidationError as error:
        raise ConfigError(f"[decisions]: {first_problem(error)}") from None


def beside(home: Path, path: str) -> Path:
    """A path of the section, relative to the node's home."""
    return home / Path(path).expanduser()


def _rate(per_second: float) -> Rate:
    return Rate(per_second, max(1.0, 2 * per_second))


def _is_loopback(address: str) -> bool:
    host = address.rpartition(":")[0].strip("[]")
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
