"""Where the labs are, and reading and writing notebooks."""

import json
import tomllib
from pathlib import Path

import nbformat
from nbformat import NotebookNode

from labkit import settings
from labkit.authoring import AuthoringError
from labkit.files import atomic


def find_root() -> Path:
    """The folder that holds ``solutions/``: here, above, or the checkout of labkit itself.

    Returns:
        The folder.

    Raises:
        AuthoringError: Where there is none.

    Example:
        >>> find_root() / "solutions"
    """
    here = Path.cwd()
    for folder in (here, *here.parents):
        if (folder / "solutions").is_dir() and (folder / "pyproject.toml").exists():
            return folder
    if root := settings.checkout():
        return root
    raise AuthoringError("no course found here: change into the folder that holds solutions/")


def release(root: Path) -> tuple[str, str] | None:
    """The course's ``(repository, tag)`` from ``[tool.labkit]``, or None where either is not set.

    Args:
        root: The folder with `pyproject.toml`.

    Returns:
        For example ``("owner/name", "v0.1.0")``.

    Example:
        >>> release(find_root())
    """
    path = root / "pyproject.toml"
    text = path.read_text(encoding="utf-8") if path.exists() else ""
    course = tomllib.loads(text).get("tool", {}).get("labkit", {})
    pair = course.get("repository", ""), course.get("release", "")
    return pair if all(pair) else None


def find_sources(root: Path, labs: tuple[str, ...] | list[str] | None = None) -> list[Path]:
    """The percent scripts of the named labs, or of all labs.

    Args:
        root: The folder that holds ``solutions/``.
        labs: Names such as "02", "02_mlp" or "solutions/02_mlp.ipynb"; None or empty for all.

    Returns:
        Paths, in order.

    Raises:
        AuthoringError: For a name that is no lab; it lists those that are.

    Example:
        >>> find_sources(find_root(), ["02"])
    """
    sources = sorted((root / "solutions").glob("*.py"))
    if not labs:
        return sources
    found = []
    for lab in labs:
        stem = Path(lab).name.removesuffix(".ipynb").removesuffix(".py")
        matches = [path for path in sources if stem in (path.stem, path.stem[:2])]
        if not matches:
            known = ", ".join(path.stem for path in sources) or "none yet"
            raise AuthoringError(f"{lab!r} is no lab; the labs are: {known}")
        found += matches
    return found


def read_notebook(path: Path) -> NotebookNode:
    """Read a notebook, or say in one line what is wrong with the file.

    Args:
        path: A file in notebook format 4.

    Returns:
        The notebook, unchanged.

    Raises:
        AuthoringError: For a missing file, wrong JSON, another format or version.

    Example:
        >>> nb = read_notebook(Path("notebooks/02_mlp.ipynb"))
    """
    if not path.is_file():
        raise AuthoringError(f"{path}: there is no such file; check the name and the folder")
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except ValueError:
        raise AuthoringError(f"{path}: not a notebook (no valid JSON); take a fresh copy") from None
    if not isinstance(content, dict) or "nbformat" not in content:
        raise AuthoringError(f"{path}: not a notebook (JSON, but no 'nbformat'); give an .ipynb")
    if content["nbformat"] != 4 or not isinstance(content.get("cells"), list):
        raise AuthoringError(
            f"{path}: notebook format {content['nbformat']}, and labkit reads 4; "
            "open it in JupyterLab and save it again"
        )
    try:
        return nbformat.reads(json.dumps(content), as_version=4)
    except Exception as error:
        reason = str(error).splitlines()[0]
        raise AuthoringError(f"{path}: damaged notebook ({reason}); take a fresh copy") from None


def write_notebook(nb: NotebookNode, path: Path) -> None:
    """Write a notebook atomically, so that a reader never sees half of it.

    Args:
        nb: The notebook.
        path: Where to; its folder is made if need be.

    Example:
        >>> write_notebook(nb, Path("notebooks/02_mlp.ipynb"))
    """
    with atomic(path) as temporary:
        temporary.write_text(serialise(nb), encoding="utf-8", newline="\n")
        temporary.chmod(0o644)  # a temporary file is private


def serialise(nb: NotebookNode) -> str:
    """The text of a notebook file: sorted keys, one line break at the end.

    Args:
        nb: The notebook.

    Returns:
        JSON text.

    Example:
        >>> Path("copy.ipynb").write_text(serialise(nb), encoding="utf-8")
    """
    return nbformat.writes(nb, version=nbformat.NO_CONVERT).rstrip("\n") + "\n"
