import numpy as np
import pytest
import torch

import labkit as lk
from labkit.liveplot.painting import paint
from labkit.liveplot.renderers import as_html, as_png


def test_without_a_notebook_a_line_an_epoch(tiny, capsys):
    train, val, _ = tiny.loaders(batch_size=16)
    model = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(192, 8))
    lk.fit(model, train, val, epochs=3, callbacks=[lk.LivePlot()], progress=False)
    lines = capsys.readouterr().out.splitlines()
    assert [line.split(" · ")[0] for line in lines] == [f"epoch {n} of 3" for n in (1, 2, 3)]
    assert all("validation loss" in line for line in lines)


def test_the_calls_from_a_loop(capsys):
    plot = lk.LivePlot(["a", "b"], "test images", renderer="text")
    plot.set_limit(1)
    plot.increment(1)
    for loss in (0.5, torch.tensor(0.25), np.float32(0.125)):
        plot.tick()
        plot.report("training loss", loss)
    plot.report_matrix("validation", [[3, 1], [0, 4]], ["a", "b"])
    out = capsys.readouterr().out
    assert "step 1 of 2" in out
    assert "step 3 of 2: training loss 0.1250" in out


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: lk.LivePlot(renderer="svg"), "renderer is 'svg'; choose 'auto', 'image'"),
        (lambda: lk.LivePlot(metric="auc"), "metric is 'auc'; choose 'accuracy'"),
        (lambda: lk.LivePlot().report("loss", "low"), "report('loss', …) got a str"),
        (lambda: lk.LivePlot().report("loss", torch.ones(2)), "give it one number"),
        (lambda: lk.LivePlot().report(1, 0.5), "report got 1 for a name"),
        (lambda: lk.LivePlot("monocyte"), "class_names is 'monocyte'; give a list"),
        (lambda: lk.LivePlot({"a", "b"}), "give a list, a name a class"),
        (lambda: lk.LivePlot(8), "class_names is 8; give a list"),
        (lambda: lk.LivePlot().report("loss", 10**400), "give it one number"),
        (lambda: lk.LivePlot().set_limit("10"), "set_limit got '10'; give it a number of steps"),
        (lambda: lk.LivePlot().increment(None), "increment got None"),
        (lambda: lk.LivePlot().tick(float("nan")), "tick got nan"),
        (lambda: lk.LivePlot().report_matrix("m", [[1, 2], [3]]), "The matrix is of object"),
        (lambda: lk.LivePlot().report_matrix("m", [["a"]]), "give numbers, (C, C)"),
        (lambda: lk.LivePlot().report_matrix("m", [[1, 2, 3]]), "must be (C, C)"),
        (lambda: lk.LivePlot(["a"]).report_matrix("m", [[1, 0], [0, 1]]), "1 class names for 2"),
    ],
)
def test_bad_input_gets_one_clear_error(call, message):
    with pytest.raises(ValueError) as error:
        call()
    assert message in str(error.value)


def test_wrong_class_names_stop_fit_before_it_trains(tiny):
    train, val, _ = tiny.loaders(batch_size=16)
    model = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(192, 8))
    before = model[1].weight.clone()
    with pytest.raises(ValueError, match="3 class names for 8 classes"):
        lk.fit(model, train, val, callbacks=[lk.LivePlot(["a", "b", "c"])])
    assert torch.equal(before, model[1].weight)


def test_class_names_may_be_an_array(tiny):
    plot = lk.LivePlot(np.array(tiny.classes))
    model = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(192, 8))
    assert len(lk.fit(model, tiny.loaders()[0], epochs=1, callbacks=[plot], progress=False)) == 1


def test_a_drawing_that_fails_ends_no_training(tiny, monkeypatch):
    def broken(self, record):
        raise OverflowError("cannot convert float infinity to integer")

    monkeypatch.setattr("labkit.liveplot.renderers.TextRenderer.draw", broken)
    train, val, _ = tiny.loaders(batch_size=16)
    model = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(192, 8))
    with pytest.warns(UserWarning, match=r"could not draw \(OverflowError: cannot") as caught:
        history = lk.fit(model, train, val, epochs=3, callbacks=[lk.LivePlot()], progress=False)
    assert len(history) == 3
    assert len(caught) == 1


@pytest.mark.parametrize("value", [float("nan"), float("inf"), 1e308, -1e308, 5e-324])
def test_any_value_can_be_drawn(value):
    plot = lk.LivePlot(renderer="image")
    plot._record.class_names = []
    for number in (1.0, value, 2.0, -value):
        plot._record.add_value("training loss", number)
    sheets = paint(plot._record)
    assert as_html(plot._record, sheets).count("<img") == len(sheets)
    as_png(plot._record, sheets)
    assert ("too large to draw" in plot._record.headline()) is (abs(value) > 1 or value != value)


def test_steps_may_be_parts_and_a_matrix_a_tensor_that_learns(capsys):
    plot = lk.LivePlot(renderer="text")
    plot.set_limit(1)
    plot.tick(0.5)
    plot.report_matrix("m", torch.eye(2, requires_grad=True))
    plot.report("training loss", 0.5)
    assert capsys.readouterr().out.startswith("step 1 of 1")
