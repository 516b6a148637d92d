import multiprocessing
import os
import re
import runpy
import threading
import time
from pathlib import Path

import hypothesis
import pytest
import torch
from jupyter_client.provisioning import local_provisioner

from labkit.data.classes import BLOOD_CLASSES
from labkit.data.image_data import ImageData
from labkit.data.image_split import ImageSplit

FORKED = runpy.run_path(str(Path(__file__).with_name("forked.py")))["Forked"]

# a machine that is busy is no fault of what is tested
hypothesis.settings.register_profile("labkit", deadline=None)
hypothesis.settings.load_profile("labkit")


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config, log):
    """Tests of one file share its fixtures on one worker; the bank of each lab is a group.

    xdist's own `loadgroup` has no effect with pytest 9.2, which no longer reads `_nodeid`.
    """
    from xdist.scheduler import LoadScopeScheduling

    class ByFileAndLab(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            file, _, test = nodeid.partition("::")
            lab = re.search(r"\[(\d+)\.", test) if file.endswith("test_banks.py") else None
            return f"{file} {lab[1]}" if lab else file

    return ByFileAndLab(config, log)


@pytest.fixture(scope="session")
def data_folder(tmp_path_factory):
    """A data folder of this worker's; what has to be drawn is drawn once for all workers."""
    folder = tmp_path_factory.mktemp("labkit_data")
    if "PYTEST_XDIST_WORKER" in os.environ:
        shared = tmp_path_factory.getbasetemp().parent / "labkit_stand_ins"
        shared.mkdir(exist_ok=True)
        (folder / "stand-in").symlink_to(shared, target_is_directory=True)
    return folder


@pytest.fixture(autouse=True)
def clean_settings(monkeypatch, data_folder):
    """No setting of the person who runs the tests reaches them, and no test uses the network."""
    kept = "LABKIT_PRECISION"  # `make other-processors` forces one: the tests must not mind
    device = os.environ.get("LABKIT_DEVICE", "cpu")
    for name in [n for n in os.environ if n.startswith("LABKIT_") and n != kept]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("LABKIT_DATA", str(data_folder))
    monkeypatch.setenv("LABKIT_OFFLINE", "1")
    # also where there is a graphics card: LABKIT_DEVICE=cuda tries the answers' banks on it
    monkeypatch.setenv("LABKIT_DEVICE", device)


@pytest.fixture
def forked_kernels(monkeypatch):
    """Kernels that start at once, forked from a process that has loaded everything."""
    if "forkserver" in multiprocessing.get_all_start_methods():  # else as ever: Windows
        monkeypatch.setattr(local_provisioner, "launch_kernel", FORKED)


def random_split(count: int, seed: int = 0, size: int = 8, classes=BLOOD_CLASSES) -> ImageSplit:
    generator = torch.Generator().manual_seed(seed)
    images = torch.randint(0, 256, (count, 3, size, size), dtype=torch.uint8, generator=generator)
    labels = torch.arange(count) % len(classes)
    return ImageSplit(images, labels, classes, origin="random")


@pytest.fixture
def make_split():
    return random_split


@pytest.fixture
def tiny() -> ImageData:
    parts = (random_split(count, seed) for seed, count in enumerate((40, 16, 16)))
    return ImageData("Tiny", *parts, origin="random")


@pytest.fixture
def cluster():
    """A Dask cluster of two workers, of which one is killed in the middle of its work."""
    distributed = pytest.importorskip("distributed", reason="the extra `cluster` is not installed")
    options = {"n_workers": 2, "threads_per_worker": 1, "dashboard_address": None}
    killed, ends = [], time.monotonic() + 60

    def kill_one_at_work(cluster):
        while not killed and time.monotonic() < ends:
            for name, worker in list(cluster.scheduler.workers.items()):
                if worker.processing:
                    time.sleep(1)  # in mid-run
                    nanny = next(w for w in cluster.workers.values() if w.worker_address == name)
                    nanny.process.process._process.kill()
                    killed.append(name)
                    return
            time.sleep(0.05)

    with distributed.LocalCluster(**options) as cluster:
        killer = threading.Thread(target=kill_one_at_work, args=(cluster,), daemon=True)
        killer.start()
        yield cluster
        killer.join()
    assert killed, "no worker was killed: the test says nothing"
