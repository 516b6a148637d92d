"""Every exercise's check rejects its bank of wrong answers and accepts the other right ones.

The lab runs once, in this process, with its reference solutions; each answer of the bank then
replaces one reference, followed by the check cell, as in a student's notebook.
"""

import importlib

import pytest
from IPython.core.interactiveshell import InteractiveShell

from labkit.authoring.build import build_notebook
from labkit.authoring.files import find_root, find_sources
from labkit.authoring.source import marker, read_source, tags
from labkit.notebook.answers import load_into_running_shell

ROOT = find_root()
LABS = [path.stem for path in find_sources(ROOT)]
BANKS = {lab: importlib.import_module(f"bank_{lab}") for lab in LABS}


def banks(kind):
    return [
        pytest.param(lab, exercise, answer, id=f"{exercise}-{number}")
        for lab in LABS
        for exercise, answers in getattr(BANKS[lab], kind).items()
        for number, answer in enumerate(answers)
    ]


class Lab:
    """One lab in a shell: its state after the references, and a way to try an answer."""

    def __init__(self, shell, lab):
        self.shell = shell
        cells = build_notebook(ROOT / "solutions" / f"{lab}.py", "shown").cells
        self.code = [cell for cell in cells if cell.cell_type == "code"]
        self.before = {}
        for cell in self.code:
            if "exercise" in tags(cell):
                self.before[marker(cell)[1]] = dict(shell.user_ns)
            self.run(cell.source)

    def run(self, source):
        result = self.shell.run_cell(source, store_history=False)
        if result.error_before_exec or result.error_in_exec:
            raise result.error_before_exec or result.error_in_exec

    def check(self, exercise):
        return next(
            cell.source
            for cell in self.code
            if "check" in tags(cell) and f'lk.check("{exercise}"' in cell.source
        )

    def try_answer(self, exercise, answer):
        """Run the answer and its check; return the message of a failed check, or ''."""
        names = dict(self.before[exercise])
        kept = dict(self.shell.user_ns)
        self.shell.user_ns.clear()
        self.shell.user_ns.update(names)
        try:
            self.shell.run_cell(answer, store_history=False)
            check = self.shell.run_cell(self.check(exercise), store_history=False)
        finally:
            self.shell.user_ns.clear()
            self.shell.user_ns.update(kept)
        error = check.error_before_exec or check.error_in_exec
        return "" if error is None else str(error)


@pytest.fixture(scope="module")
def labs():
    shell = InteractiveShell.instance()
    load_into_running_shell()
    made = {}

    def get(lab):
        if lab not in made:
            made[lab] = Lab(shell, lab)
        return made[lab]

    yield get
    InteractiveShell.clear_instance()


@pytest.fixture(autouse=True)
def strict_and_fast(monkeypatch):
    monkeypatch.setenv("LABKIT_FAST", "1")
    monkeypatch.setenv("LABKIT_STRICT", "1")


@pytest.mark.parametrize(("lab", "exercise", "answer"), banks("WRONG"))
def test_a_wrong_answer_is_rejected_and_its_mistake_named(labs, lab, exercise, answer):
    source, phrase = answer
    message = labs(lab).try_answer(exercise, source)
    assert message, "the check accepted a wrong answer"
    assert phrase.lower() in message.lower()


@pytest.mark.parametrize(("lab", "exercise", "answer"), banks("RIGHT"))
def test_another_right_answer_is_accepted(labs, lab, exercise, answer):
    assert labs(lab).try_answer(exercise, answer) == ""


@pytest.mark.parametrize("lab", LABS)
def test_every_exercise_has_wrong_and_right_answers(lab):
    source = read_source(ROOT / "solutions" / f"{lab}.py")
    exercises = {marker(cell)[1] for cell in source.cells if "exercise" in tags(cell)}
    assert len(exercises) >= 5
    assert {e for e in exercises if len(BANKS[lab].WRONG.get(e, ())) < 3} == set()
    assert {e for e in exercises if len(BANKS[lab].RIGHT.get(e, ())) < 2} == set()
