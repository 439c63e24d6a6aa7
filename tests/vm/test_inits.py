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
# What still runs of a start; READY comes behind it.
STARTING = r"'^/bin/sh./etc/[i]nit.d/rc|^/[s]bin/openrc|^[s]tartpar|^/bin/sh./etc/[r]unit/'"
# How each is ended: by the host, or from inside.
ENDS = {"sysvinit": None, "openrc": "poweroff", "runit": None, "s6": None}
# Where links make the service start and stop with these. A restart takes them too long under emulation; the others get it
# while they run, and are restarted.
LINKS = {"openrc": ["runlevels/default/early"], "runit": ["rc2.d/S99early", "rc0.d/K01early"]}
# What inits say when the machine is not what they take it for.
COMPLAINTS = r"cgroup|respawning|Cannot access the|can't open|ead-only file|ermission denied|not permitted|mtab|busy|No such file"

# Of s6: when it is asked to end, it asks this.
SERVICE = """#!/bin/sh
trap 'echo stopping >>/home/ada/service; sleep 1; echo stopped >>/home/ada/service; echo stopped >>/home/ada/inner/service
	exit' TERM
echo started >>/home/ada/started
while :; do sleep 0.1; done
"""
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
[ "$1" = stop ] || exec sh -c 'echo started >>/home/ada/started'
echo stopping >>/home/ada/service
for target in $(sed -n 's/^annex \\([^ ]*\\) virtiofs.*/\\1/p' /proc/mounts | sort -r); do
	umount $target && echo early: done
done
sleep 1
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
        self.image = image
        exports = {name: ("rw", self.root / name) for name in ("home", "inner", "data")}
        self.machine = guest_vm.Machine(
            annex_test.image(image), exports=dict(exports, modules=("ro", guest_vm.modules())), cpus=2,
            shares=["home dh /home/ada", "inner d /home/ada/inner", "data d /srv/data",
                    f"modules dr /lib/modules/{guest_vm.modules().name}"])

    def is_up(self):
        """All of what starts has been started: that is what READY means."""
        lines = self.machine.root("ls -d /proc/[0-9]*/cmdline 2>/dev/null || :").split()  # some end meanwhile
        assert not self.machine.run("grep", "-saE", STARTING, *lines, user="root").output

    def shows(self):
        """What is shared is in its place, can be written, and nothing of it is lost; the network is as it was given."""
        network = self.machine.root("cat /proc/net/fib_trie /proc/net/if_inet6 /etc/resolv.conf /etc/hosts")
        assert "|-- 10.0.2.15\n" in network and "fec00000000000000000000000000015 " in network
        assert "\nnameserver 10.0.2.3\nsearch annex.internal example.com\n" in network
        assert "10.0.2.15\tbox.annex.internal box\t# annex\n" in network
        assert self.machine.run("sh", "-c", "cd; pwd; cat kept inner/kept /srv/data/kept; echo x >new && rm new"
                                ).output.decode().split() == ["/home/ada", "kept", "kept", "kept"]
        assert self.machine.root("grep -c virtiofs /proc/mounts; ls -d /lib/modules/$(uname -r)/kernel >&2") == "4\n"
        assert all((self.root / name / "kept").read_text() == "kept\n" for name in ("home", "inner", "data"))

    def close(self):
        self.machine.close()
        shutil.rmtree(self.root)


def enable_before(host):
    """The same on the disk of a machine that was never started."""
    script = host.root / "early"
    script.write_text(UNMOUNTS_EARLY)
    commands = [f"write {script} /etc/init.d/early", "set_inode_field /etc/init.d/early mode 0100755"]
    commands += [f"symlink /etc/{link} /etc/init.d/early" for link in LINKS[host.image]]
    subprocess.run(["/usr/sbin/debugfs", "-w", "-f", "-", host.machine.disk], input="\n".join(commands), text=True,
                   stdout=subprocess.DEVNULL, check=True)


def enable(host):
    """A service that starts with the machine from now on."""
    if host.image == "s6":
        host.machine.run("sh", "-c", "mkdir /etc/s6/early; cat >/etc/s6/early/run; chmod +x /etc/s6/early/run",
                         input=SERVICE.encode(), user="root")
    else:
        host.machine.run("sh", "-c", "cat >/etc/init.d/early; chmod +x /etc/init.d/early; update-rc.d early defaults",
                         input=UNMOUNTS_EARLY.encode(), user="root")


def reboot(host):
    machine = host.machine
    ready = len(machine.ready)
    machine.open("reboot", user="root")
    machine.wait_until(lambda: len(machine.ready) > ready, BOOT, "READY again")
    assert guest_vm.HALTED[machine.halted[-1].reason] == "reboot"
    host.is_up()
    host.shows()


def stop(host):
    """What is saved meanwhile is the host's."""
    machine = host.machine
    machine.root("until [ -s /home/ada/started ]; do sleep 0.1; done")
    machine.open("sh", "-c", "trap 'echo saved >~/saved; exit' TERM HUP; cd /; echo there; while :; do sleep 0.1; done"
                 ).wait_for(b"there")
    (host.root / "home" / "service").unlink(missing_ok=True)
    (host.root / "inner" / "service").unlink(missing_ok=True)
    if ENDS[host.image]:
        machine.open(ENDS[host.image], user="root")
        assert machine.wait_for_end(BOOT) == 0
    else:
        assert machine.shutdown(BOOT * 1000, BOOT) == 0
    assert guest_vm.HALTED[machine.halted[-1].reason] == "power-off"
    console = (machine.folder / "console").read_text(errors="replace")
    assert (host.root / "home" / "service").read_text() == "stopping\nstopped\n", console
    assert (host.root / "inner" / "service").read_text() == "stopped\n"
    assert (host.root / "home" / "saved").read_text() == "saved\n"
    # At each end.
    assert console.count("early: done") == {"s6": 0, "sysvinit": 8}.get(host.image, 4), console
    assert not re.search(f"/home/ada|/srv/data|lib/modules|{COMPLAINTS}", console), console
    for folder in ("/home/ada", "/srv/data"):
        shown = subprocess.run(["/usr/sbin/debugfs", "-R", f"ls -p {folder}", machine.disk], stdout=subprocess.PIPE, text=True,
                               stderr=subprocess.DEVNULL, check=True).stdout
        assert {line.split("/")[5] for line in shown.split()} == {".", ".."}, shown


@pytest.mark.parametrize("image", ENDS)
def test_an_init_starts_restarts_and_stops_the_machine_with_its_shares(image):
    """One test for all: these inits take long to start under emulation."""
    with contextlib.closing(Host(image)) as host:
        if image in LINKS:
            enable_before(host)
        host.machine.start(BOOT)
        host.is_up()
        host.shows()
        if image not in LINKS:
            enable(host)
            reboot(host)
        stop(host)
