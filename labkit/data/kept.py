"""What lies in the cache, and the record beside each file of where it came from."""

import json
import os
import re
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

import pooch

from labkit.files import atomic, is_whole_gzip, is_whole_zip, sha256

BY_HAND = "laid into the cache by hand"


@dataclass(frozen=True)
class Fetched:
    """A file on this machine and where it came from."""

    path: Path
    source: str  # "official" or "mirror"
    sha256: str  # verified at each use
    note: str = ""  # what the mirror says of it


def discard(fetched: Fetched) -> None:
    """Remove a file from the cache, with the record of where it came from."""
    fetched.path.unlink(missing_ok=True)
    record_of(fetched.path).unlink(missing_ok=True)


def set_aside(path: Path) -> Path:
    """Rename a file of the cache that cannot be used, so that it is fetched again.

    Raises:
        FileNotFoundError: when another process has done so.
    """
    damaged = path.with_name(path.name + ".damaged")
    os.replace(path, damaged)
    record_of(path).unlink(missing_ok=True)
    return damaged


def record_of(path: Path) -> Path:
    """The file beside a cached one that says where it came from."""
    return path.with_name(path.name + ".origin.json")


def keep_record(fetched: Fetched) -> Fetched:
    """Write the record of a file; return what was written."""
    record = record_of(fetched.path)
    with atomic(record) as temporary:
        text = json.dumps(asdict(fetched) | {"path": fetched.path.name}, indent=1)
        temporary.write_text(text, encoding="utf-8")
    return fetched


def recognised(path: Path, known_hash: str | None) -> Fetched | None:
    """What a cached file is by its record, its published hash, or at least its form."""
    if fields := _read_record(path):
        same = sha256(path) == fields["sha256"].lower()
        return Fetched(**(fields | {"path": path})) if same else None
    found = sha256(path)
    prefix = hash_prefix(path.name)
    if known_hash and pooch.hashes.hash_matches(path, known_hash):
        fetched = Fetched(path, "official", found)
    elif prefix and found.startswith(prefix):  # so torchvision publishes its hashes
        fetched = Fetched(path, "official", found)
    elif is_whole(path):
        fetched = Fetched(path, "mirror", found, BY_HAND)
    else:
        return None
    with suppress(OSError):  # a cache that a class shares may be read-only
        keep_record(fetched)
    return fetched


def _read_record(path: Path) -> dict[str, str] | None:
    try:
        fields = json.loads(record_of(path).read_text(encoding="utf-8"))
        Fetched(**fields)
    except (OSError, ValueError, TypeError, RecursionError):  # none, or not one of labkit's
        return None
    text = all(isinstance(value, str) for value in fields.values())
    return fields if text and re.fullmatch("[0-9a-fA-F]{64}", fields["sha256"]) else None


def hash_prefix(name: str) -> str:
    """The start of a SHA-256 that a file name ends in, "" where it does not.

    Example:
        >>> hash_prefix("resnet18-f37072fd.pth")
        'f37072fd'
    """
    found = re.search(r"-([0-9a-f]{8,64})\.pth$", name)
    return found[1] if found else ""


def is_whole(path: Path) -> bool:
    """Whether a file is of a kind that shows by itself that it is whole, and is so."""
    if path.suffix == ".gz":
        return is_whole_gzip(path)
    return path.suffix in (".npz", ".pth", ".zip") and is_whole_zip(path)


def is_archive(path: Path) -> bool:
    """Whether the name is that of a zip file, which shows by itself whether it is whole."""
    return path.suffix in (".zip", ".npz")
