"""The user's home, and volumes in and around it, as a machine has them."""

import pathlib
import pwd
import shutil

import pytest

import machines
from machines import BOOT


@pytest.fixture(scope="module")
def home(host):
    """The account's own home, with things in it that are taken away again."""
    path = pathlib.Path(pwd.getpwnam(host.account.name).pw_dir)
    names = {"annex-notes": "notes", "annex-dot/gh/hosts.yml": "secret", "annex-dot/open": "open",
             "annex-work/file": "work", ".minisign": "secret", ".terraform.d/credentials.tfrc.json": "secret",
             ".terraform.d/other": "open"}
    if any((path / name).exists() for name in (".minisign", ".terraform.d")):
        pytest.skip("the user has secrets of their own")
    for name, content in names.items():
        host.program(["sh", "-c", 'mkdir -p "${1%/*}" && cat >"$1"', "sh", path / name], input=content, check=True)
    host.program(["ln", "-s", "annex-dot", path / "annex-link"], check=True)
    yield path
    for name in ("annex-notes", ".minisign", "annex-link", "annex-made"):
        (path / name).unlink(missing_ok=True)
    for name in ("annex-dot", "annex-work", ".terraform.d"):
        shutil.rmtree(path / name)


@pytest.fixture(scope="module")
def machine(host, home):
    host.file("volume", "a file of its own")
    (host.folder / "home" / "data").mkdir()
    host.program(["chmod", "711", host.folder], check=True)
    made = machines.create(host, "busybox", "homely", "--memory", "256M", "--network", "none", "--no-boot", home="rw")
    host.ok("set", "-n", "homely", f"volume={host.folder}:/srv/all:ro", f"volume={home}/annex-work:/home/w",
            f"volume=volume:{home}/annex-notes", "mask=annex-link/gh")
    yield made
    host.ok("delete", "-f", "homely", timeout=BOOT)


def test_the_home_is_the_hosts_without_what_is_masked(host, home, machine):
    machine.up()
    assert machine.ok("pwd", cwd="/") == machine.ok("pwd", cwd=home) == f"{home}\n"
    assert machine.ok("pwd") == "/srv/all/home\n"
    shown = machine.ok("ls", "-A", home).split()
    assert "annex-dot" in shown and ".terraform.d" in shown and ".minisign" not in shown
    assert machine.ok("cat", f"{home}/.terraform.d/other", f"{home}/annex-link/open") == "openopen"
    for secret in (".minisign", ".terraform.d/credentials.tfrc.json", "annex-link/gh", "annex-dot/gh", ".ssh"):
        assert machine.run("cat", f"{home}/{secret}").returncode == 1
        machine.sh(f"! ls '{home}/{secret}' 2>&1")
        machine.sh(f"! mkdir '{home}/{secret}' 2>&1")
    machine.ok("sh", "-c", f"echo from the machine >{home}/annex-made")
    made = home / "annex-made"
    assert made.read_text() == "from the machine\n" and made.stat().st_uid == host.account.uid


def test_volumes_lie_in_the_home_and_beside_it(host, home, machine):
    machine.up()
    assert machine.ok("cat", f"{home}/annex-notes", "/home/w/file") == "a file of its ownwork"
    assert (home / "annex-notes").read_text() == "notes"
    # Around annex's own folders, which are not there.
    assert set(machine.ok("ls", "/srv/all").split()) >= {"home", "data"}
    assert machine.ok("ls", "-A", "/srv/all/data", "/srv/all/run") == "/srv/all/data:\n\n/srv/all/run:\n"
    assert "Read-only" in machine.sh("touch /srv/all/x 2>&1 || true")
    # Its own path comes before that of the volume.
    work = host.ok("run", "-n", "homely", "--", "pwd", cwd=home / "annex-work")
    assert work == f"{home}/annex-work\n"


def test_modules_of_the_kernel_are_where_it_looks_for_them(machine):
    machine.up()
    shown = machine.sh("ls -d /lib/modules/$(uname -r)/kernel; modprobe loop && ls -d /sys/module/loop")
    assert shown.endswith("/kernel\n/sys/module/loop\n") and shown.startswith("/lib/modules/")
    assert "Read-only" in machine.sh("touch /lib/modules/$(uname -r)/x 2>&1 || true")


def test_the_home_may_lie_elsewhere_and_be_read_only(host, home, machine):
    machine.stop()
    host.ok("set", "-n", "homely", "home-mount=ro", "home-target=/of/host", f"volume=-{home}/annex-notes",
            "mask=-.minisign", "mask=annex-work")
    machine.up()
    assert machine.ok("sh", "-c", "cd; pwd; ls -A; touch private; ls") == f"{home}\nprivate\n"
    assert not (home / "private").exists()
    assert machine.ok("cat", "/of/host/annex-notes", "/of/host/.minisign") == "notessecret"
    assert "Read-only" in machine.sh("touch /of/host/x 2>&1 || true")
    machine.sh("! ls /of/host/annex-work 2>&1")
    # What is masked in the home was asked for by name, too.
    assert machine.ok("cat", "/home/w/file") == "work"
    for place, wanted in ((home, "/of/host\n"), (home / "annex-work", "/home/w\n")):
        assert host.ok("run", "-n", "homely", "--", "pwd", cwd=place) == wanted


def test_the_home_may_be_the_machines_own(host, home, machine):
    machine.stop()
    host.ok("set", "-n", "homely", "home-mount=none")
    machine.up()
    assert machine.ok("sh", "-c", "cd; pwd; ls -A") == f"{home}\nprivate\n"
    machine.sh("! ls /of/host/annex-notes 2>&1")
