"""What a notebook keeps: executed by nbclient, as `jupyter execute`, nbval and CI do it."""

import json
import os
import re
from base64 import b64decode

import nbformat
import pytest
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError

SETUP = """\
import os, signal, time
import torch
import labkit as lk
from labkit.data.image_split import ImageSplit

images = torch.randint(0, 256, (64, 3, 8, 8), dtype=torch.uint8)
split = ImageSplit(images, torch.arange(64) % 8, tuple("abcdefgh"))
train = lk.BatchLoader(split, 16, shuffle=True)
val = lk.BatchLoader(split, 16)

def net():
    return torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(192, 8))

class At:
    \"\"\"Does something when an epoch ends.\"\"\"
    def __init__(self, epoch, action):
        self.epoch, self.action = epoch, action
    def on_epoch_end(self, history):
        if len(history) == self.epoch:
            self.action()

def stop():
    raise RuntimeError("the disk is full")

def interrupt():
    os.kill(os.getpid(), signal.SIGINT)
    time.sleep(5)
"""


@pytest.fixture(scope="module")
def client(tmp_path_factory):
    """A kernel in which the set-up has run."""
    nb = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(SETUP)])
    place = {"metadata": {"path": str(tmp_path_factory.mktemp("notebook"))}}
    client = NotebookClient(nb, timeout=120, kernel_name="python3", resources=place)
    own = {name: value for name, value in os.environ.items() if not name.startswith("LABKIT_")}
    with client.setup_kernel(env=own):
        client.execute_cell(nb.cells[0], 0)
        yield client


@pytest.fixture
def run(client):
    """Run a cell and return the plots among its outputs, and all of them."""

    def run(code):
        cell = nbformat.v4.new_code_cell(code)
        client.nb.cells.append(cell)
        try:
            client.execute_cell(cell, len(client.nb.cells) - 1)
        except CellExecutionError:
            assert "stop" in code or "1 / 0" in code or "interrupt" in code, cell.outputs
        assert client.widget_state == {}
        return [out for out in cell.outputs if "image/png" in out.get("data", {})], cell.outputs

    return run


def last_points(plot):
    """The last epoch or step of each curve, as its dots say."""
    hints = [hint for svg in drawings(plot) for hint in re.findall(r"<title>(.*?)</title>", svg)]
    curves = {}
    for name, x in (re.match(r"(.*), (?:epoch|step) (\d+):", hint).groups() for hint in hints):
        curves[name] = max(int(x), curves.get(name, 0))
    return curves


def drawings(plot):
    addresses = re.findall(r"base64,([A-Za-z0-9+/=]+)", plot.data["text/html"])
    return [b64decode(address).decode() for address in addresses]


@pytest.mark.parametrize("renderer", ["auto", "image"])
def test_fit_leaves_one_small_output_with_the_last_point(run, renderer):
    plots, outputs = run(
        f"plot = lk.LivePlot(renderer='{renderer}')\n"
        "history = lk.fit(net(), train, val, epochs=30, callbacks=[plot])"
    )
    (plot,) = plots
    assert len(json.dumps(plot)) < 60_000
    assert set(plot.data) == {"text/html", "image/png", "text/plain"}
    assert set(last_points(plot).values()) == {30}
    assert len(drawings(plot)) == 3
    assert "predicted" in drawings(plot)[2]
    assert plot.metadata["image/png"]["alt"] == plot.data["text/plain"]
    (summary,) = (out for out in outputs if out is not plot)
    assert summary.text.startswith("30 epochs in ")


def test_an_error_leaves_the_last_state_drawn(run):
    plots, outputs = run(
        "lk.fit(net(), train, val, epochs=9, callbacks=[lk.LivePlot(), At(4, stop)])"
    )
    assert [set(last_points(plot).values()) for plot in plots] == [{4}]
    assert outputs[-1].ename == "RuntimeError"


def test_ctrl_c_leaves_the_last_state_drawn_and_the_history(run):
    plots, outputs = run(
        "history = lk.fit(net(), train, val, epochs=9, callbacks=[lk.LivePlot(), At(4, interrupt)])"
        "\nprint(len(history), 'epochs are kept')"
    )
    assert [set(last_points(plot).values()) for plot in plots] == [{4}]
    text = "".join(out.get("text", "") for out in outputs)
    assert "Stopped by hand in epoch 5 of 9" in text
    assert "4 epochs are kept" in text


@pytest.mark.parametrize("end", ["", "1 / 0"], ids=["to its end", "to an error"])
def test_a_loop_of_ones_own_leaves_one_output(run, end):
    plots, _ = run(f"""\
plot = lk.LivePlot(["a", "b"])
for step in range(12):
    plot.tick()
    plot.report("training loss", 1 / (step + 1))
    plot.report_matrix("test", [[step, 1], [2, 3]])
{end}
""")
    (plot,) = plots
    assert last_points(plot) == {"training loss": 12}
    assert ">92</text>" in drawings(plot)[2] and ">8</text>" in drawings(plot)[2]


def test_several_trainings_share_one_output(run):
    plots, _ = run("""\
plot = lk.LivePlot()
for rate in (1e-2, 1e-3):
    model = net()
    optimizer = torch.optim.SGD(model.parameters(), lr=rate)
    lk.fit(model, train, val, epochs=3, optimizer=optimizer, callbacks=[plot.run(f"rate {rate}")])
""")
    (plot,) = plots
    expected = {
        f"rate {rate} {part} {metric}"
        for rate in (0.01, 0.001)
        for part in ("training", "validation")
        for metric in ("loss", "accuracy")
    }
    assert set(last_points(plot)) == expected
