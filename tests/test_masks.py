"""What a template has supervised: planted faults are found, each by its name, and clean templates have none."""

from __future__ import annotations

import json
from importlib.util import find_spec
from pathlib import Path

import pytest

pytest.importorskip("transformers")


from tunescope import cli
from tunescope.chat.masks import MEANINGS, TRIALS, try_masks, without_model
from tunescope.verbs.check import CheckSettings, check

HEADER = "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
CALLS = "{% if m.tool_calls %}<tool_call>{{ m.tool_calls | tojson }}</tool_call>{% endif %}"
THOUGHT = "{% if m.reasoning_content %}<think>{{ m.reasoning_content }}</think>{% endif %}"
TOOLS = "{% if tools %}<|im_start|>system\n{{ tools | tojson }}<|im_end|>\n{% endif %}"
OTHER = "<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n"
ANSWER = (
    f"<|im_start|>assistant\n{{% generation %}}{THOUGHT}{{{{ m.content }}}}{CALLS}<|im_end|>{{% endgeneration %}}"
    "{{ '\n' }}"
)


def template(other=OTHER, answer=ANSWER, header=HEADER, begin=TOOLS):
    message = f"{{% if m.role == 'assistant' %}}{answer}{{% else %}}{other}{{% endif %}}"
    return f"{begin}{{% for m in messages %}}{message}{{% endfor %}}{header}"


def marked(role, other=OTHER):
    """Supervise the messages of a role too."""
    inside = (
        f"{{% if m.role == '{role}' %}}{{% generation %}}{OTHER}{{% endgeneration %}}{{% else %}}{other}{{% endif %}}"
    )
    return template(other=inside)


def without(role):
    return template(other=f"{{% if m.role != '{role}' %}}{OTHER}{{% endif %}}")


PLAIN = ANSWER.replace("{% generation %}", "").replace("{% endgeneration %}", "")
PLANTED = {
    "nothing_supervised": template(answer=PLAIN),
    "system_supervised": marked("system"),
    "user_supervised": marked("user"),
    "tool_reply_supervised": marked("tool"),
    "header_supervised": template(
        answer=ANSWER.replace("<|im_start|>assistant\n{% generation %}", "{% generation %}<|im_start|>assistant\n")
    ),
    "answer_not_supervised": template(answer=f"{{% if loop.last %}}{PLAIN}{{% else %}}{ANSWER}{{% endif %}}"),
    "earlier_turn_not_supervised": template(answer=f"{{% if loop.last %}}{ANSWER}{{% else %}}{PLAIN}{{% endif %}}"),
    "thinking_not_supervised": template(
        answer=ANSWER.replace(f"{{% generation %}}{THOUGHT}", f"{THOUGHT}{{% generation %}}")
    ),
    "call_not_supervised": template(answer=f"{{% if m.tool_calls %}}{PLAIN}{{% else %}}{ANSWER}{{% endif %}}"),
    "end_not_supervised": template(
        answer=ANSWER.replace("<|im_end|>{% endgeneration %}", "{% endgeneration %}<|im_end|>")
    ),
    "no_end_of_turn": template(answer=ANSWER.replace("<|im_end|>{% endgeneration %}", "{% endgeneration %}")),
    "trailing_supervised": template(
        answer=ANSWER.replace("<|im_end|>{% endgeneration %}", "<|im_end|> Next!{% endgeneration %}")
    ),
    "prompt_not_prefix": template(header=HEADER.replace("assistant", "model")),
    "earlier_turn_differs": template(answer=f"{{% if not loop.last %}}Earlier: {{% endif %}}{ANSWER}"),
    "double_bos": template(begin="{{ bos_token }}{{ bos_token }}" + TOOLS),
    "system_dropped": without("system"),
    "user_dropped": template(other=f"{{% if not (m.role == 'user' and loop.index > 2) %}}{OTHER}{{% endif %}}"),
    "answer_dropped": template(answer=f"{{% if loop.last or m.tool_calls %}}{ANSWER}{{% endif %}}"),
    "thinking_dropped": template(answer=ANSWER.replace("{{ m.reasoning_content }}", "")),
    "call_dropped": template(answer=ANSWER.replace("{{ m.tool_calls | tojson }}", "")),
    "tool_reply_dropped": without("tool"),
}
CLEAN = {
    "whole": template(),
    "with bos": template(begin="{{ bos_token }}" + TOOLS),
    "two ends": template(answer=ANSWER.replace("<|im_end|>{% end", "<|im_end|><|endoftext|>{% end")),
    "line break supervised": template(answer=ANSWER.replace("{% endgeneration %}{{ '\n' }}", "\n{% endgeneration %}")),
    "refuses system": template(
        other="{% if m.role == 'system' %}{{ raise_exception('no system') }}{% endif %}" + OTHER
    ),
}


def faults(folder, text, supervise="marked"):
    path = folder / "template.jinja"
    path.write_text(text, "utf-8")
    return {fault for mask in try_masks(without_model(str(path), {}), supervise) for fault in mask.faults}


def test_every_fault_is_planted():
    assert PLANTED.keys() == MEANINGS.keys()


@pytest.mark.parametrize("fault", PLANTED)
def test_a_planted_fault_is_found(tmp_path, fault):
    assert fault in faults(tmp_path, PLANTED[fault])


ALONE = PLANTED.keys() - {"no_end_of_turn", "answer_dropped", "user_dropped", "earlier_turn_differs"}
ALONE -= {"answer_not_supervised", "earlier_turn_not_supervised"}
"""Faults that show nothing else; the others leave out what other faults are about."""


@pytest.mark.parametrize("fault", sorted(ALONE))
def test_and_it_alone(tmp_path, fault):
    assert faults(tmp_path, PLANTED[fault]) == {fault}


@pytest.mark.parametrize("name", CLEAN)
def test_a_clean_template_has_no_fault(tmp_path, name):
    assert faults(tmp_path, CLEAN[name]) == set()


def test_all_tokens_are_more_than_the_answers(tmp_path):
    assert faults(tmp_path, template(), "all") == {
        "header_supervised",
        "system_supervised",
        "user_supervised",
        "tool_reply_supervised",
    }


@pytest.mark.parametrize("name", ["alpaca", "vicuna", "chatml"])
def test_our_own_templates_by_name(name):
    masks = try_masks(without_model(name, {}), "tune")
    assert [mask.faults for mask in masks] == [()] * len(TRIALS)
    assert all(sum(stretch.tokens for stretch in mask.stretches if stretch.is_supervised) for mask in masks[:2])


SHIPPED = (
    Path(next(iter((find_spec("trl") or find_spec("transformers")).submodule_search_locations))) / "chat_templates"
)
REFERENCE = [
    "gemma3_training",
    "llama3_training",
    "phi3_training",
    "qwen2_5_training",
    "qwen3_training",
    "lfm2_training",
]


@pytest.mark.skipif(not SHIPPED.is_dir(), reason="needs TRL's templates")
@pytest.mark.parametrize("name", REFERENCE)
def test_tune_supervises_what_trls_marks_do(name):
    """Two ways that share no code: our split at the prompt, and TRL's marks as transformers reads them."""
    masked = without_model(str(SHIPPED / f"{name}.jinja"), {})
    ours, theirs = (
        [[s.text.strip() for s in mask.stretches if s.is_supervised] for mask in try_masks(masked, way)]
        for way in ("tune", "marked")
    )
    assert ours[0]
    behind = "\n<|stand-in-eos|>"  # Phi-3's marks have the eos too, behind the token at which it stops
    assert [[text.removesuffix(behind) for text in texts] for texts in theirs] == ours


def test_on_the_command_line(workplace, capsys):
    Path("t.jinja").write_text(template(answer=PLAIN), "utf-8")
    assert cli.run(["check", "--masks", "--template", "t.jinja"]) == 0
    text = capsys.readouterr().out
    assert "t.jinja: a trainer that goes by the generation marks supervises 0 of" in text
    assert "nothing_supervised" in text
    assert cli.run(["check", "--masks", "--template", "t.jinja", "--fail-on", "nothing_supervised > 0"]) == 3
    capsys.readouterr()
    assert cli.run(["check", "--masks", "--template", "t.jinja", "--supervise", "tune", "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert result["faults"] == dict.fromkeys(MEANINGS, 0)
    assert [trial["name"] for trial in result["trials"]] == [trial.name for trial in TRIALS]
    assert all(trial["supervised"] for trial in result["trials"])


@pytest.mark.parametrize(
    "arguments", [["check"], ["check", "--masks"], ["check", "rows.jsonl", "--masks", "--model", "m"]]
)
def test_masks_without_a_template_and_check_without_rows(workplace, capsys, arguments):
    assert cli.run(arguments) == 2
    assert "--masks" in capsys.readouterr().err


def test_a_run_is_found_again(workplace):
    Path("t.jinja").write_text(template(), "utf-8")
    made = check(CheckSettings(masks=True, template="t.jinja"))
    assert check(CheckSettings(masks=True, template="t.jinja")).path == made.path
    assert check(CheckSettings(masks=True, template="t.jinja", supervise="all")).path != made.path
    Path("t.jinja").write_text(template(answer=PLAIN), "utf-8")
    assert check(CheckSettings(masks=True, template="t.jinja")).path != made.path
    assert made.view.sentences[1] == "No fault was found."
