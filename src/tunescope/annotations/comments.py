"""What a reviewer says of an annotator's items, and whose pilot was returned: in the file of the study's marks.

A comment is of an annotator's item, with or without a mark in it. Changing it adds a version, as with marks.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from tunescope.annotations.store import MarkStore, reading, utc_now
from tunescope.errors import MarkConflict

_ALL = "SELECT item_id, annotator, text, version, at FROM comments"


class Comment(NamedTuple):
    """What a reviewer says of one annotator's item; without text where it was taken back."""

    item_id: str
    annotator: str
    text: str
    version: int
    at: str


class Comments:
    """The comments and returned pilots of a study, in the file of its marks."""

    def __init__(self, store: MarkStore) -> None:
        """Use the file of a store."""
        self._store = store

    def write(self, item_id: str, annotator: str, text: str, base: int) -> int:
        """Add a version of a comment and return its number; the same version sent twice is added once.

        Args:
            item_id: the item.
            annotator: whose item it is.
            text: the comment; "" takes it back.
            base: the version that was changed; 0 for a new comment.

        Raises:
            MarkConflict: the comment has a newer version.
            WorkError: the file can't be written.
        """
        with self._store.changing() as file:
            where = "WHERE item_id = ? AND annotator = ? ORDER BY version DESC LIMIT 1"
            row = file.execute(f"SELECT version, text FROM comments {where}", (item_id, annotator)).fetchone()
            newest, before = (0, "") if row is None else row
            if newest == base + 1 and before == text:
                return base + 1
            if newest != base:
                said = f"version {newest}, yours was {base}"
                raise MarkConflict(f"another tab changed this comment ({said}); reload the page")
            values = (item_id, annotator, base + 1, text, utc_now())
            file.execute("INSERT INTO comments VALUES (?, ?, ?, ?, ?)", values)
        return base + 1

    def all(self) -> list[Comment]:
        """Return the newest version of each comment that has a text, in the order in which they were begun."""
        return _newest(self._store.look_up_all(f"{_ALL} ORDER BY rowid"))

    def newest(self, item_id: str, annotator: str) -> Comment:
        """Return the newest version of a comment; version 0 where there is none."""
        row = self._store.look_up(
            f"{_ALL} WHERE item_id = ? AND annotator = ? ORDER BY version DESC LIMIT 1", item_id, annotator
        )
        return Comment(item_id, annotator, "", 0, "") if row is None else Comment(*row)

    def return_pilot(self, annotator: str) -> None:
        """Keep that an annotator's pilot was looked at, and that the other items are open.

        Raises:
            WorkError: the file can't be written.
        """
        with self._store.changing() as file:
            file.execute("INSERT INTO returned_pilots VALUES (?, ?)", (annotator, utc_now()))

    def returned(self) -> set[str]:
        """Return the annotators whose pilot was returned."""
        return {str(name) for (name,) in self._store.look_up_all("SELECT annotator FROM returned_pilots")}


def read_comments(folder: Path) -> list[Comment]:
    """Read the comments of a study; none of one that an earlier tunescope served.

    Raises:
        RunError: there are no marks yet, or the file is something else.
    """
    with reading(folder) as file:
        if file.execute("SELECT 1 FROM sqlite_master WHERE name = 'comments'").fetchone() is None:
            return []
        return _newest(file.execute(f"{_ALL} ORDER BY rowid"))


def _newest(rows: Iterable[tuple[str, str, str, int, str]]) -> list[Comment]:
    newest = {(comment.item_id, comment.annotator): comment for comment in map(Comment._make, rows)}
    return [comment for comment in newest.values() if comment.text]
