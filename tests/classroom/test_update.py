"""`labkit update`: a student's folder gets newer labs, and the old files stay beside them."""

import pytest

from labkit.authoring.build import build
from labkit.authoring.cells import marker
from labkit.authoring.files import read_notebook, write_notebook
from labkit.classroom.update import update


@pytest.fixture
def work(course):
    build()
    list(update(course / "work"))
    return course / "work"


def answer(path, text):
    nb = read_notebook(path)
    next(c for c in nb.cells if marker(c) == ("exercise", "2.1")).source = text
    write_notebook(nb, path)


def change_lab(course):
    source = course / "solutions" / "02_mini.py"
    source.write_text(source.read_text().replace("# ## Add\n", "# ## Add two\n#\n# A new text.\n"))
    build()


def test_a_new_folder_gets_copies_and_a_second_call_changes_nothing(course, work):
    path = work / "02_mini.ipynb"
    before = path.read_bytes()
    assert before == (course / "notebooks" / "02_mini.ipynb").read_bytes()
    assert list(update(work)) == [(True, f"{path}: up to date")]
    assert path.read_bytes() == before


def test_a_changed_lab_keeps_the_answer_and_the_old_file(course, work):
    path = work / "02_mini.ipynb"
    answer(path, "# Exercise 2.1\nadd = 1")
    old = path.read_bytes()
    change_lab(course)
    ((fine, line),) = update(work)
    assert fine and "answers kept: 2.1" in line
    texts = [cell.source for cell in read_notebook(path).cells]
    assert "# Exercise 2.1\nadd = 1" in texts and any("A new text." in text for text in texts)
    assert (work / "02_mini.before-update-1.ipynb").read_bytes() == old


def test_a_damaged_notebook_is_left_alone_and_does_not_stop_the_others(course, work):
    (work / "00_damaged.ipynb").write_text("<<<<<<< HEAD")
    answer(work / "02_mini.ipynb", "# Exercise 2.1\nadd = 1")
    change_lab(course)
    found = list(update(work))
    assert [fine for fine, _ in found] == [False, True]
    assert (work / "00_damaged.ipynb").read_text() == "<<<<<<< HEAD"


def test_the_courses_own_folder_is_refused(course, work):
    with pytest.raises(ValueError, match="give another folder"):
        list(update(course / "notebooks"))
