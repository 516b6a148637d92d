"""`LivePlot` in a real JupyterLab: it moves while training, and stays when the kernel is gone."""

import json
import time

import nbformat
import pytest

pytestmark = pytest.mark.browser

EPOCHS = 24
TRAINING = """\
import os
import time

os.environ["LABKIT_FAST"] = "0"  # all epochs: the plot must have something to show

import torch

import labkit as lk

cells = lk.load_dataset("synthetic")
rows = torch.arange(400)
train = lk.BatchLoader(cells.train, 100, shuffle=True, indices=rows)
val = lk.BatchLoader(cells.val, 100, indices=rows)


class Slow:
    def on_epoch_end(self, history):
        time.sleep(0.4)


plot = lk.LivePlot(renderer="{renderer}")
history = lk.fit(lk.models.BloodMLP(), train, val, epochs={epochs}, callbacks=[plot, Slow()])
print("training is over")
"""
POINTS = """() => {
    const plots = [...document.querySelectorAll(".jp-OutputArea .js-plotly-plot")];
    const data = plots.flatMap(plot => plot.data ?? []);
    return data.filter(trace => trace.type === "scatter").map(trace => trace.x.length);
}"""
PICTURE = '() => document.querySelector(".jp-OutputArea img")?.src ?? ""'


def start(jupyterlab, page, renderer):
    """Open a notebook that trains with this renderer, run it, and return its file."""
    path = jupyterlab.folder / f"liveplot_{renderer}.ipynb"
    code = TRAINING.format(renderer=renderer, epochs=EPOCHS)
    kernel = {"name": "python3", "display_name": "Python 3 (ipykernel)", "language": "python"}
    cells = [nbformat.v4.new_code_cell(code)]
    nbformat.write(nbformat.v4.new_notebook(cells=cells, metadata={"kernelspec": kernel}), path)
    page.goto(f"{jupyterlab.address}/lab/tree/{path.name}?reset")
    page.get_by_text("Python 3 (ipykernel) | Idle").wait_for()
    page.locator(".jp-Notebook .cm-content").first.click()
    page.keyboard.press("Shift+Enter")
    return path


def watch(page, script, is_over, shot, seconds=90):
    """What a script gives while training, each value once; a screenshot in the middle of it."""
    seen, end = [], time.monotonic() + seconds
    while not is_over():
        assert time.monotonic() < end, f"training is not over after {seconds} s; seen: {seen}"
        value = page.evaluate(script)
        if value and value not in seen:
            seen.append(value)
            if len(seen) == 5:
                page.screenshot(path=shot)
        page.wait_for_timeout(200)
    return seen


def is_over(page):
    return lambda: page.get_by_text("training is over", exact=True).count() == 1


def end_kernel_and_reload(jupyterlab, page, path):
    token = next(c["value"] for c in page.context.cookies() if c["name"] == "_xsrf")
    sessions = page.request.get(f"{jupyterlab.address}/api/sessions").json()
    kernels = [s["kernel"]["id"] for s in sessions if s["path"] == path.name]
    assert kernels
    page.goto("about:blank")
    for kernel in kernels:
        address = f"{jupyterlab.address}/api/kernels/{kernel}"
        assert page.request.delete(address, headers={"X-XSRFToken": token}).ok
    page.goto(f"{jupyterlab.address}/lab/tree/{path.name}?reset")
    page.locator(".jp-OutputArea-output").first.wait_for()
    page.wait_for_timeout(3000)


def plots(path):
    outputs = nbformat.read(path, as_version=4).cells[0].outputs
    return [output for output in outputs if "image/png" in output.get("data", {})]


def check_stored(path):
    """One output for the plot, small, with the last point and the confusion matrix."""
    (plot,) = plots(path)
    assert len(json.dumps(plot)) < 60_000
    assert not any("widget" in mime for mime in plot.data)
    figure = plot.data["application/vnd.plotly.v1+json"]
    lines = [trace for trace in figure["data"] if trace["type"] == "scatter"]
    assert len(lines) == 4
    assert all(line["x"] == list(range(1, EPOCHS + 1)) for line in lines)
    (matrix,) = (trace for trace in figure["data"] if trace["type"] == "heatmap")
    assert len(matrix["z"]) == 8
    assert f"epoch {EPOCHS} of {EPOCHS}" in plot.data["text/plain"]
    assert '"application/vnd.jupyter.widget-state+json"' not in path.read_text()


def test_the_widget_moves_and_its_plot_outlives_the_kernel(
    jupyterlab, page, save_until, screenshots
):
    path = start(jupyterlab, page, "auto")
    shot = screenshots / "liveplot_widget_training.png"
    seen = watch(page, POINTS, is_over(page), shot)
    lengths = [max(value) for value in seen]
    assert lengths == sorted(lengths)
    assert len(set(lengths)) >= 5, f"the plot did not grow: {lengths}"
    save_until(path, f"epoch {EPOCHS} of {EPOCHS}")
    check_stored(path)
    end_kernel_and_reload(jupyterlab, page, path)
    page.screenshot(path=screenshots / "liveplot_widget_reloaded.png")
    check_shown(page)


def test_the_image_changes_and_its_plot_outlives_the_kernel(
    jupyterlab, page, save_until, screenshots
):
    path = start(jupyterlab, page, "image")
    shot = screenshots / "liveplot_image_training.png"
    seen = watch(page, PICTURE, is_over(page), shot)
    assert len(seen) >= 5, f"the picture was redrawn {len(seen)} times"
    save_until(path, f"epoch {EPOCHS} of {EPOCHS}")
    check_stored(path)
    end_kernel_and_reload(jupyterlab, page, path)
    page.screenshot(path=screenshots / "liveplot_image_reloaded.png")
    check_shown(page)


def check_shown(page):
    """The final plot is on the page: drawn by plotly with all points, or as its picture."""
    points = page.evaluate(POINTS)
    width = page.evaluate('() => document.querySelector(".jp-OutputArea img")?.naturalWidth ?? 0')
    assert points == [EPOCHS] * 4 or width == 792, (points, width)
