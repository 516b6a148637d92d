"""Whatever a student does and whatever changes in the lab: nothing that was written is lost."""

import copy
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from nbformat.v4 import new_code_cell, new_markdown_cell, new_output, new_raw_cell

from labkit.authoring.build import build_notebook
from labkit.authoring.cells import lab_of, marker
from labkit.classroom.merge import LAST, merge
from labkit.notebook import markers

MINI = (Path(__file__).parents[1] / "authoring" / "mini_lab.txt").read_text()
NEWER = (
    MINI.replace("# ## Add\n", "# ## Add two numbers\n#\n# A new text.\n")
    .replace("total = ...", "total = ...  # of 1 and 2")
    .replace('# %% tags=["nbval-check-output"]', "# %%\nstep = 2\n\n# %%")
)
SHORTER = MINI[: MINI.index("# %% [markdown]\n# ## A root")] + '# %%\nprint("the end")\n'


@pytest.fixture(scope="module")
def labs(tmp_path_factory):
    made = {}
    for name, text in (("old", MINI), ("newer", NEWER), ("shorter", SHORTER)):
        root = tmp_path_factory.mktemp(name)
        (root / "solutions").mkdir()
        (root / "pyproject.toml").write_text("")
        (root / "solutions" / "02_mini.py").write_text(text)
        made[name] = build_notebook(root / "solutions" / "02_mini.py", "hidden")
    return made


def sources(nb):
    return [cell.source for cell in nb.cells]


def at(nb, role, number):
    return next(i for i, cell in enumerate(nb.cells) if marker(cell) == (role, number))


def test_an_answer_moves_into_a_lab_whose_exercise_changed(labs):
    mine = copy.deepcopy(labs["old"])
    mine.cells[at(mine, "exercise", "2.1")].source = "# Exercise 2.1\nadd = total = 3"
    mine.cells.insert(at(mine, "check", "2.1"), new_code_cell("my_notes = 1"))
    done = merge(mine, labs["newer"], labs["old"])
    assert (done.answers, done.changed, done.own, done.last) == (["2.1"], ["2.1"], 1, 0)
    texts = sources(done.nb)
    assert "step = 2" in texts and texts.count("# Exercise 2.1\nadd = total = 3") == 1
    place = at(done.nb, "exercise", "2.1")
    assert "total = ...  # of 1 and 2" in texts[place - 1]
    assert place < texts.index("my_notes = 1") < at(done.nb, "exercise", "2.2")
    assert not any("total = ..." in text for text in texts[place:])


def test_an_answer_to_a_removed_exercise_comes_last(labs):
    mine = copy.deepcopy(labs["old"])
    mine.cells[at(mine, "exercise", "2.2")].source = "# Exercise 2.2\nroot = 1"
    done = merge(mine, labs["shorter"], labs["old"])
    assert sources(done.nb)[-2:] == [LAST, "# Exercise 2.2\nroot = 1"]
    again = merge(done.nb, labs["shorter"], labs["shorter"])
    assert sources(again.nb) == sources(done.nb)


def test_an_untouched_notebook_becomes_the_newer_lab(labs):
    for target in labs.values():
        assert sources(merge(labs["old"], target, labs["old"]).nb) == sources(target)


def test_outputs_of_unchanged_cells_stay(labs):
    mine = copy.deepcopy(labs["old"])
    mine.cells[at(mine, "check", "2.1")].outputs = [
        {"output_type": "stream", "name": "stdout", "text": "✓"}
    ]
    done = merge(mine, labs["newer"], labs["old"])
    assert done.nb.cells[at(done.nb, "check", "2.1")].outputs[0]["text"] == "✓"


def test_what_a_student_filled_in_stays_and_is_not_asked_twice(labs, tmp_path):
    (tmp_path / "solutions").mkdir()
    said = '[tool.labkit.hand_in]\nfields = ["Name"]\nstatement = "I wrote this myself."'
    (tmp_path / "pyproject.toml").write_text(said)
    (tmp_path / "solutions" / "02_mini.py").write_text(MINI)
    old = build_notebook(tmp_path / "solutions" / "02_mini.py", "hidden")
    (tmp_path / "solutions" / "02_mini.py").write_text(NEWER)
    newer = build_notebook(tmp_path / "solutions" / "02_mini.py", "hidden")
    mine = copy.deepcopy(old)
    place = next(n for n, text in enumerate(sources(mine)) if "**Name:**" in text)
    assert "I wrote this myself." in mine.cells[place].source
    mine.cells[place].source = mine.cells[place].source.replace("**Name:**", "**Name:** Anna")
    done = merge(mine, newer, old)
    assert [text.count("**Name:** Anna") for text in sources(done.nb) if "**Name:**" in text] == [1]
    assert sources(merge(done.nb, newer, newer).nb) == sources(done.nb)


def test_a_lab_says_its_name_also_without_metadata(labs):
    nb = copy.deepcopy(labs["old"])
    nb.metadata.pop("labkit")
    assert lab_of(nb) == "02_mini"


@pytest.fixture(scope="module")
def changed_code(tmp_path_factory):
    """The lab with a cell of its own in the middle, and the newer one in which it has changed."""
    made = []
    for text in ("start = 1", "start = 1  # as the paper has it"):
        root = tmp_path_factory.mktemp("changed")
        (root / "solutions").mkdir()
        (root / "pyproject.toml").write_text("")
        lab = MINI.replace(
            "# %% [markdown]\n# ## A root", f"# %%\n{text}\n\n# %% [markdown]\n# ## A root"
        )
        (root / "solutions" / "02_mini.py").write_text(lab)
        made.append(build_notebook(root / "solutions" / "02_mini.py", "hidden"))
    return made


@pytest.mark.parametrize("known", [True, False])
def test_an_own_cell_stays_behind_a_cell_of_the_kit_that_changed(changed_code, known):
    old, new = changed_code
    mine = copy.deepcopy(old)
    place = sources(mine).index("start = 1")
    mine.cells.insert(place + 1, new_code_cell("mine = start + 1"))
    texts = sources(merge(mine, new, old if known else None).nb)
    assert texts.index("mine = start + 1") == texts.index("start = 1  # as the paper has it") + 1
    assert "start = 1" not in texts


@pytest.mark.parametrize("above", [True, False])
def test_a_copy_of_an_answer_without_its_marker_is_a_cell_of_its_own(labs, above):
    mine = copy.deepcopy(labs["old"])
    place = at(mine, "exercise", "2.1")
    mine.cells[place].source = "# Exercise 2.1\nadd = 1"
    scratch = copy.deepcopy(mine.cells[place])  # Jupyter copies the metadata
    scratch.source, scratch["id"] = "add = 4 * add", "copied"
    mine.cells.insert(place if above else len(mine.cells), scratch)
    done = merge(mine, labs["newer"], labs["old"])
    assert done.answers == ["2.1"]
    texts = sources(done.nb)
    assert texts[at(done.nb, "exercise", "2.1")] == "# Exercise 2.1\nadd = 1"
    assert above or texts[-1] == "add = 4 * add"
    assert texts.count("add = 4 * add") == 1


def test_a_copy_of_a_kits_cell_takes_neither_outputs_nor_cells_along(labs):
    mine = copy.deepcopy(labs["old"])
    end = mine.cells[-1]
    again = copy.deepcopy(end)
    end.outputs, again["id"] = [new_output("stream", text="the end")], "again"
    at_add = next(i for i, cell in enumerate(mine.cells) if marker(cell) == ("exercise", "2.1"))
    stub = copy.deepcopy(mine.cells[at_add])
    mine.cells += [again, stub, new_code_cell("mine = 1")]
    done = merge(mine, labs["newer"], labs["old"]).nb
    assert sources(done)[-2:] == [end.source, "mine = 1"]
    assert done.cells[-2].outputs == end.outputs


WORDS = st.text("ab =.#\n1'\"", max_size=25) | st.sampled_from(
    [
        "# Exercise 2.1\nadd = 1",
        "# Exercise 2.2\nroot = 2",
        "%%solution 2.1\nx = 1",
        "# Exercise 9.9",
    ]
    + ['with lk.check("2.1"):\n    pass', "# Solution 2.1\ny = 2", "## A heading", "import math"]
)
EDIT = st.tuples(
    st.sampled_from(["write", "append", "insert", "delete", "move", "copy", "unmark", "unname"]),
    st.integers(0, 40),
    st.integers(0, 40),
    WORDS,
)


def apply(nb, edit, serial):
    kind, first, second, text = edit
    cells = nb.cells
    index, other = first % len(cells), second % len(cells)
    text = f"{text}\n# mine {serial}"
    if kind == "write":
        cells[index].source = text
    elif kind == "append":
        cells[index].source += f"\n{text}"
    elif kind == "insert":
        make = (new_code_cell, new_markdown_cell, new_raw_cell)[second % 3]
        cells.insert(index, make(text))
    elif kind == "delete" and len(cells) > 3:
        del cells[index]
    elif kind == "move":
        cells.insert(other, cells.pop(index))
    elif kind == "copy":
        cells.insert(other, copy.deepcopy(cells[index]))
    elif kind == "unmark":
        cells[index].metadata.clear()
    elif kind == "unname":
        cells[index]["id"] = f"x{serial}"


@settings(max_examples=300, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    edits=st.lists(EDIT, max_size=8),
    target=st.sampled_from(["old", "newer", "shorter"]),
    known=st.booleans(),
)
def test_nothing_that_a_student_wrote_is_lost(labs, edits, target, known):
    mine = copy.deepcopy(labs["old"])
    for serial, edit in enumerate(edits):
        apply(mine, edit, serial)
    before = copy.deepcopy(mine)
    done = merge(mine, labs[target], labs["old"] if known else None)
    kept = [markers.without_magic(text).strip() for text in sources(done.nb)]
    for text in sources(mine):
        if "# mine" in text:
            assert markers.without_magic(text).strip() in kept
    assert mine == before, "the arguments stay as they are"
    ids = [cell.id for cell in done.nb.cells]
    assert len(set(ids)) == len(ids)
    twice = merge(done.nb, labs[target], labs[target])
    assert sources(twice.nb) == sources(done.nb), "a second update changes nothing"
