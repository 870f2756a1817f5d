"""The small language of `--where` and `--fail-on`: parsed, never run as code.

    ifd_ppl < 1 and near_duplicate = false
    category in ('open_qa', 'closed_qa') or not refusal
    rating is null
    near_duplicate > 0.5%

Names are columns (or counts, for a gate); values are numbers, percentages, 'text', true, false
and null. Logic has three values, as in SQL: a comparison with something missing is missing.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any, NoReturn

from tunescope.errors import ExpressionError

if TYPE_CHECKING:
    import pyarrow as pa

Literal = float | int | str | bool | None
_TOKEN = re.compile(
    r"\s*(?:(?P<number>-?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?%?)"
    r"|(?P<text>'(?:[^']|'')*'|\"(?:[^\"]|\"\")*\")"
    r"|(?P<name>[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*)"
    r"|(?P<op><=|>=|!=|<>|==|=|<|>|\(|\)|,))"
)
_COMPARISONS = {"=": "equal", "==": "equal", "!=": "not_equal", "<>": "not_equal", "<": "less", "<=": "less_equal", ">": "greater", ">=": "greater_equal"}  # fmt: skip
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
    """Two parts joined by and / or."""

    word: str
    left: Node
    right: Node


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
        node = self.both()
        while self.take("or"):
            node = Logic("or", node, self.both())
        return node

    def both(self) -> Node:
        node = self.negated()
        while self.take("and"):
            node = Logic("and", node, self.negated())
        return node

    def negated(self) -> Node:
        return Not(self.negated()) if self.take("not") else self.comparison()

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
            return Name(word)
        if kind == "text":
            return Value(word[1:-1].replace(word[0] * 2, word[0]))
        if kind == "number":
            percent = word.endswith("%")
            number = float(word.rstrip("%"))
            if percent:
                return Value(number / 100, True)
            return Value(int(number) if number.is_integer() and abs(number) < 2**53 else number)
        if kind == "word" and word in ("true", "false", "null"):
            return Value({"true": True, "false": False, "null": None}[word])
        self.fail(f"found {word or 'the end'!r}, expected a name or a value", place)


def parse(text: str) -> Node:
    """Parse an expression; raises `ExpressionError` with the place marked."""
    try:
        return _Parser(text).whole()
    except RecursionError as error:
        raise ExpressionError("the expression is nested too deeply") from error


def names(node: Node | Value) -> Iterator[str]:
    """Yield the names an expression uses, each once, in order."""
    yield from dict.fromkeys(_names(node))


def _names(node: Node | Value) -> Iterator[str]:
    if isinstance(node, Name):
        yield node.name
    elif isinstance(node, Compare | Logic):
        yield from _names(node.left)
        yield from _names(node.right)
    elif isinstance(node, Not):
        yield from _names(node.part)
    elif isinstance(node, IsNull | Among):
        yield node.name.name


def require(node: Node, known: Mapping[str, Any]) -> None:
    """Refuse names that aren't `known`, with the nearest that are."""
    for name in names(node):
        if name not in known:
            close = get_close_matches(name, list(known), 3, 0.5) or sorted(known)[:12]
            raise ExpressionError(f"there is no {name!r} here; there is {', '.join(close) or 'nothing to name'}")


def mask(node: Node, table: pa.Table) -> pa.ChunkedArray:
    """Evaluate over the columns of a table: true, false or null per row.

    Raises:
        ExpressionError: an unknown column, or a comparison of text with a number.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    require(node, dict.fromkeys(table.column_names))

    def value(part: Name | Value) -> Any:
        return table[part.name] if isinstance(part, Name) else pa.scalar(part.value)

    def visit(part: Node) -> Any:
        if isinstance(part, Name):
            if not pa.types.is_boolean(table[part.name].type):
                raise ExpressionError(f"{part.name} isn't true or false; compare it with something")
            return table[part.name]
        if isinstance(part, Compare):
            try:
                return getattr(pc, part.function)(value(part.left), value(part.right))
            except pa.ArrowException as error:
                sides = " and ".join(f"{n} ({table[n].type})" for n in names(part))
                raise ExpressionError(f"can't compare {sides} with the other side") from error
        if isinstance(part, IsNull):
            return pc.is_null(table[part.name.name])
        if isinstance(part, Among):
            column = table[part.name.name]
            try:
                found = pc.is_in(column, value_set=pa.array(list(part.values), column.type))
            except (pa.ArrowException, TypeError) as error:
                raise ExpressionError(f"{part.name.name} ({column.type}) can't be among {part.values}") from error
            return pc.if_else(pc.is_null(column), pa.scalar(None, pa.bool_()), found)
        if isinstance(part, Not):
            return pc.invert(visit(part.part))
        join: Callable[[Any, Any], Any] = pc.and_kleene if part.word == "and" else pc.or_kleene
        return join(visit(part.left), visit(part.right))

    return visit(node)


def holds(node: Node, counts: Mapping[str, float | int | bool | None], whole: int | None) -> bool | None:
    """Evaluate a gate over single numbers; None where what it needs is missing.

    A count compared with a percentage is taken as a share of `whole`.
    """
    import pyarrow as pa

    used = list(names(node))
    require(node, counts)
    shares = {n for part in _compares(node) if any(isinstance(s, Value) and s.percent for s in (part.left, part.right)) for n in names(part)}

    def cell(name: str) -> float | int | bool | None:
        number = counts[name]
        if name not in shares or not isinstance(number, int) or isinstance(number, bool):
            return number
        return number / whole if whole else None

    result: bool | None = mask(node, pa.table({name: pa.array([cell(name)]) for name in used}))[0].as_py()
    return result


def _compares(node: Node) -> Iterator[Compare]:
    if isinstance(node, Compare):
        yield node
    elif isinstance(node, Logic):
        yield from _compares(node.left)
        yield from _compares(node.right)
    elif isinstance(node, Not):
        yield from _compares(node.part)
