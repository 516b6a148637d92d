"""Bring newer labs into a student's folder without harm to anything that the student wrote."""

import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

from nbformat import NotebookNode
from nbformat.v4 import nbjson

from labkit.authoring import AuthoringError, files, toggle
from labkit.authoring.cells import claims_solution, facts, hidden_number, lab_of, marker
from labkit.classroom.merge import Merged, merge
from labkit.display import running_shell
from labkit.notebook.answers import session

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
    root = files.find_handout()
    course = root / "notebooks"
    labs = {path.stem: files.read_notebook(path) for path in files.handed_out(root)}
    if not labs:
        raise AuthoringError(f"{course}: no notebooks to copy; run `labkit build`")
    if folder.resolve() == course.resolve():
        raise AuthoringError(f"{folder} holds the course's own notebooks; give another folder")
    there = [path for path in sorted(folder.glob("[!.]*.ipynb")) if not _KEPT.fullmatch(path.stem)]
    failed = set()
    for path in there:
        try:
            yield True, f"{path}: {_update(path, labs)}"
        except (AuthoringError, OSError) as error:
            yield False, f"{path}: {str(error).removeprefix(f'{path}: ')}"
            failed.add(path)
    for name, lab in labs.items():
        if (path := folder / f"{name}.ipynb") not in there:
            files.write_notebook(lab, path)
            yield True, f"{path}: new"
        if path not in failed:  # what was given tells the student's cells from the course's
            _give(lab, path)


def _update(path: Path, labs: dict[str, NotebookNode]) -> str:
    old = files.read_notebook(path)
    name = lab_of(old)
    if name not in labs:
        return f"left alone, no lab of the course ({name or 'it names none'})"
    lab, given = like(old, labs[name]), _given(path.parent / GIVEN / f"{name}.ipynb")
    same_code = facts(old).get("source") == facts(lab).get("source")  # no older file's
    if given and same_code and _cells(given) in (_cells(lab), _cells(labs[name])):
        return "up to date"  # what differs, the student did
    merged = merge(old, lab, given)
    if _cells(merged.nb) == _cells(old):
        return "up to date"
    if not os.access(path, os.W_OK):
        raise AuthoringError("is read-only: allow writing (chmod u+w) and update again")
    kept = _free(path)
    kept.write_bytes(path.read_bytes())
    files.write_notebook(merged.nb, path, like=path)
    return f"updated; {_summary(merged)}the old file is {kept.name}"


def _given(file: Path) -> NotebookNode | None:
    """The copy that a student was given; None where it is not known, or damaged."""
    try:
        return files.read_notebook(file)
    except AuthoringError:
        return None


def _give(lab: NotebookNode, path: Path) -> None:
    """Note what a student was given; no solutions where theirs were stripped."""
    now = files.read_notebook(path)
    given = like(now, lab) if _is_stripped(now) else lab
    files.write_notebook(given, path.parent / GIVEN / f"{lab_of(lab)}.ipynb")


def _is_stripped(nb: NotebookNode) -> bool:
    """Also where the student has deleted the last cell, which says so."""
    noted = facts(nb).get("state") == "stripped" and not any(map(claims_solution, nb.cells))
    return toggle.is_stripped(nb) or noted


def update_lab(notebook: str | Path = "") -> None:
    """Bring the newest version of this lab into the notebook that calls it, with every answer.

    For those without a terminal. Save the notebook first; the old file is kept beside the new one.
    In a folder of one's own the newer lab is the one in the course's ``notebooks/``. In that folder
    itself, as nbgitpuller fills it on a JupyterHub, it is the one that git fetched last.

    Args:
        notebook: its file; found if not given.

    Example:
        >>> lk.update_lab("notebooks/09_nothing.ipynb")
        notebooks/09_nothing.ipynb: there is no such file; check the name and the folder
    """
    path = Path(notebook or _this_notebook())
    try:
        old, root = files.read_notebook(path), files.find_handout()
        name = f"{lab_of(old)}.ipynb"
        course = root / "notebooks"
        own = path.resolve().parent == course.resolve()
        lab = _fetched(root, name) if own else files.read_notebook(course / name)
        said = _update(path, {lab_of(old): lab})
        if not own:
            _give(lab, path)
    except (AuthoringError, OSError) as error:
        print(error)
        return
    print(f"{path.name}: {said}")
    if said.startswith("updated"):
        print("Now choose File → Reload Notebook from Disk, and run it anew.")


def _this_notebook() -> str:
    """The file of the running notebook, as far as its front end says so; else that of its lab."""
    shell = running_shell()
    names = getattr(shell, "user_ns", {})
    said = names.get("__vsc_ipynb_file__") or os.environ.get("JPY_SESSION_NAME", "")
    here = [name for name in (said, Path(said).name) if name and Path(name).is_file()]
    return here[0] if here else f"{session.lab}.ipynb"


def _fetched(root: Path, name: str) -> NotebookNode:
    """The version of a notebook of the course that git fetched last."""
    show = ["git", "-C", str(root), "show", f"@{{upstream}}:./notebooks/{name}"]
    done = subprocess.run(show, capture_output=True, check=False)
    if done.returncode:
        fault = done.stderr.decode(errors="replace").strip()
        raise AuthoringError(f"the newer {name} is not in git's last fetch ({fault})")
    try:
        return nbjson.reads(done.stdout.decode())
    except ValueError as error:
        raise AuthoringError(f"the newer {name} in git's last fetch is damaged") from error


def like(old: NotebookNode, new: NotebookNode) -> NotebookNode:
    """The newer lab with its solutions shown, hidden or stripped as in a student's notebook."""
    if _is_stripped(old):
        return toggle.strip(new, text=files.hand_in_text())
    code = [cell for cell in old.cells if cell.cell_type == "code"]
    found = [cell for cell in code if claims_solution(cell) or marker(cell)[0] == "solution"]
    shown = found and not any(map(hidden_number, found))
    return toggle.show(new) if shown and not toggle.is_stripped(new) else new


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
