"""Machines, for the tests that run some."""

import contextlib
import json
import os
import pathlib
import subprocess
import tempfile
import time

import annex_test

# A boot under emulation, with sanitizers, beside whatever else this host does.
BOOT = 5 * annex_test.TIMEOUT


def host(account):
    """A host with a kernel."""
    made = annex_test.Host(account)
    try:
        made.ok("kernel", "install", "--deb", annex_test.kernel_package(), timeout=BOOT)
    except BaseException:
        made.close()
        raise
    return made


def create(host, image, name, *options, home="none"):
    """A machine; whoever wants it to share the account's home, which outlives the test, says so."""
    printed = host.ok("create", f"oci:{annex_test.image(image)}", "-n", name, "--home-mount", home, *options, timeout=BOOT)
    assert printed == f"{name}\n"
    return Machine(host, name)


class Machine:
    def __init__(self, host, name):
        self.host, self.name = host, name

    def run(self, *argv, options=(), **more):
        """Run a command in it, as the host's user unless the options say otherwise."""
        return self.host.annex("run", "-n", self.name, *options, "--", *argv, **more)

    def ok(self, *argv, options=(), **more):
        """What a command in it prints; it must succeed."""
        return self.host.ok("run", "-n", self.name, *options, "--", *argv, **more)

    def sh(self, script, *options, **more):
        """What a script in it prints, as root unless the options name somebody."""
        return self.ok("/bin/sh", "-c", script, options=options or ("--root",), **more)

    def popen(self, *argv, options=(), **more):
        return self.host.start("run", "-n", self.name, *options, "--", *argv, **more)

    def terminal(self, *argv, options=(), **more):
        return self.host.terminal(annex_test.ANNEX, "run", "-n", self.name, *options, "--", *argv, **more)

    def inspect(self):
        return json.loads(self.host.ok("inspect", self.name))[0]

    @property
    def state(self):
        return self.inspect()["state"]

    @property
    def folder(self):
        return self.host.data / "machines" / self.name

    def up(self):
        self.host.ok("start", self.name, timeout=BOOT)
        return self

    def stop(self, *options):
        self.host.ok("stop", self.name, *options, timeout=BOOT)

    def children(self, name):
        """Its supervisor, or children of that, by their name; the oldest first."""
        supervisors = [pid for pid, words in processes(self.host).items()
                       if b"annex-supervisor" in words and os.fsencode(self.folder.resolve().name) in words]
        found = []
        for folder in pathlib.Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                line = (folder / "stat").read_text()
                state, parent = line[line.rindex(")") + 2:].split()[:2]
                if line[line.index("(") + 1:line.rindex(")")] == name[:15] and int(parent) in supervisors and state != "Z":
                    found.append(int(folder.name))
        return supervisors if name == "annex-supervisor" else sorted(found)

    def wait_state(self, wanted):
        wait_until(lambda: self.state == wanted, f"{self.name} is {wanted}")


def wait_until(condition, what, timeout=annex_test.TIMEOUT):
    """Wait for what nobody announces. The deadline only ends a test that has failed."""
    end = time.monotonic() + timeout
    while not condition():
        assert time.monotonic() < end, f"waited in vain until {what}"
        time.sleep(0.05)


def is_alive(pid):
    """Does it run? What is dead but not yet waited for does not."""
    try:
        return "(zombie)" not in pathlib.Path(f"/proc/{pid}/status").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False


def resident(pid):
    """The memory that a process holds, in bytes."""
    for line in pathlib.Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        if line.startswith("Rss:"):
            return int(line.split()[1]) << 10
    raise LookupError(pid)


def processes(host):
    """Command lines of what runs on behalf of this host's machines."""
    found = {}
    for folder in pathlib.Path("/proc").glob("[0-9]*"):
        try:
            words = (folder / "cmdline").read_bytes()
        except OSError:
            continue
        if os.fsencode(host.folder) in words and (b"annex-supervisor" in words or b"qemu-system" in words):
            found[int(folder.name)] = words
    return found


def check_disk(machine, *e2fsck):
    """The output of e2fsck on a copy of the disk of a stopped machine, and its exit status."""
    with tempfile.TemporaryDirectory(dir="/var/tmp") as folder:
        raw = pathlib.Path(folder) / "disk.raw"
        subprocess.run(["qemu-img", "convert", "-f", "qcow2", "-O", "raw", machine.folder / "disk.qcow2", raw], check=True)
        done = [subprocess.run(["e2fsck", *options, raw], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
                for options in e2fsck]
    return [(result.returncode, result.stdout) for result in done]
