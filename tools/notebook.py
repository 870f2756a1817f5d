"""Run the notebook of the docs from its first cell to its last, and keep what the cells show.

    python tools/notebook.py

The model of the microworld is trained on each machine, so that numbers may differ a little between machines.
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import Any

NOTEBOOK = Path(__file__).resolve().parents[1] / "docs" / "tutorials" / "loop.ipynb"


def execute(folder: Path) -> Any:
    """Run the notebook in a folder; return it with what its cells show now, without what they say while they work.

    Raises:
        nbclient.exceptions.CellExecutionError: a cell fails.
    """
    import nbformat
    from nbclient import NotebookClient

    notebook = nbformat.read(NOTEBOOK, as_version=4)
    client = NotebookClient(
        notebook,
        timeout=1200,
        kernel_name="python3",
        resources={"metadata": {"path": str(folder)}},
        record_timing=False,
    )
    client.execute(env={**os.environ, "TUNESCOPE_RUNS": "runs"})
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.outputs = [output for output in cell.outputs if output.get("name") != "stderr"]
    return notebook


def main() -> None:
    """Write the notebook anew."""
    import nbformat

    with tempfile.TemporaryDirectory() as folder:
        notebook = execute(Path(folder))
    nbformat.write(notebook, NOTEBOOK)


if __name__ == "__main__":
    main()
