"""Every kind of opening there is: what leaves shares or a party's own table as plaintext, and who learns it.

One entry is one row of a leakage table in the README of the folder named last; a test compares both. `Opening`
(role.py) refuses a kind that is not here, the egress door lets a run open what is here for its kind of run, and
`protocols.crypto.opening.open_shares` is the only way from shares to plaintext. A new kind is one entry more.
"""
from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from protocols.errors import PolicyRefused
from protocols.plan import ModelKind, Plan

Seat = Literal["bank", "first bank", "platform", "first platform"]
Rows = Literal["aligned", "training", "calibration", "test", "scored"]
BOTH_WAYS = (("bank", "platform"), ("platform", "bank"))
BETWEEN_BANKS = (("bank", "bank"),)
TO_BANK = (("platform", "bank"),)
JOINT_SCORE = "the joint model's score of each {} row, under a flood of 1/64, which the bank rounds to 1/32"
EMBEDDING = "the numbers that the source layer makes of each {} row's columns, to 1/8"
ACTIVATION = "of a strict network: sums of z and ±z² over a few units z of each {} row, to 1/8"


def _always(plan: Plan) -> bool:
    return True


def _several_platforms(plan: Plan) -> bool:
    return len(plan.feature_parties) > 1


def _woe(plan: Plan) -> bool:
    return plan.model.encoding == "woe"


def _opens_scores(plan: Plan) -> bool:
    return plan.model.score_openings > 0


def _strict(plan: Plan) -> bool:
    return plan.model.network is not None and plan.model.network.strict


def _open(plan: Plan) -> bool:
    return not _strict(plan)


@dataclass(frozen=True)
class Kind:
    """One kind of opening. `routes`: who gives it to whom; `rows`: whose people it is about."""

    name: str
    run: Literal["train", "score", "online"] | None  # None: runs of every kind; online: between runs, one by one
    phase: str
    what: str
    routes: tuple[tuple[Seat, Seat], ...]
    rows: Rows
    per_row: bool  # one number for each of these people, or a few about all of them together
    readme: str
    in_parts: bool = False  # comes in several messages that add up; any other is opened once to each learner
    when: Callable[[Plan], bool] = _always  # of which plans, if not all
    release: Literal["owner", "shared"] | None = None  # of the model's weights; None: whatever becomes of them
    model: ModelKind | None = None  # of which models, if not of all


TABLE = (
    Kind("membership", None, "align", "which of the people the receiver brings are known to the giver",
         BOTH_WAYS, "aligned", True, "psi", in_parts=True),
    Kind("membership.joint", None, "align", "which of the shared people the run takes, of several platforms",
         (("bank", "platform"),), "aligned", True, "psi", when=_several_platforms),
    Kind("commons.histogram", "train", "encode", "noised numbers of rows per cell of each column, over all banks",
         BETWEEN_BANKS, "training", False, "commons"),
    Kind("commons.moments", "train", "encode", "noised numbers of rows per pair of bins, over all banks",
         BETWEEN_BANKS, "training", False, "commons"),
    Kind("woe.counts", "train", "encode", "how many training rows of each of the receiver's bins have label 1, noised "
         "if the plan says so", (("bank", "platform"),), "training", False, "woe", when=_woe),
    Kind("scale", "train", "train", "number of training rows and size of the own columns, as powers of √2",
         BETWEEN_BANKS, "training", False, "scorecard", model="scorecard"),
    Kind("step.norms", "train", "train", "two norms of the power iteration, of all parties together",
         (("platform", "first bank"),), "training", False, "scorecard", model="scorecard"),
    Kind("step.size", "train", "train", "the step size, a power of √2",
         (("first bank", "platform"), ("first bank", "bank")), "training", False, "scorecard", model="scorecard"),
    Kind("coefficients", "train", "train", "the coefficients of the receiver's own columns",
         (("first bank", "platform"), ("first platform", "bank")), "training", False, "scorecard",
         release="owner", model="scorecard"),
    Kind("scores.training", "train", "train", "the score of each training row, to 2^-16: in polish of all parties "
         "together, in the open-score variant the platform's part in a direction that nobody knows; as often as the "
         "plan says", TO_BANK, "training", True, "scorecard", when=_opens_scores, release="owner", model="scorecard"),
    Kind("embeddings", "train", "train", "the numbers that the source layer makes of each training row's columns, in "
         "every epoch, noised if the settings say so", TO_BANK, "training", True, "network", in_parts=True,
         when=_open, model="network"),
    Kind("embeddings.calibration", "train", "evaluate", EMBEDDING.format("calibration"), TO_BANK, "calibration", True,
         "network", in_parts=True, when=_open, model="network"),
    Kind("embeddings.test", "train", "evaluate", EMBEDDING.format("test"), TO_BANK, "test", True, "network",
         in_parts=True, when=_open, model="network"),
    Kind("embeddings.batch", "score", "score", EMBEDDING.format("scored") + "; training rows may be among them",
         TO_BANK, "scored", True, "network", in_parts=True, when=_open, model="network"),
    Kind("activations", "train", "train", "of a strict network: sums of z and ±z² over a few units z of each training "
         "row, in every epoch, noised if the settings say so", TO_BANK, "training", True, "network", in_parts=True,
         when=_strict, model="network"),
    Kind("activations.calibration", "train", "evaluate", ACTIVATION.format("calibration"), TO_BANK, "calibration", True,
         "network", in_parts=True, when=_strict, model="network"),
    Kind("activations.test", "train", "evaluate", ACTIVATION.format("test"), TO_BANK, "test", True, "network",
         in_parts=True, when=_strict, model="network"),
    Kind("activations.batch", "score", "score", ACTIVATION.format("scored") + "; training rows may be among them",
         TO_BANK, "scored", True, "network", in_parts=True, when=_strict, model="network"),
    Kind("network.epoch", "train", "train", "after each epoch whether the training goes on, and at the end which "
         "epoch's weights are kept", (("bank", "platform"),), "training", False, "network", in_parts=True,
         model="network"),
    Kind("source.weights", "train", "train", "the weights of the source layer over the receiver's own columns",
         (("bank", "platform"),), "training", False, "network", release="owner", model="network"),
    Kind("tree.sums", "train", "train", "sums of gradients and hessians over each bin of the giver's columns, for a "
         "node of at least 20 rows a bin", TO_BANK, "training", False, "boosting", in_parts=True, model="boosting"),
    Kind("tree.splits", "train", "train", "which of the receiver's columns and bins won a split, and where missing "
         "values go", (("bank", "platform"),), "training", False, "boosting", in_parts=True, model="boosting"),
    Kind("tree.sides", "train", "train", "on which side of a split by the giver's columns each training row is",
         TO_BANK, "training", True, "boosting", in_parts=True, model="boosting"),
    Kind("tree.kept", "train", "evaluate", "how many of the receiver's splits the model keeps",
         (("bank", "platform"),), "training", False, "boosting", model="boosting"),
    Kind("sides.calibration", "train", "evaluate", "on which side of each kept split by the giver's columns each "
         "calibration row is", TO_BANK, "calibration", True, "boosting", in_parts=True, model="boosting"),
    Kind("sides.test", "train", "evaluate", "on which side of each kept split by the giver's columns each test row is",
         TO_BANK, "test", True, "boosting", in_parts=True, model="boosting"),
    Kind("scores.calibration", "train", "evaluate", "the platforms' part of the score of each calibration row, in "
         "steps of 1/32", TO_BANK, "calibration", True, "scorecard", release="owner", model="scorecard"),
    Kind("scores.test", "train", "evaluate", "the platforms' part of the score of each test row, in steps of 1/32",
         TO_BANK, "test", True, "scorecard", release="owner", model="scorecard"),
    Kind("shared.calibration", "train", "evaluate", JOINT_SCORE.format("calibration"), TO_BANK, "calibration", True,
         "sharedscore", release="shared", model="scorecard"),
    Kind("shared.test", "train", "evaluate", JOINT_SCORE.format("test"), TO_BANK, "test", True, "sharedscore",
         release="shared", model="scorecard"),
    Kind("verdict", "train", "evaluate", "whether the joint model was better than the bank's own",
         (("bank", "platform"), ("bank", "bank")), "test", False, "scorecard"),
    Kind("scores.batch", "score", "score", "the platforms' part of the score of each scored row, in steps of "
         "1/32; training rows may be among them", TO_BANK, "scored", True, "scorecard", release="owner",
         model="scorecard"),
    Kind("sides.batch", "score", "score", "on which side of each of the giver's splits each scored row is; training "
         "rows may be among them", TO_BANK, "scored", True, "boosting", in_parts=True, model="boosting"),
    Kind("shared.batch", "score", "score", JOINT_SCORE.format("scored") + "; training rows may be among them", TO_BANK,
         "scored", True, "sharedscore", release="shared", model="scorecard"),
    Kind("online.score", "online", "online", "the platform's part of one person's score, in steps of 1/32", TO_BANK,
         "scored", True, "scoring", in_parts=True, release="owner"),
    Kind("online.sides", "online", "online", "on which side of each of the platform's splits one person is", TO_BANK,
         "scored", True, "scoring", in_parts=True),
    Kind("shared.online", "online", "online", JOINT_SCORE.format("asked"), TO_BANK, "scored", True, "sharedscore",
         in_parts=True, release="shared"),
    Kind("online.lacks", "online", "online", "names of what there is too little of in one person's data", TO_BANK,
         "scored", True, "scoring", in_parts=True),
    Kind("online.fraud", "online", "online", "the platform's own fraud score of one person, in steps of 1/32", TO_BANK,
         "scored", True, "scoring", in_parts=True),
)
KINDS = {kind.name: kind for kind in TABLE}


def kind_of(name: str) -> Kind:
    """The entry of a kind; PolicyRefused for one that is not in the table."""
    if name not in KINDS:
        raise PolicyRefused("openings", f"{name} is no declared kind of opening; add it to protocols/openings.py and "
                            "to the leakage table of its protocol")
    return KINDS[name]


def permitted(plan: Plan, name: str) -> bool:
    """Whether a run of this plan may open this."""
    return allowed(plan.kind, name, plan.model.release, plan.model.kind) and kind_of(name).when(plan)


def allowed(run: str, name: str, release: str = "owner", model: str = "scorecard") -> bool:
    """Whether a run of kind train or score may open this; `release`: what becomes of the weights of its model, whose
    kind is `model`."""
    kind = kind_of(name)
    return kind.run in (None, run) and kind.release in (None, release) and kind.model in (None, model)


def expected(plan: Plan, giver: str, learner: str) -> list[Kind]:
    """What a run of this plan opens from one party to another, in the order of the phases."""
    return [kind for kind in TABLE if permitted(plan, kind.name)
            and any(giver in seated(plan, one) and learner in seated(plan, other) for one, other in kind.routes)]


def seated(plan: Plan, seat: Seat) -> tuple[str, ...]:
    """The parties of a plan in a seat."""
    parties = plan.label_parties if seat.endswith("bank") else plan.feature_parties
    return parties[:1] if seat.startswith("first") else parties
