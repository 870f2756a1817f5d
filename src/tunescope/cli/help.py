"""What `--help` shows: a verb's usage, its options under headings (its own first), defaults, and how a page looks."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator
from dataclasses import Field, fields
from inspect import get_annotations
from typing import TYPE_CHECKING, Any, get_origin, get_type_hints

from tunescope.settings import as_option, help_of, is_required
from tunescope.terminal import fold

if TYPE_CHECKING:
    from cyclopts.help import HelpEntry, HelpPanel
    from rich.console import Console, ConsoleOptions

_INPUT, _OWN, OUTPUT = "Input", "Options", "Output"
_LABEL_COLUMNS = {"command": 14, "parameter": 30}
"""Columns for names; a longer name has a line for itself."""


def usage(name: str, settings: type[Any]) -> str:
    """Return a verb's usage: `tunescope compare [OPTIONS] A B`."""
    hints = get_type_hints(settings)
    needed, words = [], []
    for f in fields(settings):
        if f.metadata.get("positional"):
            word = positional_label(f.name, hints[f.name])
            words.append(word if is_required(f) else f"[{word}]")
        elif is_required(f):
            needed.append(f"{as_option(f.name)} {positional_label(f.name)}")
    return " ".join(["Usage: tunescope", name, *needed, "[OPTIONS]", *words])


def positional_label(name: str, hint: Any = None) -> str:
    """Return what stands for a setting that is typed without its name: `ROWS...` where several may be given."""
    return f"{name.strip('-_').replace('-', '_').upper()}{'...' if get_origin(hint) is tuple else ''}"


def headings(settings: type[Any]) -> dict[str, str]:
    """Return the heading of each field, its own headings first, then those of the settings it shares.

    A field that is typed by position is input. Else its metadata names a heading, or the first class that
    declares it does, as `HELP_GROUP`, where several verbs share it.
    """
    own: dict[str, list[str]] = {_INPUT: [], _OWN: []}
    shared: dict[str, list[str]] = {}
    output: list[str] = []
    for f in fields(settings):
        first = next(owner for owner in reversed(settings.__mro__) if f.name in get_annotations(owner))
        common: str = vars(first).get("HELP_GROUP", "")
        title = f.metadata.get("group") or common
        if f.metadata.get("positional"):
            own[_INPUT].append(f.name)
        elif title == OUTPUT:
            output.append(f.name)
        elif common:
            shared.setdefault(title, []).append(f.name)
        else:
            own.setdefault(title or _OWN, []).append(f.name)
    return {name: title for title, names in [*own.items(), *shared.items(), (OUTPUT, output)] for name in names}


def help_text(settings: type[Any], declared: Field[Any]) -> str:
    """Return the sentence under a field, with the range of its numbers or its choices behind it."""
    limits, choices = declared.metadata.get("range"), declared.metadata.get("choices")
    notes = [f"[{limits}]"] if limits else [f"[choices: {', '.join(choices)}]"] if choices else []
    return " ".join([help_of(settings, declared.name), *notes])


def default_text(default: Any) -> str | bool:
    """Return a default as help shows it, 0 and false included; False for what has none."""
    if default is None or default == ():
        return False
    if isinstance(default, tuple):
        return ", ".join(default)
    if isinstance(default, bool):
        return str(default).lower()
    return f"{default:g}" if isinstance(default, float) else str(default)


class Sections:
    """The look of a help page: a title, and under it a line per verb or option, wrapped at the terminal's width."""

    def render_usage(self, console: Console, options: ConsoleOptions, usage: Any) -> None:
        """Print the usage, on several lines where one is too short for it."""
        self._print(console, "\n  ".join(fold(str(usage), console.width - 2)) + "\n")

    def render_description(self, console: Console, options: ConsoleOptions, description: Any) -> None:
        """Print what the verb does."""
        self._print(console, _plain(description))

    def __call__(self, console: Console, options: ConsoleOptions, panel: HelpPanel) -> None:
        """Print one section."""
        if panel.entries:
            lines = [
                line for entry in panel.entries for line in _lines(entry, _LABEL_COLUMNS[panel.format], console.width)
            ]
            self._print(console, "\n".join(["", str(panel.title), *lines]))

    def _print(self, console: Console, text: str) -> None:
        console.print(text, highlight=False, markup=False, emoji=False, soft_wrap=True)


def _lines(entry: HelpEntry, column: int, width: int) -> Iterator[str]:
    """Lay out one verb or option: its name on the left, what it does on the right."""
    label = "  " + _label(entry)
    text = textwrap.wrap(_text(entry), max(30, width - column), break_on_hyphens=False, break_long_words=False)
    if len(label) > column - 2 or not text:
        yield label
    else:
        yield f"{label:{column}}{text.pop(0)}"
    yield from (" " * column + line for line in text)


def _label(entry: HelpEntry) -> str:
    if entry.positional_label is None:
        return " ".join(entry.display_labels_with_metavar)
    return positional_label(entry.positional_label, entry.type)


def _text(entry: HelpEntry) -> str:
    notes = [f"[choices: {', '.join(entry.choices)}]"] if entry.choices else []
    notes += [f"[default: {entry.default}]"] if entry.default is not None else []
    notes += ["[required]"] if entry.required else []
    return " ".join([_plain(entry.description), *notes])


def _plain(text: Any) -> str:
    """Return the words of a text of cyclopts'."""
    return str(getattr(text, "primary_renderable", text)).strip()
