"""Shares whose machine, guest, server or client goes away in the middle, or answers what it should not."""

import json
import os
import signal
import subprocess
import time

from annex_test import TIMEOUT
from test_shares import asked, guest, home, machine, rows, shares  # noqa: F401 (fixtures; it knows where the next are)

from machine import wait_for
from protocol import KINDS


def volumes(machine):
    return json.loads((machine.folder / "machine.json").read_text())["settings"].get("volume", [])


def ended(running, status=None):
    out, errors = running.communicate(timeout=TIMEOUT)
    assert out == "" and (running.returncode == status if status is not None else running.returncode not in (0, -9))
    return errors


def test_what_a_guest_says_is_cut_short(host, guest):
    _, result = asked(host, guest, "mount", "data", "/srv", kind=KINDS["GUEST"], message="no " * 600000, hint="h" * 70000)
    assert result.returncode == 1 and result.stderr.startswith("annex: mount in dev: no no no")
    assert len(result.stderr) < 4096
    assert rows(host) == []


def test_an_answer_that_nobody_asked_for_ends_the_guest(host, machine, guest):
    guest.link.send("BOUND")
    assert machine.started[0].wait(TIMEOUT) != 0
    assert "BOUND that nobody asked for" in machine.failure["message"]


def test_a_machine_that_ends_in_the_middle(host, machine, guest):
    first = host.start("mount", "data", "/srv", text=True)
    guest.link.expect("BIND")
    second = host.start("mount", "notes", "/etc/notes", text=True)
    guest.power_off()
    for running in (first, second):
        assert ended(running).startswith("annex: ")
    assert machine.started[0].wait(TIMEOUT) == 0


def test_a_supervisor_that_is_killed_in_the_middle(host, machine, guest):
    running = host.start("set", "volume=data:/srv", text=True)
    guest.link.expect("BIND")
    machine.started[0].kill()
    assert ended(running).startswith("annex: ")
    assert volumes(machine) == []


def test_a_server_that_is_killed_in_the_middle(host, machine, guest):
    running = host.start("set", "volume=data:/srv", text=True)
    guest.link.expect("BIND")
    children = subprocess.run(["pgrep", "-x", "-P", str(machine.started[0].pid), "annex-share"], capture_output=True,
                              text=True).stdout.split()
    assert children
    os.kill(int(children[0]), signal.SIGKILL)
    guest.link.expect("SHUTDOWN")
    guest.power_off()
    assert ended(running).startswith("annex: ")
    assert machine.started[0].wait(TIMEOUT) != 0
    assert "annex-share was killed by signal 9" in machine.failure["message"]
    assert volumes(machine) == []


def test_a_guest_that_does_not_answer(host, machine, home):
    """Nobody waits for ever; what was asked is done when it answers."""
    machine.env["ANNEX_TIMEOUT_SCALE"] = "0.01"
    guest = machine.run()[1]
    first = host.start("mount", "data", "/srv", text=True)
    guest.link.expect("BIND")
    second = host.start("mount", "notes", "/etc/notes", text=True)
    for running in (first, second):
        assert ended(running).splitlines() == ["annex: mount in dev: the machine does not answer",
                                               "hint: annex mount -n dev shows what is shared"]
    guest.link.send("BOUND")
    guest.bind()
    wait_for(lambda: sorted(row[1] for row in rows(host)) == ["/etc/notes", "/srv"])
    assert host.start("umount", "/srv", text=True) and guest.bind("UNBIND").target == "/srv"
    wait_for(lambda: len(rows(host)) == 1)


def test_a_client_that_goes_away_in_the_middle(host, machine, guest, home):
    running = host.start("mount", "data", "/srv", text=True)
    guest.link.expect("BIND")
    other = host.start("mount", "notes", "/etc/notes", text=True)
    running.kill()
    running.wait(TIMEOUT)
    time.sleep(0.2)  # the supervisor has seen it
    guest.link.send("BOUND")
    assert guest.bind("UNBIND").target == "/srv", "nobody was told that it is there"
    guest.bind()
    assert ended(other, 0) == ""
    assert [row[1] for row in rows(host)] == ["/etc/notes"]


def test_a_setting_whose_client_goes_away_can_be_set_again(host, machine, guest, home):
    running = host.start("set", "volume=data:/srv", text=True)
    guest.link.expect("BIND")
    running.kill()
    running.wait(TIMEOUT)
    guest.link.send("BOUND")
    wait_for(lambda: len(rows(host)) == 1)
    assert volumes(machine) == []
    host.ok("set", "volume=data:/srv")
    assert volumes(machine) == [f"{home}/data:/srv"]
    assert [row[-1] for row in rows(host)] == ["yes"]


def test_volumes_are_replaced_or_stay(host, machine, guest, home):
    """In one place, one volume follows another; if that fails, the first is there again."""
    _, result = asked(host, guest, "set", "volume=data:/srv")
    assert result.returncode == 0, result.stderr
    running = host.start("set", "volume=notes:/srv", text=True)
    assert guest.bind("UNBIND").target == "/srv"
    assert guest.bind("BIND").share.split(" ", 2)[1:] == ["f", "/srv"]
    assert ended(running, 0) == ""
    assert volumes(machine) == [f"{home}/notes:/srv"]
    running = host.start("set", "volume=data:/srv", text=True)
    guest.bind("UNBIND")
    guest.bind("BIND", kind=KINDS["GUEST"], message="there is a file")
    assert guest.bind("BIND").share.split(" ", 2)[1:] == ["f", "/srv"]
    assert "there is a file" in ended(running, 1)
    assert volumes(machine) == [f"{home}/notes:/srv"]
    assert rows(host) == [[f"{home}/notes", "/srv", "rw", "auto", "yes"]]
    running = host.start("set", "volume=data:/srv", text=True)
    guest.bind("UNBIND", kind=KINDS["BUSY"], message="/srv is in use")
    assert "in use" in ended(running, 4)
    assert volumes(machine) == [f"{home}/notes:/srv"]
    assert rows(host) == [[f"{home}/notes", "/srv", "rw", "auto", "yes"]]


def test_clients_at_once_are_served_one_after_the_other(host, guest, home):
    running = [host.start("mount", "data", f"/srv/{i}", text=True) for i in range(8)]
    for _ in running:
        guest.bind()
    for one in running:
        assert ended(one, 0) == ""
    assert sorted(row[1] for row in rows(host)) == [f"/srv/{i}" for i in range(8)]
    assert len({share["name"] for share in shares(host)}) == len(shares(host))
