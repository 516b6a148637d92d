"""Where the labs are, and reading and writing notebooks."""

import shutil
import tomllib
from pathlib import Path
from typing import Any

from nbformat import NotebookNode
from nbformat.v4 import nbjson

from labkit import settings
from labkit.authoring import AuthoringError
from labkit.authoring.damage import Fault, damage, parse
from labkit.files import atomic

Names = tuple[str, ...] | list[str] | None
_BOM = b"\xef\xbb\xbf"


def is_course(folder: Path) -> bool:
    """Whether a folder holds ``solutions/`` and ``pyproject.toml``."""
    return (folder / "solutions").is_dir() and (folder / "pyproject.toml").exists()


def find_root() -> Path:
    """The folder of the course: here, above, or the checkout of labkit itself.

    Raises:
        AuthoringError: where there is none.

    Example:
        >>> (find_root() / "solutions").is_dir()
        True
    """
    here = Path.cwd()
    for folder in (here, *here.parents):
        if is_course(folder):
            return folder
    if (root := settings.checkout()) and is_course(root):
        return root
    raise AuthoringError("no course found here: change into the folder that holds solutions/")


def find_handout() -> Path:
    """The folder of the course, also of one that is published without ``solutions/``.

    Raises:
        AuthoringError: where there is none.
    """
    here = Path.cwd()
    for folder in filter(None, (here, *here.parents, settings.checkout())):
        notebooks = (folder / "pyproject.toml").exists() and any(folder.glob("notebooks/*.ipynb"))
        if notebooks or is_course(folder):
            return folder
    raise AuthoringError("no course found here: change into the folder that holds notebooks/")


def handed_out(root: Path) -> list[Path]:
    """The students' notebooks of the labs that the course has, in order."""
    found = sorted((root / "notebooks").glob("*.ipynb"))
    if not is_course(root):
        return _chosen(root, found) if found else []
    labs = [path.stem for path in find_sources(root)]
    return [path for path in found if path.stem in labs]


def _course(root: Path) -> dict[str, Any]:
    path = root / "pyproject.toml"
    text = path.read_text(encoding="utf-8") if path.exists() else ""
    try:
        return tomllib.loads(text).get("tool", {}).get("labkit", {})
    except tomllib.TOMLDecodeError as error:
        raise AuthoringError(f"{path}: {error}; mend it") from None


def release(root: Path) -> tuple[str, str] | None:
    """The course's repository and tag from ``[tool.labkit]``, None where either is not set.

    Example:
        >>> release(find_root())
        ('owner/name', 'v0.1.0')
    """
    course = _course(root)
    pair = course.get("repository", ""), course.get("release", "")
    return pair if all(pair) else None


def hand_in(root: Path) -> tuple[str, str]:
    """What a course says of handing in, under ``[tool.labkit.hand_in]``; ("", "") for nothing.

    Returns:
        The text of the cell that students fill in (from ``fields`` and ``statement``), and the
        ``text`` on handing in at the end of a stripped notebook.

    Raises:
        AuthoringError: for another key, or a value of another kind.
    """
    said = _course(root).get("hand_in", {})
    known = {"fields": list, "statement": str, "text": str}
    for key, value in said.items():
        if not isinstance(value, known.get(key, ())):
            keys = 'fields = ["Name"], statement and text'
            raise AuthoringError(f"pyproject.toml: hand_in.{key} is {value!r}; it takes {keys}")
    fields = "\n".join(f"- **{field}:** " for field in said.get("fields", ()))
    parts = [part for part in (fields, said.get("statement", "")) if part]
    first = "\n\n".join(["## Your hand-in", *parts]) if parts else ""
    return first, said.get("text", "")


def hand_in_text() -> str:
    """What the course here says at the end of a stripped notebook, "" where it says nothing."""
    try:
        root = find_handout()
    except AuthoringError:
        return ""
    return hand_in(root)[1]


def place_in_course(path: Path) -> tuple[Path, Path] | None:
    """The course that holds a file, and the file's place in it; None outside any course."""
    path = path.resolve()
    root = next(filter(is_course, path.parents), None)
    return (root, path.relative_to(root)) if root else None


def find_sources(root: Path, labs: Names = None) -> list[Path]:
    """The percent scripts of the named labs, or of all labs of the course, in order.

    A course has the labs that ``labs`` under ``[tool.labkit]`` names, or all where it is empty.

    Args:
        root: the folder that holds ``solutions/``.
        labs: names such as "02", "02_mlp" or "solutions/02_mlp.ipynb"; None or empty for all.

    Raises:
        AuthoringError: for a name that is no lab of the course; it lists those that are.

    Example:
        >>> [path.name for path in find_sources(find_root(), ["02"])]
        ['02_mini.py']
    """
    sources = _chosen(root, all_sources(root))
    named = [path for lab in labs or () for path in _named(lab, sources)]
    return list(dict.fromkeys(named)) or sources


def _chosen(root: Path, paths: list[Path]) -> list[Path]:
    """Those of sources or notebooks that ``labs`` under ``[tool.labkit]`` names, or all."""
    chosen = _course(root).get("labs", [])
    if not isinstance(chosen, list) or not all(isinstance(lab, str) for lab in chosen):
        raise AuthoringError(f'pyproject.toml: labs is {chosen!r}; write labs = ["02", "05"]')
    return sorted({path for lab in chosen for path in _named(lab, paths)}) if chosen else paths


def all_sources(root: Path) -> list[Path]:
    """Every percent script, also those that the course leaves out."""
    return sorted((root / "solutions").glob("*.py"))


def _named(lab: str, sources: list[Path]) -> list[Path]:
    stem = Path(lab).name.removesuffix(".ipynb").removesuffix(".py")
    if matches := [path for path in sources if stem in (path.stem, path.stem[:2])]:
        return matches
    known = ", ".join(path.stem for path in sources) or "none yet"
    raise AuthoringError(f"{lab!r} is no lab; the labs are: {known}")


def find_notebooks(folder: Path) -> list[Path]:
    """The notebooks of a folder and of all its folders but hidden ones, in order."""
    return [
        path
        for path in sorted(folder.rglob("*.ipynb"))
        if not any(part.startswith(".") for part in path.relative_to(folder).parts)
    ]


def read_notebook(path: Path) -> NotebookNode:
    """Read a notebook as it is, or say in one line what is wrong with the file.

    Raises:
        AuthoringError: for a missing file, no JSON, another format, or a damaged notebook.

    Example:
        >>> read_notebook(Path("notebooks/02_mini.ipynb")).metadata.labkit.lab
        '02_mini'
    """
    if path.is_dir():
        raise AuthoringError(f"{path}: this is a folder, not a notebook; rename it or look inside")
    if not path.is_file():
        raise AuthoringError(f"{path}: there is no such file; check the name and the folder")
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError:
        raise AuthoringError(f"{path}: not a notebook (not UTF-8); take a fresh copy") from None
    try:
        content = parse(text)
    except (ValueError, RecursionError) as error:
        reason = f": {error}" if isinstance(error, Fault) else ""
        fault = f"not a notebook (no valid JSON{reason}); take a fresh copy"
        raise AuthoringError(f"{path}: {fault}") from None
    if not isinstance(content, dict) or "nbformat" not in content:
        raise AuthoringError(f"{path}: not a notebook (JSON, but no 'nbformat'); give an .ipynb")
    version, cells = content["nbformat"], content.get("cells")
    if type(version) is not int or version != 4 or not isinstance(cells, list):
        without = " without a list of cells" if version == 4 and not isinstance(cells, list) else ""
        raise AuthoringError(
            f"{path}: notebook format {version!r}{without}, and labkit reads 4; "
            "open it in JupyterLab and save it again"
        )
    try:
        if fault := damage(content):
            raise ValueError(fault)
        nb = nbjson.to_notebook(content)
        serialise(nb).encode()  # what cannot be written back is better not changed
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        reason = " ".join(str(error).split())[:100]
        raise AuthoringError(f"{path}: damaged notebook ({reason}); take a fresh copy") from None
    return nb


def write_notebook(nb: NotebookNode, path: Path, like: Path | None = None) -> None:
    """Write a notebook, all or nothing, with line ends, byte-order mark and rights of `like`."""
    model = like.read_bytes() if like else b""
    text = serialise(nb).encode()
    if b"\r\n" in model:
        text = text.replace(b"\n", b"\r\n")
    with atomic(path) as temporary:
        temporary.write_bytes((_BOM if model.startswith(_BOM) else b"") + text)
        if like:
            shutil.copymode(like, temporary)


def serialise(nb: NotebookNode) -> str:
    """The text of a notebook file: sorted keys, one line break at the end."""
    return nbjson.writes(nb).rstrip("\n") + "\n"
