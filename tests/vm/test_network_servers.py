"""The network with real servers, in the machine and on its host: nginx, PostgreSQL, iperf3, dnsmasq, socat.

One machine for all of it. What goes outside is tried with what network=auto takes, then with slirp, and after the machine's
second start with passt; where that can't run, as on a host without a route to anywhere, its turn is skipped.
"""

import contextlib
import hashlib
import json
import os
import pathlib
import socket
import struct
import tempfile
import time

import pytest

import annex_test
import machines
import networks
import registries
import servers
from annex_test import TIMEOUT
from machines import BOOT, is_alive, wait_until
from networks import as_user, dial, passt, service, wait_place

HOST = "host.annex.internal"
PEER = annex_test.BUILD / "tests" / "network-peer"
AT_ONCE = 1000
LARGE = 24 << 20
MANY = [f"203.0.113.{number}" for number in range(1, 100)]  # more than fit into a datagram


@pytest.fixture(scope="module")
def authority():
    with tempfile.TemporaryDirectory(prefix="annex-authority-", dir="/var/tmp") as folder:
        os.chmod(folder, 0o755)
        yield registries.Authority(pathlib.Path(folder) / "ca")


@pytest.fixture(scope="module")
def network_host(authority):
    with contextlib.closing(networks.Host(annex_test.unprivileged(), authority.ca)) as made:
        made.ok("kernel", "install", "--deb", annex_test.kernel_package(), timeout=BOOT)
        yield made


@pytest.fixture(scope="module")
def machine(network_host):
    made = machines.create(network_host, "services", "network", "--memory", "1G")
    made.run("systemctl", "is-system-running", "--wait", timeout=BOOT)
    made.ok("sh", "-c", "cat >/usr/local/bin/network-peer; chmod 755 /usr/local/bin/network-peer", options=["--root"], input=PEER.read_bytes(),
            text=False)
    return made


# Into the machine

def test_nginx_is_at_the_machines_address(machine):
    where = wait_place(machine, 80)
    with dial(where) as client:
        client.sendall(b"GET / HTTP/1.0\r\n\r\n")
        answer = b"".join(iter(lambda: client.recv(1 << 16), b""))
    assert answer.startswith(b"HTTP/1.1 200 OK") and b"nginx" in answer


def postgresql(where, query):
    """What a PostgreSQL server that trusts us answers, by its protocol (version 3)."""
    def message(kind, body):
        return kind + struct.pack("!i", len(body) + 4) + body

    def read(size):
        data = b""
        while len(data) < size:
            piece = client.recv(size - len(data))
            assert piece, "the server went away"
            data += piece
        return data

    with dial(where) as client:
        client.sendall(message(b"", struct.pack("!i", 3 << 16) + b"user\0postgres\0\0"))
        answers, asked = [], False
        while True:
            kind, size = struct.unpack("!ci", read(5))
            body = read(size - 4)
            assert kind != b"E", body
            answers += [body] if kind == b"D" else []
            if kind == b"Z" and asked:
                return answers
            if kind == b"Z":
                client.sendall(message(b"Q", query.encode() + b"\0"))
                asked = True


def test_postgresql_that_listens_on_its_loopback_is_there_too(machine):
    assert "127.0.0.1:5432" in machine.sh("ss -ltn")
    machine.sh("sed -i '1i host all postgres 127.0.0.1/32 trust' /etc/postgresql/*/main/pg_hba.conf && "
               "systemctl reload 'postgresql@*'")
    where = wait_place(machine, 5432)
    assert postgresql(where, "select repeat('x', 100000), 6 * 7")[0].endswith(b"x" * 100000 + struct.pack("!i", 2) + b"42")


DATAGRAMS = ["-u", "-b", "4M", "-l", "1200"]


def iperf(run, host, port, *kinds):
    """iperf3 by `run`, both ways and as told. Its server is not there for a moment after each."""
    for more in ([], ["-R"], *kinds):
        for last in (False, False, False, False, True):
            said = json.loads(run("iperf3", "-4", "-c", host, "-p", port, "-t", "1", "-J", *more).stdout)
            if "error" not in said:
                break
            assert not last, said["error"]
            time.sleep(1)
        end = said["end"]
        assert end.get("sum_received", end.get("sum"))["bytes"] > 0


def test_iperf3_finds_all_it_needs_at_one_port(machine):
    """Its control connection, and its data both ways. Its socket for datagrams it makes when they are already on their way,
    which is too late for a port that follows what listens."""
    with service(machine, "/usr/bin/iperf3", "-s", "-p", "5301"):
        host, port = wait_place(machine, 5301)
        iperf(lambda *argv: as_user(machine, *argv), host, port)


def test_datagrams_come_back_from_the_machine(machine):
    with service(machine, "/usr/bin/socat", "UDP4-RECVFROM:5353,fork", "EXEC:cat"):
        where = wait_place(machine, 5353, "udp")
        for size in (1, 1472, 1473, 8000):
            data = os.urandom(size)
            assert as_user(machine, "/usr/bin/python3", "-c", """if True:
                import socket, sys
                client = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
                client.settimeout(1)
                data = bytes.fromhex(sys.argv[3])
                for _ in range(60):
                    client.sendto(data, (sys.argv[1], int(sys.argv[2])))
                    try:
                        print(client.recv(65535) == data)
                        break
                    except TimeoutError:  # a datagram may be lost
                        pass
                """, *where, data.hex()).stdout == "True\n"


# Out of the machine

class Way:
    """How a machine reaches a server of the host: by which address, `there`, one that listens at `here`."""

    def __init__(self, machine, there, here):
        self.machine, self.there, self.here = machine, there, here


def outward():
    """The host's own address, that of the route to elsewhere; None: it has none."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("1.1.1.1", 9))  # sends nothing
            return probe.getsockname()[0]
        except OSError:
            return None


@pytest.fixture(scope="module", params=["auto", "slirp"])
def way(machine, request):
    """What is outside; the host's own address stands for all others. The host's loopback, where that is all it has."""
    if request.param == "slirp":
        if not passt(machine):
            pytest.skip("auto does not take passt on this host: slirp had its turn")
        networks.forbid_passt(machine)
    return Way(machine, outward() or HOST, outward() or "127.0.0.1")


@pytest.fixture(scope="module")
def by_passt(machine):
    """The machine with passt."""
    if not passt(machine):
        pytest.skip("passt does not run on this host")
    return Way(machine, outward(), outward())


def test_services_on_the_host_s_loopback_are_reached(machine):
    with servers.Iperf() as server:
        iperf(lambda *argv: machine.run(*argv, timeout=2 * TIMEOUT), HOST, server.port, DATAGRAMS)


def test_iperf3_outside_is_reached(way):
    with servers.Iperf(way.here) as server:
        iperf(lambda *argv: way.machine.run(*argv, timeout=2 * TIMEOUT), way.there, server.port, DATAGRAMS)


def test_large_transfers_are_exact_both_ways_and_each_way_ends_for_itself(way):
    with servers.Returning(way.here) as returning:
        sums = way.machine.ok("sh", "-c", f"""
            head -c {LARGE} /dev/urandom >/tmp/data
            sha256sum </tmp/data
            socat -t {TIMEOUT:.0f} - TCP:{way.there}:{returning.port} </tmp/data | sha256sum
            rm /tmp/data""", timeout=3 * TIMEOUT).splitlines()
    assert len(sums) == 2 and sums[0] == sums[1]


def test_a_slow_reader_in_the_machine_gets_all(way):
    data = os.urandom(LARGE)
    with socket.create_server((way.here, 0)) as listener:
        listener.settimeout(TIMEOUT)
        port = listener.getsockname()[1]
        script = f"socat -u TCP:{way.there}:{port} - | (head -c 1 >/tmp/first; read go </tmp/go; sha256sum)"
        way.machine.ok("sh", "-c", "rm -f /tmp/go /tmp/first; mkfifo /tmp/go")
        with way.machine.popen("sh", "-c", script, text=True) as session:
            connection = listener.accept()[0]
            with connection:
                # It is full when for a while nothing more goes out.
                connection.settimeout(1)
                done = 0
                with contextlib.suppress(TimeoutError):
                    while done < len(data):
                        done += connection.send(data[done:done + 65536])
                assert done < len(data), "nothing held it up"
                connection.settimeout(TIMEOUT)
                way.machine.ok("sh", "-c", "echo >/tmp/go")
                connection.sendall(data[done:])
            assert session.communicate(timeout=TIMEOUT)[0].split()[0] == hashlib.sha256(data[1:]).hexdigest()


def test_a_thousand_connections_at_once(way):
    with servers.Peer(PEER) as peer:
        script = f"ulimit -n 4096; /usr/local/bin/network-peer hold {way.there} {peer.port} {AT_ONCE}"
        printed = way.machine.ok("sh", "-c", script, options=["--root"], timeout=2 * TIMEOUT)
        assert printed.split() == [str(AT_ONCE)] * 2


def test_datagrams_come_back_from_outside(way):
    script = """
        use IO::Socket::INET;
        my ($host, $port) = @ARGV;
        for my $size (1, 1472, 1473, 8000, 60000) {
            my ($data, $back) = ("x" x $size, "");
            my $socket = IO::Socket::INET->new(Proto => "udp", PeerAddr => $host, PeerPort => $port) or die $!;
            for (1..60) {  # one may be lost
                $socket->send($data);
                eval { local $SIG{ALRM} = sub { die }; alarm 1; $socket->recv($back, 65535); alarm 0 };
                last if length $back;
            }
            print $back eq $data ? "$size\\n" : "other\\n";
        }"""
    with servers.Echo(way.here) as echo:
        assert way.machine.ok("perl", "-e", script, way.there, echo.port).split() == ["1", "1472", "1473", "8000", "60000"]


def test_what_nobody_answers_is_refused(way):
    done = way.machine.run("socat", "-u", f"TCP:{way.there}:{servers.free_port()}", "-")
    assert done.returncode != 0 and "Connection refused" in done.stderr


# Names

@pytest.fixture(scope="module")
def resolvers():
    """Of a company: one that sends what is the company's to another; and one of a network that comes later."""
    with servers.Dnsmasq({"intra.corp.test": "203.0.113.130", "many.corp.test": MANY}) as corporate, \
            servers.Dnsmasq({"public.test": "203.0.113.110"}, {"corp.test": corporate.at}) as first, \
            servers.Dnsmasq({"other.test": "203.0.113.120"}, {"corp.test": corporate.at}) as other:
        yield first, other


def find(machine, name):
    """The addresses of a name in the machine."""
    done = machine.run("getent", "ahostsv4", name)
    assert done.returncode in (0, 2), done.stderr
    return sorted({line.split()[0] for line in done.stdout.splitlines()})


def wait_found(machine, name, *addresses):
    wait_until(lambda: find(machine, name) == sorted(addresses), f"{name} is {addresses or 'not found'}")


def test_names_are_found_where_the_host_finds_them(machine, resolvers):
    machine.host.write("resolv.conf", f"nameserver {resolvers[0].at}\n")
    wait_found(machine, "public.test", "203.0.113.110")
    assert find(machine, "intra.corp.test") == ["203.0.113.130"]
    assert find(machine, "many.corp.test") == sorted(MANY)  # does not fit into a datagram
    assert find(machine, "none.test") == [] and resolvers[0].was_asked("none.test")
    assert not resolvers[1].was_asked("public.test")


def test_answers_change_with_the_resolver_s(machine, resolvers):
    resolvers[0].change({"public.test": "203.0.113.111"})
    wait_found(machine, "public.test", "203.0.113.111")


def test_another_network_of_the_host_is_the_machine_s_at_once(machine, resolvers):
    """A VPN that comes, with a resolver and a search domain, and goes."""
    machine.host.write("resolv.conf", f"search corp.test\nnameserver {resolvers[1].at}\n")
    wait_found(machine, "other.test", "203.0.113.120")
    wait_found(machine, "intra", "203.0.113.130")
    assert find(machine, "public.test") == []
    machine.host.write("resolv.conf", f"nameserver {resolvers[0].at}\n")
    wait_found(machine, "other.test")
    wait_found(machine, "intra")


def test_a_resolver_that_is_silent_is_passed_over(machine, resolvers):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as silent:
        silent.bind(("127.0.0.1", 0))
        at = f"127.0.0.1#{silent.getsockname()[1]}"
        machine.host.write("resolv.conf", f"nameserver {at}\nnameserver {resolvers[1].at}\n")
        wait_found(machine, "other.test", "203.0.113.120")


def test_the_host_s_own_names_are_found(machine, resolvers):
    machine.host.write("hosts", "203.0.113.140 printer.test printer\n")
    wait_found(machine, "printer.test", "203.0.113.140")
    assert find(machine, "printer") == ["203.0.113.140"]
    machine.host.write("hosts", "")
    wait_found(machine, "printer.test")


# A company's proxy

def test_a_proxy_that_looks_into_tls_is_used_and_trusted(machine, authority):
    """By its authority among those that the host's administrator trusts, and by the host's variables: to the machine its
    loopback is another."""
    if not machine.host.local:
        pytest.skip("only root, and not in a chroot, can give a host authorities of its own")
    certificate = authority.self_signed(("site.test",))
    with servers.Web("inspected\n", certificate) as site, \
            servers.Squid(authority, {"site.test": "127.0.0.1"}, machine.host.account) as squid:
        proxy = {"https_proxy": f"http://127.0.0.1:{squid.port}"}
        url = f"https://site.test:{site.port}/"
        assert machine.ok("curl", "-sS", url, env=proxy) == "inspected\n"
        assert f"CONNECT site.test:{site.port}" in squid.log()
        assert machine.ok("sh", "-c", "echo $https_proxy", env=proxy) == f"http://{HOST}:{squid.port}\n"
        done = machine.run("curl", "-sS", "--cacert", "/etc/hostname", url, env=proxy)
        assert done.returncode != 0 and "certificate" in done.stderr
        assert machine.run("curl", "-sS", url).returncode != 0  # there is no other way


# Whole

def test_the_host_s_services_can_be_forbidden(machine):
    def answer():
        return machine.run("curl", "-sS", "-m", str(TIMEOUT / 2), f"http://{HOST}:{sending.port}/", "--http0.9").returncode

    with servers.Sending(b"hello\n") as sending:
        assert answer() == 0
        machine.host.ok("set", "-n", machine.name, "host-access=off")
        assert answer() != 0
        machine.host.ok("set", "-n", machine.name, "host-access=on")
        assert answer() == 0


def listens(address):
    """Is there a socket of this address that listens?"""
    wanted = "".join(f"{int(part):02X}" for part in reversed(address.split(".")))
    return [line for line in pathlib.Path("/proc/net/tcp").read_text().splitlines()[1:]
            if line.split()[1].startswith(wanted) and line.split()[3] == "0A"]


def start_with_passt(machine):
    """Starts it; with passt where that can run."""
    (machine.host.folder / "no-passt").unlink(missing_ok=True)
    machine.host.ok("set", "-n", machine.name, "network=passt")
    done = machine.host.annex("start", machine.name, timeout=BOOT)
    if done.returncode:
        assert "passt" in done.stderr, done.stderr
        machine.host.ok("set", "-n", machine.name, "network=auto")
        machine.up()


def test_nothing_is_left_of_a_killed_supervisor_in_the_midst_of_transfers(machine):
    """And the next start begins anew, at the same address."""
    with servers.Hashing() as hashing, contextlib.ExitStack() as stack:
        where = wait_place(machine, 80)
        address = where[0]
        upload = machine.popen("sh", "-c", f"echo go; exec socat -u OPEN:/dev/zero TCP:{HOST}:{hashing.port}")
        stack.callback(upload.communicate)
        assert upload.stdout.readline() == b"go\n"
        client = stack.enter_context(dial(where))
        client.sendall(b"GET / HTTP/1.1\r\n")
        pids = [pid for name in ("annex-supervisor", "annex-network", "qemu-system-x86_64") for pid in machine.children(name)]
        assert len(pids) == 3
        pids += passt(machine)
        os.kill(pids[0], 9)
        with contextlib.suppress(ConnectionResetError):
            assert client.recv(1) == b""
        wait_until(lambda: not any(map(is_alive, pids)), "all of it has ended")
    assert listens(address) == []
    start_with_passt(machine)
    assert wait_place(machine, 80) == where
    test_nginx_is_at_the_machines_address(machine)


# passt, behind the start above

def test_iperf3_is_reached_through_passt(by_passt):
    test_iperf3_outside_is_reached(by_passt)


def test_what_nobody_answers_is_refused_through_passt(by_passt):
    test_what_nobody_answers_is_refused(by_passt)


def test_a_thousand_connections_at_once_go_through_passt(by_passt):
    test_a_thousand_connections_at_once(by_passt)


def test_datagrams_come_back_through_passt(by_passt):
    test_datagrams_come_back_from_outside(by_passt)


def test_large_transfers_through_passt_are_exact(by_passt):
    """Without half-closed connections: versions of passt before September 2025 break them."""
    with servers.Sending(os.urandom(LARGE), by_passt.here) as sending:
        printed = by_passt.machine.ok("sh", "-c", f"socat -u TCP:{by_passt.there}:{sending.port} - | sha256sum",
                                      timeout=2 * TIMEOUT)
        assert printed.split()[0] == sending.digest


def test_passt_that_is_killed_is_started_again(by_passt):
    machine, pids = by_passt.machine, passt(by_passt.machine)
    index = machine.sh("cat /sys/class/net/eth0/ifindex /sys/class/net/eth0/carrier_changes")
    os.kill(pids[0], 9)
    wait_until(lambda: set(passt(machine)) - set(pids), "there is another passt")
    with servers.Sending(b"again\n", by_passt.here) as sending:
        assert machine.ok("socat", "-u", f"TCP:{by_passt.there}:{sending.port}", "-") == "again\n"
    assert machine.sh("cat /sys/class/net/eth0/ifindex /sys/class/net/eth0/carrier_changes") == index
