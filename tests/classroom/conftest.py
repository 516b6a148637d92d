from pathlib import Path

import pytest

from labkit.authoring.build import build_notebook
from labkit.authoring.cells import marker

MINI = Path(__file__).parents[1] / "authoring" / "mini_lab.txt"
RIGHT = {
    "2.1": "# Exercise 2.1\ndef add(a, b):\n    return b + a\n\n\ntotal = add(1, 2)",
    "2.2": "# Exercise 2.2 - a root\nroot = total**0.5",
}


@pytest.fixture
def course(tmp_path, monkeypatch):
    """A course with one lab, and the working folder in it."""
    (tmp_path / "solutions").mkdir()
    (tmp_path / "pyproject.toml").write_text("")
    (tmp_path / "solutions" / "02_mini.py").write_text(MINI.read_text())
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def submission(course):
    """A hand-in with these answers in the exercise cells."""

    def make(answers, state="hidden"):
        nb = build_notebook(course / "solutions" / "02_mini.py", state)
        for cell in nb.cells:
            role, number = marker(cell)
            if role == "exercise" and number in answers:
                cell.source = answers[number]
        return nb

    return make


@pytest.fixture
def right():
    return dict(RIGHT)
