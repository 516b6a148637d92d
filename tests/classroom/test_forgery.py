"""Answers that would have a check say what it does not: none of them passes."""

import runpy
from pathlib import Path

import pytest

KINDS = runpy.run_path(str(Path(__file__).with_name("kinds.py")))
# most of them; `make soak` grades all
FORGED = ("fake metadata", "no asserts", "a class that equals anything", "the frames above")
FORGED += ("the judge's key", "a fake of the call", "another exit", "the reference asked for")
FORGED += ("a class of an own module", "a class of no file", "a class that says it is a library's")
FORGED += ("a mock inside a function", "a mock that is told", "a walk up the stack")
FORGED += ("a walk up an error", "frames in other code", "an outcome kept back")
FORGED += ("frames in code that says it is a library's", "an array that answers for functions")
FORGED += ("other code in the kit's function", "another function in the kit's decorator")
FORGED += ("a guard of the check's that swallows", "another class of the kit's module")
FORGED += ("a judgement replaced while the check runs", "an outcome and a leap")
FORGED += ("a class made while the check runs", "a method over an inherited one")
FORGED += ("a method that pandas inherits", "an array that says all")
FORGED += ("another function in the judge", "a parser that drops asserts")
FORGED += ("a thread that answers itself", "a name that hides a built-in of the kit's")
FORGED += ("frames in a judge that looks away",)


@pytest.mark.parametrize("kind", FORGED)
def test_a_forgery_gains_nothing(verdicts, submission, kind):
    text = KINDS["FORGED"][kind]
    found = verdicts(submission({"2.1": f"# Exercise 2.1\ntotal = 3\nadd = 1\n{text}"}))
    assert [number for number, verdict in found.items() if verdict.passed] == []
