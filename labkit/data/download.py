"""Get a file: cache, then mirror, then network; verified, atomic, and never waiting for ever."""

import errno
import os
import shutil
import time
import warnings
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pooch
import requests

from labkit import settings
from labkit.data import transfer
from labkit.data.kept import Fetched, is_archive, keep_record, recognised, record_of
from labkit.data.mirrors import in_this_network, mirror_index, offer
from labkit.files import atomic, is_whole_zip, sha256

ATTEMPTS_PER_SOURCE = 2
SILENT_SECONDS = 300  # so long a mirror that did not answer is not asked again
_SILENT: dict[str, float] = {}  # by mirror, the time until which it is left alone
DISK_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EROFS)


class UnavailableError(OSError):
    """A file is in neither cache, mirror nor network; the message lists what was tried."""


class DiskError(UnavailableError):
    """The data folder cannot be written; no other source would help."""

    def __init__(self, folder: Path, number: int) -> None:
        super().__init__(
            f"The data folder {folder} cannot be written ({os.strerror(number)}): make room, or "
            "set LABKIT_DATA to a folder of yours."
        )


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
    """The longest a download may take: two minutes plus what 0.2 MB/s would need."""
    return 120 + megabytes / 0.2


def fetch(file: RemoteFile) -> Fetched:
    """Return a verified local copy of a file, fetching it when it is not in the cache.

    Raises:
        UnavailableError: when no source has it; the message says what was tried and what to do.
    """
    tried = []
    for step in (_from_cache, _from_mirror, _from_network):
        try:
            if step is not _from_cache:
                _check_folder(file)
            return step(file)
        except DiskError:
            raise
        except UnavailableError as error:
            tried.append(str(error))
    raise UnavailableError(
        f"{file.key} cannot be had: {'; '.join(tried)}. Connect to the network and try again, "
        "or set LABKIT_MIRROR to a folder that holds mirror.toml."
    )


def _from_cache(file: RemoteFile) -> Fetched:
    path = settings.data_dir() / file.path
    if not path.exists():
        raise UnavailableError(f"not in {path.parent}")
    try:
        if path.is_file() and (fetched := recognised(path, file.known_hash)):
            return fetched
        damaged = path.with_name(path.name + ".damaged")
        os.replace(path, damaged)
    except FileNotFoundError:
        raise UnavailableError(f"another process is fetching {path.name}") from None
    record_of(path).unlink(missing_ok=True)
    message = (
        f"{path.name} in the cache is truncated or altered; it was set aside as {damaged.name}"
    )
    warnings.warn(message, stacklevel=4)
    raise UnavailableError(message)


def _check_folder(file: RemoteFile) -> None:
    """Raise DiskError where nothing can be written: then no source is worth asking."""
    folder = (settings.data_dir() / file.path).parent
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DiskError(folder, error.errno) from error
    if not os.access(folder, os.W_OK):
        raise DiskError(folder, errno.EACCES)


def _stop_where_full(folder: Path, error: Exception) -> None:
    if isinstance(error, OSError) and error.errno in DISK_FULL:
        raise DiskError(folder, error.errno) from error


def _from_mirror(file: RemoteFile) -> Fetched:
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
        item = offer(mirror_index(mirror, transfer.READ_SECONDS), file.key)
        if item is None:
            raise UnavailableError(f"the mirror does not have {file.key}")
        if remote:
            url = f"{mirror.rstrip('/')}/{item['file']}"
            return _retrieve(url, f"sha256:{item['sha256']}", file, "mirror", item.get("note", ""))
        fetched = Fetched(path, "mirror", item["sha256"], item.get("note", ""))
        return _copy(settings.expanded(mirror) / item["file"], fetched)
    except (UnavailableError, FileNotFoundError):
        raise
    except (OSError, ValueError) as error:  # also of requests and tomllib
        _stop_where_full(path.parent, error)
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


def _from_network(file: RemoteFile) -> Fetched:
    if settings.offline():
        raise UnavailableError("LABKIT_OFFLINE is set")
    failures = []
    for url in file.urls:
        wait: float | None = 0.0
        for _ in range(ATTEMPTS_PER_SOURCE):
            if wait is None:
                break
            time.sleep(wait)
            try:
                return _retrieve(url, file.known_hash, file, "official")
            except (OSError, ValueError) as error:  # requests' errors are OSErrors
                _stop_where_full(settings.data_dir(), error)
                failures.append(f"{url.split('/')[2]}: {_first_line(error)}")
                wait = transfer.asked_to_wait(error)
    raise UnavailableError("network: " + "; ".join(dict.fromkeys(failures)))


def _first_line(error: Exception) -> str:
    return f"{type(error).__name__}: {error}".splitlines()[0][:160]


def _retrieve(
    url: str, known_hash: str | None, file: RemoteFile, source: str, note: str = ""
) -> Fetched:
    """Download with pooch: to a temporary file, verified, then moved into place.

    The record comes first: a process that looks at the same time takes a file without one for
    damaged.
    """
    path = settings.data_dir() / file.path
    logger = pooch.get_logger()
    logger.setLevel("WARNING")  # pooch would print the path and hash of each download
    seconds, most = deadline_seconds(file.megabytes), int(3e6 * file.megabytes + 1e7)
    downloader = partial(transfer.stream, seconds=seconds, most=most)
    with atomic(path) as temporary:
        rights = temporary.stat().st_mode  # pooch's own file could be read by nobody else
        temporary.unlink()  # pooch would take it for the file
        pooch.retrieve(
            url, known_hash, fname=temporary.name, path=temporary.parent, downloader=downloader
        )
        temporary.chmod(rights)
        if not known_hash and is_archive(path) and not is_whole_zip(temporary):
            raise ValueError(f"what came is no whole {path.suffix} file, perhaps a login page")
        return keep_record(Fetched(path, source, sha256(temporary), note))
