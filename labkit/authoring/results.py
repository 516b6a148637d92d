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
from labkit.files import atomic
from labkit.models.recordings import commit_of_course

_HEAD = """# Results

Every lab, executed in full by `make results`. The list at the end says how long each took, and on
which machine.

A row is one reported number: the mean over the seeds (the same lab with `LABKIT_SEED` = 0, 1, …),
the lowest and the highest seed, and the 95 % interval of the first seed, which says what its n
test images can tell (for cross-validation: what its folds can). With one seed, nothing here says
how much another one would differ. The notes are the first seed's, too, and the notebooks in
`solutions/` hold it. Times of one lab differ also because the seed that first needs another lab's
network trains it.

| Lab | What | Mean % | Seeds | Lowest–highest % | 95 % interval % | n | Data | Notes |
|---|---|---|---|---|---|---|---|---|
"""


def table(measured: dict[str, dict]) -> str:
    """The rows of RESULTS.md: one a result, then a line a lab with exercises, seconds and machine.

    Args:
        measured: for each lab ``{"machine": where, "runs": one report a seed, the first first}``,
            and where there is one, ``"elsewhere"``: a report for each other machine.

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
    rows, times, others = [], [], []
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
        times.append(f"- {lab}: {_times(runs)}; {entry['machine']}")
        for machine_there, run in entry.get("elsewhere", {}).items():
            report = Report(**run)
            own = [r for r in report.results if "recording" not in r.get("note", "")]
            percent = ", ".join(f"{100 * r['accuracy']:.1f}" for r in own)
            left_out = ", without recordings" if len(own) < len(report.results) else ""
            line = f"- {lab}: {_times([report])}; {machine_there}; accuracies {percent} %"
            others.append(line + left_out)
    text = [*rows, "", "Time of each run, all cells together:", "", *times, ""]
    if others:
        text += ["On other machines, one seed each; not in the table above:", "", *others, ""]
    return "\n".join(text)


def _times(runs: list[Report]) -> str:
    seconds = ", ".join(f"{run.seconds:.0f} s" for run in runs)
    return f"{runs[0].passed} of {runs[0].exercises} exercises; {seconds}"


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
    labs: files.Names = None,
    seeds: int = 1,
    jobs: int = 1,
    scheduler: str | None = None,
    elsewhere: bool = False,
) -> None:
    """Run the labs and write RESULTS.md; labs that are not named keep their last rows.

    The first seed's notebook becomes the instructor's. A run that fails does not stop the others.

    Args:
        labs: names of labs; None or empty for all.
        seeds: how many runs of each, at least 1.
        jobs: runs at a time on this machine, which share its cores.
        scheduler: the address of a Dask cluster, "tcp://…", whose workers have labkit and the data.
        elsewhere: only add a line with the first seed's time on this machine; rows and notebooks
            stay those of another one.

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
                found = [done[source][n] for n in range(seeds)]
                (_note if elsewhere else _record)(root, source, found, beside)
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
    measured = _measured(root)
    where = ", ".join(dict.fromkeys(each["machine"] for each in found)) + beside
    entry = {"machine": where, "runs": [each["run"] for each in found]}
    measured[source.stem] = measured.get(source.stem, {}) | entry
    _write(root, measured)


def _note(root: Path, source: Path, found: list[dict[str, Any]], beside: str) -> None:
    """Bring the first run of a lab into results.json and RESULTS.md as that of another machine."""
    measured = _measured(root)
    if source.stem not in measured:
        raise AuthoringError(f"{source.stem} has no rows yet: leave --elsewhere out")
    others = measured[source.stem].setdefault("elsewhere", {})
    others[found[0]["machine"] + beside] = found[0]["run"]
    _write(root, measured)


def _measured(root: Path) -> dict[str, dict]:
    kept = root / "solutions" / "results.json"
    return json.loads(kept.read_text(encoding="utf-8")) if kept.exists() else {}


def _write(root: Path, measured: dict[str, dict]) -> None:
    there = [path.stem for path in files.all_sources(root)]
    measured = {lab: measured[lab] for lab in there if lab in measured}  # none that is gone
    text = json.dumps(measured, indent=1, ensure_ascii=False)
    with atomic(root / "solutions" / "results.json") as temporary:  # hours of measurements
        temporary.write_text(text + "\n", encoding="utf-8")
    (root / "RESULTS.md").write_text(_HEAD + table(measured), encoding="utf-8")
    (root / "docs").mkdir(exist_ok=True)  # a course of one's own may have none
    (root / "docs" / "comparison.md").write_text(comparison_page(measured), encoding="utf-8")
