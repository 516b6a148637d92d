"""Lab 06 and `lk.models.fine_tuned`, which lab 07 calls, fine-tune by one plan."""

import inspect

import pytest

from labkit.authoring.files import find_root, find_sources
from labkit.models import transfer

if "06_features_and_transfer" not in [source.stem for source in find_sources(find_root())]:
    pytest.skip("the course leaves lab 06 out", allow_module_level=True)


def test_the_lab_and_labkit_fine_tune_by_one_plan():
    lab = (find_root() / "solutions" / "06_features_and_transfer.py").read_text(encoding="utf-8")
    rates = inspect.signature(transfer.parameter_groups).parameters
    assert f"TUNING_EPOCHS, TUNING_FOLDS = (1, 2) if FAST else ({transfer.EPOCHS}, 5)" in lab
    assert f"freeze(tuned.stages, last={transfer.LAST})" in lab
    body, head = rates["body_lr"].default, rates["head_lr"].default
    assert (body, head) == (3e-5, 8e-4)
    assert "parameter_groups(body, head, body_lr=3e-5, head_lr=8e-4)" in lab
    assert "lk.models.new_head(deep_middle.shape[1])" in lab
