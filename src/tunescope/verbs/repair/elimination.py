"""Which evolved instructions and responses are eliminated: the four rules of Evol-Instruct (`evolve`)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Literal, get_args

from tunescope.oracle.replies import ParsedReply, Status
from tunescope.text.declining import declines

if TYPE_CHECKING:
    from tunescope.oracle.request import Request
    from tunescope.verbs.repair.instruction_pair import InstructionPair

Rule = Literal["equal", "sorry", "empty", "copied"]
RULES: tuple[Rule, ...] = get_args(Rule)
"""The paper's rules of elimination, in its order: no information gained; a short response that says sorry; a response
of punctuation and stop words only; words of the evolving prompt in the instruction."""
RoundOutcome = Literal["held", "equal", "sorry", "empty", "copied", "unparsed", "refused", "truncated", "failed"]
OUTCOMES: tuple[RoundOutcome, ...] = get_args(RoundOutcome)
SHORT = 80
"""A response that says sorry counts as an answer from so many words on."""
COPIED = 6
"""So many words in a row that are in the prompt and in a new instruction count as copied."""
_PHRASES = (
    *(f"{which} {what}" for which in ("given", "rewritten", "created", "new") for what in ("prompt", "instruction")),
    "original instruction",
)
"""Phrases of a new instruction that refers to its own rewriting."""
NEW_INSTRUCTION = "new_instruction"
"""The field of a reply with the evolved instruction; the word in a text counts as copied."""
_OUTCOME_OF_STATUS: Mapping[Status, RoundOutcome] = {"ok": "held", "refused": "refused", "truncated": "truncated"}


def read_field(parsed: ParsedReply, name: str) -> tuple[RoundOutcome, str]:
    """Return "held" and the text of a reply's one field, or the outcome of a reply without it."""
    return _OUTCOME_OF_STATUS.get(parsed.status, "unparsed"), parsed.texts.get(name, "")


def find_copied_words(request: Request, new: str, old: InstructionPair) -> str:
    """Return words of the prompt that are in a new instruction but not in the row; "" for none."""
    from tunescope.text.words import words

    texts = old.texts().values()
    prompts = "\n".join(request.render(reply_format).prompt for reply_format in ("json", "tags"))
    old_words = [f" {' '.join(words(text))} " for text in texts]
    new_words = f" {' '.join(words(new))} "
    phrases = {
        phrase
        for phrase in (*_PHRASES, NEW_INSTRUCTION)
        if f" {phrase} " in new_words and not any(f" {phrase} " in text for text in old_words)
    }
    lines = _lines(new) & _lines(prompts) - set().union(*map(_lines, texts))
    runs = _runs(new) & _runs(prompts) - set().union(*map(_runs, texts))
    return min(phrases or lines | runs, default="")


def _lines(text: str) -> set[str]:
    """Return the lines of a text that aren't blank."""
    return {line.strip() for line in text.splitlines()} - {""}


def _runs(text: str) -> set[str]:
    """Return every run of `COPIED` words."""
    from tunescope.text.words import words

    all_words = words(text)
    return {" ".join(all_words[start : start + COPIED]) for start in range(len(all_words) - COPIED + 1)}


def check_response(parsed: ParsedReply) -> tuple[RoundOutcome, str]:
    """Return "held" for a response that is complete, no short apology, and not only stop words; else why it isn't."""
    from tunescope.text.words import stop_words, words

    if parsed.status == "refused":
        return "refused", parsed.problem
    if parsed.status == "truncated":
        return "truncated", "the response"
    if parsed.status == "unparsed":
        return "unparsed", "the response"
    all_words = words(parsed.text)
    if "sorry" in all_words and len(all_words) < SHORT:
        return "sorry", f"{len(all_words)} words"
    if not set(all_words) - stop_words():
        return "empty", ""
    if len(all_words) < SHORT and declines(parsed.text):
        return "refused", "the response"
    return "held", ""
