"""What `bench` shows: what is counted, and the command to type next."""

from __future__ import annotations

from pathlib import Path

from tests.verbs.report.bench_runs import bench_score

from tunescope.results.bench import BenchResult
from tunescope.results.code import CodeScore
from tunescope.results.estimates import MeanEstimate
from tunescope.verbs.bench.settings import BenchSettings
from tunescope.verbs.bench.tasks.catalogue import find_suite
from tunescope.verbs.bench.view import show_scores

RUN = Path("run")


def result_of(suite, **more):
    tasks = {use.label: bench_score([1.0, 0.0, 1.0, 0.0], n_cut=3) for use in suite.uses}
    return BenchResult(model="m", suite=suite.name, tasks=tasks, **more)


def code_score():
    estimate = MeanEstimate(mean=0.5, low=0.1, high=0.9, n=4, n_missing=0, method="m")
    how = {"samples": 10, "temperature": 0.8, "top_p": 0.95, "seed": 0, "seconds": 3.0, "statuses": {"passed": 40}}
    return CodeScore(pass_at_1=estimate, pass_at_10=estimate, protection="None.", **how)


def test_items_and_prompts_of_a_task_with_two_labels_count_once():
    suite = find_suite(["faco", "open-llm"])
    view = show_scores(BenchSettings(model="m"), suite, result_of(suite), RUN)
    names = {use.name for use in suite.uses}
    assert len(suite.uses) == len(names) + 2  # humaneval by two metrics, mmlu by items and by subjects
    assert f"{len(suite.uses)} tasks, {4 * len(names)} items" in view.sentences[0]
    assert any(said.startswith(f"{3 * len(names)} prompts had to be cut") for said in view.sentences)


def test_code_is_never_in_the_chat_template():
    chat, code = BenchSettings(model="m", chat=True), {"humaneval": code_score()}
    suite = find_suite(["humaneval"])
    assert "chat" not in show_scores(chat, suite, result_of(suite, code=code), RUN).sentences[0]
    suite = find_suite(["piqa"])
    first = show_scores(chat, suite, result_of(suite, reading="packed"), RUN).sentences[0]
    assert "4 items, exemplars drawn for each question, in the chat template. The shared" in first
    suite = find_suite(["piqa", "humaneval"])
    both = show_scores(chat, suite, result_of(suite, code=code, reading="packed"), RUN).sentences[0]
    assert "in the chat template but for code. The shared" in both


def test_the_next_command_asks_the_same_and_for_the_spread():
    settings = BenchSettings(
        questions=("my own.jsonl",),
        model="m",
        suite=("piqa", "humaneval"),
        data="d",
        limit=3,
        task_limit=("piqa=2",),
        shots=0,
        exemplars="fixed",
        seed=7,
        chat=True,
        exemplar_seeds=4,
        allow_code=True,
        n=5,
        temperature=0.0,
        top_p=0.5,
        max_new_tokens=9,
        dtype="float16",
        template_arg=("a=1", "b=2"),
        out="here",
    )
    suite = find_suite(["piqa", "humaneval"])
    assert show_scores(settings, suite, result_of(suite), RUN).next[0] == (
        "tunescope bench 'my own.jsonl' --model m --dtype float16 --template-arg a=1 --template-arg b=2 --suite piqa "
        "--suite humaneval --data d --limit 3 --task-limit piqa=2 --shots 0 --exemplars fixed --seed 7 --chat "
        "--exemplar-seeds 4 --allow-code --n 5 --temperature 0.0 --top-p 0.5 --max-new-tokens 9 --spread"
    )
