"""Lab 05: the figures it draws say what they are given."""

import pandas as pd
import pytest
import torch

import labkit as lk
from labkit.figures import (
    feature_maps,
    ladder_chart,
    search_results,
    shape_trace,
    spread,
    windows,
)


def texts(ax):
    return [text.get_text() for text in ax.texts]


def test_the_shape_trace_follows_the_network():
    ax = shape_trace(lk.models.OneFilterCNN(), torch.zeros(3, 28, 28)).axes[0]
    assert texts(ax)[::2] == ["3 maps\n28×28", "1 map\n27×27", "1 map\n13×13"]
    assert texts(ax)[1::2] == ["image", "conv", "pool"]


def test_the_shape_trace_leaves_the_network_as_it_was():
    model = lk.models.SmallResNet(width=4)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    shape_trace(model, torch.rand(3, 28, 28))
    assert model.training
    assert not any(module._forward_hooks for module in model.modules())
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())


def test_feature_maps_have_a_row_a_layer():
    maps = {"layer 1": torch.rand(32, 28, 28), "layer 2": torch.rand(4, 14, 14)}
    figure = feature_maps(torch.rand(3, 28, 28), maps, columns=5)
    assert len(figure.axes) == 12
    shown = [len(ax.images) for ax in figure.axes]
    assert shown == [1] * 6 + [1] * 5 + [0]


def test_the_ladder_names_each_rung_with_its_accuracy():
    rows = {
        name: {"parameters": 10**i, "accuracy": 50.0 + i, "low": 48.0 + i, "high": 52.0 + i}
        for i, name in enumerate(("one filter", "wide"))
    }
    figure = ladder_chart(pd.DataFrame(rows).T, origin="my data")
    assert {ax.get_xscale() for ax in figure.axes} == {"log"}
    labels = [text.get_text() for text in figure.legends[0].get_texts()]
    assert labels == ["1  one filter: 50.0 %", "2  wide: 51.0 %"]


def test_the_enlarged_ladder_shows_whole_intervals_of_the_upper_rungs_only():
    reached = [50.0, 91.0, 88.0, 97.0, 96.0, 95.0]
    rows = [{"parameters": 1000, "accuracy": y, "low": y - 1, "high": y + 1} for y in reached]
    table = pd.DataFrame(rows, index=list("abcdef"))
    everything, upper = ladder_chart(table).axes
    assert texts(everything) == list("123456")
    assert texts(upper) == list("2456")
    low, high = upper.get_ylim()
    assert low < 90
    assert high > 98


def test_no_number_of_a_ladder_stands_between_two_points_of_one_size():
    rows = [{"parameters": 1000, "accuracy": y, "low": y - 2, "high": y + 2} for y in (85.0, 86.0)]
    ax = ladder_chart(pd.DataFrame(rows, index=["a", "b"])).axes[0]
    assert [text.xy[1] for text in ax.texts] == [83, 88]


@pytest.mark.parametrize(("values", "scale"), [([1e-4, 1e-2], "log"), ([0.0, 0.5], "linear")])
def test_a_search_has_a_logarithmic_axis_where_a_setting_spans_orders(values, scale):
    figure = search_results(pd.DataFrame({"setting": values, "value": [80.0, 85.0]}), ["setting"])
    assert figure.axes[1].get_xscale() == scale
    assert figure.axes[0].lines[1].get_ydata().tolist() == [80.0, 85.0]


@pytest.mark.parametrize("case", [(5, 3, 0, 1), (5, 3, 1, 2), (6, 2, 0, 2), (7, 5, 2, 3)])
def test_a_window_has_a_dot_at_each_place_that_a_convolution_has(case):
    side, kernel, padding, stride = case
    ax = windows([case]).axes[0]
    layer = torch.nn.Conv2d(1, 1, kernel, stride=stride, padding=padding)
    assert len(ax.lines[0].get_xdata()) == layer(torch.zeros(1, 1, side, side)).numel()
    assert f"{side} → {layer(torch.zeros(1, 1, side, side)).shape[-1]}" in ax.get_title()


def test_a_spread_has_a_dot_a_seed_and_the_mean():
    table = pd.DataFrame({42: [85.0, 80.0], 43: [87.0, 84.0]}, index=["as it is", "changed"])
    ax = spread(table, "accuracy in %").axes[0]
    assert [line.get_xdata().tolist() for line in ax.lines] == [[85, 80], [87, 84], [86, 82]]
    assert [text.get_text() for text in ax.get_yticklabels()] == ["as it is", "changed"]
