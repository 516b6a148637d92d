"""Numbers of any kind become arrays, and probabilities given as logits are told from logits."""

import warnings

import numpy as np
import pytest
import torch

from labkit.arrays import to_numpy, warn_of_probabilities


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16, torch.float16])
def test_a_tensor_of_any_precision_keeps_its_numbers(dtype):
    tensor = torch.tensor([0.5, -2.0], dtype=dtype, requires_grad=True)
    assert to_numpy(tensor).tolist() == [0.5, -2.0]


def test_whole_numbers_and_lists_keep_their_kind():
    assert to_numpy(torch.tensor([1, 2])).dtype == np.int64
    assert to_numpy([[1, 2], [3, 4]]).shape == (2, 2)
    assert to_numpy(0.5).shape == ()


@pytest.mark.parametrize("rows", [[[0.3, 0.7], [0.9, 0.1]], [[0.2, 0.3, 0.5]]])
def test_probabilities_are_no_logits(rows):
    with pytest.warns(UserWarning, match="look like probabilities"):
        warn_of_probabilities(np.array(rows))


@pytest.mark.parametrize("rows", [[[0.3, 0.8]], [[1, 0], [0, 1]], [[-1.0, 2.0]], [[1.0], [1.0]]])
def test_logits_and_answers_without_doubt_pass_in_silence(rows):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warn_of_probabilities(np.array(rows))
