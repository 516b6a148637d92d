"""Lab 04's library against PyTorch; the code is that of the built notebook, as students see it."""

import nbformat
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from labkit.authoring.cells import tags
from labkit.authoring.files import find_root, find_sources

if "04_numpy_framework" not in [source.stem for source in find_sources(find_root())]:
    pytest.skip("the course leaves lab 04 out", allow_module_level=True)
EXACT = {"rtol": 0, "atol": 1e-10}


def load_library():
    """The names that the solution cells of the notebook define, without its training."""
    nb = nbformat.read(find_root() / "solutions" / "04_numpy_framework.ipynb", as_version=4)
    names = {"np": np}
    for cell in nb.cells:
        if cell.cell_type == "code" and "solution" in tags(cell):
            exec(cell.source, names)
    return names


LAB = load_library()
SHAPES = st.tuples(st.integers(1, 7), st.integers(1, 6), st.integers(1, 5))
SEEDS = st.integers(0, 2**32 - 1)


def tensor(array):
    return torch.tensor(array, dtype=torch.float64, requires_grad=True)


@settings(deadline=None, max_examples=40)
@given(SHAPES, SEEDS)
def test_linear(shape, seed):
    batch, fan_in, fan_out = shape
    random = np.random.default_rng(seed)
    np.random.seed(seed)
    ours = LAB["Linear"](fan_in, fan_out)
    ours.parameters()["bias"][...] = random.normal(size=fan_out)
    theirs = nn.Linear(fan_in, fan_out).double()
    theirs.load_state_dict({k: torch.tensor(v) for k, v in ours.parameters().items()})
    x, grad = random.normal(size=(batch, fan_in)), random.normal(size=(batch, fan_out))
    t = tensor(x)
    out = theirs(t)
    out.backward(torch.tensor(grad))
    np.testing.assert_allclose(ours(x), out.detach(), **EXACT)
    np.testing.assert_allclose(ours.backward(grad), t.grad, **EXACT)
    for name, parameter in theirs.named_parameters():
        np.testing.assert_allclose(ours.gradients()[name], parameter.grad, **EXACT)


@pytest.mark.parametrize("name", ["ReLU", "Tanh", "Sigmoid"])
@settings(deadline=None, max_examples=40)
@given(SHAPES, SEEDS, st.floats(0.1, 100))
def test_activations(name, shape, seed, scale):
    random = np.random.default_rng(seed)
    x, grad = random.normal(size=shape[:2]) * scale, random.normal(size=shape[:2])
    t = tensor(x)
    out = getattr(nn, name)()(t)
    out.backward(torch.tensor(grad))
    ours = LAB[name]()
    np.testing.assert_allclose(ours(x), out.detach(), **EXACT)
    np.testing.assert_allclose(ours.backward(grad), t.grad, **EXACT)


@settings(deadline=None, max_examples=40)
@given(SHAPES, SEEDS)
def test_mse(shape, seed):
    random = np.random.default_rng(seed)
    p, target = random.normal(size=shape[:2]), random.normal(size=shape[:2])
    t = tensor(p)
    loss = nn.MSELoss()(t, torch.tensor(target))
    loss.backward()
    ours = LAB["MSELoss"]()
    np.testing.assert_allclose(ours.forward(p, target), loss.item(), **EXACT)
    np.testing.assert_allclose(ours.backward(), t.grad, **EXACT)


@settings(deadline=None, max_examples=40)
@given(SHAPES, SEEDS, st.floats(0.1, 300), st.booleans())
def test_softmax_cross_entropy(shape, seed, scale, one_hot):
    batch, classes, _ = shape
    random = np.random.default_rng(seed)
    z, labels = random.normal(size=(batch, classes)) * scale, random.integers(0, classes, batch)
    t = tensor(z)
    loss = nn.CrossEntropyLoss()(t, torch.tensor(labels))
    loss.backward()
    ours = LAB["SoftmaxCrossEntropy"]()
    value = ours.forward(z, np.eye(classes)[labels] if one_hot else labels)
    np.testing.assert_allclose(value, loss.item(), **EXACT)
    np.testing.assert_allclose(ours.backward(), t.grad, **EXACT)


def networks(seed=0):
    np.random.seed(seed)
    layers = [LAB["Linear"](6, 5), LAB["ReLU"](), LAB["Linear"](5, 4), LAB["Tanh"]()]
    ours = LAB["Sequential"](*layers, LAB["Linear"](4, 3))
    theirs = nn.Sequential(nn.Linear(6, 5), nn.ReLU(), nn.Linear(5, 4), nn.Tanh(), nn.Linear(4, 3))
    theirs = theirs.double()
    theirs.load_state_dict({k: torch.tensor(v) for k, v in ours.parameters().items()})
    return ours, theirs


@pytest.mark.parametrize("momentum", [0.0, 0.9])
def test_training_gives_the_weights_of_pytorch(momentum):
    ours, theirs = networks()
    loss, random = LAB["SoftmaxCrossEntropy"](), np.random.default_rng(0)
    our_sgd = LAB["SGD"](ours, lr=0.1, momentum=momentum)
    their_sgd = torch.optim.SGD(theirs.parameters(), lr=0.1, momentum=momentum)
    for _ in range(10):  # rounding grows with the steps, on some processors faster
        x, y = random.normal(size=(8, 6)), random.integers(0, 3, 8)
        value = loss.forward(ours(x), y)
        our_sgd.zero_grad()
        ours.backward(loss.backward())
        our_sgd.step()
        their_sgd.zero_grad()
        expected = nn.functional.cross_entropy(theirs(torch.tensor(x)), torch.tensor(y))
        expected.backward()
        their_sgd.step()
        assert value == pytest.approx(expected.item(), abs=1e-10)
    for name, parameter in theirs.named_parameters():
        np.testing.assert_allclose(ours.parameters()[name], parameter.detach(), **EXACT)


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("activation", ["ReLU", "Tanh", "Sigmoid"])
@pytest.mark.parametrize("loss", ["MSELoss", "SoftmaxCrossEntropy"])
def test_the_gradient_check_is_below_1e_7_for_every_layer_and_both_losses(seed, activation, loss):
    np.random.seed(seed)
    net = LAB["Sequential"](LAB["Linear"](5, 4), LAB[activation](), LAB["Linear"](4, 3))
    x = np.random.randn(6, 5)
    y = np.random.randn(6, 3) if loss == "MSELoss" else np.random.randint(0, 3, 6)
    assert LAB["gradient_check"](net, LAB[loss](), x, y) < 1e-7


def test_the_gradient_check_finds_a_mean_that_was_taken_twice():
    class Twice(LAB["Linear"]):
        def backward(self, grad):
            return super().backward(grad / len(grad)) * len(grad)

    np.random.seed(0)
    x, y = np.random.randn(6, 5), np.random.randint(0, 3, 6)
    assert LAB["gradient_check"](Twice(5, 3), LAB["SoftmaxCrossEntropy"](), x, y) > 0.5
