"""Tables of the registry. Times are ISO 8601 in UTC; `…_json` columns hold JSON text."""
from __future__ import annotations

from sqlalchemy import BigInteger, Column, Float, ForeignKey, Integer, MetaData, String, Table, Text, UniqueConstraint

METADATA = MetaData()

runs = Table(
    "runs",
    METADATA,
    Column("id", String(18), primary_key=True),
    Column("plan_json", Text, nullable=False),
    Column("plan_digest", String(64), nullable=False),
    Column("state", String(16), nullable=False, index=True),
    Column("flower_run_id", String(24)),  # 64 bits unsigned: text, since SQL integers are signed
    Column("created_at", String(32), nullable=False),
    Column("updated_at", String(32), nullable=False),
    Column("party", String(32)),  # where and why a failed run ended
    Column("phase", String(64)),
    Column("cause", Text),
    Column("next_step", Text),
    Column("agreement_digest", String(64)),
    Column("statements_json", Text),
    Column("result_json", Text),
)

attempts = Table(  # Flower runs of a run since it was submitted or resumed, in the order of their numbers
    "attempts",
    METADATA,
    Column("run", String(18), ForeignKey("runs.id"), primary_key=True),
    Column("number", Integer, primary_key=True),
    Column("flower_run_id", String(24), nullable=False),
    Column("started_at", String(32), nullable=False),
    Column("conducted_at", String(32)),  # when its ServerApp took the run over
    Column("lost_at", String(32)),
    Column("cause", Text),  # why it was lost
)

progress = Table(
    "progress",
    METADATA,
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column("run", String(18), ForeignKey("runs.id"), nullable=False),
    Column("party", String(32), nullable=False),
    Column("phase", String(64), nullable=False),
    Column("state", String(16), nullable=False),
    Column("step", Integer, nullable=False),
    Column("steps", Integer, nullable=False),
    Column("fraction", Float, nullable=False),
    Column("eta_s", Float, nullable=False),
    Column("bytes_out", BigInteger, nullable=False),
    Column("bytes_in", BigInteger, nullable=False),
    Column("cause", Text, nullable=False),
    Column("next_step", Text, nullable=False),
    Column("body_json", Text, nullable=False),
    Column("count", Integer, nullable=False),
    Column("started_at", String(32), nullable=False),
    Column("updated_at", String(32), nullable=False),
    UniqueConstraint("run", "party", "phase"),
)

parties = Table(
    "parties",
    METADATA,
    Column("name", String(32), primary_key=True),
    Column("catalogue_json", Text, nullable=False),
    Column("identity", String(64)),
    Column("online_at", String(32), nullable=False),
)

models = Table(
    "models",
    METADATA,
    Column("model_id", String(18), primary_key=True),
    Column("run", String(18), ForeignKey("runs.id"), nullable=False),
    Column("card_json", Text, nullable=False),
    Column("digests_json", Text, nullable=False),
    Column("state", String(16), nullable=False),
    Column("created_at", String(32), nullable=False),
)

revocations = Table(  # which parties revoked their half of a model
    "revocations",
    METADATA,
    Column("model_id", String(18), ForeignKey("models.model_id"), primary_key=True),
    Column("party", String(32), primary_key=True),
    Column("revoked_at", String(32), nullable=False),
)
