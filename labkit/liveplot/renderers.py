"""How a live plot comes to the screen: `draw` while training, `settle` once at the end.

One painter serves every front end. In a notebook the plot is one output of one cell, HTML that
holds a picture (SVG) a panel; panels stand side by side where there is room and below each other
where there is not. The pictures are `<img>`: Jupyter shows no other form of SVG in a notebook that
it does not trust. Where the page may run it, a small script puts each drawing itself into its
picture's place, where it has the text colour of the page, light or dark.
"""

import io
import math
from base64 import b64encode
from collections.abc import Sequence
from html import escape
from typing import Protocol

from PIL import Image

from labkit.display import STAND_IN_COLOUR, Output, front_end
from labkit.liveplot.painting import colour_of, paint
from labkit.liveplot.record import Curve, Record
from labkit.liveplot.sheet import Line, Sheet, Text, plain, svg_address, to_image, to_svg

_INLINE = """<script>{
const root = document.currentScript.parentElement;
for (const img of root.querySelectorAll("img")) {
  const bytes = Uint8Array.from(atob(img.src.split(",")[1]), (c) => c.charCodeAt(0));
  const box = document.createElement("div");
  box.style.cssText = img.style.cssText;
  box.innerHTML = new TextDecoder().decode(bytes);
  box.firstElementChild.style.cssText += ";width:100%;height:auto;display:block";
  img.replaceWith(box);
}
root.style.setProperty("--labkit-paper", "transparent");
root.style.setProperty("--labkit-ink", "currentColor");
}</script>"""


class Renderer(Protocol):
    """What a live plot asks of a renderer."""

    def draw(self, record: Record) -> None:
        """Show the present state."""

    def settle(self, record: Record) -> None:
        """Leave the last state, so that it outlives the kernel."""


class StillRenderer:
    """Nothing while training, one output at the end: for nbclient, nbval and CI."""

    def __init__(self) -> None:
        self._output = Output()

    def draw(self, record: Record) -> None:
        """Do nothing: nobody watches."""

    def settle(self, record: Record) -> None:
        """Leave the plot, also as a PNG for exports that show no SVG."""
        sheets = paint(record)
        self._show(record, sheets, {"image/png": b64encode(as_png(record, sheets)).decode()})

    def _show(self, record: Record, sheets: Sequence[Sheet], more: dict[str, str]) -> None:
        alt = plain(record.description())
        bundle = {"text/html": as_html(record, sheets), "text/plain": alt, **more}
        self._output.show(bundle, {"image/png": {"alt": alt}} if more else None)


class ImageRenderer(StillRenderer):
    """Pictures that are drawn anew: works in every front end."""

    def draw(self, record: Record) -> None:
        """Replace the pictures."""
        self._show(record, paint(record), {})


class TextRenderer:
    """A line an epoch, for terminals."""

    def __init__(self) -> None:
        self._last = ""

    def draw(self, record: Record) -> None:
        """Print the latest values, once."""
        curves = [c for c in record.curves() if c.y and math.isfinite(c.y[-1])]
        line = ", ".join(f"{c.full_name} {c.y[-1]:.4f}" for c in curves)
        if line and line != self._last:
            print(f"{record.headline()}: {line}")
        self._last = line

    def settle(self, record: Record) -> None:
        """Print the last state, if it has not been printed."""
        self.draw(record)


RENDERERS = {"image": ImageRenderer, "text": TextRenderer}
_AUTOMATIC = {
    "jupyter": ImageRenderer,
    "notebook": ImageRenderer,
    "terminal": TextRenderer,
    "unattended": StillRenderer,
}


def make_renderer(name: str) -> Renderer:
    """Make the renderer of a name, ``"image"`` or ``"text"``; ``"auto"`` follows the front end."""
    return _AUTOMATIC[front_end()]() if name == "auto" else RENDERERS[name]()


def as_html(record: Record, sheets: Sequence[Sheet]) -> str:
    """The plot as HTML, whose panels wrap."""
    alt = escape(plain(record.description()))
    look = "flex:1 1 270px;min-width:0;max-width:360px;border-radius:4px"
    pictures = "".join(
        f'<img style="{look}" alt="{alt}" src="{svg_address(to_svg(sheet, alt))}">'
        for sheet in sheets
    )
    legend = " &emsp; ".join(map(_legend_entry, record.legend()))
    source = f"data: {escape(plain(record.origin))}"
    if getattr(record.origin, "stand_in", False):  # its own ground: readable on any page
        look_out = f"background:{STAND_IN_COLOUR};color:white;padding:1px 6px;border-radius:3px"
        source = f'<span style="{look_out}">{source}</span>'
    source = f'<div style="font-size:85%">{source}</div>'
    return (
        f'<div><div style="font-weight:600">{escape(plain(record.headline()))}</div>'
        f'<div style="font-size:90%">{legend}</div>'
        f'<div style="display:flex;flex-wrap:wrap;gap:8px;margin:4px 0">{pictures}</div>'
        f"{source if record.origin else ''}{_INLINE}</div>"
    )


def _legend_entry(curve: Curve) -> str:
    colour = colour_of(curve)
    look = f' style="color:{colour}"' if colour else ""
    line = "╌╌○" if curve.part == "training" else "──●"
    return f"<span{look}>{line}</span> {escape(plain(curve.name))}"


def as_png(record: Record, sheets: Sequence[Sheet]) -> bytes:
    """The plot as a picture with a palette of 128 colours, at most about 30 KB."""
    entries, height = record.legend(), max(sheet.height for sheet in sheets)
    width = sum(sheet.width for sheet in sheets)
    columns = width // 230
    top = 28 + 16 * -(-len(entries) // columns)
    head = Sheet(width, top, [Text(8, 18, record.headline(), 14)])
    for number, curve in enumerate(entries):
        x, y = 8 + 230 * (number % columns), 34 + 16 * (number // columns)
        line = [(x, y - 4), (x + 26, y - 4)]
        head.marks.append(Line(line, colour_of(curve), dashed=curve.part == "training"))
        head.marks.append(Text(x + 32, y, curve.name))
    foot, stand_in = Sheet(width, 20), getattr(record.origin, "stand_in", False)
    if record.origin:
        colour = STAND_IN_COLOUR if stand_in else None
        foot.marks.append(Text(8, 12, f"data: {record.origin}", 10, colour=colour))
    whole = Image.new("RGB", (width, top + height + foot.height), "white")
    whole.paste(to_image(head), (0, 0))
    for number, sheet in enumerate(sheets):
        whole.paste(to_image(sheet), (sum(s.width for s in sheets[:number]), top))
    whole.paste(to_image(foot), (0, top + height))
    file = io.BytesIO()
    # an octree keeps the colours of thin lines, which PIL's other methods merge
    small = whole.quantize(128, Image.Quantize.FASTOCTREE, dither=Image.Dither.NONE)
    small.save(file, "PNG", optimize=True)
    return file.getvalue()
