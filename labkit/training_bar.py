"""The bar of ``fit``: one line that moves while training and is its summary afterwards."""

import io
import sys
from collections.abc import Callable

from tqdm import tqdm

from labkit.front_end import front_end

_FORMAT = "{where} |{bar:24}| loss {loss}, {rate_fmt}, {remaining} left"


class TrainingBar(tqdm):
    """Epoch, batch, loss of the last epoch, rate and time left, shown at most twice a second.

    In a notebook the line is one output that is replaced, so that it stays one line in the file
    and cannot flood the message queue. Where nobody watches, only the summary is printed.

    Args:
        epochs: how many are planned.
        batches: how many an epoch has; None where the loader does not say.
        done: epochs that a checkpoint brought along.
        wanted: False for no bar and no summary.

    Example:
        >>> with TrainingBar(epochs=2, batches=10) as bar:
        ...     bar.finish("2 epochs in 1.0 s")
        2 epochs in 1.0 s
    """

    monitor_interval = 0  # tqdm's thread would write into whichever cell runs by then

    def __init__(
        self, epochs: int, batches: int | None, done: int = 0, wanted: bool = True
    ) -> None:
        place = front_end()
        self.in_notebook = place in ("jupyter", "notebook")
        self.epochs, self.batches, self.wanted = epochs, batches, wanted
        self.epoch, self.epoch_start, self.loss = done + 1, (batches or 0) * done, "–"
        super().__init__(
            total=batches and batches * epochs,
            initial=(batches or 0) * done,
            unit=" batches",
            bar_format=_FORMAT,
            mininterval=0.5,
            miniters=1,
            leave=False,
            file=io.StringIO() if self.in_notebook else sys.stderr,
            ascii=False,
            disable=not (wanted and (self.in_notebook or sys.stderr.isatty())),
        )

    @property
    def format_dict(self) -> dict:
        """What the line may show."""
        batch = self.n - self.epoch_start
        of = f"/{self.batches}" if self.batches else ""
        where = f"epoch {self.epoch}/{self.epochs}, batch {batch}{of}"
        return {**super().format_dict, "where": where, "loss": self.loss, "ncols": 110}

    def end_epoch(self, loss: float) -> None:
        """Note the loss of the epoch that has ended."""
        self.loss, self.epoch_start = f"{loss:.4f}", getattr(self, "n", 0)
        self.epoch = min(self.epoch + 1, self.epochs)

    def finish(self, summary: str) -> None:
        """Replace the bar by one line that stays."""
        self.close()
        if self.wanted and self.in_notebook:
            self.sp(summary)
        elif self.wanted:
            print(summary)

    def status_printer(self, file: object) -> Callable[[str], None]:
        """How a line is shown; tqdm asks for it once."""
        return _replace_output() if self.in_notebook else tqdm.status_printer(file)


def _replace_output() -> Callable[[str], None]:
    from IPython.display import display

    output = None

    def show(text: str) -> None:
        nonlocal output
        bundle = {"text/plain": text.rstrip()}
        if output is None:
            output = display(bundle, raw=True, display_id=True)
        elif bundle["text/plain"]:  # tqdm clears its line before it ends
            output.update(bundle, raw=True)

    return show
