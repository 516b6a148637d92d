"""``labkit results``: every lab in full, with one or more seeds, into one table.

Labs and seeds are runs of their own, side by side on this machine or on a Dask cluster.
"""

import json
import os
import tempfile
import time
from concurrent.futures import as_completed
from dataclasses import asdict
from pathlib import Path
from typing import Any

import nbformat
import numpy as np

from labkit.authoring import AuthoringError, files
from labkit.authoring.build import build_notebook
from labkit.authoring.comparison import comparison_page
from labkit.authoring.execute import execute
from labkit.authoring.executor import open_executor
from labkit.authoring.run import Report, collect, save_figures
from labkit.device import machine
from labkit.models.recordings import commit_of_course

_HEAD = """# Results

Every lab, executed in full by `make results`. The list at the end says how long each took, and on
which machine.

A row is one reported number: the mean over the seeds (the same lab with `LABKIT_SEED` = 0, 1, …),
the lowest and the highest seed, and the 95 % interval of the first seed, which says what its n
test images can tell (for cross-validation: what its folds can). With one seed, nothing here says
how much another one would differ. The first seed is also what the notebooks in `solutions/` hold.

| Lab | What | Mean % | Seeds | Lowest–highest % | 95 % interval % | n | Data | Notes |
|---|---|---|---|---|---|---|---|---|
"""


def table(measured: dict[str, dict]) -> str:
    """The rows of RESULTS.md: one a result, then a line a lab with exercises, seconds and machine.

    Args:
        measured: for each lab ``{"machine": where, "runs": one report a seed, the first first}``.

    Example:
        >>> found = {"label": "test accuracy", "accuracy": 0.5, "low": 0.4, "high": 0.6, "n": 99}
        >>> runs = [asdict(Report("02_mini", [found | {"origin": "official"}], 2, 2, seconds=60))]
        >>> print(table({"02_mini": {"machine": "Abacus", "runs": runs}}))
        | 02_mini | test accuracy | 50.00 | 1 | 50.00–50.00 | 40.0–60.0 | 99 | official |  |
        <BLANKLINE>
        Time of each run, all cells together:
        <BLANKLINE>
        - 02_mini: 2 of 2 exercises; 60 s; Abacus
        <BLANKLINE>
    """
    rows, times = [], []
    for lab, entry in measured.items():
        runs = [Report(**run) for run in entry["runs"]]
        for results in zip(*(r.results for r in runs), strict=True):
            first, percent = results[0], [100 * r["accuracy"] for r in results]
            cells = (
                *(lab, first["label"], f"{np.mean(percent):.2f}", len(percent)),
                f"{min(percent):.2f}–{max(percent):.2f}",
                f"{100 * first['low']:.1f}–{100 * first['high']:.1f}",
                *(f"{first['n']:,}", first["origin"], first.get("note", "")),
            )
            rows.append("| " + " | ".join(map(str, cells)) + " |")
        seconds = ", ".join(f"{r.seconds:.0f} s" for r in runs)
        exercises = f"{runs[0].passed} of {runs[0].exercises} exercises"
        times.append(f"- {lab}: {exercises}; {seconds}; {entry['machine']}")
    return "\n".join([*rows, "", "Time of each run, all cells together:", "", *times, ""])


def run_task(lab: str, notebook: str, variables: dict[str, str]) -> dict[str, Any]:
    """One run of a notebook (its text) in full, wherever a worker is.

    Returns:
        The ``run`` (a report), the executed ``notebook`` and the ``machine``.

    Raises:
        AuthoringError: names the cell that failed.
    """
    nb, began = nbformat.reads(notebook, 4), time.time()
    with tempfile.TemporaryDirectory() as folder:
        execute(nb, Path(folder), {**os.environ, **variables})
    run = asdict(collect(nb, lab, time.time() - began))
    return {"run": run, "notebook": files.serialise(nb), "machine": machine()}


def write_results(
    labs: files.Names = None, seeds: int = 1, jobs: int = 1, scheduler: str | None = None
) -> None:
    """Run the labs and write RESULTS.md; labs that are not named keep their last rows.

    The first seed's notebook becomes the instructor's. A run that fails does not stop the others.

    Args:
        labs: names of labs; None or empty for all.
        seeds: how many runs of each, at least 1.
        jobs: runs at a time on this machine, which share its cores.
        scheduler: the address of a Dask cluster, "tcp://…", whose workers have labkit and the data.

    Raises:
        AuthoringError: at the end, for every run that failed.
    """
    root, faults = files.find_root(), []
    threads = {"OMP_NUM_THREADS": str(max(1, (os.cpu_count() or 1) // jobs))} if jobs > 1 else {}
    done: dict[Path, dict[int, dict[str, Any]]] = {}
    with open_executor(scheduler, jobs) as executor:
        work = {}
        for source in files.find_sources(root, labs):
            text, done[source] = files.serialise(build_notebook(source, "shown")), {}
            for seed in range(seeds):
                variables = {"LABKIT_STRICT": "1", "LABKIT_FAST": "0", "LABKIT_SEED": str(seed)}
                future = executor.submit(run_task, source.stem, text, variables | threads)
                work[future] = source, seed
        for future in as_completed(work):
            source, seed = work[future]
            try:
                found = done[source][seed] = future.result()
            except Exception as error:  # also of the cluster
                faults.append(f"solutions/{source.name}, seed {seed}: {error}")
                continue
            report = _keep(found, root / "build" / "results" / source.stem / str(seed))
            print(f"seed {seed}: {report}", flush=True)
            if len(done[source]) == seeds:
                beside = f", {jobs} runs at a time" if jobs > 1 else ""
                beside += f", commit {commit_of_course()}"
                _record(root, source, [done[source][n] for n in range(seeds)], beside)
    if faults:
        raise AuthoringError("; ".join(sorted(faults)))


def _keep(found: dict[str, Any], out: Path) -> Report:
    """Write what a run left: the notebook, figures, and its results as text."""
    report, nb = Report(**found["run"]), nbformat.reads(found["notebook"], 4)
    files.write_notebook(nb, out / f"{report.lab}.ipynb")
    save_figures(nb, out / "figures")
    (out / "results.txt").write_text(f"{report}\n", encoding="utf-8")
    return report


def _record(root: Path, source: Path, found: list[dict[str, Any]], beside: str) -> None:
    """Bring the runs of a lab into the instructor's notebook, results.json and RESULTS.md."""
    files.write_notebook(nbformat.reads(found[0]["notebook"], 4), source.with_suffix(".ipynb"))
    kept = root / "solutions" / "results.json"
    measured = json.loads(kept.read_text(encoding="utf-8")) if kept.exists() else {}
    where = ", ".join(dict.fromkeys(each["machine"] for each in found)) + beside
    measured[source.stem] = {"machine": where, "runs": [each["run"] for each in found]}
    there = [path.stem for path in files.all_sources(root)]
    measured = {lab: measured[lab] for lab in there if lab in measured}  # none that is gone
    text = json.dumps(measured, indent=1, ensure_ascii=False)
    kept.write_text(text + "\n", encoding="utf-8")
    (root / "RESULTS.md").write_text(_HEAD + table(measured), encoding="utf-8")
    (root / "docs").mkdir(exist_ok=True)  # a course of one's own may have none
    (root / "docs" / "comparison.md").write_text(comparison_page(measured), encoding="utf-8")
