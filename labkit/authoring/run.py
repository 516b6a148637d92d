"""Execute the instructor's notebook of one lab, and collect what it found."""

import base64
import os
import shutil
import time
from dataclasses import dataclass
from pathlib import Path

from nbformat import NotebookNode

from labkit import settings
from labkit.authoring import AuthoringError, files
from labkit.authoring.build import build_notebook
from labkit.authoring.execute import execute


@dataclass(frozen=True)
class Report:
    """What a run of a lab found."""

    lab: str
    results: list[dict]  # one for each `lk.report_result`, in order
    passed: int
    exercises: int
    seconds: float

    def __str__(self) -> str:
        lines = [result["text"] for result in self.results]
        count = f"{self.passed} of {self.exercises} exercises passed"
        return "\n".join([*lines, f"{self.lab}: {count}, {self.seconds:.0f} s"])


def run(lab: str, *, full: bool = False, out: Path | None = None) -> Report:
    """Execute the instructor's notebook of a lab, built afresh from its source.

    Args:
        lab: "02", "02_mlp" or "02_mlp.ipynb".
        full: train in full; otherwise ``LABKIT_FAST=1`` shrinks everything.
        out: a folder for the executed notebook, ``figures/``, the weights that the run trained,
            and ``results.txt``.

    Raises:
        AuthoringError: for an unknown lab, a faulty source, or a cell that fails.

    Example:
        >>> print(run("02", out=Path("results/02")))
        02_mini: 2 of 2 exercises passed, ... s
    """
    source = files.find_sources(files.find_root(), [lab])[0]
    nb = build_notebook(source, "shown")
    env = {**os.environ, "LABKIT_STRICT": "1", "LABKIT_FAST": "0" if full else "1"}
    began = time.time()
    try:
        execute(nb, source.parent, env)
    except AuthoringError as error:
        raise AuthoringError(f"solutions/{source.name}: {error}") from None
    finally:
        if out:
            files.write_notebook(nb, out / f"{source.stem}.ipynb")
    report = collect(nb, source.stem, time.time() - began)
    if out:
        (out / "results.txt").write_text(f"{report}\n", encoding="utf-8")
        save_figures(nb, out / "figures")
        for path in trained_since(began):
            shutil.copy2(path, out / path.name)
    return report


def collect(nb: NotebookNode, lab: str, seconds: float) -> Report:
    """What an executed notebook found; `seconds` is how long the run took."""
    facts = [found for output in _outputs(nb) if (found := output.metadata.get("labkit"))]
    results = [fact["result"] for fact in facts if "result" in fact]
    checks = [fact["check"] for fact in facts if "check" in fact]
    passed = {check["exercise"]: check["passed"] for check in checks}
    return Report(lab, results, sum(passed.values()), len(passed), seconds)


def _outputs(nb: NotebookNode) -> list[NotebookNode]:
    shown = ("display_data", "execute_result")
    outputs = [output for cell in nb.cells for output in cell.get("outputs", [])]
    return [output for output in outputs if output.output_type in shown]


def save_figures(nb: NotebookNode, folder: Path) -> None:
    """Write every PNG and JPEG output as a numbered file; those of an earlier run go.

    The folder is made only if there is a figure.
    """
    for old in folder.glob("[0-9][0-9].*"):
        old.unlink()
    images = [
        (suffix, output.data[kind])
        for output in _outputs(nb)
        for kind, suffix in (("image/png", "png"), ("image/jpeg", "jpg"))
        if kind in output.data
    ]
    for number, (suffix, data) in enumerate(images, 1):
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{number:02d}.{suffix}").write_bytes(base64.b64decode(data))


def trained_since(moment: float) -> list[Path]:
    """The weights that a lab wrote into ``trained/`` of the data folder since this `time.time()`.

    Example:
        >>> trained_since(0)
        []
    """
    folder = settings.data_dir() / "trained"
    # a file system may keep whole seconds only
    return [
        path
        for path in sorted(folder.glob("*.pt"))
        if path.is_file() and path.stat().st_mtime >= int(moment)
    ]
