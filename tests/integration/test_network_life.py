"""A machine's network as its supervisor runs it: annex-network and passt come and go, and so does what the host knows of
names. The guest is the test."""

import json
import os
import pathlib
import signal
import socket
import struct
import subprocess
import sys
import threading

import pytest

from annex_test import TIMEOUT

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "fakes"))

from machine import Machine, is_alive, wait_for  # noqa: E402

# Its connection is descriptor 3. What it does is in the file beside it, looked up as it starts.
PASST = """#!/bin/sh
[ "$1" = --version ] && exec cat "$0.version"
case "$(cat "$0.does")" in
broken) echo "External interface not usable" >&2; exit 1;;
*) echo "$@" >> "$0.log"; exec cat <&3 >/dev/null;;
esac
"""


class Passt:
    def __init__(self, host):
        self.path = host.file("passt", PASST)
        self.path.chmod(0o755)
        self.log = pathlib.Path(f"{self.path}.log")
        self.does("carry")
        self.calls_itself("2025_09_11.8a29a4f")

    def does(self, what):
        pathlib.Path(f"{self.path}.does").write_text(what)

    def calls_itself(self, version):
        pathlib.Path(f"{self.path}.version").write_text(f"passt {version}\n")

    @property
    def starts(self):
        return len(self.log.read_text().splitlines()) if self.log.exists() else 0


@pytest.fixture
def passt(user_host):
    made = Passt(user_host)
    return made


@pytest.fixture
def make(user_host, passt):
    """A function that makes a machine with these settings; it does not run yet."""
    machines = []

    def make(**settings):
        made = Machine(user_host, **{"home-mount": "none", "network": "auto", **settings})
        machines.append(made)
        made.env.update({"ANNEX_PASST": str(passt.path), "ANNEX_MACHINE": "dev",
                         "ANNEX_RESOLV_CONF": str(user_host.file("resolv.conf", "nameserver 192.0.2.1\nsearch a.example\n"))})
        user_host.env.update(made.env)
        return made

    yield make
    for made in machines:
        made.close()
        subprocess.run(["rm", "-rf", made.folder], check=True)


def inspect(host):
    return json.loads(host.ok("inspect", "dev"))[0]


def children(machine, name):
    """The ids of the supervisor's children of this name."""
    found = subprocess.run(["pgrep", "-P", str(machine.started[-1].pid), "-f", name], capture_output=True, text=True)
    return [int(pid) for pid in found.stdout.split() if is_alive(pid)]


def network_of(machine):
    return children(machine, "annex-network")


def run(machine):
    _, guest = machine.run()
    machine.connect(watch=True).expect_state("running")
    return guest


def end(machine, guest):
    """What its supervisor has said."""
    guest.power_off()
    out, errors = machine.started[-1].communicate(timeout=TIMEOUT)
    assert machine.started[-1].returncode == 0, errors
    return errors


def test_the_guest_is_told_its_network_and_inspect_tells_it(user_host, make):
    machine = make()
    guest = run(machine)
    config, told = guest.config, inspect(user_host)["network"]
    assert config.network == "ethernet" and config.domain == "annex.internal" and config.search == ["a.example"]
    place = told["host"].removeprefix("127.88.")
    assert config.address == f"198.19.{place}/16" and config.gateway == "198.19.255.1" and config.dns == "198.19.255.53"
    assert config.address6 == told["address6"] + "/64" and config.mtu == 65520 and len(config.marker) == 16
    assert told == {"uplink": "passt", "name": "default", "host": f"127.88.{place}", "address": f"198.19.{place}",
                    "address6": told["address6"]}
    assert inspect(user_host)["ip"] == told["host"]
    end(machine, guest)
    assert inspect(user_host)["network"] is None


def test_a_network_that_is_killed_is_started_anew_and_the_guest_goes_on(user_host, make, passt):
    machine = make()
    guest = run(machine)
    marker, carriers = guest.config.marker, passt.starts
    for _ in range(2):
        before, = network_of(machine)
        os.kill(before, signal.SIGKILL)
        mark = guest.link.expect("MARK").marker
        assert len(mark) == 16 and mark != marker
        marker = mark
        after, = network_of(machine)
        assert after != before
    wait_for(lambda: passt.starts == carriers + 2)
    told = inspect(user_host)
    assert (told["state"], told["network"]["uplink"]) == ("running", "passt")
    assert "annex-network was killed by signal 9 (Killed): it is started anew" in end(machine, guest)
    assert not any(is_alive(pid) for pid in (before, after))


def test_a_network_that_cannot_start_fails_the_machine(make):
    machine = make(network="none")
    program = machine.helpers / "annex-network"
    program.unlink()
    program.write_text("#!/bin/sh\nhead -c 1 <&3 >/dev/null\necho 'annex-network: no' >&2\nexit 1\n")
    program.chmod(0o755)
    machine.supervise()
    assert machine.started[0].wait(TIMEOUT) == 1
    assert "annex-network ended with status 1" in machine.failure["message"]


def test_a_network_that_dies_too_often_is_given_up_and_the_machine_is_not(user_host, make):
    machine = make(network="slirp")
    machine.env["ANNEX_TIMEOUT_SCALE"] = "0.01"
    guest = run(machine)
    first, = network_of(machine)
    program = machine.helpers / "annex-network"
    program.unlink()
    program.write_text("#!/bin/sh\nhead -c 1 <&3 >/dev/null\nexit 1\n")
    program.chmod(0o755)
    os.kill(first, signal.SIGKILL)
    for _ in range(10):
        guest.link.expect("MARK")
    wait_for(lambda: not network_of(machine))
    assert inspect(user_host)["state"] == "running"
    assert "it died too often" in end(machine, guest)


def test_a_passt_that_is_killed_is_followed_by_another(user_host, make, passt):
    machine = make(network="passt")
    guest = run(machine)
    network = network_of(machine)
    wait_for(lambda: passt.starts == 1)
    carrier, = children(machine, "cat|passt")
    os.kill(carrier, signal.SIGKILL)
    wait_for(lambda: passt.starts == 2)
    assert network_of(machine) == network and inspect(user_host)["network"]["uplink"] == "passt"
    assert "passt was killed by signal 9 (Killed): it is started anew" in end(machine, guest)
    wait_for(lambda: not children(machine, "cat|passt"))


def test_auto_is_slirp_where_passt_cannot_run(user_host, make, passt):
    passt.does("broken")
    machine = make(network="auto")
    guest = run(machine)
    wait_for(lambda: inspect(user_host)["network"]["uplink"] == "slirp")
    said = end(machine, guest)
    assert said.count("passt ended: External interface not usable: what goes outside is carried by slirp") == 1


def test_auto_is_slirp_where_there_is_no_passt(user_host, make):
    machine = make(network="auto")
    machine.env["ANNEX_PASST"] = "/no/such/passt"
    guest = run(machine)
    assert inspect(user_host)["network"]["uplink"] == "slirp"
    assert end(machine, guest).count("no passt at /no/such/passt") == 1


def test_auto_is_slirp_where_passt_loses_data(user_host, make, passt):
    passt.calls_itself("0.0~git20230309.7c7625d-1")
    machine = make(network="auto")
    guest = run(machine)
    assert inspect(user_host)["network"]["uplink"] == "slirp" and passt.starts == 0
    assert "passt (0.0~git20230309.7c7625d-1) loses data" in end(machine, guest)
    result = user_host.annex("doctor")
    assert "hint: install passt 2025_09_11 or later; network=passt takes this one all the same" in result.stdout


def test_passt_that_cannot_run_or_is_missing_fails_the_start(make, passt):
    passt.does("broken")
    machine = make(network="passt")
    machine.supervise()
    assert machine.started[-1].wait(TIMEOUT) == 1
    assert machine.failure["message"] == "passt ended: External interface not usable"
    assert "annex set -n dev network=auto" in machine.failure["hint"]
    machine.env["ANNEX_PASST"] = "/no/such/passt"
    machine.supervise()
    assert machine.started[-1].wait(TIMEOUT) == 1
    assert machine.failure["message"] == "no passt at /no/such/passt"


def test_nothing_of_it_outlives_a_supervisor_that_is_killed(make, passt):
    machine = make(network="passt")
    run(machine)
    wait_for(lambda: passt.starts == 1)
    left = network_of(machine) + children(machine, "cat|passt")
    assert len(left) == 2
    machine.started[-1].kill()
    wait_for(lambda: not any(is_alive(pid) for pid in left))


def test_search_domains_follow_the_host(user_host, make):
    machine = make(network="slirp")
    guest = run(machine)
    new = user_host.file("resolv.conf.new", "nameserver 192.0.2.1\nsearch b.example lan\n")
    used = new.rename(new.with_name("resolv.conf"))
    assert guest.link.expect("NAMES").search == ["b.example", "lan"]
    used.write_text("nameserver 192.0.2.1\n")
    assert guest.link.expect("NAMES").search == []


class Resolver:
    """A resolver of the host's: to every question for an address it says `address`."""

    def __init__(self, address):
        self.sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.sock.bind(("127.0.0.1", 0))
        self.server = f"nameserver 127.0.0.1#{self.sock.getsockname()[1]}\n"
        self.answer = b"\xc0\x0c" + struct.pack(">HHIH", 1, 1, 60, 4) + socket.inet_aton(address)
        threading.Thread(target=self.serve, daemon=True).start()

    def serve(self):
        while True:
            query, who = self.sock.recvfrom(4096)
            end = query.index(b"\0", 12) + 5
            self.sock.sendto(query[:2] + struct.pack(">HHHHH", 0x8180, 1, 1, 0, 0) + query[12:end] + self.answer, who)


def look_up(guest, name, number):
    """Ask the machine's resolver as the machine does, by a frame; the address that it answers, or None."""
    place = [int(byte) for byte in guest.config.address.split("/")[0].split(".")[2:]]
    labels = b"".join(bytes([len(label)]) + label.encode() for label in name.split("."))
    query = struct.pack(">HHHHHH", number, 0x100, 1, 0, 0, 0) + labels + b"\0" + struct.pack(">HH", 1, 1)
    datagram = struct.pack(">HHHH", 40000, 53, 8 + len(query), 0) + query
    header = bytearray(struct.pack(">BBHHHBBH4B4B", 0x45, 0, 20 + len(datagram), number, 0, 64, 17, 0, 198, 19, *place,
                                   198, 19, 255, 53))
    total = sum(struct.unpack(">10H", header))
    header[10:12] = struct.pack(">H", ~((total & 0xffff) + (total >> 16)) & 0xffff)
    guest.ethernet.sendall(bytes([2, 0x61, 0x6e, 0x78, 255, 53, 2, 0x61, 0x6e, 0x78, *place]) + b"\x08\0" + header + datagram)
    while True:
        frame = guest.ethernet.recv(65536)
        if frame[12:14] == b"\x08\0" and frame[23] == 17 and frame[42:44] == query[:2]:
            return socket.inet_ntoa(frame[-4:]) if frame[48:50] != b"\0\0" else None


def test_names_are_asked_of_whom_the_host_asks_at_that_moment(user_host, make):
    machine = make(network="slirp")
    first, second = Resolver("192.0.2.11"), Resolver("192.0.2.22")
    conf = user_host.file("resolv.conf", first.server)
    hosts = user_host.file("hosts", "")
    machine.env["ANNEX_HOSTS"] = str(hosts)
    guest = run(machine)
    guest.ethernet.settimeout(TIMEOUT)
    asked = iter(range(1, 1000))

    def becomes(name, address):
        wait_for(lambda: look_up(guest, name, next(asked)) == address)

    becomes("one.example", "192.0.2.11")
    new = user_host.file("resolv.conf.new", second.server)
    new.rename(conf)
    becomes("two.example", "192.0.2.22")
    conf.write_text(first.server)
    becomes("three.example", "192.0.2.11")
    hosts.write_text("192.0.2.33 four.example four\n")
    becomes("four.example", "192.0.2.33")
    # A network that is started anew knows it from the start.
    os.kill(network_of(machine)[0], signal.SIGKILL)
    guest.link.expect("MARK")
    becomes("five.example", "192.0.2.11")
    assert look_up(guest, "four.example", 2000) == "192.0.2.33"


def test_what_it_may_reach_changes_while_it_runs(user_host, make):
    machine = make(network="slirp", isolate=True)
    guest = run(machine)
    told = inspect(user_host)
    assert {key: told["settings"][key] for key in ("home-mount", "ssh-agent", "host-access")} == {
        "home-mount": "none", "ssh-agent": "off", "host-access": "off"}
    assert told["network"]["name"] == "" and told["pending"] == {} and guest.config.search == []
    running = user_host.start("run", "--", "true", env={"SSH_AUTH_SOCK": "/tmp/agent"})
    opened = guest.accept()
    guest.link.send("EXIT", opened.stream)
    assert running.wait(TIMEOUT) == 0 and opened.forwards == []
    network = network_of(machine)
    for pair, allow in (("allow=deb.debian.org:443", ["deb.debian.org:443"]), ("allow=192.0.2.0/24", None), ("allow=-", [])):
        result = user_host.annex("set", pair)
        assert (result.returncode, result.stderr) == (0, "")
        told = inspect(user_host)
        assert told["pending"] == {} and (allow is None or told["settings"]["allow"] == allow)
    assert network_of(machine) == network
    result = user_host.annex("set", "isolate=false")
    assert result.stderr == "isolate=false will take effect after 'annex restart dev'\n"
    assert inspect(user_host)["settings"]["host-access"] == "off"
    end(machine, guest)


PROXIES = {"http_proxy": "http://ada:p%40ss@127.0.0.1:3128", "HTTPS_PROXY": "http://proxy.example:1", "no_proxy": "a.example"}
DIRECT = "a.example,.annex.internal,198.19.0.0/16,localhost,127.0.0.1,::1"


@pytest.mark.parametrize("settings,wanted", [
    ({}, {"http_proxy=http://ada:p%40ss@host.annex.internal:3128", "HTTPS_PROXY=http://proxy.example:1",
          f"no_proxy={DIRECT}", f"NO_PROXY={DIRECT}"}),
    ({"host-access": "off"}, {"HTTPS_PROXY=http://proxy.example:1", f"no_proxy={DIRECT}", f"NO_PROXY={DIRECT}"}),
    ({"isolate": True}, set())])
def test_a_machine_has_the_proxies_of_who_starts_it_and_a_session_those_of_who_opens_it(user_host, make, settings, wanted):
    machine = make(network="none", **settings)
    machine.env.update(PROXIES)
    guest = run(machine)
    assert set(guest.config.proxies) == wanted
    for env, told in (({}, set()), (PROXIES, wanted)):
        running = user_host.start("run", "--", "true", env=env)
        opened = guest.accept()
        guest.link.send("EXIT", opened.stream)
        assert running.wait(TIMEOUT) == 0
        assert {variable for variable in opened.login if "proxy" in variable.lower()} == told
    assert ("is left out" in end(machine, guest)) == ("host-access" in settings)


@pytest.mark.parametrize("ca", ["on", "off"])
def test_a_machine_gets_the_certificates_of_the_host_only_if_it_may(make, ca):
    """Whatever this host has of them."""
    machine = make(network="none", ca=ca)
    guest = run(machine)
    assert guest.config.trust == 1
    assert bool(guest.config.certificates) == (ca == "on" and b"BEGIN" in guest.config.certificates)
    end(machine, guest)


def test_its_processes_count_in_stats(user_host, make):
    machine = make(network="slirp")
    guest = run(machine)
    link = machine.connect()
    link.send("STATS")
    guest.link.expect("MEASURE")
    guest.link.send("MEASURED")
    held = sum(int(line.split()[1]) << 10 for pid in network_of(machine)
               for line in pathlib.Path(f"/proc/{pid}/status").read_text().splitlines() if line.startswith("RssAnon:"))
    assert link.expect("USAGE").resident > held > 0
