"""A student's notebook in a real JupyterLab in a real browser."""

import re

import pytest

from labkit.authoring.files import find_root, find_sources

pytestmark = pytest.mark.browser
LABS = [source.stem for source in find_sources(find_root())]
PLACES = {
    "01_data_exploration": ["Lab 01", "Exercise 1.1"],
    "02_mlp": ["Lab 02", "Exercise 2.1", "Train in earnest", "Where is it wrong?"],
}


@pytest.mark.parametrize(("lab", "places"), PLACES.items(), ids=PLACES)
def test_run_all_uses_every_reference_and_shows_no_error(
    jupyterlab, page, save_until, screenshots, lab, places
):
    if lab not in LABS:
        pytest.skip(f"the course leaves {lab} out")
    page.goto(f"{jupyterlab.address}/lab/tree/{lab}.ipynb?reset")
    page.get_by_text("Python 3 (ipykernel) | Idle").wait_for()
    page.get_by_role("menuitem", name="Run", exact=True).click()
    page.get_by_role("menuitem", name=re.compile("^Run All Cells")).click()
    # JupyterLab draws only the cells in view: the saved file tells when the last one has run
    saved = save_until(jupyterlab.folder / f"{lab}.ipynb", "fast mode, not a result")
    exercises = len(re.findall(r"%%solution \d", saved))
    assert exercises >= 5
    assert len(set(re.findall(r"✓ (\d\.\d) reference", saved))) == exercises
    assert '"output_type": "error"' not in saved
    for number, title in enumerate(places, 1):
        heading = page.locator(".jp-Notebook").locator("h1, h2, h3", has_text=title).first
        heading.evaluate("element => element.scrollIntoView()")
        page.wait_for_timeout(1500)
        page.screenshot(path=screenshots / f"{lab}_{number}.png")
        if title.startswith("Exercise"):
            assert page.locator(".jp-Cell .jp-Placeholder:visible").count() >= 1, "collapsed"
