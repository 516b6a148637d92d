"""Run labs twice with one seed: do they print the same numbers?

    python tests/soak/repeat.py 02 04 --full --precision fp32
    python tests/soak/repeat.py 05 --precision bf16

Times are left out of the comparison. Exit code 1 where anything else differs.
"""

import argparse
import os
import re
import sys
from itertools import zip_longest

from nbformat import NotebookNode

from labkit.authoring import files
from labkit.authoring.build import build_notebook
from labkit.authoring.execute import execute

TIMES = r"\d[\d.,]*\s?(ms|s|min|seconds|minutes)\b|\d+\s?it/s|\d+:\d\d|[\d.]+ times as long"


def printed(nb: NotebookNode) -> list[str]:
    """The lines that each cell printed or showed as text, without times and addresses."""
    lines = []
    for number, cell in enumerate(nb.cells):
        for output in cell.get("outputs", []):
            text = output.get("text") or output.get("data", {}).get("text/plain", "")
            if output.get("name") == "stderr":
                continue
            for line in text.splitlines():
                if "seconds" in text:  # the last column of a history
                    line = re.sub(r"^(\s*\d+\s.*\s)[\d.]+$", r"\1", line)
                lines.append(f"cell {number}: " + re.sub(rf"{TIMES}|0x[0-9a-f]+", "…", line))
    return lines


def main() -> None:
    """Run each lab twice and print the first lines that differ."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("labs", nargs="+")
    parser.add_argument("--full", action="store_true")
    parser.add_argument("--precision", default="fp32")
    chosen = parser.parse_args()
    env = {**os.environ, "LABKIT_STRICT": "1", "LABKIT_FAST": "0" if chosen.full else "1"}
    env["LABKIT_PRECISION"] = chosen.precision
    failed = 0
    for source in files.find_sources(files.find_root(), chosen.labs):
        runs = []
        for _ in range(2):
            nb = build_notebook(source, "shown")
            execute(nb, source.parent, env)
            runs.append(printed(nb))
        pairs = zip_longest(*runs, fillvalue="nothing")
        other = [(one, two) for one, two in pairs if one != two]
        kind = f"{'full' if chosen.full else 'fast'}, {chosen.precision}"
        print(f"{source.stem} ({kind}): {len(runs[0])} lines, {len(other)} differ", flush=True)
        for one, two in other[:5]:
            print(f"  {one}\n  {two}")
        failed += bool(other) or not runs[0]
    sys.exit(int(bool(failed)))


if __name__ == "__main__":
    main()
