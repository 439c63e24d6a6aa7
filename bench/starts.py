"""Benchmark of starts: how long each init takes until the machine is ready."""

import pathlib
import shutil
import tempfile

from measure import Annex, Table, image, spread, timed

MEMORY = "1G"
CPUS = 2
# The test images, and what runs in them; None: what the image brings.
INITS = {"built-in init": ("busybox", "builtin"), "BusyBox init": ("busybox", None), "s6": ("s6", None),
         "runit (Debian 12)": ("runit", None), "sysvinit (Debian 12)": ("sysvinit", None),
         "OpenRC on sysvinit (Debian 12)": ("openrc", None), "systemd 252 (Debian 12)": ("debian", None),
         "systemd 257, PostgreSQL, nginx (Debian 13)": ("services", None)}


class Starts:
    """A machine of each init, started and stopped in turn; one runs at a time."""

    NAMES = ("starts",)

    def __init__(self, runs):
        self.runs = runs
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="annex-bench-"))
        self.annex = None

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.annex is not None:
            self.annex("stop", "--all", check=False)
        shutil.rmtree(self.folder, ignore_errors=True)

    def tables(self, _name):
        annex = self.annex = Annex(self.folder)
        annex("kernel", "install")
        table = Table("From start to ready", ["init", "`annex start`, s", "`annex stop`, s"],
                      "Until `annex start` of a stopped machine has ended, which is when its init says that all is up, or shows "
                      f"it ([inits.md](inits.md)); {MEMORY}, {CPUS} processors, no shares but the kernel's modules. The first start of "
                      "each machine, which sets it up, does not count.")
        for number, (what, (kind, init)) in enumerate(INITS.items()):
            name = f"start-{number}"
            annex("create", "-n", name, "--memory", MEMORY, "--cpus", str(CPUS), "--home-mount", "none",
                  *(["--init", init] if init else []), "oci:" + image(kind))
            annex("stop", name)
            starts, stops = [], []
            for _ in range(self.runs):
                starts.append(timed(annex, "start", name))
                table.about = f"accelerator {annex.inspect(name)['accelerator']}"
                stops.append(timed(annex, "stop", name))
            table.row(what, spread(starts, 2), spread(stops, 2))
            annex("delete", "-f", name)
        return [table]
