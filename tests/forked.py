"""Kernels forked from one process that has loaded everything, for tests of many small notebooks.

Each is a real kernel, spoken to as any; but it has its imports behind it after less than a second,
where a fresh one takes five. It has none of the walls and limits that `labkit.classroom.sandbox`
puts around a kernel: tests of those start their own.
"""

import multiprocessing
import os
import runpy
import sys
import time

LOADED = ["torch._dynamo", "ipykernel.kernelapp", "labkit.classroom.judge", "labkit.metrics"]


class Forked:
    """What `jupyter_client` asks of the process of a kernel, `subprocess.Popen` otherwise."""

    stdin = stdout = stderr = None

    def __init__(self, command, env=None, cwd=None, **_):
        forks = multiprocessing.get_context("forkserver")
        forks.set_forkserver_preload(LOADED)
        given = {"ENV": env or dict(os.environ), "CWD": cwd or os.getcwd()}
        given["ARGUMENTS"] = command[command.index("-f") :]
        self.process = forks.Process(
            target=runpy.run_path, args=(__file__, given, "kernel"), daemon=True
        )
        self.process.start()
        self.pid = self.process.pid
        while os.getpgid(self.pid) != self.pid:  # a signal for its group must not reach ours
            time.sleep(0.001)

    def poll(self):
        return self.process.exitcode

    def wait(self):
        self.process.join()
        return self.process.exitcode

    def send_signal(self, number):
        os.kill(self.pid, number)

    def kill(self):
        self.process.kill()

    terminate = kill


if __name__ == "kernel":
    os.setsid()
    for number in (1, 2):  # what it says goes through its channels
        os.dup2(os.open(os.devnull, os.O_WRONLY), number)
    os.chdir(CWD)  # noqa: F821 - from whoever forks
    os.environ.clear()
    os.environ.update(ENV)  # noqa: F821 - as above
    sys.argv = ["ipykernel_launcher", *ARGUMENTS]  # noqa: F821 - as above
    from ipykernel.kernelapp import launch_new_instance

    launch_new_instance()
