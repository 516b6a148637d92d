"""What the kit trains and explains on a card that refuses the CPU's tensors and float64."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch

CODE = """
import io, sys
from contextlib import redirect_stdout
import numpy as np, torch
from torch import nn
import pretended_card
pretended_card.install()
import labkit as lk
from conftest import random_split

def trained(where):
    lk.seed_everything(0)
    options = {"batch_size": 16, "shuffle": True, "device": where}
    moved = lk.Augment(flip=True, shift=1)
    train = lk.BatchLoader(random_split(80), augment=moved, **options)
    val = lk.BatchLoader(random_split(16, seed=1), **options)
    model = nn.Sequential(
        nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(144, 8)
    )
    adam = torch.optim.AdamW(model.parameters(), lr=1e-2)  # before the network moves
    weights = np.linspace(1, 2, 8)  # float64
    with redirect_stdout(io.StringIO()):
        history = lk.fit(
            model, train, val, 2, optimizer=adam, device=where, precision="fp32",
            criterion=nn.CrossEntropyLoss(torch.tensor(weights)), progress=False,
            scheduler=torch.optim.lr_scheduler.OneCycleLR(adam, 1e-2, total_steps=10),
            keep_best="val_loss", checkpoint=f"{sys.argv[1]}/{where}.pt",
            callbacks=[lk.LivePlot([str(n) for n in range(8)])],
        )
        result = lk.evaluate(model, val)
    assert next(model.parameters()).device.type == where
    elsewhere = lk.evaluate(model.cpu(), val)  # of batches that are on the card
    np.testing.assert_allclose(elsewhere.logits, result.logits, atol=1e-5)
    model.to(where)
    images, _ = next(iter(val))
    some = images[4:12], images[:2]  # background, and what to explain
    slopes = lk.explain.gradient(model, some[1], [0, 1])
    gap = lk.explain.additivity_gap(model, *some, slopes, [0, 1])
    with lk.probes.Probe(model) as probe:
        model(images).sum().backward()
    return history.batch_losses, result.logits, slopes, gap, probe.to_frame()["gradient_norm"]

for on_card, on_cpu in zip(trained("card"), trained("cpu"), strict=True):
    np.testing.assert_allclose(on_card, on_cpu, rtol=1e-3, atol=1e-4)
print("the same")
"""


@pytest.mark.skipif(
    not hasattr(getattr(torch._C, "_acc", None), "register_python_privateuseone_hook"),
    reason="this PyTorch has no interface for back ends in Python",
)
def test_a_card_computes_what_the_cpu_does(tmp_path, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[1]))
    monkeypatch.delenv("LABKIT_DEVICE")
    command = [sys.executable, "-c", CODE, str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, encoding="utf-8")
    assert done.stdout.endswith("the same\n"), done.stderr
