"""The exported course, in the hands of the real nbgrader."""

import getpass
import importlib.util
import os
import re
import sqlite3
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest

from labkit.authoring import AuthoringError
from labkit.authoring.cells import marker
from labkit.classroom.nbgrader import export_nbgrader

# apart from the tests' own packages, because it adds menus to JupyterLab (see the Makefile)
APART = Path(__file__).parents[2] / "build" / "nbgrader"
needs_nbgrader = pytest.mark.skipif(
    not (APART.exists() or importlib.util.find_spec("nbgrader")),
    reason="nbgrader is not installed; `make unit` installs it",
)
NAME = "02_mini"
HIDDEN = """    ### BEGIN HIDDEN TESTS
    assert add(-2, 2) == 0, "negative numbers"
    ### END HIDDEN TESTS
"""
FIXED = "# Exercise 2.1\ndef add(a, b):\n    return abs(a) + b\n\n\ntotal = add(1, 2)"


def nbgrader(course, *arguments):
    """Run a command of nbgrader in a course folder."""
    here = [str(APART), str(Path(__file__).parents[2]), os.environ.get("PYTHONPATH", "")]
    path = os.pathsep.join([str(APART / "bin"), os.environ["PATH"]])  # it calls `alembic`
    variables = os.environ | {"PYTHONPATH": os.pathsep.join(here), "PATH": path}
    done = subprocess.run(
        [sys.executable, "-m", "nbgrader", *arguments],
        cwd=course,
        env=variables,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, (done.stdout + done.stderr)[-2000:]


def grades(course):
    """Points by student and exercise."""
    query = (
        "select student.id, base_cell.name, grade.auto_score from grade "
        "join submitted_notebook on grade.notebook_id = submitted_notebook.id "
        "join submitted_assignment on submitted_notebook.assignment_id = submitted_assignment.id "
        "join student on submitted_assignment.student_id = student.id "
        "join base_cell on grade.cell_id = base_cell.id"
    )
    with sqlite3.connect(course / "gradebook.db") as database:
        rows = database.execute(query).fetchall()
    return {
        student: {name: points for who, name, points in rows if who == student}
        for student, _, _ in rows
    }


def read(path):
    return nbformat.read(path, 4)


def answer(nb, answers):
    for cell in nb.cells:
        role, number = marker(cell)
        if role == "exercise" and number in answers:
            cell.source = answers[number]
    return nb


@needs_nbgrader
def test_real_nbgrader_gives_points_for_own_right_answers_only(course, right):
    folder, source = course / "grading", course / "solutions" / f"{NAME}.py"
    source.write_text(source.read_text().replace("total == 3\n", f"total == 3\n{HIDDEN}"))
    export_nbgrader(folder)
    nbgrader(folder, "generate_assignment", NAME)
    released = folder / "release" / NAME / f"{NAME}.ipynb"
    text = released.read_text()
    assert "HIDDEN" not in text and "negative" not in text
    assert "YOUR CODE HERE" not in text and "# Exercise 2.1" in text and "return a + b" not in text

    def hand_in(student, change):
        nb = nbformat.read(released, 4)
        change(nb)
        target = folder / "submitted" / student / NAME / f"{NAME}.ipynb"
        target.parent.mkdir(parents=True)
        nbformat.write(nb, target)

    def without_markers(nb):
        answer(nb, right)
        for cell in nb.cells:
            cell.source = re.sub(r"^# Exercise [\d.]+.*\n", "", cell.source)

    def forged(nb):
        for cell in nb.cells:
            if marker(cell)[0] == "check":
                cell.source = "print('✓ 2.1 yours')"

    def reordered(nb):
        answer(nb, right)
        text = next(n for n, cell in enumerate(nb.cells) if cell.source.startswith("## Add"))
        nb.cells.append(nb.cells.pop(text))

    def more_cells(nb):
        answer(nb, right)
        nb.cells.insert(3, nbformat.v4.new_code_cell("print('my own')"))
        nb.cells.append(nbformat.v4.new_markdown_cell("my notes"))

    def run_again(nb):
        for number, cell in enumerate(answer(nb, right).cells):
            if cell.cell_type == "code":
                said = nbformat.v4.new_output("stream", text="✓ 2.1 yours\n")
                cell.execution_count, cell.outputs = 20 + number, [said]

    def through_the_exchange(exchange, home):
        """What a student does where nbgrader itself hands out and collects."""
        exchange.mkdir()
        home.mkdir()
        exchange.chmod(0o777)  # nbgrader insists: every student writes here
        place = f"--Exchange.root={exchange}"
        nbgrader(folder, "release_assignment", NAME, place)
        course_id = "--CourseDirectory.course_id=labkit"
        nbgrader(home, "fetch_assignment", NAME, place, course_id)
        nbformat.write(
            answer(read(home / NAME / released.name), right), home / NAME / released.name
        )
        nbgrader(home, "submit", NAME, place, course_id)
        nbgrader(folder, "collect", NAME, place)

    wrong = {"2.2": "# Exercise 2.2\nroot = total**2"}
    hand_in("untouched", lambda nb: None)
    hand_in("right", lambda nb: answer(nb, right))
    hand_in("wrong", lambda nb: answer(nb, right | wrong))
    hand_in("fixed", lambda nb: answer(nb, right | {"2.1": FIXED}))  # the hidden test sees it
    hand_in("nameless", without_markers)
    hand_in("reordered", reordered)
    hand_in("forged", forged)
    hand_in("added", more_cells)
    hand_in("run again", run_again)
    through_the_exchange(course / "exchange", course / "student")
    nbgrader(folder, "autograde", NAME)
    points = {student: sum(cells.values()) for student, cells in grades(folder).items()}
    assert points == {
        **{"untouched": 0, "forged": 0},
        **{"right": 2, "nameless": 2, "added": 2, "reordered": 2, "wrong": 1, "fixed": 1},
        **{"run again": 2, getpass.getuser(): 2},
    }
    assert grades(folder)["wrong"] == {"check-2-1": 1, "check-2-2": 0}
    nbgrader(folder, "generate_feedback", NAME)
    page = folder / "feedback" / "wrong" / NAME / f"{NAME}.html"
    assert "2.1" in page.read_text()


def test_a_second_export_renews_the_labs_and_keeps_the_settings(course):
    folder = course / "grading"
    export_nbgrader(folder, ["02"])
    (folder / "nbgrader_config.py").write_text("mine")
    target = folder / "source" / NAME / f"{NAME}.ipynb"
    nb = read(target)
    check = next(cell for cell in nb.cells if marker(cell) == ("check", "2.2"))
    check.metadata.nbgrader.points = 2.5
    nbformat.write(nb, target)
    lines = export_nbgrader(folder, ["02"])
    assert lines == [f"{target}: 3.5 points", f"{folder / 'nbgrader_config.py'}: kept"]
    points = [cell.metadata.get("nbgrader", {}).get("points") for cell in read(target).cells]
    assert [value for value in points if value is not None] == [1, 2.5]
    assert (folder / "nbgrader_config.py").read_text() == "mine"


def test_a_notebook_of_somebody_else_is_not_overwritten(course):
    target = course / "grading" / "source" / NAME / f"{NAME}.ipynb"
    target.parent.mkdir(parents=True)
    nbformat.write(nbformat.v4.new_notebook(), target)
    with pytest.raises(AuthoringError, match="no lab of this course"):
        export_nbgrader(course / "grading")


def test_the_export_names_every_check_and_holds_no_solution(course):
    export_nbgrader(course / "grading")
    nb = nbformat.read(course / "grading" / "source" / NAME / f"{NAME}.ipynb", 4)
    found = {}
    for cell in nb.cells:
        if facts := cell.metadata.get("nbgrader"):
            found[facts["grade_id"]] = (facts["solution"], facts["locked"], facts.get("points"))
    assert found == {
        "exercise-2-1": (True, False, None),
        "check-2-1": (False, True, 1),
        "exercise-2-2": (True, False, None),
        "check-2-2": (False, True, 1),
    }
    assert not any("solution" in cell.metadata.get("tags", []) for cell in nb.cells)
