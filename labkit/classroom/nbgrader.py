"""A course folder for nbgrader: the labs as its assignments, with points and locked checks."""

from pathlib import Path

from nbformat import NotebookNode

from labkit.authoring import AuthoringError, files
from labkit.authoring.build import build_notebook
from labkit.authoring.cells import marker

CONFIG = '''\
"""nbgrader's settings for this course. `nbgrader generate_assignment 02_mlp` comes next."""

import os

c = get_config()
c.CourseDirectory.course_id = "labkit"
c.CourseDirectory.root = os.path.dirname(os.path.abspath(__file__))

# The exercises carry stubs of their own: nbgrader must not put "YOUR CODE HERE" over them.
c.GenerateAssignment.preprocessors = [
    "nbgrader.preprocessors.IncludeHeaderFooter",
    "nbgrader.preprocessors.LockCells",
    "nbgrader.preprocessors.ComputeChecksums",
    "nbgrader.preprocessors.SaveCells",  # with the hidden tests: autograding puts them back
    "nbgrader.preprocessors.ClearHiddenTests",
    "nbgrader.preprocessors.ComputeChecksums",
    "nbgrader.preprocessors.CheckCellMetadata",
]

# Autograding runs what students wrote: in an account or a container that may break.
c.Execute.timeout = 600  # seconds a cell
os.environ.setdefault("LABKIT_FAST", "1")  # few images, two epochs: the checks need no more
'''


def export_nbgrader(folder: Path, labs: files.Names = None) -> list[str]:
    """Write ``source/LAB/LAB.ipynb`` for each lab, and ``nbgrader_config.py``.

    An exercise is a cell to be filled in; its check is a locked cell of one point, which raises
    unless the student's own answer passes. There are no solutions in it. Points that were changed
    in the folder stay as they are.

    Args:
        folder: of the course; nothing in it is overwritten, but for the labs' own source.
        labs: names of labs; None or empty for all.

    Returns:
        One line for each file.

    Raises:
        AuthoringError: for a fault in a lab's source, or a source that is no lab's.

    Example:
        >>> export_nbgrader(Path("grading"), ["02"])
        ['grading/source/02_mini/02_mini.ipynb: 2 points', 'grading/nbgrader_config.py: new']
    """
    lines = []
    for source in files.find_sources(files.find_root(), labs):
        target = folder / "source" / source.stem / f"{source.stem}.ipynb"
        old = files.read_notebook(target) if target.exists() else None
        if old and not old.metadata.get("labkit"):
            raise AuthoringError(f"{target} is no lab of this course; move it away")
        before = _points(old) if old else {}
        nb = _assignment(build_notebook(source, "stripped", hidden_tests=True), before)
        files.write_notebook(nb, target)
        lines.append(f"{target}: {sum(_points(nb).values()):g} points")
    config = folder / "nbgrader_config.py"
    if config.exists():
        return [*lines, f"{config}: kept"]
    config.write_text(CONFIG, encoding="utf-8")
    return [*lines, f"{config}: new"]


def _points(nb: NotebookNode) -> dict[str, float]:
    """The points of the checks by their name in nbgrader."""
    found = (cell.metadata.get("nbgrader", {}) for cell in nb.cells)
    return {str(known.get("grade_id")): known["points"] for known in found if "points" in known}


def _assignment(nb: NotebookNode, points: dict[str, float]) -> NotebookNode:
    for cell in nb.cells:
        role, number = marker(cell)
        if role not in ("exercise", "check"):
            continue
        check = role == "check"
        cell.metadata["nbgrader"] = {
            "schema_version": 3,
            "cell_type": "code",
            "grade_id": f"{role}-{number.replace('.', '-')}",
            "solution": not check,
            "grade": check,
            "locked": check,
            "task": False,
        }
        if check:
            known = cell.metadata["nbgrader"]
            known["points"] = points.get(known["grade_id"], 1)  # the instructor may have set it
            cell.source += f'\n\nlk.require("{number}")'
    return nb
