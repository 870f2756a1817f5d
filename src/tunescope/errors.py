"""Everything tunescope refuses, as one tree.

    TunescopeError                    one sentence for the user; the command line exits 1
    ├── InputError (ValueError)       something in a file: carries up to 20 located problems
    ├── SettingsError (ValueError)    a setting that can't work, alone or with the others
    │   └── UsageError                one that is unknown, missing or out of its range; the command line exits 2
    ├── ExpressionError (ValueError)  a `--where` or `--fail-on` that doesn't parse
    ├── RunError                      a run folder that is missing, unfinished or in use
    │   ├── RunInUse                  another tunescope works in it
    │   └── NotRunYet                 one that was only looked for, and isn't there
    ├── WorkError                     a shard or a recipe step that failed while working
    │   ├── WaitingError              calls that wait in a batch; the command line exits 4
    │   ├── MarkConflict              an annotator's mark that changed meanwhile
    │   ├── QueueFull                 an annotator's question for a model while others of theirs wait
    │   └── ServerRefusal             a server that answers no call before somebody mends something
    └── MissingPackageError (ImportError)  an extra that this feature needs

Catch `TunescopeError` to catch all of it.

While a model is asked, these say what became of one call or one item. They are caught below the verbs:

    OracleSignal (Exception)
    ├── RetryableError                a call that failed and may succeed when it is made again
    ├── RejectedRequest               a call that would fail each time
    │   └── ForbiddenRequest          or one of a key that isn't taken: the server doesn't say
    ├── ItemFailed                    no reply can be had for this item; the others go on
    ├── NotCached                     a reply that the journal doesn't have, and this run makes no calls
    └── Halted                        no more calls are made; `oracle.halt.Halt` says why
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from tunescope.foreign import show, show_line
from tunescope.locations import Location

_BEGINNING = re.compile(r"\n(?=[^ \n])")
"""A line break before a line that isn't indented."""
SHOWN_PROBLEMS = 20


class TunescopeError(Exception):
    """Base of every refusal; `str(error)` is complete enough to act on.

    It shows what would steer a terminal as escapes, and begins no line but its first at the margin; `args` and
    `InputError.problems` hold texts from outside as they are.
    """

    def __str__(self) -> str:
        """Return the sentence, for any terminal."""
        return _BEGINNING.sub("\n  ", show(super().__str__()))


class SettingsError(TunescopeError, ValueError):
    """A setting can't work: what was found, what was expected, what to type."""


class UsageError(SettingsError):
    """A setting is unknown, missing, of the wrong type or out of its range; nothing has been looked at yet."""


class ExpressionError(TunescopeError, ValueError):
    """A filter or gate expression that doesn't parse, with the place marked."""


class RunError(TunescopeError):
    """A run folder that is missing, unfinished, in use or of another version."""


class RunInUse(RunError):
    """A run folder in which another tunescope works."""


class NotRunYet(RunError):
    """A run that was only looked for (`runs.look_up`), and isn't finished."""


class WorkError(TunescopeError):
    """A piece of work failed; finished pieces are kept and the same command goes on."""


class WaitingError(WorkError):
    """Calls wait in a batch's file; the same command goes on with their replies."""


class MarkConflict(WorkError):
    """A mark has a newer version than the one that was changed, or is another's; nothing was written."""


class QueueFull(WorkError):
    """So many of an annotator's questions wait for the model that no more are taken."""


class ServerRefusal(WorkError):
    """A server that answers no call before somebody mends something.

    Attributes:
        fault: what is to be mended (`oracle.blame.Fault`): the key, the account, the model's name, the address.
    """

    def __init__(self, fault: str, sentence: str) -> None:
        """Keep what is to be mended, and the sentence that says how."""
        super().__init__(sentence)
        self.fault = fault

    def __reduce__(self) -> tuple[type[ServerRefusal], tuple[str, str]]:
        """Travel between processes."""
        return (ServerRefusal, (self.fault, str(self)))


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

    `file`, `line` and `record` are a `Location`; without line and record, it is the file as a whole.
    """

    file: str
    line: int | None
    found: str
    expected: str
    record: int | None = None

    @classmethod
    def at(cls, location: Location, found: str, expected: str) -> Problem:
        """Return the problem that a record has."""
        return cls(location.file, location.line, found, expected, location.record)

    @property
    def location(self) -> Location:
        """Where it is."""
        return Location(self.file, self.line, self.record)

    def __str__(self) -> str:
        """Say it on one line, as `file:line: found …; expected …`."""
        return show_line(f"{self.location}: found {self.found}; expected {self.expected}")


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
            lines.append(show_line(next_step))
        super().__init__("\n".join(lines))

    def __str__(self) -> str:
        """Return the report; each problem, and what to type next, is a line of its own."""
        return str(self.args[0])

    def __reduce__(self) -> tuple[type[InputError], tuple[tuple[Problem, ...], str, bool]]:
        """Travel between processes with the problems intact."""
        return (InputError, (self.problems, self.next_step, self.more))


class OracleSignal(Exception):
    """Base of what becomes of a call or an item while a model is asked; no user sees it."""


class RetryableError(OracleSignal):
    """A call that failed and may succeed when it is made again.

    Attributes:
        reason: why it failed.
        retry_after: seconds that the server asks us to wait; None where it doesn't.
        overloaded: fewer calls at a time may help.
        silent: the server said nothing at all.
    """

    def __init__(
        self,
        reason: str,
        retry_after: float | None = None,
        overloaded: bool = False,
        silent: bool = False,
    ) -> None:
        """Keep what the retry loop decides by."""
        super().__init__(reason)
        self.reason, self.retry_after, self.overloaded, self.silent = reason, retry_after, overloaded, silent


class RejectedRequest(OracleSignal):
    """A call that would fail each time; the text is the reason.

    Attributes:
        parameter: the parameter that the server doesn't take (one of `api.PARAMETERS`); None where it is none of them.
    """

    def __init__(self, reason: str, parameter: str | None = None) -> None:
        """Keep the reason and what it is about."""
        super().__init__(reason)
        self.parameter = parameter


class ForbiddenRequest(RejectedRequest):
    """A call that the server forbids without a word why: for what it asks, or for its key.

    Attributes:
        refusal: what it means where no call at all was answered.
    """

    def __init__(self, reason: str, refusal: ServerRefusal) -> None:
        """Keep both readings."""
        super().__init__(reason)
        self.refusal = refusal


class ItemFailed(OracleSignal):
    """No reply can be had for this item; the text is the reason.

    Attributes:
        is_for_good: the same call would fail each time, for this item's own sake.
    """

    def __init__(self, reason: str, is_for_good: bool = False) -> None:
        """Keep the reason."""
        super().__init__(reason)
        self.is_for_good = is_for_good


class NotCached(OracleSignal):
    """The journal doesn't have the reply, and this run makes no calls."""


class Halted(OracleSignal):
    """No more calls are made."""
