"""``explore``: a figure with a slider or a menu for each of its arguments."""

import html
import itertools
import json
from base64 import b64encode
from collections.abc import Callable, Sequence

from matplotlib.figure import Figure

from labkit.display import Output, front_end, track
from labkit.figures.base import as_picture, as_png

MOST = 60  # pictures that are drawn ahead
_SCRIPT = """<script>{
const root = document.currentScript.parentElement;
const choices = CHOICES, pictures = PICTURES, img = root.querySelector("img");
const text = root.querySelector("div"), first = img.src, controls = [];
const show = () => {
  const at = controls.map((control) => Number(control.value));
  const place = choices.reduce((sum, [, values], i) => sum * values.length + at[i], 0);
  img.src = place ? "data:image/png;base64," + pictures[place - 1] : first;
  text.textContent = choices.map(([name, values], i) => `${name}: ${values[at[i]]}`).join(", ");
  img.alt = text.textContent;
};
const bar = document.createElement("div");
for (const [name, values, slides] of choices) {
  const label = document.createElement("label");
  const control = document.createElement(slides ? "input" : "select");
  if (slides) Object.assign(control, {type: "range", min: 0, max: values.length - 1, value: 0});
  else values.forEach((value, i) => control.add(new Option(value, i)));
  label.append(name + " ", control);
  label.style.cssText = "display:inline-flex;gap:6px;align-items:center;margin-right:18px";
  control.addEventListener("input", show);
  controls.push(control);
  bar.append(label);
}
root.prepend(bar);
}</script>"""


def explore(draw: Callable[..., Figure], **choices: Sequence[object]) -> Figure | None:
    """Show a figure with a slider (for rising numbers) or a menu for each of its arguments.

    All pictures are drawn ahead and kept in the output. So the controls need no kernel: they work
    in a notebook that is opened again, and on a web page. Where nobody can use them, the figure of
    the first choices is returned instead.

    Args:
        draw: makes the figure; called with one value of each choice.
        **choices: the values of each argument, the one that is shown first at the beginning; at
            most 60 combinations in all.

    Returns:
        The figure of the first choices, or None where the controls are shown.

    Raises:
        ValueError: for an argument without values, or too many combinations.

    Example:
        >>> from labkit.figures import new_figure
        >>> figure = explore(lambda depth: new_figure()[0], depth=[5, 20])
    """
    sets = [
        dict(zip(choices, values, strict=True)) for values in itertools.product(*choices.values())
    ]
    if not 0 < len(sets) <= MOST:
        raise ValueError(
            f"explore would draw {len(sets)} pictures; give each argument values, and at most "
            f"{MOST} combinations in all."
        )
    if front_end() not in ("jupyter", "notebook"):
        return draw(**sets[0])
    pictures = [_picture(draw(**values)) for values in track(sets, "drawing ahead")]
    Output().show(
        {"text/html": _page(choices, pictures), "text/plain": f"one of {len(sets)} figures"}
    )
    return None


def _picture(figure: Figure) -> tuple[str, int]:
    """A figure as a sharp PNG of few colours in base64, and its width in pixels on the page."""
    picture = as_picture(figure, 2 * figure.dpi)
    return b64encode(as_png(picture, colours=64)).decode(), picture.width // 2


def _page(choices: dict[str, Sequence[object]], pictures: list[tuple[str, int]]) -> str:
    controls = [
        (name, [str(v) for v in values], _rises(values)) for name, values in choices.items()
    ]
    script = _SCRIPT.replace("CHOICES", _json(controls))
    script = script.replace("PICTURES", _json([picture for picture, _ in pictures[1:]]))
    first, width = pictures[0]
    words = ", ".join(f"{name}: {values[0]}" for name, values in choices.items())
    look = f"width:{width}px;max-width:100%;border-radius:4px"
    return (
        f'<div><div>{html.escape(words)}</div><img style="{look}" alt="{html.escape(words)}" '
        f'src="data:image/png;base64,{first}">{script}</div>'
    )


def _json(value: object) -> str:
    return json.dumps(value).replace("</", "<\\/")  # a name must not end the script


def _rises(values: Sequence[object]) -> bool:
    numbers = [v for v in values if isinstance(v, int | float) and not isinstance(v, bool)]
    return len(numbers) == len(values) > 1 and all(a < b for a, b in itertools.pairwise(numbers))
