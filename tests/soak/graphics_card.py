"""What `fit` promises of a graphics card, tried on one: a line a check, exit code 1 if one fails.

    python tests/soak/graphics_card.py                # about a minute
    python tests/soak/graphics_card.py --device cpu   # a dry run of what needs no CUDA

Needs torch, numpy, pandas, scikit-learn, scikit-image and matplotlib; no data, no pytest.
"""
# E402: the path and cuBLAS are set before torch is imported; PT017: there is no pytest here
# ruff: noqa: E402, PT017

import argparse
import copy
import io
import os
import sys
import tempfile
import time
import traceback
import warnings
from contextlib import redirect_stdout
from pathlib import Path

os.environ["CUBLAS_WORKSPACE_CONFIG"] = ":4096:8"  # before torch: cuBLAS adds in one order
for name in [name for name in os.environ if name.startswith("LABKIT_")]:
    del os.environ[name]
# in the place of this file's folder: labkit need not be installed
sys.path[0] = str(Path(__file__).parents[2])

import torch
from torch import nn
from torch.optim.lr_scheduler import OneCycleLR

import labkit as lk

CLASSES, BATCH, EPOCHS = tuple("abcd"), 32, 5
DEVICE = "cuda"


class NeedsCudaError(Exception):
    """A check that a CPU cannot answer."""


def cells(count: int = 512, seed: int = 0, size: int = 16) -> lk.ImageSplit:
    """Noise, brighter in another corner for each class: easily learnt, not by heart."""
    generator = torch.Generator().manual_seed(seed)
    images = torch.randint(0, 160, (count, 3, size, size), generator=generator, dtype=torch.uint8)
    labels, half = torch.arange(count) % 4, size // 2
    for row, label in enumerate(labels.tolist()):
        down, across = label // 2 * half, label % 2 * half
        images[row, :, down : down + half, across : across + half] += 60
    return lk.ImageSplit(images, labels, CLASSES, origin="noise")


def network() -> nn.Module:
    torch.manual_seed(1)
    return nn.Sequential(
        *(nn.Conv2d(3, 16, 3, padding=1), nn.BatchNorm2d(16), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Conv2d(16, 32, 3, padding=1), nn.BatchNorm2d(32), nn.ReLU(), nn.MaxPool2d(4)),
        *(nn.Flatten(), nn.Dropout(0.2), nn.Linear(128, 4)),
    )


def train(model: nn.Module, epochs: int = EPOCHS, count: int = 512, **options) -> lk.History:
    """`fit` with all that draws random numbers: order, augmentation, dropout; silent."""
    options = {"device": DEVICE, "precision": "fp32", "progress": False} | options
    where = options["device"]
    augment = lk.Augment(rotate=5, shift=1, brightness=0.1)
    loader = lk.BatchLoader(cells(count), BATCH, shuffle=True, augment=augment, device=where)
    val = lk.BatchLoader(cells(128, seed=1), BATCH, device=where)
    model.to(where)
    options.setdefault("optimizer", torch.optim.Adam(model.parameters(), lr=3e-3))
    with redirect_stdout(io.StringIO()):
        return lk.fit(model, loader, val, epochs, **options)


def weights(model: nn.Module) -> dict[str, torch.Tensor]:
    return {name: value.detach().cpu().clone() for name, value in model.state_dict().items()}


def apart(one: dict, other: dict) -> float:
    return max(float((one[name].double() - other[name].double()).abs().max()) for name in one)


def only_cuda() -> None:
    if DEVICE != "cuda":
        raise NeedsCudaError


def learns(precision: str) -> str:
    if precision == "fp16":
        only_cuda()
    model = network()
    history = train(model, precision=precision)
    losses = history.column("train_loss")
    assert losses[-1] < 0.5 * losses[0], losses
    assert history[-1]["val_accuracy"] > 0.9, history[-1]
    assert history.confusion_matrices[-1].sum() == 128
    assert all(value.isfinite().all() for value in weights(model).values())
    held = lk.BatchLoader(cells(128, seed=1), BATCH, device=DEVICE)
    result = lk.evaluate(model, held, precision=precision)
    assert abs(result.accuracy - history[-1]["val_accuracy"]) <= 1 / 128, result.accuracy
    return f"loss {losses[0]:.3f} -> {losses[-1]:.3f}, val accuracy {result.accuracy:.3f}"


def auto() -> str:
    only_cuda()
    setup = train(network(), 1, precision="auto").setup["device"]
    major, _ = torch.cuda.get_device_capability()
    assert setup == f"cuda, {'bf16' if major >= 8 else 'fp16'}", setup
    return setup


class Louder(nn.Module):
    """A cross-entropy whose gradients are too large for fp16 at the scaler's first scale."""

    def forward(self, logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        return 200 * nn.functional.cross_entropy(logits, labels)


def overflow() -> str:
    """fp16: steps whose gradients overflow are left out, the scale falls, and it learns."""
    only_cuda()
    with tempfile.TemporaryDirectory() as folder:
        path, model = Path(folder) / "a.pt", network()
        history = train(model, precision="fp16", criterion=Louder(), checkpoint=path)
        scale = torch.load(path, weights_only=True)["scaler"]["scale"]
    assert scale < 65536, f"no step overflowed: scale {scale}"
    assert all(value.isfinite().all() for value in weights(model).values())
    assert history[-1]["val_accuracy"] > 0.9, history[-1]
    return f"scale 65536 -> {scale:.0f}, val accuracy {history[-1]['val_accuracy']:.3f}"


class StopAfter:
    def __init__(self, epochs: int) -> None:
        self.epochs = epochs

    def on_epoch_end(self, history: lk.History) -> None:
        if len(history) == self.epochs:
            raise InterruptedError


def whole_or_resumed(precision: str, path: Path | None, then: str | None = None) -> tuple:
    """One training; with a path it is broken off after two epochs and gone on with."""
    for attempt in range(1 if path is None else 2):
        lk.seed_everything(0)
        model = network()
        optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
        schedule = OneCycleLR(optimizer, 3e-3, total_steps=EPOCHS * 512 // BATCH)
        more = {"optimizer": optimizer, "scheduler": schedule, "keep_best": "val_loss"}
        if path is not None and attempt == 0:
            more["callbacks"] = [StopAfter(2)]
        if attempt == 1 and then:
            more["device"] = then
        try:
            history = train(model, precision=precision, checkpoint=path, **more)
        except InterruptedError:
            continue
    return weights(model), history


def resumed(precision: str) -> str:
    """Broken off and gone on with, a training ends as if it had not been; to the bit in fp32."""
    if precision == "fp16":
        only_cuda()
    torch.use_deterministic_algorithms(True, warn_only=True)
    try:
        with tempfile.TemporaryDirectory() as folder:
            one, history = whole_or_resumed(precision, None)
            again, _ = whole_or_resumed(precision, None)
            other, record = whole_or_resumed(precision, Path(folder) / "a.pt")
    finally:
        torch.use_deterministic_algorithms(False)
    itself, difference = apart(one, again), apart(one, other)
    said = f"run again differs by {itself:g}, resumed by {difference:g}"
    assert difference <= 10 * itself, said
    if not itself:
        assert history.batch_losses == record.batch_losses, "other losses"
    assert len(record) == EPOCHS
    return said


def resumed_elsewhere() -> str:
    """A checkpoint from the graphics card goes on on the CPU."""
    only_cuda()
    with tempfile.TemporaryDirectory() as folder:
        one, _ = whole_or_resumed("fp32", None)
        other, record = whole_or_resumed("fp32", Path(folder) / "a.pt", then="cpu")
    assert len(record) == EPOCHS and record[-1]["val_accuracy"] > 0.9, record[-1]
    return f"from epoch 3 on the CPU; weights differ by {apart(one, other):.2g}"


def out_of_memory() -> str:
    """The message names the batch size, and a smaller batch works at once."""
    only_cuda()
    torch.cuda.empty_cache()
    total = torch.cuda.get_device_properties(0).total_memory
    torch.cuda.set_per_process_memory_fraction(
        min(1.0, (torch.cuda.memory_reserved() + 600e6) / total)
    )
    wide = nn.Sequential(
        *[nn.Conv2d(3, 256, 3, padding=1), nn.ReLU(), nn.Conv2d(256, 256, 3, padding=1), nn.ReLU()],
        *[nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(256, 4)],
    )
    split = cells(256, size=64)
    errors = []
    try:
        for batch in (256, 8):
            loader = lk.BatchLoader(split, batch, device=DEVICE)
            options = {"precision": "fp32", "device": DEVICE, "progress": False}
            try:
                lk.fit(wide, loader, None, 1, **options)
            except torch.OutOfMemoryError as error:  # kept, as a notebook keeps it
                errors.append(error)
                assert f"batches of {batch} images:" in str(error), str(error)
                assert "history" in dir(error)
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)
    assert len(errors) == 1, f"{len(errors)} of 2 ran out of memory: {errors}"
    return f"{str(errors[0])[:76]}…; batches of 8 then ran"


def waits(run, count: int) -> int:
    """How often the processor waited for the graphics card."""
    torch.cuda.synchronize()
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        torch.cuda.set_sync_debug_mode("warn")
        try:
            run(count)
        finally:
            torch.cuda.set_sync_debug_mode("default")
    return sum("synchronizing" in str(warning.message) for warning in said)


def no_waits(precision: str) -> str:
    """Twice the batches, as many waits: none belongs to a batch. (PyTorch's scaler has its own.)"""
    only_cuda()

    def batch_loader(count: int) -> None:
        train(network(), 2, count, precision=precision)

    def data_loader(count: int) -> None:
        split, model = cells(count), network()
        data = torch.utils.data.TensorDataset(split.images / 255, split.labels)
        loader = torch.utils.data.DataLoader(data, BATCH, shuffle=True)
        options = {"precision": precision, "device": DEVICE, "progress": False}
        with redirect_stdout(io.StringIO()):
            lk.fit(model, loader, None, 2, **options)

    texts = []
    for run in (batch_loader, data_loader):
        run(64)  # what is done once
        few, many = waits(run, 512), waits(run, 1024)
        batches = 2 * (1024 - 512) // BATCH
        each = (many - few) / batches
        texts.append(f"{run.__name__}: {few} waits in {1024 // BATCH} batches, {each:g} more each")
        assert each <= (1 if precision == "fp16" else 0), texts[-1]
    return "; ".join(texts)


def profile() -> str:
    """The profiler's word on it: copies to the processor in a training of 16 and of 32 batches."""
    only_cuda()
    from torch.profiler import ProfilerActivity
    from torch.profiler import profile as profiled

    counts = []
    for count in (512, 1024):
        model = network()
        with profiled(activities=[ProfilerActivity.CPU, ProfilerActivity.CUDA]) as watched:
            train(model, 1, count)
        counts.append(sum(e.count for e in watched.key_averages() if "DtoH" in e.key))
    assert counts[0] == counts[1] > 0, f"copies to the processor: {counts}"
    return f"{counts[0]} copies to the processor in an epoch of 16 batches as of 32"


def not_finite() -> str:
    """A NaN stops, names epoch and batch, and leaves the weights of the epoch before."""
    model = network()

    class Broken(nn.Module):
        seen = 0

        def forward(self, logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
            self.seen += model.training
            loss = nn.functional.cross_entropy(logits, labels)
            return loss * (float("nan") if self.seen == 20 else 1)

    kept = []

    class Keep:
        def on_epoch_end(self, history: lk.History) -> None:
            kept.append(weights(model))

    try:
        train(model, criterion=Broken(), callbacks=[Keep()])
    except FloatingPointError as error:
        assert "epoch 2, batch 4 of 16" in str(error), str(error)
        assert len(error.history) == 1 and apart(kept[0], weights(model)) == 0
        return str(error)[:66] + "…"
    raise AssertionError("it trained on")


def live_plot() -> str:
    """A live plot follows a training there, and its pictures can be painted."""
    from labkit.liveplot.painting import paint
    from labkit.liveplot.sheet import to_svg

    plot = lk.LivePlot(CLASSES)
    history = train(network(), callbacks=[plot])
    pictures = [to_svg(sheet, str(i)) for i, sheet in enumerate(paint(plot._record))]
    assert len(pictures) == 3 and all(picture.startswith("<svg") for picture in pictures)
    assert not plot._broken and len(history) == EPOCHS
    return f"{len(pictures)} pictures of {EPOCHS} epochs"


def same_logits() -> str:
    """One network has nearly the same outputs on both processors."""
    model = network()
    train(model)
    results = []
    for where in (DEVICE, "cpu"):
        model.to(where)
        held = lk.BatchLoader(cells(128, seed=1), BATCH, device=where)
        results.append(torch.from_numpy(lk.evaluate(copy.deepcopy(model), held).logits))
    difference = float((results[0] - results[1]).abs().max())
    assert difference < 0.05, difference  # cuDNN multiplies fp32 in TF32: three digits
    return f"largest difference {difference:.2g}"


CHECKS = {
    **{f"learns in {p}": lambda p=p: learns(p) for p in ("fp32", "bf16", "fp16")},
    "precision='auto'": auto,
    "fp16 with overflow": overflow,
    **{f"resumed in {p}": lambda p=p: resumed(p) for p in ("fp32", "bf16", "fp16")},
    "resumed on the CPU": resumed_elsewhere,
    "out of memory": out_of_memory,
    **{f"no wait a batch, {p}": lambda p=p: no_waits(p) for p in ("fp32", "bf16", "fp16")},
    "no wait a batch, profiler": profile,
    "NaN": not_finite,
    "LivePlot": live_plot,
    "same outputs as the CPU": same_logits,
}


def main() -> None:
    """Run every check, print a line each, and count."""
    global DEVICE
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda")
    DEVICE = parser.parse_args().device
    torch.backends.cudnn.benchmark = False
    name = torch.cuda.get_device_name() if DEVICE == "cuda" else "dry run on the CPU"
    print(f"{name}, torch {torch.__version__}, Python {sys.version.split()[0]}", flush=True)
    count = {"ok": 0, "skip": 0, "FAIL": 0}
    for what, check in CHECKS.items():
        begin = time.perf_counter()
        try:
            verdict, said = "ok", check()
        except NeedsCudaError:
            verdict, said = "skip", "needs CUDA"
        except Exception as error:
            verdict, said = "FAIL", " ".join(f"{type(error).__name__}: {error}".split())[:300]
            traceback.print_exc(limit=-3)
        count[verdict] += 1
        print(f"{verdict:4} {what}: {said} ({time.perf_counter() - begin:.1f} s)", flush=True)
    print(f"{count['ok']} passed, {count['FAIL']} failed, {count['skip']} skipped")
    sys.exit(int(bool(count["FAIL"])))


if __name__ == "__main__":
    main()
