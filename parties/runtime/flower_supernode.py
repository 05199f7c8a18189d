"""Flower's SuperNode, as its own command starts it, with a shorter heartbeat.

The SuperLink turns a restarted SuperNode away until the heartbeats of the one that died have expired: twice the
interval after its last one. Flower's 30 s would keep a node that was killed out for up to a minute; the shortest
interval that the SuperLink accepts keeps it out for 20 s.
`python -m parties.runtime.flower_supernode` takes the arguments of `flower-supernode`
"""
from __future__ import annotations

from flwr.common import constant

constant.HEARTBEAT_DEFAULT_INTERVAL = constant.HEARTBEAT_MIN_INTERVAL  # read by the modules imported next

from flwr.supercore import heartbeat  # noqa: E402
from flwr.supernode import fleet_http_connection  # noqa: E402
from flwr.supernode.cli import flower_supernode  # noqa: E402


def main() -> None:
    """Serve until stopped. Raises RuntimeError when Flower's modules do not take the interval."""
    taken = {heartbeat.HEARTBEAT_DEFAULT_INTERVAL, fleet_http_connection.HEARTBEAT_DEFAULT_INTERVAL}
    if taken != {constant.HEARTBEAT_MIN_INTERVAL}:  # announcing less than what is kept would end every connection
        raise RuntimeError("this version of Flower reads its heartbeat interval elsewhere")
    flower_supernode()


if __name__ == "__main__":
    main()
