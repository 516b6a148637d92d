import dataclasses
import sys
from pathlib import Path

import pytest
import torch

import labkit as lk
from labkit.data.origin import Origin
from labkit.files import DiskError
from labkit.models import weights


@pytest.fixture
def blood(tmp_path, monkeypatch):
    monkeypatch.setenv("LABKIT_DATA", str(tmp_path))
    monkeypatch.setenv("LABKIT_OFFLINE", "1")
    monkeypatch.delenv("LABKIT_MIRROR", raising=False)
    return lk.load_dataset("synthetic", size=28)


def test_saved_weights_come_back(blood):
    model = lk.models.DeeperCNN()
    file = lk.models.save_trained("DeeperCNN", model, blood)
    assert file.exists()
    again = lk.models.trained("DeeperCNN", blood)
    assert not again.training
    for name, tensor in model.state_dict().items():
        assert torch.equal(tensor, again.state_dict()[name])


def test_fast_runs_and_stand_ins_are_kept_apart(blood, monkeypatch):
    model = lk.models.BloodMLP()
    files = {lk.models.save_trained("BloodMLP", model, blood)}
    other = dataclasses.replace(blood, origin=Origin(blood.origin, stand_in=True))
    files.add(lk.models.save_trained("BloodMLP", model, other))
    monkeypatch.setenv("LABKIT_FAST", "1")
    files.add(lk.models.save_trained("BloodMLP", model, blood))
    assert len(files) == 3


@pytest.mark.parametrize("name", ["BloodMLP", "DeeperCNN"])
def test_what_is_missing_is_trained_and_kept(blood, monkeypatch, capsys, name):
    monkeypatch.setenv("LABKIT_FAST", "1")
    model = lk.models.trained(name, blood)
    assert "not trained yet" in capsys.readouterr().out
    again = lk.models.trained(name, blood)
    assert "not trained yet" not in capsys.readouterr().out
    assert all(map(torch.equal, model.state_dict().values(), again.state_dict().values()))


def test_a_network_prepares_the_pixels_as_in_its_training(blood):
    lk.models.save_trained("BloodMLP", lk.models.BloodMLP(), blood)
    network = lk.models.trained("BloodMLP", blood)
    images, _ = next(iter(blood.loaders(batch_size=8)[2]))
    stored = blood.test.images[:8].to(images.device)
    assert torch.equal(network.transform(stored), images)
    assert torch.equal(network.transform(stored / 255), images)


def test_what_cannot_be_had_says_what_to_do(blood):
    with pytest.raises(ValueError, match="choose 'BloodMLP'"):
        lk.models.trained("GPT", blood)


def test_a_network_of_another_plan_is_not_loaded(blood, monkeypatch, capsys):
    monkeypatch.setenv("LABKIT_FAST", "1")
    lk.models.save_trained("BloodMLP", torch.nn.Linear(2, 2), blood)
    lk.models.trained("BloodMLP", blood)
    assert "not trained yet" in capsys.readouterr().out


def test_each_seed_keeps_networks_of_its_own(blood, monkeypatch):
    files = set()
    for offset in ("0", "1"):
        monkeypatch.setenv("LABKIT_SEED", offset)
        files.add(lk.models.save_trained("BloodMLP", lk.models.BloodMLP(), blood))
    assert len(files) == 2


def test_random_numbers_do_not_depend_on_what_was_kept(blood, monkeypatch):
    monkeypatch.setenv("LABKIT_FAST", "1")
    drawn = []
    for _ in ("trained now", "kept"):
        torch.manual_seed(5)
        lk.models.trained("BloodMLP", blood)
        drawn.append(torch.rand(3))
    assert torch.equal(*drawn)


def test_nobody_in_front_of_a_notebook_means_no_checkpoint(blood):
    assert lk.models.checkpoint_file("05-SimpleCNN") is None


def test_a_training_goes_on_from_its_checkpoint_and_another_is_refused(
    tiny, monkeypatch, capsys, tmp_path
):
    monkeypatch.setenv("LABKIT_DATA", str(tmp_path))
    monkeypatch.setattr(weights, "front_end", lambda: "jupyter")

    def train(epochs):
        lk.seed_everything(0)
        model = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(192, 8))
        file = lk.models.checkpoint_file("tiny")
        plot = lk.LivePlot(tiny.classes)
        loaders = tiny.loaders()[:2]
        return file, lk.fit(model, *loaders, epochs, checkpoint=file, callbacks=[plot])

    file, first = train(3)
    assert "Going on" not in capsys.readouterr().out
    again = train(3)[1]
    assert f"Going on from the checkpoint {file}" in capsys.readouterr().out
    assert list(again) == list(first)  # the seconds too: nothing was trained a second time
    with pytest.raises(ValueError, match="epochs is 3 there and 4 here"):
        train(4)
    monkeypatch.setenv("LABKIT_SEED", "1")
    assert lk.models.checkpoint_file("tiny") != file


def test_weights_that_cannot_be_kept_are_used_and_saving_them_says_why(
    blood, tmp_path, monkeypatch
):
    (tmp_path / "a file").touch()
    monkeypatch.setenv("LABKIT_DATA", str(tmp_path / "a file"))
    monkeypatch.setenv("LABKIT_FAST", "1")
    with pytest.warns(UserWarning, match="weights of BloodMLP are not kept.*LABKIT_DATA"):
        network = lk.models.trained("BloodMLP", blood)
    with pytest.raises(DiskError, match=r"cannot be written .*: set LABKIT_DATA"):
        lk.models.save_trained("BloodMLP", network, blood)


@pytest.mark.skipif(sys.platform != "linux", reason="needs a full disk: Linux has /dev/full")
def test_weights_on_a_full_disk_are_one_sentence(tmp_path, monkeypatch):
    monkeypatch.setattr(Path, "write_bytes", lambda *_: Path("/dev/full").open("wb", 0).write(b"1"))
    with pytest.raises(DiskError, match="No space left on device") as caught:
        weights.save_weights(torch.nn.Linear(2, 2), tmp_path / "a.pt")
    assert "enforce" not in str(caught.value) and list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "damage", ["empty", "cut", "html", "list", "nan", "nothing", "key", "shape"]
)
def test_damaged_weights_are_set_aside_and_trained_anew(blood, monkeypatch, capsys, damage):
    monkeypatch.setenv("LABKIT_FAST", "1")
    file = lk.models.save_trained("BloodMLP", lk.models.BloodMLP(), blood)
    whole = file.read_bytes()
    state = torch.load(file, weights_only=True)
    match damage:
        case "list":
            torch.save([1, 2], file)
        case "nan":
            torch.save({name: value * float("nan") for name, value in state.items()}, file)
        case "nothing":
            torch.save({}, file)
        case "key":
            torch.save({f"net.{name}": value for name, value in state.items()}, file)
        case "shape":
            torch.save({name: value[:1] for name, value in state.items()}, file)
        case _:
            file.write_bytes({"empty": b"", "cut": whole[:-500], "html": b"<html>"}[damage])
    network = lk.models.trained("BloodMLP", blood)
    said = capsys.readouterr().out
    assert "trained anew" in said and "weights_only" not in said
    assert all(value.isfinite().all() for value in network.state_dict().values())
    assert file.with_name(f"{file.name}.damaged").exists()
    lk.models.trained("BloodMLP", blood)
    assert "trained anew" not in capsys.readouterr().out
