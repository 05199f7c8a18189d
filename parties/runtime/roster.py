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
    """Whom a party has a link to: the bank to all platforms, the first platform to all, the others to these two."""
    bank, (lead, *others) = plan.label_party, plan.feature_parties
    return {bank: plan.feature_parties, lead: (bank, *others)}.get(party, (bank, lead))


def counterparts(plan: Plan, party: str) -> tuple[str, ...]:
    """Whom a party aligns with: the bank with every platform, each platform with the bank."""
    return plan.feature_parties if party == plan.label_party else (plan.label_party,)


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
    if party == plan.label_party:
        return LabelJoint(plan.feature_parties, pairs, minimum)
    return FeatureJoint(plan.label_party, pairs[0], minimum)
