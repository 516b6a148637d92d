"""A folder of hand-ins: one bad one spoils nothing, and the files say who passed what."""

import csv
import sys

import pytest

from labkit.authoring.files import write_notebook
from labkit.classroom import report as module
from labkit.classroom.report import report
from labkit.classroom.sandbox import Limits

LIMITS = Limits(cell=20, total=200, memory=3 << 30)


@pytest.fixture
def hand_ins(course, submission, right):
    folder = course / "hand-ins"
    write_notebook(submission(right), folder / "anna" / "02_mini.ipynb")
    formula = "# Exercise 2.1\nraise ValueError('<b>=cmd|calc</b>')"
    write_notebook(submission(right | {"2.1": formula}), folder / "=bert.ipynb")
    (folder / "broken.ipynb").write_text("no notebook")
    (folder / "link.ipynb").symlink_to(course / "solutions" / "02_mini.py")
    (folder / ".ipynb_checkpoints").mkdir()
    (folder / ".ipynb_checkpoints" / "anna.ipynb").write_text("{}")
    return folder


def check_files(out):
    rows = list(csv.DictReader((out / "report.csv").open()))
    passed = {}
    for row in rows:
        passed.setdefault(row["submission"], []).append(row["passed"] == "True")
    assert passed == {
        "'=bert": [False, True],
        "anna/02_mini": [True, True],
        "broken": [False],
        "link": [False],
    }
    assert tuple(rows[0]) == module.COLUMNS
    assert "no valid JSON" in next(r["message"] for r in rows if r["submission"] == "broken")
    pages = sorted(path.name for path in (out / "feedback").iterdir())
    assert pages == ["=bert.html", "anna__02_mini.html", "broken.html", "link.html"]
    page = (out / "feedback" / "=bert.html").read_text()
    assert "stopped with ValueError" in page and "<b>=cmd" not in page
    assert "anna/02_mini" in (out / "index.html").read_text()


def test_a_folder_is_graded_on_this_machine(course, hand_ins):
    lines = report(hand_ins, course / "out", LIMITS)
    assert lines[0].startswith("4 submissions: ")
    check_files(course / "out")


def test_a_folder_is_graded_on_a_cluster_that_loses_a_worker(course, hand_ins, cluster):
    report(hand_ins, course / "out", LIMITS, cluster.scheduler_address)
    check_files(course / "out")


def test_without_bubblewrap_that_is_said(course, submission, monkeypatch):
    write_notebook(submission({}), course / "hand-ins" / "anna.ipynb")
    monkeypatch.setattr(module, "bubblewrap", lambda: None)
    monkeypatch.setattr(module, "run_task", lambda lab, task: module._refuse("not run"))
    assert report(course / "hand-ins", course / "out", LIMITS)[1].startswith("NOT ISOLATED")
    assert "bubblewrap is missing" in (course / "out" / "index.html").read_text()


def test_an_empty_folder_and_a_silent_scheduler_are_named(course):
    with pytest.raises(ValueError, match="no notebooks here"):
        report(course / "nothing", course / "out")
    (course / "hand-ins").mkdir()
    (course / "hand-ins" / "a.ipynb").write_text("")
    if "distributed" in sys.modules:
        with pytest.raises(ValueError, match="no Dask scheduler answers"):
            report(course / "hand-ins", course / "out", scheduler="tcp://127.0.0.1:9")
