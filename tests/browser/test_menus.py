"""The menus of `lk.explore` in a real JupyterLab: choosing draws the picture anew."""

import nbformat
import pytest

pytestmark = pytest.mark.browser

CODE = """\
import labkit as lk


def draw(method="he", depth=5):
    figure, axes = lk.figures.new_figure(height=2)
    axes[0, 0].plot(range(depth))
    axes[0, 0].set_title(f"{method}, {depth} layers")
    return figure


lk.explore(draw, method=["he", "xavier"], depth=[5, 20])
"""
PICTURE = '() => document.querySelector(".jp-OutputArea img.widget-image")?.src ?? ""'


def test_another_choice_draws_another_picture(jupyterlab, page, screenshots):
    path = jupyterlab.folder / "menus.ipynb"
    kernel = {"name": "python3", "display_name": "Python 3 (ipykernel)", "language": "python"}
    cells = [nbformat.v4.new_code_cell(CODE)]
    nbformat.write(nbformat.v4.new_notebook(cells=cells, metadata={"kernelspec": kernel}), path)
    page.goto(f"{jupyterlab.address}/lab/tree/{path.name}?reset")
    page.get_by_text("Python 3 (ipykernel) | Idle").wait_for()
    page.locator(".jp-Notebook .cm-content").first.click()
    page.keyboard.press("Shift+Enter")
    menus = page.locator(".jp-OutputArea select")
    menus.nth(1).wait_for()
    page.wait_for_function(f"({PICTURE})() !== ''")
    before = page.evaluate(PICTURE)
    menus.nth(0).select_option("xavier")
    page.wait_for_function(f"before => ({PICTURE})() !== before", arg=before)
    between = page.evaluate(PICTURE)
    menus.nth(1).select_option("20")
    page.wait_for_function(f"before => ({PICTURE})() !== before", arg=between)
    page.screenshot(path=screenshots / "menus.png")
