"""`tunescope-gate`: the rows of a working tree beside those of a commit, for CI and as a hook of pre-commit.

It checks both with `check`, compares the two with `compare`, and fails where a fault grew. Exit codes: 0 passed,
1 refused, 2 misused, 3 a gate failed.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from tunescope.errors import SettingsError, TunescopeError
from tunescope.expressions import parse
from tunescope.foreign import gate_streams, show_line
from tunescope.gates import fails_gate
from tunescope.progress import complain, say
from tunescope.runs import Run
from tunescope.terminal import draw
from tunescope.verbs.check import CheckSettings, check
from tunescope.verbs.compare import compare
from tunescope.verbs.compare.settings import CompareSettings
from tunescope.views import counted, to_markdown


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the gate and exit."""
    gate_streams()
    sys.exit(run_gate(list(sys.argv[1:] if arguments is None else arguments)))


def run_gate(arguments: list[str]) -> int:
    """Run the gate; return its exit code."""
    options = _parser().parse_args(arguments)
    try:
        for condition in (options.fail_on, options.fail_on_check):
            if condition:
                parse(condition)  # before anything is computed
        with TemporaryDirectory(prefix="tunescope-gate-") as folder:
            return _gate(options, Path(folder))
    except TunescopeError as error:
        complain(f"tunescope-gate: {error}")
        return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="tunescope-gate", description="Fail where a fault in rows grew since a commit."
    )
    parser.add_argument("rows", nargs="+", help="row files of one set, as git takes paths: 'data/*.jsonl' too")
    parser.add_argument("--base", default="HEAD", help="the commit to compare with; by default HEAD")
    parser.add_argument("--fault", action="append", default=[], help="a fault to test for growth; by default every one")
    parser.add_argument(
        "--fail-on", default="grown > 0", help="a condition on what compare says; by default 'grown > 0'"
    )
    parser.add_argument("--fail-on-check", help="a condition on the rows as they are, such as 'surely_wrong_rows > 0'")
    parser.add_argument("--summary", type=Path, help="a file to which the tables are added as Markdown")
    return parser


def _gate(options: argparse.Namespace, folder: Path) -> int:
    after = _git(["ls-files", "-z", "--cached", "--others", "--exclude-standard", "--", *options.rows])
    files = [name for name in dict.fromkeys(after) if Path(name).is_file()]
    if not files:
        raise SettingsError(f"no file of this repository is called {', '.join(options.rows)}; name row files")
    checked = check(CheckSettings(rows=tuple(files), out=str(folder / "after")))
    failed = bool(options.fail_on_check) and fails_gate(options.fail_on_check, checked.result)
    before = _write_base(options.base, options.rows, folder)
    if not before:
        say(f"{options.base} has no such rows, so nothing can have grown")
        _show(checked, options.summary)
        return 3 if failed else 0
    check(CheckSettings(rows=tuple(before), out=str(folder / "before")))
    setup = CompareSettings(
        a=str(folder / "before"), b=str(folder / "after"), fault=tuple(options.fault), out=str(folder / "compared")
    )
    compared = compare(setup)
    say(f"A: {counted(len(before), 'file')} of {options.base}; B: {counted(len(files), 'file')} of the working tree")
    _show(compared, options.summary)
    failed |= fails_gate(options.fail_on, compared.result)
    return 3 if failed else 0


def _write_base(base: str, patterns: Sequence[str], folder: Path) -> list[str]:
    """Write the rows of a commit into a folder; return the files. The repository's own index stays as it is."""
    (folder / "base").mkdir()
    index = {"GIT_INDEX_FILE": str(folder / "index")}
    _git(["read-tree", f"{base}^{{commit}}"], index)
    names = _git(["ls-files", "-z", "--", *patterns], index)
    if names:
        given = "".join(f"{name}\0" for name in names)
        _git(["checkout-index", f"--prefix={folder / 'base'}{os.sep}", "-z", "--stdin"], index, given)
    return sorted(str(path) for path in (folder / "base").rglob("*") if path.is_file())


def _git(arguments: list[str], environment: dict[str, str] | None = None, given: str = "") -> list[str]:
    """Run git in this folder; return what it prints, cut at null bytes.

    Raises:
        SettingsError: git says no.
    """
    try:
        done = subprocess.run(
            ["git", *arguments],
            env={**os.environ, **(environment or {})},
            input=os.fsencode(given),
            capture_output=True,
            check=False,
        )
    except OSError as error:
        raise SettingsError(f"git can't be run: {error}") from error
    if done.returncode:
        raise SettingsError(f"git {arguments[0]}: {show_line(os.fsdecode(done.stderr).strip())}")
    return [name for name in os.fsdecode(done.stdout).split("\0") if name]


def _show(run: Run, summary: Path | None) -> None:
    draw(run.view, sys.stdout)
    if summary is not None:
        with summary.open("a", encoding="utf-8") as file:
            file.write(to_markdown(run.view))


if __name__ == "__main__":
    main()
