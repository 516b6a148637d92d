"""Grade a folder of submissions, on this machine or a Dask cluster, and write CSV and HTML."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import Future, as_completed
from dataclasses import asdict
from functools import cache
from pathlib import Path
from typing import Any

import pandas as pd

from labkit.authoring import AuthoringError, files
from labkit.authoring.build import build_notebook
from labkit.authoring.cells import lab_of, marker
from labkit.authoring.executor import open_executor
from labkit.classroom.pages import save, write_pages
from labkit.classroom.sandbox import Limits
from labkit.classroom.similar import fingerprint, groups
from labkit.display import track

COLUMNS = ("submission", "lab", "exercise", "whose", "passed", "message", "seconds")
LARGEST = 50 << 20  # bytes of a notebook; one with all figures of a lab has at most one million
Row = dict[str, Any]


def report(
    folder: Path, out: Path, limits: Limits | None = None, scheduler: str | None = None
) -> list[str]:
    """Grade every notebook in a folder; write ``report.csv``, ``index.html`` and other pages.

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
    paths = files.find_notebooks(folder)
    if not paths:
        fault = "no notebooks here" if folder.is_dir() else "there is no such folder"
        raise AuthoringError(f"{folder}: {fault}; give the folder of the submissions")
    lab = cache(lambda name: build_notebook(files.find_sources(root, [name])[0], "shown"))
    root, found = files.find_root(), {}
    with open_executor(scheduler, max(1, (os.cpu_count() or 2) - 1)) as executor:
        work = {executor.submit(*_task(path, lab, limits)): path for path in paths}
        for future in track(as_completed(work), "grading", total=len(work)):
            name = work[future].relative_to(folder).with_suffix("").as_posix()
            found[name.encode("utf-8", "replace").decode()] = _result(future)
    rows = [{"submission": name, **row} for name in sorted(found) for row in found[name]["rows"]]
    answers = [{"submission": name, **a} for name in sorted(found) for a in found[name]["answers"]]
    references = [a for name in {a["lab"] for a in answers} for a in _references(lab(name))]
    apart = [result["isolated"] for result in found.values() if "isolated" in result]
    frame = pd.DataFrame(rows, columns=COLUMNS)
    _write_csv(frame, out)
    write_pages(frame, groups([*references, *answers]), answers, _note(apart), out)
    where = [f"{out}/{name}" for name in ("index.html", "report.csv", "feedback/")]
    return [
        f"{len(paths)} submissions: {', '.join(where)}",
        *([] if all(apart) else [_note(apart)]),
    ]


def _note(apart: list[bool]) -> str:
    counted = "Only a student's own answers count."
    if not apart:
        return f"No submission could be run. {counted}"
    if all(apart):
        return f"{counted} Every submission ran apart, without network, behind bubblewrap."
    return (
        f"NOT ISOLATED: no bubblewrap (bwrap) where {apart.count(False)} of {len(apart)} "
        "submissions ran, so they ran with your rights; install it, or grade in a container that "
        f"holds nothing of value. {counted}"
    )


def _references(lab: Any) -> list[Row]:
    """The reference answers, to be compared with the students'."""
    cells = [(marker(cell)[1], cell.source) for cell in lab.cells if marker(cell)[0] == "solution"]
    name = lab.metadata.labkit.lab
    return [
        {"submission": "", "lab": name, "exercise": n, "source": s, **asdict(fingerprint(s))}
        for n, s in cells
    ]


def _task(path: Path, lab: Callable[[str], Any], limits: Limits) -> tuple[Any, ...]:
    """What to submit for a notebook: the grading, or what is wrong with the file."""
    try:
        if path.is_symlink():
            raise AuthoringError("a link, not a file; it was not read")
        if path.stat().st_size > LARGEST:
            raise AuthoringError(f"has more than {LARGEST >> 20} MB; it was not read")
        nb = files.read_notebook(path)
        for cell in nb.cells:  # nothing that it says of itself counts
            cell.pop("attachments", None)
            if cell.cell_type == "code":
                cell.outputs = []
        if not (name := lab_of(nb)):
            raise AuthoringError("does not say which lab it is: its set-up cell is gone")
        task = {"submission": nb, "lab": lab(name), "limits": asdict(limits)}
    except (AuthoringError, OSError) as error:
        return _refuse, str(error).removeprefix(f"{path}: ")
    return run_task, name, json.dumps(task)


def _refuse(message: str, lab: str | None = None) -> dict[str, Any]:
    row = {"lab": lab, "whose": "nobody", "passed": False, "message": f"✗ not graded: {message}"}
    return {"rows": [row], "answers": []}


def run_task(lab: str, task: str) -> dict[str, Any]:
    """Grade one submission in a process of its own.

    Returns:
        ``rows`` of the report, ``answers`` with their fingerprints, and ``isolated``.
    """
    seconds = json.loads(task)["limits"]["total"] + 120  # a kernel's last restart
    command = [sys.executable, "-m", "labkit.classroom.grade"]
    try:
        done = subprocess.run(command, input=task, capture_output=True, text=True, timeout=seconds)
        if done.returncode == 0:
            found = json.loads(done.stdout)
            rows = [{"lab": lab, **verdict} for verdict in found.pop("verdicts")]
            answers = [{"lab": lab, **answer} for answer in found.pop("answers")]
            return {"rows": rows, "answers": answers, **found}
        fault = (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1][:300]
    except subprocess.TimeoutExpired:
        fault = f"not finished after {seconds:.0f} s"
    return _refuse(fault, lab)


def _result(future: Future) -> dict[str, Any]:
    try:
        return future.result()
    except Exception as error:  # of the cluster: a worker that died again and again
        return _refuse(f"{type(error).__name__}: {error}"[:300])


def _write_csv(frame: pd.DataFrame, out: Path) -> None:
    table = frame.copy()
    for column in ("submission", "message"):  # a spreadsheet would run these as formulas
        table[column] = table[column].str.replace(r"^(?=[=+\-@\t\r])", "'", regex=True)
    save(out / "report.csv", table.to_csv(index=False))
