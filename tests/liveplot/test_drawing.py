"""The three drawings of the same record: plotly, SVG and PNG."""

import io
import json
import xml.etree.ElementTree as ElementTree

import numpy as np
import plotly.graph_objects as go
import pytest
from PIL import Image

from labkit.data.origin import Origin
from labkit.figures.base import PALETTE
from labkit.liveplot.moving_picture import moving_picture
from labkit.liveplot.picture import picture
from labkit.liveplot.plotly_figure import plotly_figure
from labkit.liveplot.record import Record


def records(make_history):
    empty, ready, many, stand_in, reported = (Record(batches=True) for _ in range(5))
    ready.histories[""] = make_history(0)
    many.histories = {f"run {i}": make_history(5) for i in range(10)}
    stand_in.histories[""] = make_history(
        1, origin=Origin("STAND-IN: drawn <cells> & more", stand_in=True)
    )
    for name in ("training loss", "loss", "f1", "recall", "precision"):
        reported.add_value(name, float("nan"))
        reported.add_value(name, 1.0)
    reported.reported_matrix = np.zeros((2, 2), int)
    return [empty, ready, many, stand_in, reported]


@pytest.mark.parametrize("number", range(5))
def test_every_form_can_be_drawn_from_every_record(make_history, number):
    record = records(make_history)[number]
    figure = plotly_figure(record)
    json.dumps(figure, allow_nan=False)
    go.Figure(figure)  # plotly checks every name and value
    assert ElementTree.fromstring(moving_picture(record)).tag.endswith("svg")
    assert Image.open(io.BytesIO(picture(record))).size == (792, 334)


def test_the_figure_holds_every_point_the_matrix_and_the_title(make_history):
    record = Record()
    record.histories[""] = make_history(7)
    figure = plotly_figure(record)
    *lines, matrix = figure["data"]
    assert [line["x"] for line in lines] == [list(range(1, 8))] * 4
    assert matrix["z"][0] == [80.0, 20.0, 0.0]
    assert matrix["text"][0] == ["80", "20", ""]
    assert matrix["x"] == ["basophil", "monocyte", "platelet"]
    assert figure["layout"]["title"]["text"] == record.headline()


@pytest.mark.parametrize("epochs", [30, 300, 3000])
def test_no_form_grows_with_the_training(make_history, epochs):
    record = Record(batches=True)
    record.histories[""] = make_history(epochs, batches=100)
    assert len(json.dumps(plotly_figure(record))) < 40_000
    assert len(moving_picture(record)) < 40_000
    assert len(picture(record)) < 30_000


def test_a_stand_in_is_named_in_red(make_history):
    record = Record()
    record.histories[""] = make_history(1, origin=Origin("STAND-IN: drawn cells", stand_in=True))
    (note,) = (a for a in plotly_figure(record)["layout"]["annotations"] if "STAND" in a["text"])
    assert note["font"]["color"] == "#b3261e"
    assert "#b3261e" in moving_picture(record)


def test_the_picture_keeps_every_colour_of_the_palette_apart(make_history):
    record = Record()
    record.histories = {f"run {i}": make_history(5) for i in range(7)}
    pixels = np.asarray(Image.open(io.BytesIO(picture(record))).convert("RGB")).reshape(-1, 3)
    for colour in PALETTE[:7]:
        wanted = np.array([int(colour[i : i + 2], 16) for i in (1, 3, 5)])
        assert np.abs(pixels.astype(int) - wanted).sum(1).min() <= 15, colour
