import gc

import pytest

from labkit.data import mirrors
from labkit.data.download import RemoteFile, UnavailableError, fetch
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


@pytest.mark.parametrize(
    "place",
    [
        "../b.zip",
        "/b.zip",
        "a/../../b",
        "..\\b",
        "C:\\b",
        "C:b",
        "%2e%2e/b.zip",
        "a/%252E%252e/%2e./b",
    ],
)
def test_a_file_outside_the_mirror_is_refused(place):
    with pytest.raises(ValueError, match="leaves the mirror"):
        offer({"pbc": GOOD | {"file": place}}, "pbc")


def test_capitals_in_a_hash_are_the_same_hash():
    assert offer({"pbc": GOOD}, "pbc") == {"file": "a/b.zip", "sha256": "ab" * 32}
    assert offer({"pbc": GOOD}, "mnist") is None


def test_a_hash_may_say_of_what_kind_it_is():
    assert offer({"pbc": GOOD | {"sha256": "SHA256:" + "AB" * 32}}, "pbc")["sha256"] == "ab" * 32


def test_a_mark_at_the_start_of_the_file_is_no_error(tmp_path):
    (tmp_path / "mirror.toml").write_bytes(b'\xef\xbb\xbf[pbc]\nfile = "b.zip"\n')
    assert mirror_index(str(tmp_path)) == {"pbc": {"file": "b.zip"}}


@pytest.fixture
def uncollected():
    """No finaliser of another test's garbage runs where the stack is nearly full, and fails."""
    gc.collect()
    gc.disable()
    yield
    gc.enable()


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        (b"# x\n" * 300_000, "larger than 1,000,000 bytes"),
        (b"a=" + b"[" * 10_000, "nested too deeply"),
        (b"a=" + b"[" * 900 + b"]" * 900, "nested too deeply"),
        (bytes(100), "Invalid statement"),
        ("[pbc]".encode("utf-16"), "utf-8"),
    ],
)
def test_an_index_that_is_none_is_a_value_error(tmp_path, content, fault, uncollected):
    (tmp_path / "mirror.toml").write_bytes(content)
    with pytest.raises(ValueError, match=fault):
        mirror_index(str(tmp_path))


def test_an_index_without_end_is_not_read_to_the_end(tmp_path, monkeypatch):
    monkeypatch.setattr(mirrors, "LARGEST_INDEX", 1000)
    (tmp_path / "mirror.toml").symlink_to("/dev/zero")
    with pytest.raises(ValueError, match="larger than 1,000 bytes"):
        mirror_index(str(tmp_path))


@pytest.mark.parametrize("address", ["http://[::1", "http://", "http://a b", "~nosuchuser/x"])
def test_an_address_that_is_none_lets_the_next_source_serve(monkeypatch, address):
    monkeypatch.setenv("LABKIT_MIRROR", address)
    file = RemoteFile("pbc", "pbc.zip", (), None, 1)
    with (
        pytest.warns(UserWarning, match="the mirror"),
        pytest.raises(UnavailableError, match=r"mirror .* failed"),
    ):
        fetch(file)
