"""The library's end of the links, by the command line, with a fake QEMU: the test plays the guest."""

import hashlib
import os
import pathlib
import pty
import re
import signal
import subprocess
import sys
import time

import pytest

import annex_test
import protocol

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "fakes"))

from machine import Machine, is_alive, wait_for  # noqa: E402

INPUT, OUTPUT = protocol.NUMBERS["INPUT"], protocol.NUMBERS["OUTPUT"]


@pytest.fixture
def machine(host):
    made = Machine(host)
    yield made
    subprocess.run([annex_test.ANNEX, "stop", "--time", "0", "dev"], env=host.environment(made.env),
                   **host.account.switch, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd="/")
    made.close()
    subprocess.run(["rm", "-rf", made.folder], check=True)


@pytest.fixture
def running(machine):
    supervisor, guest = machine.run()
    machine.connect(watch=True).expect_state("running")
    return machine, guest


def annex(machine, *words, **options):
    """Start annex on the machine's host."""
    return machine.host.start(*words, env=machine.env, **options)


def finish(process, timeout=30):
    out, errors = process.communicate(timeout=timeout)
    return process.returncode, out, errors


def supervisors_end(machine):
    wait_for(machine.is_clean)


def test_start_boots_the_machine_and_returns_when_it_is_up(machine):
    starting = annex(machine, "start", "dev")
    guest = machine.guest()
    time.sleep(1.2)  # a line a second is told about one step
    guest.link.send("WAITING", what="the network")
    time.sleep(0.2)
    assert starting.poll() is None
    guest.ready()
    status, _, errors = finish(starting)
    assert status == 0, errors
    assert b"the network" in errors
    supervisor = machine.running["pid"]
    assert os.readlink(f"/proc/{supervisor}/fd/0") == "/dev/null"
    assert os.readlink(f"/proc/{supervisor}/cwd") == "/"
    assert os.getsid(supervisor) == supervisor
    assert finish(annex(machine, "start", "dev"))[0] == 0
    stopping = annex(machine, "stop", "dev")
    guest.link.expect("SHUTDOWN")
    guest.power_off()
    assert finish(stopping)[0] == 0
    assert machine.is_clean()
    wait_for(lambda: not is_alive(supervisor))
    assert finish(annex(machine, "stop", "dev"))[0] == 0


def test_starts_at_once_boot_one_machine_and_all_succeed(machine):
    starting = [annex(machine, "start", "dev") for _ in range(6)]
    machine.guest().ready()
    for process in starting:
        status, _, errors = finish(process)
        assert status == 0, errors
    machine.doorbell.settimeout(0.2)
    with pytest.raises(TimeoutError):
        machine.doorbell.accept()


def test_why_a_start_failed_reaches_the_user(machine):
    machine.behave("fail=the moon is full")
    status, _, errors = finish(annex(machine, "start", "dev"))
    assert status == 1
    assert errors.decode().splitlines()[-1].startswith("annex: ") or b"the moon is full" in errors
    assert b"the moon is full" in errors
    (machine.host.folder / "home/kernel").unlink()
    status, _, errors = finish(annex(machine, "start", "dev"))
    assert status == 3 and b"kernel" in errors
    supervisors_end(machine)


def test_a_machine_that_breaks_while_it_boots_fails_the_start(machine):
    starting = annex(machine, "start", "dev")
    machine.guest().link.send_raw(b"\xff" * 10)
    status, _, errors = finish(starting)
    assert status == 1
    assert b"the guest broke the protocol: what is no message" in errors and b"hint: annex logs dev" in errors


def test_start_and_stop_recover_from_a_killed_supervisor(machine):
    starting = annex(machine, "start", "dev")
    machine.guest().ready()
    assert finish(starting)[0] == 0
    pids = machine.running
    os.kill(pids["pid"], signal.SIGKILL)
    assert finish(annex(machine, "stop", "dev"))[0] == 0
    assert machine.is_clean() and not is_alive(pids["vmPid"])
    starting = annex(machine, "start", "dev")
    machine.guest().ready()
    assert finish(starting)[0] == 0
    os.kill(machine.running["pid"], signal.SIGKILL)
    starting = annex(machine, "start", "dev")
    machine.guest().ready()
    assert finish(starting)[0] == 0


def test_a_start_during_a_stop_starts_the_machine_again(machine):
    starting = annex(machine, "start", "dev")
    guest = machine.guest()
    guest.ready()
    assert finish(starting)[0] == 0
    stopping = annex(machine, "stop", "dev")
    guest.link.expect("SHUTDOWN")
    again = annex(machine, "start", "dev")
    time.sleep(0.3)
    guest.power_off()
    machine.guest().ready()
    assert finish(stopping)[0] == 0
    assert finish(again)[0] == 0


def run(machine, *words, **options):
    return annex(machine, "run", "-n", "dev", *words, **options)


def accept(guest):
    opened = guest.accept()
    return opened, opened.stream


def test_run_gives_the_programs_output_and_status(running):
    machine, guest = running
    process = run(machine, "-e", "A=1", "-w", "/tmp", "--", "prog", "a b", "")
    opened, stream = accept(guest)
    assert opened.argv == ["prog", "a b", ""] and "A=1" in opened.environment and opened.folder == "/tmp"
    guest.link.send("OUTPUT", stream, b"out")
    guest.link.send("ERRORS", stream, b"err")
    guest.link.send("OUTPUT", stream)
    guest.link.send("EXIT", stream, status=42)
    assert finish(process) == (42, b"out", b"err")


def test_a_signal_that_ended_the_program_is_its_status(running):
    machine, guest = running
    process = run(machine, "--", "prog")
    _, stream = accept(guest)
    guest.link.send("EXIT", stream, signal=9)
    assert finish(process)[0] == 137


@pytest.mark.parametrize("kind, number, status", [("NOT_FOUND", 2, 127), ("SYSTEM", 13, 126)])
def test_a_program_that_cannot_be_run_has_the_shells_status(running, kind, number, status):
    machine, guest = running
    process = run(machine, "--", "prog")
    opened = guest.link.expect("OPEN")
    guest.link.send("FAILURE", opened.stream, kind=protocol.KINDS[kind], os=number, message="prog: no")
    got, _, errors = finish(process)
    assert got == status and b"prog: no" in errors


def test_a_lost_machine_ends_the_session_with_an_error(running):
    machine, guest = running
    process = run(machine, "--", "prog")
    accept(guest)
    guest.happen("die")
    assert finish(process)[0] == 125


def test_a_killed_client_hangs_up(running):
    machine, guest = running
    process = run(machine, "--", "prog")
    _, stream = accept(guest)
    process.kill()
    process.communicate()
    while guest.link.read().name != "HANGUP":
        pass


def test_input_ends_with_its_source(running):
    machine, guest = running
    process = run(machine, "--", "cat", stdin=subprocess.PIPE)
    _, stream = accept(guest)
    process.stdin.write(b"hello")
    process.stdin.close()
    got = b""
    while data := guest.link.expect("INPUT").data:
        got += data
    assert got == b"hello"
    guest.link.send("EXIT", stream)
    assert process.wait(20) == 0


def echo(guest, stream, total):
    """A cat in the guest, which keeps to its windows."""
    window, sent, pending = protocol.WINDOW, 0, bytearray()
    while sent < total:
        message = guest.link.read()
        if message.name == "INPUT":
            pending += message.data
            if message.data:
                guest.link.send("CREDIT", stream, channel=INPUT, bytes=len(message.data))
        elif message.name == "CREDIT":
            window += message.bytes
        while pending and window:
            piece = bytes(pending[:min(window, protocol.DATA_MAX)])
            guest.link.send("OUTPUT", stream, piece)
            window -= len(piece)
            sent += len(piece)
            del pending[:len(piece)]
    guest.link.send("OUTPUT", stream)
    guest.link.send("EXIT", stream)


@pytest.mark.parametrize("how", ["file", "pipe"])
def test_much_data_is_byte_exact_in_both_directions(running, how, tmp_path):
    machine, guest = running
    data = os.urandom(1 << 20) * 64
    source = machine.host.file("source", data)
    with open(source, "rb") as file, open(tmp_path / "sink", "wb") as sink:
        if how == "pipe":
            feeder = subprocess.Popen(["cat"], stdin=file, stdout=subprocess.PIPE)
            process = run(machine, "--", "cat", stdin=feeder.stdout, stdout=subprocess.PIPE)
            reader = subprocess.Popen(["cat"], stdin=process.stdout, stdout=sink)
            feeder.stdout.close()
            process.stdout.close()
        else:
            process = run(machine, "--", "cat", stdin=file, stdout=sink)
        _, stream = accept(guest)
        echo(guest, stream, len(data))
        assert process.wait(60) == 0
        if how == "pipe":
            assert reader.wait(20) == 0 and feeder.wait(20) == 0
        process.stderr.close()
    assert hashlib.sha256((tmp_path / "sink").read_bytes()).digest() == hashlib.sha256(data).digest()


def resident(pid):
    return int(re.search(r"VmRSS:\s*(\d+)", pathlib.Path(f"/proc/{pid}/status").read_text())[1])


def test_an_output_that_blocks_loses_nothing_and_holds_memory_bounded(running):
    machine, guest = running
    process = run(machine, "--", "yes")
    _, stream = accept(guest)
    sent = 0
    while sent < protocol.WINDOW:
        guest.link.send("OUTPUT", stream, bytes([sent >> 15]) * protocol.DATA_MAX)
        sent += protocol.DATA_MAX
    time.sleep(0.5)
    # what the pipe took is given back, and no more
    returned = 0
    guest.link.sock.settimeout(0.3)
    try:
        while True:
            message = guest.link.read()
            if message.name == "CREDIT":
                returned += message.bytes
    except TimeoutError:
        pass
    guest.link.sock.settimeout(20)
    assert returned <= 128 << 10
    assert resident(process.pid) < 16 << 10 or "asan" in str(annex_test.BUILD)
    other = run(machine, "--", "echo")
    _, second = accept(guest)
    guest.link.send("EXIT", second)
    assert finish(other)[0] == 0
    guest.link.send("EXIT", stream)
    status, out, _ = finish(process)
    assert status == 0 and out == b"".join(bytes([n]) * protocol.DATA_MAX for n in range(8))


def test_the_descriptors_stay_as_they_were(running):
    """They are shared with the shell and other programs."""
    machine, guest = running
    reader, writer = os.pipe()
    process = run(machine, "--", "cat", stdin=reader, stdout=writer)
    _, stream = accept(guest)
    assert os.get_blocking(reader) and os.get_blocking(writer)
    guest.link.send("OUTPUT", stream, b"x")
    guest.link.send("EXIT", stream)
    assert process.wait(20) == 0
    assert os.get_blocking(reader) and os.get_blocking(writer)
    os.close(reader)
    os.close(writer)
    process.stderr.close()


def test_a_reader_that_goes_ends_the_program(running):
    machine, guest = running
    process = run(machine, "--", "yes")
    _, stream = accept(guest)
    process.stdout.close()
    guest.link.send("OUTPUT", stream, b"y\n")
    message = guest.link.read()
    while message.name not in ("SIGNAL", "HANGUP"):
        message = guest.link.read()
    if message.name == "SIGNAL":
        assert message.number == signal.SIGPIPE
        guest.link.send("EXIT", stream, signal=signal.SIGPIPE)
    process.stdout = None
    process.communicate(timeout=20)
    assert process.returncode in (-signal.SIGPIPE, 128 + signal.SIGPIPE)


def test_one_descriptor_may_be_all_three(running):
    machine, guest = running
    master, slave = pty.openpty()
    process = run(machine, "-T", "--", "sh", stdin=slave, stdout=slave, stderr=slave)
    _, stream = accept(guest)
    os.write(master, b"in\n")
    assert guest.link.expect("INPUT").data == b"in\n"
    guest.link.send("OUTPUT", stream, b"out\n")
    guest.link.send("ERRORS", stream, b"err\n")
    guest.link.send("EXIT", stream)
    assert process.wait(20) == 0
    os.close(slave)
    shown = b""
    while not all(word in shown for word in (b"out", b"err")):
        shown += os.read(master, 1000)  # fails when nothing more can come
    os.close(master)


def test_a_full_disk_for_the_output_is_an_error(running):
    machine, guest = running
    with open("/dev/full", "wb") as full:
        process = run(machine, "--", "prog", stdout=full)
        _, stream = accept(guest)
        guest.link.send("OUTPUT", stream, b"x")
        assert guest.link.expect("SIGNAL").number == signal.SIGPIPE
        guest.link.send("EXIT", stream, status=0)
        _, errors = process.communicate(timeout=20)
    assert process.returncode == 125 and b"No space left" in errors


def test_a_detached_program_goes_on_without_its_client(running):
    machine, guest = running
    process = run(machine, "-d", "--", "prog")
    opened, stream = accept(guest)
    assert opened.flags & protocol.OPEN_DETACH
    assert finish(process)[0] == 0
    guest.link.send("EXIT", stream)
    machine.connect(watch=True).expect_state("running")


def test_signals_are_passed_on(running):
    machine, guest = running
    process = run(machine, "--", "prog", start_new_session=True)
    _, stream = accept(guest)
    time.sleep(0.2)
    process.send_signal(signal.SIGTERM)
    assert guest.link.expect("SIGNAL").number == signal.SIGTERM
    guest.link.send("EXIT", stream, signal=15)
    assert finish(process)[0] == 143
