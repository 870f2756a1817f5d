"""What a call used: the server's count where that can be true, else an estimate; and the most that it can have used.

A tokenizer makes at most one token of a UTF-8 byte, and the longest tokens in use have 128 bytes (128 blanks, in the
vocabularies of Llama 3 and o200k). A server's number is believed between the two: never below what was sent and what
came, never above what there was room for. Pure.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import ceil
from typing import Any, NamedTuple

from tunescope.oracle.body import Body

BYTES_PER_TOKEN = {"low": 5.0, "expected": 4.0, "high": 2.5}
"""Bytes of UTF-8 per token: of English prose and code 4 (OpenAI's rule of thumb), of other scripts about as many where
the vocabulary knows them."""
TEMPLATE_TOKENS = 16
"""Tokens that a server's chat template usually adds to a prompt."""
_MOST_TEMPLATE_TOKENS = 1024
"""The most that it adds: some bring a system prompt of several hundred tokens."""
MESSAGE_BYTES = 16
"""What a template sets around each further message: at most so many tokens, so it counts like so many bytes."""
_LONGEST_TOKEN = 128
_MOST = 2**22
"""Tokens that no prompt and no reply has, for calls of which nothing else is known."""
_MOST_THOUGHTS = 2**18
"""Tokens of thoughts that are believed beyond the longest reply, which some servers don't count them into."""


def estimate_tokens(text: str | int, bound: str = "expected") -> int:
    """Estimate how many tokens a text (or so many bytes of UTF-8) has: low, expected or high."""
    return ceil((text if isinstance(text, int) else count_bytes(text)) / BYTES_PER_TOKEN[bound])


def count_bytes(text: str) -> int:
    """Count the bytes of a text in UTF-8."""
    return len(text) if text.isascii() else len(text.encode("utf-8", "surrogatepass"))


class CallSize(NamedTuple):
    """What is known of a call before it is made.

    Attributes:
        n_bytes: of the prompt in UTF-8, with its tools and schema, which servers put into it.
        max_tokens: the longest reply; None where the journal doesn't know (a batch's reply, or one of an older
            version, whose `n_bytes` are characters).
    """

    n_bytes: int
    max_tokens: int | None = None

    @property
    def max_prompt(self) -> int:
        """The most tokens that the prompt can have."""
        return self.n_bytes * (4 if self.max_tokens is None else 1) + _MOST_TEMPLATE_TOKENS


class Usage(NamedTuple):
    """What a call used.

    Attributes:
        prompt, completion: tokens, as the server counts them where that can be true, else estimated.
        max_prompt, max_completion: the most that they can be, where they are estimated; else the same.
        is_estimated: the server's count is missing, or can't be true.
        is_reply: what came is a reply of the API's.
    """

    prompt: int
    completion: int
    max_prompt: int
    max_completion: int
    is_estimated: bool
    is_reply: bool


def measure_usage(size: CallSize, body: Body) -> Usage:
    """Return what a call used whose body, of status 200, is this, whatever the body says."""
    try:
        record = body.record
    except (ValueError, RecursionError):
        record = None
    if size.n_bytes == 0 and isinstance(record, dict) and record.keys() == {"refused"}:
        return Usage(0, 0, 0, 0, is_estimated=False, is_reply=False)  # `journal.rejection`: nothing was paid for
    messages = _messages(record)
    n_bytes = len(body.raw) if messages is None else sum(map(_text_bytes, messages))
    prompt, completions, thoughts = _read_counts(record)
    if not _is_believable(prompt, size.n_bytes, _MOST if size.max_tokens is None else size.max_prompt):
        prompt = None
    longest = _MOST if size.max_tokens is None else max(n_bytes, size.max_tokens) + thoughts
    completion = next((each for each in completions if _is_believable(each, n_bytes, longest)), None)
    is_estimated = prompt is None or completion is None
    max_prompt = max_completion = 0
    if prompt is None:
        prompt = estimate_tokens(size.n_bytes) + TEMPLATE_TOKENS if size.n_bytes else 0
        max_prompt = size.max_prompt if size.n_bytes else 0
    if completion is None:
        completion = estimate_tokens(n_bytes)
        max_completion = min(n_bytes, max(completion, n_bytes if size.max_tokens is None else size.max_tokens))
    most = max(prompt, max_prompt), max(completion, max_completion)
    return Usage(prompt, completion, *most, is_estimated=is_estimated, is_reply=messages is not None)


def read_usage(record: Any) -> dict[str, int] | None:
    """Return the tokens that a reply counts; None where it doesn't, or says what no model can do."""
    prompt, completions, _ = _read_counts(record)
    if prompt is None or prompt > _MOST or not completions or completions[0] > _MOST:
        return None
    return {"prompt_tokens": prompt, "completion_tokens": completions[0]}


def _is_believable(n_tokens: int | None, n_bytes: int, most: int) -> bool:
    """Tell whether a server's number of tokens can be true of so many bytes, where there was room for `most`."""
    return n_tokens is not None and -(-n_bytes // _LONGEST_TOKEN) <= n_tokens <= most


def _read_counts(record: Any) -> tuple[int | None, tuple[int, ...], int]:
    """Return a body's number of prompt tokens, its numbers of reply tokens, the one to prefer first, and of thoughts.

    Some servers leave thoughts out of `completion_tokens`, and have them in `total_tokens` alone. The names are those
    of chat completions, or of OpenAI's Responses and of Anthropic (whose `input_tokens` leave out what was cached).
    """
    usage = record.get("usage") if isinstance(record, dict) else None
    if not isinstance(usage, Mapping):
        return None, (), 0
    prompt, completion = _number(usage.get("prompt_tokens")), _number(usage.get("completion_tokens"))
    if prompt is None and completion is None:
        prompt, completion = _number(usage.get("input_tokens")), _number(usage.get("output_tokens"))
        cached = [_number(usage.get(f"cache_{what}_input_tokens")) or 0 for what in ("creation", "read")]
        prompt = None if prompt is None else prompt + sum(cached)
    total, details = _number(usage.get("total_tokens")), usage.get("completion_tokens_details")
    thoughts = _number(details.get("reasoning_tokens")) if isinstance(details, Mapping) else None
    candidates = {completion}
    if total is not None and prompt is not None and total - prompt > (completion or 0):
        candidates.add(total - prompt)
    if prompt is None and total is not None and completion is not None and total >= completion:
        prompt = total - completion
    ordered = sorted((each for each in candidates if each is not None), reverse=True)
    return prompt, tuple(ordered), thoughts if thoughts is not None and thoughts <= _MOST_THOUGHTS else 0


def _number(value: Any) -> int | None:
    """Return a count of tokens; None for what is none."""
    if type(value) is float and value.is_integer():
        value = int(value)
    return value if type(value) is int and value >= 0 else None


def _messages(record: Any) -> list[Mapping[str, Any]] | None:
    """Return the messages of a reply; None for a body that isn't the API's."""
    choices = record.get("choices") if isinstance(record, dict) else None
    if not isinstance(choices, list) or not choices:
        return None
    messages: list[Any] = [choice.get("message") if isinstance(choice, dict) else None for choice in choices]
    return messages if all(isinstance(message, dict) for message in messages) else None


def _text_bytes(message: Mapping[str, Any]) -> int:
    """Count the bytes of all texts in a message but its role: content, its parts, thoughts, tool calls' arguments."""
    total, waiting = 0, [value for name, value in message.items() if name != "role"]
    while waiting:
        each = waiting.pop()
        if isinstance(each, str):
            total += count_bytes(each)
        elif isinstance(each, dict):
            waiting.extend(each.values())
        elif isinstance(each, list):
            waiting.extend(each)
    return total
