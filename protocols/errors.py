"""Every error a person or a peer can cause.

    SealscoreError                 one sentence for a person; exit code 1
    ├── UsageError                 wrong arguments or configuration; exit code 2
    │   ├── ConfigError            a TOML file or a setting
    │   └── DataError              a table: file, column and count, never a value
    ├── PolicyRefused              a plan asks for more than a policy gives; names the setting
    ├── TrustError                 certificate, fingerprint, signature or evidence does not hold
    ├── ProtocolError              a peer's bytes are not what the protocol allows; never carries data
    │   ├── MalformedMessage
    │   └── ReplayRefused
    └── RunFailed                  party, phase, cause and next step
"""
from __future__ import annotations


class SealscoreError(Exception):
    """Base: `str(error)` is one sentence that says what was expected, what came and what to do next."""

    exit_code = 1


class UsageError(SealscoreError):
    """The command, a file or a setting is wrong."""

    exit_code = 2


class ConfigError(UsageError):
    """A configuration file does not say what it must."""


class DataError(UsageError):
    """A table does not hold what was declared. The text names file, column and counts, never values."""


class PolicyRefused(SealscoreError):
    """A plan asks for more than the party's policy gives."""

    def __init__(self, setting: str, sentence: str):
        super().__init__(f"policy setting {setting}: {sentence}")
        self.setting = setting


class TrustError(SealscoreError):
    """An identity, signature, certificate or piece of evidence does not hold."""


class ProtocolError(SealscoreError):
    """A peer sent what the protocol does not allow. The text carries sizes and names, never data."""


class MalformedMessage(ProtocolError):
    """Bytes that do not decode to exactly one allowed message."""


class ReplayRefused(ProtocolError):
    """A frame or message that was seen before, or out of order."""


class RunFailed(SealscoreError):
    """A run ended without a model."""

    def __init__(self, party: str, phase: str, cause: str, next_step: str):
        super().__init__(f"the run ended at {party} in phase {phase}: {cause}; next: {next_step}")
        self.party, self.phase, self.cause, self.next_step = party, phase, cause, next_step
