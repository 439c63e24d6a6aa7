"""Sockets in sessions: the library's and the supervisor's part, with a fake QEMU. The test plays the guest."""

import contextlib
import hashlib
import os
import pathlib
import signal
import socket
import stat
import struct
import subprocess
import sys
import threading

import pytest

import protocol

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "fakes"))

from machine import Machine, wait_for  # noqa: E402

WINDOW = 64 * 1024  # of a connection
AGENT = 257  # the first connection that a guest begins
OURS = 256  # and a client


@pytest.fixture
def machine(host):
    made = Machine(host)
    yield made
    made.close()
    subprocess.run(["rm", "-rf", made.folder], check=True)


@pytest.fixture
def running(machine):
    _, guest = machine.run()
    machine.connect(watch=True).expect_state("running")
    return machine, guest


@pytest.fixture
def served(running):
    """A machine, its guest, and the path of a socket of the host's user with its listener."""
    machine, guest = running
    with listener(machine, "agent.sock") as (path, listening):
        yield machine, guest, path, listening


@pytest.fixture
def user_machine(user_host):
    """The same, of an ordinary user only."""
    machine = Machine(user_host)
    _, guest = machine.run()
    machine.connect(watch=True).expect_state("running")
    with listener(machine, "agent.sock") as (path, _):
        yield machine, guest, path
    machine.close()
    subprocess.run(["rm", "-rf", machine.folder], check=True)


@contextlib.contextmanager
def listener(machine, name):
    path = machine.host.folder / "home" / name
    listening = socket.socket(socket.AF_UNIX)
    listening.bind(str(path))
    listening.listen(64)
    listening.settimeout(20)
    os.chown(path, machine.host.account.uid, machine.host.account.gid)
    with listening:
        yield path, listening
    path.unlink(missing_ok=True)


def run(machine, *words, agent=None, **options):
    env = {**machine.env, "SSH_AUTH_SOCK": str(agent) if agent else None}
    return machine.host.start("run", "-n", "dev", *words, env=env, **options)


def finish(process, timeout=30):
    out, errors = process.communicate(timeout=timeout)
    return process.returncode, out, errors.decode()


def transfer(connection, data=b""):
    return {"data": struct.pack("<I", connection) + data}


def expect_data(link, connection):
    message = link.expect("TRANSFER")
    assert struct.unpack_from("<I", message.data)[0] == connection
    return message.data[4:]


def end(guest, process, stream):
    guest.link.send("EXIT", stream)
    status, _, errors = finish(process)
    assert status == 0, errors


def refused(process, words, status=125):
    got, out, errors = finish(process)
    assert (got, out) == (status, b"") and words in errors, errors
    return errors


def test_the_agent_of_who_runs_the_session_is_reached(served):
    machine, guest, path, agent = served
    process = run(machine, "ssh-add", "-l", agent=path)
    opened = guest.accept()
    assert opened.forwards == ["agent"]
    guest.link.send("CONNECT", opened.stream, connection=AGENT, forward=0)
    guest.link.send("TRANSFER", opened.stream, **transfer(AGENT, b"which keys?"))
    with agent.accept()[0] as asked:
        assert asked.recv(100) == b"which keys?"
        asked.sendall(b"this one")
        assert expect_data(guest.link, AGENT) == b"this one"
        guest.link.send("TRANSFER", opened.stream, **transfer(AGENT))
        assert asked.recv(100) == b""
    assert expect_data(guest.link, AGENT) == b""
    assert guest.link.expect("DISCONNECT").connection == AGENT
    guest.link.send("DISCONNECT", opened.stream, connection=AGENT)
    end(guest, process, opened.stream)


def test_each_session_has_the_agent_of_its_own_client(served):
    machine, guest, path, agent = served
    with listener(machine, "other.sock") as (other_path, other):
        processes = [run(machine, "one", agent=path), run(machine, "two", agent=other_path)]
        streams = {}
        for _ in processes:
            opened = guest.accept()
            streams[opened.argv[0]] = opened.stream
        guest.link.send("CONNECT", streams["two"], connection=AGENT, forward=0)
        other.accept()[0].close()
        guest.link.send("CONNECT", streams["one"], connection=AGENT, forward=0)
        agent.accept()[0].close()
        for stream in streams.values():
            guest.link.send("EXIT", stream)
        assert [finish(process)[0] for process in processes] == [0, 0]


def test_without_an_agent_none_is_offered(running):
    machine, guest = running
    home = machine.host.folder / "home"

    def offered(*words, agent):
        process = run(machine, *words, "true", agent=agent)
        opened = guest.accept()
        end(guest, process, opened.stream)
        return opened.forwards

    with listener(machine, "agent.sock") as (path, _):
        assert offered(agent=path) == ["agent"]
        assert offered(agent=None) == []
        assert offered(agent="agent.sock") == []
        assert offered("--no-ssh-agent", agent=path) == []
        assert offered("-e", "SSH_AUTH_SOCK=/run/mine", agent=path) == []
        assert offered("-d", agent=path) == []
        assert offered(agent=machine.host.file("file", "")) == []
    assert offered(agent=home / "agent.sock") == []  # it is gone


def test_the_setting_takes_effect_at_the_next_session(served):
    machine, guest, path, _ = served

    def offered():
        process = run(machine, "true", agent=path)
        opened = guest.accept()
        end(guest, process, opened.stream)
        return opened.forwards

    def settle(value):
        done = machine.host.annex("set", "-n", "dev", f"ssh-agent={value}", env=machine.env)
        assert (done.returncode, done.stderr) == (0, "")

    assert offered() == ["agent"]
    settle("off")
    assert offered() == []
    shown = machine.host.annex("inspect", "dev", env=machine.env).stdout
    assert '"ssh-agent": "off"' in shown and '"pending": {}' in shown
    settle("on")
    assert offered() == ["agent"]


def test_an_agent_that_is_gone_is_an_end_inside(served):
    machine, guest, path, agent = served
    process = run(machine, "ssh-add", agent=path)
    opened = guest.accept()
    agent.close()
    for connection in (AGENT, AGENT + 2):
        guest.link.send("CONNECT", opened.stream, connection=connection, forward=0)
        guest.link.send("TRANSFER", opened.stream, **transfer(connection, b"hello?"))
        assert guest.link.expect("DISCONNECT").connection == connection
        guest.link.send("DISCONNECT", opened.stream, connection=connection)
        path.unlink(missing_ok=True)
    end(guest, process, opened.stream)


def test_a_peer_that_dies_in_the_middle_is_told(served):
    machine, guest, path, agent = served
    process = run(machine, "-T", "cat", agent=path)
    opened = guest.accept()
    guest.link.send("CONNECT", opened.stream, connection=AGENT, forward=0)
    agent.accept()[0].close()
    assert expect_data(guest.link, AGENT) == b""
    assert guest.link.expect("DISCONNECT").connection == AGENT
    guest.link.send("TRANSFER", opened.stream, **transfer(AGENT, b"too late"))
    guest.link.send("DISCONNECT", opened.stream, connection=AGENT)
    guest.link.send("OUTPUT", opened.stream, b"still here")
    guest.link.send("EXIT", opened.stream)
    assert finish(process)[1] == b"still here"


def test_sockets_are_forwarded_by_name(running):
    machine, guest = running
    home = machine.host.folder / "home"
    with listener(machine, "a:b.sock") as (path, listening):
        process = run(machine, "--forward-socket", f"{path}:/run/in:side", "--forward-socket", "a:b.sock:/x",
                      "--forward-socket", "~/a:b.sock:/y", "--publish-socket", "out.sock:/srv/d", "true")
        opened = guest.accept()
        assert opened.forwards == ["listen:/run/in:side", "listen:/x", "listen:/y", "connect:/srv/d"]
        for forward in range(3):
            guest.link.send("CONNECT", opened.stream, connection=AGENT + 2 * forward, forward=forward)
            listening.accept()[0].close()
            assert expect_data(guest.link, AGENT + 2 * forward) == b""
            guest.link.expect("DISCONNECT")
        info = (home / "out.sock").lstat()
        assert stat.S_ISSOCK(info.st_mode) and stat.S_IMODE(info.st_mode) == 0o600
        assert info.st_uid == machine.host.account.uid
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(str(home / "out.sock"))
            message = guest.link.expect("CONNECT")
            assert (message.connection, message.forward) == (OURS, 3)
            client.sendall(b"to the machine")
            assert expect_data(guest.link, OURS) == b"to the machine"
            guest.link.send("TRANSFER", opened.stream, **transfer(OURS, b"and back"))
            assert client.recv(100) == b"and back"
            guest.link.send("DISCONNECT", opened.stream, connection=OURS)
            assert client.recv(100) == b""
            assert guest.link.expect("DISCONNECT").connection == OURS
        end(guest, process, opened.stream)
        assert not (home / "out.sock").exists()


def test_what_is_no_pair_of_paths_is_refused_before_anything_is_booted(machine):
    for option in ("--forward-socket", "--publish-socket"):
        for word in ("", "x", "x:y", ":/y", "/x", "/x:", "/x:y"):
            assert "hint: " in refused(run(machine, option, word, "true"), "is not HOST:GUEST")
    assert not machine.socket.exists()


def test_what_contradicts_or_is_too_much_is_refused(machine):
    refused(run(machine, "-d", "--forward-socket", "/x:/y", "true"), "-d and --forward-socket contradict each other")
    refused(run(machine, "-d", "--publish-socket", "/x:/y", "true"), "-d and --publish-socket contradict each other")
    many = [word for i in range(33) for word in ("--forward-socket", f"/x:/y{i}")]
    refused(run(machine, *many, "true"), "at most 32 sockets")


def test_a_socket_of_the_host_takes_nothing_s_place(running):
    machine, guest = running
    home = machine.host.folder / "home"
    kept = machine.host.file("kept", "content")
    errors = refused(run(machine, "--publish-socket", "kept:/y", "true"), "something is there")
    assert "hint: choose another path" in errors and kept.read_text() == "content"
    with listener(machine, "busy.sock") as (path, _):
        refused(run(machine, "--publish-socket", f"{path}:/y", "true"), "something is there")
        assert path.is_socket()
    refused(run(machine, "--publish-socket", "nowhere/s:/y", "true"), "its folder is not there")
    refused(run(machine, "--publish-socket", "/proc/s:/y", "true"), "cannot make the socket /proc/s")
    if machine.host.account.uid != 0:
        refused(run(machine, "--publish-socket", "/s:/y", "true"), "Permission denied")
    refused(run(machine, "--publish-socket", f"{'n' * 100}/../{'n' * 120}:/y", "true"), "longer than 80 bytes")
    deep = home / ("d" * 100) / ("e" * 100)
    subprocess.run(["mkdir", "-p", deep], check=True, **machine.host.account.switch)
    process = run(machine, "--publish-socket", f"{deep}/s:/y", "true")
    opened = guest.accept()
    assert (deep / "s").is_socket()
    end(guest, process, opened.stream)
    assert not (deep / "s").exists()


def test_what_a_killed_client_left_is_replaced(running):
    machine, guest = running
    path = machine.host.folder / "home" / "s"
    killed = run(machine, "--publish-socket", f"{path}:/y", "true")
    stream = guest.accept().stream
    killed.kill()
    killed.communicate()
    assert guest.link.expect("HANGUP").stream == stream
    assert path.is_socket()
    process = run(machine, "--publish-socket", f"{path}:/y", "true")
    opened = guest.accept()
    guest.link.send("CONNECT", stream, connection=AGENT, forward=0)  # the killed one's: not what was offered
    guest.link.sock.settimeout(20)
    assert guest.link.read() is None  # the guest broke the protocol
    assert finish(process)[0] == 125 and not path.exists()
    assert opened.stream != stream


def broken(guest, machine):
    """The supervisor ends the machine."""
    assert guest.link.read() is None
    wait_for(machine.is_clean)
    return machine.failure["message"]


@pytest.mark.parametrize("what", ["unoffered", "backwards", "number", "unknown", "window", "behind", "many", "credit"])
def test_a_guest_that_breaks_the_protocol_ends_the_machine_only(user_machine, what):
    machine, guest, path = user_machine
    process = run(machine, "--publish-socket", "out.sock:/y", "true", agent=path)
    opened = guest.accept()
    assert opened.forwards == ["connect:/y", "agent"]

    def connect(connection=AGENT, forward=1):
        guest.link.send("CONNECT", opened.stream, connection=connection, forward=forward)

    if what == "unoffered":
        connect(forward=2)
    elif what == "backwards":
        connect(forward=0)
    elif what == "number":
        connect(connection=OURS)
    elif what == "unknown":
        guest.link.send("TRANSFER", opened.stream, **transfer(AGENT, b"x"))
    elif what == "window":
        os.kill(process.pid, signal.SIGSTOP)
        connect()
        for _ in range(WINDOW // protocol.DATA_MAX):
            guest.link.send("TRANSFER", opened.stream, **transfer(AGENT, bytes(protocol.DATA_MAX)))
        guest.link.send("TRANSFER", opened.stream, **transfer(AGENT, b"x"))
    elif what == "behind":
        connect()
        for _ in range(2):
            guest.link.send("TRANSFER", opened.stream, **transfer(AGENT))
    elif what == "many":
        os.kill(process.pid, signal.SIGSTOP)
        for i in range(65):
            connect(connection=AGENT + 2 * i)
    else:
        connect()
        guest.link.send("CREDIT", opened.stream, channel=AGENT, bytes=1)
    assert "the guest broke the protocol" in broken(guest, machine)
    os.kill(process.pid, signal.SIGCONT)
    status, _, errors = finish(process)
    assert status == 125, errors


def test_a_client_that_breaks_the_protocol_is_dropped_alone(running):
    machine, guest = running
    for name, fields in (("CONNECT", {"connection": 256, "forward": 0}),  # the guest listens for that one
                         ("CONNECT", {"connection": 257, "forward": 1}),
                         ("TRANSFER", transfer(256, b"x")),
                         ("DISCONNECT", {"connection": 256}),
                         ("CREDIT", {"channel": 256, "bytes": 0}),
                         ("TRANSFER", {"data": b"xxx"})):
        client = machine.connect()
        client.send("OPEN", 1, argv=["x"], forwards=["listen:/a", "connect:/b"])
        stream = guest.accept().stream
        client.expect("OPENED")
        client.send(name, 1, **fields)
        assert client.expect("FAILURE").kind == protocol.KINDS["USAGE"]
        assert guest.link.expect("HANGUP").stream == stream
        guest.link.send("EXIT", stream)
    for forwards in (["nonsense"], ["listen:x"], ["agent"] * 33):
        client = machine.connect()
        client.send("OPEN", 1, argv=["x"], forwards=forwards)
        assert client.expect("FAILURE").kind == protocol.KINDS["USAGE"]
    process = run(machine, "true")
    end(guest, process, guest.accept().stream)


class Courier(threading.Thread):
    """Plays the guest's end of connections: sends `sent` through each with the credit it has, and keeps what comes."""

    def __init__(self, guest, stream, sent):
        super().__init__()
        self.link, self.stream = guest.link, stream
        self.left = {number: memoryview(data) for number, data in sent.items()}
        self.credit = dict.fromkeys(sent, WINDOW)
        self.got = {number: hashlib.sha256() for number in sent}
        self.open = set(sent)

    def push(self, number):
        while self.credit[number] and self.left[number]:
            size = min(self.credit[number], protocol.DATA_MAX, len(self.left[number]))
            self.link.send("TRANSFER", self.stream, **transfer(number, bytes(self.left[number][:size])))
            self.left[number] = self.left[number][size:]
            self.credit[number] -= size
            if not self.left[number]:
                self.link.send("TRANSFER", self.stream, **transfer(number))

    def run(self):
        for number in list(self.open):
            self.push(number)
        while self.open:
            message = self.link.read()
            if message.name == "CREDIT" and message.channel >= 256:
                self.credit[message.channel] += message.bytes
                self.push(message.channel)
            elif message.name == "TRANSFER":
                number = struct.unpack_from("<I", message.data)[0]
                self.got[number].update(message.data[4:])
                if message.data[4:]:
                    self.link.send("CREDIT", self.stream, channel=number, bytes=len(message.data) - 4)
            elif message.name == "DISCONNECT":
                self.link.send("DISCONNECT", self.stream, connection=message.connection)
                self.open.discard(message.connection)


def swap(connection, data):
    """Send all of it while reading to the end; the hash of what came."""
    got = hashlib.sha256()

    def send():
        connection.sendall(data)
        connection.shutdown(socket.SHUT_WR)

    sender = threading.Thread(target=send)
    sender.start()
    while piece := connection.recv(1 << 16):
        got.update(piece)
    sender.join()
    return got.digest()


def test_much_data_is_exact_both_ways_on_several_connections_at_once(served):
    machine, guest, path, agent = served
    process = run(machine, "true", agent=path)
    stream = guest.accept().stream
    numbers = [AGENT + 2 * i for i in range(3)]
    there = {number: os.urandom(8 << 20) for number in numbers}
    back = os.urandom(8 << 20)
    for number in numbers:
        guest.link.send("CONNECT", stream, connection=number, forward=0)
    courier = Courier(guest, stream, there)
    connections = [agent.accept()[0] for _ in numbers]
    courier.start()
    hashes = []
    swaps = [threading.Thread(target=lambda c=c: hashes.append(swap(c, back))) for c in connections]
    for thread in swaps:
        thread.start()
    for thread in swaps:
        thread.join(60)
    for connection in connections:
        connection.close()
    courier.join(60)
    assert sorted(hashes) == sorted(hashlib.sha256(data).digest() for data in there.values())
    assert {digest.digest() for digest in courier.got.values()} == {hashlib.sha256(back).digest()}
    end(guest, process, stream)


def test_a_slow_reader_blocks_neither_other_connections_nor_the_output(served):
    machine, guest, path, agent = served
    process = run(machine, "cat", agent=path)
    stream = guest.accept().stream
    guest.link.send("CONNECT", stream, connection=AGENT, forward=0)
    slow = agent.accept()[0]
    credit, sent = WINDOW, 0
    while True:  # until nobody gives credit any more
        while credit > 0:
            size = min(credit, protocol.DATA_MAX)
            guest.link.send("TRANSFER", stream, **transfer(AGENT, bytes(size)))
            credit, sent = credit - size, sent + size
        guest.link.sock.settimeout(0.5)
        try:
            credit += guest.link.expect("CREDIT").bytes
        except TimeoutError:
            break
    guest.link.sock.settimeout(20)
    assert WINDOW <= sent < 4 << 20
    guest.link.send("CONNECT", stream, connection=AGENT + 2, forward=0)
    guest.link.send("TRANSFER", stream, **transfer(AGENT + 2, b"quick"))
    with agent.accept()[0] as quick:
        assert quick.recv(100) == b"quick"
    guest.link.send("OUTPUT", stream, b"output")
    assert process.stdout.read(6) == b"output"
    guest.link.send("EXIT", stream)
    received = 0
    while piece := slow.recv(1 << 16):  # it ends with the session, and nothing that came is lost
        received += len(piece)
    assert received == sent
    assert finish(process)[0] == 0


def test_a_server_that_lets_nobody_wait_is_tried_again(running):
    machine, guest = running
    path = machine.host.folder / "home" / "full.sock"
    listening = socket.socket(socket.AF_UNIX)
    listening.bind(str(path))
    listening.listen(0)
    os.chown(path, machine.host.account.uid, machine.host.account.gid)
    first = socket.socket(socket.AF_UNIX)
    first.connect(str(path))
    process = run(machine, "--forward-socket", f"{path}:/x", "true")
    stream = guest.accept().stream
    guest.link.send("CONNECT", stream, connection=AGENT, forward=0)
    guest.link.send("TRANSFER", stream, **transfer(AGENT, b"patient"))
    guest.link.send("OUTPUT", stream, b"x")
    assert process.stdout.read(1) == b"x"
    listening.accept()[0].close()
    listening.settimeout(20)
    with listening.accept()[0] as late:
        assert late.recv(100) == b"patient"
    end(guest, process, stream)
    first.close()
    listening.close()


def test_the_forwards_end_with_the_machine(served):
    machine, guest, path, agent = served
    process = run(machine, "--publish-socket", "out.sock:/y", "true", agent=path)
    stream = guest.accept().stream
    guest.link.send("CONNECT", stream, connection=AGENT, forward=1)
    with agent.accept()[0] as asked:
        guest.happen("die")
        assert asked.recv(100) == b""
    assert finish(process)[0] == 125
    assert not (machine.host.folder / "home/out.sock").exists()
