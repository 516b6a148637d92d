"""The checks of the exercises, and the one line that states a lab's result."""

import html
import linecache
import random
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from traceback import walk_tb
from types import CodeType
from typing import Any

from labkit import settings
from labkit.metrics import Predictions
from labkit.notebook.advice import describe_error
from labkit.notebook.answers import (
    is_answered,
    last_cell,
    load_into_running_shell,
    session,
    set_unmarked,
    stale,
)

# of the mark of an outcome: white on each has a contrast above 4.5, on a page of any colours
COLOURS = {"✓": "#1a7f37", "✗": "#cf222e", "○": "#59636e", "·": "#59636e"}


class CheckFailed(AssertionError):
    """A check that is ✗ or a lab not all ✓, under ``LABKIT_STRICT=1``; or one a grader requires."""


@contextmanager
def check(exercise: str, *names: str) -> Iterator[None]:
    """Judge an answer: a context manager around plain asserts, with one line as its outcome.

    The line says ✓ yours, ✓ reference, ✗ and what is wrong, or ○ not attempted.

    Args:
        exercise: its number.
        *names: the names that the answer must define, as strings.

    Raises:
        CheckFailed: for ✗, under ``LABKIT_STRICT=1``.

    Example:
        >>> accuracy = 0.9
        >>> with lk.check("2.1", "accuracy"):
        ...     assert 0 <= accuracy <= 1, "an accuracy lies between 0 and 1"
        ✓ 2.1 yours
    """
    load_into_running_shell()
    namespace, failure = sys._getframe(2).f_globals, None  # 1 is contextlib, 2 the caller
    try:
        with _same_chance_afterwards(), warnings.catch_warnings():
            # of lines that no student wrote: the check's own float(answer), its call of a network
            warnings.filterwarnings("ignore", "Converting a tensor with requires_grad")
            warnings.filterwarnings("ignore", "Implicit dimension choice for softmax")
            yield
    except Exception as error:
        failure = error
    whose, outcome = _judge(exercise, names, namespace, failure)
    session.outcomes[exercise] = outcome
    line = f"{outcome[0]} {exercise}{outcome[1:]}"
    facts = {"exercise": exercise, "passed": outcome[0] == "✓", "outcome": outcome, "whose": whose}
    _show(line, f"{_chip(outcome)} {html.escape(line[2:])}", {"check": facts})
    if outcome[0] == "✗" and settings.strict():
        raise CheckFailed(line) from failure


def require(exercise: str) -> None:
    """Raise unless the student's own answer to an exercise has passed its check; for graders.

    Raises:
        CheckFailed: for any other outcome, also where the reference passed; says which.

    Example:
        >>> lk.start_lab("02_mlp", "2.2:3f9c2a")
        >>> lk.require("2.2")
        Traceback (most recent call last):
        labkit.notebook.exercise.CheckFailed: 2.2 · not checked yet
    """
    outcome = session.outcomes.get(exercise, "· not checked yet")
    if not outcome.startswith("✓ yours"):
        raise CheckFailed(f"{exercise} {outcome}")


@contextmanager
def _same_chance_afterwards() -> Iterator[None]:
    """Give the random numbers back as they were: a check changes no later result."""
    numpy, torch = sys.modules.get("numpy"), sys.modules.get("torch")
    before = random.getstate(), numpy and numpy.random.get_state()
    try:
        if torch:
            with torch.random.fork_rng(devices=[]):
                yield
        else:
            yield
    finally:
        random.setstate(before[0])
        if numpy:
            numpy.random.set_state(before[1])


def _judge(
    exercise: str, names: tuple[str, ...], values: dict[str, Any], error: Exception | None
) -> tuple[str, str]:
    """Whose answer it is ("yours", "reference" or "nobody"), and what to say of it."""
    cell = last_cell("exercise", exercise)
    defined = any(values.get(name, ...) is not ... for name in names)
    unmarked = defined and set_unmarked(exercise, names)
    by_reference = not unmarked and last_cell("solution", exercise) >= max(cell, 0)
    unmarked |= defined and cell < 0 and not by_reference
    if not (by_reference or unmarked or is_answered(exercise, cell)):
        return "nobody", "○ not attempted"
    whose = "reference" if by_reference else "yours"
    if not __debug__:
        return whose, "✗ not judged: Python skips asserts; unset PYTHONOPTIMIZE and start again"
    if whose == "yours" and not unmarked and cell in session.errors:
        return whose, f"✗ your cell {exercise} stopped with {session.errors[cell]}"
    if whose == "yours" and not unmarked:
        left = [n for n in names if n in values and stale(exercise, cell, n, values[n])]
        if left:
            return whose, f"✗ `{left[0]}` is left from an earlier answer; your cell does not set it"
    note = f" (put the line `# Exercise {exercise}` back into your cell and run it)"
    note = note if unmarked and session.shell else ""
    if problem := _problem(names, values, error):
        return whose, f"✗ {problem}{note}"
    return whose, f"✓ {whose}{note}"


def _problem(names: tuple[str, ...], values: dict[str, Any], error: Exception | None) -> str:
    """What is wrong with an answer, or "" where nothing is."""
    if missing := [f"`{name}`" for name in names if name not in values]:
        return f"{', '.join(missing)} {'is' if len(missing) == 1 else 'are'} not defined yet"
    if holes := [f"`{name}`" for name in names if values[name] is ...]:
        return f"{', '.join(holes)} {'is' if len(holes) == 1 else 'are'} still `...`"
    if error is None:
        return ""
    # the notebook's own lines on the way to the error: first the check's, then the student's
    steps = [(f.f_code, n) for f, n in walk_tb(error.__traceback__) if f.f_globals is values]
    if isinstance(error, AssertionError):
        return " ".join(str(error).split()) or _line(*steps[0]) or "an assertion failed"
    theirs = [step for step in steps if step[0].co_filename != steps[0][0].co_filename]
    if not theirs:
        return describe_error(error)
    line = _line(*theirs[-1])
    last = [frame for frame, _ in walk_tb(error.__traceback__)][-1]
    raised = "raise " in line or not line  # PyTorch has NotImplementedErrors of its own
    if isinstance(error, NotImplementedError) and last.f_globals is values and raised:
        return f"your code still raises {describe_error(error)}"
    code, number = theirs[-1]
    return f"{describe_error(error)} (in `{code.co_name}`, line {number}: `{line}`)"


def _line(code: CodeType, number: int) -> str:
    """This line of the source of a piece of code, "" where there is none."""
    return linecache.getline(code.co_filename, number).strip()


def _chip(outcome: str) -> str:
    style = f"background:{COLOURS[outcome[0]]};color:#fff;padding:0 4px;border-radius:3px"
    return f'<span style="{style};font-weight:600">{outcome[0]}</span>'


def progress() -> None:
    """Show a small table of this lab's exercises and how each was last judged.

    Raises:
        CheckFailed: where not all are ✓, under ``LABKIT_STRICT=1``.

    Example:
        >>> lk.start_lab("02_mlp", "2.2:3f9c2a")
        >>> lk.progress()
          2.2  · not checked yet
    """
    ids = dict.fromkeys([*session.stubs, *session.outcomes])
    rows = [(number, session.outcomes.get(number, "· not checked yet")) for number in ids]
    cells = "".join(
        f'<tr><td>{number}</td><td style="text-align:left">{_chip(outcome)} '
        f"{html.escape(outcome[2:])}</td></tr>"
        for number, outcome in rows
    )
    text = "\n".join(f"{number:>5}  {outcome}" for number, outcome in rows)
    _show(text or "This lab has no exercises.", f"<table>{cells}</table>" if rows else "", {})
    left = [f"{number} {outcome}" for number, outcome in rows if outcome[0] != "✓"]
    if left and settings.strict():
        raise CheckFailed("; ".join(left))


def report_result(
    label: str,
    predictions: Predictions,
    note: str = "",
    interval: tuple[float, float] | None = None,
) -> None:
    """Print the one line that states a lab's result; `labkit run` collects it.

    Args:
        label: what was measured, "test accuracy".
        predictions: what `lk.evaluate` gave.
        note: what else must be known to read the number.
        interval: low and high end in [0, 1]; default Wilson's, which holds for one trained network
            and independent images, not for the folds of a cross-validation.

    Example:
        >>> result = lk.Predictions([[2.0, 0.0], [0.0, 1.0]], [0, 1], ("a", "b"), "two cells")
        >>> lk.start_lab("02_mlp", stubs={})
        >>> lk.report_result("test accuracy", result)
        02_mlp · test accuracy 100.0 % (95 % interval 34.2–100.0 %, n = 2) · two cells
    """
    (low, high), n = interval or predictions.accuracy_interval(), len(predictions.labels)
    origin = predictions.origin
    within = f"95 % interval {100 * low:.1f}–{100 * high:.1f} %, n = {n:,}"
    measured = f"{label} {100 * predictions.accuracy:.1f} % ({within})"
    fast = "fast mode, not a result" if settings.fast() else ""
    text = " · ".join(filter(None, [session.lab, measured, origin, note, fast]))
    facts = {"lab": session.lab, "label": label, "accuracy": float(predictions.accuracy), "n": n}
    facts |= {"low": float(low), "high": float(high), "note": note, "text": text}
    facts |= {"origin": origin, "stand_in": getattr(origin, "stand_in", False)}
    _show(text, "", {"result": facts})


def _show(text: str, rich: str, facts: dict[str, Any]) -> None:
    if session.shell is None:
        print(text)
        return
    from IPython.display import display

    bundle = {"text/plain": text} | ({"text/html": rich} if rich else {})
    display(bundle, raw=True, metadata={"labkit": facts} if facts else {})
