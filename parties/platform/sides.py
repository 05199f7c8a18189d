"""Which side of a run this party takes: it depends on what is trained and what becomes of its weights."""
from __future__ import annotations

from collections.abc import Callable

from parties.platform.network_side import PlatformNetworkSide
from parties.platform.shared_side import PlatformSharedSide
from parties.platform.side import PlatformSide
from parties.platform.trees_side import PlatformTreesSide
from parties.runtime.sharing import Sharing
from parties.runtime.side import Side
from protocols.plan import Plan


def platform_side(plan: Plan | None = None, sharing: Callable[[], Sharing] | None = None) -> Side:
    """The platform's side of a run of this plan; without a plan what is common to all runs."""
    if plan is not None and plan.model.kind == "boosting":
        return PlatformTreesSide()
    if plan is not None and plan.model.kind == "network":
        return PlatformNetworkSide(sharing())
    return PlatformSharedSide(sharing()) if plan is not None and plan.model.release == "shared" else PlatformSide()
