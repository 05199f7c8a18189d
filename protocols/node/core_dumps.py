"""No core dumps of processes that hold keys."""
from __future__ import annotations

import resource

_REFUSED = 1  # byte: no file is that short, and the kernel writes no core to a pipe either, which it does at 0


def forbid() -> None:
    """Forbid core dumps to this process and all that it starts (core(5), fs/coredump.c)."""
    _, most = resource.getrlimit(resource.RLIMIT_CORE)
    limit = _REFUSED if most == resource.RLIM_INFINITY else min(_REFUSED, most)
    resource.setrlimit(resource.RLIMIT_CORE, (limit, limit))
