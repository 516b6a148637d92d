"""`make soak`: many faults instead of one of each; about 15 minutes, so not part of CI.

Trainings are killed at random moments and must end with the same bits; a server commits every fault
on every file of the catalogue; files are mutilated by hypothesis, and whatever reads them must say
in one line what is wrong. The last line counts: faults tried, survived, lost.

    python tests/soak/soak.py [--kills 50] [--minutes 10]
"""

import argparse
import contextlib
import importlib.util
import io
import json
import multiprocessing
import os
import random
import signal
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import nn
from torch.optim.lr_scheduler import OneCycleLR, ReduceLROnPlateau

import labkit as lk
from labkit.authoring.build import build_notebook
from labkit.authoring.files import find_root, find_sources, write_notebook
from labkit.authoring.handout import toggle_paths
from labkit.data import catalog
from labkit.data.download import UnavailableError, fetch
from labkit.data.mirrors import mirror_index, offer
from labkit.data.readers import read_npz
from labkit.training.history import EarlyStopping

EPOCHS, CLASSES = 8, tuple("abcd")
Outcome = Iterator[tuple[str, str]]  # what was tried, and "" or how it was lost


def train(kind: str, checkpoint: Path, out: Path) -> None:
    """One of four small trainings, from its checkpoint where there is one."""
    torch.set_num_threads(1)
    lk.seed_everything(0)
    images = torch.randint(0, 256, (200, 3, 8, 8), dtype=torch.uint8)
    split = lk.ImageSplit(images, torch.arange(200) % 4, CLASSES)
    convolution = [nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.Flatten()]
    dense = [nn.Flatten(), nn.Linear(192, 288), nn.BatchNorm1d(288), nn.ReLU()]
    body = dense if kind == "mlp" else convolution
    model = nn.Sequential(*body, nn.Dropout(), nn.Linear(288, 4))
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    augment = None if kind == "mlp" else lk.Augment(flip=True, shift=1, brightness=0.2)
    loader = lk.BatchLoader(split, 16, shuffle=True, augment=augment)
    options = {
        "mlp": {"scheduler": OneCycleLR(optimizer, 0.01, total_steps=13 * EPOCHS)},
        "cnn": {
            "scheduler": ReduceLROnPlateau(optimizer, patience=1),
            "early_stopping": EarlyStopping(patience=3),
        },
        "best": {"keep_best": "val_accuracy"},
        "plot": {"callbacks": [lk.LivePlot(CLASSES)]},
    }
    with contextlib.redirect_stdout(io.StringIO()):
        history = lk.fit(
            *(model, loader, loader, EPOCHS),
            optimizer=optimizer,
            **{"precision": "fp32", "device": "cpu", "progress": False},
            checkpoint=checkpoint,
            **options[kind],
        )
    torch.save((model.state_dict(), history.column("train_loss"), history.batch_losses), out)


def kills(count: int) -> Outcome:
    """Kill trainings at random moments, up to three times each, and let them end."""
    process = multiprocessing.get_context("fork").Process
    folder = Path(tempfile.mkdtemp())
    expected = {}
    for kind in ("mlp", "cnn", "best", "plot"):
        begin, out = time.monotonic(), folder / f"{kind}.out"
        run = process(target=train, args=(kind, folder / f"{kind}.pt", out))
        run.start()
        run.join()
        expected[kind] = torch.load(out), time.monotonic() - begin
    for number in range(count):
        kind = random.choice(list(expected))
        (weights, *records), seconds = expected[kind]
        path, out, struck = folder / f"{number}.pt", folder / f"{number}.out", 0
        for _ in range(random.randint(1, 3)):
            run = process(target=train, args=(kind, path, out))
            run.start()
            run.join(random.uniform(0, seconds))
            if run.is_alive():
                os.kill(run.pid, signal.SIGKILL)
                struck += 1
            run.join()
        run = process(target=train, args=(kind, path, out))
        run.start()
        run.join()
        fault = "" if out.exists() else "it did not end"
        if not fault:
            found, *others = torch.load(out)
            same = all(torch.equal(value, found[name]) for name, value in weights.items())
            fault = "" if same and others == records else "other bits"
        left = [p.name for p in folder.iterdir() if p.name.startswith(f".{number}.")]
        yield f"kill {number}: {kind}, {struck} times", fault or (f"left {left}" if left else "")


def faults() -> Outcome:
    """Every fault of a server on every file of the catalogue: the right file or a clear error."""
    place = Path(__file__).parents[1] / "data" / "test_download.py"
    spec = importlib.util.spec_from_file_location("test_download", place)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    server = module.Server(("127.0.0.1", 0), module.Handler)
    server.closing, server.asked, server.bodies = module.threading.Event(), [], {}
    module.threading.Thread(target=server.serve_forever, daemon=True).start()
    module.stream.READ_SECONDS = 0.5
    module.download.deadline_seconds = lambda megabytes: 2.5
    items = [catalog.entry(name) for name in catalog.NAMES]
    files = {file for item in items for file in item.files(item.default_size)}
    kinds = ("stall", "cut", "altered", "missing", "drip", "slow_headers", "busy", "good")
    base = f"http://127.0.0.1:{server.server_port}"
    for file in sorted(files, key=lambda file: file.key):
        for kind in kinds:
            with tempfile.TemporaryDirectory() as folder:
                os.environ["LABKIT_DATA"] = folder
                hash_ = file.known_hash and module.KNOWN
                url = f"{base}/{kind}/{Path(file.path).name}"
                asked = replace(file, urls=(url,), known_hash=hash_)
                server.asked.clear()
                try:
                    right = fetch(asked).path.read_bytes() == module.CONTENT
                    fault = "" if right else "a wrong file was taken"
                except UnavailableError:
                    fault = "it was refused" if kind in ("good", "busy") else ""
                names = [path.name for path in Path(folder).rglob(".*")]
                yield f"{kind} on {file.key}", fault or (f"left {names}" if names else "")
    server.closing.set()
    server.shutdown()


MUTILATIONS = st.lists(
    st.tuples(
        st.sampled_from(("cut", "drop", "put", "over", "twice")), st.floats(0, 1), st.binary()
    ),
    min_size=1,
    max_size=4,
)


def mutilated(content: bytes, changes: list[tuple[str, float, bytes]]) -> bytes:
    """A file's bytes after a few accidents."""
    for what, where, new in changes:
        at = int(where * len(content))
        rest = {
            "cut": b"",
            "drop": content[at + len(new) + 1 :],
            "put": new + content[at:],
            "over": new + content[at + len(new) :],
            "twice": content[max(0, at - 50) :],
        }
        content = content[:at] + rest[what]
    return content


def readers(folder: Path) -> dict[str, tuple[bytes, Callable[[Path], object]]]:
    """For each kind of file whole content, and what reads it."""
    images = np.zeros((4, 8, 8, 3), np.uint8)
    parts = [(f"{split}_images", images) for split in ("train", "val", "test")]
    parts += [(f"{split}_labels", np.arange(4)[:, None]) for split in ("train", "val", "test")]
    np.savez(folder / "a.npz", **dict(parts))
    index = b'[cells]\nfile = "a/b.npz"\nsha256 = "' + b"ab" * 32 + b'"\nnote = "kept"\n'
    lab = find_sources(find_root(), ["02"])[0]
    write_notebook(build_notebook(lab, "hidden"), folder / "lab.ipynb")
    checkpoint = folder / "whole.pt"
    model = nn.Sequential(nn.Flatten(), nn.Linear(192, 4))
    start = {name: value.clone() for name, value in model.state_dict().items()}
    split = lk.ImageSplit(torch.zeros(8, 3, 8, 8, dtype=torch.uint8), torch.arange(8) % 4, CLASSES)

    def resume(path: Path) -> None:
        model.load_state_dict(start)
        torch.manual_seed(0)
        loader, optimizer = lk.BatchLoader(split, 4), torch.optim.Adam(model.parameters())
        with contextlib.redirect_stdout(io.StringIO()):
            options = {"precision": "fp32", "device": "cpu", "progress": False}
            lk.fit(model, loader, None, 1, optimizer=optimizer, checkpoint=path, **options)

    def offers(path: Path) -> None:
        found = mirror_index(str(path.parent))
        for key in found:
            offer(found, key)

    def strip(path: Path) -> None:
        target = Path(tempfile.mkdtemp(dir=folder))
        fine = [fine for fine, _ in toggle_paths([path], "strip", target)]
        assert fine, "no line for the file"

    resume(checkpoint)
    return {
        "npz": ((folder / "a.npz").read_bytes(), read_npz),
        "toml": (index, offers),
        "py": (lab.read_bytes(), lambda path: build_notebook(path, "stripped")),
        "ipynb": ((folder / "lab.ipynb").read_bytes(), strip),
        "pt": (checkpoint.read_bytes(), resume),
    }


def trial(content: bytes, path: Path, read: Callable[[Path], object]) -> Callable[[], None]:
    """A test that mutilates a file's content in 200 ways, and reads each."""

    @settings(
        max_examples=200, deadline=None, database=None, suppress_health_check=list(HealthCheck)
    )
    @given(changes=MUTILATIONS)
    def try_one(changes: list[tuple[str, float, bytes]]) -> None:
        path.write_bytes(mutilated(content, changes))
        try:
            read(path)
        except (ValueError, OSError) as error:
            text = str(error)
            assert text and "weights_only" not in text, repr(text)
            assert text.count("\n") <= 1, f"several lines: {text!r}"

    return try_one


def wounds(minutes: float) -> Outcome:
    """Files mutilated by hypothesis: whatever reads them reads on, or says one line."""
    folder = Path(tempfile.mkdtemp())
    kinds = readers(folder)
    for kind, (content, read) in kinds.items():
        place = folder / kind
        place.mkdir()
        path = place / {"toml": "mirror.toml", "py": "02_mlp.py"}.get(kind, f"file.{kind}")
        end, lost = time.monotonic() + 60 * minutes / len(kinds), []
        try_all = trial(content, path, read)
        rounds = 0
        while time.monotonic() < end and not lost:
            rounds += 1
            try:
                try_all()
            except Exception as error:  # whatever it is, it is what is looked for
                lost.append(f"{type(error).__name__}: {error}"[:500])
        yield f"200 x {rounds} mutilations of a .{kind}", "".join(lost)


def main() -> None:
    """Try all faults, print what was lost, and the count."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--minutes", type=float, default=10)
    chosen = parser.parse_args()
    warnings.simplefilter("ignore")
    for name in ("LABKIT_MIRROR", "LABKIT_OFFLINE", "LABKIT_FAST"):
        os.environ.pop(name, None)
    random.seed(seed := int(time.time()))
    print(json.dumps({"seed": seed, "kills": chosen.kills, "minutes": chosen.minutes}))
    tried = lost = 0
    for part in (kills(chosen.kills), faults(), wounds(chosen.minutes)):
        for what, fault in part:
            tried, lost = tried + 1, lost + bool(fault)
            if fault or what.startswith("200"):
                print(f"{what}: {fault or 'held'}", flush=True)
    print(f"faults tried {tried}, survived {tried - lost}, lost {lost}")
    sys.exit(int(bool(lost)))


if __name__ == "__main__":
    main()
