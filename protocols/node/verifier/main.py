"""The verifier's command line, and what the product's commands share with it."""
from __future__ import annotations

import argparse
import dataclasses
import json
import sys
from collections.abc import Sequence
from pathlib import Path

from protocols.errors import SealscoreError, TrustError, UsageError
from protocols.node.verifier.examine import examine
from protocols.node.verifier.findings import Report, findings_text
from protocols.node.verifier.page import privacy_page
from protocols.node.verifier.privacy import LANGUAGES, privacy_json, privacy_report
from protocols.node.verifier.reading import Nodes
from protocols.node.verifier.trust import load_trust


def main(argv: Sequence[str]) -> int:
    """Verify evidence, and derive its privacy report if asked for; exit code 0 only if everything holds."""
    try:
        return _main(_arguments(argv))
    except SealscoreError as error:
        sys.stderr.write(f"error: {error}\n")
        return error.exit_code


def examine_under(directory: Path, trust: Path) -> tuple[Report, Nodes]:
    """Findings and nodes under the identities of a trust.json; UsageError if it lies inside the evidence."""
    if trust.resolve().is_relative_to(directory.resolve()):
        raise UsageError("the identities must come from outside the evidence they are to check; "
                         "name a trust.json that you confirmed yourself")
    return examine(directory, load_trust(trust))


def findings_json(report: Report) -> str:
    """What was found, for machines."""
    told = {"holds": report.holds, **dataclasses.asdict(report), "notes": [str(note) for note in report.notes]}
    return json.dumps(told, indent=2)


def derive(directory: Path, trust: Path, lang: str) -> tuple[bytes, bytes]:
    """The privacy report as (JSON, HTML); TrustError names every problem if the evidence does not hold."""
    report, nodes = examine_under(directory, trust)
    return _derived(report, nodes, lang)


def write_page(path: Path, page: bytes) -> None:
    """The whole file or none; UsageError if it cannot be written."""
    draft = path.with_name(f".{path.name}.part")
    try:
        draft.write_bytes(page)
        draft.replace(path)
    except OSError as error:
        raise UsageError(f"{path} cannot be written ({error.strerror}); name another file") from None


def _derived(report: Report, nodes: Nodes, lang: str) -> tuple[bytes, bytes]:
    if not report.holds:
        raise TrustError(f"the evidence does not hold, so it has no privacy report: {'; '.join(report.problems)}")
    told = privacy_report(report, nodes, lang)
    return privacy_json(told), privacy_page(told)


def _main(asked: argparse.Namespace) -> int:
    report, nodes = examine_under(asked.evidence, asked.trust)
    if not report.holds:
        sys.stdout.write((findings_json(report) if asked.json else findings_text(report)) + "\n")
        return 1
    told, page = _derived(report, nodes, asked.lang)
    if asked.report is not None:
        write_page(asked.report, page)
    sys.stdout.buffer.write(told if asked.json else findings_text(report).encode() + b"\n")
    sys.stdout.flush()
    return 0


def _arguments(argv: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Verify Sealscore evidence offline and derive its privacy report.")
    parser.add_argument("evidence", type=Path, help="folder with one folder of evidence per node")
    parser.add_argument("--trust", type=Path, required=True, help="trust.json: identities that you confirmed yourself")
    parser.add_argument("--report", type=Path, help="write the privacy report as HTML to this file")
    parser.add_argument("--lang", choices=sorted(LANGUAGES), default="en", help="language of the privacy report")
    parser.add_argument("--json", action="store_true", help="print the privacy report as JSON instead of the findings")
    return parser.parse_args(argv)
