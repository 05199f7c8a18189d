"""What the hub takes to relay: hellos of the right run and parties, and sealed frames; never anything else."""
from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coordinator.admissible import check_relay
from protocols.crypto.identity import IdentityKey
from protocols.crypto.keys import KeyPair
from protocols.crypto.sealing import Initiator, SealingContext, respond
from protocols.errors import MalformedMessage
from protocols.wire import hub_pb2 as hub

RUN, OTHER = "r-" + "5" * 16, "r-" + "6" * 16
BANK, PLATFORM = IdentityKey.generate(), IdentityKey.generate()


def contexts(run: str = RUN) -> tuple[SealingContext, SealingContext]:
    return (SealingContext(run, bytes(32), "bank", "platform", BANK, PLATFORM.public),
            SealingContext(run, bytes(32), "platform", "bank", PLATFORM, BANK.public))


def relay(kind: int, body: bytes, sender: str = "bank", receiver: str = "platform", run: str = RUN) -> hub.Relay:
    return hub.Relay(header=hub.Header(version=1, run=run, sender=sender, receiver=receiver, kind=kind), body=body)


def hellos() -> tuple[bytes, bytes]:
    mine, theirs = contexts()
    first = Initiator(mine).hello
    return first, respond(theirs, first)[0]


def test_a_handshake_and_a_sealed_frame_pass() -> None:
    first, second = hellos()
    check_relay(relay(hub.HELLO_INITIATOR, first))
    check_relay(relay(hub.HELLO_RESPONDER, second, "platform", "bank"))
    check_relay(relay(hub.HELLO_REQUEST, b""))
    check_relay(relay(hub.SEALED, bytes(17)))


@pytest.mark.parametrize("wrong", [{"run": OTHER}, {"sender": "shop"}, {"receiver": "shop"}])
def test_a_hello_of_another_run_or_party_is_refused(wrong) -> None:
    with pytest.raises(MalformedMessage, match="of its header"):
        check_relay(relay(hub.HELLO_INITIATOR, hellos()[0], **wrong))


def test_the_two_hellos_are_not_taken_for_each_other() -> None:
    first, second = hellos()
    for kind, body in ((hub.HELLO_RESPONDER, first), (hub.HELLO_INITIATOR, second)):
        with pytest.raises(MalformedMessage):
            check_relay(relay(kind, body))


@given(st.binary(min_size=1, max_size=400))
def test_nothing_else_passes_for_a_hello(body: bytes) -> None:
    for kind in (hub.HELLO_INITIATOR, hub.HELLO_RESPONDER):
        with pytest.raises(MalformedMessage):
            check_relay(relay(kind, body))


@given(st.integers(0, 100_000), st.integers(1, 255))
def test_a_changed_hello_is_relayed_only_if_it_still_is_one(place: int, change: int) -> None:
    """Never another exception than the one the hub answers with."""
    body = bytearray(hellos()[0])
    body[place % len(body)] ^= change
    try:
        check_relay(relay(hub.HELLO_INITIATOR, bytes(body)))
    except MalformedMessage as error:
        assert "Traceback" not in str(error)


def test_secret_keys_do_not_pass_for_a_hello_and_an_empty_frame_not_for_a_sealed_one() -> None:
    with pytest.raises(MalformedMessage):
        check_relay(relay(hub.HELLO_INITIATOR, KeyPair.generate().secret_bytes()))
    with pytest.raises(MalformedMessage, match="more than 16"):
        check_relay(relay(hub.SEALED, bytes(16)))
