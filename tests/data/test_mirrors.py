import pytest

from labkit.data.mirrors import mirror_index, offer

GOOD = {"file": "a/b.zip", "sha256": "AB" * 32}


@pytest.mark.parametrize(
    "item",
    [
        {"file": "b.zip"},
        {"sha256": "ab"},
        {"file": 3, "sha256": "ab"},
        {"file": "b.zip", "sha256": 7},
        GOOD | {"note": 1},
        "b.zip",
        5,
        None,
        [],
    ],
)
def test_an_entry_without_file_and_hash_is_named(item):
    with pytest.raises(ValueError, match=r"\[pbc\] needs `file` and `sha256`"):
        offer({"pbc": item}, "pbc")


@pytest.mark.parametrize("place", ["../b.zip", "/b.zip", "a/../../b", "..\\b", "C:\\b", "C:b"])
def test_a_file_outside_the_mirror_is_refused(place):
    with pytest.raises(ValueError, match="leaves the mirror"):
        offer({"pbc": GOOD | {"file": place}}, "pbc")


def test_capitals_in_a_hash_are_the_same_hash():
    assert offer({"pbc": GOOD}, "pbc") == {"file": "a/b.zip", "sha256": "ab" * 32}
    assert offer({"pbc": GOOD}, "mnist") is None


def test_a_mark_at_the_start_of_the_file_is_no_error(tmp_path):
    (tmp_path / "mirror.toml").write_bytes(b'\xef\xbb\xbf[pbc]\nfile = "b.zip"\n')
    assert mirror_index(str(tmp_path)) == {"pbc": {"file": "b.zip"}}
