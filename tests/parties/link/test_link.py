"""Links over a real hub: mutual TLS, separate processes, kills and restarts. Every wait has a deadline."""
from __future__ import annotations

import datetime as dt
import os
import random
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from coordinator.certs import Authority, Validity, init_federation
from parties.runtime.link import Link
from protocols.errors import ProtocolError, RunFailed, TrustError

PARTY_PROCESS = Path(__file__).with_name("party_process.py")


def take(link: Link, store, count: int, timeout_s: float = 20.0) -> list[bytes]:
    """What a driver does: receive, make durable, acknowledge."""
    payloads = []
    for _ in range(count):
        message = link.receive(timeout_s)
        assert message is not None, f"only {len(payloads)} of {count} messages came"
        store.record(message.seq, message.digest)
        link.acknowledge(message.seq)
        payloads.append(message.payload)
    return payloads


@pytest.fixture
def linked(make_link: Callable, memory_store: Callable):
    stores = {"bank": memory_store(), "platform": memory_store()}
    frames: list[tuple[str, bytes]] = []
    bank = make_link("bank", "platform", stores["bank"], on_frame=lambda d, f: frames.append((d, f)))
    platform = make_link("platform", "bank", stores["platform"])
    bank.start()
    platform.start()
    return bank, platform, stores, frames


def test_messages_of_all_sizes_both_ways(linked) -> None:
    bank, platform, stores, frames = linked
    payloads = [b"", b"x", random.Random(1).randbytes(3_000_000), b"end"]
    for payload in payloads:
        stores["bank"].put("k.out", payload)
        stores["platform"].put("k.back", payload[::-1])
    bank.send_persisted()
    platform.send_persisted()
    assert take(platform, stores["platform"], 4) == payloads
    assert take(bank, stores["bank"], 4) == [p[::-1] for p in payloads]
    assert bank.drain(10)
    assert not stores["bank"].rows
    bank.close()
    assert bank.bytes_out == sum(len(f) for d, f in frames if d == "out") > 3_000_000
    assert bank.traffic.out_by_kind["k.out"] > 3_000_000 > bank.traffic.out_by_kind["k.back"]
    assert platform.traffic.in_by_kind["k.out"] == bank.traffic.out_by_kind["k.out"]
    assert bank.bytes_in == sum(len(f) for d, f in frames if d == "in")


def test_the_hub_sees_no_plaintext(linked) -> None:
    bank, platform, stores, frames = linked
    marker = b"PLAINTEXT-MARKER-" * 8
    stores["bank"].put("secret.kind", marker)
    bank.send_persisted()
    assert take(platform, stores["platform"], 1) == [marker]
    assert not any(b"PLAINTEXT" in f or b"secret.kind" in f for _, f in frames)


def test_the_hub_is_killed_in_the_middle_and_comes_back(linked, hub) -> None:
    bank, platform, stores, _ = linked
    payloads = [random.Random(n).randbytes(400_000) for n in range(40)]
    for payload in payloads:
        stores["bank"].put("k", payload)
    bank.send_persisted()
    got = take(platform, stores["platform"], 5)
    hub.kill()
    time.sleep(0.5)
    hub.start()
    got += take(platform, stores["platform"], 35)
    assert got == payloads
    assert bank.drain(10)


def test_a_party_comes_back_with_its_store_and_nothing_is_lost_or_doubled(linked, make_link) -> None:
    """The link of the receiver, then that of the sender, ends without a word in the middle of a message."""
    bank, platform, stores, _ = linked
    payloads = [random.Random(n).randbytes(700_000) for n in range(12)]
    for payload in payloads:
        stores["bank"].put("k", payload)
    bank.send_persisted()
    got = take(platform, stores["platform"], 4)
    assert platform.receive(10) is not None  # received, never handled
    platform.close()
    platform = make_link("platform", "bank", stores["platform"])
    platform.start()
    got += take(platform, stores["platform"], 4)
    bank.close()
    bank = make_link("bank", "platform", stores["bank"])
    bank.start()
    got += take(platform, stores["platform"], 4)
    assert got == payloads
    assert bank.drain(10)


def test_killed_processes_resume_from_their_files(hub, federation, file_store, tmp_path) -> None:
    """Both parties are processes; each is killed with SIGKILL once while 60 messages cross in both directions."""
    def start(party: str, peer: str) -> subprocess.Popen:
        command = [sys.executable, str(PARTY_PROCESS), str(federation), hub.address, party, peer,
                   str(tmp_path / f"{party}.json"), "60"]
        return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)

    running = {"bank": start("bank", "platform"), "platform": start("platform", "bank")}
    try:
        for victim, peer in (("bank", "platform"), ("platform", "bank")):
            for _ in range(8):
                assert running[victim].stdout.readline()
            running[victim].send_signal(signal.SIGKILL)
            running[victim].wait(10)
            running[victim].stdout.close()
            running[victim] = start(victim, peer)
        codes = {party: process.wait(60) for party, process in running.items()}
    finally:
        for process in running.values():
            if process.poll() is None:
                process.kill()
            process.stdout.close()
    assert codes == {"bank": 0, "platform": 0}
    for party in ("bank", "platform"):
        store = file_store(party)
        assert sorted(store.handled) == list(range(1, 61))
        assert store.last_sequence() == 60
        assert not store.rows


def test_a_peer_that_never_comes_ends_the_wait_with_its_name(make_link, memory_store) -> None:
    link = make_link("bank", "platform", memory_store(), deadline_s=1.5)
    link.start()
    began = time.monotonic()
    with pytest.raises(RunFailed, match="at platform .*not connected to the hub") as failed:
        link.receive(30)
    assert failed.value.party == "platform"
    assert time.monotonic() - began < 6


def test_what_came_before_the_peer_fell_silent_is_still_received(make_link, memory_store) -> None:
    stores = memory_store(), memory_store()
    stores[1].put("k", b"last words")
    bank = make_link("bank", "platform", stores[0], deadline_s=1.5)
    platform = make_link("platform", "bank", stores[1], deadline_s=1.5)
    bank.start()
    platform.start()
    end = time.monotonic() + 10
    while not bank.traffic.in_by_kind["k"] and time.monotonic() < end:
        time.sleep(0.05)
    platform.close()
    time.sleep(2)
    assert take(bank, stores[0], 1) == [b"last words"]
    with pytest.raises(RunFailed, match="at platform"):
        bank.receive(10)


def test_a_hub_that_is_gone_ends_the_wait_with_the_coordinator(linked, make_link, memory_store, hub) -> None:
    hub.kill()
    link = make_link("bank", "platform", memory_store(), deadline_s=1.5)
    link.start()
    with pytest.raises(RunFailed, match="no connection to the hub") as failed:
        link.receive(30)
    assert failed.value.party == "coordinator"


def test_receive_and_drain_end_at_their_timeout(linked) -> None:
    bank, _, stores, _ = linked
    stores["bank"].put("k", b"x")
    bank.send_persisted()
    assert bank.receive(0.2) is None
    assert bank.drain(0.5) is False


def test_a_close_during_a_wait_ends_the_wait(linked) -> None:
    bank, *_ = linked
    threading.Timer(0.3, bank.close).start()
    began = time.monotonic()
    assert bank.receive(20) is None
    assert time.monotonic() - began < 5


def test_a_cancelled_run_reaches_both_parties(linked, hub) -> None:
    bank, platform, *_ = linked
    assert bank.cancelled is None
    hub.set_state("cancelling")
    for link in (bank, platform):
        assert link.receive(10) is None
        assert link.cancelled == "cancelled"


def test_a_failed_run_is_told_with_its_cause_also_to_who_comes_later(hub, make_link, memory_store) -> None:
    hub.set_state("failed", "the platform has no table accounts")
    link = make_link("bank", "platform", memory_store())
    link.start()
    assert link.receive(10) is None
    assert link.cancelled == "failed: the platform has no table accounts"


def test_another_pinned_identity_gets_nothing_and_says_so(make_link, memory_store, identities) -> None:
    refused: list[str] = []
    stores = memory_store(), memory_store()
    stores[1].put("k", b"not for strangers")
    bank = make_link("bank", "platform", stores[0], on_refusal=refused.append, deadline_s=2.5,
                     peer_public_key=identities["stranger"])
    platform = make_link("platform", "bank", stores[1])
    bank.start()
    platform.start()
    with pytest.raises(RunFailed, match="not signed by the identity pinned for it; compare fingerprints"):
        bank.receive(20)
    assert "identity" in refused


def test_another_agreement_gets_nothing_and_says_so(make_link, memory_store) -> None:
    refused: list[str] = []
    bank = make_link("bank", "platform", memory_store(), agreement=bytes(32))
    platform = make_link("platform", "bank", memory_store(), on_refusal=refused.append, deadline_s=2.5)
    bank.start()
    platform.start()
    with pytest.raises(RunFailed, match="another agreement"):
        platform.receive(20)
    assert set(refused) == {"agreement"}


@pytest.mark.parametrize(("party", "peer", "run", "sentence"), [
    ("bank", "platform", "r-" + "f" * 16, "no run"),
    ("stranger", "bank", "r-" + "0" * 16, "stranger is no party of run"),
])
def test_the_hub_refuses_unknown_runs_and_strangers(make_link, memory_store, party, peer, run, sentence) -> None:
    link = make_link(party, peer, memory_store(), run=run)
    link.start()
    with pytest.raises(RunFailed, match=sentence):
        link.receive(10)


def test_a_store_that_fails_ends_the_link_with_a_sentence(linked) -> None:
    bank, platform, stores, _ = linked
    stores["bank"].put("k", b"x")
    bank.send_persisted()
    assert take(platform, stores["platform"], 1) == [b"x"]
    stores["bank"].rows = None
    bank.send_persisted()
    with pytest.raises(ProtocolError, match="cannot be read"):
        bank.receive(10)


def reissue(home: Path, authority: Authority, validity: Validity, name: str, *, with_ca: bool) -> None:
    certificate, key = authority.issue(name, validity)
    (home / "tls" / "node.crt").write_bytes(certificate)
    (home / "tls" / "node.key").write_bytes(key)
    if with_ca:
        (home / "tls" / "ca.crt").write_bytes(authority.certificate_pem())


def days(first: float, last: float) -> Validity:
    now = dt.datetime.now(dt.UTC)
    return Validity(now + dt.timedelta(days=first), now + dt.timedelta(days=last))


@pytest.fixture
def copied_home(federation: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(federation / "bank", tmp_path / "home"))


@pytest.mark.parametrize(("validity", "sentence"), [
    ((-3, -1), r"certificate .*node.crt expired on \d{4}-.*new one from the federation's authority"),
    ((1, 3), "does not hold before .*clock"),
])
def test_ones_own_certificate_out_of_its_dates_is_one_clear_sentence(copied_home, make_link, memory_store, validity,
                                                                     sentence) -> None:
    reissue(copied_home, Authority.generate(days(-5, 5)), days(*validity), "bank", with_ca=True)
    with pytest.raises(TrustError, match=sentence):
        make_link("bank", "platform", memory_store(), home=copied_home).start()


def test_a_certificate_of_another_authority_than_ones_own_is_one_clear_sentence(copied_home, make_link,
                                                                                memory_store) -> None:
    reissue(copied_home, Authority.generate(days(-5, 5)), days(-1, 1), "bank", with_ca=False)
    with pytest.raises(TrustError, match=r"not signed by the authority in .*ca\.crt"):
        make_link("bank", "platform", memory_store(), home=copied_home).start()


def test_a_node_of_another_federation_is_one_clear_sentence(copied_home, make_link, memory_store) -> None:
    """It holds together in itself, but the hub is another federation's."""
    reissue(copied_home, Authority.generate(days(-5, 5)), days(-1, 1), "bank", with_ca=True)
    link = make_link("bank", "platform", memory_store(), home=copied_home)
    link.start()
    with pytest.raises(TrustError, match="certificate that 127.0.0.1:.* shows is not accepted here"):
        link.receive(15)


def test_a_home_of_another_party_is_one_clear_sentence(federation, make_link, memory_store) -> None:
    with pytest.raises(TrustError, match="is that of platform, expected bank"):
        make_link("bank", "platform", memory_store(), home=federation / "platform").start()


def test_a_key_that_others_can_read_is_refused(copied_home, make_link, memory_store) -> None:
    os.chmod(copied_home / "identity" / "identity.key", 0o644)
    with pytest.raises(TrustError, match="mode 0644, expected 0600"):
        make_link("bank", "platform", memory_store(), home=copied_home).start()


def test_two_federations_never_share_a_key(tmp_path: Path) -> None:
    from coordinator.certs import PartySpec
    first, second = (init_federation(tmp_path / n, [PartySpec("bank", "bank")], 1) for n in ("a", "b"))
    assert not set(first.values()) & set(second.values())
