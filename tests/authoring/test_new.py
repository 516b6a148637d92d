"""Skeletons build, run, and keep every rule; their banks are right about them."""

import re
import subprocess
import sys

import pytest

from labkit.authoring import AuthoringError
from labkit.authoring.build import build
from labkit.authoring.complete import RIGHT_ANSWERS, WRONG_ANSWERS, exercises, find_gaps, read_bank
from labkit.authoring.new import new_exercise, new_lab
from labkit.authoring.source import marker, read_source

pytestmark = pytest.mark.usefixtures("forked_kernels")


def check_of(source, number):
    cells = read_source(source).cells
    return next(cell.source for cell in cells if marker(cell) == ("check", number))


def judge(source, number, answer):
    """The message of a check on an answer, "" where it passes."""
    lines = check_of(source, number).splitlines()[1:]
    names = {}
    exec(answer, names)
    try:
        exec("\n".join(line.strip() for line in lines), names)
    except AssertionError as error:
        return str(error)
    return ""


def assert_bank_is_right(source, number):
    bank = read_bank(source)
    assert len(bank["WRONG"][number]) >= max(5, WRONG_ANSWERS)
    assert len(bank["RIGHT"][number]) >= max(3, RIGHT_ANSWERS)
    for answer, phrase in bank["WRONG"][number]:
        assert phrase in judge(source, number, answer)
    for answer in bank["RIGHT"][number]:
        assert judge(source, number, answer) == ""


def test_a_new_lab_builds_runs_and_lacks_nothing_but_real_data(course, monkeypatch):
    monkeypatch.setenv("LABKIT_FAST", "1")
    said = new_lab("09_my_lab")
    assert said == [
        "solutions/09_my_lab.py: written; next `labkit build 09_my_lab`",
        "tests/exercises/bank_09_my_lab.py: answers to 9.1",
    ]
    source = course / "solutions" / "09_my_lab.py"
    assert build(["09"], execute=True)[0] == "solutions/09_my_lab.ipynb: executed"
    assert_bank_is_right(source, "9.1")
    # without a network the images are drawn ones, and a warning says so
    reasons = ("is of fast mode", "is of a stand-in", "left an error or warning")
    assert sorted({next(r for r in reasons if r in gap) for gap in find_gaps(source)}) == [
        *sorted(reasons)
    ]


@pytest.mark.parametrize(
    ("after", "number", "place"), [("2.1", "2.2", 1), ("2.2", "2.3", 2), ("2.3", "2.4", 3)]
)
def test_a_new_exercise_follows_the_one_before_it(course, after, number, place):
    path = course / "solutions" / "02_mini.py"
    text = path.read_text()
    if number == "2.2":
        text = text.replace("2.2", "2.3")
    path.write_text(text)
    if number == "2.4":
        new_exercise("2.3")
    before = [cell.source for cell in read_source(path).cells]
    said = new_exercise(number)
    assert said[0].startswith(f"solutions/02_mini.py: exercise {number} after {after}; next")
    assert exercises(path)[place] == number
    cells = [cell.source for cell in read_source(path).cells]
    start = next(n for n, source in enumerate(cells) if f"Exercise {number}" in source)
    assert cells[:start] + cells[start + 5 :] == before
    assert_bank_is_right(path, number)
    build()


def test_a_text_solution_behind_the_check_stays_with_its_exercise(course, edit):
    text = '\n\n# %% [markdown] tags=["solution"]\n# <details>Later.</details>\n\n# %% [markdown]'
    path = edit("\n\n# %% [markdown]\n# ## A root", text + "\n# ## A root")
    path.write_text(path.read_text().replace("2.2", "2.3"))
    new_exercise("2.2")
    cells = [cell.source for cell in read_source(path).cells]
    later = next(n for n, source in enumerate(cells) if "Later." in source)
    assert cells[later + 1].startswith("### Exercise 2.2")


def test_the_first_exercise_of_a_lab(course):
    path = course / "solutions" / "02_mini.py"
    path.write_text("# %%\nimport labkit as lk\n")
    new_exercise("2.1")
    assert exercises(path) == ["2.1"]
    assert_bank_is_right(path, "2.1")


@pytest.mark.parametrize(
    ("make", "name", "message"),
    [
        (new_lab, "my_lab", "name a lab like 09_my_lab"),
        (new_lab, "09-my-lab", "name a lab like 09_my_lab"),
        (new_lab, "../09_my_lab", "name a lab like 09_my_lab"),
        (new_lab, "02_other", "the number 02 is that of 02_mini.py"),
        (new_exercise, "2", "number an exercise like 2.9"),
        (new_exercise, "2.1", "does not fit into 02_mini.py; take 2.3"),
        (new_exercise, "2.5", "does not fit into 02_mini.py; take 2.3"),
        (new_exercise, "3.1", "'03' is no lab; the labs are: 02_mini"),
    ],
)
def test_what_does_not_fit_is_told_and_nothing_is_written(course, make, name, message):
    before = sorted(course.rglob("*"))
    with pytest.raises(AuthoringError, match=re.escape(message)):
        make(name)
    assert sorted(course.rglob("*")) == before


def test_a_course_of_some_labs_is_told_to_take_the_new_one(course):
    (course / "pyproject.toml").write_text('[tool.labkit]\nlabs = ["02"]\n')
    assert 'pyproject.toml: add "09" to labs' in new_lab("09_my_lab")[-1]


def test_skeletons_are_formatted(course):
    ruff = [sys.executable, "-m", "ruff", "format", "--line-length=100"]
    subprocess.run([*ruff, "solutions"], check=True)
    new_lab("09_my_lab")
    new_exercise("2.3")
    new_exercise("9.2")
    command = [*ruff, "--check", "solutions", "tests"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout
