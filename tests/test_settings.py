import sys
from pathlib import Path

import pytest

from labkit import settings

SWITCHES = {
    "LABKIT_OFFLINE": settings.offline,
    "LABKIT_FAST": settings.fast,
    "LABKIT_STRICT": settings.strict,
}


@pytest.mark.parametrize("name", SWITCHES)
@pytest.mark.parametrize(
    ("value", "expected"),
    [("1", True), ("true", True), (" ON ", True), ("yes", True)]
    + [("0", False), ("", False), ("False", False), ("off", False), ("no", False)],
)
def test_a_switch_is_read_at_each_call(monkeypatch, name, value, expected):
    monkeypatch.setenv(name, value)
    assert SWITCHES[name]() is expected


@pytest.mark.parametrize("name", SWITCHES)
def test_a_bad_switch_is_named(monkeypatch, name):
    monkeypatch.setenv(name, "maybe")
    with pytest.raises(ValueError, match=f"{name} is 'maybe'"):
        SWITCHES[name]()


def test_what_is_not_set_is_off_or_none(monkeypatch):
    monkeypatch.delenv("LABKIT_OFFLINE")
    assert not settings.fast() and not settings.strict() and not settings.offline()
    monkeypatch.delenv("LABKIT_DEVICE")
    assert settings.mirror() is None and settings.device() is None


def test_data_dir_follows_its_variable_and_is_not_created(monkeypatch, tmp_path):
    monkeypatch.setenv("LABKIT_DATA", str(tmp_path / "new"))
    assert settings.data_dir() == tmp_path / "new"
    assert not (tmp_path / "new").exists()


def test_data_dir_expands_the_home_folder(monkeypatch):
    monkeypatch.setenv("LABKIT_DATA", "~/cells")
    assert settings.data_dir() == Path.home().resolve() / "cells"


def test_data_dir_is_data_in_a_checkout_and_the_user_cache_elsewhere(monkeypatch, tmp_path):
    monkeypatch.delenv("LABKIT_DATA")
    monkeypatch.setattr(settings, "checkout", lambda: tmp_path)
    assert settings.data_dir() == tmp_path / "data"
    monkeypatch.setattr(settings, "checkout", lambda: None)
    assert settings.data_dir().name == "labkit" and tmp_path not in settings.data_dir().parents


def test_seed_offset_is_0_unless_set(monkeypatch):
    assert settings.seed_offset() == 0
    monkeypatch.setenv("LABKIT_SEED", "7")
    assert settings.seed_offset() == 7
    monkeypatch.setenv("LABKIT_SEED", "-1")
    with pytest.raises(ValueError, match="LABKIT_SEED is '-1'"):
        settings.seed_offset()


def test_a_home_that_is_not_there_is_named(monkeypatch):
    monkeypatch.setenv("LABKIT_DATA", "~nosuchuser/data")
    with pytest.raises(ValueError, match=r"no home folder for '~nosuchuser/data'"):
        settings.data_dir()


@pytest.mark.skipif(sys.version_info >= (3, 13), reason="Python 3.13 resolves it as if it led on")
def test_a_link_that_leads_to_itself_is_named(monkeypatch, tmp_path):
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    monkeypatch.setenv("LABKIT_DATA", str(tmp_path / "loop" / "data"))
    with pytest.raises(ValueError, match=r"LABKIT_DATA is '.*data' \(.*\); give a folder"):
        settings.data_dir()
