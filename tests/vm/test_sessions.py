"""annex run: arguments, streams, environment, users, exit status, signals."""

import json
import os
import re
import signal
import subprocess

import pexpect
import pytest

from annex_test import TIMEOUT
from machines import wait_until


@pytest.mark.parametrize("status", [0, 1, 42, 125, 255])
def test_the_exit_status_is_the_commands_own(busybox, status):
    result = busybox.run("sh", "-c", f"exit {status}")
    assert (result.returncode, result.stdout, result.stderr) == (status, "", "")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL, signal.SIGSEGV, signal.SIGPIPE])
def test_a_signal_that_kills_the_command_is_in_the_exit_status(busybox, number):
    assert busybox.run("sh", "-c", f"kill -{int(number)} $$").returncode == 128 + number


@pytest.mark.parametrize("command, status", [("/nowhere/program", 127), ("no-such-program", 127), ("/etc/passwd", 126),
                                             ("/etc", 126)])
def test_what_cannot_be_executed_is_told_apart(busybox, command, status):
    result = busybox.run(command)
    assert (result.returncode, result.stdout) == (status, "")
    assert result.stderr.startswith("annex: run in busybox: ") and command in result.stderr.splitlines()[0]


def test_arguments_arrive_verbatim(busybox):
    words = ["two words", "'single'", '"double"', "", "new\nline", "$HOME", "*", "\\", "--", "-n", "tab\t", "\udcff", "ü", "`x`"]
    printed = busybox.ok("printf", "%s\\0", *words, text=False)
    assert printed == b"".join(os.fsencode(word) + b"\0" for word in words)


def test_a_long_argument_and_many_arguments_arrive(busybox):
    long = "x" * 100_000
    assert busybox.ok("printf", "%s", long) == long
    many = [f"argument-{number}" for number in range(5000)]
    assert busybox.ok("printf", "%s ", *many).split() == many


def test_the_streams_are_separate(busybox):
    result = busybox.run("sh", "-c", "cat; echo to-errors >&2; echo to-output", input="from-input\n")
    assert (result.stdout, result.stderr) == ("from-input\nto-output\n", "to-errors\n")


def test_the_streams_carry_any_byte(busybox):
    data = bytes(range(256)) * 4096 + b"\xff\x00"
    result = busybox.run("sh", "-c", "tee /dev/stderr", input=data, text=False)
    assert (result.returncode, result.stdout == data, result.stderr == data) == (0, True, True)


def test_input_that_is_closed_ends(busybox):
    assert busybox.ok("cat") == ""
    assert busybox.ok("sh", "-c", "exec <&-; echo alive", input="not read\n" * 100_000) == "alive\n"


def test_output_that_nobody_takes_is_a_broken_pipe(busybox):
    client = busybox.popen("sh", "-c", "yes; echo status=$? >&2")
    client.stdout.read(1000)
    client.stdout.close()
    client.stdin.close()
    assert client.stderr.read().decode() in ("", "status=141\n")  # annex may end by SIGPIPE before it is told
    client.stderr.close()
    client.wait(TIMEOUT)
    assert busybox.ok("echo", "alive") == "alive\n"


def test_output_comes_while_the_command_runs(busybox):
    client = busybox.popen("sh", "-c", "echo first; read line; echo $line")
    assert client.stdout.readline() == b"first\n"
    out, _ = client.communicate(b"second\n", timeout=TIMEOUT)
    assert (out, client.returncode) == (b"second\n", 0)


def test_a_string_goes_to_the_login_shell(busybox):
    assert busybox.host.ok("run", "-n", "busybox", "-c", 'for word in a "b c"; do echo "<$word>"; done') == "<a>\n<b c>\n"
    assert busybox.host.annex("run", "-n", "busybox", "-c", "exit 9").returncode == 9


def test_all_spellings_of_run_run(busybox):
    for words in (["shell"], ["exec"], ["enter"], ["machine", "run"], ["m", "exec"]):
        assert busybox.host.ok(*words, "-n", "busybox", "--", "echo", "yes") == "yes\n"
    assert busybox.host.ok("run", "echo", "default", env={"ANNEX_MACHINE": "busybox"}) == "default\n"
    # The words of the command begin with the first that is no option; annex has no opinion on what follows.
    assert busybox.host.ok("run", "-n", "busybox", "echo", "-n", "x") == "x"


def test_without_a_command_the_login_shell_reads_the_input(busybox):
    assert busybox.host.ok("run", "-n", "busybox", input="echo $((6 * 7))\n") == "42\n"


def environment(machine, *options, **more):
    return dict(line.split("=", 1) for line in machine.ok("env", options=options, **more).splitlines())


def test_the_environment_is_the_login_environment(busybox):
    account = busybox.host.account
    seen = environment(busybox, env={"SECRET": "s", "LANG": "de_DE.UTF-8", "LC_ALL": None})
    assert "SECRET" not in seen
    assert (seen["USER"], seen["LOGNAME"], seen["LANG"]) == (account.name, account.name, "de_DE.UTF-8")
    assert seen["TERM"] == busybox.host.env["TERM"]
    assert seen["SHELL"] == "/bin/sh"
    assert {"/usr/bin", "/bin"} <= set(seen["PATH"].split(":"))
    assert busybox.ok("sh", "-c", "cd; pwd").strip() == seen["HOME"]
    assert seen["XDG_RUNTIME_DIR"] == f"/run/user/{account.uid}"
    assert busybox.ok("stat", "-c", "%u %a", seen["XDG_RUNTIME_DIR"]) == f"{account.uid} 700\n"
    assert "COLORTERM" not in environment(busybox, env={"COLORTERM": "truecolor"})


def test_the_time_zone_is_a_rule_where_the_image_knows_none(busybox):
    assert environment(busybox, env={"TZ": "Europe/Berlin"})["TZ"] == "CET-1CEST,M3.5.0,M10.5.0/3"
    assert busybox.ok("date", "-d", "2026-01-01", "+%z", env={"TZ": "Europe/Berlin"}) == "+0100\n"
    assert busybox.ok("sh", "-c", "echo $TZ", env={"TZ": "../../etc/passwd"}) == busybox.ok("sh", "-c", "echo $TZ")


def test_variables_can_be_given(busybox):
    path = busybox.host.file("machine.env", "# comment\nFROM_FILE=file\nBOTH=file\nHOST_ONLY\n")
    seen = environment(busybox, "--env-file", path, "-e", "BOTH=option", "-e", "FROM_HOST", "-e", "EMPTY=", "-e", "UNSET",
                       "-e", "SPACES=a  b\n=c", env={"FROM_HOST": "host", "HOST_ONLY": "here"})
    assert (seen["FROM_FILE"], seen["BOTH"], seen["FROM_HOST"], seen["EMPTY"]) == ("file", "option", "host", "")
    assert seen["SPACES"] == "a  b" and "UNSET" not in seen


def test_the_working_directory_can_be_given(busybox):
    assert busybox.ok("pwd", options=["-w", "/var/log"]) == "/var/log\n"
    assert busybox.ok("pwd", options=["--cwd", "/tmp"]) == "/tmp\n"
    missing = busybox.run("pwd", options=["-w", "/nowhere"])
    assert missing.returncode == 125 and "/nowhere" in missing.stderr


def who(machine, *options):
    return re.sub(r"\([^)]*\)", "", machine.ok("id", options=options)).strip()


def test_the_user_is_the_hosts(busybox):
    account = busybox.host.account
    assert who(busybox).startswith(f"uid={account.uid} gid={account.gid}")
    assert busybox.ok("id", "-un").strip() == account.name
    home = environment(busybox)["HOME"]
    assert busybox.ok("stat", "-c", "%u:%g", home).strip() == f"{account.uid}:{account.gid}"
    busybox.ok("sh", "-c", "echo mine >~/mine && cat ~/mine && rm ~/mine")


def test_other_users_can_be_asked_for(busybox):
    assert who(busybox, "--root").startswith("uid=0 gid=0")
    assert environment(busybox, "--root")["HOME"] == "/root"
    assert who(busybox, "-u", "nobody").startswith("uid=65534 gid=65534")
    assert who(busybox, "-u", "65534:5") in ("uid=65534 gid=5", "uid=65534 gid=5 groups=5")
    assert who(busybox, "-u", "nobody:tty") in ("uid=65534 gid=5", "uid=65534 gid=5 groups=5")
    assert who(busybox, "--uid", "1234", "--gid", "77") in ("uid=1234 gid=77", "uid=1234 gid=77 groups=77")
    unknown = busybox.run("id", options=["-u", "stranger"])
    assert unknown.returncode == 125 and "stranger" in unknown.stderr


def test_a_users_privileges_are_the_users(busybox):
    assert busybox.run("cat", "/etc/shadow").returncode == 1
    assert "root:" in busybox.ok("cat", "/etc/shadow", options=["--root"])
    # None of root's capabilities are left.
    assert "CapEff:\t0000000000000000" in busybox.ok("cat", "/proc/self/status")


def test_a_detached_command_goes_on_without_us(busybox):
    busybox.sh("rm -f /tmp/detached; touch /tmp/go-on; chmod 666 /tmp/go-on")
    printed = busybox.ok("sh", "-c", "while [ -e /tmp/go-on ]; do sleep 0.1; done; id -u >/tmp/detached", options=["-d"])
    assert re.fullmatch(r"\S+\n", printed)
    assert busybox.run("cat", "/tmp/detached").returncode == 1
    busybox.sh("rm /tmp/go-on")
    wait_until(lambda: busybox.run("cat", "/tmp/detached").stdout == f"{busybox.host.account.uid}\n", "it has written")
    assert busybox.run("no-such-program", options=["-d"]).returncode == 127


def sessions(machine, *options):
    return {row["id"]: row for row in json.loads(machine.host.ok("ps", machine.name, "--format", "json", *options))}


def test_what_a_detached_command_writes_is_kept_and_it_can_be_killed(busybox):
    host = busybox.host
    started = busybox.ok("sh", "-c", "echo out; echo err >&2; sleep 1000 & wait", options=["-d"]).strip()
    wait_until(lambda: host.annex("logs", "--session", started, "busybox").stdout == "out\n", "it has written")
    shown = host.annex("logs", "--session", started, "busybox")
    assert (shown.returncode, shown.stdout, shown.stderr) == (0, "out\n", "err\n")
    row = sessions(busybox)[started]
    assert (row["state"], row["user"], row["terminal"]) == ("running", host.account.name, False)
    follower = host.start("logs", "-f", "--session", started, "busybox")
    assert host.ok("kill", "-n", "busybox", started[:8]) == started + "\n"
    assert follower.communicate(timeout=TIMEOUT)[0] == b"out\n" and follower.returncode == 0
    assert sessions(busybox, "-a")[started]["status"] == 128 + signal.SIGTERM
    assert "sleep 1000" not in busybox.sh("ps")


def test_a_shell_on_a_terminal_can_be_ended_by_others(busybox):
    child = busybox.terminal("sh")
    child.expect("[$#]")
    identity, = (row["id"] for row in sessions(busybox).values() if row["terminal"])
    busybox.host.ok("kill", "-n", "busybox", identity)
    child.expect_exact(pexpect.EOF)
    child.close()
    assert child.exitstatus == 128 + signal.SIGHUP
    assert identity not in sessions(busybox, "-a")


def test_sessions_live_in_inits_namespaces_and_a_cgroup_of_their_own(busybox):
    assert busybox.sh("for kind in pid mnt uts ipc cgroup net user; do "
                      "[ $(readlink /proc/1/ns/$kind) = $(readlink /proc/self/ns/$kind) ] || echo $kind; done") == ""
    groups = [busybox.ok("cat", "/proc/self/cgroup") for _ in range(2)]
    assert groups[0] != groups[1] and groups[0].startswith("0::/")
    assert groups[0] != busybox.sh("cat /proc/1/cgroup")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT])
def test_signals_are_passed_on(busybox, number):
    client = busybox.popen("sh", "-c", f"trap 'echo caught; exit 5' {int(number)}; echo ready; while :; do sleep 0.1; done")
    assert client.stdout.readline() == b"ready\n"
    client.send_signal(number)
    out, _ = client.communicate(timeout=TIMEOUT)
    assert (out, client.returncode) == (b"caught\n", 5)


def test_a_signal_that_is_not_caught_ends_the_command(busybox):
    client = busybox.popen("sh", "-c", "echo ready; exec sleep 1000")
    assert client.stdout.readline() == b"ready\n"
    client.terminate()
    client.communicate(timeout=TIMEOUT)
    assert client.returncode == 128 + signal.SIGTERM


def test_a_client_that_is_killed_hangs_up(busybox):
    busybox.sh("rm -f /tmp/hung-up")
    client = busybox.popen("sh", "-c", "trap 'echo yes >/tmp/hung-up; exit' HUP; echo ready; while :; do sleep 0.1; done")
    assert client.stdout.readline() == b"ready\n"
    client.kill()
    client.communicate(timeout=TIMEOUT)
    wait_until(lambda: busybox.run("cat", "/tmp/hung-up").stdout == "yes\n", "the command got SIGHUP")


def test_what_ignores_the_hang_up_can_still_write(busybox):
    busybox.sh("rm -f /tmp/outlived")
    client = busybox.popen("sh", "-c", "trap '' HUP; echo ready; sleep 1; seq 300000; echo yes >/tmp/outlived")
    assert client.stdout.readline() == b"ready\n"
    client.kill()
    client.communicate(timeout=TIMEOUT)
    wait_until(lambda: busybox.run("cat", "/tmp/outlived").stdout == "yes\n", "it has ended by itself")


def test_a_background_process_does_not_keep_the_session(busybox):
    result = busybox.run("sh", "-c", "sleep 1000 >/dev/null 2>&1 </dev/null & echo $!")
    assert result.returncode == 0
    busybox.sh(f"kill {result.stdout}")


def test_a_machine_without_init_has_a_built_in_one(noinit):
    assert noinit.sh("cat /proc/1/cmdline").startswith("annex-init")
    # What loses its parent is reaped.
    noinit.ok("sh", "-c", "(sleep 0.1 &) ; sleep 1")
    assert " Z" not in noinit.ok("sh", "-c", "cat /proc/[0-9]*/stat")


def test_the_images_environment_reaches_sessions(noinit):
    seen = environment(noinit)
    assert (seen["GREETING"], seen["FROM_SETTING"]) == ("hello world", "set")
    assert who(noinit, "-u", "app") == "uid=1234 gid=1234 groups=1234,1235"


def test_an_unknown_machine_is_told(host):
    result = host.annex("run", "-n", "nobody", "--", "true")
    assert result.returncode == 125 and "nobody" in result.stderr


def test_a_failure_is_one_line_and_a_hint(busybox):
    result = busybox.run("no-such-program")
    assert len(result.stderr.splitlines()) <= 2


def test_many_sessions_at_once(busybox):
    clients = [busybox.popen("sh", "-c", "read line; echo $line; exit $line", stderr=subprocess.PIPE) for _ in range(50)]
    for number, client in reversed(list(enumerate(clients))):
        client.stdin.write(b"%d\n" % number)
        client.stdin.flush()
    for number, client in enumerate(clients):
        out, told = client.communicate(timeout=2 * TIMEOUT)
        assert (out, client.returncode) == (b"%d\n" % number, number), told
