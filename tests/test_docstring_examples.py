"""The examples in the docstrings run and give what they show.

Left out: those of modules that need a notebook or the course's own folder; other tests run these.
"""

import doctest
import importlib
import pkgutil

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

import labkit as lk

NEED_A_COURSE = ("labkit.notebook", "labkit.authoring", "labkit.doctor")
MODULES = [
    module.name
    for module in pkgutil.walk_packages(lk.__path__, "labkit.")
    if not module.name.startswith(NEED_A_COURSE)
]
GIVEN = {"lk": lk, "np": np, "pd": pd, "torch": torch, "nn": nn}  # what every lab has imported


@pytest.mark.parametrize("name", MODULES)
def test_the_examples_of_a_module_run(name, tmp_path, monkeypatch):
    module = importlib.import_module(name)
    monkeypatch.setenv("LABKIT_DATA", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    torch.manual_seed(0)
    result = doctest.testmod(
        module,
        extraglobs=GIVEN | vars(module),
        optionflags=doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE,
    )
    assert result.failed == 0
