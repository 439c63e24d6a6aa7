"""Machines among themselves: a pair in the default network, and one in a network of its own."""

import hashlib
import json
import os
import signal

import pytest

import machines
from machines import wait_until

HASH = ["-l", "-e", "sha256sum"]  # of nc: it answers with the hash of what it was sent


@pytest.fixture(scope="module")
def pair(busybox_machine):
    """The shared machine, and one of this file's; both have the same 50 MiB in /tmp/blob."""
    web, host = busybox_machine.up(), busybox_machine.host
    db = machines.create(host, "busybox", "db", "--memory", "128M", "--cpus", "1")
    blob = os.urandom(1 << 20)
    for machine in (web, db):
        machine.ok("/bin/sh", "-c", "cat > /tmp/mib; for i in $(seq 50); do cat /tmp/mib; done > /tmp/blob",
                   input=blob, text=False)
    yield web, db, blob
    web.ok("rm", "-f", "/tmp/blob", "/tmp/mib")
    host.ok("delete", "--force", "db", timeout=machines.BOOT)


@pytest.fixture(scope="module")
def stranger(pair):
    """In another network."""
    host = pair[0].host
    host.ok("network", "create", "lab")
    yield machines.create(host, "busybox", "stranger", "--memory", "128M", "--cpus", "1", "--network", "lab")
    host.ok("delete", "--force", "stranger", timeout=machines.BOOT)
    host.ok("network", "delete", "lab")


def addresses(machine):
    """Those that it has among machines."""
    for network in json.loads(machine.host.ok("network", "list", "--format", "json")):
        for row in network["machines"]:
            if row["name"] == machine.name:
                return row["address"], row["address6"]
    raise LookupError(machine.name)


def resolve(machine, name):
    """All addresses that a name has there; none: nobody has it."""
    done = machine.run("nslookup", name)
    lines = done.stdout.splitlines()
    return {line.split()[-1] for line in lines[3:] if line.startswith("Address")} if done.returncode == 0 else set()


def ping(machine, *words):
    return machine.run("ping", "-c", "1", "-W", "1", *words, options=["--root"])


def listen(machine, port, *arguments):
    """Have nc listen for one connection."""
    machine.host.ok("run", "-d", "-n", machine.name, "--", "nc", "-p", str(port), *arguments)
    wait_until(lambda: f":{port} " in machine.ok("netstat", "-lnt"), f"{machine.name} listens at {port}")


def test_names_have_addresses(pair):
    web, db, _ = pair
    for asking in (web, db):
        for named in (web, db):
            assert resolve(asking, named.name) == set(addresses(named))
            assert resolve(asking, f"{named.name}.annex.internal") == set(addresses(named))
    assert resolve(web, "nobody.annex.internal") == set()


@pytest.mark.parametrize("program", ["ping -4", "ping -6"])
def test_machines_answer_pings(pair, program):
    web, db, _ = pair
    for asking, named in ((web, db), (db, web), (web, web)):
        asking.sh(f"{program} -c 1 -W 10 {named.name}")


def test_much_passes_both_ways_at_once(pair):
    web, db, blob = pair
    digest = hashlib.sha256(blob * 50).hexdigest()
    listen(web, 7001, *HASH)
    listen(db, 7001, *HASH)
    sending = [machine.popen("/bin/sh", "-c", f"nc {to} 7001 < /tmp/blob", text=True)
               for machine, to in ((web, "db"), (db, web.name))]
    for process in sending:
        said, complaint = process.communicate(timeout=machines.BOOT)
        assert (process.returncode, said.split()[:1]) == (0, [digest]), complaint


def test_much_passes_by_ipv6(pair):
    web, db, _ = pair
    listen(db, 7002, *HASH)
    said = web.ok("/bin/sh", "-c", f"nc {addresses(db)[1]} 7002 < /tmp/mib && sha256sum < /tmp/mib")
    assert said.splitlines()[0] == said.splitlines()[1]


def test_each_has_its_own_service_at_the_same_port(pair):
    web, db, _ = pair
    for machine in pair[:2]:
        machine.sh("mkdir -p /tmp/www && hostname > /tmp/www/name && httpd -p 8080 -h /tmp/www")
    for asking in (web, db):
        for named in (web, db):
            assert asking.ok("wget", "-q", "-O", "-", f"http://{named.name}:8080/name") == f"{named.name}\n"
    for machine in pair[:2]:
        machine.sh("killall httpd")


def test_a_killed_network_comes_back_under_its_connections(pair):
    web, db, blob = pair
    digest = hashlib.sha256(blob * 4).hexdigest()
    db.ok("/bin/sh", "-c", "cat > /tmp/parts && chmod +x /tmp/parts",
          input="#!/bin/sh\ncat /tmp/mib\nwhile [ ! -e /tmp/go ]; do sleep 0.1; done\n"
                "cat /tmp/mib /tmp/mib /tmp/mib\n")
    listen(db, 7003, "-l", "-e", "/tmp/parts")
    receiving = web.popen("/bin/sh", "-c", "nc db 7003 > /tmp/got; sha256sum < /tmp/got", text=True)
    wait_until(lambda: web.run("/bin/sh", "-c", "test $(stat -c %s /tmp/got) -ge 1048576").returncode == 0, "half came")
    for machine in (db, web):
        old, = machine.children("annex-network")
        os.kill(old, signal.SIGKILL)
        wait_until(lambda: [pid for pid in machine.children("annex-network") if pid != old], "another one runs")
    db.ok("touch", "/tmp/go")
    said, complaint = receiving.communicate(timeout=machines.BOOT)
    assert (receiving.returncode, said.split()[0]) == (0, digest), complaint
    wait_until(lambda: resolve(web, "db") == set(addresses(db)), "the name is known")
    db.sh(f"ping -c 1 -W 10 {web.name}")
    assert web.state == db.state == "running"
    web.ok("rm", "/tmp/got")


def test_nobody_sends_as_another(pair):
    web, db, _ = pair
    web.sh("ip address add 198.19.9.9/32 dev eth0")
    try:
        assert ping(web, "-I", "198.19.9.9", addresses(db)[0]).returncode == 1
        web.sh(f"ping -c 1 -W 10 {addresses(db)[0]}")
    finally:
        web.sh("ip address del 198.19.9.9/32 dev eth0")


def test_another_network_is_out_of_reach(pair, stranger):
    web, db, _ = pair
    assert resolve(stranger, "stranger") == set(addresses(stranger))
    for asking, named in ((stranger, web), (stranger, db), (db, stranger)):
        assert resolve(asking, named.name) == set()
    for asking, address in ((stranger, addresses(db)[0]), (stranger, addresses(web)[1]), (db, addresses(stranger)[0])):
        assert ping(asking, address).returncode == 1
    assert web.host.annex("network", "delete", "lab").returncode == 4


def test_a_machine_that_stopped_has_no_name(pair):
    """The last one: the pair is one no more."""
    web, db, _ = pair
    folder = web.host.folder / "run" / "annex" / "networks" / "default"
    assert (folder / "db").is_symlink()
    db.stop("--time", "0")
    assert resolve(web, "db") == set()
    assert not [path.name for path in folder.iterdir() if path.name in ("db", addresses(db)[0].removeprefix("198.19."))]
