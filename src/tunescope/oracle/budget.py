"""What calls may use: tokens in all, or money, bound from above before a call is made."""

from __future__ import annotations

from dataclasses import dataclass
from math import isfinite
from typing import Any

from tunescope.errors import SettingsError
from tunescope.oracle.usage import CallSize, Usage
from tunescope.views import counted


@dataclass(frozen=True, slots=True)
class Price:
    """Money per million tokens, in whatever currency it was given."""

    prompt: float
    completion: float

    @classmethod
    def parse(cls, text: str) -> Price:
        """Read IN,OUT; raises `SettingsError`."""
        try:
            values = [float(part) for part in text.split(",")]
        except ValueError:
            values = []
        if len(values) != 2 or not all(isfinite(value) and value >= 0 for value in values):
            raise SettingsError(f"--price {text}: expected IN,OUT per million tokens, for example --price 0.15,0.60")
        return cls(*values)

    def of(self, prompt_tokens: int, completion_tokens: int) -> float:
        """Return what tokens cost."""
        return (prompt_tokens * self.prompt + completion_tokens * self.completion) / 1e6


@dataclass(slots=True)
class Budget:
    """The limits, what was used, and what calls under way may still use.

    A call begins only if it and all under way fit into what is left, each at its longest: a prompt has at most a token
    for each byte, and a reply as many as it may have. Where a server's count can't be true, the most that it can be
    counts here, though less is shown.

    Attributes:
        prompt_tokens, completion_tokens: used, as the server counts, or estimated.
        n_replies: replies that were counted; n_estimated: those of them, and of other bodies, that are estimated.
        reserved: the most that calls under way may use, in prompts and in replies.
        elsewhere: the same of other processes with this journal, and of calls whose process was killed.
    """

    max_tokens: int | None = None
    max_cost: float | None = None
    price: Price | None = None
    prompt_tokens: int = 0
    completion_tokens: int = 0
    n_replies: int = 0
    n_estimated: int = 0
    reserved: tuple[int, int] = (0, 0)
    elsewhere: tuple[int, int] = (0, 0)
    _doubt: tuple[int, int] = (0, 0)
    """How much more the estimated replies may have used."""
    _overrun: int = 0
    """By how many tokens the longest reply was longer than it might be."""

    @property
    def tokens(self) -> int:
        """Tokens used."""
        return self.prompt_tokens + self.completion_tokens

    @property
    def cost(self) -> float | None:
        """Money used; None without a price."""
        return None if self.price is None else self.price.of(self.prompt_tokens, self.completion_tokens)

    def most(self, size: CallSize) -> tuple[int, int]:
        """Return the most tokens that a call may use, in its prompt and its reply.

        Where a server lets models think beyond the longest reply, twice as much as was seen of it comes on top.
        """
        return size.max_prompt, (size.max_tokens or 0) + 2 * self._overrun

    def fits(self, prompt: int, completion: int) -> bool:
        """Tell whether one more call has room."""
        prompt += self.prompt_tokens + self._doubt[0] + self.reserved[0] + self.elsewhere[0]
        completion += self.completion_tokens + self._doubt[1] + self.reserved[1] + self.elsewhere[1]
        if self.max_tokens is not None and prompt + completion > self.max_tokens:
            return False
        return self.max_cost is None or self.price is None or self.price.of(prompt, completion) <= self.max_cost

    def reserve(self, prompt: int, completion: int) -> None:
        """Set aside what a call may use; negative numbers give it back."""
        self.reserved = self.reserved[0] + prompt, self.reserved[1] + completion

    def use(self, usage: Usage, size: CallSize) -> None:
        """Count what a call used."""
        self.prompt_tokens += usage.prompt
        self.completion_tokens += usage.completion
        self.n_replies += usage.is_reply
        self.n_estimated += usage.is_estimated
        extra = usage.max_prompt - usage.prompt, usage.max_completion - usage.completion
        self._doubt = self._doubt[0] + extra[0], self._doubt[1] + extra[1]
        if size.max_tokens is not None:
            self._overrun = max(self._overrun, usage.completion - size.max_tokens)

    def summary(self) -> dict[str, Any]:
        """Return what was used, for run.json."""
        tokens = {"prompt": self.prompt_tokens, "completion": self.completion_tokens}
        return {"tokens": tokens, "cost": self.cost, "replies_estimated": self.n_estimated}

    def describe(self) -> str:
        """Say what was used."""
        money = "" if self.cost is None else f", {self.cost:.4f} spent"
        estimated = f" (estimated for {counted(self.n_estimated, 'call')})" if self.n_estimated else ""
        return f"{self.tokens:,} tokens{money}{estimated}"

    def describe_full(self, size: CallSize) -> str:
        """Say why a call has no room, and what to type."""
        prompt, completion = self.most(size)
        doubt, elsewhere = sum(self._doubt), sum(self.elsewhere)
        more = f", or {doubt:,} more" if doubt else ""
        others = f", and up to {elsewhere:,} by calls of other processes or killed ones" if elsewhere else ""
        return (
            f"the budget has no room for another call ({self.describe()}{more}{others}; a call may use up to "
            f"{prompt + completion:,}: a token for each of {size.n_bytes:,} bytes of prompt, "
            f"{prompt - size.n_bytes:,} of the server's own and a reply of {completion:,}); raise --max-tokens-total "
            "or --max-cost"
        )
