"""Exercises in a running notebook: whose answer is it, and is it right?

A kernel sees the text of cells, not their metadata. So everything here follows from two things:
the raw text of the cells that ran, and the hash of each untouched stub, which the set-up cell
passes to `start_lab`. For each exercise the latest event decides: the student ran an exercise
cell that is no longer the stub, or a reference solution ran, or neither.
"""

import asyncio
import hashlib
import html
import linecache
import re
import symtable
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from traceback import walk_tb
from types import ModuleType
from typing import Any

from labkit import settings

_MARKER = re.compile(r"^[ \t]*#+[ \t]*(Exercise|Solution)[ \t]+(\d+(?:\.\d+)+)", re.I | re.M)
_COLOURS = {"✓": "#1a7f37", "✗": "#cf222e", "○": "#6e7781", "·": "inherit"}


class CheckFailed(AssertionError):
    """An exercise check under ``LABKIT_STRICT=1`` that is not ✓."""


@dataclass
class _Session:
    shell: Any = None
    lab: str = ""
    cells: list[str] = field(default_factory=list)  # the raw text of every cell that ran
    stubs: dict[str, str] = field(default_factory=dict)  # exercise -> hash of the untouched stub
    bodies: dict[str, str] = field(default_factory=dict)  # exercise -> its reference, once seen
    errors: dict[int, str] = field(default_factory=dict)  # index into cells -> what stopped it
    outcomes: dict[str, str] = field(default_factory=dict)  # exercise -> "✓ yours"


_session = _Session()


def load_into_running_shell() -> None:
    """Register ``%%solution`` and the record of cells, once, if a shell is running."""
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython else None
    if shell is None or shell is _session.shell:
        return
    # from here on a record of our own: nbval runs cells without storing them in the history
    _session.__init__(shell=shell, cells=list(shell.history_manager.input_hist_raw))
    shell.register_magic_function(solution, "cell", "solution")
    shell.events.register("pre_run_cell", _remember_cell)
    shell.events.register("post_run_cell", _remember_error)


def _remember_cell(info: Any) -> None:
    _session.cells.append(info.raw_cell)


def _remember_error(result: Any) -> None:
    error, cell = result.error_before_exec or result.error_in_exec, result.info.raw_cell
    if error is not None and cell in _session.cells:
        latest = len(_session.cells) - 1 - _session.cells[::-1].index(cell)
        # text only: the exception would keep every tensor of the failed cell alive
        _session.errors[latest] = _describe(error)


def _describe(error: BaseException) -> str:
    text = f"{error.msg}, line {error.lineno}" if isinstance(error, SyntaxError) else str(error)
    return f"{type(error).__name__}: {' '.join(text.split())[:300]}".removesuffix(": ")


def _last(kind: str, exercise: str) -> int:
    """The latest cell with this marker, or -1; a ``%%solution`` cell does not prove that it ran."""
    for index, cell in reversed(list(enumerate(_session.cells))):
        marked = [(word.capitalize(), number) for word, number in _MARKER.findall(cell)]
        if (kind, exercise) in marked and not cell.lstrip().startswith("%%solution"):
            return index
    return -1


def stub_hash(source: str) -> str:
    """Hash a cell, blind to trailing white space; used by `labkit build` and by the kernel.

    Args:
        source: The text of the cell.

    Returns:
        The first 12 hex digits of its SHA-256.

    Example:
        >>> stub_hash("x = ...  ") == stub_hash("x = ...")
        True
    """
    text = "\n".join(line.rstrip() for line in source.splitlines()).rstrip()
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def _answered(exercise: str, cell: int) -> bool:
    return cell >= 0 and stub_hash(_session.cells[cell]) != _session.stubs.get(exercise)


def start_lab(lab: str, stubs: dict[str, str]) -> None:
    """Tell the kernel which lab this is; `labkit build` appends the call to the set-up cell.

    Args:
        lab: The lab's name, "02_mlp".
        stubs: For each exercise the hash of its untouched stub.

    Example:
        >>> start_lab("02_mlp", stubs={"2.1": "3f9c2a41d07b"})
    """
    load_into_running_shell()
    _session.lab, _session.stubs = lab, dict(stubs)


def solution(line: str, cell: str) -> None:
    """``%%solution 2.1``: run the reference only where the exercise cell is still the stub."""
    exercise = line.strip()
    _session.bodies[exercise] = cell
    at = _last("Exercise", exercise)
    remedy = f'lk.use_solution("{exercise}") runs the reference.'
    if _answered(exercise, at):
        stopped = f" (it stopped with {_session.errors[at]})" if at in _session.errors else ""
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
    code = _session.shell.transform_cell(body)
    symbols = symtable.symtable(code, "<reference>", "exec").get_symbols()
    names = [s.get_name() for s in symbols if s.is_assigned() or s.is_imported()]
    values = _session.shell.user_ns
    # importing a module a second time takes nothing from anybody
    return [n for n in names if not isinstance(values.get(n, ...), ModuleType | type(...))]


def _run_reference(exercise: str, body: str) -> None:
    shell = _session.shell
    _session.cells.append(f"# Solution {exercise}")
    code = shell.transform_cell(body)
    shell._showtraceback = lambda *_: None  # raised again below: one traceback, not two
    try:
        if shell.should_run_async(body, transformed_cell=code):
            run = shell.run_cell_async(body, store_history=False, transformed_cell=code)
            with ThreadPoolExecutor(1) as thread:  # this thread's event loop is busy with us
                result = thread.submit(asyncio.run, run).result()
        else:
            result = shell.run_cell(body, store_history=False)
    finally:
        del shell._showtraceback
    result.raise_error()


def use_solution(exercise: str) -> None:
    """Run the reference solution of an exercise, whatever the student wrote.

    Args:
        exercise: Its number. Its solution cell must have been run, or passed, in this session.

    Example:
        >>> lk.use_solution("2.1")
    """
    load_into_running_shell()
    shown = _last("Solution", exercise)
    body = _session.bodies.get(exercise) or (_session.cells[shown] if shown >= 0 else "")
    if not body:
        print(f"No reference for {exercise} seen yet: first run the solution cell below it.")
        return
    print(f"Reference solution {exercise} used, as you asked.")
    _run_reference(exercise, body)


@contextmanager
def check(exercise: str, *names: str) -> Iterator[None]:
    """Judge an answer: a context manager around plain asserts, with one line as its outcome.

    The line says ✓ yours, ✓ reference, ✗ and what is wrong, or ○ not attempted.

    Args:
        exercise: The exercise's number.
        *names: The names that the answer must define, as strings.

    Raises:
        CheckFailed: For anything but ✓, under ``LABKIT_STRICT=1``.

    Example:
        >>> with lk.check("2.1", "accuracy"):
        ...     assert 0 <= accuracy <= 1, "an accuracy lies between 0 and 1"
    """
    load_into_running_shell()
    namespace, failure = sys._getframe(2).f_globals, None  # 1 is contextlib, 2 the caller
    try:
        yield
    except Exception as error:
        failure = error
    outcome = _judge(exercise, names, namespace, failure)
    _session.outcomes[exercise] = outcome
    line = f"{outcome[0]} {exercise}{outcome[1:]}"
    style = f"color:{_COLOURS[outcome[0]]};font-weight:600"
    facts = {"exercise": exercise, "passed": outcome[0] == "✓", "outcome": outcome}
    _show(line, f'<span style="{style}">{html.escape(line)}</span>', {"check": facts})
    if outcome[0] != "✓" and settings.strict():
        raise CheckFailed(line) from failure


def _judge(
    exercise: str, names: tuple[str, ...], values: dict[str, Any], error: Exception | None
) -> str:
    cell = _last("Exercise", exercise)
    by_reference = _last("Solution", exercise) >= max(cell, 0)
    defined = any(values.get(name, ...) is not ... for name in names)
    unmarked = cell < 0 and not by_reference and defined
    if not (by_reference or unmarked or _answered(exercise, cell)):
        return "○ not attempted"
    if not by_reference and cell in _session.errors:
        return f"✗ your cell {exercise} stopped with {_session.errors[cell]}"
    note = f" (put the line `# Exercise {exercise}` back into your cell and run it)"
    note = note if unmarked and _session.shell else ""
    if problem := _problem(names, values, error):
        return f"✗ {problem}{note}"
    return f"✓ {'reference' if by_reference else 'yours'}{note}"


def _problem(names: tuple[str, ...], values: dict[str, Any], error: Exception | None) -> str:
    """What is wrong with an answer, or "" where nothing is."""
    if missing := [f"`{name}`" for name in names if name not in values]:
        return f"{', '.join(missing)} {'is' if len(missing) == 1 else 'are'} not defined yet"
    if holes := [f"`{name}`" for name in names if values[name] is ...]:
        return f"{', '.join(holes)} {'is' if len(holes) == 1 else 'are'} still `...`"
    if error is None:
        return ""
    # the notebook's own lines on the way to the error: first the check, last the student's
    steps = [(f.f_code, n) for f, n in walk_tb(error.__traceback__) if f.f_globals is values]
    lines = [linecache.getline(code.co_filename, number).strip() for code, number in steps]
    if isinstance(error, AssertionError):
        return " ".join(str(error).split()) or lines[0] or "an assertion failed"
    where = f" (in `{steps[-1][0].co_name}`, line {steps[-1][1]}: `{lines[-1]}`)"
    still = "your code still raises " if isinstance(error, NotImplementedError) else ""
    return still + _describe(error) + (where if len(steps) > 1 else "")


def progress() -> None:
    """Show a small table of this lab's exercises and how each was last judged.

    Example:
        >>> lk.progress()
    """
    ids = dict.fromkeys([*_session.stubs, *_session.outcomes])
    rows = [(number, _session.outcomes.get(number, "· not checked yet")) for number in ids]
    cells = "".join(
        f'<tr style="color:{_COLOURS[outcome[0]]}"><td>{number}</td><td style="text-align:left">'
        f"{html.escape(outcome)}</td></tr>"
        for number, outcome in rows
    )
    text = "\n".join(f"{number:>5}  {outcome}" for number, outcome in rows)
    _show(text or "This lab has no exercises.", f"<table>{cells}</table>" if rows else "", {})


def report_result(label: str, predictions: Any, note: str = "") -> None:
    """Print the one line that states a lab's result; `labkit run` collects it.

    Args:
        label: What was measured, "test accuracy".
        predictions: A `labkit.Predictions`.
        note: What else must be known to read the number.

    Example:
        >>> lk.report_result("test accuracy", result)
    """
    (low, high), n = predictions.accuracy_interval(), len(predictions.labels)
    interval = f"95 % interval {100 * low:.1f}–{100 * high:.1f} %, n = {n:,}"
    measured = f"{label} {100 * predictions.accuracy:.1f} % ({interval})"
    fast = "fast mode, not a result" if settings.fast() else ""
    text = " · ".join(filter(None, [_session.lab, measured, predictions.origin, note, fast]))
    facts = {"lab": _session.lab, "label": label, "accuracy": float(predictions.accuracy), "n": n}
    facts |= {"low": float(low), "high": float(high), "origin": predictions.origin, "text": text}
    _show(text, "", {"result": facts})


def _show(text: str, rich: str, facts: dict[str, Any]) -> None:
    if _session.shell is None:
        print(text)
        return
    from IPython.display import display

    bundle = {"text/plain": text} | ({"text/html": rich} if rich else {})
    display(bundle, raw=True, metadata={"labkit": facts} if facts else {})
