"""The command line, as far as it goes without a machine that runs."""

import json
import pathlib
import re
import signal
import subprocess
import time

import pytest

from annex_test import ANNEX, TIMEOUT, Host, check_failure, unprivileged


@pytest.fixture(scope="module")
def quiet_host():
    """One host for all tests that leave nothing behind."""
    with Host(unprivileged()) as made:
        yield made


def commands():
    """All that the overview names."""
    overview = subprocess.run([ANNEX], stdout=subprocess.PIPE, text=True, check=True).stdout
    return re.findall(r"^  ([a-z][a-z-]*(?: [a-z]+)?) {2,}", overview, re.MULTILINE)


COMMANDS = commands()


def test_annex_alone_shows_the_overview(quiet_host):
    overview = quiet_host.annex()
    assert (overview.returncode, overview.stderr) == (0, "")
    for words in (["help"], ["--help"], ["-h"], ["m"], ["machine", "--help"]):
        again = quiet_host.annex(*words)
        assert (again.returncode, again.stdout, again.stderr) == (0, overview.stdout, "")


def test_the_overview_names_the_commands_that_there_are():
    assert {"create", "run", "start", "stop", "restart", "list", "inspect", "set", "set-default", "ps", "kill", "logs",
            "stats", "mount", "umount", "port", "port add", "port remove", "delete",
            "image pull", "image import", "image list", "image inspect", "image delete", "image export", "image prune",
            "image login", "image logout",
            "network create", "network list", "network inspect", "network delete", "hosts",
            "kernel install", "kernel list", "kernel set", "kernel delete", "df", "doctor", "version", "completion",
            "help"} == set(COMMANDS)


@pytest.mark.parametrize("command", COMMANDS)
def test_each_command_has_help(quiet_host, command):
    words = command.split()
    shown = quiet_host.ok(*words, "--help")
    assert shown == quiet_host.ok(*words, "-h") == quiet_host.ok("help", *words)
    assert shown.startswith(f"Usage: annex {command} [options]")
    for part in ("\nOptions:\n", "  -h, --help ", "\nExample:\n  "):
        assert part in shown
    assert f"annex {command}" in shown.split("\nExample:\n")[1]


def test_help_is_never_wider_than_80_columns(quiet_host):
    for words in ([], ["help", "image"], ["help", "kernel"], *(["help", *command.split()] for command in COMMANDS)):
        for line in quiet_host.ok(*words).splitlines():
            assert len(line) <= 80, line
            assert line == line.rstrip()


def test_a_group_alone_shows_its_commands(quiet_host):
    shown = quiet_host.ok("image")
    assert shown == quiet_host.ok("image", "--help") == quiet_host.ok("help", "image")
    assert "  image import " in shown and "kernel" not in shown


USAGE = [
    ("creat", "unknown command 'creat'", "did you mean 'annex create'?"),
    ("xyzzy", "unknown command 'xyzzy'", "annex help"),
    ("image imprt", "unknown command 'image imprt'", "did you mean 'annex image import'?"),
    ("imags", "unknown command 'imags'", "did you mean 'annex image list'?"),
    ("pul", "unknown command 'pul'", "did you mean 'annex image pull'?"),
    ("netwrk list", "unknown command 'netwrk'", "did you mean 'annex network'?"),
    ("network xyzzy", "unknown command 'network xyzzy'", "annex help network"),
    ("image pul x", "unknown command 'image pul'", "did you mean 'annex image pull'?"),
    ("image pull", "image pull: IMAGE is missing", "annex image pull --help"),
    ("image pull --scheme ftp x", "image pull: --scheme: 'ftp' is not one of auto|https|http",
     "annex image pull --help"),
    ("pull -a arm64 --platform linux/arm64 x", "image pull: --platform and --arch contradict each other", None),
    ("image export", "image export: NAME is missing", "annex image export --help"),
    ("image prune", "image prune: nobody to ask whether images may go", "annex image prune --force"),
    ("image prune -a", "image prune: nobody to ask whether images may go", "annex image prune --force --all"),
    ("df --format=xml", "df: --format: 'xml' is not one of table|json", "annex df --help"),
    ("--bogus", "unknown option '--bogus'", "annex help"),
    ("help bogus", "help: there is no command 'bogus'", "annex help"),
    ("create", "create: IMAGE is missing", "annex create --help"),
    ("create a b", "create: unexpected word 'b'", "annex create --help"),
    ("create --nmae x y", "create: unknown option '--nmae'", "did you mean '--name'?"),
    ("create -n", "create: -n needs a value (NAME)", "annex create --help"),
    ("create --cpus=two x", "create: --cpus: 'two' is not a number", "annex create --help"),
    ("create --memory 4Q x", "create: --memory: '4Q' is not a size like 512M or 4G", "annex create --help"),
    ("create --init x y", "create: --init: 'x' is not one of auto|image|builtin", "annex create --help"),
    ("create -e A x", "create: -e: 'A' is not KEY=VALUE", "annex create --help"),
    ("create --pull sometimes x", "create: --pull: 'sometimes' is not one of missing|always|never",
     "annex create --help"),
    ("create --arch arm64 --platform linux/arm64 x", "create: --platform and --arch contradict each other", None),
    ("image import -a arm64 --platform linux/arm64 oci:x",
     "image import: --platform and --arch contradict each other", None),
    ("list -q --format json", "list: -q and --format json contradict each other", None),
    ("image list -q --format json", "image list: -q and --format json contradict each other", None),
    ("kernel list -q --format json", "kernel list: -q and --format json contradict each other", None),
    ("list --format=xml", "list: --format: 'xml' is not one of table|json", "annex list --help"),
    ("start --all x", "start: --all and a name contradict each other", None),
    ("start --foreground a b", "start: only one machine can be in the foreground", None),
    ("stop --time x y", "stop: --time: 'x' is not a number", "annex stop --help"),
    ("set-default", "set-default: NAME is missing", "annex list"),
    ("moutn", "unknown command 'moutn'", "did you mean 'annex mount'?"),
    ("mount src", "mount: GUEST is missing, where the machine is to have 'src'", "annex mount --help"),
    ("mount /usr", "mount: GUEST is missing, where the machine is to have '/usr'",
     "for the same path: annex mount /usr /usr"),
    ("mount /usr usr", "mount: GUEST must be an absolute path, not 'usr'", "annex mount --help"),
    ("mount /usr :ro", "mount: GUEST must be an absolute path, not ':ro'", "annex mount --help"),
    ("mount /usr /usr ro", "mount: unexpected word 'ro'", "annex mount --help"),
    ("mount -q /usr /usr", "mount: -q goes without HOST and GUEST", "annex mount --help"),
    ("mount --format json /usr:/usr", "mount: --format goes without HOST and GUEST", "annex mount --help"),
    ("mount -q --format json", "mount: -q and --format json contradict each other", None),
    ("umount", "umount: GUEST is missing", "annex umount --help"),
    ("umount /a /b", "umount: unexpected word '/b'", "annex umount --help"),
    ("umount --forc /a", "umount: unknown option '--forc'", "did you mean '--force'?"),
    ("create --home-mount no x", "create: --home-mount: 'no' is not one of rw|ro|none", "annex create --help"),
    ("create -v", "create: -v needs a value (HOST:GUEST[:OPTIONS])", "annex create --help"),
    ("delete", "delete: NAME is missing", "annex list"),
    ("image delete", "image delete: NAME is missing", "annex image delete --help"),
    ("kernel install --deb x --file y", "kernel install: --deb and --file contradict each other", None),
    ("kernel install --modules x", "kernel install: --modules goes with --file only", None),
    ("network create", "network create: NAME is missing", "annex network create --help"),
    ("network create --uplink x y", "network create: --uplink: 'x' is not one of auto|passt|slirp|none",
     "annex network create --help"),
    ("network create --internal --uplink passt x",
     "network create: --internal and --uplink passt contradict each other", None),
    ("network list -q --format json", "network list: -q and --format json contradict each other", None),
    ("network delete", "network delete: NAME is missing", "annex network delete --help"),
    ("completion tcsh", "completion: no completion for 'tcsh', only for bash, zsh and fish", "annex completion bash"),
    ("version x", "version: unexpected word 'x'", "annex version --help"),
]


@pytest.mark.parametrize("words, message, hint", USAGE, ids=[row[0] for row in USAGE])
def test_a_usage_error_is_one_line_and_a_hint(quiet_host, words, message, hint):
    check_failure(quiet_host.annex(*words.split()), 2, message, hint)


RUN_USAGE = [
    ("--bogus", "run: unknown option '--bogus'"),
    ("-T -t", "run: -t and -T contradict each other"),
    ("-itd true", "run: -d and -t contradict each other"),
    ("-c x y", "run: -c and a command contradict each other"),
    ("--root -u x", "run: --root and --user contradict each other"),
    ("-u x --uid 1", "run: --user and --uid contradict each other"),
    ("-u 1:1 --gid 1", "run: --user with a group and --gid contradict each other"),
    ("--uid 4294967295", "run: a user or group number is too large"),
    ("-e =x", "run: -e: '=x' is not KEY[=VALUE]"),
]


@pytest.mark.parametrize("words, message", RUN_USAGE, ids=[row[0] for row in RUN_USAGE])
def test_usage_errors_of_run_exit_as_annex_failing(quiet_host, words, message):
    for spelling in ("run", "exec"):
        check_failure(quiet_host.annex(spelling, *words.split()), 125, message, "annex run --help")


def test_env_files_name_file_and_line_of_an_error(quiet_host):
    path = quiet_host.file("my.env", "A=1\nB C=2\n")
    check_failure(quiet_host.annex("run", "--env-file", path, "true"), 125,
                  f"run: {path}:2: blanks in a variable's name", "annex run --help")
    missing = quiet_host.annex("run", "--env-file", "/nowhere/env", "true")
    assert missing.returncode == 125
    assert "cannot read /nowhere/env: No such file or directory" in missing.stderr


def test_an_unknown_machine_is_not_found(host):
    for words in ("start", "stop", "restart", "inspect", "logs", "delete", "set-default"):
        result = host.annex(words, "nobody")
        assert result.returncode == 3, words
        assert result.stderr.startswith(f"annex: {words} nobody: ")
    assert host.annex("set", "-n", "nobody", "cpus=1").returncode == 3
    result = host.annex("run", "-n", "nobody", "true")
    assert (result.returncode, result.stdout) == (125, "")


def test_the_environment_names_the_machine_where_no_word_does(quiet_host):
    result = quiet_host.annex("start", env={"ANNEX_MACHINE": "from-env"})
    assert result.returncode == 3
    assert "from-env" in result.stderr
    result = quiet_host.annex("start", "from-word", env={"ANNEX_MACHINE": "from-env"})
    assert "from-word" in result.stderr and "from-env" not in result.stderr


def test_several_names_all_get_their_turn(quiet_host):
    result = quiet_host.annex("start", "one", "two")
    assert result.returncode == 3
    assert "annex: start one: " in result.stderr and "annex: start two: " in result.stderr


def test_empty_lists(host):
    assert host.ok("list").split() == "NAME CREATED IP CPUS MEMORY DISK STATE DEFAULT NOTE".split()
    assert host.ok("m", "ls", "-q") == host.ok("machine", "list", "--quiet") == ""
    assert host.ok("image", "list").split() == "NAME ID PLATFORM CREATED SIZE".split()
    assert host.ok("kernel", "ls").split() == "NAME SOURCE INSTALLED SIZE DEFAULT".split()
    for words in (["list"], ["image", "list"], ["kernel", "list"]):
        assert json.loads(host.ok(*words, "--format", "json")) == []
        assert host.ok(*words, "-q") == ""


def test_sources_that_are_none(host):
    result = host.annex("image", "import", "oci:/nowhere")
    assert result.returncode == 3
    assert "annex: cannot import oci:/nowhere: " in result.stderr
    assert host.annex("image", "import", "bogus:x").returncode == 2
    assert host.annex("image", "inspect", "nothing").returncode == 3
    assert host.annex("image", "delete", "nothing").returncode == 3
    assert host.annex("kernel", "set", "nothing").returncode == 3
    assert host.annex("kernel", "delete", "nothing").returncode == 3


def test_an_image_comes_and_goes(host, test_image):
    name = host.ok("image", "import", "--name", "tiny:1", f"oci:{test_image('busybox')}").strip()
    assert name == "tiny:1"
    assert host.ok("image", "list", "-q") == "tiny:1\n"
    listed, = json.loads(host.ok("image", "list", "--format", "json"))
    assert listed["names"] == ["tiny:1"]
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", listed["imported"])
    assert isinstance(listed["size"], int) and listed["size"] > 0
    described, = json.loads(host.ok("image", "inspect", "tiny:1"))
    assert described["id"] == listed["id"]
    header, row = host.ok("image", "ls").splitlines()
    assert row.split()[0] == "tiny:1"
    assert host.annex("image", "inspect", "tiny:1", "nothing").returncode == 3
    host.ok("image", "rm", "tiny:1")
    assert host.ok("image", "list", "-q") == ""


def test_version(quiet_host):
    version = quiet_host.ok("version")
    assert re.fullmatch(r"annex \d+\.\d+\.\d+\n", version)
    assert quiet_host.ok("--version") == version
    assert json.loads(quiet_host.ok("version", "--format", "json"))["annex"] == version.split()[1]


def test_doctor_says_what_helps(host):
    result = host.annex("doctor", "--format", "json")
    findings = json.loads(result.stdout)
    assert {"kvm", "qemu", "kernel", "disk"} <= {finding["subject"] for finding in findings}
    assert {finding["level"] for finding in findings} <= {"good", "could-be-better", "broken"}
    assert result.returncode == any(finding["level"] == "broken" for finding in findings)
    kernel, = [finding for finding in findings if finding["subject"] == "kernel"]
    assert (kernel["level"], kernel["hint"]) == ("broken", "annex kernel install")
    shown = host.annex("doctor")
    assert shown.returncode == 1
    assert all(finding["text"] in shown.stdout for finding in findings if finding["subject"] != "disk")


def test_output_that_cannot_be_written_is_a_failure(quiet_host):
    for words in (["help"], ["list"], ["version"], ["completion", "bash"]):
        with open("/dev/full", "w") as full:
            result = quiet_host.annex(*words, stdout=full)
        assert result.returncode == 1
        assert "cannot write to standard output: No space left on device" in result.stderr


def test_closed_streams_are_no_trap(quiet_host, test_image):
    def shell(line):
        return quiet_host.program(["sh", "-c", f"{ANNEX} {line}"])

    assert shell("version >&-").returncode == 1
    assert "cannot write to standard output: Bad file descriptor" in shell("list >&-").stderr
    assert shell("list <&- 2>&-").returncode == 0
    assert "cannot import -: " in shell("image import - <&-").stderr
    assert shell(f"image import --name closed:1 oci:{test_image('busybox')} <&- 2>&-").stdout == "closed:1\n"
    quiet_host.ok("image", "delete", "closed:1")


def test_delete_asks_and_takes_no_for_an_answer_of_nobody(quiet_host):
    check_failure(quiet_host.annex("delete", "--all"), 2,
                  "delete: nobody to ask whether the machine and its disk may go", "annex delete --force --all")
    terminal = quiet_host.terminal(ANNEX, "delete", "--all")
    terminal.expect(r"Delete all machines with their disks\? \[y/N\] ")
    terminal.sendline("n")
    terminal.expect_exact("\n")
    terminal.wait()
    assert terminal.exitstatus == 1


def catches(pid, number):
    """Has the process a handler for the signal?"""
    status = pathlib.Path(f"/proc/{pid}/status").read_text()
    return int(re.search(r"^SigCgt:\s*([0-9a-f]+)$", status, re.MULTILINE)[1], 16) >> (number - 1) & 1


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_an_interrupt_cleans_up_and_ends_by_the_same_signal(host, number):
    process = host.start("image", "import", "--name", "never", "-")
    deadline = time.monotonic() + TIMEOUT
    while not catches(process.pid, number):
        assert time.monotonic() < deadline and process.poll() is None
        time.sleep(0.02)
    process.send_signal(number)
    _, errors = process.communicate(timeout=TIMEOUT)
    assert process.returncode == -number, errors
    assert b"cancelled" in errors
    assert host.ok("image", "list", "-q") == ""


def test_the_old_spelling_of_the_command_line_is_accepted(quiet_host):
    assert quiet_host.ok("machine", "list") == quiet_host.ok("list")
    assert quiet_host.ok("m", "create", "--help") == quiet_host.ok("create", "--help")
    check_failure(quiet_host.annex("machine", "creat"), 2, "unknown command 'creat'", "did you mean 'annex create'?")
