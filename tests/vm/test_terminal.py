"""Sessions with a terminal."""

import os
import re
import signal

import pexpect

from annex_test import ANNEX
from machines import wait_until


def end(child):
    """The exit status of a program at its end."""
    child.expect_exact(pexpect.EOF)
    child.close()
    return child.exitstatus


def test_a_terminal_has_our_size_and_follows_it(busybox):
    child = busybox.terminal("sh", "-c", "stty size; trap 'stty size; exit 3' WINCH; echo ready; while :; do sleep 0.1; done",
                             size=(31, 99))
    child.expect_exact("31 99\r\nready\r\n")
    child.setwinsize(50, 132)
    child.expect_exact("50 132\r\n")
    assert end(child) == 3


def test_keys_are_echoed_once_and_by_the_machine(busybox):
    child = busybox.terminal("sh", "-c", "echo ready; exec cat")
    child.expect_exact("ready\r\n")  # what is typed before is echoed here as well
    child.send("héllo\r")
    child.expect_exact("héllo\r\nhéllo\r\n")
    assert child.before == ""
    child.send("\x04")
    child.expect_exact(pexpect.EOF)
    assert child.before == ""
    child.close()
    assert child.exitstatus == 0


def test_a_program_can_turn_the_echo_off(busybox):
    child = busybox.terminal("sh", "-c", "stty -echo; echo ready; read line; echo got $line")
    child.expect_exact("ready\r\n")
    child.send("secret\r")
    child.expect_exact("got secret\r\n")
    assert child.before == ""
    assert end(child) == 0


def test_control_c_interrupts_the_command(busybox):
    child = busybox.terminal("sh", "-c", "echo ready; exec sleep 1000")
    child.expect_exact("ready\r\n")
    child.send("\x03")
    assert end(child) == 130


def test_control_c_interrupts_annex_while_the_machine_does_not_answer(busybox):
    vm = busybox.inspect()["vmPid"]
    os.kill(vm, signal.SIGSTOP)
    try:
        child = busybox.terminal("true")
        wait_until(lambda: not child.getecho(), "the session is being opened")
        child.send("\x03")
        child.expect_exact(pexpect.EOF)
        child.close()
        assert child.signalstatus == signal.SIGINT or child.exitstatus in (125, 130)
    finally:
        os.kill(vm, signal.SIGCONT)
    assert busybox.ok("echo", "alive") == "alive\n"


def test_control_backslash_quits_the_command(busybox):
    child = busybox.terminal("sh", "-c", "echo ready; exec sleep 1000")
    child.expect_exact("ready\r\n")
    child.send("\x1c")
    assert end(child) == 131


def test_a_shell_has_job_control(busybox):
    child = busybox.terminal("sh", "-c", "echo ready; exec cat")
    child.expect_exact("ready\r\n")
    assert busybox.ok("sh", "-c", "ps -o tty,args | grep '[c]at$' | head -1").startswith("136,")
    child.send("\x03")
    assert end(child) == 130


def test_without_a_command_there_is_a_login_shell(busybox):
    child = busybox.host.terminal(ANNEX, "run", "-n", "busybox", env={"TERM": "dumb"})
    child.send("echo $((6 * 7)) $0; exit 7\r")
    child.expect(r"\r\n42 -\S*sh\r\n")
    assert end(child) == 7


def test_all_three_streams_are_the_terminal(busybox):
    child = busybox.terminal("sh", "-c", "test -t 0 && test -t 1 && test -t 2 && tty && stat -c %U $(tty)")
    child.expect(r"^/dev/pts/\d+\r\n" + busybox.host.account.name + "\r\n")
    assert end(child) == 0


def test_who_shows_the_terminals_that_are_in_use(busybox):
    account = busybox.host.account.name
    child = busybox.terminal("sh", "-c", "tty; echo $$; exec sleep 1000")
    child.expect(r"^/dev/(pts/\d+)\r\n(\d+)\r\n")
    line = re.compile(rf"^{account}\s+{child.match[1]}\s.*annex", re.MULTILINE)
    assert line.search(busybox.ok("who"))
    busybox.sh(f"kill -9 {child.match[2]}")
    assert end(child) == 137
    assert not line.search(busybox.ok("who"))


def test_a_terminal_can_be_asked_for_and_declined(busybox):
    tests = "test -t 0; echo $?; test -t 1; echo $?; test -t 2; echo $?"
    assert busybox.ok("sh", "-c", tests) == "1\n1\n1\n"
    assert busybox.ok("sh", "-c", tests, options=["-t"], text=False) == b"0\r\n0\r\n0\r\n"
    assert busybox.ok("sh", "-c", tests, options=["-it"], text=False) == b"0\r\n0\r\n0\r\n"
    child = busybox.terminal("sh", "-c", tests, options=["-T"])
    child.expect_exact("1\r\n1\r\n1\r\n")
    assert end(child) == 0


def test_output_that_goes_elsewhere_declines_it_too(busybox):
    child = busybox.host.terminal("sh", "-c", f"'{ANNEX}' run -n busybox -- sh -c 'test -t 0; echo $?' | cat")
    child.expect_exact("1\r\n")
    assert end(child) == 0


def test_our_own_terminal_is_left_as_it_was(busybox):
    child = busybox.host.terminal("sh", "-c", f"stty -a >$HOME/before; '{ANNEX}' run -n busybox -- sh -c 'echo in; exit 4';"
                                              "echo status=$?; stty -a | cmp - $HOME/before && echo same")
    child.expect_exact("in\r\nstatus=4\r\nsame\r\n")
    assert end(child) == 0


def test_a_terminal_that_is_closed_hangs_up(busybox):
    # Closing pexpect's end hangs up, and soon after interrupts: that must not end the shell before its trap runs.
    child = busybox.terminal("sh", "-c", "trap '' INT; trap 'echo yes >/tmp/closed; exit' HUP; echo ready; "
                                         "while :; do sleep 0.1; done")
    child.expect_exact("ready\r\n")
    child.close(force=True)
    wait_until(lambda: busybox.run("cat", "/tmp/closed").stdout == "yes\n", "the command got SIGHUP")
    busybox.sh("rm /tmp/closed")
