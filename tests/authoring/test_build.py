"""What `labkit build` writes: reproducible, minimal, and never with outputs of other code."""

import json
import re
from pathlib import Path

import nbformat
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from labkit.authoring import AuthoringError
from labkit.authoring.build import build, build_notebook
from labkit.authoring.files import read_notebook, serialise, write_notebook
from labkit.authoring.source import read_source
from labkit.authoring.steps import WARNING
from labkit.notebook.answers import stub_hash

pytestmark = pytest.mark.usefixtures("forked_kernels")

MINI = (Path(__file__).parent / "mini_lab.txt").read_text()
RELEASE = '[tool.labkit]\nrepository = "owner/name"\nrelease = "v1"\n'


@pytest.fixture
def source(course):
    return course / "solutions" / "02_mini.py"


def add_outputs(path):
    nb = read_notebook(path)
    for number, cell in enumerate(cell for cell in nb.cells if cell.cell_type == "code"):
        cell.outputs = [nbformat.v4.new_output("stream", text=f"{number}\n")]
        cell.execution_count = number
    write_notebook(nb, path)


def test_bytes_are_reproducible(course, source):
    build()
    files = [course / "solutions/02_mini.ipynb", course / "notebooks/02_mini.ipynb"]
    before = [path.read_bytes() for path in files]
    # what editors and jupytext leave behind: cell metadata, a kernel, blank lines between cells
    text = source.read_text().replace(" tags=", " editable=true tags=")
    other = "#   kernelspec:\n#     name: x\n#     display_name: X\n#     language: python"
    text = text.replace("# jupyter:", f"# jupyter:\n{other}").replace("\n\n# %%", "\n\n\n# %%")
    source.write_text(text)
    assert read_source(source).cells[1].metadata["editable"]
    build()
    assert [path.read_bytes() for path in files] == before
    assert all(path.read_bytes().endswith(b"}\n") for path in files)
    assert files[0].stat().st_mode & 0o777 == 0o644


def test_ids_and_metadata(source):
    nb = build_notebook(source, "hidden")
    nbformat.validate(nb)
    assert [cell.id for cell in nb.cells if "-" in cell.id] == [
        f"{role}-2-{number}"
        for number in (1, 2)
        for role in ("exercise", "check", "solution", *(["text"] if number == 2 else []))
    ]
    assert nb.cells[1].id == "setup"
    assert nb.metadata == {
        "kernelspec": {
            "display_name": "Python 3 (ipykernel)",
            "language": "python",
            "name": "python3",
        },
        "language_info": {"name": "python"},
        "labkit": {
            "lab": "02_mini",
            "state": "hidden",
            "source": build_notebook(source, "shown").metadata.labkit.source,
        },
    }
    exercise, check, solution = nb.cells[3:6]
    assert exercise.metadata == {
        "tags": ["exercise"],
        "labkit": {"exercise": "2.1", "stub": stub_hash(exercise.source)},
    }
    assert solution.source.startswith(f"%%solution 2.1\n# Solution 2.1\n{WARNING}\n")
    body = solution.source.partition("\n")[2]
    assert solution.metadata == {
        "tags": ["solution"],
        "labkit": {"solution": "2.1", "reference": stub_hash(body)},
        "jupyter": {"source_hidden": True},
        "cellView": "form",
    }
    text = nb.cells[10]
    assert text.source.startswith("<!-- Solution 2.2 -->\n<details>")
    assert text.metadata == {
        "tags": ["solution"],
        "labkit": {"solution": "2.2", "reference": stub_hash(text.source)},
    }
    assert [cell.metadata.tags for cell in (nb.cells[1], check)] == [["setup"], ["check"]]
    assert nb.cells[-1].metadata == {}, "no outputs, so no tag to compare them"
    assert build_notebook(source, "shown").cells[-1].metadata == {"tags": ["nbval-check-output"]}


def test_setup_cell_without_an_address(source):
    nb = build_notebook(source, "shown")
    text = nb.cells[1].source
    assert "raise ModuleNotFoundError(" in text
    assert "pip install -q" not in text
    assert "\n\nimport math\n\nimport labkit as lk\n\n" in text
    stubs = dict(re.findall(r"(2\.\d):([0-9a-f]{6})[ \"]", text.splitlines()[-1]))
    assert stubs == {
        cell.metadata.labkit.exercise: stub_hash(cell.source)[:6]
        for cell in nb.cells
        if "stub" in cell.metadata.get("labkit", {})
    }
    assert "colab" not in serialise(nb).lower()


INSTALL = '%pip install -q "bloodlabs-labkit[colab] @ git+https://github.com/owner/name@v1"'
ADDRESS = "colab.research.google.com/github/owner/name/blob/v1"


def test_badge_and_install_line_with_an_address(course, source):
    (course / "pyproject.toml").write_text(RELEASE)
    nb = build_notebook(source, "hidden")
    assert f"{ADDRESS}/notebooks/02_mini.ipynb)" in nb.cells[0].source
    assert "File → Save a copy in Drive" in nb.cells[0].source
    assert "drive.mount" in nb.cells[0].source, "offered"
    assert f"\n    {INSTALL}\n\n" in nb.cells[2].source
    assert not any("drive.mount" in c.source for c in nb.cells if c.cell_type == "code"), "not done"
    shown = build_notebook(source, "shown")
    assert f"\n    {INSTALL}\n\n" in shown.cells[1].source
    assert "colab.research" not in serialise(shown), "one click from the solutions"


@pytest.mark.parametrize(("place", "link"), [("handout/a.ipynb", True), ("../a.ipynb", False)])
def test_a_badge_leads_to_the_file_itself_or_is_not_there(course, source, place, link):
    (course / "pyproject.toml").write_text(RELEASE)
    text = serialise(build_notebook(source, "stripped", course / place))
    assert (f"{ADDRESS}/{place})" in text) == link
    assert text.count("/blob/") == link


def ids(source, state="shown"):
    return [cell.id for cell in build_notebook(source, state).cells]


CELLS = st.sampled_from(
    [
        "# %% [markdown]\n# ## Add\n",  # a heading that is there
        "# %% [markdown]\n# <details><summary>Hint</summary>The sign is a cross.</details>\n",
        '# %% tags=["nbval-check-output"]\nprint("the end")\n',  # a cell that is there
        "# %%\nx = 1\n",
        "# %% [markdown]\n# Text.\n",
    ]
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.lists(CELLS, min_size=1, max_size=3), st.integers(0, 3))
def test_an_inserted_cell_changes_no_other_id(source, new, place):
    headers = ["# %% [markdown]\n# ## Add", "# %% [markdown]\n# ## A root", '# %% tags=["nbval']
    source.write_text(MINI)
    before, text = ids(source), MINI
    at = text.index(headers[place]) if place < 3 else len(text)
    source.write_text(text[:at] + "\n".join(new) + "\n" + text[at:])
    after = ids(source)
    assert set(before) < set(after)
    assert len(after) == len(before) + len(new) == len(set(after))
    assert ids(source, "hidden") == after, "both notebooks of a lab have the same ids"


def test_an_edit_of_what_has_a_name_changes_no_id(source, edit):
    before = ids(source)
    edit("total = ...", "total = ...  # a number")
    edit("total = add(1, 2)", "total = add(2, 1)")
    edit("2 + 2 is 4", "two and two is four")
    edit("Because it is.", "Because it must be.")
    edit("The sign is a cross.", "The sign is +.")
    edit("import math", "import math\nimport random")
    assert ids(source) == before


def test_outputs_survive_where_the_code_is_the_same(course, source, edit):
    build()
    path = course / "solutions/02_mini.ipynb"
    add_outputs(path)
    before = [cell.outputs for cell in read_notebook(path).cells if cell.cell_type == "code"]
    edit("# ## Add\n", "# ## Add\n# More text.\n\n# %% [markdown]\n# One more cell.\n")
    assert build()[0] == "solutions/02_mini.ipynb: built, outputs kept"
    after = [cell.outputs for cell in read_notebook(path).cells if cell.cell_type == "code"]
    assert after == before
    assert build(check=True) == ["1 labs are up to date"]

    edit("return a + b", "return b + a")
    assert "its code changed, old outputs dropped" in build()[0]
    assert not any(cell.get("outputs") for cell in read_notebook(path).cells)


def outputs(path):
    code = [cell for cell in read_notebook(path).cells if cell.cell_type == "code"]
    return {cell.id: (cell.outputs, cell.execution_count) for cell in code}


def test_the_courses_address_and_a_checks_wording_drop_no_output(course, edit):
    build()
    path = course / "solutions/02_mini.ipynb"
    add_outputs(path)
    before = outputs(path)
    (course / "pyproject.toml").write_text(RELEASE)
    edit('assert add(2, 2) == 4, "2 + 2 is 4"', 'assert add(2, 2) == 4, f"{add(2, 2)}"  # better')
    assert build()[0] == "solutions/02_mini.ipynb: built, outputs kept"
    assert outputs(path) == before
    assert INSTALL in path.read_text().replace('\\"', '"')
    assert build(check=True) == ["1 labs are up to date"]


def test_a_check_that_asks_something_else_loses_its_outcome_alone(course, edit):
    build()
    path = course / "solutions/02_mini.ipynb"
    add_outputs(path)
    before = outputs(path)
    edit("add(2, 2) == 4", "add(2, 2) == 4.0")
    assert "outputs kept but of the changed check 2.1; `labkit build --execute" in build()[0]
    assert outputs(path) == before | {"check-2-1": ([], None)}
    remark, done = build(check=True)
    assert remark.startswith("solutions/02_mini.ipynb: check 2.1 changed; `labkit build --execute")
    assert done == "1 labs are up to date"
    build()
    assert outputs(path) == before | {"check-2-1": ([], None)}


@pytest.mark.parametrize("cell", ["setup", "exercise-2-1", "solution-2-2"])
def test_outputs_of_code_that_was_edited_by_hand_are_not_kept(course, cell):
    build()
    path = course / "solutions/02_mini.ipynb"
    add_outputs(path)
    nb = read_notebook(path)
    next(c for c in nb.cells if c.id == cell).source += "\nx = 1"
    write_notebook(nb, path)
    with pytest.raises(AuthoringError):
        build(check=True)
    assert "old outputs dropped" in build()[0]


def test_check_is_blind_to_outputs_and_sees_everything_else(course, edit):
    build()
    add_outputs(course / "solutions/02_mini.ipynb")
    assert build(check=True) == ["1 labs are up to date"]
    edit("The sign is a cross.", "The sign is a plus.")
    with pytest.raises(AuthoringError) as caught:
        build(check=True)
    assert "solutions/02_mini.ipynb differs from its source: run `labkit build" in str(caught.value)
    assert "notebooks/02_mini.ipynb differs from its source" in str(caught.value)


@pytest.mark.parametrize("key", ["source", "id", "metadata"])
def test_check_sees_an_edit_by_hand(course, key):
    build()
    path = course / "notebooks/02_mini.ipynb"
    nb = json.loads(path.read_text())
    nb["cells"][-1][key] = {"tags": ["new"]} if key == "metadata" else "changed"
    path.write_text(json.dumps(nb))
    with pytest.raises(AuthoringError, match=r"^notebooks/02_mini\.ipynb differs"):
        build(check=True)


def test_check_sees_outputs_of_another_source(course, edit):
    build()
    add_outputs(course / "solutions/02_mini.ipynb")
    edit("return a + b", "return b + a")
    with pytest.raises(AuthoringError, match="holds outputs of another source: run `labkit build"):
        build(check=True)


def test_check_sees_outputs_in_a_students_notebook(course):
    build()
    add_outputs(course / "notebooks/02_mini.ipynb")
    with pytest.raises(AuthoringError, match=r"notebooks/02_mini\.ipynb holds outputs: run"):
        build(check=True)


def test_check_sees_missing_and_orphaned_notebooks(course, source):
    with pytest.raises(AuthoringError, match=r"notebooks/02_mini\.ipynb is missing: run"):
        build(check=True)
    build()
    source.rename(source.with_name("03_mini.py"))
    with pytest.raises(AuthoringError) as caught:
        build(check=True)
    assert "solutions/03_mini.ipynb is missing" in str(caught.value)
    assert "solutions/02_mini.ipynb has no source: delete it" in str(caught.value)


def test_execute_keeps_clean_outputs(course):
    assert build(execute=True)[0] == "solutions/02_mini.ipynb: executed"
    path = course / "solutions/02_mini.ipynb"
    nb = read_notebook(path)
    assert nb.metadata.language_info == {"name": "python"}
    assert "widgets" not in nb.metadata
    assert not any("execution" in cell.metadata for cell in nb.cells)
    assert nb.cells[-1].outputs[0].text == "the end\n"
    first = path.read_bytes()
    build(execute=True)
    assert path.read_bytes() == first
    assert build(check=True) == ["1 labs are up to date"]
    assert not list(course.rglob(".*.ipynb*"))


def test_a_failing_lab_is_not_written(course, edit):
    edit("return a + b", "return a - b")
    with pytest.raises(AuthoringError) as caught:
        build(execute=True)
    assert str(caught.value) == (
        "solutions/02_mini.py: cell 6, `# Solution 2.1`, failed: CheckFailed: ✗ 2.1 2 + 2 is 4"
    )
    assert not (course / "solutions/02_mini.ipynb").exists()


def test_labs_are_found_by_any_of_their_names(course):
    for name in ("02", "02_mini", "02_mini.ipynb", "solutions/02_mini.py"):
        assert len(build([name])) == 2
    with pytest.raises(AuthoringError, match="'03' is no lab; the labs are: 02_mini"):
        build(["03"])
