"""The two pictures of the README, from a real JupyterLab in a real browser (Chromium).

    python docs/make_pictures.py     # a full training: about five minutes; needs the data

training.webp   lab 02's training from its first to its last epoch, as a student sees it
exercise.png    an answer to exercise 2.2 with a usual slip, and what the check says

Nothing is drawn by hand. Chromium only crops: the notebook without the browser around it.
"""

import io
import itertools
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from PIL import Image
from playwright.sync_api import Page, sync_playwright

PICTURES = Path(__file__).parent / "pictures"
LAB = Path(__file__).parents[1] / "notebooks" / "02_mlp.ipynb"
TRAINING = "lk.seed_everything(42)\nmodel = BloodMLP()"
EXERCISE, CHECK = "# Exercise 2.2 -", 'with lk.check("2.2"'
FASTER = 4  # the animation runs this many times as fast as the training did
SLIP = """# Exercise 2.2 - the training loop
def train_one_epoch(model, loader, criterion, optimizer):
    model.train()
    total, seen = 0.0, 0
    for images, labels in loader:
        loss = criterion(model(images), labels)
        loss.backward()
        optimizer.step()
        total += loss.item() * len(labels)
        seen += len(labels)
    return total / seen"""
_PLACE = """text => {
  const notebook = jupyterapp.shell.currentWidget.content;
  const sources = notebook.widgets.map(cell => cell.model.sharedModel.getSource());
  const place = sources.findIndex(source => source.includes(text));
  notebook.activeCellIndex = place;
  return place;
}"""
_SHOW = """async place => {
  const notebook = jupyterapp.shell.currentWidget.content;
  await notebook.scrollToItem(place, 'start');
  notebook.widgets[place].node.scrollIntoView({block: 'start'});
}"""
_WRITE = """([place, text]) =>
  jupyterapp.shell.currentWidget.content.widgets[place].model.sharedModel.setSource(text)"""
_IDLE = "jupyterapp.shell.currentWidget.sessionContext.session?.kernel?.status === 'idle'"


@contextmanager
def jupyterlab(folder: Path) -> Iterator[str]:
    """A JupyterLab on a folder, without its news and with no settings but its own."""
    settings = folder / ".settings"
    news = settings / "@jupyterlab" / "apputils-extension" / "notification.jupyterlab-settings"
    news.parent.mkdir(parents=True)
    news.write_text('{"fetchNews": "false", "checkForUpdates": false, "doNotDisturbMode": true}')
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    server = subprocess.Popen(
        [sys.executable, "-m", "jupyterlab", "--no-browser", "--allow-root", f"--port={port}",
         "--ServerApp.ip=127.0.0.1", "--IdentityProvider.token=", "--expose-app-in-browser",
         f"--notebook-dir={folder}"],
        env=os.environ | {"JUPYTERLAB_SETTINGS_DIR": str(settings)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        for _ in range(200):
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{port}/api/status", timeout=5).close()
                break
            except OSError:
                time.sleep(0.3)
        yield f"http://127.0.0.1:{port}/doc/tree/{LAB.name}?reset"
    finally:
        server.terminate()
        server.wait(60)


def run(page: Page, command: str) -> None:
    """Start a command of JupyterLab and do not wait for what it runs."""
    page.evaluate("command => { jupyterapp.commands.execute(command); }", command)


def run_up_to(page: Page, text: str) -> None:
    """Run every cell above the first that holds a text, and bring that one to the top."""
    place = page.evaluate(_PLACE, text)
    run(page, "notebook:run-all-above")
    page.wait_for_timeout(2000)
    page.wait_for_function(_IDLE, timeout=600_000)
    page.evaluate(_PLACE, text)
    page.evaluate(_SHOW, place)
    page.wait_for_timeout(3000)


def film(page: Page) -> None:
    """Run the training and keep a picture whenever the page has changed."""
    run_up_to(page, TRAINING)
    frames, times = [page.screenshot()], [time.monotonic()]
    run(page, "notebook:run-cell")
    page.wait_for_timeout(300)
    while not page.evaluate(_IDLE):
        page.wait_for_timeout(400)
        if (frame := page.screenshot()) != frames[-1]:
            frames.append(frame)
            times.append(time.monotonic())
    page.wait_for_timeout(1500)
    frames.append(page.screenshot())
    times += [time.monotonic(), time.monotonic() + 5 * FASTER]  # the last one stays for 5 s
    shown = [round(1000 * (b - a) / FASTER) for a, b in itertools.pairwise(times)]
    images = [Image.open(io.BytesIO(frame)).convert("RGB") for frame in frames]
    images[0].save(
        PICTURES / "training.webp", save_all=True, append_images=images[1:], duration=shown,
        loop=0, quality=55, method=6, minimize_size=True,
    )  # fmt: skip
    print(f"training.webp: {len(frames)} pictures of {times[-2] - times[0]:.0f} s")


def answer_wrongly(page: Page) -> None:
    """Answer an exercise with a usual slip, run its check, and keep the picture."""
    run_up_to(page, EXERCISE)
    place = page.evaluate(_PLACE, EXERCISE)
    page.evaluate(_WRITE, [place, SLIP])
    for text in (EXERCISE, CHECK):
        page.evaluate(_PLACE, text)
        run(page, "notebook:run-cell")
        page.wait_for_timeout(3000)
    page.evaluate(_SHOW, place)
    page.wait_for_timeout(1500)
    page.screenshot(path=PICTURES / "exercise.png")


def main() -> None:
    """Make both pictures."""
    PICTURES.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as folder, jupyterlab(Path(folder)) as address:
        shutil.copy(LAB, folder)
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(
                executable_path=shutil.which("chromium"), args=["--no-sandbox", "--disable-gpu"]
            )
            for work, width, height in ((answer_wrongly, 960, 480), (film, 1280, 720)):
                page = browser.new_page(viewport={"width": width, "height": height})
                page.goto(address)
                page.wait_for_function("window.jupyterapp?.shell.currentWidget", timeout=60_000)
                page.wait_for_function(_IDLE, timeout=60_000)
                work(page)
                page.close()
            browser.close()


if __name__ == "__main__":
    main()
