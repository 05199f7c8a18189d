"""A bank's node, ready to ask: who the platform is, where it listens, and consents signed for it."""
from __future__ import annotations

from dataclasses import dataclass

from parties.bank.scoring.caller import Caller
from parties.bank.scoring.client import Ask, JointScorer, reference_bytes
from parties.bank.scoring.model import BankModel
from parties.bank.scoring.own import Values
from parties.bank.scoring.transport import DirectTransport, HubTransport, Transport
from parties.runtime.config import LoadedParty
from protocols.crypto.identity import IdentityKey
from protocols.errors import ConfigError
from protocols.scoring import scoring_pb2 as pb
from protocols.scoring.consent import Consent
from protocols.scoring.session import Pair


@dataclass(frozen=True)
class Terms:
    """What a customer agreed to: the consent's reference in the bank's records, and Unix times."""

    reference: str
    purpose: str
    issued_at_s: int
    not_after_s: int
    maximum_uses: int = 1


def scorer_of(party: LoadedParty, identity: IdentityKey, platform: str, transport: Transport | None = None
              ) -> JointScorer:
    """Asks `platform`, by default at its address of `[scoring.platforms]`; ConfigError when it is not configured."""
    pinned = party.policy.peers.get(platform)
    if pinned is None:
        raise ConfigError(f"policy.toml: peers.{platform} is missing; pin the fingerprint of {platform}'s identity")
    transport = transport or _transport(party, platform)
    return JointScorer(Caller(Pair(party.name, platform, identity, pinned.fingerprint), transport))


def grant(identity: IdentityKey, bank: str, platform: str, token: bytes, terms: Terms) -> pb.Grant:
    """The consent as the bank signs it for the platform, about the person behind `token`."""
    return Consent(bank, platform, token, reference_bytes(terms.reference), terms.purpose, terms.issued_at_s,
                   terms.not_after_s, terms.maximum_uses).sign(identity)


def ask_of(model: BankModel, token: bytes, signed: pb.Grant, cause: str, values: Values | None) -> Ask:
    """What is asked about one applicant, as the model needs it. `cause`: what the consent is used for, such as an
    application; the same again is no second use. DataError for a bad value.

    Of a model whose weights stay shared the row travels, encrypted, and another row is another score: it is a use of
    its own, also under the same cause.
    """
    if model.shared is None or values is None:
        return Ask(token, signed, reference_bytes(cause))
    row = model.shared.row(values)
    return Ask(token, signed, reference_bytes(f"{cause} {model.shared.crypto.name(row).hex()}"), row)


def _transport(party: LoadedParty, platform: str) -> Transport:
    section = party.config.scoring
    if section is None or platform not in section.platforms:
        raise ConfigError(f"the node's file needs [scoring.platforms.{platform}] with address = \"HOST:PORT\", or with "
                          "hub = true")
    way = section.platforms[platform]
    if way.hub:
        return HubTransport(party.config.coordinator.hub, party.home, platform)
    return DirectTransport(way.address, party.home)
