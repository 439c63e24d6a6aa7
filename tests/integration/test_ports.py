"""Ports as their user has them: the command line."""

import json
import pathlib
import sys

import pytest

from annex_test import check_failure

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "fakes"))

from machine import Machine  # noqa: E402

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
     "to take its place: annex set publish=-0.0.0.0:9000-9001:1-2 first"),
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
    check_failure(host.annex("set", f"publish={value}"), 3 if value == "-9001" else 2, f"set dev: {message}", hint)
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
