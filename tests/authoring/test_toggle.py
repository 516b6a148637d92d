"""Toggling loses nothing, whatever a student did to the notebook."""

import copy

import pytest
from hypothesis import given
from hypothesis import strategies as st
from nbformat import from_dict
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

from labkit.authoring import AuthoringError
from labkit.authoring.files import read_notebook, write_notebook
from labkit.authoring.toggle import hide, show, strip, toggle_file

TEXT = st.text(alphabet="ab =#%!\n\t é\"'\\0", max_size=40)
OUTPUTS = st.lists(TEXT.map(lambda text: new_output("stream", text=text)), max_size=2)
EXTRA = st.dictionaries(st.sampled_from(["colab", "id", "slideshow"]), TEXT, max_size=2)


@st.composite
def cells(draw):
    """One cell of a hidden notebook after a student had it: any text, outputs, metadata."""
    kind = draw(st.sampled_from(["text", "code", "exercise", "solution", "solution text"]))
    number = f"{draw(st.integers(1, 9))}.{draw(st.integers(1, 19))}"
    extra = draw(EXTRA)
    if kind == "text":
        return new_markdown_cell(draw(TEXT), metadata=extra)
    if kind == "solution text":
        return new_markdown_cell(draw(TEXT), metadata=extra | {"tags": ["solution"]})
    source, outputs = draw(TEXT), draw(OUTPUTS)
    if kind == "exercise":
        source = f"{source}\n# Exercise {number}\n# Solution {number}\n{draw(TEXT)}"
        extra |= {"tags": ["exercise"], "labkit": {"exercise": number, "stub": "0" * 12}}
    if kind == "solution":
        source = f"%%solution {number}\n# Solution {number}\n{source}"
        jupyter = {"source_hidden": True} | draw(st.sampled_from([{}, {"outputs_hidden": True}]))
        extra |= {"tags": ["solution"], "labkit": {"solution": number}, "cellView": "form"}
        extra["jupyter"] = jupyter
    elif source.lstrip().startswith("%%solution"):
        source = f"# {source}"
    return new_code_cell(source, metadata=extra, outputs=outputs)


NOTEBOOKS = st.lists(cells(), max_size=8).map(
    lambda found: from_dict(
        new_notebook(cells=found, metadata={"labkit": {"lab": "02_mini", "state": "hidden"}})
    )
)


def is_solution(cell):
    return "solution" in cell.metadata.get("tags", [])


@given(NOTEBOOKS)
def test_hide_undoes_show(nb):
    before = copy.deepcopy(nb)
    shown = show(nb)
    assert nb == before, "the notebook that came in is left as it is"
    assert hide(shown) == before
    assert not any(
        cell.source.startswith("%%solution") or "cellView" in cell.metadata
        for cell in shown.cells
        if is_solution(cell)
    )
    assert show(shown) == shown
    assert hide(nb) == nb


@given(NOTEBOOKS)
def test_what_is_no_solution_is_never_touched(nb):
    students = [cell for cell in nb.cells if not is_solution(cell)]
    for changed in (show(nb), hide(show(nb))):
        assert [cell for cell in changed.cells if not is_solution(cell)] == students
    stripped = strip(nb)
    assert stripped.cells[:-1] == students
    assert "hand in" in stripped.cells[-1].source
    assert strip(stripped) == stripped
    assert strip(show(nb)) == stripped


@given(NOTEBOOKS)
def test_a_stripped_notebook_does_not_come_back(nb):
    for back in (show, hide):
        with pytest.raises(AuthoringError, match="fresh notebook from notebooks/"):
            back(strip(nb))


@given(TEXT)
def test_a_students_own_heading_is_no_solution(text):
    cell = new_code_cell(f"# Solution 2.1\n{text}")
    nb = new_notebook(cells=[cell], metadata={"labkit": {"lab": "02_mini", "state": "hidden"}})
    assert strip(nb).cells[0] == cell
    assert hide(nb).cells[0] == cell


def hidden_notebook():
    cell = new_code_cell("%%solution 2.1\n# Solution 2.1\nx = 1", metadata={"cellView": "form"})
    return new_notebook(cells=[cell])


def test_hidden_solutions_are_known_without_metadata():
    shown = show(hidden_notebook())
    assert shown.cells[0].source == "# Solution 2.1\nx = 1"
    assert hide(shown).cells[0].source == hidden_notebook().cells[0].source
    assert len(strip(hidden_notebook()).cells) == 1


def test_a_solution_without_its_number_is_named():
    nb = new_notebook(cells=[new_code_cell("x = 1", id="abc", metadata={"tags": ["solution"]})])
    with pytest.raises(AuthoringError, match=r"cell abc: put the line `# Solution N\.M` back"):
        hide(nb)


def test_other_notebooks_are_refused():
    with pytest.raises(AuthoringError, match="no lab notebook"):
        show(new_notebook(cells=[new_code_cell("x = 1")]))


def test_files_are_toggled_in_place(tmp_path):
    path = tmp_path / "a.ipynb"
    write_notebook(hidden_notebook(), path)
    assert toggle_file(path, "show")
    assert read_notebook(path).cells[0].source == "# Solution 2.1\nx = 1"
    before = path.stat().st_mtime_ns
    assert not toggle_file(path, "show")
    assert path.stat().st_mtime_ns == before


def test_old_format_of_colab_has_no_ids(tmp_path):
    nb = hidden_notebook()
    nb.nbformat_minor = 0
    del nb.cells[0]["id"]
    path = tmp_path / "colab.ipynb"
    write_notebook(nb, path)
    assert toggle_file(path, "strip")
    assert "id" not in read_notebook(path).cells[0]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("not JSON", "no valid JSON"),
        ("[]", "no 'nbformat'"),
        ("{}", "no 'nbformat'"),
        ('{"nbformat": 3, "worksheets": []}', "notebook format 3, and labkit reads 4"),
        ('{"nbformat": 4}', "labkit reads 4"),
        ('{"nbformat": 4, "nbformat_minor": 5, "cells": [3]}', "damaged notebook"),
    ],
)
def test_what_is_no_notebook_is_told_in_one_line(tmp_path, content, message):
    path = tmp_path / "a.ipynb"
    path.write_text(content)
    with pytest.raises(AuthoringError) as caught:
        toggle_file(path, "show")
    assert message in str(caught.value)
    assert str(caught.value).startswith(f"{path}: ")
    assert "\n" not in str(caught.value)
    assert path.read_text() == content


def test_a_missing_file_is_told(tmp_path):
    with pytest.raises(AuthoringError, match="there is no such file"):
        toggle_file(tmp_path / "a.ipynb", "show")
