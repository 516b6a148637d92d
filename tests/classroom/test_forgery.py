"""Answers that would have a check say what it does not: none of them passes."""

import runpy
from pathlib import Path

import pytest

KINDS = runpy.run_path(str(Path(__file__).with_name("kinds.py")))
# a few in kernels as `labkit report` starts them; `make soak` grades all in such
SANDBOXED = ("fake metadata", "no asserts", "the frames above", "another function in the judge")


@pytest.mark.parametrize(
    ("kind", "where"),
    [(kind, "verdicts") for kind in KINDS["FORGED"]] + [(kind, "sandboxed") for kind in SANDBOXED],
)
def test_a_forgery_gains_nothing(request, submission, kind, where):
    text = KINDS["FORGED"][kind]
    grade = request.getfixturevalue(where)
    found = grade(submission({"2.1": f"# Exercise 2.1\ntotal = 3\nadd = 1\n{text}"}))
    assert [number for number, verdict in found.items() if verdict.passed] == []
