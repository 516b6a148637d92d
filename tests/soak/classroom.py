"""`labkit report` on a submission of every kind, here and on a cluster that loses a worker.

    python tests/soak/classroom.py [--out DIR] [--every N] [--only here|cluster]

Prints each verdict that is not what it must be, and fails where there is one. About fifteen
seconds a submission and processor.
"""

import argparse
import csv
import os
import runpy
import socket
import sys
import tempfile
import threading
import time
from contextlib import contextmanager
from pathlib import Path

from labkit.authoring.build import build_notebook
from labkit.classroom.report import report
from labkit.classroom.sandbox import Limits

TESTS = Path(__file__).parents[1]
KINDS = runpy.run_path(str(TESTS / "classroom" / "kinds.py"))
LIMITS = Limits(cell=20, total=400, memory=3 << 30)


@contextmanager
def losing_cluster():
    """A Dask cluster of two workers on this machine, of which one is killed after a minute."""
    from distributed import LocalCluster

    with LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None) as cluster:
        victim = next(iter(cluster.workers.values())).process.process._process

        def kill():
            print(f"killing worker {victim.pid} in mid-run", flush=True)
            victim.kill()

        timer = threading.Timer(60, kill)
        timer.start()
        yield cluster.scheduler_address
        timer.cancel()


def grade(course: Path, out: Path, every: int, scheduler: str | None) -> int:
    """Grade every n-th kind; return how many verdicts are wrong."""
    nb = build_notebook(course / "solutions" / "02_mini.py", "hidden")
    chosen = [name for name, *_ in KINDS["answers"]()][::every]
    precious = course / "precious"
    precious.mkdir(exist_ok=True)
    (precious / "file").write_text("of the instructor")
    with socket.create_server(("127.0.0.1", 0)) as server:
        places = {"PORT": server.getsockname()[1], "PLACE": str(precious)}
        wanted = KINDS["make"](nb, course / "submissions", chosen, **places)
        began = time.time()
        print(*report(course / "submissions", out, LIMITS, scheduler), sep="\n")
    seconds = time.time() - began
    with (out / "report.csv").open(newline="", encoding="utf-8") as file:
        wrong = KINDS["wrong_verdicts"](list(csv.DictReader(file)), wanted)
    for name, found in wrong.items():
        print(f"WRONG {name}: {found}; it must be {wanted[name]}")
    if (precious / "file").read_text() != "of the instructor":
        wrong["the instructor's file"] = ()
    right = len(wanted) - len(wrong)
    print(f"{right} of {len(wanted)} right, {seconds:.0f} s, on {scheduler or 'this machine'}")
    return len(wrong)


def main() -> int:
    """Run what the arguments say."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path(tempfile.mkdtemp()))
    parser.add_argument("--every", type=int, default=1)
    parser.add_argument("--only", choices=["here", "cluster"])
    args = parser.parse_args()
    os.environ["LABKIT_OFFLINE"] = "1"
    wrong, out = 0, args.out.resolve()
    for kind in ("here", "cluster"):
        if args.only in (None, kind):
            course = Path(tempfile.mkdtemp())
            (course / "solutions").mkdir()
            (course / "pyproject.toml").write_text("")
            mini = (TESTS / "authoring" / "mini_lab.txt").read_text()
            (course / "solutions" / "02_mini.py").write_text(mini)
            os.chdir(course)
            if kind == "here":
                wrong += grade(course, out / kind, args.every, None)
            else:
                with losing_cluster() as address:
                    wrong += grade(course, out / kind, args.every, address)
    return int(wrong > 0)


if __name__ == "__main__":
    sys.exit(main())
