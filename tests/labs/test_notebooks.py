"""The built notebooks: complete, small, clean, and carrying what they must."""

import json
from pathlib import Path

import nbformat
import pytest

from labkit.authoring.files import find_root, find_sources

ROOT = find_root()
LABS = [path.stem for path in find_sources(ROOT)]
KILOBYTE = 1000


def read(folder, lab):
    return nbformat.read(ROOT / folder / f"{lab}.ipynb", as_version=4)


def code(nb):
    return [cell for cell in nb.cells if cell.cell_type == "code"]


@pytest.mark.parametrize("lab", LABS)
def test_every_code_cell_of_the_instructors_notebook_ran_in_order(lab):
    counts = [cell.execution_count for cell in code(read("solutions", lab))]
    assert counts == list(range(1, len(counts) + 1))


@pytest.mark.parametrize("lab", LABS)
def test_the_instructors_notebook_holds_a_full_run_in_which_all_checks_passed(lab):
    nb = read("solutions", lab)
    facts = [
        output.metadata["labkit"]
        for cell in code(nb)
        for output in cell.outputs
        if "labkit" in output.get("metadata", {})
    ]
    checks = [fact["check"] for fact in facts if "check" in fact]
    results = [fact["result"] for fact in facts if "result" in fact]
    assert len(checks) >= 5
    assert all(check["passed"] for check in checks)
    assert results
    assert all("fast mode" not in result["text"] for result in results)
    assert all("STAND-IN" not in result["origin"] for result in results)


@pytest.mark.parametrize("lab", LABS)
def test_no_output_is_an_error_a_warning_or_a_widget(lab):
    nb = read("solutions", lab)
    assert "widgets" not in nb.metadata
    for cell in code(nb):
        for output in cell.outputs:
            assert output.output_type != "error", cell.id
            assert output.get("name") != "stderr", (cell.id, output.get("text"))


@pytest.mark.parametrize("lab", LABS)
def test_the_students_notebook_has_no_outputs_and_every_solution_collapsed(lab):
    nb = read("notebooks", lab)
    assert all(not cell.outputs and cell.execution_count is None for cell in code(nb))
    solutions = [cell for cell in code(nb) if cell.source.startswith("%%solution")]
    assert len(solutions) >= 5
    for cell in solutions:
        assert cell.metadata["jupyter"]["source_hidden"] is True
        assert cell.metadata["cellView"] == "form"


@pytest.mark.parametrize("lab", LABS)
def test_notebooks_are_small(lab):
    assert (ROOT / "notebooks" / f"{lab}.ipynb").stat().st_size <= 100 * KILOBYTE
    assert (ROOT / "solutions" / f"{lab}.ipynb").stat().st_size <= 1000 * KILOBYTE


@pytest.mark.parametrize("path", sorted(ROOT.glob("*/*.ipynb")), ids=lambda path: path.parent.name)
def test_no_path_of_the_machine_that_built_it_is_in_a_notebook(path):
    text = json.dumps(json.loads(Path(path).read_text()))
    assert str(ROOT) not in text
    assert str(Path.home()) + "/" not in text
