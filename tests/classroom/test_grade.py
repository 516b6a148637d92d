"""Submissions of every kind, run in real kernels: each verdict is right, and nobody is harmed."""

import os
import re
import runpy
from pathlib import Path

import psutil
import pytest
from nbformat.v4 import new_code_cell

from labkit.authoring.build import build_notebook
from labkit.authoring.cells import START, marker
from labkit.authoring.files import find_sources
from labkit.classroom import sandbox
from labkit.classroom.grade import grade
from labkit.classroom.plan import answers
from labkit.classroom.sandbox import Limits, bubblewrap

ROOT = Path(__file__).parents[2]
KINDS = runpy.run_path(str(Path(__file__).with_name("kinds.py")))
# some of each kind; `make soak` grades all as `labkit report` does. What would do harm, or is
# limited by the kernel's own process, runs in the sandbox here, too.
STOPPING = ["hangs in the check", "kills its kernel", "leaves", "crashes", "closes its channel"]
STOPPING = [(kind, "verdicts") for kind in [*STOPPING, "prints 200 MB", "displays pictures"]]
STOPPING += [(kind, "sandboxed") for kind in ("forks", "fills the disk", "fills the memory")]
# what neither stops its kernel nor reaches out of it; forgeries are in a file of their own
ANSWERS = {
    name: rest
    for name, *rest in KINDS["answers"]()
    if name not in KINDS["STOPPING"] and not name.startswith(("forges", "reaches"))
}
walls = pytest.mark.skipif(not bubblewrap(), reason="bubblewrap (bwrap) does not work here")


def passed(verdicts):
    return [number for number, verdict in verdicts.items() if verdict.passed]


@pytest.mark.parametrize("state", ["hidden", "stripped", "shown"])
def test_an_untouched_notebook_passes_nothing(verdicts, submission, state):
    found = verdicts(submission({}, state))
    assert [(v.whose, v.passed) for v in found.values()] == [("nobody", False)] * 2


def test_no_kernel_is_started_where_nothing_is_left_to_judge(verdicts, submission, monkeypatch):
    def refuse(*_):
        raise AssertionError("a kernel was started")

    monkeypatch.setattr(sandbox, "start", refuse)
    assert passed(verdicts(submission({}))) == []
    with pytest.raises(AssertionError, match="was started"):
        verdicts(submission({"2.2": "# Exercise 2.2\nroot = 1"}))


def test_right_answers_pass_and_are_the_students_own(sandboxed, submission, right):
    found = sandboxed(submission(right))
    assert [(v.whose, v.passed) for v in found.values()] == [("yours", True)] * 2


def test_a_wrong_answer_costs_its_own_exercise_only(sandboxed, submission, right):
    wrong = "# Exercise 2.1\ndef add(a, b):\n    return a - b\n\n\ntotal = add(1, 2)"
    found = sandboxed(submission(right | {"2.1": wrong}))
    assert passed(found) == ["2.2"]
    assert "2 + 2 is 4" in found["2.1"].message


@pytest.mark.parametrize("name", ANSWERS)
def test_an_answer_of_every_kind_gets_its_verdict(verdicts, submission, name):
    answers, wanted, words = ANSWERS[name]
    found = verdicts(submission(answers))
    assert passed(found) == wanted
    assert re.search(words, found["2.1"].message)


def test_an_answer_in_a_cell_without_its_marker_counts(verdicts, submission, right):
    nb = submission({"2.2": right["2.2"]})
    at = next(i for i, cell in enumerate(nb.cells) if marker(cell) == ("exercise", "2.1"))
    nb.cells.insert(at + 1, new_code_cell(right["2.1"].replace("# Exercise 2.1\n", "")))
    assert passed(verdicts(nb)) == ["2.1", "2.2"]
    del nb.cells[at]
    assert passed(verdicts(nb)) == ["2.1", "2.2"]


def test_a_try_of_ones_own_behind_the_check_is_no_part_of_the_answer(verdicts, submission, right):
    nb = submission(right)
    at = next(i for i, cell in enumerate(nb.cells) if marker(cell) == ("check", "2.1"))
    nb.cells.insert(at + 1, new_code_cell("add = lambda a, b: a - b  # what does the check say?"))
    assert passed(verdicts(nb)) == ["2.1", "2.2"]


@pytest.mark.parametrize("kept", [[], ["2.1"], ["2.2"]])
def test_two_answers_in_one_cell_both_count(verdicts, submission, right, kept):
    """As JupyterLab merges cells; the untouched stub of the other may be there still, or not."""
    both = f"{right['2.1']}\n\n\n{right['2.2']}"
    nb = submission({kept[0]: both} if kept else {"2.2": both})
    stubs = [c for c in nb.cells if marker(c)[0] == "exercise" and c.source != both]
    nb.cells = [c for c in nb.cells if kept or c not in stubs]
    assert passed(verdicts(nb)) == ["2.1", "2.2"]
    lab = submission({}, "shown")
    assert list(answers(nb, lab)) == ["2.1", "2.2"]


def test_an_import_in_the_set_up_cell_reaches_the_answers(verdicts, submission, right):
    nb = submission(right | {"2.1": right["2.1"].replace("b + a", "int(2 * mean([a, b]))")})
    setup = next(cell for cell in nb.cells if START.search(cell.source))
    setup.source = f"%%time\nfrom statistics import mean\n\n{setup.source}\nprint('started')"
    assert passed(verdicts(nb)) == ["2.1", "2.2"]
    setup.source = setup.source.replace("print('started')", "print('started'")
    found = verdicts(nb)
    assert passed(found) == ["2.2"] and "'mean' is not defined" in found["2.1"].message


def test_libraries_change_their_own_functions_and_that_is_no_forgery(verdicts, submission, right):
    found = verdicts(submission(right | {"2.1": right["2.1"] + LIBRARIES}))
    assert passed(found) == ["2.1", "2.2"], found["2.1"].message


@pytest.mark.parametrize(("kind", "where"), STOPPING)
def test_a_cell_that_stops_its_kernel_costs_its_own_exercise_only(
    request, submission, right, kind, where
):
    text, words = KINDS["STOPPING"][kind]
    grade_it = request.getfixturevalue(where)
    found = grade_it(submission(right | {"2.1": f"# Exercise 2.1\n{text}"}))
    assert re.search(words, found["2.1"].message)
    assert passed(found) == ["2.2"]


@pytest.mark.parametrize("way", ["exit()", "get_ipython().ask_exit()"])
def test_a_kernel_that_ends_after_a_right_answer_costs_the_next_nothing(
    verdicts, submission, right, way
):
    found = verdicts(submission(right | {"2.1": f"{right['2.1']}\n{way}"}))
    assert "2.2" in passed(found), found["2.2"].message


def test_the_time_of_a_submission_is_limited_in_all(verdicts, submission, right):
    hanging = {n: text + "\nwhile True:\n    pass" for n, text in right.items()}
    found = verdicts(submission(hanging), Limits(cell=60, total=6))
    assert passed(found) == []
    assert "6 s were over" in found["2.2"].message


def test_a_name_that_hides_a_builtin_gains_nothing_for_the_next_exercise(verdicts, submission):
    hidden = "# Exercise 2.1\nabs = lambda value: 0\nlist = dict = print = None\nadd = total = 1"
    found = verdicts(submission({"2.1": hidden, "2.2": "# Exercise 2.2\nroot = -7"}))
    assert passed(found) == []


def test_a_kit_value_that_an_answer_replaces_is_the_kits_again(verdicts, submission, right):
    hostile = right["2.1"] + "\nmath = None\nlk = None\ndel get_ipython"
    assert passed(verdicts(submission(right | {"2.1": hostile}))) == ["2.1", "2.2"]


def test_a_wiped_notebook_costs_the_next_exercise_nothing(verdicts, submission, right):
    wiped = "# Exercise 2.1\nget_ipython().run_line_magic('reset', '-f')"
    assert passed(verdicts(submission(right | {"2.1": wiped}))) == ["2.2"]


def test_what_an_answer_replaces_costs_its_own_exercise_only(verdicts, submission, right):
    hostile = "import builtins\nbuiltins.abs = lambda value: 0\nadd = total = 1"
    found = verdicts(submission(right | {"2.1": f"# Exercise 2.1\n{hostile}"}))
    assert "replaces builtins.abs" in found["2.1"].message
    assert passed(found) == ["2.2"]


def test_usual_tools_are_no_forgery(verdicts, submission, right):
    plain = right["2.1"] + "\nfrom dataclasses import dataclass\n\n\n@dataclass\nclass P:\n"
    plain += "    x: int = 0\n\n\nimport inspect\nfrom collections import namedtuple\n"
    plain += "import traceback\ntry:\n    1 / 0\nexcept ZeroDivisionError:\n"
    plain += "    traceback.print_exc()\n"
    plain += "Q = namedtuple('Q', 'a b')\nassert inspect.signature(add) and P() == P()"
    assert passed(verdicts(submission(right | {"2.1": plain}))) == ["2.1", "2.2"]


LIBRARIES = """
get_ipython().run_line_magic("load_ext", "autoreload")
get_ipython().run_line_magic("matplotlib", "inline")
get_ipython().run_cell_magic("capture", "", "print(3)")
import copy, enum, functools, logging, pickle, typing, warnings
import matplotlib.pyplot as plt
import networkx
import numpy as np
import pandas as pd
import scipy.optimize, sklearn.linear_model, torchvision.transforms.v2
import torch

net = torch.nn.Linear(2, 2)
optimizer = torch.optim.Adam(net.parameters())
net(torch.ones(2)).sum().backward()
optimizer.step()
torch.jit.script(net)
torch.fx.symbolic_trace(net)(torch.ones(2))
torch.func.vmap(lambda x: x)(torch.ones(2))
pickle.loads(pickle.dumps(copy.deepcopy(net)))
net.register_forward_hook(lambda *a: None)
sklearn.linear_model.LogisticRegression().fit([[0], [1]], [0, 1])
scipy.optimize.minimize(lambda x: (x**2).sum(), np.ones(2))
networkx.shortest_path(networkx.path_graph(4), 0, 3)
plt.show = lambda *figures: None


@torch.no_grad()
def add(a, b, plain=add):
    logging.warning("seen")
    warnings.warn("seen", stacklevel=2)
    one = 1
    assert len(pd.DataFrame({"x": [1]}).query("x == @one")) == 1
    typing.NamedTuple("Row", [("x", int)])
    enum.Enum("Kind", "A B")
    return plain(a, b)
"""
TOOLS = """
import functools, pathlib, traceback, warnings
from dataclasses import dataclass, field, replace
from enum import Enum, IntFlag
from typing import ClassVar, NamedTuple, Protocol

import fractions, decimal, ipaddress, pathlib, statistics, uuid, zoneinfo
import networkx, sympy
import numpy as np
import pandas as pd
import sklearn.base, sklearn.pipeline, scipy.sparse, scipy.signal
import torch
from torch import nn


class Named(np.ndarray):
    unit: str

    def __array_finalize__(self, other):
        self.unit = "m"

    def __repr__(self):
        return f"{self.tolist()} {self.unit}"


@dataclass(order=True, frozen=True)
class Point:
    x: int = 0
    y: list = field(default_factory=list, compare=False)
    unit: ClassVar[str] = "m"


@dataclass(eq=True, slots=True)
class Empty:
    pass


class Kind(Enum):
    A = 1


class Flags(IntFlag):
    A = 1


class Row(NamedTuple):
    a: int = 1


class Adds(Protocol):
    def add(self): ...


class Net(nn.Module):
    def forward(self, x):
        return x


class Ours(sklearn.base.BaseEstimator):
    @property
    def nothing(self):
        return None


class Table(dict):
    def __getattr__(self, name):
        return self[name]


pathlib.Path("own_helper.py").write_text("class Box:\\n    def get(self):\\n        return 3\\n")
import importlib; importlib.invalidate_caches()
from own_helper import Box
assert Box().get() == 3
part = functools.partial(add, 1)
once = functools.lru_cache(part)
assert Point(1) < Point(2) and Empty() == Empty() and Row() == Row(1) and Kind.A == Kind.A
frame = pd.DataFrame({"a": [1, 2]})
assert repr(np.ones(2).view(Named)) == "[1.0, 1.0] m"
assert (frame == frame).all().all() and frame.groupby("a").sum().shape == (2, 0)
x = sympy.Symbol("x"); f = sympy.Function("f")
assert f(x) == f(x) and sympy.diff(x**2, x) == 2 * x
assert networkx.path_graph(3).size() == 2 and once(2) == 3
warnings.warn("seen")
try:
    1 / 0
except ZeroDivisionError:
    print(traceback.format_exc())
traceback.print_stack()
Net()(torch.ones(2)).sum(); torch.utils.data.DataLoader([1, 2])
"""


def test_the_tools_of_a_thorough_student_are_no_forgery(verdicts, submission, right):
    found = verdicts(submission(right | {"2.1": right["2.1"] + TOOLS}))
    assert passed(found) == ["2.1", "2.2"], found["2.1"].message


def test_lab_02_answered_with_its_references_passes_everything():
    """What guards against forgery stops nothing of what a real lab does; `make soak`: all labs."""
    if "02_mlp" not in [source.stem for source in find_sources(ROOT)]:
        pytest.skip("the course leaves lab 02 out")
    lab = build_notebook(ROOT / "solutions" / "02_mlp.py", "shown")
    found = grade(KINDS["references"](lab), lab, Limits(cell=200, total=900))
    assert [(v.exercise, v.message) for v in found if not v.passed] == []
    assert len(found) >= 5


def test_an_answer_to_an_exercise_that_is_gone_is_no_fault(verdicts, submission, right):
    nb = submission(right)
    nb.cells.append(new_code_cell("# Exercise 2.9\nother = 1"))
    assert passed(verdicts(nb)) == ["2.1", "2.2"]


def test_a_check_may_define_a_class_that_compares(verdicts, submission, right, course):
    source = course / "solutions" / "02_mini.py"
    own = "    class _Any:\n        def __eq__(self, other):\n            return True\n\n"
    text = source.read_text().replace(
        "    assert total == 3\n", f"{own}    assert total == _Any()\n"
    )
    source.write_text(text)
    assert passed(verdicts(submission(right))) == ["2.1", "2.2"]


def test_a_hidden_test_is_judged(verdicts, submission, right, course):
    source = course / "solutions" / "02_mini.py"
    hidden = (
        "    ### BEGIN HIDDEN TESTS\n    assert add(-2, 2) == 0, 'hidden'\n    ### END HIDDEN TESTS"
    )
    source.write_text(source.read_text().replace("total == 3\n", f"total == 3\n{hidden}\n"))
    fixed = "# Exercise 2.1\ndef add(a, b):\n    return abs(a) + b\n\n\ntotal = add(1, 2)"
    found = verdicts(submission(right | {"2.1": fixed}))
    assert passed(found) == ["2.2"] and "hidden" in found["2.1"].message


def test_stored_outputs_and_edited_checks_gain_nothing(verdicts, submission):
    nb = submission({"2.1": "# Exercise 2.1\nadd = total = 1"})
    for cell in nb.cells:
        if marker(cell)[0] == "check":
            number = marker(cell)[1]
            cell.source = f'with lk.check("{number}"):\n    pass'
    assert passed(verdicts(nb)) == []


@walls
def test_a_submission_sees_neither_the_instructors_files_nor_the_network(
    sandboxed, submission, right, course, tmp_path, monkeypatch
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
    found = sandboxed(submission(right | {"2.1": right["2.1"] + spy}))
    assert passed(found) == ["2.1", "2.2"], found["2.1"].message
    assert not (tmp_path / "harm").exists()


def test_nothing_that_a_submission_started_is_left(sandboxed, submission, right):
    name, here = f"{os.getpid()}.25", psutil.Process()
    before = here.num_threads()
    start = f"\nimport subprocess\nsubprocess.Popen(['sleep', '{name}'], start_new_session=True)"
    assert passed(sandboxed(submission(right | {"2.1": right["2.1"] + start}))) == ["2.1", "2.2"]
    left = [p for p in psutil.process_iter(["cmdline"]) if name in (p.info["cmdline"] or [])]
    assert left == []
    assert here.num_threads() <= before + 1  # the watch may take a moment longer
