"""A party in its own process: sends COUNT messages, one after each it handled, and prints a line for each.

    python party_process.py FEDERATION HUB PARTY PEER STORE.json COUNT

Killed at any point and started again it goes on from its store: the message that answers and the record of what it
answers are one file write apart at most, so it looks at both before it goes on.
"""
from __future__ import annotations

import importlib.util
import json
import sys
from pathlib import Path

from parties.runtime.link import Link, LinkConfig

spec = importlib.util.spec_from_file_location("link_conftest", Path(__file__).with_name("conftest.py"))
support = importlib.util.module_from_spec(spec)
sys.modules["link_conftest"] = support
spec.loader.exec_module(support)


def payload(party: str, seq: int) -> bytes:
    return f"{party} {seq} ".encode() * 2000


def put_up_to(store, party: str, seq: int) -> None:
    while store.last_sequence() < seq:
        store.put("k", payload(party, store.last_sequence() + 1))


def main() -> None:
    federation, hub, party, peer, path, text = sys.argv[1:]
    count, store = int(text), support.FileStore(Path(path))
    trust = json.loads((Path(federation) / "trust.json").read_text())
    link = Link(LinkConfig(hub, Path(federation) / party, party, peer, bytes.fromhex(trust[peer]["identity"]),
                           support.RUN, support.AGREEMENT, 30.0), store)
    link.start()
    put_up_to(store, party, min(count, store.last_handled() + 3))
    link.send_persisted()
    while store.last_handled() < count:
        message = link.receive(30)
        assert message.payload == payload(peer, message.seq)
        store.record(message.seq, message.digest)
        put_up_to(store, party, min(count, message.seq + 3))
        link.acknowledge(message.seq)
        link.send_persisted()
        print(message.seq, flush=True)
    assert link.drain(30)
    link.close()


if __name__ == "__main__":
    main()
