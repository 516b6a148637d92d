"""What CI asks of a lab beyond its source, in a course that has ``tests/exercises/``.

Faults (`labkit build --check` fails, as CI does):

1. One of the kit's own labs has at least `EXERCISES` exercises, each with two hints: the idea,
   then the names. Another lab may have fewer.
2. ``tests/exercises/bank_NN_topic.py`` holds, for each exercise and for no other, at least
   `WRONG_ANSWERS` wrong answers, each with a word of the message that it must get, in `WRONG`, and
   at least `RIGHT_ANSWERS` other right ones in `RIGHT`.
3. The lab states its result with `lk.report_result`, and its last cell is `lk.progress()`, which
   fails in CI where an exercise is not ✓.
4. The student's notebook has at most 160 KB, the instructor's at most 1 MB.
5. The instructor's notebook holds one run in full on real data: each code cell ran, in order, all
   checks passed, and no output is an error, a warning, or of fast mode or a stand-in.
6. No notebook names a folder of the machine that built it.

A remark and no fault: a check that asks something else since the last run has no outcome until the
next one (`labkit build` drops it alone). CI judges it all the same, because it runs every notebook.
"""

import runpy
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from nbformat import NotebookNode

from labkit.authoring import AuthoringError
from labkit.authoring.cells import marker
from labkit.authoring.files import read_notebook
from labkit.authoring.source import read_source

KIT_LABS = (
    *("00_foundations", "01_data_exploration", "02_mlp", "03_initialization"),
    *("04_numpy_framework", "05_cnn_ladder", "06_features_and_transfer", "07_interpretability"),
    "08_your_own_data",
)
EXERCISES, WRONG_ANSWERS, RIGHT_ANSWERS = 5, 3, 2
# bytes; a check that names the usual slips takes 1 to 6 KB, a third of the student's notebook
SIZES = {"notebooks": 160_000, "solutions": 1_000_000}


def find_gaps(source: Path) -> list[str]:
    """What a lab whose notebooks are built lacks for CI; [] without ``tests/exercises/``.

    Example:
        >>> find_gaps(Path("solutions/02_mini.py"))
        []
    """
    root = source.parent.parent
    if not (root / "tests" / "exercises").is_dir():
        return []
    return [f"{source.stem}: {gap}" for rule in RULES for gap in rule(source)]


def find_remarks(source: Path) -> list[str]:
    """The checks that have no stored outcome, because they changed since the last run."""
    nb = read_notebook(source.with_suffix(".ipynb"))
    if not any(cell.get("outputs") for cell in nb.cells):
        return []
    numbers = [marker(cell)[1] for cell in nb.cells if _is_check(cell) and not cell.outputs]
    remedy = f"`labkit build --execute {source.stem}` judges it again"
    return [f"solutions/{source.stem}.ipynb: check {n} changed; {remedy}" for n in numbers]


def exercises(source: Path) -> list[str]:
    """The numbers of a lab's exercises."""
    found = map(marker, read_source(source).cells)
    return [number for role, number in found if role == "exercise"]


def read_bank(source: Path) -> dict[str, Any]:
    """The names of a lab's bank of answers, {} where there is none."""
    path = _bank(source)
    try:
        return runpy.run_path(str(path)) if path.exists() else {}
    except Exception as error:
        raise AuthoringError(f"{path}: {type(error).__name__}: {error}; mend it") from None


def _bank(source: Path) -> Path:
    return source.parent.parent / "tests" / "exercises" / f"bank_{source.stem}.py"


def _few_exercises(source: Path) -> Iterator[str]:
    count = len(exercises(source))
    if source.stem in KIT_LABS and count < EXERCISES:
        yield f"has {count} exercises, and a lab of the kit at least {EXERCISES}"


def _few_hints(source: Path) -> Iterator[str]:
    text = ""
    for cell in read_source(source).cells if source.stem in KIT_LABS else []:
        text = cell.source if cell.cell_type == "markdown" else text
        role, number = marker(cell)
        if role == "exercise" and (count := text.count("<summary>Hint")) < 2:
            yield f"exercise {number} has {count} hints, and needs two: the idea, then the names"


def _thin_bank(source: Path) -> Iterator[str]:
    name = _bank(source).relative_to(source.parent.parent)
    if not _bank(source).exists():
        yield f"{name} is missing: `labkit new exercise` shows what it holds"
        return
    bank, wanted = read_bank(source), exercises(source)
    for kind, least in (("WRONG", WRONG_ANSWERS), ("RIGHT", RIGHT_ANSWERS)):
        answers = bank.get(kind, {})
        for number in wanted:
            if (count := len(answers.get(number, ()))) < least:
                yield f"{name}: {kind}[{number!r}] has {count} answers, and needs {least}"
        for number in sorted(set(answers) - set(wanted)):
            yield f"{name}: {kind}[{number!r}] is of no exercise; delete or renumber it"


def _no_result(source: Path) -> Iterator[str]:
    code = [cell.source for cell in read_source(source).cells if cell.cell_type == "code"]
    if not any("lk.report_result(" in text for text in code):
        yield "states no result: end it with lk.report_result(…)"
    if code[-1].strip() != "lk.progress()":
        yield "its last cell of code must be `lk.progress()`"


def _large(source: Path) -> Iterator[str]:
    for path, most in _notebooks(source).items():
        if (size := path.stat().st_size) > most:
            said = f"{path.parent.name}/{path.name} has {size:,} bytes, {most:,} at most"
            yield f"{said}: shorten it, or draw smaller pictures"


def _no_full_run(source: Path) -> Iterator[str]:
    nb, name = read_notebook(source.with_suffix(".ipynb")), f"solutions/{source.stem}.ipynb"
    code = [cell for cell in nb.cells if cell.cell_type == "code"]
    remedy = f"; run `labkit build --execute {source.stem}`"
    if not any(cell.outputs for cell in code):
        yield f"{name} holds no outputs{remedy}"
        return
    for place, cell in enumerate(code, 1):
        if cell.execution_count != place and not (_is_check(cell) and not cell.outputs):
            yield f"{name}: cell {cell.id} did not run in its turn{remedy}"
        for output in cell.outputs:
            if output.output_type == "error" or output.get("name") == "stderr":
                yield f"{name}: cell {cell.id} left an error or warning; mend its cause{remedy}"
    yield from (f"{name}: {fault}{remedy}" for fault in _outcomes(code))


def _outcomes(code: list[NotebookNode]) -> Iterator[str]:
    """What is wrong with the outcomes and results that the cells hold."""
    facts = [out.get("metadata", {}).get("labkit", {}) for cell in code for out in cell.outputs]
    verdicts = [fact["check"] for fact in facts if "check" in fact]
    passed = {verdict["exercise"]: verdict["passed"] for verdict in verdicts}  # the last counts
    for number in [marker(cell)[1] for cell in code if _is_check(cell) and cell.outputs]:
        if not passed.get(number):
            yield f"check {number} did not pass"
    for result in [fact["result"] for fact in facts if "result" in fact]:
        if "fast mode" in result["text"]:
            yield f"its result {result['label']!r} is of fast mode"
        if result.get("stand_in"):
            yield f"its result {result['label']!r} is of a stand-in, not of real data"


def _own_paths(source: Path) -> Iterator[str]:
    for path in _notebooks(source):
        text = path.read_text(encoding="utf-8")
        for folder in (str(source.parent.parent.resolve()), f"{Path.home()}/"):
            if folder in text:
                yield f"{path.parent.name}/{path.name} names {folder}; print no paths"


def _notebooks(source: Path) -> dict[Path, int]:
    root = source.parent.parent
    return {root / folder / f"{source.stem}.ipynb": size for folder, size in SIZES.items()}


def _is_check(cell: NotebookNode) -> bool:
    return marker(cell)[0] == "check"


RULES: tuple[Callable[[Path], Iterator[str]], ...] = (
    *(_few_exercises, _few_hints, _thin_bank, _no_result, _large, _no_full_run, _own_paths),
)
