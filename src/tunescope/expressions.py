"""The expression language of `--where` and `--fail-on`: parsed, never run as code.

    ifd_ppl < 1 and near_duplicate = false
    category in ('open_qa', 'closed_qa') or not refusal
    rating is null
    near_duplicate > 0.5%

Names are columns (or counts, for a gate). A name with spaces or signs stands in back quotes: `my score`.
Values are numbers, percentages, 'text', true, false and null. Logic has three values, as in SQL:
a comparison with a missing value is missing.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from decimal import Decimal
from difflib import get_close_matches
from functools import reduce
from typing import TYPE_CHECKING, Any, NoReturn

from tunescope.errors import ExpressionError

if TYPE_CHECKING:
    import pyarrow as pa

Literal = float | int | str | bool | None
_MAX_LISTED = 12
"""Names that an error lists."""
_TOKEN = re.compile(
    r"\s*(?:(?P<number>-?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?%?)"
    r"|(?P<text>'(?:[^']|'')*'|\"(?:[^\"]|\"\")*\")"
    r"|(?P<name>[^\W\d]\w*(?:\.[^\W\d]\w*)*|`[^`]+`)"
    r"|(?P<op><=|>=|!=|<>|==|=|<|>|\(|\)|,))"
)
_COMPARISONS = {
    "=": "equal",
    "==": "equal",
    "!=": "not_equal",
    "<>": "not_equal",
    "<": "less",
    "<=": "less_equal",
    ">": "greater",
    ">=": "greater_equal",
}
_MAX_DEPTH = 50
_KEYWORDS = {"and", "or", "not", "in", "is", "null", "true", "false"}


@dataclass(frozen=True, slots=True)
class Name:
    """A column, or a count in a gate."""

    name: str


@dataclass(frozen=True, slots=True)
class Value:
    """A literal; `percent` is whether it was written with a percent sign."""

    value: Literal
    percent: bool = False


@dataclass(frozen=True, slots=True)
class Compare:
    """left OP right; `function` is pyarrow.compute's name for OP."""

    function: str
    left: Name | Value
    right: Name | Value


@dataclass(frozen=True, slots=True)
class _IsNull:
    """NAME is null."""

    name: Name


@dataclass(frozen=True, slots=True)
class _InList:
    """NAME in (…)."""

    name: Name
    values: tuple[Literal, ...]


@dataclass(frozen=True, slots=True)
class Not:
    """Not …."""

    part: _Node


@dataclass(frozen=True, slots=True)
class Logic:
    """Parts joined by and / or."""

    word: str
    parts: tuple[_Node, ...]


_Node = Name | Compare | _IsNull | _InList | Not | Logic


class _Parser:
    """Recursive descent, one method per level of precedence."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.tokens: list[tuple[str, str, int]] = []
        place = 0
        while text[place:].strip():
            match = _TOKEN.match(text, place)
            if match is None or match.lastgroup is None:
                self.fail("a character that means nothing here", place + len(text[place:]) - len(text[place:].lstrip()))
            start = match.start(match.lastgroup)
            kind, word = match.lastgroup, match.group(match.lastgroup)
            self.tokens.append(("word", word.lower(), start) if word.lower() in _KEYWORDS else (kind, word, start))
            place = match.end()
        self.at = 0
        self.depth = 0

    def fail(self, found: str, place: int) -> NoReturn:
        raise ExpressionError(f"{found} in the expression:\n  {self.text}\n  {' ' * place}^")

    def peek(self) -> tuple[str, str, int]:
        return self.tokens[self.at] if self.at < len(self.tokens) else ("end", "", len(self.text))

    def take(self, *words: str) -> str | None:
        kind, word, _ = self.peek()
        if kind in ("op", "word") and word in words:
            self.at += 1
            return word
        return None

    def expect(self, word: str) -> None:
        if self.take(word) is None:
            _, token, place = self.peek()
            self.fail(f"found {token or 'the end'!r}, expected {word!r}", place)

    def whole(self) -> _Node:
        node = self.either()
        kind, word, place = self.peek()
        if kind != "end":
            self.fail(f"found {word!r}, expected and, or, or the end", place)
        return node

    def either(self) -> _Node:
        return self.joined("or", lambda: self.joined("and", self.negated))

    def joined(self, word: str, part: Callable[[], _Node]) -> _Node:
        parts = [part()]
        while self.take(word):
            parts.append(part())
        return parts[0] if len(parts) == 1 else Logic(word, tuple(parts))

    def negated(self) -> _Node:
        self.depth += 1
        if self.depth > _MAX_DEPTH:
            self.fail(f"more than {_MAX_DEPTH} levels of brackets and not", self.peek()[2])
        node = Not(self.negated()) if self.take("not") else self.comparison()
        self.depth -= 1
        return node

    def comparison(self) -> _Node:
        if self.take("("):
            node = self.either()
            self.expect(")")
            return node
        place = self.peek()[2]
        left = self.operand()
        sign = self.take(*_COMPARISONS)
        if sign is not None:
            right = self.operand()
            for side, other in ((left, right), (right, left)):
                if isinstance(side, Value) and side.value is None:
                    self.fail("nothing equals null; write NAME is null", place)
                if isinstance(side, Value) and isinstance(other, Value):
                    self.fail("a comparison without a name", place)
            return Compare(_COMPARISONS[sign], left, right)
        if not isinstance(left, Name):
            self.fail("a value where a name or a comparison was expected", place)
        if self.take("is"):
            negated = self.take("not")
            self.expect("null")
            return Not(_IsNull(left)) if negated else _IsNull(left)
        negated = self.take("not")
        if self.take("in"):
            in_list = _InList(left, self.values())
            return Not(in_list) if negated else in_list
        if negated:
            self.expect("in")
        return left

    def values(self) -> tuple[Literal, ...]:
        self.expect("(")
        values: list[Literal] = []
        while True:
            place = self.peek()[2]
            item = self.operand()
            if not isinstance(item, Value) or item.value is None:
                self.fail("a list takes only numbers, texts, true and false", place)
            values.append(item.value)
            if not self.take(","):
                break
        self.expect(")")
        return tuple(values)

    def operand(self) -> Name | Value:
        kind, word, place = self.peek()
        self.at += 1
        if kind == "name":
            return Name(word.strip("`"))
        if kind == "text":
            return Value(word[1:-1].replace(word[0] * 2, word[0]))
        if kind == "number":
            if word.endswith("%"):
                return Value(float(Decimal(word[:-1]) / 100), True)
            whole = word.lstrip("-").isdigit() and len(word) < 20 and abs(int(word)) < 2**63
            return Value(int(word) if whole else float(word))
        if kind == "word" and word in ("true", "false", "null"):
            return Value({"true": True, "false": False, "null": None}[word])
        return self.fail(f"found {word or 'the end'!r}, expected a name or a value", place)


def parse(text: str) -> _Node:
    """Parse an expression; raises `ExpressionError` with the place marked."""
    return _Parser(text).whole()


def names(node: _Node | Value) -> Iterator[str]:
    """Yield the names that an expression uses, each once, in order."""
    yield from dict.fromkeys(_names(node))


def _names(node: _Node | Value) -> Iterator[str]:
    if isinstance(node, Name):
        yield node.name
    elif isinstance(node, Compare):
        yield from _names(node.left)
        yield from _names(node.right)
    elif isinstance(node, Logic):
        for part in node.parts:
            yield from _names(part)
    elif isinstance(node, Not):
        yield from _names(node.part)
    elif isinstance(node, _IsNull | _InList):
        yield node.name.name


def validate_names(node: _Node, known: Mapping[str, Any]) -> None:
    """Check that every name in an expression is `known`.

    Raises:
        ExpressionError: one isn't; it lists the nearest names that are.
    """
    for name in names(node):
        if name not in known:
            under = [full for full in known if full.startswith(f"{name}.")]
            close = under or get_close_matches(name, list(known), 3, 0.5) or sorted(known)
            listed = ", ".join(close[:_MAX_LISTED]) or "nothing to name"
            more = f" and {len(close) - _MAX_LISTED} more" if len(close) > _MAX_LISTED else ""
            raise ExpressionError(f"there is no {name!r} here; there is {listed}{more}")


def mask(node: _Node, table: pa.Table) -> pa.ChunkedArray:
    """Evaluate over the columns of a table: true, false or null per row.

    Raises:
        ExpressionError: an unknown column, or a comparison of text with a number.
    """
    validate_names(node, dict.fromkeys(table.column_names))
    return _evaluate(node, table)


def _evaluate(node: _Node, table: pa.Table) -> Any:
    import pyarrow.compute as pc

    if isinstance(node, Name):
        return _boolean_column(node, table)
    if isinstance(node, Compare):
        return _compare(node.function, node.left, node.right, table)
    if isinstance(node, _IsNull):
        return pc.is_null(table[node.name.name])
    if isinstance(node, _InList):
        return reduce(pc.or_kleene, [_compare("equal", node.name, Value(item), table) for item in node.values])
    if isinstance(node, Not):
        return pc.invert(_evaluate(node.part, table))
    parts = [_evaluate(part, table) for part in node.parts]
    return reduce(pc.and_kleene if node.word == "and" else pc.or_kleene, parts)


def _boolean_column(name: Name, table: pa.Table) -> Any:
    import pyarrow as pa

    column = table[name.name]
    if pa.types.is_null(column.type):
        return column.cast(pa.bool_())
    if not pa.types.is_boolean(column.type):
        raise ExpressionError(f"{name.name} isn't true or false; compare it with something")
    return column


def _compare(function: str, left: Name | Value, right: Name | Value, table: pa.Table) -> Any:
    import pyarrow as pa
    import pyarrow.compute as pc

    sides = [table[side.name] if isinstance(side, Name) else pa.scalar(side.value) for side in (left, right)]
    if any(pa.types.is_floating(side.type) for side in sides):  # whole numbers beyond 2^53 are rounded then
        sides = [side.cast(pa.float64(), safe=False) if pa.types.is_integer(side.type) else side for side in sides]
    try:
        return getattr(pc, function)(*sides)
    except pa.ArrowException as error:
        types = [
            f"{side.name} ({table[side.name].type})" if isinstance(side, Name) else repr(side.value)
            for side in (left, right)
        ]
        raise ExpressionError(f"can't compare {types[0]} with {types[1]}") from error


def holds(node: _Node, counts: Mapping[str, float | int | bool | None], whole: int | None) -> bool | None:
    """Evaluate a gate over single numbers; None where a number that it needs is missing.

    A count that is compared with a percentage counts as its share of `whole`.
    """
    import pyarrow as pa

    validate_names(node, counts)
    shares = {
        f"{name} %": (count / whole if whole else None)
        for name in names(node)
        if isinstance(count := counts[name], int) and not isinstance(count, bool)
    }
    cells = {name: counts[name] for name in names(node)} | shares
    table = pa.table({name: pa.array([cell]) for name, cell in cells.items()})
    result: bool | None = mask(_as_shares(node, shares), table)[0].as_py()
    return result


def _as_shares(node: _Node, shares: Mapping[str, float | None]) -> _Node:
    """Replace a count that is compared with a percentage by its share, where there is one."""
    if isinstance(node, Logic):
        return replace(node, parts=tuple(_as_shares(part, shares) for part in node.parts))
    if isinstance(node, Not):
        return Not(_as_shares(node.part, shares))
    if isinstance(node, Compare) and any(isinstance(side, Value) and side.percent for side in (node.left, node.right)):
        left, right = (
            Name(f"{side.name} %") if isinstance(side, Name) and f"{side.name} %" in shares else side
            for side in (node.left, node.right)
        )
        return replace(node, left=left, right=right)
    return node
