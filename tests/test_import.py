import subprocess
import sys

import pytest

import labkit as lk


# a grader waits for each submission's kernel, which needs them, and need not load them itself
@pytest.mark.parametrize("module", ["labkit", "labkit.classroom.grade"])
def test_importing_it_loads_no_heavy_package_and_creates_nothing(module, tmp_path):
    code = f"import sys, {module}; print(sorted({{'torch', 'numpy', 'pandas'}} & set(sys.modules)))"
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env={"LABKIT_DATA": str(tmp_path / "data"), "HOME": str(tmp_path)},
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stdout.strip()) == (0, "[]"), done.stderr
    assert list(tmp_path.iterdir()) == []


def test_every_public_name_of_data_metrics_and_training_is_there():
    for name in ("load_dataset", "BatchLoader", "Predictions", "mcnemar", "fit", "evaluate"):
        assert getattr(lk, name).__name__ == name
        assert name in dir(lk)


def test_an_unknown_name_lists_the_known_ones():
    with pytest.raises(AttributeError, match=r"no name 'ft'; .*fit"):
        _ = lk.ft
