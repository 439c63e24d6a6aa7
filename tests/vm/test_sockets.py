"""The SSH agent and other Unix sockets in sessions of real machines. In the machine perl plays the programs."""

import contextlib
import hashlib
import os
import pathlib
import re
import signal
import socket
import subprocess
import threading

import pytest

from annex_test import TIMEOUT
from machines import wait_until

LIST_KEYS = "\\0\\0\\0\\1\\x0b"  # of the agent's protocol
PERL = "use strict; use IO::Socket::UNIX; $SIG{PIPE} = 'IGNORE';" \
       "sub dial { IO::Socket::UNIX->new(Peer => $_[0]) or die \"$_[0]: $!\\n\" }"


def perl(script):
    return ["perl", "-e", PERL + script]


class Agent:
    """A real ssh-agent of the host's user, with one key."""

    def __init__(self, host, folder):
        self.host, self.path, self.key = host, folder / "agent.sock", folder / "key"
        self.process = subprocess.Popen(["ssh-agent", "-D", "-a", self.path], stdout=subprocess.DEVNULL,
                                        **host.account.switch)
        wait_until(self.path.exists, "the agent listens")
        self.env = {"SSH_AUTH_SOCK": str(self.path)}
        done = host.program(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "annex-test", "-f", self.key])
        assert done.returncode == 0, done.stderr
        done = host.program(["ssh-add", "-q", self.key], env=self.env)
        assert done.returncode == 0, done.stderr

    def end(self):
        self.process.kill()
        self.process.wait()


@pytest.fixture
def folder(debian, request):
    """A folder of the user on the host, with a short path."""
    made = debian.host.folder / "home" / request.node.name[5:20]
    made.mkdir()
    os.chown(made, debian.host.account.uid, debian.host.account.gid)
    yield made
    subprocess.run(["rm", "-rf", made], check=True)


@pytest.fixture
def agent(debian, folder):
    made = Agent(debian.host, folder)
    yield made
    made.end()


@contextlib.contextmanager
def listening(host, path):
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        os.chown(path, host.account.uid, host.account.gid)
        listener.listen(100)
        listener.settimeout(TIMEOUT)
        yield listener


def accept(listener):
    connection = listener.accept()[0]
    connection.settimeout(TIMEOUT)
    return connection


def read_all(connection):
    data = b""
    while piece := connection.recv(1 << 16):
        data += piece
    return data


def nothing_is_left(machine, *paths):
    """The machine removes what a session had a moment after its end."""
    wait_until(lambda: machine.sh(f"ls -d /run/annex/session-* {' '.join(paths)} 2>/dev/null || true",
                                  "--root", "--no-ssh-agent") == "", "nothing is left")


def test_the_agent_is_in_sessions_of_who_runs_them(debian, agent):
    shown = debian.ok("sh", "-c", "ssh-add -l; stat -c '%A %U' $SSH_AUTH_SOCK $(dirname $SSH_AUTH_SOCK)", env=agent.env)
    assert "annex-test (ED25519)" in shown
    name = debian.host.account.name
    assert shown.splitlines()[1:] == [f"srw------- {name}", f"drwx------ {name}"]
    public = agent.key.with_suffix(".pub").read_text()
    debian.ok("sh", "-c", "cat >/tmp/k.pub && ssh-add -T /tmp/k.pub", env=agent.env, input=public)  # it signs
    for options, who in ((["--root"], "root"), (["-u", "nobody"], "nobody")):
        shown = debian.ok("sh", "-c", "ssh-add -l; stat -c %U $SSH_AUTH_SOCK", env=agent.env, options=options)
        assert "annex-test (ED25519)" in shown and shown.splitlines()[1] == who
    assert "annex-test (ED25519)" in debian.ok("sudo", "-n", "ssh-add", "-l", env=agent.env)
    terminal = debian.terminal("ssh-add", "-l", env=agent.env)
    terminal.expect_exact("annex-test (ED25519)")
    terminal.expect_exact("\n")
    terminal.wait()
    for options, env in ((["--no-ssh-agent"], agent.env), ([], {"SSH_AUTH_SOCK": None}),
                         ([], {"SSH_AUTH_SOCK": str(agent.key)})):
        assert debian.ok("sh", "-c", "echo \"[$SSH_AUTH_SOCK]\"", env=env, options=options) == "[]\n"
    own = ["-e", "SSH_AUTH_SOCK=/my/own"]
    assert debian.ok("sh", "-c", "echo $SSH_AUTH_SOCK", env=agent.env, options=own) == "/my/own\n"
    nothing_is_left(debian)


def test_only_the_sessions_user_can_use_the_agent(debian, agent):
    with debian.popen("sh", "-c", "echo $SSH_AUTH_SOCK; cat", env=agent.env, text=True) as session:
        path = session.stdout.readline().strip()
        assert re.fullmatch(r"/run/annex/session-\d+/agent\.sock", path)
        refused = debian.run("env", f"SSH_AUTH_SOCK={path}", "ssh-add", "-l", options=["-u", "nobody", "--no-ssh-agent"])
        assert refused.returncode == 2 and "annex-test" not in refused.stdout
        session.stdin.close()
    nothing_is_left(debian)


def test_where_its_socket_cannot_be_made_a_session_has_none(debian, agent):
    debian.sh("chmod g+w /run/annex")  # somebody else could change what is in there
    result = debian.run("sh", "-c", "echo \"[$SSH_AUTH_SOCK]\"", env=agent.env)
    debian.sh("chmod g-w /run/annex")
    assert (result.returncode, result.stdout, result.stderr) == (0, "[]\n", "")


def test_many_ask_the_agent_at_once(debian, agent):
    script = f"""
        my @all = map {{ dial($ENV{{SSH_AUTH_SOCK}}) }} 1..100;
        syswrite($_, "{LIST_KEYS}") for @all;
        for my $one (@all) {{ sysread($one, my $answer, 100) > 50 or die; $answer =~ /annex-test/ or die; close $one }}
        print "all\\n" """
    assert debian.ok(*perl(script), env=agent.env) == "all\n"


def test_an_agent_that_dies_is_an_end_and_another_takes_its_place(debian, agent):
    # (or a reset, where what was asked is not read any more)
    script = f"""
        $| = 1; my $held = dial($ENV{{SSH_AUTH_SOCK}}); print "held\\n"; sysread($held, my $byte, 1); print "end\\n";
        my $late = dial($ENV{{SSH_AUTH_SOCK}}); syswrite($late, "{LIST_KEYS}"); print sysread($late, $byte, 1) || 0, "\\n";
        <STDIN>; $late = dial($ENV{{SSH_AUTH_SOCK}}); syswrite($late, "{LIST_KEYS}"); print sysread($late, $byte, 1), "\\n" """
    with debian.popen(*perl(script), env=agent.env, text=True) as session:
        assert session.stdout.readline() == "held\n"
        agent.end()
        agent.path.unlink()
        assert [session.stdout.readline() for _ in range(2)] == ["end\n", "0\n"]
        with listening(debian.host, agent.path) as other:
            session.stdin.write("\n")
            session.stdin.flush()
            with accept(other) as connection:
                connection.sendall(b"x")
                assert session.stdout.readline() == "1\n"


def test_data_is_exact_both_ways_and_each_direction_ends_for_itself(debian, folder):
    size = 3 << 20
    script = f"""
        my $socket = dial("/tmp/in.sock"); my $data = "0123456789abcdef" x ({size} / 16); my $total = 0;
        for (my $at = 0; $at < {size};) {{ my $n = syswrite($socket, $data, {size} - $at, $at) or die $!; $at += $n }}
        shutdown($socket, 1); open(my $hash, "|-", "sha256sum");
        while (sysread($socket, my $bytes, 65536)) {{ print $hash $bytes }}"""
    back = os.urandom(size)
    got = []

    def serve(listener):
        with accept(listener) as connection:
            got.append(read_all(connection))  # the end comes while the other direction is still to begin
            connection.sendall(back)

    with listening(debian.host, folder / "out.sock") as listener:
        server = threading.Thread(target=serve, args=(listener,))
        server.start()
        printed = debian.ok(*perl(script), options=["--forward-socket", f"{folder}/out.sock:/tmp/in.sock"])
        server.join(TIMEOUT)
    assert printed.split()[0] == hashlib.sha256(back).hexdigest()
    assert got == [b"0123456789abcdef" * (size // 16)]
    nothing_is_left(debian, "/tmp/in.sock")


def test_last_words_arrive_although_the_program_ends(debian, folder):
    script = 'my $socket = dial("/tmp/in.sock"); syswrite($socket, "w" x 150000) == 150000 or die'
    with listening(debian.host, folder / "s") as listener:
        session = debian.popen(*perl(script), options=["--forward-socket", f"{folder}/s:/tmp/in.sock"])
        with accept(listener) as connection:
            assert read_all(connection) == b"w" * 150000
        assert session.wait(TIMEOUT) == 0
        session.communicate()


@pytest.mark.parametrize("who", ["client", "program"])
def test_the_socket_is_gone_when_either_side_is_killed(debian, folder, who):
    script = """
        $| = 1; $SIG{HUP} = 'IGNORE'; my $socket = dial("/tmp/in.sock"); sysread($socket, my $byte, 1); print "$$\\n";
        sysread($socket, $byte, 1); open(my $file, ">", "/tmp/ended"); sleep 60"""
    with listening(debian.host, folder / "s") as listener, \
            debian.popen(*perl(script), options=["--forward-socket", f"{folder}/s:/tmp/in.sock"], text=True) as session:
        connection = accept(listener)
        connection.sendall(b"x")
        pid = session.stdout.readline().strip()
        if who == "client":
            session.kill()
        else:
            debian.sh(f"kill -9 {pid}")
        with connection:
            assert connection.recv(1) == b""
        nothing_is_left(debian, "/tmp/in.sock")
        if who == "client":  # who is left in the machine learns it too
            wait_until(lambda: debian.sh("ls /tmp/ended 2>/dev/null || true"), "the program saw the end")
            debian.sh(f"kill -9 {pid}; rm /tmp/ended")


def test_a_socket_in_the_machine_takes_nothings_place(debian, folder):
    def forward(guest):
        return debian.run("true", options=["--forward-socket", f"{folder}/s:{guest}"])

    debian.ok("sh", "-c", "echo content >/tmp/kept; mkdir -p /tmp/deep/" + "d" * 110)
    for guest, words in (("/tmp/kept", "something is there"), ("/tmp", "something is there"),
                         ("/tmp/none/s", "its folder is not there"), ("/root/s", "Permission denied"),
                         ("/proc/s", "cannot make the socket /proc/s"), ("/tmp/" + "d" * 110, "longer than 80 bytes")):
        refused = forward(guest)
        assert (refused.returncode, refused.stdout) == (125, "") and words in refused.stderr, refused.stderr
        assert len(refused.stderr.splitlines()) <= 2
    assert debian.ok("cat", "/tmp/kept") == "content\n"
    assert forward(f"/tmp/deep/{'d' * 110}/s").returncode == 0
    # One that is dead is replaced, one that is alive or another user's is not.
    make = "my $l = IO::Socket::UNIX->new(Local => '/tmp/made', Listen => 1) or die $!;"
    debian.ok(*perl(make))
    assert forward("/tmp/made").returncode == 0
    nothing_is_left(debian, "/tmp/made")
    debian.ok(*perl(make), options=["--root"])
    assert "something is there" in forward("/tmp/made").stderr
    debian.sh("rm -r /tmp/made /tmp/kept /tmp/deep")


def test_a_socket_of_the_machine_is_published(debian, folder):
    script = """
        $| = 1; unlink "/tmp/srv"; my $l = IO::Socket::UNIX->new(Local => "/tmp/srv", Listen => 9) or die $!; print "up\\n";
        for (1..2) { my $c = $l->accept; while (sysread($c, my $bytes, 4096)) { syswrite($c, uc $bytes) } close $c }
        $l->accept; print "gone\\n"; exit"""
    path = folder / "db.sock"

    def dial():
        client = socket.socket(socket.AF_UNIX)
        client.settimeout(TIMEOUT)
        client.connect(str(path))
        return client

    with debian.popen(*perl(script), options=["--publish-socket", f"{path}:/tmp/srv"], text=True) as session:
        assert session.stdout.readline() == "up\n"
        assert path.is_socket() and path.stat().st_mode & 0o777 == 0o600
        for text in (b"select", b"insert"):
            with dial() as client:
                client.sendall(text)
                client.shutdown(socket.SHUT_WR)
                assert read_all(client) == text.upper()
        with dial() as client:  # the program ends in the middle
            assert client.recv(1) == b""
        assert session.wait(TIMEOUT) == 0
    assert not path.exists()
    # Nobody listens there; and what only root may connect to, the user may not.
    listen = "umask 077; unlink '/tmp/srv'; my $l = IO::Socket::UNIX->new(Local => '/tmp/srv', Listen => 1); $l->accept"
    debian.ok(*perl(listen), options=["-d", "--root"])
    wait_until(lambda: "root" in debian.sh("stat -c %U /tmp/srv || true"), "root's server is up")
    options = [f"--publish-socket={path}:/tmp/srv", f"--publish-socket={folder}/none:/tmp/nobody"]
    with debian.popen("cat", options=options) as session:
        wait_until(path.exists, "the socket is there")
        for name in ("db.sock", "none"):
            with socket.socket(socket.AF_UNIX) as client:
                client.settimeout(TIMEOUT)
                client.connect(str(folder / name))
                assert client.recv(1) == b""
        session.send_signal(signal.SIGTERM)
        session.communicate(timeout=TIMEOUT)
    debian.ok(*perl("dial('/tmp/srv'); unlink '/tmp/srv'"), options=["--root"])


def test_a_socket_in_a_shared_folder_is_the_machines(apps, place):
    path = pathlib.Path(place) / "shared.sock"
    listen = "import socket; c = socket.socket(socket.AF_UNIX); c.connect('%s'); print(c.recv(9).decode())" % path
    server = place / "host.sock"
    with listening(apps.host, server) as listener:
        session = apps.popen("python3", "-c", listen, options=["--forward-socket", f"{server}:{path}"], text=True)
        with accept(listener) as connection:
            assert path.is_socket()
            with socket.socket(socket.AF_UNIX) as client, pytest.raises(ConnectionRefusedError):
                client.connect(str(path))  # another kernel's
            connection.sendall(b"from here")
        assert session.communicate(timeout=TIMEOUT)[0] == "from here\n"
    wait_until(lambda: not path.exists(), "it is removed")
