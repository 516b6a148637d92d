"""What the checks of several exercises need: read an answer, call it, tell its slips apart."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

__all__ = "adam_slips as_array call compare near optimizer_path read_array read_pair".split()


def __dir__() -> list[str]:  # what Tab shows after the module's name
    return __all__


def as_array(value: Any, dtype: type | None = float) -> np.ndarray:
    """An answer in any form as a NumPy array.

    Args:
        value: a number, an array, a tensor (also one with a gradient), or lists of them.
        dtype: of the result; None leaves it to NumPy.

    Raises:
        ValueError, TypeError: for what is no number (a text is none), or rows of several lengths.

    Example:
        >>> as_array([[1, 2], (3, 4)]).shape
        (2, 2)
    """
    array = np.asarray(_without_torch(value))
    if dtype not in (None, object) and array.dtype.kind in "SU":  # NumPy would read "0.5"
        raise ValueError(f"{array.ravel()[:1]} holds a text")
    return array.astype(dtype) if dtype else array


def _without_torch(value: Any) -> Any:
    if isinstance(value, tuple | list):
        return [_without_torch(part) for part in value]
    return value.detach().cpu().numpy() if hasattr(value, "detach") else value


def read_array(value: Any, shape: tuple[int, ...], name: str) -> np.ndarray:
    """An answer as floats of this shape; sides of 1 may be left out or added.

    Args:
        value: as for `as_array`.
        shape: the shape that it must have.
        name: what to call it in a message.

    Raises:
        AssertionError: says what came instead.

    Example:
        >>> read_array([[0.5, 0.5]], (2,), "the mean")
        array([0.5, 0.5])
    """
    assert value is not None, f"{name} gives None: is `return` missing?"
    assert value is not ..., f"{name} still gives `...`"
    try:
        array = as_array(value)
    except (TypeError, ValueError):
        raise AssertionError(f"{name} must give numbers in an array") from None
    if array.squeeze().shape == tuple(side for side in shape if side != 1):
        array = array.reshape(shape)
    lost = " (one number: was a sum or mean taken over everything?)" if array.size == 1 else ""
    lost = lost if shape else ", one number"
    assert array.shape == shape, f"{name} has the shape {array.shape}; it must be {shape}{lost}"
    assert np.isfinite(array).all(), f"{name} holds NaN or infinity"
    return array


def call(function: Callable, *arguments: Any, **settings: Any) -> Any:
    """What a function gives for copies of these arguments, which it must leave alone.

    Args:
        function: the student's.
        *arguments: arrays are copied first.
        **settings: handed on as they are.

    Raises:
        AssertionError: it returns nothing, changes an array, or its shapes do not fit.

    Example:
        >>> call(len, np.ones(3))
        3
    """
    name = getattr(function, "__name__", "your function")
    given = [a.copy() if isinstance(a, np.ndarray) else a for a in arguments]
    try:
        with np.errstate(all="ignore"):
            answer = function(*given, **settings)
    except ValueError as error:
        if "broadcast" not in str(error):
            raise
        raise AssertionError(
            f"{name}: shapes that do not fit ({error}); print them on the way. Is one a "
            "sum or maximum along an axis? Beside its array it needs keepdims=True"
        ) from None
    for now, before in zip(given, arguments, strict=True):
        assert not isinstance(now, np.ndarray) or np.array_equal(now, before), (
            f"{name} changes the array that it is given: compute on a new one (no `-=`)"
        )
    assert answer is not None, f"{name} gives None: is `return` missing?"
    return answer


def read_pair(answer: Any, parts: str) -> tuple | list:
    """The two parts of an answer, "first the gradient for A, then …"; else an AssertionError.

    Example:
        >>> read_pair((1, 2), "a number and the next one")
        (1, 2)
    """
    right = isinstance(answer, tuple | list) and len(answer) == 2
    assert right, f"return two things: {parts}"
    assert not any(part is None for part in answer), f"one of the two is None: {parts}"
    return answer


def near(a: Any, b: Any, tolerance: float = 1e-5) -> bool:
    """Whether two arrays have one shape and agree to this share, or to this difference.

    Example:
        >>> near([1.0, 2.0], [1.0, 2.000001]), near([1.0], 1.0)
        (True, False)
    """
    return np.shape(a) == np.shape(b) and np.allclose(a, b, rtol=tolerance, atol=tolerance)


def compare(
    got: Any, true: Any, slips: dict[str, Any], otherwise: str, tolerance: float = 1e-5
) -> None:
    """Assert that an answer is true; a usual slip gets its own words.

    Args:
        got: the answer, an array or a tensor.
        true: what it must be, in the same shape.
        slips: what each usual slip would give, by the words that it gets.
        otherwise: the words for any other wrong answer.
        tolerance: as in `near`.

    Example:
        >>> compare(np.array([2.0]), np.array([2.0]), {"the sign is wrong": -2.0}, "no")
    """
    got, true, *others = map(as_array, (got, true, *slips.values()))
    for words, slip in zip(slips, others, strict=True):
        same = near(true, slip, tolerance)  # here the slip makes no difference
        assert same or not near(got, slip, tolerance), words
    off = np.abs(got - true).max()
    assert near(got, true, tolerance), f"{otherwise} (largest difference {off:.2g})"


def optimizer_path(
    gradients: Sequence[np.ndarray | float], make: Callable[[list[Any]], Any]
) -> np.ndarray:
    """Where an optimiser of PyTorch takes parameters that start at 0.

    Args:
        gradients: one a step, all of one shape.
        make: from a list of parameters to the optimiser.

    Returns:
        The parameters after each step, (steps, …).

    Example:
        >>> optimizer_path([1.0, 1.0], lambda p: torch.optim.SGD(p, lr=0.5)).tolist()
        [-0.5, -1.0]
    """
    import torch

    leaf = torch.zeros(np.shape(gradients[0]), dtype=torch.float64, requires_grad=True)
    optimizer, rows = make([leaf]), []
    for gradient in gradients:
        leaf.grad = torch.tensor(gradient, dtype=torch.float64)
        optimizer.step()
        rows.append(leaf.detach().numpy().copy())
    return np.array(rows)


def adam_slips(
    gradients: Sequence[np.ndarray | float], lr: float, betas: tuple[float, float], eps: float
) -> dict[str, np.ndarray]:
    """Where Adam comes to with each of the usual slips, by the words that name it.

    Args:
        gradients: one a step, all of one shape.
        lr: Adam's learning rate.
        betas: how slowly m and v fade.
        eps: what is added to the root.

    Returns:
        The parameters after each step, (steps, …), for each slip.

    Example:
        >>> len(adam_slips([0.4, -0.7], 0.01, (0.9, 0.999), 1e-8))
        13
    """
    b1, b2 = betas
    roots = {
        "eps must stand outside the root: √v̂ + eps": lambda v, k: np.sqrt(v + eps),
        "the root of v̂ is missing": lambda v, k: v + eps,
        "eps, the given one, is missing beside √v̂": lambda v, k: np.sqrt(v),
        "eps is added after the correction, √v̂ + eps: Kingma and Ba's shorter form has "
        "another eps": lambda v, k: (np.sqrt(v * (1 - b2**k)) + eps) / np.sqrt(1 - b2**k),
    }
    settings = {words: (b1, b2, b1, b2, root) for words, root in roots.items()}

    def right(v: np.ndarray, k: int) -> np.ndarray:
        return np.sqrt(v) + eps

    settings |= {
        "beta1 and beta2 are swapped: beta1 for m, beta2 for v": (b2, b1, b2, b1, right),
        "v fades with beta2, not with beta1": (b1, b1, b1, b1, right),
        "m fades with beta1, not with beta2": (b2, b2, b2, b2, right),
        "the bias correction is missing: use m̂ and v̂": (b1, b2, 0, 0, right),
        "the bias correction of m is missing": (b1, b2, 0, b2, right),
        "the bias correction of v is missing": (b1, b2, b1, 0, right),
        "the bias correction of v needs beta2, not beta1": (b1, b2, b1, b1, right),
    }
    paths = {words: _adam_path(gradients, lr, *slip) for words, slip in settings.items()}
    carried = {
        "m and v must go on from step to step": lambda m, v, k: (0 * m, 0 * v),
        "m̂ and v̂ are new arrays: m and v themselves go on without the correction": (
            lambda m, v, k: (m / (1 - b1**k), v / (1 - b2**k))
        ),
    }
    for words, carry in carried.items():
        paths[words] = _adam_path(gradients, lr, b1, b2, b1, b2, right, carry)
    return paths


def _adam_path(
    gradients: Sequence[np.ndarray | float],
    lr: float,
    keep_m: float,
    keep_v: float,
    bias_m: float,
    bias_v: float,
    root: Callable[[np.ndarray, int], np.ndarray],
    carry: Callable[[np.ndarray, np.ndarray, int], tuple] = lambda m, v, k: (m, v),
) -> np.ndarray:
    m = v = theta = np.zeros_like(gradients[0])
    path = []
    for k, g in enumerate(gradients, 1):
        m, v = keep_m * m + (1 - keep_m) * g, keep_v * v + (1 - keep_v) * g**2
        with np.errstate(all="ignore"):
            theta = theta - lr * m / (1 - bias_m**k) / root(v / (1 - bias_v**k), k)
        path.append(theta)
        m, v = carry(m, v, k)
    return np.array(path)
