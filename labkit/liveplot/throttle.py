"""When to draw: the first few times at once, then rarely enough to cost next to nothing."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager


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
