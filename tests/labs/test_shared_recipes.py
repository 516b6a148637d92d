"""What a lab trains and what labkit trains in its name is the same, bit for bit.

Networks that a later lab uses: only the cells that the lab's training needs are run, on few images,
but with all epochs. Recordings: the lab's own cell, told to train anew, in fast mode.
"""

import ast

import pytest
import torch

import labkit as lk
from labkit.authoring.build import build_notebook
from labkit.authoring.files import find_root, find_sources
from labkit.authoring.rules import plain_python
from labkit.models import recordings
from labkit.models.recipes import RECIPES, train_recipe
from labkit.models.weights import SEED
from labkit.notebook.answers import assigned_names

SHARED = [("02_mlp", "BloodMLP"), ("05_cnn_ladder", "DeeperCNN")]


def source_of(lab):
    """The source of a lab; a course without the lab has nothing to compare."""
    found = [source for source in find_sources(find_root()) if source.stem == lab]
    return found[0] if found else pytest.skip(f"the course leaves lab {lab[:2]} out")


def names_read(code):
    return {n.id for n in ast.walk(ast.parse(code)) if isinstance(n, ast.Name)}


def cells_for(cells, wanted):
    """The cells that a name needs, in order: the last ones that assign what it is made of."""
    needed = []
    for code in reversed(cells):
        if wanted & set(assigned_names(code)):
            wanted = wanted - set(assigned_names(code)) | names_read(code)
            needed.insert(0, code)
    return needed


def kept_network(cells, name):
    """The place of the cell that keeps the network, and the variable that holds it."""
    for place, code in enumerate(cells):
        for call in (n for n in ast.walk(ast.parse(code)) if isinstance(n, ast.Call)):
            if ast.unparse(call.func) == "lk.models.save_trained" and call.args[0].value == name:
                return place, call.args[1].id
    raise AssertionError(f"no cell keeps {name}")


@pytest.fixture
def few(make_split):
    """Classes of different sizes, so that class weights tell."""
    train = make_split(240, 0, 28).subset([n for n in range(240) if n % 8 < 3 or n % 5 == 0])
    return lk.ImageData("Few", train, make_split(40, 1, 28), make_split(16, 2, 28), "random")


@pytest.mark.parametrize(("lab", "name"), SHARED)
def test_lab_and_labkit_train_the_same_network(lab, name, monkeypatch, few):
    nb = build_notebook(source_of(lab), "shown")
    cells = [plain_python(c.source) for c in nb.cells if c.cell_type == "code"]
    place, variable = kept_network(cells, name)
    monkeypatch.setattr(lk, "load_dataset", lambda *args, **options: few)
    space = {}
    for code in cells_for(cells[:place], {variable}):
        exec(compile(code, lab, "exec"), space)

    torch.manual_seed(SEED)
    model, history = train_recipe(name, few)
    theirs, ours = space[variable].state_dict(), model.state_dict()
    assert theirs.keys() == ours.keys()
    assert all(torch.equal(theirs[key], ours[key]) for key in ours)
    assert space["history"].column("train_loss") == pytest.approx(history.column("train_loss"), 0)
    assert len(history) == RECIPES[name].epochs


def test_a_lab_told_to_train_anew_trains_what_is_recorded(monkeypatch, few, tmp_path):
    """On few images and in fast mode; a cell of lab 05 against ``labkit results --record``."""
    nb = build_notebook(source_of("05_cnn_ladder"), "shown")
    cells = [c.source for c in nb.cells if c.cell_type == "code"]
    cell = next(code for code in cells if 'lk.models.recorded("VGG16"' in code)
    monkeypatch.setenv("LABKIT_FAST", "1")
    monkeypatch.setattr(recordings, "load_dataset", lambda name: few)
    switch = {"lk": lk, "blood": few, "TRAIN_ANEW": True, "ladder": lk.Ladder()}
    exec(compile(cell, "lab 05", "exec"), switch)
    lab, kept = switch["vgg_training"], recordings.read(recordings.record("VGG16", folder=tmp_path))
    assert lab.anew and not kept.anew and lab.recipe == kept.recipe
    assert lab.test.predicted.tolist() == kept.test.predicted.tolist()
    for column in ("train_loss", "val_loss", "train_accuracy"):
        assert lab.history.column(column) == pytest.approx(kept.history.column(column), rel=1e-3)
