"""One epoch of lab 04's NumPy library beside the same epoch in PyTorch, in one process.

The library is taken from the built notebook. Both get the same batches of rows from 0 to 1.
"""

import time

import nbformat
import numpy as np
import torch

import labkit as lk
from labkit.authoring.cells import tags
from labkit.authoring.files import find_root
from labkit.device import machine


def load_library() -> dict:
    """The names that the solution cells define."""
    nb = nbformat.read(find_root() / "solutions" / "04_numpy_framework.ipynb", as_version=4)
    names = {"np": np}
    for cell in nb.cells:
        if cell.cell_type == "code" and "solution" in tags(cell):
            exec(cell.source, names)
    return names


def main() -> None:
    """Time both, three epochs each in turn, and print the medians."""
    lab, mnist = load_library(), lk.load_dataset("mnist")
    x = mnist.train.images.reshape(len(mnist.train), -1).numpy()
    y = mnist.train.labels.numpy()
    net = lab["Sequential"](
        lab["Linear"](784, 128), lab["ReLU"](), lab["Linear"](128, 64), lab["ReLU"](),
        lab["Linear"](64, 10),
    )  # fmt: skip
    loss, sgd = lab["SoftmaxCrossEntropy"](), lab["SGD"](net, lr=0.1)

    def numpy_step(images: np.ndarray, labels: np.ndarray) -> None:
        loss.forward(net(images), labels)
        sgd.zero_grad()
        net.backward(loss.backward())
        sgd.step()

    def make_torch_step(dtype: torch.dtype) -> object:
        model = torch.nn.Sequential(
            torch.nn.Linear(784, 128), torch.nn.ReLU(), torch.nn.Linear(128, 64), torch.nn.ReLU(),
            torch.nn.Linear(64, 10),
        ).to(dtype)  # fmt: skip
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)

        def step(images: np.ndarray, labels: np.ndarray) -> None:
            logits = model(torch.from_numpy(images).to(dtype))
            optimizer.zero_grad()
            torch.nn.functional.cross_entropy(logits, torch.from_numpy(labels)).backward()
            optimizer.step()

        return step

    def epoch(step: object) -> float:
        start = time.perf_counter()
        for first in range(0, len(x), 64):
            step(x[first : first + 64] / 255, y[first : first + 64])
        return time.perf_counter() - start

    steps = {
        "NumPy, float64": numpy_step,
        "PyTorch, float64": make_torch_step(torch.float64),
        "PyTorch, float32": make_torch_step(torch.float32),
    }
    seconds = {name: [] for name in steps}
    for _ in range(3):
        for name, step in steps.items():
            seconds[name].append(epoch(step))
    medians = {name: float(np.median(times)) for name, times in seconds.items()}
    print(f"Lab 04, one epoch of 784-128-64-10 on {len(x):,} digits ({mnist.origin})")
    print(f"on {machine()}; median of 3:")
    for name, value in medians.items():
        print(f"  {name:18}{value:7.2f} s   {value / medians['NumPy, float64']:5.2f} x NumPy")


if __name__ == "__main__":
    main()
