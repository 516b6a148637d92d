"""`LivePlot` in a real JupyterLab: moving, done, stopped, reopened; every width, light and dark."""

import json
import time

import nbformat
import pytest

pytestmark = pytest.mark.browser

EPOCHS = 20
WIDTHS = (600, 900, 1400, 1800)  # of the window
SETUP = """\
import os
import time

os.environ["LABKIT_FAST"] = "0"  # all epochs: the plot must have something to show

import torch

import labkit as lk
from labkit.data.origin import Origin

cells = lk.load_dataset("synthetic")
cells.train.origin = Origin("STAND-IN: drawn cells", stand_in=True)  # must be readable too
rows = torch.arange(400)
train = lk.BatchLoader(cells.train, 100, shuffle=True, indices=rows)
val = lk.BatchLoader(cells.val, 100, indices=rows)


class Slow:
    def on_epoch_end(self, history):
        time.sleep(0.4)
"""
TRAINING = """\
model, plot = lk.models.BloodMLP(), lk.LivePlot()
history = lk.fit(
    model, train, val, epochs={epochs}, keep_best="val_loss", callbacks=[plot, Slow()]
)
print("training is over")
"""
# each value once: how many points the first curve of the plot has
POINTS = """() => document.querySelector(".jp-OutputArea svg[role=img] polyline") &&
    document.querySelectorAll(".jp-OutputArea svg[role=img] circle").length"""
# everything that lies outside its box, texts that lie on each other, texts that are hard to read
FAULTS = """() => {
    const faults = [], near = 1.5;
    const inside = (a, b) => a.left >= b.left - near && a.right <= b.right + near &&
        a.top >= b.top - near && a.bottom <= b.bottom + near;
    const rgb = (text) => text.match(/[\\d.]+/g).map(Number);
    const luminance = (c) => {
        const [r, g, b] = c.slice(0, 3).map((v) => v / 255)
            .map((v) => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
        return 0.2126 * r + 0.7152 * g + 0.0722 * b;
    };
    const paper = (element) => {
        for (let e = element; e; e = e.parentElement) {
            const colour = rgb(getComputedStyle(e).backgroundColor);
            if (colour.length === 3 || colour[3] > 0.99) return colour;
        }
        return [255, 255, 255];
    };
    const contrast = (element, colour) => {
        const back = paper(element), ink = rgb(colour), alpha = ink[3] ?? 1;
        const mixed = ink.slice(0, 3).map((v, i) => alpha * v + (1 - alpha) * back[i]);
        const [low, high] = [luminance(mixed), luminance(back)].sort((a, b) => a - b);
        return (high + 0.05) / (low + 0.05);
    };
    for (const output of document.querySelectorAll(".jp-OutputArea-output")) {
        const area = output.getBoundingClientRect();
        if (output.scrollWidth > output.clientWidth + 1) faults.push("an output scrolls sideways");
        for (const svg of output.querySelectorAll("svg[role=img]")) {
            const box = svg.getBoundingClientRect();
            if (!inside(box, area)) faults.push("a panel leaves the output");
            const straight = [];
            for (const text of svg.querySelectorAll("text")) {
                const rect = text.getBoundingClientRect();
                if (!inside(rect, box)) faults.push(`${text.textContent} leaves its panel`);
                if (!text.getAttribute("transform")) straight.push([text, rect]);
                const onBlue = text.parentElement.getAttribute("fill") === "#ffffff";
                const ratio = contrast(svg.parentElement, getComputedStyle(text).fill);
                if (!onBlue && ratio < 4.5) faults.push(`${text.textContent}: contrast ${ratio}`);
            }
            for (const [one, a] of straight) for (const [other, b] of straight)
                if (one !== other && Math.min(a.right, b.right) - Math.max(a.left, b.left) > 1 &&
                    Math.min(a.bottom, b.bottom) - Math.max(a.top, b.top) > 3)
                    faults.push(`${one.textContent} lies on ${other.textContent}`);
        }
        for (const part of output.querySelectorAll("div, span")) {
            const words = [...part.childNodes].some((n) => n.nodeType === 3 && n.data.trim());
            if (!words || part.querySelector("svg")) continue;
            const ratio = contrast(part, getComputedStyle(part).color);
            const swatch = /^[╌─]/.test(part.textContent);
            if (ratio < (swatch ? 3 : 4.5)) faults.push(`${part.textContent}: contrast ${ratio}`);
        }
    }
    const panels = document.querySelectorAll(".jp-OutputArea svg[role=img]").length;
    return panels === 3 ? faults : [`${panels} panels`];
}"""
HEIGHT = """() => document.querySelector(".jp-OutputArea svg[role=img]")
    ?.closest(".jp-OutputArea-output").getBoundingClientRect().height"""


def open_notebook(jupyterlab, page, name, *sources):
    path = jupyterlab.folder / f"{name}.ipynb"
    kernel = {"name": "python3", "display_name": "Python 3 (ipykernel)", "language": "python"}
    cells = [nbformat.v4.new_code_cell(source) for source in sources]
    nbformat.write(nbformat.v4.new_notebook(cells=cells, metadata={"kernelspec": kernel}), path)
    page.set_viewport_size({"width": 1280, "height": 1300})
    reopen(jupyterlab, page, path)
    return path


def reopen(jupyterlab, page, path):
    page.goto(f"{jupyterlab.address}/lab/tree/{path.name}?reset")
    page.get_by_text("Python 3 (ipykernel) | Idle").wait_for()
    if page.locator(".jp-DirListing").is_visible():
        page.keyboard.press("Control+b")  # the file browser takes half of a narrow window


def run_all(page):
    page.get_by_role("menuitem", name="Run", exact=True).click()
    page.get_by_text("Run All Cells", exact=True).click()


def wait_until(page, ready, what, seconds=90):
    end = time.monotonic() + seconds
    while not ready():
        assert time.monotonic() < end, f"{what}: not after {seconds} s"
        page.wait_for_timeout(100)


def look(page, widths, shot):
    """The faults of the plot in windows of these widths; a screenshot of each."""
    faults = {}
    for width in widths:
        page.set_viewport_size({"width": width, "height": 1300})
        page.wait_for_timeout(400)
        faults |= {width: found} if (found := page.evaluate(FAULTS)) else {}
        page.screenshot(path=f"{shot}_{width}.png")
    page.set_viewport_size({"width": 1280, "height": 1300})
    return faults


def is_over(page):
    return said(page, "training is over") == 1


def said(page, text):
    """How many outputs hold a text."""
    return page.locator(".jp-OutputArea-output", has_text=text).count()


def look_at_it_untrusted(jupyterlab, page, path, screenshots):
    """A notebook from elsewhere is not trusted: its plots are shown as pictures."""
    copy = jupyterlab.folder / "from_elsewhere.ipynb"
    text = path.read_text().replace("training is over", "training was over")  # another file
    copy.write_text(text)
    reopen(jupyterlab, page, copy)
    wait_until(page, lambda: page.locator(".jp-OutputArea img").count() == 3, "three pictures")
    widths = page.evaluate(
        "() => [...document.querySelectorAll('.jp-OutputArea img')].map(i => i.naturalWidth)"
    )
    assert widths == [340] * 3
    page.screenshot(path=screenshots / "liveplot_not_trusted.png")


@pytest.mark.parametrize("theme", ["Light", "Dark"])
def test_it_moves_stands_and_outlives_the_kernel_on_every_screen(
    jupyterlab, page, set_theme, save_until, screenshots, theme
):
    set_theme(theme)
    page.errors.clear()
    path = open_notebook(jupyterlab, page, f"moves_{theme}", SETUP, TRAINING.format(epochs=EPOCHS))
    run_all(page)
    wait_until(page, lambda: page.evaluate(HEIGHT), "the plot is there before the first epoch")
    first_height, seen = page.evaluate(HEIGHT), []
    shot = screenshots / f"liveplot_{theme.lower()}"
    while not is_over(page):
        points = page.evaluate(POINTS)
        if points and points not in seen:
            seen.append(points)
            if len(seen) == 5:
                assert look(page, WIDTHS, f"{shot}_training") == {}
        page.wait_for_timeout(100)
    assert seen == sorted(seen) and len(seen) >= 5, f"the plot did not grow: {seen}"
    page.wait_for_timeout(500)
    assert abs(page.evaluate(HEIGHT) - first_height) <= 2, "what stands below has jumped"
    assert look(page, WIDTHS, f"{shot}_done") == {}
    save_until(path, f"epoch {EPOCHS} of {EPOCHS}")
    check_stored(path)
    end_kernel(jupyterlab, page, path)
    reopen(jupyterlab, page, path)
    wait_until(page, lambda: page.evaluate(HEIGHT), "the plot is there again")
    assert look(page, WIDTHS, f"{shot}_reopened") == {}
    assert [error for error in page.errors if "favicon" not in error] == []
    assert page.locator('[data-mime-type$="stderr"]').count() == 0, "a first cell in red"
    if theme == "Dark":
        look_at_it_untrusted(jupyterlab, page, path, screenshots)


def test_stop_keeps_plot_and_history_and_ends_run_all(jupyterlab, page, screenshots):
    cells = [SETUP, TRAINING.format(epochs=200), "print(len(history), 'epochs were kept')"]
    open_notebook(jupyterlab, page, "stop", *cells)
    run_all(page)
    wait_until(page, lambda: (page.evaluate(POINTS) or 0) >= 12, "three epochs are drawn")
    page.locator('[data-command="notebook:interrupt-kernel"]').first.click()
    wait_until(page, lambda: is_over(page), "the cell goes on to its end", 20)
    page.wait_for_timeout(2000)
    assert said(page, "epochs were kept") == 0
    assert said(page, "of 200; the model is kept") == 1
    assert look(page, WIDTHS, screenshots / "liveplot_stopped") == {}
    page.locator(".jp-Notebook .cm-content").last.click()
    page.keyboard.press("Shift+Enter")
    wait_until(page, lambda: said(page, "epochs were kept") == 1, "the history is there", 20)


def end_kernel(jupyterlab, page, path):
    token = next(c["value"] for c in page.context.cookies() if c["name"] == "_xsrf")
    sessions = page.request.get(f"{jupyterlab.address}/api/sessions").json()
    kernels = [s["kernel"]["id"] for s in sessions if s["path"] == path.name]
    assert kernels
    page.goto("about:blank")
    for kernel in kernels:
        address = f"{jupyterlab.address}/api/kernels/{kernel}"
        assert page.request.delete(address, headers={"X-XSRFToken": token}).ok


def check_stored(path):
    """One output for the plot, small, without a widget, also as a picture."""
    outputs = nbformat.read(path, as_version=4).cells[1].outputs
    (plot,) = (output for output in outputs if "image/png" in output.get("data", {}))
    assert len(json.dumps(plot)) < 70_000
    assert not any("widget" in mime for mime in plot.data)
    assert plot.data["text/html"].count("<img") == 3
    assert f"epoch {EPOCHS} of {EPOCHS}" in plot.data["text/plain"]
    assert "widget-state" not in path.read_text()
