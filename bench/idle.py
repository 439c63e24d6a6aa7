"""Benchmark of many machines that do nothing: what they cost the host."""

import os
import pathlib
import shutil
import statistics
import tempfile
import time

from files import processes, processor_ticks
from machines import resident_mib
from measure import Annex, Table, image

COUNT = 10
MEMORY = "512M"
SETTLE_SECONDS = 20  # behind the last boot
IDLE_SECONDS = 60
NOTE = ("{} machines of busybox at once, of {} and one processor each, {} seconds after the last boot: all processes of a "
        "machine (QEMU, the supervisor, the server of its shares) together. Memory is the proportional set size; processor "
        "time that of {} seconds, as a part of one of the host's processors.")


class Idle:
    NAMES = ("idle",)

    def __init__(self, _runs):
        self.folder = None
        self.annex = None

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.annex:
            self.annex("stop", "--all", check=False)
        if self.folder:
            shutil.rmtree(self.folder, ignore_errors=True)

    def tables(self, _name):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="annex-bench-"))
        self.annex = annex = Annex(self.folder)
        annex("kernel", "install")
        layout = "oci:" + image("busybox")
        started, groups = [], []
        for number in range(COUNT):
            start = time.monotonic()
            annex("create", "-n", f"idle-{number}", "--memory", MEMORY, "--cpus", "1", layout)
            started.append(time.monotonic() - start)
            groups.append(processes(annex.inspect(f"idle-{number}")["supervisorPid"]))
        time.sleep(SETTLE_SECONDS)
        memory = [sum(resident_mib(pid) for pid in group) for group in groups]
        before = [processor_ticks(group) for group in groups]
        time.sleep(IDLE_SECONDS)
        used = [(processor_ticks(group) - ticks) / os.sysconf("SC_CLK_TCK") / IDLE_SECONDS * 100
                for group, ticks in zip(groups, before)]
        about = f"accelerator {annex.inspect('idle-0')['accelerator']}"
        table = Table("Ten idle machines", ["what", "of one, median", "of one, most", "of all"],
                      NOTE.format(COUNT, MEMORY, SETTLE_SECONDS, IDLE_SECONDS), about)
        for what, numbers, digits in (("memory, MiB", memory, 1), ("processor time, %", used, 2),
                                      ("`annex create`, from the first to the last, s", started, 2)):
            table.row(what, f"{statistics.median(numbers):.{digits}f}", f"{max(numbers):.{digits}f}", f"{sum(numbers):.{digits}f}")
        return [table]
