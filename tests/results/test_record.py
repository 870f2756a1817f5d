"""Records come back from JSON, lines and tables as they went in; what a run lacks is an error that says where."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import pytest

from tunescope.errors import RunError
from tunescope.results.columns import Columns
from tunescope.results.estimates import MeanEstimate
from tunescope.results.record import Int32, Record, key, schema
from tunescope.runs import Outcome, execute, out_field
from tunescope.stats import mean_t
from tunescope.views import View


@dataclass(frozen=True, kw_only=True)
class Shade(Record):
    NAME: ClassVar[str] = "shades"

    hue: str
    depth: Int32 | None
    note: str | None = None
    kind: str = key("class")
    likes: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Palette(Record):
    shades: tuple[Shade, ...]
    by_name: dict[str, Shade]
    darkest: Shade | None
    mean: MeanEstimate
    n_needed: int | None = 0


@dataclass(frozen=True, kw_only=True)
class Dots(Columns):
    NAME: ClassVar[str] = "dots"

    x: Sequence[Int32]
    y: Sequence[float]
    mark: Sequence[str | None] = key("class")


@dataclass(frozen=True, kw_only=True)
class PaintSettings:
    """Of a run made by hand."""

    out: str | None = out_field()
    """The folder."""


RED, BLUE = Shade(hue="red", depth=3, kind="warm"), Shade(hue="blue", depth=None, note="cold", kind="x", likes=("sea",))
MEAN = MeanEstimate.of(mean_t([1.0, 2.0, None]))
PALETTE = Palette(shades=(RED, BLUE), by_name={"a": RED}, darkest=None, mean=MEAN)
DOTS = Dots(x=[1, 2], y=[0.5, 1.5], mark=["dot", None])


@pytest.fixture
def run(tmp_path):
    def work(folder):
        folder.records(Shade.NAME, (shade.as_json() for shade in (RED, BLUE)))
        folder.table(Shade.NAME, Shade.table([RED, BLUE]))
        folder.table(Dots.NAME, DOTS.table())
        return Outcome(PALETTE.as_json(), View(("Painted.",)))

    return execute("paint", 1, PaintSettings(out=str(tmp_path / "run")), {}, work)


def test_the_object_has_the_fields_in_order_and_no_defaults():
    red = {"hue": "red", "depth": 3, "class": "warm"}
    assert list(RED.as_json().items()) == list(red.items())
    assert list(BLUE.as_json()) == ["hue", "depth", "note", "class", "likes"]
    assert PALETTE.as_json() == {
        "shades": [red, BLUE.as_json()],
        "by_name": {"a": red},
        "darkest": None,
        "mean": mean_t([1.0, 2.0, None]).as_json(),
    }
    unknown = Palette(shades=(), by_name={}, darkest=RED, mean=MEAN, n_needed=None)
    assert unknown.as_json()["n_needed"] is None
    assert Palette.from_json(unknown.as_json()) == unknown


def test_who_reads_gets_what_was_written(run):
    assert Palette.read(run) == PALETTE
    assert list(Shade.read_lines(run)) == [RED, BLUE]
    assert Shade.read_rows(run) == [RED, BLUE]
    dots = Dots.read(run)
    assert (dots.x, dots.y, dots.mark) == ([1, 2], [0.5, 1.5], ["dot", None])
    assert run.tables["dots"].schema == schema(Dots)


def test_an_optional_column_is_there_where_a_record_has_it():
    assert Shade.table([RED]).column_names == ["hue", "depth", "class"]
    assert [str(each.type) for each in Shade.table([BLUE]).schema][:2] == ["string", "int32"]
    assert Shade.table([]).column_names == ["hue", "depth", "class"]


def test_what_a_run_lacks_is_named_with_its_file(run):
    @dataclass(frozen=True, kw_only=True)
    class Other(Record):
        NAME: ClassVar[str] = "shades"
        shine: int

    for read in (Other.read, Other.read_rows, lambda run: list(Other.read_lines(run))):
        with pytest.raises(RunError, match=r"(run.json|shades.(parquet|jsonl)): found no shine; exp"):
            read(run)
    with pytest.raises(RunError, match=r"here: found no y, class; expected"):
        Dots.of(run.tables["dots"].select(["x"]), "here")
    with pytest.raises(AttributeError, match="Dots has no column z"):
        Dots.read(run).z  # noqa: B018
    (run.path / "dots.parquet").unlink()
    with pytest.raises(RunError, match=r"dots.parquet: found no table; expected"):
        Dots.read(run)
