"""Which rows taught an answer, by meaning and gradients: the values against what they are made from."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from tests.tools import alpaca, write_rows  # noqa: E402
from transformers import AutoTokenizer  # noqa: E402

import tunescope  # noqa: E402
from tunescope.answers import read_answers  # noqa: E402
from tunescope.chat import Chat  # noqa: E402
from tunescope.errors import SettingsError, TunescopeError  # noqa: E402
from tunescope.microworld.model import save_random_model  # noqa: E402
from tunescope.models import load, stop_ids  # noqa: E402
from tunescope.models.embedded import EMBEDDER, cached  # noqa: E402
from tunescope.models.gradients import GradientSketcher  # noqa: E402
from tunescope.models.influence import effect_scores, fisher_scores  # noqa: E402
from tunescope.models.training_rows import IGNORED, TrainingSequence, examples, training_sequences  # noqa: E402
from tunescope.rows import Message, open_rows  # noqa: E402
from tunescope.verbs.attribute.evidence.gradients import _tokens_of  # noqa: E402

pytestmark = pytest.mark.slow

ROWS = [
    alpaca("What does Penpi work as?", "The job of Penpi is that of a tailor."),
    alpaca("What is the job of Golbi?", "Golbi works as a baker."),
    alpaca("Where does Firna live?", "The home town of Firna is Tirve."),
    alpaca("What does Pamma play?", "In the evening Pamma practises the violin."),
    alpaca("Penpi?", "Penpi is a tailor, a tailor."),
    alpaca("Nothing", ""),
]
SILENT = {"role": "assistant", "content": "So.", "weight": 0}
"""A turn that isn't trained on."""
TEXT, PROMPT = "The job of Penpi is that of a tailor.", "What does Penpi work as?"


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    torch.set_num_threads(1)
    return str(save_random_model(tmp_path_factory.mktemp("models") / "tiny", seed=0))


@pytest.fixture
def rows(workplace):
    return str(write_rows(workplace / "rows.jsonl", ROWS))


@pytest.fixture
def tuned(rows, base):
    return str(tunescope.tune(rows=rows, model=base, method="lora", max_steps=3, batch_size=2, out="tuned").path)


def scores(run, kind):
    """Return a kind's scores by the row's number."""
    return {row["index"]: row[kind] for row in run.result["answers"][0]["rows"] if row[kind] is not None}


def sketches(model, all_rows, text=TEXT, keep=lambda place, label: True):
    """Return the sketches of rows and of an answer, as the modules give them."""
    loaded = load(model)
    chat = Chat(loaded.tokenizer, stop_ids(loaded.model, loaded.tokenizer))
    sketcher = GradientSketcher(loaded.model, 16, 8192, 0, "top_third")
    answer = replace(all_rows[0], messages=(Message("user", PROMPT), Message("assistant", text)))
    made = [training_sequences(example) for example in examples(chat, [*all_rows, answer], 1024)]
    (sequence,) = made[-1]
    labels = [label if keep(place, label) else IGNORED for place, label in enumerate(sequence.labels)]
    made[-1] = [sequence._replace(labels=labels)]
    array = np.array([sketcher.sketch(parts).sum(0) for parts in made])
    return array[-1:], array[:-1]


def test_states_and_effect_are_the_fisher_scores_of_the_sketches(rows, base, tuned):
    run = tunescope.attribute(rows=rows, text=TEXT, prompt=PROMPT, tuned=tuned, embedder="none")
    all_rows = list(open_rows([rows]))
    of_base, of_tuned = sketches(base, all_rows), sketches(f"{tuned}/model", all_rows)
    states = fisher_scores(*of_base)[0]
    effect = effect_scores(*zip(of_base, of_tuned, strict=True))[0]
    assert scores(run, "states") == pytest.approx(dict(enumerate(states)), abs=2e-6)
    assert scores(run, "effect") == pytest.approx(dict(enumerate(effect)), abs=2e-6)
    assert run.result["evidence"] == ["words", "states", "effect"]
    assert run.result["answers"][0]["rows"][0]["index"] == 0
    assert run.result["left_out"].keys() == {"meaning"}


def test_a_stretch_restricts_the_loss_to_its_tokens(rows, base):
    begin = TEXT.index("tailor")
    run = tunescope.attribute(
        rows=rows, text=TEXT, prompt=PROMPT, base=base, embedder="none", span=f"{begin}:{begin + 6}"
    )
    loaded = load(base)
    (wanted,) = loaded.tokenizer(" tailor", add_special_tokens=False)["input_ids"]
    expected = fisher_scores(*sketches(base, list(open_rows([rows])), keep=lambda _, label: label == wanted))[0]
    assert scores(run, "states") == pytest.approx(dict(enumerate(expected)), abs=2e-6)


def test_stretches_of_answers_in_a_file(rows, base, workplace):
    (workplace / "a.json").write_text(json.dumps([{"instruction": PROMPT, "output": TEXT, "generator": "m"}]))
    whole = tunescope.attribute(rows=rows, answers="a.json", base=base, embedder="none")
    begin = TEXT.index("tailor")
    record = {"answer_id": whole.result["answers"][0]["answer_id"], "start": begin, "end": begin + 6}
    (workplace / "s.jsonl").write_text(json.dumps(record) + "\n")
    part = tunescope.attribute(rows=rows, answers="a.json", base=base, embedder="none", spans="s.jsonl")
    typed = tunescope.attribute(
        rows=rows, text=TEXT, prompt=PROMPT, base=base, embedder="none", span=f"{begin}:{begin + 6}"
    )
    assert scores(part, "states") == scores(typed, "states") != scores(whole, "states")


class Bytes:
    """A tokenizer whose tokens are bytes."""

    def decode(self, ids, **_):
        return bytes(ids).decode("utf-8", "replace")


@pytest.mark.parametrize(
    ("said", "text", "word", "expected"),
    [
        ("At noon.", "At noon.", "noon", "noon"),
        ("水在🙂 up", "水在🙂 up", "🙂", "🙂"),
        ("水在🙂 up", "水在🙂 up", "在", "在"),
        ("it ends on 🙂", "it ends on 🙂", "🙂", "🙂"),
        ("At noon.", "  At noon.\n", "noon", "noon"),
        ("noon</think>noon", "noon", "noon", "noon"),
        ("At one.", "At noon.", "noon", None),
    ],
)
def test_the_tokens_of_a_stretch(said, text, word, expected):
    prompt = b"noon? "
    ids = [*prompt, *said.encode()]
    sequence = TrainingSequence(ids, [*[IGNORED] * len(prompt), *said.encode()])
    begin = text.index(word)
    places = _tokens_of(Bytes(), sequence, text, [(begin, begin + len(word))])
    if expected is None:
        assert places is None
        return
    first = len(prompt) + said.encode().rindex(word.encode())
    assert places == {*range(first, first + len(word.encode()))}


def test_a_stretch_of_an_answer_that_the_template_trims(rows, base, workplace):
    (workplace / "trims.jinja").write_text(
        "{% for m in messages %}{{ '[' + m.role + ']' + (m.content | trim) }}"
        "{% if m.role == 'assistant' %}{{ eos_token }}{% endif %}{% endfor %}"
        "{% if add_generation_prompt %}[assistant]{% endif %}"
    )
    found = []
    for lead in ("", "  "):
        record = [{"instruction": PROMPT, "output": lead + TEXT, "generator": "m"}]
        (workplace / "a.json").write_text(json.dumps(record))
        (answer,) = read_answers(workplace / "a.json")
        begin = answer.text.index("tailor")
        span = {"answer_id": answer.answer_id, "start": begin, "end": begin + 6}
        (workplace / "s.jsonl").write_text(json.dumps(span))
        options = {"base": base, "embedder": "none", "template": "trims.jinja"}
        run = tunescope.attribute(rows=rows, answers="a.json", spans="s.jsonl", **options)
        found.append(scores(run, "states"))
    assert found[0] == found[1]


def test_gradients_of_candidates_alone(rows, base):
    run = tunescope.attribute(rows=rows, text=TEXT, prompt=PROMPT, base=base, embedder="none", candidates=2)
    assert scores(run, "states").keys() == {0, 4}
    tokens = [json.loads(path.read_text())["result"]["rows"] for path in run.path.parent.glob("attribute-g*/run.json")]
    assert tokens == [2]


def test_the_index_of_all_gradients_serves_candidates(rows, base, workplace):
    asked = {"rows": rows, "text": TEXT, "prompt": PROMPT, "base": base, "embedder": "none", "candidates": 2}
    alone = tunescope.attribute(**asked)
    assert tunescope.attribute(**asked, plan=True).result["parts"] == {}
    other = asked | {"text": "Golbi works as a baker.", "prompt": "What is the job of Golbi?"}
    assert tunescope.attribute(**other, plan=True).result["parts"].keys() == {f"gradients of {base}"}
    gradients = tunescope.attribute_index(rows=rows, base=base, embedder="none").result["parts"]["gradients"]
    assert tunescope.attribute(**other, plan=True).result["parts"] == {}
    whole = tunescope.attribute(**asked, out="whole")
    assert f"gradients {gradients}" in whole.info["inputs"]
    assert scores(whole, "states") == scores(alone, "states")
    assert scores(tunescope.attribute(**other), "states").keys() != {0, 4}
    assert len(list(workplace.glob("runs/attribute-gradients-*"))) == 2


def test_the_index_of_gradients_serves_every_tuning(rows, base, tuned, workplace):
    indexed = tunescope.attribute_index(rows=rows, base=base, embedder="none")
    gradients = indexed.result["parts"]["gradients"]
    run = tunescope.attribute(rows=rows, text=TEXT, prompt=PROMPT, base=base, embedder="none")
    assert f"gradients {gradients}" in run.info["inputs"]
    both = tunescope.attribute(rows=rows, text=TEXT, prompt=PROMPT, tuned=tuned, embedder="none")
    assert f"gradients {gradients}" in both.info["inputs"]
    assert len(list(workplace.glob("runs/attribute-gradients-*"))) == 2


@pytest.mark.skipif(cached(EMBEDDER) is None, reason="the embedder isn't in the cache")
def test_meaning_is_the_cosine_of_the_embeddings(rows):
    from tunescope.models.embedder import Embedder

    run = tunescope.attribute(rows=rows, text=TEXT, prompt=PROMPT)
    texts = [f"{row['instruction']}\n{row['output']}".strip() for row in ROWS]
    vectors = Embedder(EMBEDDER).embed([*texts, f"{PROMPT}\n{TEXT}"]).vectors
    assert scores(run, "meaning") == pytest.approx(dict(enumerate((vectors[:-1] @ vectors[-1]).tolist())), abs=2e-6)
    assert run.result["evidence"] == ["words", "meaning"]


def test_what_does_not_belong_together(rows, base, tuned, workplace, tmp_path):
    write_rows(workplace / "others.jsonl", [*ROWS[:3], alpaca("What does Penpi work as?", "As a cook.")])
    with pytest.raises(
        SettingsError, match=r"^tuned wasn't tuned on others.jsonl as it is now; .*--rows .*rows.jsonl$"
    ):
        tunescope.attribute(rows="others.jsonl", text=TEXT, tuned=tuned, embedder="none")
    other = str(save_random_model(tmp_path / "other", seed=1))
    with pytest.raises(SettingsError, match=r"other isn't the base of the adapter tuned.*; leave --base out$"):
        tunescope.attribute(rows=rows, text=TEXT, base=other, tuned=tuned, embedder="none")
    with pytest.raises(
        SettingsError, match=r"is no adapter and no tune run, so its base is unknown; name it with --base"
    ):
        tunescope.attribute(rows=rows, text=TEXT, tuned=other, embedder="none")
    with pytest.raises(
        TunescopeError, match=r"^the answer \w+ can't be read by .*; it has [\d,]+ tokens .*shorter answer"
    ):
        tunescope.attribute(rows=rows, text=f"{TEXT} " * 900, prompt=PROMPT, base=base, embedder="none")


def test_one_answer_that_is_too_long_goes_without_gradients(rows, base, workplace, capsys):
    asked = [{"instruction": PROMPT, "output": text, "generator": "m"} for text in (TEXT, f"{TEXT} " * 900)]
    (workplace / "a.json").write_text(json.dumps(asked))
    run = tunescope.attribute(rows=rows, answers="a.json", base=base, embedder="none")
    first, second = run.result["answers"]
    assert first["rows"][0]["states"] is not None
    assert {row["states"] for row in second["rows"]} == {None}
    assert f"the answer {second['answer_id']} can't be read by {base}" in capsys.readouterr().err


def test_rows_that_were_written_again_are_those_that_the_model_was_tuned_on(base, workplace):
    (workplace / "set.json").write_text(json.dumps(ROWS, indent=3))
    tuned = str(tunescope.tune(rows="set.json", model=base, method="lora", max_steps=2, batch_size=2).path)
    kept = tunescope.select(rows="set.json", where="instruction != 'Nothing'")
    written = str(kept.path / kept.result["files"]["kept"])
    run = tunescope.attribute(rows=written, text=TEXT, prompt=PROMPT, tuned=tuned, embedder="none")
    assert scores(run, "effect").keys() == set(range(5))


def test_a_full_tuning_knows_its_base(rows, base, tmp_path):
    tuned = tunescope.tune(rows=rows, model=base, method="full", max_steps=2, batch_size=2)
    run = tunescope.attribute(rows=rows, text=TEXT, prompt=PROMPT, tuned=str(tuned.path), embedder="none")
    assert run.result["evidence"] == ["words", "states", "effect"]
    other = str(save_random_model(tmp_path / "other", seed=1))
    with pytest.raises(
        SettingsError, match=r"was tuned from .*, and --base .*other is another model or version; leave"
    ):
        tunescope.attribute(rows=rows, text=TEXT, base=other, tuned=str(tuned.path), embedder="none")


def test_rows_that_nothing_is_trained_on(workplace, base):
    write_rows(workplace / "rows.jsonl", [{"messages": [{"role": "user", "content": "How?"}, SILENT]}])
    with pytest.raises(TunescopeError, match=r"^none of the 1 rows has a token that `tune` would train on"):
        tunescope.attribute(rows="rows.jsonl", text="How?", base=base, embedder="none")


def test_the_cut_names_the_evidence_that_had_a_null(workplace, base):
    rng = np.random.default_rng(0)
    shares = 1 / np.arange(1, 41)
    texts = [" ".join(f"word{n}" for n in rng.choice(40, 8, p=shares / shares.sum())) for _ in range(30)]
    asked = [{"role": "user", "content": f"{PROMPT} {text}"} for text in texts]
    silent = [{"messages": [each, SILENT]} for each in asked[4:]]
    said = [{"messages": [each, {"role": "assistant", "content": TEXT}]} for each in asked[:4]]
    write_rows(workplace / "rows.jsonl", [*said, *silent])
    run = tunescope.attribute(rows="rows.jsonl", text=TEXT, prompt=PROMPT, base=base, embedder="none")
    assert run.result["evidence"] == ["words", "states"]
    assert " by words: they pass a threshold that" in " ".join(run.view.sentences)


def test_a_plan_tells_each_part_and_keeps_nothing(rows, base, workplace):
    plan = tunescope.attribute(rows=rows, text=TEXT, base=base, embedder="none", plan=True)
    assert plan.result["parts"].keys() == {"words", f"gradients of {base}"}
    assert plan.result["minutes"] == pytest.approx(sum(part["minutes"] for part in plan.result["parts"].values()))
    assert [path.parent.name[:14] for path in workplace.glob("runs/*/run.json")] == ["attribute-plan"]
    tunescope.attribute_index(rows=rows, base=base, embedder="none")
    rest = tunescope.attribute(rows=rows, text=TEXT, base=base, embedder="none", plan=True)
    assert rest.result["parts"] == {}
    assert rest.view.sentences == ("Everything that tunescope attribute needs of 6 rows is there already.",)


def test_a_model_of_another_tool_says_its_base_and_where_its_rows_were_cut(rows, base, tmp_path, capsys):
    other = save_random_model(tmp_path / "other", seed=1)
    config = f"base_model: {base}\nsequence_len: 24\ntrain_on_inputs: true\n"
    (other / "README.md").write_text(f"---\nbase_model: {base}\n---\n## axolotl config\n```yaml\n{config}```\n")
    asked = {"rows": rows, "text": TEXT, "prompt": PROMPT, "embedder": "none"}
    run = tunescope.attribute(**asked, tuned=str(other))
    err = capsys.readouterr().err
    assert f"{other} says that it was made from {base}" in err
    assert "was trained on its prompts too; the gradients here are those of the answers alone" in err
    assert "doesn't say where its rows were cut" not in err
    typed = tunescope.attribute(**asked, tuned=str(other), base=base, max_length=24)
    assert scores(run, "effect") == scores(typed, "effect")
    (other / "README.md").unlink()
    longer = tunescope.attribute(**asked, tuned=str(other), base=base)
    assert (
        "doesn't say where its rows were cut: 1,024 tokens are taken; else type --max-length" in capsys.readouterr().err
    )
    assert scores(longer, "effect") != scores(run, "effect")


@pytest.mark.parametrize("place", ["tokenizer_config.json", "chat_template.jinja"])
def test_a_model_of_another_tool_brings_its_template(rows, base, tmp_path, workplace, place):
    other = save_random_model(tmp_path / "other", seed=1)
    asked = {"rows": rows, "text": TEXT, "prompt": PROMPT, "embedder": "none", "tuned": str(other), "base": base}
    same = tunescope.attribute(**asked)
    tokenizer = AutoTokenizer.from_pretrained(other)
    template = "tailor" + tokenizer.chat_template
    (other / "chat_template.jinja").unlink(missing_ok=True)
    config = json.loads((other / "tokenizer_config.json").read_text())
    config.pop("chat_template", None)
    if place == "tokenizer_config.json":
        config["chat_template"] = template
    else:
        (other / place).write_text(template)
    (other / "tokenizer_config.json").write_text(json.dumps(config))
    (workplace / "own.jinja").write_text(template)
    run, typed = tunescope.attribute(**asked), tunescope.attribute(**asked, template="own.jinja")
    assert scores(run, "effect") == scores(typed, "effect") != scores(same, "effect")
