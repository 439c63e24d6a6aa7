"""The host's files in machines with other inits than systemd and BusyBox', which stop their services by scripts, end
all processes, and unmount what they find."""

import contextlib
import os
import pathlib
import re
import shutil
import subprocess
import tempfile

import pytest

import annex_test
import guest_vm

pytestmark = pytest.mark.skipif(not shutil.which("qemu-system-x86_64"), reason="no QEMU")

UID, GID = 4321, 4322
BOOT = 300
# By what a machine that has started can be told.
INITS = {"sysvinit": "runlevel | grep -q '2$'", "openrc": "rc-status -r | grep -q default",
         "runit": "grep -qx runsvdir /proc/[0-9]*/comm"}
STARTING = r"'^/bin/sh./etc/[i]nit.d/|^/[s]bin/openrc|^[s]tartpar|^/bin/sh./etc/[r]unit/1'"

# As OpenRC's localmount does, and scripts that say `umount -a`: before those have ended who may still save something.
UNMOUNTS_EARLY = """#!/bin/sh
### BEGIN INIT INFO
# Provides: early
# Required-Start: $remote_fs
# Required-Stop: $remote_fs
# Default-Start: 2 3 4 5
# Default-Stop: 0 1 6
# Short-Description: unmounts
### END INIT INFO
[ "$1" = stop ] || exit 0
echo stopping >>/home/ada/service
for target in $(sed -n 's/^annex \\([^ ]*\\) virtiofs.*/\\1/p' /proc/mounts | sort -r); do
	umount $target && echo early: done
done
sleep 3
echo stopped >>/home/ada/service
echo stopped >>/home/ada/inner/service
"""


class Host:
    def __init__(self, image):
        self.root = pathlib.Path(tempfile.mkdtemp(prefix="annex-inits-", dir="/var/tmp"))
        self.root.chmod(0o755)
        for name in ("home", "inner", "data"):
            (self.root / name).mkdir()
            (self.root / name / "kept").write_text("kept\n")
            if os.geteuid() == 0:
                os.chown(self.root / name, UID, GID)
        self.ready = INITS[image]
        exports = {name: ("rw", self.root / name) for name in ("home", "inner", "data")}
        self.machine = guest_vm.Machine(
            annex_test.image(image), exports=dict(exports, modules=("ro", guest_vm.modules())), cpus=2,
            shares=["home dh /home/ada", "inner d /home/ada/inner", "data d /srv/data",
                    f"modules dr /lib/modules/{guest_vm.modules().name}"])

    def wait(self):
        """Until all of what starts has been started."""
        self.machine.root(f"until {self.ready} && ! grep -qsaE {STARTING} /proc/[0-9]*/cmdline; do sleep 1; done",
                          timeout=BOOT)

    def shows(self):
        """What is shared is in its place, can be written, and nothing of it is lost."""
        assert self.machine.run("sh", "-c", "cd; pwd; cat kept inner/kept /srv/data/kept; echo x >new && rm new"
                                ).output.decode().split() == ["/home/ada", "kept", "kept", "kept"]
        assert self.machine.root("grep -c virtiofs /proc/mounts; ls -d /lib/modules/$(uname -r)/kernel >&2") == "4\n"
        assert all((self.root / name / "kept").read_text() == "kept\n" for name in ("home", "inner", "data"))

    def close(self):
        self.machine.close()
        shutil.rmtree(self.root)


def reboot(host):
    machine = host.machine
    ready = len(machine.ready)
    machine.open("reboot", user="root")
    machine.wait_until(lambda: len(machine.ready) > ready, BOOT, "READY again")
    assert guest_vm.HALTED[machine.halted[-1].reason] == "reboot"
    host.wait()
    host.shows()


def stop(host):
    """What is saved meanwhile is the host's."""
    machine = host.machine
    machine.run("sh", "-c", "cat >/etc/init.d/early; chmod +x /etc/init.d/early; update-rc.d early defaults",
                input=UNMOUNTS_EARLY.encode(), user="root")
    machine.open("sh", "-c", "trap 'echo saved >~/saved; exit' TERM HUP; cd /; echo there; while :; do sleep 0.1; done"
                 ).wait_for(b"there")
    machine.root("service early start || /etc/init.d/early start")
    assert machine.shutdown(BOOT * 1000, BOOT) == 0
    console = (machine.folder / "console").read_text(errors="replace")
    assert (host.root / "home" / "service").read_text() == "stopping\nstopped\n", console
    assert (host.root / "inner" / "service").read_text() == "stopped\n"
    assert (host.root / "home" / "saved").read_text() == "saved\n"
    assert console.count("early: done") == 4, console
    assert not re.search("/home/ada|/srv/data|lib/modules|mtab|busy", console), console
    for folder in ("/home/ada", "/srv/data"):
        shown = subprocess.run(["/usr/sbin/debugfs", "-R", f"ls -p {folder}", machine.disk], stdout=subprocess.PIPE, text=True,
                               stderr=subprocess.DEVNULL, check=True).stdout
        assert {line.split("/")[5] for line in shown.split()} == {".", ".."}, shown


@pytest.mark.parametrize("image", INITS)
def test_shares_stay_in_place_until_the_end(image):
    """One boot for all: these inits take long to start under emulation."""
    with contextlib.closing(Host(image)) as host:
        host.machine.start(BOOT)
        host.wait()
        host.shows()
        if image == "sysvinit":
            reboot(host)
        stop(host)
