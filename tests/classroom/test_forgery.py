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


@pytest.fixture
def change(course):
    """Give the mini lab other checks, a cell between its exercises, and two imports."""

    def make(check="assert total == 3"):
        source = course / "solutions" / "02_mini.py"
        text = source.read_text()
        first = '    assert add(2, 2) == 4, "2 + 2 is 4"\n    assert total == 3\n'
        given = "# %%\ndef half(x):\n    return x / 2\n\n\n# %% [markdown]\n# ## A root\n"
        for old, new in {
            "import math\n": "import math\n\nimport numpy as np\nimport torch\n",
            first: f"    {check}\n",
            "# %% [markdown]\n# ## A root\n": given,
            "    assert abs(root**2 - total) < 1e-9, ": "    assert half(root) == 7, ",
        }.items():
            assert text.count(old) == 1
            text = text.replace(old, new)
        source.write_text(text)

    return make


@pytest.mark.parametrize("kind", KINDS["BELOW"])
def test_what_is_replaced_below_a_check_gains_nothing(verdicts, submission, change, kind):
    check, text = KINDS["BELOW"][kind]
    change(check)
    found = verdicts(submission({"2.1": f"# Exercise 2.1\ntotal = 7\nadd = 1\n{text}"}))
    assert not found["2.1"].passed


@pytest.mark.parametrize("kind", KINDS["POISON"])
def test_a_changed_cell_of_the_kit_gains_nothing(verdicts, submission, change, kind):
    change()
    _, second, late = KINDS["POISON"][kind].rpartition("SECOND: ")
    first = "" if second else late
    answers = {"2.1": f"total = 7\nadd = 1\n{first}", "2.2": f"{late if second else ''}\nroot = 1"}
    found = verdicts(submission({n: f"# Exercise {n}\n{text}" for n, text in answers.items()}))
    assert not found["2.2"].passed, found["2.2"].message
