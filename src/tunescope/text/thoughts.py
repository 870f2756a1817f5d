"""The thoughts that a model puts before its reply, taken off. Pure, and linear in the text's length.

Thoughts stand at the beginning of a reply, between marks that its model's template has for them:

- tags: `<think>`, `<thinking>`, `<thought>`, `<reasoning>`, also with attributes, in capitals or with a prefix
  (`<seed:think>`): DeepSeek, Qwen, GLM, Phi, EXAONE, Seed and many more;
- `[THINK]` (Magistral), `◁think▷` (Kimi), `<|START_THINKING|>` (Command A), `<|begin_of_thought|>` (Sky-T1),
  `<|channel>thought` (Gemma 4), `<unused94>thought` (MedGemma);
- channels: `<|channel|>analysis<|message|>` before `<|channel|>final<|message|>` (gpt-oss), also where a server left
  the special tokens out ("analysis…assistantfinal…");
- sentences: "Here is my thought process:" before "Here is my response:" (Granite 3.2), "Here are my reasoning steps:"
  before "[BEGIN FINAL RESPONSE]" (Apriel).

Where the template itself opens the thought, the reply holds the closing mark alone. It counts where no opening mark is
before it. A text that only talks about such marks keeps them: in quotation marks or code, in the middle of a sentence,
or anywhere behind the reply's first words. A thought that never ends leaves no text.
"""

from __future__ import annotations

import json
import re
from bisect import bisect
from typing import NamedTuple

_NAMES = r"(?:\w{1,20}:)?(?:think(?:ing)?|thoughts?|reasoning)"
_TAG_CLOSES = re.compile(r"(?i:</(?:\w{1,20}:)?(?:think|thought|reasoning))")
_FAMILIES: dict[str, tuple[str, str, str]] = {
    "tags": (rf"(?i:<{_NAMES}(?:\s[^<>]{{0,200}})?>)", rf"(?i:</{_NAMES}\s{{0,20}}>)", ""),
    "mistral": (r"\[THINK\]", r"\[/THINK\]", "[/THINK]"),
    "kimi": ("◁think▷", "◁/think▷", "◁/think▷"),
    "cohere": (r"<\|START_THINKING\|>", r"<\|END_THINKING\|>", "<|END_THINKING|>"),
    "sky": (r"<\|begin_of_thought\|>", r"<\|end_of_thought\|>", "<|end_of_thought|>"),
    "gemma": (r"<\|channel>(?:thought\b)?", r"<channel\|>", "<channel|>"),
    "medgemma": (r"<unused94>(?:thought\b)?", r"<unused95>", "<unused95>"),
}
"""Of each family of marks: what opens a thought, what closes it, and the closing mark where it is one text alone."""
_CLOSING_TEXTS = [closing for _, _, closing in _FAMILIES.values() if closing]
_OPENING = re.compile("|".join(f"(?P<{name}>{opening})" for name, (opening, _, _) in _FAMILIES.items()))
_MARKS = {name: re.compile(f"(?P<opening>{opening})|{closing}") for name, (opening, closing, _) in _FAMILIES.items()}
_CLOSING = re.compile("|".join(closing for _, closing, _ in _FAMILIES.values()))
_LINE_END = re.compile(r"[ \t]*\n")
_BLANKS = re.compile(r"[\s\ufeff\u200b]*")
_SECTION = re.compile(r"^[ \t]*<(\w{1,40})>", re.MULTILINE)
_JSON = json.JSONDecoder(strict=False)
_FENCE = re.compile(r"^[ \t]*(?:```|~~~)", re.MULTILINE)
_QUOTES = {"`": "`", '"': '"', "'": "'", "“": "”", "‘": "’", "«": "»", "(": ")", "[": "]"}
_SENTENCES = (
    (
        re.compile(r"Here(?:'s|’s| is) my thought process:"),
        re.compile(r"^Here(?:'s|’s| is) my response:", re.MULTILINE),
    ),
    (re.compile(r"Here are my reasoning steps:"), re.compile(r"^(?=\[BEGIN FINAL RESPONSE\])", re.MULTILINE)),
)
_WRAPPERS = {
    "<|START_RESPONSE|>": "<|END_RESPONSE|>",
    "<|START_TEXT|>": "<|END_TEXT|>",
    "<|begin_of_solution|>": "<|end_of_solution|>",
    "[BEGIN FINAL RESPONSE]": "[END FINAL RESPONSE]",
}
"""Marks around the reply itself, of models that mark their thoughts too."""
_HEADER = re.compile(
    r"(?:<\|start\|>assistant[^<]{0,200})?(?:<\|channel\|>(?P<channel>\w{1,40})[^<]{0,200})?"
    r"(?:<\|constrain\|>[^<]{0,200})?<\|message\|>"
)
"""What stands before a message in gpt-oss's format (Harmony); one without a channel is the reply."""
_MESSAGE_END = re.compile(r"<\|(?:end|return|call)\|>\s*(?=\Z|<\|(?:start|channel)\|>)")
_GLUED = ("analysis", "assistantfinal")
"""What is left of Harmony's headers without the special tokens."""


class SplitText(NamedTuple):
    """A reply taken apart.

    Attributes:
        text: what it says; as it came where no thoughts are before it.
        thinking: the thoughts before it; None for none, "" where they are empty and nothing else came.
    """

    text: str
    thinking: str | None = None


def split_thoughts(text: str, is_whole: bool = False) -> SplitText:
    """Take the thoughts off a reply's beginning; `is_whole` says that the model ended it, and nothing cut it."""
    start = _blanks_end(text, 0)
    if text.startswith(("<|", _GLUED[0]), start):
        split = _split_channels(text, start)
        if split is not None:
            return split
    thoughts: list[str] = []
    marks = _Marks(text)
    while True:
        opening = _OPENING.match(text, start)
        begin = start if opening is None else opening.end()
        end = marks.find_lone_closing(start) if opening is None else marks.find_closing(opening, is_whole)
        if end is None and opening is None and not thoughts:
            begin, end = _find_sentences(text, start)
        if end is None:
            break
        thoughts.append(text[begin : end[0]])
        start = _blanks_end(text, end[1])
    if opening is not None:
        return SplitText("", _join([*thoughts, text[opening.end() :]]))
    inner = _unwrap(text, start)
    if inner is None and not thoughts:
        return SplitText(text)
    rest = text[start:] if inner is None else inner
    thinking = _join(thoughts)
    return SplitText(rest, thinking if thinking or not rest else None)


def opening_mark(prompt: str) -> str:
    """Return the mark with which a prompt opens a thought for the reply to go on with; "" where it opens none."""
    prompt = prompt.rstrip()
    marks = [mark.group() for mark in _OPENING.finditer(prompt) if mark.end() == len(prompt)]
    return marks[0] if marks else ""


class _Marks:
    """A text's marks, told from those that it only talks about."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._has_closings = any(mark in text for mark in _CLOSING_TEXTS) or _TAG_CLOSES.search(text) is not None
        self._last: dict[str, int] = {}
        is_fenced = self._has_closings and ("```" in text or "~~~" in text)
        self._fences = [fence.start() for fence in _FENCE.finditer(text)] if is_fenced else []

    def find_closing(self, opening: re.Match[str], is_whole: bool) -> tuple[int, int] | None:
        """Return where the mark stands that closes an opened thought and those opened within it; None for nowhere.

        Of a whole reply the last closing mark does, where thoughts were opened more often than closed.
        """
        depth, blanks_end = 1, _blanks_end(self._text, opening.end())
        last: tuple[int, int] | None = None
        for mark in _MARKS[str(opening.lastgroup)].finditer(self._text, opening.end()):
            if self._is_in_code(mark) or self._is_quoted(mark):
                continue
            if mark["opening"] is None:
                depth, last = depth - 1, mark.span()
            elif mark.start() == blanks_end:  # the template opened it, and the model once more
                blanks_end = _blanks_end(self._text, mark.end())
            elif not self._is_in_sentence(mark):
                depth += 1
            if depth == 0:
                break
        return last if depth == 0 or is_whole else None

    def find_lone_closing(self, start: int) -> tuple[int, int] | None:
        """Return where the first closing mark stands that has no opening mark before it; None for nowhere."""
        for mark in _CLOSING.finditer(self._text, start) if self._has_closings else ():
            if not (self._is_in_code(mark) or self._is_quoted(mark) or self._is_in_sentence(mark)):
                is_opened = _OPENING.search(self._text, start, mark.start()) is not None
                return None if is_opened or self._is_in_form(start, mark) else mark.span()
        return None

    def _is_in_form(self, start: int, mark: re.Match[str]) -> bool:
        """Tell whether a mark is in a text of the reply's JSON, or in a section between tags."""
        text = self._text
        if text.startswith("{", start):
            try:
                return _JSON.raw_decode(text, start)[1] > mark.start()
            except (ValueError, RecursionError):
                return False
        sections = _SECTION.findall(text, start, mark.start())
        if not sections:
            return False
        closing = f"</{sections[-1]}>"
        if closing not in self._last:
            self._last[closing] = text.rfind(closing)
        return self._last[closing] > mark.start() and text.rfind(f"<{sections[-1]}>", start, mark.start()) > text.rfind(
            closing, start, mark.start()
        )

    def _is_in_code(self, mark: re.Match[str]) -> bool:
        """Tell whether a mark is between two fences; one that is never closed doesn't count."""
        n_before = bisect(self._fences, mark.start())
        return n_before % 2 == 1 and (len(self._fences) - n_before) % 2 == 1

    def _is_quoted(self, mark: re.Match[str]) -> bool:
        """Tell whether a mark is between quotation marks, backticks or brackets that begin with it."""
        text, start, end = self._text, mark.start(), mark.end()
        before = text[start - 1 : start]
        return (
            before in _QUOTES and text[end : end + 1] == _QUOTES[before] and not text[start - 2 : start - 1].isalnum()
        )

    def _is_in_sentence(self, mark: re.Match[str]) -> bool:
        """Tell whether a mark is a word of its own in a line that goes on behind it, or begins a quotation."""
        text, start = self._text, mark.start()
        before = start
        while before > 0 and text[before - 1] in " \t":
            before -= 1
        if before == 0 or text[before - 1] == "\n":
            return False
        if before < start:
            return _LINE_END.match(text, mark.end()) is None
        return text[start - 1] in _QUOTES and (start == 1 or text[start - 2].isspace())


def _blanks_end(text: str, start: int) -> int:
    blanks = _BLANKS.match(text, start)
    return start if blanks is None else blanks.end()


def _join(thoughts: list[str]) -> str:
    return "\n\n".join(thought.strip() for thought in thoughts if thought.strip())


def _find_sentences(text: str, start: int) -> tuple[int, tuple[int, int] | None]:
    """Return where thoughts start behind the sentence that begins them, and where the one stands that ends them."""
    for begins, ends in _SENTENCES:
        beginning = begins.match(text, start)
        if beginning is not None:
            ending = ends.search(text, beginning.end())
            return beginning.end(), None if ending is None else ending.span()
    return start, None


def _unwrap(text: str, start: int) -> str | None:
    """Return the reply between the marks around it; None where it has none."""
    for opening, closing in _WRAPPERS.items():
        if text.startswith(opening, start):
            return text[start + len(opening) :].strip().removesuffix(closing).rstrip()
    return None


def _split_channels(text: str, start: int) -> SplitText | None:
    """Take a reply in Harmony's channels apart; None for another text."""
    if text.startswith(_GLUED[0], start):
        thinking, mark, rest = text[start + len(_GLUED[0]) :].partition(_GLUED[1])
        is_glued = mark and thinking[:1].strip()
        return SplitText(rest.lstrip(), thinking.strip()) if is_glued else None
    thoughts: list[str] = []
    header = _HEADER.match(text, start)
    if header is None:
        return None
    while header is not None:
        end = _MESSAGE_END.search(text, header.end())
        message = text[header.end() : len(text) if end is None else end.start()]
        if header["channel"] in (None, "final"):
            return SplitText(message.strip(), _join(thoughts) or (None if message.strip() else ""))
        thoughts.append(message)
        header = None if end is None else _HEADER.match(text, end.end())
    return SplitText("", _join(thoughts))
