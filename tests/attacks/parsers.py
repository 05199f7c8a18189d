"""Every function through which bytes of a peer, the coordinator, an evidence pack or a store come in: one registry.

`all_parsers` says how to call each of them on bytes and gives good input to start from; `test_fuzz.py` damages it. A
parser that `scan.py` finds in the sources and that no entry covers fails a test.
"""
from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import numpy as np
from flwr.common import ConfigRecord, RecordDict

from coordinator import registry, server_app
from parties.runtime import bulk_reference, client_app, daemon
from parties.runtime.link_engine import Engine
from protocols import plan as plans
from protocols.agreement import SignedAgreement
from protocols.audit import (
    CheckpointMessage,
    Countersigned,
    Record,
    SignedCheckpoint,
    from_hex,
    held_checkpoint,
    kept_countersignature,
    named_agreement,
)
from protocols.binning.encoder import Encoder
from protocols.checkpoints import CheckpointExchange
from protocols.commons.common_encoding import CommonEncoding
from protocols.crypto import elementwise, group, identity, product, sealing, summed_product
from protocols.crypto.aggregate import add
from protocols.crypto.keys import KeyPair, PeerKeys
from protocols.crypto.product import ReplyCoding
from protocols.crypto.ring import RING
from protocols.crypto.summed_product import Seed
from protocols.crypto.zero_sharing import Circle
from protocols.json_object import json_object
from protocols.node import archive, enrol, tls
from protocols.policy import Policy
from protocols.psi import messages as psi
from protocols.psi.covered import FeatureCovered
from protocols.psi.feature_party import AlignFeatureParty
from protocols.psi.joint import FeatureJoint
from protocols.psi.parameters import AlignmentParams
from protocols.role import Message, Role
from protocols.scorecard import open_score
from protocols.scorecard.batch import LabelBatch
from protocols.scorecard.calibration import Calibration
from protocols.scorecard.holdout import FeatureHoldout, LabelHoldout
from protocols.scorecard.training import SETUP
from protocols.scorecard.verdicts import Verdicts
from protocols.scorecard.whitening import Whitening
from protocols.state import pack, unpack
from protocols.wire import codec, envelope_pb2, hub_pb2
from protocols.wire.chunks import Assembler, Route, WireMessage
from protocols.woe import messages as woe
from protocols.woe.feature_party import FeatureWoe
from protocols.woe.label_party import LabelWoe, WoeSettings
from tests.attacks.parsers_bank import bank
from tests.attacks.parsers_files import files
from tests.attacks.parsers_network import network
from tests.attacks.parsers_scoring import scoring
from tests.attacks.parsers_shared import shared
from tests.attacks.parsers_trees import trees
from tests.attacks.samples import (
    RUN,
    SHAPE,
    SHORT,
    VECTORS,
    Parser,
    agreement,
    context,
    encoded,
    keys,
    names,
    pair,
    peer,
    plan,
    request,
    signed_checkpoint,
    task,
    tiles,
    value_of,
)
from tests.parties.link.conftest import MemoryStore
from tests.protocols.commons.banks import NEARLY_EXACT, customers

# ---------------------------------------------------------------- wire and links


def wire() -> Iterator[Parser]:
    vectors = json.loads((VECTORS / "wire" / "good.json").read_text())
    for cls in codec._RULES:
        label = cls.DESCRIPTOR.name
        good = [bytes.fromhex(v["hex"]) for v in vectors if v["type"] == label] or [b"\x08\x01"]
        yield Parser(f"wire {label}", lambda data, cls=cls: codec.decode(cls, data, codec.MAX_FRAME_BYTES),
                     lambda good=good: good, ("protocols.wire.codec.decode",))
    yield Parser("chunks", _assemble,
                 lambda: [codec.encode(envelope_pb2.Sealed(envelope=chunk)) for chunk in _chunks()],
                 ("protocols.wire.chunks.Assembler.add",))
    yield Parser("hello", lambda data: sealing.respond(context(), data),
                 lambda: [sealing.Initiator(context("bank", "platform")).hello],
                 ("protocols.crypto.sealing.respond", "protocols.crypto.sealing._opened"))
    yield Parser("answer to a hello", lambda data: sealing.Initiator(context("bank", "platform")).finish(data),
                 lambda: [sealing.respond(context(), sealing.Initiator(context("bank", "platform")).hello)[0]],
                 ("protocols.crypto.sealing.Initiator.finish",))
    yield Parser("sealed frame", _open_frame, lambda: [codec.encode(pair()[0].seal(b"text"))],
                 ("protocols.crypto.sealing.Session.open", "protocols.crypto.sealing.Session._decrypt"))
    yield Parser("link", _receive, _frames, ("parties.runtime.link_engine.Engine.receive",
                                             "parties.runtime.link_inbox.Inbox.add"))
    yield Parser("inside a sealed frame", _receive_inside, lambda: [
        codec.encode(envelope_pb2.Sealed(progress=envelope_pb2.Progress(handled=0, taken=0))),
        *(codec.encode(envelope_pb2.Sealed(envelope=chunk)) for chunk in _chunks("platform"))],
        ("parties.runtime.link_engine.Engine._take_plaintext",))
    yield Parser("bulk reference", bulk_reference.FanReference.unpack, lambda: [bytes(64) + b"train:forward.0.bank"],
                 ("parties.runtime.bulk_reference.FanReference.unpack",))
    yield Parser("sum reference", bulk_reference.sum_slot, lambda: [b"train:forward.0.bank"],
                 ("parties.runtime.bulk_reference.sum_slot",))
    yield Parser("bulk", bulk_reference.FanReference("train:a", bytes(32), bytes(32)).open,
                 lambda: [bulk_reference._sealed(bytes(32), "train:a", b"payload")],
                 ("parties.runtime.bulk_reference.FanReference.open",))


def _chunks(sender: str = "bank") -> list[envelope_pb2.Envelope]:
    message = WireMessage.of(1, "kind", 0, bytes(codec.CHUNK_BYTES + 5))
    other = {"bank": "platform", "platform": "bank"}[sender]
    return [message.chunk(Route(RUN, sender, other, bytes(32)), k) for k in range(2)]


def _assemble(data: bytes) -> object:
    assembler = Assembler(Route(RUN, "bank", "platform", bytes(32)), 2**20)
    return assembler.add(codec.decode(envelope_pb2.Sealed, data, codec.MAX_FRAME_BYTES).envelope)


def _open_frame(data: bytes) -> bytes:
    return pair()[1].open(codec.decode(hub_pb2.Relay, data, codec.MAX_FRAME_BYTES))


def _engine() -> Engine:
    engine = Engine(context("bank", "platform"), MemoryStore(), 2**20, 0.0)
    engine.peer_present = True
    return engine


def _receive(data: bytes) -> None:
    """The link refuses and goes on: nothing may be raised at all."""
    _engine().receive(data, 1.0)


def _receive_inside(data: bytes) -> None:
    """What the peer's own key sealed ends the link with one of our errors."""
    engine = _engine()
    engine._session = pair()[0]
    engine._take_plaintext(data, len(data))
    if engine.failure is not None:
        raise engine.failure


def _frames() -> list[bytes]:
    notice = hub_pb2.Notice(kind=hub_pb2.PEER_ATTACHED, party="platform")
    relay = pair()[1].seal(b"text")
    return [codec.encode(hub_pb2.HubFrame(notice=notice)), codec.encode(hub_pb2.HubFrame(relay=relay))]


# ---------------------------------------------------------------- keys, products, shares


def crypto() -> Iterator[Parser]:
    here = "protocols.crypto"
    yield Parser("public keys", PeerKeys.from_bytes, lambda: [keys().public_bytes()],
                 (f"{here}.keys.PeerKeys.from_bytes", f"{here}.keys._decode_parts",
                  f"{here}.seal_objects.unpack_residues"), 4)
    yield Parser("secret keys", KeyPair.from_secret_bytes, lambda: [keys().secret_bytes()],
                 (f"{here}.keys.KeyPair.from_secret_bytes",), 4)
    yield Parser("ring elements", lambda data: RING.from_bytes(data, 5), lambda: [RING.to_bytes(RING.random(5))],
                 (f"{here}.ring.Ring.from_bytes",))
    yield Parser("product request", lambda data: product.answer(tiles(), peer(), None, data, SHORT),
                 lambda: [request()], (f"{here}.product.answer",), 12)
    for coding in ReplyCoding:
        yield Parser(f"product reply {coding.name}",
                     lambda data, coding=coding: product.finish(keys(), data, SHAPE, "tile", coding),
                     lambda coding=coding: [product.answer(tiles(), peer(), None, request(), coding)[0]],
                     (f"{here}.product.finish", f"{here}.product.parsed", f"{here}.product._decode"), 12)
    yield Parser("element-wise request", lambda data: elementwise.answer(peer(), [(data, RING.random(9))]),
                 lambda: [elementwise.ask(keys(), RING.random(9))], (f"{here}.elementwise.answer",), 8)
    yield Parser("element-wise reply", lambda data: elementwise.finish(keys(), data, 9),
                 lambda: [elementwise.answer(peer(), [(elementwise.ask(keys(), RING.random(9)), RING.random(9))])[0]],
                 (f"{here}.elementwise.finish", f"{here}.elementwise._decode"), 8)
    yield Parser("summand", lambda data: add(None, data), lambda: [_summand()], (f"{here}.aggregate.add",), 12)
    yield Parser("second summand", lambda data: add(bytearray(_summand()), data), lambda: [_summand()], (), 12)
    yield Parser("sum", lambda data: summed_product.finish_sum(keys(), data, SHAPE, "tile", SHORT, Seed(bytes(32)),
                                                               [RING.zeros(1)]),
                 lambda: [_summand()], (f"{here}.summed_product.finish_sum", f"{here}.summed_product._from_bytes"), 12)
    yield Parser("seed", Seed, lambda: [bytes(32)], ())
    yield Parser("seeds of a circle", lambda data: Circle("b", ("a", "b", "c")).take("a", data), lambda: [bytes(64)],
                 (f"{here}.zero_sharing.Circle.take",))
    yield Parser("circle", lambda data: Circle.from_bytes("b", ("a", "b", "c"), data), lambda: [_circle()],
                 (f"{here}.zero_sharing.Circle.from_bytes",), 80)
    yield Parser("point", group.decode_point, lambda: [group.hash_to_group(b"a", b"b")],
                 (f"{here}.group.decode_point",))
    yield Parser("points", lambda data: group.multiply_all(data, group.Scalar.random(), map),
                 lambda: [group.hash_to_group(b"a", b"b") * 3], (f"{here}.group.multiply_all",))
    yield Parser("identity", identity.IdentityKey.from_pem, lambda: [names()["bank"].to_pem()],
                 (f"{here}.identity.IdentityKey.from_pem",))
    yield Parser("identity in hex", lambda data: identity.public_from_hex(_text(data)),
                 lambda: [names()["bank"].public.hex().encode()], (f"{here}.identity.public_from_hex",))
    yield Parser("signature", lambda data: identity.verify(names()["bank"].public, b"c", b"body", data),
                 lambda: [names()["bank"].sign(b"c", b"body")], (f"{here}.identity.verify",))


@cache
def _summand() -> bytes:
    return summed_product.contribute(tiles(), peer(), None, request(), SHORT, RING.random(SHAPE[0]), Seed(bytes(32)),
                                     RING.zeros(1))


def _circle() -> bytes:
    made = Circle("b", ("a", "b", "c"))
    made.draw()
    made.take("a", bytes(range(64)))
    return made.to_bytes()


def _text(data: bytes) -> str:
    return data.decode("utf-8", errors="surrogateescape")


# ---------------------------------------------------------------- roles


def roles() -> Iterator[Parser]:
    params = AlignmentParams(("trim",), 1, 100, 100, b"session")
    for kind, good in ((psi.SIZE, psi.encode_size(params.digest(), 3)),
                       (psi.POINTS, psi.encode_chunk(0, group.hash_to_group(b"a", b"b") * 3)),
                       (psi.TAGS, psi.encode_chunk(0, bytes(48))), (psi.JOINT, psi.encode_joint(3, bytes(32)))):
        yield Parser(kind, lambda data, kind=kind: _align(params, kind, data), lambda good=good: [good],
                     ("protocols.psi.aligner.Aligner.handle", "protocols.psi.messages.decode_size",
                      "protocols.psi.messages.decode_chunk", "protocols.psi.messages.decode_joint"))
    rows = np.arange(9)
    yield Parser("joint rows", lambda data: FeatureJoint("bank", rows, 2).handle(Message("bank", "joint", data)),
                 lambda: [np.arange(4, dtype="<u4").tobytes()],
                 ("protocols.psi.joint.FeatureRows.handle", "protocols.psi.joint.FeatureJoint._parse"))
    yield Parser("covered rows", lambda data: FeatureCovered(
        "bank", rows, lambda r: np.zeros(len(r), np.int8), 2, 20).handle(Message("bank", "covered", data)),
        lambda: [np.r_[[9, 0, 0], np.arange(9)].astype("<u4").tobytes()],
        ("protocols.psi.joint.FeatureRows.handle", "protocols.psi.covered.FeatureCovered._parse"))
    yield from _trainers()
    slices = {"calibration": 3, "test": 4}
    yield Parser("scores", lambda data: LabelHoldout(("platform",), slices, lambda s: True).handle(
        Message("platform", "scores.calibration", data)), lambda: [bytes(6)],
        ("protocols.scorecard.holdout.LabelScores.handle",))
    yield Parser("batch scores", lambda data: LabelBatch(("a", "b"), 3).handle(Message("a", "scores.batch", data)),
                 lambda: [bytes(12)], ())
    yield Parser("verdict of a bank", lambda data: Verdicts("bank-1", ("bank-1", "bank-2"), True).handle(
        Message("bank-2", "verdict", data)), lambda: [b"\0"], ("protocols.scorecard.verdicts.Verdicts.handle",))
    parts = {name: np.zeros(n) for name, n in slices.items()}
    yield Parser("seed of scores", lambda data: FeatureHoldout("b", "bank", ("a", "b"), parts).handle(
        Message("a", "seed", data)), lambda: [bytes(32)], ("protocols.scorecard.holdout.FeatureScores.handle",))
    yield Parser("verdict", _verdict, lambda: [b"\1"], ("protocols.scorecard.holdout.ToldVerdict.handle",))
    yield Parser("seeds of banks", lambda data: _started(_bank()).handle(Message("bank-1", "seeds", data)), _seeds,
                 ("protocols.commons.common_encoding.CommonEncoding.handle",))
    yield from _woe()
    for kind, good in (("held", bytes(8)), ("checkpoint", b"any")):
        yield Parser(f"exchange of checkpoints {kind}", lambda data, kind=kind: CheckpointExchange(
            "p", lambda since: b"", 0, lambda data: b"", lambda data: None).handle(Message("p", kind, data)),
            lambda good=good: [good],
            ("protocols.checkpoints.CheckpointExchange.handle",))


def _align(params: AlignmentParams, kind: str, data: bytes) -> object:
    role = AlignFeatureParty(["1", "2", "3"], "bank", params)
    role.start()
    if kind != psi.SIZE:
        role.handle(Message("bank", psi.SIZE, psi.encode_size(params.digest(), 3)))
    return role.handle(Message("bank", kind, data))


def _trainers() -> Iterator[Parser]:
    public = keys().public_bytes()
    handled = ("protocols.scorecard.stepwise.Stepwise.handle", "protocols.scorecard.training.Trainer._parse_setup",
               "protocols.scorecard.training.Trainer._parse_init")
    yield Parser("setup at the bank", lambda data: task().label_trainer(keys()).handle(
        Message("platform", "setup", data)), lambda: [SETUP.pack(60, 60, 2) + public], handled, 4)
    widths = np.array([2], "<u4").tobytes()
    yield Parser("setup at the platform", lambda data: task().feature_trainer(keys()).handle(
        Message("bank", "setup", data)), lambda: [SETUP.pack(60, 60, 3) + widths + public], handled, 4)
    yield Parser("setup of opened scores", lambda data: open_score.FeatureSolver(
        task().platform, task().config("platform")).handle(Message("bank", "setup", data)),
        lambda: [open_score.SETUP.pack(60, 3) + public],
        ("protocols.scorecard.stepwise.Stepwise.handle", "protocols.scorecard.open_score.Solver._parse_setup"), 4)
    for kind, good in (("init", bytes(64)), ("step.size", b"\0"), ("coefficients", bytes(48))):
        yield Parser(f"{kind} of a training", lambda data, kind=kind: _later(kind).handle(
            Message("platform" if kind != "step.size" else "bank", kind, data)), lambda good=good: [good], handled, 8)


def _later(kind: str):
    """A role that waits for this message; what it does afterwards is not run."""
    role = task().label_trainer(keys()) if kind != "step.size" else task().feature_trainer(keys())
    role._s |= {"widths": np.array([2]), "bank_columns": 3, "rows": 60, "w_own": RING.zeros(3)}
    role._layout = None
    role._begin_pass = role._begin_training = lambda *rest: []
    role._coefficients = role._in_own_units = lambda opened: opened
    role._layout = type("Bits", (), {"weight_bits": 32})
    role._await("platform" if kind != "step.size" else "bank", kind, number=0, grid=0)
    return role


def _woe() -> Iterator[Parser]:
    bins, handled = np.array([[0], [1], [1], [0]], np.int32), "protocols.woe.{}_party.{}Woe.handle"
    yield Parser("setup of event counts", lambda data: LabelWoe(
        "platform", np.array([0, 1, 0, 1]), WoeSettings(1, 0.0, 1), lambda bins, tag: None).handle(
        Message("platform", woe.SETUP, data)), lambda: [woe.Setup(4, 2, bytes(32)).to_bytes()],
        (handled.format("label", "Label"), "protocols.woe.messages.Setup.from_bytes"), 8)
    yield Parser("labels for event counts", lambda data: FeatureWoe("bank", bins, np.array([2, 2]), bytes(32), False)
                 .handle(Message("bank", woe.LABELS, data)),
                 lambda: [keys().public_bytes() + product.ask(keys(), RING.random(4), (2, 4), woe.LAYOUT)],
                 (handled.format("feature", "Feature"),), 4)


def _verdict(data: bytes) -> object:
    role = FeatureHoldout("a", "bank", ("a",), {"calibration": np.zeros(2), "test": np.zeros(2)})
    role.start()
    return role.handle(Message("bank", "verdict", data))


def _bank(name: str = "bank-2") -> CommonEncoding:
    return CommonEncoding(name, ("bank-1", "bank-2"), customers(1, 60), NEARLY_EXACT)


def _started(role: Role) -> Role:
    role.start()
    return role


@cache
def _seeds() -> list[bytes]:
    return [message.payload for message in _bank("bank-1").start()]


# ---------------------------------------------------------------- documents


def documents() -> Iterator[Parser]:
    audit = "protocols.audit"
    yield Parser("plan", plans.Plan.from_canonical, lambda: [plan().canonical()],
                 ("protocols.plan.Plan.from_canonical", "protocols.canonical.parse_canonical_json"), 80, True)
    yield Parser("policy", lambda data: Policy.from_toml_text(_text(data), "policy.toml"),
                 lambda: [b'purposes = ["a"]\n[peers.bank]\nfingerprint = "' + b"0" * 64 + b'"\n'],
                 ("protocols.strict.Strict.from_toml_text",), 80)
    yield Parser("agreement", lambda data: SignedAgreement.decode(data).check(
        {name: key.public for name, key in names().items()}), lambda: [agreement().encode()],
        ("protocols.agreement.SignedAgreement.decode",), 80, True)
    yield Parser("statement", _statement, lambda: [encoded(agreement().statements["bank"])], (), 60, True)
    yield Parser("record", Record.decode, lambda: [Record(0, "2026-01-31T12:00:00.000Z", "run", {"a": [1]}).encode()],
                 (f"{audit}.Record.decode",), 80, True)
    yield Parser("checkpoint", SignedCheckpoint.decode, lambda: [signed_checkpoint().encode()],
                 (f"{audit}.SignedCheckpoint.decode", f"{audit}.SignedCheckpoint.from_json",
                  f"{audit}.Checkpoint.from_json"), 60, True)
    yield Parser("checkpoint of a peer", CheckpointMessage.decode,
                 lambda: [CheckpointMessage(signed_checkpoint(), 3, (bytes(32),)).encode()],
                 (f"{audit}.CheckpointMessage.decode",), 60, True)
    countersigned = Countersigned.sign(names()["platform"], signed_checkpoint(), "platform", 7)
    yield Parser("countersigned checkpoint", Countersigned.decode, lambda: [countersigned.encode()],
                 (f"{audit}.Countersigned.decode", f"{audit}.Countersigned.from_json"), 60, True)
    yield Parser("kept countersignature", lambda data: kept_countersignature(_record(data), "platform"),
                 lambda: [encoded(countersigned.to_json())], (), 40, True)
    yield Parser("held checkpoint", lambda data: held_checkpoint(_record(data)),
                 lambda: [encoded({"peer": "bank", **signed_checkpoint().to_json()})], (), 60, True)
    yield Parser("named agreement", lambda data: named_agreement(_record(data)),
                 lambda: [encoded({"run": RUN, "sha256": "ab" * 32})], (), 40, True)
    yield Parser("hex", lambda data: from_hex(_text(data), 4), lambda: [b"00ff00ff"], (f"{audit}.from_hex",))
    yield Parser("join request", lambda data: enrol.JoinRequest.decode(data, "file"), lambda: [_join_request()],
                 ("protocols.node.enrol.JoinRequest.decode", "protocols.node.enrol._decode"), 40, True)
    yield Parser("join bundle", lambda data: enrol.JoinBundle.decode(data, "file").certificates("file"),
                 lambda: [_join_bundle()], ("protocols.node.enrol.JoinBundle.decode",), 40, True)
    yield Parser("archive", lambda data: archive.check(data, hashlib.sha256(data).hexdigest()),
                 lambda: [archive.build()[0]], ("protocols.node.archive._members_of",), 60)
    yield Parser("certificate", lambda data: tls._parse(Path("a.pem"), data), lambda: [b"-----BEGIN CERTIFICATE-----"],
                 ("protocols.node.tls._parse",))
    yield from _kept()


def _kept() -> Iterator[Parser]:
    """What a node wrote itself and reads again after a crash or out of a restored backup."""
    yield Parser("state", unpack, lambda: [pack({"a": 1, "b": b"xyz", "c": np.arange(6).reshape(2, 3), "d": None})],
                 ("protocols.state.unpack",), 150)
    yield Parser("encoder", lambda data: Encoder.from_json(value_of(data)), _encoders,
                 ("protocols.binning.encoder.Encoder.from_json",), 30, True)
    yield Parser("calibration", lambda data: Calibration.from_json(value_of(data)),
                 lambda: [encoded({"intercept": 0.5, "slope": 1.0})],
                 ("protocols.scorecard.calibration.Calibration.from_json",), 40, True)
    yield Parser("whitening", lambda data: Whitening.from_json(value_of(data)),
                 lambda: [encoded({"mean": [0.0, 1.0], "rotation": [[1.0, 0.0], [0.0, 1.0]]})],
                 ("protocols.scorecard.whitening.Whitening.from_json",), 60, True)


def _statement(data: bytes) -> object:
    """A statement as it comes in a control message: text out of JSON, with whatever JSON's escapes make of it."""
    signed = agreement()
    text = value_of(data)
    texts = signed.statements | {"bank": daemon._text({"statement": text}, "statement")}
    daemon._statement_object(texts["bank"])
    return SignedAgreement(RUN, plan(), texts, signed.signatures).check({n: k.public for n, k in names().items()})


def _record(data: bytes) -> Record:
    body = value_of(data)
    return Record(0, "2026-01-31T12:00:00.000Z", "checkpoint.peer", body if isinstance(body, dict) else {})


@cache
def _encoders() -> list[bytes]:
    encoder = Encoder.fit(customers(1, 200), method="dummy", bins=3, minimum_support=20)
    return [encoded(encoder.to_json())]


@cache
def _join_request() -> bytes:
    from cryptography.hazmat.primitives.asymmetric import ec
    tls_key, supernode = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP384R1())
    csr = enrol.signing_request(tls_key, "bank", [])
    return enrol.JoinRequest.sign(names()["bank"], "bank", "bank", csr, enrol.openssh(supernode.public_key())).encode()


@cache
def _join_bundle() -> bytes:
    made = json.loads(_join_request())
    pem = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"
    return encoded({"format": "sealscore join bundle 1", "name": "bank", "role": "bank", "identity": made["identity"],
                    "certificate": pem, "authority": pem, "supernode": made["supernode"],
                    "coordinator": {"front": "a:1", "hub": "a:2"}, "peers": []})


# ---------------------------------------------------------------- control plane


def control() -> Iterator[Parser]:
    body = {"run": RUN, "plan": plan().canonical().decode(), "identities": {n: k.public.hex()
                                                                            for n, k in names().items()}}
    yield Parser("control message", lambda data: client_app.unpack(
        RecordDict({client_app.RECORD: ConfigRecord({"body": data})})), lambda: [encoded(body)],
        ("parties.runtime.client_app.unpack",), 40, True)
    yield Parser("JSON object", lambda data: json_object(data, "a catalogue"), lambda: [encoded({"tables": {}}),
                 encoded(body)], ("protocols.json_object.json_object",), 40, True)
    yield Parser("body of agree", _agree, lambda: [encoded(body)], (), 80, True)
    yield Parser("reply of a party", _reply, lambda: [encoded({"ok": True})], ("coordinator.server_app._unpack",), 40,
                 True)
    event = {"phase": "train", "state": "running", "step": 1, "steps": 8, "fraction": 0.5, "eta_s": 3.0}
    yield Parser("progress report", lambda data: registry._checked_event(json_object(data, "a progress report")),
                 lambda: [encoded(event)], ("coordinator.registry._checked_event",), 60, True)


def _agree(data: bytes) -> object:
    body = json_object(data, "the body of a local call")
    return daemon._run(body), daemon._plan(body), daemon._identities(body)


class _FlowerMessage:
    def __init__(self, data: bytes):
        self.content = RecordDict({server_app.RECORD: ConfigRecord({"body": data})})


def _reply(data: bytes) -> object:
    return server_app._unpack("agree", "bank", _FlowerMessage(data))


@cache
def all_parsers() -> dict[str, Parser]:
    """Every entry, by name."""
    made = [*wire(), *crypto(), *roles(), *shared(), *trees(), *network(), *scoring(), *documents(), *files(),
            *control(), *bank()]
    return {parser.name: parser for parser in made}
