"""Whose answer is it: the student's, the reference's, or nobody's?

A kernel sees the text of cells, not their metadata. So everything here follows from two things:
the raw text of the cells that ran, and the hash of each untouched stub, which the set-up cell
passes to `start_lab`. For each exercise the latest event decides: the student ran an exercise
cell that is no longer the stub, or a reference solution ran, or neither. The check stands above
the reference, so that it is run once more where the reference has answered in the student's place.
"""

import asyncio
import hashlib
import re
import symtable
import warnings
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from types import ModuleType
from typing import Any

from labkit.display import running_shell
from labkit.notebook import markers
from labkit.notebook.advice import describe_error


@dataclass
class Session:
    """What this kernel has seen: cells, stubs, references, errors and outcomes."""

    shell: Any = None
    lab: str = ""
    cells: list[str] = field(default_factory=list)  # the raw text of every cell that ran
    stubs: dict[str, str] = field(default_factory=dict)  # exercise -> hash of the untouched stub
    bodies: dict[str, str] = field(default_factory=dict)  # exercise -> its reference, once seen
    errors: dict[int, str] = field(default_factory=dict)  # index into cells -> what stopped it
    outcomes: dict[str, str] = field(default_factory=dict)  # exercise -> "✓ yours"
    # exercise -> what each name stood for before its cell ran: ids, which keep nothing alive
    ids: dict[str, dict[str, int]] = field(default_factory=dict)
    by_kit: bool = False  # a reference is running, and not a cell of the notebook


session = Session()


def load_into_running_shell() -> None:
    """Register ``%%solution`` and the record of cells, once, if a shell is running."""
    shell = running_shell()
    if shell is None or shell is session.shell:
        return
    # from here on a record of our own: nbval runs cells without storing them in the history
    session.__init__(shell=shell, cells=list(shell.history_manager.input_hist_raw))
    # pooch, SHAP and Optuna look for widgets, which no lab needs, and would say so in red
    warnings.filterwarnings("ignore", "IProgress not found")
    shell.register_magic_function(solution, "cell", "solution")
    shell.events.register("pre_run_cell", _remember_cell)
    shell.events.register("post_run_cell", _remember_error)
    shell.events.register("post_run_cell", _judge_shown_reference)


def _remember_cell(info: Any) -> None:
    session.cells.append(info.raw_cell)
    role, exercise = markers.role(info.raw_cell)
    if role == "exercise":
        session.ids[exercise] = {name: id(value) for name, value in session.shell.user_ns.items()}


def _remember_error(result: Any) -> None:
    error, cell = result.error_before_exec or result.error_in_exec, result.info.raw_cell
    if error is not None and cell in session.cells:
        latest = len(session.cells) - 1 - session.cells[::-1].index(cell)
        # text only: the exception would keep every tensor of the failed cell alive
        session.errors[latest] = describe_error(error)


def _judge_shown_reference(result: Any) -> None:
    """After a shown solution: judge it if nobody had answered, else say what it replaced."""
    cell = result.info.raw_cell
    role, exercise = markers.role(cell)
    if role != "solution" or markers.is_magic(cell) or session.by_kit or not result.success:
        return
    if is_answered(exercise, last_cell("exercise", exercise)):
        print(f"This reference replaced your answer to {exercise}: to use yours, run it again.")
    elif check := _check_of(exercise):
        verdict = session.shell.run_cell(check, store_history=False)
        result.error_in_exec = verdict.error_in_exec  # a failed check fails the cell


def _check_of(exercise: str) -> str:
    """The check of an exercise, if it has been run; it stands above the reference."""
    found = [cell for cell in session.cells if markers.role(cell) == ("check", exercise)]
    return found[-1] if found else ""


def last_cell(role: str, exercise: str) -> int:
    """The latest cell with this marker, or -1; a ``%%solution`` cell does not prove that it ran."""
    for index, cell in reversed(list(enumerate(session.cells))):
        if (role, exercise) in markers.lines(cell) and not markers.is_magic(cell):
            return index
    return -1


def stub_hash(source: str) -> str:
    """The first 12 hex digits of a cell's SHA-256, blind to trailing white space.

    Example:
        >>> stub_hash("x = ...  ") == stub_hash("x = ...")
        True
    """
    text = "\n".join(line.rstrip() for line in source.splitlines()).rstrip()
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def is_answered(exercise: str, cell: int) -> bool:
    """Whether the cell at this place in the record is something else than the untouched stub."""
    stub = session.stubs.get(exercise) or "unknown"
    return cell >= 0 and not stub_hash(session.cells[cell]).startswith(stub)


def set_unmarked(exercise: str, names: Sequence[str]) -> bool:
    """Whether the cell that ran last before the check sets such a name, and lost its marker."""
    for cell in reversed(session.cells):
        if markers.role(cell) != ("check", exercise) and not markers.is_magic(cell):
            return not markers.lines(cell) and not set(names).isdisjoint(_names_of(cell))
    return False


def stale(exercise: str, cell: int, name: str, value: Any) -> bool:
    """Whether a name is left over: an earlier answer or reference set it, and this cell does not.

    `cell` is the place of the latest answer in the record, `value` what the name stands for now.
    """
    if name in _names_of(session.cells[cell]) or session.ids[exercise].get(name) != id(value):
        return False
    for earlier in reversed(session.cells[:cell]):
        if not markers.is_magic(earlier) and name in _names_of(earlier):
            return any(number == exercise for _, number in markers.lines(earlier))
    return False


def _names_of(cell: str) -> list[str]:
    """The names that a cell assigns, also below ``%%time``; [] for one that is no Python."""
    magic, _, below = cell.lstrip().partition("\n")
    text = below if re.match(r"%%(time|capture)\b", magic) else cell
    try:
        return assigned_names(session.shell.transform_cell(text))
    except SyntaxError:
        return []


def start_lab(lab: str, stubs: str | dict[str, str] = "") -> None:
    """Tell the kernel which lab this is; `labkit build` appends the call to the set-up cell.

    Args:
        lab: its name, "02_mlp".
        stubs: for each exercise the first digits of the hash of its untouched stub.

    Example:
        >>> start_lab("02_mlp", "2.1:3f9c2a 2.2:81b7e0")
    """
    load_into_running_shell()
    pairs = stubs if isinstance(stubs, dict) else (pair.split(":") for pair in stubs.split())
    if lab != session.lab:
        session.outcomes = {}  # another lab in the same kernel: `progress` is about this one
    session.lab, session.stubs = lab, dict(pairs)


def solution(line: str, cell: str) -> None:
    """``%%solution 2.1``: run the reference only where the exercise cell is still the stub."""
    exercise = line.strip()
    session.bodies[exercise] = cell
    at = last_cell("exercise", exercise)
    remedy = f'lk.use_solution("{exercise}") runs the reference.'
    if is_answered(exercise, at) or (at >= 0 and set_unmarked(exercise, _names_of(cell))):
        stopped = f" (it stopped with {session.errors[at]})" if at in session.errors else ""
        print(f"Your answer to {exercise} is kept{stopped}; {remedy}")
        return
    if at < 0:
        print(f"⚠ No cell with the line `# Exercise {exercise}` has been run.")
        if kept := ", ".join(_names_in_use(cell)):
            print(f"  The reference was NOT run: it would overwrite {kept}.")
            print(f"  Put the line back into your cell and run it; or {remedy}")
            return
    why = "your exercise cell is unchanged" if at >= 0 else "it overwrites nothing of yours"
    print(f"Reference solution {exercise} used: {why}.")
    _run_reference(exercise, cell)


def _names_in_use(body: str) -> list[str]:
    """Names that the reference would assign and that hold something of the student's."""
    names, values = assigned_names(session.shell.transform_cell(body)), session.shell.user_ns
    # importing a module a second time takes nothing from anybody
    return [n for n in names if not isinstance(values.get(n, ...), ModuleType | type(...))]


def assigned_names(code: str) -> list[str]:
    r"""The names that a cell assigns or imports when it runs.

    Example:
        >>> assigned_names("import math\ndef f(x): y = x")
        ['math', 'f']
    """
    symbols = symtable.symtable(code, "<cell>", "exec").get_symbols()
    return [s.get_name() for s in symbols if s.is_assigned() or s.is_imported()]


def _run_reference(exercise: str, body: str) -> None:
    """Run a reference and, where it has been run before, the check above it."""
    shell = session.shell
    session.cells.append(f"# Solution {exercise}")
    session.by_kit = True
    shell._showtraceback = lambda *_: None  # raised again below: one traceback, not two
    try:
        _run(body).raise_error()
        if check := _check_of(exercise):
            _run(check).raise_error()
    finally:
        session.by_kit = False
        del shell._showtraceback


def _run(body: str) -> Any:
    shell = session.shell
    code = shell.transform_cell(body)
    if not shell.should_run_async(body, transformed_cell=code):
        return shell.run_cell(body, store_history=False)
    run = shell.run_cell_async(body, store_history=False, transformed_cell=code)
    with ThreadPoolExecutor(1) as thread:  # this thread's event loop is busy with us
        return thread.submit(asyncio.run, run).result()


def use_solution(exercise: str) -> None:
    """Run the reference of an exercise, whatever the student wrote, once its cell has been run.

    Example:
        >>> lk.use_solution("2.1")
        No reference for 2.1 seen yet: first run the solution cell below it.
        Is there none? Then this notebook has no references: ask for one with solutions.
    """
    load_into_running_shell()
    shown = last_cell("solution", exercise)
    body = session.bodies.get(exercise) or (session.cells[shown] if shown >= 0 else "")
    if not body:
        print(f"No reference for {exercise} seen yet: first run the solution cell below it.")
        print("Is there none? Then this notebook has no references: ask for one with solutions.")
        return
    print(f"Reference solution {exercise} used, as you asked.")
    _run_reference(exercise, body)
