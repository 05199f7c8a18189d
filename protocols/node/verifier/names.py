"""Names and limits of an evidence folder: both who writes it and who reads it keep to these."""
from __future__ import annotations

import re

LOG, CHECKPOINTS, AGREEMENTS, POLICIES = "log.jsonl", "checkpoints.jsonl", "agreements", "policies"
OPENINGS, TRAFFIC, PROOFS, INSTALLATION = "openings.json", "traffic.json", "proofs.json", "installation.json"
LOCK = "requirements.lock"
MANIFEST, SIGNATURE = "manifest.json", "manifest.sig"
MANIFEST_CONTEXT = b"sealscore evidence manifest v1"
FILE_NAMES = re.compile(r"(log|checkpoints)\.jsonl|(openings|traffic|proofs|installation)\.json|requirements\.lock"
                        r"|agreements/r-[0-9a-f]{16}\.json|policies/[0-9a-f]{64}\.json")
MAX_FILE_BYTES = 512 * 1024 * 1024
MAX_POLICY_BYTES = 1024 * 1024
