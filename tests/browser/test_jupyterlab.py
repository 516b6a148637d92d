"""A student's notebook in a real JupyterLab in a real browser.

Screenshots land in `build/screenshots/`.
"""

import os
import re
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path
from types import SimpleNamespace

import pytest

ROOT = Path(__file__).parent.parent.parent
SCREENSHOTS = ROOT / "build" / "screenshots"
CHROMIUM = shutil.which("chromium")
FLAGS = (
    "--no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
    "--disable-component-update --disable-sync"
).split()

if CHROMIUM is None and os.environ.get("CI"):
    pytest.fail("CI needs Chromium for the browser test: apt-get install chromium", pytrace=False)

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed"),
]


@pytest.fixture(scope="module")
def jupyterlab(tmp_path_factory):
    """A JupyterLab on a copy of the students' notebooks: its address and folder."""
    folder = tmp_path_factory.mktemp("student")
    for notebook in (ROOT / "notebooks").glob("*.ipynb"):
        shutil.copy(notebook, folder)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    server = subprocess.Popen(
        [sys.executable, "-m", "jupyterlab", "--no-browser", "--allow-root", f"--port={port}",
         "--ServerApp.ip=127.0.0.1", "--IdentityProvider.token=", f"--notebook-dir={folder}",
         "--LabApp.news_url=", "--LabApp.check_for_updates_class="
         "jupyterlab.handlers.announcements.NeverCheckForUpdate"],
        env={**os.environ, "LABKIT_FAST": "1", "JUPYTER_CONFIG_DIR": str(folder / ".config")},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )  # fmt: skip
    address = f"http://127.0.0.1:{port}"
    try:
        _wait_for(f"{address}/api/status")
        yield SimpleNamespace(address=address, folder=folder)
    finally:
        server.terminate()
        server.wait(20)


def _wait_for(address, seconds=60):
    end = time.monotonic() + seconds
    while True:
        try:
            with urllib.request.urlopen(address, timeout=5):
                return
        except OSError:
            if time.monotonic() > end:
                raise
            time.sleep(0.3)


@pytest.fixture(scope="module")
def page():
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        page = browser.new_page(viewport={"width": 1280, "height": 900})
        page.set_default_timeout(60_000)
        yield page
        browser.close()


@pytest.mark.parametrize(
    ("lab", "places"),
    [
        ("01_data_exploration", ["Lab 01", "Exercise 1.1"]),
        ("02_mlp", ["Lab 02", "Exercise 2.1", "Train in earnest", "Where is it wrong?"]),
    ],
)
def test_run_all_uses_every_reference_and_shows_no_error(jupyterlab, page, lab, places):
    SCREENSHOTS.mkdir(parents=True, exist_ok=True)
    page.goto(f"{jupyterlab.address}/lab/tree/{lab}.ipynb?reset")
    page.get_by_text("Python 3 (ipykernel) | Idle").wait_for()
    page.get_by_role("menuitem", name="Run", exact=True).click()
    page.get_by_role("menuitem", name=re.compile("^Run All Cells")).click()
    # JupyterLab draws only the cells in view: the saved file tells when the last one has run
    saved = _save_until(page, jupyterlab.folder / f"{lab}.ipynb", "fast mode, not a result")
    exercises = len(re.findall(r"%%solution \d", saved))
    assert exercises >= 5
    assert len(set(re.findall(r"✓ (\d\.\d) reference", saved))) == exercises
    assert '"output_type": "error"' not in saved
    for number, title in enumerate(places, 1):
        heading = page.locator(".jp-Notebook").locator("h1, h2, h3", has_text=title).first
        heading.evaluate("element => element.scrollIntoView()")
        page.wait_for_timeout(1500)
        page.screenshot(path=SCREENSHOTS / f"{lab}_{number}.png")
        if title.startswith("Exercise"):
            assert page.locator(".jp-Cell .jp-Placeholder:visible").count() >= 1, "collapsed"


def _save_until(page, path, text, seconds=180):
    """Save again and again until the file holds a text; return the file."""
    end = time.monotonic() + seconds
    while text not in (saved := path.read_text()):
        assert time.monotonic() < end, f"{path.name} did not get to {text!r} within {seconds} s"
        page.keyboard.press("Control+s")
        page.wait_for_timeout(2000)
    return saved
