"""Helpers of the test suites: annex on a host of its own, as whoever it is asked to be.

    host = annex_test.Host(annex_test.unprivileged())
    host.ok("create", "oci:…", "-n", "web")         # what it printed; fails the test unless it succeeded
    result = host.annex("run", "-n", "web", "--", "false")
    host.close()

The program is $ANNEX, or annex in the build folder $ANNEX_BUILD, or build/annex. Folders are short, because sockets'
paths are limited.
"""

import atexit
import fcntl
import functools
import os
import pathlib
import pwd
import shlex
import shutil
import signal
import subprocess
import tempfile
import threading

import pexpect

ROOT = pathlib.Path(__file__).resolve().parent.parent
BUILD = pathlib.Path(os.environ.get("ANNEX_BUILD") or ROOT / "build").resolve()
USER = "annex-test"
# Everything takes longer under emulation and on a busy machine; a test that hangs must still end.
TIMEOUT = 60 * float(os.environ.get("ANNEX_TIMEOUT_SCALE") or 1)
# What of our own environment annex is to see.
KEPT = ("ANNEX_DEBUG", "ANNEX_LIBEXECDIR", "ANNEX_TIMEOUT_SCALE", "ASAN_OPTIONS", "LD_LIBRARY_PATH", "UBSAN_OPTIONS")


def end_in_order():
    """Make what terminates this process an interrupt: fixtures then end what they started, and remove it."""
    if threading.current_thread() is not threading.main_thread():
        return  # a worker of pytest-xdist may run tests in another one: whoever started it ends it in order
    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) == signal.SIG_DFL:
            signal.signal(number, signal.default_int_handler)


class Account:
    """Somebody who runs programs; `switch` holds the arguments that make subprocess be that user."""

    def __init__(self, entry):
        self.name, self.uid, self.gid = entry.pw_name, entry.pw_uid, entry.pw_gid
        self.switch = {}
        if self.uid != os.geteuid():
            self.switch = dict(user=self.uid, group=self.gid, extra_groups=os.getgrouplist(self.name, self.gid))

    def become(self):
        """In a child process, for those who don't take `switch`."""
        if self.switch:
            os.setgroups(self.switch["extra_groups"])
            os.setgid(self.gid)
            os.setuid(self.uid)


def myself():
    return Account(pwd.getpwuid(os.geteuid()))


def unprivileged():
    """An ordinary user: ourselves, or for root one that is made when it is not there yet."""
    if os.geteuid() != 0:
        return myself()
    with open("/run/lock/annex-test-user", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        try:
            pwd.getpwnam(USER)
        except KeyError:
            subprocess.run(["useradd", "--create-home", "--shell", "/bin/bash", USER], check=True)
    return Account(pwd.getpwnam(USER))


def accounts():
    """The names of all whom the suite runs annex as."""
    return ["root", "user"] if os.geteuid() == 0 else ["user"]


def account(name):
    return myself() if name == "root" else unprivileged()


@functools.cache
def copies():
    """A folder of ours that everybody can read."""
    folder = pathlib.Path(tempfile.mkdtemp(prefix="annex-bin-", dir="/var/tmp"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    folder.chmod(0o755)
    return folder


def for_everybody(program, *needs):
    """A program where the ordinary user can run it too: a copy, with what it needs of its folder, if ours is in root's
    home."""
    if os.geteuid() != 0 or not program.exists() or \
            subprocess.run(["test", "-x", program], **unprivileged().switch).returncode == 0:
        return program
    root = next((folder for folder in (BUILD, ROOT) if program.is_relative_to(folder)), program.parent)
    for path in (program, *(root / name for name in needs)):
        copy = copies() / path.relative_to(root)
        if path.exists() and not copy.exists():
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(path, copy)
    return copies() / program.relative_to(root)


PROGRAMS = ("annex-supervisor", "annex-guest", "annex-unpack", "annex-share", "annex-network", "libannex.so.0")
ANNEX = for_everybody(pathlib.Path(os.environ.get("ANNEX") or BUILD / "annex").resolve(), *PROGRAMS)


class Host:
    """Folders, an environment and an account, as one user's host has them."""

    def __init__(self, account=None):
        self.account = account or myself()
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="annex-", dir="/var/tmp"))
        self.env = {"HOME": str(self.folder / "home"), "PATH": os.environ["PATH"], "LANG": "C.UTF-8", "TERM": "xterm",
                    "USER": self.account.name, "LOGNAME": self.account.name, "TMPDIR": str(self.folder / "tmp")}
        for name, variable in (("data", "XDG_DATA_HOME"), ("config", "XDG_CONFIG_HOME"), ("run", "XDG_RUNTIME_DIR")):
            self.env[variable] = str(self.folder / name)
        self.env.update({name: os.environ[name] for name in KEPT if name in os.environ})
        for name in ("home", "data", "config", "run", "tmp"):
            (self.folder / name).mkdir(mode=0o700)
            os.chown(self.folder / name, self.account.uid, self.account.gid)
        os.chown(self.folder, self.account.uid, self.account.gid)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        """Delete all machines, and the folders. Fails when a machine can't be deleted, or a sanitizer found something."""
        machines, said = self.data / "machines", ""
        try:
            if machines.exists() and any(machines.iterdir()):
                self.annex("stop", "--all", "--time", "0", timeout=2 * TIMEOUT)
                said = "".join(log.read_text(errors="replace") for log in machines.glob("*/supervisor.log"))
                self.ok("delete", "--force", "--all", timeout=2 * TIMEOUT)
        finally:
            shutil.rmtree(self.folder, ignore_errors=True)
        assert "runtime error:" not in said and "Sanitizer" not in said, said

    @property
    def data(self):
        return pathlib.Path(self.env["XDG_DATA_HOME"]) / "annex"

    def environment(self, changes=None):
        """Ours with changes; None takes a variable away."""
        merged = {**self.env, **(changes or {})}
        return {name: value for name, value in merged.items() if value is not None}

    def program(self, argv, input=None, env=None, timeout=TIMEOUT, text=True, cwd=None, **options):
        """Run any program to its end. Its input is empty unless there is `input` or `stdin`."""
        if input is None:
            options.setdefault("stdin", subprocess.DEVNULL)
        else:
            options["input"] = input
        options.setdefault("stdout", subprocess.PIPE)
        options.setdefault("stderr", subprocess.PIPE)
        return subprocess.run([str(word) for word in argv], env=self.environment(env), timeout=timeout, text=text,
                              cwd=cwd or self.env["HOME"], **self.account.switch, **options)

    def annex(self, *words, **options):
        """Run annex to its end: returncode, stdout, stderr."""
        return self.program([ANNEX, *words], **options)

    def ok(self, *words, **options):
        """Run annex, which must succeed; what it printed."""
        result = self.annex(*words, **options)
        assert result.returncode == 0, \
            f"annex {shlex.join(map(str, words))} exited with {result.returncode}:\n{result.stderr}"
        return result.stdout

    def start(self, *words, env=None, **options):
        """Start annex, and give the Popen; its three streams are pipes."""
        for stream in ("stdin", "stdout", "stderr"):
            options.setdefault(stream, subprocess.PIPE)
        options.setdefault("cwd", self.env["HOME"])
        return subprocess.Popen([str(ANNEX), *map(str, words)], env=self.environment(env), **self.account.switch,
                                **options)

    def terminal(self, *argv, env=None, size=(24, 80), timeout=TIMEOUT):
        """Run a program on a terminal of its own: a pexpect.spawn."""
        return pexpect.spawn(str(argv[0]), [str(word) for word in argv[1:]], env=self.environment(env),
                             cwd=self.env["HOME"], dimensions=size, timeout=timeout, encoding="utf-8",
                             preexec_fn=self.account.become)

    def file(self, name, content, mode=0o644):
        """Write a file into the user's home; its path."""
        path = self.folder / "home" / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        path.chmod(mode)
        os.chown(path, self.account.uid, self.account.gid)
        return path


@functools.cache
def image(name):
    """The path of the OCI layout of a test image, which is made when it is first asked for."""
    made = subprocess.run([ROOT / "tests" / "images" / "make", name], stdout=subprocess.PIPE, text=True, check=True)
    return pathlib.Path(made.stdout.strip())


@functools.cache
def kernel_package():
    """The distribution's kernel package, downloaded once and kept beside the test images."""
    cache = image("busybox").parent
    shown = apt("apt-cache", "depends", "--important", "linux-image-cloud-" + apt("dpkg", "--print-architecture").strip())
    name = next(line.split()[-1] for line in shown.splitlines() if "Depends: linux-image-" in line)
    with open(cache / "kernel.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        found = sorted(cache.glob(f"{name}_*.deb"))
        if not found:
            apt("apt-get", "download", "-q", "-o", "APT::Sandbox::User=root", name, cwd=cache)
            found = sorted(cache.glob(f"{name}_*.deb"))
    return found[-1]


def apt(*words, cwd=None):
    return subprocess.run(words, cwd=cwd, env={**os.environ, "LC_ALL": "C"}, stdout=subprocess.PIPE, text=True,
                          check=True).stdout


def check_failure(result, status, message, hint=None):
    """One line of what went wrong, one that helps, nothing on standard output."""
    assert (result.returncode, result.stdout) == (status, ""), result.stderr
    lines = result.stderr.splitlines()
    assert lines[0] == f"annex: {message}"
    assert lines[1:] == ([f"hint: {hint}"] if hint else [])


__all__ = ["ANNEX", "BUILD", "ROOT", "TIMEOUT", "Account", "Host", "account", "accounts", "check_failure", "end_in_order",
           "image", "kernel_package", "myself", "unprivileged"]
