"""Answers are read in any form, called without harm, and slips get their own words."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from labkit.notebook import judge

FORMS = {
    "list": list,
    "tuple": tuple,
    "array": np.array,
    "tensor": torch.tensor,
    "tensor with a gradient": lambda v: torch.tensor(v, requires_grad=True),
    "list of tensors": lambda v: [torch.tensor(x) for x in v],
}
numbers = st.lists(st.floats(-1e6, 1e6, width=32), min_size=1, max_size=6)


@pytest.mark.parametrize("form", FORMS)
@given(values=numbers)
def test_every_form_of_an_answer_gives_the_same_array(form, values):
    assert judge.as_array(FORMS[form](values)).tolist() == values


@pytest.mark.parametrize("value", [0.5, [0.5], [[0.5]], torch.tensor(0.5)])
def test_sides_of_one_may_be_left_out_or_added(value):
    assert judge.read_array(value, (1, 1), "it").shape == (1, 1)
    assert judge.read_array(value, (), "it").shape == ()


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (None, "`return` missing"),
        (..., "still gives"),
        ("three", "must give numbers"),
        ([[1, 2], [3]], "must give numbers"),
        ([1, 2, 3], r"shape \(3,\); it must be \(2,\)"),
        ([1, float("nan")], "NaN"),
    ],
)
def test_an_answer_that_is_no_such_array_is_told_what_it_is(value, words):
    with pytest.raises(AssertionError, match=words):
        judge.read_array(value, (2,), "it")


def test_a_call_finds_a_changed_argument_a_missing_return_and_shapes_that_do_not_fit():
    def doubles_in_place(x):
        x *= 2
        return x

    with pytest.raises(AssertionError, match="doubles_in_place changes"):
        judge.call(doubles_in_place, np.ones(2))
    with pytest.raises(AssertionError, match="`return` missing"):
        judge.call(lambda x: None, np.ones(2))
    with pytest.raises(AssertionError, match="keepdims=True"):
        judge.call(lambda x: x + np.ones(3), np.ones(2))
    with pytest.raises(ValueError, match="another"):
        judge.call(lambda x: (_ for _ in ()).throw(ValueError("another")), np.ones(2))
    assert judge.call(np.add, np.ones(1), 1).tolist() == [2]


@pytest.mark.parametrize("answer", [None, 3, (1,), (1, 2, 3), np.ones(2)])
def test_a_pair_has_two_parts(answer):
    with pytest.raises(AssertionError, match="first a, then b"):
        judge.read_pair(answer, "first a, then b")
    assert judge.read_pair([1, 2], "") == [1, 2]


@given(values=numbers)
def test_a_slip_is_named_only_where_it_differs_from_the_truth(values):
    true = np.array(values)
    slips = {"the sign is wrong": -true}
    judge.compare(true, true, slips, "otherwise")
    if not judge.near(true, -true):
        with pytest.raises(AssertionError, match="the sign is wrong"):
            judge.compare(-true, true, slips, "otherwise")
    with pytest.raises(AssertionError, match="otherwise"):
        judge.compare(3 * np.abs(true) + 1, true, slips, "otherwise")


def test_each_slip_of_adam_leads_elsewhere_than_pytorchs():
    gradients, settings = [0.4, -0.7, 0.2], {"lr": 0.01, "betas": (0.8, 0.95), "eps": 0.1}
    true = judge.optimizer_path(gradients, lambda p: torch.optim.Adam(p, **settings))
    slips = judge.adam_slips(gradients, **settings)
    for words, path in slips.items():
        assert not np.allclose(path, true, rtol=1e-6), words
    ends = [path[-1] for path in slips.values()]
    assert len(set(np.round(ends, 9))) == len(ends)
