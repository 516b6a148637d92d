"""``make results``: every lab in full, with one or more seeds, into one table."""

import argparse
import json
import os
import shutil
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np

from labkit.authoring import files
from labkit.authoring.run import Report, run
from labkit.device import machine

_HEAD = """# Results

Every lab, executed in full by `make results` on
{machine}.

A row is one reported number: the mean over the seeds (the same lab with `LABKIT_SEED` = 0, 1, …),
the lowest and the highest seed, and the 95 % interval of the first seed, which says what its n test
images can tell. The first seed is also what the notebooks in `solutions/` hold.

| Lab | What | Mean % | Seeds | Lowest–highest % | 95 % interval % | n | Data | Notes |
|---|---|---|---|---|---|---|---|---|
"""


def table(reports: dict[str, Sequence[Report]]) -> str:
    """The rows of RESULTS.md.

    Args:
        reports: for each lab one report a seed, the first seed first.

    Returns:
        Markdown: one row for each result, then one line a lab with exercises and seconds.

    Example:
        >>> print(table({"02_mlp": [report]}))  # doctest: +SKIP
    """
    rows, times = [], []
    for lab, runs in reports.items():
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
        times.append(f"- {lab}: {runs[0].passed} of {runs[0].exercises} exercises; {seconds}")
    return "\n".join([*rows, "", "Time of each run, all cells together:", "", *times, ""])


def measure(lab: Path, seeds: int, out: Path) -> list[Report]:
    """Run one lab with each seed; the first run becomes the instructor's notebook.

    Args:
        lab: its source.
        seeds: how many, at least 1.
        out: a folder for notebooks, figures, weights, and ``report.json``.

    Returns:
        One report a seed.

    Example:
        >>> measure(Path("solutions/02_mlp.py"), 1, Path("build/results/02_mlp"))  # doctest: +SKIP
    """
    reports = []
    for seed in range(seeds):
        os.environ["LABKIT_SEED"] = str(seed)
        reports.append(run(lab.stem, full=True, out=out / str(seed)))
        print(f"seed {seed}: {reports[-1]}", flush=True)
    shutil.copy2(out / "0" / f"{lab.stem}.ipynb", lab.with_suffix(".ipynb"))
    text = json.dumps([asdict(report) for report in reports], indent=1, ensure_ascii=False)
    (out / "report.json").write_text(text, encoding="utf-8")
    return reports


def main() -> None:
    """Run the labs and write RESULTS.md; labs that are not named keep their last rows."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("labs", nargs="*", help="02 05 …; all if not given")
    parser.add_argument("--seeds", type=int, default=1)
    arguments = parser.parse_args()
    if arguments.seeds < 1:
        parser.error(f"--seeds is {arguments.seeds}; it must be at least 1.")
    root = files.find_root()
    folder = root / "build" / "results"
    for source in files.find_sources(root, arguments.labs):
        measure(source, arguments.seeds, folder / source.stem)
    reports = {
        path.parent.name: [Report(**r) for r in json.loads(path.read_text(encoding="utf-8"))]
        for path in sorted(folder.glob("*/report.json"))
    }
    text = _HEAD.format(machine=machine()) + table(reports)
    (root / "RESULTS.md").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
