"""The notebook of the docs: every cell runs, and the loop closes in it as it says."""

from __future__ import annotations

import ast

import pytest

pytest.importorskip("torch")
import nbformat

from tools import notebook

pytestmark = pytest.mark.long


def shown(cells):
    """Return what the code cells show: a list of (kind, text) for each."""
    return [
        [(output.output_type, output.get("text") or output["data"]["text/plain"]) for output in cell.outputs]
        for cell in cells
        if cell.cell_type == "code"
    ]


def test_the_notebook_runs_and_closes_the_loop(tmp_path):
    """Numbers may differ between processors: the tiny model is trained here."""
    before = nbformat.read(notebook.NOTEBOOK, as_version=4)
    now = notebook.execute(tmp_path)
    assert [cell.source for cell in now.cells] == [cell.source for cell in before.cells]
    kinds = [[kind for kind, _ in outputs] for outputs in shown(now.cells)]
    assert kinds == [[kind for kind, _ in outputs] for outputs in shown(before.cells)]
    (_, verdicts), (_, page) = (outputs[0] for outputs in shown(now.cells)[-2:])
    gone = {system: counts["gone"] for system, counts in ast.literal_eval(verdicts).items()}
    assert gone == {"named rows left out": 6, "random rows left out": 0}
    assert page == "report.html\n"
    assert "<table" in [cell for cell in now.cells if cell.cell_type == "code"][1].outputs[0]["data"]["text/html"]
