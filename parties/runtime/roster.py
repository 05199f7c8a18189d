"""Who talks to whom in a run, and how the parties of a plan align."""
from __future__ import annotations

import json

import numpy as np

from protocols.agreement import SignedAgreement
from protocols.plan import Plan
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


def joint(plan: Plan, party: str, pairs: list[np.ndarray]) -> Role:
    """The role that finds those known to all among `pairs`, the rows that each pair has in common."""
    minimum = plan.alignment.minimum_intersection
    if party == plan.label_parties[0]:
        return LabelJoint(plan.feature_parties, pairs, minimum)
    return FeatureJoint(plan.label_parties[0], pairs[0], minimum)
