import dataclasses

import pytest

import labkit as lk
from labkit.data.origin import Origin
from labkit.models import recordings
from labkit.models.recipes import RECIPES, Recipe, train_recipe
from labkit.models.recordings import FOLDER, file_of, read, record, recorded

SHIPPED = sorted(FOLDER.glob("*.json"))


@pytest.fixture
def few(make_split, monkeypatch):
    """Few images, and a recipe that takes a second."""
    parts = (make_split(count, seed, 28) for seed, count in enumerate((64, 24, 16)))
    data = lk.ImageData("Few", *parts, origin="random")
    monkeypatch.setenv("LABKIT_FAST", "1")
    monkeypatch.setattr(recordings, "load_dataset", lambda name: data)
    monkeypatch.setitem(RECIPES, "toy", Recipe(lk.models.LightCNN, "a second", 3, eight_views=True))
    return data


def test_what_is_recorded_comes_back(few, tmp_path):
    file = record("toy", seed=43, folder=tmp_path, commit="abc1234")
    kept = read(file)
    assert file.name == "toy-seed43.json"
    assert (kept.name, kept.recipe, kept.parameters) == ("toy", str(RECIPES["toy"]), 53_686)
    assert kept.made["seed"] == 43 and kept.made["commit"] == "abc1234"
    again = recordings.train_and_test("toy", few, seed=43)
    assert [epoch.keys() for epoch in kept.history] == [epoch.keys() for epoch in again.history]
    for column in ("epoch", "train_loss", "val_loss", "val_accuracy", "learning_rate"):
        assert kept.history.column(column) == pytest.approx(again.history.column(column), rel=1e-3)
    assert kept.test.predicted.tolist() == again.test.predicted.tolist()
    assert kept.test.labels.tolist() == few.test.labels.tolist()
    assert str(kept).startswith("A recording: toy, 2 epochs") and "abc1234" in str(kept)
    assert str(again).startswith("Trained here just now: toy")


def test_one_switch_trains_the_same_recipe_now(few, monkeypatch, tmp_path, capsys):
    assert recorded("toy", few).anew, "what was not recorded is trained"
    file = record("toy", folder=tmp_path)
    monkeypatch.setattr(recordings, "file_of", lambda name, seed: file)
    shown, trained = recorded("toy", few), recorded("toy", few, anew=True)
    said = capsys.readouterr().out
    assert (shown.anew, trained.anew) == (False, True)
    assert "A recording: toy" in said and "Trained here just now: toy" in said
    assert shown.history.column("train_loss") == pytest.approx(
        trained.history.column("train_loss"), rel=1e-3
    )


def test_another_seed_of_the_lab_shows_its_own_recording_where_there_is_one(few, monkeypatch):
    monkeypatch.setenv("LABKIT_SEED", "1")
    seeds = {name: recorded(name, few, quiet=True).made["seed"] for name in ("best rung", "VGG16")}
    assert seeds == {"best rung": 43, "VGG16": 42}


def test_the_seed_decides_and_the_recipe_is_the_one_that_labkit_trains(few):
    first = recordings.train_and_test("toy", few, seed=5)
    lk.seed_everything(5)
    _, history = train_recipe("toy", few)
    assert first.history.column("train_loss") == history.column("train_loss")


def test_neither_a_fast_training_nor_stand_ins_are_shipped(few, monkeypatch):
    with pytest.raises(ValueError, match=r"full mode and the real data.*now fast mode"):
        record("toy")
    monkeypatch.delenv("LABKIT_FAST")
    drawn = dataclasses.replace(few, origin=Origin("drawn", stand_in=True))
    monkeypatch.setattr(recordings, "load_dataset", lambda name: drawn)
    with pytest.raises(ValueError, match=r"full mode and the real data.*full mode; data: drawn"):
        record("toy")


def test_an_unknown_recipe_is_named_with_those_there_are():
    asked = [recorded, recordings.train_and_test, train_recipe, lambda name, data: record(name)]
    for ask in asked:
        with pytest.raises(ValueError, match=r"no recipe 'GPT'; choose 'BloodMLP', .*'VGG16'"):
            ask("GPT", None)


@pytest.mark.parametrize("file", SHIPPED, ids=lambda file: file.stem)
def test_a_shipped_recording_is_one_of_todays_recipe(file):
    kept = read(file)
    recipe = RECIPES[kept.name]
    assert file == file_of(kept.name, kept.made["seed"])
    assert kept.recipe == str(recipe)
    assert kept.parameters == lk.models.count_parameters(recipe.network(8))
    assert len(kept.history) <= recipe.epochs == kept.history.planned_epochs
    assert len(kept.test.labels) == 3421 and "STAND-IN" not in kept.test.origin
    assert file.stat().st_size < 20_000
