"""Does the suite notice when a protection is gone? `make mutants`, or

    python -m tests.attacks.mutate [--only WORD] [--list]

Copies the tree, takes out one protection after the other (`mutations.py`), runs the tests named for it and prints a
table. Exit code 1 when the tests of any mutation stay green, 2 when an edit does not apply any more or tests fail
without any edit: then the table says nothing.
"""
from __future__ import annotations

import argparse
import contextlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.attacks.mutations import MUTATIONS, Mutation

ROOT = Path(__file__).parents[2]
RUN_S = 900.0
PASSED, FAILED = 0, 1  # of pytest; anything else is no answer


class Unusable(Exception):
    """The gate cannot answer: an edit does not apply, or tests fail or cannot run for another reason."""


@dataclass(frozen=True)
class Verdict:
    """Whether the tests of a mutation failed, as they must, and how long they took."""

    mutation: Mutation
    red: bool
    seconds: float


def mutated(text: str, mutation: Mutation) -> str:
    """The file's text with every edit; Unusable when one does not stand there exactly once, or makes no Python."""
    for old, new in mutation.edits:
        if text.count(old) != 1:
            raise Unusable(f"{mutation.name}: expected once in {mutation.file}, found {text.count(old)} times: {old!r}")
        text = text.replace(old, new)
    try:
        compile(text, mutation.file, "exec")
    except SyntaxError as error:
        raise Unusable(f"{mutation.name}: {mutation.file} is no Python with the edit ({error})") from None
    return text


@contextlib.contextmanager
def copied() -> Iterator[Path]:
    """A copy of all files that git knows or would take, gone afterwards."""
    listed = subprocess.run(["git", "ls-files", "-co", "--exclude-standard", "-z"], cwd=ROOT, check=True,
                            capture_output=True).stdout
    with tempfile.TemporaryDirectory(prefix="sealscore-mutants-") as folder:
        for name in filter(None, listed.decode().split("\0")):
            if (ROOT / name).is_file():
                (Path(folder) / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(ROOT / name, Path(folder) / name)
        yield Path(folder)


def _environment(tree: Path) -> dict[str, str]:
    return os.environ | {"PYTHONPATH": str(tree), "PYTHONDONTWRITEBYTECODE": "1"}


def require_copy(tree: Path) -> None:
    """Unusable unless tests in the copy import the copy and not the checkout."""
    code = "import coordinator, parties, protocols; print(coordinator.__file__, parties.__file__, protocols.__file__)"
    told = subprocess.run([sys.executable, "-c", code], cwd=tree, env=_environment(tree), capture_output=True,
                          text=True)
    if told.returncode or not all(path.startswith(str(tree)) for path in told.stdout.split()):
        raise Unusable(f"expected modules of the copy at {tree}, got {told.stdout or told.stderr}")


def run_tests(tree: Path, tests: Sequence[str]) -> tuple[int, str]:
    """pytest's exit code and the end of what it said."""
    command = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", "--no-header", *tests]
    try:
        done = subprocess.run(command, cwd=tree, env=_environment(tree), capture_output=True, text=True, timeout=RUN_S)
    except subprocess.TimeoutExpired:
        raise Unusable(f"{' '.join(tests)}: no end within {RUN_S:.0f} s") from None
    return done.returncode, (done.stdout + done.stderr)[-3000:]


def examine(tree: Path, mutation: Mutation) -> Verdict:
    """Edit the copy, run the tests, and put the file back."""
    path = tree / mutation.file
    before, began = path.read_text(encoding="utf-8"), time.monotonic()
    path.write_text(mutated(before, mutation), encoding="utf-8")
    try:
        code, said = run_tests(tree, mutation.tests)
    finally:
        path.write_text(before, encoding="utf-8")
    if code not in (PASSED, FAILED):
        raise Unusable(f"{mutation.name}: pytest ended with code {code}\n{said}")
    return Verdict(mutation, code == FAILED, time.monotonic() - began)


def survey(mutations: Sequence[Mutation], show=lambda verdict: None) -> list[Verdict]:
    """All verdicts, after all named tests passed on the copy as it is."""
    with copied() as tree:
        require_copy(tree)
        for mutation in mutations:
            mutated((tree / mutation.file).read_text(encoding="utf-8"), mutation)
        code, said = run_tests(tree, sorted({test for mutation in mutations for test in mutation.tests}))
        if code != PASSED:
            raise Unusable(f"the tests do not pass without any edit\n{said}")
        verdicts = []
        for mutation in mutations:
            verdicts.append(examine(tree, mutation))
            show(verdicts[-1])
    return verdicts


def row(verdict: Verdict) -> str:
    """One line of the table."""
    told = "red" if verdict.red else "GREEN: NOT NOTICED"
    tests = " ".join(test.removeprefix("tests/") for test in verdict.mutation.tests)
    return f"{verdict.mutation.name:<42} {told:<6} {verdict.seconds:5.1f} s  {tests}"


def main(words: Sequence[str] | None = None) -> int:
    """The command."""
    parser = argparse.ArgumentParser(prog="python -m tests.attacks.mutate", description=__doc__.splitlines()[0])
    parser.add_argument("--only", default="", help="mutations whose name or file has this word")
    parser.add_argument("--list", action="store_true", help="name them and end")
    given = parser.parse_args(words)
    chosen = [m for m in MUTATIONS if given.only in m.name or given.only in m.file]
    if given.list or not chosen:
        print("\n".join(f"{m.name:<42} {m.file}" for m in chosen) or f"no mutation has {given.only!r} in its name")
        return 0 if chosen else 2
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that tests under way and the copy end with this
    began = time.monotonic()
    print(f"{'taken out':<42} {'tests':<6} {'time':>7}  which")
    try:
        verdicts = survey(chosen, lambda verdict: print(row(verdict), flush=True))
    except Unusable as fault:
        print(fault, file=sys.stderr)
        return 2
    green = sum(not verdict.red for verdict in verdicts)
    print(f"{len(verdicts)} mutations, {green} not noticed, {time.monotonic() - began:.0f} s in all")
    return 1 if green else 0


if __name__ == "__main__":
    sys.exit(main())
