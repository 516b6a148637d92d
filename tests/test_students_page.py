"""The page for students: its training runs as it stands there, and what it says of errors is so."""

import re
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from labkit.notebook.advice import advice

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "students.md").read_text()


def test_the_training_of_the_page_learns_its_batch_by_heart(monkeypatch):
    monkeypatch.setenv("LABKIT_DEVICE", "cpu")  # the page's loop moves nothing
    (code,) = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    names = {}
    exec(code, names)
    assert abs(names["losses"][0] - np.log(8)) < 0.5
    assert names["losses"][-1] < 0.1


def test_lab_and_readme_lead_to_the_page():
    assert "](docs/students.md)" in (ROOT / "README.md").read_text()
    # not as a link: JupyterLab opens in work/, and opens nothing outside it
    assert "`docs/students.md`" in (ROOT / "solutions" / "02_mlp.py").read_text()


TABLE, LOGITS, LABELS = torch.zeros(3, 5), torch.zeros(3, 8), torch.zeros(3, dtype=torch.long)
LOSS, LAYERS = nn.CrossEntropyLoss(), [nn.Linear(5, 2)]
ARRAY = np.array([0.2, 0.9])
MISTAKES = {  # what a beginner writes, and a word of the advice
    "swapped arguments of the loss": (lambda: LOSS(LABELS, LOGITS), "criterion(logits, labels)"),
    "labels as fractions": (lambda: LOSS(LOGITS, LABELS.float()), "whole numbers"),
    "another number of inputs": (lambda: nn.Linear(4, 2)(TABLE), "nn.Flatten()"),
    "a list of layers": (lambda: LAYERS(TABLE), "nn.Sequential"),
    "a layer without parentheses": (lambda: nn.Sequential(nn.ReLU), "nn.ReLU()"),
    "backward from several numbers": (
        lambda: (torch.ones(2, requires_grad=True) * 2).backward(),
        "a single number",
    ),
    "no gradient": (lambda: TABLE.sum().backward(), "no_grad"),
    "a comparison beside &": (lambda: ARRAY >= 0.5 & (ARRAY > 0), "parentheses"),
    "and for arrays": (lambda: (ARRAY > 0) and (ARRAY < 1), "& and ~"),
    "the mean of True and False": (lambda: (LABELS == 0).mean(), ".float().mean()"),
    "an array for a tensor": (lambda: nn.functional.relu(ARRAY), "torch.as_tensor"),
    "values and places": (lambda: (LOGITS.max(1) == LABELS).sum(), ".argmax(1)"),
    "a method without self": (lambda: type("Net", (), {"f": lambda: 0})().f(1), "`self`"),
    "None from a function": (lambda: None + 1, "`return`"),
}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(("mistake", "word"), MISTAKES.values(), ids=MISTAKES)
def test_an_error_of_a_usual_kind_gets_advice(mistake, word):
    with pytest.raises(Exception) as caught:
        mistake()
    assert word in advice(caught.value)


def test_with_no_grad_without_parentheses_gets_advice():
    with pytest.raises((TypeError, AttributeError)) as caught, torch.no_grad:
        pass
    assert "parentheses" in advice(caught.value)


def test_any_other_error_gets_no_advice():
    assert advice(ValueError("the temperature must be positive")) == ""
