"""The small language of `--where` and `--fail-on`: parsed, never run as code.

    ifd_ppl < 1 and near_duplicate = false
    category in ('open_qa', 'closed_qa') or not refusal
    rating is null
    near_duplicate > 0.5%

Names are columns (or counts, for a gate), those with blanks or signs in back quotes: `my score`;
values are numbers, percentages, 'text', true, false and null. Logic has three values, as in SQL:
a comparison with something missing is missing.
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
_DEEPEST = 50
_WORDS = {"and", "or", "not", "in", "is", "null", "true", "false"}


@dataclass(frozen=True, slots=True)
class Name:
    """A column, or a count in a gate."""

    name: str


@dataclass(frozen=True, slots=True)
class Value:
    """A literal; `percent` says that it was written with a percent sign."""

    value: Literal
    percent: bool = False


@dataclass(frozen=True, slots=True)
class Compare:
    """left OP right; `function` is pyarrow.compute's name for OP."""

    function: str
    left: Name | Value
    right: Name | Value


@dataclass(frozen=True, slots=True)
class IsNull:
    """NAME is null."""

    name: Name


@dataclass(frozen=True, slots=True)
class Among:
    """NAME in (…)."""

    name: Name
    values: tuple[Literal, ...]


@dataclass(frozen=True, slots=True)
class Not:
    """Not …."""

    part: Node


@dataclass(frozen=True, slots=True)
class Logic:
    """Parts joined by and / or."""

    word: str
    parts: tuple[Node, ...]


Node = Name | Compare | IsNull | Among | Not | Logic


class _Parser:
    """Recursive descent, one method per level of binding."""

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
            self.tokens.append(("word", word.lower(), start) if word.lower() in _WORDS else (kind, word, start))
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

    def need(self, word: str) -> None:
        if self.take(word) is None:
            _, found, place = self.peek()
            self.fail(f"found {found or 'the end'!r}, expected {word!r}", place)

    def whole(self) -> Node:
        node = self.either()
        kind, word, place = self.peek()
        if kind != "end":
            self.fail(f"found {word!r}, expected and, or, or the end", place)
        return node

    def either(self) -> Node:
        return self.joined("or", lambda: self.joined("and", self.negated))

    def joined(self, word: str, part: Callable[[], Node]) -> Node:
        parts = [part()]
        while self.take(word):
            parts.append(part())
        return parts[0] if len(parts) == 1 else Logic(word, tuple(parts))

    def negated(self) -> Node:
        self.depth += 1
        if self.depth > _DEEPEST:
            self.fail(f"more than {_DEEPEST} levels of brackets and not", self.peek()[2])
        node = Not(self.negated()) if self.take("not") else self.comparison()
        self.depth -= 1
        return node

    def comparison(self) -> Node:
        if self.take("("):
            node = self.either()
            self.need(")")
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
            negative = self.take("not")
            self.need("null")
            return Not(IsNull(left)) if negative else IsNull(left)
        negative = self.take("not")
        if self.take("in"):
            among = Among(left, self.values())
            return Not(among) if negative else among
        if negative:
            self.need("in")
        return left

    def values(self) -> tuple[Literal, ...]:
        self.need("(")
        found: list[Literal] = []
        while True:
            place = self.peek()[2]
            item = self.operand()
            if not isinstance(item, Value) or item.value is None:
                self.fail("only numbers, texts, true and false can stand in a list", place)
            found.append(item.value)
            if not self.take(","):
                break
        self.need(")")
        return tuple(found)

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


def parse(text: str) -> Node:
    """Parse an expression; raises `ExpressionError` with the place marked."""
    return _Parser(text).whole()


def names(node: Node | Value) -> Iterator[str]:
    """Yield the names an expression uses, each once, in order."""
    yield from dict.fromkeys(_names(node))


def _names(node: Node | Value) -> Iterator[str]:
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
    elif isinstance(node, IsNull | Among):
        yield node.name.name


def validate_names(node: Node, known: Mapping[str, Any]) -> None:
    """Refuse names that aren't `known`, with the nearest that are."""
    for name in names(node):
        if name not in known:
            under = [full for full in known if full.startswith(f"{name}.")]
            close = under[:12] or get_close_matches(name, list(known), 3, 0.5) or sorted(known)[:12]
            raise ExpressionError(f"there is no {name!r} here; there is {', '.join(close) or 'nothing to name'}")


def mask(node: Node, table: pa.Table) -> pa.ChunkedArray:
    """Evaluate over the columns of a table: true, false or null per row.

    Raises:
        ExpressionError: an unknown column, or a comparison of text with a number.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    validate_names(node, dict.fromkeys(table.column_names))

    def value(part: Name | Value) -> Any:
        return table[part.name] if isinstance(part, Name) else pa.scalar(part.value)

    def compared(function: str, left: Name | Value, right: Name | Value) -> Any:
        sides = [value(left), value(right)]
        if any(pa.types.is_floating(side.type) for side in sides):  # whole numbers beyond 2^53 are rounded then
            sides = [side.cast(pa.float64(), safe=False) if pa.types.is_integer(side.type) else side for side in sides]
        try:
            return getattr(pc, function)(*sides)
        except pa.ArrowException as error:
            kinds = [
                f"{side.name} ({table[side.name].type})" if isinstance(side, Name) else repr(side.value)
                for side in (left, right)
            ]
            raise ExpressionError(f"can't compare {kinds[0]} with {kinds[1]}") from error

    def visit(part: Node) -> Any:
        if isinstance(part, Name):
            column = table[part.name]
            if pa.types.is_null(column.type):
                return column.cast(pa.bool_())
            if not pa.types.is_boolean(column.type):
                raise ExpressionError(f"{part.name} isn't true or false; compare it with something")
            return column
        if isinstance(part, Compare):
            return compared(part.function, part.left, part.right)
        if isinstance(part, IsNull):
            return pc.is_null(table[part.name.name])
        if isinstance(part, Among):
            return reduce(pc.or_kleene, [compared("equal", part.name, Value(item)) for item in part.values])
        if isinstance(part, Not):
            return pc.invert(visit(part.part))
        return reduce(pc.and_kleene if part.word == "and" else pc.or_kleene, map(visit, part.parts))

    return visit(node)


def holds(node: Node, counts: Mapping[str, float | int | bool | None], whole: int | None) -> bool | None:
    """Evaluate a gate over single numbers; None where what it needs is missing.

    A count compared with a percentage is taken as a share of `whole`.
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


def _as_shares(node: Node, shares: Mapping[str, float | None]) -> Node:
    """Let comparisons with a percentage ask for the share where there is one."""
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
