"""Files of scores: a CSV of mode 0600, or with `[scores] sealed = true` the same CSV sealed under a key of the node."""
from __future__ import annotations

import csv
import io
from pathlib import Path

from protocols.audit import RUN_ID
from protocols.crypto.box import Box
from protocols.errors import TrustError, UsageError
from protocols.node.identity_files import replace_private


def write_scores(state: Path, run: str, columns: dict[str, list], box: Box | None) -> Path:
    """Write equally long columns as the scores of a run, whole or not at all; the file, which ends in .sealed where
    there is a `box`."""
    folder = state / "scores"
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    data = _csv(columns)
    path = folder / f"{run}.{'sealed' if box else 'csv'}"
    replace_private(path, box.seal(f"scores of {run}", data) if box else data)
    return path


def read_scores(state: Path, run: str, box: Box) -> bytes:
    """The CSV of a run's scores; UsageError if there are none, TrustError if the file was changed or swapped."""
    if RUN_ID.fullmatch(run) is None:
        raise UsageError(f"expected a run such as r-0123456789abcdef, got {run[:40]!r}")
    plain, sealed = (state / "scores" / f"{run}.{end}" for end in ("csv", "sealed"))
    if sealed.exists():
        try:
            return box.open(f"scores of {run}", sealed.read_bytes())
        except TrustError:
            raise TrustError(f"{sealed.name} does not open: it was changed, swapped with another run's, or sealed by "
                             "another node; score again") from None
    if plain.exists():
        return plain.read_bytes()
    raise UsageError(f"this node holds no scores of {run}; `sealscore score MODEL` at the coordinator makes some")


def _csv(columns: dict[str, list]) -> bytes:
    text = io.StringIO(newline="")
    writer = csv.writer(text)
    writer.writerow(columns)
    writer.writerows(zip(*columns.values(), strict=True))
    return text.getvalue().encode()
