# %% [markdown]
# # Lab 04 · A deep-learning library in NumPy
#
# **You will learn** what PyTorch does when you call `loss.backward()`: you write the layers, the
# losses, the optimiser and the check of every gradient yourself, in NumPy alone.
#
# **You should know** NumPy, matrix products, the chain rule, and lab 02 (a training loop).
#
# **Time:** about three hours. All cells together compute for about half a minute on a laptop.

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
# <details><summary>Hint</summary>
#
# `module(x)` runs `module.__call__(x)`. Two of the methods are one line each; `return {}` makes an
# empty dict.
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
# `torch.nn.Module` does the same and a good deal more. The flag `training` matters to layers such
# as dropout and batch normalisation; ours have no use for it yet, but a loop that switches it
# works with every layer that will.
# </details>

# %%
with lk.check("4.1", "Module"):

    class _Double(Module):
        def forward(self, x):
            return 2 * x

    _module = _Double()
    assert _module.training is True, "a new module is in training mode"
    assert _module(3) == 6, "calling a module must return what forward returns"
    _module.eval()
    assert _module.training is False, "eval() must set self.training to False"
    _module.train()
    assert _module.training is True, "train() must set self.training to True"
    assert _module.parameters() == {}, "without parameters, parameters() returns an empty dict"
    assert _module.gradients() == {}, "without parameters, gradients() returns an empty dict"

# %% [markdown]
# ## The linear layer
#
# A batch $X$ has one image a row: shape $(B, \text{in})$. The weight $W$ has the shape
# $(\text{out}, \text{in})$, as in PyTorch, and $b$ has $(\text{out},)$.
#
# $$Y = X W^\top + b$$
#
# With $G = \partial L/\partial Y$, of the same shape as $Y$, the chain rule gives
#
# $$\frac{\partial L}{\partial W} = G^\top X \qquad
# \frac{\partial L}{\partial b} = \sum_{i} G_{i} \qquad
# \frac{\partial L}{\partial X} = G\, W$$
#
# Check the shapes: each gradient has the shape of what it belongs to. There is only one way to
# multiply the matrices so that this comes out.
#
# **A trap:** the mean over the batch belongs to the *loss*. If the layer divides by $B$ as well,
# all gradients are too small by that factor, and the network still learns, only slowly.

# %% [markdown]
# ### Exercise 4.2: `Linear`
#
# Weights start as He et al. (2015) propose for ReLU: normal with standard deviation
# $\sqrt{2/\text{in}}$; biases start at zero. The keys of both dicts are `"weight"` and `"bias"`.
# `backward` **adds** to the gradients, as in PyTorch, and returns $\partial L/\partial X$.
#
# <details><summary>Hint</summary>
#
# Keep the input: `self.x = x`. Make `self.grad_weight = np.zeros_like(self.weight)` once in
# `__init__`, then `self.grad_weight += grad.T @ self.x` in `backward`.
# </details>


# %%
# Exercise 4.2 - the linear layer
class Linear(Module):
    def __init__(self, fan_in, fan_out):
        super().__init__()
        self.weight = ...
        self.bias = ...

    def forward(self, x):
        raise NotImplementedError("4.2: Y = X Wᵀ + b")

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
# $(G^\top X)_{jk}$. The bias enters every row, so its gradient sums over the rows.
# </details>

# %%
with lk.check("4.2", "Linear"):
    np.random.seed(0)
    _layer = Linear(400, 300)
    assert set(_layer.parameters()) == {"weight", "bias"}, 'the keys are "weight" and "bias"'
    _w, _b = _layer.parameters()["weight"], _layer.parameters()["bias"]
    assert np.shape(_w) == (300, 400), f"the weight is (out, in) = (300, 400), not {np.shape(_w)}"
    assert np.shape(_b) == (300,) and not np.any(_b), "the bias is (out,) and starts at zero"
    _ratio = np.std(_w) / np.sqrt(2 / 400)
    assert not 0.95 < _ratio * np.sqrt(300 / 400) < 1.05, "He divides by fan_in, not by fan_out"
    assert 0.97 < _ratio < 1.03, f"the weights' standard deviation is {_ratio:.2f} x sqrt(2 / in)"
    _layer = Linear(3, 2)
    _x, _g = np.random.randn(5, 3), np.random.randn(5, 2)
    _w, _b = _layer.parameters()["weight"], _layer.parameters()["bias"]
    _b += np.array([0.5, -1.0])
    _y = _layer.forward(_x)
    assert isinstance(_y, np.ndarray), "forward must return the output; is `return` missing?"
    assert np.shape(_y) == (5, 2), f"5 rows in, 2 outputs: (5, 2), not {np.shape(_y)}"
    assert not np.allclose(_y, _x @ _w.T), "forward leaves the bias out"
    assert np.allclose(_y, _x @ _w.T + _b), "forward is not X Wᵀ + b (with the present weights)"
    _back = _layer.backward(_g)
    assert _back is not None, "backward must return the gradient of the input"
    _grads = _layer.gradients()
    assert set(_grads) == {"weight", "bias"}, "gradients() needs the same keys as parameters()"
    assert np.shape(_grads["weight"]) == (2, 3), "the weight's gradient has the weight's shape"
    assert not np.allclose(_grads["weight"], _g.T @ _x / 5), (
        "the gradient is divided by the batch size: the mean belongs to the loss"
    )
    assert np.allclose(_grads["weight"], _g.T @ _x), "the weight's gradient is not Gᵀ X"
    assert np.allclose(_grads["bias"], _g.sum(0)), "the bias' gradient is the sum over the rows"
    assert np.shape(_back) == (5, 3) and np.allclose(_back, _g @ _w), "backward returns G W"
    _layer.backward(_g)
    assert np.allclose(_layer.gradients()["weight"], 2 * _g.T @ _x), (
        "a second backward must add to the gradients, not replace them"
    )

# %% [markdown]
# ## Activations
#
# An activation works on each number by itself: $y = f(x)$. So its backward is a plain product,
#
# $$\frac{\partial L}{\partial x} = \frac{\partial L}{\partial y} \cdot f'(x)$$
#
# $$\text{ReLU}' = \begin{cases}1 & x > 0\\0 & x \le 0\end{cases} \qquad
# \tanh' = 1 - \tanh^2 \qquad \sigma' = \sigma\,(1 - \sigma)$$

# %% [markdown]
# ### Exercise 4.3: `ReLU`, `Tanh` and `Sigmoid`
#
# Tanh and the sigmoid need only their *output* for the backward pass. The sigmoid must not
# overflow: `np.exp(1000)` is infinite and warns.
#
# <details><summary>Hint</summary>
#
# $\sigma(x) = \tfrac12\,(1 + \tanh(x/2))$ never overflows. In `ReLU`, keep `self.positive = x > 0`.
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
# are near 0, and little gradient gets through. Lab 03 measures what that does to deep networks.
# </details>

# %%
with lk.check("4.3", "ReLU", "Tanh", "Sigmoid"):
    _x = np.array([[-2.0, -0.5, 0.3], [1.5, 3.0, -1.0]])
    _g = np.array([[1.0, -2.0, 3.0], [0.5, 1.0, -1.0]])
    for _kind in (ReLU, Tanh, Sigmoid):
        _name, _layer, _keep = _kind.__name__, _kind(), _x.copy()
        _t = torch.tensor(_x, requires_grad=True)
        _true = getattr(torch, _name.lower())(_t)
        _true.backward(torch.tensor(_g))
        _y = _layer.forward(_x)
        assert isinstance(_y, np.ndarray), f"{_name}.forward must return an array"
        assert np.array_equal(_x, _keep), f"{_name} changes its input: make a new array"
        assert np.allclose(_y, _true.detach()), f"{_name}.forward gives other values than PyTorch"
        _got = _layer.backward(_g)
        assert isinstance(_got, np.ndarray), f"{_name}.backward must return an array"
        _slope = _t.grad.numpy() / _g
        assert not np.allclose(_got, _slope) or np.allclose(_slope, _t.grad), (
            f"{_name}.backward returns the slope alone: multiply by grad"
        )
        assert np.allclose(_got, _t.grad), f"{_name}.backward is not grad times the slope at x"
    with np.errstate(over="raise", divide="raise", invalid="raise"):
        try:
            _far = Sigmoid().forward(np.array([-1000.0, 1000.0]))
        except FloatingPointError:
            _far = None
    assert _far is not None, "Sigmoid overflows for -1000 or 1000: see the hint"
    assert np.allclose(_far, [0, 1]), "sigmoid(-1000) is 0 and sigmoid(1000) is 1"
    assert np.array_equal(ReLU().forward(np.zeros(2)), np.zeros(2)), "ReLU(0) is 0"

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
# $$L = \frac1N \sum (p - t)^2 \qquad \frac{\partial L}{\partial p} = \frac{2}{N}\,(p - t)$$

# %% [markdown]
# ### Exercise 4.4: `MSELoss`
#
# <details><summary>Hint</summary>
#
# Keep `self.difference = prediction - target`. `self.difference.size` is $N$.
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
    _p, _t = np.arange(12.0).reshape(4, 3) / 5, np.ones((4, 3))
    _loss = MSELoss()
    _got = _loss.forward(_p, _t)
    assert np.ndim(_got) == 0, "the loss is one number: take the mean over everything"
    assert not np.isclose(_got, np.sum((_p - _t) ** 2)), "this is the sum: take the mean"
    assert not np.isclose(_got, np.sum((_p - _t) ** 2) / 4), (
        "divide by the number of all numbers, 4 · 3, not by the batch size alone"
    )
    assert np.isclose(_got, np.mean((_p - _t) ** 2)), "this is not the mean squared error"
    _grad = _loss.backward()
    assert np.shape(_grad) == (4, 3), "backward returns an array of the prediction's shape"
    assert not np.allclose(_grad, -2 * (_p - _t) / 12), "the sign is wrong: prediction - target"
    assert not np.allclose(_grad, (_p - _t) / 12), "a factor of 2 is missing"
    assert not np.allclose(_grad, 2 * (_p - _t)), "the mean is missing in backward"
    assert not np.allclose(_grad, 2 * (_p - _t) / 4), "divide by 4 · 3, not by the batch size"
    assert np.allclose(_grad, 2 * (_p - _t) / 12), "backward is not 2 (p - t) / N"

# %% [markdown]
# ## Softmax and cross-entropy, together
#
# For one image with logits $z$ and true class $c$:
#
# $$p_k = \frac{e^{z_k}}{\sum_j e^{z_j}} \qquad L = -\log p_c = -z_c + \log\sum_j e^{z_j}$$
#
# The derivative is as short as it gets: **what was predicted minus what was right**.
#
# $$\frac{\partial L}{\partial z_k} = p_k - [k = c]$$
#
# For a batch, the loss is the mean over its $B$ images, so the gradient is divided by $B$.
#
# **A trap:** $e^{1000}$ is infinite. Subtract the largest logit of each row first. It changes
# nothing: top and bottom of the fraction are divided by the same number.

# %% [markdown]
# ### Exercise 4.5: `SoftmaxCrossEntropy`
#
# `targets` are class numbers (B,) or one-hot rows (B, C): accept both.
#
# <details><summary>Hint</summary>
#
# `z = logits - logits.max(axis=1, keepdims=True)`, then
# `log_p = z - np.log(np.exp(z).sum(axis=1, keepdims=True))`. `np.eye(C)[targets]` makes one-hot
# rows of class numbers. The loss is `-(one_hot * log_p).sum() / B`.
# </details>


# %%
# Exercise 4.5 - softmax and cross-entropy
class SoftmaxCrossEntropy:
    def forward(self, logits, targets):
        raise NotImplementedError("4.5: the mean over the images")

    def backward(self):
        raise NotImplementedError("4.5: (p - one_hot) / B")


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
    np.random.seed(0)
    _z, _c = np.random.randn(6, 4) * 2, np.array([0, 1, 2, 3, 3, 1])
    _t = torch.tensor(_z, requires_grad=True)
    _true = torch.nn.functional.cross_entropy(_t, torch.tensor(_c))
    _true.backward()
    _loss, _keep = SoftmaxCrossEntropy(), _z.copy()
    _got = _loss.forward(_z, _c)
    assert np.ndim(_got) == 0, "the loss is one number"
    assert np.array_equal(_z, _keep), "forward changes the logits: make a new array"
    assert not np.isclose(_got, 6 * _true.item()), "this is the sum: take the mean over the images"
    assert not np.isclose(_got, _true.item() / 4), (
        "divide by the number of images, not of all numbers"
    )
    assert not np.isclose(_got, -_true.item()), "the sign is wrong: L = -log p"
    assert np.isclose(_got, _true.item()), f"the loss is {_true.item():.4f}, not {_got:.4f}"
    _grad = _loss.backward()
    assert np.shape(_grad) == (6, 4), "backward returns an array of the logits' shape"
    assert not np.allclose(_grad, 6 * _t.grad), "the gradient is too large: divide by the batch"
    assert not np.allclose(_grad, -_t.grad), "the sign is wrong: p minus one-hot"
    assert np.allclose(_grad, _t.grad), "the gradient is not (p - one_hot) / B"
    _one_hot = np.eye(4)[_c]
    assert np.isclose(SoftmaxCrossEntropy().forward(_z, _one_hot), _true.item()), (
        "one-hot targets must give the same loss as class numbers"
    )
    with np.errstate(all="ignore"):
        _far = SoftmaxCrossEntropy().forward(np.array([[1000.0, 0.0], [0.0, -1000.0]]), [0, 0])
        _lost = SoftmaxCrossEntropy().forward(np.array([[0.0, 1000.0]]), np.array([0]))
    assert np.isfinite(_far) and np.isclose(_far, 0), (
        "logits of 1000 overflow: subtract the maximum"
    )
    assert np.isclose(_lost, 1000), "a loss of 1000 came out as another: take the log of the sum"

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
# <details><summary>Hint</summary>
#
# `for i, layer in enumerate(self.layers)`, `for name, value in layer.parameters().items()`, and the
# key is `f"{i}.{name}"`. `reversed(self.layers)` goes backward.
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
    np.random.seed(0)
    _net = Sequential(Linear(3, 4), Tanh(), Linear(4, 2))
    _keys = ["0.weight", "0.bias", "2.weight", "2.bias"]
    assert sorted(_net.parameters()) == sorted(_keys), (
        f"the keys must be {', '.join(_keys)}, not {', '.join(_net.parameters())}"
    )
    assert sorted(_net.gradients()) == sorted(_keys), "gradients() needs the same keys"
    _first = _net.layers[0]
    assert _net.parameters()["0.weight"] is _first.parameters()["weight"], (
        "parameters() returns copies: the optimiser must reach the layer's own arrays"
    )
    assert _net.gradients()["2.bias"] is _net.layers[2].gradients()["bias"], (
        "gradients() returns copies or other arrays than the layers'"
    )
    _x, _g = np.random.randn(5, 3), np.random.randn(5, 2)
    _y = _net(_x)
    assert _y is not None, "forward must return the last layer's output"
    _p = {k: torch.tensor(v, requires_grad=True) for k, v in _net.parameters().items()}
    _t = torch.tensor(_x, requires_grad=True)
    _hidden = torch.tanh(_t @ _p["0.weight"].T + _p["0.bias"])
    _true = _hidden @ _p["2.weight"].T + _p["2.bias"]
    assert np.shape(_y) == (5, 2) and np.allclose(_y, _true.detach()), (
        "forward must go through all layers in order"
    )
    _true.backward(torch.tensor(_g))
    try:
        _back = _net.backward(_g)
    except ValueError:
        raise AssertionError("the shapes do not fit in backward: is it in reverse order?") from None
    assert _back is not None, "backward must return the gradient of the network's input"
    for _k in _keys:
        assert np.allclose(_net.gradients()[_k], _p[_k].grad), f"the gradient of {_k} is wrong"
    assert np.allclose(_back, _t.grad), "backward must hand the gradient from layer to layer"
    _net.eval()
    assert not _net.training and not any(m.training for m in _net.layers), (
        "eval() must reach every layer"
    )
    _net.train()
    assert _net.training and all(m.training for m in _net.layers), "train() must reach every layer"
    _nested = Sequential(Sequential(Linear(2, 2)), ReLU())
    assert set(_nested.parameters()) == {"0.0.weight", "0.0.bias"}, (
        'a Sequential inside a Sequential has keys like "0.0.weight"'
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
# single parameter**, the gradient is right. The relative error of two numbers is
#
# $$\frac{|a - b|}{\max(|a| + |b|,\; 10^{-3})}$$
#
# The $10^{-3}$ keeps numbers that are almost zero from being measured against themselves: there,
# rounding alone would look like a large error.

# %% [markdown]
# ### Exercise 4.7: `gradient_check`
#
# Return the **largest relative error** over every parameter and every number of the input `x`.
# Leave parameters and input as you found them. Set the gradients to zero first: `backward` adds.
#
# <details><summary>Hint</summary>
#
# `for index in np.ndindex(array.shape)` visits each number: keep the old value, set `old + epsilon`
# and `old - epsilon`, compute the loss each time, put the old value back. Treat `x` like a
# parameter whose gradient is what `model.backward(loss.backward())` returns.
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

    class _Spoilt(Linear):
        """A linear layer whose gradients are wrong by a factor."""

        factor, part = 1.0, "weight"

        def backward(self, grad):
            before = {k: v.copy() for k, v in self.gradients().items()}
            back = super().backward(grad)
            if self.part == "input":
                return back * self.factor
            own = self.gradients()[self.part]
            own[...] = before[self.part] + (own - before[self.part]) * self.factor
            return back

    def _net(part="weight", factor=1.0):
        np.random.seed(1)
        layer = _Spoilt(4, 3)
        layer.part, layer.factor = part, factor
        return Sequential(layer, Tanh(), Linear(3, 3))

    _x, _c = np.random.RandomState(0).randn(5, 4), np.array([0, 1, 2, 0, 1])
    _good, _keep = _net(), _x.copy()
    _before = {k: v.copy() for k, v in _good.parameters().items()}
    _error = gradient_check(_good, SoftmaxCrossEntropy(), _x, _c)
    assert np.ndim(_error) == 0 and _error is not None, "return one number, the largest error"
    assert np.array_equal(_x, _keep), "the input was changed: put each number back"
    assert all(np.array_equal(_before[k], v) for k, v in _good.parameters().items()), (
        "the parameters were changed: put each number back"
    )
    assert _error < 1e-6, (
        f"a right gradient shows an error of {_error:.1e}: it should be below 1e-7"
    )
    assert gradient_check(_good, SoftmaxCrossEntropy(), _x, _c) < 1e-6, (
        "called twice, it reports an error: set the gradients to zero first"
    )
    assert gradient_check(_good, MSELoss(), _x, np.ones((5, 3))) < 1e-6, (
        "with MSELoss a right gradient shows an error"
    )
    for _part in ("weight", "bias", "input"):
        _error = gradient_check(_net(_part, 1.5), SoftmaxCrossEntropy(), _x, _c)
        assert _error > 1e-4, f"a wrong gradient of the {_part} goes unnoticed"
        assert np.isclose(_error, 0.2, atol=0.02), (
            f"the relative error is {_error:.2f}, but by the formula above it is 0.20 here"
        )

# %% [markdown]
# Now every layer, with both losses. All errors must be below 1e-7. A layer that divides by the
# batch size could pass with a loss that forgets to: only checking **both** losses shows it.

# %% tags=["nbval-check-output"]
np.random.seed(0)
small = np.random.randn(6, 5)
numbers, classes = np.random.randn(6, 3), np.array([0, 1, 2, 2, 1, 0])
for activation in (ReLU, Tanh, Sigmoid):
    for loss, target in ((MSELoss(), numbers), (SoftmaxCrossEntropy(), classes)):
        net = Sequential(Linear(5, 4), activation(), Linear(4, 3))
        error = gradient_check(net, loss, small, target)
        print(f"{activation.__name__:8} {type(loss).__name__:20} below 1e-7: {error < 1e-7}")

# %% [markdown]
# ## The optimiser
#
# Stochastic gradient descent with momentum $\mu$ keeps a running sum $v$ of past gradients:
#
# $$v \leftarrow \mu\, v + g \qquad w \leftarrow w - \eta\, v$$
#
# With $\mu = 0$ this is plain gradient descent.

# %% [markdown]
# ### Exercise 4.8: `SGD`
#
# `SGD(model, lr, momentum)`: `step()` changes the parameters **in place**, `zero_grad()` sets the
# gradients to zero in place.
#
# <details><summary>Hint</summary>
#
# `w = w - lr * g` makes a new array that the layer never sees. `w -= lr * g` changes the layer's
# own. Keep one array `v` a parameter in a dict with the same keys.
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
# times as long in directions that stay the same, and cancels those that keep changing sign. This is
# PyTorch's form; in some books the learning rate stands inside $v$.
# </details>

# %%
with lk.check("4.8", "SGD"):
    for _momentum in (0.0, 0.9):
        np.random.seed(0)
        _net = Sequential(Linear(3, 2))
        _w = torch.tensor(_net.parameters()["0.weight"], requires_grad=True)
        _b = torch.tensor(_net.parameters()["0.bias"], requires_grad=True)
        _true = torch.optim.SGD([_w, _b], lr=0.1, momentum=_momentum)
        _ours = SGD(_net, 0.1, _momentum)
        _own = _net.layers[0].parameters()["weight"]
        for _step in range(3):
            _x = np.random.randn(4, 3)
            _ours.zero_grad()
            assert not any(np.any(g) for g in _net.gradients().values()), (
                "zero_grad() leaves gradients: set them to zero in place"
            )
            _net(_x)
            _net.backward(np.ones((4, 2)))
            _ours.step()
            _true.zero_grad()
            (torch.tensor(_x) @ _w.T + _b).sum().backward()
            _true.step()
            _now = _net.parameters()["0.weight"]
            if _step == 0:
                assert _now is _own, "step() must change the layer's own array (w -= …)"
                _up = np.allclose(_now - _w.detach().numpy(), 2 * 0.1 * _x.sum(0), atol=1e-9)
                assert not _up, "the step goes uphill: subtract"
            assert np.allclose(_now, _w.detach()), (
                "with momentum 0 the step is not w -= lr · g"
                if _momentum == 0
                else "with momentum 0.9 the steps differ from v = 0.9 v + g, w -= lr · v"
            )
            assert np.allclose(_net.parameters()["0.bias"], _b.detach()), "the bias does not move"

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
# The loop is the one of lab 02. Only now each line is yours, down to the last derivative.
# `LivePlot` takes reports from any loop.

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
# Ten random test images with the prediction: ✓ right (green), ✗ wrong (red).

# %%
chosen = np.random.default_rng(0).choice(len(result.labels), 10, replace=False)
figure, axes = lk.figures.new_figure(1, 10, 1.9, mnist.origin)
for ax, i in zip(axes[0], chosen, strict=True):
    right = result.predicted[i] == result.labels[i]
    ax.imshow(mnist.test.images[i, 0], cmap="gray")
    colour = "#1a7f37" if right else "#cf222e"
    ax.set_title(f"{'✓' if right else '✗'} {mnist.classes[result.predicted[i]]}", color=colour)
    ax.set_axis_off()
figure

# %% [markdown]
# ## Is it the same as PyTorch?
#
# Same weights, same batches, float64: the arithmetic is the same, only the order of the additions
# may differ, and with it the last digit. So after a few steps the weights must agree to 1e-10.

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
# And the time? One epoch each over the same batches. PyTorch computes in float32 by default, which
# moves half as many bytes. Run the cell twice: the times vary, so look at the ratio.


# %%
def seconds(train_on_batch):
    start = time.perf_counter()
    for x, y in batches():
        train_on_batch(x, y)
    return time.perf_counter() - start


def numpy_step(x, y):
    loss.forward(ours(x), y)
    our_sgd.zero_grad()
    ours.backward(loss.backward())
    our_sgd.step()


theirs = theirs.float()
their_sgd = torch.optim.SGD(theirs.parameters(), lr=0.1, momentum=0.9)


def torch_step(x, y):
    logits = theirs(torch.tensor(x, dtype=torch.float32))
    their_sgd.zero_grad()
    torch.nn.functional.cross_entropy(logits, torch.tensor(y)).backward()
    their_sgd.step()


in_numpy, in_torch = seconds(numpy_step), seconds(torch_step)
print(f"NumPy {in_numpy:.2f} s, PyTorch {in_torch:.2f} s an epoch: ratio {in_numpy / in_torch:.2f}")

# %% [markdown]
# ## What to take away
#
# - A layer needs a forward and a backward; the chain rule does the rest.
# - Every gradient has the shape of what it belongs to.
# - The mean belongs to the loss, and nowhere else.
# - Central differences find every wrong derivative: check before you train.
#
# **Write down, in two or three sentences each:**
#
# 1. Your network learns, but slowly. Which mistake of this lab would look exactly like that?
# 2. Why does `backward` add to the gradients instead of replacing them, and who clears them?
# 3. What would you have to write for a dropout layer, and what would `eval()` change?

# %% [markdown] tags=["solution"]
# <details><summary>Model answers</summary>
#
# 1. A second division by the batch size, in the layer as well as in the loss: all gradients point
#    the right way and are too small. The gradient check shows it at once.
# 2. A parameter may be used more than once in a network, and then its gradients add up; several
#    small batches may also be summed before one step. The loop clears them, with `zero_grad()`.
# 3. Forward draws a mask, multiplies by it and divides by the share that is kept; backward
#    multiplies by the same mask. After `eval()` both do nothing.
# </details>

# %%
lk.report_result("test accuracy", result, f"NumPy network, {EPOCHS} epochs, one seed")
