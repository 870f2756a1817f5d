"""Measures of a turn, one file each.

A member has `NAME`, `ORDER`, `COLUMNS` (column → what it is), `inputs(settings)` (what it reads beside
the rows, by content hash) and `prepare(settings)`, which loads what it needs and returns a function
from rows to a list per row with a record per assistant turn. A record has the columns; what can't be
measured is None, with the reason under `reason`.
"""
