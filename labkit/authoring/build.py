"""From the source of a lab to its notebooks: lists of functions notebook -> notebook.

``solutions/NN_topic.ipynb``   solutions shown, executed, outputs kept
``notebooks/NN_topic.ipynb``   solutions hidden, no outputs
"""

import ast
import os
import re
from collections.abc import Callable
from functools import partial
from pathlib import Path

from nbformat import NotebookNode

from labkit.authoring import AuthoringError, files, steps, toggle
from labkit.authoring.cells import facts, marker
from labkit.authoring.complete import find_gaps, find_remarks
from labkit.authoring.execute import execute as execute_notebook
from labkit.authoring.source import read_source

Step = Callable[[NotebookNode], NotebookNode]
_INSTALL = re.compile(r"\Atry:\n    (?:import|from) labkit\b.*?\n\n", re.S)  # the course's address


def build_notebook(
    source: Path, state: str, target: Path | None = None, hidden_tests: bool | None = None
) -> NotebookNode:
    """Build one notebook in memory, without outputs.

    Args:
        source: the percent script, ``solutions/02_mlp.py``.
        state: "shown", "hidden" or "stripped".
        target: where it will lie; if not given, where `build` writes it.
        hidden_tests: keep the tests that only graders run; if not given, where solutions are shown.

    Raises:
        AuthoringError: where the source breaks a rule.

    Example:
        >>> build_notebook(Path("solutions/02_mini.py"), "hidden").metadata.labkit.state
        'hidden'
    """
    lab, root = source.stem, source.parent.parent
    release = files.release(root)
    folder = source.parent if state == "shown" else root / "notebooks"
    target = target or folder / f"{lab}.ipynb"
    recipe: list[Step] = [
        lambda nb: steps.stamp(nb, lab),
        steps.warn,
        steps.rebuild_metadata,
        lambda nb: steps.complete_setup(nb, lab, release),
    ]
    statement, text = files.hand_in(root)
    if not (state == "shown" if hidden_tests is None else hidden_tests):
        recipe.append(steps.drop_hidden_tests)
    if state != "shown":
        recipe.append(lambda nb: steps.add_statement(nb, statement))
        recipe += [steps.drop_output_tags, steps.collapse_checks]
        strip = partial(toggle.strip, text=text)
        recipe += [toggle.hide if state == "hidden" else strip]
    recipe += [lambda nb: steps.add_badge(nb, target)]
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

    The same code is that of all cells but the checks and what `build` adds to the set-up cell.
    A check whose wording alone changed (messages, comments) keeps its outcome; one that asks
    something else loses it until the next run, and the others keep theirs.

    Args:
        nb: the new notebook; its cells get the outputs.
        path: the notebook on disk, if there is one.

    Returns:
        What to tell the author, "" where all outputs were kept.
    """
    if not path.exists():
        return "new, without outputs"
    old = files.read_notebook(path)
    before = {cell.get("id"): cell for cell in old.cells if cell.cell_type == "code"}
    if not any(cell.outputs for cell in before.values()):
        return "without outputs"
    if not _same_code(nb, old):
        return "its code changed, old outputs dropped"
    changed = []
    for cell in [cell for cell in nb.cells if cell.id in before]:
        if marker(cell)[0] != "check" or _asks(cell) == _asks(before[cell.id]):
            cell.outputs = before[cell.id].outputs
            cell.execution_count = before[cell.id].execution_count
        else:
            changed.append(marker(cell)[1])
    for cell in nb.cells:  # the cell of a solution holds the check's second verdict
        if cell.cell_type == "code":
            cell.outputs = [out for out in cell.outputs if _verdict_on(out) not in changed]
    return f"outputs kept but of the changed check {', '.join(changed)}" if changed else ""


def _verdict_on(output: NotebookNode) -> str:
    return output.get("metadata", {}).get("labkit", {}).get("check", {}).get("exercise", "")


def _same_code(new: NotebookNode, old: NotebookNode) -> bool:
    """Whether two notebooks have the same source; the second may have been edited by hand."""
    code = [
        {
            cell.get("id"): _INSTALL.sub("", cell.source)
            for cell in nb.cells
            if cell.cell_type == "code" and marker(cell)[0] != "check"
        }
        for nb in (new, old)
    ]
    return facts(new).get("source") == facts(old).get("source") and code[0] == code[1]


def _asks(cell: NotebookNode) -> str:
    """What a check asks, without its comments and the messages of its asserts."""
    try:
        tree = ast.parse(cell.source)
    except SyntaxError:  # a magic; or somebody edited the notebook
        return cell.source
    for node in ast.walk(tree):
        if isinstance(node, ast.Assert):
            node.msg = None
    return ast.dump(tree)


def build(
    labs: files.Names = None,
    *,
    check: bool = False,
    execute: bool = False,
    root: Path | None = None,
) -> list[str]:
    """Build the notebooks of the labs, or check those on disk.

    Args:
        labs: names of labs; None or empty for all.
        check: write nothing; compare with what is on disk, and name what CI would refuse.
        execute: run each instructor's notebook and keep its outputs.
        root: the folder that holds ``solutions/``; found if not given.

    Returns:
        One line for each notebook, to be shown to the author.

    Raises:
        AuthoringError: for a fault in a source, a failed cell, or anything that `check` finds.

    Example:
        >>> build(["02"])[1]
        'notebooks/02_mini.ipynb: built'
    """
    root = root or files.find_root()
    sources = files.find_sources(root, labs)
    if check:
        faults = [fault for source in sources for fault in find_faults(source)]
        if faults := faults + ([] if labs else find_orphans(root)):
            raise AuthoringError("; ".join(faults))
        remarks = [remark for source in sources for remark in find_remarks(source)]
        return [*remarks, f"{len(sources)} labs are up to date"]
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
    """What is wrong with the two built notebooks of a lab, and with the lab."""
    faults = []
    for state, folder in (("shown", "solutions"), ("hidden", "notebooks")):
        name = f"{folder}/{source.stem}.ipynb"
        path = source.parent.parent / name
        if not path.exists():
            faults.append(f"{name} is missing: run `labkit build {source.stem}`")
            continue
        new, old = build_notebook(source, state), files.read_notebook(path)
        outputs = any(cell.get("outputs") for cell in old.cells)
        if outputs and not _same_code(new, old):
            remedy = f"run `labkit build --execute {source.stem}`"
            faults.append(f"{name} holds outputs of another source: {remedy}")
        elif outputs and state == "hidden":
            faults.append(f"{name} holds outputs: run `labkit build {source.stem}`")
        elif without_outputs(old) != without_outputs(new):
            faults.append(f"{name} differs from its source: run `labkit build {source.stem}`")
    return faults or find_gaps(source)


def find_orphans(root: Path) -> list[str]:
    """Notebooks whose source is gone."""
    known = {path.stem for path in files.all_sources(root)}
    return [
        f"{folder}/{path.name} has no source: delete it or restore solutions/{path.stem}.py"
        for folder in ("solutions", "notebooks")
        for path in sorted((root / folder).glob("*.ipynb"))
        if path.stem not in known
    ]
