# %% [markdown]
# # Lab 00 · The mathematics, checked by machine
#
# **You will learn** to derive the gradients that all later labs live on, to check each of them
# against PyTorch's automatic differentiation (*autograd*), and to write the optimiser Adam. At the
# end your own gradient and your own optimiser learn to read handwritten digits.
#
# **You should know** Python, NumPy, partial derivatives, and how to multiply matrices.
#
# **Time:** about three hours with pencil and paper. All cells together compute for less than a
# minute.

# %%
import numpy as np
import pandas as pd
import torch
import torch.nn.functional as F
from threadpoolctl import threadpool_limits

import labkit as lk

threadpool_limits(1, user_api="blas")  # small matrices: NumPy's threads only wait for each other
EPOCHS = 1 if lk.settings.fast() else 4  # fast mode: a quick test run of the whole lab
COLOURS = lk.figures.PALETTE
lk.seed_everything(42)

# %% [markdown]
# You write each formula in NumPy. PyTorch is only the judge: it differentiates by machine, and the
# two must agree.
#
# ## Softmax with a temperature
#
# A classifier gives one number a class, the **logits** $z$. The softmax turns them into
# probabilities $y$. The **temperature** $\tau > 0$ sets how far apart they are:
#
# $$y_i = \frac{e^{z_i/\tau}}{\sum_k e^{z_k/\tau}}$$
#
# The same four logits at four temperatures. What changes, and what does not?

# %%
logits = np.array([2.0, 1.0, 0.1, -1.0])
figure, axes = lk.figures.new_figure(1, 4, 2.6, "four logits, chosen by hand", sharey=True)
for ax, tau in zip(axes[0], (0.25, 1, 4, 50), strict=True):
    y = torch.softmax(torch.tensor(logits) / tau, 0)
    bars = ax.bar(range(4), y, color=COLOURS[0])
    ax.bar_label(bars, fmt="%.2f", fontsize=8)
    ax.set(title=f"temperature {tau}", xlabel="class", ylim=(0, 1.12))
axes[0, 0].set_ylabel("probability")
figure

# %% [markdown]
# The order of the classes stays the same at every temperature. A low temperature sharpens, a high
# one flattens.
#
# ### The derivative
#
# How does each probability change with each logit? Take the logarithm first:
#
# $$\log y_i = \frac{z_i}{\tau} - \log \sum_k e^{z_k/\tau}$$
#
# Differentiate by $z_j$. The second term gives $\frac{1}{\tau} y_j$ (do it on paper), so
#
# $$\frac{\partial \log y_i}{\partial z_j} = \frac{1}{\tau}\left(\delta_{ij} - y_j\right),$$
#
# where $\delta_{ij}$ is 1 for $i = j$ and 0 otherwise. Since
# $\frac{\partial y_i}{\partial z_j} = y_i \, \frac{\partial \log y_i}{\partial z_j}$,
#
# $$\frac{\partial y_i}{\partial z_j} = \frac{1}{\tau}\left(y_i \delta_{ij} - y_i y_j\right)
# \qquad\text{or}\qquad
# J = \frac{1}{\tau}\left(\operatorname{diag}(y) - y\,y^\top\right).$$

# %% [markdown]
# ### Exercise 0.1: softmax and its Jacobian
#
# Write `softmax(logits, temperature)`: the classes lie on the **last** axis, so that it takes one
# row (C,) or many (N, C). It must survive a logit of 1000. Then write
# `softmax_jacobian(logits, temperature)`, which gives the matrix $J$ (C, C) for one row (C,).
#
# <details><summary>Hint</summary>
#
# Subtracting the same number from all logits changes nothing: it cancels. Subtract the largest one,
# and no `exp` can overflow. `keepdims=True` keeps an axis for broadcasting. `np.diag(y)` makes a
# diagonal matrix, `np.outer(y, y)` is $y\,y^\top$.
# </details>


# %%
# Exercise 0.1 - softmax and its Jacobian
def softmax(logits, temperature=1.0):
    raise NotImplementedError("0.1: probabilities, along the last axis")


def softmax_jacobian(logits, temperature=1.0):
    raise NotImplementedError("0.1: the matrix J")


# %%
# Solution 0.1
def softmax(logits, temperature=1.0):
    scaled = logits / temperature
    exponentials = np.exp(scaled - scaled.max(axis=-1, keepdims=True))
    return exponentials / exponentials.sum(axis=-1, keepdims=True)


def softmax_jacobian(logits, temperature=1.0):
    y = softmax(logits, temperature)
    return (np.diag(y) - np.outer(y, y)) / temperature


# %% [markdown] tags=["solution"]
# <details><summary>Why this is so</summary>
#
# Numerator and denominator are both divided by $e^{\max z/\tau}$, which changes nothing, but now
# the largest exponent is 0. $J$ is symmetric, and each of its rows adds up to
# $\frac{1}{\tau}(y_i - y_i \sum_j y_j) = 0$: raising all logits together changes nothing.
# </details>

# %%
with lk.check("0.1", "softmax", "softmax_jacobian"):

    def _array(value, shape, name):
        """The value as floats of this shape, or an assertion that says what came instead."""
        assert value is not None, f"{name} gives None: is `return` missing?"
        assert value is not ..., f"{name} still gives `...`"
        parts = value if isinstance(value, tuple | list) else [value]
        parts = [v.detach().cpu() if isinstance(v, torch.Tensor) else v for v in parts]
        value = parts if isinstance(value, tuple | list) else parts[0]
        try:
            value = np.asarray(value, dtype=float)
        except (TypeError, ValueError):
            raise AssertionError(f"{name} must give numbers in an array") from None
        if value.squeeze().shape == tuple(side for side in shape if side != 1):
            value = value.reshape(shape)
        assert value.shape == shape, f"{name} has the shape {value.shape}; it must be {shape}"
        assert np.isfinite(value).all(), f"{name} holds NaN or infinity"
        return value

    def _near(a, b, tolerance=1e-6):
        return np.allclose(a, b, rtol=tolerance, atol=tolerance)

    _z = np.array([[2.0, 1.0, 0.1, -1.0], [0.0, 3.0, -2.0, 1.0]])
    for _tau in (1.0, 0.5, 4.0):
        _true = torch.softmax(torch.tensor(_z) / _tau, -1).numpy()
        _y = _array(softmax(_z.copy(), _tau), (2, 4), "softmax of two rows of four")
        if _tau != 1:
            _times = torch.softmax(torch.tensor(_z) * _tau, -1)
            assert not _near(_y, _times), "divide the logits by the temperature, do not multiply"
            _none = torch.softmax(torch.tensor(_z), -1)
            assert not _near(_y, _none), "the temperature changes nothing: divide the logits by it"
        assert not _near(_y.sum(), 1), "the whole array adds up to 1: sum along the last axis only"
        assert _near(_y.sum(-1), 1), "each row must add up to 1: sum along the last axis"
        assert _near(_y, _true), f"softmax differs from PyTorch's by {abs(_y - _true).max():.2g}"
        assert _near(_array(softmax(_z[0].copy(), _tau), (4,), "softmax of one row"), _true[0]), (
            "softmax is right for two rows, but not for one: use the last axis, axis=-1"
        )
    with np.errstate(all="ignore"):
        _y = np.asarray(softmax(np.array([1000.0, 999.0]), 1.0), dtype=float)
    assert np.isfinite(_y).all(), "exp(1000) overflows: subtract the largest logit first"
    assert _near(_y, [0.7310586, 0.2689414]), "logits of 1000 and 999 give wrong probabilities"
    for _tau in (1.0, 0.5, 4.0):
        _row = torch.tensor(_z[0])
        _true = torch.autograd.functional.jacobian(lambda z, t=_tau: torch.softmax(z / t, 0), _row)
        _true, _y = _true.numpy(), torch.softmax(_row / _tau, 0).numpy()
        _j = _array(softmax_jacobian(_z[0].copy(), _tau), (4, 4), "softmax_jacobian of 4 logits")
        assert not _near(_j, -_true), "the sign is wrong: diag(y) minus y yᵀ"
        assert _tau == 1 or not _near(_j, _true * _tau), "the factor 1/τ is missing"
        assert _tau == 1 or not _near(_j, _true / _tau), "the factor 1/τ is there twice"
        assert not _near(_j, np.diag(np.diag(_true))), "off the diagonal there must be −y_i y_j/τ"
        assert not _near(_j, np.diag(_y) / _tau), "y yᵀ is missing"
        assert _near(_j, _true), f"J differs from autograd's by {abs(_j - _true).max():.2g}"

# %% [markdown]
# Your Jacobian and autograd's, in numbers:

# %% tags=["nbval-check-output"]
by_hand = softmax_jacobian(logits, 2.0)
by_machine = torch.autograd.functional.jacobian(
    lambda z: torch.softmax(z / 2.0, 0), torch.tensor(logits)
).numpy()
print("J at temperature 2:")
print(np.round(by_hand, 4))
print("equal to autograd to 1e-12:", bool(np.abs(by_hand - by_machine).max() < 1e-12))
print("each row adds up to 0:", bool(np.abs(by_hand.sum(axis=1)).max() < 1e-12))

# %% [markdown]
# ### What the temperature does to confidence
#
# The largest probability is called the **confidence**. Follow it from cold to hot. For
# $\tau \to 0$ the largest logit takes all (if it is the only largest one); for $\tau \to \infty$
# all $C$ classes get $1/C$. The prediction, the *place* of the largest logit, never changes. So a
# network can be made more or less sure without making it any better: lab 02 uses this.

# %%
temperatures = np.geomspace(0.05, 100, 200)
figure, axes = lk.figures.new_figure(height=3.0, origin="logits chosen by hand")
ax = axes[0, 0]
rows = {"logits 2, 1, 0.1, −1": logits, "logits 1.2, 1, 0.8, 0.7": np.array([1.2, 1, 0.8, 0.7])}
for (name, row), colour in zip(rows.items(), COLOURS, strict=False):
    ax.plot(
        temperatures, [softmax(row, tau).max() for tau in temperatures], color=colour, label=name
    )
ax.axhline(1 / 4, color="0.4", linestyle=":", label="1/C for C = 4 classes")
ax.set(xscale="log", xlabel="temperature τ", ylabel="confidence", ylim=(0, 1.05))
ax.set_title("Confidence against temperature")
ax.legend(fontsize=8)
figure

# %% [markdown]
# ## Least squares
#
# An affine map with a matrix $A$ and a vector $b$ should send the input $x$ to the target $t$. The
# **residual** is $r = Ax + b - t$, and the loss is
#
# $$\ell = \tfrac12 \lVert r \rVert^2 = \tfrac12 \sum_i r_i^2, \qquad
# r_i = \sum_k A_{ik} x_k + b_i - t_i .$$
#
# The chain rule goes through the residuals: $\frac{\partial \ell}{\partial r_i} = r_i$. What is left
# is to see that
#
# $$\frac{\partial r_i}{\partial b_j} = \delta_{ij}
# \qquad\text{and}\qquad
# \frac{\partial r_i}{\partial A_{jk}} = \delta_{ij}\, x_k .$$
#
# Summing over $i$ leaves one term each: $\frac{\partial \ell}{\partial b_j} = r_j$ and
# $\frac{\partial \ell}{\partial A_{jk}} = r_j x_k$. Written as a vector and a matrix:
#
# $$\nabla_b\, \ell = r, \qquad \nabla_A\, \ell = r\,x^\top .$$
#
# A gradient has the shape of what one differentiates by. That alone finds many mistakes.

# %% [markdown]
# ### Exercise 0.2: the gradients of least squares
#
# Write `least_squares_gradients(A, x, b, t)`. It returns two arrays, first $\nabla_A$, then
# $\nabla_b$.
#
# <details><summary>Hint</summary>
#
# `A @ x` is the matrix times the vector. `np.outer(u, v)` has one row for each entry of `u`.
# </details>


# %%
# Exercise 0.2 - the gradients of least squares
def least_squares_gradients(A, x, b, t):
    raise NotImplementedError("0.2: return the gradients for A and for b")


# %%
# Solution 0.2
def least_squares_gradients(A, x, b, t):
    residual = A @ x + b - t
    return np.outer(residual, x), residual


# %% [markdown] tags=["solution"]
# <details><summary>Why this is so</summary>
#
# Every linear layer of every network has this gradient: what arrives from above ($r$ here) times
# what came in from below ($x$). The ½ cancels the 2 of the square. For many examples the gradients
# are summed or, with a mean in the loss, averaged.
# </details>

# %%
with lk.check("0.2", "least_squares_gradients"):
    _random = np.random.default_rng(1)
    _A, _x = _random.normal(size=(3, 5)), _random.normal(size=5)
    _b, _t = _random.normal(size=3), _random.normal(size=3)
    _answer = least_squares_gradients(_A.copy(), _x.copy(), _b.copy(), _t.copy())
    assert _answer is not None, "the function gives None: is `return` missing?"
    assert isinstance(_answer, tuple | list) and len(_answer) == 2, (
        "return two arrays: first the gradient for A, then the one for b"
    )
    _shapes = [tuple(np.shape(part)) for part in _answer]
    assert _shapes[1] != (3, 5), "swapped: first the gradient for A, then the one for b"
    assert _shapes[0] != (5, 3), "∇_A must have the shape of A, (3, 5): it is r xᵀ, not x rᵀ"
    _leaf_A, _leaf_b = (torch.tensor(v, requires_grad=True) for v in (_A, _b))
    _r = _leaf_A @ torch.tensor(_x) + _leaf_b - torch.tensor(_t)
    (0.5 * (_r**2).sum()).backward()
    for _name, _part, _leaf in zip("Ab", _answer, (_leaf_A, _leaf_b), strict=True):
        _true = _leaf.grad.numpy()
        _part = _array(_part, _true.shape, f"∇_{_name}")
        assert not _near(_part, -_true), f"∇_{_name} has the wrong sign: r is Ax + b − t"
        assert not _near(_part, 2 * _true), f"∇_{_name} is twice too large: mind the ½"
        assert not _near(_part, _true / 3), f"∇_{_name} is a mean here: the loss is a sum"
        _no_b = np.outer(_A @ _x - _t, _x) if _name == "A" else _A @ _x - _t
        assert not _near(_part, _no_b), "b is missing in the residual"
        assert _near(_part, _true), f"∇_{_name} differs by {abs(_part - _true).max():.2g}"

# %% [markdown]
# ## One label or many?
#
# A blood cell has **one** type: the eight probabilities compete and add up to 1. A chest X-ray can
# show **several** findings at once, or none: each finding needs a probability of its own. For that,
# each logit goes through a sigmoid, $\sigma(z) = \frac{1}{1 + e^{-z}}$.
#
# Below, one logit rises from 0 to 3. Watch the *other* classes, left and right.

# %%
figure, axes = lk.figures.new_figure(1, 2, 2.9, "logits chosen by hand", sharey=True)
for ax, name in zip(axes[0], ("softmax", "sigmoid"), strict=True):
    for shift, (value, colour) in enumerate(zip((0.0, 3.0), COLOURS, strict=False)):
        z = torch.tensor([value, 1.0, 1.0, -2.0])
        p = torch.softmax(z, 0) if name == "softmax" else torch.sigmoid(z)
        bars = ax.bar(
            np.arange(4) + 0.4 * shift, p, 0.4, color=colour, label=f"logits {z.tolist()}"
        )
        ax.bar_label(bars, fmt="%.2f", fontsize=8)
    ax.set(title=name, xlabel="class", ylim=(0, 1.35))
    ax.set_xticks(np.arange(4) + 0.2, range(4))
    ax.legend(fontsize=8, loc="upper right")
axes[0, 0].set_ylabel("probability")
figure

# %% [markdown]
# With targets $t$ (ones and zeros), the two losses are
#
# $$\ell_{\text{softmax}} = -\sum_i t_i \log y_i \ \text{ with } y = \operatorname{softmax}(z),
# \qquad
# \ell_{\text{sigmoid}} = -\sum_i \bigl[t_i \log p_i + (1 - t_i) \log(1 - p_i)\bigr]
# \ \text{ with } p_i = \sigma(z_i).$$
#
# The left one wants exactly one 1 in $t$. Use
# $\frac{\partial \log y_i}{\partial z_j} = \delta_{ij} - y_j$ from above (with $\tau = 1$):
#
# $$\frac{\partial \ell_{\text{softmax}}}{\partial z_j}
# = -\sum_i t_i (\delta_{ij} - y_j) = -t_j + y_j \sum_i t_i = y_j - t_j .$$
#
# For the right one you need $\sigma' = \sigma(1 - \sigma)$, which gives
# $\frac{d \log p}{dz} = 1 - p$ and $\frac{d \log(1 - p)}{dz} = -p$. Finish it on paper.

# %% [markdown]
# ### Exercise 0.3: which output, and its gradient
#
# First choose `"softmax"` or `"sigmoid"` for each task. Then write
# `loss_gradient(logits, targets, output)`: the gradient of the matching loss above by the logits,
# for one row (C,).
#
# <details><summary>Hint</summary>
#
# Ask of each task: can two answers be true at once? For the sigmoid put the two derivatives
# into $-t(1-p) + (1-t)p$ and multiply out.
# </details>

# %%
# Exercise 0.3 - one label or many
output_layer = {
    "the type of one white blood cell": ...,
    "the findings in a chest X-ray": ...,
    "the digit in a picture of one digit": ...,
    "the genes mutated in a tumour": ...,
}


def loss_gradient(logits, targets, output):
    raise NotImplementedError("0.3: the gradient by the logits")


# %%
# Solution 0.3
output_layer = {
    "the type of one white blood cell": "softmax",
    "the findings in a chest X-ray": "sigmoid",
    "the digit in a picture of one digit": "softmax",
    "the genes mutated in a tumour": "sigmoid",
}


def loss_gradient(logits, targets, output):
    if output == "softmax":
        return softmax(logits) - targets
    return 1 / (1 + np.exp(-logits)) - targets


# %% [markdown] tags=["solution"]
# <details><summary>Why this is so</summary>
#
# $-t(1 - p) + (1 - t)p = p - t$. Both gradients are *probability minus target*: bounded, zero only
# where the prediction equals the target, and without a factor $p(1 - p)$ that would make a
# confident mistake learn slowly. That is why these losses belong to these outputs. PyTorch's
# `binary_cross_entropy_with_logits` takes the mean over the labels unless told otherwise, so its
# gradient is divided by their number.
# </details>

# %%
with lk.check("0.3", "output_layer", "loss_gradient"):
    assert isinstance(output_layer, dict), "output_layer must stay a dictionary"
    _tasks = {"blood cell": 0, "X-ray": 1, "one digit": 0, "tumour": 1}
    for _word, _many in _tasks.items():
        _found = [value for task, value in output_layer.items() if _word in str(task)]
        assert _found, f"the task with “{_word}” is missing in output_layer"
        assert isinstance(_found[0], str), f"choose softmax or sigmoid for the task “{_word}”"
        _said = _found[0].strip().lower()
        assert _said in ("softmax", "sigmoid"), f"{_said!r} is neither softmax nor sigmoid"
        _why = "several can be true at once" if _many else "exactly one answer is true"
        assert (_said == "sigmoid") == bool(_many), f"“{_word}”: {_why}; choose the other one"
    _z = np.array([1.5, -0.3, 0.4, -2.0])
    _targets = {"softmax": np.array([0.0, 0, 1, 0]), "sigmoid": np.array([1.0, 0, 1, 0])}
    for _output, _t in _targets.items():
        _leaf = torch.tensor(_z, requires_grad=True)
        if _output == "softmax":
            _loss = -(torch.tensor(_t) * torch.log_softmax(_leaf, 0)).sum()
        else:
            _loss = F.binary_cross_entropy_with_logits(_leaf, torch.tensor(_t), reduction="sum")
        _loss.backward()
        _true = _leaf.grad.numpy()
        _got = _array(loss_gradient(_z.copy(), _t.copy(), _output), (4,), f"the {_output} gradient")
        _p = _true + _t
        assert not _near(_got, -_true), f"{_output}: the sign is wrong, probability minus target"
        assert not _near(_got, _p), f"{_output}: these are the probabilities; the target is missing"
        assert not _near(_got, _true / 4), f"{_output}: the loss is a sum, do not divide by C"
        assert not _near(_got, _true * _p * (1 - _p)), (
            f"{_output}: there is no factor p(1 − p); it cancels"
        )
        _other = torch.sigmoid(torch.tensor(_z)) if _output == "softmax" else softmax(_z)
        assert not _near(_got, np.asarray(_other) - _t), f"{_output}: this is the other output's"
        assert _near(_got, _true), (
            f"{_output}: differs from autograd by {abs(_got - _true).max():.2g}"
        )

# %% [markdown]
# ## A loss that forgives outliers
#
# Forty points around a straight line, and five of them are badly wrong. Where does the
# least-squares line go? It is the blue one.

# %%
rng = np.random.default_rng(0)
x = np.sort(rng.uniform(-1.7, 1.7, 40))
t_clean = 2 * x + 1 + rng.normal(0, 0.3, 40)  # the truth: slope 2, intercept 1
outliers = np.array([30, 32, 34, 36, 38])
t = t_clean.copy()
t[outliers] -= 6
slope, intercept = np.polyfit(x, t, 1)


def draw_points(ax):
    inliers = np.setdiff1d(np.arange(40), outliers)
    ax.plot(x[inliers], t[inliers], "o", color="0.45", ms=4, label="points")
    ax.plot(x[outliers], t[outliers], "x", color=COLOURS[5], ms=7, label="outliers")
    ax.plot(x, 2 * x + 1, ":", color="0.3", label="truth")
    ax.set(xlabel="x", ylabel="t")


drawn = "40 points drawn with a fixed seed"
figure, axes = lk.figures.new_figure(height=3.1, origin=drawn)
draw_points(axes[0, 0])
axes[0, 0].plot(x, slope * x + intercept, color=COLOURS[0], label="least squares")
axes[0, 0].set_title("Five outliers pull the least-squares line away")
axes[0, 0].legend(fontsize=8)
figure

# %% [markdown]
# A residual of 6 counts 400 times as much as one of 0.3, because it is squared. The **Huber loss**
# squares small residuals only; beyond a width $\delta$ it goes on as a straight line:
#
# $$h_\delta(r) = \tfrac12 r^2 \ \text{ for } |r| \le \delta, \qquad
# h_\delta(r) = \delta\left(|r| - \tfrac12 \delta\right) \ \text{ for } |r| > \delta .$$
#
# At $|r| = \delta$ both give $\tfrac12 \delta^2$. Its derivative is $r$ inside and
# $\pm\delta$ outside, that is $r$ **clipped** to $[-\delta, \delta]$. No point can pull harder than
# $\delta$.

# %%
r = np.linspace(-4, 4, 400)
figure, axes = lk.figures.new_figure(1, 2, 2.9, "computed from the formulas")
for delta, colour in zip((np.inf, 1.0, 0.5), COLOURS, strict=False):
    name = "squared, ½r²" if delta == np.inf else f"Huber, δ = {delta}"
    straight = delta * (np.abs(r) - delta / 2) if delta < np.inf else 0
    axes[0, 0].plot(r, np.where(np.abs(r) <= delta, r**2 / 2, straight), color=colour, label=name)
    axes[0, 1].plot(r, np.clip(r, -delta, delta), color=colour, label=name)
axes[0, 0].set(title="The loss", xlabel="residual r", ylabel="loss")
axes[0, 1].set(
    title="Its derivative: how hard a point pulls", xlabel="residual r", ylabel="derivative"
)
axes[0, 0].legend(fontsize=8)
figure

# %% [markdown]
# For $n$ points with inputs $x_i$ (a row of features each), and with an **L2 term** that keeps the
# weights small,
#
# $$L(w, b) = \frac{1}{n} \sum_{i=1}^n h_\delta(r_i) + \frac{\lambda}{2} \lVert w \rVert^2,
# \qquad r_i = x_i^\top w + b - t_i .$$
#
# The intercept $b$ is left out of the L2 term, as usual: it only moves the line up and down. By the
# chain rule, with $h_\delta'(r) = \operatorname{clip}(r, -\delta, \delta)$,
#
# $$\nabla_w L = \frac{1}{n} \sum_i h_\delta'(r_i)\, x_i + \lambda w, \qquad
# \frac{\partial L}{\partial b} = \frac{1}{n} \sum_i h_\delta'(r_i) .$$
#
# **Why no closed form?** For the squared loss, $\nabla L = 0$ is one linear system, solved in one
# step. For Huber's it would be linear too, if one knew *which* residuals are clipped. But that
# depends on $w$ and $b$, which one is looking for. So one starts somewhere and walks downhill. The
# loss is convex, so no valley leads astray.

# %% [markdown]
# ### Exercise 0.4: the gradient of the Huber loss
#
# Write `huber_gradients(X, t, w, b, delta, weight_decay)` with `X` (n, features), `t` (n,),
# `w` (features,), and `weight_decay` for $\lambda$. It returns the gradient for `w`, then for `b`.
#
# <details><summary>Hint</summary>
#
# `np.clip(r, -delta, delta)` is the derivative for all points at once. `X.T @ pull` sums
# `pull[i] * X[i]` over all points.
# </details>


# %%
# Exercise 0.4 - the gradient of the Huber loss
def huber_gradients(X, t, w, b, delta, weight_decay):
    raise NotImplementedError("0.4: return the gradients for w and for b")


# %%
# Solution 0.4
def huber_gradients(X, t, w, b, delta, weight_decay):
    residuals = X @ w + b - t
    pull = np.clip(residuals, -delta, delta)
    return X.T @ pull / len(t) + weight_decay * w, pull.mean()


# %% [markdown] tags=["solution"]
# <details><summary>Why this is so</summary>
#
# It is the least-squares gradient with clipped residuals. Each point's pull is at most $\delta$
# times its $x_i$. A point far out *in x* can therefore still pull hard: Huber's loss protects
# against wrong targets, not against wrong inputs.
# </details>

# %%
with lk.check("0.4", "huber_gradients"):
    _random = np.random.default_rng(2)
    _X, _t = _random.normal(size=(12, 3)), 3 * _random.normal(size=12)
    _w, _b = _random.normal(size=3), 0.7
    for _delta, _decay in ((100.0, 0.0), (0.8, 0.0), (0.8, 0.3)):
        _answer = huber_gradients(_X.copy(), _t.copy(), _w.copy(), _b, _delta, _decay)
        assert _answer is not None, "the function gives None: is `return` missing?"
        assert isinstance(_answer, tuple | list) and len(_answer) == 2, (
            "return two things: the gradient for w, then the one for b"
        )
        _leaf_w = torch.tensor(_w, requires_grad=True)
        _leaf_b = torch.tensor(_b, requires_grad=True, dtype=torch.float64)
        _prediction = torch.tensor(_X) @ _leaf_w + _leaf_b
        _loss = F.huber_loss(_prediction, torch.tensor(_t), delta=_delta)
        (_loss + 0.5 * _decay * (_leaf_w**2).sum()).backward()
        _r = _prediction.detach().numpy() - _t
        for _name, _part, _leaf in zip("wb", _answer, (_leaf_w, _leaf_b), strict=True):
            _true = _leaf.grad.numpy()
            _part = _array(_part, _true.shape, f"the gradient for {_name}")
            _is = f"the gradient for {_name}"
            assert not _near(_part, 12 * _true), f"{_is} is a sum: divide by n"
            assert not _near(_part, -_true), f"{_is} has the wrong sign: r is Xw + b − t"
            _raw = _X.T @ _r / 12 + _decay * _w if _name == "w" else _r.mean()
            assert _delta > 50 or not _near(_part, _raw), f"{_is}: the residuals are not clipped"
            _sign = np.sign(_r) * (abs(_r) > _delta) + _r * (abs(_r) <= _delta)
            _sign = _X.T @ _sign / 12 + _decay * _w if _name == "w" else _sign.mean()
            assert _delta > 50 or not _near(_part, _sign), f"{_is}: the slope outside is ±δ, not ±1"
            if _decay and _name == "w":
                assert not _near(_part, _true - _decay * _w), "the L2 term λw is missing"
                assert not _near(_part, _true + _decay * _w), "the L2 term is twice: mind the ½"
            if _decay and _name == "b":
                assert not _near(_part, _true + _decay * _b), "b is not in the L2 term: no λb"
            assert _near(_part, _true), f"{_is} differs by {abs(_part - _true).max():.2g}"

# %% [markdown]
# Now walk downhill with it, from zero, beside least squares (the same loss with a huge $\delta$).


# %%
def fit_line(t, delta, weight_decay=0.0, lr=0.5, steps=500):
    """Slope and intercept after gradient descent with your Huber gradient."""
    w, b = np.zeros(1), 0.0
    for _ in range(steps):
        grad_w, grad_b = huber_gradients(x[:, None], t, w, b, delta, weight_decay)
        w, b = w - lr * np.asarray(grad_w), b - lr * float(grad_b)
    return float(w[0]), b


lines = {"least squares": fit_line(t, 1e9), "Huber, δ = 0.5": fit_line(t, 0.5)}
shifts = np.arange(0, 21, 2)
slopes = {name: [] for name in lines}
for shift in shifts:
    shifted = t_clean.copy()
    shifted[outliers] -= shift
    slopes["least squares"].append(fit_line(shifted, 1e9)[0])
    slopes["Huber, δ = 0.5"].append(fit_line(shifted, 0.5)[0])

# %%
figure, axes = lk.figures.new_figure(1, 2, 3.2, drawn)
draw_points(axes[0, 0])
for (name, (slope, intercept)), colour in zip(lines.items(), COLOURS, strict=False):
    axes[0, 0].plot(x, slope * x + intercept, color=colour, label=name)
    axes[0, 1].plot(shifts, slopes[name], "o-", ms=4, color=colour, label=name)
axes[0, 1].axhline(2, color="0.3", linestyle=":", label="truth")
axes[0, 0].set_title("The two lines")
axes[0, 1].set(title="The slope when the outliers get worse", ylabel="slope")
axes[0, 1].set_xlabel("how far the five outliers are off")
axes[0, 0].legend(fontsize=8)
figure

# %%
table = {name: {"slope": s, "intercept": i} for name, (s, i) in lines.items()}
table["truth"] = {"slope": 2.0, "intercept": 1.0}
table["Huber, δ = 0.5, weight_decay 0.5"] = dict(
    zip(("slope", "intercept"), fit_line(t, 0.5, 0.5), strict=True)
)
pd.DataFrame(table).T.round(2)

# %% [markdown]
# Right: the least-squares slope falls in proportion to the outliers' error. Huber's moves a little
# and then stays: once a residual is clipped, it does not matter how large it is. In the table, see
# what the L2 term does to the slope: it pulls it towards 0, on purpose. With clean data
# `weight_decay` costs accuracy; it helps where there are many weights and few points.

# %% [markdown]
# ## How to walk downhill
#
# Plain gradient descent steps by `lr` times the gradient. Two refinements are in use everywhere.
# Both remember earlier gradients. First, see them walk in a long narrow valley: it is 25 times
# steeper across than along. (These two are PyTorch's. You will write your own.)


# %%
def valley_path(make_optimizer, steps=60):
    theta = torch.tensor([-4.0, 1.5], dtype=torch.float64, requires_grad=True)
    optimizer = make_optimizer([theta])
    path = [theta.detach().clone()]
    for _ in range(steps):
        optimizer.zero_grad()
        (0.5 * (theta[0] ** 2 + 25 * theta[1] ** 2)).backward()
        optimizer.step()
        path.append(theta.detach().clone())
    return torch.stack(path).numpy()


paths = {
    "momentum SGD, lr 0.01": valley_path(lambda p: torch.optim.SGD(p, lr=0.01, momentum=0.9)),
    "Adam, lr 0.2": valley_path(lambda p: torch.optim.Adam(p, lr=0.2)),
}
figure, axes = lk.figures.new_figure(height=3.3, origin="computed: ½(θ₁² + 25 θ₂²), 60 steps")
ax = axes[0, 0]
grid = np.meshgrid(np.linspace(-4.6, 2.2, 100), np.linspace(-1.9, 1.9, 100))
ax.contour(*grid, 0.5 * (grid[0] ** 2 + 25 * grid[1] ** 2), 14, colors="0.8", linewidths=0.8)
for (name, path), colour in zip(paths.items(), (COLOURS[0], COLOURS[5]), strict=True):
    ax.plot(*path.T, "o-", ms=3, lw=1, color=colour, label=name)
ax.plot(0, 0, "k*", ms=10, label="minimum")
ax.set(title="Two ways down the same valley", xlabel="θ₁", ylabel="θ₂")
ax.legend(fontsize=8, loc="lower right")
figure

# %% [markdown]
# Look at the **first steps**: SGD runs down the steep wall, because its step is proportional to the
# gradient. Adam's first step goes equally far in both directions, at 45 degrees. You will prove
# that it must.
#
# **SGD with momentum** adds up the gradients, old ones fading by the factor $\mu$ (`momentum`):
#
# $$u_k = \mu\, u_{k-1} + g_k, \qquad \theta_k = \theta_{k-1} - \alpha\, u_k, \qquad u_0 = 0 .$$
#
# Here it is in NumPy. It is given a list of arrays and changes them **in place**, so that whoever
# holds the arrays sees the change.


# %%
class MomentumSGD:
    def __init__(self, parameters, lr=0.1, momentum=0.9):
        self.parameters = parameters
        self.lr, self.momentum = lr, momentum
        self.velocities = [np.zeros_like(p) for p in parameters]

    def step(self, gradients):
        for p, u, g in zip(self.parameters, self.velocities, gradients, strict=True):
            u *= self.momentum
            u += g
            p -= self.lr * u


# %% [markdown]
# ### Adam
#
# Adam keeps two fading means for each parameter: $m$ of its gradients, $v$ of their squares
# (all operations element by element, $m_0 = v_0 = 0$):
#
# $$m_k = \beta_1 m_{k-1} + (1 - \beta_1)\, g_k, \qquad
# v_k = \beta_2 v_{k-1} + (1 - \beta_2)\, g_k^2 .$$
#
# Both start at zero and are at first too small. The **bias correction** divides by the sum of the
# weights that the gradients got so far:
#
# $$\hat m_k = \frac{m_k}{1 - \beta_1^k}, \qquad \hat v_k = \frac{v_k}{1 - \beta_2^k}, \qquad
# \theta_k = \theta_{k-1} - \alpha\, \frac{\hat m_k}{\sqrt{\hat v_k} + \varepsilon} .$$
#
# **The first step.** $m_1 = (1 - \beta_1)\, g_1$, so $\hat m_1 = g_1$; likewise
# $\hat v_1 = g_1^2$. The step is
#
# $$\alpha\, \frac{g_1}{|g_1| + \varepsilon} \approx \alpha \operatorname{sign}(g_1):$$
#
# every parameter moves by nearly $\alpha$, however large its gradient.
#
# **The second.** $m_2 = \beta_1 (1 - \beta_1)\, g_1 + (1 - \beta_1)\, g_2$. Divide by
# $1 - \beta_1^2 = (1 - \beta_1)(1 + \beta_1)$:
#
# $$\hat m_2 = \frac{\beta_1 g_1 + g_2}{1 + \beta_1}, \qquad
# \hat v_2 = \frac{\beta_2\, g_1^2 + g_2^2}{1 + \beta_2} .$$

# %% [markdown]
# ### Exercise 0.5: Adam's first two steps
#
# Write `first_two_steps(g1, g2, lr, beta1, beta2, eps)` for one parameter, from the formulas above.
# It returns the two steps, that is, what is **subtracted** from $\theta$ each time.
#
# <details><summary>Hint</summary>
#
# A step is `lr * m_hat / (np.sqrt(v_hat) + eps)`. The `eps` stands outside the root.
# </details>


# %%
# Exercise 0.5 - Adam's first two steps
def first_two_steps(g1, g2, lr=1e-3, beta1=0.9, beta2=0.999, eps=1e-8):
    raise NotImplementedError("0.5: return both steps")


# %%
# Solution 0.5
def first_two_steps(g1, g2, lr=1e-3, beta1=0.9, beta2=0.999, eps=1e-8):
    step1 = lr * g1 / (abs(g1) + eps)
    m_hat = (beta1 * g1 + g2) / (1 + beta1)
    v_hat = (beta2 * g1**2 + g2**2) / (1 + beta2)
    step2 = lr * m_hat / (np.sqrt(v_hat) + eps)
    return step1, step2


# %% [markdown] tags=["solution"]
# <details><summary>Why this is so</summary>
#
# $\hat m_2$ is a weighted mean of the two gradients with the weights $\beta_1$ and 1: the newer
# one counts more. That is all the bias correction does: it turns a sum whose weights add up to
# $1 - \beta^k$ into a mean whose weights add up to 1.
# </details>

# %%
with lk.check("0.5", "first_two_steps"):

    def _torch_path(gradients, make):
        """Where PyTorch's optimiser takes parameters that start at 0: one row a step."""
        leaf = torch.zeros(np.shape(gradients[0]), dtype=torch.float64, requires_grad=True)
        optimizer, rows = make([leaf]), []
        for gradient in gradients:
            leaf.grad = torch.tensor(gradient, dtype=torch.float64)
            optimizer.step()
            rows.append(leaf.detach().numpy().copy())
        return np.array(rows)

    for _g1, _g2, _eps in ((0.5, 2.0, 1e-8), (-3.0, 0.2, 1e-8), (0.4, -0.7, 0.1)):
        _settings = {"lr": 0.01, "betas": (0.8, 0.95), "eps": _eps}
        _path = _torch_path([_g1, _g2], lambda p, s=_settings: torch.optim.Adam(p, **s))
        _true = np.array([-_path[0], _path[0] - _path[1]])
        _answer = first_two_steps(_g1, _g2, 0.01, 0.8, 0.95, _eps)
        assert _answer is not None, "the function gives None: is `return` missing?"
        _got = _array(_answer, (2,), "first_two_steps")
        assert not _near(_got, -_true, 1e-7), "return what is subtracted from θ: without the minus"
        assert not _near(_got, -_path, 1e-7), "the second number is the sum: return single steps"
        assert not _near(_got * 0.01, _true, 1e-7), "the learning rate is missing"
        _raw = 0.01 * 0.2 * _g1 / (np.sqrt(0.05) * abs(_g1) + _eps)
        assert not _near(_got[0], _raw, 1e-7), "the bias correction is missing: use m̂ and v̂"
        _inside = 0.01 * _g1 / np.sqrt(_g1**2 + _eps)
        assert _eps < 0.01 or not _near(_got[0], _inside, 1e-7), "eps goes outside the root"
        assert abs(_got[0] - _true[0]) < 1e-7, f"step 1 is {_true[0]:.6f}, not {_got[0]:.6f}"
        _alone = 0.01 * _g2 / (abs(_g2) + _eps)
        assert not _near(_got[1], _alone, 1e-7), "step 2 must remember g1 as well"
        _older = 0.01 * (_g1 + 0.8 * _g2) / 1.8
        _older = _older / (np.sqrt((_g1**2 + 0.95 * _g2**2) / 1.95) + _eps)
        assert not _near(_got[1], _older, 1e-7), "g1 and g2 are swapped: the older one fades"
        assert abs(_got[1] - _true[1]) < 1e-7, f"step 2 is {_true[1]:.6f}, not {_got[1]:.6f}"

# %% [markdown]
# ### What the bias correction is for
#
# Suppose the gradient is always the same. Then Adam steps by $\alpha$ each time (up to
# $\varepsilon$). **Without** the correction it would step by
# $\alpha\,(1 - \beta_1^k)/\sqrt{1 - \beta_2^k}$ (the root of $v_k$ starts smaller still than $m_k$).

# %%
k = np.arange(1, 3001)
ratio = (1 - 0.9**k) / np.sqrt(1 - 0.999**k)
figure, axes = lk.figures.new_figure(height=2.8, origin="computed: β₁ = 0.9, β₂ = 0.999")
axes[0, 0].plot(k, ratio, color=COLOURS[5], label="without bias correction")
axes[0, 0].axhline(1, color=COLOURS[0], label="with bias correction")
axes[0, 0].set(xscale="log", xlabel="step k", ylabel="step size / α", ylim=(0, 7))
axes[0, 0].set_title("Adam's step for a gradient that never changes")
axes[0, 0].legend(fontsize=8)
figure

# %% tags=["nbval-check-output"]
print(f"without correction: step 1 is {ratio[0]:.2f} times too large,")
print(
    f"step {k[ratio.argmax()]} is {ratio.max():.2f} times too large, step 3000 {ratio[-1]:.2f} times"
)

# %% [markdown]
# So the correction holds the first steps **back**. (One often reads that it makes them larger. That
# is true of $m$ alone, not of the step.)

# %% [markdown]
# ### Exercise 0.6: Adam
#
# Write the whole optimiser, in the shape of `MomentumSGD`: a list of arrays that it changes in
# place, and `step(gradients)` with one gradient for each array. It must agree with
# `torch.optim.Adam` to $10^{-7}$.
#
# <details><summary>Hint</summary>
#
# In `__init__`: a zero array `m` and a zero array `v` for each parameter, and a counter of the
# steps. In `step`: count once per call, before the loop, so that the first step has $k = 1$. Use
# `p -= …`; the line `p = p - …` would make a new array that nobody else sees.
# </details>


# %%
# Exercise 0.6 - Adam
class Adam:
    def __init__(self, parameters, lr=1e-3, beta1=0.9, beta2=0.999, eps=1e-8):
        self.parameters = parameters
        self.lr, self.beta1, self.beta2, self.eps = lr, beta1, beta2, eps
        ...

    def step(self, gradients):
        raise NotImplementedError("0.6: one step for each parameter, in place")


# %%
# Solution 0.6
class Adam:
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
            m *= self.beta1
            m += (1 - self.beta1) * g
            v *= self.beta2
            v += (1 - self.beta2) * g**2
            m_hat = m / (1 - self.beta1**self.steps)
            v_hat = v / (1 - self.beta2**self.steps)
            p -= self.lr * m_hat / (np.sqrt(v_hat) + self.eps)


# %% [markdown] tags=["solution"]
# <details><summary>Why this is so</summary>
#
# Adam stores two more numbers for each parameter. That is its price: training a network with it
# takes three times the memory of its weights, gradients not counted. The division by
# $\sqrt{\hat v}$ gives each parameter its own step size.
# </details>

# %%
with lk.check("0.6", "Adam"):

    def _run(gradients, **settings):
        """The student's optimiser on two arrays, one of which is the sum of its first axis."""
        arrays = [np.zeros(np.shape(gradients[0])), np.zeros(np.shape(gradients[0])[1:])]
        optimizer, rows = Adam(arrays, **settings), []
        for gradient in gradients:
            given = [gradient.copy(), gradient.sum(0)]
            kept = [g.copy() for g in given]
            optimizer.step(given)
            assert all(np.array_equal(g, h) for g, h in zip(given, kept, strict=True)), (
                "step changed the gradients: leave them as they are"
            )
            rows.append([a.copy() for a in arrays])
        return [np.array(row) for row in zip(*rows, strict=True)]

    _random = np.random.default_rng(3)
    _dense = _random.normal(size=(40, 3, 2))
    _cases = {"random": _dense, "sparse": _dense * (_random.random((40, 3, 2)) < 0.2)}
    _cases["tiny"] = 1e-8 * _dense
    for _case, _gradients in _cases.items():
        for _beta1, _beta2 in ((0.9, 0.999), (0.5, 0.8)):
            _options = {"lr": 0.01, "betas": (_beta1, _beta2)}
            _torch = [
                _torch_path(list(g), lambda p, o=_options: torch.optim.Adam(p, **o))
                for g in (_gradients, _gradients.sum(1))
            ]
            with np.errstate(all="ignore"):
                _mine = _run(_gradients, lr=0.01, beta1=_beta1, beta2=_beta2)
            for _number, (_got, _true) in enumerate(zip(_mine, _torch, strict=True)):
                assert np.isfinite(_got).all(), "NaN: the first step must count as 1, and eps > 0"
                assert _got.any(), (
                    "the arrays did not change: `p -= …` works in place, `p = p - …` does not"
                )
                _right = abs(_got[0] - _true[0]).max() < 1e-7
                _uphill = _near(_got[0], -_true[0], 1e-7)
                assert _right or not _uphill, "it walks uphill: subtract the step"
                _first = _gradients[0] if _number == 0 else _gradients[0].sum(0)
                _raw = -0.01 * (1 - _beta1) * _first
                _raw = _raw / (np.sqrt((1 - _beta2) * _first**2) + 1e-8)
                _is_raw = _near(_got[0], _raw, 1e-7)
                assert _right or not _is_raw, "the bias correction is missing"
                _inside = -0.01 * _first / np.sqrt(_first**2 + 1e-8)
                _is_inside = _near(_got[0], _inside, 1e-7)
                assert _right or not _is_inside, "eps must stand outside the root: √v̂ + eps"
                _where = f"{_case} gradients, array {_number + 1}"
                assert _number == 0 or _right, (
                    f"{_where}: wrong though array 1 is right; count steps once a call, not once "
                    "an array, and give each array its own m and v"
                )
                assert _right, f"{_where}: the first step is wrong"
            for _number, (_got, _true) in enumerate(zip(_mine, _torch, strict=True)):
                _off = abs(_got - _true).max()
                assert _off < 1e-7, (
                    f"{_case} gradients, array {_number + 1}: the first step is right, then it is "
                    f"off by {_off:.1g}: do m, v and the counter go on from step to step, and is "
                    "the power β to the step number?"
                )

# %% tags=["nbval-check-output"]
ours = np.array([-4.0, 1.5])
optimizer = Adam([ours], lr=0.2)
for _ in range(60):
    optimizer.step([np.array([1.0, 25.0]) * ours])
print("in the valley, your Adam ends where PyTorch's does, to 1e-7:", end=" ")
print(bool(np.abs(ours - paths["Adam, lr 0.2"][-1]).max() < 1e-7))

# %% [markdown]
# ## What if all gradients are multiplied by $c$?
#
# Measure the loss in other units, or sum where you took a mean: all gradients become $c\,g$ with
# the same $c > 0$.
#
# **Momentum SGD.** $u_k$ is a sum of gradients, so each step becomes $c$ times as long: the same as
# another learning rate, $c\,\alpha$.
#
# **Adam.** $\hat m$ becomes $c\,\hat m$, and $\hat v$ becomes $c^2\,\hat v$. The step becomes
#
# $$\alpha\, \frac{c\,\hat m}{c\sqrt{\hat v} + \varepsilon}
# = \alpha\, \frac{\hat m}{\sqrt{\hat v} + \varepsilon / c} .$$
#
# The $c$ is gone from everywhere but $\varepsilon$: the step is unchanged up to $\varepsilon$.
#
# And what is $\varepsilon$ for? A parameter whose gradients were all zero has $\hat v = 0$, and
# $0/0$ is not a number. Where $\sqrt{\hat v}$ is much larger than $\varepsilon$ it does
# nothing; where it is much smaller, it keeps tiny gradients from making full steps.

# %% [markdown]
# ### Exercise 0.7: the factor
#
# All gradients are multiplied by $c > 0$. Write three short functions:
#
# - `momentum_factor(c)`: by what factor does a momentum SGD step change?
# - `adam_factor(c, g, eps)`: by what factor does Adam's **first** step change, for a gradient `g`?
#   Keep `eps` in the formula.
# - `matching_eps(c, eps)`: which `eps` must Adam have for $c\,g$, to take **exactly** the steps that
#   it takes for $g$ with the old `eps`?
#
# <details><summary>Hint</summary>
#
# The first step is $\alpha\, g / (|g| + \varepsilon)$. Divide the one for $c\,g$ by the one for
# $g$. For the last: what must $\varepsilon$ become so that $c$ cancels altogether?
# </details>


# %%
# Exercise 0.7 - gradients times c
def momentum_factor(c):
    raise NotImplementedError("0.7: the factor for momentum SGD")


def adam_factor(c, g, eps):
    raise NotImplementedError("0.7: the factor for Adam's first step")


def matching_eps(c, eps):
    raise NotImplementedError("0.7: the eps that goes with c")


# %%
# Solution 0.7
def momentum_factor(c):
    return c


def adam_factor(c, g, eps):
    return c * (abs(g) + eps) / (c * abs(g) + eps)


def matching_eps(c, eps):
    return c * eps


# %% [markdown] tags=["solution"]
# <details><summary>Why this is so</summary>
#
# $\frac{c g}{c|g| + \varepsilon} \cdot \frac{|g| + \varepsilon}{g}$. For $|g|$ and $c\,|g|$ much
# larger than $\varepsilon$ this is 1; for both much smaller it is $c$: there Adam behaves like SGD
# with the learning rate $\alpha/\varepsilon$. With $c\,\varepsilon$ in the denominator, $c$ can be
# taken out of it and cancels.
# </details>

# %%
with lk.check("0.7", "momentum_factor", "adam_factor", "matching_eps"):
    for _c in (0.01, 3.0, 1000.0):
        _got = _array(momentum_factor(_c), (), "momentum_factor")
        assert not _near(_got, 1), "momentum SGD does not divide by anything: its step changes"
        assert not _near(_got, 1 / _c), "momentum_factor is the wrong way round"
        assert not _near(_got, _c / (1 - 0.9)), "every step already has 1/(1 − μ) in it"
        assert _near(_got, _c), f"for c = {_c} a sum of gradients is {_c} times as large"
        for _g, _eps in ((2.0, 1e-8), (-0.3, 0.1), (1e-4, 1e-2)):
            _settings = {"lr": 0.01, "eps": _eps}
            _a, _b = (
                _torch_path([v], lambda p, s=_settings: torch.optim.Adam(p, **s))[0]
                for v in (_g, _c * _g)
            )
            _got, _true = _array(adam_factor(_c, _g, _eps), (), "adam_factor"), float(_b / _a)
            assert _near(_true, 1) or not _near(_got, 1), (
                "1 is only nearly right: with a large eps or a small g, eps matters"
            )
            assert _near(_true, 1) or not _near(_got, 1 / _true), (
                "adam_factor is the wrong way round: new step divided by old step"
            )
            _signed = _c * (_g + _eps) / (_c * _g + _eps)
            assert _g > 0 or not _near(_got, _signed), "√(g²) is |g|, not g"
            assert _near(_got, _true), (
                f"c = {_c}, g = {_g}, eps = {_eps}: the factor is {_true:.4g}, not {_got:.4g}"
            )
        _got = _array(matching_eps(_c, 0.1), (), "matching_eps")
        assert not _near(_got, 0.1), "the same eps does not cancel c"
        assert not _near(_got, 0.1 / _c), "matching_eps is the wrong way round: c must cancel"
        assert not _near(_got, 0.1 * _c**2), "eps stands beside √v̂, which grows by c, not by c²"
        assert _near(_got, 0.1 * _c), f"with eps = {_got:.3g} the c = {_c} does not cancel"

# %% [markdown]
# Test the claim over 100 steps, not only one. The columns say how far the end point lies from
# that for $c = 1$, relative to the way that was walked. Look at where "unchanged" stops being true.

# %%
gradients = np.random.default_rng(1).normal(0.5, 1.0, (100, 20))


def end_point(optimizer_class, gradients, **settings):
    theta = np.zeros(gradients.shape[1])
    optimizer = optimizer_class([theta], **settings)
    for gradient in gradients:
        optimizer.step([gradient])
    return theta


reference = end_point(Adam, gradients)
table = {}
for c in (1e-10, 1e-8, 1e-6, 1e-3, 1.0, 1e3):
    usual = end_point(Adam, c * gradients)
    matched = end_point(Adam, c * gradients, eps=float(matching_eps(c, 1e-8)))
    sgd = end_point(MomentumSGD, c * gradients) / end_point(MomentumSGD, gradients)
    table[f"c = {c:g}"] = {
        "Adam, eps 1e-8": np.linalg.norm(usual - reference) / np.linalg.norm(reference),
        "Adam, matching eps": np.linalg.norm(matched - reference) / np.linalg.norm(reference),
        "momentum SGD: factor": sgd.mean(),
    }
pd.DataFrame(table).T.map("{:.1e}".format)

# %% [markdown]
# With the usual `eps` Adam's path hardly changes while the gradients stay well above $10^{-8}$.
# Momentum SGD's way is multiplied by $c$.
#
# One thing to keep apart: here the gradients were *given*. In training, a longer step leads to
# another place, and there the gradients are others. For SGD a loss times $c$ acts as a learning
# rate times $c$, which may even diverge.

# %%
sizes = np.geomspace(1e-12, 1, 200)
figure, axes = lk.figures.new_figure(height=2.9, origin="computed from the formula")
for eps, colour in zip((1e-8, 1e-5, 1e-2), COLOURS, strict=False):
    axes[0, 0].plot(sizes, sizes / (sizes + eps), color=colour, label=f"eps = {eps:g}")
axes[0, 0].set(xscale="log", xlabel="size of the gradient, |g|", ylabel="first step / α")
axes[0, 0].set_title("What eps does: gradients well below it take small steps")
axes[0, 0].legend(fontsize=8)
figure

# %% [markdown]
# ## Noisy gradients, sparse gradients
#
# A batch of 64 images gives a **noisy** gradient: right on average, different each time. A weight
# whose input is nearly always zero, such as a pixel at the rim, has a **sparse** gradient: zero
# in most steps. How fast does each optimiser move a parameter then?
#
# **Momentum SGD:** each gradient is counted with the weights $1, \mu, \mu^2, \dots$, which add up to
# $\frac{1}{1 - \mu}$. On average over many steps it moves per step by about
#
# $$\frac{\alpha}{1 - \mu} \cdot \operatorname{mean}(g) .$$
#
# **Adam:** after many steps $m$ is on average the mean of the gradients, and $v$ is near the mean of
# their squares, if $v$ remembers long enough (about $\frac{1}{1 - \beta_2} = 1000$ steps). So it
# moves per step by about
#
# $$\alpha \cdot \frac{\operatorname{mean}(g)}{\sqrt{\operatorname{mean}(g^2)}} .$$

# %% [markdown]
# ### Exercise 0.8: measure it, and predict it
#
# `gradients` has one row a step and one column a parameter, (steps, parameters). Write
#
# - `average_step(optimizer_class, gradients, **settings)`: run the optimiser from
#   $\theta = 0$ and return how far it moved **downhill** per step, for each parameter;
# - `predicted_momentum(gradients, lr, momentum)` and `predicted_adam(gradients, lr)`: the two
#   formulas, for each parameter.
#
# <details><summary>Hint</summary>
#
# `end_point` above does the walking: it ends at the *minus* of the way downhill. Divide by the
# number of steps. `gradients.mean(axis=0)` averages over the steps.
# </details>


# %%
# Exercise 0.8 - how fast, for noisy and for sparse gradients
def average_step(optimizer_class, gradients, **settings):
    raise NotImplementedError("0.8: how far downhill per step, measured")


def predicted_momentum(gradients, lr, momentum):
    raise NotImplementedError("0.8: the formula for momentum SGD")


def predicted_adam(gradients, lr):
    raise NotImplementedError("0.8: the formula for Adam")


# %%
# Solution 0.8
def average_step(optimizer_class, gradients, **settings):
    return -end_point(optimizer_class, gradients, **settings) / len(gradients)


def predicted_momentum(gradients, lr, momentum):
    return lr / (1 - momentum) * gradients.mean(axis=0)


def predicted_adam(gradients, lr):
    return lr * gradients.mean(axis=0) / np.sqrt((gradients**2).mean(axis=0))


# %% [markdown] tags=["solution"]
# <details><summary>Why this is so</summary>
#
# *Sparse:* a gradient of 1 in a share $p$ of the steps has mean $p$ and mean square $p$. SGD moves
# in proportion to $p$, Adam to $p/\sqrt{p} = \sqrt{p}$: a weight that is used in one step of a
# hundred moves 10 times more slowly than one that is always used, not 100 times. *Noisy:* for
# mean 1 and noise of standard deviation $s$, SGD's average does not depend on $s$ (but it jitters),
# while Adam's falls as $1/\sqrt{1 + s^2}$: it takes smaller steps where it is less sure.
# </details>

# %%
with lk.check("0.8", "average_step", "predicted_momentum", "predicted_adam"):
    _g = np.random.default_rng(4).normal(0.6, 1.0, (50, 3))
    _makers = {
        Adam: ({"lr": 0.01}, lambda p: torch.optim.Adam(p, lr=0.01)),
        MomentumSGD: (
            {"lr": 0.1, "momentum": 0.5},
            lambda p: torch.optim.SGD(p, lr=0.1, momentum=0.5),
        ),
    }
    for _class, (_options, _make) in _makers.items():
        _path = _torch_path(list(_g), _make)
        _fresh = sum(_torch_path([row], _make)[0] for row in _g)
        _got = _array(average_step(_class, _g.copy(), **_options), (3,), "average_step")
        _is = f"average_step with {_class.__name__}"
        assert not _near(_got, _path[-1] / 50), f"{_is}: the sign; downhill counts as positive"
        assert not _near(_got, -_path[-1]), f"{_is}: this is the whole way, divide by the steps"
        assert not _near(_got, -_fresh / 50), (
            f"{_is}: the optimiser forgets; make it once, before the loop"
        )
        assert _near(_got, -_path[-1] / 50), f"{_is} is {_got.round(4)}, not as it should be"
    _got = _array(predicted_momentum(_g.copy(), 0.1, 0.8), (3,), "predicted_momentum")
    _mean = _g.mean(0)
    assert not _near(_got, 0.1 * _mean), (
        "predicted_momentum: the factor 1/(1 − momentum) is missing"
    )
    assert not _near(_got, 0.1 * _mean / 0.8), "predicted_momentum: divide by 1 − momentum"
    assert _near(_got, 0.5 * _mean), "predicted_momentum: lr / (1 − momentum) · mean over the steps"
    _got = _array(predicted_adam(_g.copy(), 0.1), (3,), "predicted_adam")
    assert not _near(_got, 0.1 * _mean / _g.std(0)), (
        "predicted_adam: the root of the mean square, not the standard deviation"
    )
    assert not _near(_got, 0.1 * _mean / abs(_g).mean(0)), (
        "predicted_adam: the root of the mean square, not the mean of |g|"
    )
    assert not _near(_got, 0.1 * _mean / (_g**2).mean(0)), "predicted_adam: the root is missing"
    assert not _near(_got, 0.1 * np.sign(_mean)), "predicted_adam: first square, then average"
    _true = 0.1 * _mean / np.sqrt((_g**2).mean(0))
    assert _near(_got, _true), "predicted_adam: lr · mean / √(mean of squares), over the steps"

# %%
STEPS = 20_000
rng = np.random.default_rng(5)
shares, noises = np.array([1, 0.3, 0.1, 0.03, 0.01]), np.array([0, 0.5, 1, 2, 5, 10])
sparse = (rng.random((STEPS, len(shares))) < shares).astype(float)
noisy = 1 + noises * rng.normal(size=(STEPS, len(noises)))
panels = {
    "Sparse: a gradient of 1, now and then": (shares, sparse, "share of steps with a gradient"),
    "Noisy: mean 1 and noise": (noises, noisy, "standard deviation of the noise"),
}
figure, axes = lk.figures.new_figure(1, 2, 3.3, f"{STEPS:,} steps, drawn with a fixed seed")
for ax, (title, (across, g, label)) in zip(axes[0], panels.items(), strict=True):
    runs = {
        "momentum SGD": (average_step(MomentumSGD, g, lr=1e-3), predicted_momentum(g, 1e-3, 0.9)),
        "Adam": (average_step(Adam, g, lr=1e-2), predicted_adam(g, 1e-2)),
    }
    for (name, (measured, formula)), colour in zip(
        runs.items(), (COLOURS[0], COLOURS[5]), strict=True
    ):
        ax.plot(across, formula, color=colour, label=f"{name}: formula")
        ax.plot(across, measured, "o", color=colour, label=f"{name}: measured")
    ax.set(title=title, xlabel=label, ylabel="average step")
axes[0, 0].set(xscale="log", yscale="log")
axes[0, 1].set_ylim(0)
axes[0, 0].legend(fontsize=8)
figure

# %% [markdown]
# The learning rates are chosen so that both move alike for a constant gradient of 1. On the left,
# from always to one step in a hundred, SGD slows down 100 times, Adam about 10 times. On the right,
# Adam slows down where noise drowns the mean. Neither is *better*: rare features profit from Adam,
# and SGD takes the mean as it is.

# %% [markdown]
# ## Now for real: handwritten digits
#
# MNIST: 28 x 28 grey pixels, ten digits. The simplest network is **softmax regression**: one affine
# map from 784 pixels to 10 logits, $z = Wx + b$, then the softmax.

# %%
mnist = lk.load_dataset("mnist")
mnist

# %%
train_loader, val_loader, test_loader = mnist.loaders(batch_size=128, normalize="none")
lk.figures.image_grid(
    mnist.train.images[:16], [str(int(i)) for i in mnist.train.labels[:16]], origin=mnist.origin
)

# %% [markdown]
# All parts are ready. For one image, $\nabla_z \ell = y - t$ (exercise 0.3), and an affine map turns
# what arrives at its output into $\nabla_W = (y - t)\,x^\top$ and $\nabla_b = y - t$ (exercise
# 0.2). The loss of a batch is the **mean** over its $n$ images. With the images as rows of $X$
# (n, 784), probabilities as rows of $Y$ and one-hot targets as rows of $T$, both (n, 10),
#
# $$\nabla_W = \frac{1}{n} (Y - T)^\top X, \qquad
# \nabla_b = \frac{1}{n} \sum_{\text{rows}} (Y - T) .$$

# %% [markdown]
# ### Exercise 0.9: the gradient of softmax regression
#
# Write `softmax_regression_gradients(W, b, X, labels)` with `W` (10, 784), `b` (10,), `X` (n, 784)
# and `labels` (n,), whole numbers from 0 to 9. It returns the gradient for `W`, then for `b`.
#
# <details><summary>Hint</summary>
#
# The logits of all images are `X @ W.T + b`. `np.eye(10)[labels]` gives the one-hot rows.
# </details>


# %%
# Exercise 0.9 - the gradient of softmax regression
def softmax_regression_gradients(W, b, X, labels):
    raise NotImplementedError("0.9: return the gradients for W and for b")


# %%
# Solution 0.9
def softmax_regression_gradients(W, b, X, labels):
    probabilities = softmax(X @ W.T + b)
    difference = (probabilities - np.eye(len(b))[labels]) / len(labels)
    return difference.T @ X, difference.sum(axis=0)


# %% [markdown] tags=["solution"]
# <details><summary>Why this is so</summary>
#
# $(Y - T)^\top X$ is the sum over the images of their outer products $(y - t)\,x^\top$. A pixel that
# is black (0) in all images of the batch has gradient 0 for all ten classes: at the rim of the
# images, these gradients are sparse.
# </details>

# %%
with lk.check("0.9", "softmax_regression_gradients"):
    _random = np.random.default_rng(6)
    _W, _b = 0.1 * _random.normal(size=(10, 784)), 0.1 * _random.normal(size=10)
    _X, _y = _random.random((7, 784)), np.array([3, 1, 4, 1, 5, 9, 2])
    _answer = softmax_regression_gradients(_W.copy(), _b.copy(), _X.copy(), _y.copy())
    assert _answer is not None, "the function gives None: is `return` missing?"
    assert isinstance(_answer, tuple | list) and len(_answer) == 2, (
        "return two arrays: the gradient for W, then the one for b"
    )
    _shapes = [tuple(np.shape(part)) for part in _answer]
    assert _shapes[0] != (784, 10), "the gradient for W must have the shape of W: (Y − T)ᵀ X"
    assert _shapes[0] != (10,) or _shapes[1] != (10, 784), "swapped: first for W, then for b"
    assert _shapes[1] != (7, 10), "the gradient for b: add up over the images"
    _leaves = [torch.tensor(v, requires_grad=True) for v in (_W, _b)]
    F.cross_entropy(torch.tensor(_X) @ _leaves[0].T + _leaves[1], torch.tensor(_y)).backward()
    for _name, _part, _leaf in zip("Wb", _answer, _leaves, strict=True):
        _true, _is = _leaf.grad.numpy(), f"the gradient for {_name}"
        _part = _array(_part, _true.shape, _is)
        assert not _near(_part, 7 * _true), f"{_is} is a sum: divide by the number of images"
        assert not _near(_part, 7 * _true / 10), f"{_is}: divide by the images, not the classes"
        assert not _near(_part, -_true), f"{_is} has the wrong sign: probabilities minus targets"
        _hot = np.eye(10)[_y]
        _no_target = _true + (_hot.T @ _X if _name == "W" else _hot.sum(0)) / 7
        assert not _near(_part, _no_target), f"{_is}: the targets are missing (Y − T)"
        assert _near(_part, _true), f"{_is} differs from autograd by {abs(_part - _true).max():.2g}"

# %% [markdown]
# ## Train: your gradient, your optimiser
#
# No autograd from here on. The weights start at zero. (For one layer that is fine: the loss is
# convex. Lab 03 shows why deeper networks cannot start so.)


# %%
def to_arrays(images, labels):
    """A batch as float64 rows of pixels and whole-number labels."""
    return images.flatten(1).double().cpu().numpy(), labels.cpu().numpy()


def predict(W, b, loader, split):
    """What softmax regression says of a split."""
    parts = [to_arrays(images, labels) for images, labels in loader]
    logits = np.concatenate([X @ W.T + b for X, _ in parts])
    labels = np.concatenate([y for _, y in parts])
    return lk.Predictions(logits, labels, split.classes, mnist.origin, loader.indices)


def train(optimizer_class, epochs=EPOCHS, c=1.0, seed=0, **settings):
    """Weights, and the validation loss before training and after each epoch."""
    lk.seed_everything(seed)
    W, b = np.zeros((10, 784)), np.zeros(10)
    optimizer = optimizer_class([W, b], **settings)
    losses = [predict(W, b, val_loader, mnist.val).loss]
    for _ in range(epochs):
        for images, labels in train_loader:
            gradients = softmax_regression_gradients(W, b, *to_arrays(images, labels))
            optimizer.step([c * g for g in gradients])
        losses.append(predict(W, b, val_loader, mnist.val).loss)
    return W, b, losses


# %% [markdown]
# First the proof: one epoch with your gradient and your Adam, and one with PyTorch's, on the same
# batches.

# %% tags=["nbval-check-output"]
W, b, _ = train(Adam, epochs=1)

lk.seed_everything(0)
W_torch = torch.zeros(10, 784, dtype=torch.float64, requires_grad=True)
b_torch = torch.zeros(10, dtype=torch.float64, requires_grad=True)
optimizer = torch.optim.Adam([W_torch, b_torch], lr=1e-3)
for images, labels in train_loader:
    X, y = images.flatten(1).double().cpu(), labels.cpu()
    optimizer.zero_grad()
    F.cross_entropy(X @ W_torch.T + b_torch, y).backward()
    optimizer.step()
print("weights equal to 1e-7:", bool(np.abs(W - W_torch.detach().numpy()).max() < 1e-7))

# %% [markdown]
# Now the comparison. An optimiser is only as good as its learning rate, so each gets three, and
# the **validation** loss chooses. This takes about 15 seconds.

# %%
grid = {MomentumSGD: (0.003, 0.03, 0.3), Adam: (0.0003, 0.003, 0.03)}
runs = {(kind, lr): train(kind, lr=lr) for kind, rates in grid.items() for lr in rates}
best = {kind: min(rates, key=lambda lr: runs[kind, lr][2][-1]) for kind, rates in grid.items()}

figure, axes = lk.figures.new_figure(1, 2, 3.3, mnist.origin, sharey=True)
for ax, (kind, rates) in zip(axes[0], grid.items(), strict=True):
    for lr, colour in zip(rates, COLOURS, strict=False):
        chosen = " (chosen)" if lr == best[kind] else ""
        ax.plot(runs[kind, lr][2], "o-", ms=4, color=colour, label=f"lr {lr:g}{chosen}")
    ax.set(title=kind.__name__, xlabel="epoch", ylim=(0.2, 1.0))
    ax.xaxis.get_major_locator().set_params(integer=True)
    ax.legend(fontsize=8)
axes[0, 0].set_ylabel("validation loss")
figure

# %% [markdown]
# (Before training the loss is $\log 10 \approx 2.30$, above the figure's edge: with zero weights
# every digit has the probability 1/10.)
#
# Now multiply all gradients by $c = 1/100$ and change nothing else. What should happen, after
# exercise 0.7? Write it down before you run the cell.

# %%
scaled = {kind: train(kind, c=0.01, lr=best[kind])[2] for kind in grid}
figure, axes = lk.figures.new_figure(height=3.0, origin=mnist.origin)
for (kind, losses), colour in zip(scaled.items(), (COLOURS[0], COLOURS[5]), strict=True):
    name = f"{kind.__name__}, lr {best[kind]:g}"
    axes[0, 0].plot(
        runs[kind, best[kind]][2], "-", color=colour, label=f"{name}: gradients as they are"
    )
    axes[0, 0].plot(losses, "o--", ms=5, color=colour, label=f"{name}: gradients / 100")
axes[0, 0].set(title="All gradients divided by 100", xlabel="epoch", ylabel="validation loss")
axes[0, 0].xaxis.get_major_locator().set_params(integer=True)
axes[0, 0].legend(fontsize=8)
figure

# %% [markdown]
# For each optimiser compare the dashed line with the solid one of the same colour. Adam's should lie
# on top of each other, almost: the gradients of some pixels are tiny, and there $\varepsilon$
# counts. Momentum SGD learns as with a learning rate a hundred times smaller.
#
# Is one of the two better on these data? Each with its chosen learning rate and three orders of
# the batches (seeds):

# %%
SEEDS = (0, 1, 2)
table = {}
for kind in grid:
    accuracies, losses = [], []
    for seed in SEEDS:
        W, b, _ = runs[kind, best[kind]] if seed == 0 else train(kind, lr=best[kind], seed=seed)
        on_validation = predict(W, b, val_loader, mnist.val)
        accuracies.append(100 * on_validation.accuracy)
        losses.append(on_validation.loss)
    table[f"{kind.__name__}, lr {best[kind]:g}"] = {
        "validation loss": np.mean(losses),
        "accuracy in %": np.mean(accuracies),
        "lowest seed": min(accuracies),
        "highest seed": max(accuracies),
        "seeds": len(SEEDS),
        "n": len(on_validation.labels),
    }
pd.DataFrame(table).T.round(3).astype({"seeds": int, "n": int})

# %% [markdown]
# Compare the difference between the rows with the spread between the seeds, before you say that one
# is better. The loss is convex, so both are on the way to the same minimum.
#
# ## The test set, once
#
# The run with your Adam and the learning rate that validation chose (seed 0) is the one to report.

# %%
W, b, _ = runs[Adam, best[Adam]]
result = predict(W, b, test_loader, mnist.test)
result

# %% [markdown]
# A network with one layer can be looked at: each row of $W$ is a picture. Blue pixels speak for
# the digit, red ones against it.

# %%
limit = np.quantile(np.abs(W), 0.99)
figure, axes = lk.figures.new_figure(2, 5, 4.0, mnist.origin)
for digit, ax in enumerate(axes.flat):
    image = ax.imshow(W[digit].reshape(28, 28), cmap="RdBu", vmin=-limit, vmax=limit)
    ax.set_title(f"weights for {digit}", fontsize=9)
    ax.set_axis_off()
figure.colorbar(image, ax=axes, label="weight", shrink=0.8)
figure

# %% [markdown]
# ## What to take away
#
# - A derivation is a claim. Autograd, or a second formula, can check it in seconds.
# - Probability minus target: the gradient of softmax with cross-entropy, and of sigmoid with its
#   own. One label: softmax. Many: sigmoid.
# - A linear layer's gradient is what arrives from above times what came in from below.
# - The Huber loss clips the pull of each point; so a few wrong targets do little harm.
# - Adam divides each step by the size of recent gradients: units cancel, up to `eps`. Momentum SGD
#   takes them as they are.
#
# **Write down, in two or three sentences each:**
#
# 1. A colleague changes the loss from a mean to a sum over a batch of 64. What must be changed for
#    momentum SGD, and what for Adam, to get the same training?
# 2. A point of your regression has a wrong $x$, far to the right. Does the Huber loss protect you?
# 3. Your network says "99 % sure". What can you do to make it say "80 %", and is it now a better
#    network?
# 4. `weight_decay` as an L2 term adds $\lambda w$ to the gradient. What happens to its strength in
#    Adam, where each gradient is divided by $\sqrt{\hat v}$?

# %% [markdown] tags=["solution"]
# <details><summary>Model answers</summary>
#
# 1. All gradients are 64 times as large. For momentum SGD divide the learning rate by 64. For Adam
#    hardly anything: the steps are the same up to `eps`; with 64 times the `eps` they are exactly
#    the same. (If the last batch is smaller, its factor is smaller too, and neither is exact.)
# 2. Not well. The residual's part is clipped to $\delta$, but it is multiplied by $x$, so a point
#    far out still has a long lever. Look at the data, or limit the influence of $x$ as well.
# 3. Divide its logits by a temperature above 1. The predictions stay the same, so its accuracy does
#    not change. It is better only in this: if it was too sure, its confidence is now more honest.
#    Validation data must show that.
# 4. It is divided by $\sqrt{\hat v}$ as well: weights with large gradients are decayed less than
#    others. AdamW, used in lab 06, therefore subtracts the decay directly from the weights,
#    outside the division.
# </details>

# %%
lk.report_result(
    "test accuracy", result, f"softmax regression, Adam by hand, {EPOCHS} epochs, 1 seed"
)
