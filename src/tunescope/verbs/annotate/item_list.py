"""What the list of items says: an annotator's own, and to a reviewer everybody's."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple


class ListEntry(NamedTuple):
    """An item of a list.

    Attributes:
        address: of its page.
        is_pilot: whether it is one of the pilot's.
        state: new, begun or finished.
        has_comment: whether a reviewer commented it.
        question: its beginning.
    """

    address: str
    is_pilot: bool
    state: str
    has_comment: bool
    question: str


@dataclass(frozen=True)
class ItemList:
    """The items of somebody.

    Attributes:
        name: whose they are.
        number: the annotator's, from 1; 0 for a reviewer's own marks.
        entries: all of them.
        is_returned: whether a reviewer has returned the pilot.
        waits: whether the items after the pilot wait for that.
    """

    name: str
    number: int
    entries: list[ListEntry]
    is_returned: bool
    waits: bool

    @property
    def done(self) -> int:
        """How many are finished."""
        return sum(entry.state == "finished" for entry in self.entries)

    @property
    def pilot(self) -> list[ListEntry]:
        """The pilot's items."""
        return [entry for entry in self.entries if entry.is_pilot]

    @property
    def pilot_done(self) -> int:
        """How many of the pilot's items are finished."""
        return sum(entry.state == "finished" for entry in self.pilot)

    @property
    def opened(self) -> list[ListEntry]:
        """The items that their annotator can open."""
        return self.pilot if self.waits and not self.is_returned else self.entries

    @property
    def next(self) -> str | None:
        """The address of the first open item that isn't finished."""
        return next((entry.address for entry in self.opened if entry.state != "finished"), None)

    @property
    def comments(self) -> int:
        """How many items have a comment."""
        return sum(entry.has_comment for entry in self.entries)
