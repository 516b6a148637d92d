import runpy
from pathlib import Path
from types import SimpleNamespace

import pytest

from labkit.authoring.build import build_notebook
from labkit.classroom.grade import grade
from labkit.classroom.sandbox import Limits

MINI = Path(__file__).parents[1] / "authoring" / "mini_lab.txt"
KINDS = runpy.run_path(str(Path(__file__).with_name("kinds.py")))


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
        return KINDS["fill"](build_notebook(course / "solutions" / "02_mini.py", state), answers)

    return make


@pytest.fixture
def right():
    return dict(KINDS["RIGHT"])


@pytest.fixture
def kinds():
    return SimpleNamespace(**KINDS)


@pytest.fixture
def sandboxed(course):
    """The verdict on each exercise of a hand-in, in kernels as `labkit report` starts them."""

    def run(nb, limits=Limits(cell=20, total=200, memory=3 << 30)):  # noqa: B008 - never changed
        lab = build_notebook(course / "solutions" / "02_mini.py", "shown")
        return {v.exercise: v for v in grade(nb, lab, limits)}

    return run


@pytest.fixture
def verdicts(sandboxed, forked_kernels):
    """The same in forked kernels, which start at once, without walls and limits."""
    return sandboxed
