"""Get a file: cache, then mirror, then network; verified, atomic, and never waiting for ever."""

import errno
import os
import shutil
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TypeVar

import pooch
import requests

from labkit import settings
from labkit.data import stream
from labkit.data.kept import Fetched, is_archive, keep_record, recognised, set_aside
from labkit.data.mirrors import in_this_network, mirror_index, offer
from labkit.files import DiskError, atomic, is_whole_zip, sha256

SILENT_SECONDS = 300  # so long a mirror that did not answer is not asked again
_SILENT: dict[str, float] = {}  # by mirror, the time until which it is left alone
T = TypeVar("T")


class UnavailableError(OSError):
    """A file is in neither cache, mirror nor network; the message lists what was tried."""


class DataFolderError(DiskError, UnavailableError):
    """The data folder cannot be written; no other source would help."""


@dataclass(frozen=True)
class RemoteFile:
    """One file that can be downloaded."""

    key: str  # its name in a mirror's mirror.toml
    path: str  # where it is kept, relative to the data folder
    urls: tuple[str, ...]  # tried in this order
    # "md5:…" or "sha256:…"; None where none is published: the hash of the first download counts
    known_hash: str | None
    megabytes: int  # about


def deadline_seconds(megabytes: int) -> float:
    """The longest that mirror and network may take together: 2 min and what 0.3 MB/s needs."""
    return 120 + megabytes / 0.3


def fetch(file: RemoteFile) -> Fetched:
    """Return a verified local copy of a file, fetching it when it is not in the cache.

    Raises:
        UnavailableError: when no source has it; the message says what was tried and what to do.
            `DataFolderError` when it could not be written.
    """
    tried, end = [], time.monotonic() + deadline_seconds(file.megabytes)
    for step in (_from_cache, partial(_from_mirror, end=end), partial(_from_network, end=end)):
        try:
            if step is not _from_cache:
                _check_folder(file)
            return step(file)
        except DiskError as error:
            raise DataFolderError(error.folder, error.strerror) from error
        except UnavailableError as error:
            tried.append(str(error))
    raise UnavailableError(
        f"{file.key} cannot be had: {'; '.join(tried)}. Connect to the network and try again, "
        "or set LABKIT_MIRROR to a folder that holds mirror.toml."
    )


def _from_cache(file: RemoteFile) -> Fetched:
    path = settings.data_dir() / file.path
    if not os.path.exists(path):  # also where the folder may not be looked into
        raise UnavailableError(f"not in {path.parent}")
    fault = "is truncated or altered"
    try:
        if path.is_file() and (fetched := recognised(path, file.known_hash)):
            return fetched
    except FileNotFoundError:
        raise UnavailableError(f"another process is fetching {path.name}") from None
    except PermissionError:
        fault = "may not be read"
    try:
        damaged = set_aside(path)
    except FileNotFoundError:
        raise UnavailableError(f"another process is fetching {path.name}") from None
    except OSError as error:
        why = f"{error.strerror}, and {path.name} in it {fault}"
        raise DiskError(path.parent, why) from error
    message = f"{path.name} in the cache {fault}; it was set aside as {damaged.name}"
    warnings.warn(message, stacklevel=4)
    raise UnavailableError(message)


def _check_folder(file: RemoteFile) -> None:
    """Raise DiskError where nothing can be written: then no source is worth asking."""
    folder = (settings.data_dir() / file.path).parent
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError) as error:
        raise DiskError(folder, "a file stands where a folder should") from error
    except OSError as error:
        raise DiskError(folder, error.strerror or str(error)) from error
    if not os.access(folder, os.W_OK | os.X_OK):
        raise DiskError(folder, os.strerror(errno.EACCES))


def _from_mirror(file: RemoteFile, end: float) -> Fetched:
    mirror = settings.mirror()
    if not mirror:
        raise UnavailableError("no mirror set")
    remote = "://" in mirror
    if remote and settings.offline() and not in_this_network(mirror):
        raise UnavailableError(f"LABKIT_OFFLINE is set and the mirror {mirror} is in the internet")
    if time.monotonic() < _SILENT.get(mirror, 0):
        raise UnavailableError(f"the mirror {mirror} did not answer a moment ago")
    path = settings.data_dir() / file.path
    try:
        index = _patiently(lambda: mirror_index(mirror, stream.READ_SECONDS))
        item = offer(index, file.key)
        if item is None:
            raise UnavailableError(f"the mirror does not have {file.key}")
        if remote:
            url = f"{mirror.rstrip('/')}/{item['file']}"
            hash_, note = f"sha256:{item['sha256']}", item.get("note", "")
            return _patiently(lambda: _retrieve(url, hash_, file, end, "mirror", note))
        fetched = Fetched(path, "mirror", item["sha256"], item.get("note", ""))
        return _copy(settings.expanded(mirror) / item["file"], fetched)
    except (UnavailableError, DiskError, FileNotFoundError):
        raise
    except (OSError, ValueError) as error:  # also of requests and tomllib
        if isinstance(error, requests.ConnectionError | TimeoutError):
            _SILENT[mirror] = time.monotonic() + SILENT_SECONDS
        message = f"the mirror {mirror} failed ({error})"
        warnings.warn(message, stacklevel=5)
        raise UnavailableError(message) from error


def _copy(source: Path, fetched: Fetched) -> Fetched:
    if not source.is_file():
        raise ValueError(f"{source.name!r} is named in mirror.toml but is not there")
    with atomic(fetched.path) as temporary:
        shutil.copyfile(source, temporary)
        if sha256(temporary) != fetched.sha256:
            raise ValueError(
                f"{source.name} is truncated or altered: its SHA-256 is not {fetched.sha256}"
            )
        return keep_record(fetched)


def _from_network(file: RemoteFile, end: float) -> Fetched:
    if settings.offline():
        raise UnavailableError("LABKIT_OFFLINE is set")
    failures: list[str] = []
    for url in file.urls:
        try:
            return _patiently(partial(_retrieve, url, file.known_hash, file, end))
        except DiskError:
            raise
        except (OSError, ValueError) as error:  # requests' errors are OSErrors
            failures.append(f"{url.split('/')[2]}: {_first_line(error)}")
    raise UnavailableError("network: " + "; ".join(dict.fromkeys(failures)))


def _patiently(question: Callable[[], T]) -> T:
    """Ask once more what failed, when a busy server said; not where time was the fault."""
    try:
        return question()
    except (DiskError, FileNotFoundError, TimeoutError):
        raise
    except (OSError, ValueError) as error:
        wait = stream.asked_to_wait(error)
        if wait is None:
            raise
    time.sleep(wait)
    return question()


def _first_line(error: Exception) -> str:
    return f"{type(error).__name__}: {error}".splitlines()[0][:160]


def _retrieve(
    url: str,
    known_hash: str | None,
    file: RemoteFile,
    end: float,
    source: str = "official",
    note: str = "",
) -> Fetched:
    """Download to a temporary file until so late, verify it, and move it into place.

    The record comes first: a process that looks at the same time takes a file without one for
    damaged.
    """
    path = settings.data_dir() / file.path
    if (seconds := end - time.monotonic()) <= 0:
        raise TimeoutError("no time left for it")
    with atomic(path) as temporary:
        stream.stream(url, temporary, seconds, most=int(3e6 * file.megabytes + 1e7))
        if known_hash:
            pooch.hashes.hash_matches(temporary, known_hash, strict=True, source=path.name)
        elif is_archive(path) and not is_whole_zip(temporary):
            raise ValueError(f"what came is no whole {path.suffix} file, perhaps a login page")
        return keep_record(Fetched(path, source, sha256(temporary), note))
