"""The base of large tables: a field per column, so that no object is made per row."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Self

from tunescope.results.record import keys, not_written, schema

if TYPE_CHECKING:
    import pyarrow as pa

    from tunescope.runs import Run


class Columns:
    """The table `NAME.parquet`; the fields of the dataclass are its columns, each a sequence of values.

    Of a table that was read, a column becomes Python values when it is first asked for.
    """

    NAME: ClassVar[str]

    def table(self) -> pa.Table:
        """Return the table, with the types that the fields are annotated with."""
        import pyarrow as pa

        values = {name: getattr(self, each.name) for name, each in keys(type(self)).items()}
        return pa.table(values, schema(type(self)))

    @classmethod
    def of(cls, table: pa.Table, place: str = "a table") -> Self:
        """Wrap a table.

        Raises:
            RunError: a column is missing; `place` says where.
        """
        absent = [name for name in keys(cls) if name not in table.column_names]
        if absent:
            raise not_written(place, ", ".join(absent))
        made = object.__new__(cls)
        vars(made)["_table"] = table
        return made

    @classmethod
    def read(cls, run: Run) -> Self:
        """Read a run's table; raises RunError as `of` does, and where there is no such table."""
        place = f"{run.path}/{cls.NAME}.parquet"
        if cls.NAME not in run.tables:
            raise not_written(place, "table")
        return cls.of(run.tables[cls.NAME], place)

    def slice(self, start: int, end: int) -> Self:
        """Return the rows from `start` to before `end`, of a table that was read."""
        return self.of(vars(self)["_table"].slice(start, end - start))

    def __getattr__(self, name: str) -> Any:
        """Convert a column of a table that was read, and keep it."""
        known = {each.name: column for column, each in keys(type(self)).items()}
        if name not in known or "_table" not in vars(self):
            raise AttributeError(f"{type(self).__name__} has no column {name}")
        vars(self)[name] = vars(self)["_table"][known[name]].to_pylist()
        return vars(self)[name]
