"""The line that ``fit`` shows: epoch, batch, loss and time left; afterwards its summary."""

import time

from labkit.display import ProgressLine, bar, duration


class TrainingBar:
    """Follows a training through its batches and epochs.

    Args:
        epochs: how many are planned.
        batches: how many an epoch has; None where the loader does not say.
        done: epochs that a checkpoint brought along.
        wanted: False for no line and no summary.

    Example:
        >>> bar = TrainingBar(epochs=2, batches=10)
        >>> bar.update()
        >>> bar.finish("2 epochs in 1.0 s")
        2 epochs in 1.0 s
    """

    def __init__(
        self, epochs: int, batches: int | None, done: int = 0, wanted: bool = True
    ) -> None:
        self.epochs, self.batches, self.done, self.before = epochs, batches, done, done
        self.batch, self.loss, self.start = 0, "–", time.perf_counter()
        self._line = ProgressLine(wanted)

    def update(self) -> None:
        """Count a batch."""
        self.batch += 1
        self._line.show(self.text)

    def end_epoch(self, loss: float) -> None:
        """Count an epoch, and note its loss."""
        self.done, self.batch, self.loss = self.done + 1, 0, f"{loss:.4f}"

    def finish(self, summary: str) -> None:
        """Put one line that stays in the place of the moving one."""
        self._line.finish(summary)

    def text(self) -> str:
        """What the line says now."""
        where = f"epoch {min(self.done + 1, self.epochs)}/{self.epochs}"
        if not self.batches:
            return f"{where}, batch {self.batch}, loss {self.loss}"
        epochs = self.done + self.batch / self.batches
        pace = (time.perf_counter() - self.start) / (epochs - self.before)
        return (
            f"{where}, batch {self.batch}/{self.batches} {bar(epochs / self.epochs)} "
            f"loss {self.loss}, {duration(pace * (self.epochs - epochs))} left"
        )
