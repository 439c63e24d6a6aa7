"""Machines come, stop, start again, change and go."""

import json
import os
import re
import signal
import subprocess
import threading
import time

import pytest

import machines
from annex_test import TIMEOUT, image
from machines import BOOT, wait_until


def test_a_new_machine_runs(busybox):
    listed = {row["name"]: row for row in json.loads(busybox.host.ok("list", "--format", "json"))}["busybox"]
    shown = busybox.inspect()
    for told in (listed, shown):
        assert told["state"] == "running"
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", told["started"])
    assert (listed["memory"], listed["disk"], listed["cpus"]) == (512 << 20, 64 << 30, os.cpu_count())
    assert shown["settings"]["memory"] == 512 << 20 and shown["pending"] == {}
    assert shown["accelerator"] in ("tcg", "kvm")
    assert machines.is_alive(shown["supervisorPid"]) and machines.is_alive(shown["vmPid"])
    table = busybox.host.ok("list").splitlines()
    assert table[0].split() == ["NAME", "CREATED", "IP", "CPUS", "MEMORY", "DISK", "STATE", "DEFAULT", "NOTE"]
    assert any(line.startswith("busybox ") and " running" in line for line in table[1:])
    assert "busybox" in busybox.host.ok("list", "-q").splitlines()


def test_starting_what_runs_changes_nothing(busybox):
    before = busybox.inspect()
    busybox.host.ok("start", "busybox")
    assert busybox.inspect() == before


def test_the_image_is_what_its_layers_make(busybox):
    assert busybox.ok("cat", "/etc/motd", "/etc/added") == "from the second layer\nadded\n"
    assert busybox.ok("ls", "/opt/replaced", "/etc").splitlines().count("removed") == 0
    assert busybox.ok("ls", "/opt/replaced") == "new\n"


def test_a_machine_has_its_name(busybox):
    assert busybox.ok("hostname") == "busybox\n"
    assert busybox.ok("cat", "/etc/hostname") == "busybox\n"
    hosts = busybox.ok("cat", "/etc/hosts")
    assert re.search(r"^127\.0\.0\.1\s+.*\blocalhost\b", hosts, re.MULTILINE)
    assert re.search(r"^198\.19\.\S+\s+busybox\.annex\.internal busybox\b", hosts, re.MULTILINE)
    assert busybox.ok("ping", "-c", "1", "busybox", options=["--root"]).count("1 packets received") == 1


def test_the_machines_clock_is_ours(busybox):
    before = time.time()
    told = int(busybox.ok("date", "+%s"))
    assert before - 30 < told < time.time() + 30


def test_the_disk_has_the_size_that_was_asked_for(busybox):
    kib = int(busybox.ok("df", "-k", "/").splitlines()[1].split()[1])
    assert 60 << 20 < kib <= 64 << 20
    assert busybox.inspect()["diskUsed"] < 200 << 20


def test_the_console_and_the_kernels_messages_are_logged(busybox):
    assert "Linux version" in busybox.host.ok("logs", "--boot", "busybox")
    busybox.sh("echo shown-on-the-console >/dev/console")
    wait_until(lambda: "shown-on-the-console" in busybox.host.ok("logs", "busybox"), "the console's log has it")
    assert "shown-on-the-console" in busybox.host.ok("logs", "-n", "1", "busybox")
    busybox.sh("echo said-by-the-kernel >/dev/kmsg")
    wait_until(lambda: "said-by-the-kernel" in busybox.host.ok("logs", "--boot", "busybox"), "the boot log has it")


def test_logs_can_be_followed(busybox):
    client = busybox.host.start("logs", "-f", "-n", "0", "busybox")
    lines = []
    reader = threading.Thread(target=lambda: lines.append(client.stdout.readline()), daemon=True)
    reader.start()

    def written():
        busybox.sh("echo followed >/dev/console")
        return lines

    wait_until(written, "the follower shows it")
    assert lines[0].strip() == b"followed"
    client.send_signal(signal.SIGINT)
    client.communicate(timeout=TIMEOUT)
    assert client.returncode in (-signal.SIGINT, 130)


def test_the_command_line_can_be_shown(busybox):
    shown = busybox.host.ok("start", "--dry-run", "busybox")
    assert "qemu-system-" in shown and "-kernel" in shown and "disk.qcow2" in shown
    subprocess.run(["sh", "-n"], input=shown, text=True, check=True)


def test_a_machine_survives_being_stopped(spare):
    """Files, changed settings, a larger disk, a clean file system; the shortest way through a life."""
    host = spare.host
    assert spare.state == "stopped"
    assert spare.ok("echo", "booted", timeout=BOOT) == "booted\n"  # run starts what is stopped
    spare.sh("echo kept >/root/file; chown 12:34 /root/file; chmod 4751 /root/file; ln -s file /root/link")
    cpus = os.cpu_count() + 1  # more than can be added while it runs
    changed = host.annex("set", "-n", "spare", f"cpus={cpus}", "env=A=B")
    assert (changed.returncode, changed.stdout) == (0, "")
    assert changed.stderr.endswith(f"cpus={cpus}, env=A=B will take effect after 'annex restart spare'\n")
    assert spare.inspect()["settings"]["cpus"] == 1
    assert spare.inspect()["pending"] == {"cpus": cpus, "env": ["A=B"]}
    assert spare.ok("nproc") == "1\n"

    spare.stop()
    assert spare.state == "stopped"
    assert host.ok("stop", "spare") == ""  # which it is already
    assert spare.inspect()["supervisorPid"] is None
    assert machines.check_disk(spare, ["-fn"])[0][0] == 0

    host.ok("set", "-n", "spare", "memory=384M", "disk=2G", "cpus=2")
    host.ok("start", "spare", timeout=BOOT)
    assert spare.sh("cat /root/link; stat -c '%u %g %a' /root/file") == "kept\n12 34 4751\n"
    assert spare.ok("nproc") == "2\n"
    assert 300_000 < int(spare.sh("sed -n 's/MemTotal: *//p' /proc/meminfo").split()[0]) < 384 << 10
    assert spare.ok("sh", "-c", "echo $A") == "B\n"
    assert int(spare.ok("df", "-k", "/").splitlines()[1].split()[1]) > 1900 << 10
    assert spare.inspect()["pending"] == {}

    boot = spare.ok("cat", "/proc/sys/kernel/random/boot_id")
    host.ok("set", "-n", "spare", "--now", "memory=320M", "env=-A", timeout=BOOT)
    assert spare.state == "running"
    assert boot != spare.ok("cat", "/proc/sys/kernel/random/boot_id")
    assert 256_000 < int(spare.sh("sed -n 's/MemTotal: *//p' /proc/meminfo").split()[0]) < 320 << 10

    smaller = host.annex("set", "-n", "spare", "disk=1G")
    assert smaller.returncode == 2 and "only grow" in smaller.stderr


def test_restart_restarts(spare):
    spare.up()
    boot = spare.ok("cat", "/proc/sys/kernel/random/boot_id")
    spare.host.ok("restart", "spare", timeout=BOOT)
    assert boot != spare.ok("cat", "/proc/sys/kernel/random/boot_id")


def test_init_can_reboot_the_machine(spare):
    spare.up()
    init = spare.sh("cut -d ' ' -f 22 /proc/1/stat")
    client = spare.popen("sh", "-c", "trap '' TERM; echo ready; while :; do sleep 1; done")
    assert client.stdout.readline() == b"ready\n"
    spare.sh("reboot")
    _, errors = client.communicate(timeout=BOOT)
    assert client.returncode == 125 and b"the machine was stopped or restarted, and the command with it" in errors
    wait_until(lambda: spare.run("sh", "-c", "cut -d ' ' -f 22 /proc/1/stat").stdout not in ("", init), "init is a new one",
               timeout=BOOT)
    wait_until(lambda: spare.state == "running", "it runs again")


def test_a_session_that_runs_is_told_that_the_machine_stops(spare):
    spare.up()
    client = spare.popen("sh", "-c", "echo ready; exec sleep 1000")
    assert client.stdout.readline() == b"ready\n"
    spare.stop()
    _, errors = client.communicate(timeout=TIMEOUT)
    # Init's signal, or the end of the machine, whichever came first.
    assert client.returncode in (125, 128 + signal.SIGTERM, 128 + signal.SIGHUP, 128 + signal.SIGKILL), errors


def test_init_can_power_the_machine_off(spare):
    spare.up()
    spare.run("poweroff", options=["--root"])
    spare.wait_state("stopped")
    assert spare.inspect()["failure"] is None
    assert machines.check_disk(spare, ["-fn"])[0][0] == 0


def test_two_who_start_a_machine_start_it_once(spare):
    spare.stop()
    clients = [spare.host.start("start", "spare") for _ in range(3)] + [spare.popen("echo", "ran")]
    for client in clients:
        out, errors = client.communicate(timeout=BOOT)
        assert (client.returncode, out) == (0, b"ran\n" if client is clients[-1] else b""), errors
    assert len([words for words in machines.processes(spare.host).values()
                if b"spare" in words and b"annex-supervisor" in words]) == 1


@pytest.mark.parametrize("victim", ["supervisorPid", "vmPid"])
def test_what_is_killed_is_stopped_and_can_be_started(spare, victim):
    spare.up()
    spare.sh("echo synced >/root/synced; sync; echo lost >/root/lost")
    shown = spare.inspect()
    os.kill(shown[victim], signal.SIGKILL)
    wait_until(lambda: not machines.is_alive(shown["vmPid"]) and not machines.is_alive(shown["supervisorPid"]),
               "nothing of it runs")
    assert spare.state in ("stopped", "failed")
    assert spare.inspect()["supervisorPid"] is None
    repaired, checked = machines.check_disk(spare, ["-p"], ["-fn"])
    assert repaired[0] in (0, 1) and checked[0] == 0, (repaired, checked)
    assert spare.ok("cat", "/root/synced", options=["--root"], timeout=BOOT) == "synced\n"
    assert spare.inspect()["failure"] is None


def test_forcing_a_stop_does_not_wait(spare):
    spare.up()
    vm = spare.inspect()["vmPid"]
    spare.host.ok("stop", "--time", "0", "spare")
    assert not machines.is_alive(vm) and spare.state == "stopped"


def test_a_stop_right_behind_a_start_is_heard(spare):
    """PID 1 ignores what it has no handler for yet; the default deadline under emulation would be 15 minutes."""
    for _ in range(3):
        spare.stop()
        spare.up().stop()
    assert spare.state == "stopped"


def test_a_machine_in_the_foreground_stops_on_sigterm(spare):
    spare.stop()
    client = spare.host.start("start", "--foreground", "spare")
    wait_until(lambda: spare.state == "running", "it runs", timeout=BOOT)
    assert spare.inspect()["supervisorPid"] == client.pid
    assert spare.ok("echo", "alive") == "alive\n"
    busy = spare.host.annex("start", "--foreground", "spare")
    assert busy.returncode == 4 and "runs already" in busy.stderr
    client.terminate()
    client.communicate(timeout=BOOT)
    assert client.returncode == 0
    assert spare.state == "stopped"
    assert machines.check_disk(spare, ["-fn"])[0][0] == 0


def test_a_second_machine_of_an_image_shares_its_base(busybox):
    host = busybox.host
    bases = [(path.name, path.stat().st_mtime_ns, path.stat().st_ino) for path in (host.data / "images/bases").iterdir()]
    second = machines.create(host, "busybox", "second", "--no-boot")
    assert bases == [(path.name, path.stat().st_mtime_ns, path.stat().st_ino)
                     for path in (host.data / "images/bases").iterdir()]
    assert (second.folder / "disk.qcow2").stat().st_blocks * 512 < 1 << 20
    taken = host.annex("create", f"oci:{image('busybox')}", "-n", "second", "--no-boot")
    assert taken.returncode == 4 and "second" in taken.stderr
    host.ok("delete", "-f", "second")
    assert host.annex("inspect", "second").returncode == 3


def test_deleting_an_image_keeps_its_machines(noinit):
    host = noinit.host
    name = next(row["names"][0] for row in json.loads(host.ok("image", "list", "--format", "json"))
                if "noinit" in row["names"][0])
    host.ok("image", "delete", name)
    # A shell at a prompt ignores SIGTERM; terminals are hung up.
    shell = noinit.terminal("sh", "-c", "trap '' TERM; trap 'echo hung up >/kept; exit' HUP; echo there; "
                            "while :; do sleep 0.1; done", options=["--root"])
    shell.expect("there")
    noinit.stop()
    shell.close()
    assert noinit.up().ok("cat", "/kept") == "hung up\n"
    assert noinit.ok("cat", "/srv/app/README", options=["-u", "app"]) == "hello\n"


def test_deleting_a_machine_that_runs_leaves_nothing(host):
    gone = machines.create(host, "busybox", "gone", "--memory", "256M")
    vm = gone.inspect()["vmPid"]
    host.ok("delete", "-f", "gone", timeout=BOOT)
    assert not machines.is_alive(vm)
    assert not [path for path in (host.data / "machines").iterdir() if "gone" in path.name]
    assert host.annex("start", "gone").returncode == 3


def test_a_machine_that_could_not_boot_is_not_made(host):
    result = host.annex("create", f"oci:{image('noinit')}", "-n", "initless", "--init", "image")
    assert result.returncode == 1 and "brings no init" in result.stderr and "hint: init=auto" in result.stderr
    assert host.annex("inspect", "initless").returncode == 3


def test_an_image_with_an_init_can_do_without(host):
    built = machines.create(host, "busybox", "built", "--init", "builtin", "--memory", "256M", "--network", "none")
    assert built.sh("cat /proc/1/cmdline").startswith("annex-init")
    assert [line.split(":")[0].strip() for line in built.ok("cat", "/proc/net/dev").splitlines()[2:]] == ["lo"]
    host.ok("delete", "-f", "built", timeout=BOOT)


def test_a_long_boot_says_what_it_does(spare):
    spare.stop()
    result = spare.host.annex("start", "--progress", "plain", "spare", timeout=BOOT)
    assert result.stdout == "" and "boot" in result.stderr


