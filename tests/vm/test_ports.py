"""Ports of machines, by services that come and go, and by several machines. tests/vm/test_network_servers.py has real servers."""

import json
import socket
import urllib.request

import pytest

import machines
from machines import BOOT, wait_until

# Services come and go faster than anybody looks.
FLAPS = """
for i in $(seq 100); do
	nc -l -p 8099 </dev/null >/dev/null 2>&1 &
	usleep $((i % 7 * 9000))
	kill $!
	wait $! 2>/dev/null || :
done
"""


def ports(machine):
    return json.loads(machine.host.ok("port", machine.name, "--format", "json"))


def places(machine):
    return {port["port"]: (port["host"], port["host-port"]) for port in ports(machine)
            if port["state"] == "open" and not port["published"]}


def fetch(place):
    """What the machine's server says; from this process, who may be root."""
    with urllib.request.urlopen("http://%s:%d/" % place, timeout=machines.BOOT) as answer:
        return answer.read().decode().strip()


def is_refused(place):
    try:
        socket.create_connection(place, machines.BOOT).close()
    except ConnectionRefusedError:
        return True
    return False


def serve(machine, port, text):
    machine.sh(f"mkdir -p /tmp/{port} && echo {text} >/tmp/{port}/index.html && httpd -p {port} -h /tmp/{port}")


def free_ports(count):
    """As many in a row that are free now."""
    for first in range(21000, 32000, count):
        try:
            with_all = [socket.create_server(("127.0.0.1", first + i)) for i in range(count)]
        except OSError:
            continue
        for one in with_all:
            one.close()
        return first
    raise OSError("none")


@pytest.fixture
def served(busybox):
    """A machine with a server at port 8080."""
    serve(busybox, 8080, "first")
    yield busybox
    busybox.sh("killall -q httpd nc; rm -rf /tmp/80*; true")
    wait_until(lambda: places(busybox) == {}, "nothing listens any more")


def test_a_service_appears_and_vanishes_with_all_that_is_published_of_it(served):
    first = free_ports(3)
    address = served.inspect()["ip"]
    assert places(served) == {8080: (address, 8080)} and fetch((address, 8080)) == "first"
    served.host.ok("port", "add", "-n", served.name, f"{first}-{first + 2}:8080-8082", f"[::1]:{first}:8081")
    serve(served, 8082, "third")
    assert fetch(places(served)[8082]) == "third"
    assert [fetch(("127.0.0.1", port)) for port in (first, first + 2)] == ["first", "third"]
    assert not is_refused(("127.0.0.1", first + 1)) and not is_refused(("::1", first))
    states = {port["host-port"]: port["state"] for port in ports(served) if port["published"] and port["host"] == "127.0.0.1"}
    assert states == {first: "open", first + 1: "waiting", first + 2: "open"}
    served.sh("killall httpd")
    wait_until(lambda: is_refused((address, 8080)) and is_refused((address, 8082)), "the ports have gone")
    served.host.ok("port", "rm", "-n", served.name, f"{first}-{first + 2}", f"[::1]:{first}")
    assert ports(served) == [] and is_refused(("127.0.0.1", first))


def test_a_port_that_flaps_is_what_it_is_at_the_end(served):
    address = served.inspect()["ip"]
    served.sh(FLAPS, timeout=BOOT)
    wait_until(lambda: is_refused((address, 8099)), "it does not listen")
    assert places(served) == {8080: (address, 8080)}
    serve(served, 8099, "last")
    assert places(served) == {8080: (address, 8080), 8099: (address, 8099)}
    assert fetch((address, 8099)) == "last"


def test_two_machines_have_the_same_ports(served):
    host, port = served.host, free_ports(1)
    host.ok("set", "-n", served.name, f"publish={port}:8080")
    try:
        failed = host.annex("create", f"oci:{machines.annex_test.image('busybox')}", "-n", "twin", "--home-mount", "none",
                            "--memory", "256M", "--cpus", "1", "-p", f"{port}:8080", timeout=BOOT)
        assert failed.returncode == 4, failed.stderr
        assert failed.stderr.splitlines()[-2].endswith(
            f": machine 'twin' was made and stays: cannot start machine 'twin': port 127.0.0.1:{port} is taken by machine '{served.name}'")
        assert failed.stderr.splitlines()[-1] == f"hint: for any free port: annex set -n twin publish=-{port}:8080 publish=0:8080"
        twin = machines.Machine(host, "twin")
        host.ok("set", "-n", "twin", f"publish=-{port}:8080", "publish=0:8080")
        twin.up()
        serve(twin, 8080, "second")
        for machine, text in ((served, "first"), (twin, "second")):
            assert fetch(places(machine)[8080]) == text
            [published] = [port for port in ports(machine) if port["published"]]
            assert published["kept"] and fetch((published["host"], published["host-port"])) == text
        host.ok("delete", "-f", "twin", timeout=BOOT)
    finally:
        host.ok("set", "-n", served.name, f"publish=-{port}:8080")
