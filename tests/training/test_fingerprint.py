"""What the user wrote, and every number of the data, belongs to a training's fingerprint."""

import functools
import operator
import os
import re
import subprocess
import sys
import time
import types

import numpy as np
import pytest
import torch
from torch import nn
from torch.optim.lr_scheduler import ChainedScheduler, CyclicLR, LambdaLR, SequentialLR
from torch.utils.data import DataLoader, Dataset

import labkit as lk
from labkit.training.fingerprint import OtherTrainingError, _schedule
from labkit.training.identity import words

IMAGES, LABELS = torch.rand(12, 3, 4, 4), torch.arange(12) % 4
SCRIPT = '''

import sys
import torch
from torch import nn
import labkit as lk
from torch.utils.data import DataLoader, Dataset, Subset, WeightedRandomSampler

GAMMA = {gamma}

def helper(images):
    return images{helper}

class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer, self.scale = nn.Linear(48, 4), {scale}

    def forward(self, images):
        return self.scale * self.layer(images.flatten(1)){forward}

class Loss(nn.Module):
    def __init__(self):
        super().__init__()
        self.kinds, self.power = {{"a", "b", "c"}}, {power}

    def forward(self, logits, labels):
        return nn.functional.cross_entropy(logits, labels) ** self.power * GAMMA

class Plan(torch.optim.lr_scheduler.LRScheduler):
    def get_lr(self):
        factor = {rule} if self.last_epoch else 1
        return [group["lr"] * factor for group in self.optimizer.param_groups]

class Step(torch.optim.SGD):
    def step(self, closure=None):
        return super().step(closure){step}

class Cells(Dataset):
    """Reads its images when they are asked for."""
    def __len__(self):
        return 12

    def __getitem__(self, row):
        image = torch.rand(3, 4, 4, generator=torch.Generator().manual_seed(row + {seed}))
        return helper(image), (row + {shift}) % 4

torch.manual_seed(0)
model, weights = Net(), [1.0] * 11 + [{weight}]
part = Subset(Cells(), {rows})
sampler = WeightedRandomSampler(weights[:len(part)], 8)
train = DataLoader(part, 4, sampler=sampler, generator=torch.Generator().manual_seed({order}))
val = [(torch.full((2, 3, 4, 4), {pixel}), torch.tensor([0, 1]))]
optimizer = Step(model.parameters(), 0.1)
try:
    lk.fit(
        model, train, val, 2, criterion=Loss(), optimizer=optimizer, scheduler=Plan(optimizer),
        precision="fp32", device="cpu", progress=False, checkpoint=sys.argv[1],
    )
except ValueError as error:
    print(error)
'''
SAME = {
    **{"gamma": 2, "helper": "", "scale": 1, "forward": "", "power": 1, "rule": 0.9, "step": ""},
    **{"seed": 0, "shift": 0, "weight": 1.0, "rows": "range(12)", "order": 3, "pixel": 0.5},
}
OTHERS = {
    "gamma": (3, "loss"),
    "power": (2, "loss"),
    "helper": (" + 0.1", "training data's"),
    "scale": (2, "the network's code and settings is .*scale: 1.*scale: 2"),
    "forward": (" + 1", "the network's code and settings is .*forward#.*forward#"),
    "rule": (0.8, "scheduler's code"),
    "step": (" or None", "optimizer's code"),
    "seed": (1, "training data's"),
    "shift": (1, "training data's"),
    "weight": (9.0, "training data's rules"),
    "rows": ("[*range(11), 10]", "training data's content"),
    "order": (4, r"training data's rules is .*Generator\(3\).*Generator\(4\)"),
    "pixel": (0.6, "validation data's content"),
}


def run(path, capsys, **changes):
    """Run a notebook's cell with some parts changed; what it says."""
    namespace = {"__name__": "__main__"}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["", str(path)])
        exec(SCRIPT.format(**SAME | changes), namespace)
    return capsys.readouterr().out


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    """The checkpoint of the training as it stands, made in a process with hashes of its own."""
    path = tmp_path_factory.mktemp("checkpoint") / "a.pt"
    command = [sys.executable, "-c", SCRIPT.format(**SAME), str(path)]
    subprocess.run(command, check=True, env=os.environ | {"PYTHONHASHSEED": "5"})
    assert path.exists()
    return path


def test_the_same_training_goes_on_in_another_process(checkpoint, capsys):
    assert run(checkpoint, capsys) == ""


@pytest.mark.parametrize("part", OTHERS)
def test_what_the_user_wrote_otherwise_is_named(checkpoint, capsys, part):
    value, named = OTHERS[part]
    said = run(checkpoint, capsys, **{part: value})
    assert re.search(f"belongs to another training: {named}", said), said


def fit(path, train):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Flatten(), nn.Linear(48, 4))
    options = {"precision": "fp32", "device": "cpu", "progress": False, "checkpoint": path}
    return lk.fit(model, train, epochs=1, **options)


def test_another_function_for_augmentation_is_named(tmp_path):
    def train(factor):
        split = lk.ImageSplit((IMAGES * 255).byte(), LABELS, tuple("abcd"))
        return lk.BatchLoader(split, 4, augment=lambda images: images * factor)

    fit(tmp_path / "a.pt", train(1))
    fit(tmp_path / "a.pt", train(1))
    with pytest.raises(OtherTrainingError, match=r"training data's rules is .*augment"):
        fit(tmp_path / "a.pt", train(2))


def test_a_data_set_that_draws_at_random_goes_on(tmp_path):
    class Noisy(Dataset):
        def __len__(self):
            return 8

        def __getitem__(self, row):
            noise = np.random.default_rng().random((3, 4, 4), dtype=np.float32)
            return torch.as_tensor(noise) + torch.rand(1), row % 4

    for _ in range(2):
        torch.rand(3)
        assert len(fit(tmp_path / "a.pt", DataLoader(Noisy(), 4))) == 1


def test_the_fingerprint_draws_no_random_number(tmp_path):
    class Cells(Dataset):
        def __len__(self):
            return 12

        def __getitem__(self, row):
            return torch.rand(3, 4, 4), row % 4

    first, second = (fit(path, DataLoader(Cells(), 4)) for path in (tmp_path / "a.pt", None))
    assert first.batch_losses == second.batch_losses


def test_every_byte_of_35_megabytes_is_compared_in_a_tenth_of_a_second():
    images = torch.zeros(35_000_000 // 2352, 3, 28, 28, dtype=torch.uint8)
    seconds = []
    for _ in range(5):
        begin = time.process_time()
        before = words(images)
        seconds.append(time.process_time() - begin)
    assert min(seconds) < 0.1
    images[-1, -1, -1, -1] = 1
    assert words(images) != before


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.bool, torch.float64, torch.complex64])
def test_tensors_of_every_kind_are_compared(dtype):
    one, other = torch.zeros(3, 2).to(dtype), torch.eye(3, 2).to(dtype)
    assert words(one) == words(one.clone()) != words(other)
    assert words(one.T) == words(one.T.contiguous())
    assert words(torch.zeros((), dtype=dtype)) != words(torch.ones((), dtype=dtype))


def rule_of(value):
    around = {"STRENGTH": value, "__name__": "own"}
    exec("def rule(images):\n    return images, STRENGTH", around)
    return around["rule"]


@pytest.mark.parametrize("pack", [lambda n: (1, n), lambda n: ((n,), 1), lambda n: frozenset([n])])
def test_a_constant_of_several_values_is_compared(pack):
    assert words(rule_of(pack(2))) == words(rule_of(pack(2))) != words(rule_of(pack(3)))


@pytest.mark.parametrize(("empty", "later"), [([], [0.3]), ({}, {"cell": 1})])
def test_a_diary_that_grows_is_no_setting(empty, later):
    assert words(rule_of(empty)) == words(rule_of(later))


def test_what_refers_to_itself_ends():
    circle = [1]
    circle.append(circle)

    def again(depth):
        return again(depth - 1)

    assert words(circle) == "[1, …]"
    assert words(again).startswith("again#")


def cached(value):
    return functools.cache(lambda number: number + value)


class Relu:
    act = torch.relu


class Tanh:
    act = torch.tanh


Tanh.__qualname__ = Tanh.__name__ = "Relu"


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (torch.relu, torch.tanh),
        (nn.functional.gelu, nn.functional.silu),
        (np.exp, np.log),
        (operator.itemgetter(0), operator.itemgetter(1)),
        (cached(1), cached(2)),
        (Relu, Tanh),
    ],
)
def test_functions_that_are_not_written_in_python_are_told_apart(one, other):
    assert words(one) == words(one) != words(other)


def nested(optimizer, base):
    rules = [LambdaLR(optimizer, lambda epoch: base**epoch) for _ in range(2)]
    return ChainedScheduler([SequentialLR(optimizer, rules, [2])])


@pytest.mark.parametrize(
    "make",
    [nested, lambda o, base: CyclicLR(o, 0.1, 0.2, scale_fn=lambda x: base**x)],
    ids=["nested", "cyclic"],
)
def test_the_functions_of_every_scheduler_are_compared(make):
    def schedule(base):
        optimizer = torch.optim.SGD(nn.Linear(1, 1).parameters(), 0.1, momentum=0.9)
        return _schedule(make(optimizer, base), 3)

    assert schedule(0.5) == schedule(0.5) != schedule(0.9)


def test_a_transform_without_weights_and_a_function_of_ones_own_file_are_compared(tmp_path):
    class Scale(nn.Module):
        def __init__(self, factor):
            super().__init__()
            self.factor = factor

        def forward(self, images):
            return images * self.factor

    rules = types.ModuleType("rules")
    rules.__dict__["__name__"] = "rules"

    def train(factor, source="images / 2"):
        scale = Scale(factor)
        exec(f"def halve(images):\n    return {source}", rules.__dict__)
        split = lk.ImageSplit((IMAGES * 255).byte(), LABELS, tuple("abcd"))
        space = {"scale": scale, "rules": rules}
        exec("def augment(images):\n    return rules.halve(scale(images))", space)
        space["augment"].__module__ = "__main__"
        return lk.BatchLoader(split, 4, augment=space["augment"])

    fit(tmp_path / "a.pt", train(0.5))
    fit(tmp_path / "a.pt", train(0.5))
    for other in ((0.9,), (0.5, "images / 3")):
        with pytest.raises(OtherTrainingError, match="augment"):
            fit(tmp_path / "a.pt", train(*other))
