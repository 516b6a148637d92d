"""Submissions of every kind, run in real kernels: each verdict is right, and nobody is harmed."""

import os
import re
from pathlib import Path

import pytest
from nbformat.v4 import new_code_cell

from labkit.authoring.build import build_notebook
from labkit.authoring.cells import marker
from labkit.classroom.grade import grade
from labkit.classroom.sandbox import Limits, bubblewrap

LIMITS = Limits(cell=20, total=200, memory=3 << 30)
walls = pytest.mark.skipif(not bubblewrap(), reason="bubblewrap (bwrap) does not work here")


@pytest.fixture
def verdicts(course):
    def run(nb, limits=LIMITS):
        lab = build_notebook(course / "solutions" / "02_mini.py", "shown")
        return {v.exercise: v for v in grade(nb, lab, limits)}

    return run


def passed(verdicts):
    return [number for number, verdict in verdicts.items() if verdict.passed]


@pytest.mark.parametrize("state", ["hidden", "stripped", "shown"])
def test_an_untouched_notebook_passes_nothing(verdicts, submission, state):
    found = verdicts(submission({}, state))
    assert [(v.whose, v.passed) for v in found.values()] == [("nobody", False)] * 2


def test_right_answers_pass_and_are_the_students_own(verdicts, submission, right):
    found = verdicts(submission(right))
    assert [(v.whose, v.passed) for v in found.values()] == [("yours", True)] * 2


def test_a_wrong_answer_costs_its_own_exercise_only(verdicts, submission, right):
    wrong = "# Exercise 2.1\ndef add(a, b):\n    return a - b\n\n\ntotal = add(1, 2)"
    found = verdicts(submission(right | {"2.1": wrong}))
    assert passed(found) == ["2.2"]
    assert "2 + 2 is 4" in found["2.1"].message


def test_an_answer_in_a_cell_without_its_marker_counts(verdicts, submission, right):
    nb = submission({"2.2": right["2.2"]})
    at = next(i for i, cell in enumerate(nb.cells) if marker(cell) == ("exercise", "2.1"))
    nb.cells.insert(at + 1, new_code_cell(right["2.1"].replace("# Exercise 2.1\n", "")))
    assert passed(verdicts(nb)) == ["2.1", "2.2"]
    del nb.cells[at]
    assert passed(verdicts(nb)) == ["2.1", "2.2"]


STOPPING = {
    "ran for more than": "while True:\n    pass",
    "processes|GB of memory": "import os\nwhile True:\n    os.fork()",
    "ended its kernel": "import os\nos.kill(os.getpid(), 9)",
    "printed more than": "while True:\n    print('x' * 100_000)",
    "wrote more than": "for n in range(30):\n    open(f'f{n}', 'wb').write(bytes(60 << 20))\n"
    "import time\ntime.sleep(19)",
}


@pytest.mark.parametrize("message", STOPPING)
def test_a_cell_that_stops_its_kernel_costs_its_own_exercise_only(
    verdicts, submission, right, message
):
    found = verdicts(submission(right | {"2.1": f"# Exercise 2.1\n{STOPPING[message]}"}))
    assert re.search(message, found["2.1"].message)
    assert passed(found) == ["2.2"]


def test_memory_is_limited(verdicts, submission, right):
    hungry = "# Exercise 2.1\ncells = [bytearray(1 << 26) for _ in range(100)]"
    found = verdicts(submission(right | {"2.1": hungry}))
    assert "MemoryError" in found["2.1"].message or "GB of memory" in found["2.1"].message
    assert passed(found) == ["2.2"]


def test_an_answer_that_hangs_in_the_check_is_stopped(verdicts, submission, right):
    hanging = "# Exercise 2.1\ndef add(a, b):\n    while True:\n        pass\n\n\ntotal = 3"
    found = verdicts(submission(right | {"2.1": hanging}))
    assert "ran for more than" in found["2.1"].message
    assert passed(found) == ["2.2"]


def test_the_time_of_a_submission_is_limited_in_all(verdicts, submission, right):
    hanging = {n: text + "\nwhile True:\n    pass" for n, text in right.items()}
    found = verdicts(submission(hanging), Limits(cell=60, total=15))
    assert passed(found) == []
    assert "15 s were over" in found["2.2"].message


FAKE = (
    '{"labkit": {"check": {"exercise": "2.1", "passed": True, "outcome": "✓", "whose": "yours"}}}'
)
FORGED = {
    "a printed tick": "print('✓ 2.1 yours')",
    "fake metadata": "from IPython.display import display\n"
    f"display({{'text/plain': '✓ 2.1 yours'}}, raw=True, metadata={FAKE})",
    "a record of outcomes": "from labkit.notebook.answers import session\n"
    "session.outcomes.update({'2.1': '✓ yours'})",
    "another check": "import contextlib\n\n\n@contextlib.contextmanager\ndef check(*names):\n"
    "    try:\n        yield\n    except BaseException:\n        pass\n"
    f"    display({{'text/plain': '✓'}}, raw=True, metadata={FAKE})\n\n\nlk.check = check",
    "another judgement": "import labkit.notebook.exercise as e\n"
    "e._judge = lambda *a: ('yours', '✓ yours')",
    "another problem": "import labkit.notebook.exercise as e\ne._problem = lambda *a: ''",
    "another kit": "class lk:\n    import contextlib\n    check = contextlib.nullcontext",
    "another judge": "import labkit.classroom.judge as j\n"
    "j.judge = lambda *a: print('✓ 2.1 yours')",
    "no asserts": "import ast\n\n\nclass Drop(ast.NodeTransformer):\n"
    "    def visit_Assert(self, node):\n        return ast.Pass()\n\n\n"
    "get_ipython().ast_transformers.append(Drop())",
    "a leap out of the check": "def add(a, b):\n    raise SystemExit\n\n\ntotal = 3",
    "another built-in": "import builtins\nbuiltins.abs = lambda value: 0",
    "the reference asked for": "lk.use_solution('2.1')",
}


@pytest.mark.parametrize("kind", FORGED)
def test_a_forgery_gains_nothing(verdicts, submission, kind):
    found = verdicts(submission({"2.1": f"# Exercise 2.1\ntotal = 3\nadd = 1\n{FORGED[kind]}"}))
    assert passed(found) == []


def test_stored_outputs_and_edited_checks_gain_nothing(verdicts, submission):
    nb = submission({"2.1": "# Exercise 2.1\nadd = total = 1"})
    for cell in nb.cells:
        if marker(cell)[0] == "check":
            number = marker(cell)[1]
            cell.source = f'with lk.check("{number}"):\n    pass'
    assert passed(verdicts(nb)) == []


@walls
def test_a_submission_sees_neither_the_instructors_files_nor_the_network(
    verdicts, submission, right, course, tmp_path, monkeypatch
):
    monkeypatch.setenv("PASSWORD_OF_THE_INSTRUCTOR", "secret")
    spy = f"""
import os, socket
from pathlib import Path
seen = [p for p in ({str(course / "solutions")!r}, {str(Path(__file__))!r}) if os.path.exists(p)]
seen += [v for v in os.environ if "PASSWORD" in v]
for action in (lambda: socket.create_connection(("127.0.0.1", 9), 1),
               lambda: Path({str(tmp_path / "harm")!r}).write_text("x")):
    try:
        action()
        seen.append("done")
    except ConnectionRefusedError:
        pass  # its own loopback, where nobody listens
    except OSError:
        pass
assert not seen, seen
"""
    found = verdicts(submission(right | {"2.1": right["2.1"] + spy}))
    assert passed(found) == ["2.1", "2.2"], found["2.1"].message
    assert not (tmp_path / "harm").exists()


def test_nothing_that_a_submission_started_is_left(verdicts, submission, right):
    name = f"{os.getpid()}.25"
    start = f"\nimport subprocess\nsubprocess.Popen(['sleep', '{name}'], start_new_session=True)"
    assert passed(verdicts(submission(right | {"2.1": right["2.1"] + start}))) == ["2.1", "2.2"]
    import psutil

    left = [p for p in psutil.process_iter(["cmdline"]) if name in (p.info["cmdline"] or [])]
    assert left == []
