"""For tests of the network: a host whose files in /etc can change, where a machine's ports are, and services in it."""

import contextlib
import json
import os
import shutil
import socket
import subprocess

import annex_test
from annex_test import TIMEOUT
from machines import wait_until

# Of its own, in which nothing that is mounted gets to the host.
CAN_MOUNT = os.geteuid() == 0 and subprocess.run(["unshare", "--mount", "true"], stderr=subprocess.DEVNULL,
                                                 check=False).returncode == 0


class Host(annex_test.Host):
    """An ordinary user's host with a resolv.conf and a hosts file of its own, from which passt can be taken away; where root
    runs the suite, and not in a chroot, also with certificates that its administrator has added, a file for each."""

    def __init__(self, account, *certificates):
        super().__init__(account)
        self.local = None
        if CAN_MOUNT:
            self.local = self.folder / "local"
            (self.local / "ca-certificates").mkdir(mode=0o755, parents=True)
            for path in certificates:
                shutil.copy(path, self.local / "ca-certificates" / f"{path.stem}.crt")
        self.names = self.folder / "names"
        self.names.mkdir(mode=0o755)
        self.write("resolv.conf", "")
        self.write("hosts", "")
        program = self.folder / "passt"
        program.write_text(f'#!/bin/sh\n[ ! -e {self.folder}/no-passt ] || exit 1\nexec passt "$@"\n')
        program.chmod(0o755)
        self.env.update(ANNEX_RESOLV_CONF=str(self.names / "resolv.conf"), ANNEX_HOSTS=str(self.names / "hosts"),
                        ANNEX_PASST=str(program))

    def write(self, name, content):
        """Replaces such a file, as programs that manage the network do."""
        new = self.names / f"{name}.new"
        new.write_text(content)
        new.rename(self.names / name)

    def program(self, argv, **options):
        """In a mount namespace: certificates are in /usr/local/share."""
        if not self.local:
            return super().program(argv, **options)
        account, self.account = self.account, annex_test.myself()
        try:
            return super().program([*self.prefix(account), *argv], **options)
        finally:
            self.account = account

    def prefix(self, account):
        return ["unshare", "--mount", "sh", "-c", 'mount --bind "$0" /usr/local/share && exec "$@"', str(self.local),
                "setpriv", "--reuid", str(account.uid), "--regid", str(account.gid), "--init-groups", "--"]


def passt(machine):
    """The passt of a machine that runs: none or one process. What it is called depends on the processor."""
    return [pid for name in ("passt", "passt.avx2") for pid in machine.children(name)]


def forbid_passt(machine):
    """From now on slirp does its work."""
    (machine.host.folder / "no-passt").touch()
    for pid in passt(machine):
        os.kill(pid, 9)
    wait_until(lambda: not passt(machine), "passt is gone")


def ports(machine):
    return json.loads(machine.host.ok("port", machine.name, "--format", "json"))


def place(machine, port, protocol="tcp"):
    """Where a port of the machine is on the host."""
    for row in ports(machine):
        if (row["port"], row["protocol"], row["published"]) == (port, protocol, False) and row["state"] == "open":
            return row["host"], row["host-port"]
    return None


def wait_place(machine, port, protocol="tcp"):
    wait_until(lambda: place(machine, port, protocol), f"port {port} is on the host")
    return place(machine, port, protocol)


def dial(where):
    return socket.create_connection(where, timeout=TIMEOUT)


def as_user(machine, *argv, **options):
    """A program on the host, as whoever the machine belongs to: others are not let in."""
    return subprocess.run([*map(str, argv)], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                          text=True, timeout=2 * TIMEOUT, **machine.host.account.switch, **options)


@contextlib.contextmanager
def service(machine, *argv):
    """A program in the machine, as root, as long as the block."""
    unit = f"test-{os.path.basename(argv[0])}"
    machine.ok("systemd-run", "-q", "-p", "LimitNOFILE=20000", "--unit", unit, *argv, options=["--root"])
    try:
        yield
    finally:
        machine.run("systemctl", "stop", unit, options=["--root"])
