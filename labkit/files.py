"""Files that are whole or absent: atomic writing, hashes, safe unpacking."""

import errno
import gzip
import hashlib
import lzma
import os
import re
import secrets
import shutil
import socket
import time
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import cache, partial
from pathlib import Path

from labkit import settings

_LEFTOVER = re.compile(r"\..+\.labkit-(?:([0-9a-f]{8})-)?(\d+)-[0-9a-f]{8}")
# what `zipfile` raises; RuntimeError for encrypted members and unknown ways to compress
_NOT_WHOLE = (zipfile.BadZipFile, zlib.error, lzma.LZMAError, EOFError, RuntimeError)
_FULL = (errno.ENOSPC, errno.EDQUOT)
_NO_SYNC = (errno.EINVAL, errno.ENOSYS, errno.ENOTSUP)  # of file systems that cannot be asked


class DiskError(OSError):
    """A folder that cannot be written; the message names it and says what to do.

    Args:
        folder: where something was to be written.
        why: what keeps it from being written; `strerror` afterwards.
    """

    def __init__(self, folder: Path, why: str) -> None:
        folder = folder.resolve()
        kept = folder.is_relative_to(settings.data_dir())
        way_out = "set LABKIT_DATA to a folder of yours" if kept else "choose another place"
        if isinstance(self, NoRoomError) or why in map(os.strerror, _FULL):
            way_out = f"make room, or {way_out}"
        super().__init__(f"The folder {folder} cannot be written ({why}): {way_out}.")
        self.folder, self.strerror = folder, why


class NoRoomError(DiskError, ValueError):
    """An archive that the disk cannot hold."""


def _reason(error: OSError) -> str:
    if error.errno in (errno.EEXIST, errno.ENOTDIR):
        return "a file stands where a folder should"
    return error.strerror or str(error)


@contextmanager
def _beside(path: Path, make: Callable[[Path], None]) -> Iterator[Path]:
    """Make a temporary file or folder beside `path`; at the end it is removed, if still there.

    What killed writers left in the folder is removed too.

    Raises:
        DiskError: when nothing can be written there, or the disk fills.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        for leftover in filter(_is_abandoned, path.parent.glob(".*")):
            with suppress(OSError):  # somebody else's
                remove(leftover)
        temporary = _passing_name(path)
        make(temporary)
    except OSError as error:
        raise DiskError(path.parent, _reason(error)) from error
    try:
        yield temporary
    except OSError as error:
        if error.errno not in (*_FULL, errno.EROFS):
            raise
        raise DiskError(path.parent, _reason(error)) from error
    finally:
        remove(temporary)


@contextmanager
def atomic(path: Path) -> Iterator[Path]:
    """Give a temporary file beside `path` and move it into place at the end; all or nothing.

    The file keeps its rights and, for root, its owner; a link stays a link: the file that it leads
    to is replaced. What killed writers left in the folder is removed.

    Raises:
        DiskError: when nothing can be written there, or the disk fills.
    """
    try:
        path = path.resolve()
    except RuntimeError as error:  # before Python 3.13, which replaces such a link
        raise OSError(f"{path} is a link that leads back to itself: delete it") from error
    # with the rights that the umask leaves, as any new file
    with _beside(path, partial(Path.touch, exist_ok=False)) as temporary:
        yield temporary
        _keep_on_disk(temporary)
        if path.exists():
            shutil.copymode(path, temporary)
            with suppress(OSError, AttributeError):  # only root may; Windows has no owners
                os.chown(temporary, path.stat().st_uid, path.stat().st_gid)
        os.replace(temporary, path)


def _keep_on_disk(file: Path) -> None:
    """Wait until a file is on the disk; else a power cut may leave an empty one of its name."""
    with file.open("rb+") as stream:
        try:
            os.fsync(stream.fileno())
        except OSError as error:
            if error.errno not in _NO_SYNC:
                raise


@contextmanager
def atomic_folder(folder: Path) -> Iterator[Path]:
    """Give an empty folder beside `folder` and move it into place at the end; all or nothing.

    Where another process was quicker, its folder stays.

    Raises:
        DiskError: when nothing can be written there, or the disk fills.
    """
    with _beside(folder, Path.mkdir) as temporary:
        yield temporary
        try:
            os.replace(temporary, folder)
        except OSError:
            if not folder.is_dir():
                raise


def remove(path: Path) -> None:
    """Delete a file, or a folder with all in it; another process may do the same."""
    if not path.is_dir() or path.is_symlink():
        path.unlink(missing_ok=True)
        return
    if not _LEFTOVER.fullmatch(path.name):
        with suppress(OSError):  # gone in one step, so that nobody finds half of it
            path = path.rename(_passing_name(path))
    shutil.rmtree(path, ignore_errors=True)


@cache
def this_machine() -> str:
    """Eight digits for where process numbers are known: a machine, or a container on it."""
    names = os.fsencode(socket.gethostname())
    with suppress(OSError):  # Linux only
        names += os.fsencode(os.readlink("/proc/self/ns/pid"))
    return f"{zlib.crc32(names):08x}"


def _passing_name(path: Path) -> Path:
    writer = f"{this_machine()}-{os.getpid()}"
    return path.with_name(f".{path.name}.labkit-{writer}-{secrets.token_hex(4)}")


def _is_abandoned(path: Path) -> bool:
    """Whether this is a temporary file or folder of `_beside` whose writer is gone."""
    match = _LEFTOVER.fullmatch(path.name)
    if not match:
        return False
    # on Windows signal 0 would end the process, and an open file cannot be deleted
    by_age = os.name == "nt" or match[1] not in (None, this_machine())
    try:
        if by_age:
            return path.stat().st_mtime < time.time() - 3600
        os.kill(int(match[2]), 0)
    except ProcessLookupError:
        return True
    except (OSError, OverflowError):  # gone; alive and somebody else's; no process at all
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
    except (FileNotFoundError, PermissionError):
        raise
    except Exception:  # zipfile and each compressor raise their own
        return False


def is_whole_gzip(path: Path) -> bool:
    """Whether a file is a gzip file that unpacks to what its end says."""
    try:
        with gzip.open(path) as stream:
            while stream.read(1 << 20):
                pass
    except (gzip.BadGzipFile, zlib.error, EOFError):
        return False
    return True


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
        DiskError: when it does not fit on the disk.

    Example:
        >>> unzip(Path("cells.zip"), Path("cells"))  # doctest: +SKIP
    """
    with atomic_folder(folder) as scratch:
        target = scratch.resolve()
        try:
            with zipfile.ZipFile(archive) as bundle:
                names = members if members is not None else bundle.namelist()
                size = sum(bundle.getinfo(name).file_size for name in names)
                if size > (free := shutil.disk_usage(target).free):
                    raise NoRoomError(
                        folder.parent,
                        f"{archive.name} unpacks to {size / 1e9:.1f} GB, and {free / 1e9:.1f} GB "
                        "are free",
                    )
                for name in names:
                    if not (target / name).resolve().is_relative_to(target):
                        raise ValueError(f"{archive.name} holds {name!r}, which leaves the folder")
                    bundle.extract(name, target)
        except _NOT_WHOLE as error:
            raise ValueError(f"{archive.name} is not a whole zip file: {error}") from error
    return folder
