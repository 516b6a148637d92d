"""Bring newer labs into a student's folder without harm to anything that the student wrote."""

import re
from collections.abc import Iterator
from pathlib import Path

from nbformat import NotebookNode

from labkit.authoring import AuthoringError, files, toggle
from labkit.authoring.cells import facts
from labkit.classroom.merge import Merged, lab_of, merge

GIVEN = ".labkit"  # the untouched copies that were handed out, to compare with
_KEPT = re.compile(r".+\.before-update-\d+")


def update(folder: Path) -> Iterator[tuple[bool, str]]:
    """Fill a folder with copies of the labs, and bring those that are there up to date.

    The old file is kept beside the new one. A notebook that cannot be updated stays as it is, and
    does not stop the others.

    Args:
        folder: the student's, ``work/``; made if it is not there.

    Yields:
        For each notebook whether all is well, and a line that says what became of it.

    Raises:
        AuthoringError: where there is no course here, or it has no notebooks.

    Example:
        >>> list(update(Path("work")))
        [(True, 'work/02_mini.ipynb: new')]
    """
    course = files.find_root() / "notebooks"
    labs = {path.stem: files.read_notebook(path) for path in sorted(course.glob("*.ipynb"))}
    if not labs:
        raise AuthoringError(f"{course}: no notebooks to copy; run `labkit build`")
    if folder.resolve() == course.resolve():
        raise AuthoringError(f"{folder} holds the course's own notebooks; give another folder")
    there = [path for path in sorted(folder.glob("*.ipynb")) if not _KEPT.fullmatch(path.stem)]
    for path in there:
        try:
            yield True, f"{path}: {_update(path, labs)}"
        except (AuthoringError, OSError) as error:
            yield False, f"{path}: {str(error).removeprefix(f'{path}: ')}"
    for name, lab in labs.items():
        if (path := folder / f"{name}.ipynb") not in there:
            files.write_notebook(lab, path)
            yield True, f"{path}: new"
        files.write_notebook(lab, folder / GIVEN / path.name)


def _update(path: Path, labs: dict[str, NotebookNode]) -> str:
    old = files.read_notebook(path)
    name = lab_of(old)
    if name not in labs:
        return f"left alone, no lab of the course ({name or 'it names none'})"
    given = path.parent / GIVEN / f"{name}.ipynb"
    merged = merge(
        old, like(old, labs[name]), files.read_notebook(given) if given.exists() else None
    )
    if _cells(merged.nb) == _cells(old):
        return "up to date"
    kept = _free(path)
    kept.write_bytes(path.read_bytes())
    files.write_notebook(merged.nb, path, like=path)
    return f"updated; {_summary(merged)}the old file is {kept.name}"


def like(old: NotebookNode, new: NotebookNode) -> NotebookNode:
    """The newer lab with its solutions shown, hidden or stripped as in a student's notebook."""
    if toggle.is_stripped(old):
        return toggle.strip(new)
    return toggle.show(new) if facts(old).get("state") == "shown" else new


def _cells(nb: NotebookNode) -> list[tuple[str, str]]:
    return [(cell.cell_type, cell.source) for cell in nb.cells]


def _free(path: Path) -> Path:
    number = 1
    while (kept := path.with_name(f"{path.stem}.before-update-{number}.ipynb")).exists():
        number += 1
    return kept


def _summary(merged: Merged) -> str:
    parts = [f"answers kept: {', '.join(merged.answers)}; "] if merged.answers else []
    if merged.changed:
        parts.append(f"look again at {', '.join(merged.changed)}, which changed; ")
    if merged.own:
        parts.append(f"{merged.own} cells of yours kept; ")
    if merged.last:
        parts.append(f"{merged.last} of them without a place come last; ")
    return "".join(parts)
