"""What a machine has of the host's processors, memory and disk: changed while it runs, and given back. One boot for all."""

import json
import os
import pathlib
import re
import subprocess

import annex_test
import machines
import pytest
from machines import BOOT, wait_until

MIB, GIB = 1 << 20, 1 << 30
CPUS = os.cpu_count()


@pytest.fixture(scope="module")
def machine(host):
    """One whose processor has virtualization, with a share."""
    data = host.folder / "home" / "hardware"
    data.mkdir()
    os.chown(data, host.account.uid, host.account.gid)
    made = machines.create(host, "busybox", "hardware", "--memory", "512M", "--cpus", "1", "--disk", "2G",
                           "--virtualization", "--network", "none", "--volume", f"{data}:/data")
    yield made
    host.ok("delete", "--force", "hardware", timeout=BOOT)


def change(machine, *pairs):
    """Set something that is in effect at once."""
    result = machine.host.annex("set", "-n", machine.name, *pairs, timeout=BOOT)
    assert (result.returncode, result.stdout, result.stderr) == (0, "", "")
    told = machine.inspect()
    assert told["pending"] == {} and told["pendingReasons"] == {}
    return told["settings"]


def memory(machine):
    return int(machine.sh("sed -n 's/MemTotal: *//p' /proc/meminfo").split()[0]) << 10


def held(machine):
    """What the guest's memory takes of the host's."""
    files = {}
    for path in pathlib.Path(f"/proc/{machine.inspect()['vmPid']}/fd").iterdir():
        if os.readlink(path).startswith("/memfd:"):
            files[os.stat(path).st_ino] = os.stat(path).st_blocks * 512
    return sum(files.values())


def used(machine):
    return os.stat(machine.folder / "disk.qcow2").st_blocks * 512


@pytest.mark.skipif(CPUS < 2, reason="a running machine has no more processors than the host")
def test_processors_are_added_and_left(machine):
    assert machine.ok("nproc") == "1\n"
    for count in (CPUS, 1, CPUS):
        assert change(machine, f"cpus={count}")["cpus"] == count
        assert machine.ok("nproc") == f"{count}\n"
    listed = [row for row in json.loads(machine.host.ok("list", "--format", "json")) if row["name"] == machine.name]
    assert listed[0]["cpus"] == CPUS


def test_memory_shrinks_and_grows_while_files_are_shared(machine):
    """virtio-fs has the new memory too: what is read into it and written from it is what it was."""
    start = memory(machine)
    load = machine.popen("sh", "-c", "cd /data; dd if=/dev/urandom of=a bs=1M count=24 2>/dev/null; sum=$(md5sum <a);"
                         "echo go; while read -t 0.01 line; [ -z \"$line\" ]; do cp a b; [ \"$(md5sum <b)\" = \"$sum\" ] ||"
                         "exit 9; sync; echo 3 >/proc/sys/vm/drop_caches; done; echo fine", options=["--root"])
    assert load.stdout.readline() == b"go\n"
    for mib in (256, 700, 1024, 600):
        assert change(machine, f"memory={mib}M")["memory"] == mib * MIB
        assert (mib - 120) * MIB < memory(machine) < mib * MIB
    out, errors = load.communicate(b"stop\n", timeout=BOOT)
    assert (load.returncode, out) == (0, b"fine\n"), errors
    change(machine, "memory=512M")
    assert abs(memory(machine) - start) < 8 * MIB


def test_memory_in_use_is_not_taken(machine):
    start = memory(machine)
    machine.sh("mount -o remount,size=100% /dev/shm; dd if=/dev/zero of=/dev/shm/full bs=1M count=180 2>/dev/null")
    result = machine.host.annex("set", "-n", machine.name, "memory=256M", timeout=BOOT)
    reason, pending = result.stderr.splitlines()
    assert result.returncode == 0, result.stderr
    assert re.fullmatch(r"memory=256M: [\d.]+ MiB are in use in the machine, and to go on it needs 40 MiB more", reason)
    assert pending == f"memory=256M will take effect after 'annex restart {machine.name}'"
    assert memory(machine) == start and machine.inspect()["settings"]["memory"] == 512 * MIB
    machine.sh("rm /dev/shm/full")
    change(machine, "memory=512M")


def test_the_disk_grows_while_the_machine_runs(machine):
    assert change(machine, "disk=3G")["disk"] == 3 * GIB
    assert int(machine.ok("df", "-k", "/").splitlines()[1].split()[1]) > 2800 << 10
    smaller = machine.host.annex("set", "-n", machine.name, "disk=2G")
    assert smaller.returncode == 2 and "a disk can only grow" in smaller.stderr


def test_space_that_is_freed_goes_back_to_the_host(machine):
    before = used(machine)
    machine.sh("dd if=/dev/urandom of=/root/full bs=1M count=128 2>/dev/null; sync")
    full = used(machine)
    assert full > before + 120 * MIB
    machine.sh("rm /root/full; sync")
    wait_until(lambda: used(machine) < full - 110 * MIB, "the host has it back")


def test_virtual_machines_run_inside(machine):
    program = (annex_test.BUILD / "tests" / "nested").read_bytes()
    done = machine.run("sh", "-c", "cat >/tmp/nested; chmod +x /tmp/nested; /tmp/nested", input=program, text=False)
    assert (done.returncode, done.stdout) == (0, b"42\n"), done.stderr


def test_a_machine_without_virtualization_has_no_kvm(busybox):
    assert busybox.run("test", "-e", "/dev/kvm").returncode == 1
    assert "svm" not in busybox.ok("cat", "/proc/cpuinfo").split()


def test_memory_that_is_freed_goes_back_to_the_host(machine):
    change(machine, "memory=1408M")
    before = held(machine)
    holder = machine.popen("sh", "-c", "exec 3<&0; dd if=/dev/zero bs=1G count=1 2>/dev/null |"
                           "{ head -c 1 >/dev/null; echo full; read line <&3; }")
    assert holder.stdout.readline() == b"full\n"
    full = held(machine)
    assert full > before + 900 * MIB
    holder.communicate(b"end\n", timeout=BOOT)
    wait_until(lambda: held(machine) < full - 900 * MIB, "the host has it back")


def test_what_was_changed_is_there_after_a_restart(machine):
    """And is what a start begins with: nothing is left of balloons and added memory."""
    machine.host.ok("restart", machine.name, timeout=BOOT)
    assert 1300 * MIB < memory(machine) < 1408 * MIB
    assert machine.ok("nproc") == f"{CPUS}\n"
    machine.stop()
    assert subprocess.run(["qemu-img", "check", "-q", machine.folder / "disk.qcow2"]).returncode == 0
