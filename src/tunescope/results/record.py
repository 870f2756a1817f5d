"""The base of typed records: a key or a column is written once, as a field of a frozen, keyword-only dataclass.

The verb that writes a run builds the record, and whoever reads the run gets it back:

    @dataclass(frozen=True, kw_only=True)
    class ColourResult(Record):
        rows: int
        hue: MeanEstimate
        palette: str | None = None  # an optional key: left out where it has this value

    Outcome(ColourResult(rows=3, hue=MeanEstimate.of(estimate)).as_json(), view)  # who writes
    ColourResult.read(run).hue.low                                                # who reads
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import MISSING, Field, field, fields
from types import NoneType
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Self, get_args, get_origin, get_type_hints

from tunescope.errors import RunError

if TYPE_CHECKING:
    import pyarrow as pa

    from tunescope.runs import Run

Int32 = Annotated[int, "int32"]
"""A whole number that takes 4 bytes in a table; a plain `int` takes 8."""


def key(name: str) -> Any:
    """Return a field whose key is no Python name, such as `class`."""
    return field(metadata={"key": name})


class Record:
    """A JSON object: a run's result, its settings, a line of `NAME.jsonl` or a row of `NAME.parquet`.

    Its fields are the keys. A field holds what JSON holds, a record, or a dict or tuple of records. One with a default
    is an optional key.
    """

    NAME: ClassVar[str] = ""
    """The file of the lines or rows, without its ending."""

    def as_json(self) -> dict[str, Any]:
        """Return the object, its keys in the order of the fields; optional keys are there where they aren't default."""
        values = {name: (getattr(self, each.name), each.default) for name, each in keys(type(self)).items()}
        return {name: _plain(value) for name, (value, default) in values.items() if value != default}

    @classmethod
    def from_json(cls, record: Mapping[str, Any]) -> Self:
        """Read what `as_json` gave, and leave out keys that are no field.

        Raises:
            KeyError: a key that isn't there.
        """
        known, types = keys(cls), _types(cls)
        there = [name for name, each in known.items() if name in record or each.default is MISSING]
        return cls(**{known[name].name: _typed(types[known[name].name], record[name]) for name in there})

    @classmethod
    def read(cls, run: Run) -> Self:
        """Read a run's result.

        Raises:
            RunError: a key is missing: the run is of another verb or of an earlier version.
        """
        return cls._of_run(run.result, f"{run.path}/run.json")

    @classmethod
    def read_settings(cls, run: Run) -> Self:
        """Read a run's settings; raises RunError as `read` does."""
        return cls._of_run(run.settings, f"{run.path}/run.json")

    @classmethod
    def read_lines(cls, run: Run) -> Iterator[Self]:
        """Read the lines of `NAME.jsonl`; raises RunError as `read` does."""
        for record in run.records(cls.NAME):
            yield cls._of_run(record, f"{run.path}/{cls.NAME}.jsonl")

    @classmethod
    def read_rows(cls, run: Run) -> list[Self]:
        """Read the rows of `NAME.parquet`; raises RunError as `read` does."""
        table, known = run.tables[cls.NAME], keys(cls)
        rows = table.select([name for name in known if name in table.column_names]).to_pylist()
        there = ({k: v for k, v in row.items() if v is not None or known[k].default is MISSING} for row in rows)
        return [cls._of_run(row, f"{run.path}/{cls.NAME}.parquet") for row in there]

    @classmethod
    def table(cls, records: Iterable[Self]) -> pa.Table:
        """Lay records into a table; an optional column is there where one of them has a value for it."""
        import pyarrow as pa

        rows = [record.as_json() for record in records]
        needed = {name for name, each in keys(cls).items() if each.default is MISSING}.union(*rows)
        return pa.Table.from_pylist(rows, pa.schema([each for each in schema(cls) if each.name in needed]))

    @classmethod
    def _of_run(cls, record: Mapping[str, Any], place: str) -> Self:
        try:
            return cls.from_json(record)
        except KeyError as error:
            raise not_written(place, str(error.args[0])) from error
        except (AttributeError, TypeError, ValueError) as error:
            raise not_written(place, f"record of this version ({error})") from error


def not_written(place: str, names: str) -> RunError:
    """Say what a run's file lacks."""
    return RunError(f"{place}: found no {names}; expected a run of this version; run its command again in a new folder")


def keys(cls: type[Any]) -> dict[str, Field[Any]]:
    """Return a record's keys, or a table's columns, in order, each with its field."""
    return {each.metadata.get("key", each.name): each for each in fields(cls)}


def schema(cls: type[Any]) -> pa.Schema:
    """Return the columns of a table with their types, from the annotations of the fields."""
    import pyarrow as pa

    types = _types(cls)
    return pa.schema([(name, _arrow_type(types[each.name])) for name, each in keys(cls).items()])


def _arrow_type(kind: Any) -> pa.DataType:
    """Return the type of a column that holds, or whose field is a sequence of, values of a type."""
    import pyarrow as pa

    kind = _without_none(get_args(kind)[0] if get_origin(kind) is Sequence else kind)
    if get_origin(kind) is tuple:
        return pa.list_(_arrow_type(get_args(kind)[0]))
    return {str: pa.string(), float: pa.float64(), int: pa.int64(), bool: pa.bool_(), Int32: pa.int32()}[kind]


def _types(cls: type[Any]) -> dict[str, Any]:
    """Return the types of a class' fields by name; they are written as strings, which take long to read."""
    if "_field_types" not in vars(cls):
        cls._field_types = get_type_hints(cls, include_extras=True)
    types: dict[str, Any] = cls._field_types
    return types


def _without_none(kind: Any) -> Any:
    """Return the one other type of `X | None`; another type as it is."""
    kinds = get_args(kind)
    return next(each for each in kinds if each is not NoneType) if NoneType in kinds else kind


def _plain(value: Any) -> Any:
    if isinstance(value, Record):
        return value.as_json()
    if isinstance(value, Mapping):
        return {name: _plain(each) for name, each in value.items()}
    return [_plain(each) for each in value] if isinstance(value, tuple | list) else value


def _typed(kind: Any, value: Any) -> Any:
    """Give a value of a JSON object the type of its field."""
    kind = _without_none(kind)
    if value is None:
        return None
    if isinstance(kind, type) and issubclass(kind, Record):
        return kind.from_json(value)
    if get_origin(kind) is tuple:
        return tuple(_typed(get_args(kind)[0], each) for each in value)
    if get_origin(kind) is dict:
        return {name: _typed(get_args(kind)[1], each) for name, each in value.items()}
    return value
