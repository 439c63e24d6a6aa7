"""The machine's way to the network."""

import http.server
import os
import socket
import subprocess
import threading
import urllib.parse

import pytest


@pytest.fixture
def service():
    """The port of a web server on the host's loopback address."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b"served by the host\n")

        def log_message(self, *_):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server.server_address[1]
        server.shutdown()
        thread.join()


def test_a_machine_reaches_services_of_the_host(busybox, debian, service):
    assert busybox.ok("wget", "-q", "-O", "-", f"http://10.0.2.2:{service}/") == "served by the host\n"
    script = f"exec 3<>/dev/tcp/10.0.2.2/{service}; printf 'GET / HTTP/1.0\\r\\n\\r\\n' >&3; tail -n 1 <&3"
    assert debian.ok("bash", "-c", script) == "served by the host\n"


def test_a_machine_has_an_address_a_route_and_a_name_server(busybox, debian):
    assert "inet 10.0.2.15/24" in debian.ok("ip", "-4", "address", "show", "scope", "global")
    assert "default via 10.0.2.2" in busybox.ok("ip", "route")
    for machine in (busybox, debian):
        assert "nameserver 10.0.2.3" in machine.ok("cat", "/etc/resolv.conf")


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


def test_nobody_reaches_the_machine_from_outside(busybox):
    """QEMU listens on nothing."""
    vm = busybox.inspect()["vmPid"]
    listening = set()
    for name in ("tcp", "tcp6"):
        with open(f"/proc/{vm}/net/{name}") as table:
            listening |= {row.split()[9] for row in table.readlines()[1:] if row.split()[3] == "0A"}
    assert not {f"socket:[{inode}]" for inode in listening} & {link for link in links(vm)}


def links(pid):
    for name in os.listdir(f"/proc/{pid}/fd"):
        yield os.readlink(f"/proc/{pid}/fd/{name}")
