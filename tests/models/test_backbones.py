"""Borrowed networks: real weight files over local HTTP, refused where the hash is wrong."""

import copy
import functools
import hashlib
import threading
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import pytest
import torch
from torch import nn
from torchvision.models import get_model

from labkit import models
from labkit.models import backbones
from labkit.models.backbones import StandInBackboneWarning, imagenet_transform, load_backbone
from labkit.models.transfer import freeze, new_head, parameter_groups

WIDTHS = {"squeezenet1_0": 512, "resnet18": 512, "vit_b_16": 768}


@functools.cache
def network(name):
    torch.manual_seed(7)
    return get_model(name, weights=None).eval()


class Handler(SimpleHTTPRequestHandler):
    def log_message(self, *arguments):
        pass


@pytest.fixture
def served(tmp_path, monkeypatch):
    """A folder that a local web server offers, and an empty data folder; the network is on."""
    folder = tmp_path / "web"
    folder.mkdir()
    server = ThreadingHTTPServer(
        ("127.0.0.1", 0), functools.partial(Handler, directory=str(folder))
    )
    threading.Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setenv("LABKIT_DATA", str(tmp_path / "data"))
    monkeypatch.delenv("LABKIT_OFFLINE")
    yield folder, f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def offer(folder, name, state=None):
    """Write a weight file; its name ends in the start of its SHA-256, as torchvision's do."""
    path = folder / f"{name}.tmp"
    torch.save(network(name).state_dict() if state is None else state, path)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    return path.rename(folder / f"{name}-{digest[:8]}.pth"), digest


def no_stand_in(monkeypatch):
    own = models.DeeperCNN().eval()
    monkeypatch.setattr(backbones, "trained", lambda name, data: own)
    return own


@pytest.mark.parametrize("name", WIDTHS)
def test_weights_over_http_give_the_features_of_torchvisions_network(served, monkeypatch, name):
    folder, base = served
    file, _ = offer(folder, name)
    monkeypatch.setattr(backbones, "weights_url", lambda _: f"{base}/{file.name}")
    backbone = load_backbone(name)
    assert (backbone.name, backbone.weights_origin.stand_in, backbone.training) == (
        name,
        False,
        False,
    )
    x = backbone.transform(torch.randint(0, 256, (2, 3, 90, 90), dtype=torch.uint8))
    assert x.shape == (2, 3, 224, 224)
    with torch.inference_mode():
        found = backbone.features(x)
        assert found.shape == (2, WIDTHS[name])
        torch.testing.assert_close(found, penultimate(name, x), rtol=1e-4, atol=1e-5)


def penultimate(name, x):
    """What torchvision's network gives its last layer, through its own forward."""
    net, seen = network(name), []
    last = {"squeezenet1_0": "features", "resnet18": "fc", "vit_b_16": "heads"}[name]
    module = getattr(net, last)
    hook = module.register_forward_hook(lambda _, given, out: seen.append((given[0], out)))
    net(x)
    hook.remove()
    return seen[0][1].mean((2, 3)) if name == "squeezenet1_0" else seen[0][0]


def test_a_file_whose_hash_is_not_in_its_name_is_refused_and_removed(served, monkeypatch, tmp_path):
    folder, base = served
    file, digest = offer(folder, "squeezenet1_0")
    wrong = file.rename(folder / "squeezenet1_0-00000000.pth")
    monkeypatch.setattr(backbones, "weights_url", lambda _: f"{base}/{wrong.name}")
    no_stand_in(monkeypatch)
    with pytest.warns(StandInBackboneWarning, match=f"refused.*{digest[:8]}, not 00000000"):
        assert load_backbone("squeezenet1_0").weights_origin.stand_in
    assert not list((tmp_path / "data" / "weights").glob("*"))


def mirror_of(folder, name, file, digest):
    (folder / "mirror.toml").write_text(
        f'["weights/{name}"]\nfile = "{file.name}"\nsha256 = "{digest}"\nnote = "made for a test"\n'
    )
    return str(folder)


@pytest.mark.parametrize("remote", [False, True])
def test_the_mirror_comes_first_and_says_what_it_holds(served, monkeypatch, remote):
    folder, base = served
    mirror = mirror_of(folder, "squeezenet1_0", *offer(folder, "squeezenet1_0"))
    monkeypatch.setenv("LABKIT_MIRROR", base if remote else mirror)
    monkeypatch.setattr(backbones, "weights_url", lambda _: f"{base}/never-12345678.pth")
    backbone = load_backbone("squeezenet1_0")
    assert "made for a test" in backbone.weights_origin
    assert not backbone.weights_origin.stand_in


def test_a_mirror_whose_file_was_altered_is_refused(served, monkeypatch):
    folder, _ = served
    file, _ = offer(folder, "squeezenet1_0")
    monkeypatch.setenv("LABKIT_MIRROR", mirror_of(folder, "squeezenet1_0", file, "0" * 64))
    monkeypatch.setenv("LABKIT_OFFLINE", "1")
    no_stand_in(monkeypatch)
    with pytest.warns(UserWarning, match="altered"):
        assert load_backbone("squeezenet1_0").weights_origin.stand_in


def test_a_file_that_holds_code_is_not_run(served, monkeypatch):
    folder, base = served
    file, _ = offer(folder, "squeezenet1_0", state={"x": print})
    monkeypatch.setattr(backbones, "weights_url", lambda _: f"{base}/{file.name}")
    with (
        pytest.raises(ValueError, match="holds no weights that can be read"),
        pytest.warns(UserWarning, match="fetched anew"),
    ):
        load_backbone("squeezenet1_0")


@pytest.mark.parametrize("kind", ["nothing", "keys", "shapes"])
def test_a_kept_file_with_the_weights_of_another_network_is_set_aside_and_fetched_anew(
    served, monkeypatch, tmp_path, kind
):
    folder, base = served
    right = network("squeezenet1_0").state_dict()
    wrong = {
        "nothing": {},
        "keys": {f"net.{name}": value for name, value in right.items()},
        "shapes": {name: value[:1] for name, value in right.items()},
    }
    file, digest = offer(folder, "squeezenet1_0", wrong[kind])
    monkeypatch.setenv("LABKIT_MIRROR", mirror_of(folder, "squeezenet1_0", file, digest))
    monkeypatch.setattr(backbones, "weights_url", lambda _: f"{base}/kept-12345678.pth")
    again = pytest.warns(UserWarning, match=r"now kept-12345678\.pth\.damaged")
    with again, pytest.raises(ValueError, match="holds the weights of another network: delete"):
        load_backbone("squeezenet1_0")
    mirror_of(folder, "squeezenet1_0", *offer(folder, "squeezenet1_0"))  # it is mended
    backbone = load_backbone("squeezenet1_0")
    assert not backbone.weights_origin.stand_in
    assert (tmp_path / "data" / "weights" / "kept-12345678.pth.damaged").exists()


def test_a_network_that_saw_drawn_cells_only_stands_in_loudly(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("LABKIT_DATA", str(tmp_path))
    own, data = models.DeeperCNN().eval(), []
    monkeypatch.setattr(backbones, "trained", lambda name, cells: data.append(cells) or own)
    with pytest.warns(StandInBackboneWarning, match="NOT resnet18") as caught:
        backbone = load_backbone("resnet18")
    assert sum(w.category is StandInBackboneWarning for w in caught) == 1
    out = capsys.readouterr().out
    assert "!!!!" in out
    assert "DeeperCNN, trained on drawn cells" in out
    assert data[0].title == "Drawn cells"  # BloodMNIST holds the photographs that lab 06 tests on
    assert "drawn" in backbone.weights_origin
    assert backbone.weights_origin.stand_in
    assert backbone.name == "DeeperCNN"
    x = backbone.transform(torch.randint(0, 256, (2, 3, 360, 360), dtype=torch.uint8))
    assert x.shape == (2, 3, 28, 28)
    assert -1 <= x.min() <= x.max() <= 1
    with torch.inference_mode():
        torch.testing.assert_close(backbone.features(x), own.features(x).mean((2, 3)))


def test_random_weights_only_when_asked_for():
    assert "random" in load_backbone("resnet18", pretrained=False).weights_origin
    with pytest.raises(ValueError, match="squeezenet1_0, resnet18, vit_b_16, vgg16"):
        load_backbone("resnet19")


def test_every_name_has_an_address_with_a_hash():
    for name in backbones.BACKBONES:
        assert len(backbones.weights_url(name).rsplit("-", 1)[1]) >= len("12345678.pth")


def test_the_transform_is_that_of_torchvision_for_224_pixels():
    image = torch.randint(0, 256, (1, 3, 224, 224), dtype=torch.uint8)
    from torchvision.transforms.functional import normalize

    expected = normalize(image / 255, (0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
    torch.testing.assert_close(imagenet_transform(image), expected)


@pytest.mark.parametrize(("name", "tensors"), [("resnet18", 15), ("vit_b_16", 14)])
def test_the_last_block_learns_whole_and_split_cuts_there(name, tensors):
    """That of ResNet-18 is its last stage; the layer norm at ViT's end goes with its last layer."""
    backbone = freeze(load_backbone(name, pretrained=False))
    assert [p.requires_grad for p in backbone.parameters()][-tensors - 1 :] == [
        False,
        *[True] * tensors,
    ]
    lower, upper = backbone.split()
    x = torch.randn(1, 3, 224, 224)
    with torch.inference_mode():
        torch.testing.assert_close(upper(lower(x)), backbone.features(x))
    assert not any(p.requires_grad for p in lower.parameters())
    assert all(p.requires_grad for p in upper.parameters())


def test_no_stage_learns_in_part():
    backbone = freeze(load_backbone("squeezenet1_0", pretrained=False))
    learns = [{p.requires_grad for p in stage.parameters()} for stage in backbone.stages]
    assert [len(kinds) for kinds in learns if kinds] == [1] * 9
    assert sum(kinds == {True} for kinds in learns) == 1


@pytest.mark.parametrize("copied", [False, True])
def test_frozen_batch_norm_stays_in_eval_after_train(copied):
    backbone = freeze(load_backbone("resnet18", pretrained=False), 1)
    backbone = copy.deepcopy(backbone) if copied else backbone
    backbone.train()
    norms = [m for m in backbone.modules() if isinstance(m, nn.BatchNorm2d)]
    assert [m.training for m in norms] == [m.weight.requires_grad for m in norms]
    before = [m.running_mean.clone() for m in norms]
    backbone(torch.randn(4, 3, 64, 64) + 2)
    moved = [not torch.equal(m.running_mean, b) for m, b in zip(norms, before, strict=True)]
    assert moved == [m.weight.requires_grad for m in norms]
    freeze(backbone, 6).train()  # two layers before four stages
    assert all(m.training for m in norms)


def test_freeze_wants_a_number_that_is_there():
    net = nn.Sequential(nn.Linear(2, 2), nn.ReLU(), nn.Linear(2, 2))
    assert not any(p.requires_grad for p in freeze(net, 0).parameters())
    with pytest.raises(ValueError, match="has 2 blocks"):
        freeze(net, 3)


def test_groups_have_their_own_rates_and_only_what_learns():
    body, head = freeze(nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2)), 1), new_head(2, 3)
    groups = parameter_groups(body, head, body_lr=1e-5, head_lr=1e-3)
    assert [(g["lr"], len(g["params"])) for g in groups] == [(1e-5, 2), (1e-3, 4)]
    optimizer = torch.optim.AdamW(groups)
    before = body[0].weight.clone()
    head(body(torch.ones(2, 2))).sum().backward()
    optimizer.step()
    assert torch.equal(before, body[0].weight)
    assert [type(layer) for layer in new_head(5, 8, hidden=None)] == [nn.Linear]
