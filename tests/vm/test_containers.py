"""Podman of Debian's packages in a machine whose home is the host's; without a network, as the container's image comes from
an archive."""

import pathlib
import pwd
import shutil

import pytest

import machines
from machines import BOOT

# What Podman and systemd make in a home, which outlives the test; and the folders around that.
LITTER = (".config/cni", ".config/systemd", ".local/share/containers")
AROUND = (".local/share", ".local", ".config")
# A container that answers on its port 80, is reached by one of the machine, and may have 64 MiB.
SERVE = """\
set -e
podman load -q -i /usr/share/busybox.tar
podman run -d --name web -p {port}:80 --memory 64m localhost/busybox:latest \
    sh -c 'echo podman {port} >/index; while true; do nc -l -p 80 -e cat /index; done' >/dev/null
timeout {timeout} bash -c 'until timeout 5 cat </dev/tcp/127.0.0.1/{port}; do sleep 0.5; done' 2>/dev/null
grep -hx 67108864 $(find /sys/fs/cgroup -name memory.max) | head -1
podman rm -f -t 0 web >/dev/null
"""


@pytest.fixture(scope="module")
def machine(host):
    home = pathlib.Path(pwd.getpwnam(host.account.name).pw_dir)
    before = {name for name in LITTER + AROUND if (home / name).exists()}
    made = machines.create(host, "podman", "podman", "--memory", "1536M", "--network", "none", home="rw")
    yield made
    host.ok("delete", "-f", "podman", timeout=BOOT)
    for name in set(LITTER) - before:
        shutil.rmtree(home / name, ignore_errors=True)
    for name in AROUND:
        if name not in before and (home / name).exists() and not any((home / name).iterdir()):
            (home / name).rmdir()


def script(port):
    return SERVE.format(port=port, timeout=int(BOOT / 2))


def test_root_and_an_ordinary_user_run_containers(machine):
    """At the same time, since each takes its time under emulation."""
    with machine.popen("bash", "-c", script(8081), options=("--root",), text=True) as root:
        user = machine.ok("bash", "-c", script(8080), timeout=BOOT)
        output, errors = root.communicate(timeout=BOOT)
    assert user.splitlines()[-2:] == ["podman 8080", "67108864"]
    assert root.returncode == 0 and output.splitlines()[-2:] == ["podman 8081", "67108864"], errors
    shown = machine.ok("sh", "-c", "podman info --format '{{.Store.GraphDriverName}} {{.Store.GraphRoot}}'; df -T ~ | tail -1",
                       timeout=BOOT).split()
    assert shown[:2] == ["overlay", f"/var/lib/annex/containers/{machine.host.account.uid}"]
    assert "virtiofs" in shown
    assert machine.sh("systemctl --failed --quiet --no-legend") == ""
