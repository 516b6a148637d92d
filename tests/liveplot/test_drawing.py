"""The two forms of the same drawing: SVG for the screen, PNG for files."""

import io
import re
import xml.etree.ElementTree as ElementTree
from base64 import b64decode

import numpy as np
import pytest
from PIL import Image

from labkit.data.origin import Origin
from labkit.display import PALETTE
from labkit.liveplot import painting
from labkit.liveplot.painting import HEIGHT, WIDTH, paint
from labkit.liveplot.record import Record
from labkit.liveplot.renderers import as_html, as_png
from labkit.liveplot.sheet import Box, Dot, Line, Sheet, Text, to_image, to_svg


def follow(history, **options):
    record = Record(**options)
    record.histories[""] = history
    return record


def records(make_history):
    empty, ready, many, stand_in, reported = (Record() for _ in range(5))
    ready.histories[""] = make_history(0)
    many.histories = {f"run {i}": make_history(5) for i in range(10)}
    origin = Origin("STAND-IN: drawn <cells> & more", stand_in=True)
    stand_in.histories[""] = make_history(1, origin=origin)
    for name in ("training loss", "loss", "f1", "recall", "precision"):
        reported.add_value(name, float("nan"))
        reported.add_value(name, 1.0)
    reported.reported_matrix = np.zeros((2, 2), int)
    return [empty, ready, many, stand_in, reported]


def drawings(html):
    """The SVG of each picture, parsed."""
    addresses = re.findall(r'src="data:image/svg\+xml;base64,([^"]+)"', html)
    return [ElementTree.fromstring(b64decode(address)) for address in addresses]


def texts(sheet):
    return [mark.text for mark in sheet.marks if isinstance(mark, Text)]


def marks(sheet, kind):
    return [mark for mark in sheet.marks if isinstance(mark, kind)]


@pytest.mark.parametrize("number", range(5))
def test_every_form_can_be_drawn_from_every_record(make_history, number):
    record = records(make_history)[number]
    sheets = paint(record)
    svgs = drawings(as_html(record, sheets))
    assert len(svgs) == len(sheets) >= 2
    assert all(svg.tag.endswith("svg") for svg in svgs)
    picture = Image.open(io.BytesIO(as_png(record, sheets)))
    assert picture.width == WIDTH * len(sheets)
    assert picture.height > HEIGHT


@pytest.mark.parametrize("number", range(5))
def test_nothing_lies_outside_its_panel(make_history, number):
    for sheet in paint(records(make_history)[number]):
        for line in marks(sheet, Line):
            assert all(0 <= x <= WIDTH and 0 <= y <= HEIGHT for x, y in line.points)
        for mark in [*marks(sheet, Dot), *marks(sheet, Text)]:
            assert 0 <= mark.x <= WIDTH and 0 <= mark.y <= HEIGHT


def test_the_panels_and_their_size_are_the_same_from_the_first_moment(make_history):
    start, end = (paint(follow(make_history(epochs))) for epochs in (0, 10))
    assert [(s.width, s.height) for s in start] == [(s.width, s.height) for s in end]
    assert [texts(s)[0].split(",")[0] for s in start] == [texts(s)[0].split(",")[0] for s in end]


def test_the_epoch_axis_runs_to_the_planned_epochs(make_history):
    loss, *_ = paint(follow(make_history(2, planned=10)))
    assert "10" in texts(loss)
    last = max(x for line in marks(loss, Line) if line.colour for x, _ in line.points)
    right = max(x for line in marks(loss, Line) for x, _ in line.points)
    assert last < WIDTH / 2 < right


def test_after_an_early_end_the_axis_ends_with_the_training(make_history):
    record = follow(make_history(4, planned=30))
    record.finished = True
    assert record.span() == (1, 4)


def test_one_epoch_shows_two_dots_that_differ(make_history):
    loss, *_ = paint(follow(make_history(1)))
    dots = marks(loss, Dot)
    assert sorted(dot.filled for dot in dots) == [False, True]
    assert {dot.hint.split(",")[0] for dot in dots} == {"training loss", "validation loss"}


def test_the_kept_epoch_is_marked_and_the_matrix_is_its_own(make_history):
    record = follow(make_history(6, best=3))
    record.history.confusion_matrices[2] = np.diag([1, 2, 3])
    record.history.kept_epoch = 3
    *_, matrix = paint(record)
    assert "epoch 6" in texts(matrix)[0]  # while it trains, the latest
    record.finished = True
    loss, accuracy, matrix = paint(record)
    assert "kept" in texts(loss) and "kept" in texts(accuracy)
    assert "epoch 3 (kept)" in texts(matrix)[0]
    assert texts(matrix).count("100") == 3


def test_the_matrix_has_per_cents_of_each_row(make_history):
    *_, matrix = paint(follow(make_history(7)))
    shown = [text for text in texts(matrix) if text.isdigit()]
    assert sorted(shown) == sorted(["80", "20", "100", "17", "83"])


def rgb(colour):
    return np.array([int(colour[i : i + 2], 16) for i in (1, 3, 5)])


def contrast(one, other):
    """The contrast ratio of two colours (WCAG 2.1)."""

    def luminance(colour):
        parts = colour / 255
        linear = np.where(parts <= 0.04045, parts / 12.92, ((parts + 0.055) / 1.055) ** 2.4)
        return linear @ [0.2126, 0.7152, 0.0722]

    light, dark = sorted((luminance(one), luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


@pytest.mark.parametrize(("ink", "paper"), [("#212121", "#ffffff"), ("#dedede", "#111111")])
def test_every_number_of_the_matrix_can_be_read_on_its_blue(make_history, ink, paper):
    for share in range(101):
        history = make_history(1)
        history.confusion_matrices[0] = np.array([[share, 100 - share, 0]] * 3)
        *_, sheet = paint(follow(history))
        for box in marks(sheet, Box):
            middle = (box.x + box.width / 2, box.y + box.height / 2 + 4)
            text = next(t for t in marks(sheet, Text) if (t.x, t.y) == middle)
            back = (1 - box.opacity) * rgb(paper) + box.opacity * rgb(box.colour)
            assert contrast(rgb(text.colour or ink), back) >= 4.5, share


@pytest.mark.parametrize("epochs", [30, 300, 3000])
def test_no_form_grows_with_the_training(make_history, epochs):
    record = follow(make_history(epochs))
    sheets = paint(record)
    assert len(as_html(record, sheets)) < 45_000
    assert len(as_png(record, sheets)) < 30_000


def test_200_classes_can_be_drawn_in_little(make_history):
    history = make_history(1)
    history.classes = tuple(f"class {n}" for n in range(200))
    history.confusion_matrices[0] = np.eye(200, dtype=int) * 400 + 1
    *_, matrix = paint(follow(history))
    assert not any("class" in text for text in texts(matrix))
    assert len(marks(matrix, Box)) == 200
    assert len(to_svg(matrix, "")) < 30_000


def test_a_stand_in_is_named_in_red(make_history):
    origin = Origin("STAND-IN: drawn cells", stand_in=True)
    record = follow(make_history(1, origin=origin))
    html = as_html(record, paint(record))
    assert re.search(r'background:#b3261e;color:white[^>]*">data: STAND-IN: drawn cells', html)
    record = follow(make_history(1, origin="STAND-IN is only a word here"))
    assert "#b3261e" not in as_html(record, paint(record))


def test_names_are_text_and_never_markup(make_history):
    record = Record(["<b>a</b>", "$\\frac$", "c & d"])
    record.histories["<script>x</script> $a_{$"] = make_history(2)
    record.current = "<script>x</script> $a_{$"
    html = as_html(record, paint(record))
    assert "<script>x" not in html and "<b>a" not in html
    labels = [t.text for svg in drawings(html) for t in svg.iter() if t.tag.endswith("text")]
    assert {"<b>a</b>", "$\\frac$", "c & d"} <= set(labels)
    as_png(record, paint(record))


@pytest.mark.parametrize("odd", ["two\nlines", "nul\0", "\x1b[1m", "bl\udcfcte", "\uffff"])
def test_names_that_an_svg_may_not_hold_are_drawn_without_it(make_history, odd):
    record = Record([odd, "b", "c"], odd)
    record.histories[odd] = make_history(2)
    record.current = odd
    html = as_html(record, paint(record))
    assert len(drawings(html)) == 3 and odd not in html
    html.encode()
    as_png(record, paint(record))


def test_a_matrix_of_shares_is_drawn_like_one_of_counts():
    counts, shares = Record(["a", "b"]), Record(["a", "b"])
    counts.reported_matrix = np.array([[2, 1], [1, 4]])
    shares.reported_matrix = counts.reported_matrix / 8
    assert paint(counts) == paint(shares)
    assert "67 %, of a" in shares.description() and "67 %, of a" in counts.description()


def test_the_picture_keeps_every_colour_of_the_palette_apart(make_history):
    record = Record()
    record.histories = {f"run {i}": make_history(5) for i in range(7)}
    picture = Image.open(io.BytesIO(as_png(record, paint(record)))).convert("RGB")
    pixels = np.asarray(picture).reshape(-1, 3).astype(int)
    for colour in PALETTE[:7]:
        assert np.abs(pixels - rgb(colour)).sum(1).min() <= 15, colour


def test_a_dashed_line_has_gaps_and_goes_round_corners():
    corner = [(5, 5), (45, 5), (45, 35)]
    solid, dashed = (
        np.asarray(to_image(Sheet(50, 40, [Line(corner, "#000000", dashed=flag)])))
        for flag in (False, True)
    )
    dark = [(picture.min(2) < 128).sum() for picture in (solid, dashed)]
    assert 0.5 * dark[0] < dark[1] < 0.9 * dark[0]  # five pixels of eight, and their soft ends
    assert (dashed[10:, 40:].min(2) < 128).any() and (dashed[:10, :40].min(2) < 128).any()


@pytest.mark.parametrize(
    ("panel", "heights", "ends"),
    [
        ("accuracy", [1.0, 1.0], (None, 1.0)),
        ("accuracy", [0.0, 0.0], (0.0, None)),
        ("loss", [0.0, 0.01], (0.0, None)),
        ("loss", [0.97, 0.98], (None, None)),
        ("loss", [-2.0, 1.0], (None, None)),
    ],
)
def test_the_axis_ends_where_values_can_and_holds_them_all(panel, heights, ends):
    ticks, low, high = painting._height_axis(panel, heights)
    assert low <= min(heights) <= max(heights) <= high and low < high
    assert all(low <= tick <= high for tick in ticks) and len(ticks) > 1
    for found, wanted in zip((low, high), ends, strict=True):
        assert wanted is None or found == wanted
    assert (low < 0) is (min(heights) < 0)
