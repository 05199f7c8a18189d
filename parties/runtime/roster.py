"""Who talks to whom in a run, and how the parties of a plan align."""
from __future__ import annotations

import json

import numpy as np

from protocols.agreement import SignedAgreement
from protocols.plan import Plan
from protocols.psi.covered import FeatureCovered, LabelCovered, SliceOf
from protocols.psi.joint import FeatureJoint, LabelJoint
from protocols.psi.parameters import AlignmentParams
from protocols.role import Role


def peers(plan: Plan, party: str) -> tuple[str, ...]:
    """Whom a party has a link to: a bank and the first platform to all, the other platforms to these."""
    banks, (lead, *others) = plan.label_parties, plan.feature_parties
    if party in banks:
        return (*(name for name in banks if name != party), *plan.feature_parties)
    return (*banks, *others) if party == lead else (*banks, lead)


def counterparts(plan: Plan, party: str) -> tuple[str, ...]:
    """Whom a party aligns with: each bank with every platform, each platform with every bank."""
    return plan.feature_parties if party in plan.label_parties else plan.label_parties


def alignment(agreement: SignedAgreement, party: str, peer: str) -> AlignmentParams:
    """What `party` and `peer` agreed on for their alignment."""
    declared = {name: json.loads(text)["rows"] for name, text in agreement.statements.items()}
    return AlignmentParams(
        normalise=agreement.plan.alignment.normalise,
        minimum_intersection=agreement.plan.alignment.minimum_intersection,
        own_declared_max=declared[party],
        peer_declared_max=declared[peer],
        session=agreement.digest(),
    )


def own_banks(plan: Plan, party: str) -> tuple[str, ...]:
    """Whose rows a party trains on: a bank its own, a platform those of every bank."""
    return (party,) if party in plan.label_parties else plan.label_parties


def joint(agreement: SignedAgreement, party: str, bank: str, pairs: list[np.ndarray], slices: SliceOf) -> Role:
    """The role that finds, from `pairs`, the rows of all parties: a bank's people known to all platforms, or, if the
    plan says so, to any; `slices` gives the slice of rows of the own table."""
    plan = agreement.plan
    minimum = plan.alignment.minimum_intersection
    if plan.alignment.rows == "common":
        return LabelJoint(plan.feature_parties, pairs, minimum) if party == bank else \
            FeatureJoint(bank, pairs[0], minimum)
    if party == bank:
        return LabelCovered(plan.feature_parties, pairs, slices, minimum)
    return FeatureCovered(bank, pairs[0], slices, minimum, alignment(agreement, party, bank).peer_declared_max)
