"""Files that are whole or absent: atomic writing, hashes, safe unpacking."""

import hashlib
import os
import re
import secrets
import shutil
import tempfile
import time
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_LEFTOVER = re.compile(r"\..+\.labkit-(\d+)-[0-9a-f]{8}")


@contextmanager
def atomic(path: Path) -> Iterator[Path]:
    """Give a temporary file beside `path` and move it into place at the end; all or nothing.

    The file keeps its rights, and a link stays a link: the file that it leads to is replaced.
    What killed writers left in the folder is removed.
    """
    try:
        path = path.resolve()
    except RuntimeError as error:  # before Python 3.13, which replaces such a link
        raise OSError(f"{path} is a link that leads back to itself: delete it") from error
    path.parent.mkdir(parents=True, exist_ok=True)
    for leftover in filter(_is_abandoned, path.parent.glob(".*")):
        leftover.unlink(missing_ok=True)
    temporary = path.with_name(f".{path.name}.labkit-{os.getpid()}-{secrets.token_hex(4)}")
    temporary.touch(exist_ok=False)  # with the rights that the umask leaves, as any new file
    try:
        yield temporary
        if path.exists():
            shutil.copymode(path, temporary)
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def _is_abandoned(path: Path) -> bool:
    """Whether this is a temporary file of `atomic` whose writer is gone."""
    match = _LEFTOVER.fullmatch(path.name)
    if not match or not path.is_file():
        return False
    if os.name == "nt":  # there, signal 0 would end the process; an open file cannot be deleted
        return path.stat().st_mtime < time.time() - 3600
    try:
        os.kill(int(match[1]), 0)
    except ProcessLookupError:
        return True
    except PermissionError:  # it lives and is somebody else's
        return False
    return False


def sha256(path: Path) -> str:
    """The SHA-256 of a file, in hexadecimal."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def is_whole_zip(path: Path) -> bool:
    """Whether a file is a zip file (as .npz files are) with every member whole."""
    try:
        with zipfile.ZipFile(path) as bundle:
            return bundle.testzip() is None
    except (zipfile.BadZipFile, zlib.error, EOFError, RuntimeError):  # the last: encrypted
        return False


def unzip(archive: Path, folder: Path, members: list[str] | None = None) -> Path:
    """Unpack a zip file into a folder, all or nothing.

    Args:
        archive: the zip file.
        folder: where its content goes; made in one step, so that it is whole or absent.
        members: the names to unpack; None for all.

    Returns:
        The folder.

    Raises:
        ValueError: when the file is no zip, a member would leave the folder, or it does not fit
            on the disk.

    Example:
        >>> unzip(Path("cells.zip"), Path("cells"))  # doctest: +SKIP
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{folder.name}.", dir=folder.parent) as scratch:
        target = Path(scratch).resolve() / folder.name
        target.mkdir()
        try:
            with zipfile.ZipFile(archive) as bundle:
                names = members if members is not None else bundle.namelist()
                size = sum(bundle.getinfo(name).file_size for name in names)
                if size > (free := shutil.disk_usage(scratch).free):
                    raise ValueError(
                        f"{archive.name} unpacks to {size / 1e9:.1f} GB, and {free / 1e9:.1f} GB "
                        f"are free in {folder.parent}"
                    )
                for name in names:
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
