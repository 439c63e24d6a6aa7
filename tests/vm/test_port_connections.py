"""Connections to a machine's ports: many, long, half-closed, and cut. tests/vm/test_ports.py is about the ports themselves."""

import contextlib
import hashlib
import os
import signal
import socket
import subprocess
import threading

import pytest

import annex_test
from machines import BOOT, wait_until

PEER = annex_test.BUILD / "tests" / "network-peer"
BIG = 16 << 20
MANY = 1000

# At ports 8100 and on. The first one and the last have a program for each connection.
SERVERS = """
mkdir -p /tmp/served
head -c {big} /dev/urandom >/tmp/served/big
nc -ll -p 8100 -e sha256sum </dev/null >/dev/null 2>&1 &
httpd -p 127.0.0.1:8101 -h /tmp/served
httpd -p [::1]:8102 -h /tmp/served
/tmp/peer serve 8103 </dev/null >/dev/null 2>&1 &
nc -ll -p 8104 -e sleep 1000 </dev/null >/dev/null 2>&1 &
"""


@pytest.fixture(scope="module")
def served(busybox_machine):
    """The address of a machine with servers."""
    busybox = busybox_machine.up()
    with PEER.open("rb") as program:
        busybox.sh("cat >/tmp/peer && chmod +x /tmp/peer", stdin=program)
    busybox.sh(SERVERS.format(big=BIG))
    address = busybox.inspect()["ip"]
    wait_until(lambda: all(reaches(address, port) for port in (8100, 8101, 8102, 8103, 8104)), "all of them listen")
    yield address
    busybox.sh("killall -q nc httpd peer sleep; rm -rf /tmp/peer /tmp/served; true")


@pytest.fixture
def address(served):
    return served


def dial(address, port):
    return socket.create_connection((address, port), BOOT)


def reaches(address, port):
    try:
        dial(address, port).close()
    except OSError:
        return False
    return True


def read_all(connection):
    data = b"".join(iter(lambda: connection.recv(1 << 16), b""))
    connection.close()
    return data


def ask(address, port):
    """A connection that is about to bring all of the large file."""
    connection = dial(address, port)
    connection.sendall(b"GET /big HTTP/1.0\r\n\r\n")
    return connection


def check_file(machine, address, port):
    wanted = machine.sh("sha256sum </tmp/served/big").split()[0]
    _, data = read_all(ask(address, port)).split(b"\r\n\r\n", 1)
    assert len(data) == BIG and hashlib.sha256(data).hexdigest() == wanted


def test_much_arrives_whole_and_is_answered_behind_the_end(busybox, address):
    data = os.urandom(BIG)
    with dial(address, 8100) as connection:
        connection.sendall(data)
        connection.shutdown(socket.SHUT_WR)
        assert read_all(connection).split()[0].decode() == hashlib.sha256(data).hexdigest()


@pytest.mark.parametrize("port", [8101, 8102])
def test_much_leaves_whole_from_a_service_on_the_loopback(busybox, address, port):
    """The second one's loopback is that of IPv6 only; for clients it is at the same address."""
    check_file(busybox, address, port)


def fill(connection):
    """Send until nothing more is taken: then the whole way is full."""
    connection.settimeout(2)
    with contextlib.suppress(TimeoutError):
        while True:
            connection.send(bytes(1 << 16))


def test_who_does_not_read_stops_nobody_else(address):
    with dial(address, 8104) as deaf, ask(address, 8101) as slow, dial(address, 8103) as quick:
        fill(deaf)
        for i in range(20):
            quick.sendall(b"%d" % i)
            assert quick.recv(16) == b"%d" % i
        assert len(slow.recv(1 << 16)) > 0


def test_a_thousand_connections_are_there_at_once(busybox, address):
    """Each of them is answered, and the program keeps them until its input ends."""
    holder = subprocess.Popen([PEER, "hold", address, "8103", str(MANY)], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    try:
        assert holder.stdout.readline().split()[0] == str(MANY).encode()
        with dial(address, 8103) as connection:
            connection.sendall(b"beside them")
            assert connection.recv(16) == b"beside them"
        assert busybox.sh("ulimit -n") == "1024\n"  # sessions are as ever
    finally:
        holder.communicate()
    assert holder.returncode == 0


def test_a_killed_annex_network_is_followed_by_one_that_works(busybox, address):
    [before] = busybox.children("annex-network")

    def write(port):
        with contextlib.suppress(OSError), dial(address, port) as connection:
            while True:
                connection.sendall(bytes(1 << 16))

    # Both directions are in the midst of something: what is read, and what is not.
    users = [threading.Thread(target=write, args=[port]) for port in (8100, 8104)]
    idle = [ask(address, 8101) for _ in range(4)]
    for user in users:
        user.start()
    for connection in idle:
        assert connection.recv(1)
    os.kill(before, signal.SIGKILL)
    for user in users:
        user.join(BOOT)
    for connection in idle:
        with pytest.raises(ConnectionResetError):
            read_all(connection)
    wait_until(lambda: busybox.children("annex-network") not in ([], [before]), "there is another one")
    wait_until(lambda: reaches(address, 8103), "the ports are back")
    test_much_arrives_whole_and_is_answered_behind_the_end(busybox, address)
    check_file(busybox, address, 8101)
    assert busybox.state == "running"
