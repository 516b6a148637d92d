"""`make soak`: every lab from the top with right answers of its bank to some exercises, drawn anew.

A check may accept what a later cell cannot use: another type, another value where the exercise
leaves one open. Each round draws for each exercise one of its right answers or none, so that
references run on answers, and answers on references. The last line counts.

    python tests/soak/answers.py [LAB ...] [--rounds 3] [--seed 0] [--card]

With `--card` on a pretended graphics card, where a cell that forgets one fails.
"""

import argparse
import contextlib
import io
import os
import random
import re
import sys
from pathlib import Path

from IPython.core.interactiveshell import InteractiveShell

from labkit.authoring.build import build_notebook
from labkit.authoring.cells import marker
from labkit.authoring.complete import read_bank
from labkit.authoring.files import find_root, find_sources
from labkit.notebook.answers import assigned_names, load_into_running_shell


def run(source: Path, drawn: dict[str, str]) -> str:
    """Run a lab as a student's notebook with these answers; what stopped it, "" for nothing."""
    InteractiveShell.clear_instance()
    shell = InteractiveShell.instance()
    shell.showtraceback = lambda *_, **__: None
    load_into_running_shell()
    for cell in build_notebook(source, "hidden").cells:
        if cell.cell_type != "code":
            continue
        role, number = marker(cell)
        text = drawn.get(number, cell.source) if role == "exercise" else cell.source
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
            found = shell.run_cell(text, store_history=True)
        if error := found.error_before_exec or found.error_in_exec:
            return f"{text.strip().splitlines()[0]!r}: {type(error).__name__}: {error}"
    return ""


def right_answers(source: Path) -> dict[str, list[str]]:
    """The bank's, without those that mislead a check on purpose by another exercise's names."""
    code = [cell for cell in build_notebook(source, "hidden").cells if cell.cell_type == "code"]
    checks = [(marker(cell)[1], cell.source) for cell in code if marker(cell)[0] == "check"]
    asked = {number: re.findall(r'"(\w+)"', text.split("):")[0]) for number, text in checks}
    found = {}
    for number, answers in read_bank(source).get("RIGHT", {}).items():
        others = {name for other, names in asked.items() if other != number for name in names}
        found[number] = [text for text in answers if not others & set(assigned_names(text))]
    return found


def main() -> int:
    """Run the rounds; 1 where a lab stopped."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("labs", nargs="*")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--card", action="store_true")
    asked = parser.parse_args()
    if asked.card:
        sys.path.append(str(Path(__file__).parents[1]))
        import pretended_card

        pretended_card.install()
    os.environ |= {"LABKIT_FAST": "1", "LABKIT_STRICT": "1", "MPLBACKEND": "agg"}
    tried, stopped, dice = 0, 0, random.Random(asked.seed)
    for source in find_sources(find_root(), tuple(asked.labs)):
        right = right_answers(source)
        for number in range(asked.rounds):
            picks = {n: dice.randrange(-1, len(answers)) for n, answers in right.items()}
            picks = {n: pick for n, pick in picks.items() if pick >= 0}
            drawn = {n: right[n][pick] for n, pick in picks.items()}
            why = run(source, drawn)
            tried, stopped = tried + 1, stopped + bool(why)
            print(f"{source.stem} {number + 1}: {why or 'held'}", flush=True)
            if why:
                print(f"  with the answers {picks}", flush=True)
    print(f"labs tried {tried}, stopped {stopped}")
    return int(stopped > 0)


if __name__ == "__main__":
    sys.exit(main())
