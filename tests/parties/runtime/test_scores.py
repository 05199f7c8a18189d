"""Score files: plain or sealed, whole, and read by the bank's own command."""
from __future__ import annotations

import pytest

from parties.runtime.scores import read_scores, write_scores
from protocols.crypto.box import Box
from protocols.errors import TrustError, UsageError

RUN, OTHER = "r-00000000000000aa", "r-00000000000000bb"
COLUMNS = {"id": ["138…21", 'a "quoted", id'], "probability_of_default": [0.0123, 0.5]}
BOX = Box(bytes(32))
TEXT = 'id,probability_of_default\r\n138…21,0.0123\r\n"a ""quoted"", id",0.5\r\n'.encode()


@pytest.mark.parametrize("box", [None, BOX])
def test_scores_read_as_they_were_written(tmp_path, box) -> None:
    path = write_scores(tmp_path, RUN, COLUMNS, box)
    assert path.stat().st_mode & 0o777 == 0o600 and path.parent.stat().st_mode & 0o777 == 0o700
    assert (path.read_bytes() == TEXT) == (box is None)
    assert read_scores(tmp_path, RUN, BOX) == TEXT
    assert [p.name for p in path.parent.iterdir()] == [path.name]


def test_sealed_scores_show_nothing_and_cannot_be_swapped(tmp_path) -> None:
    path = write_scores(tmp_path, RUN, COLUMNS, BOX)
    assert b"0.0123" not in path.read_bytes() and b"quoted" not in path.read_bytes()
    path.rename(path.with_name(f"{OTHER}.sealed"))
    with pytest.raises(TrustError, match="another run's"):
        read_scores(tmp_path, OTHER, BOX)


@pytest.mark.parametrize("run", [RUN, "../../bank", "r-1"])
def test_scores_that_are_not_there(tmp_path, run) -> None:
    with pytest.raises(UsageError):
        read_scores(tmp_path, run, BOX)
