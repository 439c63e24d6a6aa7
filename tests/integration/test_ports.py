"""Ports as their user has them: the command line, and connections to a machine whose guest is the test."""

import contextlib
import json
import os
import pathlib
import signal
import socket
import subprocess
import sys
import threading

import pytest

from annex_test import TIMEOUT, check_failure

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "fakes"))

import protocol  # noqa: E402
from machine import Machine, wait_for  # noqa: E402

FORM_HINT = "a port is [IP:]HOST:GUEST[/udp], such as 8080:80 or 0.0.0.0:5353:53/udp"


@pytest.fixture
def machine(host):
    """A machine that does not run."""
    made = Machine(host, publish=["8080:80", "[::1]:5353:53/udp", "0.0.0.0:9000-9001:1-2"])
    made.env["ANNEX_MACHINE"] = "dev"
    host.env.update(made.env)
    yield made
    made.remove()


def published(host):
    return json.loads(host.ok("inspect", "dev"))[0]["settings"]["publish"]


def test_a_stopped_machine_shows_what_it_would_publish(host, machine):
    first, *rows = (line.split() for line in host.ok("port").splitlines())
    assert first == ["PROTOCOL", "PORT", "HOST", "PROCESS", "STATE", "NOTE"]
    note = "published: the machine is not running".split()
    assert rows == [["udp", "53", "[::1]:5353/udp", "-", "waiting", *note],
                    ["tcp", "80", "127.0.0.1:8080", "-", "waiting", *note],
                    ["tcp", "1", "0.0.0.0:9000", "-", "waiting", *note],
                    ["tcp", "2", "0.0.0.0:9001", "-", "waiting", *note]]
    assert host.ok("port", "-q", "dev").split() == ["[::1]:5353/udp", "127.0.0.1:8080", "0.0.0.0:9000", "0.0.0.0:9001"]
    assert json.loads(host.ok("port", "list", "-n", "dev", "--format", "json"))[1] == {
        "protocol": "tcp", "port": 80, "listens": [], "pid": 0, "host": "127.0.0.1", "host-port": 8080,
        "published": True, "moved": False, "publish": "8080:80", "state": "waiting",
        "reason": "the machine is not running", "kept": True, "machine": "dev"}


def test_of_all_machines_those_that_run_are_shown(host, machine):
    assert host.ok("port", "--all").split() == ["NAME", "PROTOCOL", "PORT", "HOST", "PROCESS", "STATE", "NOTE"]
    assert json.loads(host.ok("port", "-a", "--format", "json")) == []
    check_failure(host.annex("port", "-a", "dev"), 2, "port: --all and a name contradict each other")


def test_the_setting_has_one_spelling_and_what_it_removes(host, machine):
    host.ok("set", "publish=127.0.0.1:8081:81/TCP", "publish=:443", "publish=8080:82")
    assert published(host) == ["0:443", "[::1]:5353:53/udp", "8080:82", "8081:81", "0.0.0.0:9000-9001:1-2"]
    host.ok("set", "publish=-8080", "publish=-[::1]:5353:53/udp", "publish=-9000-9001", "publish=-:443")
    assert published(host) == ["8081:81"]
    host.ok("set", "publish=default")
    assert published(host) == []


REFUSED = [
    ("9001:5", "publish=9001:5: it needs the same port of this host as '0.0.0.0:9000-9001:1-2'",
     "to take its place: publish=-0.0.0.0:9000-9001:1-2 publish=9001:5"),
    ("-7", "no port is published as '7'", "annex set -n dev"),
    ("-9001", "no port is published as '9001'", "it is part of publish=-0.0.0.0:9000-9001:1-2"),
    ("localhost:80:80", "publish=localhost:80:80: 'localhost' is no address of this host", "HOST:GUEST alone is at 127.0.0.1"),
    ("*:80:80", "publish=*:80:80: '*' is no address of this host",
     "0.0.0.0:HOST:GUEST is reachable by everybody; HOST:GUEST at 127.0.0.1 only"),
    ("80:80/sctp", "publish=80:80/sctp: 'sctp' is no protocol that can be published: tcp or udp", FORM_HINT),
    ("1-3:1-4", "publish=1-3:1-4: '1-3' and '1-4' are not as many ports", FORM_HINT),
]


@pytest.mark.parametrize("value, message, hint", REFUSED, ids=[row[0] for row in REFUSED])
def test_what_makes_no_sense_is_refused(host, machine, value, message, hint):
    before = published(host)
    check_failure(host.annex("set", f"publish={value}"), 3 if value in ("-7", "-9001") else 2, f"set dev: {message}", hint)
    assert published(host) == before


def test_ports_of_a_machine_that_does_not_run_are_a_setting(host, machine):
    check_failure(host.annex("port", "add", "8082:82"), 4, "port add 8082:82 in dev: machine 'dev' is not running",
                  "annex start dev; or for every start: annex set -n dev publish=8082:82")
    check_failure(host.annex("port", "rm", "-n", "dev", "8080"), 4,
                  "port remove 8080 in dev: machine 'dev' is not running",
                  "if it is published at every start: annex set -n dev publish=-8080")
    check_failure(host.annex("port", "add", "web:80"), 2,
                  "port add web:80 in dev: 'web' is no port: 1 to 65535, or two with '-' between them", FORM_HINT)
    check_failure(host.annex("port", "add"), 2, "port add: [IP:]HOST:GUEST[/udp] is missing", "annex port add --help")


def test_what_is_published_is_completed(host, machine):
    def complete(*words):
        return [line.split("\t")[0] for line in host.ok("__complete", "--", *words).splitlines()]

    assert complete("set", "publish=-8") == ["publish=-8080:80"]
    assert complete("port", "rm", "0.") == ["0.0.0.0:9000-9001:1-2"]
    assert complete("port", "remove", "-n", "nobody", "") == []
    assert complete("port", "") == ["add", "remove", "dev"]
    assert complete("port", "-") == ["--name", "--all", "--quiet", "--format", "--help"]


class Services:
    """The guest's end of the ports' link: what listens, and gives back what it gets."""

    def __init__(self, guest):
        self.guest, self.listening, self.refused, self.lock = guest, [], set(), threading.RLock()
        self.link = protocol.Link(self, timeout=None)
        self.begin(guest.config.marker)
        threading.Thread(target=self.serve, daemon=True).start()

    def begin(self, marker):
        """The link begins, or begins anew: ours first; what comes before theirs is of an earlier time."""
        self.awaited, self.before = marker, b""
        self.guest.ports.sendall(marker)

    def settimeout(self, seconds):
        self.guest.ports.settimeout(seconds)

    def sendall(self, data):
        self.guest.ports.sendall(data)

    def recv(self, size):
        while piece := self.guest.ports.recv(size):
            if not self.awaited:
                return piece
            self.before += piece
            at = self.before.find(self.awaited)
            if at >= 0:
                self.link.waiting, self.awaited = self.before[at + 16:], None
                self.tell()
        return b""

    def tell(self):
        with self.lock:
            if not self.awaited:
                self.link.send("PORT_LISTENING", sockets=self.listening)

    def listen(self, *sockets):
        self.listening = [f"{socket} 77 server" for socket in sockets]
        self.tell()

    def serve(self):
        with contextlib.suppress(OSError):
            while message := self.link.read():
                if message.name == "PORT_SCAN":
                    self.tell()
                elif message.name == "PORT_CONNECT" and not any(f" {message.port} " in text for text in self.listening):
                    self.refused.add(message.connection)
                    self.link.send("DISCONNECT", connection=message.connection)
                elif message.name in ("TRANSFER", "DISCONNECT"):
                    self.answer(message)
                elif message.name == "PORT_DATAGRAM":
                    with self.lock:
                        self.link.send("PORT_DATAGRAM", data=message.data)

    def answer(self, message):
        connection = message.connection if message.name == "DISCONNECT" else int.from_bytes(message.data[:4], "little")
        if connection in self.refused:
            if message.name == "DISCONNECT":
                self.refused.remove(connection)
            return
        with self.lock:
            if message.name == "DISCONNECT":
                self.link.send("DISCONNECT", connection=connection)
                return
            self.link.send("TRANSFER", data=message.data)
            if len(message.data) > 4:
                self.link.send("CREDIT", channel=connection, bytes=len(message.data) - 4)


@pytest.fixture
def dev(user_host):
    """A machine that does not run, of an ordinary user."""
    made = Machine(user_host, **{"home-mount": "none"})
    made.env["ANNEX_MACHINE"] = "dev"
    user_host.env.update(made.env)
    yield made
    made.remove()


@pytest.fixture
def services(dev):
    """It runs."""
    made = Services(dev.run()[1])
    wait_for(lambda: inspect(dev.host)["state"] == "running")
    return made


def inspect(host):
    return json.loads(host.ok("inspect", "dev"))[0]


def ports(host, *words):
    return json.loads(host.ok("port", *words, "--format", "json"))


def rows(host):
    return [f"{port['host']}:{port['host-port']}>{port['port']} {port['state']}{' kept' if port['kept'] else ''}"
            for port in ports(host)]


CALL = """import socket, sys
with socket.create_connection((sys.argv[1], int(sys.argv[2])), 20) as there:
    there.sendall(b"hello")
    print(there.recv(100).decode())
"""


def call(host, address, port):
    """What somebody on this host gets who says hello."""
    result = host.program([sys.executable, "-c", CALL, address, str(port)])
    return result.stdout.strip() or result.stderr.splitlines()[-1]


def rows_or_none(host):
    """None: it can't be asked now."""
    result = host.annex("port")
    return rows(host) if result.returncode == 0 else None


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@contextlib.contextmanager
def occupied(host, port):
    """A program of the host's user has this port; its id."""
    code = f"import socket\ns = socket.create_server(('127.0.0.1', {port}))\nprint('ready', flush=True)\ninput()"
    process = subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                               **host.account.switch)
    assert process.stdout.readline() == b"ready\n"
    yield process.pid
    process.communicate(b"\n")


def test_what_listens_is_reached_at_the_machine_s_address_and_vanishes(user_host, services):
    port, address = free_port(), inspect(user_host)["ip"]
    assert ports(user_host) == []
    services.listen(f"tcp 127.0.0.1 {port}", f"tcp :: {port}")
    assert ports(user_host, "dev") == [{
        "protocol": "tcp", "port": port, "listens": ["127.0.0.1", "::"], "pid": 77, "process": "server", "host": address,
        "host-port": port, "published": False, "moved": False, "state": "open", "kept": False, "machine": "dev"}]
    first, row = (line.split() for line in user_host.ok("port", "--all").splitlines())
    assert row == ["dev", "tcp", str(port), f"{address}:{port}", "server", "open"]
    assert call(user_host, address, port) == "hello"
    services.listen()
    wait_for(lambda: "ConnectionRefused" in call(user_host, address, port))
    assert ports(user_host) == []


def test_datagrams_go_to_the_service_and_back(user_host, services):
    port, address = free_port(), inspect(user_host)["ip"]
    services.listen(f"udp 0.0.0.0 {port}")
    user_host.ok("port", "add", f"[::1]:{port}:{port}/udp", f"0.0.0.0:0:{port}/udp")
    [wide] = [port for port in ports(user_host) if port["host"] == "0.0.0.0"]
    assert [port["state"] for port in ports(user_host)] == ["open"] * 3
    code = "\n".join(["import socket, sys", "there = socket.getaddrinfo(sys.argv[1], int(sys.argv[2]), type=socket.SOCK_DGRAM)[0]",
                      "with socket.socket(*there[:3]) as one:", " one.settimeout(20)", " one.connect(there[4])",
                      " for word in sys.argv[3:]:", "  one.send(word.encode())", "  print(one.recv(100).decode())"])
    for where in ((address, port), ("::1", port), ("127.0.0.1", wide["host-port"]), ("127.1.2.3", wide["host-port"])):
        result = user_host.program([sys.executable, "-c", code, *map(str, where), "one", "two"])
        assert result.stdout == "one\ntwo\n", (where, result)


def test_ports_are_published_for_now(user_host, services):
    first, second = free_port(), free_port()
    assert user_host.ok("port", "add", f"{first}:80") == ""
    printed = user_host.ok("port", "add", "-n", "dev", ":81")
    chosen = int(printed.removeprefix("127.0.0.1:"))
    assert sorted(rows(user_host)) == sorted([f"127.0.0.1:{first}>80 waiting", f"127.0.0.1:{chosen}>81 waiting"])
    services.listen("tcp 0.0.0.0 80")
    wait_for(lambda: call(user_host, "127.0.0.1", first) == "hello")
    assert call(user_host, "127.0.0.1", chosen) != "hello"
    assert user_host.ok("port", "add", f"{first}:80") == ""  # it is already
    check_failure(user_host.annex("port", "add", f"{first}:82"), 4,
                  f"port add {first}:82 in dev: it needs the same port of this host as '{first}:80', which is published",
                  "annex port dev")
    check_failure(user_host.annex("port", "rm", str(second)), 3,
                  f"port remove {second} in dev: no port is published as '{second}'", "annex port dev")
    user_host.ok("port", "add", "7001-7002:1-2")
    check_failure(user_host.annex("port", "rm", "7001"), 3, "port remove 7001 in dev: no port is published as '7001'",
                  "annex port remove -n dev 7001-7002:1-2")
    user_host.ok("port", "rm", "7001-7002")
    check_failure(user_host.annex("port", "add", "dev", "1:2"), 2, "port add: 'dev' is a machine, and words are ports",
                  "annex port add -n dev 1:2")
    result = user_host.annex("port", "rm", str(first), ":81")
    assert (result.returncode, result.stdout, result.stderr) == (0, "", "")
    assert [row for row in rows(user_host) if "127.0.0.1" in row] == []
    assert "ConnectionRefused" in call(user_host, "127.0.0.1", first)


def test_ports_are_published_by_the_setting_at_once(user_host, dev, services):
    first, second = free_port(), free_port()
    user_host.ok("port", "add", f"{first}:80")
    result = user_host.annex("set", f"publish={first}:80", f"publish={second}:81")
    assert (result.returncode, result.stderr) == (0, "")
    assert inspect(user_host)["pending"] == {}
    assert sorted(rows(user_host)) == sorted([f"127.0.0.1:{first}>80 waiting kept", f"127.0.0.1:{second}>81 waiting kept"])
    result = user_host.annex("port", "remove", str(first))
    assert result.stderr == f"{first}:80 is published again at the next start, unless 'annex set -n dev publish=-{first}:80'\n"
    user_host.ok("set", f"publish=-{first}", f"publish={second}:82")
    assert rows(user_host) == [f"127.0.0.1:{second}>82 waiting kept"]
    assert inspect(user_host)["settings"]["publish"] == [f"{second}:82"]


def test_a_port_that_is_taken_names_who_has_it_and_changes_nothing(user_host, services):
    port = free_port()
    with occupied(user_host, port) as pid:
        what = f"port 127.0.0.1:{port} is taken by {pathlib.Path(f'/proc/{pid}/comm').read_text().strip()} (pid {pid})"
        check_failure(user_host.annex("port", "add", f"{port}:80"), 4, f"port add {port}:80 in dev: {what}",
                      "for any free port: annex port add -n dev 0:80")
        check_failure(user_host.annex("set", f"publish={port}:80", f"publish={free_port()}:81"), 4, f"set dev: {what}",
                      f"for any free port: annex set -n dev publish=-{port}:80 publish=0:80")
        assert inspect(user_host)["settings"]["publish"] == [] and rows(user_host) == []
    user_host.ok("set", f"publish={port}:80")


def test_a_start_fails_where_a_port_is_taken(user_host, dev):
    port = free_port()
    user_host.ok("set", f"publish={port}:80")
    with occupied(user_host, port) as pid:
        result = user_host.annex("start", "dev")
        comm = pathlib.Path(f"/proc/{pid}/comm").read_text().strip()
    assert (result.returncode, result.stdout) == (4, "")
    assert result.stderr.splitlines()[-2:] == [
        f"annex: cannot start machine 'dev': port 127.0.0.1:{port} is taken by {comm} (pid {pid})",
        f"hint: for any free port: annex set -n dev publish=-{port}:80 publish=0:80"]


def test_a_port_of_the_machine_s_address_that_is_taken_is_refused_until_it_is_free(user_host, services):
    port, address = free_port(), inspect(user_host)["ip"]
    with socket.create_server((address, port)):
        services.listen(f"tcp 0.0.0.0 {port}")
        [row] = ports(user_host)
        assert (row["state"], row["host-port"]) == ("refused", 0) and row["reason"].startswith("taken by "), row
        assert user_host.ok("port", "-q") == ""
    assert ports(user_host)[0]["state"] == "open"
    assert call(user_host, address, port) == "hello"


def network_of(machine):
    found = subprocess.run(["pgrep", "-P", str(machine.started[-1].pid), "-f", "annex-network"], capture_output=True, text=True)
    return int(found.stdout)


def test_what_is_published_for_now_outlives_the_network_s_process(user_host, dev, services):
    port = free_port()
    services.listen("tcp 0.0.0.0 80")
    user_host.ok("port", "add", f"{port}:80")
    before = network_of(dev)
    os.kill(before, signal.SIGKILL)
    mark = services.guest.link.expect("MARK")
    services.begin(mark.marker)
    wait_for(lambda: f"127.0.0.1:{port}>80 open" in (rows_or_none(user_host) or []))
    assert network_of(dev) != before
    assert call(user_host, "127.0.0.1", port) == "hello"


def test_nothing_listens_behind_a_supervisor_that_was_killed(user_host, dev, services):
    port, own, address = free_port(), free_port(), inspect(user_host)["ip"]
    services.listen(f"tcp 0.0.0.0 {own}")
    user_host.ok("set", f"publish={port}:{own}")
    assert call(user_host, "127.0.0.1", port) == "hello" == call(user_host, address, own)
    dev.started[-1].kill()
    dev.started[-1].wait()
    for where in (("127.0.0.1", port), (address, own)):
        wait_for(lambda: "ConnectionRefused" in call(user_host, *where))
    again = Services(dev.run()[1])
    again.listen(f"tcp 0.0.0.0 {own}")
    wait_for(lambda: rows_or_none(user_host) is not None)
    assert call(user_host, "127.0.0.1", port) == "hello" == call(user_host, address, own)


@pytest.fixture
def own_network(user_host):
    """A network of the test's own, as another host would have it; what runs a program in it, as the user."""
    if os.geteuid() != 0:
        pytest.skip("only root can make one")
    holder = subprocess.Popen(["unshare", "--net", "sh", "-c", "ip link set lo up; echo ready; read x"], stdin=subprocess.PIPE,
                              stdout=subprocess.PIPE)
    assert holder.stdout.readline() == b"ready\n"
    yield ["nsenter", f"--net=/proc/{holder.pid}/ns/net"]
    holder.communicate(b"\n")


def test_low_ports_are_moved_until_the_host_gives_them(user_host, dev, own_network):
    account = user_host.account

    def there(*argv):
        as_user = ["setpriv", f"--reuid={account.uid}", f"--regid={account.gid}", "--clear-groups"]
        return subprocess.run([*own_network, *as_user, *map(str, argv)], env=user_host.environment(), text=True,
                              capture_output=True, timeout=TIMEOUT, cwd=user_host.env["HOME"])

    supervisor = subprocess.Popen([*own_network, "setpriv", f"--reuid={account.uid}", f"--regid={account.gid}", "--clear-groups",
                                   *map(str, dev.arguments)], env=user_host.environment(dev.env), stdin=subprocess.DEVNULL,
                                  stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd="/")
    dev.started.append(supervisor)
    guest = dev.guest()
    guest.ready()
    services = Services(guest)
    services.listen("tcp 0.0.0.0 80", "tcp 0.0.0.0 443", "udp :: 53")
    wait_for(lambda: rows_or_none(user_host) is not None and len(ports(user_host)) == 3)
    address = inspect(user_host)["ip"]
    result = user_host.annex("port")
    assert [line.split()[2] for line in result.stdout.splitlines()[1:]] == \
        [f"{address}:10080", f"{address}:10443", f"{address}:10053/udp"]
    assert result.stderr == ("low ports are for root only on this host: the machine's are at higher ones\n"
                             "hint: sudo sysctl -w net.ipv4.ip_unprivileged_port_start=53\n")
    assert [port["moved"] for port in ports(user_host)] == [True, True, True]
    assert there(sys.executable, "-c", CALL, address, 10080).stdout == "hello\n"
    check_failure(user_host.annex("port", "add", "80:80"), 1, "port add 80:80 in dev: port 127.0.0.1:80 is for root only on this host",
                  "sudo sysctl -w net.ipv4.ip_unprivileged_port_start=80")
    subprocess.run([*own_network, "sh", "-c", "echo 53 >/proc/sys/net/ipv4/ip_unprivileged_port_start"], check=True)
    result = user_host.annex("port", "-q")
    assert (result.stdout.split(), result.stderr) == ([f"{address}:80", f"{address}:443", f"{address}:53/udp"], "")
    assert there(sys.executable, "-c", CALL, address, 80).stdout == "hello\n"
    assert "Refused" in there(sys.executable, "-c", CALL, address, 10080).stderr
    user_host.ok("port", "add", "80:80")


def test_other_users_of_the_host_are_turned_away(user_host, services):
    port, address = free_port(), inspect(user_host)["ip"]
    services.listen(f"tcp 0.0.0.0 {port}")
    assert call(user_host, address, port) == "hello"
    if os.geteuid() != 0:
        return
    nobody = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"]
    result = subprocess.run([*nobody, sys.executable, "-c", CALL, address, str(port)], capture_output=True, text=True)
    assert "hello" not in result.stdout, result
    user_host.ok("port", "add", f"{port}:{port}")
    result = subprocess.run([*nobody, sys.executable, "-c", CALL, "127.0.0.1", str(port)], capture_output=True, text=True)
    assert result.stdout == "hello\n", result
