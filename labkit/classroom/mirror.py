"""Data for a class: fetched ahead, and laid out so that a room needs no network."""

import json
import shutil
import socket
from collections.abc import Iterator, Sequence
from contextlib import suppress
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from labkit import settings
from labkit.data.archives import holds_photographs
from labkit.data.catalog import NAMES, entry
from labkit.data.download import UnavailableError, fetch
from labkit.data.kept import Fetched
from labkit.data.mirrors import mirror_index, offer
from labkit.files import atomic, sha256
from labkit.models.backbones import BACKBONES, fetch_weights

COURSE = ("bloodmnist", "mnist", "pbc", "squeezenet1_0")  # what the labs use
HEADER = (
    "# One table a name: the file that serves it, and its SHA-256. `note` is shown on the card.\n"
)


def fetch_named(name: str, size: int | None = None) -> dict[str, Fetched]:
    """Fetch the files of a data set or of a pretrained network.

    Args:
        name: of the catalogue, or of a backbone.
        size: pixels a side, for data sets that come in several.

    Returns:
        The files by their key in a mirror; empty for data that are drawn.

    Raises:
        ValueError: for an unknown name or size.
        UnavailableError: when a file cannot be had.

    Example:
        >>> fetch_named("synthetic")
        {}
    """
    if name in BACKBONES:
        return {f"weights/{name}": fetch_weights(name)}
    item = entry(name)
    files = {file.key: fetch(file) for file in item.files(item.check_size(size))}
    for one in files.values():
        if one.path.suffix == ".zip" and not holds_photographs(one.path):
            again = f"`lk.load_dataset({name!r})` fetches it again"
            raise UnavailableError(f"{one.path.name} holds no photographs: {again}.")
    return files


def check_names(names: Sequence[str]) -> None:
    """Raise ValueError for a name that is neither a data set nor a pretrained network."""
    known = (*NAMES, *BACKBONES)
    for name in names:
        if name not in known:
            choices = ", ".join(known)
            raise ValueError(f"There is no data set or network {name!r}; choose of {choices}.")


def make_mirror(
    folder: Path, names: Sequence[str] = COURSE, size: int | None = None
) -> Iterator[tuple[bool, str]]:
    """Fill a folder that ``LABKIT_MIRROR`` can name: the files, and ``mirror.toml``.

    What the folder held before stays, and is not fetched again. A file that cannot be had does not
    stop the others.

    Args:
        folder: is made if need be.
        names: data sets and pretrained networks.
        size: pixels a side, for data sets that come in several.

    Yields:
        For each name whether all is well, and a line that says what was done.

    Raises:
        ValueError: for an unknown name, before anything is fetched.

    Example:
        >>> list(make_mirror(Path("mirror"), ["synthetic"]))
        [(True, 'synthetic: is drawn, nothing to fetch')]
    """
    check_names(names)
    index = folder / "mirror.toml"
    entries = mirror_index(str(folder)) if index.exists() else {}
    for name in names:
        if there := _whole(folder, entries, name, size):
            yield True, f"{name}: {there} file{'s' * (there > 1)} in {folder} already"
            continue
        try:
            files = fetch_named(name, size)
        except UnavailableError as error:
            yield False, f"{name}: {error}"
            continue
        for key, fetched in files.items():
            place = fetched.path.relative_to(settings.data_dir())
            with atomic(folder / place) as temporary:
                shutil.copyfile(fetched.path, temporary)
            entries[key] = {"file": place.as_posix(), "sha256": fetched.sha256}
            entries[key] |= {"note": fetched.note} if fetched.note else {}
        with atomic(index) as temporary:
            temporary.write_text(_as_toml(entries), encoding="utf-8")
        said = f"{len(files)} file{'s' * (len(files) > 1)} in {folder}"
        yield True, f"{name}: {said if files else 'is drawn, nothing to fetch'}"


def _whole(folder: Path, entries: dict, name: str, size: int | None) -> int:
    """How many files the folder has of a name, 0 where one is missing or altered."""
    if name in BACKBONES:
        keys = [f"weights/{name}"]
    else:
        item = entry(name)
        keys = [file.key for file in item.files(item.check_size(size))]
    for key in keys:
        known = offer(entries, key)
        if not known or not (path := folder / known["file"]).is_file():
            return 0
        if sha256(path) != known["sha256"]:
            return 0
    return len(keys)


def _as_toml(entries: dict) -> str:
    # a text in JSON is a text in TOML
    text = partial(json.dumps, ensure_ascii=False)
    tables = (
        "\n".join([f"[{text(key)}]", *(f"{name} = {text(value)}" for name, value in item.items())])
        for key, item in entries.items()
    )
    return HEADER + "".join(f"\n{table}\n" for table in tables)


def mirror_server(folder: Path, port: int = 8000) -> tuple[ThreadingHTTPServer, str]:
    """A web server for a mirror, which everybody in the same network can reach.

    Args:
        folder: a mirror.
        port: 0 for any that is free.

    Returns:
        The server (``serve_forever()`` runs it), and its address for ``LABKIT_MIRROR``.

    Raises:
        FileNotFoundError: when the folder holds no ``mirror.toml``.

    Example:
        >>> server, address = mirror_server(Path("mirror"))  # doctest: +SKIP
    """
    mirror_index(str(folder))
    handler = partial(SimpleHTTPRequestHandler, directory=str(folder))
    server = ThreadingHTTPServer(("", port), handler)
    return server, f"http://{_own_address()}:{server.server_port}"


def serve_mirror(folder: Path, port: int = 8000) -> None:
    """Serve a mirror to the room until Ctrl-C, and print the address that students set."""
    server, address = mirror_server(folder, port)
    print(f"Students set LABKIT_MIRROR={address} ; Ctrl-C ends.", flush=True)
    with server, suppress(KeyboardInterrupt):
        server.serve_forever()


def _own_address() -> str:
    """This machine's address in its network: a datagram socket knows it without sending any."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("10.255.255.255", 1))
            return probe.getsockname()[0]
        except OSError:  # no network at all
            return "127.0.0.1"
