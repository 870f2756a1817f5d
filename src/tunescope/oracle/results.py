"""What came of a verb's items: progress on stderr, and the errors that end the run so that it can go on."""

from __future__ import annotations

from typing import Any, Generic, TypeVar

from tunescope.errors import TunescopeError, WorkError
from tunescope.oracle.caller import Caller
from tunescope.oracle.pool import ItemResult
from tunescope.progress import Update, say
from tunescope.runs import Unanswered

K = TypeVar("K")


class Results(dict[K, ItemResult[Any]], Generic[K]):
    """Each item's result, by its key; `add` also shows how far the work is."""

    def __init__(self, caller: Caller, n_items: int, what: str, update: Update) -> None:
        """Begin with none of `n_items`, which are called `what` in sentences."""
        super().__init__()
        self.caller, self.n_items, self.what = caller, n_items, what
        self._update, self._n_failed = update, 0

    def add(self, key: K, result: ItemResult[Any]) -> None:
        """Keep a result."""
        self[key] = result
        self._n_failed += result.failure is not None
        self._update(len(self), self._pace)

    def _pace(self) -> str:
        """Say how the work stands: failed, used, and what it comes to."""
        budget, share = self.caller.budget, self.n_items / len(self)
        total = f"{budget.tokens * share:,.0f} tokens" if budget.cost is None else f"{budget.cost * share:.4f}"
        return f"{self._n_failed:,} failed, {budget.describe()}, projected {total}"

    def unanswered(self, what: str) -> Unanswered:
        """Count the items without a reply, or without one of those that they need; `what` they are called."""
        failures = [(each.unanswered, each.is_for_good) for each in self.values() if each.unanswered is not None]
        return Unanswered.of(self.n_items, what, failures)

    def check_halt(self, oracle: str) -> None:
        """Say what the calls used; raise what stopped them.

        Raises:
            WorkError: the server went away, or the budget is used up; the same command goes on.
            TunescopeError: no call can succeed.
        """
        caller, error = self.caller, self.caller.halt.error
        say(
            f"{caller.n_made:,} calls, {caller.n_replayed:,} replies from the journal; "
            f"{caller.budget.describe()} in all"
        )
        if isinstance(error, WorkError):
            raise WorkError(
                f"{oracle}: {error}; {len(self):,} {self.what} are done and {self.n_items - len(self):,} are "
                "left; type the same command to go on"
            )
        if error is not None:
            raise error

    def check_replies(self, oracle: str) -> None:
        """Raise `TunescopeError` where there was no reply at all."""
        if self and all(result.failure is not None and not result.call_ids for result in self.values()):
            reason = next(result.failure for result in self.values())
            raise TunescopeError(f"{oracle} answered for none of {self.n_items:,} {self.what}: {reason}")
