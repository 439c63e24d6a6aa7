"""A machine with shares, for the tests of real programs and of hard edges; and a Python in it that they talk to.

    with Guest(machine, root=True) as root:
        root("fails('EROFS', os.mkdir, path)", path="/srv/fixed/x")
        fd = root("os.open('/srv/fixed/file', os.O_RDONLY)")

The home is the account's own, which other machines share as well, so tests keep to a folder of it, machine.ground.
"""

import ast
import contextlib
import os
import pathlib
import pwd
import shutil
import stat
import subprocess
import tempfile
import textwrap
import uuid

import machines

# Shares beside the home: place in the folder `volumes` of the host's, place in the machine, options.
VOLUMES = (("data", "/srv/data", ""), ("fixed", "/srv/fixed", "ro"), ("live", "/srv/live", "cache=none"),
           ("doomed", "/srv/doomed", ""), ("small", "/srv/small", ""), ("single/file", "/srv/file", ""))
SMALL = 12 << 20  # bytes that "small" holds, where we may mount something

# Below the ground. What they are is made before the machine starts, but for the last three.
MASKS = ("vault/inner", "vault/file", "linked", "later", "way/hidden", "gone/hidden")
CANARY = f"what nobody in the machine may read, {uuid.uuid4()}"


def own(host, path):
    os.chown(path, host.account.uid, host.account.gid, follow_symlinks=False)
    return path


def folder(host, path):
    """A new folder of the host's user."""
    path.mkdir()
    return own(host, path)


def put(host, path, content):
    """A file of the host's user, with new contents."""
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return own(host, path)


def fingerprint(top):
    """All that can be seen of a tree but the times of access."""
    found = {}
    for parent, folders, files in os.walk(top):
        for path in (parent, *(os.path.join(parent, name) for name in folders + files)):
            status = os.lstat(path)
            names = os.listxattr(path, follow_symlinks=False)
            content = pathlib.Path(path).read_bytes() if stat.S_ISREG(status.st_mode) else b""
            found[path] = (status.st_mode, status.st_uid, status.st_gid, status.st_nlink, status.st_size, status.st_mtime_ns,
                           status.st_ctime_ns, names, content)
    return found


def lay_out(host, ground):
    """What the masks hide, and what lies around it."""
    for name in ("vault", "vault/inner", "vault/inner/deep", "vault/open", "target"):
        folder(host, ground / name)
    for name in ("vault/inner/key", "vault/inner/deep/key", "vault/file", "target/key"):
        put(host, ground / name, CANARY)
    for name in ("vault/open/file", "vault/visible", "visible"):
        put(host, ground / name, "visible")
    os.link(ground / "vault/file", ground / "alias")
    (ground / "linked").symlink_to("target")
    # Outside of all that is shared.
    folder(host, host.folder / "outside")
    put(host, host.folder / "outside/canary", CANARY)
    volumes = folder(host, host.folder / "volumes")
    for name in ("data", "fixed", "fixed/folder", "live", "doomed", "small", "single"):
        folder(host, volumes / name)
    for name in ("fixed/file", "fixed/folder/file", "doomed/file", "live/file", "single/file"):
        put(host, volumes / name, "first")
    (volumes / "fixed/link").symlink_to("file")
    return volumes


@contextlib.contextmanager
def ground(host):
    """A folder of our own in the home of the host's user."""
    home = pathlib.Path(pwd.getpwuid(host.account.uid).pw_dir)
    made = own(host, pathlib.Path(tempfile.mkdtemp(prefix="annex-ground-", dir=home)))
    try:
        yield made
    finally:
        for parent, names, _ in os.walk(made):  # what a test that failed has left closed
            for path in (os.path.join(parent, name) for name in names):
                if not os.path.islink(path):
                    os.chmod(path, 0o700)
        shutil.rmtree(made)


@contextlib.contextmanager
def mounted(path):
    """A small file system at a folder, where we may mount one."""
    if os.geteuid() != 0:
        yield False
        return
    status = path.stat()
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={SMALL},uid={status.st_uid},gid={status.st_gid},mode=755", "small",
                    path], check=True)
    try:
        yield True
    finally:
        subprocess.run(["umount", "--lazy", path], check=True)


@contextlib.contextmanager
def machine(host, name="apps"):
    """The machine, with `ground`, `volumes` and `small_is_small`."""
    with ground(host) as place:
        volumes = lay_out(host, place)
        with mounted(volumes / "small") as small:
            made = machines.create(host, "apps", name, "--memory", "1G", "--disk", "8G", "--no-boot", home="rw")
            settings = [f"mask={place.name}/{mask}" for mask in MASKS]
            for source, target, more in VOLUMES:
                settings.append(f"volume={volumes / source}:{target}" + (f":{more}" if more else ""))
            host.ok("set", "-n", name, *settings)
            made.ground, made.volumes, made.small_is_small = place, volumes, small
            yield made
            host.ok("delete", "--force", name, timeout=machines.BOOT)


# What the Python in the machine knows, and what it does: for each line of its input, which is a statement or an
# expression and names with their values, it prints the expression's value, or what went wrong.
PRELUDE = '''
import contextlib, ctypes, errno, fcntl, mmap, os, resource, shutil, signal, socket, stat, struct, subprocess, sys, time

libc = ctypes.CDLL(None, use_errno=True)
AT_FDCWD, NOREPLACE, EXCHANGE = -100, 1, 2

def call(name, *arguments):
    """A function of the C library that Python does not have."""
    result = getattr(libc, name)(*(os.fsencode(value) if isinstance(value, str) else value for value in arguments))
    if result < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()), name)
    return result

def rename2(old, new, flags):
    call("renameat2", AT_FDCWD, old, AT_FDCWD, new, flags)

def fails(names, function, *arguments, **more):
    """The function fails with one of these errors: "ENOENT ESTALE"; which."""
    try:
        result = function(*arguments, **more)
    except OSError as error:
        name = errno.errorcode[error.errno]
        assert name in names.split(), f"{function.__name__}{arguments}: {name} instead of {names}"
        return name
    raise AssertionError(f"{function.__name__}{arguments}: {result} instead of {names}")

def read(path):
    with open(path, "rb") as file:
        return file.read()

def write(path, data, flags=os.O_CREAT | os.O_TRUNC):
    """Without a buffer of our own, so that an error is the file system's."""
    fd = os.open(path, os.O_WRONLY | flags, 0o644)
    try:
        while data:
            data = data[os.write(fd, data):]
    finally:
        os.close(fd)

def until(condition, seconds=30):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.02)

def plain(value):
    if isinstance(value, (list, tuple, set)):
        return value != set() and all(map(plain, value))
    if isinstance(value, dict):
        return all(map(plain, value.keys())) and all(map(plain, value.values()))
    return type(value) in (int, float, bool, str, bytes, type(None))

def serve():
    import ast, traceback
    for line in sys.stdin:
        code, names = ast.literal_eval(line)
        globals().update(names)
        answer = [True, None]
        try:
            with contextlib.suppress(SyntaxError):
                answer[1] = compile(code, "test", "eval")
            if answer[1]:
                answer[1] = eval(answer[1], globals())
            else:
                exec(compile(code, "test", "exec"), globals())
        except BaseException:
            answer = [False, traceback.format_exc()]
        if not plain(answer[1]):
            answer[1] = str(answer[1])
        print(repr(answer), flush=True)

serve()
'''


class Guest:
    """A Python in the machine, as the host's user or as root."""

    def __init__(self, machine, root=False):
        self.process = machine.popen("python3", "-c", PRELUDE, options=["--root"] if root else [])

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.communicate()

    def __call__(self, code, **names):
        """The value of an expression, or None of statements, with these names; fails if it does."""
        self.start(code, **names)
        return self.finish()

    def start(self, code, **names):
        names = {name: os.fspath(value) if isinstance(value, pathlib.Path) else value for name, value in names.items()}
        self.process.stdin.write(f"{(textwrap.dedent(code), names)!r}\n".encode())
        self.process.stdin.flush()

    def finish(self):
        line = self.process.stdout.readline()
        assert line, "the machine's Python has ended: " + self.process.stderr.read().decode()
        done, value = ast.literal_eval(line.decode())
        assert done, value
        return value
