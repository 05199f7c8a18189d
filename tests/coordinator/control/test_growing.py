"""A running control plane takes a new party, lets one leave and takes a new key: nobody else notices."""
from __future__ import annotations

import json
import ssl
import threading
import time

import grpc
import pytest

from coordinator import cli as coordinator_cli
from parties.runtime.hub_client import HubClient
from parties.runtime.supernode import PartyFlower
from protocols.errors import SealscoreError
from protocols.node import certs_cli
from protocols.node.tls import CHANNEL_OPTIONS, NodeTls
from protocols.wire import codec
from protocols.wire import hub_pb2 as wire

pytestmark = pytest.mark.slow


def run(main, *words: object, code: int = 0) -> None:
    assert main([str(word) for word in words]) == code, words


def ready(federation) -> dict:
    return json.loads((federation.config.home / "state" / "ready.json").read_text())


class Attached:
    """The bank's stream to the hub, watched for whatever ends it."""

    def __init__(self, federation, run_id: str):
        tls = NodeTls.load(federation.root / "nodes" / "bank")
        self._channel = grpc.secure_channel(federation.config.listen.hub, tls.channel_credentials(), CHANNEL_OPTIONS)
        self._stop, self.ended = threading.Event(), None
        first = codec.encode(wire.HubFrame(attach=wire.Attach(version=codec.VERSION, run=run_id, party="bank",
                                                                    peer="platform")))
        self._call = self._channel.stream_stream("/sealscore.hub.v1.Hub/Attach")(self._frames(first))
        self._call.initial_metadata()
        threading.Thread(target=self._read, daemon=True).start()

    def _frames(self, first: bytes):
        yield first
        self._stop.wait()

    def _read(self) -> None:
        try:
            for _ in self._call:
                continue
            self.ended = "the hub ended it"
        except grpc.RpcError as error:
            self.ended = str(error.code())

    def close(self) -> None:
        self._stop.set()
        self._call.cancel()
        self._channel.close()


def test_parties_come_and_go_while_the_others_stay_connected(federation, plan, capsys):
    root, config = federation.root, federation.config.source
    home, bundle = root / "nodes" / "shop", root / "shop.bundle"
    federation.registry.create_run("r-00000000000000cc", plan.canonical().decode(), plan.digest())
    attached, before = Attached(federation, "r-00000000000000cc"), ready(federation)
    federation.registry.set_state("r-00000000000000cc", "failed")
    run(certs_cli.main, "request", home, "--name", "shop", "--role", "platform")
    run(certs_cli.main, "sign", home / "request.json", "--ca", root / "nodes/ca", "--out", bundle, "--config", config)
    run(certs_cli.main, "install", home, bundle)
    client = HubClient(federation.config.listen.hub, home)
    with pytest.raises(SealscoreError, match="is no party of this federation"):
        client.hello({"tables": {}})
    run(coordinator_cli.main, "add", "shop", "--request", home / "request.json", "--config", config)
    assert "nobody was restarted" in capsys.readouterr().out
    client.hello({"tables": {}})
    flower = PartyFlower(home, federation.config.listen.front, "shop", root / "shop-run")
    flower.start()
    try:
        assert online(federation, "shop")
    finally:
        flower.stop()
    assert set(ready(federation)["nodes"]) == {"bank", "platform", "shop"}
    assert ready(federation)["processes"] == before["processes"] and attached.ended is None
    assert {n: i for n, i in ready(federation)["nodes"].items() if n != "shop"} == before["nodes"]
    run(coordinator_cli.main, "remove", "shop", "--config", config)
    with pytest.raises(SealscoreError, match="is no party of this federation"):
        client.hello({"tables": {}})
    client.close()
    assert ready(federation)["nodes"] == before["nodes"] and attached.ended is None
    attached.close()


def test_a_run_goes_through_after_parties_came_and_went(federation, plan):
    run_id = federation.submit(plan)
    assert federation.wait_for(run_id, "failed", "finished") == "finished"


def online(federation, name: str, within_s: float = 40.0) -> bool:
    """Whether the SuperLink has the SuperNode of `name` connected."""
    from coordinator.flower.adapter import Control

    ca, end = federation.config.home / "tls" / "ca.crt", time.monotonic() + within_s
    assert ssl.create_default_context(cafile=ca)
    with Control(federation.config.listen.superlink, ca) as control:
        while time.monotonic() < end:
            if any(node.name == name and node.status == "online" for node in control._nodes()):
                return True
            time.sleep(0.5)
    return False
