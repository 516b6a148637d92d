"""The table of lab 05 that grows rung by rung, and what a training costs here."""

from collections.abc import Mapping

import pandas as pd

from labkit.device import choose_precision, get_device
from labkit.metrics import Predictions
from labkit.models.recordings import Recording


def say_cost(bf16: float, fp32: float) -> None:
    """Say what the cell below costs in full, before it starts.

    Args:
        bf16: seconds on two cores with fast bf16.
        fp32: seconds on two cores without.

    Example:
        >>> say_cost(40, 120)
        In full about ... on two quiet cores in ...
    """
    device = get_device()
    kind = "bf16" if choose_precision("auto", device) == "bf16" else "fp32"
    on_cpu = f"about {bf16 if kind == 'bf16' else fp32} s on two quiet cores in {kind}"
    print(f"In full {on_cpu}." if device.type == "cpu" else f"On this GPU less than {on_cpu}.")


class Ladder:
    """The rungs so far: size, test accuracy with its interval, and what the training took.

    Example:
        >>> ladder = Ladder()
        >>> result = lk.Predictions([[2.0, 0.0], [0.0, 1.0]], [0, 1], ("a", "b"))
        >>> print(ladder.add("toy", 12, result, [{"seconds": 3.0}])[["epochs", "seconds"]])
            epochs seconds
        toy      1       3
    """

    def __init__(self) -> None:
        self.rows: dict[str, dict] = {}

    def add(
        self,
        name: str,
        parameters: int,
        result: Predictions,
        history: list[dict],
        note: str = "",
        seconds: float = 0,
    ) -> pd.DataFrame:
        """Add a rung, and return the table.

        Args:
            name: of the rung.
            parameters: numbers that were learnt.
            result: on the test images.
            history: of the training.
            note: what must stand beside the seconds.
            seconds: that it took; 0 for the sum of the epochs.
        """
        low, high = result.accuracy_interval()
        self.rows[name] = {
            "parameters": parameters,
            "accuracy": 100 * result.accuracy,
            "low": 100 * low,
            "high": 100 * high,
            "macro F1": result.macro_f1,
            "epochs": len(history),
            "seconds": seconds or sum(epoch["seconds"] for epoch in history),
            "note": note,
        }
        return self.table()

    def add_recorded(self, name: str, recording: Recording) -> pd.DataFrame:
        """Add a training that may be a recording: its seconds are those of another machine."""
        note = "" if recording.anew else f" (recorded on {recording.made['processor']})"
        test, history, seconds = recording.test, recording.history, recording.made["seconds"]
        return self.add(name, recording.parameters, test, history, note, seconds)

    def frame(self) -> pd.DataFrame:
        """The rungs as numbers, for ``lk.figures.ladder_chart``."""
        return pd.DataFrame.from_dict(self.rows, orient="index")

    def table(self, lessons: Mapping[str, str] | None = None) -> pd.DataFrame:
        """The rungs as text.

        Args:
            lessons: your own sentence for each rung, by its name.
        """
        shown = pd.DataFrame(index=list(self.rows))
        rows = self.rows.values()
        shown["parameters"] = [f"{row['parameters']:,}" for row in rows]
        shown["test accuracy in %"] = [f"{row['accuracy']:.1f}" for row in rows]
        shown["95 % interval"] = [f"{row['low']:.1f}–{row['high']:.1f}" for row in rows]
        shown["macro F1"] = [f"{row['macro F1']:.3f}" for row in rows]
        shown["epochs"] = [row["epochs"] for row in rows]
        shown["seconds"] = [f"{row['seconds']:.0f}{row['note']}" for row in rows]
        if lessons is not None:
            shown["what it taught me"] = [lessons.get(name, "…") for name in self.rows]
        return shown
