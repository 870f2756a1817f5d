"""The gate before a call: the budget has room for it, and no other process makes it or has its reply."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

from tunescope.errors import Halted, WorkError
from tunescope.oracle.budget import Budget
from tunescope.oracle.call import Call
from tunescope.oracle.halt import Halt
from tunescope.oracle.journal import Journal
from tunescope.oracle.rate_limit import RateLimit
from tunescope.oracle.replies import Reply
from tunescope.oracle.reservations import Reservations
from tunescope.oracle.usage import measure_usage

_LOOK_SECONDS = 0.05
"""Seconds between looks at a journal in which another process has reserved what we wait for."""


class CallGate:
    """Lets calls through one by one, in step with other processes that have the same journal open."""

    def __init__(self, budget: Budget, journal: Journal | None, rate_limit: RateLimit, halt: Halt) -> None:
        """Take what decides; without a journal there is only the budget."""
        self._budget, self._journal, self._rate_limit, self._halt = budget, journal, rate_limit, halt
        self._reserved: dict[str, tuple[int, int]] = {}
        if journal is not None:
            journal.reservations.refresh()
            budget.elsewhere = journal.reservations.elsewhere

    async def enter(self, call: Call) -> Reply | None:
        """Reserve what a call may use, and the call itself; return its reply where another process has it.

        Raises:
            WorkError: the budget has no room for it, or the journal can't be written.
            RejectedRequest: another process has found that the call fails each time.
            Halted: no more calls are made.
        """
        while self._halt.error is None:
            if self._journal is None:
                self._reserve(call, None)
                return None
            async with self._journal.writing:
                with self._journal.changing():
                    reply = self._look(call, self._journal)
                    if reply is not None or self._reserve(call, self._journal.reservations):
                        return reply
            await self._rate_limit.sleep(_LOOK_SECONDS)
        raise Halted

    @contextmanager
    def entered(self, call: Call) -> Iterator[None]:
        """Make a call that was let through; give back at the end what it had reserved.

        A call that is cut off is lost: its reply may be paid for, and will never be known.
        """
        try:
            yield
        except Exception:
            self._give_back(call, Reservations.remove)
            raise
        except BaseException:
            self._give_back(call, Reservations.lose)
            raise
        else:
            self._give_back(call, None)  # the journal did, when it kept the reply

    def _look(self, call: Call, journal: Journal) -> Reply | None:
        """Count what others used and reserved since; return the call's reply where one of them has it."""
        if journal.is_changed():
            for size, body in journal.replies_of_others():
                self._budget.use(measure_usage(size, body), size)
            journal.reservations.refresh()
            self._budget.elsewhere = journal.reservations.elsewhere
        return journal.reply(call.key)

    def _reserve(self, call: Call, reservations: Reservations | None) -> bool:
        """Reserve a call and tell that it is; False while another process makes it, or may give back some room."""
        most = self._budget.most(call.size)
        if reservations is not None and reservations.is_taken(call.key):
            return False
        if not self._budget.fits(*most):
            if reservations is not None and reservations.are_others_at_work():
                return False
            raise WorkError(self._budget.describe_full(call.size))
        if reservations is not None:
            reservations.add(call.key, *most)
        self._reserved[call.key] = most
        self._budget.reserve(*most)
        return True

    def _give_back(self, call: Call, in_journal: Callable[[Reservations, str], None] | None) -> None:
        prompt, completion = self._reserved.pop(call.key)
        self._budget.reserve(-prompt, -completion)
        if in_journal is not None and self._journal is not None:
            with suppress(WorkError), self._journal.changing():
                in_journal(self._journal.reservations, call.key)
                self._budget.elsewhere = self._journal.reservations.elsewhere
