"""Everything that the hub looks at in what it relays and adds up: public keys and ciphertexts, strictly parsed.

    hello, both kinds    names, run, agreement digest, an X25519 public key, a nonce, a signature; nothing left over
    hello request        nothing
    sealed               bytes, at least an authentication tag of 16; never parsed, there is no key to do it with
    bulk of one sender   bytes under their SHA-256; never parsed
    bulk that is a sum   words under a summand's tag (`protocols/crypto/aggregate.py`); anything else is refused

Headers, progress reports and catalogues are meant for the coordinator (`protocols/wire/codec.py`). That a party seals
what it calls sealed nobody can check without a key; its own egress door is what keeps it from sending anything else.
"""
from __future__ import annotations

from protocols.errors import MalformedMessage
from protocols.wire import codec
from protocols.wire import hub_pb2 as hub
from protocols.wire.envelope_pb2 import HelloInitiator, HelloResponder, SignedHello

TAG_BYTES = 16
_HELLOS = {hub.HELLO_INITIATOR: HelloInitiator, hub.HELLO_RESPONDER: HelloResponder}


def check_relay(relay: hub.Relay) -> None:
    """MalformedMessage for a frame that is neither sealed nor a hello of the run and the parties in its header."""
    header = relay.header
    if header.kind in _HELLOS:
        signed = codec.decode(SignedHello, relay.body, codec.MAX_HELLO_BYTES)
        hello = codec.decode(_HELLOS[header.kind], signed.body, codec.MAX_HELLO_BYTES)
        if hello.run != header.run or {hello.initiator, hello.responder} != {header.sender, header.receiver}:
            raise MalformedMessage("expected a hello for the run and the parties of its header")
    elif header.kind == hub.SEALED and len(relay.body) <= TAG_BYTES:
        raise MalformedMessage(f"expected a sealed frame of more than {TAG_BYTES} bytes, got {len(relay.body)}")
