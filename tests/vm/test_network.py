"""The machine's way to the network."""

import contextlib
import hashlib
import http.server
import os
import signal
import socket
import subprocess
import threading
import urllib.parse

import machines
import pytest

HOST, HOST6 = "198.19.255.1", "fd61:6e6e:6578::ff01"  # host.annex.internal
BODY = bytes(range(256)) * (4 << 12)


def host_address():
    """One of the host's own, that is not of its loopback; None if it has none."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.99", 9))
        except OSError:
            return None
        return probe.getsockname()[0]


@pytest.fixture
def service():
    """The port of a web server on the host's addresses, those of its loopback among them."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200)
            self.end_headers()
            self.wfile.write(BODY if self.path == "/big" else b"served by the host\n")

        def log_message(self, *_):
            pass

    class Server(http.server.ThreadingHTTPServer):
        address_family = socket.AF_INET6

    with Server(("::", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server.server_address[1]
        server.shutdown()
        thread.join()


def uplink(machine):
    return machine.inspect()["network"]["uplink"]


def passts(machine):
    """It executes itself anew, as what fits the processor."""
    return machine.children("passt") + machine.children("passt.avx2")


def network_of(machine):
    """annex-network; it is started anew a moment after it has died."""
    found = []

    def is_there():
        found[:] = machine.children("annex-network")
        return found

    machines.wait_until(is_there, "annex-network")
    return found[0]


def start_network_anew(machine):
    """Also another try with passt."""
    before = network_of(machine)
    os.kill(before, signal.SIGKILL)
    machines.wait_until(lambda: network_of(machine) != before, "another annex-network")


@pytest.fixture(params=["passt", "slirp"])
def carried(busybox, request):
    """A machine, what it sends outside being carried by either. It doesn't notice the change."""
    if uplink(busybox) != "passt":
        start_network_anew(busybox)
    if request.param == "passt" and uplink(busybox) != "passt":
        pytest.skip("passt can't run on this host")
    while uplink(busybox) != request.param:
        for passt in passts(busybox):
            with contextlib.suppress(ProcessLookupError):
                os.kill(passt, signal.SIGKILL)
    yield busybox
    assert uplink(busybox) == request.param
    if request.param == "slirp":
        start_network_anew(busybox)


def fetch(machine, address, port):
    return machine.run("wget", "-q", "-O", "-", f"http://{address}:{port}/").stdout


def test_a_machine_reaches_services_of_the_host_when_it_may(carried, service):
    for address in (HOST, f"[{HOST6}]"):
        assert fetch(carried, address, service) == "served by the host\n"
    carried.host.ok("set", "-n", carried.name, "host-access=off")
    try:
        assert carried.inspect()["pending"] == {}
        for address in (HOST, f"[{HOST6}]", host_address()):
            if address:
                assert fetch(carried, address, service) == ""
    finally:
        carried.host.ok("set", "-n", carried.name, "host-access=on")
    assert fetch(carried, HOST, service) == "served by the host\n"


def test_transfers_are_whole_and_a_network_that_died_is_followed_by_one_that_works(busybox, service):
    sent = hashlib.sha256(BODY).hexdigest()
    for _ in range(2):
        assert busybox.sh(f"wget -q -O - http://{HOST}:{service}/big | sha256sum").split()[0] == sent
        start_network_anew(busybox)


def test_a_machine_has_its_addresses_routes_and_a_name_server(busybox, debian):
    for machine in (busybox, debian):
        place = machine.inspect()["ip"].removeprefix("127.88.")
        x, y = map(int, place.split("."))
        shown = machine.ok("ip", "address", "show", "dev", "eth0")
        assert f"inet 198.19.{place}/16" in shown and f"inet6 fd61:6e6e:6578::{x * 256 + y:x}/64" in shown
        assert f"link/ether 02:61:6e:78:{x:02x}:{y:02x}" in shown and "mtu 65520" in shown
        assert "default via 198.19.255.1 dev eth0" in machine.ok("ip", "route")
        assert "default via fd61:6e6e:6578::ff01 dev eth0" in machine.ok("ip", "-6", "route")
        assert "\nnameserver 198.19.255.53\nsearch annex.internal" in machine.ok("cat", "/etc/resolv.conf")
    assert busybox.inspect()["network"]["address"] != debian.inspect()["network"]["address"]
    assert debian.ok("getent", "ahostsv4", "host.annex.internal").startswith(HOST)
    name = debian.name
    assert debian.ok("hostname", "--fqdn") == f"{name}.annex.internal\n"
    assert debian.ok("getent", "ahostsv4", name).split()[0] == "198.19." + debian.inspect()["ip"].removeprefix("127.88.")


def test_a_session_has_the_proxies_of_who_opens_it(busybox):
    proxies = {"http_proxy": "http://ada:p%40ss@localhost:3128", "HTTPS_PROXY": "http://proxy.example:1", "no_proxy": "example.com"}
    shown = set(busybox.ok("env", env=proxies).splitlines())
    assert {"http_proxy=http://ada:p%40ss@host.annex.internal:3128", "HTTPS_PROXY=http://proxy.example:1",
            "no_proxy=example.com,.annex.internal,198.19.0.0/16,localhost,127.0.0.1,::1"} <= shown
    assert "proxy" not in busybox.ok("env").lower()


def name_that_the_host_knows():
    """Where the host gets its packages; None if it can't resolve that itself."""
    listed = subprocess.run(["apt-get", "indextargets", "--format", "$(SITE)"], stdout=subprocess.PIPE, text=True, check=False)
    for name in filter(None, (urllib.parse.urlsplit(line).hostname for line in listed.stdout.splitlines())):
        try:
            if socket.getaddrinfo(name, 80, socket.AF_INET):
                return name
        except OSError:
            continue
    return None


def test_names_are_resolved_as_on_the_host(debian):
    name = name_that_the_host_knows()
    if not name:
        pytest.skip("this host itself resolves no name that it gets packages from")
    assert debian.ok("getent", "ahostsv4", name)


def test_a_machine_can_be_without_network(noinit):
    assert [line.split(":")[0].strip() for line in noinit.ok("cat", "/proc/net/dev").splitlines()[2:]] == ["lo"]


def listeners(pid, family):
    """The addresses at which a process listens by TCP, as the kernel writes them."""
    with open(f"/proc/{pid}/net/{family}") as table:
        rows = [row.split() for row in table.readlines()[1:]]
    mine = set(links(pid))
    return {row[1].split(":")[0] for row in rows if row[3] == "0A" and f"socket:[{row[9]}]" in mine}


def links(pid):
    for name in os.listdir(f"/proc/{pid}/fd"):
        yield os.readlink(f"/proc/{pid}/fd/{name}")


def test_nobody_reaches_the_machine_from_outside(busybox):
    """QEMU and passt listen on nothing, annex-network on the host's loopback only: 127.0.0.0/8."""
    quiet = [busybox.inspect()["vmPid"], *(passts(busybox) if os.geteuid() == 0 else [])]
    assert not [pid for pid in quiet for family in ("tcp", "tcp6") if listeners(pid, family)]
    network = network_of(busybox)
    assert not listeners(network, "tcp6")
    assert all(address.endswith("7F") for address in listeners(network, "tcp"))
