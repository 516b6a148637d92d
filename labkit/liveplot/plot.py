"""``LivePlot``: the class that students use, as a callback of ``fit`` or from their own loop."""

import math
import warnings
from collections.abc import Callable, Iterable, Sequence, Set
from numbers import Real
from types import SimpleNamespace
from typing import Any

import numpy as np

from labkit.arrays import to_numpy
from labkit.display import Throttle, running_shell
from labkit.liveplot.record import Record
from labkit.liveplot.renderers import RENDERERS, Renderer, make_renderer
from labkit.training.history import History


class LivePlot:
    """Loss, accuracy and confusion matrix that move while a network learns, and stay afterwards.

    Give it to ``fit`` as a callback, or call ``tick`` and ``report`` from a loop of your own. The
    picture stays under the cell after Ctrl-C or an error too, and when the kernel is gone.

    Args:
        class_names: the labels of the confusion matrix; None for those of the data.
        matrix_name: what the matrix shows, for its title.
        metric: what the second panel shows: ``"accuracy"``, ``"precision"``, ``"recall"`` or
            ``"f1"``.
        renderer: ``"auto"`` chooses what the front end does well; ``"image"`` (in every notebook)
            and ``"text"`` (a line an epoch) force one.

    Raises:
        ValueError: for an unknown metric or renderer.

    Example:
        >>> plot = LivePlot(["lymphocyte", "monocyte"])
        >>> history = lk.fit(model, train, val, callbacks=[plot])  # doctest: +SKIP

        In a loop of your own:

        >>> plot = LivePlot()
        >>> plot.set_limit(2)
        >>> for loss in (0.9, 0.5):
        ...     plot.tick()
        ...     plot.report("training loss", loss)
        step 1 of 2 · about 1 s left: training loss 0.9000
        step 2 of 2: training loss 0.5000

        Two trainings in one plot:

        >>> for rate in (1e-3, 1e-4):  # doctest: +SKIP
        ...     lk.fit(make_model(), train, val, callbacks=[plot.run(f"rate {rate}")])
    """

    def __init__(
        self,
        class_names: Sequence[str] | None = None,
        matrix_name: str = "validation images",
        *,
        metric: str = "accuracy",
        renderer: str = "auto",
    ) -> None:
        if isinstance(class_names, str | Set) or not isinstance(class_names, Iterable | None):
            raise ValueError(f"class_names is {class_names!r}; give a list, a name a class.")
        _check_choice("metric", metric, ("accuracy", "precision", "recall", "f1"))
        _check_choice("renderer", renderer, ("auto", *RENDERERS))
        self._record = Record(class_names, matrix_name, metric)
        self._renderer_name, self._renderer = renderer, None
        self._throttle = Throttle()
        self._shell: Any = None
        self._broken = False  # whether a drawing has failed, which is said once

    def run(self, name: str) -> SimpleNamespace:
        """Make the callback for one training of several that are drawn into the same plot.

        Args:
            name: what the legend calls this training; a second one of the same name replaces it.

        Returns:
            A callback for ``fit``.

        Example:
            >>> callback = LivePlot().run("SGD")
        """
        return SimpleNamespace(
            on_fit_begin=lambda history: self._follow(str(name), history),
            on_epoch_end=self.on_epoch_end,
            on_fit_end=self.on_fit_end,
        )

    def on_fit_begin(self, history: History) -> None:
        """Show the empty plot; called by ``fit``."""
        self._follow("", history)

    def on_epoch_end(self, history: History) -> None:
        """Show the new epoch, unless the last drawing was only just now; called by ``fit``."""
        self._draw()

    def on_fit_end(self, history: History) -> None:
        """Leave the last state under the cell; called by ``fit``, also after an error."""
        self._settle()

    def set_limit(self, n: int) -> None:
        """Say how many steps there will be in all."""
        self._record.limit = _checked("set_limit", n)

    def increment(self, n: int = 1) -> None:
        """Plan `n` more steps."""
        self._record.limit += _checked("increment", n)

    def tick(self, n: int = 1) -> None:
        """Move on by `n` steps; values reported from now on belong to the new step."""
        self._record.position += _checked("tick", n)

    def report(self, name: str, value: float) -> None:
        """Add a value to a curve.

        Args:
            name: "training loss", "validation accuracy", …: names with "loss" share a panel, names
                that begin with "train" are dashed.
            value: a number, or a tensor with one.

        Raises:
            ValueError: when the value is no single number.

        Example:
            >>> LivePlot(renderer="text").report("training loss", 0.7)
            step 1: training loss 0.7000
        """
        if not isinstance(name, str):
            raise ValueError(f"report got {name!r} for a name; give a text, then a number.")
        try:
            number = float(value)
        except (TypeError, ValueError, RuntimeError, OverflowError):
            kind = type(value).__name__
            raise ValueError(f"report({name!r}, …) got a {kind}; give it one number.") from None
        self._record.add_value(name, number)
        self._draw()

    def report_matrix(
        self, name: str, matrix: np.ndarray, labels: Sequence[str] | None = None
    ) -> None:
        """Show a confusion matrix.

        Args:
            name: what it shows, for its title.
            matrix: counts (C, C), rows true, columns predicted.
            labels: the C class names; None for those given to ``LivePlot``.

        Raises:
            ValueError: when the matrix is not square, holds no numbers, or the labels do not fit.
        """
        try:
            counts = to_numpy(matrix)
        except ValueError:  # rows of different lengths
            counts = np.asarray(matrix, object)
        if counts.dtype.kind not in "biuf":
            raise ValueError(f"The matrix is of {counts.dtype}; give numbers, (C, C).")
        if counts.ndim != 2 or counts.shape[0] != counts.shape[1]:
            raise ValueError(f"The matrix has the shape {counts.shape}; it must be (C, C).")
        names = list(labels) if labels is not None else self._record.class_names
        _check_names(names, len(counts))
        self._record.class_names = names and [str(label) for label in names]
        self._record.matrix_name, self._record.reported_matrix = name, counts
        self._draw()

    def _follow(self, run: str, history: History) -> None:
        if history.classes:
            _check_names(self._record.class_names, len(history.classes))
        self._record.histories[run], self._record.current = history, run
        self._throttle = Throttle()
        self._draw()

    def _draw(self) -> None:
        self._record.finished = False
        renderer = self._open()
        if isinstance(renderer, RENDERERS["text"]) or self._throttle.ready():
            with self._throttle.drawing():
                self._safely(renderer.draw)

    def _open(self) -> Renderer:
        if self._renderer is None:
            self._renderer = make_renderer(self._renderer_name)
            self._shell = running_shell()
            if self._shell is not None:  # a loop of one's own never says that it is done
                self._shell.events.register("post_run_cell", self._end_of_cell)
        return self._renderer

    def _settle(self) -> None:
        if self._renderer is not None and not self._record.finished:
            self._record.finished = True
            self._safely(self._renderer.settle)

    def _safely(self, show: Callable[[Record], None]) -> None:
        """Show the record; a drawing that fails must never end a training."""
        try:
            show(self._record)
        except Exception as error:
            if not self._broken:
                self._broken = True
                what = f"{type(error).__name__}: {error}".splitlines()[0]
                message = f"LivePlot could not draw ({what}). Training goes on, nothing is lost."
                warnings.warn(message, stacklevel=4)

    def _end_of_cell(self, result: Any) -> None:
        self._shell.events.unregister("post_run_cell", self._end_of_cell)
        self._settle()
        self._renderer = None  # the next cell gets an output of its own


def _check_choice(argument: str, value: str, allowed: Sequence[str]) -> None:
    if value not in allowed:
        raise ValueError(f"{argument} is {value!r}; choose {', '.join(map(repr, allowed))}.")


def _checked(call: str, steps: float) -> float:
    if not isinstance(steps, Real) or not math.isfinite(steps):
        raise ValueError(f"{call} got {steps!r}; give it a number of steps.")
    return steps


def _check_names(names: Sequence[str] | None, classes: int) -> None:
    if names is not None and len(names) != classes:
        raise ValueError(
            f"LivePlot got {len(names)} class names for {classes} classes: give one a class, "
            "in the order of their numbers, or none."
        )
