import pytest

from labkit.data.catalog import NAMES, check_size, entry


@pytest.mark.parametrize("name", NAMES)
def test_every_entry_is_complete(name):
    item = entry(name)
    assert item.name == name
    assert item.default_size in item.sizes
    assert len(item.full_names) == len(item.classes) == len(set(item.classes))
    assert all((item.title, item.licence, item.citation, item.limits))
    for file in (file for files in item.files.values() for file in files):
        assert file.megabytes > 0
        assert file.urls and all(url.startswith("http") for url in file.urls)
        assert file.known_hash is None or file.known_hash.startswith(("md5:", "sha256:"))


def test_keys_and_paths_are_unique():
    files = [f for name in NAMES for group in entry(name).files.values() for f in group]
    assert len({f.key for f in files}) == len({f.path for f in files}) == len(files)


def test_bloodmnist_has_the_hashes_and_class_order_of_medmnist():
    from medmnist import INFO

    info, item = INFO["bloodmnist"], entry("bloodmnist")
    assert item.files[28][0].known_hash == f"md5:{info['MD5']}"
    assert item.files[224][0].known_hash == f"md5:{info['MD5_224']}"
    for number, name in enumerate(item.full_names):
        assert info["label"][str(number)].startswith(name.split(" (")[0])


def test_an_unknown_name_lists_the_known_ones():
    with pytest.raises(ValueError, match=r"no data set 'blood'.*bloodmnist, mnist, pbc"):
        entry("blood")


def test_an_unknown_size_lists_the_known_ones():
    with pytest.raises(ValueError, match="no size 32; choose one of: 28, 64, 128, 224"):
        check_size(entry("bloodmnist"), 32)
    with pytest.raises(ValueError, match="no size 20; choose any from 28 to 363"):
        check_size(entry("pbc"), 20)


def test_no_size_is_the_data_sets_own():
    assert [check_size(entry(name), None) for name in ("bloodmnist", "pbc")] == [28, 360]
    assert check_size(entry("pbc"), 100) == 100
