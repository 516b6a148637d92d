"""Every exercise's check rejects its bank of wrong answers and accepts the other right ones.

The lab runs once, in this process, with its reference solutions; each answer of the bank then
replaces one reference, followed by the check cell, as in a student's notebook.
"""

import pytest
from IPython.core.interactiveshell import InteractiveShell

from labkit.authoring.build import build_notebook
from labkit.authoring.cells import marker
from labkit.authoring.complete import read_bank
from labkit.authoring.files import find_root, find_sources
from labkit.notebook.answers import load_into_running_shell

SOURCES = {source.stem: source for source in find_sources(find_root())}
# that there is a bank, and that it is large enough, is told by tests/labs and `build --check`
BANKS = {lab: read_bank(source) for lab, source in SOURCES.items()}


def banks(kind):
    return [
        pytest.param(
            *(lab, exercise, answer),
            id=f"{exercise}-{number}",
        )
        for lab, bank in BANKS.items()
        for exercise, answers in bank.get(kind, {}).items()
        for number, answer in enumerate(answers)
    ]


class Lab:
    """One lab in a shell: its state after the references, and a way to try an answer."""

    def __init__(self, shell, lab):
        self.shell = shell
        cells = build_notebook(SOURCES[lab], "shown").cells
        code = [cell for cell in cells if cell.cell_type == "code"]
        # (nbval runs what follows)
        last = max(place for place, cell in enumerate(code) if marker(cell)[0] == "check")
        self.code, self.before = code[: last + 1], {}
        for cell in self.code:
            role, number = marker(cell)
            if role == "exercise":
                self.before[number] = dict(shell.user_ns)
            self.run(cell.source)

    def run(self, source):
        result = self.shell.run_cell(source, store_history=False)
        if result.error_before_exec or result.error_in_exec:
            raise result.error_before_exec or result.error_in_exec

    def check(self, exercise):
        return next(cell.source for cell in self.code if marker(cell) == ("check", exercise))

    def try_answer(self, exercise, answer):
        """Return the answer's own error, if any, and the message of a failed check, or ''."""
        names = dict(self.before[exercise])
        kept = dict(self.shell.user_ns)
        self.shell.user_ns.clear()
        self.shell.user_ns.update(names)
        try:
            ran = self.shell.run_cell(answer, store_history=False)
            check = self.shell.run_cell(self.check(exercise), store_history=False)
        finally:
            self.shell.user_ns.clear()
            self.shell.user_ns.update(kept)
        error = check.error_before_exec or check.error_in_exec
        own_error = ran.error_before_exec or ran.error_in_exec
        return own_error, "" if error is None else str(error)


@pytest.fixture(scope="module")
def labs():
    shell = InteractiveShell.instance()
    shell.showtraceback = lambda *_, **__: None  # nobody reads it, and drawing it takes longest
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
    _, message = labs(lab).try_answer(exercise, source)
    assert message, "the check accepted a wrong answer"
    assert phrase.lower() in message.lower()


@pytest.mark.parametrize(("lab", "exercise", "answer"), banks("RIGHT"))
def test_another_right_answer_is_accepted(labs, lab, exercise, answer):
    assert labs(lab).try_answer(exercise, answer) == (None, "")
