"""annex-guest in real virtual machines, with the test as its supervisor. One machine serves many tests; those that end it
or change how it starts come with their own."""

import hashlib
import os
import random
import shutil
import subprocess
import tempfile
import time

import pytest

import guest_vm
import oci
import programs
import protocol
from guest_vm import DETACH, NO_INPUT, SHELL, TERMINAL

pytestmark = pytest.mark.skipif(not shutil.which("qemu-system-x86_64"), reason="no QEMU")

SIGINT, SIGKILL, SIGTERM, SIGHUP, SIGUSR1 = 2, 9, 15, 1, 10
ENOENT, EACCES, ENOEXEC = 2, 13, 8
SYSTEM, USAGE, NOT_FOUND, BUSY, GUEST = 1, 2, 3, 5, 12
CPUS, DISK, MEMORY, TRIM = 1, 2, 3, 4  # what ADJUST is about


@pytest.fixture(scope="module")
def machine(test_image):
    """BusyBox with its own init."""
    made = guest_vm.Machine(test_image("busybox"))
    try:
        yield made.start()
    finally:
        made.close()


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    """The folder of an authority (ca.pem), as the host tells of it (told), and of a server's certificate (server.pem)."""
    folder = tmp_path_factory.mktemp("authority")

    def openssl(*words):
        return subprocess.run(["openssl", *words], cwd=folder, check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
                              text=True).stdout

    openssl("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", "ca.key", "-out", "ca.pem", "-subj", "/CN=Corp Root")
    openssl("req", "-newkey", "rsa:2048", "-nodes", "-keyout", "server.key", "-out", "request", "-subj", "/CN=server")
    openssl("x509", "-req", "-in", "request", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-out", "server.pem")
    hashed = openssl("x509", "-in", "ca.pem", "-noout", "-subject_hash").strip()
    (folder / "told").write_text(f"# {hashed} Corp Root\n" + (folder / "ca.pem").read_text())
    return folder


@pytest.fixture(scope="module")
def debian(test_image, authority):
    made = guest_vm.Machine(test_image("debian"), cpus=2, memory=1024, trust=1, certificates=(authority / "told").read_bytes(),
                            proxies=["http_proxy=http://ada:p%40ss@proxy:1", 'no_proxy=a "b\\'])
    try:
        yield made.start()
    finally:
        made.close()


@pytest.fixture
def fresh(test_image):
    """A function that makes machines which the test may end."""
    made = []

    def make(image, **options):
        made.append(guest_vm.Machine(test_image(image), **options))
        return made[-1]

    yield make
    for each in made:
        each.close()


# The boot.

def test_the_guest_says_hello_and_what_it_waits_for(machine):
    assert machine.messages[0].name == "HELLO"
    assert machine.messages[0].version == protocol.VERSION
    assert machine.messages[0].who.startswith("guest 6")
    assert [message.what for message in machine.waiting][0] == "the root disk"


def test_the_image_s_init_is_pid_1_of_the_machine(machine):
    assert machine.ready[0].init == "/sbin/init"
    assert machine.root("readlink /proc/1/exe").strip() == "/bin/busybox"
    assert "container=annex" in machine.root("tr '\\0' '\\n' </proc/1/environ").splitlines()


def test_the_disk_has_grown_to_its_device(machine):
    blocks = int(machine.root("df -k / | tail -1").split()[1])
    assert blocks > 3.8 * (1 << 20)


def test_the_network_and_the_names_are_set_up(machine):
    interface = machine.root("ip addr show eth0")
    assert "inet 10.0.2.15/24 brd 10.0.2.255" in interface and "mtu 1400" in interface and "UP" in interface
    # Nothing is tentative, and nothing came from a router.
    assert [line.split()[1] for line in interface.splitlines() if "inet6" in line and "fe80" not in line] == ["fec0::15/64"]
    assert "tentative" not in interface
    assert "default via 10.0.2.2" in machine.root("ip route")
    assert "default via fec0::2" in machine.root("ip -6 route")
    assert machine.root("hostname") == "box\n"
    assert machine.root("cat /etc/hostname") == "box\n"
    hosts = machine.root("cat /etc/hosts").splitlines()
    assert {"10.0.2.15\tbox.annex.internal box\t# annex", "fec0::15\tbox.annex.internal box\t# annex"} <= set(hosts)
    assert "127.0.0.1" in machine.root("ping -c 1 -w 5 localhost")
    resolver = machine.root("cat /etc/resolv.conf").splitlines()
    assert resolver[1:] == ["nameserver 10.0.2.3", "search annex.internal example.com"]


def test_search_domains_follow_the_host(machine):
    machine.send("NAMES", search=["other.example"])
    machine.root("until grep -qx 'search annex.internal other.example' /etc/resolv.conf; do sleep 0.05; done")


def test_the_clock_is_the_host_s(machine):
    assert abs(int(machine.root("date +%s")) - time.time()) < 5
    machine.send("CLOCK", realtime_ns=1900000000 * 10 ** 9)
    assert abs(int(machine.root("date +%s")) - 1900000000) < 60
    machine.send("CLOCK", realtime_ns=time.time_ns())
    assert abs(int(machine.root("date +%s")) - time.time()) < 5


def test_the_host_s_user_is_made_with_its_ids(machine):
    session = machine.run("sh", "-c", "id -u; id -g; id -un; pwd; ls -ld /home/ada")
    lines = session.output.decode().splitlines()
    assert lines[:4] == ["4321", "4322", "ada", "/home/ada"]
    assert lines[4].startswith("drwx------") and " ada " in lines[4]
    assert machine.root("grep -c ^ada: /etc/passwd /etc/group /etc/shadow").split() == [
        "/etc/passwd:1", "/etc/group:1", "/etc/shadow:1"]
    assert machine.root("stat -c '%a %u %g' /etc/shadow").split() == ["640", "0", "42"]


def test_devices_are_those_of_a_machine(machine):
    listed = machine.root("ls /dev").split()
    assert {"null", "zero", "tty", "ptmx", "pts", "shm", "mqueue", "fuse", "kvm", "loop-control", "console"} <= set(listed)
    assert not [name for name in listed if name.startswith(("vda", "vport"))]
    assert machine.root("mount -t tmpfs | grep ' /run '")
    assert machine.run("sh", "-c", "touch /sys/x", user="root").exit[0] != 0


def test_the_control_port_can_not_be_opened_even_by_root(machine):
    number = machine.root("cat /sys/class/virtio-ports/*/dev").strip().split(":")
    session = machine.run("sh", "-c", f"mknod /tmp/port c {number[0]} {number[1]}; echo x >/tmp/port", user="root")
    assert session.exit[0] != 0 and b"busy" in session.errors


def test_the_kernel_s_log_is_sent(machine):
    machine.wait_until(lambda: b"Run /init as init process" in machine.log, 20, "the log")
    machine.root("echo said-in-the-machine >/dev/kmsg")
    machine.wait_until(lambda: b"said-in-the-machine" in machine.log, 20, "a later message")


# Sessions.

def test_status_and_signals_of_the_end_are_told(machine):
    assert machine.run("true").exit == (0, 0)
    assert machine.run("sh", "-c", "exit 7").exit == (7, 0)
    assert machine.run("sh", "-c", "kill -TERM $$").exit == (0, SIGTERM)


def test_arguments_arrive_verbatim(machine):
    words = ["", " a  b ", "$HOME", "'\"", "é\n", "*"]
    assert machine.run("sh", "-c", 'for a; do printf "%s|" "$a"; done', "x", *words).output.decode() == \
        "".join(word + "|" for word in words)


def test_output_and_errors_are_apart(machine):
    session = machine.run("sh", "-c", "echo out; echo err >&2")
    assert (session.output, session.errors) == (b"out\n", b"err\n")
    assert session.ended == {"OUTPUT", "ERRORS"}


def test_input_arrives_and_ends(machine):
    assert machine.run("cat", input=b"some input").output == b"some input"
    assert machine.run("cat").output == b""


def test_standard_streams_can_be_opened_by_the_user(machine):
    session = machine.run("sh", "-c", "echo a >/dev/stdout; echo b >/dev/stderr; cat </dev/stdin", input=b"c")
    assert (session.exit, session.output, session.errors) == ((0, 0), b"a\nc", b"b\n")


@pytest.mark.parametrize("argv,kind,os_error", [
    (["no-such-program"], NOT_FOUND, ENOENT), (["/no/such/program"], NOT_FOUND, ENOENT), (["/etc/passwd"], SYSTEM, EACCES),
    (["/etc"], SYSTEM, EACCES), ([], USAGE, 0)])
def test_what_can_not_be_run_is_said(machine, argv, kind, os_error):
    session = machine.run(*argv)
    assert (session.failure.kind, session.failure.os) == (kind, os_error), session.failure
    assert not session.exit and not session.ended


def test_a_file_that_is_no_program_is_said_to_be_none(machine):
    machine.root("echo nothing >/usr/bin/no-format; chmod 755 /usr/bin/no-format")
    failure = machine.run("no-format").failure
    assert (failure.kind, failure.os) == (SYSTEM, ENOEXEC)


@pytest.mark.parametrize("user,shown", [
    ("root", "0 0 0"), ("0", "0 0 0"), ("nobody", "65534 65534 65534"), ("77", "77 0 0"), ("77:88", "77 88 88"),
    ("ada:tty", "4321 5 5"), ("root:88", "0 88 88")])
def test_users_are_names_or_numbers(machine, user, shown):
    session = machine.run("sh", "-c", "echo $(id -u) $(id -g) $(id -G)", user=user)
    assert session.output.decode().strip() == shown, session.failure


@pytest.mark.parametrize("user", ["nosuchuser", "root:nosuchgroup"])
def test_an_unknown_user_is_not_found(machine, user):
    assert machine.run("true", user=user).failure.kind == NOT_FOUND


def test_supplementary_groups_are_those_of_the_image(machine):
    machine.root("echo extra:x:2000:root,ada >>/etc/group")
    assert machine.run("id", "-G").output.decode().split() == ["4322", "2000"]


def test_the_login_environment_is_set(machine):
    lines = machine.run("env", environment=["A=b", "LANG=x", "NOT"]).output.decode().splitlines()
    assert {"HOME=/home/ada", "USER=ada", "LOGNAME=ada", "SHELL=/bin/sh", "A=b", "LANG=x", "TERM=dumb"} <= set(lines)
    assert any(line.startswith("PATH=/usr/local/sbin:") for line in lines)
    assert not [line for line in lines if line.startswith(("NOTIFY", "NOT", "container"))]


def test_the_program_is_looked_up_in_the_given_path(machine):
    machine.root("mkdir -p /opt/own; printf '#!/bin/sh\\necho own\\n' >/opt/own/ls; chmod 755 /opt/own/ls")
    assert machine.run("ls", environment=["PATH=/opt/own:/bin"]).output == b"own\n"


def test_the_folder_is_the_one_asked_for_or_an_error(machine):
    assert machine.run("pwd", folder="/var/log").output == b"/var/log\n"
    failure = machine.run("pwd", folder="/no/such").failure
    assert (failure.kind, failure.os) == (SYSTEM, ENOENT) and "/no/such" in failure.message
    assert machine.run("pwd", user="77").output == b"/\n"


def test_the_umask_and_limits_are_usual(machine):
    assert machine.run("sh", "-c", "umask; ulimit -Sn; ulimit -Hn").output.decode().split() == ["0022", "1024", "524288"]
    assert machine.run("cat", "/proc/self/oom_score_adj").output == b"0\n"
    assert b"SigIgn:\t0000000000000000" in machine.run("cat", "/proc/self/status").output
    assert b"SigBlk:\t0000000000000000" in machine.run("cat", "/proc/self/status").output


def test_no_descriptor_leaks_into_a_session(machine):
    assert machine.run("sh", "-c", "cd /proc/self/fd; echo *").output.decode().split() == ["0", "1", "2", "3"]


def test_the_login_shell_runs_a_string(machine):
    session = machine.run("echo $0 $1; false", "name", "first", flags=guest_vm.DEFAULT_USER | SHELL)
    assert (session.output, session.exit) == (b"name first\n", (1, 0))


def test_a_session_has_a_control_group_of_its_own(machine):
    first, second = (machine.run("cat", "/proc/self/cgroup").output.decode() for _ in range(2))
    assert first.startswith("0::/annex/") and first != second
    assert len(machine.root("ls -d /sys/fs/cgroup/annex/*/").split()) <= 2


def test_signals_reach_the_whole_session(machine):
    session = machine.open("sh", "-c", "trap 'echo caught; exit 3' USR1; echo go; while :; do sleep 0.1; done",
                           flags=guest_vm.DEFAULT_USER | NO_INPUT)
    session.wait_for(b"go")
    session.send("SIGNAL", number=SIGUSR1)
    assert session.wait().exit == (3, 0) and b"caught" in session.output
    session = machine.open("sh", "-c", "sleep 1000; echo not reached", flags=guest_vm.DEFAULT_USER | NO_INPUT)
    machine.wait_until(lambda: session.id, 20, "the session")
    session.send("SIGNAL", number=SIGINT)
    assert session.wait().exit == (0, SIGINT)


def test_what_a_session_leaves_behind_does_not_keep_it(machine):
    begin = time.monotonic()
    session = machine.run("sh", "-c", "sleep 1000 & echo started")
    assert session.exit == (0, 0) and session.output == b"started\n" and time.monotonic() - begin < 30
    assert "sleep 1000" in machine.root("ps")
    machine.root("killall sleep")


def test_the_last_of_a_pipeline_may_write_a_little_later(machine):
    # It writes when the shell is gone, which is when its time begins.
    session = machine.run("sh", "-c", "(while kill -0 $$; do :; done 2>/dev/null; echo late) & echo early")
    assert session.output == b"early\nlate\n"


def test_detached_sessions_go_on_and_have_outputs_only(machine):
    session = machine.run("sh", "-c", "readlink /proc/$$/fd/0; echo errors >&2; sleep 0.5; exit 4",
                          flags=guest_vm.DEFAULT_USER | DETACH)
    session.send("HANGUP")
    assert session.wait().exit == (4, 0) and session.id
    assert (session.output, session.errors) == (b"/dev/null\n", b"errors\n")


def test_a_detached_session_ends_with_the_last_that_writes(machine):
    session = machine.open("sh", "-c", "(sleep 1; echo late) & echo early; exit 4", flags=guest_vm.DEFAULT_USER | DETACH)
    assert session.wait().exit == (4, 0) and session.output == b"early\nlate\n"


@pytest.mark.parametrize("flags", [DETACH, NO_INPUT, TERMINAL])
def test_a_signal_for_all_reaches_every_process_of_the_session(machine, flags):
    session = machine.open("sh", "-c", "sleep 1000 & sleep 1000 & setsid sleep 2222 & echo started; wait",
                           flags=guest_vm.DEFAULT_USER | flags)
    session.wait_for(b"started")
    machine.wait_until(lambda: "sleep 2222" in machine.root("ps"), 20, "all run")
    session.send("SIGNAL", number=SIGKILL, all=1)
    machine.wait_until(lambda: "sleep 1000" not in machine.root("ps"), 20, "they were killed")
    assert "sleep 2222" in machine.root("ps")  # it has made a session of its own, as services do
    machine.root("killall sleep")
    assert session.wait().exit == (0, SIGKILL)


def test_a_hang_up_ends_a_session(machine):
    session = machine.open("sh", "-c", "sleep 1000")
    machine.wait_until(lambda: session.id, 20, "the session")
    session.send("HANGUP")
    assert session.wait().exit == (0, SIGHUP)


def test_a_program_that_ignores_the_hang_up_goes_on_writing_to_nobody(machine):
    session = machine.open("sh", "-c", "trap '' HUP; echo go; while [ ! -e /tmp/go-on ]; do sleep 0.1; done;"
                           "head -c 1000000 /dev/zero; exit 5")
    session.wait_for(b"go")
    session.give_credit = False
    session.send("HANGUP")
    machine.root("touch /tmp/go-on")
    assert session.wait().exit == (5, 0) and session.output == b"go\n"


def test_many_sessions_run_at_once(machine):
    sessions = [machine.open("sh", "-c", f"read x; echo {i} $x") for i in range(40)]
    for i, session in enumerate(sessions):
        session.write(b"in%d\n" % i)
    for i, session in enumerate(sessions):
        assert session.wait(120).output.decode() == f"{i} in{i}\n"


def test_late_messages_and_broken_ones_do_not_hurt(machine):
    stream = machine.run("true").stream
    for name, fields in (("INPUT", {"data": b"x"}), ("RESIZE", {"rows": 1}), ("SIGNAL", {"number": 9}), ("HANGUP", {}),
                         ("CREDIT", {"channel": 61, "bytes": 1})):
        machine.send(name, stream, **fields)
    session = machine.open("cat")
    before = len(machine.failures)
    machine.send("OPEN", session.stream, argv=["true"])
    machine.send("CREDIT", session.stream, channel=61, bytes=1)
    machine.send("SIGNAL", session.stream, number=99)
    machine.send("READY", 0, init="x")
    machine.wait_until(lambda: len(machine.failures) == before + 4, 20, "protests")
    session.close()
    assert session.wait().exit == (0, 0)


# Terminals.

def wait_for_process(machine, command):
    deadline = time.monotonic() + 30 * guest_vm.SCALE
    while command not in machine.root("ps"):
        assert time.monotonic() < deadline, f"{command} does not run"


def terminal(machine, *argv, rows=24, columns=80, **options):
    return machine.open(*argv, flags=guest_vm.DEFAULT_USER | TERMINAL | options.pop("flags", 0), rows=rows, columns=columns,
                        **options)


def test_a_terminal_is_the_user_s_and_has_a_name_inside(machine):
    session = terminal(machine, "sh", "-c", "tty; stty size; stat -c '%U %a' $(tty); ls -l /proc/self/fd/0; echo $TERM").wait()
    lines = session.output.decode().split("\r\n")
    assert lines[0].startswith("/dev/pts/") and lines[1:3] == ["24 80", "ada 620"]
    assert lines[3].endswith(f"-> {lines[0]}") and lines[4] == "xterm-256color"
    assert session.exit == (0, 0) and session.ended == {"OUTPUT"}


def test_a_resize_is_seen(machine):
    session = terminal(machine, "sh", "-c", "trap 'stty size; exit' WINCH; echo go; while :; do sleep 0.1; done")
    session.wait_for(b"go")
    session.send("RESIZE", rows=50, columns=132)
    assert b"50 132" in session.wait().output


def test_an_interactive_login_shell_works(machine):
    session = terminal(machine, flags=SHELL)
    session.write(b"echo $0-$((40+2))\n")
    session.wait_for(b"-sh-42")
    session.write(b"exit 3\n")
    assert session.wait().exit == (3, 0)


def test_control_c_and_signals_reach_the_foreground(machine):
    session = terminal(machine, "sh")
    session.write(b"sleep 1000\n")
    wait_for_process(machine, "sleep 1000")
    session.write(b"\x03")
    session.write(b"echo first=$?\n")
    session.wait_for(b"first=130")
    session.write(b"sleep 1001\n")
    wait_for_process(machine, "sleep 1001")
    session.send("SIGNAL", number=SIGTERM)
    session.write(b"echo second=$?\n")
    session.wait_for(b"second=143")
    session.write(b"exit\n")
    assert session.wait().exit == (0, 0) or session.exit[0] == 143


@pytest.mark.parametrize("typed", [b"", b"whole line\n", b"half a line"])
def test_the_end_of_input_is_typed(machine, typed):
    session = terminal(machine, "cat")
    session.write(typed)
    session.close()
    assert session.wait().exit == (0, 0)
    assert typed.strip() in session.output


def test_a_hang_up_of_a_terminal_ends_what_is_on_it(machine):
    session = terminal(machine, "sh", "-c", "sleep 1234; echo x")
    machine.wait_until(lambda: session.id, 20, "the session")
    session.send("HANGUP")
    assert session.wait().exit == (0, SIGHUP)
    assert "sleep 1234" not in machine.root("ps")


def test_all_that_a_terminal_was_told_is_sent_before_the_end(machine):
    session = terminal(machine, "sh", "-c", "seq 1 20000").wait()
    assert session.output.decode().split("\r\n")[-2:] == ["20000", ""]
    assert len(session.output.split()) == 20000


# Flow.

def test_a_reader_that_stops_stalls_only_itself(machine):
    stalled = machine.open("sh", "-c", "cat /dev/zero", flags=guest_vm.DEFAULT_USER | NO_INPUT)
    stalled.give_credit = False
    machine.wait_until(lambda: len(stalled.output) == 256 * 1024, 30, "a full window")
    writer = machine.open("sleep", "1000")
    writer.write(bytes(256 * 1024))
    assert machine.run("echo", "still here").output == b"still here\n"
    time.sleep(0.5)
    assert len(stalled.output) == 256 * 1024
    assert machine.run("cat", input=bytes(1 << 20)).output == bytes(1 << 20)
    for session in (stalled, writer):
        session.send("HANGUP")
        session.wait()


def test_data_is_exact_both_ways(machine):
    """`ANNEX_TEST_BYTES` for the gigabyte that is measured by hand."""
    size = int(os.environ.get("ANNEX_TEST_BYTES") or 32 << 20)
    block = random.Random(1).randbytes(1 << 20)
    session = machine.open("cat")
    sent, received = hashlib.sha256(), hashlib.sha256()
    done = 0
    for _ in range(size >> 20):
        session.write(block, 600)
        sent.update(block)
        with machine.changed:
            received.update(session.output)
            done += len(session.output)
            session.output.clear()
    session.close()
    session.wait(600)
    received.update(session.output)
    assert (session.exit, done + len(session.output)) == ((0, 0), size)
    assert received.digest() == sent.digest()


def test_input_that_nobody_reads_is_taken(machine):
    session = machine.open("sh", "-c", "exec <&-; sleep 1; echo done")
    session.write(bytes(2 << 20))
    session.close()
    assert session.wait().output == b"done\n"


# Debian with systemd.

def test_systemd_comes_up_whole(debian):
    assert debian.ready[0].init == "/sbin/init"
    assert debian.root("systemctl is-system-running --wait").strip() == "running"
    assert debian.root("systemctl --failed --no-legend") == ""
    assert debian.root("cat /etc/machine-id").strip() == debian.config["machine_id"]
    assert debian.root("systemd-detect-virt -c").strip() == "container-other"


def test_systemd_starts_services_in_their_groups(debian):
    debian.root("systemd-run --unit=probe sleep 1000")
    assert debian.root("systemctl show -p ControlGroup probe").strip() == "ControlGroup=/system.slice/probe.service"
    assert int(debian.root("cat /sys/fs/cgroup/system.slice/probe.service/memory.current")) > 0
    debian.root("systemctl stop probe")


def test_sudo_needs_no_password(debian):
    session = debian.run("sudo", "-n", "id", "-u")
    assert session.output == b"0\n", bytes(session.errors)


def test_doas_needs_no_password(debian):
    session = debian.run("doas", "-n", "id", "-u")
    assert session.output == b"0\n", bytes(session.errors)


def test_what_was_done_about_the_account_works(debian):
    """What does not is said on the console, or in the kernel's log."""
    said = (debian.folder / "console").read_text(errors="replace") + bytes(debian.log).decode(errors="replace")
    assert "does not work for" not in said and "works for" not in said and "may be asked" not in said
    assert debian.run("id", "-nG").output.split() == [b"ada", b"adm", b"sudo", b"systemd-journal"]
    assert debian.root("cat /var/lib/annex/account") == "4321:built-in\n"
    debian.root("pwck -r; grpck -r")
    assert debian.root("grep -c ^ada:100000:65536 /etc/subuid /etc/subgid").split() == ["/etc/subuid:1", "/etc/subgid:1"]


def test_names_are_resolved_and_the_host_is_reached(debian):
    assert debian.root("getent ahosts box").split()[0] in ("10.0.2.15", "fec0::15")
    assert debian.run("sh", "-c", "sudo -n true", user="ada").errors == b""


def test_what_the_host_trusts_is_trusted(debian, authority):
    """By links, as OpenSSL looks for it, and in the one file that others read."""
    debian.run("sh", "-c", "cat >/tmp/server.pem", input=(authority / "server.pem").read_bytes())
    for where in ("-no-CAfile -CApath /etc/ssl/certs", "-no-CApath -CAfile /etc/ssl/certs/ca-certificates.crt"):
        assert debian.root(f"openssl verify {where} /tmp/server.pem") == "/tmp/server.pem: OK\n"
    assert debian.root("cat /usr/local/share/ca-certificates/annex-*.crt") == (authority / "ca.pem").read_text()


def test_services_have_the_proxies(debian):
    wanted = {"http_proxy=http://ada:p%40ss@proxy:1", 'no_proxy=a "b\\'}
    assert wanted <= set(debian.root("systemd-run -q --wait --pipe env").splitlines())
    manager = debian.root("for each in /proc/[0-9]*; do if tr '\\0' ' ' <$each/cmdline | grep -q 'systemd --user'; then "
                          "tr '\\0' '\\n' <$each/environ; fi; done 2>/dev/null")
    assert wanted <= set(manager.splitlines())
    # A session has those of who opens it.
    assert "proxy" not in debian.run("env").output.decode()


def test_networkd_leaves_the_interface_alone(debian):
    debian.root("mkdir -p /etc/systemd/network; printf '[Match]\\nName=*\\n[Network]\\nDHCP=yes\\n' >/etc/systemd/network/50-all.network")
    debian.root("systemctl start systemd-networkd; until networkctl list --no-legend eth0 | grep -q unmanaged; do sleep 0.1; done")
    assert "inet 10.0.2.15/24 brd 10.0.2.255 scope global eth0" in debian.root("ip addr show eth0")
    debian.root("systemctl stop systemd-networkd.socket systemd-networkd; rm /etc/systemd/network/50-all.network")


def test_what_systemd_waits_for_is_told_once(fresh):
    machine = fresh("debian", cpus=2, memory=1024).start()
    machine.root("printf '[Service]\\nType=oneshot\\nExecStart=sleep 15\\n[Install]\\nWantedBy=multi-user.target\\n' "
                 ">/etc/systemd/system/slow.service; systemctl -q enable slow")
    machine.shutdown()
    machine.start()
    told = [message.what for message in machine.waiting]
    assert [what for what in told if "slow.service" in what] and len(set(told)) == len(told)


def test_a_reboot_inside_starts_init_anew(debian):
    debian.root("echo kept >/root/kept")
    witness = debian.open("sleep", "1000")
    debian.wait_until(lambda: witness.id, 30, "a session")
    readies = len(debian.ready)
    debian.open("systemctl", "reboot", user="root")
    debian.wait_until(lambda: len(debian.ready) > readies, 120, "READY again")
    assert guest_vm.HALTED[debian.halted[-1].reason] == "reboot"
    assert ended_with_init(witness.wait())
    assert debian.root("cat /root/kept; systemctl is-system-running --wait").split() == ["kept", "running"]


def test_processors_are_used_as_many_as_there_are(debian):
    for count in (1, 2):
        answer = debian.adjust(CPUS, count)
        assert (answer.kind, answer.value) == (0, count)
        assert debian.root("nproc") == f"{count}\n"


def test_systemd_is_powered_off_in_order(debian):
    debian.root("echo flushed >/root/flushed")
    assert debian.shutdown() == 0
    assert guest_vm.HALTED[debian.halted[-1].reason] == "power-off"
    assert "Reached target" in (debian.folder / "console").read_text()
    assert clean(debian)


def ended_with_init(session):
    """By init's last signals, or by the kernel's, behind init: then it is said."""
    return session.exit in [(0, SIGKILL), (0, SIGTERM)] or "stopped or restarted" in session.failure.message


def clean(machine):
    """Was the disk unmounted? (The superblock's state and the journal's flag.)"""
    with open(machine.disk, "rb") as disk:
        disk.seek(1024)
        superblock = disk.read(1024)
    state, needs_recovery = superblock[0x3A], superblock[0x60] & 4
    return state & 1 and not needs_recovery


# Ends, and other inits.

def test_sessions_are_told_their_end_when_the_machine_stops(fresh):
    machine = fresh("busybox").start()
    session = machine.open("sh", "-c", "trap '' TERM; echo on; while :; do sleep 1; done")
    session.wait_for(b"on")
    assert machine.shutdown() == 0
    assert ended_with_init(session)
    assert clean(machine)


def test_power_off_inside_ends_the_machine_and_the_disk_is_kept(fresh):
    machine = fresh("busybox").start()
    machine.root("echo kept >/root/kept; echo other >/etc/hostname")
    machine.open("poweroff", user="root")
    assert machine.wait_for_end() == 0
    assert guest_vm.HALTED[machine.halted[0].reason] == "power-off" and clean(machine)
    machine.start()
    assert machine.root("cat /root/kept; hostname; grep -c ^ada: /etc/passwd").split() == ["kept", "other", "1"]


def test_an_init_that_is_stuck_is_killed_after_the_time(fresh):
    machine = fresh("busybox").start()
    machine.root("printf '#!/bin/sh\\nsleep 1000\\n' >/etc/init.d/S10stuck; printf '#!/bin/sh\\nsleep 1000\\n' >/etc/init.d/rcK")
    begin = time.monotonic()
    assert machine.shutdown(timeout_ms=3000) == 0
    assert time.monotonic() - begin < 60 and clean(machine)


def test_an_init_that_dies_is_a_crash(fresh):
    machine = fresh("busybox", init="image")
    machine.config["init_argv"] = ["/init"]
    machine.start()
    machine.root("printf '#!/bin/sh\\nsleep 5\\nexit 9\\n' >/init; chmod 755 /init")
    assert machine.shutdown() == 0
    machine.start()
    assert machine.wait_for_end() == 0
    assert machine.ready[0].init == "/init"
    assert guest_vm.HALTED[machine.halted[0].reason] == "crash" and "status 9" in machine.halted[0].text
    assert clean(machine)


def check_account_of_image(machine):
    """What the image calls `ubuntu` has the user's name, home and group too now, beside what it had before."""
    assert machine.run("sh", "-c", "id -un; id -gn; id -G; cd; pwd; cat kept /home/ubuntu/kept; echo $SHELL").output.decode(
        ).split() == ["ada", "ada", "4322", "1235", "4321", "/home/ada", "kept", "kept", "/bin/sh"]
    assert machine.root("cat /etc/passwd").splitlines()[2:] == [
        "ada:x:4321:4322:Ubuntu:/home/ada:/bin/sh", "ubuntu:x:4321:4321:Ubuntu:/home/ubuntu:/usr/bin/gone", "+::::::"]
    assert machine.run("sh", "-c", "id -un; cd; cat kept", user="ubuntu").output == b"ada\nkept\n"
    # And the folders that it lacks are there.
    assert [line.split()[0] for line in machine.root("ls -ld /tmp /var/tmp /root").splitlines()] == [
        "drwx------", "drwxrwxrwt", "drwxrwxrwt"]


SCRIPT = """#!/bin/sh
echo "for $CONTAINER_USER $CONTAINER_UID $CONTAINER_GID $CONTAINER_HOME $CONTAINER_MACHINE_ID by $(id -u) on $(cat /etc/hostname)"
echo x >>/runs
[ -e /again ] || { touch /again; exit 7; }
echo "$CONTAINER_USER:x:$CONTAINER_UID:$CONTAINER_GID:by script:$CONTAINER_HOME:/bin/sh" >>/etc/passwd
"""


@pytest.fixture
def scripted():
    with tempfile.TemporaryDirectory(prefix="annex-scripted-", dir="/var/tmp") as folder:
        tar = programs.root(("sh", "id", "cat", "touch", "ls"), without=("dev",)).symlink("dev", "/real/dev")
        tar.file("etc/machine/create-user.sh", SCRIPT, 0o755)
        tar.file("etc/passwd", "root:x:0:0:root:/root:/bin/sh\n")
        layout = oci.Layout(folder + "/image")
        layout.tag("latest", layout.image([layout.layer(tar)], {"Cmd": ["/bin/sh"]})).save()
        made = guest_vm.Machine(folder + "/image", size=1 << 30, memory=256, network="none")
        try:
            yield made
        finally:
            made.close()


def test_the_image_s_own_way_of_making_the_account_is_taken_once(scripted):
    scripted.launch()
    scripted.configure()
    assert scripted.wait_for_end(120) == 0
    failure = scripted.failures[0]
    assert (failure.kind, failure.message) == (GUEST, "the image's /etc/machine/create-user.sh ended with status 7")
    console = (scripted.folder / "console").read_text(errors="replace")
    assert f"for ada 4321 4322 /home/ada {scripted.config['machine_id']} by 0 on box" in console
    scripted.start()
    assert "/etc/machine/create-user.sh" in [message.what for message in scripted.waiting]
    assert scripted.run("id", "-un").output == b"ada\n"
    # Links of the image count from its root.
    assert {"console", "null", "pts", "shm"} <= set(scripted.root("ls /real/dev").split())
    # It is done, also if the machine ends at once, and nothing else was.
    scripted.process.kill()
    scripted.process.wait()
    scripted.start()
    assert scripted.run("sh", "-c", "cat /runs /etc/passwd; ls /etc /home").output.decode().split("\n")[:4] == [
        "x", "x", "root:x:0:0:root:/root:/bin/sh", "ada:x:4321:4322:by script:/home/ada:/bin/sh"]
    assert "sudoers" not in scripted.root("ls /etc /home")


def test_an_image_without_an_init_gets_the_built_in_one(fresh):
    machine = fresh("noinit").start()
    assert machine.ready[0].init == "builtin"
    assert "annex-init" in machine.root("ps")
    check_account_of_image(machine)
    assert machine.run("id", user="app").output.split()[0] == b"uid=1234(app)"
    orphan = machine.root("sh -c 'sleep 1 & echo $!' & wait").strip()
    time.sleep(3)
    assert machine.run("test", "-e", f"/proc/{orphan}").exit == (1, 0), "not reaped"
    begin = time.monotonic()
    assert machine.shutdown() == 0
    assert time.monotonic() - begin < 20 * guest_vm.SCALE, "it was not asked at once"
    assert guest_vm.HALTED[machine.halted[0].reason] == "power-off" and clean(machine)


def test_an_init_that_is_missing_is_an_error_when_it_was_asked_for(fresh):
    machine = fresh("noinit", init="image").launch()
    machine.configure()
    assert machine.wait_for_end(120) == 0
    assert (machine.failures[0].kind, machine.failures[0].message) == (GUEST, "the image has no init")


def test_no_network_means_none(fresh):
    machine = fresh("noinit", network="none", user_name="root", uid=0, gid=0, group_name="root", home="/root").start()
    assert machine.run("cat", "/proc/net/route").output.count(b"\n") == 1
    assert machine.run("id", "-u").output == b"0\n"
    assert machine.run("test", "-e", "/etc/resolv.conf").exit == (1, 0)


def test_the_machine_goes_on_when_the_host_comes_back(fresh):
    machine = fresh("busybox").start()
    session = machine.open("sleep", "1000")
    machine.wait_until(lambda: session.id, 20, "the session")
    machine.disconnect()
    time.sleep(1)
    machine.sessions, machine.messages, machine.ready, machine.next_stream = {}, [], [], 1
    machine.connect()
    machine.wait_until(lambda: machine.ready, 30, "READY again")
    assert [message.name for message in machine.messages[:2]] == ["HELLO", "READY"]
    machine.configure()
    assert machine.run("echo", "hello").output == b"hello\n"
    assert "sleep 1000" not in machine.root("ps")


def test_a_host_that_breaks_the_protocol_ends_the_machine_in_order(fresh):
    machine = fresh("busybox").start()
    machine.link.send_raw(b"\xff" * 64)
    assert machine.wait_for_end(90) == 0
    assert clean(machine)


def test_a_host_of_another_version_is_refused(fresh):
    machine = fresh("busybox").launch()
    machine.wait_until(lambda: machine.messages, 60, "HELLO")
    machine.send("HELLO", version=99, who="supervisor")
    assert machine.wait_for_end() == 0
    assert "version 99" in machine.failures[0].message


def test_what_can_not_be_adjusted_is_refused(machine):
    answer = machine.adjust(99, 1)
    assert answer.kind != 0 and "99" in answer.message


def test_the_guest_tells_what_memory_it_can_do_without(machine):
    answer = machine.adjust(MEMORY, 256 << 20)
    assert answer.kind == 0 and 200 << 20 < answer.value < 512 << 20


def test_free_space_that_was_never_given_back_is_trimmed(machine):
    """Without `discard`, as space that is freed piece by piece; groups that were trimmed before are looked at again."""
    def used():
        return os.stat(machine.disk).st_blocks * 512

    for _ in range(2):
        machine.root("mount -o remount,nodiscard /; dd if=/dev/urandom of=/full bs=1M count=64; sync; rm /full; sync")
        full = used()
        answer = machine.adjust(TRIM, 1)
        assert answer.kind == 0 and answer.value > 60 << 20
        assert used() < full - (60 << 20)
    machine.root("mount -o remount,discard /")
    machine.root("dd if=/dev/urandom of=/full bs=1M count=64; sync; rm /full; sync")
    assert machine.adjust(TRIM, 1).kind == 0
    assert used() < full - (60 << 20)
