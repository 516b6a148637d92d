import subprocess
import sys

import pytest

from labkit.data.catalog import NAMES, entry
from labkit.data.classes import BLOOD_CLASSES


def files_of(item):
    sizes = [item.default_size] if isinstance(item.sizes, range) else item.sizes
    return [file for size in sizes for file in item.files(size)]


@pytest.mark.parametrize("name", NAMES)
def test_every_entry_is_complete(name):
    item = entry(name)
    assert item.name == name
    assert item.check_size(None) in item.sizes
    for card in (item.card, item.stand_in_card):
        assert all((item.title, card.licence, card.citation, *card.notes))
    for file in files_of(item):
        assert file.megabytes > 0
        assert file.urls and all(url.startswith("http") for url in file.urls)
        assert file.known_hash is None or file.known_hash.startswith(("md5:", "sha256:"))


def test_keys_and_paths_are_unique():
    files = [file for name in NAMES for file in files_of(entry(name))]
    assert len({f.key for f in files}) == len({f.path for f in files}) == len(files)


def test_bloodmnist_has_the_hashes_and_class_order_of_medmnist():
    from medmnist import INFO

    info, item = INFO["bloodmnist"], entry("bloodmnist")
    assert item.files(28)[0].known_hash == f"md5:{info['MD5']}"
    assert item.files(224)[0].known_hash == f"md5:{info['MD5_224']}"
    for number, name in enumerate(BLOOD_CLASSES):
        assert info["label"][str(number)].startswith(name)


def test_mnist_has_the_addresses_and_hashes_of_torchvision():
    from torchvision.datasets import MNIST

    files = entry("mnist").files(28)
    assert [(f.path, f.known_hash) for f in files] == [
        (f"mnist/{name}", f"md5:{md5}") for name, md5 in MNIST.resources
    ]
    for file, (name, _) in zip(files, MNIST.resources, strict=True):
        assert file.urls and set(file.urls) <= {mirror + name for mirror in MNIST.mirrors}


def test_the_catalogue_does_not_wait_for_torchvision():
    code = (
        "import sys, labkit.data.load as l; l.entry('mnist'); print('torchvision' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout.strip() == "False", done.stderr


def test_an_unknown_name_lists_the_known_ones():
    with pytest.raises(ValueError, match=r"no data set 'blood'.*bloodmnist, mnist, pbc"):
        entry("blood")


def test_an_unknown_size_lists_the_known_ones():
    with pytest.raises(ValueError, match="no size 32; choose one of 28, 64, 128, 224"):
        entry("bloodmnist").check_size(32)
    with pytest.raises(ValueError, match="no size 20; choose any from 28 to 363"):
        entry("pbc").check_size(20)


def test_no_size_is_the_data_sets_own():
    assert [entry(name).check_size(None) for name in ("bloodmnist", "pbc")] == [28, 360]
    assert entry("pbc").check_size(100) == 100
