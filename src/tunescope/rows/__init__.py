"""Rows: what travels. Read them with `open_rows`, write them with `RowWriter`."""

from tunescope.rows.read import OnBad, Rejected, RowFile, RowSet, open_rows, rows_in
from tunescope.rows.row import ROLES, Message, RepeatCounter, Row, Step, content_id
from tunescope.rows.write import RowWriter, same_shape

__all__ = [
    "ROLES",
    "Message",
    "OnBad",
    "Rejected",
    "RepeatCounter",
    "Row",
    "RowFile",
    "RowSet",
    "RowWriter",
    "Step",
    "content_id",
    "open_rows",
    "rows_in",
    "same_shape",
]
