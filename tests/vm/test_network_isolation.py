"""What a hostile root in an isolated machine gets out of it: nothing. The same attempts are heard when it is not isolated."""

import contextlib
import ctypes
import os
import shutil
import socket
import struct
import subprocess
import threading

import annex_test
import machines
import pytest

TOOL = annex_test.BUILD / "tests" / "network-forge"
ROUTER, ROUTER6 = "198.19.255.1", "fd61:6e6e:6578::ff01"
OUTSIDE, OUTSIDE_PORT = "198.51.100.2", 8080


class Ears:
    """Hears datagrams, connections and what is asked by DNS, and remembers it all."""

    def __init__(self):
        self.heard, self.asked = [], []
        self.closing, self.changed = False, threading.Condition()
        self.sockets, self.threads = [], []

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.closing = True
        for each in self.sockets:
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
        for thread in self.threads:
            thread.join()
        for each in self.sockets:
            each.close()

    def note(self, where, what):
        with self.changed:
            where.append(what)
            self.changed.notify_all()

    def wait(self, where, what):
        with self.changed:
            assert self.changed.wait_for(lambda: what in where, annex_test.TIMEOUT), f"{what} was not heard: {where}"

    def run(self, function, each):
        each.settimeout(0.2)
        self.sockets.append(each)
        self.threads.append(threading.Thread(target=self.loop, args=(function, each)))
        self.threads[-1].start()

    def loop(self, function, each):
        while not self.closing:
            with contextlib.suppress(TimeoutError, OSError):
                function(each)

    def datagrams(self, each):
        self.note(self.heard, each.recv(2048).decode(errors="replace"))

    def connections(self, each):
        with each.accept()[0] as peer:
            peer.settimeout(5)
            words = peer.recv(4096).decode(errors="replace").split()
            self.note(self.heard, words[1][1:] if len(words) > 1 else "a connection")
            peer.sendall(b"HTTP/1.0 200 OK\r\n\r\nreached\n")

    def answer(self, question):
        """allowed.example is outside; evil.example and whatever else is this host."""
        labels, at = [], 12
        while question[at]:
            labels.append(question[at + 1:at + 1 + question[at]].decode())
            at += 1 + question[at]
        self.note(self.asked, ".".join(labels))
        kind = struct.unpack_from(">H", question, at + 1)[0]
        known = {"allowed.example": [OUTSIDE], "end.example": ["203.0.113.9"]}
        addresses = known.get(".".join(labels[-2:]), [host_address() or "127.0.0.1", "127.0.0.1"])
        records = [struct.pack(">HHHIH", 0xC00C, 1, 1, 60, 4) + socket.inet_aton(address) for address in addresses if kind == 1]
        return question[:2] + struct.pack(">HHHHH", 0x8180, 1, len(records), 0, 0) + question[12:at + 5] + b"".join(records)

    def questions(self, each):
        question, client = each.recvfrom(2048)
        each.sendto(self.answer(question), client)

    def questions_by_tcp(self, each):
        with each.accept()[0] as peer:
            peer.settimeout(5)
            answer = self.answer(peer.recv(4096)[2:])
            peer.sendall(struct.pack(">H", len(answer)) + answer)

    def listen(self, address, port):
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        stream = socket.socket(family, socket.SOCK_STREAM)
        stream.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        stream.bind((address, port))
        stream.listen()
        port = stream.getsockname()[1]
        datagrams = socket.socket(family, socket.SOCK_DGRAM)
        datagrams.bind((address, port))
        self.run(self.connections, stream)
        self.run(self.datagrams, datagrams)
        return port

    def resolve(self):
        stream, datagrams = socket.socket(), socket.socket(type=socket.SOCK_DGRAM)
        stream.bind(("127.0.0.1", 0))
        stream.listen()
        datagrams.bind(stream.getsockname())
        self.run(self.questions_by_tcp, stream)
        self.run(self.questions, datagrams)
        return stream.getsockname()[1]


def by_tcp(name):
    """A command that asks the machine's resolver for a name by TCP and prints the answer's bytes."""
    question = struct.pack(">HHHHHH", 0x4142, 0x100, 1, 0, 0, 0) + \
        b"".join(bytes([len(label)]) + label.encode() for label in name.split(".")) + struct.pack(">BHH", 0, 1, 1)
    octal = "".join(f"\\{byte:03o}" for byte in struct.pack(">H", len(question)) + question)
    return f"printf '{octal}' | timeout 20 nc 198.19.255.53 53 | od -An -v -tx1 | tr -d ' \\n'"


def host_address(family=socket.AF_INET, towards="192.0.2.99"):
    """One of the host's own, that is not of its loopback; None if it has none."""
    with socket.socket(family, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect((towards, 9))
        except OSError:
            return None
        return probe.getsockname()[0]


@contextlib.contextmanager
def outside(ears):
    """A neighbour of this host that hears: a network namespace at the other end of a cable. Yields whether there is one."""
    name = f"annex-{os.getpid()}"
    inside = f"nsenter --net=/run/netns/{name}"  # `ip -n` mounts, which a chroot can't
    libc = ctypes.CDLL(None, use_errno=True)
    if os.geteuid() != 0 or not shutil.which("ip") or \
            subprocess.run(["ip", "netns", "add", name], stderr=subprocess.DEVNULL, check=False).returncode != 0:
        yield False
        return

    def listen():
        with open(f"/run/netns/{name}", "rb") as namespace:
            assert libc.setns(namespace.fileno(), 0) == 0
        for port in (OUTSIDE_PORT, OUTSIDE_PORT + 1):
            ears.listen(OUTSIDE, port)

    try:
        for command in (f"ip link add {name[:15]} type veth peer name eth0 netns {name}",
                        f"ip address add 198.51.100.1/30 dev {name[:15]}", f"ip link set {name[:15]} up",
                        f"{inside} ip address add {OUTSIDE}/30 dev eth0", f"{inside} ip link set eth0 up"):
            subprocess.run(command.split(), check=True)
        thread = threading.Thread(target=listen)  # that thread alone is there
        thread.start()
        thread.join()
        yield True
    finally:
        subprocess.run(["ip", "netns", "delete", name], check=True)


class Box:
    def __init__(self, machine, ears, port, neighbour):
        self.machine, self.ears, self.port, self.neighbour = machine, ears, port, neighbour
        self.round = 0

    def frames(self):
        """What is sent as it stands: name, source, destination, manner."""
        told = self.machine.inspect()["network"]
        own, own6 = told["address"], told["address6"]
        lan, lan6 = host_address() or "127.0.0.1", host_address(socket.AF_INET6, "2001:db8::1")
        honest = [("router", own, ROUTER), ("lan", own, lan)]
        never = [("fragments", own, lan), ("loopback", own, "127.0.0.1"),
                 ("loopback6", own6, "::1"), ("this", own, "0.0.0.0"),
                 ("mapped", own6, f"::ffff:{lan}"), ("mapped-loopback", own6, "::ffff:127.0.0.1"),
                 ("compatible", own6, f"::{lan}"), ("nat64-loopback", own6, "64:ff9b::127.0.0.1"),
                 ("broadcast", own, "255.255.255.255"), ("multicast", own, "224.0.0.1"), ("multicast6", own6, "ff02::1"),
                 ("machines", own, "127.88.3.7"), ("route", own, lan), ("route-loopback", own, "127.0.0.1"),
                 ("from-lan", lan, lan), ("from-router", ROUTER, lan), ("from-loopback", "127.0.0.1", lan),
                 ("from-neighbour", "198.19.3.9", lan), ("from-router6", ROUTER6, lan6 or "::1")]
        if lan6:
            never += [("hop", own6, lan6)]
        return [(name, source, to, name.split("-")[0] if name.split("-")[0] in ("fragments", "route", "hop") else "plain")
                for name, source, to in honest + never], {name for name, *_ in honest}

    def attempt(self, peer):
        """Everything that root can think of. Returns what was heard, which names were asked for, and what was printed."""
        self.round += 1
        del self.ears.heard[:], self.ears.asked[:]
        frames, _ = self.frames()
        lan = host_address() or "127.0.0.1"
        targets = [("tcp-router", ROUTER, self.port), ("tcp-lan", lan, self.port), ("tcp-outside", OUTSIDE, OUTSIDE_PORT + 1)]
        script = ["device=$(ip route | sed -n 's/^default.* dev \\([^ ]*\\).*/\\1/p')"]
        script += [f"/tmp/forge $device {source} {to} {self.port} {name} {manner}" for name, source, to, manner in frames]
        script += [f"/tmp/forge $device {self.machine.inspect()['network']['address']} {OUTSIDE} {OUTSIDE_PORT + 1} outside"]
        script += [f"timeout 3 wget -q -O /dev/null http://{to}:{port}/{name} &" for name, to, port in targets]
        script += ["nslookup secret.tunnel.example >/dev/null 2>&1", "nslookup host.annex.internal",
                   f"echo tcp:$({by_tcp('secret.stream.example')})",
                   f"ping -c 1 -W 3 {peer} >/dev/null && echo the peer answers", "wait",
                   f"nslookup {self.round}.end.example >/dev/null 2>&1 || true"]
        printed = self.machine.sh("\n".join(script))
        # Frames are taken in order: what went before has been heard by then, if ever.
        self.ears.wait(self.ears.asked, f"{self.round}.end.example")
        return set(self.ears.heard), set(self.ears.asked) - {f"{self.round}.end.example"}, printed


@pytest.fixture(scope="module")
def box(host):
    with Ears() as ears, outside(ears) as neighbour:
        port, resolver = ears.listen("::", 0), ears.resolve()
        host.env["ANNEX_RESOLV_CONF"] = str(host.file("resolv.conf", f"nameserver 127.0.0.1#{resolver}\n"))
        try:
            machine = machines.create(host, "busybox", "box", "--memory", "256M", "--isolate", "--allow", "*.end.example",
                                      "--allow", f"allowed.example:{OUTSIDE_PORT}", "--allow", "evil.example")
            machine.ok("sh", "-c", "cat >/tmp/forge && chmod 755 /tmp/forge", options=("--root",), input=TOOL.read_bytes(),
                       text=False)
            yield Box(machine, ears, port, neighbour)
        finally:
            del host.env["ANNEX_RESOLV_CONF"]
            host.annex("delete", "--force", "box", timeout=machines.BOOT)


def test_an_isolated_machine_is_heard_by_nobody(box, busybox):
    heard, asked, printed = box.attempt(busybox.inspect()["network"]["address"])
    assert heard == set()
    assert asked == set()
    assert "tcp:002741428185" in printed  # REFUSED
    assert ROUTER not in printed and "the peer answers" not in printed


def test_an_isolated_machine_reaches_what_is_allowed_and_nothing_beside(box):
    if not box.neighbour:
        pytest.skip("a neighbour of the host takes root, and network namespaces")
    machine = box.machine
    fetch = "timeout 5 wget -q -O - http://{}:{}/{} || echo refused"
    assert machine.sh(fetch.format(OUTSIDE, OUTSIDE_PORT, "before")) == "refused\n"
    assert machine.sh(fetch.format("allowed.example", OUTSIDE_PORT, "allowed")) == "reached\n"
    assert machine.sh(fetch.format(OUTSIDE, OUTSIDE_PORT + 1, "beside")) == "refused\n"
    # Its owner says that it is this host.
    assert machine.sh(fetch.format("evil.example", box.port, "evil")) == "refused\n"
    assert machine.sh(fetch.format(host_address(), box.port, "evil")) == "refused\n"
    assert box.ears.heard.count("allowed") == 1
    assert not {"before", "beside", "evil"} & set(box.ears.heard)
    assert "evil.example" in box.ears.asked


def test_a_machine_asks_by_tcp_too(box):
    address = socket.inet_aton(box.machine.inspect()["network"]["address"]).hex()
    assert box.machine.sh(by_tcp("box.annex.internal")).endswith(address)


def test_what_may_be_reached_changes_at_once(box):
    if not box.neighbour:
        pytest.skip("a neighbour of the host takes root, and network namespaces")
    fetch = f"timeout 5 wget -q -O - http://{OUTSIDE}:{OUTSIDE_PORT + 1}/changed || echo refused"
    box.machine.host.ok("set", "-n", "box", f"allow={OUTSIDE}:{OUTSIDE_PORT + 1}")
    assert box.machine.sh(fetch) == "reached\n"
    box.machine.host.ok("set", "-n", "box", f"allow=-{OUTSIDE}:{OUTSIDE_PORT + 1}")
    assert box.machine.sh(fetch) == "refused\n"


def test_an_address_that_the_host_gets_while_the_machine_runs_is_the_hosts(box):
    if not box.neighbour:
        pytest.skip("a neighbour of the host takes root, and network namespaces")
    address = "203.0.113.77"
    fetch = f"timeout 5 wget -q -O - http://{address}:{box.port}/later || echo refused"
    box.machine.host.ok("set", "-n", "box", "allow=203.0.113.0/24")
    subprocess.run(["ip", "address", "add", f"{address}/32", "dev", f"annex-{os.getpid()}"[:15]], check=True)
    assert box.machine.sh(fetch) == "refused\n"
    assert "later" not in box.ears.heard
    box.machine.host.ok("set", "-n", "box", "allow=-203.0.113.0/24")


def test_the_same_attempts_are_heard_when_it_is_not_isolated(box, busybox):
    box.machine.host.ok("set", "-n", "box", "--now", "isolate=off", timeout=machines.BOOT)
    box.machine.ok("sh", "-c", "cat >/tmp/forge && chmod 755 /tmp/forge", options=("--root",), input=TOOL.read_bytes(), text=False)
    heard, asked, printed = box.attempt(busybox.inspect()["network"]["address"])
    _, honest = box.frames()
    wanted = honest | {"tcp-router", "tcp-lan"} | ({"outside", "tcp-outside"} if box.neighbour else set())
    if not host_address():
        wanted -= {"lan", "tcp-lan"}
    # And nothing of what no machine may do.
    assert heard == wanted
    assert {"secret.tunnel.example", "secret.stream.example"} <= asked
    assert "41428180" in printed
    assert ROUTER in printed and "the peer answers" in printed
    if box.neighbour:
        assert box.machine.sh(f"wget -q -O - http://203.0.113.77:{box.port}/later") == "reached\n"
