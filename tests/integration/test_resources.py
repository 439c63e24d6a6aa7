"""Processors, memory and disk of a machine that runs, whose guest is the test and whose QEMU is a fake one."""

import json
import os
import pathlib
import subprocess
import sys

import pytest

from annex_test import TIMEOUT

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "fakes"))

from machine import Machine, wait_for  # noqa: E402
from protocol import KINDS  # noqa: E402

MIB, GIB = 1 << 20, 1 << 30
CPUS, DISK, MEMORY, TRIM = 1, 2, 3, 4
pytestmark = pytest.mark.skipif(os.uname().machine != "x86_64", reason="nothing can be added elsewhere")


@pytest.fixture
def make(host):
    """A function that runs a machine, whose QEMU does what the words say."""
    made = []

    def run(words="", **options):
        machine = Machine(host, **{"home-mount": "none", "mask": []})
        made.append(machine)
        machine.env["ANNEX_MACHINE"] = "dev"
        host.env.update(machine.env)
        machine.behave(words)
        supervisor = machine.supervise(**options)
        guest = machine.guest()
        guest.ready()
        wait_for(lambda: shown(host)["state"] == "running")
        guest.supervisor = supervisor
        return guest

    yield run
    for machine in made:
        machine.close()
        subprocess.run(["rm", "-rf", machine.folder], check=True)


def shown(host):
    return json.loads(host.ok("inspect", "dev"))[0]


def set_all(host, guest, *words, answers=()):
    """Run `annex set` while the guest answers questions; what they were, and how annex ended."""
    running = host.start("set", *words, text=True)
    try:
        heard = [guest.adjust(**answer) for answer in answers]
        out, errors = running.communicate(timeout=TIMEOUT)
    except BaseException:
        running.kill()
        print("annex said:", *running.communicate())
        raise
    assert (running.returncode, out) == (0, ""), errors
    return [(question.what, question.value) for question in heard], errors


def waits(*words, why=()):
    return "".join(f"{line}\n" for line in why) + f"{', '.join(words)} will take effect after 'annex restart dev'\n"


def test_a_machine_that_runs_takes_over_what_it_can(host, make):
    guest = make()
    asked, said = set_all(host, guest, "memory=256M", "disk=2G", answers=[{}, {"value": 450 * MIB}])
    assert (asked, said) == ([(DISK, 2 * GIB), (MEMORY, 256 * MIB)], "")
    now = shown(host)
    assert (now["settings"]["memory"], now["settings"]["disk"], now["pending"]) == (256 * MIB, 2 * GIB, {})
    listed = json.loads(host.ok("list", "--format", "json"))[0]
    assert listed["memory"] == 256 * MIB


def test_memory_grows_beyond_what_the_machine_started_with(host, make):
    guest = make()
    for size in ("700M", "600M", "512M", "300M", "513M"):
        _, said = set_all(host, guest, f"memory={size}", answers=[{"value": GIB}])
        assert said == "" and shown(host)["settings"]["memory"] == int(size[:-1]) * MIB


def test_processors_are_added_and_left(host, make):
    guest = make()
    most = os.cpu_count()
    for count in (most, 1, most):
        asked, said = set_all(host, guest, f"cpus={count}", answers=[{}])
        assert (asked, said) == ([(CPUS, count)], "")
        assert shown(host)["settings"]["cpus"] == count
    asked, said = set_all(host, guest, f"cpus={most + 1}")
    assert (asked, said) == ([], waits(f"cpus={most + 1}",
                                       why=[f"cpus={most + 1}: a running machine can have up to {most}"]))
    assert shown(host)["settings"]["cpus"] == most
    assert shown(host)["pending"] == {"cpus": most + 1}


def test_what_the_guest_can_not_do_waits_and_inspect_says_why(host, make):
    guest = make()
    refusal = {"kind": KINDS["BUSY"], "os": 16, "message": "the kernel keeps them", "value": 1}
    _, said = set_all(host, guest, "cpus=2", "disk=3G", "memory=400M",
                      answers=[{"kind": KINDS["GUEST"], "message": "no room\x1b[2J"}, refusal, {"value": 100 * MIB}])
    reasons = {"cpus": "the kernel keeps them", "disk": "no room?[2J",
               "memory": "412 MiB are in use in the machine, and to go on it needs 49 MiB more"}
    words = ("cpus=2", "disk=3G", "memory=400M")
    why = [f"{word}: {reasons[word.split('=')[0]]}" for word in words]
    assert said == waits(*words, why=why)
    now = shown(host)
    assert now["pending"] == {"cpus": 2, "disk": 3 * GIB, "memory": 400 * MIB}
    assert now["pendingReasons"] == reasons
    assert now["settings"]["memory"] == 512 * MIB
    set_all(host, guest, "memory=400M", answers=[{"value": 300 * MIB}])  # once it has become free
    set_all(host, guest, "cpus=1")  # it has never had another number
    assert shown(host)["pendingReasons"] == {"disk": "no room?[2J"}


def test_reasons_can_be_read_whatever_the_guest_says(host, make):
    guest = make()
    _, said = set_all(host, guest, "disk=3G", answers=[{"kind": KINDS["GUEST"], "message": "\x1b]0;\x07no \udcff\nroom"}])
    assert said == waits("disk=3G", why=["disk=3G: ?]0;?no ??room"])
    assert shown(host)["pendingReasons"] == {"disk": "?]0;?no ??room"}


def test_memory_that_goes_to_and_fro_is_stuck(host, make):
    guest = make("wobbles", env={"ANNEX_TIMEOUT_SCALE": "0.05"})
    _, said = set_all(host, guest, "memory=256M", answers=[{"value": 500 * MIB}])
    assert "the machine's kernel gives back no more" in said


def test_memory_that_gets_stuck_is_told_as_it_is(host, make):
    guest = make("stuck=384", env={"ANNEX_TIMEOUT_SCALE": "0.05"})
    _, said = set_all(host, guest, "memory=256M", answers=[{"value": 500 * MIB}])
    assert said == waits("memory=256M", why=[
        "memory=256M: the machine's kernel gives back no more: it has 384 MiB (by virtio_balloon)"])
    now = shown(host)
    assert (now["settings"]["memory"], now["pending"]) == (384 * MIB, {"memory": 256 * MIB})


def test_memory_that_the_guest_does_not_take_is_told_too(host, make):
    guest = make("stuck=600", env={"ANNEX_TIMEOUT_SCALE": "0.05"})
    _, said = set_all(host, guest, "memory=700M", answers=[{"value": 500 * MIB}])
    assert said == waits("memory=700M", why=[
        "memory=700M: the machine's kernel takes no more than 600 MiB (by virtio_mem)"])
    assert shown(host)["settings"]["memory"] == 600 * MIB


def test_a_qemu_that_can_add_nothing_still_shrinks(host, make):
    guest = make("without=growth")
    _, said = set_all(host, guest, "memory=1G")
    assert said == waits("memory=1G", why=["memory=1G: a running machine can have up to 512 MiB"])
    _, said = set_all(host, guest, "memory=300M", answers=[{"value": 400 * MIB}])
    assert said == "" and shown(host)["settings"]["memory"] == 300 * MIB


def test_a_guest_that_does_not_answer_holds_nobody_up(host, make):
    guest = make(env={"ANNEX_TIMEOUT_SCALE": "0.005"})
    _, said = set_all(host, guest, "disk=2G")
    assert said == waits("disk=2G", why=["disk=2G: the machine does not answer"])
    assert guest.adjust().what == DISK  # late, and of no use to anybody
    asked, said = set_all(host, guest, "memory=256M", answers=[{"value": 450 * MIB}])
    assert (asked, said) == ([(MEMORY, 256 * MIB)], "")


def test_who_goes_away_gets_it_done_all_the_same(host, make):
    guest = make()
    client = host.start("set", "memory=256M")
    question = guest.link.expect("ADJUST")
    client.kill()
    client.communicate()
    guest.link.send("ADJUSTED", value=450 * MIB)
    assert question.value == 256 * MIB
    wait_for(lambda: shown(host)["settings"]["memory"] == 256 * MIB)


def test_an_answer_that_nobody_asked_for_breaks_the_protocol(host, make):
    guest = make()
    guest.link.send("ADJUSTED", value=1)
    _, errors = guest.supervisor.communicate(timeout=TIMEOUT)
    assert "ADJUSTED that nobody asked for" in errors


def test_free_space_is_given_back_now_and_then_and_gives_way(host, make):
    guest = make(env={"ANNEX_TRIM_AFTER": "0"})
    assert guest.link.expect("ADJUST").what == TRIM
    running = host.start("set", "memory=256M", text=True)
    assert guest.link.expect("ADJUST").what == MEMORY
    guest.link.send("ADJUSTED", kind=KINDS["BUSY"], message="the machine has other things to do")
    guest.link.send("ADJUSTED", value=450 * MIB)
    assert running.communicate(timeout=TIMEOUT) == ("", "") and running.returncode == 0


@pytest.mark.parametrize("pair, message", [("cpus=0", "cpus=0: must be between 1 and 255"),
                                           ("cpus=256", "cpus=256: must be between 1 and 255"),
                                           ("memory=1k", "memory=1k: must be between 96 MiB and 4 TiB"),
                                           ("disk=512M", "disk=512 MiB: the disk has 1 GiB, and a disk can only grow")])
def test_bad_values_change_nothing_of_a_machine_that_runs(host, make, pair, message):
    make()
    result = host.annex("set", "cpus=1", "memory=256M", pair)
    assert result.returncode == 2 and result.stderr.startswith(f"annex: set dev: {message}\n")
    assert shown(host)["pending"] == {} and shown(host)["settings"]["memory"] == 512 * MIB
