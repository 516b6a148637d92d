"""Bytes over the network, within one deadline for redirects, headers and body together."""

import queue
import re
import threading
import time
from email.utils import parsedate_to_datetime
from pathlib import Path

import requests
from urllib3.exceptions import HTTPError

from labkit.display import LEAVES_A_LINE, ProgressLine, duration, progress_text

CONNECT_SECONDS, READ_SECONDS = 5, 20
LONGEST_WAIT = 60  # seconds; a server that asks for more is given up


def stream(url: str, output_file: str, _pooch: object, seconds: float, most: int) -> None:
    """Write a URL to a file of at most so many bytes; too slow, too long, cut off: an OSError."""
    start, line, name = time.monotonic(), ProgressLine(), Path(url).name[:32]
    with ask(url, seconds) as answer, open(output_file, "wb") as out:
        answer.raise_for_status()
        if answer.status_code != 200:
            raise ConnectionError(f"answered {answer.status_code} {answer.reason}, not the file")
        length = answer.headers.get("content-length", "")
        total = int(length) if length.isascii() and length.isdigit() else 0

        def progress() -> str:
            done, size = out.tell() // 1_000_000, total // 1_000_000
            return progress_text(f"fetching {name}, MB", done, size, time.monotonic() - start)

        try:
            # read1 returns what has arrived, so that a line that only drips meets the deadline too
            while chunk := answer.raw.read1(1 << 16):
                out.write(chunk)
                line.show(progress)
                if time.monotonic() - start > seconds:
                    raise TimeoutError(f"not finished after {seconds:.0f} s ({out.tell():,} bytes)")
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


def ask(url: str, seconds: float) -> requests.Response:
    """Open a URL; redirects and headers together take at most this long.

    The waits of `requests` count from one byte to the next, so a server that sends a byte a second
    would never meet them: the question is asked in a thread that can be left behind.

    Raises:
        OSError: when there is no answer in time, or none at all.
    """
    answers: queue.SimpleQueue[requests.Response | Exception] = queue.SimpleQueue()
    waits, plain = (CONNECT_SECONDS, READ_SECONDS), {"Accept-Encoding": "identity"}

    def question() -> None:
        try:
            answers.put(requests.get(url, stream=True, timeout=waits, headers=plain))
        except Exception as error:  # handed on to whoever waits
            answers.put(error)

    threading.Thread(target=question, daemon=True).start()
    try:
        answer = answers.get(timeout=seconds)
    except queue.Empty:
        raise TimeoutError(f"no answer after {seconds:.0f} s") from None
    if isinstance(answer, Exception):
        raise answer
    return answer


def asked_to_wait(error: Exception) -> float | None:
    """The seconds that a busy server (429, 503) asked for, 0 if it did not; None if too many.

    `Retry-After` is a number or a date.
    """
    answer = getattr(error, "response", None)
    text = answer.headers.get("Retry-After", "") if answer is not None else ""
    if re.fullmatch("[0-9]+", text):
        wait = float(text[:9])
    else:
        try:
            wait = parsedate_to_datetime(text).timestamp() - time.time()
        except (ValueError, OverflowError):  # no date, or none that a clock can show
            return 0.0
    return max(0.0, wait) if wait <= LONGEST_WAIT else None
