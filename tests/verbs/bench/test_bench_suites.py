"""What a name means: a suite, a task, a file, one of lm-eval's; and how a suite's mean is formed."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import pytest
from tests.tools import ROOT, real, write_rows

from tunescope.errors import UsageError
from tunescope.questions import bench_task
from tunescope.questions.bench_task import CATEGORIES, all_tasks
from tunescope.questions.documents import PREPARE
from tunescope.verbs.bench.request import BenchRequest
from tunescope.verbs.bench.settings import BenchSettings
from tunescope.verbs.bench.tasks import catalogue
from tunescope.verbs.bench.tasks.catalogue import all_suites, find_suite
from tunescope.verbs.bench.tasks.scores import SCORES

TASKS = Path(bench_task.__file__).with_name("tasks")


def test_a_file_has_its_tasks_name_and_names_what_exists():
    assert {path.stem for path in TASKS.glob("*.yaml")} == {*all_tasks()}
    for task in all_tasks().values():
        assert task.category in CATEGORIES
        assert task.metric in [each["metric"] for each in task.config["metric_list"]]
        assert {task.prepare} <= {None, *PREPARE}
        assert {task.score} <= {None, *SCORES}
        for kind in ("training_split", "validation_split", "test_split", "fewshot_split"):
            assert task.config.get(kind) in {None, *task.files}


def test_shots_are_the_issues():
    special = {"arc_easy": 25, "arc_challenge": 25, "mmlu": 5, "truthfulqa_mc1": 0, "truthfulqa_mc2": 0}
    special |= {"easy_facts": 0}
    assert {name: task.shots for name, task in all_tasks().items()} == dict.fromkeys(all_tasks(), 10) | special


def test_faco_has_the_papers_sixteen_and_humaneval_at_10():
    suite = find_suite(["faco"])
    assert len(suite.uses) == 17
    assert sum(use.in_mean for use in suite.uses) == 16
    assert [use.label for use in suite.uses][-2:] == ["humaneval pass@1", "humaneval pass@10"]
    shots = {use.name: use.shots for use in suite.uses if use.name != "humaneval"}
    assert shots == dict.fromkeys(shots, 10) | {"arc_challenge": 25, "mmlu": 5}


def test_open_llm_is_four_tasks():
    suite = find_suite(["open-llm"])
    assert [(use.name, use.shots, use.metric, use.over) for use in suite.uses] == [
        ("arc_challenge", 25, "acc_norm", "items"),
        ("hellaswag", 10, "acc_norm", "items"),
        ("mmlu", 5, "acc", "subjects"),
        ("truthfulqa_mc2", 0, "acc", "items"),
    ]


def test_smoke_is_short():
    suite = find_suite(["smoke"])
    assert (suite.limit, max(use.shots for use in suite.uses)) == (20, 2)


def test_names_join_and_shots_replace():
    suite = find_suite(["piqa", "smoke", "piqa"], shots=1)
    assert [use.label for use in suite.uses] == ["piqa", "arc_easy", "copa", "truthfulqa_mc1"]
    assert {use.shots for use in suite.uses} == {1}
    assert suite.limit is None


def test_a_suite_keeps_its_limit_beside_other_tasks():
    suite = find_suite(["smoke", "hellaswag", "copa"], shots=1)
    limits = {use.name: use.limit for use in suite.uses}
    assert limits == {"arc_easy": 20, "copa": None, "piqa": 20, "truthfulqa_mc1": 20, "hellaswag": None}
    assert {use.limit for use in suite.parts["smoke"]} == {20, None}
    said = BenchSettings(model="m", limit=5)
    request = BenchRequest(said, suite, (), (), {}, {"copa": 3})
    assert [request.limit_of(use) for use in suite.uses if use.name in ("copa", "piqa")] == [3, 5]
    request = BenchRequest(replace(said, limit=None), suite, (), (), {}, {})
    assert {use.name: request.limit_of(use) for use in suite.uses} == limits


def test_own_questions_called_like_a_code_task_are_no_code(tmp_path):
    path = write_rows(tmp_path / "humaneval.jsonl", [{"question": "Why?", "choices": ["a", "b"], "answer": "a"}])
    (use,) = find_suite([str(path)]).uses
    assert (use.name, use.is_code, use.category) == ("humaneval", False, None)


def test_one_task_with_two_numbers_of_exemplars_is_refused():
    with pytest.raises(
        UsageError, match="piqa is wanted with 10 exemplars and with 2; name one suite, or give --shots"
    ):
        find_suite(["piqa", "smoke"])


def test_suites_join_with_a_mean_each():
    suite = find_suite(["faco", "open-llm"])
    faco, open_llm = find_suite(["faco"]), find_suite(["open-llm"])
    assert suite.parts == {"faco": faco.uses, "open-llm": open_llm.uses}
    assert [use.label for use in suite.uses if use.name == "mmlu"] == ["mmlu", "mmlu over subjects"]
    assert len({use.scored for use in suite.uses}) == 17 + 1  # all but TruthfulQA are in both
    scores = dict.fromkeys([use.label for use in suite.uses], 0.5) | {"mmlu": 0.1, "mmlu over subjects": 0.3}
    means = catalogue.summarize(suite, scores)
    assert means["faco"] == catalogue.summarize(faco, scores)["all"]
    assert means["open-llm"] == catalogue.summarize(open_llm, scores)["all"]
    assert means["open-llm"].mean == pytest.approx((3 * 0.5 + 0.3) / 4)
    assert means["world knowledge"].mean == pytest.approx((0.1 + 0.5 + 0.5) / 3)  # mmlu once, as faco has it
    assert "all" not in means


def test_tasks_join_without_parts():
    assert find_suite(["piqa", "copa"]).parts == {}
    assert find_suite(["faco"]).parts == {}


def test_lm_evals_humaneval_isnt_ours():
    pytest.importorskip("lm_eval")
    (theirs,) = find_suite(["lm-eval:humaneval"]).uses
    (ours,) = find_suite(["humaneval"]).uses
    assert (theirs.lm_evals, theirs.is_code) == (True, False)
    assert (ours.lm_evals, ours.is_code) == (False, True)
    with pytest.raises(UsageError, match=r"^humaneval and lm-eval:humaneval have one name in the results"):
        find_suite(["humaneval", "lm-eval:humaneval"])


def test_lm_evals_names_need_no_import_of_it():
    pytest.importorskip("lm_eval")
    (use,) = find_suite(["gsm8k"]).uses
    assert (use.name, use.task, use.shots, use.lm_evals) == ("gsm8k", None, None, True)
    assert find_suite(["piqa"]).uses[0].task is all_tasks()["piqa"]
    assert find_suite(["lm-eval:piqa"]).uses[0].task is None


@pytest.mark.parametrize(
    ("name", "nearest"),
    [("arc_chalenge", "arc_challenge"), ("open-lm", "open-llm"), ("lm-eval:gsm8", "lm-eval:gsm8k"), ("gsm9k", "gsm8k")],
)
def test_unknown_names_give_the_nearest(name, nearest):
    pytest.importorskip("lm_eval")
    with pytest.raises(UsageError, match=rf"^there is no suite or task {name}; the nearest names are .*{nearest}"):
        find_suite([name])


def test_a_name_near_nothing_gives_all_of_ours():
    pytest.importorskip("lm_eval")
    with pytest.raises(UsageError, match=r"the suites are faco, open-llm, smoke, the tasks arc_challenge, arc_easy, "):
        find_suite(["§§§§"])


@pytest.mark.drill
def test_the_names_are_those_of_lm_evals_task_manager():
    pytest.importorskip("torch")
    from lm_eval.tasks import TaskManager

    names = catalogue.lm_eval_names()
    theirs = {*TaskManager().all_tasks}
    assert theirs - names == set()
    assert len(names - theirs) < 10


def test_means_are_null_with_the_missing_named():
    suite = find_suite(["open-llm"])
    scores = {"arc_challenge": 0.4, "hellaswag": 0.6, "mmlu over subjects": 0.3, "truthfulqa_mc2": 0.5}
    whole = catalogue.summarize(suite, scores)
    assert whole["all"] == catalogue.Mean(mean=pytest.approx(0.45), n_tasks=4, missing=())
    assert whole["world knowledge"].mean == pytest.approx(0.4)
    assert list(whole) == ["all", "world knowledge", "language understanding"]
    holed = catalogue.summarize(suite, scores | {"mmlu over subjects": None})
    assert holed["all"] == catalogue.Mean(mean=None, n_tasks=4, missing=("mmlu over subjects",))
    assert holed["language understanding"].mean == 0.6


def test_what_is_left_out_of_the_mean_needs_no_score():
    suite = all_suites()["faco"]
    scores = {use.label: 0.5 for use in suite.uses if use.in_mean}
    assert catalogue.summarize(suite, scores)["all"].n_tasks == 16
    assert catalogue.summarize(suite, scores)["all"].mean == 0.5


def test_subjects_count_by_items_or_alike():
    by_subject = next(use for use in find_suite(["open-llm"]).uses if use.name == "mmlu")
    by_item = find_suite(["mmlu"]).uses[0]
    scores = [(0.2, 100), (0.8, 300)]
    assert catalogue.combine(by_subject, scores) == pytest.approx(0.5)
    assert catalogue.combine(by_item, scores) == pytest.approx(0.65)


def test_the_page_has_the_table_of_the_tasks_files():
    pytest.importorskip("torch")
    pytest.importorskip("lm_eval")
    sys.path.insert(0, str(ROOT / "tools"))
    import bench_tasks

    assert bench_tasks.render(real("benchmarks")) == bench_tasks.PAGE.read_text("utf-8")
