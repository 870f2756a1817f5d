"""Everything tunescope refuses, as one tree.

    TunescopeError                    one sentence for the user; the command line exits 1
    ├── InputError (ValueError)       something in a file: carries up to 20 located problems
    ├── SettingsError (ValueError)    a setting that can't work, alone or with the others
    │   └── UsageError                one that is unknown, missing or out of its range; the command line exits 2
    ├── ExpressionError (ValueError)  a `--where` or `--fail-on` that doesn't parse
    ├── RunError                      a run folder that is missing, unfinished or in use
    ├── WorkError                     a shard or a recipe step that failed while working
    └── MissingPackageError (ImportError)  an extra that this feature needs

Catch `TunescopeError` to catch all of it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

SHOWN_PROBLEMS = 20


class TunescopeError(Exception):
    """Base of every refusal; `str(error)` is complete enough to act on."""


class SettingsError(TunescopeError, ValueError):
    """A setting can't work: what was found, what was expected, what to type."""


class UsageError(SettingsError):
    """A setting is unknown, missing, of the wrong type or out of its range; nothing has been looked at yet."""


class ExpressionError(TunescopeError, ValueError):
    """A filter or gate expression that doesn't parse, with the place marked."""


class RunError(TunescopeError):
    """A run folder that is missing, unfinished, in use or of another version."""


class WorkError(TunescopeError):
    """A piece of work failed; finished pieces are kept and the same command goes on."""


class MissingPackageError(TunescopeError, ImportError):
    """A feature needs a package that isn't installed."""

    def __init__(self, package: str, extra: str, feature: str) -> None:
        """Name the package, the extra that brings it and the feature that needs it."""
        super().__init__(
            f"{feature} needs the package {package}, which isn't installed; type: pip install 'tunescope[{extra}]'"
        )


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing wrong in one place of a file.

    `line` counts from 1 (in Parquet and hub data sets it is the row's number);
    None means the file as a whole.
    """

    file: str
    line: int | None
    found: str
    expected: str

    def __str__(self) -> str:
        """Say it on one line, as `file:line: found …; expected …`."""
        place = self.file if self.line is None else f"{self.file}:{self.line}"
        return f"{place}: found {self.found}; expected {self.expected}"


class InputError(TunescopeError, ValueError):
    """One report of what is wrong in the input: the first 20 problems and what to type next."""

    def __init__(self, problems: Sequence[Problem], next_step: str = "", more: bool = False) -> None:
        """Collect `problems`; `more` says that reading stopped before the end."""
        self.problems = tuple(problems[:SHOWN_PROBLEMS])
        self.next_step = next_step
        self.more = more or len(problems) > SHOWN_PROBLEMS
        lines = [str(problem) for problem in self.problems]
        if len(lines) > 1:
            count = f"the first {len(lines)}" if self.more else str(len(lines))
            lines = [f"{count} problems in the input:", *("  " + line for line in lines)]
        if next_step:
            lines.append(next_step)
        super().__init__("\n".join(lines))

    def __reduce__(self) -> tuple[type[InputError], tuple[tuple[Problem, ...], str, bool]]:
        """Travel between processes with the problems intact."""
        return (InputError, (self.problems, self.next_step, self.more))
