"""Toggling loses nothing, whatever a student did to the notebook."""

import copy
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from nbformat import from_dict
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

from labkit.authoring import AuthoringError
from labkit.authoring.build import build_notebook
from labkit.authoring.files import read_notebook, serialise, write_notebook
from labkit.authoring.toggle import hide, left_over, references, show, strip, toggle_file
from labkit.notebook.answers import stub_hash
from labkit.notebook.markers import without_magic

MINI = (Path(__file__).parent / "mini_lab.txt").read_text()
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
    assert [cell for cell in stripped.cells if cell in students] == students
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
    assert strip(hidden_notebook()).cells[0].source == "# Solution 2.1\nx = 1", "whose is it?"
    kit = {stub_hash("# Solution 2.1\nx = 1")}
    assert [cell.id for cell in strip(hidden_notebook(), kit).cells] == ["hand-in"]
    lost = from_dict(new_notebook(cells=[new_code_cell("# Solution 2.1\nx = 1")]))
    assert hide(lost, kit).cells[0].source == hidden_notebook().cells[0].source
    assert [cell.id for cell in strip(lost, kit).cells] == ["hand-in"]


# --- a built notebook in a student's hands ---

COPIES = st.integers(0, 9)
EDITS = st.lists(
    st.tuples(
        st.sampled_from(
            ["append", "prepend", "replace", "split", "copy", "tagged", "magic", "forget", "answer"]
        ),
        COPIES,
    ),
    max_size=8,
)


def edited(nb, edits):
    """A built notebook after a student's edits; each line of theirs says MINE and a number."""
    nb = copy.deepcopy(nb)
    for n, (edit, which) in enumerate(edits):
        solutions = [i for i, cell in enumerate(nb.cells) if is_solution(cell)]
        line = f"MINE{n} = 'MINE{n}'"
        at = solutions[which % len(solutions)] if solutions else len(nb.cells)
        cell = nb.cells[at] if solutions else None
        if edit == "tagged":
            nb.cells.insert(at, new_code_cell(line, metadata={"tags": ["solution"]}))
        elif edit == "magic":
            nb.cells.insert(at, new_code_cell(f"%%solution 2.1\n{line}"))
        elif edit == "answer":
            stub = next(c for c in nb.cells if "exercise" in c.metadata.get("tags", []))
            stub.source += f"\n{line}"
        elif cell is None:
            continue
        elif edit == "append":
            cell.source += f"\n{line}"
        elif edit == "prepend" and not cell.source.startswith("%%"):
            cell.source = f"{line}\n{cell.source}"
        elif edit == "replace":
            cell.source = line
        elif edit == "split":
            rows = cell.source.split("\n")
            rest = copy.deepcopy(cell)
            cell.source, rest.source = "\n".join(rows[:2]), "\n".join([line, *rows[2:]])
            nb.cells.insert(at + 1, rest)
        elif edit == "copy":
            nb.cells.insert(at + 1, copy.deepcopy(cell))
        elif edit == "forget" and "Solution" in cell.source:
            # without tag and heading, nothing tells a pasted solution from an answer
            cell.metadata.clear()
    return from_dict(nb)


def mine(nb):
    return sorted(re.findall(r"MINE\d+ =", "\n".join(cell.source for cell in nb.cells)))


@pytest.fixture(scope="module", params=["hidden", "shown"])
def built(request, tmp_path_factory):
    source = tmp_path_factory.mktemp("course") / "solutions" / "02_mini.py"
    source.parent.mkdir()
    source.write_text(MINI)
    return build_notebook(source, request.param)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(EDITS)
def test_no_line_of_a_students_is_ever_lost(built, edits):
    nb = edited(built, edits)
    kit = references(built)
    for change in (
        show,
        hide,
        strip,
        lambda nb: strip(nb, kit),
        lambda nb: strip(show(nb)),
        lambda nb: hide(show(nb), kit),
    ):
        assert mine(change(nb)) == mine(nb)
    for change in (show, hide, strip):
        assert change(change(nb)) == change(nb)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(EDITS)
def test_strip_leaves_no_solution_that_it_does_not_name(built, edits):
    nb = edited(built, edits)
    kit = references(built)
    stripped = strip(nb, kit)
    for cell in stripped.cells:
        assert stub_hash(without_magic(cell.source)) not in kit
        assert not {"solution"} & set(cell.metadata.get("tags", []))
        assert not {"solution", "reference"} & set(cell.metadata.get("labkit", {}))
        assert not cell.source.startswith("%%solution")
        folded = cell.metadata.get("jupyter", {}).get("source_hidden")
        assert not folded or "check" in cell.metadata.tags, "a kept cell lies open"
    numbers = left_over(nb, "strip", kit)
    lines = [line for cell in built.cells if is_solution(cell) for line in cell.source.split("\n")]
    lines = [line for line in lines if len(line) > 24 and not line.startswith("%%")]
    assert numbers or not any(line in cell.source for line in lines for cell in stripped.cells)
    if not edits:
        assert numbers == []


@pytest.mark.parametrize(
    ("edit", "named"),
    [
        (lambda cell: cell.update(source=cell.source + "\n# my note"), ["2.2"]),
        (lambda cell: cell.update(source="root = 3"), ["2.2"]),
        (lambda cell: cell.metadata.clear(), []),
        (lambda cell: cell.update(source=cell.source + "\n# mine", metadata={}), ["2.2"]),
        (lambda cell: cell.update(source="root = 3", metadata={"tags": ["solution"]}), ["2.2"]),
    ],
)
def test_what_is_kept_is_named_with_its_exercise(built, edit, named):
    nb = copy.deepcopy(built)
    edit(next(cell for cell in nb.cells if cell.id == "solution-2-2"))
    nb = from_dict(nb)
    assert left_over(nb, "strip", references(built)) == named
    assert len(strip(nb, references(built)).cells) == len(strip(built).cells) + len(named)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(EDITS)
def test_hide_hides_whatever_is_the_kits_and_names_the_rest(built, edits):
    nb = show(edited(built, edits))
    kit = references(built)
    hidden = hide(nb, kit)
    open_ = [c for c in hidden.cells if c.cell_type == "code" and "# Solution" in c.source[:10]]
    assert len(open_) == len(left_over(nb, "hide", kit))
    assert not any(stub_hash(cell.source) in kit for cell in open_)


def test_a_solution_without_its_number_is_named():
    nb = new_notebook(cells=[new_code_cell("x = 1", id="abc", metadata={"tags": ["solution"]})])
    with pytest.raises(AuthoringError, match=r"cell abc: put the line `# Solution N\.M` back"):
        hide(nb)


def test_other_notebooks_are_refused():
    with pytest.raises(AuthoringError, match="no lab notebook"):
        show(new_notebook(cells=[new_code_cell("x = 1")]))


@pytest.mark.parametrize("state", [show, hide])
def test_the_state_follows_from_the_cells_and_not_from_a_flag(built, state):
    nb = state(built)
    nb.metadata.labkit.state = "stripped"
    assert state(nb) == state(built)
    for cell in nb.cells:
        cell.metadata.clear()
    assert [cell.id for cell in strip(nb, references(built)).cells] == [
        cell.id for cell in strip(built).cells
    ]
    lost = strip(nb)
    assert left_over(nb, "strip") == ["2.1", "2.2", "2.2"], "without the kit nothing can be told"
    assert len(lost.cells) == len(nb.cells) + 1


def test_a_stripped_notebook_without_metadata_is_known():
    nb = strip(hidden_notebook())
    for cell in nb.cells:
        cell.metadata.clear()
    assert len(strip(nb).cells) == len(nb.cells)
    with pytest.raises(AuthoringError, match="its solutions were stripped"):
        show(nb)


def test_a_badge_goes_with_the_solutions_and_a_note_in_its_cell_stays():
    badge = "[![Open in Colab](https://a)](https://b)\n\n"
    advice = "In Colab, first choose **File → Save a copy in Drive**."
    for text, left in ((badge + advice, None), (badge + "Mine", "Mine"), ("Mine", "Mine")):
        nb = hidden_notebook()
        nb.cells.insert(0, new_markdown_cell(text))
        stripped = strip(nb)
        assert (stripped.cells[0].source == left) == (left is not None)
        assert len(stripped.cells) == 2 + (left is not None)
        assert hide(nb).cells[0].source == text


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


def whole(cell, metadata="{}"):
    """The text of a notebook with this cell and these metadata."""
    return f'{{"nbformat": 4, "nbformat_minor": 5, "metadata": {metadata}, "cells": [{cell}]}}'


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("not JSON", "no valid JSON"),
        ("[]", "no 'nbformat'"),
        ("{}", "no 'nbformat'"),
        ('{"nbformat": 3, "worksheets": []}', "notebook format 3, and labkit reads 4"),
        ('{"nbformat": 4}', "labkit reads 4"),
        ('{"nbformat": 4, "nbformat_minor": 5, "cells": [3]}', "damaged notebook"),
        ('{"nbformat": "4", "cells": []}', "notebook format '4', and labkit reads 4"),
        ('{"nbformat": true, "cells": []}', "notebook format True, and labkit reads 4"),
        (whole('{"cell_type": "code", "outputs": [], "metadata": {}}'), "cell 1 has no source"),
        (whole('{"cell_type": "code", "source": "", "metadata": {}}'), "no list of outputs"),
        (whole('{"cell_type": "raw", "source": ["a", 3], "metadata": {}}'), "has no source"),
        (whole('{"cell_type": "odd", "source": "", "metadata": {}}'), "of type 'odd'"),
        (whole('{"cell_type": "raw", "source": "", "metadata": "x"}'), "cell 1 has no metadata"),
        (whole('{"cell_type": "raw", "source": "", "metadata": {"labkit": "x"}}'), "no object"),
        (whole('{"cell_type": "raw", "source": "", "metadata": {"tags": [1, null]}}'), "no text"),
        ('{"nbformat": 4, "nbformat_minor": "x", "cells": [], "metadata": {}}', "no number"),
        (whole("", '"x"'), "the notebook has no metadata"),
        (whole("", '{"labkit": "x"}'), "the labkit metadata of the notebook are no object"),
        (whole("", '{"labkit": {"lab": 2.1}}'), "the labkit metadata of the notebook are no text"),
        (whole("", '{"x": NaN}'), "no valid JSON: it holds NaN"),
        (whole('{"cell_type": "raw", "source": "\\ud800", "metadata": {}}'), "damaged notebook"),
        ("[" * 200_000, "no valid JSON"),
        ('{\n<<<<<<< HEAD\n"a": 1', "git left conflict markers in it, <<<<<<<"),
        (whole("", '{"x": ' + "[" * 500 + "]" * 500 + "}"), "damaged notebook"),
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


def test_what_is_no_file_is_told(tmp_path):
    with pytest.raises(AuthoringError, match="there is no such file"):
        toggle_file(tmp_path / "a.ipynb", "show")
    (tmp_path / "b.ipynb").mkdir()
    with pytest.raises(AuthoringError, match="this is a folder, not a notebook"):
        toggle_file(tmp_path / "b.ipynb", "show")
    (tmp_path / "c.ipynb").write_bytes(b"\xff\xfe")
    with pytest.raises(AuthoringError, match="not UTF-8"):
        toggle_file(tmp_path / "c.ipynb", "show")


@pytest.mark.parametrize("bom", [b"", b"\xef\xbb\xbf"])
@pytest.mark.parametrize("end", [b"\n", b"\r\n"])
@pytest.mark.parametrize("mode", [0o600, 0o444, 0o664])
def test_line_ends_mark_rights_and_link_stay(built, tmp_path, bom, end, mode):
    path, link = tmp_path / "a.ipynb", tmp_path / "links" / "b.ipynb"
    before = bom + serialise(hide(built)).encode().replace(b"\n", end)
    path.write_bytes(before)
    path.chmod(mode)
    link.parent.mkdir()
    link.symlink_to(path)
    assert toggle_file(link, "show")
    assert path.read_bytes() == bom + serialise(show(built)).encode().replace(b"\n", end)
    assert link.is_symlink()
    assert path.stat().st_mode & 0o777 == mode
    assert toggle_file(link, "hide")
    assert path.read_bytes() == before
    assert sorted(tmp_path.iterdir()) == [path, link.parent]


def test_a_killed_write_leaves_the_old_file_and_the_next_one_cleans_up(tmp_path):
    path = tmp_path / "a.ipynb"
    write_notebook(hidden_notebook(), path)
    before = path.read_bytes()
    killed = (
        "import os, signal, sys; from pathlib import Path\n"
        "from labkit.authoring.toggle import toggle_file\n"
        "os.replace = lambda *_: os.kill(os.getpid(), signal.SIGKILL)\n"
        "toggle_file(Path(sys.argv[1]), 'show')"
    )
    done = subprocess.run([sys.executable, "-c", killed, str(path)])
    assert done.returncode == -signal.SIGKILL
    assert path.read_bytes() == before
    assert len(list(tmp_path.iterdir())) == 2
    assert toggle_file(path, "show")
    assert list(tmp_path.iterdir()) == [path]
