"""A machine as a class finds it: not root, odd names of folders, no rights, a disk that is full.

Real ones, by bubblewrap: a user to whom rights apply, and a disk of two megabytes.
"""

import os
import shutil
import subprocess
import sys
from hashlib import sha256
from pathlib import Path

import numpy as np
import pytest

import labkit

TRAIN = """
import os, torch
import labkit as lk
lk.seed_everything(42)
images, labels = torch.rand(64, 3, 28, 28), torch.arange(64) % 8
plot = lk.LivePlot(list("abcdefgh"))
class Killer:
    def on_epoch_end(self, history):
        if len(history) == 3:
            os._exit(9)
model = lk.models.BloodMLP()
history = lk.fit(model, [(images, labels)], epochs=EPOCHS, checkpoint=FILE, callbacks=[plot])
print("epochs:", len(history))
"""
LOAD = "import labkit as lk\nlk.load_dataset('bloodmnist', strict=True)"


class Machine:
    """Runs Python as user 1000 in a folder "Übung 2" with a labkit that is installed there."""

    def __init__(self, folder: Path):
        self.folder, self.home, self.disk = folder, folder / "home", folder / "disk"
        shutil.copytree(Path(labkit.__file__).parent, folder / "lib" / "labkit")
        self.home.mkdir()
        self.disk.mkdir()

    def run(self, code: str, **variables: str) -> subprocess.CompletedProcess:
        box = ["bwrap", "--unshare-user", "--uid", "1000", "--gid", "1000", "--bind", "/", "/"]
        box += ["--dev", "/dev", "--proc", "/proc"]
        box += ["--size", "2000000", "--tmpfs", str(self.disk), "--chdir", str(self.folder)]
        kept = {name: os.environ[name] for name in ("PATH", "LANG") if name in os.environ}
        places = {"HOME": str(self.home), "PYTHONPATH": str(self.folder / "lib")}
        return subprocess.run(
            [*box, sys.executable, "-c", code],
            env={**kept, **places, "PYTHONUNBUFFERED": "1", "LABKIT_OFFLINE": "1", **variables},
            capture_output=True,
            text=True,
            timeout=300,
        )


@pytest.fixture
def machine(tmp_path):
    if shutil.which("bwrap") is None:
        pytest.skip("bubblewrap is not installed")
    return Machine(tmp_path / "Übung 2")


@pytest.fixture
def mirror(tmp_path):
    (folder := tmp_path / "mirror").mkdir()
    file = folder / "cells.npz"
    np.savez(file, train_images=np.zeros(4_000_000, np.uint8))
    digest = sha256(file.read_bytes()).hexdigest()
    entry = f'[bloodmnist]\nfile = "{file.name}"\nsha256 = "{digest}"\n'
    (folder / "mirror.toml").write_text(entry)
    return str(folder)


def test_any_user_trains_and_goes_on_in_a_folder_with_spaces_and_umlauts(machine):
    begin = "import os\nassert os.getuid() == 1000\nEPOCHS, FILE = 3, 'Prüfung 1.pt'\n"
    killed = machine.run(begin + TRAIN.replace("[plot]", "[plot, Killer()]"))
    assert killed.returncode == 9, killed.stderr
    again = machine.run(begin + TRAIN)
    assert "epochs: 3" in again.stdout, again.stderr
    assert "epoch 1 of 3" in killed.stdout and "epoch 1 of 3" not in again.stdout


def test_a_home_without_rights_is_named_and_the_way_out(machine, mirror):
    machine.home.chmod(0o555)
    ran = machine.run(LOAD, LABKIT_MIRROR=mirror)
    error = ran.stderr.splitlines()[-1]
    assert str(machine.home) in error and "Permission denied" in error
    assert "LABKIT_DATA" in error


def test_a_full_disk_is_named_when_data_do_not_fit(machine, mirror):
    ran = machine.run(LOAD, LABKIT_MIRROR=mirror, LABKIT_DATA=str(machine.disk / "data"))
    error = ran.stderr.splitlines()[-1]
    assert "No space left on device" in error and "make room" in error


def test_a_full_disk_costs_the_checkpoint_and_not_the_training(machine):
    fill = "open('disk/large', 'wb').write(bytes(1_900_000))\nEPOCHS, FILE = 2, 'disk/m.pt'\n"
    ran = machine.run(fill + TRAIN)
    assert "epochs: 2" in ran.stdout, ran.stderr
    assert "could not be written" in ran.stderr
