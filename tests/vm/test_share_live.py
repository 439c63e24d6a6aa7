"""Shares that come and go while a machine runs: also from where the process that serves files may not look."""

import hashlib
import json
import os
import pathlib
import shutil
import signal
import tempfile
import time

import pytest

import machines
from machines import BOOT, wait_until

MEMORY = 30 << 20  # bytes that a server of files may take, beside the guest's memory


@pytest.fixture(scope="module")
def walled(host):
    """Whether Landlock keeps the server to what is shared from the start."""
    found = json.loads(host.annex("doctor", "--format", "json").stdout)
    return any("under Landlock" in finding["text"] for finding in found if finding["subject"] == "shares")


@pytest.fixture(scope="module")
def places(host):
    """A folder that is shared from the start, with one in it; and one elsewhere."""
    made = pathlib.Path(tempfile.mkdtemp(prefix="annex-live-", dir="/var/tmp"))
    for name in ("first", "first/inner", "second", "third"):
        (made / name).mkdir()
        (made / name / "file").write_text(name)
    for path in (made, *made.rglob("*")):
        os.chown(path, host.account.uid, host.account.gid)
    yield made
    shutil.rmtree(made)


@pytest.fixture(scope="module")
def machine(host, places):
    made = machines.create(host, "busybox", "live", "--memory", "256M", "--network", "none", "--no-boot", "-v",
                           f"{places}/first:/srv/first")
    yield made.up()
    host.ok("delete", "-f", "live", timeout=BOOT)


def servers(machine):
    """The processes that serve its files; that with the device first."""
    return machine.children("annex-share")


def memory(pid):
    """What is its own, and not the guest's, which it has mapped too: that is a file in memory, whose pages count as
    shared; a bridge is one as well, of a few MiB."""
    size = 0
    guest = False
    for line in pathlib.Path(f"/proc/{pid}/smaps").read_text().splitlines():
        words = line.split()
        if "-" in words[0] and not words[0].endswith(":"):
            begin, end = (int(number, 16) for number in words[0].split("-"))
            guest = "/memfd:" in line and end - begin >= 64 << 20
        elif words[0] == "Rss:" and not guest:
            size += int(words[1]) << 10
    return size


def use(machine, folder):
    """What programs do in a folder, with all of it there afterwards."""
    return machine.sh(f"""
set -e
cd {folder}
mkdir -p a/b; echo text >a/b/one; mv a/b/one a/two; ln a/two a/three; ln -s two a/link; cat a/link
dd if=/dev/urandom of=big bs=1048576 count=8 2>/dev/null; cp big a/copy; cmp big a/copy
i=0; while [ $i -lt 200 ]; do echo $i >a/b/f$i; i=$((i + 1)); done
tar cf all.tar a; mkdir again; tar xf all.tar -C again; diff -r a again/a
find . | wc -l; chmod 600 big; touch -d '2001-01-01 00:00:00' big
rm -r a again all.tar; sync
md5sum big
""", "-u", machine.host.account.name)


def test_a_share_from_elsewhere_is_served_by_a_process_of_its_own(host, places, machine, walled):
    assert len(servers(machine)) == 1
    host.ok("mount", "-n", "live", f"{places}/second", "/srv/second", timeout=BOOT)
    assert len(servers(machine)) == (2 if walled else 1)
    assert machine.ok("cat", "/srv/first/file", "/srv/second/file") == "firstsecond"
    for name in ("first", "second"):
        lines = use(machine, f"/srv/{name}").split()
        big = places / name / "big"
        assert lines[0] == "text" and lines[2] == hashlib.md5(big.read_bytes(), usedforsecurity=False).hexdigest()
        assert big.stat().st_uid == host.account.uid and big.stat().st_mode & 0o777 == 0o600
    # From one to the other, where nothing can be renamed.
    machine.sh("mv /srv/first/big /srv/second/moved && cmp /srv/second/moved /srv/second/moved && ! ls /srv/first/big 2>&1")
    assert (places / "second/moved").stat().st_size == 8 << 20
    for pid in servers(machine):
        assert memory(pid) < MEMORY


def test_a_share_within_needs_no_other_process(host, places, machine):
    before = servers(machine)
    host.ok("mount", "-n", "live", f"{places}/first/inner", "/srv/inner:ro", timeout=BOOT)
    assert servers(machine) == before
    assert machine.ok("cat", "/srv/inner/file") == "first/inner"
    assert "Read-only" in machine.sh("touch /srv/inner/x 2>&1 || true")
    host.ok("umount", "-n", "live", "/srv/inner", timeout=BOOT)


def test_a_mount_that_was_given_up_is_undone(host, places, machine):
    server = servers(machine)[0]
    os.kill(server, signal.SIGSTOP)
    try:
        client = host.start("mount", "-n", "live", f"{places}/first/inner", "/srv/given-up")
        time.sleep(1)  # it waits for the server
        client.send_signal(signal.SIGINT)
        assert b"cancelled" in client.communicate(timeout=BOOT)[1]
    finally:
        os.kill(server, signal.SIGCONT)
    # One request is done after the other: the place is free.
    host.ok("mount", "-n", "live", f"{places}/first", "/srv/given-up")
    assert machine.sh("cat /srv/given-up/file") == "first"
    host.ok("umount", "-n", "live", "/srv/given-up")


def test_a_process_ends_with_its_share(host, places, machine):
    before = servers(machine)
    host.ok("mount", "-n", "live", f"{places}/third/file", "/srv/file:ro", timeout=BOOT)
    assert machine.ok("cat", "/srv/file") == "third"
    host.ok("umount", "-n", "live", "/srv/file", timeout=BOOT)
    assert servers(machine) == before


def test_a_process_that_dies_takes_its_share_only(host, places, machine, walled):
    if not walled:
        pytest.skip("one process serves all where Landlock is not used")
    host.ok("mount", "-n", "live", f"{places}/third", "/srv/third", timeout=BOOT)
    assert machine.ok("cat", "/srv/third/file") == "third"
    client = machine.popen("sh", "-c", "cd /srv/third; echo ready; while echo line >>lines; do :; done; echo over; exec sleep 1")
    assert client.stdout.readline() == b"ready\n"
    os.kill(servers(machine)[-1], signal.SIGKILL)
    assert client.communicate(timeout=BOOT)[0] == b"over\n"
    assert "Input/output error" in machine.sh("cat /srv/third/file 2>&1 || true")
    assert machine.ok("cat", "/srv/first/file") == "first"
    host.ok("umount", "-n", "live", "--force", "/srv/third", timeout=BOOT)
    host.ok("mount", "-n", "live", f"{places}/third", "/srv/third", timeout=BOOT)
    assert machine.ok("cat", "/srv/third/file") == "third"
    assert "share 'mount-" in (machine.folder / "supervisor.log").read_text()
    host.ok("umount", "-n", "live", "/srv/third", timeout=BOOT)


def test_servers_do_nothing_while_nobody_asks(machine):
    def switches(pid):
        return [line for path in sorted(pathlib.Path(f"/proc/{pid}/task").glob("*/status"))
                for line in path.read_text().splitlines() if "ctxt_switches" in line]

    def are_idle():
        before = [switches(pid) for pid in servers(machine)]
        time.sleep(1)
        return before == [switches(pid) for pid in servers(machine)]

    wait_until(are_idle, "no thread of theirs ran for a second")


def test_all_are_gone_with_the_machine(machine):
    before = servers(machine)
    machine.stop()
    wait_until(lambda: not any(map(machines.is_alive, before)), "no server runs")
