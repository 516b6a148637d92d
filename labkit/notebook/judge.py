"""What the checks of several exercises need: read an answer, call it, tell its slips apart."""

from collections.abc import Callable
from typing import Any

import numpy as np


def as_array(value: Any, dtype: type | None = float) -> np.ndarray:
    """An answer in any form as a NumPy array.

    Args:
        value: a number, an array, a tensor (also one with a gradient), or lists of them.
        dtype: of the result; None leaves it to NumPy.

    Raises:
        ValueError, TypeError: where NumPy finds no numbers, or rows of several lengths.

    Example:
        >>> as_array([[1, 2], (3, 4)]).shape
        (2, 2)
    """
    return np.asarray(_without_torch(value), dtype=dtype)


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
    assert array.shape == shape, f"{name} has the shape {array.shape}; it must be {shape}"
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
            f"{name}: shapes that do not fit ({error}); print them on the way. A sum or "
            "maximum along an axis needs keepdims=True to be put beside its array again"
        ) from None
    for now, before in zip(given, arguments, strict=True):
        assert not isinstance(now, np.ndarray) or np.array_equal(now, before), (
            f"{name} changes the array that it is given: compute on a new one (no `-=`)"
        )
    assert answer is not None, f"{name} gives None: is `return` missing?"
    return answer


def read_pair(answer: Any, parts: str) -> tuple | list:
    """The two parts of an answer, such as "first the gradient for A, then the one for b".

    Raises:
        AssertionError: it has not two parts.

    Example:
        >>> read_pair((1, 2), "a number and the next one")
        (1, 2)
    """
    right = isinstance(answer, tuple | list) and len(answer) == 2
    assert right, f"return two things: {parts}"
    return answer


def near(a: Any, b: Any, tolerance: float = 1e-5) -> bool:
    """Whether two arrays have one shape and agree to this share, or to this difference.

    Example:
        >>> near([1.0, 2.0], [1.0, 2.000001]), near([1.0], 1.0)
        (True, False)
    """
    return np.shape(a) == np.shape(b) and np.allclose(a, b, rtol=tolerance, atol=tolerance)


def compare(
    got: Any, true: np.ndarray, slips: dict[str, Any], otherwise: str, tolerance: float = 1e-5
) -> None:
    """Assert that an answer is true; a usual slip gets its own words.

    Args:
        got: the answer, as an array.
        true: what it must be, in the same shape.
        slips: what each usual slip would give, by the words that it gets.
        otherwise: the words for any other wrong answer.
        tolerance: as in `near`.

    Raises:
        AssertionError: with the words for this answer.

    Example:
        >>> compare(np.array([2.0]), np.array([2.0]), {"the sign is wrong": -2.0}, "no")
    """
    for words, slip in slips.items():
        same = near(true, slip, tolerance)  # here the slip makes no difference
        assert same or not near(got, slip, tolerance), words
    off = np.abs(np.asarray(got) - true).max()
    assert near(got, true, tolerance), f"{otherwise} (largest difference {off:.2g})"
