"""The words by which servers say how a reply ended; each is in a server's documentation."""

import pytest

from tunescope.oracle.endings import describe_refusal, ending_of, is_broken_off, is_malformed

WHOLE = {
    "OpenAI, vLLM, llama.cpp, Ollama, Mistral, DeepSeek": ["stop"],
    "TGI": ["eos_token", "stop_sequence"],
    "TensorRT-LLM": ["end_id", "stop_words"],
    "Together": ["eos"],
    "Anthropic, Bedrock": ["end_turn", "stop_sequence"],
    "Gemini": ["STOP", "FinishReason.STOP", "FINISH_REASON_STOP"],
    "Cohere": ["COMPLETE", "STOP_SEQUENCE"],
    "Qianfan": ["normal"],
    "gateways": ["done", "completed", "end-turn", " stop "],
}
CUT = {
    "OpenAI": ["length", "tool_calls", "function_call"],
    "vLLM, SGLang": ["abort", "error"],
    "TensorRT-LLM": ["timeout", "cancelled"],
    "Ollama": ["load", "unload"],
    "Anthropic": ["max_tokens", "tool_use", "pause_turn", "model_context_window_exceeded"],
    "Gemini": ["MAX_TOKENS", "LANGUAGE", "OTHER", "MALFORMED_FUNCTION_CALL", "UNEXPECTED_TOOL_CALL"],
    "Mistral": ["model_length", "error"],
    "Cohere": ["MAX_TOKENS", "TOOL_CALL", "ERROR", "TIMEOUT", "ERROR_LIMIT", "USER_CANCEL"],
    "DeepSeek": ["insufficient_system_resource"],
    "Zhipu": ["network_error"],
    "watsonx.ai": ["token_limit", "time_limit", "not_finished"],
    "nobody": ["weird", "stopped early", "stop!", "0"],
}
REFUSED = {
    "OpenAI, Azure": ["content_filter"],
    "Anthropic": ["refusal"],
    "Bedrock": ["guardrail_intervened", "content_filtered"],
    "Gemini": ["SAFETY", "RECITATION", "BLOCKLIST", "PROHIBITED_CONTENT", "SPII", "IMAGE_SAFETY"],
    "Cohere": ["ERROR_TOXIC"],
    "Zhipu": ["sensitive"],
}


@pytest.mark.parametrize(("ending", "servers"), [("whole", WHOLE), ("cut", CUT), ("refused", REFUSED)])
def test_every_word_has_its_ending(ending, servers):
    for server, words in servers.items():
        assert [(server, word, ending_of(word)) for word in words] == [(server, word, ending) for word in words]


@pytest.mark.parametrize("nothing", [None, "", " ", "null", "None", ["stop"], {"type": "stop"}, 0, True])
def test_what_is_no_word_says_nothing(nothing):
    assert ending_of(nothing) == "unknown"


def test_a_limit_isnt_a_fault_of_the_server():
    assert [word for words in CUT.values() for word in words if is_broken_off(word)] == [
        *("abort", "error", "timeout", "cancelled", "error"),
        *("ERROR", "TIMEOUT", "USER_CANCEL", "insufficient_system_resource", "network_error", "time_limit"),
    ]
    assert [word for words in CUT.values() for word in words if is_malformed(word)] == [
        "MALFORMED_FUNCTION_CALL",
        "UNEXPECTED_TOOL_CALL",
    ]
    assert not is_broken_off("stop")
    assert not is_broken_off(None)


def test_who_declines():
    assert describe_refusal("content_filter") == "the server's content filter"
    assert describe_refusal("SAFETY") == "the server's content filter (SAFETY)"
    assert describe_refusal("refusal") == "the server says that the model declines"
