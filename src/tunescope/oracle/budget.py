"""What calls may use: tokens in all, or money, known before a call is made as well as it can be."""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil, isfinite

from tunescope.errors import RejectedRequest, RetryableError, SettingsError
from tunescope.oracle.api import parse_reply

CHARACTERS_PER_TOKEN = {"low": 5.0, "expected": 4.0, "high": 2.5}
"""Characters per token of English prose and of code (OpenAI's rule of thumb is 4); other scripts have fewer."""


def estimate_tokens(characters: int, bound: str = "expected") -> int:
    """Estimate how many tokens a text has: low, expected or high."""
    return ceil(characters / CHARACTERS_PER_TOKEN[bound])


TEMPLATE_TOKENS = 16
"""Tokens that a server's chat template may add to a prompt."""


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

    A call begins only if it and all under way fit into what is left, each at its longest, so the limits
    hold as far as the longest is known: a prompt's tokens are estimated, high, before a server counts them.
    """

    max_tokens: int | None = None
    max_cost: float | None = None
    price: Price | None = None
    prompt_tokens: int = 0
    completion_tokens: int = 0
    reserved_prompt: int = 0
    reserved_completion: int = 0

    @property
    def tokens(self) -> int:
        """Tokens used."""
        return self.prompt_tokens + self.completion_tokens

    @property
    def cost(self) -> float | None:
        """Money used; None without a price."""
        return None if self.price is None else self.price.of(self.prompt_tokens, self.completion_tokens)

    def fits(self, prompt: int, completion: int) -> bool:
        """Tell whether one more call has room."""
        prompt += self.prompt_tokens + self.reserved_prompt
        completion += self.completion_tokens + self.reserved_completion
        if self.max_tokens is not None and prompt + completion > self.max_tokens:
            return False
        return self.max_cost is None or self.price is None or self.price.of(prompt, completion) <= self.max_cost

    def reserve(self, prompt: int, completion: int) -> None:
        """Set aside what a call may use; negative numbers give it back."""
        self.reserved_prompt += prompt
        self.reserved_completion += completion

    def use(self, prompt: int, completion: int) -> None:
        """Count what a reply used."""
        self.prompt_tokens += prompt
        self.completion_tokens += completion

    def count_reply(self, n_characters: int | None, body: bytes) -> None:
        """Count what a call used: by the server's count, else estimated from the prompt's and the reply's characters.

        A reply without text, as of a model that spent all its tokens on thinking, counts where the server counted it.
        """
        try:
            reply = parse_reply(body)
        except RetryableError:
            return
        except RejectedRequest as error:
            if error.usage is not None:
                self.use(error.usage["prompt_tokens"], error.usage["completion_tokens"])
            return
        if reply.usage is not None:
            self.use(reply.usage["prompt_tokens"], reply.usage["completion_tokens"])
            return
        prompt = 0 if n_characters is None else estimate_tokens(n_characters) + TEMPLATE_TOKENS
        self.use(prompt, estimate_tokens(len(reply.text)))

    def describe(self) -> str:
        """Say what was used."""
        money = "" if self.cost is None else f", {self.cost:.4f} spent"
        return f"{self.tokens:,} tokens{money}"
