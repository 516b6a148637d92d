"""What a mirror offers: the entries of its ``mirror.toml``, in a folder or at a URL."""

import ipaddress
import tomllib
from contextlib import closing
from pathlib import PurePosixPath
from urllib.parse import unquote, urlsplit

from urllib3.exceptions import HTTPError

from labkit import settings
from labkit.data.stream import READ_SECONDS, receive

LARGEST_INDEX = 1_000_000  # bytes; the course's own has 2,000


def mirror_index(mirror: str, seconds: float = READ_SECONDS) -> dict[str, object]:
    """Read ``mirror.toml`` of a folder, or of a URL that may take so many seconds.

    Returns:
        What stands under each key; `offer` looks into an entry.

    Raises:
        FileNotFoundError: when the folder has no ``mirror.toml``.
        ValueError: when it is no TOML, or too large.
        OSError: when the URL cannot be had.
    """
    if "://" in mirror:
        content = _download(f"{mirror.rstrip('/')}/mirror.toml", seconds)
    else:
        index = settings.expanded(mirror) / "mirror.toml"
        if not index.exists():
            raise FileNotFoundError(
                f"LABKIT_MIRROR is {mirror!r}, but there is no mirror.toml in that folder. "
                "Correct the variable, or remove it to use the network."
            )
        with index.open("rb") as stream:
            content = stream.read(LARGEST_INDEX + 1)
    if len(content) > LARGEST_INDEX:
        raise ValueError(f"mirror.toml is larger than {LARGEST_INDEX:,} bytes")
    try:
        return tomllib.loads(content.decode("utf-8-sig"))  # some editors begin a file with a mark
    except RecursionError:
        raise ValueError("mirror.toml is nested too deeply") from None


def offer(index: dict[str, object], key: str) -> dict[str, str] | None:
    """The entry of one file, looked into: ``file``, ``sha256`` and perhaps ``note``.

    Raises:
        ValueError: when the entry lacks one of them, or its file lies outside the mirror.

    Example:
        >>> offer({"pbc": {"file": "pbc.zip", "sha256": "AB" * 32}}, "pbc")["sha256"][:4]
        'abab'
    """
    if key not in index:
        return None
    item = index[key]
    fields = {"note": "", **item} if isinstance(item, dict) else {}
    if not all(isinstance(fields.get(name), str) for name in ("file", "sha256", "note")):
        raise ValueError(f"mirror.toml: [{key}] needs `file` and `sha256`, both as text")
    plain = item["file"]
    while plain != (plain := unquote(plain)):  # a server would read %2e%2e as ..
        pass
    place = PurePosixPath(plain.replace("\\", "/"))
    if place.is_absolute() or ".." in place.parts or ":" in plain:
        raise ValueError(f"mirror.toml: the file of [{key}], {item['file']!r}, leaves the mirror")
    return {**item, "sha256": item["sha256"].strip().lower().removeprefix("sha256:")}


def in_this_network(url: str) -> bool:
    """Whether an address belongs to the local network, so that it is allowed offline.

    Example:
        >>> in_this_network("http://192.168.1.5:8000"), in_this_network("https://example.org/m")
        (True, False)
    """
    try:
        host = urlsplit(url).hostname or ""
    except ValueError:  # no address at all; whoever asks it will say so
        return True
    try:
        return not ipaddress.ip_address(host).is_global
    except ValueError:  # a name
        return "." not in host or host.endswith(".local")


def _download(url: str, seconds: float) -> bytes:
    content = b""
    try:
        with closing(receive(url, seconds)) as parts:
            next(parts).raise_for_status()
            for chunk in parts:
                content += chunk
                if len(content) > LARGEST_INDEX:
                    break
    except HTTPError as error:  # of urllib3, which is no OSError
        raise ConnectionError(f"{error} after {len(content):,} bytes") from error
    return content
