# %% [markdown]
# # Lab 00 · The mathematics, checked by machine
#
# **You will learn** to derive the gradients that all later labs live on, to check each of them
# by machine, and to write an *optimiser*: the rule by which a network learns from its gradients.
# At the end your own gradient and your own optimiser learn to read handwritten digits.
#
# **You should know** Python and NumPy (arrays, broadcasting, `axis=`), partial derivatives and the
# chain rule, how to multiply matrices, and what an eigenvalue is. Nothing about networks: every
# term of the trade is explained where it comes first.
#
# **Time:** about four hours with pencil and paper, in two sittings (a good place for a break is
# marked). All cells together compute for less than a minute.

# %%
import tracemalloc

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
# **How this lab works.** You derive each formula on paper and write it in NumPy; the check then
# compares it with PyTorch, which differentiates by machine (*autograd*). So derive, try, and let the
# machine object. The first hint gives the idea, the second the names in NumPy. (`lk.judge.as_array`
# makes an array of your answer.)
#
# ## PyTorch as a judge, in six lines
#
# A **tensor** is PyTorch's array. With `requires_grad=True` it remembers what is computed from it.
# `backward()`, called on a single number, goes back through all of it and puts the **gradient**, the
# derivative for each entry, into `.grad`.

# %% tags=["nbval-check-output"]
leaf = torch.tensor([1.0, 2.0, 3.0], requires_grad=True)
(leaf**2).sum().backward()  # the derivative of x² is 2x
print("after one call:  ", leaf.grad)
(leaf**2).sum().backward()
print("after a second:  ", leaf.grad)
print("back to NumPy:   ", leaf.detach().numpy())


# %% [markdown]
# The second call **added** to `.grad`. That is why every training loop in PyTorch sets the
# gradients to zero before it computes new ones (`optimizer.zero_grad()`). `detach()` gives the bare
# numbers, without the memory of where they came from.
#
# ## Softmax with a temperature
#
# A classifier gives one number a class, the **logits** $z$: any real numbers, the larger the more
# likely. The softmax turns them into probabilities $y$. The **temperature** $\tau > 0$ sets how far
# apart they are:
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
    ax.set(title=f"temperature {tau}", xlabel="class", ylim=(0, 1.12), xticks=range(4))
axes[0, 0].set_ylabel("probability")
figure

# %% [markdown]
# <details><summary>Answer</summary>
#
# The order of the classes stays the same at every temperature: $e^{z/\tau}$ rises with $z$. What
# changes is how far apart the probabilities are. A low temperature sharpens, a high one flattens.
# </details>
#
# ### The derivative
#
# How does each probability change with each logit? There are $C$ probabilities and $C$ logits, so
# the answer is a matrix, the **Jacobian** $J$ with $J_{ij} = \partial y_i / \partial z_j$. Derive
# it before you read on. The logarithm makes it short:
#
# $$\log y_i = \frac{z_i}{\tau} - \log \sum_k e^{z_k/\tau}$$

# %% [markdown]
# ### Exercise 0.1: softmax and its Jacobian
#
# Write `softmax(logits, temperature)`: the classes lie on the **last** axis, so that it takes one
# row (C,) or many (N, C). It must survive a logit of 1000, in any row. Then derive $J$ and write
# `softmax_jacobian(logits, temperature)`, which gives the matrix (C, C) for one row (C,).
#
# <details><summary>Hint 1: the idea</summary>
#
# Subtracting the same number from all logits of a row changes nothing: it cancels. So subtract the
# row's largest one, and no `exp` can overflow. For $J$: differentiate $\log y_i$ by $z_j$ (two
# terms; the first is there only for $i = j$). Then use
# $\frac{\partial y_i}{\partial z_j} = y_i \, \frac{\partial \log y_i}{\partial z_j}$.
# </details>
# <details><summary>Hint 2: in NumPy</summary>
#
# `keepdims=True` keeps an axis for broadcasting. `np.diag(y)` puts a vector on a diagonal,
# `np.outer(u, v)` has the entries $u_i v_j$.
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
# the largest exponent is 0. The derivative of the second term of $\log y_i$ is $-y_j/\tau$, so
# $\frac{\partial \log y_i}{\partial z_j} = \frac{1}{\tau}([i = j] - y_j)$, where $[i = j]$ is 1 for
# $i = j$ and 0 otherwise. Times $y_i$:
#
# $$J_{ij} = \frac{1}{\tau}\bigl(y_i [i = j] - y_i y_j\bigr)
# \qquad\text{or}\qquad
# J = \frac{1}{\tau}\left(\operatorname{diag}(y) - y\,y^\top\right).$$
#
# $J$ is symmetric, and each of its rows adds up to
# $\frac{1}{\tau}(y_i - y_i \sum_j y_j) = 0$: raising all logits together changes nothing.
# </details>

# %%
with lk.check("0.1", "softmax", "softmax_jacobian"):
    _logits = np.array([[2.0, 1.0, 0.1, -1.0, 0.6], [0.0, 3.0, -2.0, 1.0, -0.4]])
    for _tau, _classes in ((0.4, 4), (3.0, 5), (1.0, 4)):
        _z, _given = _logits[:, :_classes], () if _tau == 1 else (_tau,)  # 1 is the default
        _soft = [torch.softmax(torch.tensor(_z) * f, -1).numpy() for f in (1 / _tau, _tau, 1.0)]
        _y = lk.judge.call(softmax, _z, *_given)
        _y = lk.judge.read_array(_y, _z.shape, "softmax of two rows")
        _e = np.exp(_z / _tau)
        _slips = {
            "divide the logits by the temperature, do not multiply": _soft[1],
            "the temperature changes nothing: divide the logits by it": _soft[2],
            "divide inside the exponent: e^(z/τ), not e^z/τ": _e / _tau / _e.sum(-1)[:, None],
            "these are the logarithms of the probabilities": np.log(_soft[0]),
            "this is the sigmoid of each logit: divide by the sum over the classes": 1
            / (1 + np.exp(-_z / _tau)),
        }
        assert not lk.judge.near(_y.sum(), 1.0), (
            "the whole array adds up to 1: sum along the last axis only"
        )
        assert not lk.judge.near(_y.sum(0), np.ones(_classes)), (
            "the columns add up to 1, but each row must: sum along the last axis, not the first"
        )
        lk.judge.compare(_y, _soft[0], _slips, "softmax differs from PyTorch's")
        _row = lk.judge.call(softmax, _z[0], *_given)
        _row = lk.judge.read_array(_row, (_classes,), "softmax of one row")
        assert lk.judge.near(_row, _soft[0][0]), (
            "softmax is right for two rows, but not for one: use the last axis, axis=-1"
        )
        _row, _eye = torch.tensor(_z[0]), np.eye(_classes)
        _true = torch.autograd.functional.jacobian(lambda z, t=_tau: torch.softmax(z / t, 0), _row)
        _true, _y = _true.numpy(), torch.softmax(_row / _tau, 0).numpy()
        _cold, _outer = torch.softmax(_row, 0).numpy(), np.outer(_y, _y)
        _j = lk.judge.call(softmax_jacobian, _z[0], *_given)
        _j = lk.judge.read_array(_j, _eye.shape, f"softmax_jacobian of {_classes} logits")
        _slips = {
            "the sign is wrong: what is on the diagonal must be positive": -_true,
            "the factor 1/τ is missing": _true * _tau,
            "the factor 1/τ is there twice": _true / _tau,
            "1/τ belongs to both terms: mind the brackets": np.diag(_y) - _outer / _tau,
            "1/τ belongs to both terms, also to y yᵀ": np.diag(_y) / _tau - _outer,
            "y must be the softmax at this temperature": (np.diag(_cold) - np.outer(_cold, _cold))
            / _tau,
            "off the diagonal there must be −y_i y_j/τ": np.diag(np.diag(_true)),
            "y yᵀ is missing": np.diag(_y) / _tau,
            "y yᵀ is subtracted, not added": (np.diag(_y) + _outer) / _tau,
            "1/τ belongs to both terms: divide y yᵀ by τ as well": np.diag(_y) - _outer * _tau,
            "`y * y` is a vector; y yᵀ is a matrix (np.outer)": (np.diag(_y) - _y * _y) / _tau,
            "`y @ y` of a vector is one number; y yᵀ is a matrix": (np.diag(_y) - _y @ _y) / _tau,
            "the first term is y_i on the diagonal, not 1": (_eye - _outer) / _tau,
            "this is the derivative of log y: multiply row i by y_i": (_eye - _y) / _tau,
        }
        lk.judge.compare(_j, _true, _slips, f"at temperature {_tau}, J differs from autograd's")
    _low = [-1000.0, -1000.0]  # with these the mean or the smallest logit is no help
    _much = np.array([[1000.0, 999.0, *_low], [0.0, 1.0, 0.0, 0.0], [-1000.0, -999.0, *_low]])
    _cases = [(rows, tau) for tau in (1.0, 0.25, 50.0) for rows in (*_much, _much)]
    for _rows, _tau in (*_cases, (np.array([1e3, 0]), 1e3)):
        _y = lk.judge.as_array(lk.judge.call(softmax, _rows, _tau))
        _case = f"logits of {_rows.tolist()} at temperature {_tau:g} give "
        assert np.isfinite(_y).all(), (
            f"{_case}NaN: exp over- or underflows; subtract the largest z/τ of **each row** first"
        )
        # to 1e-3: float32 has no more left beside a logit of 1000
        assert lk.judge.near(_y, torch.softmax(torch.tensor(_rows / _tau), -1).numpy(), 1e-3), (
            f"{_case}wrong probabilities: divide by τ before exp, subtract the largest, cut nothing"
        )

# %% [markdown]
# Your Jacobian and autograd's, in numbers:

# %% tags=["nbval-check-output"]
by_hand = lk.judge.as_array(softmax_jacobian(logits, 2.0))
by_machine = torch.autograd.functional.jacobian(
    lambda z: torch.softmax(z / 2.0, 0), torch.tensor(logits)
).numpy()
print("J at temperature 2:")
print(np.round(by_hand, 4))
print("equal to autograd to 1e-6:", bool(np.abs(by_hand - by_machine).max() < 1e-6))
print("each row adds up to 0:", bool(np.abs(by_hand.sum(axis=1)).max() < 1e-6))

# %% [markdown]
# ### What the temperature does to confidence
#
# The largest probability is called the **confidence**. Before you move the slider: what becomes of
# it for $\tau \to 0$, and for $\tau \to \infty$? Which of the two rows loses its confidence first?

# %%
temperatures = np.geomspace(0.05, 100, 120)
rows = {"logits 2, 1, 0.1, −1": logits, "logits 1.2, 1, 0.8, 0.7": np.array([1.2, 1, 0.8, 0.7])}


def draw_confidence(temperature):
    figure, axes = lk.figures.new_figure(1, 2, 3.0, "logits chosen by hand", sharey=True)
    for shift, ((name, row), colour) in enumerate(zip(rows.items(), COLOURS, strict=False)):
        y = lk.judge.as_array(softmax(row, temperature))
        curve = [lk.judge.as_array(softmax(row, tau)).max() for tau in temperatures]
        axes[0, 0].bar(np.arange(4) + 0.4 * shift, y, 0.4, color=colour)
        axes[0, 1].plot(temperatures, curve, color=colour, label=name)
        axes[0, 1].plot(temperature, y.max(), "o", color=colour)
    axes[0, 1].axhline(1 / 4, color="0.4", linestyle=":", label="1/C for C = 4 classes")
    axes[0, 0].set(title=f"temperature {temperature}", xlabel="class", ylabel="probability")
    axes[0, 0].set_xticks(np.arange(4) + 0.2, range(4))
    axes[0, 1].set(xscale="log", xlabel="temperature τ", ylim=(0, 1.05), title="confidence")
    axes[0, 1].legend(fontsize=8)
    return figure


lk.explore(draw_confidence, temperature=[0.1, 0.25, 0.5, 1, 2, 4, 10, 50])

# %% [markdown]
# <details><summary>Answer</summary>
#
# For $\tau \to 0$ the largest logit takes all (if it is the only largest one); for
# $\tau \to \infty$ all $C$ classes get $1/C$. The row whose logits lie closer together loses its
# confidence first: only differences of logits count, and they are divided by $\tau$. The
# prediction, the *place* of the largest logit, never changes. So a network can be made more or less
# sure without changing a single prediction: lab 02 uses this.
# </details>
#
# ### Never the whole matrix
#
# A network is a chain of functions that ends in one number, the loss $\ell$. What a softmax
# somewhere in this chain receives from behind is $g_i = \partial \ell / \partial y_i$, one number a
# class, and what it must hand on is $\partial \ell / \partial z_j$. By the chain rule
#
# $$\frac{\partial \ell}{\partial z_j} = \sum_i \frac{\partial y_i}{\partial z_j}\, g_i
# \qquad\text{or}\qquad \nabla_z \ell = J^\top g .$$
#
# For 1,000 classes and a batch of 64 images, $J$ would take 64 million numbers. Nobody builds it:
# put your $J$ into the product, multiply out, and the matrix disappears.

# %% [markdown]
# ### Exercise 0.2: a vector times the Jacobian
#
# Write `softmax_backward(y, g, temperature)`: it gets the probabilities `y` (already computed) and
# `g`, both (C,) or both (N, C), and returns $J^\top g$ in the same shape, row by row, **without** a
# matrix C x C.
#
# <details><summary>Hint 1: the idea</summary>
#
# $\operatorname{diag}(y)\,g$ is a product entry by entry. In $y\,y^\top g$ begin from the right:
# what is $y^\top g$?
# </details>
# <details><summary>Hint 2: in NumPy</summary>
#
# `y * g` multiplies entry by entry; `.sum(axis=-1, keepdims=True)` adds up each row.
# </details>


# %%
# Exercise 0.2 - a vector times the Jacobian
def softmax_backward(y, g, temperature=1.0):
    raise NotImplementedError("0.2: the gradient by the logits, without a matrix")


# %%
# Solution 0.2
def softmax_backward(y, g, temperature=1.0):
    mean = (y * g).sum(axis=-1, keepdims=True)
    return y * (g - mean) / temperature


# %% [markdown] tags=["solution"]
# <details><summary>Why this is so</summary>
#
# $J^\top g = \frac{1}{\tau}\bigl(y \odot g - y\,(y^\top g)\bigr)$, where $\odot$ multiplies entry by
# entry: two vectors and one number. $y^\top g$ is the mean of $g$ under the probabilities, so each
# logit is moved by how far its $g_i$ lies from that mean. What all classes share falls out.
# </details>

# %%
with lk.check("0.2", "softmax_backward"):
    _random = np.random.default_rng(7)
    for _tau, _size in ((0.4, (2, 4)), (3.0, (3, 5)), (1.0, (2, 4))):
        _y = torch.softmax(torch.tensor(_random.normal(size=_size)), -1).numpy()
        _g, _given = _random.normal(size=_size), () if _tau == 1 else (_tau,)  # 1 is the default
        _dot = (_y * _g).sum(-1, keepdims=True)
        _true = np.stack([(np.diag(y) - np.outer(y, y)).T @ g for y, g in zip(_y, _g, strict=True)])
        _true = _true / _tau
        _answer = lk.judge.call(softmax_backward, _y[0], _g[0], *_given)
        _got = lk.judge.read_array(_answer, _size[1:], "softmax_backward of one row")
        _shape = lk.judge.as_array(_answer).shape
        assert _shape == _size[1:], f"{_size[1:]} comes back as {_shape}: keep the shape of y"
        _p, _q, _d = _y[0], _g[0], _dot[0]
        _again = torch.softmax(torch.tensor(_p) / _tau, 0).numpy()
        _slips = {
            "the sign is wrong: diag(y) g minus y (yᵀg)": -_true[0],
            "the factor 1/τ is missing": _true[0] * _tau,
            "the factor 1/τ is there twice": _true[0] / _tau,
            "divide by τ, do not multiply": _true[0] * _tau**2,
            "the second term is subtracted: g − yᵀg": _p * (_q + _d) / _tau,
            "yᵀg is the sum of y·g, not their mean": _p * (_q - _d / len(_p)) / _tau,
            "the factor y in front is missing": (_q - _d) / _tau,
            "y and g are swapped": _q * (_p - _d) / _tau,
            "subtract yᵀg, the mean under y, not the plain sum of g": _p * (_q - _q.sum()) / _tau,
            "subtract yᵀg, the mean under y, not the plain mean": _p * (_q - _q.mean()) / _tau,
            "this is only the diagonal of J: each logit moves all y": _p * (1 - _p) * _q / _tau,
            "the second term, y (yᵀg), is missing": _p * _q / _tau,
            "yᵀg is a number, and it is multiplied by y": (_p * _q - _d) / _tau,
            "1/τ belongs to both terms: mind the brackets": _p * _q - _p * _d / _tau,
            "y is a softmax already, do not take it again": _again * (_q - _again @ _q) / _tau,
        }
        lk.judge.compare(
            _got, _true[0], _slips, f"at temperature {_tau} it differs from J transposed times g"
        )
        _got = lk.judge.read_array(
            lk.judge.call(softmax_backward, _y, _g, *_given), _size, "softmax_backward of rows"
        )
        _slips = {
            f"one row is right, two are mixed: sum along the last axis, not {words}": _y
            * (_g - (_y * _g).sum(axis))
            / _tau
            for words, axis in {"over the whole array": None, "the first": 0}.items()
        }
        lk.judge.compare(_got, _true, _slips, "one row is right, but two rows are not")

    class _Largest(torch.overrides.TorchFunctionMode):  # tracemalloc sees no tensors
        size = 0

        def __torch_function__(self, function, types, args=(), kwargs=None):
            answer = function(*args, **(kwargs or {}))
            self.size = max(self.size, getattr(answer, "nbytes", 0))
            return answer

    _y, _g = np.full((2, 2000), 1 / 2000), np.arange(4000.0).reshape(2, 2000)
    tracemalloc.start()
    try:
        with _Largest() as _largest:
            for _row in (0, [0, 1]):  # one row, and both
                lk.judge.call(softmax_backward, _y[_row], _g[_row], 1.0)
        _peak = max(tracemalloc.get_traced_memory()[1], _largest.size)
    finally:
        tracemalloc.stop()
    assert _peak < 16e6, (
        f"with 2,000 classes it takes {_peak / 1e6:.0f} MB, so a matrix C x C was built: multiply "
        "out first, then only vectors are left"
    )

# %% [markdown]
# This is what `backward()` does: each operation in PyTorch knows one such product, never its
# matrix, and `backward()` calls them from the last to the first. In lab 04 you build a library that
# works so.
#
# Its first use. A **one-hot** target $t$ is 1 for the true class and 0 for the others. The
# **cross-entropy** is minus the logarithm of the true class's probability,
# $\ell = -\sum_i t_i \log y_i$: 0 for a sure and right answer, large for a sure and wrong one. What
# is its $g_i = \partial \ell / \partial y_i$, and what does your function make of it (for
# $\tau = 1$)? Work it out before you run the cell.

# %% tags=["nbval-check-output"]
y, t = lk.judge.as_array(softmax(logits)), np.array([0.0, 1.0, 0.0, 0.0])
print("by the chain: ", np.round(lk.judge.as_array(softmax_backward(y, -t / y)), 4))
print("y − t:        ", np.round(y - t, 4))

# %% [markdown]
# <details><summary>Answer</summary>
#
# $g_i = -t_i / y_i$, so $y^\top g = -\sum_i t_i = -1$, and
# $y_i\,(g_i - y^\top g) = -t_i + y_i$. **Probability minus target**: the $1/y_i$ that could have
# become huge has gone. This is the gradient from which nearly every classifier learns.
# </details>
#
# ## Least squares
#
# An affine map with a matrix $A$ and a vector $b$ should send the input $x$ to the target $t$. The
# **residual** is $r = Ax + b - t$, and the loss is
#
# $$\ell = \tfrac12 \lVert r \rVert^2 = \tfrac12 \sum_i r_i^2, \qquad
# r_i = \sum_k A_{ik} x_k + b_i - t_i .$$
#
# Its gradient for $b$ is a vector, its gradient for $A$ a matrix: a gradient has the shape of what
# one differentiates by. That alone finds many mistakes.

# %% [markdown]
# ### Exercise 0.3: the gradients of least squares
#
# Derive $\nabla_A\, \ell$ and $\nabla_b\, \ell$. Then write `least_squares_gradients(A, x, b, t)`.
# It returns two arrays, first $\nabla_A$, then $\nabla_b$.
#
# <details><summary>Hint 1: the idea</summary>
#
# The chain rule goes through the residuals. What is $\partial \ell / \partial r_i$? Which of the
# $r_i$ contain $b_j$, and which contain $A_{jk}$, and with what factor? Write the result with
# indices first; then see which vectors and matrices they are.
# </details>
# <details><summary>Hint 2: in NumPy</summary>
#
# `A @ x` is the matrix times the vector. `np.outer(u, v)` has one row for each entry of `u`.
# </details>


# %%
# Exercise 0.3 - the gradients of least squares
def least_squares_gradients(A, x, b, t):
    raise NotImplementedError("0.3: return the gradients for A and for b")


# %%
# Solution 0.3
def least_squares_gradients(A, x, b, t):
    residual = A @ x + b - t
    return np.outer(residual, x), residual


# %% [markdown] tags=["solution"]
# <details><summary>Why this is so</summary>
#
# $\partial \ell / \partial r_i = r_i$: the ½ cancels the 2 of the square. Only $r_j$ contains $b_j$,
# with the factor 1, and only $r_j$ contains $A_{jk}$, with the factor $x_k$. So
# $\partial \ell / \partial b_j = r_j$ and $\partial \ell / \partial A_{jk} = r_j x_k$, that is
#
# $$\nabla_b\, \ell = r, \qquad \nabla_A\, \ell = r\,x^\top .$$
#
# Every linear layer of every network has this gradient: what arrives from behind ($r$ here) times
# what came in from the front ($x$). For many examples the gradients are summed or, with a mean in
# the loss, averaged.
# </details>

# %%
with lk.check("0.3", "least_squares_gradients"):
    _random = np.random.default_rng(1)
    _A, _x = _random.normal(size=(3, 5)), _random.normal(size=5)
    _b, _t = _random.normal(size=3), _random.normal(size=3)
    try:
        _answer = lk.judge.call(least_squares_gradients, _A, _x, _b, _t)
    except AssertionError as error:
        assert "(3,) (5,)" not in str(error), "∇_A is a matrix, r xᵀ (np.outer), not r * x"
        raise
    _answer = lk.judge.read_pair(_answer, "first the gradient for A, then the one for b")
    _shapes = [lk.judge.as_array(part, None).shape for part in _answer]
    assert _shapes[1] != (3, 5), "swapped: first the gradient for A, then the one for b"
    assert _shapes[0] != (5, 3), "∇_A must have the shape of A, (3, 5): it is r xᵀ, not x rᵀ"
    _leaf_A, _leaf_b = (torch.tensor(v, requires_grad=True) for v in (_A, _b))
    _r = _leaf_A @ torch.tensor(_x) + _leaf_b - torch.tensor(_t)
    (0.5 * (_r**2).sum()).backward()
    for _name, _part, _leaf in zip("Ab", _answer, (_leaf_A, _leaf_b), strict=True):
        _true = _leaf.grad.numpy()

        def _with(r, name=_name):
            return np.outer(r, _x) if name == "A" else r

        _slips = {
            "of the wrong sign: r is Ax + b − t, and the gradient points uphill": -_true,
            "twice too large: the ½ cancels the 2 of the square": 2 * _true,
            "half as large as it is: the 2 of the square cancels the ½, no ½ is left": _true / 2,
            "a mean here: the loss is a sum over the residuals": _true / 3,
            "without b: r is Ax + b − t": _with(_A @ _x - _t),
            "without the target: r is Ax + b − t": _with(_A @ _x + _b),
            "made of Ax + b + t: the target is subtracted": _with(_A @ _x + _b + _t),
            "made of the loss: ½ r² has the derivative r": _with(_r.detach().numpy() ** 2 / 2),
            "made of ones: r itself is missing": _with(np.ones(3)),
        }
        _slips = {f"∇_{_name} is {words}": slip for words, slip in _slips.items()}
        _part = lk.judge.read_array(_part, _true.shape, f"∇_{_name}")
        lk.judge.compare(_part, _true, _slips, f"∇_{_name} differs from autograd's")
    _A = _random.normal(size=(4, 6))
    _part = lk.judge.call(least_squares_gradients, _A, _A[0], _A[:, 1], _A[:, 2])[0]
    _true = np.outer(_A @ _A[0] + _A[:, 1] - _A[:, 2], _A[0])
    assert lk.judge.near(lk.judge.as_array(_part), _true), "right for A (3, 5), wrong for A (4, 6)"

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
# <details><summary>Answer</summary>
#
# Left, the other classes lose what the first one gains. Right, they stay as they were: each sigmoid
# sees its own logit only.
# </details>
#
# With targets $t$ (ones and zeros), the two losses are
#
# $$\ell_{\text{softmax}} = -\sum_i t_i \log y_i \ \text{ with } y = \operatorname{softmax}(z)$$
#
# $$\ell_{\text{sigmoid}} = -\sum_i \bigl[t_i \log p_i + (1 - t_i) \log(1 - p_i)\bigr]
# \ \text{ with } p_i = \sigma(z_i).$$
#
# The first is the cross-entropy and wants exactly one 1 in $t$; you have just met its gradient.
# The second, the *binary* cross-entropy, allows any number of ones. Derive its gradient.

# %% [markdown]
# ### Exercise 0.4: which output, and its gradient
#
# First choose `"softmax"` or `"sigmoid"` for each task. Then write
# `loss_gradient(logits, targets, output)`: the gradient of the matching loss above by the logits,
# for one row (C,), with $\tau = 1$.
#
# <details><summary>Hint 1: the idea</summary>
#
# Ask of each task: can two answers be true at once? For the sigmoid you need
# $\sigma' = \sigma(1 - \sigma)$. Find $\frac{d \log p}{dz}$ and $\frac{d \log(1 - p)}{dz}$ with it,
# put them into the loss, and multiply out.
# </details>
# <details><summary>Hint 2: in NumPy</summary>
#
# `if output == "softmax":` … `np.exp(-logits)` works entry by entry.
# </details>

# %%
# Exercise 0.4 - one label or many
output_layer = {
    "the type of one white blood cell": ...,
    "the findings in a chest X-ray": ...,
    "the digit in a picture of one digit": ...,
    "the genes mutated in a tumour": ...,
}


def loss_gradient(logits, targets, output):
    raise NotImplementedError("0.4: the gradient by the logits")


# %%
# Solution 0.4
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
# $\frac{d \log p}{dz} = 1 - p$ and $\frac{d \log(1 - p)}{dz} = -p$, so the derivative is
# $-t(1 - p) + (1 - t)p = p - t$. Both gradients are *probability minus target*: bounded, zero only
# where the prediction equals the target, and without a factor $p(1 - p)$ that would make a
# confident mistake learn slowly. That is why these losses belong to these outputs. PyTorch's
# `binary_cross_entropy_with_logits` takes the mean over the labels unless told otherwise, so its
# gradient is divided by their number.
# </details>

# %%
with lk.check("0.4", "output_layer", "loss_gradient"):
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
    for _output, _t in (
        ("softmax", [0, 0, 1, 0]),
        ("sigmoid", [1, 0, 1, 0]),
        ("sigmoid", [0, 1, 0, 0, 0]),
        ("softmax", [0, 0, 0, 0, 1]),
    ):
        _t, _z = np.array(_t, float), np.array([1.5, -0.3, 0.4, -2.0, 0.9])[: len(_t)]
        _p, _other = torch.softmax(torch.tensor(_z), 0).numpy(), 1 / (1 + np.exp(-_z))
        if _output == "sigmoid":
            _p, _other = _other, _p
        _true = _p - _t
        _got = lk.judge.read_array(
            lk.judge.call(loss_gradient, _z, _t, _output), _t.shape, f"the {_output} gradient"
        )
        _slips = {
            "the sign is wrong, probability minus target": -_true,
            "these are the probabilities; the target is missing": _p,
            "the loss is a sum, do not divide by C": _true / len(_t),
            "there is no factor p(1 − p); it cancels": _true * _p * (1 - _p),
            "this is the other output's": _other - _t,
            "σ(z) is 1/(1 + e^(−z)): mind the sign in the exponent": 1 - _p - _t,
            "the factor (1 − t) p is missing: the zeros among the targets count too": -_t
            * (1 - _p),
            "this is the gradient by the probabilities; go on to the logits": -_t / _p
            + ((1 - _t) / (1 - _p) if _output == "sigmoid" else 0),
            "the target is subtracted from the logits; first make probabilities": _z - _t,
            "this is the loss of each class, not its gradient": -_t * np.log(_p)
            - ((1 - _t) * np.log(1 - _p) if _output == "sigmoid" else 0),
        }
        _slips = {f"{_output}: {words}": slip for words, slip in _slips.items()}
        lk.judge.compare(_got, _true, _slips, f"{_output}: differs from autograd's")

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
# At $|r| = \delta$ both give $\tfrac12 \delta^2$. Sketch its derivative before you go on.
#
# For $n$ points with inputs $x_i$ (a row of features each), and with an **L2 term** that keeps the
# weights small,
#
# $$L(w, b) = \frac{1}{n} \sum_{i=1}^n h_\delta(r_i) + \frac{\lambda}{2} \lVert w \rVert^2,
# \qquad r_i = x_i^\top w + b - t_i .$$
#
# The intercept $b$ is left out of the L2 term, as usual: it only moves the line up and down.
#
# **A question first.** For the squared loss, $\nabla L = 0$ can be solved in one step. Can it for
# Huber's? Write down why (or why not) before you open the answer.
#
# <details><summary>Answer</summary>
#
# For the squared loss, $\nabla L = 0$ is one linear system in $w$ and $b$. For Huber's it would be
# linear too, if one knew *which* residuals lie beyond $\delta$. But that depends on $w$ and $b$,
# which one is looking for. So one starts somewhere and walks downhill. The loss is convex, so no
# valley leads astray.
# </details>

# %% [markdown]
# ### Exercise 0.5: the gradient of the Huber loss
#
# Derive the gradients of $L$. Write `huber_gradients(X, t, w, b, delta, weight_decay)` with `X`
# (n, features), `t` (n,), `w` (features,), and `weight_decay` for $\lambda$. It returns the
# gradient for `w`, then for `b`.
#
# <details><summary>Hint 1: the idea</summary>
#
# What is $h_\delta'(r)$ inside, and what is it outside, on each side? Then the chain rule as in
# exercise 0.3, for each point, and the mean over the points. The L2 term does not know the data.
# </details>
# <details><summary>Hint 2: in NumPy</summary>
#
# `np.clip(r, low, high)` cuts each number to a range. `X.T @ pull` sums `pull[i] * X[i]` over all
# points.
# </details>


# %%
# Exercise 0.5 - the gradient of the Huber loss
def huber_gradients(X, t, w, b, delta, weight_decay):
    raise NotImplementedError("0.5: return the gradients for w and for b")


# %%
# Solution 0.5
def huber_gradients(X, t, w, b, delta, weight_decay):
    residuals = X @ w + b - t
    pull = np.clip(residuals, -delta, delta)
    return X.T @ pull / len(t) + weight_decay * w, pull.mean()


# %% [markdown] tags=["solution"]
# <details><summary>Why this is so</summary>
#
# $h_\delta'(r)$ is $r$ inside and $\pm\delta$ outside: $r$ **clipped** to $[-\delta, \delta]$. So
#
# $$\nabla_w L = \frac{1}{n} \sum_i \operatorname{clip}(r_i)\, x_i + \lambda w, \qquad
# \frac{\partial L}{\partial b} = \frac{1}{n} \sum_i \operatorname{clip}(r_i) .$$
#
# It is the least-squares gradient with clipped residuals. A point's pull on $b$ is at most
# $\delta$, its pull on $w$ at most $\delta$ times its $x_i$. A point far out *in x* can therefore
# still pull hard: Huber's loss protects against wrong targets, not against wrong inputs.
# </details>

# %%
with lk.check("0.5", "huber_gradients"):
    _random = np.random.default_rng(2)
    _X, _t = _random.normal(size=(12, 3)), 3 * _random.normal(size=12)
    _w, _b = _random.normal(size=3), 0.7
    for _n, _delta, _decay in ((12, 100.0, 0.0), (12, 0.8, 0.0), (9, 0.8, 0.3)):
        _X, _t = _X[:_n], _t[:_n]
        try:
            _answer = lk.judge.call(huber_gradients, _X, _t, _w, _b, _delta, _decay)
        except AssertionError as error:
            assert "12,3)" not in str(error) and "(3,12)" not in str(error), (
                "each pull times its own row of X, added up: X.T @ pull, not pull * X"
            )
            raise
        _answer = lk.judge.read_pair(_answer, "the gradient for w, then the one for b")
        _sizes = [lk.judge.as_array(part, None).size for part in _answer]
        assert _sizes != [1, 3], "swapped: first the gradient for w, then the one for b"
        _leaf_w = torch.tensor(_w, requires_grad=True)
        _leaf_b = torch.tensor(_b, requires_grad=True, dtype=torch.float64)
        _prediction = torch.tensor(_X) @ _leaf_w + _leaf_b
        _loss = F.huber_loss(_prediction, torch.tensor(_t), delta=_delta)
        (_loss + 0.5 * _decay * (_leaf_w**2).sum()).backward()
        _r, _case = _prediction.detach().numpy() - _t, f" (δ = {_delta:g}, λ = {_decay:g})"
        for _name, _part, _leaf in zip("wb", _answer, (_leaf_w, _leaf_b), strict=True):
            _true, _is = _leaf.grad.numpy(), f"the gradient for {_name}"

            def _mean(pull, X=_X, name=_name, decay=_decay):
                return X.T @ pull / len(X) + decay * _w if name == "w" else pull.mean()

            _in, _cut, _l2 = abs(_r) <= _delta, np.clip(_r, -_delta, _delta), _decay * _w
            _outside = {
                "the slope outside is ±δ, not ±1": np.sign(_r),
                "outside, the slope has the sign of r: −δ on the left": _delta,
                "outside, the slope is ±δ, not 0: far points still pull": 0,
                "outside, the slope is ±δ with the sign of r, not δ|r|": _delta * abs(_r),
                "outside, this is the loss; its slope there is ±δ": _delta * (abs(_r) - _delta / 2),
                "outside, the slope is ±δ; r does not come in again": _delta * _r,
            }
            _slips = {words: _mean(np.where(_in, _r, out)) for words, out in _outside.items()}
            _slips |= {
                "the residuals are not clipped": _mean(_r),
                "r is clipped on both sides, from −δ to δ": _mean(np.clip(_r, 0, _delta)),
                "r can also be below −δ: clip on both sides": _mean(np.minimum(_r, _delta)),
                "this is the loss of the residuals, not its derivative": _mean(
                    np.where(_in, _r**2 / 2, _delta * (abs(_r) - _delta / 2))
                ),
                "twice too large: the ½ cancels the 2 of the square": 2
                * _mean(_cut, decay=_decay / 2),
                "divided by δ, as in smooth_l1_loss: the slope inside is r": _mean(_cut / _delta),
                "the wrong sign: r is Xw + b − t": _mean(-_cut),
                "b is missing in the residuals": _mean(np.clip(_r - _b, -_delta, _delta)),
                "this is a sum: divide by n": _n * _mean(_cut, decay=_decay / _n),
                "the L2 term is no part of the mean, only the data are divided by n": _mean(
                    _cut, decay=_decay / _n
                ),
                "divide by the number of points, not by the features": _mean(_n / 3 * _cut),
                "divide by the number of points, len(t), not by 12": _mean(_n / 12 * _cut),
                "the clip belongs to each residual, not to the finished gradient": np.clip(
                    _mean(_r), -_delta, _delta
                ),
            }
            if _name == "w":
                _terms = {"missing": 1, "there twice": -1, "halved": 0.5, "subtracted: add it": 2}
                _slips |= {f"the L2 term λw is {k}": _true - f * _l2 for k, f in _terms.items()}
                _slips |= {
                    "the L2 term is λw, not λ‖w‖": _true - _l2 + _decay * np.linalg.norm(_w),
                    "the L2 term is λw, not λ‖w‖²/2": _true - _l2 + _decay * _w @ _w / 2,
                }
            else:
                _slips["b is not in the L2 term: no λb"] = _true + _decay * _b
            _part = lk.judge.read_array(_part, _true.shape, _is)
            _slips = {f"{_is}: {words}": slip for words, slip in _slips.items()}
            lk.judge.compare(_part, _true, _slips, f"{_is} differs from autograd's{_case}")

# %% [markdown]
# The loss and its derivative, drawn from the formulas. Is the right panel what you sketched?

# %%
r = np.linspace(-4, 4, 400)
figure, axes = lk.figures.new_figure(1, 2, 2.9, "computed from the formulas")
for delta, colour in zip((np.inf, 1.0, 0.5), COLOURS, strict=False):
    name = "squared, ½r²" if delta == np.inf else f"Huber, δ = {delta}"
    straight = delta * (np.abs(r) - delta / 2) if delta < np.inf else 0
    axes[0, 0].plot(r, np.where(np.abs(r) <= delta, r**2 / 2, straight), color=colour, label=name)
    axes[0, 1].plot(r, np.clip(r, -delta, delta), color=colour, label=name)
axes[0, 0].set(title="The loss", xlabel="residual r", ylabel="loss")
axes[0, 1].set(title="Its derivative", xlabel="residual r", ylabel="derivative")
axes[0, 0].legend(fontsize=8)
figure

# %% [markdown]
# Now walk downhill from zero: subtract the gradient, times a small number `lr`, again and again.
# This is **gradient descent**, and `lr` is the **learning rate**. Beside Huber's, least squares (the
# same loss with a huge $\delta$).


# %%
def fit_line(t, delta, weight_decay=0.0, lr=0.5, steps=500):
    """Slope and intercept after gradient descent with your Huber gradient."""
    w, b = np.zeros(1), 0.0
    for _ in range(steps):
        grad_w, grad_b = huber_gradients(x[:, None], t, w, b, delta, weight_decay)
        w, b = (
            w - lr * lk.judge.as_array(grad_w).reshape(1),
            b - lr * lk.judge.as_array(grad_b).item(),
        )
    return float(w[0]), b


lines = {"least squares": fit_line(t, 1e9), "Huber, δ = 0.5": fit_line(t, 0.5)}
shifts = np.arange(0, 21, 2)
slopes = {name: [] for name in lines}
for shift in lk.track(shifts, "fitting lines"):
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

# %% [markdown]
# Right: the least-squares slope falls in proportion to the outliers' error. Huber's moves a little
# and then stays: once a residual is clipped, it does not matter how large it is.
#
# ### Which width, and at what price?
#
# Should one then always take a tiny $\delta$? Say what you expect on **clean** data. Below, the line
# is fitted to 400 fresh sets of 40 points, without outliers and with five (each off by 6), for
# several $\delta$. The noise has standard deviation 0.3, the true slope is 2.


# %%
def fitted_slopes(outlier, deltas, draws=400, steps=800):
    """Slopes (draws, widths) of lines fitted to fresh noise: all sets and widths at once."""
    noise = np.random.default_rng(1).normal(0, 0.3, (draws, 1, 40))
    shift = np.where(np.isin(np.arange(40), outliers), outlier, 0.0)
    targets, limit = 2 * x + 1 + noise - shift, np.array(deltas)[:, None]
    w = b = np.zeros((draws, len(deltas), 1))
    for _ in range(steps):
        pull = np.clip(w * x + b - targets, -limit, limit)
        w = w - 0.7 * (pull * x).mean(-1, keepdims=True)
        b = b - 0.7 * pull.mean(-1, keepdims=True)
    return w[..., 0]


deltas = (0.05, 0.15, 0.3, 0.5, 1.0, 3.0, 1e9)
price = {}
for name, outlier in lk.track({"clean": 0.0, "outliers": 6.0}.items(), "fitting lines"):
    error = np.sqrt(((fitted_slopes(outlier, deltas) - 2) ** 2).mean(axis=0))
    price[f"error of the slope, {name}"] = error
index = [f"δ = {delta:g}" for delta in deltas[:-1]] + ["least squares"]
pd.DataFrame(price, index=index).round(3)

# %% [markdown]
# <details><summary>What does the table say?</summary>
#
# Read the clean column from below: least squares is the best there, as theory says for normal
# noise. A $\delta$ of one to two times the noise costs a few per cent; a tiny one throws away the
# sizes of nearly all residuals and costs much more. In the column with outliers a wide $\delta$
# lets them pull, and making it smaller helps until it is about as wide as the noise; below that
# little is gained. So $\delta$ belongs near the usual noise of *good* points, or a little above it:
# small enough to clip the bad ones, large enough to leave the good ones in peace.
# </details>
#
# ### Which error to report?
#
# Two lines, two measures, on the same 40 points with their five outliers. Before you run the cell:
# which line will have the smaller mean squared error?

# %%
table = {}
for name, (slope, intercept) in lines.items():
    off = np.abs(slope * x + intercept - t)
    table[name] = {
        "root of the mean square": np.sqrt((off**2).mean()),
        "median of |r|": np.median(off),
        "slope (true: 2)": slope,
    }
table["Huber, δ = 0.5, weight_decay 0.5"] = {"slope (true: 2)": fit_line(t, 0.5, 0.5)[0]}
pd.DataFrame(table).T.round(2).astype(object).fillna("")

# %% [markdown]
# <details><summary>Answer</summary>
#
# Least squares: no line has a smaller mean square on these points, that is how it was found. It
# still is the worse line. Five wrong targets rule the mean square, also on a test set that contains
# such points. So report a measure that they do not rule (the median of $|r|$, or the share of
# points within a tolerance), say how many points lie far off, and look at them.
#
# The last row: the L2 term pulls the slope towards 0, on purpose. Here that only costs; it helps
# where there are many weights and few points.
# </details>
#
# *(A good place for a break.)*

# %% [markdown]
# ## How to walk downhill
#
# Networks have no closed form either, so everything depends on how one walks. How large may the
# learning rate be? Take the simplest valley, a quadratic one: $f(\theta) = \tfrac12 \theta^\top H
# \theta$ with a symmetric matrix $H$ whose eigenvalues $\lambda$ are all positive. Its gradient is
# $H\theta$, and one step of plain gradient descent is
#
# $$\theta \leftarrow \theta - \alpha\, H \theta, \qquad \alpha \text{ the learning rate.}$$
#
# What does this step do to an eigenvector of $H$?

# %% [markdown]
# ### Exercise 0.6: how large may a step be?
#
# Write `gradient_descent(H, theta, lr, steps)`: where plain gradient descent is after so many steps
# from `theta`. And derive `learning_rate_limit(H)`: below it, gradient descent reaches the minimum
# from **every** starting point; above it, it does not.
#
# <details><summary>Hint 1: the idea</summary>
#
# An eigenvector $v$ with eigenvalue $\lambda$ becomes $(1 - \alpha\lambda)\,v$. It must shrink at
# each step. For which $\alpha$ is this so, and which eigenvalue is the strictest?
# </details>
# <details><summary>Hint 2: in NumPy</summary>
#
# `np.linalg.eigvalsh(H)` gives the eigenvalues of a symmetric matrix, rising.
# </details>


# %%
# Exercise 0.6 - how large may a step be?
def gradient_descent(H, theta, lr, steps):
    raise NotImplementedError("0.6: where one is after so many steps")


def learning_rate_limit(H):
    raise NotImplementedError("0.6: the largest learning rate that still works")


# %%
# Solution 0.6
def gradient_descent(H, theta, lr, steps):
    for _ in range(steps):
        theta = theta - lr * H @ theta
    return theta


def learning_rate_limit(H):
    return 2 / np.linalg.eigvalsh(H).max()


# %% [markdown] tags=["solution"]
# <details><summary>Why this is so</summary>
#
# $|1 - \alpha\lambda| < 1$ means $0 < \alpha < 2/\lambda$, for each eigenvalue; the largest one, the
# steepest direction, is the strictest: $\alpha < 2/\lambda_{\max}$. Between $1/\lambda_{\max}$ and
# the limit the factor is negative, so one jumps from wall to wall, but the jumps shrink. In the
# flattest direction the factor is then $1 - \alpha\lambda_{\min}$, near 1: where
# $\lambda_{\max}/\lambda_{\min}$ is large, the steep wall forbids the step that the floor needs.
# </details>

# %%
with lk.check("0.6", "gradient_descent", "learning_rate_limit"):
    _H = np.array([[5.0, 2.0, 0.5], [2.0, 3.0, -1.0], [0.5, -1.0, 1.5]])
    _theta, _lr = np.array([1.0, -2.0, 0.5]), 0.1

    def _after(steps, sign=-1):
        return np.linalg.matrix_power(np.eye(3) + sign * _lr * _H, steps) @ _theta

    for _steps in (1, 4, 0):
        _got = lk.judge.call(gradient_descent, _H, _theta, _lr, _steps)
        _shape = np.shape(lk.judge.as_array(_got))
        assert _shape != (_steps + 1, 3), "return only the last place, not the whole way"
        _got = lk.judge.read_array(_got, (3,), "gradient_descent")
        _slips = {
            "it walks uphill: subtract the gradient": _after(_steps, 1),
            "one step too many": _after(_steps + 1),
            "this is one step: is `return` inside the loop?": _after(min(_steps, 1)),
            "one step too few": _after(_steps - 1) if _steps else _theta,
            "the gradient is Hθ, not θ": (1 - _lr) ** _steps * _theta,
            "the gradient is taken at the start only: compute it anew in each step": _theta
            - _steps * _lr * _H @ _theta,
            "the gradient is Hθ, without a ½: θ stands in ½θᵀHθ twice": _after(_steps, -0.5),
            "return the place, not how far it moved": _after(_steps) - _theta,
        }
        _words = f"gradient_descent with steps={_steps} ends elsewhere"
        lk.judge.compare(_got, _after(_steps), _slips, _words)
    for _case in (_H, np.diag([0.5, 4.0]), 10 * _H):
        _values = np.linalg.eigvalsh(_case)
        _got = lk.judge.read_array(
            lk.judge.call(learning_rate_limit, _case), (), "learning_rate_limit"
        )
        _slips = {
            "at 1/λ_max the steepest direction is done in one step; one may go further": 1
            / _values.max(),
            "the steepest direction is the strictest: the largest eigenvalue": 2 / _values.min(),
            "this is the largest eigenvalue; the limit falls when it grows": _values.max(),
            "the largest eigenvalue counts, not the largest entry of H": 2 / _case.max(),
            "the eigenvalues count, not the length of H": 2 / np.linalg.norm(_case),
            "this is the best rate, 2/(λ_min + λ_max), not the limit": 2
            / (_values.min() + _values.max()),
            "the 2 belongs above: α < 2/λ": 0.5 / _values.max(),
            "2/λ_max is turned round": _values.max() / 2,
            "divide by λ_max: the steeper, the smaller the step": 2 * _values.max(),
        }
        for _words, _all in {"sum": np.sum, "mean": np.mean, "product": np.prod}.items():
            _slips[f"one eigenvalue alone counts, not their {_words}"] = 2 / _all(_values)
        _slips = {f"learning_rate_limit: {words}": slip for words, slip in _slips.items()}
        lk.judge.compare(
            _got, 2 / _values.max(), _slips, "learning_rate_limit: |1 − αλ| < 1 for every λ"
        )

# %% [markdown]
# Test the limit in a long narrow valley, 25 times steeper across than along: a little below it, and
# a little above. Where would you expect each after many steps?

# %% tags=["nbval-check-output"]
valley = np.diag([1.0, 25.0])
start = np.array([-4.0, 1.5])
limit = lk.judge.as_array(learning_rate_limit(valley)).item()
print(f"limit of the learning rate: {limit:.3f}")
for factor in (0.95, 1.05):
    end = np.linalg.norm(lk.judge.as_array(gradient_descent(valley, start, factor * limit, 500)))
    print(f"{factor} of it, after 500 steps: distance {end:.1e} from the minimum")

# %% [markdown]
# Two refinements are in use everywhere. Both remember earlier gradients: **momentum** keeps some of
# the last step's motion, and **Adam** gives each parameter a step size of its own. See them walk
# beside plain gradient descent, 60 steps each. (These two are PyTorch's. You will write your own.)


# %%
def valley_path(make_optimizer, steps=60):
    theta = torch.tensor(start, requires_grad=True)
    optimizer = make_optimizer([theta])
    path = [theta.detach().clone()]
    for _ in range(steps):
        optimizer.zero_grad()  # else the gradients would add up
        (0.5 * theta @ torch.tensor(valley) @ theta).backward()  # fills theta.grad
        optimizer.step()  # moves theta by what its rule makes of theta.grad
        path.append(theta.detach().clone())
    return torch.stack(path).numpy()


plain = [
    lk.judge.as_array(gradient_descent(valley, start, 0.9 * limit, steps)) for steps in range(61)
]
paths = {
    "plain, lr 0.072": np.array(plain),
    "momentum, lr 0.01": valley_path(lambda p: torch.optim.SGD(p, lr=0.01, momentum=0.9)),
    "Adam, lr 0.2": valley_path(lambda p: torch.optim.Adam(p, lr=0.2)),
}
figure, axes = lk.figures.new_figure(2, 1, 6.2, "computed: ½(θ₁² + 25 θ₂²), 60 steps")
ax, below = axes[:, 0]
grid = np.meshgrid(np.linspace(-4.6, 2.2, 100), np.linspace(-1.9, 1.9, 100))
ax.contour(*grid, 0.5 * (grid[0] ** 2 + 25 * grid[1] ** 2), 14, colors="0.8", linewidths=0.8)
for (name, path), colour in zip(paths.items(), (*COLOURS[:1], *COLOURS[2:6:3]), strict=True):
    ax.plot(*path.T, "o-", ms=3, lw=1, color=colour, label=name)
    below.plot(np.linalg.norm(path, axis=1), color=colour, label=name)
ax.plot(0, 0, "k*", ms=10, label="minimum")
ax.set(title="Three ways down the same valley", xlabel="θ₁", ylabel="θ₂", aspect="equal")
below.set(xlabel="step", ylabel="distance from the minimum", yscale="log")
ax.legend(fontsize=8, loc="center left", bbox_to_anchor=(1, 0.5))
figure

# %% [markdown]
# **Look** at the first steps of each, and at who makes progress along the floor of the valley. In
# which direction does Adam start, and why not towards the minimum?
#
# <details><summary>Answer</summary>
#
# Plain gradient descent and momentum first run down the steep wall, because their step is
# proportional to the gradient. Plain descent then jumps from wall to wall, while the flat direction
# shrinks by the same factor $1 - \alpha$ each step. Momentum adds up the many small gradients along
# the floor, which all point the same way, and swings across. Adam's first step goes equally far in
# both directions, at 45 degrees, however steep each is. You will prove that it must. (Who is ahead
# after 60 steps depends on the learning rates: change them and see.)
# </details>
#
# **SGD with momentum** adds up the gradients, old ones fading by the factor $\mu$ (`momentum`):
#
# $$u_k = \mu\, u_{k-1} + g_k, \qquad \theta_k = \theta_{k-1} - \alpha\, u_k, \qquad u_0 = 0 .$$
#
# (SGD is *stochastic* gradient descent: the gradient comes from a few examples at a time, a
# **batch**.) Here it is in NumPy. It is given a list of arrays and changes them **in place**, so
# that whoever holds the arrays sees the change.


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
# What comes out for $k = 1$, and for $k = 2$? Put it on paper, and simplify: the factors
# $1 - \beta$ must all cancel.

# %% [markdown]
# ### Exercise 0.7: Adam's first two steps
#
# Write `first_two_steps(g1, g2, lr, beta1, beta2, eps)` for one parameter, from your two formulas.
# It returns the two steps, that is, what is **subtracted** from $\theta$ each time.
#
# <details><summary>Hint 1: the idea</summary>
#
# $m_1 = (1 - \beta_1)\, g_1$, so $\hat m_1$ is simple. $m_2 = \beta_1 m_1 + (1 - \beta_1)\, g_2$,
# and $1 - \beta_1^2 = (1 - \beta_1)(1 + \beta_1)$. The same for $v$.
# </details>
# <details><summary>Hint 2: in NumPy</summary>
#
# A step is `lr * m_hat / (np.sqrt(v_hat) + eps)`. The `eps` stands outside the root.
# </details>


# %%
# Exercise 0.7 - Adam's first two steps
def first_two_steps(g1, g2, lr=1e-3, beta1=0.9, beta2=0.999, eps=1e-8):
    raise NotImplementedError("0.7: return both steps")


# %%
# Solution 0.7
def first_two_steps(g1, g2, lr=1e-3, beta1=0.9, beta2=0.999, eps=1e-8):
    step1 = lr * g1 / (abs(g1) + eps)
    m_hat = (beta1 * g1 + g2) / (1 + beta1)
    v_hat = (beta2 * g1**2 + g2**2) / (1 + beta2)
    step2 = lr * m_hat / (np.sqrt(v_hat) + eps)
    return step1, step2


# %% [markdown] tags=["solution"]
# <details><summary>Why this is so</summary>
#
# $\hat m_1 = g_1$ and $\hat v_1 = g_1^2$, so the first step is
# $\alpha\, g_1/(|g_1| + \varepsilon) \approx \alpha \operatorname{sign}(g_1)$: every parameter moves
# by nearly $\alpha$, however large its gradient. That was the 45 degrees. Then
#
# $$\hat m_2 = \frac{\beta_1 g_1 + g_2}{1 + \beta_1}, \qquad
# \hat v_2 = \frac{\beta_2\, g_1^2 + g_2^2}{1 + \beta_2} .$$
#
# $\hat m_2$ is a weighted mean of the two gradients with the weights $\beta_1$ and 1: the newer
# one counts more. That is all the bias correction does: it turns a sum whose weights add up to
# $1 - \beta^k$ into a mean whose weights add up to 1.
# </details>

# %%
with lk.check("0.7", "first_two_steps"):
    for _g1, _g2, _eps in ((0.5, 2.0, 0.1), (0.4, -0.7, 0.1), (-3.0, 0.2, 1e-8)):
        _betas = (0.8, 0.95)
        _path = lk.judge.optimizer_path(
            [_g1, _g2], lambda p, e=_eps: torch.optim.Adam(p, 0.01, (0.8, 0.95), e)
        )
        _true = np.array([-_path[0], _path[0] - _path[1]])
        _answer = lk.judge.call(first_two_steps, _g1, _g2, 0.01, 0.8, 0.95, _eps)
        assert not np.isscalar(_answer), "this is one number: return both steps"
        _got = lk.judge.read_array(_answer, (2,), "first_two_steps")
        _m, _v = (0.8 * _g1 + _g2) / 1.8, (0.95 * _g1**2 + _g2**2) / 1.95

        def _step(m, v, eps=_eps):
            return 0.01 * m / (np.sqrt(v) + eps)

        _second = {
            "step 2 must remember g1 as well": _step(_g2, _g2**2),
            "g1 and g2 are swapped in step 2: the older one fades": _step(
                (_g1 + 0.8 * _g2) / 1.8, (_g1**2 + 0.95 * _g2**2) / 1.95
            ),
            "step 2 is no plain mean: g1 has the weight beta, g2 the weight 1": _step(
                (_g1 + _g2) / 2, (_g1**2 + _g2**2) / 2
            ),
            "in step 2 divide by 1 − β², not by 1 − β again": _step(1.8 * _m, 1.95 * _v),
            "v̂ averages squares: square g1 and g2 before you add them": _step(
                _m, (0.95 * _g1 + _g2) ** 2 / 1.95
            ),
            "v̂ averages squares: g2 is not squared": _step(_m, abs(0.95 * _g1**2 + _g2) / 1.95),
            "in step 2 divide by 1 + β, not by 1 − β": _step(9 * _m, 39 * _v),
        }
        _slips = {words: [_true[0], step] for words, step in _second.items()}
        _slips |= {
            "return what is subtracted from θ: without the minus": -_true,
            "the second number is the sum: return single steps": -_path,
            "the steps are in the wrong order: first the first": _true[::-1],
            "the learning rate is missing": 100 * _true,
            "step 1 is α g/(|g| + ε): ε is missing": [0.01 * np.sign(_g1), _true[1]],
            "this is SGD: Adam divides each step by the size of the gradients": [
                0.01 * _g1,
                0.01 * _g2,
            ],
            "√(v̂) is |g|, without the sign": [0.01 * _g1 / (_g1 + _eps), _true[1]],
        }
        for _words, _slip in lk.judge.adam_slips(np.array([_g1, _g2]), 0.01, _betas, _eps).items():
            _slips[_words] = -np.diff(_slip, prepend=0.0)
        _words = f"for g1 = {_g1}, g2 = {_g2} the steps are {_true.round(6).tolist()}, not "
        lk.judge.compare(_got, _true, _slips, _words + f"{_got.round(6).tolist()}", 1e-7)

# %% [markdown]
# ### Does a step shrink when gradients grow?
#
# One often reads that Adam makes *smaller* steps where gradients are *larger*, because it divides by
# their size. Is that so? Two cases: (a) both gradients are 1,000 times as large; (b) the second one
# is 1,000 times as large as the first. Write down for each whether the second step shrinks, grows or
# stays, before you compute anything.

# %% [markdown]
# ### Exercise 0.8: the second step
#
# Let $g_2 = c\,g_1$ with any number $c$, also a negative one, and $\varepsilon = 0$. Write
# `step_ratio(c, beta1, beta2)`: the second step divided by the first. Then
# `ratio_limit(beta1, beta2)`: what it tends to for $c \to \infty$.
#
# <details><summary>Hint 1: the idea</summary>
#
# For $\varepsilon = 0$ the first step is $\alpha$, with the sign of $g_1$. Put $g_2 = c\,g_1$ into
# the second; $g_1$ cancels. For the limit divide above and below by $c$.
# </details>
# <details><summary>Hint 2: in NumPy</summary>
#
# Nothing but `np.sqrt`. Or let your `first_two_steps` do the work, with `eps=0`.
# </details>


# %%
# Exercise 0.8 - does a step shrink when gradients grow?
def step_ratio(c, beta1=0.9, beta2=0.999):
    raise NotImplementedError("0.8: the second step divided by the first")


def ratio_limit(beta1=0.9, beta2=0.999):
    raise NotImplementedError("0.8: its limit for c to infinity")


# %%
# Solution 0.8
def step_ratio(c, beta1=0.9, beta2=0.999):
    return (beta1 + c) / (1 + beta1) / np.sqrt((beta2 + c**2) / (1 + beta2))


def ratio_limit(beta1=0.9, beta2=0.999):
    return np.sqrt(1 + beta2) / (1 + beta1)


# %% [markdown] tags=["solution"]
# <details><summary>Why this is so</summary>
#
# (a) Both gradients times 1,000: $c$ is the same, so the ratio is, and the first step is $\alpha$ as
# before. Nothing changes. (b) A sudden jump upwards: the ratio falls to 0.744 with the usual
# $\beta$s, so the step does shrink, but by about a quarter at most. Why: $g_1$ hardly counts any
# more, so $\hat m$ is $1/1.9 = 0.53$ of the new gradient, and $\sqrt{\hat v}$ is
# $1/\sqrt{1.999} = 0.71$ of it. A gradient that turns round ($c$ near $-1$) shrinks the step most:
# $\hat m$ nearly cancels, $\hat v$ does not. (At $c = -\beta_1$ nothing is left of the step.) So it
# is not the *size* that makes Adam careful, but *change*.
# </details>

# %%
with lk.check("0.8", "step_ratio", "ratio_limit"):

    def _ratio(c, b1, b2):
        return (b1 + c) / (1 + b1) / np.sqrt((b2 + c**2) / (1 + b2))

    for _c, _b1, _b2 in (
        (np.array([1000.0, 3.0, 1.0, 0.0]), 0.8, 0.95),
        (np.array([1000.0, 3.0, 1.0, 0.0]), 0.9, 0.999),
        (np.array([1000.0, -1.0, -4.0]), 0.9, 0.999),
    ):
        _m, _v = (_b1 + _c) / (1 + _b1), (_b2 + _c**2) / (1 + _b2)
        _true, _got = _ratio(_c, _b1, _b2), []
        for _one in _c if _b1 < 0.9 else _c.tolist():  # numbers of NumPy and of Python
            _answer = lk.judge.call(step_ratio, _one, _b1, _b2)
            _got.append(lk.judge.read_array(_answer, (), f"step_ratio for c = {_one}"))
        _slips = {
            "the step does not stay the same: m̂ and v̂ still hold a part of g1": np.ones(len(_c)),
            "Adam's step is not proportional to the gradient": _c,
            "only the sign of c would be left if g1 were forgotten": np.sign(_c),
            "turned round: the second step divided by the first": 1 / _true,
            "the bias correction is missing: divide by 1 + β as in exercise 0.7": _true
            * ((1 + _b1) / np.sqrt(1 + _b2)),
            "v̂ has c², because it averages squares": _m / np.sqrt((_b2 + abs(_c)) / (1 + _b2)),
            "v̂ averages squares: square each gradient, then add": _m
            / (np.abs(_b2 + _c) / (1 + _b2) ** 0.5),
            "beta1 and beta2 are not used as they are given": _ratio(_c, 0.9, 0.999),
            "the root of v̂ is missing": _m / _v,
            "beta1 and beta2 are swapped": _ratio(_c, _b2, _b1),
            "the older gradient fades: β belongs to g1, not to c": (1 + _b1 * _c)
            / (1 + _b1)
            / np.sqrt((1 + _b2 * _c**2) / (1 + _b2)),
            "the sign counts: for c < 0 the step can turn round": np.abs(_true),
            "both steps need the bias correction, or none": _true / (1 - _b1) * np.sqrt(1 - _b2),
        }
        _slips = {f"step_ratio: {words}": slip for words, slip in _slips.items()}
        lk.judge.compare(
            np.array(_got), _true, _slips, "step_ratio differs from PyTorch's Adam", 1e-4
        )
        _got = lk.judge.read_array(lk.judge.call(ratio_limit, _b1, _b2), (), "ratio_limit")
        _slips = {
            "the limit is not 1: m̂ has divided the new gradient by 1 + β1": 1.0,
            "the limit is not 0: above and below both grow like c": 0.0,
            "the root is missing": (1 + _b2) / (1 + _b1),
            "turned round": (1 + _b1) / np.sqrt(1 + _b2),
            "beta1 and beta2 are swapped": np.sqrt(1 + _b1) / (1 + _b2),
            "this is the limit for c to 0": _b1 / (1 + _b1) * np.sqrt((1 + _b2) / _b2),
            "v̂ is divided by 1 + β2 too": 1 / (1 + _b1),
            "m̂ has been divided by 1 + β1, not by 1 − β1": np.sqrt(1 + _b2) / (1 - _b1),
            "beta1 and beta2 are not used as they are given": np.sqrt(1.999) / 1.9,
        }
        _slips = {f"ratio_limit: {words}": slip for words, slip in _slips.items()}
        _limit = np.sqrt(1 + _b2) / (1 + _b1)
        _far = _ratio(1e6, _b1, _b2)
        _words = f"ratio_limit: for c = 10⁶ the ratio is {_far:.5f} already, not {_got:.5f}"
        lk.judge.compare(_got, _limit, _slips, _words, 1e-5)

# %% [markdown]
# Compare with what you wrote down.

# %%
c = np.linspace(-10, 30, 401)
figure, axes = lk.figures.new_figure(height=2.8, origin="computed: β₁ = 0.9, β₂ = 0.999, ε = 0")
ratios = [lk.judge.as_array(step_ratio(value, 0.9, 0.999)).item() for value in c]
axes[0, 0].plot(c, ratios, color=COLOURS[5], label="second step / first step")
axes[0, 0].axhline(lk.judge.as_array(ratio_limit(0.9, 0.999)).item(), color="0.4", linestyle=":")
axes[0, 0].axhline(0, color="0.8", lw=0.8)
axes[0, 0].set(xlabel="c: the second gradient divided by the first", ylabel="ratio of the steps")
axes[0, 0].set_title("A steady gradient gives the full step; dotted: the limit for c → ∞")
figure

# %% [markdown]
# ### What the bias correction is for
#
# Suppose the gradient is always the same. Then Adam steps by $\alpha$ each time (up to
# $\varepsilon$). **Without** the correction it would step by
# $\alpha\,(1 - \beta_1^k)/\sqrt{1 - \beta_2^k}$. Does the correction make the first steps larger or
# smaller? Decide before you look.

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
# <details><summary>Answer</summary>
#
# Smaller, with the usual $\beta$s: the root of $v_k$ starts smaller still than $m_k$, so without
# correction the first steps are too large, and the correction holds them **back**. (One often reads
# that it makes them larger. That is true of $m$ alone, not of the step.)
# </details>

# %% [markdown]
# ### Exercise 0.9: Adam
#
# Write the whole optimiser, in the shape of `MomentumSGD`: a list of arrays that it changes in
# place, and `step(gradients)` with one gradient for each array. It must agree with
# `torch.optim.Adam` to $10^{-7}$.
#
# <details><summary>Hint 1: the idea</summary>
#
# Which numbers must live on from one step to the next, and where are they kept? The step number $k$
# is the same for all arrays. Which of `p = p - …` and `p -= …` does the caller see?
# </details>
# <details><summary>Hint 2: in NumPy</summary>
#
# In `__init__`: `np.zeros_like(p)` twice for each parameter, and a counter. In `step`: count once a
# call, before the loop, so that the first step has $k = 1$; then `zip` parameters, means, squares
# and gradients.
# </details>


# %%
# Exercise 0.9 - Adam
class Adam:
    def __init__(self, parameters, lr=1e-3, beta1=0.9, beta2=0.999, eps=1e-8):
        self.parameters = parameters
        self.lr, self.beta1, self.beta2, self.eps = lr, beta1, beta2, eps
        ...

    def step(self, gradients):
        raise NotImplementedError("0.9: one step for each parameter, in place")


# %%
# Solution 0.9
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
# Adam stores two more numbers for each parameter. That is its price: parameters and optimiser
# together take three times the memory of the parameters alone. (Gradients, and what each layer
# keeps for the backward pass, come on top with any optimiser.) The division by $\sqrt{\hat v}$
# gives each parameter its own step size.
# </details>

# %%
with lk.check("0.9", "Adam"):

    def _three(g):
        return [g.copy(), g.sum(-2), -g]

    def _run(gradients, **settings):
        """The student's optimiser on three arrays, two of them of one shape."""
        arrays = [np.full(g.shape, 2.0) for g in _three(gradients[0])]
        held = list(arrays)
        optimizer, rows = Adam(arrays, **settings), []
        for gradient in gradients:
            given, kept = _three(gradient), _three(gradient)
            try:
                with np.errstate(all="ignore"):
                    optimizer.step(given)
            except ValueError as error:
                assert "broadcast" not in str(error), (
                    f"shapes do not fit ({error}): each array needs an m and a v of its own shape"
                )
                raise
            assert all(np.array_equal(g, h) for g, h in zip(given, kept, strict=True)), (
                "step changed the gradients: leave them as they are"
            )
            rows.append([a - 2 for a in held])
        return [np.array(row) for row in zip(*rows, strict=True)]

    _random = np.random.default_rng(3)
    _dense = _random.normal(size=(60, 3, 2))
    _cases = {"random": _dense, "sparse": _dense * (_random.random((60, 3, 2)) < 0.2)}
    _cases["tiny"] = 1e-8 * _dense
    _twice = [_run(_dense[:3], lr=0.01)[0] for _ in range(2)]
    assert np.allclose(*_twice, atol=1e-9, equal_nan=True), (
        "a second Adam goes on where the first one stopped: keep m, v and the counter on self, "
        "made in __init__"
    )
    for _case, _gradients in _cases.items():
        for _betas in ((0.9, 0.999), (0.5, 0.8)):
            _options = {"lr": 0.01, "betas": _betas}
            _mine = _run(_gradients, lr=0.01, beta1=_betas[0], beta2=_betas[1])
            _true = []
            for _number, _got in enumerate(_mine):
                _given = _three(_gradients)[_number]
                _true.append(
                    lk.judge.optimizer_path(
                        list(_given), lambda p, o=_options: torch.optim.Adam(p, **o)
                    )
                )
                assert np.isfinite(_got).all(), (
                    "NaN: the first step must count as 1, eps > 0, v be a mean of squares in arrays of "
                    "its own (not those of m), and β**k a power, not β * k"
                )
                assert _got.any(), (
                    f"array {_number + 1} did not change: `p -= …` works in place; `p = p - …`, a copy "
                    "and a new array in the list do not"
                )
                _uphill = abs(_got + _true[_number]).max() < 1e-7 < abs(_got).max()
                assert not _uphill, "it walks uphill: subtract the step"
                for _words, _slip in lk.judge.adam_slips(_given, 0.01, _betas, 1e-8).items():
                    _same = abs(_slip - _true[_number]).max() < 1e-7 or not np.isfinite(_slip).all()
                    assert _same or abs(_got - _slip).max() > 1e-9, _words
            _offs = [
                abs(got - true).max(axis=tuple(range(1, got.ndim)))
                for got, true in zip(_mine, _true, strict=True)
            ]
            assert _offs[0][0] < 1e-7, (
                f"{_case} gradients: the first step is wrong: is it α g/(|g| + ε), and does the "
                "counter begin with 1?"
            )
            assert _offs[1][0] < 1e-7 and _offs[2][0] < 1e-7, (
                f"{_case} gradients: array 2 or 3 is wrong though array 1 is right; count steps once "
                "a call, not once an array, and give each array its own m and v"
            )
            for _number, _off in enumerate(_offs):
                assert _off.max() < 1e-7, (
                    f"{_case} gradients, array {_number + 1}: the first step is right, then step "
                    f"{int((_off > 1e-7).argmax()) + 1} is off by {_off.max():.1g}: do m, v and "
                    "the counter go on from step to step, and is the power β to the step number?"
                )
    for _settings, _words in (
        ({}, "the defaults of lr, beta1, beta2 and eps are not PyTorch's"),
        ({"lr": 0.02, "eps": 0.5}, "the eps that is given is not used"),
    ):
        _place, _rows = np.zeros(2), list(_dense[:, 0])
        _optimizer = Adam([_place], **_settings)
        for _row in _rows:
            _optimizer.step([_row])
        _path = lk.judge.optimizer_path(_rows, lambda p, s=_settings: torch.optim.Adam(p, **s))
        assert abs(_place - _path[-1]).max() < 1e-7, _words

# %% tags=["nbval-check-output"]
ours = start.copy()
optimizer = Adam([ours], lr=0.2)
for _ in range(60):
    optimizer.step([valley @ ours])
print("in the valley, your Adam ends where PyTorch's does, to 1e-7:", end=" ")
print(bool(np.abs(ours - paths["Adam, lr 0.2"][-1]).max() < 1e-7))

# %% [markdown]
# ## What if all gradients are multiplied by $c$?
#
# Measure the loss in other units, or sum where you took a mean: all gradients become $c\,g$ with
# the same $c > 0$. What becomes of a step of momentum SGD, and of one of Adam? Follow $c$ through
# the formulas: through $u_k$, and through $\hat m$, $\hat v$ and the root.

# %% [markdown]
# ### Exercise 0.10: the factor
#
# All gradients are multiplied by $c > 0$. Write three short functions:
#
# - `momentum_factor(c)`: by what factor does a momentum SGD step change?
# - `adam_factor(c, g, eps)`: by what factor does Adam's **first** step change, for a gradient `g`?
#   Keep `eps` in the formula.
# - `matching_eps(c, eps)`: which `eps` must Adam have for $c\,g$, to take **exactly** the steps that
#   it takes for $g$ with the old `eps`?
#
# <details><summary>Hint 1: the idea</summary>
#
# $u_k$ is a sum of gradients. $\hat m$ is a mean of gradients, $\hat v$ a mean of their squares. You
# know Adam's first step from exercise 0.7: divide the one for $c\,g$ by the one for $g$. For the
# last: what must stand beside $\sqrt{\hat v}$ so that $c$ can be taken out of the whole denominator?
# </details>
# <details><summary>Hint 2: in NumPy</summary>
#
# `abs(g)`. Each function is one line.
# </details>


# %%
# Exercise 0.10 - gradients times c
def momentum_factor(c):
    raise NotImplementedError("0.10: the factor for momentum SGD")


def adam_factor(c, g, eps):
    raise NotImplementedError("0.10: the factor for Adam's first step")


def matching_eps(c, eps):
    raise NotImplementedError("0.10: the eps that goes with c")


# %%
# Solution 0.10
def momentum_factor(c):
    return c


def adam_factor(c, g, eps):
    return c * (abs(g) + eps) / (c * abs(g) + eps)


def matching_eps(c, eps):
    return c * eps


# %% [markdown] tags=["solution"]
# <details><summary>Why this is so</summary>
#
# Momentum SGD: each step becomes $c$ times as long, as with the learning rate $c\,\alpha$.
# Adam: $\hat m$ becomes $c\,\hat m$ and $\hat v$ becomes $c^2\,\hat v$, so the step becomes
#
# $$\alpha\, \frac{c\,\hat m}{c\sqrt{\hat v} + \varepsilon}
# = \alpha\, \frac{\hat m}{\sqrt{\hat v} + \varepsilon / c} .$$
#
# The $c$ is gone from everywhere but $\varepsilon$. The factor of the first step is
# $\frac{c g}{c|g| + \varepsilon} \cdot \frac{|g| + \varepsilon}{g}$. For $|g|$ and $c\,|g|$ much
# larger than $\varepsilon$ this is 1; for both much smaller it is $c$: there Adam behaves like SGD
# with the learning rate $\alpha/\varepsilon$. With $c\,\varepsilon$ in the denominator, $c$ can be
# taken out of it and cancels.
# </details>

# %%
with lk.check("0.10", "momentum_factor", "adam_factor", "matching_eps"):
    for _c in (3.0, 0.01, 1000.0):
        _got = lk.judge.read_array(lk.judge.call(momentum_factor, _c), (), "momentum_factor")
        _slips = {
            "momentum SGD does not divide by anything: its step changes": 1.0,
            "momentum_factor is the wrong way round": 1 / _c,
            "every step already has 1/(1 − μ) in it": 10 * _c,
            "the momentum μ does not come in: old and new step both have it": 0.9 * _c,
            "momentum SGD has no squares": _c**2,
            "momentum SGD has no root": np.sqrt(_c),
        }
        lk.judge.compare(
            _got, _c, _slips, f"for c = {_c} a sum of gradients is {_c} times as large"
        )
        for _g, _eps in ((-0.3, 0.1), (2.0, 1e-8), (1e-4, 1e-2)):
            _settings = {"lr": 0.01, "eps": _eps}
            _a, _b = (
                lk.judge.optimizer_path([v], lambda p, s=_settings: torch.optim.Adam(p, **s))[0]
                for v in (_g, _c * _g)
            )
            _true = float(_b / _a)
            _got = lk.judge.read_array(lk.judge.call(adam_factor, _c, _g, _eps), (), "adam_factor")
            _slips = {
                "1 is only nearly right: with a large eps or a small g, eps matters": 1.0,
                "adam_factor is the wrong way round: new step divided by old step": 1 / _true,
                "this is the factor for SGD; Adam divides by √v̂, which grows too": _c,
                "this is the new step, not new step divided by old step": _c
                * _g
                / (_c * abs(_g) + _eps),
                "the c above is missing: m̂ grows as well": (abs(_g) + _eps) / (_c * abs(_g) + _eps),
                "eps is not multiplied by c": _c * (abs(_g) + _eps) / (_c * (abs(_g) + _eps)),
                "√(c²g²) is c|g|, not c²|g|": _c * (abs(_g) + _eps) / (_c**2 * abs(_g) + _eps),
            }
            if abs(_c * _g + _eps) > 1e-12:
                _slips["√(g²) is |g|, not g"] = _c * (_g + _eps) / (_c * _g + _eps)
            _words = f"adam_factor for c = {_c}, g = {_g}, eps = {_eps} is {_true:.4g}, not "
            lk.judge.compare(_got, _true, _slips, _words + f"{_got:.4g}")
        for _eps in (0.1, 1e-8):
            _got = lk.judge.read_array(lk.judge.call(matching_eps, _c, _eps), (), "matching_eps")
            _slips = {
                "the same eps does not cancel c": 1.0,
                "matching_eps is the wrong way round: c must cancel": 1 / _c,
                "eps stands beside √v̂, which grows by c, not by c²": _c**2,
                "eps stands outside the root: c, not √c": np.sqrt(_c),
                "matching_eps is the new eps itself, c times the old one": _c / _eps,
            }
            _words = f"for the old eps = {_eps:g} and c = {_c}, {_got:.3g} does not cancel c"
            lk.judge.compare(_got / _eps, _c, _slips, _words)

# %% [markdown]
# And what is $\varepsilon$ for? A parameter whose gradients were all zero has $\hat v = 0$, and
# $0/0$ is not a number. Where $\sqrt{\hat v}$ is much larger than $\varepsilon$ it does nothing;
# where it is much smaller, it keeps tiny gradients from making full steps.

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
# Test the claim over 100 steps, not only one. Adam's columns: the distance from the end point for
# $c = 1$, as a share of how far that one went. The last is a factor. Where does "unchanged" stop
# being true?

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
    matched = end_point(Adam, c * gradients, eps=lk.judge.as_array(matching_eps(c, 1e-8)).item())
    sgd = end_point(MomentumSGD, c * gradients) / end_point(MomentumSGD, gradients)
    table[f"c = {c:g}"] = {
        "Adam, eps 1e-8": np.linalg.norm(usual - reference) / np.linalg.norm(reference),
        "Adam, matching eps": np.linalg.norm(matched - reference) / np.linalg.norm(reference),
        "momentum SGD: factor": sgd.mean(),
    }
pd.DataFrame(table).T.map("{:.1e}".format)

# %% [markdown]
# <details><summary>Answer</summary>
#
# With the usual `eps` Adam's path hardly changes while the gradients stay well above $10^{-8}$: here
# they are about 1, so down to $c = 10^{-6}$ or so. With the matching `eps` it never changes, up to
# rounding. Momentum SGD's way is multiplied by $c$.
# </details>
#
# One thing to keep apart: here the gradients were *given*. In training, a longer step leads to
# another place, and there the gradients are others. For SGD a loss times $c$ acts as a learning
# rate times $c$, which may even be above the limit of exercise 0.6.

# %% [markdown]
# ## Noisy gradients, sparse gradients
#
# A batch of 64 images gives a **noisy** gradient: right on average, different each time. A weight
# whose input is nearly always zero, such as a pixel at the rim, has a **sparse** gradient: zero
# in most steps. How fast does each optimiser move a parameter then, **on average over many steps**?
#
# Think of a single gradient $g$ in the long row. With what weights does it come into all the steps
# that follow, and what do these weights add up to? For Adam, take $v$ as constant: with
# $\beta_2 = 0.999$ it remembers about 1,000 steps, so it hardly changes from one step to the next.
# What number is it then near to?

# %% [markdown]
# ### Exercise 0.11: measure it, and predict it
#
# `gradients` has one row a step and one column a parameter, (steps, parameters). Write
#
# - `average_step(optimizer_class, gradients, **settings)`: run the optimiser from
#   $\theta = 0$ and return how far it moved **downhill** per step, for each parameter;
# - `predicted_momentum(gradients, lr, momentum)` and `predicted_adam(gradients, lr)`: your two
#   formulas for it in the long run, for each parameter.
#
# <details><summary>Hint 1: the idea</summary>
#
# In momentum SGD a gradient counts with the weights $1, \mu, \mu^2, \dots$ in this step and the
# following ones. In $m$ it counts with $(1 - \beta_1)(1, \beta_1, \beta_1^2, \dots)$. Add up both
# series. $v$ is near the mean of the *squared* gradients.
# </details>
# <details><summary>Hint 2: in NumPy</summary>
#
# `end_point` above does the walking: it ends at the *minus* of the way downhill. Hand `**settings`
# on to it. `gradients.mean(axis=0)` averages over the steps.
# </details>


# %%
# Exercise 0.11 - how fast, for noisy and for sparse gradients
def average_step(optimizer_class, gradients, **settings):
    raise NotImplementedError("0.11: how far downhill per step, measured")


def predicted_momentum(gradients, lr, momentum):
    raise NotImplementedError("0.11: the formula for momentum SGD")


def predicted_adam(gradients, lr):
    raise NotImplementedError("0.11: the formula for Adam")


# %%
# Solution 0.11
def average_step(optimizer_class, gradients, **settings):
    return -end_point(optimizer_class, gradients, **settings) / len(gradients)


def predicted_momentum(gradients, lr, momentum):
    return lr / (1 - momentum) * gradients.mean(axis=0)


def predicted_adam(gradients, lr):
    return lr * gradients.mean(axis=0) / np.sqrt((gradients**2).mean(axis=0))


# %% [markdown] tags=["solution"]
# <details><summary>Why this is so</summary>
#
# The weights $1, \mu, \mu^2, \dots$ add up to $\frac{1}{1 - \mu}$; those of $m$ add up to 1. So on
# average a step is
#
# $$\frac{\alpha}{1 - \mu} \operatorname{mean}(g) \ \text{ for momentum SGD, and} \qquad
# \alpha\, \frac{\operatorname{mean}(g)}{\sqrt{\operatorname{mean}(g^2)}} \ \text{ for Adam.}$$
#
# (The mean of $m/\sqrt{v}$ may be taken apart because $v$ hardly changes meanwhile.)
#
# *Sparse:* a gradient of 1 in a share $p$ of the steps has mean $p$ and mean square $p$. SGD moves
# in proportion to $p$, Adam to $p/\sqrt{p} = \sqrt{p}$: a weight that is used in one step of a
# hundred moves 10 times more slowly than one that is always used, not 100 times. *Noisy:* for
# mean 1 and noise of standard deviation $s$, SGD's average does not depend on $s$ (but it jitters),
# while Adam's falls as $1/\sqrt{1 + s^2}$: it takes smaller steps where it is less sure.
# </details>

# %%
with lk.check("0.11", "average_step", "predicted_momentum", "predicted_adam"):

    class _Adam:
        """The check's own: a slip in 0.9 is none in 0.11."""

        made = 0

        def __init__(self, parameters, lr=1e-3):
            self.parameters, self.t = parameters, [torch.tensor(p) for p in parameters]
            self.adam = torch.optim.Adam(self.t, lr=lr)
            _Adam.made += 1

        def step(self, gradients):
            for tensor, gradient in zip(self.t, gradients, strict=True):
                tensor.grad = torch.as_tensor(gradient, dtype=tensor.dtype)
            self.adam.step()
            for array, tensor in zip(self.parameters, self.t, strict=True):
                array[...] = tensor.numpy()

    _g = np.random.default_rng(4).normal(0.6, 1.0, (50, 3)) * [1, 1, -1]
    _makers = {
        _Adam: (torch.optim.Adam, {"lr": 0.01}, {"lr": 1e-3}),
        MomentumSGD: (torch.optim.SGD, {"lr": 0.1, "momentum": 0.5}, {"lr": 0.1, "momentum": 0.9}),
    }

    def _walk(rows, kind, settings):
        return lk.judge.optimizer_path(list(rows), lambda p: kind(p, **settings))

    for _class, (_kind, _options, _default) in _makers.items():
        _rows = _g if _class is _Adam else _g[:40, :2]
        _steps, _count = _rows.shape
        _path, _lost = (_walk(_rows, _kind, o) for o in (_options, _default))
        _is = f"average_step with {_class.__name__.strip('_')}"
        _fresh = sum(_walk([row], _kind, _options)[0] for row in _rows)
        _got = lk.judge.call(average_step, _class, _rows, **_options)
        _got = lk.judge.read_array(_got, (_count,), "average_step")
        assert _Adam.made, "average_step must run the optimiser that it is given: optimizer_class"
        _each = np.diff(_path, axis=0, prepend=0)
        _slips = {
            "the sign; downhill counts as positive": _path[-1] / _steps,
            "the sign counts: no absolute value": abs(_path[-1]) / _steps,
            "this is the whole way, divide by the steps": -_path[-1],
            "divide by the steps, not by the parameters": -_path[-1] / _count,
            "divide by the steps, len(gradients), not by 50": -_path[-1] / 50,
            "the settings are lost: pass **settings on to the optimiser": -_lost[-1] / _steps,
            "the optimiser forgets; make it once, before the loop": -_fresh / _steps,
            "steps back are negative: from start to end, not each step's way": abs(_each).mean(0),
            "this is the last step alone": -_each[-1],
            "this is the mean of the places, not of the steps": -_path.mean(0),
        }
        _slips = {f"{_is}: {words}": slip for words, slip in _slips.items()}
        lk.judge.compare(_got, -_path[-1] / _steps, _slips, f"{_is} is not {_got.round(4)}")
    _mean, _square = _g.mean(0), (_g**2).mean(0)
    _short = (1 - 0.8 ** np.arange(50, 0, -1)) @ _g / 50
    _got = lk.judge.read_array(
        lk.judge.call(predicted_momentum, _g, 0.1, 0.8), (3,), "predicted_momentum"
    )
    _slips = {
        "the factor 1/(1 − momentum) is missing": 0.1 * _mean,
        "divide by 1 − momentum": 0.1 * _mean / 0.8,
        "the weights 1, μ, μ², … add up to 1/(1 − μ), more than 1": 0.1 * _mean * (1 - 0.8),
        "the learning rate is missing": _mean / (1 - 0.8),
        "the weights 1, μ, μ², … go on: they add up to more than 1 + μ": 0.1 * _mean * 1.8,
        "in the long run the last gradients count like all others": 0.5 * _short,
        "the sign; downhill counts as positive": -0.5 * _mean,
        "the sign counts: no absolute value": 0.5 * abs(_mean),
        "the mean over the steps, not the sum": 0.5 * _g.sum(0),
    }
    _slips = {f"predicted_momentum: {words}": slip for words, slip in _slips.items()}
    lk.judge.compare(
        _got, 0.5 * _mean, _slips, "predicted_momentum: what do the weights 1, μ, μ², … add to?"
    )
    _got = lk.judge.read_array(lk.judge.call(predicted_adam, _g, 0.1), (3,), "predicted_adam")
    _true = 0.1 * _mean / np.sqrt(_square)
    _slips = {
        "the root of the mean square, not the standard deviation": 0.1 * _mean / _g.std(0),
        "the root of the mean square, not the mean of |g|": 0.1 * _mean / abs(_g).mean(0),
        "the root is missing": 0.1 * _mean / _square,
        "first square, then average": 0.1 * np.sign(_mean),
        "the mean of the squares, not their sum": _true / 50**0.5,
        "m and v are averaged first, then divided": 0.1 * np.sign(_g).mean(0),
        "the learning rate is missing, or a factor 1/(1 − β1) too much": 10 * _true,
        "the sign; downhill counts as positive": -_true,
        "the sign counts: no absolute value": abs(_true),
        "mean over the steps above and below, not sums": _true * 50**0.5,
    }
    _slips = {f"predicted_adam: {words}": slip for words, slip in _slips.items()}
    lk.judge.compare(
        _got, _true, _slips, "predicted_adam: lr times the mean, divided by the root of what?"
    )

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
        ax.plot(across, lk.judge.as_array(formula), color=colour, label=f"{name}: formula")
        ax.plot(across, lk.judge.as_array(measured), "o", color=colour, label=f"{name}: measured")
    ax.set(title=title, xlabel=label, ylabel="average step")
axes[0, 0].set(xscale="log", yscale="log")
axes[0, 1].set_ylim(0)
axes[0, 0].legend(fontsize=8)
figure

# %% [markdown]
# The learning rates are chosen so that both move alike for a constant gradient of 1. Which of the
# two is the better one?
#
# <details><summary>Answer</summary>
#
# On the left, from always to one step in a hundred, SGD slows down about 100 times, Adam about 10
# times. On the right, Adam slows down where noise drowns the mean; SGD does not. Neither is
# *better*: rare features profit from Adam, and SGD takes the mean as it is.
# </details>

# %% [markdown]
# ## Now for real: handwritten digits
#
# MNIST: 28 x 28 grey pixels, ten digits. The simplest network is **softmax regression**: one affine
# map from 784 pixels to 10 logits, $z = Wx + b$, then the softmax, and the cross-entropy as loss.

# %%
mnist = lk.load_dataset("mnist")
mnist

# %%
train_loader, val_loader, test_loader = mnist.loaders(batch_size=128, normalize="none")
lk.figures.image_grid(
    mnist.train.images[:16], [str(int(i)) for i in mnist.train.labels[:16]], origin=mnist.origin
)

# %% [markdown]
# All parts are ready: the gradient of one image by its logits (exercise 0.2), and the way from the
# output of an affine map to its matrix (exercise 0.3). The loss of a batch is the **mean** over its
# $n$ images. Put it together, for a batch with the images as rows of $X$ (n, 784).

# %% [markdown]
# ### Exercise 0.12: the gradient of softmax regression
#
# Write `softmax_regression_gradients(W, b, X, labels)` with `W` (10, 784), `b` (10,), `X` (n, 784)
# and `labels` (n,), whole numbers from 0 to 9. It returns the gradient for `W`, then for `b`, of
# the mean cross-entropy.
#
# <details><summary>Hint 1: the idea</summary>
#
# For one image, $\nabla_z \ell = y - t$ and $\nabla_W = (y - t)\,x^\top$. With probabilities as rows
# of $Y$ and one-hot targets as rows of $T$, both (n, 10): which product of matrices adds up the
# outer products of all images, and has the shape of $W$?
# </details>
# <details><summary>Hint 2: in NumPy</summary>
#
# The logits of all images are `X @ W.T + b`. `np.eye(10)[labels]` gives the one-hot rows.
# </details>


# %%
# Exercise 0.12 - the gradient of softmax regression
def softmax_regression_gradients(W, b, X, labels):
    raise NotImplementedError("0.12: return the gradients for W and for b")


# %%
# Solution 0.12
def softmax_regression_gradients(W, b, X, labels):
    probabilities = softmax(X @ W.T + b)
    difference = (probabilities - np.eye(len(b))[labels]) / len(labels)
    return difference.T @ X, difference.sum(axis=0)


# %% [markdown] tags=["solution"]
# <details><summary>Why this is so</summary>
#
# $$\nabla_W = \frac{1}{n} (Y - T)^\top X, \qquad
# \nabla_b = \frac{1}{n} \sum_{\text{rows}} (Y - T) .$$
#
# $(Y - T)^\top X$ is the sum over the images of their outer products $(y - t)\,x^\top$. A pixel that
# is black (0) in all images of the batch has gradient 0 for all ten classes: at the rim of the
# images, these gradients are sparse.
# </details>

# %%
with lk.check("0.12", "softmax_regression_gradients"):
    _random = np.random.default_rng(6)
    _W, _b = 0.1 * _random.normal(size=(10, 784)), _random.normal(size=10)
    _X, _y = _random.random((7, 784)), np.array([3, 1, 4, 1, 5, 8, 2])
    try:
        _answer = lk.judge.call(softmax_regression_gradients, _W, _b, _X, _y)
    except AssertionError as error:
        assert "(7,10) (7," not in str(error), (
            "the targets need a column for each of the ten classes: np.eye(10)[labels]"
        )
        raise
    _answer = lk.judge.read_pair(_answer, "the gradient for W, then the one for b")
    _shapes = [lk.judge.as_array(part, None).shape for part in _answer]
    assert _shapes[0] != (784, 10), (
        "the gradient for W must have the shape of W, (10, 784): turn it round"
    )
    assert _shapes[0] != (10,) or _shapes[1] != (10, 784), "swapped: first for W, then for b"
    assert _shapes[1] not in ((1, 10), (10, 1)), (
        "the gradient for b has the shape (10,): no keepdims"
    )
    assert _shapes[1] not in ((7, 10), (7,)), (
        "the gradient for b: add up over the images, not over the classes"
    )
    _leaves = [torch.tensor(v, requires_grad=True) for v in (_W, _b)]
    F.cross_entropy(torch.tensor(_X) @ _leaves[0].T + _leaves[1], torch.tensor(_y)).backward()
    _z, _hot = _X @ _W.T + _b, np.eye(10)[_y]
    _Y, _no_b = (torch.softmax(torch.tensor(z), 1).numpy() for z in (_z, _X @ _W.T))
    _across = torch.softmax(torch.tensor(_z), 0).numpy()
    for _name, _part, _leaf in zip("Wb", _answer, _leaves, strict=True):
        _true, _is = _leaf.grad.numpy(), f"the gradient for {_name}"

        def _mean(d, name=_name):
            return (d.T @ _X if name == "W" else d.sum(0)) / 7

        _slips = {
            "this is a sum: divide by the number of images": 7 * _true,
            "divide by the images, not the classes": 7 * _true / 10,
            "divide by the number of images once, not twice": _true / 7,
            "divide by the images only, not by the classes as well": _true / 10,
            "the wrong sign: probabilities minus targets": -_true,
            "the targets are missing (Y − T)": _mean(_Y),
            "b is missing in the logits": _mean(_no_b - _hot),
            "the softmax goes over the classes of an image, not over the images": _mean(
                _across - _hot
            ),
            "the softmax is missing: probabilities, not logits, minus targets": _mean(_z - _hot),
            "no factor y(1 − y): y − t is all": _mean((_Y - _hot) * _Y * (1 - _Y)),
            "these are the wrong one-hot rows: row i is 1 at its label": _mean(_Y - np.eye(10)[:7]),
            "subtract 1 once in each row, at its own label: [np.arange(n), labels]": _mean(
                _Y - np.isin(np.arange(10), _y)
            ),
            "divide by the number of images, not of all numbers in X": _true / 784,
            "the label is a number of a class: make it one-hot": _mean(_Y - _y[:, None]),
        }
        _slips = {f"{_is}: {words}": slip for words, slip in _slips.items()}
        _part = lk.judge.read_array(_part, _true.shape, _is)
        lk.judge.compare(_part, _true, _slips, f"{_is} differs from autograd's", 1e-6)
    _answer = lk.judge.call(softmax_regression_gradients, _W, _b, _X[:4], _y[:4])
    _d = (_Y - _hot)[:4] / 4
    for _part, _true in zip(_answer, (_d.T @ _X[:4], _d.sum(0)), strict=True):
        _part = lk.judge.as_array(_part).squeeze()
        assert lk.judge.near(_part, _true, 1e-6), "right for 7 images, wrong for 4: use len(X)"

# %% [markdown]
# ## Train: your gradient, your optimiser
#
# `train` needs no autograd. The weights start at zero. (For one layer that is fine: the loss is
# convex. Lab 03 shows why deeper networks cannot start so.) One **epoch** goes through all training
# images once, in batches of 128. The **validation** images are not trained on: they say how good
# the network is on images that it has not seen, and so which settings to choose.


# %%
def to_arrays(images, labels):
    """A batch as float64 rows of pixels and whole-number labels."""
    return images.flatten(1).cpu().double().numpy(), labels.cpu().numpy()


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
            optimizer.step([c * lk.judge.as_array(g) for g in gradients])
        losses.append(predict(W, b, val_loader, mnist.val).loss)
    return W, b, losses


# %% [markdown]
# First the proof: 20 batches with your gradient and your Adam, and 20 with PyTorch's, on the same
# batches. Read the second loop well: **zero, backward, step** is the loop of all later labs.

# %% tags=["nbval-check-output"]
lk.seed_everything(0)
batches = [batch for batch, _ in zip(train_loader, range(20), strict=False)]
W, b = np.zeros((10, 784)), np.zeros(10)
optimizer = Adam([W, b], lr=1e-3)
for images, labels in batches:
    gradients = softmax_regression_gradients(W, b, *to_arrays(images, labels))
    optimizer.step([lk.judge.as_array(g) for g in gradients])

W_torch = torch.zeros(10, 784, dtype=torch.float64, requires_grad=True)
b_torch = torch.zeros(10, dtype=torch.float64, requires_grad=True)
optimizer = torch.optim.Adam([W_torch, b_torch], lr=1e-3)
for images, labels in batches:
    X, y = images.flatten(1).cpu().double(), labels.cpu()
    optimizer.zero_grad()  # forget the gradients of the last batch
    F.cross_entropy(X @ W_torch.T + b_torch, y).backward()  # new gradients
    optimizer.step()  # walk
print("weights equal to 1e-6:", bool(np.abs(W - W_torch.detach().numpy()).max() < 1e-6))

# %% [markdown]
# Now the comparison. An optimiser is only as good as its learning rate, so each gets three, with
# one seed, and the **validation** loss chooses.
#
# **While it runs:** all weights are zero at the start. What is the loss then, and why does it not
# depend on the images?

# %%
grid = {MomentumSGD: (0.003, 0.03, 0.3), Adam: (0.0003, 0.003, 0.03)}
pairs = [(kind, lr) for kind, rates in grid.items() for lr in rates]
runs = {(kind, lr): train(kind, lr=lr) for kind, lr in lk.track(pairs, "training")}
best = {kind: min(rates, key=lambda lr: runs[kind, lr][2][-1]) for kind, rates in grid.items()}

figure, axes = lk.figures.new_figure(1, 2, 3.3, mnist.origin, sharey=True)
for ax, (kind, rates) in zip(axes[0], grid.items(), strict=True):
    for lr, colour in zip(rates, COLOURS, strict=False):
        chosen = " (chosen)" if lr == best[kind] else ""
        ax.plot(runs[kind, lr][2], "o-", ms=4, color=colour, label=f"lr {lr:g}{chosen}")
    ax.set(title=kind.__name__, xlabel="epoch", ylim=(0.2, 2.4))
    ax.xaxis.get_major_locator().set_params(integer=True)
    ax.legend(fontsize=8)
axes[0, 0].set_ylabel("validation loss")
figure

# %% [markdown]
# <details><summary>Answer</summary>
#
# With zero weights every logit is 0, so every digit has the probability 1/10, whatever the image:
# the loss is $-\log \tfrac{1}{10} = \log 10 \approx 2.30$. A first loss far from $\log C$ is a sign
# that something is wrong; later labs begin with this test.
# </details>
#
# Now multiply all gradients by $c = 1/100$ and change nothing else. What should happen, after
# exercise 0.10? Write it down before you run the cell.

# %%
kinds = lk.track(list(grid), "training")
scaled = {kind: train(kind, c=0.01, lr=best[kind])[2] for kind in kinds}
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
# <details><summary>Answer</summary>
#
# For each optimiser compare the dashed line with the solid one of the same colour. Adam's should lie
# on top of each other, almost: the gradients of some pixels are tiny, and there $\varepsilon$
# counts. Momentum SGD learns as with a learning rate a hundred times smaller.
# </details>
#
# Is one of the two better on these data? Each with its chosen learning rate and three orders of
# the batches (seeds). What would you need to see before you say "Adam is better"?

# %%
SEEDS = (0, 1, 2)
trained = {(kind, 0): runs[kind, best[kind]] for kind in grid}
todo = [(kind, seed) for kind in grid for seed in SEEDS if (kind, seed) not in trained]
for kind, seed in lk.track(todo, "training"):
    trained[kind, seed] = train(kind, lr=best[kind], seed=seed)
table = {}
for kind in grid:
    results = [predict(*trained[kind, s][:2], val_loader, mnist.val) for s in SEEDS]
    accuracies, (low, high) = [100 * r.accuracy for r in results], results[0].accuracy_interval()
    table[f"{kind.__name__}, lr {best[kind]:g}"] = {
        "validation loss": np.mean([r.loss for r in results]),
        "accuracy in %": np.mean(accuracies),
        "lowest seed": min(accuracies),
        "highest seed": max(accuracies),
        "± from the images (95 %)": 50 * (high - low),
        "seeds": len(SEEDS),
        "n": len(results[0].labels),
    }
pd.DataFrame(table).T.round(3).astype({"seeds": int, "n": int})

# %% [markdown]
# <details><summary>How to read it</summary>
#
# There are two sources of chance, and they are not the same. **Which images are tested:** with other
# validation images an accuracy may be off by as much as the ± says. (Both rows share their
# images, so their *difference* is known better than that; lab 02 shows how to test it.) **Which seed
# trained:** here a seed only orders the batches. The start is the same zeros and the images are the
# same, so the spread between the seeds is small, and says little: two ranges that do not overlap are
# no proof. Both learning rates were picked from a coarse grid, with one seed, on these same images, and
# neither training is finished. The training loss is convex, so given time and falling learning rates
# both should come close to its lowest value. What the table can show is who is *nearer after
# this many epochs at this learning rate*, not who is better.
# </details>
#
# ## The test set, once
#
# The run with your Adam and the learning rate that validation chose (seed 0) is the one to report.

# %%
W, b, _ = runs[Adam, best[Adam]]
result = predict(W, b, test_loader, mnist.test)
result

# %% [markdown]
# ## What the weights mean
#
# A network with one layer can be looked at: each row of $W$ is a picture of 28 x 28 weights. It is
# tempting to read "blue speaks for the digit, red against it". But adding the same number to all
# ten logits changes no probability. So a pixel whose ten weights are all equally red speaks against
# *none* of them: only differences between the classes mean anything.

# %% [markdown]
# ### Exercise 0.13: only differences count
#
# Write `contrast(W)` for `W` (classes, pixels). It returns weights of the same shape that give the
# same probabilities for **every** image, and whose weights of each pixel add up to 0 over the
# classes.
#
# <details><summary>Hint 1: the idea</summary>
#
# What may you add to a whole column of $W$ without changing a difference between two classes? Choose
# it so that the column adds up to 0.
# </details>
# <details><summary>Hint 2: in NumPy</summary>
#
# `W.mean(axis=…)`: the axis that you name is the one that disappears. Classes are axis 0.
# </details>


# %%
# Exercise 0.13 - only differences count
def contrast(W):
    raise NotImplementedError("0.13: the same probabilities, columns that add up to 0")


# %%
# Solution 0.13
def contrast(W):
    return W - W.mean(axis=0)


# %% [markdown] tags=["solution"]
# <details><summary>Why this is so</summary>
#
# Subtracting a row $s$ from all rows of $W$ subtracts $s^\top x$ from all ten logits of an image:
# the same number, so the softmax does not see it. With $s$ the mean over the classes, each column
# adds up to 0. What is left of a weight says how much more this digit wants the pixel than the
# average digit does.
# </details>

# %%
with lk.check("0.13", "contrast"):
    _W = np.random.default_rng(9).normal(0.5, 1.0, (4, 6))
    _true = _W - _W.mean(0)
    _slips = {
        "this is the mean over the pixels; take it over the classes, axis 0": _W
        - _W.mean(1, keepdims=True),
        "each pixel needs its own mean, not one for the whole matrix": _W - _W.mean(),
        "differences to the first class: but a column must add up to 0": _W - _W[0],
        "differences to the last class: but a column must add up to 0": _W - _W[-1],
        "subtract, do not divide: that changes the probabilities": _W / _W.sum(0),
        "subtract the mean, but do not divide by the spread": _true / _W.std(0),
        "subtract, do not divide": _W / _W.mean(0),
        "divide by the number of classes of W, here 4, not by 10": _W - _W.sum(0) / 10,
        "nothing has changed": _W,
        "the sign is turned round": -_true,
        "add nothing: subtract the mean": _W + _W.mean(0),
        "this is the mean itself: subtract it from W": np.broadcast_to(_W.mean(0), _W.shape),
    }
    _others = {"sum": sum, "median": np.median, "largest": np.max, "smallest": np.min}
    _slips |= {f"the mean, not the {k}": _W - f(_W, 0) for k, f in _others.items()}
    _got = lk.judge.read_array(lk.judge.call(contrast, _W), (4, 6), "contrast of a matrix (4, 6)")
    lk.judge.compare(
        _got, _true, _slips, "the columns must add up to 0, and no difference may change"
    )
    _W = _W[1:, :5]
    _got = lk.judge.as_array(lk.judge.call(contrast, _W))
    assert lk.judge.near(_got, _W - _W.mean(0)), "right for 4 classes, wrong for 3: use len(W)"

# %% [markdown]
# Above the weights as they are, below without what all digits share.

# %%
figure, axes = lk.figures.new_figure(2, 10, 2.9, mnist.origin)
for row, (name, weights) in enumerate({"as trained": W, "contrast": contrast(W)}.items()):
    weights = lk.judge.as_array(weights)
    limit = np.quantile(np.abs(weights), 0.99)
    for digit, ax in enumerate(axes[row]):
        image = ax.imshow(weights[digit].reshape(28, 28), cmap="RdBu", vmin=-limit, vmax=limit)
        ax.set_title(str(digit), fontsize=9)
        ax.set(xticks=[], yticks=[])
    axes[row, 0].set_ylabel(name, fontsize=9)
    figure.colorbar(image, ax=axes[row], shrink=0.8)
figure.suptitle("The weights of each digit: blue is positive, red negative", fontsize=11)
figure

# %% [markdown]
# **Look** at the rim, above and below. Then at this table: how large is the part that all ten
# digits share (the largest sum of a pixel's ten weights), for each optimiser?

# %%
table = {}
for kind in grid:
    weights = runs[kind, best[kind]][0]
    table[f"{kind.__name__}, lr {best[kind]:g}"] = {
        "largest |weight|": f"{np.abs(weights).max():.2f}",
        "largest |sum over the digits|": f"{np.abs(weights.sum(axis=0)).max():.1e}",
        "pixels negative for all ten": int((weights < 0).all(axis=0).sum()),
    }
pd.DataFrame(table).T

# %% [markdown]
# Why does Adam leave a common part, and momentum SGD none but rounding? You have all that is needed
# to prove it. (Add up the gradient over the classes.)
#
# <details><summary>Answer</summary>
#
# $\sum_c (y_c - t_c) = 1 - 1 = 0$, so for each pixel the gradients of the ten classes add up to 0.
# Momentum SGD adds up gradients, starting from zero: the sums stay 0, except for rounding. Adam
# divides each weight's gradient by its *own* $\sqrt{\hat v}$, and what added up to 0 does so no
# longer. Take a pixel at the rim that has ink in a few images of one digit only: its gradients are
# rare, large for this digit and nine times smaller, with the other sign, for the others. Adam makes
# all ten steps about equally long: one up, nine down, and the sum falls with each. So the rim may
# turn red for nearly all digits (hardly for all ten, as the last column says: for the digit with the
# ink the weight goes up). What they share means nothing. In the lower row it is gone: where the rim
# is red for some digits it is blue for others, and not one probability has changed.
# </details>
#
# ## What to take away
#
# - A derivation is a claim. Autograd, or a second formula, can check it in seconds.
# - Backwards through a network goes a vector times a Jacobian, never the matrix. Through softmax and
#   cross-entropy that leaves probability minus target.
# - One label: softmax, where only differences between logits (and so between the weights of classes)
#   mean anything. Many: sigmoid.
# - A linear layer's gradient is what arrives from behind times what came in from the front.
# - The Huber loss clips the pull of each point; so a few wrong targets do little harm, at a small
#   price on clean data.
# - The steepest direction limits the learning rate: $2/\lambda_{\max}$.
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
#    not change. If it was too sure, its confidence is now more honest, and that is all that can have
#    become better. Validation data must show that.
# 4. It is divided by $\sqrt{\hat v}$ as well: weights with large gradients are decayed less than
#    others. AdamW, used in labs 05 and 06, therefore subtracts the decay directly from the weights,
#    outside the division.
# </details>

# %% [markdown]
# ## The results of this lab

# %%
lk.report_result(
    "test accuracy", result, f"softmax regression, Adam by hand, {EPOCHS} epochs, 1 seed"
)

# %%
lk.progress()
