"""What the platform answers to one call, whatever brought it here: sessions, models, consents, features, limits.

    hello     the bank's identity must be the pinned one; a session is made
    score     model published and allowed -> each person: consent -> features -> what may still be counted -> answer
    revoke    durable before it is acknowledged

A consent is looked at before the features, so that without one nobody tells who is known here. Nothing leaves before
`Admissions` has counted it durably.
"""
from __future__ import annotations

import hashlib
import logging
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from parties.platform.scoring.admissions import FRAUD, LACKS, SCORE, SIDES, Admissions, Asked
from parties.platform.scoring.features import Codec, Features
from parties.platform.scoring.models import OnlineModel, OnlineModels
from parties.platform.scoring.online_store import OnlineStore, StoreUnavailable
from parties.platform.scoring.shared import SharedHalves
from protocols.crypto.box import Box
from protocols.crypto.identity import IdentityKey
from protocols.errors import MalformedMessage, ReplayRefused, TrustError
from protocols.policy import Policy
from protocols.scoring import messages as m
from protocols.scoring import scoring_pb2 as pb
from protocols.scoring.consent import Consent, read_grant
from protocols.scoring.session import Pair, PlatformSession, welcome
from protocols.scoring.shared import OPENING as JOINT
from protocols.scoring.shared import Person

log = logging.getLogger("sealscore.scoring")
MAX_SESSIONS = 64
SESSION_S = 86_400
CLOCK_SKEW_S = 300  # a consent issued later than this from now is not believed


@dataclass(frozen=True, repr=False)
class Parts:
    """What a desk works with."""

    name: str
    identity: IdentityKey
    policy: Policy
    models: OnlineModels
    store: OnlineStore
    admissions: Admissions
    box: Box
    audit_behind: Callable[[], bool] = lambda: False
    clock: Callable[[], float] = time.time
    shared: SharedHalves | None = None


class Desk:
    """Answers calls. Thread-safe."""

    def __init__(self, parts: Parts):
        self._parts = parts
        self._sessions: OrderedDict[bytes, tuple[float, PlatformSession]] = OrderedDict()
        self._lock = threading.Lock()
        self._methods = {"Score": self._score, "Revoke": self._revoke}

    def handle_all(self, calls: Sequence[tuple[str, str, bytes]]) -> list[bytes]:
        """The reply to each (caller, method, body), with one wait for the disk; a fault of ours is of one call."""
        with self._parts.admissions.together():
            return [self._guarded(*call) for call in calls]

    def _guarded(self, caller: str, method: str, body: bytes) -> bytes:
        try:
            return self.handle(caller, method, body)
        except Exception:  # the bank is told the class of fault and nothing else; the log keeps the rest
            log.exception("a call of %s failed", caller)
            return fault(method, pb.BROKEN)

    def handle(self, caller: str, method: str, body: bytes) -> bytes:
        """The reply to a call of the bank whose certificate names it `caller`; refusals of the call are faults."""
        try:
            if method == "Hello":
                return self._hello(caller, body)
            return self._sealed(caller, method, body)
        except TrustError as error:
            log.warning("%s: %s", caller, error)
            return fault(method, pb.REFUSED)
        except (MalformedMessage, ReplayRefused) as error:
            log.warning("%s: %s", caller, error)
            return fault(method, pb.MALFORMED)

    def idle(self) -> None:
        """What can be made ready while nobody waits; from the thread of `handle`."""
        if self._parts.shared is not None:
            self._parts.shared.stock()

    # -- sessions

    def _hello(self, caller: str, body: bytes) -> bytes:
        pinned = self._parts.policy.peers.get(caller)
        if pinned is None:
            raise TrustError("this party is not pinned in the policy")
        answer, session = welcome(Pair(caller, self._parts.name, self._parts.identity, pinned.fingerprint), body)
        with self._lock:
            self._sessions[session.id] = (self._parts.clock() + SESSION_S, session)
            own = [key for key, (_, kept) in self._sessions.items() if kept.bank == caller]
            for key in own[:-MAX_SESSIONS]:
                del self._sessions[key]
        log.info("%s said hello", caller)
        return answer

    def _session(self, caller: str, session_id: bytes) -> PlatformSession | None:
        with self._lock:
            until, session = self._sessions.get(session_id, (0.0, None))
            if session is not None and until < self._parts.clock():
                del self._sessions[session_id]
                session = None
        return session if session is not None and session.bank == caller else None

    def _sealed(self, caller: str, method: str, body: bytes) -> bytes:
        frame = m.decode(pb.Sealed, body)
        session, answer = self._session(caller, frame.session), self._methods.get(method)
        if session is None:
            return fault(method, pb.UNKNOWN_SESSION)
        if answer is None or frame.fault:
            raise MalformedMessage("a call of no known method")
        with self._lock:
            plaintext = session.request(method, frame)
        return session.reply(method, frame.counter, m.encode(answer(session, plaintext)))

    # -- scores

    def _score(self, session: PlatformSession, plaintext: bytes) -> pb.ScoreReply:
        request = m.decode(pb.ScoreRequest, plaintext)
        model = self._model(session, request)
        if not isinstance(model, OnlineModel):
            return pb.ScoreReply(version=m.VERSION, refusal=model)
        try:
            batch = _Batch(self._parts, session, model, request)
        except StoreUnavailable as error:  # features are read before anything is counted
            log.warning("%s", error)
            return pb.ScoreReply(version=m.VERSION, refusal=pb.NOT_READY)
        if not batch.ready:
            return pb.ScoreReply(version=m.VERSION, refusal=pb.NOT_READY)
        results = [batch.result(place) for place in range(len(request.items))]
        return pb.ScoreReply(version=m.VERSION, results=results, shared=batch.shared())

    def _model(self, session: PlatformSession, request: pb.ScoreRequest) -> OnlineModel | int:
        if self._parts.audit_behind():
            return pb.AUDIT_BEHIND
        model = self._parts.models.get(request.model)
        if not isinstance(model, OnlineModel):
            return model
        if session.bank not in model.banks:
            return pb.UNKNOWN_MODEL
        if model.shared and self._parts.shared is None:
            return pb.NOT_READY
        if model.shared != bool(request.shared):
            raise MalformedMessage("expected `shared` with a model whose weights are shared, and only there")
        return model

    # -- consents

    def _revoke(self, session: PlatformSession, plaintext: bytes) -> pb.RevokeAck:
        told = m.decode(pb.RevokeConsents, plaintext)
        count = self._parts.admissions.revoke(session.bank, told.references, told.tokens, told.at_s)
        log.info("%s revoked consents: %d", session.bank, count)
        return pb.RevokeAck(version=m.VERSION, revoked=count)


class _Batch:
    """One request's people: what each is answered."""

    def __init__(self, parts: Parts, session: PlatformSession, model: OnlineModel, request: pb.ScoreRequest):
        self._parts, self._model, self._items = parts, model, request.items
        self._now_s = int(parts.clock())
        self._half = parts.shared(model) if request.shared else None
        self._part = self._half and self._half.read(request.shared, len(request.items))
        consents = [read_grant(item.grant, session.bank, parts.name, item.token, session.public)
                    for item in request.items]
        self._statuses = list(map(self._consent, consents))
        self._features = self._found(model.id)
        self.ready = any(self._features) or parts.store.snapshot(model.id) is not None
        asked = {place: Asked(consents[place], request.items[place].use, found.person, self._version(place, found),
                              self._opens(found))
                 for place, found in enumerate(self._features) if found is not None}
        admitted = parts.admissions.admit(model.id, list(asked.values()), self._now_s) if asked else []
        for place, status in zip(asked, admitted, strict=True):
            self._statuses[place] = status
        self._partials = self._scored()

    def _consent(self, consent: Consent | None) -> int:
        """What the consent says by itself."""
        if consent is None or consent.issued_at_s > self._now_s + CLOCK_SKEW_S:
            return pb.CONSENT_UNKNOWN
        if consent.purpose not in self._parts.policy.purposes:
            return pb.PURPOSE_REFUSED
        return pb.CONSENT_EXPIRED if consent.not_after_s < self._now_s else pb.SCORED

    def _found(self, model: str) -> list[Features | None]:
        """Features of everybody whose consent holds."""
        places = [place for place, status in enumerate(self._statuses) if status == pb.SCORED]
        tokens = [self._items[place].token for place in places]
        found: list[Features | None] = [None] * len(self._items)
        codec = Codec(self._parts.box, model)
        for place, token, sealed in zip(places, tokens, self._parts.store.get(model, tokens), strict=True):
            if sealed is None:
                self._statuses[place] = pb.UNKNOWN_PERSON
            else:
                found[place] = codec.open(token, sealed)
        return found

    def _version(self, place: int, features: Features) -> bytes:
        """What the person has, here and, where weights stay shared, at the bank too."""
        if self._part is None:
            return features.version
        return hashlib.blake2b(features.version + self._part.names[place], digest_size=len(features.version)).digest()

    def _opens(self, features: Features) -> tuple[str, ...]:
        if features.lacks:
            return (LACKS,)
        score = JOINT if self._part is not None else SCORE if self._model.cuts is None else SIDES
        return (score, FRAUD) if self._fraud(features) is not None else (score,)

    def _fraud(self, features: Features) -> int | None:
        return features.fraud if "fraud" in self._parts.policy.kinds else None

    def _answered(self, place: int) -> Features | None:
        """Features of who gets a score."""
        found = self._features[place]
        return found if found is not None and self._statuses[place] == pb.SCORED and not found.lacks else None

    def _scored(self) -> dict[int, int]:
        """By place, the own part in steps of 1/32."""
        found = {place: features for place in range(len(self._items))
                 if (features := self._answered(place)) is not None}
        if not found or self._model.coefficients is None:  # shared, or trees
            return dict.fromkeys(found, 0)
        steps = self._model.partials(np.stack([features.columns for features in found.values()]))
        return dict(zip(found, steps, strict=True))

    def result(self, place: int) -> pb.ScoreResult:
        """The answer about the person in this place."""
        status, found = self._statuses[place], self._features[place]
        if status != pb.SCORED or found is None:
            return pb.ScoreResult(status=status)
        told = {"snapshot": found.snapshot, "age_s": max(0, self._now_s - found.made_at_s)}
        if found.lacks:
            return pb.ScoreResult(status=pb.INSUFFICIENT_DATA, lacks=found.lacks, **told)
        sides = None if self._model.cuts is None else found.columns.astype(np.uint8).tobytes()
        return pb.ScoreResult(status=pb.SCORED, partial=self._partials[place], fraud_score=self._fraud(found),
                              sides=sides, **told)

    def shared(self) -> bytes:
        """This side's part of the answer of a model with shared weights: nothing of whoever gets no score."""
        if self._half is None:
            return b""
        return self._half.answer(self._part, [Person(place, found.person, found.columns)
                                              for place in range(len(self._items))
                                              if (found := self._answered(place)) is not None])


def fault(method: str, code: int) -> bytes:
    """A reply that is only a fault of the call."""
    return m.encode(pb.SignedHello(fault=code) if method == "Hello" else pb.Sealed(fault=code))
