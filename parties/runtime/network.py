"""What both sides of a network need of their run."""
from __future__ import annotations

from parties.runtime.side import TrainingGiven
from protocols.network.config import NetworkConfig
from protocols.plan import Plan


def network_config(plan: Plan, given: TrainingGiven) -> NetworkConfig:
    """What a role of the training is given beside its data."""
    (bank,), (platform,) = plan.label_parties, plan.feature_parties
    return NetworkConfig(bank, platform, plan.model.network, given.check_openings, given.check_rows,
                         plan.model.release, given.policy.tile_cache_bytes)
