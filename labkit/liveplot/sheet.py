"""A small drawing of lines, boxes, dots and texts, and the two pens that put it on paper.

SVG for the screen: written in a millisecond, sharp at any width, in the colours of the page.
PNG for files and exports that show no SVG.
"""

import re
from base64 import b64encode
from dataclasses import dataclass, field
from functools import cache
from html import escape
from itertools import groupby, pairwise
from pathlib import Path

import matplotlib
from PIL import Image, ImageDraw, ImageFont

INK, PAPER = "#222222", "#ffffff"  # where the page's own colours are not known
SCALE = 2  # the PNG is drawn larger, then made smaller: that smooths its lines
# control characters, and halves of letters from file names that are no UTF-8
_UNWRITABLE = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff\ufffe\uffff]")
Point = tuple[float, float]


@dataclass
class Line:
    """A line through points (pixels); colour None is that of the text."""

    points: list[Point]
    colour: str | None = None
    width: float = 2
    dashed: bool = False
    opacity: float = 1


@dataclass
class Box:
    """A filled rectangle."""

    x: float
    y: float
    width: float
    height: float
    colour: str
    opacity: float = 1


@dataclass
class Dot:
    """A small circle, filled or hollow; the page shows its hint under the mouse."""

    x: float
    y: float
    colour: str | None
    filled: bool = True
    hint: str = ""


@dataclass
class Text:
    """A text; `anchor` is the end that stands at x: start, middle or end."""

    x: float
    y: float
    text: str
    size: int = 11
    anchor: str = "start"
    colour: str | None = None
    turned: bool = False  # upwards by 40 degrees

    def __post_init__(self) -> None:
        self.text = plain(self.text)


Mark = Line | Box | Dot | Text


@dataclass
class Sheet:
    """A drawing of one panel, `width` times `height` pixels."""

    width: int
    height: int
    marks: list[Mark] = field(default_factory=list)


def plain(text: str) -> str:
    r"""The text on one line, without what an SVG may not hold.

    Example:
        >>> plain("two\nlines")
        'two lines'
    """
    return _UNWRITABLE.sub(" ", text)


def to_svg(sheet: Sheet, label: str) -> str:
    """The drawing as SVG; inside a page it takes on the text colour there.

    Example:
        >>> to_svg(Sheet(10, 10, [Text(1, 9, "a & b")]), "two letters").count("a &amp; b")
        1
    """
    label = escape(plain(label))
    size = f'viewBox="0 0 {sheet.width} {sheet.height}" width="{sheet.width}"'
    paper = f'<rect width="100%" height="100%" style="fill:var(--labkit-paper,{PAPER})"/>'
    # marks of one look share a group, which halves the file
    groups = "".join(
        f"<g {look}>{''.join(map(_svg_mark, marks))}</g>"
        for look, marks in groupby(sheet.marks, _svg_look)
    )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" {size} role="img" aria-label="{label}" '
        f'font-family="system-ui,sans-serif" style="color:var(--labkit-ink,{INK})">'
        f"{paper}{groups}</svg>"
    )


def _svg_look(mark: Mark) -> str:
    colour = mark.colour or "currentColor"
    if isinstance(mark, Line):
        dash = ' stroke-dasharray="5 3"' if mark.dashed else ""
        faint = f' opacity="{mark.opacity}"' if mark.opacity < 1 else ""
        return f'fill="none" stroke="{colour}" stroke-width="{mark.width:g}"{dash}{faint}'
    if isinstance(mark, Dot):
        inside = colour if mark.filled else f"var(--labkit-paper,{PAPER})"
        return f'stroke="{colour}" stroke-width="1.5" style="fill:{inside}"'
    if isinstance(mark, Box):
        return f'fill="{colour}"'
    return f'fill="{colour}" font-size="{mark.size}" text-anchor="{mark.anchor}"'


def _svg_mark(mark: Mark) -> str:
    if isinstance(mark, Line):
        points = " ".join(f"{x:.1f},{y:.1f}" for x, y in mark.points)
        return f'<polyline points="{points}"/>'
    if isinstance(mark, Box):
        place = f'x="{mark.x:.1f}" y="{mark.y:.1f}" width="{mark.width:.1f}"'
        return f'<rect {place} height="{mark.height:.1f}" fill-opacity="{mark.opacity:.2f}"/>'
    if isinstance(mark, Dot):
        hint = f"<title>{escape(plain(mark.hint))}</title>" if mark.hint else ""
        return f'<circle cx="{mark.x:.1f}" cy="{mark.y:.1f}" r="2.5">{hint}</circle>'
    turn = f' transform="rotate(-40 {mark.x:.0f} {mark.y:.0f})"' if mark.turned else ""
    return f'<text x="{mark.x:.0f}" y="{mark.y:.0f}"{turn}>{escape(mark.text)}</text>'


def svg_address(svg: str) -> str:
    """An SVG as the address of a picture."""
    return "data:image/svg+xml;base64," + b64encode(svg.encode()).decode()


def to_image(sheet: Sheet) -> Image.Image:
    """The drawing as a picture of dark ink on white paper.

    Example:
        >>> to_image(Sheet(30, 20, [Text(1, 9, "a")])).size
        (30, 20)
    """
    large = Image.new("RGB", (sheet.width * SCALE, sheet.height * SCALE), PAPER)
    draw = ImageDraw.Draw(large)
    for mark in sheet.marks:
        _draw_mark(large, draw, mark)
    return large.reduce(SCALE)


def _draw_mark(large: Image.Image, draw: ImageDraw.ImageDraw, mark: Mark) -> None:
    colour = _mixed(mark.colour or INK, getattr(mark, "opacity", 1))
    if isinstance(mark, Line):
        points = [(x * SCALE, y * SCALE) for x, y in mark.points]
        width = round(mark.width * SCALE)
        for part in _dashes(points) if mark.dashed else [points]:
            if len(part) > 1:
                draw.line(part, colour, width, joint="curve")
    elif isinstance(mark, Box):
        corners = (mark.x, mark.y, mark.x + mark.width, mark.y + mark.height)
        draw.rectangle([c * SCALE for c in corners], colour)
    elif isinstance(mark, Dot):
        x, y, r = mark.x * SCALE, mark.y * SCALE, 2.5 * SCALE
        box, inside = (x - r, y - r, x + r, y + r), colour if mark.filled else PAPER
        draw.ellipse(box, inside, colour, round(1.5 * SCALE))
    elif mark.turned:
        _draw_turned(large, mark, colour)
    else:
        anchor = {"start": "ls", "middle": "ms", "end": "rs"}[mark.anchor]
        draw.text((mark.x * SCALE, mark.y * SCALE), mark.text, colour, _font(mark.size), anchor)


def _draw_turned(large: Image.Image, mark: Text, colour: str) -> None:
    """A text that ends at its point, turned upwards."""
    font = _font(mark.size)
    width, height = round(font.getlength(mark.text)) + 2, round(2 * mark.size * SCALE)
    stencil = Image.new("L", (2 * width, height))  # its middle is where the text ends
    ImageDraw.Draw(stencil).text((width, height / 2), mark.text, 255, font, "rs")
    stencil = stencil.rotate(40, Image.Resampling.BICUBIC, expand=True)
    corner = (mark.x * SCALE - stencil.width / 2, mark.y * SCALE - stencil.height / 2)
    large.paste(colour, tuple(round(c) for c in corner), stencil)


@cache
def _font(size: int) -> ImageFont.FreeTypeFont:
    path = Path(matplotlib.get_data_path()) / "fonts" / "ttf" / "DejaVuSans.ttf"
    return ImageFont.truetype(str(path), round(0.92 * size * SCALE))


def _mixed(colour: str, opacity: float) -> str:
    """The colour as it looks on white paper."""
    parts = [int(colour[i : i + 2], 16) for i in (1, 3, 5)]
    return "#" + "".join(f"{round(255 - opacity * (255 - part)):02x}" for part in parts)


def _dashes(points: list[Point]) -> list[list[Point]]:
    """A line cut into dashes, which go on around its corners."""
    on, off = 5 * SCALE, 3 * SCALE
    dashes, dash, left, drawing = [], points[:1], on, True
    for (x0, y0), (x1, y1) in pairwise(points):
        length, done = ((x1 - x0) ** 2 + (y1 - y0) ** 2) ** 0.5, 0.0
        while length - done > left:
            done += left
            here = (x0 + (x1 - x0) * done / length, y0 + (y1 - y0) * done / length)
            if drawing:
                dashes.append([*dash, here])
            dash, drawing = [here], not drawing
            left = on if drawing else off
        left -= length - done
        if drawing:
            dash.append((x1, y1))
    return [*dashes, dash] if drawing else dashes
