"""annex-supervisor with a fake QEMU: the test plays the clients and the guest."""

import ctypes
import json
import os
import pathlib
import re
import select
import signal
import socket
import subprocess
import sys
import threading
import time

import pytest

import annex_test
import protocol

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "fakes"))

from machine import Machine, is_alive, wait_for  # noqa: E402


@pytest.fixture
def machine(user_host):
    made = Machine(user_host)
    yield made
    made.close()
    (made.folder / "machine.json").unlink(missing_ok=True)
    subprocess.run(["rm", "-rf", made.folder], check=True)


def test_a_machine_boots_runs_and_stops_when_asked_to(machine):
    supervisor = machine.supervise()
    client = machine.connect(watch=True)
    guest = machine.guest()
    assert guest.config.hostname == "dev" and guest.config.deadline_factor == 10
    client.expect_state("booting")
    guest.link.send("WAITING", what="the network")
    while client.expect("STATE").waiting != "the network":
        pass
    guest.ready()
    state = client.expect_state("running")
    assert state.pid == supervisor.pid and is_alive(state.vm_pid) and state.accelerator == "tcg"
    assert machine.running["vmPid"] == state.vm_pid and machine.running["pid"] == supervisor.pid
    client.send("STOP", timeout_ms=5000)
    client.expect_state("stopping")
    assert guest.link.expect("SHUTDOWN").timeout_ms == 5000
    guest.power_off()
    client.expect_state("stopped")
    client.expect_end()
    assert supervisor.wait(20) == 0
    assert machine.is_clean() and not (machine.folder / "failure.json").exists()
    assert not is_alive(state.vm_pid)


def test_what_the_guest_says_is_made_readable(machine):
    host = machine.host
    host.env.update(machine.env)
    supervisor = machine.supervise()
    client = machine.connect(watch=True)
    guest = machine.guest()
    guest.link.send("WAITING", what="\x1b[31m\udcff\x9b" + "\xe4" * 200)
    readable = "?[31m??" + "\xe4" * 124  # no half character at its end
    while client.expect("STATE").waiting != readable:
        pass
    assert json.loads(host.ok("list", "--format", "json"))[0]["waiting"] == readable
    assert json.loads(host.ok("inspect", "dev"))[0]["waiting"] == readable
    guest.link.send("FAILURE", kind=protocol.KINDS["GUEST"], message="no \udcff\n", hint="\x07help")
    guest.link.expect("SHUTDOWN")
    guest.power_off()
    assert supervisor.wait(20) == 1
    assert machine.failure["message"] == "no ??" and machine.failure["hint"].startswith("?help")
    assert json.loads(host.ok("list", "--format", "json"))[0]["failure"] == "no ??"


def test_a_guest_that_complains_without_end_fills_no_log(machine):
    supervisor, guest = machine.run()
    client = machine.connect(watch=True)
    client.expect_state("running")
    for number in range(1000):
        guest.link.send("FAILURE", kind=protocol.KINDS["GUEST"], message=f"complaint {number}")
    client.send("OPEN", 1, argv=["true"])
    guest.accept()
    client.expect("OPENED", 1)
    guest.power_off()
    said = supervisor.communicate(timeout=20)[1]
    assert 50 < said.count("complaint") <= 100


def test_a_guest_that_powers_off_stops_its_machine(machine):
    supervisor, guest = machine.run()
    guest.power_off()
    assert supervisor.wait(20) == 0
    assert machine.is_clean()


def test_a_session_is_passed_on_in_both_directions(machine):
    supervisor, guest = machine.run()
    client = machine.connect(watch=True)
    client.expect_state("running")
    client.send("OPEN", 5, argv=["cat", "-"], environment=["A=1"], user="root", folder="/x", rows=3, columns=4)
    opened = guest.accept()
    assert opened.argv == ["cat", "-"] and opened.environment == ["A=1"] and opened.columns == 4
    assert re.fullmatch("[0-9a-f]{12}", client.expect("OPENED", 5).id)
    client.send("INPUT", 5, b"hello")
    assert guest.link.expect("INPUT", opened.stream).data == b"hello"
    client.send("INPUT", 5)
    assert guest.link.expect("INPUT", opened.stream).data == b""
    guest.link.send("CREDIT", opened.stream, channel=protocol.NUMBERS["INPUT"], bytes=5)
    assert client.expect("CREDIT", 5).bytes == 5
    guest.link.send("OUTPUT", opened.stream, b"hello")
    guest.link.send("ERRORS", opened.stream, b"oh")
    assert client.expect("OUTPUT", 5).data == b"hello"
    assert client.expect("ERRORS", 5).data == b"oh"
    client.send("RESIZE", 5, rows=10, columns=20)
    assert guest.link.expect("RESIZE", opened.stream).rows == 10
    client.send("SIGNAL", 5, number=15)
    assert guest.link.expect("SIGNAL", opened.stream).number == 15
    guest.link.send("EXIT", opened.stream, status=7)
    assert client.expect("EXIT", 5).status == 7
    client.send("SIGNAL", 5, number=15)  # late: it is dropped
    client.send("OPEN", 5, argv=["true"])
    assert guest.accept().argv == ["true"]


def test_arguments_longer_than_a_frame_are_passed_on(machine):
    _, guest = machine.run()
    client = machine.connect(watch=True)
    client.expect_state("running")
    argv = ["echo"] + ["x" * 60000] * 20
    client.send("OPEN", 1, argv=argv)
    assert guest.accept().argv == argv


def test_sessions_are_refused_before_the_machine_is_up(machine):
    machine.supervise()
    client = machine.connect()
    client.send("OPEN", 1, argv=["true"])
    failure = client.expect("FAILURE", 1)
    assert failure.kind == protocol.KINDS["BUSY"]


def test_a_client_that_goes_hangs_up_its_sessions(machine):
    _, guest = machine.run()
    client = machine.connect(watch=True)
    client.expect_state("running")
    client.send("OPEN", 1, argv=["top"])
    attached = guest.accept()
    client.send("OPEN", 2, argv=["daemon"], flags=protocol.OPEN_DETACH)
    detached = guest.accept()
    client.close()
    assert guest.link.expect("HANGUP").stream == attached.stream
    guest.link.send("OUTPUT", attached.stream, b"late")
    assert guest.link.expect("CREDIT", attached.stream).bytes == 4
    guest.link.send("EXIT", attached.stream, signal=1)
    guest.link.send("EXIT", detached.stream)
    other = machine.connect(watch=True)
    other.expect_state("running")


@pytest.mark.parametrize("garbage", [
    b"GET / HTTP/1.0\r\n\r\n",
    b"\xff" * 64,
    bytes(64),
    protocol.encode("OUTPUT", 9, b"x"),                  # a stream that nobody opened
    protocol.encode("STATE"),                            # what only the supervisor says
    protocol.encode("HELLO", version=1, who="again"),
    protocol.encode("WAITING", what="x")[:-1] + b"x",    # a text without its NUL
    protocol.encode("HALTED", reason=77),
    b"\x05\0\0\0\xe7\x03\0\0x",                          # a kind that there is not
], ids=["http", "ones", "zeros", "stream", "state", "hello", "text", "reason", "kind"])
def test_a_guest_that_sends_garbage_loses_its_machine(machine, garbage):
    supervisor, guest = machine.run()
    client = machine.connect(watch=True)
    vm_pid = client.expect_state("running").vm_pid
    guest.link.send_raw(garbage)
    state = client.expect_state("failed")
    assert state.failure.startswith("the guest broke the protocol: ") and state.hint == "annex logs dev"
    assert state.failure_kind == protocol.KINDS["GUEST"]
    assert supervisor.wait(20) == 1
    assert state.failure in supervisor.stderr.read()
    assert machine.failure["message"] == state.failure
    assert machine.is_clean() and not is_alive(vm_pid)


def test_a_session_hears_of_the_broken_guest(machine):
    _, guest = machine.run()
    client = machine.connect(watch=True)
    client.expect_state("running")
    client.send("OPEN", 1, argv=["top"])
    guest.accept()
    client.expect("OPENED")
    guest.link.send_raw(b"\xff" * 8)
    assert client.expect("FAILURE", 1).message == "the guest broke the protocol"


def test_a_guest_past_its_window_loses_its_machine(machine):
    _, guest = machine.run()
    client = machine.connect(watch=True)
    client.expect_state("running")
    client.send("OPEN", 1, argv=["yes"])
    stream = guest.accept().stream
    client.expect("OPENED")
    for _ in range(protocol.WINDOW // protocol.DATA_MAX):
        guest.link.send("OUTPUT", stream, bytes(protocol.DATA_MAX))
        client.expect("OUTPUT")
    client.send("CREDIT", 1, channel=protocol.NUMBERS["OUTPUT"], bytes=1)
    guest.link.expect("CREDIT")
    guest.link.send("OUTPUT", stream, b"x")
    client.expect("OUTPUT")
    guest.link.send("OUTPUT", stream, b"x")
    client.expect("FAILURE", 1)
    assert "OUTPUT" in client.expect_state("failed").failure


@pytest.mark.parametrize("garbage", [
    b"GET / HTTP/1.0\r\n\r\n",
    protocol.encode("READY", init="x"),
    protocol.encode("OUTPUT", 1, b"x"),
    protocol.encode("OPEN", 1, argv=["a"]) + protocol.encode("OPEN", 1, argv=["a"]),
    protocol.encode("OPEN", 2, argv=["a"]) + protocol.encode("INPUT", 2, bytes(protocol.DATA_MAX)) * 9,
    protocol.encode("OPEN", 3, argv=["a"]) + protocol.encode("CREDIT", 3, channel=61, bytes=1),
], ids=["http", "ready", "output", "open twice", "window", "credit"])
def test_a_client_that_breaks_the_protocol_loses_only_its_connection(machine, garbage):
    _, guest = machine.run()
    good = machine.connect(watch=True)
    good.expect_state("running")
    bad = machine.connect()
    bad.send_raw(garbage)
    message = bad.read()
    assert message is None or (message.name == "FAILURE" and message.kind == protocol.KINDS["USAGE"])
    bad.expect_end()
    good.send("OPEN", 1, argv=["true"])
    message = guest.link.read()
    while message.name != "OPEN" or message.argv != ["true"]:
        message = guest.link.read()
    guest.link.send("OPENED", message.stream, id="x")
    good.expect("OPENED", 1)


def test_a_client_of_another_version_is_told_what_helps(machine):
    machine.run()
    wait_for(machine.socket.exists)
    sock = socket.socket(socket.AF_UNIX)
    sock.connect(str(machine.socket))
    link = protocol.Link(sock)
    link.send("HELLO", version=99, who="from the future")
    link.expect("HELLO")
    assert link.expect("FAILURE").hint == "annex restart dev"
    link.expect_end()


# A supervisor of another version: it refuses whoever says HELLO, and ends by a signal, or doesn't.
FOREIGN = """
import fcntl, json, os, signal, socket, sys
folder, runtime, path, obeys, frames = sys.argv[1:]
lock = open(folder + "/lock", "w")
fcntl.flock(lock, fcntl.LOCK_EX)
signal.signal(signal.SIGTERM, (lambda *_: os._exit(0)) if obeys == "obeys" else signal.SIG_IGN)
listener = socket.socket(socket.AF_UNIX)
os.makedirs(runtime, exist_ok=True)
listener.bind(path)
listener.listen()
start = open("/proc/self/stat").read().rpartition(")")[2].split()[19]
with open(folder + "/run.json", "w") as file:
    json.dump({"pid": os.getpid(), "pidStart": int(start), "vmPid": 0, "vmStart": 0, "started": "2026-01-01T00:00:00Z",
               "accelerator": "tcg", "settings": {}, "socket": path}, file)
print("ready", flush=True)
while True:
    client = listener.accept()[0]
    client.sendall(bytes.fromhex(frames))
    client.recv(4096)
    client.close()
"""


@pytest.mark.parametrize("does", ["obeys", "is deaf"])
def test_a_machine_under_another_version_can_be_stopped(machine, does):
    frames = protocol.encode("HELLO", version=protocol.VERSION - 1, who="supervisor") + protocol.encode(
        "FAILURE", kind=protocol.KINDS["UNSUPPORTED"], message="of another version", hint="annex restart dev")
    foreign = subprocess.Popen(["/usr/bin/python3", "-c", FOREIGN, machine.folder, machine.runtime, machine.socket,
                                does, frames.hex()], stdout=subprocess.PIPE, text=True, **machine.host.account.switch)
    try:
        assert foreign.stdout.readline() == "ready\n"
        reaper = threading.Thread(target=foreign.wait)  # else it stays in /proc
        reaper.start()
        annex_test.check_failure(machine.host.annex("start", "dev"), 1,
                                 "cannot start machine 'dev': of another version", "annex restart dev")
        listed = machine.host.annex("list", "--format", "json")  # it is told, and hides no other machine
        assert listed.returncode == 1 and json.loads(listed.stdout) == []
        assert listed.stderr.startswith("annex: list: dev: of another version\n")
        machine.host.ok("stop", "--time", "0", "dev")
        reaper.join(20)
        assert foreign.returncode == (0 if does == "obeys" else -signal.SIGKILL)
        assert not (machine.folder / "run.json").exists()
    finally:
        foreign.kill()


def test_a_client_without_hello_is_refused(machine):
    machine.run()
    link = machine.connect(greet=False)
    link.send("STOP")
    assert link.expect("FAILURE").kind == protocol.KINDS["USAGE"]
    link.expect_end()


def test_a_hundred_clients_are_served_at_once(machine):
    _, guest = machine.run()
    clients = [machine.connect(watch=True) for _ in range(100)]
    for client in clients:
        client.expect_state("running")
        client.send("OPEN", 1, argv=["cat"])
    streams = {}
    for _ in clients:
        opened = guest.accept()
        streams[opened.stream] = opened
    assert len(streams) == 100
    for number, client in enumerate(clients):
        client.expect("OPENED")
        client.send("INPUT", 1, b"%d" % number)
    for _ in clients:
        message = guest.link.expect("INPUT")
        guest.link.send("OUTPUT", message.stream, message.data)
        guest.link.send("EXIT", message.stream)
    for number, client in enumerate(clients):
        assert client.expect("OUTPUT").data == b"%d" % number
        client.expect("EXIT")


def test_too_many_clients_are_refused_and_the_others_stay(machine):
    machine.run()
    first = machine.connect(watch=True)
    first.expect_state("running")
    clients = [machine.connect() for _ in range(255)]
    late = machine.connect()
    assert "too many clients" in late.expect("FAILURE").message
    late.expect_end()
    for client in clients:
        client.close()
    wait_for(lambda: can_be_served(machine))
    first.send("STOP", timeout_ms=0)
    first.expect_state("stopped")


def can_be_served(machine):
    link = machine.connect(watch=True)
    try:
        return link.read().name == "STATE"
    finally:
        link.close()


def test_a_client_that_does_not_read_stalls_nobody(machine):
    _, guest = machine.run()
    lazy, busy = machine.connect(watch=True), machine.connect(watch=True)
    for client in (lazy, busy):
        client.expect_state("running")
    lazy.send("OPEN", 1, argv=["yes"])
    stalled = guest.accept().stream
    busy.send("OPEN", 1, argv=["cat"])
    stream = guest.accept().stream
    busy.expect("OPENED")
    for _ in range(protocol.WINDOW // protocol.DATA_MAX):
        guest.link.send("OUTPUT", stalled, bytes(protocol.DATA_MAX))
    for _ in range(50):
        guest.link.send("OUTPUT", stream, b"x" * 1000)
        assert busy.expect("OUTPUT").data == b"x" * 1000


def test_a_client_that_never_reads_is_dropped(machine):
    """Frames of one byte take more room than the window, and credit for nothing takes none of it."""
    _, guest = machine.run()
    lazy = machine.connect(watch=True)
    lazy.expect_state("running")
    lazy.send("OPEN", 1, argv=["yes"])
    stream = guest.accept().stream
    lazy.expect("OPENED")
    for number in range(40):
        guest.link.send("WAITING", what=str(number))
    for _ in range(64):
        guest.link.send_raw(protocol.encode("OUTPUT", stream, b"x") * 4096)
    nothing = protocol.encode("CREDIT", stream, channel=protocol.NUMBERS["INPUT"], bytes=0) * 4096
    dropped = False
    for _ in range(300):
        guest.link.send_raw(nothing)
        if select.select([guest.link.sock], [], [], 0)[0]:
            dropped = guest.link.read().name == "HANGUP"
            break
    assert dropped
    supervisor = pathlib.Path(f"/proc/{machine.running['pid']}/status").read_text()
    assert int(supervisor.split("VmHWM:")[1].split()[0]) < 32 << 10 or "asan" in str(annex_test.BUILD)
    guest.link.send("EXIT", stream)
    machine.connect(watch=True).expect_state("running")


def test_a_guest_that_does_not_read_stalls_only_those_who_write_to_it(machine):
    supervisor, guest = machine.run()
    writers = [machine.connect(watch=True) for _ in range(12)]
    for writer in writers:
        writer.expect_state("running")
        writer.send("OPEN", 1, argv=["cat"])
    for _ in writers:
        guest.accept()
    for writer in writers:
        writer.expect("OPENED")
        writer.sock.setblocking(False)
        try:
            for _ in range(8):
                writer.sock.send(protocol.encode("INPUT", 1, bytes(protocol.DATA_MAX)))
        except BlockingIOError:
            pass
    other = machine.connect(watch=True)
    other.expect_state("running")
    other.send("STOP", timeout_ms=0)
    other.expect_state("stopped")
    assert supervisor.wait(20) == 0


def test_stop_with_force_ends_a_guest_that_does_not_listen(machine):
    machine.behave("")
    supervisor, guest = machine.run()
    client = machine.connect(watch=True)
    vm_pid = client.expect_state("running").vm_pid
    client.send("STOP", timeout_ms=0)
    client.expect_state("stopped")
    assert supervisor.wait(20) == 0 and not is_alive(vm_pid)


def test_a_guest_that_ignores_the_stop_is_ended_in_the_end(machine):
    machine.env["ANNEX_TEST"] = "1"
    supervisor, guest = machine.run()
    client = machine.connect(watch=True)
    client.expect_state("running")
    client.send("STOP", timeout_ms=90000)
    guest.link.expect("SHUTDOWN")
    impatient = machine.connect(watch=True)
    impatient.expect_state("stopping")
    impatient.send("STOP", timeout_ms=0)
    impatient.expect_state("stopped")
    assert supervisor.wait(20) == 0


def test_a_terminating_signal_stops_the_machine_in_order(machine):
    supervisor, guest = machine.run()
    machine.connect(watch=True).expect_state("running")
    supervisor.send_signal(signal.SIGTERM)
    assert guest.link.expect("SHUTDOWN").timeout_ms == 900000
    guest.power_off()
    assert supervisor.wait(20) == 0


def test_an_interrupt_from_the_keyboard_does_not_reach_qemu(machine):
    supervisor = machine.supervise(start_new_session=True)
    guest = machine.guest()
    guest.ready()
    machine.connect(watch=True).expect_state("running")
    os.killpg(supervisor.pid, signal.SIGINT)
    assert guest.link.expect("SHUTDOWN").timeout_ms == 900000
    guest.power_off()
    assert supervisor.wait(20) == 0


def test_a_second_signal_forces(machine):
    supervisor, guest = machine.run()
    machine.connect(watch=True).expect_state("running")
    supervisor.send_signal(signal.SIGINT)
    guest.link.expect("SHUTDOWN")
    supervisor.send_signal(signal.SIGINT)
    assert supervisor.wait(20) == 0


def test_a_panic_shows_the_end_of_the_console(machine):
    supervisor, guest = machine.run()
    client = machine.connect(watch=True)
    client.expect_state("running")
    guest.console.sendall(b"one\r\ntwo \x1b[31mred\r\nKernel panic - not syncing: Attempted to kill init!\r\n"
                          b"---[ end Kernel panic ]---\r\n")
    guest.happen("panic")
    state = client.expect_state("failed")
    assert state.failure == "the machine's kernel panicked: Attempted to kill init!"
    assert state.hint == "annex logs dev; the console ended with: fake: booting | one | two red | " \
        "Kernel panic - not syncing: Attempted to kill init!"
    assert supervisor.wait(20) == 1
    assert b"two \x1b[31mred" in (machine.folder / "console.log.1").read_bytes()
    assert machine.failure["message"] == state.failure


@pytest.mark.parametrize("word, says", [("reset", "reset"), ("die", "SIGKILL|signal 9|ended")])
def test_a_virtual_machine_that_ends_by_itself_has_failed(machine, word, says):
    supervisor, guest = machine.run()
    client = machine.connect(watch=True)
    client.expect_state("running")
    guest.happen(word)
    state = client.expect_state("failed")
    assert any(part in state.failure for part in says.split("|")), state.failure
    assert supervisor.wait(20) == 1


def test_a_qemu_that_does_not_start_says_why(machine):
    machine.behave("fail=the moon is full")
    supervisor = machine.supervise()
    _, errors = supervisor.communicate(timeout=20)
    assert supervisor.returncode == 1
    assert "the moon is full" in errors
    assert "the moon is full" in machine.failure["message"]
    assert machine.is_clean()


def test_a_missing_kernel_is_the_failure_of_the_start(machine):
    (machine.host.folder / "home/kernel").unlink()
    supervisor = machine.supervise()
    _, errors = supervisor.communicate(timeout=20)
    assert supervisor.returncode == 1 and "kernel" in errors
    assert machine.failure["kind"] == protocol.KINDS["NOT_FOUND"]
    assert machine.is_clean()




def test_a_machine_that_never_comes_up_is_ended(machine):
    machine.env["ANNEX_BOOT_TIMEOUT"] = "1"
    supervisor = machine.supervise()
    client = machine.connect(watch=True)
    guest = machine.guest()
    guest.link.send("WAITING", what="a job of systemd")
    guest.link.expect("SHUTDOWN")
    guest.power_off()
    state = client.expect_state("failed")
    assert state.failure == "the machine did not come up in 1 seconds; it was waiting for a job of systemd"
    assert state.failure_kind == protocol.KINDS["TIMEOUT"] and state.hint == "annex logs --boot dev"
    assert supervisor.wait(20) == 1


def test_a_machine_that_reboots_again_and_again_is_ended(machine):
    machine.env["ANNEX_BOOT_TIMEOUT"] = "1"
    supervisor = machine.supervise()
    client = machine.connect(watch=True)
    guest = machine.guest()
    over = threading.Event()

    def reboot():
        while not over.wait(0.1):
            guest.link.send("HALTED", reason=2, text="rebooting")

    rebooting = threading.Thread(target=reboot)
    rebooting.start()
    try:
        guest.link.expect("SHUTDOWN")
    finally:
        over.set()
        rebooting.join()
    guest.power_off()
    assert client.expect_state("failed").failure.startswith("the machine did not come up in 1 seconds")
    assert supervisor.wait(20) == 1


def test_a_kernel_that_hangs_is_ended(machine):
    machine.env["ANNEX_BOOT_TIMEOUT"] = "1"
    supervisor = machine.supervise()
    machine.guest(greet=False)
    assert supervisor.wait(20) == 1
    assert machine.failure["message"] == "the machine did not come up in 1 seconds; it was waiting for its kernel"


def test_a_full_disk_of_the_host_is_waited_for(machine):
    machine.run()
    client = machine.connect(watch=True)
    client.expect_state("running")
    machine.guests[0].happen("full")
    assert client.expect("STATE").waiting == "space on the host for its disk"
    state = client.expect("STATE")
    assert state.waiting == "" and protocol.STATES[state.state] == "running"
    assert machine.guests[0].link.expect("CLOCK").realtime_ns > 0

def interrupt(pid):
    os.kill(pid, signal.SIGSTOP)
    wait_for(lambda: pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] == "T")
    os.kill(pid, signal.SIGCONT)


def test_the_guests_clock_is_set_when_what_had_stopped_goes_on(machine):
    """QEMU by QMP is test_a_full_disk_of_the_host_is_waited_for; here its process, and then the supervisor's."""
    supervisor, guest = machine.run()
    vm_pid = machine.connect(watch=True).expect_state("running").vm_pid
    for pid in (vm_pid, supervisor.pid):
        interrupt(pid)
        clock = guest.link.expect("CLOCK")
        assert abs(clock.realtime_ns - time.time_ns()) < 20e9 and clock.slew_ns == 0


def test_the_guests_clock_is_checked_and_corrected(machine):
    _, guest = machine.run()
    for behind_ns in (-300_000_000, 3_000_000_000):
        while guest.link.read().name != "MEASURE":
            pass
        guest.link.send("MEASURED", realtime_ns=time.time_ns() - behind_ns)
        clock = guest.link.expect("CLOCK")
        if abs(behind_ns) < 500_000_000:
            assert clock.realtime_ns == 0
            slew_ns = clock.slew_ns - (1 << 64 if clock.slew_ns >> 63 else 0)
            assert abs(slew_ns - behind_ns) < 100_000_000
        else:
            assert clock.slew_ns == 0 and abs(clock.realtime_ns - time.time_ns()) < 20e9
        interrupt(machine.running["vmPid"])  # so that the next check comes soon
        guest.link.expect("CLOCK")


def test_a_clock_that_the_guest_keeps_itself_is_left_to_it(machine):
    _, guest = machine.run()
    while guest.link.read().name != "MEASURE":
        pass
    guest.link.send("MEASURED", realtime_ns=time.time_ns() - 3_000_000_000, disciplined=1)
    interrupt(machine.running["vmPid"])
    assert guest.link.expect("CLOCK").slew_ns == 0  # of this, not of the measurement
    assert guest.link.read().name == "MEASURE"


def test_a_supervisor_that_was_frozen_sets_the_guests_clock(machine):
    """By something that sends no signal, such as a control group's freezer; here a debugger."""
    supervisor, guest = machine.run()
    machine.connect(watch=True).expect_state("running")
    ptrace = ctypes.CDLL(None, use_errno=True).ptrace
    ptrace.argtypes = [ctypes.c_long, ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p]
    seize, stop, detach, wall = 0x4206, 0x4207, 17, 0x40000000
    for _ in range(5):
        interrupt(machine.running["vmPid"])  # so that a check is to come in a second
        guest.link.expect("CLOCK")
        assert ptrace(seize, supervisor.pid, None, None) == 0, ctypes.get_errno()
        assert ptrace(stop, supervisor.pid, None, None) == 0
        os.waitpid(supervisor.pid, wall)
        time.sleep(1 + 1.5)  # until it is due, and what counts as late
        assert ptrace(detach, supervisor.pid, None, None) == 0
        if guest.link.read().name == "CLOCK":
            return
        guest.link.send("MEASURED", realtime_ns=time.time_ns())  # the check came before the freeze: too slow, again
    pytest.fail("the clock was not set")


def test_init_that_reboots_boots_the_machine_again(machine):
    _, guest = machine.run()
    client = machine.connect(watch=True)
    client.expect_state("running")
    guest.link.send("HALTED", reason=2, text="reboot")
    client.expect_state("booting")
    guest.ready()
    client.expect_state("running")


def test_init_that_crashes_fails_the_machine(machine):
    supervisor, guest = machine.run()
    client = machine.connect(watch=True)
    client.expect_state("running")
    guest.link.send("HALTED", reason=3, text="init was killed by signal 11")
    guest.happen("off")
    assert client.expect_state("failed").failure == "the machine's init ended: init was killed by signal 11"
    assert supervisor.wait(20) == 1


def test_of_two_supervisors_one_runs(machine):
    first = machine.supervise()
    guest = machine.guest()
    second = machine.supervise()
    _, errors = second.communicate(timeout=20)
    assert second.returncode == 1 and "runs already" in errors
    guest.ready()
    machine.connect(watch=True).expect_state("running")
    assert first.poll() is None


def test_many_supervisors_started_at_once_run_one_machine(machine):
    started = [machine.supervise() for _ in range(8)]
    guest = machine.guest()
    guest.ready()
    machine.connect(watch=True).expect_state("running")
    wait_for(lambda: sum(process.poll() is None for process in started) == 1)
    machine.doorbell.settimeout(0.2)
    with pytest.raises(TimeoutError):
        machine.doorbell.accept()


def test_qemu_dies_with_a_killed_supervisor(machine):
    supervisor, _ = machine.run()
    vm_pid = machine.running["vmPid"]
    supervisor.kill()
    supervisor.wait(20)
    wait_for(lambda: not is_alive(vm_pid))
    assert (machine.folder / "run.json").exists()
    again, guest = machine.run()
    machine.connect(watch=True).expect_state("running")
    assert machine.running["pid"] == again.pid


def test_a_record_of_another_boot_of_the_host_kills_nobody(machine):
    innocent = subprocess.Popen(["sleep", "100"])
    try:
        (machine.folder / "run.json").write_text(
            '{"pid": %d, "pidStart": 1, "vmPid": %d, "vmStart": 1, "started": "2026-01-01T00:00:00Z"}' %
            (innocent.pid, innocent.pid))
        machine.run()
        machine.connect(watch=True).expect_state("running")
        assert innocent.poll() is None
    finally:
        innocent.kill()
        innocent.wait()


def test_an_orphaned_qemu_is_ended_before_the_machine_starts(machine):
    orphan = subprocess.Popen(["sleep", "100"], **machine.host.account.switch)
    start = pathlib.Path(f"/proc/{orphan.pid}/stat").read_text().rsplit(")", 1)[1].split()[19]
    (machine.folder / "run.json").write_text(
        '{"pid": 1, "pidStart": 1, "vmPid": %d, "vmStart": %s, "started": "2026-01-01T00:00:00Z"}' %
        (orphan.pid, start))
    machine.run()
    assert orphan.wait(20) == -signal.SIGKILL


def test_the_service_manager_is_told(machine):
    path = machine.host.folder / "notify.sock"
    manager = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    manager.bind(str(path))
    manager.settimeout(20)
    os.chmod(path, 0o777)
    supervisor = machine.supervise(env={"NOTIFY_SOCKET": str(path)})
    guest = machine.guest()
    guest.ready()
    assert manager.recv(100) == b"READY=1"
    supervisor.send_signal(signal.SIGTERM)
    state, extended = manager.recv(100).split(b"\n")
    assert state == b"STOPPING=1" and re.fullmatch(rb"EXTEND_TIMEOUT_USEC=9\d{8}", extended)


def test_the_boot_log_is_that_of_the_last_boot(machine):
    (machine.folder / "boot.log").write_text("of an earlier boot\n")
    os.chown(machine.folder / "boot.log", machine.host.account.uid, machine.host.account.gid)
    _, guest = machine.run()
    guest.link.send("LOG", data=b"Linux version 6.1\n")
    wait_for(lambda: (machine.folder / "boot.log").read_text() == "Linux version 6.1\n")


def test_others_may_not_connect(machine):
    if os.geteuid() != 0:
        pytest.skip("needs root to be somebody else")
    machine.run()
    machine.connect(watch=True).expect_state("running")
    assert machine.socket.stat().st_mode & 0o777 == 0o600
    assert machine.runtime.stat().st_mode & 0o777 == 0o700
