import sys
import time
from types import ModuleType, SimpleNamespace

import IPython
import pytest
from IPython.core.interactiveshell import InteractiveShell

from labkit import display
from labkit.display import duration, front_end


def pretend(monkeypatch, answers=True, **names):
    """A shell with a kernel, whose front end can or cannot answer questions."""
    parent = {"content": {"allow_stdin": answers}}
    kernel = SimpleNamespace(get_parent=lambda: parent)
    shell = SimpleNamespace(kernel=kernel, user_ns=names)
    monkeypatch.setattr(IPython, "get_ipython", lambda: shell)
    monkeypatch.delitem(sys.modules, "google.colab", raising=False)
    monkeypatch.delenv("JPY_SESSION_NAME", raising=False)


def test_a_script_and_a_shell_without_kernel_are_a_terminal(monkeypatch):
    assert front_end() == "terminal"
    monkeypatch.setattr(IPython, "get_ipython", lambda: SimpleNamespace())
    assert front_end() == "terminal"


def test_jupyter_server_is_known_by_its_variable(monkeypatch):
    pretend(monkeypatch)
    assert front_end() == "notebook"
    monkeypatch.setenv("JPY_SESSION_NAME", "lab.ipynb")
    assert front_end() == "jupyter"


def test_a_front_end_that_cannot_be_asked_is_a_program(monkeypatch):
    pretend(monkeypatch, answers=False)
    monkeypatch.setenv("JPY_SESSION_NAME", "lab.ipynb")
    assert front_end() == "unattended"


@pytest.mark.parametrize("place", ["colab", "vscode"])
def test_colab_and_vs_code_get_no_widgets_even_on_a_jupyter_server(monkeypatch, place):
    names = {"__vsc_ipynb_file__": "lab.ipynb"} if place == "vscode" else {}
    pretend(monkeypatch, **names)
    monkeypatch.setenv("JPY_SESSION_NAME", "lab.ipynb")
    if place == "colab":
        monkeypatch.setitem(sys.modules, "google.colab", ModuleType("google.colab"))
    assert front_end() == "notebook"


def test_durations_as_people_say_them():
    assert [duration(s) for s in (0.2, 59, 61, 7260)] == ["1 s", "59 s", "1 min 1 s", "2 h 1 min"]


@pytest.mark.parametrize(("seconds", "left"), [(1.0, ""), (6.0, "comparing: 1 in 6 s\n")])
def test_track_leaves_a_line_only_where_it_took_long(capsys, monkeypatch, seconds, left):
    monkeypatch.setattr(time, "perf_counter", iter([0.0, seconds]).__next__)
    monkeypatch.setattr(display, "front_end", lambda: "none")
    assert list(display.track(["a"], "comparing")) == ["a"]
    assert capsys.readouterr().out == left


FIT = "lk.fit(torch.nn.Linear(2, 2), [(torch.ones(1, 2), torch.tensor([0]))], epochs=1)"


@pytest.mark.parametrize(
    ("items", "train"), [("lk.track(range(3), 'x')", "0"), ("range(3)", FIT)], ids=["track", "fit"]
)
def test_one_stop_ends_a_cell_of_many_trainings(items, train):
    shell = InteractiveShell.instance()
    try:
        stop = "seen.append(i) or display.end_cell_as_interrupted()"
        loop = "import torch, labkit as lk\nfrom labkit import display\nseen = []\n"
        loop += f"for i in {items}: {train}; "
        stopped = shell.run_cell(loop + stop, silent=False, store_history=False)
        assert isinstance(stopped.error_in_exec, KeyboardInterrupt)
        assert shell.user_ns["seen"] == [0]
        after = shell.run_cell(loop + "seen.append(i)", store_history=False)
        assert after.success, "the next cell is another one"
        assert shell.user_ns["seen"] == [0, 1, 2]
    finally:
        InteractiveShell.clear_instance()
