# %% [markdown]
# # Lab 04 · A deep-learning library in NumPy
#
# **You will learn** where the gradients come from: you write the layers, the losses, the optimiser
# and the check of every gradient yourself, in NumPy alone. At the end you build a *tape*: PyTorch's way
# to do what your library does with lists of layers.
#
# **You should know** NumPy, matrix products, the chain rule, lab 00 (gradients, Adam) and lab 02 (a
# training loop). Lab 03 helps: it explains where first weights come from.
#
# **Time:** about four hours. All cells together compute for less than two minutes on a laptop.

# %%
import time
from itertools import islice

import numpy as np
import torch
from threadpoolctl import threadpool_limits

import labkit as lk

threadpool_limits(1, user_api="blas")  # small matrices: NumPy's threads only wait for each other
EPOCHS = 1 if lk.settings.fast() else 3
LIMIT = 2_000 if lk.settings.fast() else None  # training images; None takes them all
lk.seed_everything(42)

# %% [markdown]
# ## The plan
#
# A network is a chain of layers. Going **forward**, each layer turns its input $x$ into an output
# $y$. At the end stands a loss $L$, one number. Going **backward**, each layer is told
# $\partial L/\partial y$ and answers two questions:
#
# - how does $L$ change with my *input*, $\partial L/\partial x$? The layer before needs this;
# - how does $L$ change with my *parameters*? The optimiser needs this.
#
# That is all. A layer never has to know what stands before or behind it.
#
# One word on names. In lab 00 you derived the gradient of softmax with cross-entropy, $y - t$. Here
# the method `loss.backward()` **returns** such an array, and you hand it on yourself:
# `model.backward(loss.backward())`. In PyTorch the call `loss.backward()` walks back through the whole
# network on its own and puts each gradient into `.grad`. Exercise 4.11 shows how that can be.

# %%
figure, axes = lk.figures.new_figure(height=1.9)
ax = axes[0, 0]
names = ["images", "Linear", "ReLU", "Linear", "loss L"]
for place, name in enumerate(names):
    box = {"boxstyle": "round,pad=0.5", "facecolor": "white", "edgecolor": "0.4"}
    ax.text(place, 0.5, name, ha="center", va="center", bbox=box)
    if place:
        arrow = {"arrowstyle": "->", "color": lk.figures.PALETTE[0]}
        ax.annotate("", (place - 0.28, 0.68), (place - 0.72, 0.68), arrowprops=arrow)
        arrow = {"arrowstyle": "->", "color": lk.figures.PALETTE[5]}
        ax.annotate("", (place - 0.72, 0.32), (place - 0.28, 0.32), arrowprops=arrow)
ax.text(-0.4, 0.95, "forward: values", color=lk.figures.PALETTE[0])
ax.text(-0.4, 0.0, "backward: ∂L/∂ of each value", color=lk.figures.PALETTE[5])
ax.set(xlim=(-0.5, 4.5), ylim=(-0.1, 1.1), title="Forward and backward through a small network")
ax.set_axis_off()
figure

# %% [markdown]
# ## What every layer has in common
#
# `parameters()` and `gradients()` return dicts with the same keys. They hold the layer's **own
# arrays**, not copies: the optimiser changes them in place.
#
# ### Exercise 4.1: the base class
#
# Finish `Module`: `train()` sets `self.training` to `True`, `eval()` to `False`, and calling the
# module calls `forward`. A module without parameters returns empty dicts.
#
# <details><summary>Hint 1: the idea</summary>
#
# Two methods set a flag, one passes on what another returns, two have nothing to give.
# </details>
#
# <details><summary>Hint 2: names</summary>
#
# `module(x)` runs `module.__call__(x)`, so that method must return something.
# </details>


# %%
# Exercise 4.1 - what every layer has in common
class Module:
    def __init__(self):
        self.training = True

    def forward(self, x):
        raise NotImplementedError("each layer writes its own")

    def backward(self, grad):
        raise NotImplementedError("each layer writes its own")

    def __call__(self, x):
        raise NotImplementedError("4.1: call forward")

    def train(self):
        raise NotImplementedError("4.1: training mode")

    def eval(self):
        raise NotImplementedError("4.1: evaluation mode")

    def parameters(self):
        raise NotImplementedError("4.1: a dict")

    def gradients(self):
        raise NotImplementedError("4.1: a dict with the same keys")


# %%
# Solution 4.1
class Module:
    def __init__(self):
        self.training = True

    def forward(self, x):
        raise NotImplementedError("each layer writes its own")

    def backward(self, grad):
        raise NotImplementedError("each layer writes its own")

    def __call__(self, x):
        return self.forward(x)

    def train(self):
        self.training = True

    def eval(self):
        self.training = False

    def parameters(self):
        return {}

    def gradients(self):
        return {}


# %% [markdown] tags=["solution"]
# <details><summary>Why this is so</summary>
#
# `torch.nn.Module` does the same and a good deal more. The flag `training` matters to layers that
# behave differently when they are measured, such as dropout (lab 02). Ours have no use for it before
# exercise 4.9, but a loop that switches it works with every layer that will.
# </details>

# %%
with lk.check("4.1", "Module"):

    class _Double(Module):
        calls = 0

        def forward(self, x):
            self.calls += 1
            return 2 * x

        def backward(self, grad):
            return 0 * grad

    _module = _Double()
    assert _module.training is True, "a new module is in training mode"
    try:
        _called = _module(3)
    except NotImplementedError as _error:
        assert "each layer" not in str(_error), (
            "calling a module must run the layer's own forward, self.forward: this ran Module's"
        )
        raise
    assert _called is not None, "calling a module must return what forward returns"
    assert _called == 6, "calling a module must return what forward returns, unchanged"
    assert _module.calls == 1, (
        f"one call of a module must run forward once, not {_module.calls} times"
    )
    _other = _Double()
    for _ in range(2):  # also where it is in that mode already
        _module.eval()
        assert _module.training is False, "eval() must set self.training to False"
    assert _module(3) == 6 and _module.training is False, (
        "a call runs forward in either mode and leaves the mode as it is"
    )
    assert _other.training is True, "eval() reaches another module too: the flag belongs to self"
    for _ in range(2):
        _module.train()
        assert _module.training is True, "train() must set self.training to True"
    for _method in ("parameters", "gradients"):
        _got = getattr(_module, _method)()
        assert isinstance(_got, dict) and not _got, (
            f"without parameters, {_method}() returns an empty dict, not {_got!r}"
        )

# %% [markdown]
# ## The linear layer
#
# A batch $X$ has one image a row: shape $(B, \text{in})$. The weight $W$ has the shape
# $(\text{out}, \text{in})$, as in PyTorch, and $b$ has $(\text{out},)$.
#
# $$Y = X W^\top + b$$
#
# Let $G = \partial L/\partial Y$, of the same shape as $Y$, be what `backward` is told. Three gradients
# are wanted: for $W$, for $b$ and for $X$. **Derive them before you write code:** write one entry,
# $Y_{ij} = \sum_k X_{ik} W_{jk} + b_j$, ask in which entries of $Y$ one weight $W_{jk}$ appears, and sum
# $G_{ij}\, \partial Y_{ij}/\partial W_{jk}$ over them. Then the same for $b_j$ and for $X_{ik}$.
#
# A memory aid: each gradient has the shape of what it belongs to. (The shapes alone prove
# nothing: with in = out, $G W$ and $G W^\top$ both fit.)
#
# **A trap:** the mean over the batch belongs to the *loss*. If the layer divides by $B$ as well,
# all gradients are too small by that factor, and the network still learns, only slowly.

# %% [markdown]
# ### Exercise 4.2: `Linear`
#
# Weights start as He et al. (2015) propose for ReLU: normal with standard deviation
# $\sqrt{2/\text{in}}$; biases start at zero. The keys of both dicts are `"weight"` and `"bias"`.
# The gradients are arrays of zeros from the start, of the parameters' shapes. `backward` **adds** to
# them, as in PyTorch, and returns $\partial L/\partial X$. Keep NumPy's float64.
#
# <details><summary>Hint 1: the idea</summary>
#
# `backward` needs the input that `forward` has seen: keep it. In the derivation, a weight
# $W_{jk}$ touches row $i$ of the batch through $X_{ik}$ only, so its gradient is a sum over $i$; and a
# sum over a common index is a matrix product.
# </details>
#
# <details><summary>Hint 2: the names</summary>
#
# `grad.T @ …` and `….sum(axis=0)` sum over the rows of the batch. `np.random.randn`,
# `np.zeros_like`, and `+=` for adding in place.
# </details>


# %%
# Exercise 4.2 - the linear layer
class Linear(Module):
    def __init__(self, fan_in, fan_out):
        super().__init__()
        self.weight = ...
        self.bias = ...

    def forward(self, x):
        raise NotImplementedError("4.2: the output, (B, out)")

    def backward(self, grad):
        raise NotImplementedError("4.2: add to both gradients, return ∂L/∂X")

    def parameters(self):
        return {"weight": self.weight, "bias": self.bias}

    def gradients(self):
        raise NotImplementedError("4.2: the same keys as parameters()")


# %%
# Solution 4.2
class Linear(Module):
    def __init__(self, fan_in, fan_out):
        super().__init__()
        self.weight = np.random.randn(fan_out, fan_in) * np.sqrt(2 / fan_in)
        self.bias = np.zeros(fan_out)
        self.grad_weight = np.zeros_like(self.weight)
        self.grad_bias = np.zeros_like(self.bias)

    def forward(self, x):
        self.x = x  # backward needs it
        return x @ self.weight.T + self.bias

    def backward(self, grad):
        self.grad_weight += grad.T @ self.x
        self.grad_bias += grad.sum(axis=0)
        return grad @ self.weight

    def parameters(self):
        return {"weight": self.weight, "bias": self.bias}

    def gradients(self):
        return {"weight": self.grad_weight, "bias": self.grad_bias}


# %% [markdown] tags=["solution"]
# <details><summary>Why this is so</summary>
#
# Written out, $Y_{ij} = \sum_k X_{ik} W_{jk} + b_j$. So $\partial Y_{ij}/\partial W_{jk} = X_{ik}$,
# and summing over everything that $W_{jk}$ touches gives $\sum_i G_{ij} X_{ik}$, which is
# $(G^\top X)_{jk}$. The bias enters every row, so its gradient sums over the rows. And $X_{ik}$ enters
# all outputs $j$ of its own row: $\sum_j G_{ij} W_{jk} = (G W)_{ik}$.
# </details>

# %%
with lk.check("4.2", "Linear"):
    np.random.seed(0)
    _layer = Linear(600, 250)
    assert getattr(_layer, "training", None) is True, (
        "a new layer is in training mode: super().__init__()"
    )
    assert set(_layer.parameters()) == {"weight", "bias"}, 'the keys are "weight" and "bias"'
    _w, _b = _layer.parameters()["weight"], _layer.parameters()["bias"]
    assert isinstance(_w, np.ndarray) and isinstance(_b, np.ndarray), (
        "weight and bias must be NumPy arrays"
    )
    assert np.shape(_w) == (250, 600), f"the weight is (out, in) = (250, 600), not {np.shape(_w)}"
    assert np.shape(_b) == (250,), f"the bias has the shape (out,) = (250,), not {np.shape(_b)}"
    assert not np.any(_b), "the bias starts at zero"
    for _name, _array in _layer.parameters().items():
        assert _array.dtype == np.float64, (
            f"the {_name} is {_array.dtype}: keep NumPy's float64, or no gradient can be checked "
            "to 1e-7"
        )
    _ratio = np.std(_w) / np.sqrt(2 / 600)
    for _slip, _words in {
        (2 / 250) ** 0.5: "He divides by fan_in, not by fan_out",
        (1 / 250) ** 0.5: "He's rule is sqrt(2 / in), with fan_in, not fan_out",
        2 / 600: "2 / in is the variance; randn needs its square root",
        (1 / 600) ** 0.5: "a factor of 2 is missing under the root",
        (2 / 850) ** 0.5: "this is Xavier's rule; take He's",
    }.items():
        assert not 0.97 < np.std(_w) / _slip < 1.03, _words
    assert 0.97 < _ratio < 1.03, f"the weights' standard deviation is {_ratio:.2f} x sqrt(2 / in)"
    assert abs(np.mean(_w)) < 0.02 * np.std(_w), "the mean of the weights must be 0"
    assert 0.02 < np.mean(np.abs(_w) > 2.2 * np.std(_w)) < 0.04, (
        "draw the weights from the normal distribution"
    )
    assert not np.array_equal(Linear(600, 250).parameters()["weight"], _w), (
        "two layers start with the same weights: draw anew, without a fixed seed"
    )
    _ratio = np.std(Linear(250, 600).parameters()["weight"]) / np.sqrt(2 / 250)
    assert 0.97 < _ratio < 1.03, (
        f"with Linear(250, 600) the standard deviation is {_ratio:.2f} x sqrt(2 / in): fan_in "
        "counts, also where it is the smaller one"
    )
    _layer = Linear(3, 2)
    _start = _layer.gradients()
    assert isinstance(_start, dict), "gradients() must return a dict"
    assert set(_start) == {"weight", "bias"}, "gradients() needs the same keys as parameters()"
    for _name, _true in (("weight", (2, 3)), ("bias", (2,))):
        _array = _start[_name]
        assert isinstance(_array, np.ndarray), (
            f"before the first backward, the gradient of the {_name} is {_array!r}: begin with zeros"
        )
        assert np.shape(_array) == _true, (
            f"the {_name}'s gradient has the shape {np.shape(_array)}, the {_name} {_true}"
        )
        assert not np.any(_array), "the gradients must begin with zeros (np.empty is not empty)"
        assert _array.dtype == np.float64, (
            f"the {_name}'s gradient is {_array.dtype}: keep NumPy's float64"
        )
    _x, _g = np.random.randn(5, 3), np.random.randn(5, 2)
    _w, _b = _layer.parameters()["weight"], _layer.parameters()["bias"]
    _keep = _x.copy(), _g.copy()
    _b += np.array([0.5, -1.0])
    _w *= 1.5
    assert np.array_equal(_layer.parameters()["weight"], _w), (
        "parameters() returns copies: an optimiser could not change the layer"
    )
    _y = _layer.forward(_x)
    assert isinstance(_y, np.ndarray), "forward must return the output; is `return` missing?"
    assert np.shape(_y) == (5, 2), f"5 rows in, 2 outputs: (5, 2), not {np.shape(_y)}"
    assert not np.allclose(_y, _x @ _w.T), "forward leaves the bias out"
    assert not np.allclose(_y, _x @ (_w / 1.5).T), (
        "forward uses copies: with changed parameters it must give another output"
    )
    assert np.allclose(_y, _x @ _w.T + _b), "forward is not X Wᵀ + b (with the present weights)"
    _start_w = _w.copy()
    _back = _layer.backward(_g)
    assert isinstance(_back, np.ndarray), (
        f"backward must return the gradient of the input, one array, not {type(_back).__name__}"
    )
    assert np.array_equal(_layer.parameters()["weight"], _start_w), (
        "backward changes the weight: it only adds to the gradient, the optimiser makes the step"
    )
    assert np.array_equal(_x, _keep[0]) and np.array_equal(_g, _keep[1]), (
        "forward or backward changes the array it is given: make a new one"
    )
    _grads = _layer.gradients()
    for _name, _true in (("weight", (2, 3)), ("bias", (2,))):
        assert np.shape(_grads[_name]) == _true, (
            f"the {_name}'s gradient has the shape {np.shape(_grads[_name])}, not the {_name}'s, "
            f"{_true}"
        )
    assert not np.allclose(_grads["weight"], _g.T @ _x / 5), (
        "the gradient is divided by the batch size: the mean belongs to the loss"
    )
    assert not np.allclose(_grads["weight"], -_g.T @ _x), "the sign: add, the optimiser subtracts"
    assert np.any(_grads["weight"]), (
        "the weight's gradient is still zero after backward: does gradients() return copies?"
    )
    assert np.allclose(_grads["weight"], _g.T @ _x), "the weight's gradient is not Gᵀ X"
    assert not np.allclose(_grads["bias"], _g.mean(0)), (
        "the bias' gradient is the sum over the rows, not their mean: that belongs to the loss"
    )
    assert np.allclose(_grads["bias"], _g.sum(0)), "the bias' gradient is the sum over the rows"
    assert np.shape(_back) == (5, 3), (
        f"backward returns the shape {np.shape(_back)}; the input has (5, 3)"
    )
    assert np.allclose(_back, _g @ _w), "backward returns G W"
    for _got, _true in (
        (_y, _x @ _w.T + _b), (_back, _g @ _w), (_grads["weight"], _g.T @ _x)
    ):  # fmt: skip
        assert np.allclose(_got, _true, 1e-9, 1e-12), (
            "right to a few digits only: keep NumPy's float64"
        )
    _layer.backward(_g)
    for _name, _true in (("weight", _g.T @ _x), ("bias", _g.sum(0))):
        assert np.allclose(_layer.gradients()[_name], 2 * _true), (
            f"a second backward must add to the gradients, not replace them (the {_name})"
        )
        _layer.gradients()[_name][...] = 0
        assert not np.any(_layer.gradients()[_name]), (
            "gradients() returns copies: what is set to zero there stays in the layer"
        )
    _layer.forward(2 * _x[:2])
    _layer.backward(_g[:2])
    assert np.allclose(_layer.gradients()["weight"], 2 * _g[:2].T @ _x[:2]), (
        "after a second forward, backward must use the new input"
    )
    Linear(3, 2).forward(_x[2:4])
    _layer.backward(_g[:2])
    assert np.allclose(_layer.gradients()["weight"], 4 * _g[:2].T @ _x[:2]), (
        "another layer's forward spoils this one's backward: keep the input in self"
    )
    _single = Linear(3, 2)
    _single.forward(_x[:1])
    assert np.shape(_single.backward(_g[:1])) == (1, 3), "one row in, one row back: shape (1, 3)"
    for _name, _true in (("weight", _g[:1].T @ _x[:1]), ("bias", _g[0])):
        assert np.allclose(_single.gradients()[_name], _true), (
            f"for a batch of one row the {_name}'s gradient is wrong: sum over the rows, no squeeze"
        )
    _one = Linear(1, 1)
    _shapes = np.shape(_one.forward(np.ones((1, 1)))), np.shape(_one.backward(np.ones((1, 1))))
    assert _shapes == ((1, 1), (1, 1)), (
        f"one row and one feature give the shapes {_shapes}: keep sides of length 1"
    )

# %% [markdown]
# ## Activations
#
# An activation works on each number by itself: $y = f(x)$. So its backward is a plain product,
#
# $$\frac{\partial L}{\partial x} = \frac{\partial L}{\partial y} \cdot f'(x).$$
#
# ReLU has no slope at exactly 0; like PyTorch we take 0 there. **Derive first:** write the slopes of
# tanh and of $\sigma(x) = 1/(1 + e^{-x})$ in terms of their own *output*.

# %% [markdown]
# ### Exercise 4.3: `ReLU`, `Tanh` and `Sigmoid`
#
# Tanh and the sigmoid need only their *output* for the backward pass. Neither may
# overflow: `np.exp(1000)` is infinite and warns.
#
# <details><summary>Hint 1: the idea</summary>
#
# Keep in `forward` what `backward` will need: a mask, or the output. The sigmoid can be written with
# a function that never overflows: compare the pictures of $\sigma$ and tanh.
# </details>
#
# <details><summary>Hint 2: the formulas</summary>
#
# $\tanh' = 1 - \tanh^2$ and $\sigma' = \sigma\,(1 - \sigma)$. And
# $\sigma(x) = \tfrac12\,(1 + \tanh(x/2))$.
# </details>


# %%
# Exercise 4.3 - three activations
class ReLU(Module):
    def forward(self, x):
        raise NotImplementedError("4.3: negative numbers become zero")

    def backward(self, grad):
        raise NotImplementedError("4.3: grad times the slope")


class Tanh(Module):
    def forward(self, x):
        raise NotImplementedError("4.3: tanh(x)")

    def backward(self, grad):
        raise NotImplementedError("4.3: grad times the slope")


class Sigmoid(Module):
    def forward(self, x):
        raise NotImplementedError("4.3: 1 / (1 + exp(-x)), without overflow")

    def backward(self, grad):
        raise NotImplementedError("4.3: grad times the slope")


# %%
# Solution 4.3
class ReLU(Module):
    def forward(self, x):
        self.positive = x > 0
        return x * self.positive

    def backward(self, grad):
        return grad * self.positive


class Tanh(Module):
    def forward(self, x):
        self.y = np.tanh(x)
        return self.y

    def backward(self, grad):
        return grad * (1 - self.y**2)


class Sigmoid(Module):
    def forward(self, x):
        self.y = 0.5 * (1 + np.tanh(x / 2))
        return self.y

    def backward(self, grad):
        return grad * self.y * (1 - self.y)


# %% [markdown] tags=["solution"]
# <details><summary>Why this is so</summary>
#
# $\frac{1}{1 + e^{-x}} = \frac{e^{x/2}}{e^{x/2} + e^{-x/2}} = \tfrac12\left(1 + \tanh\tfrac
# x2\right)$. The slope of tanh is at most 1 and that of the sigmoid at most ¼; for large $|x|$ both
# are near 0, and little gradient gets through. Lab 03 measures what that does to a network of five
# sigmoid layers.
# </details>

# %%
with lk.check("4.3", "ReLU", "Tanh", "Sigmoid"):
    _x = np.array([[-2.0, -0.5, 0.3], [1.5, 3.0, -1.0]])
    _g = np.array([[1.0, -2.0, 3.0], [-0.5, 1.0, -1.0]])
    for _kind in (ReLU, Tanh, Sigmoid):
        _name, _layer, _keep = _kind.__name__, _kind(), _x.copy()
        _t = torch.tensor(_x, requires_grad=True)
        _true = getattr(torch, _name.lower())(_t)
        _true.backward(torch.tensor(_g))
        _y = _layer.forward(_x)
        assert isinstance(_y, np.ndarray), f"{_name}.forward must return an array"
        assert np.array_equal(_x, _keep), f"{_name} changes its input: make a new array"
        assert np.shape(_y) == (2, 3), f"{_name}.forward must keep the shape (2, 3)"
        assert np.allclose(_y, _true.detach(), 1e-9), (
            f"{_name}.forward gives other values than PyTorch"
            + (": float32, or rounded?" if np.allclose(_y, _true.detach(), 1e-4) else "")
        )
        _got = _layer.backward(_g.copy())
        assert isinstance(_got, np.ndarray), f"{_name}.backward must return an array"
        assert np.shape(_got) == (2, 3), f"{_name}.backward must keep the shape (2, 3)"
        _slope = _t.grad.numpy() / _g
        _y = _true.detach().numpy()
        assert not np.allclose(_got, _slope), (
            f"{_name}.backward returns the slope alone: multiply by grad"
        )
        if not np.allclose(_got, _t.grad):
            assert not (_kind is Tanh and np.allclose(_got, _g * (1 - _x**2))), (
                "Tanh.backward is not grad times the slope: 1 - y² with the output y, not the input"
            )
            assert not (_kind is Sigmoid and np.allclose(_got, _g * _x * (1 - _x))), (
                "Sigmoid.backward: y (1 - y) with the output y, not the input"
            )
            assert not np.allclose(_got, _g), (
                f"{_name}.backward is not grad times the slope: it passes grad on as it is"
            )
            assert not np.allclose(_got, _g * _y), f"{_name}.backward multiplies by the output"
            assert not np.any(_got) or np.any(_got[_g < 0]), (
                f"{_name}.backward drops every negative grad: the sign of the input counts"
            )
            raise AssertionError(f"{_name}.backward is not grad times the slope at x")
        assert np.allclose(_got, _t.grad, 1e-9, 1e-12), (
            f"{_name}.backward is right to a few digits only: keep NumPy's float64"
        )
        _layer.forward(-_x[:1])
        _t = torch.tensor(-_x[:1], requires_grad=True)
        getattr(torch, _name.lower())(_t).backward(torch.tensor(_g[:1]))
        assert np.allclose(_layer.backward(_g[:1].copy()), _t.grad), (
            f"{_name}: after a second forward, backward must use what that one has seen"
        )
        _kind().forward(-_x[1:])
        assert np.allclose(_layer.backward(_g[:1].copy()), _t.grad), (
            f"another {_name}'s forward spoils this one's backward: keep what it needs in self"
        )
    assert np.array_equal(ReLU().forward(np.zeros(2)), np.zeros(2)), "ReLU(0) is 0"
    assert np.array_equal(ReLU().forward(np.array([-50.0, 50.0])), [0, 50]), (
        "ReLU leaves a positive number as it is, however large"
    )
    _zero = ReLU()
    _zero.forward(np.array([[0.0, 1.0]]))
    assert np.allclose(_zero.backward(np.array([[1.0, 1.0]])), [[0, 1]]), (
        "ReLU's slope at exactly 0 is 0, as the text says: > 0, not >= 0"
    )
    with np.errstate(over="raise", divide="raise", invalid="raise"):
        try:
            _layer = Sigmoid()
            _far = _layer.forward(np.array([-1000.0, 0.0, 1000.0]))
            _slope = _layer.backward(np.ones(3))
        except (FloatingPointError, OverflowError):
            _far = None
    with np.errstate(all="ignore"):
        _ends = Tanh().forward(np.array([-1000.0, 1000.0]))
    assert np.allclose(_ends, [-1, 1]), (
        f"Tanh gives {_ends} for -1000 and 1000, not -1 and 1: np.tanh does not overflow"
    )
    assert _far is not None, (
        "Sigmoid overflows for -1000 or 1000: see the hint (np.where computes both of its branches)"
    )
    assert np.allclose(_far, [0, 0.5, 1]), "sigmoid(-1000) is 0 and sigmoid(1000) is 1"
    assert np.allclose(_slope, [0, 0.25, 0]), "the sigmoid's slope is 0 at -1000 and 1000, ¼ at 0"

# %%
x = np.linspace(-6, 6, 241)
figure, axes = lk.figures.new_figure(1, 2, 3.0)
for number, layer in enumerate((ReLU(), Tanh(), Sigmoid())):
    style = {"label": type(layer).__name__, "color": lk.figures.PALETTE[number]}
    axes[0, 0].plot(x, layer.forward(x), **style)
    axes[0, 1].plot(x, layer.backward(np.ones_like(x)), **style)
axes[0, 0].set(title="The activation f(x)", xlabel="x", ylabel="f(x)", ylim=(-1.3, 3))
axes[0, 1].set(title="Its slope f'(x): what gets through backward", xlabel="x", ylabel="f'(x)")
axes[0, 0].legend()
for ax in axes[0]:
    ax.grid(alpha=0.3)
figure

# %% [markdown]
# ## Two losses
#
# A loss compares predictions with targets and gives one number. It begins the way back: its
# `backward()` takes nothing and returns $\partial L/\partial\text{prediction}$.
#
# The mean squared error is the mean over **all** numbers of the batch, $N = B \cdot \text{out}$:
#
# $$L = \frac1N \sum (p - t)^2$$
#
# Derive $\partial L/\partial p$ for one number $p$: in how many terms of the sum does it appear?

# %% [markdown]
# ### Exercise 4.4: `MSELoss`
#
# `forward` returns one number, `backward` an array of the prediction's shape.
#
# <details><summary>Hint 1: the idea</summary>
#
# Only one term contains $p$, so the gradient is the derivative of that term, with the $1/N$ in front.
# `backward` takes nothing, so `forward` must keep something.
# </details>
#
# <details><summary>Hint 2: names</summary>
#
# `array.size` is the number of all its entries, $N$; `len(array)` is only $B$.
# </details>


# %%
# Exercise 4.4 - mean squared error
class MSELoss:
    def forward(self, prediction, target):
        raise NotImplementedError("4.4: one number")

    def backward(self):
        raise NotImplementedError("4.4: an array of the shape of prediction")


# %%
# Solution 4.4
class MSELoss:
    def forward(self, prediction, target):
        self.difference = prediction - target
        return np.mean(self.difference**2)

    def backward(self):
        return 2 * self.difference / self.difference.size


# %% [markdown] tags=["solution"]
# <details><summary>Why this is so</summary>
#
# Each prediction appears in one term, $(p - t)^2/N$, whose derivative is $2(p - t)/N$. Dividing by
# $B$ alone is the usual slip; the gradient is then too large by the number of outputs.
# </details>

# %%
with lk.check("4.4", "MSELoss"):
    _loss = MSELoss()
    for _p in (np.arange(12.0).reshape(4, 3) / 5, np.random.RandomState(0).randn(2, 5)):
        _t = np.linspace(-1, 1, _p.size).reshape(_p.shape)
        _keep = _p.copy(), _t.copy()
        _d, _rows, _all = _p - _t, len(_p), _p.size
        _got = _loss.forward(_p, _t)
        assert _got is not None, "forward must return the loss; is `return` missing?"
        assert np.ndim(_got) == 0, "the loss is one number: take the mean over everything"
        _true = np.mean(_d**2)
        assert np.array_equal(_p, _keep[0]) and np.array_equal(_t, _keep[1]), (
            "forward changes the prediction or the target: make a new array"
        )
        assert not np.isclose(_got, np.sum(_d**2)), "this is the sum: take the mean"
        assert not np.isclose(_got, np.sum(_d**2) / _rows), (
            "divide by the number of all numbers, B · out, not by the batch size alone"
        )
        assert not np.isclose(_got, _true / 2), "a half too much: L has no factor ½ here"
        assert not np.isclose(_got, np.sqrt(_true)), "this is the root: no root in L"
        assert not np.isclose(_got, np.mean(np.abs(_d))), "squares, not absolute values"
        assert np.isclose(_got, _true), "this is not the mean squared error"
        assert np.isclose(_got, _true, 1e-9), "right to a few digits only: keep NumPy's float64"
        _grad = _loss.backward()
        assert np.array_equal(_p, _keep[0]) and np.array_equal(_t, _keep[1]), (
            "backward changes the prediction or the target: make a new array"
        )
        assert _grad is not None, "backward must return an array; is `return` missing?"
        assert np.shape(_grad) == _p.shape, "backward returns an array of the prediction's shape"
        assert not np.allclose(_grad, -2 * _d / _all), "the sign is wrong: prediction - target"
        assert not np.allclose(_grad, _d / _all), "a factor of 2 is missing"
        assert not np.allclose(_grad, 2 * _d), "the mean is missing in backward"
        assert not np.allclose(_grad, 2 * _d / _rows), (
            "divide by the number of all numbers, B · out, not by the batch size"
        )
        assert np.allclose(_grad, 2 * _d / _all), (
            "backward is not the derivative of the mean squared error by the prediction"
        )
        assert np.allclose(_grad, 2 * _d / _all, 1e-9, 1e-12), (
            "backward is right to a few digits only: keep NumPy's float64"
        )
        assert np.allclose(_loss.backward(), 2 * _d / _all), (
            "a second backward gives another gradient: it must not change what forward has kept"
        )
        _loss.forward(_p, _t)
        MSELoss().forward(2 * _p + 1, _t)
        assert np.allclose(_loss.backward(), 2 * _d / _all), (
            "another MSELoss's forward spoils this one's backward: keep it in self"
        )

# %% [markdown]
# ## Softmax and cross-entropy, together
#
# For one image with logits $z$ and true class $c$:
#
# $$p_k = \frac{e^{z_k}}{\sum_j e^{z_j}} \qquad L = -\log p_c = -z_c + \log\sum_j e^{z_j}$$
#
# You derived $\partial L/\partial z$ in lab 00; if it is gone, derive it from the second form of $L$.
# For a batch, the loss is the mean over its $B$ images. What does that do to the gradient?
#
# **A trap:** $e^{1000}$ is infinite. What may you subtract from all logits of a row without changing
# a single $p_k$, so that no exponent is above 0?

# %% [markdown]
# ### Exercise 4.5: `SoftmaxCrossEntropy`
#
# `targets` are an array of class numbers (B,) or of one-hot rows (B, C), floats or whole numbers:
# accept both, in `forward` and for the `backward` that follows. Logits of 1000 must neither
# overflow nor be cut off.
#
# <details><summary>Hint 1: the idea</summary>
#
# Turn class numbers into one-hot rows first; then there is one case only. Subtract each row's own
# maximum. And compute $\log p$ directly from the logits: a $p$ that has become 0 has no logarithm.
# The gradient is what was predicted minus what was right, divided by $B$.
# </details>
#
# <details><summary>Hint 2: names</summary>
#
# `logits.max(axis=1, keepdims=True)`; `np.eye(C)[targets]` makes one-hot rows of class numbers;
# `targets.ndim` tells the two kinds apart.
# </details>


# %%
# Exercise 4.5 - softmax and cross-entropy
class SoftmaxCrossEntropy:
    def forward(self, logits, targets):
        raise NotImplementedError("4.5: the mean over the images")

    def backward(self):
        raise NotImplementedError("4.5: an array of the shape of logits")


# %%
# Solution 4.5
class SoftmaxCrossEntropy:
    def forward(self, logits, targets):
        targets = np.asarray(targets)
        if targets.ndim == 1:
            targets = np.eye(logits.shape[1])[targets]
        z = logits - logits.max(axis=1, keepdims=True)  # or exp overflows
        log_p = z - np.log(np.exp(z).sum(axis=1, keepdims=True))
        self.p, self.targets = np.exp(log_p), targets
        return -np.sum(targets * log_p) / len(logits)

    def backward(self):
        return (self.p - self.targets) / len(self.p)


# %% [markdown] tags=["solution"]
# <details><summary>Why this is so</summary>
#
# $\frac{\partial}{\partial z_k}\log\sum_j e^{z_j} = \frac{e^{z_k}}{\sum_j e^{z_j}} = p_k$, and
# $-z_c$ adds $-1$ where $k = c$. Taking softmax and logarithm apart would need
# $\log p$ of a $p$ that may have become 0; together they never leave the safe range. That is why
# `nn.CrossEntropyLoss` wants logits.
# </details>

# %%
with lk.check("4.5", "SoftmaxCrossEntropy"):
    _random = np.random.RandomState(0)
    # as many images as classes is a case of its own, and a class that does not occur is another
    for _rows, _classes in ((6, 4), (3, 3), (4, 5)):
        _z, _c = _random.randn(_rows, _classes) * 2, np.array([0, 1, 2, 3, 3, 1])[:_rows]
        _t = torch.tensor(_z, requires_grad=True)
        _true = torch.nn.functional.cross_entropy(_t, torch.tensor(_c))
        _true.backward()
        _true, _slope = _true.item(), _t.grad.numpy()
        _loss, _one_hot, _keep = SoftmaxCrossEntropy(), np.eye(_classes)[_c], (_z.copy(), _c.copy())
        _got = _loss.forward(_z, _c)
        assert _got is not None, "forward must return the loss; is `return` missing?"
        assert np.ndim(_got) == 0, "the loss is one number"
        assert np.array_equal(_z, _keep[0]) and np.array_equal(_c, _keep[1]), (
            "forward changes the logits or the targets: make a new array"
        )
        if not np.isclose(_got, _true):

            def _from(shift, axis, logits=_z, classes=_c):
                e = np.exp(logits - shift)
                p = e / e.sum(axis, keepdims=True)
                return -np.log(p[np.arange(len(p)), classes]).mean()

            _shifts = 0, _z.max(1, keepdims=True)  # with the maximum subtracted, and without
            _columns, _total = ([_from(s, axis) for s in _shifts] for axis in (0, None))
            assert not np.isclose(_got, _rows * _true), (
                "this is the sum: take the mean over the images"
            )
            assert not np.isclose(_got, _true / _classes), (
                "divide by the number of images, not of all numbers"
            )
            assert not np.isclose(_got, -_true), "the sign is wrong: L = -log p"
            assert not np.isclose(_got, _columns).any(), (
                "softmax runs over the classes of one image: axis 1, not axis 0"
            )
            assert not np.isclose(_got, _total).any(), "each image has its own sum: sum over axis 1"
            assert not np.isclose(_got, _from(_z.max(0), 1)), (
                "subtract each row's own maximum, max(axis=1, keepdims=True), not each column's"
            )
            raise AssertionError(f"the loss is {_true:.4f}, not {_got:.4f}")
        assert np.isclose(_got, _true, 1e-9), "right to a few digits only: keep NumPy's float64"
        for _targets, _kind in ((_c, "class numbers"), (_one_hot, "one-hot targets")):
            _loss, _given = SoftmaxCrossEntropy(), _targets.copy()
            assert np.isclose(_loss.forward(_z, _targets), _true), (
                "one-hot targets must give the same loss as class numbers"
            )
            _grad = _loss.backward()
            assert np.array_equal(_z, _keep[0]) and np.array_equal(_targets, _given), (
                f"backward changes the logits or the targets ({_kind}): make a new array"
            )
            assert _grad is not None, "backward must return an array; is `return` missing?"
            assert np.shape(_grad) == np.shape(_z), "backward returns an array of the logits' shape"
            assert not np.allclose(_grad, _rows * _slope), (
                f"the gradient is too large: divide by the batch size ({_kind})"
            )
            assert not np.allclose(_grad, _slope / _classes), (
                f"the gradient is too small: divide by the batch size alone ({_kind})"
            )
            assert not np.allclose(_grad, -_slope), f"the sign is wrong: p minus one-hot ({_kind})"
            assert not np.allclose(_grad, _slope + _one_hot / _rows), (
                f"the one-hot rows are not subtracted ({_kind})"
            )
            assert np.allclose(_grad, _slope), f"the gradient is not (p - one_hot) / B ({_kind})"
            assert np.allclose(_grad, _slope, 1e-9, 1e-12), (
                "backward is right to a few digits only: keep NumPy's float64"
            )
            assert np.allclose(_loss.backward(), _slope), (
                "a second backward gives another gradient: it must not change what forward kept"
            )
        try:
            _got = SoftmaxCrossEntropy().forward(_z, _one_hot.astype(int))
        except (IndexError, ValueError):
            _got = 0.0
        assert np.isclose(_got, _true), (
            "one-hot rows may hold whole numbers: .ndim tells them from class numbers, not .dtype"
        )
        _loss.forward(_z, _c)
        SoftmaxCrossEntropy().forward(1 - 2 * _z, _c)
        assert np.allclose(_loss.backward(), _slope), (
            "another loss's forward spoils this one's backward: keep it in self"
        )
    with np.errstate(all="ignore"):
        _far = SoftmaxCrossEntropy().forward(np.array([[1000.0, 0.0]]), np.array([0]))
        _loss = SoftmaxCrossEntropy()
        _apart = _loss.forward(np.array([[1000.0, 999.0], [0.0, 1.0]]), np.array([0, 1]))
        _slope = _loss.backward()
        _lost = SoftmaxCrossEntropy().forward(np.array([[0.0, 1000.0]]), np.array([0]))
    assert np.isfinite(_far) and np.isclose(_far, 0), (
        f"logits of 1000 and 0 give a loss of {_far}: they overflow unless you subtract the "
        "maximum; and a p that has become 0 has no logarithm"
    )
    assert np.isclose(_apart, np.log1p(np.exp(-1))), (
        "rows of different size spoil each other: subtract each row's own maximum (axis 1)"
    )
    _share = 1 / (1 + np.e) / 2
    assert np.allclose(_slope, [[-_share, _share], [_share, -_share]]), (
        "logits of 1000 overflow in backward: subtract each row's maximum there as well"
    )
    assert np.isclose(_lost, 1000), (
        "a loss of 1000 came out as another: log p of a p that is 0 is cut off (by 1e-12 or so); "
        "compute log p from the logits, z minus the log of the sum"
    )
    _peak = np.where(np.arange(10) == 3, 1000.0, -1000.0)[None]
    for _z in (_peak, np.array([[-1000.0, -999.0, -1001.0]])):
        _t = torch.tensor(_z, requires_grad=True)
        _true = torch.nn.functional.cross_entropy(_t, torch.tensor([1]))
        _true.backward()
        _loss = SoftmaxCrossEntropy()
        with np.errstate(all="ignore"):
            _got, _slope = _loss.forward(_z, np.array([1])), _loss.backward()
        assert np.isclose(_got, _true.item()) and np.allclose(_slope, _t.grad), (
            f"logits of {_z.min():.0f} to {_z.max():.0f}: loss or gradient is wrong: subtract each "
            "row's largest logit (not the mean, the largest absolute value or a fixed number)"
        )

# %% [markdown]
# ## A chain of layers
#
# Forward goes through the layers in order, backward in reverse. The parameters of layer number $i$
# get its number in front: `"0.weight"`, `"0.bias"`, `"2.weight"` …

# %% [markdown]
# ### Exercise 4.6: `Sequential`
#
# `Sequential(Linear(784, 128), ReLU(), Linear(128, 10))` takes any number of layers. `train()` and
# `eval()` reach all of them.
#
# <details><summary>Hint 1: the idea</summary>
#
# What a layer returns is what the next one is given, in both directions. The two dicts are collected
# in the same way: number and name together make the key, and the value is the layer's own array.
# </details>
#
# <details><summary>Hint 2: names</summary>
#
# `enumerate`, `reversed`, `dict.items()`, and an f-string for the key.
# </details>


# %%
# Exercise 4.6 - a chain of layers
class Sequential(Module):
    def __init__(self, *layers):
        super().__init__()
        self.layers = layers

    def forward(self, x):
        raise NotImplementedError("4.6: through all layers")

    def backward(self, grad):
        raise NotImplementedError("4.6: and back")

    def train(self):
        raise NotImplementedError("4.6: this module and all layers")

    def eval(self):
        raise NotImplementedError("4.6: this module and all layers")

    def parameters(self):
        raise NotImplementedError("4.6: of all layers, with their numbers")

    def gradients(self):
        raise NotImplementedError("4.6: of all layers, with their numbers")


# %%
# Solution 4.6
class Sequential(Module):
    def __init__(self, *layers):
        super().__init__()
        self.layers = layers

    def forward(self, x):
        for layer in self.layers:
            x = layer(x)
        return x

    def backward(self, grad):
        for layer in reversed(self.layers):
            grad = layer.backward(grad)
        return grad

    def train(self):
        super().train()
        for layer in self.layers:
            layer.train()

    def eval(self):
        super().eval()
        for layer in self.layers:
            layer.eval()

    def parameters(self):
        return self._collect("parameters")

    def gradients(self):
        return self._collect("gradients")

    def _collect(self, what):
        return {
            f"{i}.{name}": array
            for i, layer in enumerate(self.layers)
            for name, array in getattr(layer, what)().items()
        }


# %% [markdown] tags=["solution"]
# <details><summary>Why this is so</summary>
#
# Backward hands the gradient from layer to layer: that is the chain rule, and the whole secret of
# backpropagation. A `Sequential` is a `Module` itself, so it can stand inside another one; the keys
# then read `"1.0.weight"`.
# </details>

# %%
with lk.check("4.6", "Sequential"):

    class _Own(Module):
        """A layer of the check: y = x A, so that no fault of another exercise shows here."""

        def __init__(self, fan_in, fan_out):
            self.training = True
            self.arrays = {"weight": np.random.RandomState(fan_in).randn(fan_in, fan_out),
                           "bias": np.zeros(fan_out)}  # fmt: skip
            self.slopes = {k: np.zeros_like(v) for k, v in self.arrays.items()}

        def forward(self, x):
            self.x = x
            return x @ self.arrays["weight"]

        __call__ = forward

        def backward(self, grad):
            self.slopes["weight"] += self.x.T @ grad
            self.slopes["bias"] += grad.sum(0)
            return grad @ self.arrays["weight"].T

        def parameters(self):
            return dict(self.arrays)

        def gradients(self):
            return dict(self.slopes)

        def train(self):
            self.training = True

        def eval(self):
            self.training = False

    class _Plain(_Own):
        """A layer without parameters: y = 2 x."""

        def __init__(self):
            self.training, self.arrays, self.slopes = True, {}, {}

        def forward(self, x):
            return 2 * x

        __call__ = forward

        def backward(self, grad):
            return 2 * grad

    _first, _last = _Own(3, 4), _Own(4, 2)
    _middle = _Plain()
    try:
        _net = Sequential(_first, _middle, _last)
    except TypeError:
        raise AssertionError(
            "Sequential(layer, layer, layer) fails: it takes any number of layers, *layers, no list"
        ) from None
    _keys = ["0.weight", "0.bias", "2.weight", "2.bias"]
    assert isinstance(_net.parameters(), dict), "parameters() must return a dict"
    assert all(isinstance(k, str) for k in _net.parameters()), (
        f'the keys must be strings such as "0.weight", not {next(iter(_net.parameters()))!r}'
    )
    assert sorted(_net.parameters()) == sorted(_keys), (
        f"the keys must be {', '.join(_keys)}, not {', '.join(_net.parameters()) or 'none at all'}"
    )
    assert isinstance(_net.gradients(), dict) and sorted(_net.gradients()) == sorted(_keys), (
        "gradients() needs the same keys as parameters()"
    )
    for _k, _layer in (("0.weight", _first), ("2.weight", _last), ("2.bias", _last)):
        _name = _k.split(".")[1]
        assert _net.parameters()[_k] is _layer.arrays[_name], (
            f"parameters() returns copies or other arrays than the layers' ({_k}): the optimiser "
            "must reach the layer's own"
        )
        assert _net.gradients()[_k] is _layer.slopes[_name], (
            f"gradients() returns copies or other arrays than the layers' ({_k})"
        )
    _x, _g = np.random.RandomState(8).randn(5, 3), np.random.RandomState(9).randn(5, 2)
    try:
        _y = _net(_x)
    except ValueError:
        raise AssertionError("the shapes do not fit: forward goes through the layers in order, "
                             "each with what the one before returned") from None  # fmt: skip
    assert isinstance(_y, np.ndarray), (
        f"forward must return the last layer's output, one array, not {type(_y).__name__}"
    )
    _true = 2 * _x @ _first.arrays["weight"] @ _last.arrays["weight"]
    assert np.shape(_y) == (5, 2) and np.allclose(_y, _true), (
        "forward must go through all layers in order"
    )
    try:
        _back = _net.backward(_g)
    except ValueError:
        raise AssertionError(
            "the shapes do not fit in backward: is it in reverse order, and does each layer get "
            "what the one behind it returned?"
        ) from None
    assert isinstance(_back, np.ndarray), (
        "backward must return the gradient of the network's input, one array, not "
        f"{type(_back).__name__}"
    )
    _hidden = 2 * _x @ _first.arrays["weight"]
    _above = 2 * _g @ _last.arrays["weight"].T
    for _k, _layer, _slope in (
        ("2.weight", _last, _hidden.T @ _g), ("0.weight", _first, _x.T @ _above)
    ):  # fmt: skip
        _got = _layer.slopes["weight"]
        assert not np.allclose(_got, 2 * _slope), f"{_k}: backward runs twice"
        assert np.allclose(_got, _slope), f"the gradient of {_k} is wrong"
    assert np.allclose(_back, _above @ _first.arrays["weight"].T), (
        "backward must hand the gradient from layer to layer, and return the first one's"
    )
    assert getattr(_net, "training", None) is True, (
        "a new Sequential is in training mode: super().__init__()"
    )
    _net.eval()
    assert not any(m.training for m in (_first, _middle, _last)), "eval() must reach every layer"
    assert _net.training is False, "eval() must also set the Sequential's own flag"
    _net.train()
    assert all(m.training for m in (_first, _middle, _last)), "train() must reach every layer"
    assert _net.training is True, "train() must also set the Sequential's own flag"
    _inner = _Own(2, 2)
    _nested = Sequential(Sequential(_inner), _Plain())
    assert set(_nested.parameters()) == {"0.0.weight", "0.0.bias"}, (
        'a Sequential inside a Sequential has keys like "0.0.weight"'
    )
    _nested.eval()
    assert _inner.training is False, "eval() must reach the layers of a Sequential inside another"
    _nested.train()
    assert _inner.training is True, "train() must reach the layers of a Sequential inside another"
    _many = Sequential(*[_Own(2, 2) for _ in range(11)])
    assert len(_many.parameters()) == 22 and "10.bias" in _many.parameters(), (
        "eleven layers have the numbers 0 to 10"
    )
    _x, _w = np.eye(2), _Own(2, 2).arrays["weight"]
    assert np.allclose(_many(_x), np.linalg.matrix_power(_w, 11)), (
        "forward must go through all layers: with eleven it gives another output"
    )
    assert np.allclose(_many.backward(_x), np.linalg.matrix_power(_w.T, 11)), (
        "backward must go through all layers: with eleven it gives another gradient"
    )
    try:
        _again = _net(_first.x), _net.backward(_g)
    except ValueError:
        _again = 0, 0
    assert np.allclose(_again[0], _y) and np.allclose(_again[1], _back), (
        "a second forward and backward give other numbers: does backward turn self.layers round?"
    )
    _net.eval()
    _again = _net(_first.x)
    assert np.shape(_again) == (5, 2) and np.allclose(_again, _y), (
        "after eval() forward gives another output: the layers themselves know their mode"
    )

# %% [markdown]
# ## Is it right? Ask the numbers
#
# A derivative is a slope, and slopes can be measured. Move one parameter $w$ a little to either
# side and see what the loss does:
#
# $$\frac{\partial L}{\partial w} \approx \frac{L(w + \epsilon) - L(w - \epsilon)}{2\,\epsilon}$$
#
# The central difference is exact up to order $\epsilon^2$. If it agrees with `backward` for **every
# single parameter**, then `backward` is the derivative of `forward`, at this point. The relative error
# of two numbers is
#
# $$\frac{|a - b|}{\max(|a| + |b|,\; 10^{-3})}$$
#
# The $10^{-3}$ keeps numbers that are almost zero from being measured against themselves: there,
# rounding alone would look like a large error.

# %% [markdown]
# ### Exercise 4.7: `gradient_check`
#
# Return the **largest relative error** over every single parameter and every number of the input `x`,
# by the formula above. Leave parameters and input as you found them. Set the gradients to zero first:
# `backward` adds.
#
# <details><summary>Hint 1: the idea</summary>
#
# Run forward and backward once, to have the gradients of the library. Then, for one number after the
# other: move it up, compute the loss, move it down, compute the loss, put it back, compare. Treat `x`
# like a parameter: what is its gradient?
# </details>
#
# <details><summary>Hint 2: names</summary>
#
# `for index in np.ndindex(array.shape)` visits each number, `array[index]`. The gradient of the input
# is what `model.backward(loss.backward())` returns.
# </details>


# %%
# Exercise 4.7 - the gradient check
def gradient_check(model, loss, x, y, epsilon=1e-5):
    raise NotImplementedError("4.7: compare backward with central differences")


# %%
# Solution 4.7
def gradient_check(model, loss, x, y, epsilon=1e-5):
    for gradient in model.gradients().values():
        gradient[...] = 0
    loss.forward(model(x), y)
    input_gradient = model.backward(loss.backward())
    pairs = [(array, model.gradients()[name]) for name, array in model.parameters().items()]
    worst = 0.0
    for array, gradient in [*pairs, (x, input_gradient)]:
        for index in np.ndindex(array.shape):
            old = array[index]
            array[index] = old + epsilon
            above = loss.forward(model(x), y)
            array[index] = old - epsilon
            below = loss.forward(model(x), y)
            array[index] = old
            measured = (above - below) / (2 * epsilon)
            size = max(abs(measured) + abs(gradient[index]), 1e-3)
            worst = max(worst, abs(measured - gradient[index]) / size)
    return worst


# %% [markdown] tags=["solution"]
# <details><summary>Why this is so</summary>
#
# With $\epsilon = 10^{-5}$ the formula's own error is of order $10^{-10}$, and rounding adds about
# $10^{-16}/10^{-5} = 10^{-11}$. Measured against at least $10^{-3}$, a right gradient in float64
# stays below 1e-7. In float32 it could not. A ReLU whose input lies within $\epsilon$ of its kink can spoil one number; with random
# inputs that hardly ever happens.
# </details>

# %%
with lk.check("4.7", "gradient_check"):

    class _Net(Module):
        """A network of the check, y = tanh(x A + a) B, one entry of one gradient spoilt."""

        def __init__(self, part="", entry=0, factor=1.0):
            self.training, self.modes = True, set()
            random = np.random.RandomState(1)
            self.p = {"0.weight": random.randn(4, 3), "0.bias": random.randn(3),
                      "1.weight": random.randn(3, 3)}  # fmt: skip
            self.g = {k: np.zeros_like(v) for k, v in self.p.items()}
            self.spoil, self.true = (part, entry, factor), 0.0

        def forward(self, x):
            self.modes.add(self.training)
            self.x, self.h = x, np.tanh(x @ self.p["0.weight"] + self.p["0.bias"])
            return self.h @ self.p["1.weight"]

        __call__ = forward

        def backward(self, grad):
            inner = grad @ self.p["1.weight"].T * (1 - self.h**2)
            new = {"1.weight": self.h.T @ grad, "0.weight": self.x.T @ inner,
                   "0.bias": inner.sum(0), "input": inner @ self.p["0.weight"].T}  # fmt: skip
            part, entry, factor = self.spoil
            if part:
                self.true = new[part].flat[entry]
                new[part].flat[entry] *= factor
            for key, array in self.g.items():
                array += new[key]
            return new["input"]

        def parameters(self):
            return dict(self.p)

        def gradients(self):
            return dict(self.g)

        @property
        def layers(self):
            raise AssertionError("not every network has layers: use parameters() and gradients()")

        def train(self):
            self.training = True

        def eval(self):
            self.training = False

    class _Loss:
        """50 times the mean of cosh(y - t) over everything, with its derivative."""

        def __init__(self, factor=50.0):
            self.factor, self.values = factor, set()

        def forward(self, y, t):
            self.d = y - (np.eye(3)[t] if np.ndim(t) == 1 else t)
            self.values.add(float(self.factor * np.mean(np.cosh(self.d))))
            return self.factor * np.mean(np.cosh(self.d))

        def __call__(self, *_):
            raise AssertionError("the losses of this lab have no call: loss.forward(…)")

        def backward(self):
            return self.factor * np.sinh(self.d) / self.d.size

    _x, _c = np.random.RandomState(0).randn(5, 4), np.array([0, 1, 2, 0, 1])
    _good, _keep = _Net(), _x.copy()
    _before = {k: v.copy() for k, v in _good.p.items()}
    _loss = _Loss()
    _error = gradient_check(_good, _loss, _x, _c)
    assert _error is not None, "the function gives None: is `return` missing?"
    assert np.ndim(_error) == 0, "return one number, the largest error"
    assert not isinstance(_error, bool | np.bool_), "return the error, not whether it is small"
    assert abs(float(_error) - 1) > 1e-9 or len(_loss.values) > 80, (  # 44 numbers, up and down
        "the error of a right gradient is 1, as if no loss changed: is the number moved in the "
        "model's own array? flatten() makes a copy"
    )
    assert np.allclose(_x, _keep, atol=1e-8, rtol=0), "the input was changed: put each number back"
    assert all(np.allclose(_before[k], v, atol=1e-8, rtol=0) for k, v in _good.p.items()), (
        "the parameters were changed: put each number back"
    )
    assert _error < 1e-6, (
        f"a right gradient shows an error of {_error:.1e}: it should be below 1e-7 (is the "
        "difference central, and divided by 2 epsilon? is it compared with what backward gives for "
        "this loss, and divided by |a| + |b|?)"
    )
    assert _good.training and _good.modes <= {True}, (
        "gradient_check puts the network in evaluation mode: leave the mode as it is"
    )
    assert _error >= 0, "an error is not negative: take absolute values"
    for _array in _good.g.values():
        _array += 1.0
    assert gradient_check(_good, _Loss(), _x, _c) < 1e-6, (
        "with gradients left by an earlier backward (or called twice) it reports an error: set the "
        "gradients to zero first"
    )
    assert gradient_check(_good, _Loss(), _x, np.ones((5, 3))) < 1e-6, (
        "with targets (B, C) a right gradient shows an error"
    )
    with np.errstate(all="ignore"):
        _error = gradient_check(_good, _Loss(), _x * [1, 0, 1, 1], _c)
    assert _error < 1e-6, (
        "where both numbers are exactly 0 the error is 0: the 10⁻³ is there to divide by"
    )
    _places = {"0.weight": (0, 7, 11), "0.bias": (0, 2), "1.weight": (0, 8), "input": (0, 19)}
    for _part, _entries in _places.items():
        for _entry in _entries:
            for _factor in (1.5, 0.5, -1.0, 0.0):
                _net = _Net(_part, _entry, _factor)
                _error = gradient_check(_net, _Loss(), _x, _c)
                _size = abs(_net.true) * (1 + abs(_factor))
                _true = abs(_net.true) * abs(1 - _factor) / max(_size, 1e-3)
                _where = "bias" if "bias" in _part else "weight" if "weight" in _part else "input"
                _which = f"entry {_entry + 1} of {_part}" if _part != "input" else (
                    f"entry {_entry + 1} of the input")  # fmt: skip
                assert _error > 1e-4, (
                    f"a wrong gradient of the {_where} goes unnoticed: only {_which} was wrong, "
                    f"{_factor} times its true value; take the largest absolute value over all entries"
                )
                assert abs(_error - _true) < 0.02 * _true, (
                    f"the relative error is {_error:.3g}; by the formula above it is "
                    f"{_true:.3g} here, where only {_which} is wrong: is it the largest of all, and divided "
                    "by what the formula says?"
                )
    _error = gradient_check(_Net("0.weight", slice(None), 1.5), _Loss(), _x, _c)
    assert abs(_error - 0.2) < 0.004, (
        f"with twelve wrong gradients, each with a relative error of 0.2, the answer is "
        f"{_error:.3g}: the largest is asked"
    )
    _net = _Net("0.weight", 7, 1.5)
    _error = gradient_check(_net, _Loss(1e-3), _x, _c)
    _true = abs(_net.true) * 0.5 / 1e-3  # here |a| + |b| is below 1e-3
    assert abs(_error - _true) < 0.02 * _true, (
        f"where |a| + |b| is below 10⁻³ divide by 10⁻³: the error is {_true:.3g} here, "
        f"not {_error:.3g}"
    )
    _error = gradient_check(_good, _Loss(), _x, _c, epsilon=0.2)
    assert _error > 1e-5, "epsilon is not used: with 0.2 the differences are much coarser"
    assert abs(_error - 0.5917) < 0.01, (
        f"with epsilon = 0.2 the error is 0.592 here, not {_error:.3g}: divide by twice the "
        "epsilon that you moved by"
    )

# %% [markdown]
# Now every layer, with both losses, and one-hot targets as well. All errors must be below 1e-7.
#
# What if a layer divides by the batch size and a loss forgets to? The two faults cancel in the
# gradients of the parameters, which come out right. What gives them away is the gradient of the
# **input**: it is too large by the factor $B$. That is why it is checked, too.

# %% tags=["nbval-check-output"]
np.random.seed(0)
small = np.random.randn(6, 5)
numbers, classes = np.random.randn(6, 3), np.array([0, 1, 2, 2, 1, 0])
targets = {"numbers": numbers, "class numbers": classes, "one-hot rows": np.eye(3)[classes]}
for activation in (ReLU, Tanh, Sigmoid):
    for kind, target in targets.items():
        loss = MSELoss() if kind == "numbers" else SoftmaxCrossEntropy()
        net = Sequential(Linear(5, 4), activation(), Linear(4, 3))
        error = gradient_check(net, loss, small, target)
        print(f"{activation.__name__:8} {type(loss).__name__:20} {kind:14} {bool(error < 1e-7)}")

# %% [markdown]
# **What the check cannot see.** It compares `backward` with `forward`. Here are two layers that are
# wrong. Before you run the cell: which of them does it find?


# %% tags=["nbval-check-output"]
class NoBias(Linear):
    """forward forgets the bias, and backward says so: its gradient is 0."""

    def forward(self, x):
        return super().forward(x) - self.parameters()["bias"]

    def backward(self, grad):
        before = self.gradients()["bias"].copy()
        back = super().backward(grad)
        self.gradients()["bias"][...] = before
        return back


class TwiceDivided(Linear):
    """backward takes the mean that belongs to the loss."""

    def backward(self, grad):
        return super().backward(grad / len(grad)) * len(grad)


for kind in (NoBias, TwiceDivided):
    np.random.seed(0)
    error = gradient_check(kind(5, 3), SoftmaxCrossEntropy(), small, classes)
    print(f"{kind.__name__:13} found: {bool(error > 1e-6)}")

# %% [markdown]
# <details><summary>Answer</summary>
#
# Only the second. The first computes something else than was wanted, but its `backward` is the true
# derivative of what it computes. The gradient check never tests whether `forward` is right, and it
# tests `backward` only at the inputs that it was given. For the rest one needs cases with known
# results, as in the checks above, or another library.
# </details>

# %% [markdown]
# ## The optimiser
#
# Stochastic gradient descent with momentum $\mu$ keeps a running sum $v$ of past gradients:
#
# $$v \leftarrow \mu\, v + g \qquad w \leftarrow w - \eta\, v$$
#
# With $\mu = 0$ this is plain gradient descent. (Lab 00 wrote $u$ for $v$ and $\alpha$ for $\eta$;
# Adam's $v$, below, is another thing.)

# %% [markdown]
# ### Exercise 4.8: `SGD`
#
# `SGD(model, lr, momentum)`: `step()` changes the parameters **in place**, `zero_grad()` sets the
# gradients to zero in place.
#
# <details><summary>Hint 1: the idea</summary>
#
# `w = w - lr * g` makes a new array that the layer never sees. And $v$ must live on from step to step,
# one array for each parameter, apart from the gradient that `zero_grad()` will empty.
# </details>
#
# <details><summary>Hint 2: names</summary>
#
# `-=` and `array[...] = 0` change an array in place; `np.zeros_like`; a dict with the keys of
# `model.parameters()`.
# </details>


# %%
# Exercise 4.8 - stochastic gradient descent
class SGD:
    def __init__(self, model, lr, momentum=0.0):
        self.model, self.lr, self.momentum = model, lr, momentum

    def step(self):
        raise NotImplementedError("4.8: change the parameters in place")

    def zero_grad(self):
        raise NotImplementedError("4.8: set the gradients to zero in place")


# %%
# Solution 4.8
class SGD:
    def __init__(self, model, lr, momentum=0.0):
        self.model, self.lr, self.momentum = model, lr, momentum
        self.v = {name: np.zeros_like(array) for name, array in model.parameters().items()}

    def step(self):
        gradients = self.model.gradients()
        for name, array in self.model.parameters().items():
            self.v[name] = self.momentum * self.v[name] + gradients[name]
            array -= self.lr * self.v[name]  # in place: the layer's own array

    def zero_grad(self):
        for gradient in self.model.gradients().values():
            gradient[...] = 0


# %% [markdown] tags=["solution"]
# <details><summary>Why this is so</summary>
#
# With a constant gradient, $v$ grows towards $g/(1 - \mu)$: momentum 0.9 makes the steps up to ten
# times as long in directions that stay the same. Where the gradient keeps changing sign, $|v|$ tends
# to $g/(1 + \mu)$: the steps are about half as long, not gone. This is PyTorch's form; in some books
# the learning rate stands inside $v$.
# </details>

# %%
with lk.check("4.8", "SGD"):

    class _Model(Module):
        """Parameters whose gradients the check sets itself, in layers that name them alike."""

        def __init__(self, *layers):
            self.training, self.layers, self.p, self.g = True, layers, {}, {}
            for i, layer in enumerate(layers):
                self.p |= {f"{i}.{name}": array for name, array in layer.p.items()}
                self.g |= {f"{i}.{name}": array for name, array in layer.g.items()}
            if not layers:
                self.p = {"weight": np.ones((2, 3)), "bias": np.zeros(2)}
                self.g = {"weight": np.zeros((2, 3)), "bias": np.zeros(2)}

        def parameters(self):
            return dict(self.p)

        def gradients(self):
            return dict(self.g)

    for _momentum, _lr in ((0.0, 0.1), (0.9, 0.03), (0.5, 0.03)):
        _random, _model = np.random.RandomState(0), _Model(_Model(), _Model())
        _own = dict(_model.p)
        _t = {k: torch.tensor(v.copy(), requires_grad=True) for k, v in _model.p.items()}
        _true = torch.optim.SGD(_t.values(), lr=_lr, momentum=_momentum)
        _ours = SGD(_model, _lr, _momentum) if _momentum else SGD(_model, lr=_lr)
        _plain = {k: v.copy() for k, v in _model.p.items()}  # what no momentum would give
        _damped, _speed = {k: v.copy() for k, v in _model.p.items()}, dict.fromkeys(_plain, 0.0)
        for _step in range(4):
            _before = {k: v.copy() for k, v in _model.p.items()}
            _ours.zero_grad()
            assert all(_model.p[k] is _own[k] for k in _own)
            assert not any(np.any(g) for g in _model.g.values()), (
                "zero_grad() leaves gradients: set them to zero in place"
            )
            assert all(np.array_equal(_model.p[k], v) for k, v in _before.items()), (
                "zero_grad() changes the parameters: only the gradients become zero"
            )
            for _k, _array in _model.g.items():
                _array += _random.randn(*_array.shape)
                _t[_k].grad = torch.tensor(_array.copy())
                _plain[_k] -= _lr * _array
                _speed[_k] = _momentum * _speed[_k] + (1 - _momentum) * _array
                _damped[_k] -= _lr * _speed[_k]
            _given = {k: g.copy() for k, g in _model.g.items()}
            _ours.step()
            assert all(np.array_equal(_model.g[k], g) for k, g in _given.items()), (
                "step() changes the gradients: only zero_grad() does that (is v the gradient's own "
                "array? It must be another one)"
            )
            _true.step()
            for _k, _now in _model.p.items():
                _want, _off = _t[_k].detach().numpy(), _model.p[_k] - _before[_k]
                if np.allclose(_now, _want):
                    continue
                assert _off.any(), (
                    f"the {_k[2:]} does not move: step() must change the layer's own array in "
                    "place (w -= …, not w = w - …), each of them; with v = momentum · v + g"
                )
                assert not np.allclose(_off, _before[_k] - _want), "the step goes uphill: subtract"
                assert _momentum == 0 or not np.allclose(_now, _damped[_k]), (
                    f"with momentum {_momentum}, v = {_momentum} v + g: the gradient has no factor "
                    f"(1 - {_momentum})"
                )
                assert _momentum == 0 or _step == 0 or not np.allclose(_now, _plain[_k]), (
                    f"with momentum {_momentum} the steps are those without: v must live on "
                    "from step to step (is it the gradient itself? zero_grad() empties that)"
                )
                raise AssertionError(
                    "with momentum 0 the step is not w -= lr · g, with the lr it was given"
                    if _momentum == 0
                    else f"momentum {_momentum}, lr {_lr}: the steps differ from "
                    f"v = {_momentum} v + g, w -= lr · v, with a v of its own for each parameter"
                )

# %% [markdown]
# ## Handwritten digits
#
# MNIST: 28 x 28 grey pixels, ten digits. Read the card: it says where the images come from.

# %%
mnist = lk.load_dataset("mnist")
mnist

# %% [markdown]
# The images stay small integers. A batch becomes rows of numbers when it is needed: mean 0 and
# standard deviation 1 over all **training** pixels.

# %%
train_images, train_labels = mnist.train.images[:LIMIT], mnist.train.labels[:LIMIT].numpy()
pixels = train_images.numpy() / 255
mean, std = pixels.mean(), pixels.std()
print(f"training pixels: mean {mean:.3f}, standard deviation {std:.3f}")


def rows(images):
    """Images (N, 1, 28, 28), 0 … 255, as a standardised array (N, 784)."""
    return (images.reshape(len(images), -1).numpy() / 255 - mean) / std


def batches(batch_size=64):
    order = torch.randperm(len(train_labels)).numpy()
    for start in range(0, len(order), batch_size):
        chosen = order[start : start + batch_size]
        yield rows(train_images[chosen]), train_labels[chosen]


def make_network():
    return Sequential(Linear(784, 128), ReLU(), Linear(128, 64), ReLU(), Linear(64, 10))


def predict(model, images):
    """Logits (N, 10), 1,000 images at a time."""
    return np.concatenate([model(rows(part)) for part in images.split(1000)])


# %% [markdown]
# ### Before any training: two questions
#
# 1. A network that knows nothing should give each of ten classes 10 %. What is its loss? Write the
#    number down, then look at what ours begins with.
# 2. Can the network learn **one batch** of 16 images by heart? If it cannot, something is wrong with
#    the code, and no longer training will mend it. It takes a second to ask.

# %%
np.random.seed(0)
first_x, first_y = next(batches(16))
print(f"ln 10 = {np.log(10):.2f}")
for _ in range(3):
    model, loss = make_network(), SoftmaxCrossEntropy()
    as_it_is = loss.forward(model(first_x), first_y)
    model.parameters()["4.weight"][...] *= 0.1  # the last layer ten times smaller
    print(f"He everywhere: {as_it_is:.2f}; last layer ten times smaller: ", end="")
    print(f"{loss.forward(model(first_x), first_y):.2f}")

# %%
model, loss = make_network(), SoftmaxCrossEntropy()
optimizer = SGD(model, lr=0.1)
for step in range(201):
    value = loss.forward(model(first_x), first_y)
    if step % 50 == 0:
        right = int((model(first_x).argmax(1) == first_y).sum())
        print(f"step {step:3}: loss {value:.4f}, {right} of {len(first_y)} right")
    optimizer.zero_grad()
    model.backward(loss.backward())
    optimizer.step()

# %% [markdown]
# <details><summary>Answers</summary>
#
# 1. $-\ln 0.1 = \ln 10 \approx 2.30$. Ours tends to begin above it: He's rule makes the logits
#    about as large as the inputs, so the untrained network already has opinions, and wrong ones.
#    With small weights in the last layer all logits are near 0. Here a few steps mend it; a start
#    at 20 would be a warning.
# 2. It should: the loss falls towards 0 and all 16 are right.
# </details>
#
# The loop is the one of lab 02. Only now each line is yours, down to the last derivative.
# `LivePlot` takes reports from any loop; what it calls a step is one `tick()`, here an **epoch**.
# (Three epochs at a constant learning rate: the validation accuracy may go down once on its way.)

# %%
lk.seed_everything(42)
model, loss = make_network(), SoftmaxCrossEntropy()
optimizer = SGD(model, lr=0.1)
val_labels = mnist.val.labels.numpy()
plot = lk.LivePlot()
plot.set_limit(EPOCHS)
for _ in range(EPOCHS):
    model.train()
    losses = []
    for x, y in batches():
        losses.append(loss.forward(model(x), y) * len(y))
        optimizer.zero_grad()
        model.backward(loss.backward())
        optimizer.step()
    model.eval()
    accuracy = np.mean(predict(model, mnist.val.images).argmax(1) == val_labels)
    plot.tick()
    plot.report("training loss", sum(losses) / len(train_labels))
    plot.report("validation accuracy", accuracy)

# %%
result = lk.Predictions(
    predict(model, mnist.test.images), mnist.test.labels, mnist.classes, mnist.origin
)
result

# %% [markdown]
# Ten random test images with the prediction: ✓ right (green), ✗ wrong (red) with the true digit below.
# They may all be right; so the second row shows the first ten mistakes.

# %%
chosen = np.random.default_rng(0).choice(len(result.labels), 10, replace=False)
mistakes = np.flatnonzero(np.asarray(result.predicted) != np.asarray(result.labels))[:10]
figure, axes = lk.figures.new_figure(2, 10, 3.2, mnist.origin)
for row, indices in zip(axes, (chosen, mistakes), strict=True):
    for ax in row:
        ax.set_axis_off()
    for ax, i in zip(row, indices, strict=False):
        predicted, true = (mnist.classes[k[i]] for k in (result.predicted, result.labels))
        ax.imshow(mnist.test.images[i, 0], cmap="gray")
        right = predicted == true
        title = f"✓ {predicted}" if right else f"✗ {predicted}\ntrue: {true}"
        ax.set_title(title, color="#1a7f37" if right else "#cf222e", fontsize=10)
figure.suptitle("Predicted digit. Above: ten at random. Below: the first mistakes", fontsize=11)
figure

# %% [markdown]
# ## Is it the same as PyTorch?
#
# Same weights, same batches, float64: the same formulas. But not the same bits: the order of the
# additions may differ, and with it the last digit. So after a few steps the weights must agree to
# 1e-10, a limit far above rounding and far below any mistake.

# %% tags=["nbval-check-output"]
lk.seed_everything(1)
ours = make_network()
theirs = torch.nn.Sequential(
    torch.nn.Linear(784, 128), torch.nn.ReLU(),
    torch.nn.Linear(128, 64), torch.nn.ReLU(),
    torch.nn.Linear(64, 10),
).double()  # fmt: skip
theirs.load_state_dict({name: torch.tensor(a) for name, a in ours.parameters().items()})
our_sgd = SGD(ours, lr=0.1, momentum=0.9)
their_sgd = torch.optim.SGD(theirs.parameters(), lr=0.1, momentum=0.9)
differences = []  # after each step, the largest of all weights
for x, y in islice(batches(), 50):
    loss.forward(ours(x), y)
    our_sgd.zero_grad()
    ours.backward(loss.backward())
    our_sgd.step()
    their_sgd.zero_grad()
    torch.nn.functional.cross_entropy(theirs(torch.tensor(x)), torch.tensor(y)).backward()
    their_sgd.step()
    pairs = [(ours.parameters()[name], w.detach().numpy()) for name, w in theirs.named_parameters()]
    differences.append(max(np.abs(a - b).max() for a, b in pairs))
print("after 5 steps the weights agree to 1e-10:", bool(differences[4] < 1e-10))

# %% [markdown]
# And later? Each step works on what the one before has rounded. Look at how far the two drift apart;
# on another processor the numbers are others.

# %%
for step in sorted({1, 5, 20, len(differences)}):
    print(f"after {step:2} steps: {differences[step - 1]:.1e}")

# %% [markdown]
# And the time? To be fair, both compute the same batches, prepared beforehand, on **one thread**, and
# PyTorch twice: in float64 like ours, and in float32, its default, which moves half as many bytes.
# The median of three rounds each. **Before you run it:** which ratio do you expect? Run the cell twice:
# the times vary.

# %%
prepared = list(islice(batches(), 200))


def numpy_round():
    for x, y in prepared:
        loss.forward(ours(x), y)
        our_sgd.zero_grad()
        ours.backward(loss.backward())
        our_sgd.step()


def torch_round(dtype):
    model = theirs.to(dtype)
    sgd = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    tensors = [(torch.tensor(x, dtype=dtype), torch.tensor(y)) for x, y in prepared]

    def run():
        for x, y in tensors:
            sgd.zero_grad()
            torch.nn.functional.cross_entropy(model(x), y).backward()
            sgd.step()

    return run


def seconds(run):
    start = time.perf_counter()
    run()
    return time.perf_counter() - start


threads = torch.get_num_threads()
torch.set_num_threads(1)
times = {"NumPy, float64": [seconds(numpy_round) for _ in range(3)]}
for dtype in (torch.float64, torch.float32):
    run = torch_round(dtype)
    times[f"PyTorch, {str(dtype)[6:]}"] = [seconds(run) for _ in range(3)]
torch.set_num_threads(threads)
ours_took = np.median(times["NumPy, float64"])
print(f"{len(prepared)} batches of 64, one thread, median of 3")
for name, values in times.items():
    took = np.median(values)
    print(f"{name:17} {took:.3f} s, NumPy takes {ours_took / took:.2f} times as long")

# %% [markdown]
# <details><summary>Answer</summary>
#
# Much of the time goes into matrix products, and in float64 both hand those to a library of the same
# kind, so expect the first two lines not far apart. float32 moves half as many bytes; how much of
# that is seen depends on the processor, and on how much time goes into the calls instead. What else
# PyTorch has (several threads, graphics cards) is not used here.
# </details>

# %% [markdown]
# ## A layer that behaves in two ways
#
# So far `train()` and `eval()` set a flag that nobody reads. **Dropout** (Srivastava and others, 2014)
# reads it. In training it sets each number to 0 with probability $p$, so that no unit can rely on
# another one being there. In evaluation it does nothing. In order that both have the same mean, what
# survives in training must be made larger. By which factor? That is for you to derive.

# %% [markdown]
# ### Exercise 4.9: `Dropout`
#
# `Dropout(p)` drops each single number of its input with probability `p`, anew in each `forward`.
# Draw with `np.random.rand`, so that `np.random.seed` makes it repeatable. `backward` belongs to the
# last `forward`, in either mode.
#
# <details><summary>Hint 1: the idea</summary>
#
# For a given draw the layer is linear: $y = m \cdot x$, entry by entry, with an array $m$ of zeros and of
# one other number. What is the derivative of that? And which number makes the mean of $m$ equal to 1?
# </details>
#
# <details><summary>Hint 2: names</summary>
#
# `np.random.rand(*x.shape) >= p` is `True` with probability $1 - p$. Keep $m$ in `forward`; in
# evaluation mode it is 1 everywhere. `self.training` comes from `Module`.
# </details>


# %%
# Exercise 4.9 - dropout
class Dropout(Module):
    def __init__(self, p):
        super().__init__()
        self.p = p

    def forward(self, x):
        raise NotImplementedError("4.9: drop in training, nothing in evaluation")

    def backward(self, grad):
        raise NotImplementedError("4.9: the way back through the last forward")


# %%
# Solution 4.9
class Dropout(Module):
    def __init__(self, p):
        super().__init__()
        self.p = p

    def forward(self, x):
        keep = np.random.rand(*x.shape) >= self.p
        self.factor = keep / (1 - self.p) if self.training else 1.0
        return x * self.factor

    def backward(self, grad):
        return grad * self.factor


# %% [markdown] tags=["solution"]
# <details><summary>Why this is so</summary>
#
# An entry survives with probability $1 - p$, so multiplying the survivors by $1/(1 - p)$ gives back the
# mean: $(1 - p) \cdot \frac{1}{1 - p} = 1$. The derivative of $m x$ is $m$, **with** the division: a
# backward that multiplies by the bare mask is wrong by the factor $1 - p$, and the gradient check
# says so. A new draw in `backward` would be the gradient of another network.
# </details>

# %%
with lk.check("4.9", "Dropout"):
    _x = 1 + np.random.RandomState(0).rand(200, 50)
    _keep, _g = _x.copy(), np.random.RandomState(1).randn(200, 50)
    np.random.seed(3)
    _layer = Dropout(0.3)
    _y = _layer.forward(_x)
    assert isinstance(_y, np.ndarray), "forward must return an array; is `return` missing?"
    assert np.array_equal(_x, _keep), "forward changes its input: make a new array"
    assert np.shape(_y) == np.shape(_x), "the output has the shape of the input"
    _zero, _columns, _rows = np.mean(_y == 0), (_y == 0).mean(0), (_y == 0).mean(1)
    assert _zero > 0, "in training mode nothing is dropped (a new module is in training mode)"
    assert max(_columns.max(), _rows.max()) < 1, (
        "whole rows or columns are dropped: each number is drawn for itself"
    )
    assert not 0.65 < _zero < 0.75, "p is the share that is dropped, not the share that is kept"
    assert 0.27 < _zero < 0.33, f"with p = 0.3 the share of zeros is {_zero:.2f}"
    _factor = (_y / _x)[_y != 0]
    assert not np.allclose(_factor, 1), "what survives must become larger, to keep the mean"
    assert not np.allclose(_factor, 1 / 0.3), "divide by the share that is kept, 1 - p, not by p"
    assert not np.allclose(_factor, 0.7), "divide by 1 - p, do not multiply"
    assert np.allclose(_factor, 1 / 0.7), "what survives is multiplied by 1 / (1 - p)"
    _back = _layer.backward(_g.copy())
    assert isinstance(_back, np.ndarray), "backward must return an array; is `return` missing?"
    assert not np.allclose(_back, _g * (_y != 0)), (
        "backward needs the division by 1 - p as well: its factor is forward's"
    )
    assert not np.allclose(_back, _g), "backward lets everything through: use forward's mask"
    assert np.array_equal(_back == 0, _y == 0), (
        "backward drops other numbers than forward did: keep the mask, draw once"
    )
    assert np.allclose(_back, _g * _y / _x), "backward is not grad times forward's factor"
    assert not np.array_equal(_layer.forward(_x), _y), "each forward must draw anew"
    np.random.seed(3)
    assert np.array_equal(_layer.forward(_x), _y), (
        "draw with np.random.rand: np.random.seed must make it repeatable"
    )
    _factor, _signs = _y / _x, np.resize([0.0, -1.0, 1.0], _x.shape)
    np.random.seed(3)
    with np.errstate(all="ignore"):
        _layer.forward(_x * _signs)
        _back = _layer.backward(_g.copy())
    assert np.allclose(_back, _g * _factor), (
        "backward is wrong where the input is 0 or negative: keep the mask that was drawn"
    )
    np.random.seed(3)
    _layer.forward(_x)
    Dropout(0.6).forward(_x)
    assert np.allclose(_layer.backward(_g.copy()), _g * _factor), (
        "another Dropout's forward spoils this one's backward: keep it in self"
    )
    assert len({np.sum(_layer.forward(_x) == 0) for _ in range(5)}) > 1, (
        "the same number of entries is dropped each time: draw each one by itself, np.random.rand"
    )
    _layer.eval()
    _y = _layer.forward(_x)
    assert not np.allclose(_y, 0.7 * _x), "in evaluation mode nothing is scaled: training does it"
    assert np.array_equal(_y, _x), "in evaluation mode the output is the input"
    assert np.allclose(_layer.backward(_g.copy()), _g), (
        "after a forward in evaluation mode, backward returns grad as it is (an old mask?)"
    )
    _layer.train()
    _y = _layer.forward(_x)
    assert np.any(_y == 0), "after train() it must drop again"
    _layer.eval()
    assert np.allclose(_layer.backward(_g.copy()), _g * _y / _x), (
        "backward belongs to the last forward, also where the mode has changed since"
    )
    for _shape in ((7,), (2, 3, 4)):
        try:
            _y = Dropout(0.5).forward(np.ones(_shape))
        except (IndexError, ValueError):
            _y = None
        assert np.shape(_y) == _shape, (
            f"an input of the shape {_shape} fails: rand(*x.shape) fits any"
        )
    assert np.array_equal(Dropout(0.0).forward(_x), _x), "with p = 0 nothing is dropped"
    assert not _layer.parameters() and not _layer.gradients(), "Dropout has no parameters"

# %% [markdown]
# The judge is your gradient check. But dropout is drawn anew at each `forward`, so the loss jumps from
# one call to the next. What happens if you check it as it is? And what must be held still?


# %% tags=["nbval-check-output"]
class Frozen(Dropout):
    """Dropout that draws the same at each forward."""

    def forward(self, x):
        np.random.seed(0)
        return super().forward(x)


for kind in (Dropout, Frozen):
    np.random.seed(0)
    net = Sequential(Linear(5, 40), kind(0.5), Linear(40, 3))
    error = gradient_check(net, SoftmaxCrossEntropy(), small, classes)
    print(f"{kind.__name__:8} below 1e-7: {bool(error < 1e-7)}")

# %% [markdown]
# <details><summary>Answer</summary>
#
# $L(w + \epsilon)$ and $L(w - \epsilon)$ belong to two different networks; their difference, divided by
# $2\epsilon$, is huge. The draw must be the same for all of them.
# </details>
#
# ## Batch normalisation
#
# Another layer that behaves in two ways. (Lab 03 looks at what it does to deep networks; what you
# need is all here.) Each feature (column) of the batch gets mean 0 and variance 1, then a learnt
# scale $\gamma$ and shift $\beta$:
#
# $$\hat x_{ij} = \frac{x_{ij} - \mu_j}{\sqrt{\sigma_j^2 + \varepsilon}}, \qquad
# y_{ij} = \gamma_j\, \hat x_{ij} + \beta_j,$$
#
# with mean $\mu_j$ and variance $\sigma_j^2$ (divided by $B$) of column $j$ **of this batch**. That is the
# point: $\mu_j$ and $\sigma_j$ depend on all the $x_{ij}$ of the column. In evaluation mode a single image
# must not depend on its neighbours; there, running means of $\mu$ and $\sigma^2$ stand in their place.

# %% [markdown]
# ### Exercise 4.10: `BatchNorm`
#
# `BatchNorm(features)` with the parameters `"weight"` ($\gamma$, starts at 1) and `"bias"` ($\beta$, starts
# at 0), both of the shape (features,). In training, `forward` also moves `running_mean` (starts at 0)
# and `running_var` (starts at 1) by a tenth of the way towards the batch's. `backward` is asked for
# after a forward in **training** mode only; it adds to the gradients and returns $\partial L/\partial x$.
# Derive the last one on paper: by how many ways does $x_{ij}$ reach $L$? The gradient check judges you.
#
# <details><summary>Hint 1: the idea</summary>
#
# $x_{ij}$ acts directly, through $\mu_j$ and through $\sigma_j$. Go in two steps: first
# $\hat g = \partial L/\partial \hat x = G \gamma$. Then, for one column, $\hat x$ does not change when all
# $x_i$ grow by the same amount, nor when their deviations grow by the same factor. So the gradient can
# have no part along $(1, …, 1)$, and none along $\hat x$: take both away from $\hat g$.
# </details>
#
# <details><summary>Hint 2: the formula</summary>
#
# Per column, with means over the batch:
#
# $$\frac{\partial L}{\partial x} = \frac{1}{\sqrt{\sigma^2 + \varepsilon}} \Bigl(\hat g -
# \operatorname{mean}(\hat g) - \hat x \operatorname{mean}(\hat g\, \hat x)\Bigr)$$
# </details>


# %%
# Exercise 4.10 - batch normalisation
class BatchNorm(Module):
    def __init__(self, features, epsilon=1e-5):
        super().__init__()
        self.epsilon = epsilon
        self.weight, self.bias = np.ones(features), np.zeros(features)
        self.grad_weight, self.grad_bias = np.zeros(features), np.zeros(features)
        self.running_mean, self.running_var = np.zeros(features), np.ones(features)

    def forward(self, x):
        raise NotImplementedError("4.10: normalise, with the batch's or the running numbers")

    def backward(self, grad):
        raise NotImplementedError("4.10: add to both gradients, return ∂L/∂x")

    def parameters(self):
        return {"weight": self.weight, "bias": self.bias}

    def gradients(self):
        return {"weight": self.grad_weight, "bias": self.grad_bias}


# %%
# Solution 4.10
class BatchNorm(Module):
    def __init__(self, features, epsilon=1e-5):
        super().__init__()
        self.epsilon = epsilon
        self.weight, self.bias = np.ones(features), np.zeros(features)
        self.grad_weight, self.grad_bias = np.zeros(features), np.zeros(features)
        self.running_mean, self.running_var = np.zeros(features), np.ones(features)

    def forward(self, x):
        mean, var = self.running_mean, self.running_var
        if self.training:
            mean, var = x.mean(axis=0), x.var(axis=0)
            self.running_mean = 0.9 * self.running_mean + 0.1 * mean
            self.running_var = 0.9 * self.running_var + 0.1 * var
        self.std = np.sqrt(var + self.epsilon)
        self.x_hat = (x - mean) / self.std
        return self.weight * self.x_hat + self.bias

    def backward(self, grad):
        self.grad_weight += (grad * self.x_hat).sum(axis=0)
        self.grad_bias += grad.sum(axis=0)
        g = grad * self.weight
        along = self.x_hat * (g * self.x_hat).mean(axis=0)
        return (g - g.mean(axis=0) - along) / self.std

    def parameters(self):
        return {"weight": self.weight, "bias": self.bias}

    def gradients(self):
        return {"weight": self.grad_weight, "bias": self.grad_bias}


# %% [markdown] tags=["solution"]
# <details><summary>Why this is so</summary>
#
# Write $x = \mu + s\,\hat x$ with $s = \sqrt{\sigma^2 + \varepsilon}$. Then
# $\partial \hat x_k/\partial x_i = \frac1s\bigl([k = i] - \frac1B - \frac1B \hat x_k \hat x_i\bigr)$: the
# second term comes from $\mu$, the third from $s$. Multiply by $\hat g_k$ and sum over $k$. Whoever treats
# $\mu$ and $\sigma$ as constants gets $\hat g/s$ alone. PyTorch divides the variance that it puts into
# `running_var` by $B - 1$; either will do.
# </details>

# %%
with lk.check("4.10", "BatchNorm"):
    _random = np.random.RandomState(0)
    _x = _random.randn(6, 4) * [1, 3, 0.2, 0.01] + [0, 5, -2, 1]
    _g, _keep = _random.randn(6, 4), _x.copy()
    _layer = BatchNorm(4)
    assert set(_layer.parameters()) == set(_layer.gradients()) == {"weight", "bias"}, (
        'both dicts have the keys "weight" and "bias"'
    )
    _w, _b = _layer.parameters()["weight"], _layer.parameters()["bias"]
    assert np.shape(_w) == np.shape(_b) == (4,), "weight and bias have the shape (features,)"
    assert np.allclose(_w, 1) and np.allclose(_b, 0), "weight starts at 1, bias at 0"
    _y = _layer.forward(_x)
    assert _y is not None, "forward must return the output; is `return` missing?"
    assert np.array_equal(_x, _keep), "forward changes its input: make a new array"
    assert np.shape(_y) == (6, 4), "the output has the shape of the input"
    _true = (_x - _x.mean(0)) / np.sqrt(_x.var(0) + 1e-5)
    if not np.allclose(_y, _true):
        assert not np.allclose(_y, (_x - _x.mean()) / np.sqrt(_x.var() + 1e-5)), (
            "each feature has its own mean and variance: axis 0"
        )
        assert not np.allclose(_y, (_x - _x.mean(0)) / np.sqrt(_x.var(0, ddof=1) + 1e-5)), (
            "the variance of the batch is divided by B, not by B - 1"
        )
        assert not np.allclose(_y, (_x - _x.mean(0)) / (_x.var(0) + 1e-5)), (
            "divide by the standard deviation, not by the variance"
        )
        assert not np.allclose(_y, (_x - _x.mean(0)) / _x.std(0)), (
            "epsilon is missing: the root of variance plus epsilon"
        )
        assert not np.allclose(_y, (_x - _x.mean(0)) / (_x.std(0) + 1e-5)), (
            "epsilon stands under the root: the root of variance plus epsilon"
        )
        assert not np.allclose(_y, _x / np.sqrt(1 + 1e-5)), (
            "in training mode take the batch's mean and variance, not the running ones"
        )
        raise AssertionError("the columns are not normalised as in the formula")
    _w[...], _b[...] = [1.0, -2.0, 0.5, 3.0], [0.1, 0.2, -0.3, 0.0]
    _y = _layer.forward(_x)
    assert not np.allclose(_y, _true), "weight and bias are not used"
    assert np.allclose(_y, _w * _true + _b), "y = weight · x̂ + bias"
    assert np.array_equal(_w, [1.0, -2.0, 0.5, 3.0]), "forward changes the weight"
    _back = _layer.backward(_g.copy())
    assert _back is not None, "backward must return ∂L/∂x; is `return` missing?"
    for _name, _slope in (("weight", (_g * _true).sum(0)), ("bias", _g.sum(0))):
        _got = _layer.gradients()[_name]
        assert np.shape(_got) == (4,), f"the gradient of the {_name} has the shape (features,)"
        assert not np.allclose(_got, _slope / 6), (
            f"the {_name}'s gradient is a sum over the rows: the mean belongs to the loss"
        )
        _sum = "grad · x̂" if _name == "weight" else "grad"
        assert np.allclose(_got, _slope), (
            f"the gradient of the {_name} is wrong: the sum over the rows of {_sum}"
        )
    _t = torch.tensor(_x, requires_grad=True)
    torch.nn.functional.batch_norm(
        _t, None, None, torch.tensor(_w), torch.tensor(_b), training=True, eps=1e-5
    ).backward(torch.tensor(_g))
    _s, _gh, _slope = np.sqrt(_x.var(0) + 1e-5), _g * _w, _t.grad.numpy()
    if not (np.shape(_back) == (6, 4) and np.allclose(_back, _slope)):
        assert np.shape(_back) == (6, 4), "backward returns an array of the input's shape"
        assert not np.allclose(_back, _gh / _s), (
            "∂L/∂x takes mean and variance as constants: they depend on x as well"
        )
        assert not np.allclose(_back, (_gh - _gh.mean(0)) / _s), (
            "∂L/∂x: the way through the variance is missing"
        )
        assert not np.allclose(_back, (_gh - _true * (_gh * _true).mean(0)) / _s), (
            "∂L/∂x: the way through the mean is missing"
        )
        assert not np.allclose(_back * _w, _slope), "∂L/∂x: the weight is missing"
        raise AssertionError("∂L/∂x is not the derivative of forward (ask your gradient check)")
    for _array in (_y, _back, *_layer.gradients().values()):
        assert _array.dtype == np.float64, f"an array is {_array.dtype}: keep NumPy's float64"
    _layer.backward(_g.copy())
    assert np.allclose(_layer.gradients()["bias"], 2 * _g.sum(0)) and np.allclose(
        _layer.gradients()["weight"], 2 * (_g * _true).sum(0)
    ), "a second backward must add to the gradients"
    _t = torch.tensor(_x[:4], requires_grad=True)
    torch.nn.functional.batch_norm(_t, None, None, training=True).backward(torch.tensor(_g[:4]))
    _layer = BatchNorm(4)
    _layer.forward(_x[:4])
    assert np.allclose(_layer.backward(_g[:4].copy()), _t.grad), (
        "with 6 rows ∂L/∂x is right, with 4 it is wrong: B is the length of the batch"
    )
    _layer.forward(_x[:4])
    BatchNorm(4).forward(_x[1:5] ** 2)
    assert np.allclose(_layer.backward(_g[:4].copy()), _t.grad), (
        "another BatchNorm's forward spoils this one's backward: keep it in self"
    )
    _layer = BatchNorm(4)
    for _ in range(2):
        _layer.forward(_x)
    _running, _kept = np.array(_layer.running_mean), np.array(_layer.running_var)
    assert not np.allclose(_running, 0), "running_mean does not move in training"
    assert not np.allclose(_running, 0.99 * _x.mean(0)), (
        "a tenth of the way towards the batch: 0.9 of the old, 0.1 of the new"
    )
    assert np.allclose(_running, 0.19 * _x.mean(0)), (
        "running_mean: after each forward 0.9 · old + 0.1 · the batch's mean"
    )
    _var = [0.81 + 0.19 * _x.var(0, ddof=d) for d in (0, 1)]
    assert any(np.allclose(_layer.running_var, v) for v in _var), (
        "running_var: after each forward 0.9 · old + 0.1 · the batch's variance"
    )
    _layer.eval()
    _y = _layer.forward(_x[:2])
    _want = (_x[:2] - _running) / np.sqrt(_kept + 1e-5)
    assert np.allclose(_layer.running_mean, _running) and np.allclose(_layer.running_var, _kept), (
        "in evaluation mode the running numbers must not move"
    )
    assert not np.allclose(_y, (_x[:2] - _x[:2].mean(0)) / np.sqrt(_x[:2].var(0) + 1e-5)), (
        "in evaluation mode take the running mean and variance, not the batch's"
    )
    assert np.allclose(_y, _want), "in evaluation mode: (x - running_mean) / √(running_var + ε)"
    _layer.parameters()["weight"][...], _layer.parameters()["bias"][...] = _w, _b
    assert np.allclose(_layer.forward(_x[:2]), _w * _want + _b), (
        "weight and bias belong to evaluation mode as well: y = weight · x̂ + bias"
    )
    _layer, _want = BatchNorm(4, epsilon=0.5), (_x - _x.mean(0)) / np.sqrt(_x.var(0) + 0.5)
    assert np.allclose(_layer.forward(_x), _want), (
        "the argument epsilon is not used: with 0.5 the output is another"
    )
    assert any(np.allclose(_layer.running_var, 0.9 + 0.1 * _x.var(0, ddof=d)) for d in (0, 1)), (
        "running_var takes the variance without epsilon: that stands under the root only"
    )
    _t = torch.tensor(_x, requires_grad=True)
    torch.nn.functional.batch_norm(_t, None, None, training=True, eps=0.5).backward(
        torch.tensor(_g)
    )
    assert np.allclose(_layer.backward(_g.copy()), _t.grad), (
        "with epsilon = 0.5 ∂L/∂x is wrong: divide by forward's √(σ² + ε)"
    )
    _layer.eval()
    _want = (_x - _layer.running_mean) / np.sqrt(np.array(_layer.running_var) + 0.5)
    assert np.allclose(_layer.forward(_x), _want), (
        "epsilon stands in evaluation mode as well: √(running_var + ε)"
    )

# %% [markdown]
# And what does your own gradient check say? (The limit is 1e-6 here, to leave some room: where a
# column of the batch has a small $\sigma$, dividing by it bends the loss, and the central
# difference is less exact.)

# %% tags=["nbval-check-output"]
np.random.seed(0)
net = Sequential(Linear(5, 4), BatchNorm(4), Tanh(), Linear(4, 3))
error = gradient_check(net, SoftmaxCrossEntropy(), small, classes)
print("with batch normalisation, all gradients below 1e-6:", bool(error < 1e-6))

# %% [markdown]
# One gradient in this network is 0 by construction, whatever the data: that of the first layer's bias.
# Why?
#
# <details><summary>Answer</summary>
#
# Batch normalisation subtracts the mean of each column, and with it any constant that the bias has
# added. That is why networks with batch normalisation often leave that bias out.
# </details>
#
# ## Your Adam from lab 00
#
# There you wrote an optimiser that takes a list of arrays and changes them in place. Those arrays can
# be a network's. Put your own class here instead of this copy, if you like.


# %%
class Adam:
    """As in lab 00: one step for each parameter, in place."""

    def __init__(self, parameters, lr=1e-3, beta1=0.9, beta2=0.999, eps=1e-8):
        self.parameters = parameters
        self.lr, self.beta1, self.beta2, self.eps = lr, beta1, beta2, eps
        self.means = [np.zeros_like(p) for p in parameters]
        self.squares = [np.zeros_like(p) for p in parameters]
        self.steps = 0

    def step(self, gradients):
        self.steps += 1
        moments = zip(self.parameters, self.means, self.squares, gradients, strict=True)
        for p, m, v, g in moments:
            m[...] = self.beta1 * m + (1 - self.beta1) * g
            v[...] = self.beta2 * v + (1 - self.beta2) * g**2
            m_hat = m / (1 - self.beta1**self.steps)
            v_hat = v / (1 - self.beta2**self.steps)
            p -= self.lr * m_hat / (np.sqrt(v_hat) + self.eps)


# %%
def modern_network():
    """The same sizes with batch normalisation and dropout."""
    return Sequential(
        Linear(784, 128), BatchNorm(128), ReLU(), Dropout(0.2),
        Linear(128, 64), BatchNorm(64), ReLU(), Dropout(0.2), Linear(64, 10),
    )  # fmt: skip


def train_steps(model, use_adam, steps=300):
    """A few hundred batches; returns the validation accuracy in per cent."""
    sgd = SGD(model, lr=0.1)  # its zero_grad serves Adam as well
    adam = Adam(list(model.parameters().values()))
    for x, y in islice(batches(), steps):
        loss.forward(model(x), y)
        sgd.zero_grad()
        model.backward(loss.backward())
        if use_adam:
            gradients = model.gradients()
            adam.step([gradients[name] for name in model.parameters()])
        else:
            sgd.step()
    model.eval()
    return 100 * np.mean(predict(model, mnist.val.images).argmax(1) == val_labels)


settings = {
    "SGD 0.1": (make_network, False),
    "Adam 1e-3": (make_network, True),
    "Adam 1e-3, batch norm, dropout": (modern_network, True),
}
accuracies = {name: [] for name in settings}
for name, seed in lk.track([(n, k) for n in settings for k in range(3)], "training"):
    lk.seed_everything(seed)
    make, use_adam = settings[name]
    accuracies[name].append(train_steps(make(), use_adam))
print("validation accuracy (%) after at most 300 batches, seeds 0, 1, 2")
for name, values in accuracies.items():
    print(f"{name:31}", "  ".join(f"{v:.2f}" for v in values))

# %% [markdown]
# Call two lines different only where they lie further apart than the three seeds of one line. (The
# learning rates were not tuned: this shows that the parts fit together, not which one is best.)
#
# ## What PyTorch has instead: a tape
#
# Your library keeps a list of layers and calls their `backward` in reverse. PyTorch has no such list.
# Each operation on a tensor, even a plain `a * b`, **records** what it was made from and how a gradient
# goes back through it. `loss.backward()` then walks through this record from the end to the beginning.
# So any Python code can be differentiated: loops, branches, a tensor that is used twice.
#
# Here is such a record, a *tape*. Five operations are written for you. Each one notes pairs: a parent,
# and a function that turns the gradient of the result into the gradient of this parent.

# %% [markdown]
# ### Exercise 4.11: a tape
#
# Write three methods of `Tensor`:
#
# - `__matmul__`, the product `A @ B` of two matrices, and `relu` (slope 0 at 0), as the others are
#   written;
# - `backward()`, called on a tensor with one number: its own gradient is 1; then every tensor that it
#   was made from gets $\partial L/\partial$ of itself **added** to its `grad`.
#
# A tensor may be used more than once: in `y = a * a + a`, three ways lead from `y` to `a`. And a tensor
# in the middle must not pass its gradient on before it has received all of it. (Two calls of
# `backward()` may share tensors without parents, such as weights; others need not work.)
#
# <details><summary>Hint 1: the idea</summary>
#
# Two steps. First list all tensors that lead to the result in such an order that parents come before
# their children: visit a tensor's parents, then append the tensor itself, each one once. Then go through
# the list from the end to the beginning, and let each tensor add to its parents' gradients.
# </details>
#
# <details><summary>Hint 2: names</summary>
#
# A recursive inner function `visit(tensor)` and a set of those already seen (`id(tensor)`). The two
# functions of the matrix product are what `Linear.backward` does; mind that nothing is transposed in the
# forward pass here.
# </details>


# %%
# Exercise 4.11 - a tape
def fit(grad, shape):
    """Sum a gradient over the axes along which an array of this shape was repeated."""
    grad = grad.sum(axis=tuple(range(grad.ndim - len(shape))))
    return grad.sum(axis=tuple(k for k, n in enumerate(shape) if n == 1), keepdims=True)


class Tensor:
    """An array that remembers what it was made from."""

    def __init__(self, data, parents=()):
        self.data = np.asarray(data, dtype=float)
        self.grad = np.zeros_like(self.data)
        self.parents = parents  # pairs: a tensor, and how its gradient follows from mine

    def __add__(self, other):
        return Tensor(self.data + other.data, [
            (self, lambda g: fit(g, self.data.shape)), (other, lambda g: fit(g, other.data.shape)),
        ])  # fmt: skip

    def __mul__(self, other):
        return Tensor(self.data * other.data, [
            (self, lambda g: fit(g * other.data, self.data.shape)),
            (other, lambda g: fit(g * self.data, other.data.shape)),
        ])  # fmt: skip

    def sum(self, axis=None):
        data = self.data.sum(axis=axis, keepdims=axis is not None)
        return Tensor(data, [(self, lambda g: g * np.ones_like(self.data))])

    def exp(self):
        data = np.exp(self.data)
        return Tensor(data, [(self, lambda g: g * data)])

    def log(self):
        return Tensor(np.log(self.data), [(self, lambda g: g / self.data)])

    def __matmul__(self, other):
        raise NotImplementedError("4.11: the product and two pairs")

    def relu(self):
        raise NotImplementedError("4.11: the result and one pair")

    def backward(self):
        raise NotImplementedError("4.11: walk back through the record")


# %%
# Solution 4.11
def fit(grad, shape):
    """Sum a gradient over the axes along which an array of this shape was repeated."""
    grad = grad.sum(axis=tuple(range(grad.ndim - len(shape))))
    return grad.sum(axis=tuple(k for k, n in enumerate(shape) if n == 1), keepdims=True)


class Tensor:
    """An array that remembers what it was made from."""

    def __init__(self, data, parents=()):
        self.data = np.asarray(data, dtype=float)
        self.grad = np.zeros_like(self.data)
        self.parents = parents  # pairs: a tensor, and how its gradient follows from mine

    def __add__(self, other):
        return Tensor(self.data + other.data, [
            (self, lambda g: fit(g, self.data.shape)), (other, lambda g: fit(g, other.data.shape)),
        ])  # fmt: skip

    def __mul__(self, other):
        return Tensor(self.data * other.data, [
            (self, lambda g: fit(g * other.data, self.data.shape)),
            (other, lambda g: fit(g * self.data, other.data.shape)),
        ])  # fmt: skip

    def sum(self, axis=None):
        data = self.data.sum(axis=axis, keepdims=axis is not None)
        return Tensor(data, [(self, lambda g: g * np.ones_like(self.data))])

    def exp(self):
        data = np.exp(self.data)
        return Tensor(data, [(self, lambda g: g * data)])

    def log(self):
        return Tensor(np.log(self.data), [(self, lambda g: g / self.data)])

    def __matmul__(self, other):
        return Tensor(self.data @ other.data, [
            (self, lambda g: g @ other.data.T), (other, lambda g: self.data.T @ g),
        ])  # fmt: skip

    def relu(self):
        return Tensor(np.maximum(self.data, 0), [(self, lambda g: g * (self.data > 0))])

    def backward(self):
        order, seen = [], set()

        def visit(tensor):
            if id(tensor) not in seen:
                seen.add(id(tensor))
                for parent, _ in tensor.parents:
                    visit(parent)
                order.append(tensor)

        visit(self)
        self.grad = np.ones_like(self.data)
        for tensor in reversed(order):
            for parent, pull in tensor.parents:
                parent.grad = parent.grad + pull(tensor.grad)


# %% [markdown] tags=["solution"]
# <details><summary>Why this is so</summary>
#
# `order` has parents before children, so in reverse each tensor comes after everything that was made
# from it: when its turn comes, its gradient is complete. Without that order, a tensor in the middle that
# is used twice would pass on its first half, and then the first half again together with the second.
# PyTorch does the same, with a counter at each node instead of a list.
# </details>

# %%
with lk.check("4.11", "Tensor"):

    def _both(function, *arrays):
        """The gradients of one number by the tape and by PyTorch."""
        ours = [Tensor(a.copy()) for a in arrays]
        theirs = [torch.tensor(a, requires_grad=True) for a in arrays]
        result, expected = function(*ours), function(*theirs)
        assert result is not None, "an operation returns nothing: is `return` missing?"
        assert isinstance(result, Tensor), "an operation must return a Tensor"
        assert np.allclose(result.data, expected.detach()), "forward gives another value"
        result.backward()
        expected.backward()
        return [t.grad for t in ours], [t.grad.numpy() for t in theirs]

    def _agree(pairs, message):
        for got, true in zip(*pairs, strict=True):
            assert np.any(got) or not np.any(true), (
                f"{message}: no gradient arrives. Has the result its pairs of parent and function, "
                "and does the walk go from the end to the beginning?"
            )
            assert np.shape(got) == np.shape(true) and np.allclose(got, true), message

    _random = np.random.RandomState(0)
    _a, _b, _c = _random.randn(3, 4), _random.randn(4, 2), _random.randn(3, 2)
    _product = Tensor(_a) @ Tensor(_b)
    assert isinstance(_product, Tensor), "A @ B must return a Tensor; is `return` missing?"
    assert np.allclose(_product.data, _a @ _b), "A @ B gives another value than NumPy"
    _positive = Tensor(_a).relu()
    assert isinstance(_positive, Tensor), "relu must return a Tensor; is `return` missing?"
    assert np.any(_a < 0), "relu changes its tensor's own array: make a new one"
    _operands = Tensor(_a), Tensor(_b)
    _used = _operands[0] @ _operands[1], _operands[0].relu()
    assert all(np.array_equal(t.data, k) for t, k in zip(_operands, (_a, _b), strict=True)), (
        "@ or relu changes the tensor that it is called on: put the result into a new Tensor only"
    )
    assert np.allclose(_positive.data, np.maximum(_a, 0)), "relu: negative numbers become 0"
    _one = Tensor(3.0)
    _square = _one * Tensor(2.0)
    _square.backward()
    assert np.any(_one.grad), (
        "all gradients stay 0: backward begins with the gradient 1 of the tensor itself"
    )
    assert np.all(_square.grad == 1), (
        f"backward begins with the gradient 1 of the tensor itself, not with {_square.grad}"
    )
    _got, _true = _both(lambda a, b: (a * b).sum(), _a, _a + 1)
    assert not all(np.all(np.asarray(g) == 1) for g in _got), (
        "every tensor begins again with the gradient 1: only the one on which backward() was called "
        "does (so backward() cannot simply call itself)"
    )
    _agree((_got, _true), "backward through a product is wrong")
    _got, _true = _both(lambda a: (a * a).sum(), _a)
    assert not np.allclose(_got[0], _true[0] / 2), (
        "a tensor that is used twice gets two gradients: add (+=), do not replace"
    )
    _agree((_got, _true), "backward through a * a is wrong")
    try:
        _pairs = _both(lambda a, b, c: ((a @ b) * c).sum(), _a, _b, _c)
    except ValueError:
        raise AssertionError(
            "the shapes do not fit in backward of A @ B: G has the shape of the product; which "
            "transposes give the shapes of A and of B?"
        ) from None
    _agree(_pairs, "the gradients of A @ B are wrong: G Bᵀ and Aᵀ G")
    _sq = _random.randn(3, 3)
    _agree(_both(lambda a, b, c: ((a @ b) * c).sum(), _sq, _sq + 1, _sq * 2),
           "the gradients of A @ B are wrong for square matrices: which one is transposed?")  # fmt: skip
    _edge = np.array([[-1.0, 0.0, 2.0]])
    _got, _true = _both(lambda a, b: (a.relu() * b).sum(), _edge, np.array([[3.0, 5.0, -7.0]]))
    assert not np.allclose(_got[0], [[0, 5, -7]]), "relu's slope at exactly 0 is 0"
    assert not np.allclose(_got[0], [[0, 0, 1]]), "relu: multiply the slope by the gradient g"
    _agree((_got, _true), "backward through relu is wrong")

    def _middle(a, b):
        y = a * b
        for _ in range(4):
            y = y * y + y
        return (y + a).sum()

    _agree(_both(_middle, _b / 3, _b / 2), (
        "a tensor in the middle that is used twice passes its gradient on too early or more than "
        "once: put parents before children, then go backward"
    ))  # fmt: skip

    def _late(a, b):
        early = a * b  # made first, used last
        y = (a + b).exp()
        return ((y * early + y).log() * early).sum()

    _agree(_both(_late, np.abs(_b) + 0.1, np.abs(_b) + 1), (
        "the order of the walk is wrong: each tensor must come after all that was made from it"
    ))  # fmt: skip

    def _branches(a, b):
        y = a * b  # two branches of several steps each lead to y
        return (y.exp() * (y + b).exp()).sum()

    _agree(_both(_branches, _b / 3, _b / 2), (
        "the order of the walk is wrong: each tensor must come after all that was made from it, "
        "by every way (list a tensor after its parents, then go backward)"
    ))  # fmt: skip
    _agree(_both(lambda a, b: (a.exp() * b.exp()).sum(), _b, _b), (
        "two tensors with equal numbers are not the same tensor: id(tensor) tells them apart"
    ))  # fmt: skip
    _node = Tensor(2.0) * Tensor(3.0)
    (_node * _node).backward()
    assert np.allclose(_node.grad, 12), (
        "a tensor in the middle keeps its gradient as well: every tensor gets its own added"
    )

    def _network(x, v, b, w):
        return ((x @ v + b).relu() @ w).exp().sum(1).log().sum()

    _agree(_both(_network, _a, _b, np.array([0.1, -0.2]), _random.randn(2, 3)),
           "the gradients of a small network are wrong")  # fmt: skip
    _leaf = Tensor(2.0)
    (_leaf * _leaf).backward()
    (_leaf * Tensor(3.0)).backward()
    assert np.allclose(_leaf.grad, 7), (
        "the gradients of two losses must add up in a tensor that both use: 4 + 3 = 7"
    )

# %% [markdown]
# Your network of digits, written with plain operations, without a single layer. Three libraries, the
# same weights and the same batch: the tape, the layers, PyTorch.

# %% tags=["nbval-check-output"]
lk.seed_everything(2)
model, loss = make_network(), SoftmaxCrossEntropy()
x, y = next(batches(32))
loss.forward(model(x), y)
model.backward(loss.backward())

on_tape = {name: Tensor(array) for name, array in model.parameters().items()}


def logits_of(x, p, transpose):
    """Three linear layers and two ReLUs, in operations that the tape and PyTorch have."""
    for layer in (0, 2):
        x = (x @ transpose(p[f"{layer}.weight"]) + p[f"{layer}.bias"]).relu()
    return x @ transpose(p["4.weight"]) + p["4.bias"]


transposed = {n: Tensor(t.data.T) for n, t in on_tape.items() if n.endswith("weight")}
leaves = on_tape | transposed  # our Tensor has no transpose: the leaves hold it already
z = logits_of(Tensor(x), leaves, lambda w: w)
log_sum = z.exp().sum(1).log()
minus_one_hot = Tensor(-np.eye(10)[y])
mean_loss = ((z * minus_one_hot).sum(1) + log_sum).sum() * Tensor(1 / len(y))
mean_loss.backward()

weights = {n: torch.tensor(a, requires_grad=True) for n, a in model.parameters().items()}
their_loss = torch.nn.functional.cross_entropy(
    logits_of(torch.tensor(x), weights, torch.t), torch.tensor(y)
)
their_loss.backward()
for name, ours_own in model.gradients().items():
    on_the_tape = leaves[name].grad.T
    agree = np.allclose(on_the_tape, ours_own, rtol=0, atol=1e-10)
    agree &= np.allclose(weights[name].grad, ours_own, rtol=0, atol=1e-10)
    print(f"{name:9} tape, layers and PyTorch agree to 1e-10: {bool(agree)}")

# %% [markdown]
# And this is PyTorch's own record of the same loss, from the end towards the beginning. You wrote
# these names' counterparts: `NllLoss` and `LogSoftmax` are your cross-entropy, `Addmm` or `Mm` is `@`.

# %%
node, chain = their_loss.grad_fn, []
while node is not None and len(chain) < 8:
    chain.append(type(node).__name__.removesuffix("0").removesuffix("Backward"))
    node = next((parent for parent, _ in node.next_functions if parent is not None), None)
print(" ← ".join(chain))

# %% [markdown]
# ## What to take away
#
# - A layer needs a forward and a backward; the chain rule does the rest.
# - Every gradient has the shape of what it belongs to.
# - The mean belongs to the loss, and nowhere else.
# - Central differences tell whether `backward` belongs to `forward`, where you try them: every parameter,
#   and the input. Whether `forward` is right they cannot tell.
# - Before training: the first loss should be near $\ln(\text{classes})$, and one batch can be learnt by
#   heart.
# - PyTorch records each operation and walks the record backward. Your tape does so in about fifty
#   lines.
#
# **Write down, in two or three sentences each:**
#
# 1. Your network learns, but slowly. Which mistake of this lab would look exactly like that?
# 2. Why does `backward` add to the gradients instead of replacing them, and who clears them?
# 3. In which two ways would a forgotten `eval()` spoil the accuracy of a network with dropout and batch
#    normalisation?
# 4. What can the tape do that a `Sequential` cannot?

# %% [markdown] tags=["solution"]
# <details><summary>Model answers</summary>
#
# 1. A second division by the batch size, in the layer as well as in the loss: all gradients point
#    the right way and are too small. The gradient check shows it at once.
# 2. A parameter may be used more than once in a network, and then its gradients add up; several
#    small batches may also be summed before one step. The loop clears them, with `zero_grad()`.
# 3. Dropout would go on dropping, so predictions would be noisy and, on the whole, worse. Batch
#    normalisation would use the statistics of the test batch: the prediction for an image would depend
#    on its neighbours, and the running averages would go on moving.
# 4. Use a result twice (a shortcut around a layer), loop or branch in Python, have several inputs: any
#    graph, not only a chain.
# </details>

# %% [markdown]
# ## The results of this lab

# %%
lk.report_result("test accuracy", result, f"NumPy network, {EPOCHS} epochs, one seed")

# %%
lk.progress()
