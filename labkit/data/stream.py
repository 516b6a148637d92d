"""Bytes over the network, within one deadline for redirects, headers and body together."""

import queue
import re
import threading
import time
from collections.abc import Iterator
from contextlib import closing, suppress
from email.utils import parsedate_to_datetime
from pathlib import Path

import requests
from urllib3.exceptions import HTTPError

from labkit.display import LEAVES_A_LINE, ProgressLine, duration, progress_text

CONNECT_SECONDS, READ_SECONDS = 5, 20
HEADER_SECONDS = 60  # for redirects and headers
SLOW_SECONDS, SLOW_BYTES = 60, 1_000_000  # a server that sends less in this time is left
LONGEST_WAIT = 60  # seconds; a server that asks for more is given up
Part = requests.Response | bytes | Exception


def stream(url: str, file: Path, seconds: float, most: int) -> None:
    """Write a URL to a file of at most so many bytes; too slow, too long, cut off: an OSError."""
    start, line, name = time.monotonic(), ProgressLine(), Path(url).name[:32]
    with closing(receive(url, seconds)) as parts, file.open("wb") as out:
        answer = next(parts)
        answer.raise_for_status()
        if answer.status_code != 200:
            raise ConnectionError(f"answered {answer.status_code} {answer.reason}, not the file")
        length = answer.headers.get("content-length", "")
        total = int(length) if length.isascii() and length.isdigit() else 0

        def progress() -> str:
            done, size = out.tell() // 1_000_000, total // 1_000_000
            return progress_text(f"fetching {name}, MB", done, size, time.monotonic() - start)

        try:
            for chunk in parts:
                out.write(chunk)
                line.show(progress)
                if out.tell() > most:
                    raise ConnectionError(f"sends more than {most:,} bytes: not the file")
        except HTTPError as error:  # of urllib3, which is no OSError
            raise ConnectionError(f"{error} after {out.tell():,} bytes") from error
        finally:
            took, size = time.monotonic() - start, out.tell() / 1e6
            line.finish(
                f"fetched {size:.0f} MB of {name} in {duration(took)}"
                if took > LEAVES_A_LINE
                else ""
            )
        if total and out.tell() != total:
            raise ConnectionError(f"cut off after {out.tell():,} of {total:,} bytes")


def receive(url: str, seconds: float) -> Iterator[requests.Response | bytes]:
    """Ask a URL: first its answer with the headers, then the body as it arrives.

    The waits of `requests` count from one byte to the next, so a server that sends a byte a second,
    also within a header or between two chunks, would never meet them: the question is asked and
    its answer read in a thread that can be left behind.

    Raises:
        OSError: when there is no answer in time, too little comes, or none at all.
        HTTPError: of urllib3, when the body breaks off.
    """
    arrived: queue.Queue[Part] = queue.Queue(32)  # a slow disk slows the network, and no more
    left = threading.Event()
    threading.Thread(target=_read, args=(url, arrived, left), daemon=True).start()
    begin = time.monotonic()
    end, came = begin + seconds, 0
    try:
        part = _next(arrived, min(end, begin + HEADER_SECONDS))
        if part is None:
            raise TimeoutError(f"no answer after {time.monotonic() - begin:.0f} s")
        yield part
        look, before = time.monotonic() + SLOW_SECONDS, 0
        while part := _next(arrived, min(end, look)):
            yield part
            came += len(part)
            if time.monotonic() > look and came - before > SLOW_BYTES:
                look, before = time.monotonic() + SLOW_SECONDS, came
        if part is None:
            took = time.monotonic() - begin
            raise TimeoutError(f"not finished after {took:.0f} s ({came:,} bytes)")
    finally:
        left.set()


def _next(arrived: "queue.Queue[Part]", end: float) -> requests.Response | bytes | None:
    """What arrives next, b"" at the end, None where the time is over."""
    if (remaining := end - time.monotonic()) <= 0:
        return None
    try:
        part = arrived.get(timeout=remaining)
    except queue.Empty:
        return None
    if isinstance(part, Exception):
        raise part
    return part


def _read(url: str, arrived: "queue.Queue[Part]", left: threading.Event) -> None:
    waits, plain = (CONNECT_SECONDS, READ_SECONDS), {"Accept-Encoding": "identity"}

    def hand_on(part: Part) -> None:
        while not left.is_set():
            with suppress(queue.Full):
                return arrived.put(part, timeout=1)

    try:
        with requests.get(url, stream=True, timeout=waits, headers=plain) as answer:
            hand_on(answer)
            # read1 returns what has arrived, however little
            while not left.is_set() and (chunk := answer.raw.read1(1 << 16)):
                hand_on(chunk)
        hand_on(b"")
    except Exception as error:  # handed on to whoever waits
        hand_on(error)


def asked_to_wait(error: Exception) -> float | None:
    """The seconds that a busy server (429, 503) asked for, 0 if it did not; None if too many.

    `Retry-After` is a number or a date; where a busy server gives none, a second is waited.
    """
    answer = getattr(error, "response", None)
    if answer is None:
        return 0.0
    text = answer.headers.get("Retry-After", "1" if answer.status_code in (429, 503) else "")
    if re.fullmatch(r"[0-9]+(\.[0-9]+)?", text):
        wait = float(text[:9])
    else:
        try:
            wait = parsedate_to_datetime(text).timestamp() - time.time()
        except (ValueError, OverflowError):  # no date, or none that a clock can show
            return 0.0
    return max(0.0, wait) if wait <= LONGEST_WAIT else None
