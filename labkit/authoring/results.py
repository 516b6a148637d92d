"""``labkit results``: every lab in full, with one or more seeds, into one table."""

import json
import os
import shutil
from dataclasses import asdict
from pathlib import Path

import numpy as np

from labkit.authoring import files
from labkit.authoring.comparison import comparison_page
from labkit.authoring.run import Report, run
from labkit.device import machine

_HEAD = """# Results

Every lab, executed in full by `make results`. The list at the end says how long each took, and on
which machine.

A row is one reported number: the mean over the seeds (the same lab with `LABKIT_SEED` = 0, 1, …),
the lowest and the highest seed, and the 95 % interval of the first seed, which says what its n test
images can tell. The first seed is also what the notebooks in `solutions/` hold.

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


def measure(lab: Path, seeds: int, out: Path) -> list[Report]:
    """Run one lab with each seed; the first run becomes the instructor's notebook.

    Args:
        lab: its source.
        seeds: how many, at least 1.
        out: a folder for notebooks, figures and weights.
    """
    reports = []
    for seed in range(seeds):
        os.environ["LABKIT_SEED"] = str(seed)
        reports.append(run(lab.stem, full=True, out=out / str(seed)))
        print(f"seed {seed}: {reports[-1]}", flush=True)
    shutil.copy2(out / "0" / f"{lab.stem}.ipynb", lab.with_suffix(".ipynb"))
    return reports


def write_results(labs: files.Names = None, seeds: int = 1) -> None:
    """Run the labs and write RESULTS.md; labs that are not named keep their last rows.

    Args:
        labs: names of labs; None or empty for all.
        seeds: how many runs of each, at least 1.
    """
    root = files.find_root()
    kept = root / "solutions" / "results.json"
    measured = json.loads(kept.read_text(encoding="utf-8")) if kept.exists() else {}
    for source in files.find_sources(root, labs):
        runs = measure(source, seeds, root / "build" / "results" / source.stem)
        measured[source.stem] = {"machine": machine(), "runs": [asdict(run) for run in runs]}
        there = [path.stem for path in files.all_sources(root)]
        measured = {lab: measured[lab] for lab in there if lab in measured}  # none that is gone
        text = json.dumps(measured, indent=1, ensure_ascii=False)
        kept.write_text(text + "\n", encoding="utf-8")
        (root / "RESULTS.md").write_text(_HEAD + table(measured), encoding="utf-8")
        (root / "docs").mkdir(exist_ok=True)
        page = root / "docs" / "comparison.md"
        page.write_text(comparison_page(measured), encoding="utf-8")
