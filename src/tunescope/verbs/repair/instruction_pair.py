"""A row as a repair sees it: one instruction, its input where there is one, one response."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING

from tunescope.oracle.nonces import make_nonces

if TYPE_CHECKING:
    from tunescope.rows import Message, Row, RowFile


class NotApplicable(Exception):
    """A row that no repair applies to; the text is the reason, and the word before its colon names the kind."""


@dataclass(frozen=True)
class InstructionPair:
    """One row's texts. `input` is the part of the user's message that comes from a column of its own ("" for none)."""

    row: Row
    system: str
    instruction: str
    input: str
    response: str

    def texts(self) -> dict[str, str]:
        """Return the texts that prompts may use, by name."""
        names = ("system", "instruction", "input", "response")
        return {name: getattr(self, name) for name in names}

    @cached_property
    def fence(self) -> str:
        """The code in the lines around the texts in a prompt; none of them holds it, so a reply that does copies."""
        return make_nonces(*self.texts().values()).delimiter

    def without_input(self, instruction: str) -> str:
        """Return a new instruction without the row's input, where an oracle repeated it as a block of its own.

        A block stands behind a blank line, or behind a label ("Input:"). Words that end a sentence stay.
        """
        given, whole = self.input.strip(), instruction.rstrip()
        block = _BLOCK.search(whole.removesuffix(given)) if given and whole.endswith(given) else None
        return instruction if block is None else whole[: block.start()].rstrip()

    def messages(self, instruction: str, response: str) -> tuple[Message, ...]:
        """Return the row's messages with other texts; the input stays."""
        user = f"{instruction}\n\n{self.input}" if self.input else instruction
        *before, question, answer = self.row.messages
        asked = question if user == question.content else replace(question, content=user)
        return (*before, asked, replace(answer, content=response))


_BLOCK = re.compile(
    r"(?:(?:^|\n)(?:[ \t*#_-]*(?:the )?input(?: text)?[*_ \t]*:[*_ \t]*|=== \w+ input ===[ \t]*)|\n[ \t]*\n|^)\s*\Z",
    re.IGNORECASE,
)
"""What stands before a block that repeats the input: a label, our prompts' own line, a blank line, or nothing."""
_WITH_INPUT = ("alpaca", "preference")
"""Formats that may have a column for the input."""


def read_pair(row: Row, like: RowFile, rewrites_instructions: bool) -> InstructionPair:
    """Return a row's texts; of a preference row, with the chosen response.

    Raises:
        NotApplicable: several turns, tools, media, thinking text, nothing to ask about, or a new instruction for
            a preference row.
    """
    from tunescope.text.words import visible

    if row.tools or any(m.tool_calls or m.tool_call_id or m.role == "tool" for m in row.messages):
        raise NotApplicable("tools: not applicable to rows with tools")
    if row.media:
        raise NotApplicable("media: not applicable to rows with media, which the oracle wouldn't see")
    if row.rejected and rewrites_instructions:
        raise NotApplicable("preference: a new instruction would no longer fit the rejected response")
    roles = [message.role for message in row.messages]
    turns = roles.count("assistant")
    if turns != 1 or roles.count("user") != 1:
        raise NotApplicable(f"multi-turn: not applicable to {roles.count('user')} user and {turns} assistant messages")
    if roles[-2:] != ["user", "assistant"] or roles[:-2] not in ([], ["system"]):
        raise NotApplicable(f"roles: not applicable to the order {', '.join(roles)}")
    *before, question, answer = row.messages
    if answer.thinking is not None:
        raise NotApplicable("thinking: not applicable to a response with thinking text, which would no longer fit")
    user, response = question.content or "", answer.content or ""
    if not visible(user) or not visible(response):
        raise NotApplicable(f"empty: no {'response' if visible(user) else 'instruction'}")
    extra = row.fields.get(like.layout.columns.get("input", "")) if like.layout.format in _WITH_INPUT else None
    input_ = extra if isinstance(extra, str) and extra and user.endswith(f"\n\n{extra}") else ""
    instruction = user.removesuffix(f"\n\n{input_}") if input_ else user
    return InstructionPair(row, (before[0].content or "") if before else "", instruction, input_, response)
