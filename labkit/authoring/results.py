"""``make results``: every lab in full, with one or more seeds, into one table."""

import argparse
import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from labkit.authoring import files
from labkit.authoring.run import Report, run
from labkit.device import machine

_HEAD = """# Results

Every lab, executed in full by `make results SEEDS={seeds}` on {machine}. A row is one reported
number: the mean over the seeds (the same lab with `LABKIT_SEED` = 0, 1, …), the lowest and the
highest seed, and the 95 % interval of the first seed, which says what its n test images can tell.

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


def main() -> None:
    """Run the labs and write RESULTS.md."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("labs", nargs="*", help="02 05 …; all if not given")
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--out", type=Path, default=Path("build/results"))
    arguments = parser.parse_args()
    if arguments.seeds < 1:
        parser.error(f"--seeds is {arguments.seeds}; it must be at least 1.")
    root = files.find_root()
    reports: dict[str, list[Report]] = {}
    for source in files.find_sources(root, arguments.labs):
        for seed in range(arguments.seeds):
            os.environ["LABKIT_SEED"] = str(seed)
            report = run(source.stem, full=True, out=arguments.out / source.stem / str(seed))
            reports.setdefault(source.stem, []).append(report)
            print(f"seed {seed}: {report}", flush=True)
    head = _HEAD.format(seeds=arguments.seeds, machine=machine())
    (root / "RESULTS.md").write_text(head + table(reports), encoding="utf-8")


if __name__ == "__main__":
    main()
