#!/usr/bin/python3
"""Measure annex against its peers, in one run on one machine.

Usage: bench/run.py [--runs N] [--write] [NAME...]     (boot, run, memory, create, stream; all without an argument)

Every number is the median of N runs (5 unless told otherwise) with the lowest and highest; the peer is measured in turn
with annex, so that what disturbs one disturbs the other. --write puts the tables into docs/benchmarks.md.
"""

import argparse
import contextlib
import datetime
import json
import os
import pathlib
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time

import peers

ROOT = pathlib.Path(__file__).resolve().parent.parent
BUILD = pathlib.Path(os.environ.get("ANNEX_BUILD", ROOT / "build")).resolve()
MEMORY = "1G"
CPUS = 2
PIPED = 64 << 20


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
        options = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "check": True, **options}
        return subprocess.run([BUILD / "annex", *words], env=self.environment, **options)

    def inspect(self, name):
        return json.loads(self("inspect", name).stdout)[0]


class Table:
    def __init__(self, title, unit, note=""):
        self.title, self.unit, self.note, self.rows = title, unit, note, []

    def add(self, what, ours, peer, theirs, digits=2):
        """One comparison: lists of numbers; smaller is better."""
        ratio = statistics.median(theirs) / statistics.median(ours)
        self.rows.append((what, self.spread(ours, digits), peer, self.spread(theirs, digits), f"{ratio:.2f}"))
        print(f"  {what}: {self.rows[-1][1]} {self.unit}; {peer}: {self.rows[-1][3]} {self.unit}; ratio {ratio:.2f}", flush=True)

    @staticmethod
    def spread(numbers, digits):
        return f"{statistics.median(numbers):.{digits}f} ({min(numbers):.{digits}f} to {max(numbers):.{digits}f})"

    def markdown(self):
        lines = [f"## {self.title}", ""]
        if self.note:
            lines += [self.note, ""]
        lines += [f"| what | annex, {self.unit} | peer | peer, {self.unit} | peer / annex |", "|---|---|---|---|---|"]
        lines += ["| " + " | ".join(row) + " |" for row in self.rows]
        return "\n".join(lines) + "\n"


def timed(function, *words, **options):
    start = time.monotonic()
    function(*words, **options)
    return time.monotonic() - start


def image(name):
    made = subprocess.run([ROOT / "tests/images/make", name], stdout=subprocess.PIPE, text=True, check=True)
    return "oci:" + made.stdout.strip()


MARKS = {
    "busybox": f"mkdir -p /etc/init.d; printf '#!/bin/sh\\necho {peers.MARKER} >/dev/console\\n' >/etc/init.d/rcS; "
               "chmod 755 /etc/init.d/rcS; sync",
    "debian": "printf '[Unit]\\nAfter=dbus.service systemd-logind.service systemd-user-sessions.service\\n[Service]\\n"
              f"Type=oneshot\\nExecStart=/bin/sh -c \"echo {peers.MARKER} >/dev/console\"\\n[Install]\\n"
              "WantedBy=multi-user.target\\n' >/etc/systemd/system/bench-mark.service; "
              "systemctl enable bench-mark.service; sync",
}


def make_machine(annex, kind, environment=None):
    annex.environment.update(environment or {})
    annex("create", "-n", kind, "--memory", MEMORY, "--cpus", str(CPUS), image(kind))
    annex("run", "-n", kind, "--root", "--", "sh", "-c", MARKS[kind])


def bench_boot(annex, runs):
    table = Table("Boot to the first command", "s",
                  "From stopped until `annex run NAME true` has ended, against the same kernel and disk started by a plain QEMU "
                  "command line whose initramfs goes over to the image's init as PID 1, until a line that the init's last "
                  "steps write arrives on the console.")
    for kind in MARKS:
        ours, theirs = [], []
        annex("stop", kind)
        for _ in range(runs):
            ours.append(timed(annex, "run", "-n", kind, "--", "true"))
            annex("stop", kind)
            with peers.plain_qemu(annex, kind, MEMORY, CPUS) as peer:
                theirs.append(peer.seconds)
        table.add(kind, ours, "plain QEMU", theirs)
        annex("start", kind)
    return table


def ssh_ready(annex, port, folder):
    """Lets root into the Debian machine by a key; gives the ssh command."""
    key = folder / "key"
    if not key.exists():
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key], check=True)
    annex("run", "-n", "debian", "--root", "--", "sh", "-c",
          "mkdir -p -m 700 /root/.ssh; cat >/root/.ssh/authorized_keys; systemctl start ssh", input=None,
          stdin=open(f"{key}.pub", "rb"))
    return ["ssh", "-i", key, "-p", str(port), "-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null",
            "-o", "LogLevel=ERROR", "-o", "BatchMode=yes", "root@127.0.0.1"]


@contextlib.contextmanager
def ssh_master(ssh, folder):
    control = ["-o", f"ControlPath={folder}/ssh"]
    master = subprocess.Popen([*ssh[:-1], *control, "-o", "ControlMaster=yes", "-N", ssh[-1]], stdin=subprocess.DEVNULL)
    while not (folder / "ssh").exists() and master.poll() is None:
        time.sleep(0.05)
    try:
        yield [*ssh[:-1], *control, ssh[-1]]
    finally:
        master.terminate()
        master.wait()


def bench_run(annex, runs, ssh, folder):
    table = Table("A command in a machine that runs", "ms", "`annex run -- true` against ssh into the same machine (Debian).")
    runs = max(runs, 5) * 3
    call = lambda command: timed(subprocess.run, [*command, "true"], stdin=subprocess.DEVNULL, check=True) * 1000
    with ssh_master(ssh, folder) as shared:
        ours, fresh, kept = [], [], []
        for _ in range(runs):
            ours.append(timed(annex, "run", "-n", "debian", "--", "true") * 1000)
            fresh.append(call(ssh))
            kept.append(call(shared))
    table.add("`annex run -- true`", ours, "ssh", fresh, 0)
    table.add("`annex run -- true`", ours, "ssh, connection kept", kept, 0)
    return table


def pipe_seconds(command, environment=None):
    """Zeros into the command's standard input; it must give them back."""
    start = time.monotonic()
    source = subprocess.Popen(["head", "-c", str(PIPED), "/dev/zero"], stdout=subprocess.PIPE)
    done = subprocess.run(["sh", "-c", '"$@" | wc -c', "sh", *map(str, command)], env=environment, stdin=source.stdout,
                          stdout=subprocess.PIPE, check=True)
    source.wait()
    assert int(done.stdout) == PIPED, "bytes got lost"
    return time.monotonic() - start


def bench_stream(annex, runs, ssh):
    table = Table("Bytes through a command", "s", f"{PIPED >> 20} MiB into `cat` in the machine and back out, at once.")
    ours, theirs = [], []
    for _ in range(runs):
        ours.append(pipe_seconds([BUILD / "annex", "run", "-n", "debian", "--", "cat"], annex.environment))
        theirs.append(pipe_seconds([*ssh, "cat"]))
    table.add("`annex run -- cat`", ours, "`ssh … cat`", theirs)
    return table


def resident_mib(pid):
    """Proportional set size: shared pages count by their share."""
    for line in pathlib.Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1]) / 1024
    raise RuntimeError(f"no Pss of process {pid}")


def bench_memory(annex, runs):
    table = Table("Memory on the host", "MiB", f"Proportional set size of idle machines of {MEMORY}, just after their boot.")
    for kind in MARKS:
        supervisor, qemu, plain = [], [], []
        for _ in range(runs):
            annex("stop", kind)
            annex("start", kind)
            about = annex.inspect(kind)
            time.sleep(3)
            supervisor.append(resident_mib(about["supervisorPid"]))
            qemu.append(resident_mib(about["vmPid"]))
            annex("stop", kind)
            with peers.plain_qemu(annex, kind, MEMORY, CPUS) as peer:
                time.sleep(3)
                plain.append(resident_mib(peer.pid))
        annex("start", kind)
        table.add(f"QEMU, {kind}", qemu, "plain QEMU", plain, 0)
        table.add(f"QEMU and supervisor, {kind}", [a + b for a, b in zip(qemu, supervisor)], "plain QEMU", plain, 0)
        table.rows.append((f"supervisor alone, {kind}", Table.spread(supervisor, 1), "none", "0", "-"))
    return table


def bench_create(annex, runs, folder):
    table = Table("A machine from an image that is here", "ms",
                  "`annex create --no-boot` of the Debian image against copying its base disk with its holes.")
    base = max((annex.data / "images" / "bases").glob("*.ext4"), key=lambda path: path.stat().st_blocks)  # Debian's
    name = annex.inspect("debian")["imageId"]
    ours, theirs = [], []
    for number in range(runs):
        ours.append(timed(annex, "create", "--no-boot", "-n", f"copy-{number}", name) * 1000)
        theirs.append(timed(subprocess.run, ["cp", "--sparse=always", base, folder / "copy"], check=True) * 1000)
        annex("delete", "-f", f"copy-{number}")
        (folder / "copy").unlink()
    table.add("`annex create --no-boot`", ours, "`cp --sparse=always`", theirs, 0)
    return table


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def about_host():
    cpu = next((line.split(":", 1)[1].strip() for line in pathlib.Path("/proc/cpuinfo").read_text().splitlines()
                if line.startswith("model name")), "unknown")
    qemu = subprocess.run(["qemu-system-x86_64", "--version"], stdout=subprocess.PIPE, text=True, check=True).stdout
    release = pathlib.Path("/etc/os-release").read_text().split('PRETTY_NAME="', 1)[1].split('"', 1)[0]
    return (f"{release}, {os.cpu_count()} processors ({cpu}), {qemu.splitlines()[0]}, emulation (TCG) unless the accelerator "
            f"said otherwise; Linux {os.uname().release}; {datetime.date.today().isoformat()}.")


def write(tables, runs, accelerator):
    text = ["# Benchmarks", "",
            f"Made by `make bench` (`bench/run.py --write`): medians of {runs} runs or more, lowest and highest in brackets. "
            "Above 1 in the last column means that annex is better.", "",
            about_host().replace("emulation (TCG) unless the accelerator said otherwise", f"accelerator {accelerator}"), ""]
    (ROOT / "docs" / "benchmarks.md").write_text("\n".join(text) + "\n" + "\n".join(table.markdown() for table in tables))


def main():
    names = ["boot", "run", "memory", "create", "stream"]
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--write", action="store_true")
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(names))
    asked = parser.parse_args()
    wanted = asked.names or names
    unknown = set(wanted) - set(names)
    if unknown:
        parser.error(f"no benchmark {', '.join(sorted(unknown))}: there are {', '.join(names)}")
    folder = pathlib.Path(tempfile.mkdtemp(prefix="annex-bench-"))
    annex, port = Annex(folder), free_port()
    tables = []
    try:
        print("preparing", flush=True)
        annex("kernel", "install")
        wrapper = peers.forwarding_qemu(folder, port)
        for kind in MARKS:
            make_machine(annex, kind, {"ANNEX_QEMU": str(wrapper)})
        accelerator = annex.inspect("debian")["accelerator"]
        for name in wanted:
            print(name, flush=True)
            if name in ("run", "stream"):
                ssh = ssh_ready(annex, port, folder)
            tables.append({"boot": lambda: bench_boot(annex, asked.runs),
                           "run": lambda: bench_run(annex, asked.runs, ssh, folder),
                           "memory": lambda: bench_memory(annex, asked.runs),
                           "create": lambda: bench_create(annex, asked.runs, folder),
                           "stream": lambda: bench_stream(annex, asked.runs, ssh)}[name]())
        if asked.write:
            write(tables, asked.runs, accelerator)
    except subprocess.CalledProcessError as failed:
        sys.stderr.write((failed.stderr or b"").decode(errors="replace"))
        raise
    finally:
        annex("stop", "--all", check=False)
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
