"""The thread through every storey: rows → check → tune → answers → compare → one page, as a recipe.

It stands on an untrained micro model, so it says nothing about models and everything about the
way. The loop on the embedded model is the demo's drill, in tests/drills/test_demo.py.
"""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest

pytest.importorskip("torch")
from tunescope import study
from tunescope.microworld.model import save_random_model

ROOT = Path(__file__).parents[1]
RECIPE = """
about: The thread.
inputs: {{rows: {rows}, prompts: {prompts}}}
steps:
  check: {{verb: check, rows: "{{rows}}", max_words: 500}}
  tune:
    verb: tune
    vary: {{method: [lora, full]}}
    rows: "{{rows}}"
    model: {model}
    max_steps: 2
    max_length: 256
  base: {{verb: answer, prompts: "{{prompts}}", model: {model}, max_new_tokens: 8}}
  tuned: {{verb: answer, prompts: "{{prompts}}", model: "{{tune}}/model", max_new_tokens: 8}}
  change: {{verb: compare, a: "{{base}}", b: "{{tuned}}"}}
  page:
    verb: report
    runs: ["{{check}}", "{{tune}}", "{{base}}", "{{tuned}}", "{{change}}"]
    notes: [Nothing is learned from this.]
"""


def write_recipe(folder: Path) -> Path:
    """Write the thread's recipe, on 20 of lora-and-full's rows and a micro model."""
    rows = json.loads((ROOT / "recipes/lora-and-full/rows.json").read_text("utf-8"))[:20]
    rows[0]["output"] += " <script>alert(1)</script>"
    (folder / "rows.json").write_text(json.dumps(rows), "utf-8")
    prompts = (ROOT / "recipes/lora-and-full/prompts.jsonl").read_text("utf-8").split("\n")[:3]
    prompts.append('{"prompt_id": "<b>x</b>", "prompt": "<img src=x onerror=alert(2)>"}')
    (folder / "prompts.jsonl").write_text("\n".join(prompts) + "\n", "utf-8")
    model = save_random_model(folder / "model", seed=0)
    recipe = folder / "thread.yaml"
    recipe.write_text(RECIPE.format(rows="rows.json", prompts="prompts.jsonl", model=model), "utf-8")
    return recipe


@pytest.fixture(scope="module")
def thread(tmp_path_factory):
    folder = tmp_path_factory.mktemp("thread")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setenv("TUNESCOPE_RUNS", str(folder / "runs"))
        yield study.run(study.StudySettings(recipe=str(write_recipe(folder))))


class Page(HTMLParser):
    """Collects what a browser would load or run, the ids and the links inside the page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.ids: list[str] = []
        self.links: list[str] = []
        self.loaded: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        for name, value in attrs:
            if name == "id":
                self.ids.append(value)
            elif name == "href":
                self.links.append(value)
            elif name in ("src", "srcset", "data", "action") or name.startswith("on"):
                self.loaded.append(f"{name}={value}")


def test_every_step_has_its_run_folder(thread):
    assert [step["name"] for step in thread.result["steps"]] == [
        "check",
        "tune (method=lora)",
        "tune (method=full)",
        "base",
        "tuned (method=lora)",
        "tuned (method=full)",
        "change (method=lora)",
        "change (method=full)",
        "page",
    ]
    assert all((Path(step["run"]) / "run.json").is_file() for step in thread.result["steps"])


def test_the_page_opens_with_sentences_a_step_and_the_notes(thread):
    text = Path(thread.result["reports"][0]).read_text("utf-8")
    opening = re.search(r'<ol class="opening">(.*?)</ol>', text, re.DOTALL)[1]
    assert [re.sub("<.*?>", "", line).strip().split(":")[0] for line in opening.strip().split("\n")] == [
        "What is wrong with the rows",
        "What tuning changed",
    ]
    assert '<div class="step"><h2>Next</h2>' in text
    assert "Nothing is learned from this." in text


def test_the_page_is_self_contained_and_its_texts_are_only_text(thread):
    text = Path(thread.result["reports"][0]).read_text("utf-8")
    page = Page(text)
    assert page.loaded == []
    assert set(page.tags).isdisjoint({"img", "link", "iframe", "object"})
    assert "default-src &#39;none&#39;" in text or "default-src 'none'" in text
    assert "&lt;img src=x onerror=alert(2)&gt;" in text
    assert len(page.ids) == len(set(page.ids))
    inside = {link.removeprefix("#") for link in page.links if link.startswith("#")}
    assert inside <= set(page.ids)
    folder = Path(thread.result["reports"][0]).parent
    assert all((folder / link).is_file() for link in page.links if not link.startswith("#"))


def test_a_second_run_does_nothing_again(thread, monkeypatch):
    monkeypatch.chdir(thread.path.parents[1])
    monkeypatch.setenv("TUNESCOPE_RUNS", str(thread.path.parent))
    stamps = {path: path.stat().st_mtime_ns for path in thread.path.parent.glob("*/run.json")}
    again = study.run(study.StudySettings(recipe="thread.yaml"))
    assert again.path == thread.path
    assert {path: path.stat().st_mtime_ns for path in thread.path.parent.glob("*/run.json")} == stamps
