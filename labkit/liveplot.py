"""``LivePlot``: loss, accuracy and confusion matrix of a training, as one picture that stays."""

import sys
from collections.abc import Sequence

from labkit.history import History


class LivePlot:
    """A callback for ``fit`` that leaves curves and confusion matrix under the cell.

    This is its plain form: the picture is drawn when training ends, also after Ctrl-C or an
    error. Without IPython it prints a line an epoch instead.

    Args:
        class_names: the labels of the confusion matrix; None for those of the data.
        matrix_name: what the matrix shows, for its title.

    Example:
        >>> plot = LivePlot(["lymphocyte", "monocyte"])
        >>> history = lk.fit(model, train, val, callbacks=[plot])  # doctest: +SKIP
    """

    def __init__(
        self, class_names: Sequence[str] | None = None, matrix_name: str = "validation images"
    ) -> None:
        self.class_names, self.matrix_name = class_names, matrix_name

    def on_epoch_end(self, history: History) -> None:
        """Print a line where there is no notebook to draw in."""
        if _shell() is None:
            epoch = history[-1]
            values = ", ".join(
                f"{name} {epoch[name]:.4f}"
                for name in ("train_loss", "val_loss", "val_accuracy")
                if name in epoch
            )
            print(f"epoch {epoch['epoch']}/{history.planned_epochs}: {values}")

    def on_fit_end(self, history: History) -> None:
        """Show the picture of the whole training."""
        if _shell() is not None and history:
            from IPython.display import display

            display(self.figure(history))

    def figure(self, history: History) -> object:
        """Draw loss, accuracy and the latest confusion matrix.

        Args:
            history: a training of at least one epoch.

        Returns:
            A matplotlib figure.

        Raises:
            ValueError: when the number of class names is not that of the matrix.
        """
        from labkit import figures

        matrix = history.confusion_matrices[-1]
        names = self.class_names or history.classes or range(len(matrix))
        if len(names) != len(matrix):
            raise ValueError(f"LivePlot got {len(names)} class names for {len(matrix)} classes.")
        figure, axes = figures.new_figure(1, 3, 3.6, history.origin, width_ratios=[1, 1, 1.25])
        figures.draw_curves(axes[0, 0], {"": history}, "loss")
        figures.draw_curves(axes[0, 1], {"": history}, "accuracy")
        figures.draw_confusion_matrix(axes[0, 2], matrix, [str(name) for name in names])
        epoch = history[-1]["epoch"]
        axes[0, 2].set_title(f"{self.matrix_name}, %\nepoch {epoch}", fontsize=9)
        return figure


def _shell() -> object | None:
    ipython = sys.modules.get("IPython")
    return ipython.get_ipython() if ipython else None
