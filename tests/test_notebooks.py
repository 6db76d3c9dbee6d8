"""Every notebook runs from top to bottom, and is committed as it ran.

    DEFAULT_FLAGS=1 REFRESH_NOTEBOOKS=1 python -m pytest -n 0 tests/test_notebooks.py -k runs

writes what they print and draw into the files.
"""

import os
import re
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

NOTEBOOKS = sorted((Path(__file__).parents[1] / "notebooks").glob("*.ipynb"))
LARGEST = 150_000  # bytes of a notebook's pictures
# What only one machine has: folders of users, of environments and of temporary files.
HERE = re.escape(str(Path(__file__).parents[1]))
OF_A_MACHINE = re.compile(rf"(?:/home/|/root/|/Users/|/tmp/|{HERE}|site-packages|[A-Z]:\\)")


def read(path):
    return nbformat.read(path, as_version=4)


def outputs_of(notebook):
    return [output for cell in notebook.cells for output in cell.get("outputs", ())]


def kept(notebook):
    """The notebook without what is of one Python, and without whole pages (reports that play)."""
    notebook.metadata.language_info = {"name": "python"}
    for output in outputs_of(notebook):
        if "srcdoc" in output.get("data", {}).get("text/html", ""):
            del output["data"]["text/html"]
    return notebook


@pytest.fixture(scope="module")
def programs(tmp_path_factory):
    """A folder for compiled programs, which the notebooks have in part in common."""
    return tmp_path_factory.mktemp("programs")


# The kernel and its messaging library warn about event loops and ports, which is not ours to mend.
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebook_runs(path, tmp_path, programs, monkeypatch):
    monkeypatch.setenv("JAX_COMPILATION_CACHE_DIR", str(programs))
    notebook = read(path)
    folder = {"metadata": {"path": str(tmp_path)}}
    NotebookClient(notebook, timeout=300, resources=folder, record_timing=False).execute()
    assert any(output.output_type == "stream" for output in outputs_of(notebook))
    assert not any(output.output_type == "error" for output in outputs_of(notebook))
    if os.environ.get("REFRESH_NOTEBOOKS") == "1":
        nbformat.write(kept(notebook), path)


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebook_is_committed_as_it_ran(path):
    notebook = read(path)
    refresh = f"{path.name} is not as it ran: refresh it as the first lines of this file say"
    cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert [cell.execution_count for cell in cells] == list(range(1, len(cells) + 1)), refresh
    outputs = outputs_of(notebook)
    assert not any(output.output_type == "error" for output in outputs), refresh
    pictures = [output["data"]["image/png"] for output in outputs if "image/png" in output.get("data", {})]
    assert pictures, refresh
    assert 0.75 * sum(map(len, pictures)) < LARGEST, "make the pictures smaller"
    assert path.stat().st_size < 2 * LARGEST, refresh
    for output in outputs:
        text = output.get("text", "") + "".join(
            str(value) for kind, value in output.get("data", {}).items() if kind.startswith("text/")
        )
        found = OF_A_MACHINE.search(text)
        assert found is None, f"{path.name} tells of a machine: {text[found.start() :][:80]!r}"


def test_there_are_notebooks():
    assert NOTEBOOKS
