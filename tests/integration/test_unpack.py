"""annex-unpack, the confined process that decodes layers: it builds what the library would build itself, with the same
errors; and whoever is killed, the other ends and says so, and the layers that were done are not lost."""
import contextlib
import json
import os
import pathlib
import random
import re
import shutil
import signal
import subprocess
import tempfile
import time

import pytest

import annex_test
import test_rootfs
from test_confine import LANDLOCK, SECCOMP, needs_both
from test_rootfs import Image, digest, entry, folder, hard, layer, link

PROGRAM = annex_test.for_everybody(annex_test.BUILD / "annex-unpack")
WITHOUT = annex_test.for_everybody(annex_test.BUILD / "tests" / "kernel-without")
BUILDER = test_rootfs.BUILDER
SANITIZED = b"__asan_init" in PROGRAM.read_bytes()
KILLED = "1: annex-unpack was killed by signal 9 (Killed)\n"
FIRST = layer(folder("d"), entry("d/kept", b"one" * 100000), entry("gone", b"x"))
SECOND = layer(entry(".wh.gone"), entry("second", os.urandom(1 << 20)))


def gzip(data):
    return subprocess.run(["gzip", "-1"], input=data, capture_output=True, check=True).stdout


@pytest.fixture(params=annex_test.accounts())
def place(request):
    """A folder, and who works in it."""
    account = annex_test.account(request.param)
    path = pathlib.Path(tempfile.mkdtemp(prefix="annex-unpack-", dir="/var/tmp"))
    (path / "indexes").mkdir()
    for name in (path, path / "indexes"):
        os.chown(name, account.uid, account.gid)
    yield Place(path, account)
    shutil.rmtree(path)


class Place:
    def __init__(self, path, account):
        self.path, self.account = path, account
        self.disk, self.count = path / "disk", 0

    def store(self, *layers):
        """Files of layers, as arguments of rootfs-build; each is bytes, or (bytes as stored, plain bytes)."""
        arguments = []
        for data in layers:
            stored, plain = data if isinstance(data, tuple) else (data, data)
            self.count += 1
            path = self.path / f"layer{self.count}"
            path.write_bytes(stored)
            path.chmod(0o644)
            arguments.append(f"{path},{digest(stored)},{digest(plain)}")
        return arguments

    def fifo(self, plain):
        """A layer that comes through a pipe, which test and builder open together."""
        self.count += 1
        path = self.path / f"pipe{self.count}"
        os.mkfifo(path, 0o666)
        path.chmod(0o666)
        return path, f"{path},{digest(plain)},{digest(plain)}"

    def environment(self, program=PROGRAM, **variables):
        changes = {"ROOTFS_BUILD_UNPACK": str(program) if program else None,
                   **{f"ROOTFS_BUILD_{name}": str(value) for name, value in variables.items()}}
        return {name: value for name, value in {**os.environ, **changes}.items() if value is not None}

    def build(self, *arguments, program=PROGRAM, **variables):
        return subprocess.run([BUILDER, self.disk, *arguments], capture_output=True, text=True, cwd="/",
                              env=self.environment(program, **variables), **self.account.switch)

    @contextlib.contextmanager
    def start(self, *arguments, program=PROGRAM, **variables):
        process = subprocess.Popen([BUILDER, self.disk, *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                   text=True, cwd="/", env=self.environment(program, **variables), **self.account.switch)
        try:
            yield process
        finally:
            process.kill()
            process.wait()

    def indexes(self):
        return sorted(path.name for path in (self.path / "indexes").iterdir() if not path.name.endswith(".part"))

    def empty(self):
        self.disk.unlink(missing_ok=True)
        for path in (self.path / "indexes").iterdir():
            path.unlink()


def eventually(condition, what, seconds=annex_test.TIMEOUT):
    deadline = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < deadline, f"in vain: {what}"
        time.sleep(0.01)
    return found


def status_of(pid):
    """/proc/PID/status; None when there is no such process, or only what is left of one."""
    try:
        text = pathlib.Path(f"/proc/{pid}/status").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return None
    fields = dict(line.split(":\t", 1) for line in text.splitlines() if ":\t" in line)
    return None if fields["State"].startswith("Z") else fields


def children(pid):
    found = []
    for name in os.listdir("/proc"):
        status = status_of(name) if name.isdigit() else None
        if status and status["PPid"] == str(pid) and status["Name"] == "annex-unpack":
            found.append(int(name))
    return found


def confined_child(process):
    """The process id of the builder's annex-unpack, once it is confined: then it has a thread more."""
    pid = eventually(lambda: children(process.pid), "annex-unpack is started")[0]
    eventually(lambda: int((status_of(pid) or {"Threads": "0"})["Threads"]) > 1, "annex-unpack is confined")
    return pid


def same_image(a, b):
    listed = [{path: {key: value for key, value in entry.items() if key != "number"} for path, entry in image.entries.items()}
              for image in (a, b)]
    assert listed[0] == listed[1]


# --- the same as the library -----------------------------------------------------------------------------------------


ODD = layer(entry("caf\u00e9", b"x"), entry("\udcff\udcfe", b"y"), link("l", "caf\u00e9"), hard("h", "\udcff\udcfe"),
            entry("x", pax_headers={"SCHILY.xattr.user.k": "v\u00e9", "mtime": "123.456789"}),
            entry("deep/" * 50 + "end", b"z"))


def test_it_builds_what_the_library_builds(place):
    for layers in ([], [FIRST, SECOND], [ODD, FIRST], [(gzip(FIRST), FIRST), SECOND, SECOND, ODD]):
        images = []
        for program in (None, PROGRAM):
            done = place.build(*place.store(*layers), program=program)
            assert done.returncode == 0, done.stderr
            assert int(done.stdout) == place.disk.stat().st_size
            images.append(Image(place.disk))
            place.disk.unlink()
        same_image(*images)


def wrong_digest(place):
    return [place.store(FIRST)[0].replace(digest(FIRST), digest(b"other"), 1)]


def wrong_diff_id(place):
    return [re.sub("[^,]*$", digest(b"other"), place.store(FIRST)[0])]


@pytest.mark.parametrize("damage", [
    wrong_digest, wrong_diff_id,
    lambda place: place.store(b"no archive" * 1000),
    lambda place: place.store(FIRST, FIRST[:2000]),
    lambda place: place.store((gzip(FIRST)[:-20], FIRST)),
    lambda place: place.store((gzip(FIRST)[:-9] + b"rubbish", FIRST)),
    lambda place: place.store(layer(entry("../x"))),
    lambda place: place.store(layer(hard("a", "caf\u00e9\u202e"))),
    lambda place: place.store(layer(hard("a", "line\nend\x1b[31m"))),
    lambda place: place.store(layer(entry("f", pax_headers={"SCHILY.xattr.user.large": "v" * 5000}))),
], ids=["digest", "diff-id", "no-archive", "cut", "cut-gzip", "rubbish", "climbs", "no-target", "controls", "attributes"])
def test_a_damaged_layer_gives_the_same_error(place, damage):
    said = []
    for program in (None, PROGRAM):
        done = place.build(*damage(place), program=program)
        assert done.returncode == 1 and not place.disk.exists()
        said.append(re.sub(r"layer\d+", "layerN", done.stderr))
    assert said[0] == said[1]
    assert re.fullmatch(r"\d+: [^\x00-\x1f]+\n", said[1])


def test_a_cancelled_build_ends_it(place):
    pipe, argument = place.fifo(FIRST)
    with place.start(argument, CANCEL="1000") as process, open(pipe, "wb", buffering=0) as blob:
        child = confined_child(process)
        blob.write(FIRST[:5000])
        assert process.wait(annex_test.TIMEOUT) == 1
        assert process.stderr.read() == "11: cancelled\n"
        assert status_of(child) is None


# --- confined --------------------------------------------------------------------------------------------------------


def test_it_is_confined_before_it_reads_a_byte_and_in_a_session_of_its_own(place):
    pipe, argument = place.fifo(FIRST)
    with place.start(argument) as process, open(pipe, "wb"):
        status = status_of(confined_child(process))
        assert status["NoNewPrivs"] == "1"
        assert status["Seccomp"] == ("2" if SECCOMP else "0")
        assert os.getsid(int(status["Pid"])) == int(status["Pid"])
        assert pathlib.Path(f"/proc/{status['Pid']}/mem").stat().st_uid == 0, "nobody but root may look into it"
        process.send_signal(signal.SIGTERM)


@pytest.mark.skipif(SANITIZED, reason="sanitizers open files of their own")
def test_it_opens_nothing_once_it_is_confined(place):
    if not SECCOMP:
        pytest.skip("this kernel has no seccomp")
    if not shutil.which("strace"):
        pytest.skip("strace is not installed")
    log = place.path / "trace"
    command = [BUILDER, place.disk, *place.store((gzip(ODD), ODD), FIRST, SECOND)]
    done = subprocess.run(["strace", "-f", "-o", log, *command], env=place.environment(), capture_output=True, text=True,
                          **place.account.switch)
    if "ptrace" in done.stderr:
        pytest.skip("no process may be traced here")
    assert done.returncode == 0, done.stderr
    lines = log.read_text(errors="replace").splitlines()
    begin = max(i for i, line in enumerate(lines) if "seccomp(SECCOMP_SET_MODE_FILTER" in line)
    ours = int(lines[begin].split()[0])
    assert any("ftruncate(5" in line for line in lines[begin:])
    refused = [line for line in lines[begin:] if re.search(r"= -1 E(PERM|ACCES|NOSYS)|\bopen|socket\(", line)
               and "clone3" not in line and int(line.split()[0]) >= ours]
    assert refused == []


@pytest.mark.parametrize("lacking", ["landlock", "seccomp", "both"])
def test_it_makes_do_with_what_the_kernel_has(place, lacking):
    pipe, argument = place.fifo(FIRST)
    script = place.path / "lesser"  # the builder starts a program without arguments
    script.write_text(f"#!/bin/sh\nexec {WITHOUT} {lacking} {PROGRAM}\n")
    script.chmod(0o755)
    with place.start(argument, program=script) as process, open(pipe, "wb"):
        status = status_of(confined_child(process))
        assert status["NoNewPrivs"] == "1"
        filters = (1 if SECCOMP and lacking == "landlock" else 0) + 1  # that of kernel-without
        assert status.get("Seccomp_filters", str(filters)) == str(filters)
    place.empty()
    done = place.build(*place.store(FIRST), program=script)
    assert done.returncode == 0, done.stderr
    assert Image(place.disk).names() == ["d", "d/kept", "gone"]


@needs_both
@pytest.mark.parametrize("lacking, words", [
    ("landlock", "under a filter of system calls (seccomp), but without Landlock"),
    ("seccomp", "under Landlock only"), ("both", "unconfined")])
def test_doctor_says_what_layers_are_decoded_under(user_host, lacking, words):
    found = {finding["subject"]: finding for finding in json.loads(user_host.annex("doctor", "--format", "json").stdout)}
    assert found["sandbox"]["level"] == "good"
    assert f"Landlock (ABI {LANDLOCK}) and a filter of system calls" in found["sandbox"]["text"]
    assert found["shares"]["level"] == "good" or LANDLOCK < 2
    result = user_host.program([WITHOUT, lacking, annex_test.ANNEX, "doctor", "--format", "json"])
    found = {finding["subject"]: finding for finding in json.loads(result.stdout)}
    assert found["sandbox"]["level"] == "could-be-better"
    assert words in found["sandbox"]["text"] and "kernel" in found["sandbox"]["hint"]
    assert found["shares"]["level"] == "could-be-better"
    assert ("Landlock only" if lacking == "seccomp" else "without Landlock") in found["shares"]["text"]


# --- killed ----------------------------------------------------------------------------------------------------------


def test_its_death_is_told_and_the_layers_that_were_done_are_kept(place):
    pipe, argument = place.fifo(SECOND)
    first, = place.store(FIRST)
    with place.start(first, argument, INDEXES=place.path / "indexes") as process, open(pipe, "wb", buffering=0) as blob:
        child = confined_child(process)
        blob.write(SECOND[:100000])
        eventually(lambda: place.indexes() == [digest(FIRST)], "the first layer is done")
        os.kill(child, signal.SIGKILL)
        assert process.wait(annex_test.TIMEOUT) == 1
        assert process.stderr.read() == KILLED
    done = place.build(first, *place.store(SECOND), INDEXES=place.path / "indexes", KEEP="1")
    assert done.returncode == 0, done.stderr
    image = Image(place.disk)
    assert image.names() == ["d", "d/kept", "second"]
    assert image.content_is("d/kept", b"one" * 100000)


def test_a_death_at_any_time_leaves_what_the_next_build_goes_on_with(place):
    """Each build is killed a little later than the one before it, until one comes through."""
    layers = [layer(*(entry(f"{number}/{name}", os.urandom(3000)) for name in range(300))) for number in range(4)]
    stored = place.store(*((gzip(data), data) for data in layers))
    killed = 0
    for attempt in range(200):
        keep = {"KEEP": "1"} if place.disk.exists() else {}
        with place.start(*stored, INDEXES=place.path / "indexes", **keep) as process:
            child = eventually(lambda: children(process.pid) or process.poll() is not None, "annex-unpack is started")
            time.sleep(0.002 * attempt * random.random())
            if child is not True:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(child[0], signal.SIGKILL)
            status, said = process.wait(annex_test.TIMEOUT), process.stderr.read()
        if status == 0 and killed > 0:
            break
        if status == 0:  # we were late: from the start
            for path in (place.disk, *(place.path / "indexes").iterdir()):
                path.unlink()
            continue
        assert (status, said) == (1, KILLED)
        killed += 1
    assert status == 0 and killed > 0
    assert len(Image(place.disk).names()) == 4 * 301


@pytest.mark.parametrize("number", [signal.SIGSEGV, signal.SIGSYS, signal.SIGBUS])
def test_a_crash_is_told(place, number):
    pipe, argument = place.fifo(FIRST)
    with place.start(argument) as process, open(pipe, "wb"):
        child = confined_child(process)
        os.kill(child, number)
        assert process.wait(annex_test.TIMEOUT) == 1
        said = process.stderr.read()
    if SANITIZED and number != signal.SIGSYS:
        assert re.fullmatch(r"1: annex-unpack ended with status \d+: .*AddressSanitizer.*\n", said)
    else:
        assert said == f"1: annex-unpack was killed by signal {number} ({signal.strsignal(number)})\n"


def test_it_ends_with_its_parent(place):
    pipe, argument = place.fifo(FIRST)
    with place.start(argument) as process, open(pipe, "wb"):
        child = confined_child(process)
        process.kill()
        eventually(lambda: status_of(child) is None, "annex-unpack ends", seconds=1)


# --- by itself -------------------------------------------------------------------------------------------------------


class Direct:
    """annex-unpack, with the test as its parent."""

    def __init__(self, place, request, layers=()):
        self.control, control = os.pipe()[::-1]
        self.reports, reports = os.pipe()
        memory = os.memfd_create("request")
        os.write(memory, request if isinstance(request, bytes) else json.dumps(request).encode())
        os.lseek(memory, 0, os.SEEK_SET)
        disk = os.open(place.disk, os.O_RDWR | os.O_CREAT, 0o600)
        given = [control, None, None, reports, memory, disk, *layers]
        high = {fd: os.dup(fd) for fd in given if fd is not None}
        actions = [(os.POSIX_SPAWN_DUP2, high[fd], number) for number, fd in enumerate(given) if fd is not None]
        self.pid = os.posix_spawn(PROGRAM, [PROGRAM], {name: os.environ[name] for name in annex_test.KEPT if name in os.environ},
                                  file_actions=actions)
        for fd in (control, reports, memory, disk, *high.values()):
            os.close(fd)

    def close(self):
        for fd in (self.control, self.reports):
            os.close(fd)

    def said(self):
        with open(self.reports, closefd=False) as stream:
            return [json.loads(line) for line in stream]


@pytest.fixture
def direct():
    folder = pathlib.Path(tempfile.mkdtemp(prefix="annex-unpack-", dir="/var/tmp"))
    made = []

    def start(*words):
        made.append(Direct(Place(folder, annex_test.myself()), *words))
        return made[-1]

    yield start
    for process in made:
        process.close()
    shutil.rmtree(folder)


def test_no_layers_make_an_empty_disk(direct):
    process = direct({"layers": []})
    said = process.said()
    assert [report["report"] for report in said] == ["finishing", "result"]
    assert os.waitpid(process.pid, 0)[1] == 0


@pytest.mark.parametrize("request_", [b"", b"{", {}, {"layers": [{}]}, {"layers": [0] * 1025}])
def test_a_request_that_makes_no_sense_is_refused(direct, request_):
    process = direct(request_)
    report, = process.said()
    assert report["report"] == "error" and report["kind"] == 8 and "request" in report["message"]
    assert os.waitpid(process.pid, 0)[1] == 0


def test_it_ends_with_its_control_pipe(direct):
    blob, feeder = os.pipe()
    index = os.memfd_create("index")
    any_digest = digest(b"")
    process = direct({"layers": [{"source": "decode", "compression": "plain", "digest": any_digest, "diff_id": any_digest,
                                  "size": 10, "index": 6, "blob": 7}]}, [index, blob])
    eventually(lambda: int(status_of(process.pid)["Threads"]) > 1, "it is at work")
    os.close(process.control)
    process.control = os.open("/dev/null", os.O_RDONLY)
    eventually(lambda: status_of(process.pid) is None, "it ends", seconds=1)
    assert os.waitstatus_to_exitcode(os.waitpid(process.pid, 0)[1]) == 3
    for fd in (blob, feeder, index):
        os.close(fd)


def test_started_by_hand_it_says_who_starts_it():
    done = subprocess.run([PROGRAM], capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (2, "", "annex-unpack is started by annex\n")


# --- from the command line -------------------------------------------------------------------------------------------


def test_annex_tells_of_its_death_and_imports_the_next_time(host, test_image):
    helpers = host.folder / "helpers"
    helpers.mkdir(mode=0o755)
    unpack = helpers / "annex-unpack"
    unpack.write_text("#!/bin/sh\necho lost >&5\nkill -9 $$\n")
    unpack.chmod(0o755)
    image = f"oci:{test_image('busybox')}"
    result = host.annex("image", "import", image, "--name", "bb", env={"ANNEX_LIBEXECDIR": str(helpers)})
    assert (result.returncode, result.stdout) == (1, "")
    told, hint = result.stderr.splitlines()[-2:]
    assert told.startswith("annex: ") and told.endswith(": annex-unpack was killed by signal 9 (Killed)")
    assert hint == "hint: if the host ran out of memory, its kernel says so: dmesg"
    bases = host.data / "images" / "bases"
    assert not list(bases.glob("*.ext4")) and not list(bases.glob("*.part"))
    host.ok("image", "import", image, "--name", "bb")
    disk, = bases.glob("*.ext4")
    assert "bin/busybox" in Image(disk).names()


def test_annex_says_that_it_is_missing(host, test_image):
    helpers = host.folder / "helpers"
    helpers.mkdir(mode=0o755)
    result = host.annex("image", "import", f"oci:{test_image('busybox')}", env={"ANNEX_LIBEXECDIR": str(helpers)})
    assert result.returncode == 3
    told, hint = result.stderr.splitlines()[-2:]
    assert told.endswith(f"helper program {helpers}/annex-unpack is missing")
    assert hint == "hint: install annex again, or set ANNEX_LIBEXECDIR to the folder that holds it"
