"""The controls of `lk.explore` in a real JupyterLab, also when the kernel is gone."""

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


lk.explore(draw, method=["he", "xavier"], depth=[5, 20, 40])
"""
PICTURE = '() => document.querySelector(".jp-OutputArea img")?.src ?? ""'
SHARP = """() => {
    const img = document.querySelector(".jp-OutputArea img");
    return img.naturalWidth / img.getBoundingClientRect().width;
}"""


def choose(page):
    """Try both controls; each must change the picture."""
    menu, slider = (page.locator(f".jp-OutputArea {kind}") for kind in ("select", "input"))
    menu.wait_for()
    seen = [page.evaluate(PICTURE)]
    for change in (lambda: menu.select_option("1"), lambda: slider.fill("2")):
        change()
        page.wait_for_timeout(300)
        seen.append(page.evaluate(PICTURE))
    assert len(set(seen)) == 3
    page.get_by_text("method: xavier, depth: 40").wait_for()


def test_another_choice_shows_another_picture_also_without_a_kernel(
    jupyterlab, page, save_until, screenshots
):
    path = jupyterlab.folder / "menus.ipynb"
    kernel = {"name": "python3", "display_name": "Python 3 (ipykernel)", "language": "python"}
    cells = [nbformat.v4.new_code_cell(CODE)]
    nbformat.write(nbformat.v4.new_notebook(cells=cells, metadata={"kernelspec": kernel}), path)
    page.goto(f"{jupyterlab.address}/lab/tree/{path.name}?reset")
    page.get_by_text("Python 3 (ipykernel) | Idle").wait_for()
    page.locator(".jp-Notebook .cm-content").first.click()
    page.keyboard.press("Shift+Enter")
    choose(page)
    assert page.evaluate(SHARP) >= 1.5
    page.screenshot(path=screenshots / "menus.png")
    save_until(path, "one of 6 figures")
    page.goto("about:blank")
    page.goto(f"{jupyterlab.address}/lab/tree/{path.name}?reset")
    choose(page)
