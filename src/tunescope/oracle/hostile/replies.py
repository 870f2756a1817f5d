"""Replies that are cut off, that think, or that come in another form; and what comes after what."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

from tunescope.oracle.hostile.misbehaviour import (
    PIECE,
    THOUGHT,
    Asked,
    Gives,
    Misbehaviour,
    cut,
    error,
    message,
    text,
    whole,
)
from tunescope.oracle.hostile.server import Said, completion

_REFERENCE = "OpenAI API reference, chat completion object"
_DIGITS = "9" * 400


def _ending(name: str, source: str, finish_reason: str | None, gives: Gives = "cut") -> Misbehaviour:
    sends = f"cuts a reply in the middle, with finish_reason {json.dumps(finish_reason)}"
    return Misbehaviour(f"ends-{name}", sends, source, text(cut, finish_reason), gives, "one")


ENDINGS = (
    _ending("length", f"{_REFERENCE} (finish_reason)", "length"),
    _ending("max_tokens", "ferro-labs/ai-gateway#142", "max_tokens"),
    _ending("MAX_TOKENS", "QwenLM/qwen-code#9884", "MAX_TOKENS"),
    _ending("model_length", "camel-ai/camel#4266", "model_length"),
    _ending("error", "laravel/ai#955", "error", "open"),
    _ending("abort", "vllm-project/vllm#57082", "abort", "open"),
    _ending(
        "insufficient_system_resource",
        "DeepSeek API documentation, finish_reason",
        "insufficient_system_resource",
        "open",
    ),
    _ending("null", "QuantumNous/new-api#696", None),
    _ending("tool_calls", "NousResearch/hermes-agent#91717", "tool_calls"),
    _ending("stop", "BerriAI/litellm#10768", "stop", "unread"),
    Misbehaviour(
        "ends-content_filter",
        "cuts a reply in the middle, with finish_reason content_filter",
        f"{_REFERENCE} (finish_reason)",
        text(cut, "content_filter"),
        "refused",
        "one",
    ),
    Misbehaviour(
        "ends-SAFETY",
        "cuts a reply in the middle, with finish_reason SAFETY",
        "Gemini API reference, FinishReason",
        text(cut, "SAFETY"),
        "refused",
        "one",
    ),
    Misbehaviour(
        "ends-STOP", "ends a whole reply with finish_reason STOP", "QwenLM/qwen-code#9884", text(whole, "STOP"), "same"
    ),
    Misbehaviour(
        "ends-end_turn",
        "ends a whole reply with finish_reason end_turn",
        "ferro-labs/ai-gateway#142",
        text(whole, "end_turn"),
        "same",
    ),
)
"""How replies end."""


def _harmony(asked: Asked) -> str:
    return (
        f"<|channel|>analysis<|message|>{_thinks(asked)}<|end|><|start|>assistant<|channel|>final<|message|>"
        f"{asked.text}<|return|>"
    )


def _thinks(asked: Asked) -> str:
    """Return a thought that holds what looks like a reply."""
    return f"The {THOUGHT} goes first.\n{asked.text.replace('4', '2').replace('7 5', '1 9')}\nNo, {THOUGHT} again."


def _with_thinking(asked: Asked) -> list[dict[str, Any]]:
    thought = [{"type": "text", "text": _thinks(asked)}]
    return [{"type": "thinking", "thinking": thought, "closed": True}, {"type": "text", "text": asked.text}]


THOUGHTS = (
    Misbehaviour(
        "think-pair",
        "thinks between <think> and </think>",
        "vllm-project/vllm#13375",
        text(lambda asked: f"<think>\n{_thinks(asked)}\n</think>\n\n{asked.text}"),
        "same",
    ),
    Misbehaviour(
        "think-closed-only",
        "thinks before </think>, without <think>",
        "vllm-project/vllm#12999",
        text(lambda asked: f"{_thinks(asked)}\n</think>\n\n{asked.text}"),
        "same",
    ),
    Misbehaviour(
        "think-never-closed",
        "thinks until its tokens are used up",
        "QwenLM/qwen-code#8818",
        text(lambda asked: f"<think>\n{_thinks(asked)}", "length"),
        "cut",
        "one",
    ),
    Misbehaviour(
        "reasoning_content",
        "thinks in the field reasoning_content",
        "vLLM documentation, “Reasoning Outputs”",
        message(lambda asked: {"content": asked.text, "reasoning_content": _thinks(asked)}),
        "same",
    ),
    Misbehaviour(
        "reasoning-alone",
        "sends everything in the field reasoning",
        "ollama/ollama#15288",
        message(lambda asked: {"content": "", "reasoning": _thinks(asked)}, "length"),
        "cut",
        "one",
    ),
    Misbehaviour("harmony", "leaves Harmony's channels in the text", "kekzl/imp#768", text(_harmony), "same"),
    Misbehaviour(
        "thinking-parts",
        "sends its thoughts as a separate part",
        "infiniflow/ragflow#14805",
        text(_with_thinking),
        "same",
    ),
)
"""How models think aloud."""


def _as_object(change: Callable[[dict[str, Any]], str], otherwise: Callable[[str], str]) -> Callable[[Asked], Said]:
    """Return what changes a reply's object, or a text that is none."""

    def says(asked: Asked) -> str:
        try:
            value = json.loads(asked.text)
        except ValueError:
            return otherwise(asked.text)
        return change(value) if isinstance(value, dict) else otherwise(asked.text)

    return text(says)


def _numbers(value: Mapping[str, Any], number: Any) -> str:
    """Return an object with another number wherever it has one."""
    changed = {name: number if isinstance(each, int) else each for name, each in value.items()}
    return json.dumps(changed).replace('"DIGITS"', _DIGITS)


FORMS = (
    Misbehaviour(
        "fenced",
        "puts the reply into a Markdown fence",
        "OpenRouterTeam/typescript-sdk#204",
        text(lambda asked: f"```json\n{asked.text}\n```" if asked.text.startswith("{") else asked.text),
        "same",
    ),
    Misbehaviour(
        "other-keys",
        "adds a field that nobody asked for to the object",
        "OpenAI documentation, “Structured Outputs” (additionalProperties)",
        _as_object(lambda value: json.dumps({**value, "extra": PIECE}), str),
        "same",
    ),
    Misbehaviour(
        "other-order",
        "sends the object's fields in another order",
        "RFC 8259, section 4",
        _as_object(lambda value: json.dumps(dict(reversed(value.items()))), str),
        "same",
    ),
    Misbehaviour(
        "prompt-echoed",
        "repeats the prompt before the reply",
        "llm-d/llm-d-inference-sim#361",
        lambda asked: Said(completion(f"{asked.body['messages'][-1]['content']}\n{asked.text}")),
        "unread",
        "one",
    ),
    Misbehaviour(
        "twice",
        "says the reply twice",
        "RFC 8259, section 2",
        text(lambda asked: f"{asked.text}\n{asked.text}"),
        "unread",
        "one",
    ),
    Misbehaviour(
        "schema-ignored",
        "sends prose where an object or a form was asked for",
        "jundot/omlx#613",
        text(lambda asked: "That is a matter of taste."),
        "unread",
        "one",
    ),
    Misbehaviour(
        "number-as-text",
        "writes numbers as text",
        "OpenAgentHQ/openagent-eval#74",
        _as_object(lambda value: _numbers(value, "4"), lambda said: said.replace(": 4", ": 4/5")),
        "same",
    ),
    Misbehaviour(
        "off-the-scale",
        "gives 11 where the scale ends at 5 or 10",
        "petersimmons1972/proving-ground#7",
        _as_object(lambda value: _numbers(value, 11), lambda said: said.replace(": 4", ": 11").replace("7 5", "11 5")),
        "unread",
        "one",
    ),
    Misbehaviour(
        "400-digits",
        "sends a number of 400 digits",
        "Liquid4All/ifstruct#3",
        _as_object(
            lambda value: _numbers(value, "DIGITS"),
            lambda said: said.replace(": 4", f": {_DIGITS}").replace("7 5", f"{_DIGITS} 5"),
        ),
        "unread",
        "one",
    ),
    Misbehaviour(
        "nothing-but-blanks",
        "sends blanks until its tokens are used up",
        "OpenAI documentation, “JSON mode” (an unending stream of whitespace)",
        text(lambda asked: " \n" * 500, "length"),
        "cut",
        "one",
    ),
)
"""In which form a reply comes."""


def _after(n: int, then: Callable[[Asked], Said]) -> Callable[[Asked], Said]:
    """Return what is honest to the first `n` calls."""
    return lambda asked: Said(completion(asked.text)) if asked.number <= n else then(asked)


def _in_bursts(asked: Asked) -> Said:
    busy = asked.number % 4 in (1, 2)
    return error(503, "no room")(asked) if busy else Said(completion(asked.text))


ORDERS = (
    Misbehaviour(
        "runs-dry",
        "answers two calls, then 402",
        "QwenLM/qwen-code#73",
        _after(2, error(402, "This request requires more credits, or fewer max_tokens.", code=402)),
        "after some",
    ),
    Misbehaviour(
        "runs-dry-quietly",
        "answers two calls, then 400 “credit balance is too low”",
        "anthropics/claude-code#4208",
        _after(2, error(400, "Your credit balance is too low to access the Anthropic API.")),
        "after some",
    ),
    Misbehaviour(
        "goes-away",
        "answers two calls, then 404 for the model",
        "vllm-project/vllm#3486",
        _after(2, error(404, "The model `tiny` does not exist.", code=404)),
        "after some",
    ),
    Misbehaviour(
        "key-revoked",
        "answers two calls, then 401",
        "fredrikburmester/streamystats#223",
        _after(2, error(401, "Incorrect API key provided.")),
        "after some",
    ),
    Misbehaviour("in-bursts", "answers 503 to two calls of four", "RFC 9110, section 15.6.4", _in_bursts, "again"),
)
"""What comes after what."""

REPLIES = (*ENDINGS, *THOUGHTS, *FORMS, *ORDERS)
