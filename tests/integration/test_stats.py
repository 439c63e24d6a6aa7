"""annex stats, with a fake QEMU: the test plays the guest, and the supervisor's watchers."""

import json
import os
import re
import signal
import subprocess
import threading
import time

import pytest

import annex_test
import protocol
from test_supervisor import machine  # noqa: F401

HEADER = "NAME CPU MEMORY HOST DISK READ WRITTEN RECEIVED SENT TASKS SESSIONS UPTIME"
MIB = 1 << 20
MEASURED = {"memory_total": 400 * MIB, "memory_available": 300 * MIB, "disk_size": 1000 * MIB, "disk_used": 250 * MIB,
            "received": 5000, "sent": 600, "tasks": 17, "load": 125}


class Answering:
    """A guest that answers MEASURE until it is closed, and passes on what else it is told."""

    def __init__(self, guest, **measured):
        self.guest, self.measured, self.answers, self.told = guest, {**MEASURED, **measured}, 0, []
        self.silent = threading.Event()
        self.thread = threading.Thread(target=self.serve, daemon=True)
        self.thread.start()

    def serve(self):
        try:
            while message := self.guest.link.read():
                if message.name != "MEASURE":
                    self.told.append(message)
                elif not self.silent.is_set():
                    self.guest.link.send("MEASURED", realtime_ns=time.time_ns(), **self.measured)
                    self.answers += 1
        except (OSError, ValueError):
            pass


def ask(client):
    client.send("STATS")
    return client.expect("USAGE")


def test_a_client_is_told_what_the_machine_uses(machine):  # noqa: F811
    supervisor, guest = machine.run()
    Answering(guest)
    client = machine.connect(watch=True)
    vm_pid = client.expect_state("running").vm_pid
    first = ask(client)
    assert first.known == 3 and protocol.STATES[first.state] == "running"
    assert (first.cpus, first.memory, first.sessions) == (1, 512 * MIB, 0)
    assert (first.disk_read, first.disk_written) == (1001, 22)
    assert {name: first.fields[name] for name in MEASURED} == MEASURED
    resident = int(re.search(r"VmRSS:\s+(\d+)", open(f"/proc/{vm_pid}/status").read())[1]) << 10
    assert resident // 2 < first.resident < resident + 64 * MIB
    assert 0 < first.cpu_ns < 60e9 and abs(first.started - time.time()) < 60
    client.send("OPEN", 1, argv=["cat"])
    second = ask(client)
    assert second.sessions == 1 and second.at_ns > first.at_ns and second.cpu_ns >= first.cpu_ns


def test_what_a_guest_says_that_cannot_be_is_cut(machine):  # noqa: F811
    _, guest = machine.run()
    Answering(guest, memory_total=2**64 - 1, memory_available=2**64 - 1, disk_size=10, disk_used=11, received=2**64 - 1)
    client = machine.connect(watch=True)
    client.expect_state("running")
    usage = ask(client)
    assert usage.memory_total == usage.memory_available == usage.received == 2**63 - 1
    assert usage.disk_used == 10


def test_a_guest_that_does_not_answer_is_waited_for_once(machine):  # noqa: F811
    _, guest = machine.run()
    client = machine.connect(watch=True)
    client.expect_state("running")
    first = ask(client)
    assert first.known == 1 and first.memory_total == 0
    begin = time.monotonic()
    assert [ask(client).known for _ in range(20)] == [1] * 20
    assert time.monotonic() - begin < 10  # and not 40
    while guest.link.read().name != "MEASURE":
        pass
    guest.link.send("MEASURED", realtime_ns=time.time_ns(), **MEASURED)
    Answering(guest)
    assert ask(client).known == 3


def test_a_qemu_that_does_not_answer_is_waited_for_once(machine):  # noqa: F811
    machine.behave("slow-disks")
    _, guest = machine.run()
    Answering(guest)
    client = machine.connect(watch=True)
    client.expect_state("running")
    assert [ask(client).known for _ in range(5)] == [2] * 5


def test_watchers_share_one_question_to_the_guest(machine):  # noqa: F811
    _, guest = machine.run()
    clients = [machine.connect(watch=True) for _ in range(30)]
    for client in clients:
        client.expect_state("running")
        client.send("STATS")
    while guest.link.read().name != "MEASURE":
        pass
    guest.link.send("MEASURED", realtime_ns=time.time_ns(), **MEASURED)
    assert all(client.expect("USAGE").tasks == 17 for client in clients)


def test_a_second_question_before_the_answer_breaks_the_protocol(machine):  # noqa: F811
    machine.run()
    client = machine.connect(watch=True)
    client.expect_state("running")
    client.send_raw(protocol.encode("STATS") * 2)
    assert client.expect("FAILURE").kind == protocol.KINDS["USAGE"]
    client.expect_end()


def test_a_measurement_that_nobody_asked_for_breaks_the_protocol(machine):  # noqa: F811
    _, guest = machine.run()
    client = machine.connect(watch=True)
    client.expect_state("running")
    guest.link.send_raw(protocol.encode("MEASURED") * 2)
    assert client.expect_state("failed").failure == "the guest broke the protocol: MEASURED that nobody asked for"


def stats(machine, *words, **options):  # noqa: F811
    return machine.host.ok("stats", *words, env=machine.env, **options)


def test_one_sample_is_a_table_or_an_array(machine):  # noqa: F811
    _, guest = machine.run()
    Answering(guest)
    machine.connect(watch=True).expect_state("running")
    header, row = stats(machine, "--no-stream").splitlines()
    assert header.split() == HEADER.split()
    found = re.fullmatch(r"dev +\d+\.\d% 100 MiB / 400 MiB +\S+ MiB 250 MiB / 1000 MiB 1001 B +22 B +4\.9 KiB 600 B +17 +0 +"
                         r"\d+ (s|min)", row)
    assert found, row
    [machine_stats] = json.loads(stats(machine, "--no-stream", "--format", "json", "dev"))
    assert list(machine_stats) == [
        "name", "state", "problem", "time", "started", "uptime", "cpus", "cpuPercent", "cpuTime", "load", "memory",
        "memoryTotal", "memoryUsed", "memoryHost", "diskSize", "diskUsed", "diskHost", "diskRead", "diskWritten",
        "networkReceived", "networkSent", "tasks", "sessions"]
    assert machine_stats["memoryUsed"] == 100 * MIB and machine_stats["load"] == 1.25
    assert 0 <= machine_stats["cpuPercent"] < 6400 and machine_stats["networkSent"] == 600
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", machine_stats["time"])


def test_machines_that_do_not_run_are_shown_when_they_are_meant(machine):  # noqa: F811
    assert stats(machine, "--no-stream").split() == HEADER.split()
    assert stats(machine, "--no-stream", "--format", "json") == "[]\n"
    for words in (["--all"], ["dev"], ["-n", "dev"]):
        assert stats(machine, "--no-stream", *words).splitlines()[1].split() == ["dev", *["-"] * 11]
    [row] = json.loads(stats(machine, "--no-stream", "--all", "--format", "json"))
    assert row["state"] == "stopped" and row["diskHost"] > 0
    assert {row[key] for key in row if key not in ("name", "state", "time", "diskHost")} == {None}


@pytest.mark.parametrize("words, status, message", [
    (["nobody"], 3, "stats: there is no machine 'nobody'"),
    (["--all", "dev"], 2, "stats: --all and a name contradict each other"),
    (["-n", "dev", "dev"], 2, "stats: --name and a word contradict each other"),
    (["--format", "xml"], 2, None),
])
def test_mistakes_are_one_line(machine, words, status, message):  # noqa: F811
    result = machine.host.annex("stats", *words, env=machine.env)
    assert result.returncode == status and result.stdout == ""
    assert message is None or result.stderr.startswith(f"annex: {message}\n"), result.stderr


def test_a_pipe_gets_a_block_each_second_and_machines_come_and_go(machine):  # noqa: F811
    watcher = machine.host.start("stats", env=machine.env, text=True, bufsize=1)
    json_watcher = machine.host.start("stats", "--format", "json", env=machine.env, text=True, bufsize=1)
    assert watcher.stdout.readline().split() == HEADER.split() == watcher.stdout.readline().split()
    assert json.loads(json_watcher.stdout.readline()) == []
    supervisor, guest = machine.run()
    Answering(guest)
    while not (row := watcher.stdout.readline()).startswith("dev"):
        assert row.split() == HEADER.split()
    while not (rows := json.loads(json_watcher.stdout.readline())) or rows[0]["cpuPercent"] is None:
        pass
    guest.power_off()
    assert supervisor.wait(20) == 0
    while json.loads(json_watcher.stdout.readline()):
        pass
    lines = [watcher.stdout.readline().split()[0]]
    while lines[-2:] != ["NAME", "NAME"]:
        lines.append(watcher.stdout.readline().split()[0])
    for process in (watcher, json_watcher):
        process.send_signal(signal.SIGINT)
        assert process.wait(20) == 0 and process.stderr.read() == ""


def test_a_terminal_shows_one_table_in_place(machine):  # noqa: F811
    _, guest = machine.run()
    Answering(guest)
    machine.connect(watch=True).expect_state("running")
    child = machine.host.terminal(annex_test.ANNEX, "stats", env=machine.env, size=(24, 200))
    child.expect(r"NAME[^\n]*UPTIME\x1b\[K\r\n")
    child.expect(r"dev +- +100 MiB / 400 MiB[^\n]*\x1b\[J\r")
    child.expect(r"\r\x1b\[1ANAME[^\n]*UPTIME\x1b\[K\r\ndev +\d+\.\d%[^\n]*\x1b\[J\r")
    child.setwinsize(24, 40)
    # 40 columns: the two lines that were drawn before take several rows each, and the new ones are cut.
    child.expect(r"\r\x1b\[\d+ANAME[^\n]{1,35}\x1b\[K\r\ndev +\d+\.\d%[^\n]{1,35}\x1b\[J\r\r\x1b\[1ANAME")
    child.sendintr()
    child.expect(r"\rdev [^\n]*\x1b\[K\r\n")
    child.expect(annex_test.pexpect.EOF)
    child.close()
    assert child.exitstatus == 0


def test_a_supervisor_that_hangs_does_not_hold_the_others_up(machine):  # noqa: F811
    supervisor, guest = machine.run()
    Answering(guest)
    machine.connect(watch=True).expect_state("running")
    watcher = machine.host.start("stats", "--format", "json", env=machine.env, text=True, bufsize=1)
    while not json.loads(watcher.stdout.readline())[0]["memory"]:
        pass
    supervisor.send_signal(signal.SIGSTOP)
    try:
        while json.loads(watcher.stdout.readline())[0]["memory"]:
            pass
        begin = time.monotonic()
        for _ in range(2):
            assert json.loads(watcher.stdout.readline())[0]["state"] == "running"
        assert time.monotonic() - begin < 10
    finally:
        supervisor.send_signal(signal.SIGCONT)
    while not json.loads(watcher.stdout.readline())[0]["memory"]:
        pass
    watcher.send_signal(signal.SIGTERM)
    assert watcher.wait(20) == -signal.SIGTERM


def test_df_shows_what_a_machine_takes(machine):  # noqa: F811
    def df(*words):
        return json.loads(machine.host.ok("df", *words, "--format", "json", env=machine.env))

    [stopped] = df("dev")
    assert stopped == {"name": "dev", "state": "stopped", "disk": 1 << 30, "used": None, "size": stopped["size"],
                       "reclaimable": stopped["size"]}
    supervisor, guest = machine.run()
    Answering(guest)
    machine.connect(watch=True).expect_state("running")
    [running] = df("-n", "dev")
    assert (running["state"], running["used"], running["reclaimable"]) == ("running", 250 * MIB, 0)
    assert df("-v")["machines"][0]["used"] == 250 * MIB
    header, row = machine.host.ok("df", "dev", env=machine.env).splitlines()
    assert header.split() == ["MACHINE", "STATE", "DISK", "USED", "SIZE", "RECLAIMABLE"]
    assert re.fullmatch(r"dev +running +1 GiB +250 MiB +[\d.]+ [KM]iB +0 B", row), row
    for words, status, message in ((["nobody"], 3, "df: there is no machine 'nobody'"),
                                   (["-v", "dev"], 2, "df: --verbose and a name contradict each other"),
                                   (["-n", "dev", "dev"], 2, "df: --name and a word contradict each other")):
        result = machine.host.annex("df", *words, env=machine.env)
        assert result.returncode == status and result.stderr.startswith(f"annex: {message}\n"), result.stderr
