"""SIGKILL while rows evolve over several rounds: the same rows in the end, and no kept reply is bought again."""

from __future__ import annotations

from typing import Any

import pytest

pytest.importorskip("openai")

from tests.drills.test_repair import drill
from tests.oracle.server import Said, completion, serving

ROUNDS = 3


def behave(body: dict[str, Any], call: int) -> Said:
    """Evolve, compare or answer, in every way that a round can end; the same for the same prompt."""
    if "response_format" in body:
        return Said({"error": {"message": "response_format is not supported", "param": "response_format"}}, 400)
    prompt = body["messages"][-1]["content"]
    number = int(prompt.partition("Question ")[2].partition("?")[0])
    if "<new_instruction>" in prompt:
        instruction = prompt.partition(" instruction ===\n")[2].partition("\n\n===")[0]
        ways = (
            f"{instruction} And why?",
            f"The given prompt: {instruction}",
            f"{instruction} And how?",
            f"{instruction} And where?",
        )
        text = f"<new_instruction>\n{ways[len(prompt) % 4]}\n</new_instruction>"
        return Said(completion(text if number % 7 else "Das ist es."), after=0.03)
    if "<verdict>" in prompt:
        verdict = "equal" if len(prompt) % 5 == 0 else "not equal"
        return Said(completion(f"<verdict>\n{verdict}\n</verdict>"), after=0.03)
    answers = (f"Answer {number} of {len(prompt)}.", "I'm sorry.", f"Because of {number}.", "...", f"{number} [End]")
    return Said(completion(answers[len(prompt) % 5]), after=0.03)


def test_killed_three_times(tmp_path):
    with serving(behave) as server:
        drill("repair evolve", tmp_path, 30, kills=3, seed=0, server=server, rounds=ROUNDS)


@pytest.mark.drill
def test_killed_many_times(tmp_path):
    with serving(behave) as server:
        drill("repair evolve", tmp_path, 250, kills=50, seed=1, server=server, rounds=ROUNDS)
