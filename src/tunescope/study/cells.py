"""Cells: a step with one choice of everything that varies, and what it needs of other cells.

What a cell makes is a folder that isn't known before it ran. Until then the cells that use it hold its `token`.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Generator, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path
from typing import Any, NamedTuple

from tunescope.errors import SettingsError
from tunescope.study.recipe import REFERENCE, Recipe, RecipeStep, Repeat, Verbatim, references, texts

_TOKEN = re.compile("\0([^\0]+)\0")


@dataclass(frozen=True, slots=True)
class Variant:
    """A step with one choice of everything that varies: a cell.

    Attributes:
        label: what varies → its value.
        settings: of the verb, with tokens for what other cells make.
        round: which round of a loop it is in, in words.
        key: no other cell of the recipe has it.
        needs: keys of the cells that it uses.
        spelled_out: values are named in full, since two of the step's have one short name.
    """

    step: str
    label: Mapping[str, Any]
    verb: str
    settings: Mapping[str, Any]
    round: str = ""
    key: str = ""
    needs: tuple[str, ...] = ()
    spelled_out: bool = False

    @property
    def name(self) -> str:
        """Name it like `tune (method=lora)` or `tune (round 2, method=lora)`."""
        values = {key: str(value) if self.spelled_out else Path(str(value)).name for key, value in self.label.items()}
        chosen = ", ".join(filter(None, [self.round, *(f"{key}={value}" for key, value in values.items())]))
        return f"{self.step} ({chosen})" if chosen else self.step

    @property
    def token(self) -> str:
        """What stands for its run folder in the settings of other cells."""
        return f"\0{self.key}\0"

    def settings_with(self, folders: Mapping[str, str]) -> dict[str, Any]:
        """Return the settings with the run folders, by key, of the cells that it needs.

        A list names a folder once, though several cells may have made the same run.
        """
        return {name: _put_in(value, folders) for name, value in self.settings.items()}


def _put_in(value: Any, folders: Mapping[str, str]) -> Any:
    if isinstance(value, list | tuple):
        there = [_put_in(each, folders) for each in value]
        return [each for n, each in enumerate(there) if each == value[n] or each not in there[:n]]
    if isinstance(value, str) and not isinstance(value, Verbatim):
        return _TOKEN.sub(lambda match: folders.get(match[1], match[0]), value)
    return value


class LoopEnd(NamedTuple):
    """The end of a loop's round: whether it goes on is decided by the runs of these cells."""

    loop: Repeat
    looked_at: tuple[Variant, ...]


Done = Mapping[str, Sequence[tuple[Mapping[str, Any], str]]]
"""Name → (label, path or token) of each variant; an input of one file has one without a label."""


class _Expansion:
    """Steps → cells, in order; the names that steps refer to mean the latest cells."""

    def __init__(self, recipe: Recipe) -> None:
        self.made: dict[str, Sequence[tuple[Mapping[str, Any], str]]] = {
            name: [({name: path} if len(paths) > 1 else {}, path) for path in paths]
            for name, paths in recipe.inputs.items()
        }
        self.cells: dict[str, Variant] = {}
        self.also_needs: dict[str, tuple[str, ...]] = {}
        """Name of a step → cells without which nothing may use it: those at which a loop stopped undecided."""

    def cells_of(self, step: RecipeStep, round: str = "") -> list[Variant]:
        """Return a step's cells; from then on its name means these."""
        also = [key for name in sorted(step.references()) for key in self.also_needs.get(name, ())]
        cells = []
        for number, variant in enumerate(variants(step, self.made)):
            used = [key for text in texts(variant.settings) for key in _TOKEN.findall(text)]
            needs = [key for key in used if key in self.cells]
            key = f"{step.name}/{round}/{number}"
            cells.append(replace(variant, round=round, key=key, needs=tuple(dict.fromkeys([*needs, *also]))))
        names = Counter(cell.name for cell in cells)
        cells = [replace(cell, spelled_out=names[cell.name] > 1) for cell in cells]
        self.cells |= {cell.key: cell for cell in cells}
        self.made[step.name] = [(cell.label, cell.token) for cell in cells]
        return cells


def expand(recipe: Recipe, is_plan: bool = False) -> Generator[Variant | LoopEnd, bool | None, None]:
    """Yield the recipe's cells in order, and the end of every round of a loop but the last.

    After a `LoopEnd`, send whether the loop is over; None where nobody can know, and then what uses the loop's steps
    needs the cells that it looks at. In a plan a loop has one round, which stands for all.
    """
    expansion = _Expansion(recipe)
    for step in recipe.steps:
        if not isinstance(step, Repeat):
            yield from expansion.cells_of(step)
            continue
        for number in range(1, step.at_most + 1):
            words = f"at most {step.at_most} times" if is_plan else f"round {number}"
            for each in step.steps:
                yield from expansion.cells_of(each, words)
            if is_plan or number == step.at_most:
                break
            looked_at = tuple(cell for cell in expansion.cells.values() if cell.step == step.of and cell.round == words)
            is_over = yield LoopEnd(step, looked_at)
            if is_over is None:
                keys = tuple(cell.key for cell in looked_at)
                expansion.also_needs |= {each.name: keys for each in step.steps}
            if is_over is not False:
                break


def planned_cells(recipe: Recipe) -> list[Variant]:
    """Return every cell, those of a loop once."""
    return [cell for cell in expand(recipe, is_plan=True) if isinstance(cell, Variant)]


def variants(step: RecipeStep, done: Done) -> Iterator[Variant]:
    """Yield the step's variants: its own lists crossed, then one per variant of what it refers to.

    Raises:
        SettingsError: what it varies and the steps that it refers to have no value in common.
    """
    agree = False
    also_varied = {*step.vary}
    lists = [list(_choices(values, done, also_varied - {key})) for key, values in step.vary.items()]
    scalars = [name for value in step.settings.values() if not isinstance(value, list) for name in references(value)]
    for chosen in product(*lists):
        own = {key: choice.shown for key, choice in zip(step.vary, chosen, strict=True)}
        varied = {key: choice.value for key, choice in zip(step.vary, chosen, strict=True)}
        if any(own[key] != value for choice in chosen for key, value in choice.made_with.items()):
            continue
        for label, picked in _picks(scalars, done):
            if any(label.get(key, value) != value for key, value in own.items()):
                continue  # a step that it refers to varies the same setting; only equal values go together
            settings = {key: _resolve(value, {**done, **picked}) for key, value in step.settings.items()} | varied
            agree = True
            yield Variant(step.name, {**label, **own}, step.verb, settings)
    if not agree:
        raise SettingsError(f"step {step.name}: what it varies and what it refers to have no value in common")


def _picks(names: Sequence[str], done: Done) -> Iterator[tuple[dict[str, Any], Done]]:
    """Choose a variant of each name so that all agree on what they share; yield the joint label and the choice."""
    names = list(dict.fromkeys(names))
    for picks in product(*(done[name] for name in names)):
        label: dict[str, Any] = {}
        if all(label.setdefault(key, value) == value for own, _ in picks for key, value in own.items()):
            yield label, {name: [pick] for name, pick in zip(names, picks, strict=True)}


class _Choice(NamedTuple):
    """A value that a setting takes, and what it is called; `made_with` is what it needs other settings to be."""

    shown: Any
    value: Any
    made_with: Mapping[str, Any]

    @property
    def called(self) -> tuple[str, str]:
        """What tells it from other choices."""
        return str(self.shown), str(sorted(self.made_with.items()))


def _choices(values: Sequence[Any], done: Done, also_varied: Set[str]) -> Iterator[_Choice]:
    """Yield the choices of a setting; of those that are called the same, each also says what it is of."""
    choices = [(choice, value) for value in values for choice in _fan(value, done, also_varied)]
    count = Counter(choice.called for choice, _ in choices)
    for choice, value in choices:
        longer = choice._replace(shown=", ".join([*references(value), str(choice.shown)]))
        yield choice if count[choice.called] == 1 else longer


def _fan(value: Any, done: Done, also_varied: Set[str] = frozenset()) -> Iterator[_Choice]:
    """Yield a value once per variant of what it refers to.

    It is called by what varies in these, but for what the step itself varies too, else by their names.
    """
    names = list(references(value))
    for label, picked in _picks(names, done):
        own = [str(each) for key, each in label.items() if key not in also_varied]
        shown = ", ".join(own) or ", ".join(names) or value
        made_with = {key: each for key, each in label.items() if key in also_varied}
        yield _Choice(shown, _resolve(value, {**done, **picked}), made_with)


def _resolve(value: Any, done: Done) -> Any:
    if isinstance(value, str) and not isinstance(value, Verbatim):
        return REFERENCE.sub(lambda match: done[match[1]][0][1], value)
    if isinstance(value, list):
        return [choice.value for item in value for choice in _fan(item, done)]
    return value
