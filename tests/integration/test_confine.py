"""What a confined process can't do, proved by trying: each attempt succeeds where nothing confines, and fails in the
expected way where something does, as root and as an ordinary user."""
import os
import pathlib
import resource
import shutil
import signal
import socket
import subprocess
import tempfile

import pytest

import annex_test

TOOL = annex_test.for_everybody(annex_test.BUILD / "tests" / "confine-tool")
NETWORK_TEST = annex_test.for_everybody(annex_test.BUILD / "tests" / "test-network-process", "annex-network")
WITHOUT = annex_test.for_everybody(annex_test.BUILD / "tests" / "kernel-without")
SHARE_TEST = annex_test.for_everybody(annex_test.BUILD / "tests" / "test-share-process", "annex-share")
SUPPORT = [int(word) for word in subprocess.run([TOOL, "support"], capture_output=True, check=True).stdout.split()]
LANDLOCK, SECCOMP = SUPPORT
needs_both = pytest.mark.skipif(not LANDLOCK or not SECCOMP, reason="this kernel lacks Landlock or seccomp")
KILLED = signal.Signals.SIGSYS.name
SANITIZED = b"__asan_init" in TOOL.read_bytes()

PROGRAMS = ("unpack", "share", "network")
# What is tried, and what comes of it without confinement, and with all of it: for the decoder, which opens nothing,
# for the file server, which may work with files where Landlock lets it, and for a machine's network, which works with
# sockets of IP and with nothing else.
FILES = {"open": "EACCES", "open-again": "EACCES", "create": "EACCES", "create-raw": "EACCES", "list": "EACCES",
         "mkdir": "EACCES", "symlink": "EACCES", "rename": "EACCES", "unlink": "EACCES"}
NETWORK = {"socket": ("EPERM", KILLED), "unix-socket": ("EPERM", KILLED), "connect": ("EPERM", KILLED)}
PROCESSES = {"fork": "EPERM", "exec": KILLED, "execveat": KILLED, "kill": "EPERM", "ptrace": KILLED,
             "read-memory": KILLED, "unshare": KILLED, "mount": KILLED, "io-uring": KILLED}
CODE = {"map-code": "EACCES", "make-code": "EACCES"}
OTHERS = {"memfd": "ENOSYS", "unknown": "ENOSYS", "ioctl": "ENOSYS", "flags": "ENOSYS"}
WAYS_OUT = {name: "EACCES" for name in ("up", "link-out", "descriptor", "root", "memory", "environment", "link-in",
                                        "rename-in", "rename-out", "fixed-write", "fixed-truncate", "fixed-create",
                                        "fixed-remove")}
COMMON = {**FILES, **PROCESSES, **CODE, **OTHERS}
DENIED = {
    "unpack": {**COMMON, **{name: ways[0] for name, ways in NETWORK.items()},
               "chmod": "EACCES", "truncate": "EACCES", "stat": "EACCES", "unlock": "ENOSYS"},
    "share": {**COMMON, **WAYS_OUT, **{name: ways[1] for name, ways in NETWORK.items()}, "truncate": "ENOSYS"},
    "network": {**{name: way for name, way in COMMON.items() if name not in ("ioctl", "flags")}, "chmod": "EACCES",
                "truncate": "EACCES", "stat": "EACCES", "unlock": "ENOSYS", "unix-socket": KILLED,
                "netlink-socket": "ENOSYS", "multipath-socket": "ENOSYS"},
}
ALLOWED = {"unpack": ["dup", "use-file", "thread", "allocate", "wait"],
           "share": ["dup", "use-file", "thread", "allocate", "wait", "unlock", "inside", "fixed-read", "umask"],
           "network": ["socket", "connect", "thread", "allocate", "wait"]}
# What the walls hold alone: Landlock, since an ABI.
BY_LANDLOCK = {**{name: 1 for name in FILES}, "exec": 1, "execveat": 1, "ptrace": 1, "read-memory": 1, "connect": 4,
               "kill": 6}
BY_LANDLOCK_AROUND = {**BY_LANDLOCK, **{name: 2 for name in WAYS_OUT}, "fixed-truncate": 3}
BY_LANDLOCK_ALONE = {"unpack": BY_LANDLOCK, "share": BY_LANDLOCK_AROUND,
                     "network": {name: since for name, since in BY_LANDLOCK.items() if name != "connect"}}
# What the file server's filter leaves to Landlock.
LEFT_TO_LANDLOCK = {*FILES, *WAYS_OUT}


def cases(table):
    return [(program, what) for program in PROGRAMS for what in table[program]]


@pytest.fixture(params=annex_test.accounts())
def attempt(request):
    """A function that tries, and gives what came of it: "ok", an errno's name, or a signal's."""
    account = annex_test.account(request.param)
    folder = pathlib.Path(tempfile.mkdtemp(prefix="annex-confine-", dir="/var/tmp"))
    os.chown(folder, account.uid, account.gid)
    with socket.create_server(("127.0.0.1", 0)) as server:
        def run(program, how, what, **options):
            for name in folder.iterdir():
                shutil.rmtree(name) if name.is_dir() and not name.is_symlink() else name.unlink()
            done = subprocess.run([TOOL, program, how, what, folder, str(server.getsockname()[1])], capture_output=True,
                                  text=True, timeout=annex_test.TIMEOUT, **account.switch, **options)
            assert done.returncode <= 0, done.stderr
            return signal.Signals(-done.returncode).name if done.returncode else done.stdout.strip()

        run.folder = folder
        yield run
    shutil.rmtree(folder)


def free(what):
    return {"mount": "ENOENT"}.get(what, "ok")  # its folder is not there: nothing is mounted in a test


@pytest.mark.parametrize("program,what", cases(DENIED))
def test_an_attempt_succeeds_where_nothing_confines(attempt, program, what):
    if what == "io-uring" and attempt(program, "free", what) in ("EPERM", "ENOSYS"):
        pytest.skip("the host has io_uring switched off")
    if what == "unshare" and attempt(program, "free", what) == "EPERM":
        pytest.skip("the host has user namespaces switched off")
    if what == "multipath-socket" and attempt(program, "free", what) in ("EPROTONOSUPPORT", "ENOPROTOOPT"):
        pytest.skip("this kernel has no MPTCP")
    assert attempt(program, "free", what) == free(what)


@needs_both
@pytest.mark.parametrize("program,what", cases(DENIED))
def test_an_attempt_fails_in_a_confined_process(attempt, program, what):
    if what == "fixed-truncate" and LANDLOCK < BY_LANDLOCK_AROUND[what]:
        pytest.skip("this kernel's Landlock does not know of truncation")
    assert attempt(program, "confined", what) == DENIED[program][what]


@pytest.mark.skipif(not SECCOMP, reason="this kernel has no seccomp")
@pytest.mark.parametrize("program,what", cases(DENIED))
def test_the_filter_of_system_calls_holds_alone(attempt, program, what):
    left = program == "share" and what in LEFT_TO_LANDLOCK
    assert attempt(program, "filter", what) == ("ok" if left else DENIED[program][what])


@pytest.mark.skipif(not LANDLOCK, reason="this kernel has no Landlock")
@pytest.mark.parametrize("program,what", cases(BY_LANDLOCK_ALONE))
def test_landlock_holds_alone(attempt, program, what):
    since = BY_LANDLOCK_AROUND[what]
    if LANDLOCK < since:
        pytest.skip(f"Landlock has that since ABI {since}, here is {LANDLOCK}")
    assert attempt(program, "landlock", what) in ("EACCES", "EPERM")


@pytest.mark.parametrize("how", ["free", "confined", "landlock", "filter"])
@pytest.mark.parametrize("program,what", cases(ALLOWED))
def test_what_the_program_needs_works(attempt, program, how, what):
    assert attempt(program, how, what) == "ok"


@pytest.mark.skipif(SANITIZED, reason="sanitizers take the signal for themselves")
@pytest.mark.parametrize("program", PROGRAMS)
def test_a_confined_process_can_abort_and_leaves_no_core(attempt, program):
    most = resource.getrlimit(resource.RLIMIT_CORE)[1]
    pattern = pathlib.Path("/proc/sys/kernel/core_pattern").read_text()
    for how in ("free", "confined"):
        assert attempt(program, how, "abort",
                       preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_CORE, (most, most))) == "SIGABRT"
        cores = [path.name for path in attempt.folder.iterdir() if path.name.startswith("core")]
        if how == "confined":
            assert not cores
        elif most and pattern.startswith("core"):
            assert len(cores) == 1


@needs_both
@pytest.mark.parametrize("account", annex_test.accounts())
@pytest.mark.parametrize("lacking", ["landlock", "seccomp", "both"])
def test_files_are_served_with_what_the_kernel_has(account, lacking):
    done = subprocess.run([WITHOUT, lacking, SHARE_TEST], capture_output=True, text=True, timeout=annex_test.TIMEOUT,
                          **annex_test.account(account).switch)
    assert done.returncode == 0, done.stdout + done.stderr


@needs_both
@pytest.mark.parametrize("account", annex_test.accounts())
@pytest.mark.parametrize("lacking", ["landlock", "both"])
def test_a_network_works_with_what_the_kernel_has(account, lacking):
    done = subprocess.run([WITHOUT, lacking, NETWORK_TEST], capture_output=True, text=True, timeout=annex_test.TIMEOUT,
                          **annex_test.account(account).switch)
    assert done.returncode == 0, done.stdout + done.stderr
