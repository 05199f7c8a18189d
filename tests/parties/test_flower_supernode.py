"""The heartbeat that the SuperNode announces is the one it keeps."""
from __future__ import annotations

import subprocess
import sys

CHECK = """
import pytest
from parties.runtime import flower_supernode as node

beats = []
node.flower_supernode = lambda: beats.append(node.heartbeat.HEARTBEAT_DEFAULT_INTERVAL)
node.main()
assert beats == [10] and node.fleet_http_connection.HEARTBEAT_DEFAULT_INTERVAL == 10
node.heartbeat.HEARTBEAT_DEFAULT_INTERVAL = 30
with pytest.raises(RuntimeError, match="elsewhere"):
    node.main()
assert beats == [10]
"""


def test_both_places_take_the_short_interval_or_the_node_does_not_start() -> None:
    """In a process of its own: the interval is set before Flower's modules are imported."""
    done = subprocess.run([sys.executable, "-c", CHECK], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
