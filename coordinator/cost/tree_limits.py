"""Memory of boosted trees, and what stands in the way of a training."""
from __future__ import annotations

from coordinator.cost import tree_sizes as sizes
from coordinator.cost.trees import drawn_rows
from coordinator.cost.workload import Workload
from protocols.boosting.messages import MOST_COLUMNS
from protocols.boosting.parameters import KEY_DEGREE, room
from protocols.boosting.settings import BoostingSettings, widths
from protocols.errors import ConfigError
from protocols.policy import Policy

MOST_SPLITS: int = Policy.model_fields["maximum_tree_splits"].default
MOST_SUMS: int = Policy.model_fields["maximum_tree_sums"].default
_POLYNOMIAL = 2 * 8 * KEY_DEGREE  # bytes of one of two residues in a party's memory, for two bins
_ANSWER = 345_000_000  # at the platform: a request, its limbs and their products
_CORRECTED = 106_000_000  # at the bank: the same request, its answer
_CODES = 2  # bytes per row and column: bins as they came, and column by column
_FACTOR = 32  # bytes per row: public polynomials, transformed
_GROWN = 236  # bytes per row at the bank: gradients, nodes, masks, the vector that is being hidden, the message of some


def memory_bytes(work: Workload, party: str) -> int:
    """Peak of a training at a party, beyond its table and its process without data. The constants are peaks of
    `python -m tests.benchmarks boosting` at 30,000 and 1,000,000 rows, less the process."""
    (rows,), matrix = work.train_rows(), _POLYNOMIAL * sizes.polynomials(sum(work.platform_tree_bins))
    if party in work.banks:
        return matrix + _CORRECTED + rows * (_GROWN + _CODES * work.bank_columns)
    (width,) = work.platform_columns
    return max(2 * matrix, matrix + _ANSWER) + rows * (_FACTOR + _CODES * width)


def notes(work: Workload) -> list[str]:
    """What would have to change."""
    settings, (width,), bins = work.model.boosting, work.platform_columns, sum(work.platform_tree_bins)
    found = [*_of_rows(work, settings), *_of_room(work, settings)]
    if width > MOST_COLUMNS:
        found.append(f"{width} columns of the platform would be refused: at most {MOST_COLUMNS}")
    if settings.most_splits > MOST_SPLITS:
        found.append(f"{settings.trees} trees of depth {settings.depth} have up to {settings.most_splits} splits; the "
                     f"platform's policy answers {MOST_SPLITS} of them unless maximum_tree_splits is raised")
    sums = _openings(settings, bins)
    if sums > MOST_SUMS:
        found.append(f"up to {sums} sums would be opened: the platform refuses more than {MOST_SUMS} unless "
                     "maximum_tree_sums is raised")
    return found


def _openings(settings: BoostingSettings, bins: int) -> int:
    return settings.trees * 2 ** settings.depth * bins


def _of_rows(work: Workload, settings: BoostingSettings) -> list[str]:
    """Whether there is a tree at all, and whether its nodes may split down to its depth."""
    rows, least = drawn_rows(work), settings.node_rows
    if rows < least:
        return [f"{rows} rows to grow a tree from would be refused: at least {least}; ask for fewer bins"]
    if rows < least * 2 ** (settings.depth - 1):
        return [f"{rows} rows to grow a tree from do not fill {2 ** (settings.depth - 1)} nodes of the last level with "
                f"{least} each: trees stay smaller than depth {settings.depth}"]
    return []


def _of_room(work: Workload, settings: BoostingSettings) -> list[str]:
    """The fullest bin is not published: with even bins it has the fewest rows, and at most it has all."""
    (rows,), bins = work.train_rows(), work.platform_tree_bins
    for largest, told in ((-(-rows // max(bins)), "would"), (rows, "with nearly all rows in one bin would")):
        try:
            room(max(widths(settings, largest)), largest, _openings(settings, sum(bins)))
        except ConfigError as error:
            return [f"{told} be refused: {error}"]
    return []
