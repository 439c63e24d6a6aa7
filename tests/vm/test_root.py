"""Root's machines, where the suite runs as root: the way through a life, on both kinds of init."""

import os
import re
import socket

import pytest

import machines
from machines import BOOT

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="the suite does not run as root")


def test_root_can_use_a_machine_with_busybox(root_host):
    machine = machines.create(root_host, "busybox", "rooted", "--memory", "256M")
    assert machine.ok("id", "-u") == "0\n"
    assert machine.ok("sh", "-c", "cd; pwd; whoami") == "/root\nroot\n"
    assert machine.run("sh", "-c", "exit 7").returncode == 7
    machine.ok("sh", "-c", "echo kept >/root/kept")
    machine.stop()
    assert machine.state == "stopped"
    assert machine.ok("cat", "/root/kept", timeout=BOOT) == "kept\n"
    root_host.ok("delete", "-f", "rooted", timeout=BOOT)
    assert not any((root_host.data / "machines").glob("*rooted*"))


def test_root_can_use_a_machine_with_systemd(root_host):
    machine = machines.create(root_host, "debian", "rooted-debian", "--memory", "1G")
    assert machine.ok("systemctl", "is-system-running", "--wait", timeout=BOOT) == "running\n"
    assert machine.ok("id", "-un") == "root\n"
    with socket.socket(socket.AF_UNIX) as agent:
        agent.bind(str(root_host.folder / "agent.sock"))
        shown = machine.ok("sh", "-c", "stat -c '%A %U %n' $SSH_AUTH_SOCK",
                           env={"SSH_AUTH_SOCK": str(root_host.folder / "agent.sock")})
    assert re.fullmatch(r"srw------- root /run/annex/session-\d+/agent.sock\n", shown)
    root_host.ok("delete", "-f", "rooted-debian", timeout=BOOT)
