"""The examples in the docstrings run and give what they show.

Those of the rooms that make labs, or run in them, find a small course in the working folder.
"""

import doctest
import importlib
import pkgutil
from dataclasses import asdict
from pathlib import Path

import nbformat
import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

import labkit as lk
from labkit import display
from labkit.authoring.build import build, build_notebook
from labkit.notebook import answers

IN_A_COURSE = ("labkit.notebook", "labkit.authoring", "labkit.classroom")
MINI = Path(__file__).parent / "authoring" / "mini_lab.txt"
MODULES = [module.name for module in pkgutil.walk_packages(lk.__path__, "labkit.")]
GIVEN = {"lk": lk, "np": np, "pd": pd, "torch": torch, "nn": nn}  # what every lab has imported


def course(folder: Path) -> dict[str, object]:
    """A built course with one lab, and what its examples speak of."""
    (folder / "solutions").mkdir()
    source = folder / "solutions" / "02_mini.py"
    source.write_text(MINI.read_text())
    release = '[tool.labkit]\nrepository = "owner/name"\nrelease = "v0.1.0"\n'
    (folder / "pyproject.toml").write_text(release)
    build(root=folder)
    nb = build_notebook(source, "hidden")
    for student in ("ada", "ben"):
        (folder / "submissions" / student).mkdir(parents=True)
        nbformat.write(nb, folder / "submissions" / student / "02_mini.ipynb")
    return {"nb": nb, "Path": Path, "nbformat": nbformat, "asdict": asdict}


@pytest.mark.parametrize("name", MODULES)
def test_the_examples_of_a_module_run(name, tmp_path, monkeypatch):
    module = importlib.import_module(name)
    monkeypatch.setenv("LABKIT_DATA", str(tmp_path / "data"))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(display, "LEAVES_A_LINE", float("inf"))  # on a slow machine too
    for field, value in vars(answers.Session()).items():
        monkeypatch.setattr(answers.session, field, value)
    given = course(tmp_path) if name.startswith(IN_A_COURSE) else {}
    torch.manual_seed(0)
    result = doctest.testmod(
        module,
        extraglobs=GIVEN | vars(module) | given,
        optionflags=doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE,
    )
    assert result.failed == 0
