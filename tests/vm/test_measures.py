"""What a real machine uses, and its clock: QEMU has a second monitor here, by which the test pauses the machine."""

import json
import os
import platform
import shutil
import signal
import socket
import time

import pytest

from machines import BOOT, wait_until

MIB = 1 << 20
QEMU = """\
#!/bin/sh
case " $* " in
*" -S "*) exec {qemu} "$@" -qmp unix:{monitor},server=on,wait=off ;;
esac
exec {qemu} "$@"
"""


class Monitor:
    def __init__(self, path):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(BOOT)
        self.sock.connect(str(path))
        self.lines = self.sock.makefile("rw")
        self.lines.readline()
        self.execute("qmp_capabilities")

    def execute(self, command):
        self.lines.write(json.dumps({"execute": command}) + "\n")
        self.lines.flush()
        while "return" not in json.loads(self.lines.readline()):
            pass


@pytest.fixture(scope="module")
def machine(spare):
    qemu = shutil.which(f"qemu-system-{platform.machine()}")
    path = spare.host.folder / "monitor"
    wrapper = spare.host.file("qemu", QEMU.format(qemu=qemu, monitor=path), 0o755)
    spare.stop("--time", "0")
    spare.host.ok("start", spare.name, env={"ANNEX_QEMU": str(wrapper)}, timeout=BOOT)
    spare.monitor = Monitor(path)
    yield spare
    spare.stop("--time", "0")


def stats(machine):
    return json.loads(machine.host.ok("stats", "--no-stream", "--format", "json", machine.name))[0]


def test_stats_tell_what_the_machine_does(machine):
    before = stats(machine)
    assert 0 < before["memoryUsed"] < before["memoryTotal"] < 256 * MIB
    assert 50 * MIB < before["memoryHost"] < 1024 * MIB and before["cpus"] == 1 and before["tasks"] >= 1
    assert 0 < before["diskUsed"] < before["diskSize"] <= 1 << 30 and before["sessions"] == 0
    machine.sh("dd if=/dev/zero of=/root/zeroes bs=1M count=20 2>&1; sync; wget http://198.19.255.1:1/ 2>&1 || true")
    after = stats(machine)
    assert after["diskWritten"] - before["diskWritten"] >= 20 * MIB
    assert after["diskUsed"] - before["diskUsed"] >= 20 * MIB
    assert after["networkSent"] > before["networkSent"] and after["networkReceived"] > 0
    assert after["cpuTime"] > before["cpuTime"] and after["uptime"] >= before["uptime"]
    with machine.popen("sh", "-c", "echo up; while :; do :; done") as busy:
        busy.stdout.readline()
        now = stats(machine)
        assert now["sessions"] == 1 and now["cpuPercent"] > 10 and now["cpuPercent"] > before["cpuPercent"]
        busy.terminate()


def is_right(machine):
    begin = int(time.time())
    told = int(machine.ok("date", "+%s"))
    return begin - 1 <= told <= int(time.time()) + 1


def test_the_clock_is_right_after_the_machine_stood_still(machine):
    assert is_right(machine)
    machine.monitor.execute("stop")
    time.sleep(5)  # so long, and the machine knows nothing of it
    machine.monitor.execute("cont")
    wait_until(lambda: is_right(machine), "the clock is right after a pause", 30)


def test_the_clock_that_was_set_wrong_is_set_right(machine):
    machine.sh("date -s 2020-01-01")
    os.kill(machine.inspect()["vmPid"], signal.SIGSTOP)
    wait_until(lambda: "T (stopped)" in open(f"/proc/{machine.inspect()['vmPid']}/status").read(), "QEMU stands still")
    os.kill(machine.inspect()["vmPid"], signal.SIGCONT)
    wait_until(lambda: is_right(machine), "the clock is right again", 30)
