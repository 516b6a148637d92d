"""The states of an exercise: in real kernels, and the finer points in a shell of this process."""

import os
import re
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import nbformat
import numpy as np
import pytest
import torch
from IPython.core.interactiveshell import InteractiveShell
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError
from traitlets.config import Config

from labkit.authoring import toggle
from labkit.authoring.build import build_notebook
from labkit.authoring.files import write_notebook
from labkit.notebook import answers, exercise
from labkit.notebook.advice import advice

pytestmark = pytest.mark.usefixtures("forked_kernels")

MINI = Path(__file__).parent.parent / "authoring" / "mini_lab.txt"
RIGHT = "# Exercise 2.1\ndef add(a, b):\n    return b + a\n\ntotal = 3"
WRONG = "# Exercise 2.1\ndef add(a, b):\n    return a * b + 1\n\ntotal = 3"
STUB = "# Exercise 2.1\nx = ..."
REFERENCE = "%%solution 2.1\n# Solution 2.1\nx = 5"
CHECK = 'with lk.check("2.1", "x"):\n    assert x == 5, "x is five"'
START = (
    f'import labkit as lk\nlk.start_lab("02_mini", stubs={{"2.1": "{answers.stub_hash(STUB)}"}})'
)


@pytest.fixture(scope="module")
def hidden(tmp_path_factory):
    source = tmp_path_factory.mktemp("course") / "solutions" / "02_mini.py"
    source.parent.mkdir()
    source.write_text(MINI.read_text())
    return build_notebook(source, "hidden")


def execute(nb, folder, answer=None, strict=False, allow_errors=False):
    """Run a copy of a lab with this answer to exercise 2.1; the text of its outputs by cell."""
    nb = toggle.copy.deepcopy(nb)
    for cell in nb.cells:
        if answer is not None and cell.metadata.get("labkit", {}).get("exercise") == "2.1":
            cell.source = answer
    client = NotebookClient(
        nb,
        kernel_name="python3",
        timeout=60,
        allow_errors=allow_errors,
        resources={"metadata": {"path": str(folder)}},
        extra_arguments=["--log-level=ERROR"],
    )
    client.execute(env={**os.environ, "LABKIT_STRICT": "1" if strict else "0"})
    return "\n".join(
        output.get("text") or output.get("data", {}).get("text/plain") or output.evalue
        for cell in nb.cells
        if cell.cell_type == "code"
        for output in cell.outputs
    )


def test_untouched_hidden_notebook_runs_by_reference(hidden, tmp_path):
    said = execute(hidden, tmp_path, strict=True)
    assert "✓ 2.1 reference" in said
    assert "✓ 2.2 reference" in said
    assert "Reference solution 2.1 used: your exercise cell is unchanged." in said
    assert "1.7320508" in said, "the last expression of a hidden cell is displayed"


def test_shown_notebook_is_by_reference(hidden, tmp_path):
    said = execute(toggle.show(hidden), tmp_path, strict=True)
    assert "✓ 2.1 reference" in said
    assert "✓ 2.2 reference" in said


@pytest.mark.parametrize("head", ["", "# my own comment\n\n", "%%time\n"])
def test_right_answer_is_kept(hidden, tmp_path, head):
    said = execute(hidden, tmp_path, head + RIGHT, strict=True)
    assert "✓ 2.1 yours" in said
    assert "Your answer to 2.1 is kept" in said
    assert "Reference solution 2.1" not in said
    assert "✓ 2.2 reference" in said


def test_wrong_answer_is_told_and_the_rest_runs(hidden, tmp_path):
    said = execute(hidden, tmp_path, WRONG)
    assert "✗ 2.1 2 + 2 is 4" in said
    assert "✓ 2.2 reference" in said


def test_wrong_answer_fails_the_notebook_in_strict_mode(hidden, tmp_path):
    with pytest.raises(CellExecutionError) as caught:
        execute(hidden, tmp_path, WRONG, strict=True)
    assert (caught.value.ename, caught.value.evalue) == ("CheckFailed", "✗ 2.1 2 + 2 is 4")


def test_syntax_error_counts_as_the_students(hidden, tmp_path):
    said = execute(hidden, tmp_path, "# Exercise 2.1\ntotal = = 3", allow_errors=True)
    assert "Your answer to 2.1 is kept (it stopped with SyntaxError" in said
    assert "✗ 2.1 your cell 2.1 stopped with SyntaxError: invalid syntax, line 2" in said


def test_answer_without_marker_is_never_overwritten(hidden, tmp_path):
    right, wrong = (text.split("\n", 1)[1] for text in (RIGHT, WRONG))
    said = execute(hidden, tmp_path, right)
    assert "The reference was NOT run: it would overwrite add, total." in said
    assert re.search("✓ 2.1 yours .*`# Exercise 2.1` back", said)
    assert re.search("✗ 2.1 2 \\+ 2 is 4 .*`# Exercise 2.1` back", execute(hidden, tmp_path, wrong))


def test_stripped_notebook_is_not_attempted(hidden, tmp_path):
    said = execute(toggle.strip(hidden), tmp_path)
    assert "○ 2.1 not attempted" in said
    assert "○ 2.2 not attempted" in said
    nb = toggle.strip(hidden)
    nb.cells.append(nbformat.v4.new_code_cell("lk.progress()"))
    with pytest.raises(CellExecutionError) as caught:
        execute(nb, tmp_path, strict=True)
    left = "2.1 ○ not attempted; 2.2 ○ not attempted"
    assert (caught.value.ename, caught.value.evalue) == ("CheckFailed", left)


def test_a_wrong_reference_fails_its_cell_in_strict_mode(hidden, tmp_path):
    for nb in (toggle.copy.deepcopy(hidden), toggle.show(hidden)):
        cell = next(cell for cell in nb.cells if "# Solution 2.1" in cell.source)
        cell.source = cell.source.replace("a + b", "a - b")
        with pytest.raises(CellExecutionError) as caught:
            execute(nb, tmp_path, strict=True)
        assert (caught.value.ename, caught.value.evalue) == ("CheckFailed", "✗ 2.1 2 + 2 is 4")


def test_error_in_a_reference_stops_the_notebook_once(hidden, tmp_path):
    nb = toggle.copy.deepcopy(hidden)
    cell = next(cell for cell in nb.cells if cell.source.startswith("%%solution 2.1"))
    cell.source += "\nraise ValueError('boom')"
    with pytest.raises(CellExecutionError) as caught:
        execute(nb, tmp_path)
    assert (caught.value.ename, caught.value.evalue) == ("ValueError", "boom")
    said = execute(nb, tmp_path, allow_errors=True)
    assert said.count("boom") == 1


def test_magics_and_await_work_in_a_reference(hidden, tmp_path):
    nb = toggle.copy.deepcopy(hidden)
    cell = next(cell for cell in nb.cells if cell.source.startswith("%%solution 2.1"))
    cell.source += (
        "\nimport asyncio\n%env LABKIT_ODD=yes\nawait asyncio.sleep(0)\nprint('awaited')\ntotal"
    )
    said = execute(nb, tmp_path, strict=True)
    assert "env: LABKIT_ODD=yes" in said
    assert "awaited\n\n3\n" in said


@pytest.fixture
def shell(tmp_path):
    """A shell in this process, with labkit loaded, as a notebook sees it."""
    before = dict(vars(answers.session))
    config = Config({"HistoryManager": {"hist_file": ":memory:"}})
    shell = InteractiveShell.instance(config=config, colors="nocolor")
    answers.load_into_running_shell()
    shell.run_cell(START, store_history=True)
    yield shell
    shell.history_manager.end_session()
    InteractiveShell.clear_instance()
    vars(answers.session).update(before)


@pytest.fixture
def said(shell, capsys):
    """Run cells one after the other; what the last one printed."""

    def run(*cells):
        for cell in cells:
            capsys.readouterr()
            shell.run_cell(cell, store_history=True)
        return capsys.readouterr().out

    return run


def test_the_latest_event_decides(said):
    assert said(STUB, REFERENCE, CHECK) == "✓ 2.1 reference\n"
    assert said("# Exercise 2.1\nx = 2 + 3", CHECK) == "✓ 2.1 yours\n"
    assert said(REFERENCE).startswith("Your answer to 2.1 is kept")
    assert said(CHECK) == "✓ 2.1 yours\n"
    forced = "Reference solution 2.1 used, as you asked.\n✓ 2.1 reference\n"
    assert said('lk.use_solution("2.1")') == forced
    assert said(CHECK) == "✓ 2.1 reference\n"
    assert said(STUB, CHECK) == "○ 2.1 not attempted\n"
    assert said(STUB, REFERENCE, STUB, REFERENCE, CHECK) == "✓ 2.1 reference\n"


def test_an_answer_that_lost_its_marker_after_the_stub_ran_is_still_the_students(said, shell):
    back = "(put the line `# Exercise 2.1` back into your cell and run it)"
    assert said(STUB, "x = 5", CHECK) == f"✓ 2.1 yours {back}\n"
    assert said(REFERENCE).startswith("Your answer to 2.1 is kept")
    assert said("%%time\nx = 6", CHECK) == f"✗ 2.1 x is five {back}\n"
    assert said(CHECK, REFERENCE).startswith("Your answer to 2.1 is kept")
    assert shell.user_ns["x"] == 6
    assert said('lk.use_solution("2.1")').endswith("✓ 2.1 reference\n")
    assert said(CHECK) == "✓ 2.1 reference\n"
    assert said(STUB, REFERENCE, "x = 6", CHECK) == f"✗ 2.1 x is five {back}\n"
    assert said(REFERENCE).startswith("Your answer to 2.1 is kept")


@pytest.mark.parametrize("between", ["y = 5", "print(x)", "# Exercise 2.2\nx = 5", "%%bash\nx=5"])
def test_a_cell_that_sets_nothing_of_an_exercise_is_no_answer_to_it(said, between):
    assert said(STUB, between, CHECK) == "○ 2.1 not attempted\n"
    assert said(REFERENCE).startswith("Reference solution 2.1 used")


def test_the_check_above_is_judged_again_where_the_reference_answers(said, shell):
    assert said(STUB, CHECK) == "○ 2.1 not attempted\n"
    assert said(REFERENCE).endswith("✓ 2.1 reference\n")
    shown = REFERENCE.partition("\n")[2]
    assert said(STUB, CHECK, shown) == "✓ 2.1 reference\n"
    assert said("# Exercise 2.1\nx = 6", CHECK) == "✗ 2.1 x is five\n"
    assert said(REFERENCE).startswith("Your answer to 2.1 is kept")
    assert said(shown).startswith("This reference replaced your answer to 2.1")
    assert answers.session.outcomes["2.1"] == "✗ x is five", "the student's own verdict stays"


def test_the_outcome_says_whose_it_is(said, shell, monkeypatch):
    facts = []
    monkeypatch.setattr(exercise, "_show", lambda text, rich, known: facts.append(known["check"]))
    said(STUB, CHECK, REFERENCE, "# Exercise 2.1\nx = 5", CHECK)
    assert [(fact["whose"], fact["passed"]) for fact in facts] == [
        ("nobody", False),
        ("reference", True),
        ("yours", True),
    ]


@pytest.mark.parametrize(
    ("cells", "outcome"),
    [
        (["# Exercise 2.1\nx = 5", "# Exercise 2.1\nxx = 5"], "✗ 2.1 `x` is left from an earlier"),
        ([STUB, REFERENCE, "# Exercise 2.1\ny = 5"], "✗ 2.1 `x` is left from an earlier"),
        (["# Exercise 2.1\nx = 5", "# Exercise 2.1\nx = 2 + 3"], "✓ 2.1 yours"),
        (["# Exercise 2.1\nx = 6", "# Exercise 2.1\n1 + 1", "x = 5"], "✓ 2.1 yours"),
        (["x = 5", "# Exercise 2.1\ny = x"], "✓ 2.1 yours"),
        (["# Exercise 2.1\nx = 5", "%%time\n# Exercise 2.1\nx = 5"], "✓ 2.1 yours"),
        (["# Exercise 2.1\nx = 6", "# Exercise 2.1\nglobals()['x'] = 5"], "✓ 2.1 yours"),
    ],
)
def test_a_name_of_an_earlier_answer_is_not_judged(said, cells, outcome):
    assert said(*cells, CHECK).startswith(outcome)


def test_a_check_leaves_the_random_numbers_alone(said, shell):
    said("import random, numpy, torch", "random.seed(1); numpy.random.seed(1)")
    said("_ = torch.manual_seed(1)", "# Exercise 2.1\nx = 5")
    draw = "random.random(), numpy.random.rand(), torch.rand(1).item()"
    first = said(draw)
    said("random.seed(1); numpy.random.seed(1); _ = torch.manual_seed(1)")
    said(CHECK + "\n    torch.manual_seed(7); numpy.random.rand(3); random.random()")
    assert said(draw).partition(":")[2] == first.partition(":")[2]


def test_without_asserts_nothing_is_judged(tmp_path):
    script = tmp_path / "answer.py"
    check = 'with lk.check("2.1", "x"):\n    assert x == 6\n'
    script.write_text(f"import labkit as lk\nx = 5\n{check}")
    command = [sys.executable, "-O", "-X", "utf8", script]
    done = subprocess.run(command, capture_output=True, encoding="utf-8", check=True)
    assert done.stdout.startswith("✗ 2.1 not judged: Python skips asserts; unset PYTHONOPTIMIZE")


def test_forcing_overwrites_and_needs_a_reference(said, shell):
    none = said('lk.use_solution("2.1")')
    assert "No reference for 2.1 seen yet" in none and "ask for one with solutions" in none
    said("# Exercise 2.1\nx = 6", REFERENCE)
    assert shell.user_ns["x"] == 6
    said('lk.use_solution("2.1")')
    assert shell.user_ns["x"] == 5
    said("# Solution 2.2\ny = 1", "y = 2", 'lk.use_solution("2.2")')
    assert shell.user_ns["y"] == 1, "a shown solution can be run again by name"


def test_reference_without_exercise_cell(said, shell):
    assert "overwrites nothing of yours" in said(REFERENCE)
    assert shell.user_ns["x"] == 5
    shell.user_ns["x"] = "mine"
    loud = said(REFERENCE)
    assert "⚠ No cell with the line `# Exercise 2.1`" in loud
    assert "would overwrite x" in loud
    assert shell.user_ns["x"] == "mine"


@pytest.mark.parametrize("name", ["f", "K", "sqrt", "i", "handle", "w"])
def test_every_kind_of_name_is_guarded(said, shell, name):
    body = (
        "%%solution 2.1\ndef f(): local = 1\nclass K: inner = 1\nfrom math import sqrt\n"
        "for i in []: pass\nwith open(__file__) as handle: pass\n(w := 2)\nimport math"
    )
    shell.user_ns.update({name: "mine", "local": 1, "inner": 1, "math": sys})
    assert f"would overwrite {name}.\n" in said(body)
    assert shell.user_ns[name] == "mine"


@pytest.mark.parametrize(
    ("marker", "found"),
    [
        ("# Exercise 2.1 - the model", True),
        ("  # exercise 2.1:", True),
        ("## Exercise 2.1", True),
        ("# Exercise 2.10", False),
        ("# Exercise 2.1.1", False),
        ("# Exercise 12.1", False),
        ("# see Exercise 2.1", False),
        ("text = '# Exercise 2.1'", False),
    ],
)
def test_marker(said, marker, found):
    said(f"if True:\n  x = 6\n{marker}" if not marker[0] == " " else f"if True:\n{marker}\n  x = 6")
    assert ("is kept" in said(REFERENCE)) == found


@pytest.mark.parametrize(
    ("answer", "outcome"),
    [
        ("# Exercise 2.1\ny = 1", "✗ 2.1 `x` is not defined yet"),
        ("# Exercise 2.1\nx = ...\ny = 1", "✗ 2.1 `x` is still `...`"),
        ("# Exercise 2.1\nx = 6", "✗ 2.1 x is five"),
        ("# Exercise 2.1\nx = None or 5", "✓ 2.1 yours"),
        ("# Exercise 2.1\nx = 5\n1 / 0", "✗ 2.1 your cell 2.1 stopped with ZeroDivisionError: "),
        ("# Exercise 2.1\nx = 5 = 6", "✗ 2.1 your cell 2.1 stopped with SyntaxError: "),
        ("# Exercise 2.1  \nx = ...   \n\n", "○ 2.1 not attempted"),
    ],
)
def test_outcomes(said, answer, outcome):
    assert said(answer, CHECK).startswith(outcome)


def test_errors_inside_the_answer_name_its_line(said):
    check = 'with lk.check("2.1", "f"):\n    assert f(0) == 1'
    assert said("# Exercise 2.1\ndef f(x):\n    return 1 / x", check) == (
        "✗ 2.1 ZeroDivisionError: division by zero (in `f`, line 3: `return 1 / x`)\n"
    )
    assert said("# Exercise 2.1\ndef f(x):\n    raise NotImplementedError", check) == (
        "✗ 2.1 your code still raises NotImplementedError\n"
    )
    assert ": mean(): could not infer output dtype" in said(
        "# Exercise 2.1\nimport torch\ndef f(x): return (torch.ones(2) > 0).mean()", check
    )
    assert said("# Exercise 2.1\ndef f(x): return 2", check) == "✗ 2.1 assert f(0) == 1\n"


def test_an_error_in_what_a_check_hands_over_names_the_answers_line(said):
    toy = "class _Toy:\n    def __len__(self):\n        raise RuntimeError('no length')\n"
    check = toy + 'with lk.check("2.1", "f"):\n    f(_Toy())'
    assert said("# Exercise 2.1\ndef f(x):\n    return len(x)", check) == (
        "✗ 2.1 RuntimeError: no length (in `f`, line 3: `return len(x)`)\n"
    )


@pytest.mark.parametrize(
    ("code", "word"),
    [
        ("np.ones((2, 3)) + np.ones(2)", "shapes"),
        ("np.ones((2, 3)) @ np.ones(2)", "shapes"),
        ("np.ones((2, 3)).dot(np.ones(2))", "shapes"),
        ("torch.ones(2, 3) + torch.ones(2)", "shapes"),
        ("np.ones(3).sum(axis=1)", "axis=-1"),
        ("1 if np.ones(3) > 0 else 2", "np.where"),
        ("1 if torch.ones(3) > 0 else 2", "np.where"),
        ("(torch.ones(3) > 0).mean()", ".float().mean()"),
        ("np.ones(3)[np.zeros(2)]", "whole numbers"),
        ("(np.ones(3),).sum()", "x[0]"),
    ],
)
def test_numpys_and_pytorchs_usual_errors_are_explained(code, word):
    with pytest.raises(Exception) as caught:
        eval(code, {"np": np, "torch": torch})
    assert word in advice(caught.value)


def test_a_check_that_breaks_itself_is_told(said):
    check = 'with lk.check("2.1", "x"):\n    x.shape'
    assert said("# Exercise 2.1\nx = 5", check).startswith("✗ 2.1 AttributeError: 'int'")


def test_strict_raises_and_interrupt_passes(said, shell, monkeypatch):
    interrupt = 'with lk.check("2.1", "x"):\n    raise KeyboardInterrupt'
    said("# Exercise 2.1\nx = 6")
    result = shell.run_cell(interrupt)
    assert isinstance(result.error_in_exec, KeyboardInterrupt)
    assert shell.run_cell(CHECK).success
    monkeypatch.setenv("LABKIT_STRICT", "1")
    error = shell.run_cell(CHECK).error_in_exec
    assert isinstance(error, exercise.CheckFailed)
    assert str(error) == "✗ 2.1 x is five"


def test_reset_of_the_shell_forgets_nothing_and_confuses_nothing(said, shell):
    said("1", "2", "3", STUB, REFERENCE)
    shell.reset()
    said("import labkit as lk", START, "# Exercise 2.1\nx = 5")
    assert said(CHECK) == "✓ 2.1 yours\n"


def test_an_exercise_that_ran_before_labkit_came_is_known(shell, capsys):
    shell.run_cell("# Exercise 2.1\nx = 5", store_history=True)
    answers.session.shell = None
    answers.load_into_running_shell()
    capsys.readouterr()
    shell.run_cell(REFERENCE)
    assert capsys.readouterr().out.startswith("Your answer to 2.1 is kept")


def test_nbval_stores_no_history(hidden, tmp_path):
    path = tmp_path / "02_mini.ipynb"
    write_notebook(hidden, path)
    command = [sys.executable, "-m", "pytest", "--nbval-lax", "--nbval-current-env", path]
    env = {**os.environ, "LABKIT_STRICT": "1"}
    done = subprocess.run(
        [*command, "-p", "no:cacheprovider"], cwd=tmp_path, capture_output=True, text=True, env=env
    )
    assert done.returncode == 0, done.stdout
    assert "8 passed" in done.stdout


def test_loading_twice_registers_once(shell):
    callbacks = shell.events.callbacks["post_run_cell"]
    before = list(callbacks)
    answers.load_into_running_shell()
    assert callbacks == before
    assert answers._remember_error in before


def test_progress_lists_every_exercise(said):
    assert said("lk.progress()") == "  2.1  · not checked yet\n"
    said("# Exercise 2.1\nx = 5", CHECK)
    assert said("lk.progress()") == "  2.1  ✓ yours\n"


def test_result_line(said, shell, monkeypatch):
    shell.user_ns["result"] = SimpleNamespace(
        accuracy=0.8612,
        accuracy_interval=lambda: (0.8492, 0.8724),
        labels=range(3421),
        origin="BloodMNIST 28 px, rebuilt",
    )
    line = (
        "02_mini · test accuracy 86.1 % (95 % interval 84.9–87.2 %, n = 3,421) · "
        "BloodMNIST 28 px, rebuilt"
    )
    assert said('lk.report_result("test accuracy", result)') == f"{line}\n"
    monkeypatch.setenv("LABKIT_FAST", "1")
    assert said('lk.report_result("test accuracy", result, "seed 1")') == (
        f"{line} · seed 1 · fast mode, not a result\n"
    )
    folds = said('lk.report_result("test accuracy", result, interval=(0.8, 0.9))')
    assert "(95 % interval 80.0–90.0 %, n = 3,421)" in folds


def test_plain_python_judges_what_it_finds(tmp_path):
    script = tmp_path / "answer.py"
    script.write_text(
        "import sys\nimport labkit as lk\n"
        'with lk.check("2.1", "x"):\n    assert x == 5\n'
        "x = 6\n"
        'with lk.check("2.1", "x"):\n    assert x == 5\n'
        "x = 5\n"
        'with lk.check("2.1", "x"):\n    assert x == 5\n'
        "print('torch' in sys.modules, 'IPython' in sys.modules)\n"
    )
    env = {**os.environ, "LABKIT_STRICT": "0", "PYTHONIOENCODING": "utf-8"}
    done = subprocess.run(
        [sys.executable, script], capture_output=True, encoding="utf-8", env=env, check=True
    )
    assert done.stdout.splitlines() == [
        "○ 2.1 not attempted",
        "✗ 2.1 assert x == 5",
        "✓ 2.1 yours",
        "False False",
    ]


def test_hash_ignores_trailing_space_only():
    assert answers.stub_hash("a = 1  \nb\n\n") == answers.stub_hash("a = 1\nb")
    assert answers.stub_hash("a = 1") != answers.stub_hash(" a = 1")
    assert re.fullmatch("[0-9a-f]{12}", answers.stub_hash(""))


def test_a_check_that_takes_the_number_of_a_tensor_with_gradient_says_nothing_of_it(recwarn):
    with exercise.check("9.9", "loss"):
        float(torch.ones(1, requires_grad=True) * 2)
    assert not [each for each in recwarn if "requires_grad" in str(each.message)]
