"""``explore``: menus above a picture where somebody can use them, the picture alone elsewhere."""

import html
import io
from collections.abc import Callable, Sequence

from matplotlib.figure import Figure

from labkit.display import front_end


def explore(draw: Callable[..., Figure], **choices: Sequence[object]) -> Figure | None:
    """Show a figure with a menu for each of its arguments.

    Where nobody can use menus, the figure of the first choices is returned instead, so that the
    notebook holds a picture and no widget.

    Args:
        draw: makes the figure; called with one value of each choice.
        **choices: the values of each argument, the first one first shown.

    Returns:
        The figure of the first choices, or None where the menus are shown.

    Example:
        >>> def draw(method, depth):
        ...     return Figure(figsize=(depth, 2))
        >>> explore(draw, method=["he", "xavier"], depth=[5, 20])
        <Figure size 500x200 with 0 Axes>
    """
    if front_end() not in ("jupyter", "notebook"):
        return draw(**{name: values[0] for name, values in choices.items()})
    from IPython.display import display

    display(_menus(draw, choices))
    return None


def _menus(draw: Callable[..., Figure], choices: dict[str, Sequence[object]]) -> object:
    """The widget: an image that is drawn anew (no Output widget, which Colab often loses)."""
    import ipywidgets

    menus = {
        name: ipywidgets.Dropdown(options=list(values), description=name)
        for name, values in choices.items()
    }
    picture, message = ipywidgets.Image(format="png"), ipywidgets.HTML()

    def redraw(change: object = None) -> None:
        try:
            picture.value = _png(draw(**{name: menu.value for name, menu in menus.items()}))
            message.value = ""
        except Exception as error:  # an error in a callback would vanish in the server's log
            message.value = html.escape(f"{type(error).__name__}: {error}")

    for menu in menus.values():
        menu.observe(redraw, names="value")
    redraw()
    return ipywidgets.VBox([ipywidgets.HBox(list(menus.values())), message, picture])


def _png(figure: Figure) -> bytes:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png")
    return buffer.getvalue()
