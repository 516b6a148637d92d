"""Each thing that CI asks of a lab, taken away once: `labkit build --check` names it."""

import shutil

import pytest

from labkit.authoring import AuthoringError, complete
from labkit.authoring.build import build
from labkit.authoring.files import read_notebook, write_notebook

RESULT = """
result = lk.Predictions([[2.0, 0.0], [0.0, 1.0]], [0, 1], ("a", "b"), "two cells")
lk.report_result("test accuracy", result)
print("the end")

# %%
lk.progress()
"""
ANSWERS = '{"2.1": [("a", "b")] * 3, "2.2": [("a", "b")] * 3}'
BANK = f"WRONG = {ANSWERS}\nRIGHT = {ANSWERS}\n"


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """Where a course is kept once it has been executed."""
    return tmp_path_factory.mktemp("built")


@pytest.fixture
def lab(course, edit, built):
    """A lab with all that CI asks for, built and executed."""
    if not any(built.iterdir()):
        edit('print("the end")', RESULT)
        (course / "tests" / "exercises").mkdir(parents=True)
        (course / "tests" / "exercises" / "bank_02_mini.py").write_text(BANK)
        build(execute=True)
        shutil.copytree(course, built, dirs_exist_ok=True)
    shutil.copytree(built, course, dirs_exist_ok=True)
    return course


@pytest.fixture
def bank(lab):
    return lab / "tests" / "exercises" / "bank_02_mini.py"


@pytest.fixture
def change(lab):
    """Change the instructor's notebook: its cells by id, and as '' the one with the result."""

    def change(edit):
        path = lab / "solutions" / "02_mini.ipynb"
        nb = read_notebook(path)
        edit({cell.id: cell for cell in nb.cells} | {"": nb.cells[-2]})
        write_notebook(nb, path)

    return change


def fault():
    with pytest.raises(AuthoringError) as caught:
        build(check=True)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_a_complete_lab_passes(lab):
    assert build(check=True) == ["1 labs are up to date"]


def test_a_course_without_tests_is_asked_for_none_of_this(course):
    build()
    assert build(check=True) == ["1 labs are up to date"]


def test_a_lab_of_the_kit_needs_five_exercises_with_two_hints(lab, monkeypatch):
    monkeypatch.setattr(complete, "KIT_LABS", ("02_mini",))
    said = fault()
    assert "02_mini: has 2 exercises, and a lab of the kit at least 5" in said
    assert "02_mini: exercise 2.1 has 1 hints, and needs two" in said


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, "tests/exercises/bank_02_mini.py is missing"),
        ("WRONG = {", "bank_02_mini.py: SyntaxError: '{' was never closed"),
        ("WRONG = {}", "WRONG['2.1'] has 0 answers, and needs 3"),
        (BANK.replace('"2.2": [("a", "b")] * 3', '"2.2": []'), "RIGHT['2.2'] has 0 answers"),
        (BANK.replace("] * 3", "] * 1"), "RIGHT['2.1'] has 1 answers, and needs 2"),
        (BANK.replace('{"2.1"', '{"2.9": [], "2.1"'), "WRONG['2.9'] is of no exercise"),
    ],
)
def test_a_thin_bank_is_named(bank, text, message):
    bank.unlink() if text is None else bank.write_text(text)
    assert message in fault()


def test_a_lab_without_result_is_named(lab, edit):
    edit("lk.report_result(", "print(")
    build(execute=True)
    assert "02_mini: states no result: end it with lk.report_result" in fault()


def test_a_lab_without_progress_is_named(lab, edit):
    edit("lk.progress()", "1")
    build(execute=True)
    assert "02_mini: its last cell of code must be `lk.progress()`" in fault()


def test_large_notebooks_are_named(lab, monkeypatch):
    monkeypatch.setattr(complete, "SIZES", {"notebooks": 1000, "solutions": 2000})
    said = fault()
    assert "notebooks/02_mini.ipynb has " in said
    assert "bytes, 2,000 at most" in said


def outcome(cells, **facts):
    cells["solution-2-1"].outputs[-1].metadata.labkit.check.update(facts)


def result(cells, **facts):
    cells[""].outputs[0].metadata.labkit.result.update(facts)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda c: [c[i].update(outputs=[]) for i in c if "outputs" in c[i]], "holds no outputs"),
        (lambda c: c["setup"].update(execution_count=7), "cell setup did not run in its turn"),
        (lambda c: c[""].update(execution_count=None), "did not run in its turn"),
        (lambda c: c["check-2-1"].update(execution_count=9), "cell check-2-1 did not run in its"),
        (lambda c: c[""].outputs[1].update(name="stderr"), "left an error or warning"),
        (lambda c: outcome(c, passed=False), "check 2.1 did not pass"),
        (lambda c: c["solution-2-1"].outputs[-1].pop("metadata"), "check 2.1 did not pass"),
        (lambda c: result(c, text="86 % · fast mode, not a result"), "is of fast mode"),
        (lambda c: result(c, stand_in=True), "is of a stand-in, not of real data"),
    ],
)
def test_an_incomplete_run_is_named(change, damage, message):
    change(damage)
    said = fault()
    assert message in said
    assert "run `labkit build --execute 02_mini`" in said


def test_a_check_that_changed_is_a_remark_and_no_fault(lab, edit):
    edit("assert total == 3", "assert total == 3.0")
    build()
    assert build(check=True) == [
        "solutions/02_mini.ipynb: check 2.1 changed; "
        "`labkit build --execute 02_mini` judges it again",
        "1 labs are up to date",
    ]


def test_a_path_of_this_machine_is_named(lab, edit):
    edit('print("the end")', f'print("{lab}")')
    build(execute=True)
    assert f"names {lab}; print no paths" in fault()
