"""Notebooks for people: solutions toggled in files and folders, chosen labs built into a folder."""

from collections.abc import Iterator, Sequence
from pathlib import Path

from nbformat import NotebookNode

from labkit.authoring import AuthoringError, files, toggle
from labkit.authoring.build import build_notebook, keep_outputs
from labkit.authoring.cells import claims_solution, lab_of

_DONE = {"show": "shown", "hide": "hidden", "strip": "stripped"}


def hand_out(labs: files.Names, state: str, out: Path) -> list[str]:
    """Build the notebooks of chosen labs, in one state, into a folder of their own.

    Args:
        labs: names of labs; None or empty for all of the course.
        state: "hidden", "stripped" or "shown" (with the instructor's outputs, where they fit).
        out: the folder; nothing in it is overwritten.

    Returns:
        One line for each notebook.

    Raises:
        AuthoringError: for a fault in a source, or a file that is there already.

    Example:
        >>> hand_out(["02"], "hidden", Path("release"))
        ['release/02_mini.ipynb: solutions hidden']
    """
    made = {}
    for source in files.find_sources(files.find_root(), labs):
        target = _free(out / f"{source.stem}.ipynb")
        made[target] = build_notebook(source, state, target, hidden_tests=False)
        if state == "shown":
            keep_outputs(made[target], source.with_suffix(".ipynb"))
    for target, nb in made.items():
        files.write_notebook(nb, target)
    return [f"{target}: solutions {state}" for target in made]


def toggle_paths(
    paths: Sequence[Path], action: str, out: Path | None = None
) -> Iterator[tuple[bool, str]]:
    """Toggle notebooks and folders of notebooks; one that cannot be does not stop the others.

    Args:
        paths: files, or folders, which are searched with all their folders but hidden ones.
        action: "show", "hide" or "strip".
        out: write here instead of in place; a folder's files keep their places in it, and nothing
            is overwritten.

    Yields:
        For each notebook whether all is well, and one line that says what became of it.

    Example:
        >>> list(toggle_paths([Path("notebooks")], "strip", Path("handout")))
        [(True, 'handout/02_mini.ipynb: solutions stripped')]
    """
    for path in paths:
        found = _notebooks(path, out)
        if not found:
            yield False, f"{path}: this folder holds no notebooks; give another, or a notebook"
        for file, target in found:
            try:
                yield _toggle(file, action, target)
            except (AuthoringError, OSError, RecursionError) as error:
                text = " ".join(str(error).split())
                yield False, text if str(file) in text else f"{file}: {text}"
        if action == "strip" and not out and (copies := _hidden_copies(path)):
            many = f"{len(copies)} notebooks in hidden folders keep their solutions, such as"
            yield False, f"{path}: {many} {copies[0]}: delete them before you hand this out"


def _notebooks(path: Path, out: Path | None) -> list[tuple[Path, Path | None]]:
    """The notebooks that a path stands for, each with the file to write if that is another."""
    if not path.is_dir():
        return [(path, out and out / path.name)]
    found = files.find_notebooks(path)
    if out and out.resolve() != path.resolve():  # what an earlier call wrote is no source
        inside = out.resolve()
        found = [file for file in found if not file.resolve().is_relative_to(inside)]
    return [(file, out and out / file.relative_to(path)) for file in found]


def _hidden_copies(folder: Path) -> list[Path]:
    """The notebooks that an editor or `labkit update` keeps in hidden folders, with solutions."""
    found = []
    for path in sorted({*folder.rglob("*.ipynb")} - {*files.find_notebooks(folder)}):
        try:
            cells = files.read_notebook(path).cells
        except AuthoringError:  # what is no notebook holds no solution
            continue
        found += [path] if any(map(claims_solution, cells)) else []
    return found


def _toggle(path: Path, action: str, target: Path | None) -> tuple[bool, str]:
    place = files.place_in_course(path)
    part = place[1].parts[0] if place else ""
    if target:
        _free(target)
    elif action == "strip" and part in ("notebooks", "solutions"):
        copy = f"`labkit solutions strip {path} --out handout`"
        raise AuthoringError(f"{path} is the course's own: strip a copy of it, {copy}")
    bare = action == "strip" and part == "solutions"  # executed with the references
    before = files.read_notebook(path)
    kit = _kit(before) if toggle.left_over(before, action) else toggle.NOTHING
    changed = toggle.toggle_file(path, action, target, kit, files.hand_in_text(), bare)
    left, done = toggle.left_over(before, action, kit), _DONE[action]
    said = f"solutions {done}" if changed or target else f"unchanged, already {done}"
    if not left:
        return True, f"{target or path}: {said}"
    numbers = ", ".join(dict.fromkeys(left))
    compared = bool(toggle.references(before) | kit)
    why = "not the kit's own text" if compared else "there is no text of the kit to compare with"
    how = "kept as plain cells, read them" if action == "strip" else "left open"
    said = f"{done}, but not {numbers} ({why}): {how}"
    # a formatter's change looks like a student's: whoever hands out must not miss it
    return False, f"{target or path}: {said}"


def _kit(nb: NotebookNode) -> frozenset[str]:
    """The hashes of the kit's own solutions of this lab, none far from a course that has it."""
    lab = lab_of(nb)
    try:
        sources = files.all_sources(files.find_root())
    except AuthoringError:
        return toggle.NOTHING
    found = [toggle.references(build_notebook(s, "shown")) for s in sources if s.stem == lab]
    return frozenset().union(*found)


def _free(target: Path) -> Path:
    if target.exists() or target.is_symlink():
        raise AuthoringError(f"{target} is there already: delete it, or give another --out")
    return target
