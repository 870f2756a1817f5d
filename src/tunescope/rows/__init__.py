"""Rows: what travels. Read them with `open_rows`, write them with `RowWriter`."""

from tunescope.rows.open import find_run_rows, open_rows
from tunescope.rows.read import OnBad, Rejected, RowFile, RowSet
from tunescope.rows.row import ROLES, LineageStep, Message, RepeatCounter, Row, content_id
from tunescope.rows.write import RowWriter, require_same_shape

__all__ = [
    "ROLES",
    "LineageStep",
    "Message",
    "OnBad",
    "Rejected",
    "RepeatCounter",
    "Row",
    "RowFile",
    "RowSet",
    "RowWriter",
    "content_id",
    "find_run_rows",
    "open_rows",
    "require_same_shape",
]
