"""Numbers from outside as NumPy arrays, and whether logits are what they should be."""

import warnings
from typing import Any

import numpy as np


def to_numpy(values: Any) -> np.ndarray:
    """Numbers as an array, also those of a tensor that learns, is bfloat16 or lies on a card.

    Example:
        >>> to_numpy(torch.ones(1, requires_grad=True, dtype=torch.bfloat16))
        array([1.], dtype=float32)
    """
    if not hasattr(values, "detach"):  # asked so that what needs no torch does not load it
        return np.asarray(values)
    tensor = values.detach().cpu()
    return (tensor.float() if str(tensor.dtype) == "torch.bfloat16" else tensor).numpy()


def warn_of_probabilities(logits: np.ndarray) -> None:
    """Warn where the logits (N, C) of `Predictions` are probabilities."""
    add_up = (logits >= 0).all() and np.allclose(logits.sum(1), 1, atol=1e-3)
    if add_up and logits.shape[1] > 1 and not np.isin(logits, (0, 1)).all():  # answers may be 0, 1
        warnings.warn(
            "The logits look like probabilities (each row adds up to 1). Give logits, or the "
            "logarithm of the probabilities: else confidences, loss and calibration are wrong.",
            stacklevel=4,
        )
