import copy

import pytest
import torch
from torch import nn

import labkit as lk
from labkit.models import transfer as module
from labkit.models.backbones import Backbone

IMAGES = torch.randint(0, 256, (24, 3, 16, 16), dtype=torch.uint8)
LABELS = torch.arange(24) % 8


@pytest.fixture
def backbone(tmp_path, monkeypatch):
    """A small borrowed network instead of one from ImageNet, and an empty data folder."""
    monkeypatch.setenv("LABKIT_DATA", str(tmp_path))
    torch.manual_seed(3)
    layers = nn.Sequential(
        *(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Conv2d(4, 5, 3), nn.ReLU()),
        *(nn.AdaptiveAvgPool2d(1), nn.Flatten()),
    )
    tiny = Backbone("tiny", layers, lambda x: x.float() / 255, "none")
    monkeypatch.setattr(module, "load_backbone", lambda name: copy.deepcopy(tiny))
    return tiny


def test_what_is_missing_is_trained_and_kept(backbone, capsys):
    network = lk.models.fine_tuned(IMAGES, LABELS)
    assert "not trained yet" in capsys.readouterr().out
    assert not network.training
    assert network(network.transform(IMAGES)).shape == (24, 8)
    again = lk.models.fine_tuned(IMAGES, LABELS)
    assert "not trained yet" not in capsys.readouterr().out
    assert all(map(torch.equal, network.state_dict().values(), again.state_dict().values()))


def test_the_first_stages_stay_as_they_were_borrowed(backbone):
    stages = lk.models.fine_tuned(IMAGES, LABELS)[0].stages
    assert torch.equal(stages[0].weight, backbone.stages[0].weight)
    assert not torch.equal(stages[2].weight, backbone.stages[2].weight)


def test_other_photographs_have_a_network_of_their_own(backbone):
    network = nn.Sequential(backbone, module.new_head(5))
    file = lk.models.save_fine_tuned(network, IMAGES, LABELS)
    assert file == lk.models.save_fine_tuned(network, IMAGES.clone(), LABELS)
    others = [
        lk.models.save_fine_tuned(network, IMAGES[:-1], LABELS[:-1]),
        lk.models.save_fine_tuned(network, IMAGES, LABELS.flip(0)),
    ]
    assert len({file, *others}) == 3


@pytest.mark.parametrize("wrong", [{}, {"1.0.weight": torch.ones(2, 2)}])
def test_kept_weights_of_another_network_are_set_aside_and_trained_anew(backbone, capsys, wrong):
    network = nn.Sequential(backbone, module.new_head(5))
    file = lk.models.save_fine_tuned(network, IMAGES, LABELS)
    torch.save(wrong, file)
    lk.models.fine_tuned(IMAGES, LABELS)
    assert "trained anew" in capsys.readouterr().out
    assert file.with_name(f"{file.name}.damaged").exists()


def test_the_random_numbers_stay_whether_weights_were_kept_or_not(backbone):
    drawn = []
    for _ in ("trained now", "kept"):
        torch.manual_seed(5)
        lk.models.fine_tuned(IMAGES, LABELS)
        drawn.append(torch.rand(3))
    assert torch.equal(*drawn)
