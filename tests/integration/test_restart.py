"""The setting restart: a machine that ends is started again by its supervisor, a fake QEMU in the place of a machine."""

import json
import pathlib
import signal
import subprocess
import sys
import time

import pytest

import annex_test

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "fakes"))

from machine import Machine, is_alive, wait_for  # noqa: E402


# What waits are multiplied by: those that a test acts in must not end by themselves, the others may.
SLOW, FAST = "300", "0.1"


@pytest.fixture
def make(user_host):
    """A function that gives a machine that runs, with this policy, its supervisor, and its guest."""
    made = []

    def make(policy, scale=SLOW):
        machine = Machine(user_host, restart=policy)
        machine.env["ANNEX_TIMEOUT_SCALE"] = scale
        user_host.env.update(machine.env)
        made.append(machine)
        supervisor, guest = machine.run()
        machine.connect(watch=True).expect_state("running")
        return machine, supervisor, guest

    yield make
    for machine in made:
        machine.remove()


def listed(host):
    return json.loads(host.ok("list", "--format", "json"))[0]


def waits(machine):
    """Until it waits to be started again: a client."""
    wait_for(lambda: listed(machine.host)["state"] == "restarting")
    client = machine.connect(watch=True)
    client.expect_state("restarting")
    return client


def start_now(machine):
    """The guest of a machine that waits, which doesn't any more."""
    waits(machine).send("START")
    return machine.guest()


def test_a_machine_that_fails_is_started_again_by_the_same_process(user_host, make):
    machine, supervisor, guest = make("on-failure")
    vm_pid = machine.running["vmPid"]
    watcher = machine.connect(watch=True)
    guest.console.sendall(b"Kernel panic - not syncing: no reason\r\n")
    guest.happen("panic")
    assert watcher.expect_state("failed").failure == "the machine's kernel panicked: no reason"
    watcher.expect_end()
    waits(machine)
    shown = listed(user_host)
    assert shown["failure"] == "the machine's kernel panicked: no reason" and shown["waiting"].startswith("starts again at 2")
    assert "starts again at" in user_host.ok("list") and not is_alive(vm_pid)
    assert json.loads(user_host.ok("inspect", "dev"))[0]["restarts"] == 1
    start_now(machine).ready()
    state = machine.connect(watch=True).expect_state("running")
    assert state.pid == supervisor.pid and state.restarts == 1 and state.vm_pid != vm_pid
    assert supervisor.poll() is None and not (machine.folder / "failure.json").exists()
    machine.connect(watch=True).send("STOP", timeout_ms=0)
    assert supervisor.wait(20) == 0 and machine.is_clean()


def test_waits_grow_while_it_does_not_come_up(user_host, make):
    machine, supervisor, guest = make("on-failure", scale="0.2")
    for seconds in (0.2, 0.4, 0.8):
        begun = time.monotonic()
        guest.happen("die")
        guest = machine.guest()
        assert time.monotonic() - begun >= seconds
    assert machine.connect(watch=True).expect_state("booting").restarts == 3


def test_start_does_not_wait_and_tells_why_it_failed_again(user_host, make):
    machine, supervisor, guest = make("on-failure")
    guest.happen("die")
    waits(machine)
    starting = user_host.start("start", "dev", stderr=subprocess.PIPE, text=True)
    machine.guest().ready()
    _, errors = starting.communicate(timeout=annex_test.TIMEOUT)
    assert starting.returncode == 0 and errors.startswith("starting the virtual machine\n") and "again at" not in errors
    machine.guests[-1].happen("die")
    waits(machine)
    user_host.ok("set", "-n", "dev", "kernel=default")
    result = user_host.annex("start", "dev")
    assert result.returncode == 3 and "kernel" in result.stderr
    assert waits(machine) and listed(user_host)["failure"] in result.stderr


def test_settings_that_waited_are_those_of_the_next_start(user_host, make):
    machine, supervisor, guest = make("on-failure")
    user_host.ok("set", "-n", "dev", "env=A=1")
    guest.happen("die")
    waits(machine)
    user_host.ok("set", "-n", "dev", "memory=600M", "env=B=2")
    start_now(machine).ready()
    assert machine.connect(watch=True).expect_state("running").memory == 600 << 20
    assert listed(user_host)["pending"] == {} and machine.guests[-1].config.environment[-2:] == ["A=1", "B=2"]


@pytest.mark.parametrize("how", ["stop", "delete", "signal"])
def test_what_waits_can_be_stopped(user_host, make, how):
    machine, supervisor, guest = make("on-failure")
    guest.happen("die")
    waits(machine)
    if how == "stop":
        user_host.ok("stop", "dev")
        assert listed(user_host)["state"] == "stopped"
    elif how == "delete":
        user_host.ok("delete", "-f", "dev")
        assert user_host.ok("list", "-q") == ""
        machine.folder.mkdir(parents=True)
    else:
        supervisor.send_signal(signal.SIGTERM)
    assert supervisor.wait(20) == 0 and machine.is_clean()
    assert not (machine.folder / "failure.json").exists()


@pytest.mark.parametrize("policy, how, again", [
    ("no", "die", False), ("on-failure", "off", False), ("always", "off", True), ("always", "stop", False),
])
def test_the_policy_says_which_ends_count(user_host, make, policy, how, again):
    machine, supervisor, guest = make(policy, scale=FAST)
    if how == "stop":
        machine.connect(watch=True).send("STOP", timeout_ms=1000)
        guest.link.expect("SHUTDOWN")
        guest.power_off()
    elif how == "off":
        guest.power_off()
    else:
        guest.happen(how)
    if again:
        machine.guest().ready()
        assert machine.connect(watch=True).expect_state("running").pid == supervisor.pid
    else:
        assert supervisor.wait(20) in (0, 1) and machine.is_clean()


def test_the_policy_is_that_of_the_moment(user_host, make):
    machine, supervisor, guest = make("no")
    assert user_host.annex("set", "-n", "dev", "restart=on-failure").stderr == ""
    guest.happen("die")
    waits(machine)
    user_host.ok("set", "-n", "dev", "restart=no")
    start_now(machine).ready()
    machine.connect(watch=True).expect_state("running")
    machine.guests[-1].happen("die")
    assert supervisor.wait(20) == 1


def test_a_machine_that_never_came_up_is_not_started_again(user_host):
    machine = Machine(user_host, restart="on-failure")
    try:
        supervisor = machine.supervise()
        machine.guest(greet=False).happen("die")
        assert supervisor.wait(20) == 1 and machine.is_clean()
    finally:
        machine.remove()


def test_a_supervisor_in_the_background_goes_on_there(user_host, make):
    machine, supervisor, guest = make("on-failure", scale=FAST)
    user_host.ok("stop", "--time", "0", "dev")
    starting = user_host.start("start", "dev")
    machine.guest().ready()
    assert starting.wait(annex_test.TIMEOUT) == 0
    pid = machine.running["pid"]
    machine.guests[-1].happen("die")
    machine.guest().ready()
    assert machine.connect(watch=True).expect_state("running").pid == pid
    assert "starts again at" in (machine.folder / "supervisor.log").read_text()
    user_host.ok("stop", "--time", "0", "dev")
    wait_for(lambda: not is_alive(pid))


def test_a_supervisor_that_is_killed_while_it_waits_leaves_a_machine_that_starts(user_host, make):
    machine, supervisor, guest = make("on-failure")
    guest.happen("die")
    waits(machine)
    supervisor.kill()
    supervisor.wait(20)
    assert listed(user_host)["state"] == "failed"
    starting = user_host.start("start", "dev")
    machine.guest().ready()
    assert starting.wait(annex_test.TIMEOUT) == 0
    user_host.ok("stop", "--time", "0", "dev")


def test_a_machine_is_found_by_who_has_another_folder_for_sockets(user_host, make):
    machine, supervisor, guest = make("on-failure")
    elsewhere = {"XDG_RUNTIME_DIR": str(user_host.folder / "home")}
    assert json.loads(user_host.ok("list", "--format", "json", env=elsewhere))[0]["state"] == "running"
    guest.happen("die")
    waits(machine)
    assert json.loads(user_host.ok("list", "--format", "json", env=elsewhere))[0]["state"] == "restarting"
    user_host.ok("stop", "dev", env=elsewhere)
    assert supervisor.wait(20) == 0 and machine.is_clean()
