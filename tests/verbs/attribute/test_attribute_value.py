"""`--value`: the values of rows against plain autograd, what the view and the table say, and what is refused."""

from __future__ import annotations

import pytest
from scipy.stats import rankdata
from tests.tools import alpaca, write_rows

import tunescope
from tunescope.errors import SettingsError, TunescopeError

ROWS = [
    alpaca("What does Penpi work as?", "The job of Penpi is that of a tailor."),
    alpaca("What is the job of Golbi?", "Golbi works as a baker."),
    alpaca("Where does Firna live?", "The home town of Firna is Tirve."),
    alpaca("What does Pamma play?", "In the evening Pamma practises the violin."),
    alpaca("Penpi?", "Penpi is a baker, a baker."),
]
SILENT = {"messages": [{"role": "user", "content": "How?"}, {"role": "assistant", "content": "So.", "weight": 0}]}
"""A row that isn't trained on."""
HELD_OUT = [
    alpaca("What is the job of Penpi?", "Penpi works as a tailor."),
    alpaca("Where is the home town of Firna?", "Firna lives in Tirve."),
    alpaca("Which instrument does Pamma practise?", "Pamma plays the violin."),
]


@pytest.fixture
def rows(workplace):
    write_rows(workplace / "heldout.jsonl", HELD_OUT)
    return str(write_rows(workplace / "rows.jsonl", ROWS))


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({}, r"^--value needs the tuned model, .*; add --tuned with a tune run, a PEFT adapter or a model folder$"),
        ({"base": "m"}, r"^--value needs the tuned model"),
        ({"tuned": "t", "text": "a"}, r"^found both --value and --text; --value has its own questions and answers$"),
        ({"tuned": "t", "prompt": "a"}, r"^found both --value and --prompt; "),
        ({"tuned": "t", "answers": "a.json"}, r"^found both --value and --answers; "),
        ({"tuned": "t", "span": "0:1"}, r"^found both --value and --span; "),
        ({"tuned": "t", "spans": "s.jsonl"}, r"^found both --value and --spans; "),
        ({"tuned": "t", "embedder": " "}, r"^--embedder is empty"),
        ({"tuned": "t", "rows": "-", "value": "-"}, r"^both the rows and --value are read from a pipe"),
    ],
)
def test_what_does_not_go_together(rows, options, sentence):
    with pytest.raises(SettingsError, match=sentence):
        tunescope.attribute(**{"rows": rows, "value": "heldout.jsonl", **options})


def test_a_row_stands_by_the_rows_that_are_no_worse_and_equal_rows_stand_alike():
    np = pytest.importorskip("numpy")
    from tunescope.verbs.attribute.value import compute_values

    gradients = np.array([[1.0, 0], [-1, 0], [0, 1], [0, 1]])
    losses, tokens = np.array([2.0, 1, 6, 3]), np.array([1, 1, 2, 1])
    values = compute_values([gradients[:1], gradients[:1]], [gradients, gradients], losses, tokens)
    # the mean squared length is 1, so along x the gradients' matrix is 2 + 1, and a gradient of 1 has the score 1 / 3
    assert values.influence == pytest.approx([2 / 3, -2 / 3, 0, 0])
    assert values.alignment == pytest.approx([1, -1, 0, 0])
    assert values.own_loss.tolist() == [2, 1, 3, 3]
    assert values.gradient_norm.tolist() == [1, 1, 0.5, 1]
    assert values.combined.tolist() == [(0.25 + 0.5) / 2, (1 + 0.25) / 2, (0.75 + 1) / 2, (0.75 + 1) / 2]


torch = pytest.importorskip("torch")

import numpy as np  # noqa: E402

from tunescope.chat import Chat  # noqa: E402
from tunescope.microworld.model import save_random_model  # noqa: E402
from tunescope.models import load, stop_ids  # noqa: E402
from tunescope.models.gradients import GradientSketcher  # noqa: E402
from tunescope.models.training_rows import IGNORED, examples, training_sequences  # noqa: E402
from tunescope.rows import open_rows  # noqa: E402


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    torch.set_num_threads(1)
    return str(save_random_model(tmp_path_factory.mktemp("models") / "tiny", seed=0))


@pytest.fixture
def tuned(rows, base):
    options = {"method": "full", "max_steps": 4, "batch_size": 2, "lr": 1e-2}
    return str(tunescope.tune(rows=rows, model=base, out="tuned", **options).path)


def by_autograd(name, *paths):
    """Return the gradients of files' rows by torch's autograd, sketched; and the losses and tokens of the last's.

    A layer's adapter gets its weights' gradient times A transposed; each number is added to its place with its sign.
    """
    loaded = load(name)
    model, chat = loaded.model.eval(), Chat(loaded.tokenizer, stop_ids(loaded.model, loaded.tokenizer))
    sketcher = GradientSketcher(model, 16, 8192, 0, "top_third")
    modules = dict(model.named_modules())
    found = []
    for path in paths:
        made = []
        for example in examples(chat, list(open_rows([str(path)])), 1024):
            (sequence,) = training_sequences(example)
            model.zero_grad()
            labels = torch.tensor(sequence.labels[1:])
            logits = model(input_ids=torch.tensor([list(sequence.ids)])).logits[0, :-1]
            loss = torch.nn.functional.cross_entropy(logits, labels, ignore_index=IGNORED, reduction="sum")
            loss.backward()
            sketch = np.zeros(8192)
            for layer in sketcher.layers:
                places, signs = sketcher.hashes(layer)
                of_b = modules[layer].weight.grad.numpy() @ sketcher.projection(layer).T
                np.add.at(sketch, places, of_b.ravel() * signs)
            made.append((sketch, loss.item(), int((labels != IGNORED).sum())))
        found.append([np.array(part) for part in zip(*made, strict=True)])
    return found


def fisher(questions, gradients):
    """Return scores and cosines in the rows' damped Fisher metric, from the matrix itself."""
    metric = np.linalg.inv(gradients.T @ gradients + (gradients**2).sum(1).mean() * np.eye(gradients.shape[1]))
    scores = questions @ metric @ gradients.T
    lengths = [np.sqrt(np.einsum("nw,wv,nv->n", each, metric, each)) for each in (questions, gradients)]
    return scores, scores / np.outer(*lengths)


@pytest.mark.slow
def test_values_are_those_of_plain_autograd(rows, base, tuned, workplace):
    run = tunescope.attribute(rows=rows, value="heldout.jsonl", tuned=tuned)
    influence, cosines = np.zeros(5), []
    for name in (base, f"{tuned}/model"):
        (questions, _, _), (gradients, losses, tokens) = by_autograd(name, "heldout.jsonl", rows)
        used = np.flatnonzero(np.abs(np.concatenate([questions, gradients])).max(0))  # the metric of 8,192² takes long
        scores, each = fisher(questions[:, used], gradients[:, used])
        influence += scores.sum(0)
        cosines.append(each.mean(0))
    alignment, own_loss = np.mean(cosines, axis=0), losses / tokens
    table = {name: np.array(column) for name, column in run.tables["values"].to_pydict().items()}
    assert table["influence"] == pytest.approx(influence, rel=1e-3, abs=2e-5)
    assert table["alignment"] == pytest.approx(alignment, rel=1e-3, abs=2e-5)
    assert table["own_loss"] == pytest.approx(own_loss, rel=1e-4)
    assert table["gradient_norm"] == pytest.approx(np.linalg.norm(gradients, axis=1) / tokens, rel=1e-3)
    combined = (rankdata(-alignment, "max") + rankdata(own_loss, "max")) / 10
    assert table["combined"] == pytest.approx(combined)
    assert table["rank"].tolist() == (6 - rankdata(combined.round(9), "max")).tolist()
    assert table["index"].tolist() == [0, 1, 2, 3, 4]
    assert table["line"].tolist() == [1, 2, 3, 4, 5]
    assert set(table["file"].tolist()) == {rows}
    assert np.corrcoef(influence, own_loss)[0, 1] < 0.99, "the columns say different things"


@pytest.mark.slow
def test_the_first_rows_are_named_and_the_next_command_leaves_them_out(rows, tuned):
    run = tunescope.attribute(rows=rows, value="heldout.jsonl", tuned=tuned, top=2, out="valued")
    table = run.tables["values"].to_pylist()
    first = sorted(table, key=lambda row: (row["rank"], row["index"]))[:2]
    assert {**run.result, "run": ""} == {
        "run": "",
        "rows": 5,
        "untrained": 0,
        "questions": 3,
        "n_missing": 0,
        "shared": 0,
        "first": [row["row_id"] for row in first],
    }
    assert [text.text for text in run.view.texts] == [
        f"{ROWS[row['index']]['instruction']}\n{ROWS[row['index']]['output']}" for row in first
    ]
    place = f"1. {rows}:{first[0]['line']}, row {first[0]['row_id']}: combined "
    assert run.view.texts[0].title.startswith(place)
    assert run.view.sentences[1].startswith("This is weak evidence")
    assert run.view.next[0] == f"tunescope select {rows} --from valued --where 'rank > 1'"
    kept = tunescope.select(rows=rows, from_="valued", where="rank > 1", out="kept")
    assert kept.result["dropped"] == sum(row["rank"] == 1 for row in table)


@pytest.mark.slow
def test_rows_and_questions_that_are_not_trained_on(workplace, base):
    chats = [
        {"messages": [{"role": "user", "content": q}, {"role": "assistant", "content": a}]}
        for q, a in (("Who?", "Penpi."), ("Where?", "In Tirve."), ("What?", "A violin."))
    ]
    rows = str(write_rows(workplace / "rows.jsonl", [chats[0], SILENT, chats[1], chats[1]]))
    write_rows(workplace / "heldout.jsonl", [chats[1], chats[2], SILENT])
    tuned = tunescope.tune(rows=rows, model=base, method="lora", max_steps=2, batch_size=2)
    run = tunescope.attribute(rows=rows, value="heldout.jsonl", tuned=str(tuned.path))
    assert {**run.result, "first": len(run.result["first"]), "run": ""} == {
        "run": "",
        "rows": 4,
        "untrained": 1,
        "questions": 2,
        "n_missing": 1,
        "shared": 1,
        "first": 3,
    }
    table = run.tables["values"].to_pylist()
    assert [table[1][name] for name in ("influence", "alignment", "own_loss", "combined", "rank")] == [*[None] * 4, 5]
    assert table[2]["rank"] == table[3]["rank"] <= 3, "equal rows"
    assert run.view.sentences[2:] == (
        "1 held-out question has no answer to train on: not used.",
        "1 row has no token to train on: no value, ranked last.",
        "1 held-out question has the same answer in the rows. Such a question isn't really held out: it speaks for "
        "those rows.",
    )
    write_rows(workplace / "none.jsonl", [SILENT])
    with pytest.raises(
        TunescopeError, match=r"^none of the 1 rows has a token .* train on \(none.jsonl\), so .*answers"
    ):
        tunescope.attribute(rows=rows, value="none.jsonl", tuned=str(tuned.path))


@pytest.mark.slow
def test_gradients_are_taken_once_and_serve_other_questions(rows, tuned, workplace):
    first = tunescope.attribute(rows=rows, value="heldout.jsonl", tuned=tuned)
    assert len(list(workplace.glob("runs/attribute-gradients-*"))) == 4
    assert tunescope.attribute(rows=rows, value="heldout.jsonl", tuned=tuned).path == first.path
    write_rows(workplace / "heldout.jsonl", HELD_OUT[:2])
    other = tunescope.attribute(rows=rows, value="heldout.jsonl", tuned=tuned)
    assert other.path != first.path
    assert len(list(workplace.glob("runs/attribute-gradients-*"))) == 6
    plan = tunescope.attribute(rows=rows, value="heldout.jsonl", tuned=tuned, plan=True)
    assert plan.result["parts"] == {}
