"""Settings of every test: a busy machine makes a test slow, never wrong."""
from __future__ import annotations

from hypothesis import HealthCheck, settings

settings.register_profile("sealscore", deadline=None, suppress_health_check=[HealthCheck.too_slow], print_blob=True)
settings.load_profile("sealscore")
