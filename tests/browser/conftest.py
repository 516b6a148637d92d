"""A real JupyterLab and a real Chromium for the browser tests; screenshots land in `build/`."""

import os
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
CHROMIUM = shutil.which("chromium")
FLAGS = (
    "--no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
    "--disable-component-update --disable-sync"
).split()

if CHROMIUM is None and os.environ.get("CI"):
    pytest.fail("CI needs Chromium for the browser test: apt-get install chromium", pytrace=False)


@pytest.fixture(scope="module")
def jupyterlab(tmp_path_factory):
    """A JupyterLab on a copy of the students' notebooks: its address and folder."""
    folder = tmp_path_factory.mktemp("student")
    for notebook in (ROOT / "notebooks").glob("*.ipynb"):
        shutil.copy(notebook, folder)
    news = folder / ".settings" / "@jupyterlab" / "apputils-extension"
    news.mkdir(parents=True)
    (news / "notification.jupyterlab-settings").write_text('{"fetchNews": "false"}')
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    server = subprocess.Popen(
        [sys.executable, "-m", "jupyterlab", "--no-browser", "--allow-root", f"--port={port}",
         "--ServerApp.ip=127.0.0.1", "--IdentityProvider.token=", f"--notebook-dir={folder}"],
        env={
            **os.environ,
            "LABKIT_FAST": "1",
            "JUPYTER_CONFIG_DIR": str(folder / ".config"),
            "JUPYTERLAB_SETTINGS_DIR": str(folder / ".settings"),
        },
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )  # fmt: skip
    address = f"http://127.0.0.1:{port}"
    try:
        _wait_for(f"{address}/api/status")
        yield SimpleNamespace(address=address, folder=folder)
    finally:
        server.terminate()
        try:
            server.wait(60)
        except subprocess.TimeoutExpired:  # its kernels take their time on a busy machine
            server.kill()


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
    """A page of a browser that waits a minute for what it is asked for."""
    if CHROMIUM is None:
        pytest.skip("Chromium is not installed")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        page = browser.new_page(viewport={"width": 1280, "height": 1100})
        page.set_default_timeout(60_000)
        page.errors = []
        page.on("console", lambda m: page.errors.append(m.text) if m.type == "error" else None)
        yield page
        browser.close()


@pytest.fixture
def set_theme(jupyterlab):
    """Choose "Light" or "Dark" for the pages that are opened from now on."""
    settings = jupyterlab.folder / ".settings" / "@jupyterlab" / "apputils-extension"

    def set_theme(name):
        choice = f'{{"theme": "JupyterLab {name}"}}'
        (settings / "themes.jupyterlab-settings").write_text(choice)

    yield set_theme
    set_theme("Light")


@pytest.fixture(scope="session")
def screenshots():
    """The folder of the screenshots."""
    folder = ROOT / "build" / "screenshots"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


@pytest.fixture
def save_until(page):
    """Save the open notebook again and again until its file holds a text; return the file."""

    def save_until(path, text, seconds=180):
        end = time.monotonic() + seconds
        while text not in (saved := path.read_text()):
            assert time.monotonic() < end, f"{path.name} has no {text!r} after {seconds} s"
            page.keyboard.press("Control+s")
            page.wait_for_timeout(2000)
        return saved

    return save_until
