"""How fast `fit` is beside a bare loop, the usual course loop, Lightning and skorch.

All in one run on the same images, model and epochs, as ratios to the bare loop (the limit): batches
that are ready in memory, forward, backward, step, and nothing else. `fit` does its metrics and, for
the CNN, its augmentation within its time; Lightning and skorch get ready tensors without either.
"""

import statistics
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import nullcontext

import medmnist
import torch
from sklearn.metrics import accuracy_score, f1_score
from torch import nn
from torch.utils.data import DataLoader, TensorDataset
from torchvision import transforms

import labkit as lk
from labkit.data.catalog import entry
from labkit.data.download import fetch
from labkit.device import machine

BATCH, REPEATS = 64, 3
blood = lk.load_dataset("bloodmnist")


def batches(augment: Callable | None = None) -> lk.BatchLoader:
    """The training batches of the kit."""
    return lk.BatchLoader(blood.train, BATCH, shuffle=True, augment=augment)


def adam(model: nn.Module) -> torch.optim.Optimizer:
    return torch.optim.Adam(model.parameters(), 1e-3)


class InBf16(nn.Module):
    """A network that computes in bf16 by itself, for loops that know nothing of precision."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        with torch.autocast("cpu", torch.bfloat16):
            return self.model(images).float()


def bare_loop(model: nn.Module, epochs: int, precision: str, augment: object) -> float:
    """The limit: ready batches, forward, backward, step. Returns seconds."""
    layout = torch.channels_last if _convolutional(model) else torch.contiguous_format
    model.to(memory_format=layout)
    ready = [(x.contiguous(memory_format=layout), y) for x, y in batches()]
    optimizer, criterion = adam(model), nn.CrossEntropyLoss()
    began = time.perf_counter()
    for _ in range(epochs):
        for images, labels in ready:
            optimizer.zero_grad()
            bf16 = precision == "bf16"
            with torch.autocast("cpu", torch.bfloat16) if bf16 else nullcontext():
                loss = criterion(model(images), labels)
            loss.backward()
            optimizer.step()
    return time.perf_counter() - began


def kit(model: nn.Module, epochs: int, precision: str, augment: object) -> float:
    """`fit`, with its metrics and augmentation."""
    loader = batches(augment)
    began = time.perf_counter()
    lk.fit(model, loader, epochs=epochs, precision=precision, progress=False, device="cpu")
    return time.perf_counter() - began


def usual_loop(model: nn.Module, epochs: int, precision: str, augment: object) -> float:
    """What most courses write: PIL a picture at a time, `.item()` and metrics a batch."""
    model = InBf16(model) if precision == "bf16" else model
    steps = [transforms.RandomHorizontalFlip(), transforms.RandomRotation(15)] if augment else []
    steps += [transforms.ToTensor(), transforms.Normalize([0.5] * 3, [0.5] * 3)]
    folder = fetch(entry("bloodmnist").files[28][0]).path.parent
    dataset = medmnist.BloodMNIST("train", transforms.Compose(steps), root=str(folder))
    loader = DataLoader(dataset, BATCH, shuffle=True)
    optimizer, criterion, total = adam(model), nn.CrossEntropyLoss(), 0.0
    began = time.perf_counter()
    for _ in range(epochs):
        for images, labels in loader:
            labels = labels.squeeze(1).long()
            optimizer.zero_grad()
            logits = model(images)
            loss = criterion(logits, labels)
            loss.backward()
            optimizer.step()
            total += loss.item()
            accuracy_score(labels, logits.argmax(1))
            f1_score(labels, logits.argmax(1), average="macro")
    return time.perf_counter() - began


def lightning(model: nn.Module, epochs: int, precision: str, augment: object) -> float:
    """Lightning's Trainer on ready tensors, its logging and checkpoints off."""
    import lightning

    class Module(lightning.LightningModule):
        def __init__(self) -> None:
            super().__init__()
            self.model = model

        def training_step(self, batch: tuple, index: int) -> torch.Tensor:
            return nn.functional.cross_entropy(self.model(batch[0]), batch[1])

        def configure_optimizers(self) -> torch.optim.Optimizer:
            return adam(self.model)

    trainer = lightning.Trainer(
        max_epochs=epochs, accelerator="cpu", logger=False, enable_checkpointing=False,
        enable_progress_bar=False, enable_model_summary=False,
        precision="bf16-mixed" if precision == "bf16" else "32-true",
    )  # fmt: skip
    loader = DataLoader(TensorDataset(*_tensors()), BATCH, shuffle=True)
    began = time.perf_counter()
    trainer.fit(Module(), loader)
    return time.perf_counter() - began


def skorch(model: nn.Module, epochs: int, precision: str, augment: object) -> float:
    """skorch's NeuralNetClassifier on ready tensors."""
    import skorch

    model = InBf16(model) if precision == "bf16" else model

    net = skorch.NeuralNetClassifier(
        model, criterion=nn.CrossEntropyLoss, optimizer=torch.optim.Adam, lr=1e-3, batch_size=BATCH,
        max_epochs=epochs, train_split=None, verbose=0, iterator_train__shuffle=True,
    )  # fmt: skip
    images, labels = _tensors()
    began = time.perf_counter()
    net.fit(images, labels)
    return time.perf_counter() - began


def _tensors() -> tuple[torch.Tensor, torch.Tensor]:
    parts = list(lk.BatchLoader(blood.train, 4096))
    return torch.cat([x for x, _ in parts]), torch.cat([y for _, y in parts])


def _convolutional(model: nn.Module) -> bool:
    return any(isinstance(module, nn.Conv2d) for module in model.modules())


def rows() -> Iterator[str]:
    """One line a way to train, for each network and precision."""
    ways = {
        "bare loop": bare_loop,
        "fit": kit,
        "usual loop": usual_loop,
        "Lightning": lightning,
        "skorch": skorch,
    }
    networks = {
        "BloodMLP": (lk.models.BloodMLP, 6, None),  # so many epochs a run, of half a second each
        "DeeperCNN": (lk.models.DeeperCNN, 2, lk.Augment(flip=True, rotate=15)),
    }
    for name, (make, epochs, augment) in networks.items():
        for precision in ("fp32", "bf16"):
            seconds: dict[str, list[float]] = {way: [] for way in ways}
            for _ in range(REPEATS):  # in turns, so that a slow minute hits all alike
                for way, train in ways.items():
                    lk.seed_everything(0)
                    seconds[way].append(train(make(), epochs, precision, augment) / epochs)
            limit = statistics.median(seconds["bare loop"])
            for way, values in seconds.items():
                epoch = statistics.median(values)
                yield f"{name:10} {precision}  {way:11} {epoch:7.2f} s {epoch / limit:6.2f} x"


if __name__ == "__main__":
    print(f"fit on {machine()}")
    print(f"{blood.origin}, n = {len(blood.train):,}, batch {BATCH}; seconds an epoch,")
    print(f"median of {REPEATS} runs; x: times the bare loop")
    warnings.simplefilter("ignore")
    torch.set_float32_matmul_precision("highest")
    for row in rows():
        print(row, flush=True)
