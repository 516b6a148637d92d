"""What every output shares: who looks at it, its colours, when to redraw, one line that moves."""

import os
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

Item = TypeVar("Item")

# Okabe and Ito (2008): eight colours that people with any colour blindness tell apart
PALETTE = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#F0E442", "#000000")
STAND_IN_COLOUR = "#b3261e"  # says "not the real data" wherever a stand-in is named
LEAVES_A_LINE = 5.0  # seconds that work must take for its line to stay
_cell_is_stopped = False  # whether a training in the present cell was stopped by hand


def running_shell() -> Any:
    """IPython's shell where one is running, else None; IPython is not imported for it."""
    ipython = sys.modules.get("IPython")
    return ipython.get_ipython() if ipython else None


def front_end() -> str:
    """Say where output goes, as far as a kernel can know.

    Returns:
        ``"terminal"`` without a kernel; ``"unattended"`` when nbclient or nbval runs the cells, so
        that nobody watches; ``"jupyter"`` under Jupyter Server (JupyterLab, Notebook 7), where
        widgets work; ``"notebook"`` in every other front end (Colab, VS Code, …).

    Example:
        >>> front_end()
        'terminal'
    """
    shell = running_shell()
    kernel = getattr(shell, "kernel", None)
    if kernel is None:
        return "terminal"
    # a front end with a person in front of it lets a cell ask for input; nbclient and nbval do not
    if not kernel.get_parent().get("content", {}).get("allow_stdin", True):
        return "unattended"
    elsewhere = "google.colab" in sys.modules or "__vsc_ipynb_file__" in shell.user_ns
    return "jupyter" if "JPY_SESSION_NAME" in os.environ and not elsewhere else "notebook"


def end_cell_as_interrupted() -> None:
    """Let the present cell end as interrupted, so that "Run All" runs no further cells.

    What the cell has computed and assigned stays; a KeyboardInterrupt of its own would lose it.
    What heeds it (`heed_stop`: the next training, a loop of `track`) ends the cell there.
    """
    global _cell_is_stopped
    shell = running_shell()
    if shell is None:
        return

    def mark(result: Any) -> None:
        global _cell_is_stopped
        _cell_is_stopped = False
        shell.events.unregister("post_run_cell", mark)
        result.error_in_exec = result.error_in_exec or KeyboardInterrupt("stopped by hand")

    shell.events.register("post_run_cell", mark)
    _cell_is_stopped = True


def heed_stop() -> None:
    """Raise KeyboardInterrupt after a training of this cell was stopped: one Stop ends them all."""
    if _cell_is_stopped:
        raise KeyboardInterrupt


class Throttle:
    """Keeps the time spent on drawing below a small share of the time that passes.

    Args:
        first: so many drawings are not held back.
        pause: seconds between two drawings, at least.
        share: the share of time that drawing may take.
        clock: gives seconds.

    Example:
        >>> throttle = Throttle(first=1, pause=60)
        >>> with throttle.drawing():
        ...     print("drawn")
        drawn
        >>> throttle.ready()
        False
    """

    def __init__(
        self,
        first: int = 3,
        pause: float = 0.5,
        share: float = 0.01,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        self.first, self.pause, self.share, self.clock = first, pause, share, clock
        self.drawn, self.next_time = 0, float("-inf")

    def ready(self) -> bool:
        """Whether it is time to draw again."""
        return self.drawn < self.first or self.clock() >= self.next_time

    @contextmanager
    def drawing(self) -> Iterator[None]:
        """Measure a drawing; the longer it takes, the longer the pause that follows."""
        start = self.clock()
        yield
        end = self.clock()
        self.drawn += 1
        self.next_time = end + max(self.pause, (end - start) / self.share)


class Output:
    """One output of a notebook's cell, which each new content replaces."""

    def __init__(self) -> None:
        self._handle: Any = None

    def show(self, bundle: dict[str, Any], metadata: dict[str, Any] | None = None) -> None:
        """Show a mime bundle, in place of the one before."""
        from IPython.display import display

        if self._handle is None:
            self._handle = display(bundle, metadata=metadata, raw=True, display_id=True)
        else:
            self._handle.update(bundle, metadata=metadata, raw=True)


class ProgressLine:
    """One line that moves while something long runs; at the end it is the summary, or empty.

    In a notebook it is one output, replaced at most twice a second: one line in the file, and no
    bar that stands frozen when the notebook is opened again. In a terminal it is a line of stderr.
    Where nobody watches, only the summary is printed.

    Args:
        wanted: False for no line and no summary.

    Example:
        >>> line = ProgressLine()
        >>> line.show(lambda: "half done")
        >>> line.finish("read 10 files")
        read 10 files
    """

    def __init__(self, wanted: bool = True) -> None:
        self.wanted, place = wanted, front_end()
        self._output = Output() if place in ("jupyter", "notebook") else None
        self._in_terminal = place == "terminal" and sys.stderr.isatty()
        self._throttle, self._shown = Throttle(first=1, pause=0.5), ""

    def show(self, text: Callable[[], str]) -> None:
        """Show a text, unless the last one was shown only just now: then it is not even made."""
        if self.wanted and (self._output or self._in_terminal) and self._throttle.ready():
            with self._throttle.drawing():
                self._put(text())

    def finish(self, summary: str = "") -> None:
        """Leave the summary in the line's place; without one, nothing."""
        if not self.wanted:
            return
        if self._output and (summary or self._shown):
            self._put(summary)
        elif not self._output:
            if self._shown:
                self._put("")
            if summary:
                print(summary)

    def _put(self, text: str) -> None:
        if self._output:
            self._output.show({"text/plain": text})
        else:
            sys.stderr.write("\r" + text.ljust(len(self._shown)))
            sys.stderr.write("\r" if not text else "")
            sys.stderr.flush()
        self._shown = text


def track(items: Iterable[Item], what: str, total: int | None = None) -> Iterator[Item]:
    """Go through items and show how far one is; what took more than 5 s leaves its one line.

    Args:
        items: what is gone through.
        what: what is done with them, "reading photographs".
        total: how many there are; by default ``len(items)``, where there is one.

    Yields:
        The items.

    Raises:
        KeyboardInterrupt: after an item whose training was stopped by hand.

    Example:
        >>> [number for number in track(range(3), "counting")]
        [0, 1, 2]
    """
    total = len(items) if total is None and hasattr(items, "__len__") else total
    line, start, count = ProgressLine(), time.perf_counter(), 0
    try:
        for item in items:
            line.show(lambda n=count: progress_text(what, n, total, time.perf_counter() - start))
            yield item
            count += 1
            heed_stop()
    finally:
        seconds = time.perf_counter() - start
        line.finish(f"{what}: {count} in {duration(seconds)}" if seconds > LEAVES_A_LINE else "")


def progress_text(what: str, done: int, total: int | None, seconds: float, width: int = 24) -> str:
    """A bar in letters, and the time that is left.

    Example:
        >>> progress_text("reading", 5, 10, 4.0, width=8)
        'reading |████    | 5/10, 4 s left'
    """
    if not total:
        return f"{what}: {done:,}"
    left = f", {duration(seconds / done * (total - done))} left" if done else ""
    return f"{what} {bar(done / total, width)} {done:,}/{total:,}{left}"


def bar(share: float, width: int = 24) -> str:
    """A share from 0 to 1 as a bar of letters.

    Example:
        >>> bar(0.5, width=4)
        '|██  |'
    """
    full = round(width * min(max(share, 0.0), 1.0))
    return f"|{'█' * full}{' ' * (width - full)}|"


def duration(seconds: float) -> str:
    """Seconds as people say them.

    Example:
        >>> duration(100)
        '1 min 40 s'
    """
    minutes, rest = divmod(round(seconds), 60)
    if minutes >= 60:
        return f"{minutes // 60} h {minutes % 60} min"
    return f"{minutes} min {rest} s" if minutes else f"{max(rest, 1)} s"
