"""The plan of a run, and the agreement its parties sign.

A plan says who takes part, with which columns, how they are encoded, which model is trained and for what purpose. Its
seed fixes row slices and nothing else: keys, masks and noise never come from a plan.
An agreement is the plan together with each party's signed statement; every later message is bound to its digest.
"""
from __future__ import annotations

import hashlib
import json
from typing import Annotated, Any, Literal, Self

from pydantic import (
    Field,
    SerializerFunctionWrapHandler,
    StringConstraints,
    ValidationError,
    model_serializer,
    model_validator,
)

from protocols.boosting.settings import BoostingSettings
from protocols.canonical import canonical_json, parse_canonical_json
from protocols.errors import MalformedMessage
from protocols.network.settings import NetworkSettings
from protocols.strict import Strict, first_problem

Name = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9-]{0,31}$")]
Column = Annotated[str, StringConstraints(min_length=1, max_length=128)]
ModelKind = Literal["scorecard", "boosting", "network"]
SECTIONS = ("boosting", "network")  # of a model, for the kind of that name
_TAKEN = {"boosting": {"kind", "release", "minimum_support"},
          "network": {"kind", "release", "minimum_support", "encoding", "bins"}}  # besides the sections
MAX_PLAN_BYTES = 256 * 1024
MOST_BANKS = 60
MOST_POLISH = 3


class PartyPlan(Strict):
    """What one party brings: a table it has configured, and which of its columns."""

    table: Name
    columns: tuple[Column, ...] = Field(min_length=1, max_length=4096)
    monotone: dict[Column, Literal[-1, 1]] = Field({}, description="boosting: the risk may only rise (1) or fall (-1) "
                                                   "with the numbers of a column")

    @model_serializer(mode="wrap")
    def _as_before(self, written: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Without what is not asked for, so that plans which never heard of it keep their digest."""
        return {name: value for name, value in written(self).items() if name != "monotone" or value}

    @model_validator(mode="after")
    def _columns_fit(self) -> Self:
        if len(set(self.columns)) != len(self.columns):
            raise ValueError("a column is named twice")
        strangers = sorted(set(self.monotone) - set(self.columns))
        if strangers:
            raise ValueError(f"monotone names {', '.join(strangers)}, which columns does not")
        return self


class ModelPlan(Strict):
    """What is trained: a scorecard, by the settings here, or trees or a network, by those of a section of their own.

    A network takes encoding and bins for the platform's columns, and keeps its weights shared unless told otherwise.
    """

    kind: ModelKind = "scorecard"
    encoding: Literal["dummy", "numeric", "woe"] = "dummy"
    bins: int = Field(5, ge=2, le=32, description="quantile bins per numeric column (dummy, woe)")
    minimum_support: int = Field(20, ge=20, description="rows a bin needs; smaller bins are merged")
    woe_rho: float = Field(0, ge=0, le=10, description="woe: privacy (zCDP) of a label in the counts that each "
                           "platform gets; 0: exact counts")
    activation: Literal["anchored", "deg1", "deg3"] = "anchored"
    event_rate: float = Field(0.1, gt=0.001, lt=0.999, description="deg1, deg3: share of events that the activation is "
                              "made for; public, so round it coarsely")
    steps: int = Field(8, ge=1, le=64, description="accelerated full-batch steps; fixed in advance")
    variant: Literal["strict", "open-score"] = Field("strict", description="open-score: the bank opens training rows' "
                                                     "scores in every round, the platform no gradient")
    openings: int = Field(4, ge=1, le=16, description="open-score: rounds, each opens the training rows once")
    polish: int = Field(0, ge=0, le=MOST_POLISH, description="openings of the training rows' scores after the strict "
                        "steps; 2 lead to the maximum likelihood, 3 with few events, too")
    polish_steps: int = Field(32, ge=1, le=64, description="steps before and after each of them")
    l2: float = Field(0.001, ge=0, le=1, description="ridge per row on whitened coordinates, intercept excluded")
    release: Literal["owner", "shared"] = "owner"
    intercepts: Literal["bank", "common"] = Field("bank", description="several banks: one intercept each, or one")
    commons_rho: float = Field(0.1, gt=0, le=10, description="several banks: zero-concentrated differential privacy "
                               "of what is opened to make their common encoding (zCDP)")
    boosting: BoostingSettings | None = Field(None, description="kind = 'boosting': settings of the trees")
    network: NetworkSettings | None = Field(None, description="kind = 'network': settings of the network")

    @model_serializer(mode="wrap")
    def _as_before(self, written: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Without the sections of other kinds, as in plans which never heard of them."""
        return {name: value for name, value in written(self).items() if name not in SECTIONS or value is not None}

    @model_validator(mode="before")
    @classmethod
    def _usual_settings(cls, data: Any) -> Any:
        """A kind without its section gets the usual settings, so that a plan says what will be done."""
        kind = data.get("kind") if isinstance(data, dict) else None
        usual = {"release": "shared"} if kind == "network" else {}
        return usual | data | ({kind: {}} if data.get(kind) is None else {}) if kind in SECTIONS else data

    @model_validator(mode="after")
    def _of_one_kind(self) -> Self:
        sections = [name for name in SECTIONS if getattr(self, name) is not None]
        if sections not in ([], [self.kind]):
            raise ValueError(f"kind = {self.kind!r} takes no section {sections[0]}")
        if self.kind == "scorecard":
            return self
        taken = {*SECTIONS, *_TAKEN[self.kind]}
        strangers = sorted(name for name, field in type(self).model_fields.items()
                           if name not in taken and getattr(self, name) != field.default)
        if strangers:
            raise ValueError(f"{', '.join(strangers)} belong to kind = 'scorecard'; kind = {self.kind!r} has its "
                             f"settings in [model.{self.kind}]")
        if self.kind == "network" and self.encoding == "woe":
            raise ValueError("kind = 'network' takes encoding = 'dummy' or 'numeric' for the platform's columns")
        if self.kind == "boosting" and self.release != "owner":
            raise ValueError("kind = 'boosting' leaves each side with its half of the trees: release = 'owner'")
        return self

    @property
    def score_openings(self) -> int:
        """How often the scores of the training rows are opened to the bank."""
        return self.openings if self.variant == "open-score" else self.polish

    @property
    def most_steps(self) -> int:
        """Gradient steps with nothing opened between them."""
        return max(self.first_steps, self.polish_steps if self.polish else 0)

    @property
    def first_steps(self) -> int:
        """Those before anything is opened: with polish no fewer than after, as an opening squares what they leave."""
        return max(self.steps, self.polish_steps) if self.polish else self.steps

    @property
    def all_steps(self) -> int:
        """Gradient steps, those after openings included."""
        return 0 if self.variant == "open-score" else self.first_steps + self.polish * self.polish_steps


class AlignmentPlan(Strict):
    """How identifiers are made comparable, whose rows are taken, and how small an intersection may be."""

    rows: Literal["common", "covered"] = Field("common", description="a bank's people whom every platform knows, or "
                                               "whom at least one knows")
    normalise: tuple[Literal["trim", "casefold", "nfkc"], ...] = ("trim", "casefold", "nfkc")
    minimum_intersection: int = Field(1000, ge=1)


class SlicesPlan(Strict):
    """Shares of the aligned rows, drawn by a keyed hash of the identifier: stable across runs with the same seed."""

    train: float = Field(0.7, gt=0, lt=1)
    calibration: float = Field(0.1, gt=0, lt=1)
    test: float = Field(0.2, gt=0, lt=1)
    seed: str = Field("1", min_length=1, max_length=64)

    @model_validator(mode="after")
    def _sums_to_one(self) -> Self:
        if abs(self.train + self.calibration + self.test - 1) > 1e-9:
            raise ValueError("train + calibration + test must be 1")
        return self

    def key(self) -> bytes:
        """The hash key of the slices: 32 bytes, public to the parties of the plan."""
        return hashlib.sha256(b"sealscore slices v1\0" + self.seed.encode()).digest()


class LimitsPlan(Strict):
    """Deadlines: no wait in a run is without one."""

    run_deadline_s: int = Field(3600, ge=30, le=7 * 86400)
    peer_deadline_s: int = Field(120, ge=5, le=86400)


class Plan(Strict):
    """One run. `canonical()` is what is hashed, signed and sent."""

    version: Literal[1] = 1
    kind: Literal["train", "score"] = "train"
    purpose: Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9-]{0,63}$")]
    label_parties: tuple[Name, ...] = Field(min_length=1, max_length=MOST_BANKS, description="banks, the speaker "
                                            "first; `label_party` names a single one")
    feature_parties: tuple[Name, ...] = Field(min_length=1, max_length=15, description="platforms, the lead first")
    parties: dict[Name, PartyPlan]
    model: ModelPlan = ModelPlan()
    alignment: AlignmentPlan = AlignmentPlan()
    slices: SlicesPlan = SlicesPlan()
    limits: LimitsPlan = LimitsPlan()
    model_id: str | None = Field(None, pattern=r"^m-[0-9a-f]{16}$", description="score: the published model")

    @model_validator(mode="before")
    @classmethod
    def _single_bank(cls, data: Any) -> Any:
        """`label_party = "bank"` is short for `label_parties = ["bank"]`."""
        if not isinstance(data, dict) or "label_party" not in data:
            return data
        if "label_parties" in data:
            raise ValueError("label_party and label_parties cannot both be given")
        rest = {name: value for name, value in data.items() if name != "label_party"}
        return rest | {"label_parties": [data["label_party"]]}

    @model_validator(mode="after")
    def _parties_agree(self) -> Self:
        named = {*self.label_parties, *self.feature_parties}
        if len(named) != len(self.label_parties) + len(self.feature_parties):
            raise ValueError("label_parties and feature_parties must be different parties")
        if named != set(self.parties):
            raise ValueError(f"[parties] must have exactly {', '.join(sorted(named))}")
        if self.model.woe_rho and self.model.encoding != "woe":
            raise ValueError("model.woe_rho belongs to model.encoding = 'woe'")
        if (self.kind == "score") != (self.model_id is not None):
            raise ValueError("model_id belongs to a plan of kind score, and only there")
        if self.model.release == "shared" and len(self.parties) > 2:
            raise ValueError("model.release = 'shared' has one bank and one platform: floods of several platforms "
                             "would add up in an opened score; choose owner")
        if self.model.kind != "scorecard" and len(self.parties) > 2:
            raise ValueError(f"model.kind = {self.model.kind!r} trains one bank with one platform; name one of each")
        directed = sorted(name for name, party in self.parties.items() if party.monotone)
        if directed and self.model.kind != "boosting":
            raise ValueError(f"parties.{directed[0]}.monotone belongs to model.kind = 'boosting'")
        self._openings_fit()
        return self._banks_agree()

    def _openings_fit(self) -> None:
        """Scores of training rows open to one bank, and in the open-score variant are one platform's."""
        model, open_score = self.model, self.model.variant == "open-score"
        if model.polish and open_score:
            raise ValueError("model.polish belongs to variant = 'strict'; the open-score variant has model.openings")
        if model.polish and len(self.label_parties) > 1:
            raise ValueError("model.polish opens scores to one bank; name one label_party, or leave it 0")
        if model.polish and model.activation != "anchored":
            raise ValueError("model.polish needs model.activation = 'anchored', which it anchors anew")
        if open_score and (len(self.label_parties) > 1 or len(self.feature_parties) > 1):
            raise ValueError("variant = 'open-score' trains one bank with one platform; name one of each, or take "
                             "variant = 'strict'")
        if model.score_openings and model.release != "owner":
            raise ValueError("model.release = 'shared' opens no score of a training row; leave out variant and polish, "
                             "or choose owner")

    def _banks_agree(self) -> Self:
        """Several banks train common coefficients, so they bring the same columns, in bins."""
        if len(self.label_parties) == 1:
            return self
        if self.kind == "score":
            raise ValueError("a plan of kind score names one bank")
        if len({self.parties[name].columns for name in self.label_parties}) > 1:
            raise ValueError("all label_parties must bring the same columns in the same order")
        if self.model.encoding != "dummy":
            raise ValueError("several label_parties need model.encoding = 'dummy'")
        if self.model.activation != "anchored":
            raise ValueError("several label_parties need model.activation = 'anchored'")
        return self

    def canonical(self) -> bytes:
        """The plan as canonical JSON (sorted keys, no spaces, UTF-8)."""
        return canonical_json(self.model_dump(mode="json"))

    def digest(self) -> str:
        """SHA-256 of the canonical form, hex."""
        return hashlib.sha256(self.canonical()).hexdigest()

    @classmethod
    def from_canonical(cls, data: bytes) -> Plan:
        """Decode bytes that must be exactly the canonical form; MalformedMessage otherwise."""
        try:
            plan = cls.model_validate(parse_canonical_json(data, MAX_PLAN_BYTES))
        except ValidationError as error:
            raise MalformedMessage(f"a plan that does not validate: {first_problem(error)}") from None
        if plan.canonical() != data:
            raise MalformedMessage("a plan that is not in canonical form")
        return plan


def seats(plan: Plan) -> dict[str, str]:
    """Who has which part in a plan: name -> label or feature. A model belongs to exactly these."""
    return {name: "label" if name in plan.label_parties else "feature" for name in sorted(plan.parties)}


def may_score(model: dict[str, str], scoring: dict[str, str]) -> bool:
    """Whether parties in these seats can score with a model of those: all its platforms, and one of its banks."""
    banks = {name for name, seat in model.items() if seat == "label"}
    return scoring.items() <= model.items() and not (model.keys() - scoring.keys()) - banks


def utf8(text: str) -> bytes:
    """The bytes of a text; MalformedMessage for one that has none: JSON can escape half of a surrogate pair."""
    try:
        return text.encode()
    except UnicodeEncodeError:
        raise MalformedMessage("text that cannot be written as UTF-8") from None


def agreement_bytes(run: str, plan: Plan, statements: dict[str, str]) -> bytes:
    """What all parties of a run agree on: run, plan and each party's canonical statement, as canonical JSON."""
    return canonical_json({"version": 1, "run": run, "plan": json.loads(plan.canonical()), "statements": statements})
