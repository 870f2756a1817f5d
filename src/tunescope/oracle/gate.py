"""The gate before a call: the budget has room for it, and no other process makes it or has its reply."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress

from tunescope.errors import Halted, RejectedRequest, WorkError
from tunescope.oracle.body import Body
from tunescope.oracle.budget import Budget
from tunescope.oracle.call import Call
from tunescope.oracle.halt import Halt
from tunescope.oracle.journal import Journal
from tunescope.oracle.rate_limit import RateLimit
from tunescope.oracle.replies import Reply
from tunescope.oracle.reservations import Reservations
from tunescope.oracle.usage import CallSize, measure_usage

_LOOK_SECONDS = 0.05
"""Seconds between looks at a journal in which another process has reserved what we wait for."""


class CallGate:
    """Lets calls through one by one, in step with other processes that have the same journal open.

    Attributes:
        again: keys of calls that are made although the journal has it that they were rejected.
    """

    def __init__(self, budget: Budget, journal: Journal | None, rate_limit: RateLimit, halt: Halt) -> None:
        """Count what the journal's replies used; without a journal there is only the budget."""
        self._budget, self._journal, self._rate_limit, self._halt = budget, journal, rate_limit, halt
        self._reserved: dict[str, tuple[int, int]] = {}
        self._is_shared = False
        self.again = set[str]()
        if journal is not None:
            journal.is_changed()  # from here on
            self._count(journal, journal)

    async def enter(self, call: Call) -> Reply | None:
        """Reserve what a call may use, and the call itself; return its reply where another process has it.

        Raises:
            WorkError: the budget has no room for it, or the journal can't be written.
            RejectedRequest: another process has found that the call fails each time.
            Halted: no more calls are made.
        """
        while self._halt.error is None:
            most = self._budget.most(call.size)
            if self._journal is None:
                self._require_room(call, most)
                self._keep(call, most)
                return None
            async with self._journal.writing:
                with self._journal.changing():  # no other process reserves anything before this one has
                    reply = self._look(call, self._journal)
                    if reply is not None:
                        return reply
                    is_free = self._is_free(call, most, self._journal.reservations)
                    if is_free:
                        self._journal.reservations.add(call.key, *most)
                if is_free:
                    self._keep(call, most)
                    return None
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
            self._is_shared = True
            self._count(journal, journal.replies_of_others())
        try:
            return journal.reply(call.key) if self._is_shared else None
        except RejectedRequest:
            if call.key not in self.again:
                raise
            return None

    def _count(self, journal: Journal, replies: Iterable[tuple[CallSize, bytes]]) -> None:
        """Count what replies used, and what is reserved elsewhere."""
        for size, body in replies:
            self._budget.use(measure_usage(size, Body(body)), size)
        journal.reservations.refresh()
        self._budget.elsewhere = journal.reservations.elsewhere

    def _is_free(self, call: Call, most: tuple[int, int], reservations: Reservations) -> bool:
        """Tell whether a call can be made now; no while another process makes it, or may give back some room."""
        if reservations.is_taken(call.key):
            return False
        if not self._budget.fits(*most) and reservations.are_others_at_work():
            return False
        self._require_room(call, most)
        return True

    def _require_room(self, call: Call, most: tuple[int, int]) -> None:
        if not self._budget.fits(*most):
            raise WorkError(self._budget.describe_full(call.size))

    def _keep(self, call: Call, most: tuple[int, int]) -> None:
        self._reserved[call.key] = most
        self._budget.reserve(*most)

    def _give_back(self, call: Call, in_journal: Callable[[Reservations, str], None] | None) -> None:
        prompt, completion = self._reserved.pop(call.key)
        self._budget.reserve(-prompt, -completion)
        if in_journal is not None and self._journal is not None:
            with suppress(WorkError), self._journal.changing():
                in_journal(self._journal.reservations, call.key)
                self._budget.elsewhere = self._journal.reservations.elsewhere
