"""Records as Arrow tables, without pandas."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pyarrow as pa


def table_of(records: Iterable[Mapping[str, Any]]) -> pa.Table:
    """Make a table of records of texts, numbers and lists of texts; a column of nothing but nulls is one of numbers.

    Through JSON: `pa.array` imports pandas wherever that is installed, which takes longer than all else here.
    """
    import pyarrow as pa
    from pyarrow import json as reader

    rows = list(records)
    columns: dict[str, set[type]] = {}
    for row in rows:
        for name, value in row.items():
            columns.setdefault(name, set()).add(type(value))
    schema = pa.schema([(name, _arrow_type(types - {type(None)})) for name, types in columns.items()])
    data = "".join(json.dumps(row) + "\n" for row in rows).encode()
    return reader.read_json(
        pa.BufferReader(data),
        reader.ReadOptions(block_size=len(data)),
        reader.ParseOptions(explicit_schema=schema),
    )


def _arrow_type(types: set[type]) -> pa.DataType:
    import pyarrow as pa

    if types == {list}:
        return pa.list_(pa.string())
    return {frozenset({str}): pa.string(), frozenset({int}): pa.int64()}.get(frozenset(types), pa.float64())
