"""Files that are whole or absent: atomic writing, hashes, safe unpacking."""

import hashlib
import os
import tempfile
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def atomic(path: Path) -> Iterator[Path]:
    """Give a temporary file beside ``path`` and move it into place at the end; all or nothing."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    os.close(handle)
    try:
        yield Path(name)
        os.replace(name, path)
    finally:
        Path(name).unlink(missing_ok=True)


def sha256(path: Path) -> str:
    """The SHA-256 of a file, in hexadecimal."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def unzip(archive: Path, folder: Path, members: list[str] | None = None) -> Path:
    """Unpack a zip file into a folder, all or nothing.

    Args:
        archive: the zip file.
        folder: where its content goes; made in one step, so that it is whole or absent.
        members: the names to unpack; None for all.

    Returns:
        The folder.

    Raises:
        ValueError: when the file is no zip, or a member would leave the folder.

    Example:
        >>> unzip(Path("cells.zip"), Path("cells"))  # doctest: +SKIP
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{folder.name}.", dir=folder.parent) as scratch:
        target = Path(scratch).resolve() / folder.name
        target.mkdir()
        try:
            with zipfile.ZipFile(archive) as bundle:
                for name in members if members is not None else bundle.namelist():
                    if not (target / name).resolve().is_relative_to(target):
                        raise ValueError(f"{archive.name} holds {name!r}, which leaves the folder")
                    bundle.extract(name, target)
        except zipfile.BadZipFile as error:
            raise ValueError(f"{archive.name} is not a whole zip file: {error}") from error
        try:
            os.replace(target, folder)
        except OSError:
            if not folder.is_dir():  # another process may have been quicker: then its copy serves
                raise
    return folder
