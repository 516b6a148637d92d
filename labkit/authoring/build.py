"""From the source of a lab to its two notebooks: lists of functions notebook -> notebook.

``solutions/NN_topic.ipynb``   solutions shown, executed, outputs kept
``notebooks/NN_topic.ipynb``   solutions hidden, no outputs
"""

import os
from collections.abc import Callable
from pathlib import Path

from nbformat import NotebookNode

from labkit.authoring import AuthoringError, files, steps, toggle
from labkit.authoring.execute import execute as execute_notebook
from labkit.authoring.source import read_source

Step = Callable[[NotebookNode], NotebookNode]


def build_notebook(source: Path, state: str) -> NotebookNode:
    """Build one notebook in memory.

    Args:
        source: The percent script, ``solutions/02_mlp.py``.
        state: "shown" for the instructor's notebook, "hidden" for the student's.

    Returns:
        The notebook, without outputs.

    Raises:
        AuthoringError: Where the source breaks a rule.

    Example:
        >>> nb = build_notebook(Path("solutions/02_mlp.py"), "hidden")
    """
    lab, release = source.stem, files.release(source.parent.parent)
    folder = "solutions" if state == "shown" else "notebooks"
    recipe: list[Step] = [
        lambda nb: steps.add_badge(nb, f"{folder}/{lab}.ipynb", release),
        lambda nb: steps.rebuild_metadata(nb, lab),
        lambda nb: steps.complete_setup(nb, lab, release),
        lambda nb: steps.stamp(nb, lab),
    ]
    if state == "hidden":
        recipe += [steps.drop_output_tags, steps.collapse_checks, toggle.hide]
    nb = read_source(source)
    for step in recipe:
        nb = step(nb)
    return nb


def without_outputs(nb: NotebookNode) -> str:
    """The text of a notebook without outputs and execution counts, to compare two of them."""
    nb = NotebookNode(nb, cells=[NotebookNode(cell) for cell in nb.cells])
    for cell in nb.cells:
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None
    return files.serialise(nb)


def keep_outputs(nb: NotebookNode, path: Path) -> str:
    """Take over the outputs of the notebook on disk, where they belong to the same code.

    Code cells are paired by their order: a new text cell moves ids, but not outputs.

    Args:
        nb: The new notebook; its cells get the outputs.
        path: The notebook on disk, if there is one.

    Returns:
        What to tell the author, "" where the outputs were kept.

    Example:
        >>> keep_outputs(nb, Path("solutions/02_mlp.ipynb"))
        ''
    """
    if not path.exists():
        return "new, without outputs"
    old = files.read_notebook(path)
    old_code = [cell for cell in old.cells if cell.cell_type == "code"]
    if not any(cell.outputs for cell in old_code):
        return "without outputs"
    new_code = [cell for cell in nb.cells if cell.cell_type == "code"]
    if [cell.source for cell in old_code] != [cell.source for cell in new_code]:
        return "its code changed, old outputs dropped"
    for cell, before in zip(new_code, old_code, strict=True):
        cell.outputs, cell.execution_count = before.outputs, before.execution_count
    return ""


def build(
    labs: tuple[str, ...] | list[str] | None = None,
    *,
    check: bool = False,
    execute: bool = False,
    root: Path | None = None,
) -> list[str]:
    """Build the notebooks of the labs, or check those on disk.

    Args:
        labs: Names of labs; None or empty for all.
        check: Write nothing; compare with what is on disk.
        execute: Run each instructor's notebook and keep its outputs.
        root: The folder that holds ``solutions/``; found if not given.

    Returns:
        One line for each notebook, to be shown to the author.

    Raises:
        AuthoringError: For a fault in a source, a failed cell, or anything that `check` finds.

    Example:
        >>> build(["02"], execute=True)
        ['solutions/02_mlp.ipynb: executed', 'notebooks/02_mlp.ipynb: built']
    """
    root = root or files.find_root()
    sources = files.find_sources(root, labs)
    if check:
        faults = [fault for source in sources for fault in find_faults(source)]
        if faults := faults + ([] if labs else find_orphans(root, sources)):
            raise AuthoringError("; ".join(faults))
        return [f"{len(sources)} labs are up to date"]
    return [line for source in sources for line in _write(source, execute)]


def _write(source: Path, execute: bool) -> list[str]:
    root, name = source.parent.parent, f"{source.stem}.ipynb"
    nb = build_notebook(source, "shown")
    if execute:
        try:
            env = {**os.environ, "LABKIT_STRICT": "1"}
            execute_notebook(nb, source.parent, env)
        except AuthoringError as error:
            raise AuthoringError(f"solutions/{source.name}: {error}") from None
        said = "executed"
    elif remark := keep_outputs(nb, source.with_suffix(".ipynb")):
        said = f"built ({remark}; `labkit build --execute {source.stem}` makes them)"
    else:
        said = "built, outputs kept"
    files.write_notebook(nb, source.with_suffix(".ipynb"))
    files.write_notebook(build_notebook(source, "hidden"), root / "notebooks" / name)
    return [f"solutions/{name}: {said}", f"notebooks/{name}: built"]


def find_faults(source: Path) -> list[str]:
    """What is wrong with the two built notebooks of a lab."""
    faults = []
    for state, folder in (("shown", "solutions"), ("hidden", "notebooks")):
        name = f"{folder}/{source.stem}.ipynb"
        path = source.parent.parent / name
        if not path.exists():
            faults.append(f"{name} is missing: run `labkit build {source.stem}`")
            continue
        new, old = build_notebook(source, state), files.read_notebook(path)
        outputs = any(cell.get("outputs") for cell in old.cells)
        if outputs and old.metadata.get("labkit", {}).get("source") != new.metadata.labkit.source:
            remedy = f"run `labkit build --execute {source.stem}`"
            faults.append(f"{name} holds outputs of another source: {remedy}")
        elif outputs and state == "hidden":
            faults.append(f"{name} holds outputs: run `labkit build {source.stem}`")
        elif without_outputs(old) != without_outputs(new):
            faults.append(f"{name} differs from its source: run `labkit build {source.stem}`")
    return faults


def find_orphans(root: Path, sources: list[Path]) -> list[str]:
    """Notebooks whose source is gone."""
    known = {path.stem for path in sources}
    return [
        f"{folder}/{path.name} has no source: delete it or restore solutions/{path.stem}.py"
        for folder in ("solutions", "notebooks")
        for path in sorted((root / folder).glob("*.ipynb"))
        if path.stem not in known
    ]
