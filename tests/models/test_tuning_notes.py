"""What folders of other tools say of their tuning."""

from __future__ import annotations

import pytest

from tunescope.models.tuning_notes import TuningNotes, read_tuning_notes

AXOLOTL = """---
library_name: peft
base_model: some/base-1b
tags: [axolotl]
---
<details><summary>See axolotl config</summary>

axolotl version: `0.19.0`
```yaml
base_model: some/base-1b
sequence_len: 2048
train_on_inputs: true
datasets:
  - path: rows.jsonl
    type: alpaca
```
</details>
"""
TRL = """---
base_model:
- other/base
library_name: transformers
tags: [trl, sft]
---
# Model Card
"""
UNSLOTH = "---\nbase_model: unsloth/small-bnb-4bit\ntags: [unsloth, trl]\n---\n"
FACTORY = "model_name_or_path: third/base\ncutoff_len: 512\ntrain_on_prompt: false\ntemplate: qwen\n"


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({"README.md": AXOLOTL}, TuningNotes("some/base-1b", 2048, True)),
        ({"README.md": TRL}, TuningNotes("other/base", None, False)),
        ({"README.md": UNSLOTH}, TuningNotes("unsloth/small-bnb-4bit", None, False)),
        ({"training_args.yaml": FACTORY}, TuningNotes("third/base", 512, False)),
        ({"README.md": TRL, "training_args.yaml": FACTORY}, TuningNotes("other/base", 512, False)),
        ({}, TuningNotes()),
        ({"README.md": "# A model\n"}, TuningNotes()),
        ({"README.md": "---\nbase_model: [a, b]\ncutoff_len: yes\n---\n"}, TuningNotes()),
        ({"README.md": "---\nbase_model: {a: \n---\n", "training_args.yaml": "- 1"}, TuningNotes()),
        ({"training_args.yaml": "cutoff_len: -1\nmodel_name_or_path: 7\n"}, TuningNotes()),
    ],
)
def test_what_a_folder_says(tmp_path, files, expected):
    for name, text in files.items():
        (tmp_path / name).write_text(text, "utf-8")
    assert read_tuning_notes(tmp_path) == expected


def test_a_card_that_is_no_text_says_nothing(tmp_path):
    (tmp_path / "README.md").write_bytes(b"---\nbase_model: \xff\n---\n")
    assert read_tuning_notes(tmp_path) == TuningNotes()
