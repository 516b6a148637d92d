import random

import numpy as np
import pytest
import torch

from labkit import device
from labkit.device import choose_precision, get_device, seed_everything

CPU = torch.device("cpu")


@pytest.fixture
def only_cpu(monkeypatch):
    monkeypatch.setattr(device, "available_devices", lambda: ["cpu"])


def test_the_cpu_is_always_there():
    assert device.available_devices()[-1] == "cpu"
    assert get_device("cpu") == CPU
    assert get_device(CPU) == CPU
    assert get_device("cpu:0") == torch.device("cpu", 0)


@pytest.mark.parametrize("name", ["cuda", "mps", "tpu", "cpu:1", "cpu:x", "cpu:", "", 0])
def test_a_device_that_is_not_there_is_an_error_that_lists_the_others(only_cpu, name):
    with pytest.raises(ValueError, match=f"You asked for the device '{name}'.*Available: cpu"):
        get_device(name)


def test_the_fastest_device_is_taken_and_labkit_device_comes_before_it(monkeypatch):
    monkeypatch.setattr(device, "available_devices", lambda: ["mps", "cpu"])
    monkeypatch.delenv("LABKIT_DEVICE")
    assert get_device().type == "mps"
    monkeypatch.setenv("LABKIT_DEVICE", "cpu")
    assert get_device() == CPU
    assert get_device("mps").type == "mps"


@pytest.mark.parametrize("name", ["cuda", "cpu:"])
def test_a_wrong_labkit_device_is_named(only_cpu, monkeypatch, name):
    monkeypatch.setenv("LABKIT_DEVICE", name)
    with pytest.raises(ValueError, match=f"LABKIT_DEVICE asks for .*'{name}'.*Available: cpu"):
        get_device()


def test_a_seed_fixes_all_three_generators():
    def draw():
        return random.random(), np.random.rand(), torch.rand(1).item()

    assert seed_everything(7) == 7
    first = draw()
    assert draw() != first
    seed_everything(7)
    assert draw() == first


@pytest.mark.parametrize("seed", [-1, 2**32])
def test_a_seed_out_of_range_is_refused(seed):
    with pytest.raises(ValueError, match=f"seed is {seed}"):
        seed_everything(seed)


@pytest.mark.parametrize(
    ("kind", "fast", "expected"),
    [("cpu", True, "bf16"), ("cpu", False, "fp32"), ("cuda", True, "bf16")]
    + [("cuda", False, "fp16"), ("mps", False, "fp32")],
)
def test_auto_precision_follows_the_processor(monkeypatch, kind, fast, expected):
    monkeypatch.delenv("LABKIT_PRECISION", raising=False)
    monkeypatch.setattr(device, "has_fast_bf16", lambda device: fast)
    assert choose_precision("auto", torch.device(kind)) == expected


def test_a_precision_that_was_asked_for_is_kept():
    assert [choose_precision(name, CPU) for name in ("fp32", "bf16")] == ["fp32", "bf16"]


def test_bad_precisions_are_refused():
    with pytest.raises(ValueError, match="precision is 'fp8'; choose one of auto, fp32"):
        choose_precision("fp8", CPU)
    with pytest.raises(ValueError, match="fp16 needs a CUDA device, not cpu"):
        choose_precision("fp16", CPU)


def test_the_seed_offset_is_added(monkeypatch):
    seed_everything(45)
    expected = torch.rand(3)
    monkeypatch.setenv("LABKIT_SEED", "3")
    assert seed_everything(42) == 45
    assert torch.equal(torch.rand(3), expected)


@pytest.mark.parametrize("seed", ["3", 3.7, None])
def test_a_seed_is_a_whole_number_of_any_kind(seed):
    with pytest.raises(TypeError, match="it must be a whole number"):
        seed_everything(seed)
    assert seed_everything(np.int64(3)) == 3
