"""Whose fault a failed call is: errors as servers word them, each with the server that sends it."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.tools import examples
from tunescope.oracle.api import message_of, retry_after
from tunescope.oracle.blame import blame, is_about_content, status_in


def error(message, **more):
    return {"error": {"message": message, **more}}


NGINX = (
    "<html>\r\n<head><title>{0}</title></head>\r\n<body>\r\n<center><h1>{0}</h1></center>\r\n<hr><center>nginx</center>"
)
QUOTA = "You exceeded your current quota, please check your plan and billing details."
PER_MINUTE = [
    {"violations": [{"quotaId": "GenerateRequestsPerMinutePerProjectPerModel-FreeTier"}]},
    {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "59s"},
]
PER_DAY = [{"violations": [{"quotaId": "GenerateRequestsPerDayPerProjectPerModel-FreeTier"}]}, PER_MINUTE[1]]

ROWS = [
    # too long
    ("OpenAI", 400, error("This model's maximum context length is 8192 tokens.", code="context_length_exceeded")),
    ("OpenAI", 400, error("Invalid 'messages[0].content': string too long.", code="string_above_max_length")),
    (
        "OpenAI",
        429,
        error("Request too large for gpt-4o on tokens per min (TPM): Limit 30000.", code="rate_limit_exceeded"),
    ),
    (
        "Groq",
        413,
        error(
            "Request too large for model `x` on tokens per minute (TPM): Limit 6000, please reduce your message size"
        ),
    ),
    ("Anthropic", 400, error("prompt is too long: 210000 tokens > 200000 maximum", type="invalid_request_error")),
    ("Anthropic", 413, error("Request exceeds the maximum size", type="request_too_large")),
    ("Together", 403, error("Input token count + max_tokens must be less than the context length of the model")),
    ("vLLM", 400, {"object": "error", "message": "This model's maximum context length is 4096 tokens.", "code": 400}),
    (
        "SGLang",
        400,
        {"object": "error", "message": "The input (5000 tokens) is longer than the model's context length (4096)"},
    ),
    (
        "llama.cpp",
        400,
        error("the request exceeds the available context size", type="exceed_context_size_error", code=400),
    ),
    ("llama-cpp-python", 500, error("Requested tokens (5000) exceed context window of 2048", code=None)),
    ("text-generation-inference", 422, {"error": "Input validation error: `inputs` must have less than 4095 tokens"}),
    (
        "GitHub Models",
        413,
        error("Request body too large for gpt-4o model. Max size: 8000 tokens.", code="tokens_limit_reached"),
    ),
    ("LiteLLM", 400, error("litellm.ContextWindowExceededError: OpenAIException - too long", code="400")),
    ("nginx", 413, NGINX.format("413 Request Entity Too Large")),
    # filters
    (
        "Azure",
        400,
        error(
            "The response was filtered due to the prompt triggering our policy.", code="content_filter", param="prompt"
        ),
    ),
    (
        "OpenAI",
        400,
        error("Invalid prompt: it was flagged as potentially violating our usage policy", code="invalid_prompt"),
    ),
    (
        "OpenRouter",
        403,
        error("Your chosen model requires moderation and your input was flagged", code=403, metadata={"reasons": []}),
    ),
    (
        "xAI",
        403,
        {"code": "permission denied", "error": "Content violates usage guidelines. Failed check: SAFETY_CHECK"},
    ),
    ("LiteLLM", 400, error("{'error': 'Violated guardrail policy', 'aporia_ai_response': {}}", code="400")),
    ("DashScope", 400, error("Input data may contain inappropriate content.", code="data_inspection_failed")),
    ("Moonshot", 400, error("The request was rejected because it was considered high risk", type="content_filter")),
    (
        "Zhipu",
        400,
        error(
            "\u7cfb\u7edf\u68c0\u6d4b\u5230\u8f93\u5165\u6216\u751f\u6210\u5185\u5bb9\u53ef\u80fd\u5305\u542b\u4e0d\u5b89\u5168\u6216\u654f\u611f\u5185\u5bb9",
            code="1301",
        ),
    ),
    ("Anthropic", 400, error("Output blocked by content filtering policy", type="invalid_request_error")),
    ("Cloudflare AI Gateway", 424, error("Prompt blocked due to security configurations", code=2016)),
    ("Portkey", 446, {"hook_results": {}, "error": {"message": "The guardrail checks defined in the config failed."}}),
    ("Cohere", 498, {"message": "the request contains a deny-listed token"}),
    # what else is wrong with a request
    (
        "OpenAI",
        400,
        error("Unsupported parameter: 'temperature' is not supported with this model.", param="temperature"),
    ),
    (
        "OpenAI",
        400,
        error(
            "Invalid parameter: 'response_format' of type 'json_schema' is not supported with this model.",
            param="response_format",
        ),
    ),
    ("FastAPI", 422, {"detail": [{"type": "missing", "loc": ["body", "messages"], "msg": "Field required"}]}),
    ("Groq", 400, error("Failed to generate JSON. Please adjust your prompt.", code="json_validate_failed")),
    ("vLLM", 400, {"object": "error", "message": "Conversation roles must alternate user/assistant", "code": 400}),
    ("any", 400, None),
    ("any", 451, ""),
]
KEYS = [
    ("OpenAI", 401, error("Incorrect API key provided: sk-…", code="invalid_api_key")),
    ("xAI", 400, {"code": "Client specified an invalid argument", "error": "Incorrect API key provided: xx."}),
    ("Gemini", 400, [error("API key not valid. Please pass a valid API key.", status="INVALID_ARGUMENT", code=400)]),
    ("Gemini", 400, [error("API key expired. Please renew the API key.", status="INVALID_ARGUMENT")]),
    (
        "Azure",
        401,
        {"statusCode": 401, "message": "Access denied due to invalid subscription key or wrong API endpoint."},
    ),
    ("Anthropic", 401, {"type": "error", **error("invalid x-api-key", type="authentication_error")}),
    ("Mistral", 401, {"message": "Unauthorized", "request_id": "1"}),
    ("vLLM", 401, {"error": "Unauthorized"}),
    ("llama.cpp", 401, error("Invalid API Key", type="authentication_error", code=401)),
    ("OpenRouter", 401, error("No auth credentials found", code=401)),
    ("Bedrock's gateway", 403, {"message": "The security token included in the request is expired"}),
    ("jiekou.ai", 403, {"code": 403, "reason": "INVALID_API_KEY", "message": "Invalid API key"}),
    ("Perplexity", 401, NGINX.format("401 Authorization Required")),
]
FORBIDDEN = [
    (
        "Anthropic",
        403,
        error("Your API key does not have permission to use the specified resource.", type="permission_error"),
    ),
    ("Azure", 403, {"error": {"code": "403", "message": "Access denied due to Virtual Network/Firewall rules."}}),
    ("Cloudflare", 403, NGINX.format("Attention Required! | Cloudflare")),
    ("Cloudflare", 403, "error code: 1020"),
    ("any", 403, None),
]
ACCOUNTS = [
    ("OpenAI", 429, error(QUOTA, code="insufficient_quota", type="insufficient_quota")),
    ("OpenAI", 400, error("Billing hard limit has been reached", code="billing_hard_limit_reached")),
    ("OpenAI", 429, error("Your account is not active, please check your billing details", code="billing_not_active")),
    ("OpenAI", 403, error("Country, region, or territory not supported", code="unsupported_country_region_territory")),
    (
        "Anthropic",
        400,
        error("Your credit balance is too low to access the Anthropic API.", type="invalid_request_error"),
    ),
    ("Anthropic", 402, error("Your credit balance is too low.", type="billing_error")),
    ("Anthropic", 403, error("Please check your payment method.", type="billing_error")),
    (
        "Anthropic",
        400,
        error("You have reached your specified API usage limits. You will regain access on 2026-12-01."),
    ),
    ("Anthropic", 400, error("This organization has been disabled.", type="invalid_request_error")),
    ("OpenRouter", 402, error("Insufficient credits. Add more using https://openrouter.ai/settings/credits", code=402)),
    ("OpenRouter", 403, error("Key limit exceeded (total limit).", code=403)),
    (
        "OpenRouter",
        429,
        error("Rate limit exceeded: free-models-per-day. Add 10 credits to unlock 1000 requests per day", code=429),
    ),
    ("DeepSeek", 402, error("Insufficient Balance", type="unknown_error", code="invalid_request_error")),
    ("Together", 402, error("Credit limit exceeded", type="credit_limit")),
    ("Groq", 400, error("Organization has been restricted.", code="organization_restricted")),
    ("Groq", 400, error("API access is blocked", code="blocked_api_access")),
    ("Fireworks", 412, error("Account x is suspended, possibly due to reaching the monthly spending limit")),
    (
        "xAI",
        403,
        {
            "code": "The caller does not have permission",
            "error": "Your newly created team doesn't have any credits yet.",
        },
    ),
    ("LiteLLM", 400, error("Budget has been exceeded! Current cost: 26.075, Max budget: 0.25", type="budget_exceeded")),
    ("LiteLLM", 400, error("ExceededBudget: End User=a over budget. Spend=0.1", type="auth_error", code="400")),
    ("LiteLLM", 500, error("litellm.InternalServerError: AnthropicException - Your credit balance is too low")),
    ("Hugging Face", 402, {"error": "You have exceeded your monthly included credits for Inference Providers."}),
    ("a gateway", 429, error("You have run out of prepaid credits")),
    ("Moonshot", 429, error("Your account is suspended, please check your plan", type="exceeded_current_quota_error")),
    (
        "Zhipu",
        429,
        error(
            "\u4f59\u989d\u4e0d\u8db3\u6216\u65e0\u53ef\u7528\u8d44\u6e90\u5305,\u8bf7\u5145\u503c\u3002", code="1113"
        ),
    ),
    ("DashScope", 400, error("Access denied, please make sure your account is in good standing.", code="Arrearage")),
    ("DashScope", 403, error("The free tier of the model has been exhausted.", code="AllocationQuota.FreeTierOnly")),
    ("Gemini", 429, [error(QUOTA, status="RESOURCE_EXHAUSTED", code=429, details=PER_DAY)]),
    ("Gemini", 429, error(f"{QUOTA} * Quota exceeded for metric: x, limit: 0 Please retry in 20.04s.", code=429)),
    ("Gemini", 400, [error("User location is not supported for the API use.", status="FAILED_PRECONDITION")]),
    ("Cohere", 429, {"message": "You are using a Trial key, which is limited to 1000 API calls / month."}),
    ("jiekou.ai", 403, {"reason": "NOT_ENOUGH_BALANCE", "message": "Insufficient balance"}),
    ("any", 402, ""),
]
MODELS = [
    ("OpenAI", 404, error("The model `x` does not exist or you do not have access to it.", code="model_not_found")),
    ("OpenAI", 403, error("Project `p` does not have access to model `x`", code="model_not_found")),
    ("OpenAI", 400, error("invalid model ID", type="invalid_request_error")),
    ("OpenAI", 404, error("This is not a chat model and thus not supported here.", param="model")),
    ("Azure", 404, error("The API deployment for this resource does not exist.", code="DeploymentNotFound")),
    ("Anthropic", 404, error("model: claude-9", type="not_found_error")),
    ("Mistral", 400, {"object": "error", "message": "Invalid model: x", "type": "invalid_model", "code": "1500"}),
    ("Gemini", 404, [error("models/x is not found for API version v1main", code=404, status="NOT_FOUND")]),
    ("Groq", 400, error("The model `x` has been decommissioned", code="model_decommissioned")),
    ("Groq", 403, error("The model `x` is blocked at the organization level.", code="model_permission_blocked_org")),
    ("Together", 404, error("Unable to access model x. Please visit the list of models.", code="model_not_available")),
    ("Fireworks", 404, error("Model not found, inaccessible, and/or not deployed", code="NOT_FOUND")),
    ("OpenRouter", 400, error("x/y is not a valid model ID", code=400)),
    ("OpenRouter", 404, error("No endpoints found for x/y.", code=404)),
    (
        "vLLM",
        404,
        {"object": "error", "message": "The model `x` does not exist.", "type": "NotFoundError", "code": 404},
    ),
    ("Ollama", 404, error('model "x" not found, try pulling it first', type="api_error", param=None, code=None)),
    ("LM Studio", 404, error("No models loaded. Please load a model in the developer page.", code="model_not_found")),
    ("LiteLLM", 400, error("400: {'error': 'Invalid model name passed in model=x'}", code=400)),
    (
        "LiteLLM",
        401,
        error("key not allowed to access model. This key can only access models=['a']", type="key_model_access_denied"),
    ),
    (
        "Hugging Face",
        400,
        error("The requested model 'x' is not supported by any provider.", code="model_not_supported"),
    ),
    (
        "Zhipu",
        400,
        error("\u6a21\u578b\u4e0d\u5b58\u5728\uff0c\u8bf7\u68c0\u67e5\u6a21\u578b\u4ee3\u7801\u3002", code="1211"),
    ),
    ("Bedrock's gateway", 403, {"message": "You don't have access to the model with the specified model ID."}),
]
SERVERS = [
    (
        "OpenAI",
        429,
        error("Rate limit reached for gpt-4o on requests per min (RPM): Limit 3.", code="rate_limit_exceeded"),
    ),
    (
        "Azure",
        429,
        error(
            "Requests have exceeded the token rate limit of your current pricing tier. Please retry after 6 seconds.",
            code="429",
        ),
    ),
    (
        "Groq",
        429,
        error(
            "Rate limit reached for model `x`. Please try again in 7.66s. Need more tokens? Upgrade at https://console.groq.com/settings/billing",
            code="rate_limit_exceeded",
        ),
    ),
    ("Groq", 498, error("Flex tier capacity exceeded", code="capacity_exceeded")),
    ("Mistral", 429, {"message": "Requests rate limit exceeded"}),
    ("Gemini", 429, [error(QUOTA, status="RESOURCE_EXHAUSTED", code=429, details=PER_MINUTE)]),
    ("Gemini", 503, [error("The model is overloaded. Please try again later.", status="UNAVAILABLE", code=503)]),
    ("Anthropic", 529, error("Overloaded", type="overloaded_error")),
    ("Bedrock's gateway", 429, {"message": "Too many tokens, please wait before trying again."}),
    ("Cohere", 429, {"message": "You are using a Trial key, which is limited to 40 API calls / minute."}),
    ("Moonshot", 429, error("The engine is currently overloaded", type="engine_overloaded_error")),
    ("OpenRouter", 502, error("Provider returned error", code=502)),
    ("OpenRouter", 200, error("Upstream idle timeout exceeded")),
    ("LiteLLM", 429, error("No deployments available for selected model, Try again in 5 seconds.", code="429")),
    ("llama.cpp", 503, error("Loading model", type="unavailable_error", code=503)),
    (
        "text-generation-inference",
        424,
        {"error": "Request failed during generation: CUDA error", "error_type": "generation"},
    ),
    ("Ollama", 500, error("llama runner process has terminated", type="api_error")),
    ("any", 504, error("The upstream took too long to answer")),
    ("nginx", 502, NGINX.format("502 Bad Gateway")),
    ("nginx", 504, NGINX.format("504 Gateway Time-out")),
    ("Cloudflare", 522, NGINX.format("example.com | 522: Connection timed out")),
    ("Cloudflare", 429, "error code: 1015"),
    ("nginx", 499, ""),
    ("any", 408, None),
    ("any", 409, {}),
    ("any", 425, None),
]
PAGES = [
    ("nginx", 200, NGINX.format("Welcome to nginx!")),
    ("nginx", 405, NGINX.format("405 Not Allowed")),
    ("Python's http.server", 501, "<!DOCTYPE HTML>\n<html><head><title>Error response</title>"),
    ("nginx", 404, NGINX.format("404 Not Found")),
    ("a storage", 400, "<?xml version='1.0'?><Error><Code>InvalidArgument</Code></Error>"),
    ("a captive portal", 511, "\n <html>"),
]
ADDRESSES = [
    ("FastAPI", 404, {"detail": "Not Found"}),
    ("llama.cpp", 404, error("File Not Found", type="not_found_error", code=404)),
    ("OpenAI", 404, error("Invalid URL (POST /chat/completions)", type="invalid_request_error")),
    ("FastAPI", 405, {"detail": "Method Not Allowed"}),
    ("a proxy", 407, ""),
]
TABLE = {
    "row": ROWS,
    "key": KEYS,
    "forbidden": FORBIDDEN,
    "account": ACCOUNTS,
    "model": MODELS,
    "server": SERVERS,
    "page": PAGES,
    "address": ADDRESSES,
}


@pytest.mark.parametrize(
    ("fault", "server", "status", "body"), [(fault, *each) for fault, rows in TABLE.items() for each in rows]
)
def test_whose_fault(fault, server, status, body):
    assert blame(status, body) == fault
    if isinstance(body, dict) and isinstance(body.get("error"), dict):
        assert blame(status, body["error"]) == fault  # as the SDK hands it over


@pytest.mark.parametrize(
    ("fault", "server", "status", "body"), [(fault, *each) for fault, rows in TABLE.items() for each in rows]
)
def test_what_a_prompt_said_proves_nothing(fault, server, status, body):
    """A server that repeats the prompt in its error doesn't stop a run by the prompt's words."""
    assert blame(400, error(message_of(body)), f"Is it so? {message_of(body)}") == "row"


def test_fields_that_repeat_what_was_sent_are_not_read():
    sent = {
        "type": "missing",
        "loc": ["body", "model"],
        "msg": "Field required",
        "input": {"content": "insufficient_quota"},
    }
    assert message_of({"detail": [sent]}) == "body.model: Field required (missing)"
    assert blame(422, {"detail": [sent]}) == "row"
    flagged = error("Your input was flagged", code=403, metadata={"flagged_input": "billing hard limit"})
    assert blame(403, flagged) == "row"


@settings(max_examples=examples(200))
@given(st.integers(400, 599), st.text() | st.dictionaries(st.text(), st.text()) | st.lists(st.integers()) | st.none())
def test_every_status_and_body_has_a_fault(status, body):
    assert blame(status, body) in TABLE
    assert isinstance(message_of(body), str)
    assert status_in(body) == 200


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (error("no credit", code=402), 402),
        (error("slow down", code="429"), 429),
        (error("x", code="invalid_api_key"), 200),
        (error("x", code=7), 200),
        (error("x", code=True), 200),
        ({"error": "x"}, 200),
        ({"error": "x", "status": 503}, 503),
        (error("x", code="rate_limit_exceeded", status_code="429"), 429),
        ([error("x", code=503)], 503),
    ],
)
def test_the_status_of_an_error_in_a_reply(body, status):
    assert status_in(body) == status


@pytest.mark.parametrize(
    ("reason", "said"),
    [
        ("400: too long", True),
        ("400: This model's maximum context length is 4096 tokens", True),
        ("400: filtered by the content management policy", True),
        ("413: a web page (413 Request Entity Too Large)", True),
        ("400: max_tokens is too large: 9999", False),
        ("400: no", False),
        ("400: Unsupported parameter: 'seed'", False),
    ],
)
def test_which_reasons_speak_of_the_row(reason, said):
    assert is_about_content(reason) is said


def test_what_a_page_says():
    assert message_of(NGINX.format("502 Bad\n Gateway &amp; more")) == "a web page (502 Bad Gateway & more)"
    assert message_of("<p>") == "a web page"


def test_how_long_gemini_asks_to_wait():
    body = [error(QUOTA, code=429, details=PER_MINUTE)]
    assert (retry_after({}, body), retry_after({"retry-after": "3"}, body), retry_after({}, None)) == (59.0, 3.0, None)
    assert retry_after({"retry-after": "inf"}) is None
