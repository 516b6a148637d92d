"""Grade a folder of submissions, on this machine or a Dask cluster, and write CSV and HTML."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import Executor, ThreadPoolExecutor, as_completed
from dataclasses import asdict
from functools import cache
from html import escape
from pathlib import Path
from typing import Any

import pandas as pd

from labkit.authoring import AuthoringError, files
from labkit.authoring.build import build_notebook
from labkit.classroom.merge import lab_of
from labkit.classroom.sandbox import Limits, bubblewrap
from labkit.display import track
from labkit.files import atomic

COLUMNS = ("submission", "lab", "exercise", "whose", "passed", "message", "seconds")
_STYLE = """<!doctype html><meta charset="utf-8"><title>{title}</title><style>
body{{font:15px/1.4 system-ui,sans-serif;max-width:70rem;margin:2rem auto;padding:0 1rem}}
table{{border-collapse:collapse}} th,td{{border:1px solid #d0d7de;padding:4px 10px;text-align:left}}
</style><h1>{title}</h1><p>{note}</p>"""
Row = dict[str, Any]


def report(
    folder: Path, out: Path, limits: Limits | None = None, scheduler: str | None = None
) -> list[str]:
    """Grade every notebook in a folder and write ``report.csv``, ``index.html`` and feedback.

    Args:
        folder: the submissions, also in folders of their own; only notebooks are read.
        out: gets the report, and a page for each submission under ``feedback/``.
        limits: what one submission may use.
        scheduler: the address of a Dask cluster, "tcp://…"; this machine if not given.

    Returns:
        Lines for the instructor.

    Raises:
        AuthoringError: where there is nothing to grade, or no course here.

    Example:
        >>> report(Path("submissions"), Path("report"))[0]
        '2 submissions: report/index.html, report/report.csv, report/feedback/'
    """
    limits = limits or Limits()
    paths = [p for p in sorted(folder.rglob("*.ipynb")) if not _is_hidden(p.relative_to(folder))]
    if not paths:
        raise AuthoringError(f"{folder}: no notebooks here; give the folder of the submissions")
    lab = cache(lambda name: _lab(name, files.find_root()))
    with _executor(scheduler) as executor:
        work = {executor.submit(*_task(path, lab, limits)): path for path in paths}
        rows = []
        for future in track(as_completed(work), "grading", total=len(work)):
            name = work[future].relative_to(folder).with_suffix("").as_posix()
            rows += [{"submission": name, **row} for row in _result(future)]
    _write(pd.DataFrame(rows, columns=COLUMNS).sort_values(["submission"], kind="stable"), out)
    where = [f"{out}/{name}" for name in ("index.html", "report.csv", "feedback/")]
    lines = [f"{len(paths)} submissions: {', '.join(where)}"]
    if not scheduler and not bubblewrap():
        lines.append(
            "NOT ISOLATED: no bubblewrap (bwrap) here, so the submissions ran with your rights; "
            "install it, or grade in a container that holds nothing of value"
        )
    return lines


def _is_hidden(place: Path) -> bool:
    return any(part.startswith(".") for part in place.parts)


def _executor(scheduler: str | None) -> Executor:
    if not scheduler:
        return ThreadPoolExecutor(max(1, (os.cpu_count() or 2) - 1))
    try:
        from distributed import Client
    except ModuleNotFoundError:
        raise AuthoringError('--scheduler needs Dask: pip install -e ".[cluster]"') from None
    try:
        return Client(scheduler, timeout=10).get_executor(retries=3, pure=False)
    except OSError as error:
        raise AuthoringError(f"no Dask scheduler answers at {scheduler}: {error}") from None


def _lab(name: str, root: Path) -> dict[str, Any]:
    return build_notebook(files.find_sources(root, [name])[0], "shown")


def _task(path: Path, lab: Callable[[str], Any], limits: Limits) -> tuple[Any, ...]:
    """What to submit for a notebook: the grading, or what is wrong with the file."""
    try:
        if path.is_symlink():
            raise AuthoringError("a link, not a file; it was not read")
        nb = files.read_notebook(path)
        if not (name := lab_of(nb)):
            raise AuthoringError("does not say which lab it is: its set-up cell is gone")
        task = {"submission": nb, "lab": lab(name), "limits": asdict(limits)}
    except (AuthoringError, OSError) as error:
        text = str(error).removeprefix(f"{path}: ")
        return _refuse, text
    return run_task, name, json.dumps(task)


def _refuse(message: str) -> list[Row]:
    return [{"whose": "nobody", "passed": False, "message": f"✗ not graded: {message}"}]


def run_task(lab: str, task: str) -> list[Row]:
    """Grade one submission in a process of its own; the rows of the report."""
    seconds = json.loads(task)["limits"]["total"] + 120  # a kernel's last restart
    command = [sys.executable, "-m", "labkit.classroom.grade"]
    try:
        done = subprocess.run(command, input=task, capture_output=True, text=True, timeout=seconds)
        rows = json.loads(done.stdout) if done.returncode == 0 else None
        fault = (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1][:300]
    except subprocess.TimeoutExpired:
        rows, fault = None, f"not finished after {seconds:.0f} s"
    return [{"lab": lab, **row} for row in (rows or _refuse(fault))]


def _result(future: Any) -> list[Row]:
    try:
        return future.result()
    except Exception as error:  # of the cluster: a worker that died again and again
        return _refuse(f"{type(error).__name__}: {error}"[:300])


def _write(frame: pd.DataFrame, out: Path) -> None:
    table = frame.copy()
    for column in ("submission", "message"):  # a spreadsheet would run these as formulas
        table[column] = table[column].str.replace(r"^(?=[=+\-@\t\r])", "'", regex=True)
    _save(out / "report.csv", table.to_csv(index=False))
    counted = frame.groupby(["submission", "lab"], dropna=False)
    total = counted.agg(passed=("passed", "sum"), of=("exercise", "count")).reset_index()
    note = "Only a student's own answers count. " + (
        "Every submission ran behind bubblewrap." if bubblewrap() else "bubblewrap is missing here."
    )
    pages = {name: f"feedback/{name.replace('/', '__')}.html" for name in total.submission}
    for name, rows in frame.groupby("submission"):
        _save(out / pages[name], _page(str(name), "What the checks say.", rows[list(COLUMNS[1:])]))
    _save(out / "index.html", _page("Report", note, total) + _table(frame))


def _page(title: str, note: str, frame: pd.DataFrame) -> str:
    return _STYLE.format(title=escape(title), note=escape(note)) + _table(frame)


def _table(frame: pd.DataFrame) -> str:
    return frame.to_html(index=False, na_rep="", border=0)


def _save(path: Path, text: str) -> None:
    with atomic(path) as temporary:
        temporary.write_text(text, encoding="utf-8")
