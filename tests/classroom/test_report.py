"""A folder of hand-ins: one bad one spoils nothing, and the files say who passed what."""

import csv
import json
import os
import re
import sys
from dataclasses import asdict
from urllib.parse import unquote

import pytest
from nbformat.v4 import nbjson

from labkit.authoring.files import write_notebook
from labkit.classroom import report as module
from labkit.classroom.plan import answers
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
    ran = module._refuse("not run") | {"isolated": False}
    monkeypatch.setattr(module, "run_task", lambda lab, task: ran)
    assert report(course / "hand-ins", course / "out", LIMITS)[1].startswith("NOT ISOLATED")
    assert "NOT ISOLATED" in (course / "out" / "index.html").read_text()


def test_no_file_name_or_size_spoils_the_report(course, submission, monkeypatch):
    """The grading itself is left out: the files and their names are what is looked at."""
    folder = course / "hand-ins"
    long = "x" * 200
    names = [f"{long}/{long}", "a/b", "a__b", "<b>&'\"", "half \udcff", "con\nrol"]
    for name in names:
        write_notebook(submission({}), folder / f"{name}.ipynb")
    monkeypatch.setattr(module, "LARGEST", 100_000)
    (folder / "large.ipynb").write_text("[" * 100_001)
    (folder / "deep.ipynb").write_text("[" * 90_000)
    (folder / "folder.ipynb").mkdir()
    os.mkfifo(folder / "pipe.ipynb")
    said = {"exercise": "2.1", "whose": "yours", "passed": False, "seconds": 1.0}
    row = {"lab": "02_mini", "message": "✗ \ud800 =cmd() <script>", **said}
    done = {"rows": [row], "answers": [], "isolated": True}
    monkeypatch.setattr(module, "run_task", lambda lab, task: done)
    report(folder, course / "out", LIMITS)
    rows = list(csv.DictReader((course / "out" / "report.csv").open(newline="")))
    assert len(rows) == len(names) + 4
    told = {row["submission"]: row["message"] for row in rows}
    assert "more than 0 MB" in told["large"] and "not graded" in told["pipe"]
    assert "not graded" in told["deep"] and "folder" in told["folder"]
    pages = {path.name for path in (course / "out" / "feedback").iterdir()}
    assert len(pages) == len(rows) and max(map(len, pages)) < 140
    index = (course / "out" / "index.html").read_text()
    assert "<script>" not in index and "&lt;b&gt;" in index
    linked = set(re.findall(r'href="feedback/([^"]+)"', index))
    assert {unquote(link) for link in linked} == pages


def test_answers_that_are_alike_stand_side_by_side(course, submission, right, monkeypatch):
    renamed = right["2.1"].replace("(a, b)", "(x, y)").replace("b + a", "y + x")
    longer = "def add(a, b):\n    both = [a, b]\n    return sum(n for n in both if n is not None)"
    source = f"# Exercise 2.1\n{longer}\n\n\ntotal = add(1, 2)"
    copied = source.replace("both", "pair").replace("  return", "  # mine\n    return", 1)
    for name, answer in (("anna", source), ("bert", copied), ("carl", renamed)):
        text = source if name == "anna" else answer
        print_of = module.fingerprint(text)
        assert (print_of == module.fingerprint(source)) == (name != "carl")
        write_notebook(submission({"2.1": answer}), course / "hand-ins" / f"{name}.ipynb")

    def graded(lab, task):
        written = answers(*(nbjson.to_notebook(json.loads(task)[n]) for n in ("submission", "lab")))
        rows = [{"lab": lab, "exercise": "2.1", "whose": "yours", "passed": True, "message": "✓"}]
        found = [
            {"lab": lab, "exercise": n, "source": text, **asdict(module.fingerprint(text))}
            for n, text in written.items()
        ]
        return {"rows": rows, "answers": found, "isolated": True}

    monkeypatch.setattr(module, "run_task", graded)
    report(course / "hand-ins", course / "out", LIMITS)
    page = (course / "out" / "similar.html").read_text()
    assert page.count("<h2>") == 1 and "<b>anna</b>" in page and "<b>bert</b>" in page
    assert "carl" not in page and "no verdict" in page


def test_an_empty_folder_and_a_silent_scheduler_are_named(course):
    with pytest.raises(ValueError, match="there is no such folder"):
        report(course / "nothing", course / "out")
    (course / "hand-ins").mkdir()
    with pytest.raises(ValueError, match="no notebooks here"):
        report(course / "hand-ins", course / "out")
    (course / "hand-ins" / "a.ipynb").write_text("")
    if "distributed" in sys.modules:
        with pytest.raises(ValueError, match="no Dask scheduler answers"):
            report(course / "hand-ins", course / "out", scheduler="tcp://127.0.0.1:9")
