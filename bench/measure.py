"""What all benchmarks share: the annex command in folders of its own, tables, and the page that they go into."""

import datetime
import json
import os
import pathlib
import re
import statistics
import subprocess
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
BUILD = pathlib.Path(os.environ.get("ANNEX_BUILD", ROOT / "build")).resolve()
PAGE = ROOT / "docs" / "benchmarks.md"


class Annex:
    """The command, with folders of its own."""

    def __init__(self, folder):
        self.environment = {
            **os.environ,
            "XDG_DATA_HOME": str(folder / "data"),
            "XDG_CONFIG_HOME": str(folder / "config"),
            "XDG_RUNTIME_DIR": str(folder / "run"),
        }
        (folder / "run").mkdir()
        self.data = folder / "data" / "annex"

    def __call__(self, *words, **options):
        pipe = subprocess.PIPE
        options = {"stdin": subprocess.DEVNULL, "stdout": pipe, "stderr": pipe, "check": True, **options}
        return subprocess.run([BUILD / "annex", *words], env=self.environment, **options)

    def inspect(self, name):
        return json.loads(self("inspect", name).stdout)[0]


def timed(function, *words, **options):
    start = time.monotonic()
    function(*words, **options)
    return time.monotonic() - start


def spread(numbers, digits):
    return f"{statistics.median(numbers):.{digits}f} ({min(numbers):.{digits}f} to {max(numbers):.{digits}f})"


def image(name):
    """The layout of a test image."""
    made = subprocess.run([ROOT / "tests/images/make", name], stdout=subprocess.PIPE, text=True, check=True)
    return made.stdout.strip()


class Table:
    """Rows of text under a title. `about` says what else the numbers depend on."""

    def __init__(self, title, columns, note="", about=""):
        self.title, self.columns, self.note, self.about, self.rows = title, columns, note, about, []

    def row(self, *cells):
        self.rows.append(cells)
        print("  " + "; ".join(cells), flush=True)

    def markdown(self):
        lines = [f"## {self.title}", ""]
        if self.note:
            lines += [self.note, ""]
        lines += ["| " + " | ".join(self.columns) + " |", "|---" * len(self.columns) + "|"]
        lines += ["| " + " | ".join(row) + " |" for row in self.rows]
        measured = f"Measured on {datetime.date.today().isoformat()}{', ' + self.about if self.about else ''}."
        return "\n".join([*lines, "", measured]) + "\n"


class Comparison(Table):
    """annex against peers, in one unit of which less is better."""

    def __init__(self, title, unit, note="", about=""):
        super().__init__(title, ["what", f"annex, {unit}", "peer", f"peer, {unit}", "peer / annex"], note, about)

    def add(self, what, ours, peer, theirs, digits=2):
        ratio = statistics.median(theirs) / statistics.median(ours)
        self.row(what, spread(ours, digits), peer, spread(theirs, digits), f"{ratio:.2f}")


def about_host():
    cpu = next((line.split(":", 1)[1].strip() for line in pathlib.Path("/proc/cpuinfo").read_text().splitlines()
                if line.startswith("model name")), "unknown")
    qemu = subprocess.run(["qemu-system-x86_64", "--version"], stdout=subprocess.PIPE, text=True, check=True).stdout
    release = pathlib.Path("/etc/os-release").read_text().split('PRETTY_NAME="', 1)[1].split('"', 1)[0]
    return f"{release}, {os.cpu_count()} processors ({cpu}), {qemu.splitlines()[0]}, Linux {os.uname().release}."


def write(tables, runs, whole):
    """Puts the tables into the page. What it has of other tables stays, unless these are all that there are."""
    head = ("# Benchmarks\n\n"
            f"Made by `make bench` (`bench/run.py --write`): medians of {runs} runs or more, lowest and highest in "
            "brackets. Above 1 in a column `peer / annex` means that annex is better.\n\n"
            f"{about_host()}\n\n")
    sections = {}
    if not whole:
        for text in re.split(r"^(?=## )", PAGE.read_text(), flags=re.MULTILINE)[1:]:
            sections[text.split("\n", 1)[0][3:]] = text.rstrip("\n") + "\n"
    sections.update({table.title: table.markdown() for table in tables})
    PAGE.write_text(head + "\n".join(sections.values()))
