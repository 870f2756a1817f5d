"""Errors: by status, and in the words that servers have for them."""

from __future__ import annotations

from tunescope.oracle.hostile.misbehaviour import Asked, Misbehaviour, error, page
from tunescope.oracle.hostile.server import Said

_OPENROUTER = "OpenRouter documentation, “Errors and Debugging”"
_CLOUDFLARE = "Cloudflare documentation, “Cloudflare 5xx errors”"


_LOGIN = "/login"
PAGES = {_LOGIN: Said(b"<html>Log in</html>", headers=(("content-type", "text/html"),))}
"""Where `login-page` sends people; for `serving`."""


def _plain(status: int, **fields: object) -> Said:
    return Said(dict(fields), status)


def _date(asked: Asked) -> Said:
    """Ask to wait until a moment that has passed by the time it is read."""
    return Said({"error": {"message": "Rate limit reached"}}, 429, (("retry-after", "Thu, 01 Jan 2026 00:00:00 GMT"),))


_ROW = (
    Misbehaviour(
        "too-long-openai",
        "answers 400 context_length_exceeded for one prompt",
        "Chanzhaoyu/chatgpt-web#372",
        error(
            400,
            "This model's maximum context length is 4096 tokens. However, you requested 4118 tokens.",
            type="invalid_request_error",
            param="messages",
            code="context_length_exceeded",
        ),
        "row",
        "one",
    ),
    Misbehaviour(
        "too-long-llama.cpp",
        "answers 400 exceed_context_size_error for one prompt",
        "ggml-org/llama.cpp#15780",
        error(
            400,
            "the request exceeds the available context size. try increasing the context size or enable context shift",
            code=400,
            type="exceed_context_size_error",
            n_prompt_tokens=1407,
            n_ctx=256,
        ),
        "row",
        "one",
    ),
    Misbehaviour(
        "too-long-vllm",
        "answers 400 with an error that isn't under “error” for one prompt",
        "vllm-project/vllm#4667",
        lambda asked: _plain(
            400, object="error", message="max_tokens must be at least 1, got -186.", type="BadRequestError", code=400
        ),
        "row",
        "one",
    ),
    Misbehaviour(
        "too-long-deepseek",
        "answers 400 invalid_request_error for one prompt",
        "evalstate/fast-agent#621",
        error(
            400,
            "This model's maximum context length is 131072 tokens. However, you requested 131134 tokens.",
            type="invalid_request_error",
            code="invalid_request_error",
        ),
        "row",
        "one",
    ),
    Misbehaviour(
        "too-long-llama-cpp-python",
        "answers 400 “Requested tokens exceed context window” for one prompt",
        "fedora-copr/logdetective-website#193",
        error(400, "Requested tokens (2285) exceed context window of 2048", type="invalid_request_error"),
        "row",
        "one",
    ),
    Misbehaviour(
        "too-long-in-500",
        "answers 500 “Context size has been exceeded.” for one prompt",
        "ggml-org/llama.cpp#19774",
        error(500, "Context size has been exceeded.", code=500, type="server_error"),
        "row",
        "one",
    ),
    Misbehaviour(
        "filtered-azure",
        "answers 400 content_filter for one prompt",
        "openai/openai-python#331",
        error(
            400,
            "The response was filtered due to the prompt triggering Azure OpenAI's content management policy.",
            param="prompt",
            code="content_filter",
            status=400,
        ),
        "row",
        "one",
    ),
    Misbehaviour(
        "flagged",
        "answers 403 for one prompt, because moderation flags it",
        _OPENROUTER,
        error(403, "Input was flagged by moderation", code=403, metadata={"reasons": ["self-harm"]}),
        "row",
        "one",
    ),
    Misbehaviour(
        "too-large-nginx",
        "answers 413 with nginx's page for one prompt",
        "open-webui/open-webui#3273",
        page(413, "413 Request Entity Too Large"),
        "row",
        "one",
    ),
    Misbehaviour(
        "unprocessable",
        "answers 422 with a list of complaints for one prompt",
        "nomtek/mistralai_client_dart#44",
        lambda asked: _plain(
            422,
            object="error",
            message={"detail": [{"type": "string_too_long", "loc": ["body", "messages", 0, "content"], "msg": "long"}]},
            type="invalid_request_error",
        ),
        "row",
        "one",
    ),
)
"""About one row."""

_STOP = (
    Misbehaviour(
        "bad-key",
        "answers 401 invalid_api_key",
        "popjane/free_chatgpt_api#3",
        error(401, "Incorrect API key provided.", type="invalid_request_error", code="invalid_api_key"),
        "key",
    ),
    Misbehaviour(
        "forbidden-key",
        "answers 403 to every call",
        "RFC 9110, section 15.5.4",
        error(403, "Forbidden"),
        "key",
    ),
    Misbehaviour(
        "bad-key-gemini",
        "answers 400 “API key not valid”",
        "BerriAI/litellm#14770",
        error(400, "API key not valid. Please pass a valid API key.", code=400, status="INVALID_ARGUMENT"),
        "key",
    ),
    Misbehaviour(
        "payment-required",
        "answers 402 “Insufficient credits”",
        "Gitlawb/openclaude#43",
        error(402, "Insufficient credits. This account never purchased credits.", code=402),
        "account",
    ),
    Misbehaviour(
        "no-credit-anthropic",
        "answers 400 “credit balance is too low”",
        "anthropics/claude-quickstarts#229",
        error(
            400,
            "Your credit balance is too low to access the Anthropic API. Please go to Plans & Billing.",
            type="invalid_request_error",
        ),
        "account",
    ),
    Misbehaviour(
        "no-quota-code",
        "answers 429 with the code insufficient_quota",
        "chatanywhere/GPT_API_free#229",
        error(
            429,
            "You exceeded your current quota, please check your plan and billing details.",
            type="insufficient_quota",
            code="insufficient_quota",
        ),
        "account",
    ),
    Misbehaviour(
        "no-quota-type",
        "answers 429 with the type insufficient_quota, and code null",
        "xtekky/gpt4free#80",
        error(
            429,
            "You exceeded your current quota, please check your plan and billing details.",
            type="insufficient_quota",
            code=None,
        ),
        "account",
    ),
    Misbehaviour(
        "no-model-vllm",
        "answers 404 “The model does not exist”",
        "vllm-project/vllm#3485",
        lambda asked: _plain(
            404, object="error", message="The model `tiny` does not exist.", type="NotFoundError", code=404
        ),
        "model",
    ),
    Misbehaviour(
        "no-model-groq",
        "answers 404 model_not_found",
        "continuedev/continue#10832",
        error(404, "The model `tiny` does not exist or you do not have access to it.", code="model_not_found"),
        "model",
    ),
)
"""About the key, the account or the model's name."""

_AGAIN = (
    Misbehaviour("timed-out", "answers 408 to the first call", _OPENROUTER, error(408, "timed out"), "again", "first"),
    Misbehaviour(
        "conflict",
        "answers 409 to the first call",
        "openai-python documentation, “Automatic Retries”",
        error(409, "conflict"),
        "again",
        "first",
    ),
    Misbehaviour(
        "too-early", "answers 425 to the first call", "RFC 8470, section 5.2", error(425, ""), "again", "first"
    ),
    Misbehaviour(
        "busy-seconds",
        "answers 429 with Retry-After in seconds to the first call",
        "RFC 9110, section 10.2.3",
        error(429, "Rate limit reached", ("retry-after", "0.02")),
        "again",
        "first",
    ),
    Misbehaviour(
        "busy-date",
        "answers 429 with Retry-After as a date to the first call",
        "RFC 9110, section 10.2.3",
        _date,
        "again",
        "first",
    ),
    Misbehaviour(
        "busy-milliseconds",
        "answers 429 with retry-after-ms to the first call",
        "openai/openai-python#1086",
        error(429, "Rate limit reached", ("retry-after-ms", "20")),
        "again",
        "first",
    ),
    Misbehaviour(
        "busy",
        "answers 429 without saying for how long to the first call",
        "RFC 6585, section 4",
        error(429, "Rate limit reached", type="requests", code="rate_limit_exceeded"),
        "again",
        "first",
    ),
    Misbehaviour(
        "broken",
        "answers 500 to the first call",
        "sgl-project/sglang#5984",
        error(500, "Internal Server Error"),
        "again",
        "first",
    ),
    Misbehaviour(
        "bad-gateway",
        "answers 502 with a page to the first call",
        "n3d1117/chatgpt-telegram-bot#637",
        page(502, "502 Bad Gateway"),
        "again",
        "first",
    ),
    Misbehaviour(
        "loading",
        "answers 503 “Loading model” to the first call",
        "mostlygeek/llama-swap#146",
        error(503, "Loading model", code=503, type="unavailable_error"),
        "again",
        "first",
    ),
    Misbehaviour(
        "gateway-timeout",
        "answers 504 with nginx's page to the first call",
        "ClassmateLin/free-chatgpt#2",
        page(504, "504 Gateway Time-out"),
        "again",
        "first",
    ),
    *(
        Misbehaviour(
            f"cloudflare-{status}",
            f"answers {status} with Cloudflare's page to the first call",
            source,
            page(status, f"{status}: {title}"),
            "again",
            "first",
        )
        for status, title, source in (
            (520, "Web server is returning an unknown error", "n8n-io/n8n#18275"),
            (521, "Web server is down", _CLOUDFLARE),
            (522, "Connection timed out", "Helicone/helicone#798"),
            (523, "Origin is unreachable", _CLOUDFLARE),
            (524, "A timeout occurred", "langgenius/dify#12276"),
        )
    ),
    Misbehaviour(
        "overloaded",
        "answers 529 overloaded_error to the first call",
        "anthropics/claude-code#5184",
        error(529, "Overloaded", type="overloaded_error"),
        "again",
        "first",
    ),
    Misbehaviour(
        "error-in-200",
        "answers 200 with an error and no choices to the first call",
        "langchain-ai/langchainjs#11418",
        error(200, "Provider returned error", code=502),
        "again",
        "first",
    ),
)
"""Faults of the server's that pass."""

_OPEN = (
    Misbehaviour(
        "broken-for-one",
        "answers 500 whenever it is asked about one row",
        "ollama/ollama#6985",
        error(500, "Internal Server Error"),
        "open",
        "one",
    ),
    Misbehaviour(
        "timed-out-for-one",
        "answers 524 with Cloudflare's page whenever it is asked about one row",
        "anthropics/claude-code#16737",
        page(524, "524: A timeout occurred"),
        "open",
        "one",
    ),
    Misbehaviour(
        "error-in-200-for-one",
        "answers 200 with an error whenever it is asked about one row",
        "Aider-AI/aider#3550",
        error(200, "Provider returned error"),
        "open",
        "one",
    ),
)
"""Faults of the server's that don't pass for one row."""

_AWAY = (
    Misbehaviour(
        "overloaded-for-good",
        "answers 529 to every call",
        "anthropics/claude-code#91817",
        error(529, "Overloaded", type="overloaded_error"),
        "server",
    ),
    Misbehaviour(
        "busy-for-hours",
        "answers 429 with Retry-After 7200 to every call",
        "RFC 9110, section 10.2.3",
        error(429, "Rate limit reached", ("retry-after", "7200")),
        "server",
    ),
    Misbehaviour(
        "page-in-200",
        "answers 200 with a web page",
        "DexForce/EmbodiChain#297",
        page(200, "Welcome"),
        "page",
    ),
    Misbehaviour(
        "page-in-404",
        "answers 404 with nginx's page",
        "tsundereraws/aisub-translator#2",
        page(404, "404 Not Found"),
        "page",
    ),
    Misbehaviour(
        "login-page",
        "redirects to a login page",
        "cogwheel0/conduit#655",
        page(302, "Moved", ("location", _LOGIN)),
        "page",
    ),
)
"""Faults that don't pass while the run waits."""

STATUSES = (*_ROW, *_STOP, *_AGAIN, *_OPEN, *_AWAY)
