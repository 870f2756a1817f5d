"""How a reply ended, by the word that its server gives for it.

Servers of the chat API, and gateways that pass other words through, name an ending in many ways (docs of OpenAI,
Azure, vLLM, SGLang, TensorRT-LLM, llama.cpp, Ollama, TGI, LMDeploy, Anthropic, Bedrock, Gemini, Mistral, Cohere,
DeepSeek, Together, watsonx.ai, Zhipu, Qianfan, OpenRouter). Only a word that is known to mean a natural end makes a
reply whole.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any, Literal

Ending = Literal["whole", "cut", "refused", "unknown"]
"""whole: the model ended its turn; cut: it, or the server, stopped before; refused: the server, or the model by a
field of the API, declines; unknown: the server doesn't say."""

_WHOLE = frozenset(
    {
        "stop",
        "end_turn",
        "stop_sequence",
        "eos",
        "eos_token",
        "end_id",
        "stop_words",
        "stop_token",
        "complete",
        "completed",
        "done",
        "end_of_text",
        "normal",
    }
)
"""Words for a natural end. Qianfan says `normal`, TensorRT-LLM `end_id`, Together `eos`, Cohere `COMPLETE`."""
_REFUSALS = frozenset(
    {
        "content_filter",
        "content_filtered",
        "refusal",
        "safety",
        "recitation",
        "blocklist",
        "prohibited_content",
        "spii",
        "model_armor",
        "image_safety",
        "image_recitation",
        "image_prohibited_content",
        "guardrail_intervened",
        "sensitive",
        "error_toxic",
    }
)
"""Words for a refusal. Anthropic says `refusal`, Bedrock `guardrail_intervened`, Zhipu `sensitive`, Cohere
`ERROR_TOXIC`, Gemini nine words from `SAFETY` on."""
_BROKEN_OFF = frozenset(
    {
        "error",
        "abort",
        "aborted",
        "cancelled",
        "canceled",
        "user_cancel",
        "timeout",
        "time_limit",
        "insufficient_system_resource",
        "network_error",
    }
)
"""Words for a reply that the server broke off for a cause that may pass."""
_MALFORMED = frozenset({"malformed_response", "malformed_function_call", "unexpected_tool_call", "too_many_tool_calls"})
"""Words for a reply that ended because of what the model said: a fragment at no limit that anybody set."""
_PREFIXES = ("finish_reason_", "finishreason.", "finish_reason.")
"""What stands before the word where a gateway writes the name of an enumeration."""


def _word(finish_reason: Any) -> str:
    """Return the word in one spelling; "" where there is none."""
    return _spelt(finish_reason) if isinstance(finish_reason, str) else ""


@lru_cache(64)
def _spelt(finish_reason: str) -> str:
    word = finish_reason.strip().lower().replace("-", "_").replace(" ", "_")
    for prefix in _PREFIXES:
        word = word.removeprefix(prefix)
    return "" if word in ("null", "none", "unspecified") else word


def ending_of(finish_reason: Any) -> Ending:
    """Return how a reply ended, from its `finish_reason`: text, null, or whatever else a server sends there."""
    word = _word(finish_reason)
    if not word:
        return "unknown"
    return "whole" if word in _WHOLE else "refused" if word in _REFUSALS else "cut"


def is_broken_off(finish_reason: Any) -> bool:
    """Tell a reply that the server broke off, and that may come whole when it is asked for again."""
    return _word(finish_reason) in _BROKEN_OFF


def is_malformed(finish_reason: Any) -> bool:
    """Tell a reply that ended in its midst from one that was cut at a limit, or for a reason that we don't know."""
    return _word(finish_reason) in _MALFORMED


def describe_refusal(finish_reason: str | None) -> str:
    """Say who declines, where the ending is a refusal."""
    word = _word(finish_reason)
    if word == "refusal":
        return "the server says that the model declines"
    return "the server's content filter" + ("" if word == "content_filter" else f" ({finish_reason})")
