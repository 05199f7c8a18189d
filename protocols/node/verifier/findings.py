"""What a verification found: problems, notes and, for every node, figures of its log."""
from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from protocols.errors import ProtocolError, TrustError
from protocols.node.verifier.words_en import WORDS_EN


@dataclass
class NodeReport:
    """What the evidence of one node says."""

    fingerprint: str
    records: int = 0
    root: str = ""
    kinds: dict[str, int] = field(default_factory=dict)
    openings: dict[str, dict[str, int]] = field(default_factory=dict)  # by learner and kind: numbers opened
    egress_bytes: dict[str, int] = field(default_factory=dict)  # by peer
    agreements: list[str] = field(default_factory=list)  # runs
    vouched: dict[str, int] = field(default_factory=dict)  # by peer: records covered by the newest checkpoint it signed


@dataclass(frozen=True)
class Note:
    """What the reader should know: which sentence of the words, and what stands in its blanks.

    A tuple is a list of things of which some have words of their own.
    """

    kind: str
    facts: Mapping[str, str | int | tuple[str, ...]]

    def told(self, words: Mapping[str, Any]) -> str:
        """The sentence in the language of `words`."""
        names, between = words["note_names"], words["list"]
        filled = {name: between.join(names.get(each, each) for each in value) or words["none"]
                  if isinstance(value, tuple) else value for name, value in self.facts.items()}
        return str(words["note"][self.kind].format(**filled))

    def __str__(self) -> str:
        return self.told(WORDS_EN)


@dataclass
class Report:
    """Problems break the evidence; notes are for the reader. Both name the file."""

    problems: list[str] = field(default_factory=list)
    notes: list[Note] = field(default_factory=list)
    nodes: dict[str, NodeReport] = field(default_factory=dict)

    @property
    def holds(self) -> bool:
        """Nothing is wrong."""
        return not self.problems

    def note(self, kind: str, **facts: str | int | tuple[str, ...]) -> None:
        """Add a note; its kind is one of the words' table."""
        self.notes.append(Note(kind, facts))

    @contextmanager
    def checking(self, where: str) -> Iterator[None]:
        """Turn the failure of a check into a problem of the file `where`."""
        try:
            yield
        except (TrustError, ProtocolError) as error:
            self.problems.append(f"{where}: {error}")
        except OSError as error:
            self.problems.append(f"{where}: could not be read ({error.strerror})")


def findings_text(report: Report) -> str:
    """For a terminal: figures of every node, notes, problems, and the verdict in the last line."""
    verdict = "the evidence holds" if report.holds else f"THE EVIDENCE DOES NOT HOLD: {len(report.problems)} problem(s)"
    return "\n".join([
        *(line for name, node in sorted(report.nodes.items()) for line in _node_lines(name, node)),
        *(f"note: {note}" for note in report.notes),
        *(f"FAIL: {problem}" for problem in report.problems),
        verdict,
    ])


def _node_lines(name: str, node: NodeReport) -> list[str]:
    return [
        f"{name}  identity {node.fingerprint[:16]}…",
        f"  log: {node.records} records, root {node.root[:16] or '-'}…, vouched for: {_pairs(node.vouched)}",
        f"  records: {_pairs(node.kinds)}",
        *(f"  numbers opened to {learner}: {_pairs(kinds)}" for learner, kinds in node.openings.items()),
        f"  bytes sent: {_pairs(node.egress_bytes)}",
        f"  agreements: {', '.join(node.agreements) or 'none'}",
    ]


def _pairs(counts: dict[str, int]) -> str:
    return ", ".join(f"{name} {count:,}" for name, count in counts.items()) or "none"
