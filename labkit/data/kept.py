"""What lies in the cache, and the record beside each file of where it came from."""

import json
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

import pooch

from labkit.files import atomic, is_whole_zip, sha256


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
    if known_hash and pooch.hashes.hash_matches(path, known_hash):
        fetched = Fetched(path, "official", sha256(path))
    elif is_archive(path) and is_whole_zip(path):
        fetched = Fetched(path, "mirror", sha256(path), "laid into the cache by hand")
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
    return fields if all(isinstance(value, str) for value in fields.values()) else None


def is_archive(path: Path) -> bool:
    """Whether the name is that of a zip file, which shows by itself whether it is whole."""
    return path.suffix in (".zip", ".npz")
