"""annex mount and umount, and what of the host's files outlasts what a machine goes through."""

import json

import pytest

import annex_test
import machines


@pytest.fixture
def folder(host):
    """A folder of the user's."""
    path = host.folder / "home" / "shared"
    host.program(["mkdir", "-p", path], check=True)
    host.program(["sh", "-c", 'echo "from the host" >"$0/file"', path], check=True)
    yield path
    host.program(["rm", "-rf", path], check=True)


def shares(machine):
    return {share["target"]: share for share in json.loads(machine.host.ok("mount", "-n", machine.name, "--format", "json"))}


def test_a_folder_is_mounted_and_unmounted_while_the_machine_runs(debian, folder):
    debian.host.ok("mount", "-n", debian.name, folder, "/srv/shared")
    assert debian.ok("cat", "/srv/shared/file") == "from the host\n"
    assert shares(debian)["/srv/shared"]["source"] == str(folder)
    debian.ok("sh", "-c", "echo from the machine >/srv/shared/made")
    assert (folder / "made").read_text() == "from the machine\n"
    assert (folder / "made").stat().st_uid == debian.host.account.uid
    debian.host.ok("umount", "-n", debian.name, "/srv/shared")
    assert debian.sh("ls -A /srv/shared; grep -c /srv/shared /proc/self/mountinfo || true") == "0\n"
    assert "/srv/shared" not in shares(debian)


def test_what_a_program_uses_is_not_unmounted_unless_forced(debian, folder):
    debian.host.ok("mount", "-n", debian.name, folder, "/srv/used:ro")
    user = debian.popen("sh", "-c", "cd /srv/used; echo there; read x")
    assert user.stdout.readline() == b"there\n"
    result = debian.host.annex("umount", "-n", debian.name, "/srv/used")
    assert result.returncode == 4 and "/srv/used is in use" in result.stderr, result.stderr
    assert debian.ok("cat", "/srv/used/file") == "from the host\n"
    debian.host.ok("umount", "-n", debian.name, "--force", "/srv/used")
    user.communicate(b"\n", timeout=annex_test.TIMEOUT)


def test_a_reboot_inside_keeps_what_was_mounted(debian, folder):
    debian.host.ok("mount", "-n", debian.name, folder, "/srv/kept")
    debian.sh("touch /run/before; systemctl reboot")
    machines.wait_until(lambda: "running" in debian.run("sh", "-c", "! test -e /run/before && systemctl is-system-running").stdout,
                        "systemd is up again", machines.BOOT)
    assert debian.ok("cat", "/srv/kept/file") == "from the host\n"
    assert debian.sh("systemctl --failed --no-legend") == ""
    debian.host.ok("umount", "-n", debian.name, "/srv/kept")


def test_what_is_not_there_is_not_mounted(debian, folder):
    host = debian.host
    result = host.annex("mount", "-n", debian.name, folder, "/etc/passwd")
    assert result.returncode != 0 and "/etc/passwd is a file, not a folder, in the machine" in result.stderr
    result = host.annex("umount", "-n", debian.name, "/srv/nothing")
    assert result.returncode == 3 and "nothing is shared at /srv/nothing" in result.stderr
    assert "/etc/passwd" not in shares(debian)


def test_the_kernel_loads_modules_in_any_image(noinit):
    """This one has neither an init nor modprobe."""
    assert "tun" not in noinit.sh("cat /proc/modules").split()
    noinit.sh("cat /dev/net/tun 2>/dev/null || true")
    assert "tun" in noinit.sh("cat /proc/modules").split()
