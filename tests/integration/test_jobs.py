"""annex ps, kill and logs: sessions and what is kept of them, with a fake QEMU; the test plays the guest."""

import contextlib
import json
import os
import pathlib
import random
import re
import signal
import subprocess
import sys
import time

import pytest

import annex_test
import protocol

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "fakes"))

from machine import Machine, wait_for  # noqa: E402

ID = re.compile(r"[0-9a-f]{12}")
TIME = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d"
DETACH = protocol.OPEN_DETACH


@contextlib.contextmanager
def made_on(host):
    made = Machine(host)
    made.behave("console=")
    yield made
    subprocess.run([annex_test.ANNEX, "stop", "--time", "0", "dev"], env=host.environment(made.env),
                   **host.account.switch, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd="/")
    made.close()
    subprocess.run(["rm", "-rf", made.folder], check=True)


@pytest.fixture
def machine(host):
    with made_on(host) as made:
        yield made


@pytest.fixture
def user_machine(user_host):
    """An ordinary user's only, for what takes long."""
    with made_on(user_host) as made:
        yield made


def up(machine):
    machine.supervisor, guest = machine.run()
    machine.connect(watch=True).expect_state("running")
    return machine, guest


@pytest.fixture
def running(machine):
    return up(machine)


@pytest.fixture
def user_running(user_machine):
    return up(user_machine)


def start(machine, *words, **options):
    return machine.host.start(*words, env=machine.env, **options)


def annex(machine, *words, **options):
    return machine.host.annex(*words, env=machine.env, **options)


def ok(machine, *words, **options):
    return machine.host.ok(*words, env=machine.env, **options)


def detach(machine, guest, *argv, options=()):
    """A detached session: its id and its stream on the guest's link."""
    process = start(machine, "run", "-n", "dev", "-d", *options, "--", *argv)
    opened = guest.accept()
    out, errors = process.communicate(timeout=20)
    assert process.returncode == 0, errors
    identity = out.decode().strip()
    assert ID.fullmatch(identity)
    return identity, opened.stream


def write(guest, stream, data, name="OUTPUT"):
    """What a program writes; the supervisor gives the credit back."""
    guest.link.send(name, stream, data)
    if data:
        assert guest.link.expect("CREDIT", stream).bytes == len(data)


def rows(machine, *options):
    return json.loads(ok(machine, "ps", "dev", "--format", "json", *options))


def stop(machine, guest):
    guest.power_off()
    assert machine.supervisor.wait(20) == 0


def test_sessions_are_listed(running):
    machine, guest = running
    assert ok(machine, "ps", "dev") == "ID USER COMMAND STARTED TTY STATE\n" and rows(machine) == []
    before = int(time.time())
    identity, stream = detach(machine, guest, "make", "a b", options=("-u", "root"))
    client = start(machine, "run", "-n", "dev", "-t", "--", "top")
    attached = guest.accept().stream
    listed = rows(machine)
    assert [row["command"] for row in listed] == ["make a b", "top"]
    assert [row["terminal"] for row in listed] == [False, True]
    assert [row["detached"] for row in listed] == [True, False]
    assert [row["user"] for row in listed] == ["root", machine.host.account.name]
    assert listed[0]["id"] == identity and ID.fullmatch(listed[1]["id"])
    for row in listed:
        assert re.fullmatch(TIME + "Z", row["started"])
        assert (row["state"], row["status"], row["ended"]) == ("running", None, None)
    assert listed[0]["started"] >= time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(before))
    table = ok(machine, "ps", "-n", "dev").splitlines()
    assert re.fullmatch(rf"{identity} +root +make a b +{TIME}Z +no +running", table[1])
    assert re.fullmatch(rf"{listed[1]['id']} +{machine.host.account.name} +top +{TIME}Z +yes +running", table[2])
    assert ok(machine, "ps", "-q", "dev").split() == [row["id"] for row in listed]
    guest.link.send("EXIT", attached)
    client.communicate(timeout=20)
    guest.link.send("EXIT", stream, status=3)
    wait_for(lambda: rows(machine) == [])
    ended, = rows(machine, "-a")
    assert (ended["id"], ended["state"], ended["status"]) == (identity, "exited", 3)
    assert re.fullmatch(TIME + "Z", ended["ended"])
    assert ok(machine, "ps", "-a", "dev").splitlines()[1].endswith(" exited 3")


def test_the_output_of_a_detached_session_is_kept(running):
    machine, guest = running
    identity, stream = detach(machine, guest, "job")
    write(guest, stream, b"one\n\xff\0par")
    write(guest, stream, b"warning\n", "ERRORS")
    write(guest, stream, b"tial\n")
    shown = annex(machine, "logs", "--session", identity[:6], "dev", text=False)
    assert (shown.returncode, shown.stdout, shown.stderr) == (0, b"one\n\xff\0partial\n", b"warning\n")
    assert ok(machine, "logs", "--session", identity, "-n", "1", "dev") == "tial\n"
    stamped = annex(machine, "logs", "--session", identity, "-t", "dev", text=False)
    assert re.fullmatch(rf"{TIME}\.\d\d\dZ one\n{TIME}\.\d\d\dZ .*partial\n".encode(), stamped.stdout, re.DOTALL)
    assert re.fullmatch(rf"{TIME}\.\d\d\dZ warning\n".encode(), stamped.stderr)
    for name in ("OUTPUT", "ERRORS"):
        write(guest, stream, b"", name)
    guest.link.send("EXIT", stream, signal=9)
    wait_for(lambda: rows(machine, "-a")[0]["status"] == 137)
    assert ok(machine, "logs", "--session", identity, "dev", text=False) == b"one\n\xff\0partial\n"
    stop(machine, guest)
    assert ok(machine, "logs", "--session", identity, "dev", text=False) == b"one\n\xff\0partial\n"
    assert rows(machine) == [] and rows(machine, "-a")[0]["status"] == 137
    _, guest = up(machine)  # the next run of the machine knows it too
    assert rows(machine, "-a")[0]["id"] == identity
    assert ok(machine, "logs", "--session", identity, "dev", text=False) == b"one\n\xff\0partial\n"


def test_what_can_be_asked_for_of_a_session_is_checked(running):
    machine, guest = running
    identity, stream = detach(machine, guest, "job")
    client = start(machine, "run", "-n", "dev", "--", "cat")
    attached = guest.accept().stream
    other = next(row["id"] for row in rows(machine) if row["id"] != identity)
    assert annex(machine, "logs", "--session", "x", "dev").returncode == 3
    assert annex(machine, "logs", "--session", "", "dev").returncode == 3
    assert annex(machine, "logs", "--session", other, "dev").returncode == 2
    for words in (["--boot", "--session", identity], ["--boot", "-t"], ["--boot", "--since", "1h"], ["--since", "soon"],
                  ["--since", "10"], ["--since", "h"]):
        refused = annex(machine, "logs", "dev", *words)
        assert (refused.returncode, refused.stdout) == (2, ""), words
        assert len(refused.stderr.splitlines()) == 2 and refused.stderr.startswith("annex: logs: ")
    assert annex(machine, "ps", "-q", "--format", "json", "dev").returncode == 2
    guest.link.send("EXIT", attached)
    guest.link.send("EXIT", stream)
    client.communicate(timeout=20)


def test_a_session_is_followed_to_its_end(running):
    machine, guest = running
    identity, stream = detach(machine, guest, "job")
    write(guest, stream, b"first\nsecond\n")
    follower = start(machine, "logs", "-f", "-n", "1", "--session", identity, "dev")
    assert follower.stdout.readline() == b"second\n"
    write(guest, stream, b"third\n")
    assert follower.stdout.readline() == b"third\n"
    write(guest, stream, b"oh\n", "ERRORS")
    assert follower.stderr.readline() == b"oh\n"
    write(guest, stream, b"last")
    guest.link.send("EXIT", stream)
    assert follower.communicate(timeout=20) == (b"last", b"") and follower.returncode == 0


@pytest.mark.parametrize("words, terminal, number", [([], False, signal.SIGTERM), ([], True, signal.SIGHUP),
                                                     (["-s", "sigint"], True, signal.SIGINT),
                                                     (["-s", "KILL"], False, signal.SIGKILL),
                                                     (["--signal", "RTMIN+3"], False, 37), (["-s", "10"], False, 10)])
def test_kill_signals_a_session_of_another_client(running, words, terminal, number):
    machine, guest = running
    client = start(machine, "run", "-n", "dev", *(["-t"] if terminal else []), "--", "prog")
    stream = guest.accept().stream
    identity, = (row["id"] for row in rows(machine))
    assert ok(machine, "kill", "-n", "dev", *words, identity[:4]) == identity + "\n"
    told = guest.link.expect("SIGNAL", stream)
    assert (told.number, told.all) == (number, 1)
    guest.link.send("EXIT", stream, signal=15)
    client.communicate(timeout=20)
    assert client.returncode == 143


def test_what_cannot_be_killed_is_told(running):
    machine, guest = running
    sessions = [detach(machine, guest, "job") for _ in range(17)]  # two of them begin alike
    first = [identity[0] for identity, _ in sessions]
    alike = next(digit for digit in first if first.count(digit) > 1)
    assert annex(machine, "kill", "-n", "dev", alike).returncode == 2
    unknown = annex(machine, "kill", "-n", "dev", "nothing", sessions[0][0])
    assert (unknown.returncode, unknown.stdout) == (3, sessions[0][0] + "\n")
    assert unknown.stderr == ("annex: kill nothing: there is no session 'nothing' in machine 'dev'\n"
                              "hint: annex ps -a dev\n")
    guest.link.expect("SIGNAL", sessions[0][1])
    guest.link.send("EXIT", sessions[0][1])
    wait_for(lambda: len(rows(machine)) == 16)
    ended = annex(machine, "kill", "-n", "dev", sessions[0][0])
    assert ended.returncode == 4 and "has ended already" in ended.stderr
    for word in ("NOPE", "0", "65", "RTMIN+31", "RTMIN-1"):
        wrong = annex(machine, "kill", "-n", "dev", "-s", word, sessions[1][0])
        assert (wrong.returncode, wrong.stdout) == (2, "") and f"'{word}'" in wrong.stderr
    # A supervisor that is asked by others says the same.
    client = machine.connect(watch=True)
    for identity, number, kind in (("x" * 100, 0, "NOT_FOUND"), (sessions[0][0], 0, "BUSY"), (sessions[1][0], 65, "USAGE")):
        client.send("KILL", id=identity, signal=number)
        assert client.expect("FAILURE").kind == protocol.KINDS[kind]
    stop(machine, guest)
    assert annex(machine, "kill", "-n", "dev", sessions[1][0]).returncode == 4


def test_ids_and_signals_are_completed(running):
    machine, guest = running
    identity, stream = detach(machine, guest, "job", "one")
    other, second = detach(machine, guest, "job", "two")
    guest.link.send("EXIT", second)
    wait_for(lambda: len(rows(machine)) == 1)

    def complete(*words):
        return ok(machine, "__complete", "--", *words)
    assert complete("kill", "-n", "dev", "") == f"{identity}\tjob one\n"
    assert sorted(line.split("\t")[0] for line in complete("logs", "--session", "").splitlines()) == []
    machine.host.ok("set-default", "dev")
    assert {line.split("\t")[0] for line in complete("logs", "--session", "").splitlines()} == {identity, other}
    assert "TERM\n" in complete("kill", "-s", "T")


def test_a_killed_supervisor_leaves_lost_sessions(running):
    machine, guest = running
    identity, stream = detach(machine, guest, "job")
    write(guest, stream, b"so far\n")
    follower = start(machine, "logs", "-f", "--session", identity, "dev")
    assert follower.stdout.readline() == b"so far\n"
    machine.supervisor.kill()
    machine.supervisor.wait(20)
    assert follower.communicate(timeout=20)[0] == b"" and follower.returncode == 0
    lost, = rows(machine, "-a")
    assert (lost["state"], lost["status"], lost["ended"]) == ("lost", None, None)
    record = (machine.folder / "sessions" / identity / "session.jsonl").read_text()
    assert json.loads(record.splitlines()[-1])["lost"] is True  # the command before has cleaned up
    assert rows(machine) == [] and ok(machine, "logs", "--session", identity, "dev") == "so far\n"
    _, guest = up(machine)
    assert rows(machine, "-a")[0]["state"] == "lost"


def test_a_guest_that_goes_loses_its_sessions(running):
    machine, guest = running
    identity, _ = detach(machine, guest, "job")
    guest.happen("die")
    machine.supervisor.wait(20)
    assert [row["state"] for row in rows(machine, "-a")] == ["lost"]


def test_only_the_newest_sessions_are_kept(user_running):
    machine, guest = user_running
    client = machine.connect(watch=True)
    client.expect_state("running")
    ids = []
    for number in range(70):
        client.send("OPEN", 1, argv=["job", str(number)], flags=DETACH)
        stream = guest.accept().stream
        ids.append(client.expect("OPENED", 1).id)
        write(guest, stream, b"%d\n" % number)
        guest.link.send("EXIT", stream)
        client.expect("EXIT", 1)
    assert len(set(ids)) == 70
    kept = rows(machine, "-a")
    assert {row["id"] for row in kept} == set(ids[-64:])
    assert {path.name for path in (machine.folder / "sessions").iterdir()} == set(ids[-64:])
    assert ok(machine, "logs", "--session", ids[-1], "dev") == "69\n"
    assert annex(machine, "logs", "--session", ids[0], "dev").returncode == 3


def folder_size(folder):
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def test_output_has_its_limits(user_running):
    machine, guest = user_running
    client = machine.connect(watch=True)
    client.expect_state("running")
    chunk = (b"x" * 127 + b"\n") * 256
    streams, ids = [], []
    for number in range(20):
        client.send("OPEN", number + 1, argv=["job"], flags=DETACH)
        streams.append(guest.accept().stream)
        ids.append(client.expect("OPENED", number + 1).id)
    write(guest, streams[0], b"the beginning\n")
    for _ in range(160):  # 5 MiB
        write(guest, streams[0], chunk)
    first = machine.folder / "sessions" / ids[0]
    assert folder_size(first) < (4 << 20) + 4096
    shown = ok(machine, "logs", "--session", ids[0], "dev")
    assert len(shown) > 3 << 20 and "the beginning" not in shown
    assert ok(machine, "logs", "--session", ids[0], "-n", "3000", "dev") == ("x" * 127 + "\n") * 3000
    guest.link.send("EXIT", streams[0])
    for stream in streams[1:]:
        for _ in range(130):
            write(guest, stream, chunk)
    assert folder_size(machine.folder / "sessions") < (64 << 20) + (1 << 20)
    assert not first.exists()  # it has ended, so it went before anything of those that run
    assert ok(machine, "logs", "--session", ids[-1], "-n", "1", "dev") == "x" * 127 + "\n"


def test_a_thousand_detached_sessions_have_room_and_no_more(user_running):
    machine, guest = user_running
    ids = []
    for _ in range(16):
        client = machine.connect(watch=True)
        client.expect_state("running")
        for number in range(1, 65):
            client.send("OPEN", number, argv=["\"" * 2000], flags=DETACH)
        for stream in [guest.accept().stream for _ in range(64)]:
            write(guest, stream, b"hello\n")
        ids += [client.expect("OPENED", number).id for number in range(1, 65)]
        client.close()
    assert len(set(ids)) == 1024
    listed = rows(machine)
    assert [row["id"] for row in listed] == ids and {row["command"] for row in listed} == {"\"" * 1024}
    client = machine.connect(watch=True)
    client.expect_state("running")
    client.send("OPEN", 1, argv=["one too many"], flags=DETACH)
    assert client.expect("FAILURE", 1).kind == protocol.KINDS["BUSY"]
    assert ok(machine, "logs", "--session", ids[777], "dev") == "hello\n"
    assert len(os.listdir(f"/proc/{machine.supervisor.pid}/fd")) < 100
    stop(machine, guest)
    assert len(rows(machine, "-a")) == 64


@pytest.mark.parametrize("kept", [True, False])
def test_a_session_goes_on_when_the_host_has_no_space(running, kept):
    """A folder that can't be written stands for a full disk."""
    machine, guest = running
    identity, stream = detach(machine, guest, "job")
    folder = machine.folder / "sessions" / identity
    write(guest, stream, b"before\n")
    away = machine.folder / "away"
    folder.rename(away)
    folder.write_text("a file in its place")
    write(guest, stream, b"dropped\n")
    if not kept:
        guest.link.send("EXIT", stream)
        wait_for(lambda: rows(machine) == [])
    folder.unlink()
    away.rename(folder)
    if kept:
        write(guest, stream, b"after\n")
        guest.link.send("EXIT", stream)
    wait_for(lambda: rows(machine) == [])
    detach(machine, guest, "another")  # what could not be recorded then is now
    assert {row["state"] for row in rows(machine, "-a") if row["id"] == identity} == {"exited"}
    shown = ok(machine, "logs", "--session", identity, "dev")
    assert shown == "before\n" + ("\n[8 bytes are missing here: the host's disk did not take them]\nafter\n" if kept else "")


def test_a_guests_garbage_is_harmless(running):
    machine, guest = running
    client = start(machine, "run", "-n", "dev", "-d", "--", "a\x1b[31mb\nc", "\udcff" * 3000)
    opened = guest.link.expect("OPEN")
    guest.link.send("OPENED", opened.stream, id="../../../\x1b[2J" * 1000)
    identity = client.communicate(timeout=20)[0].decode().strip()
    assert ID.fullmatch(identity)
    listed, = rows(machine)
    assert listed["command"] == ("a?[31mb?c " + "?" * 3000)[:1024]
    assert "\x1b" not in ok(machine, "ps", "dev") and max(map(len, ok(machine, "ps", "dev").splitlines())) < 160
    # Records that are none, too.
    for name, content in (("0" * 12, "garbage"), ("1" * 12, '{"version":1}'), ("f" * 12, '{"version":2,"id":"ffffffffffff"}')):
        (machine.folder / "sessions" / name).mkdir()
        (machine.folder / "sessions" / name / "session.jsonl").write_text(content)
        os.chown(machine.folder / "sessions" / name, machine.host.account.uid, machine.host.account.gid)
    assert len(rows(machine, "-a")) == 1
    stop(machine, guest)
    _, guest = up(machine)
    assert {path.name for path in (machine.folder / "sessions").iterdir()} == {identity}


@pytest.mark.parametrize("seed", range(4))
def test_a_supervisor_killed_at_any_moment_leaves_records_that_can_be_read(user_machine, seed):
    machine = user_machine
    rng = random.Random(seed)
    supervisor, guest = machine.run()
    client = machine.connect(watch=True)
    client.expect_state("running")
    told, ended = [], set()
    end = time.monotonic() + rng.uniform(0.0, 0.15)
    killer = subprocess.Popen(["sh", "-c", f"sleep {rng.uniform(0.01, 0.3)}; kill -9 {supervisor.pid}"])
    try:
        for number in range(1, 1000):
            client.send("OPEN", 1, argv=["job"], flags=DETACH)
            stream = guest.accept().stream
            told.append(client.expect("OPENED", 1).id)
            guest.link.send("OUTPUT", stream, b"%d\n" % number)
            if number % 2 or time.monotonic() > end:
                guest.link.send("EXIT", stream, status=number % 7)
                client.expect("EXIT", 1)
                ended.add(told[-1])
            else:
                break
    except (OSError, AssertionError, EOFError):
        pass
    killer.wait(20)
    supervisor.wait(20)
    listed = {row["id"]: row for row in rows(machine, "-a")}
    for identity in told[-60:]:
        assert listed[identity]["state"] == ("exited" if identity in ended else listed[identity]["state"])
        shown = annex(machine, "logs", "--session", identity, "dev")
        assert shown.returncode == 0 and (identity not in ended or shown.stdout)
    assert {row["state"] for row in listed.values()} <= {"exited", "lost"}
    up(machine)
    assert {row["id"]: row for row in rows(machine, "-a")}.keys() >= set(told[-60:])


# Logs of the console.

def console(machine, guest, data):
    """What the machine prints; returns when it is in the log."""
    before = sum(path.stat().st_size for path in machine.folder.glob("console.log.*") if path.suffix != ".times")
    guest.console.sendall(data)
    wait_for(lambda: sum(path.stat().st_size for path in machine.folder.glob("console.log.*")
                         if path.suffix != ".times") >= before + len(data))


def test_the_console_has_times(running):
    machine, guest = running
    console(machine, guest, b"one\r\n\x1b[1mtwo\n")
    time.sleep(1.2)
    now = time.time()
    console(machine, guest, b"three\nlogin: ")
    assert ok(machine, "logs", "dev", text=False) == b"one\r\n\x1b[1mtwo\nthree\nlogin: "
    assert ok(machine, "logs", "-n", "2", "dev", text=False) == b"three\nlogin: "
    stamped = ok(machine, "logs", "-t", "dev", text=False).split(b"\n")
    times = [line[:24].decode() for line in stamped]
    assert all(re.fullmatch(TIME + r"\.\d\d\dZ", stamp) for stamp in times)
    assert [line[25:] for line in stamped] == [b"one\r", b"\x1b[1mtwo", b"three", b"login: "]
    assert times == sorted(times) and times[0] < times[2]
    since = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(now))
    assert ok(machine, "logs", "--since", since, "dev", text=False) == b"three\nlogin: "
    assert ok(machine, "logs", "--since", "1h", "dev", text=False).startswith(b"one")


def test_logs_without_times_can_still_be_read(machine):
    (machine.folder / "console.log.1").write_text("oldest\n")
    (machine.folder / "console.log").write_text("old\nolder annex")
    for path in machine.folder.glob("console.log*"):
        os.chown(path, machine.host.account.uid, machine.host.account.gid)
    assert ok(machine, "logs", "dev") == "oldest\nold\nolder annex"
    assert ok(machine, "logs", "-t", "dev") == "- oldest\n- old\n- older annex"
    _, guest = up(machine)
    console(machine, guest, b"\nnew\n")
    assert ok(machine, "logs", "dev") == "oldest\nold\nolder annex\nnew\n"
    stamped = ok(machine, "logs", "-t", "-n", "2", "dev").splitlines()
    assert stamped[0] == "- older annex" and re.fullmatch(TIME + r"\.\d\d\dZ new", stamped[1])


def test_the_newest_of_a_long_console_is_kept_and_followed(user_running):
    machine, guest = user_running
    line = b"%07d " + b"x" * 1015 + b"\n"
    follower = start(machine, "logs", "-f", "dev", stdout=subprocess.PIPE)
    number, seen = 0, 0
    while number < 17 << 10:  # 17 MiB
        guest.console.sendall(b"".join(line % (number + i) for i in range(64)))
        number += 64
        for _ in range(64):
            assert follower.stdout.readline() == line % seen
            seen += 1
    shown = ok(machine, "logs", "dev", text=False)
    assert 11 << 20 < len(shown) < 16 << 20 and shown.endswith(line % (number - 1))
    assert ok(machine, "logs", "-n", "5000", "dev", text=False) == \
        b"".join(line % n for n in range(number - 5000, number))
    assert folder_size(machine.folder) < 18 << 20
    stop(machine, guest)
    _, guest = up(machine)  # following goes on over a restart
    console(machine, guest, b"again\n")
    assert follower.stdout.readline() == b"again\n"
    stop(machine, guest)
    subprocess.run(["rm", "-rf", machine.folder], check=True)
    assert follower.communicate(timeout=20)[0] == b"" and follower.returncode == 0
    machine.folder.mkdir()


def test_following_ends_by_an_interrupt_or_when_nobody_reads(user_running):
    machine, guest = user_running
    console(machine, guest, b"line\n" * 10)
    follower = start(machine, "logs", "-f", "dev")
    assert follower.stdout.readline() == b"line\n"
    follower.send_signal(signal.SIGINT)
    _, errors = follower.communicate(timeout=20)
    assert follower.returncode in (-signal.SIGINT, 130) and errors == b""
    follower = start(machine, "logs", "-f", "dev")
    assert follower.stdout.readline() == b"line\n"
    follower.stdout.close()
    assert follower.stderr.read() == b""
    assert follower.wait(20) in (0, -signal.SIGPIPE, 128 + signal.SIGPIPE)
    follower.stdin.close()
    follower.stderr.close()
    piped = machine.host.program(["sh", "-c", f"{annex_test.ANNEX} logs dev | head -n 1"], env=machine.env)
    assert (piped.returncode, piped.stdout, piped.stderr) == (0, "line\n", "")


def test_the_kernels_log_is_that_of_this_boot_and_is_followed_into_the_next(running):
    machine, guest = running
    guest.link.send("LOG", data=b"<6>first boot\n")
    follower = start(machine, "logs", "--boot", "-f", "dev")
    assert follower.stdout.readline() == b"<6>first boot\n"
    stop(machine, guest)
    machine.supervisor, guest = machine.run()
    guest.link.send("LOG", data=b"<6>2nd\n")
    assert follower.stdout.readline() == b"<6>2nd\n"
    assert ok(machine, "logs", "--boot", "dev") == "<6>2nd\n"
    follower.kill()
    follower.communicate()
