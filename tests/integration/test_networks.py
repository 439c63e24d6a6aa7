"""Networks of machines, addresses on the host, and names in /etc/hosts. No machine runs but a fake one."""

import concurrent.futures
import json
import os
import pathlib
import shutil
import socket
import subprocess
import sys

import pytest

import annex_test
from annex_test import ANNEX, check_failure
from test_kernel import elf_kernel

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "fakes"))

from machine import Machine  # noqa: E402


def record(host, name, address=None, **settings):
    """A machine that is never started."""
    folder = host.data / "machines" / name
    folder.mkdir(parents=True, mode=0o700)
    made = {"version": 1, "id": os.urandom(16).hex(), "name": name, "image": "test:1", "imageId": "sha256:" + "0" * 64,
            "base": "none", "created": "2026-01-01T00:00:00Z",
            "settings": {"cpus": 1, "memory": 512 << 20, "disk": 1 << 30, "init": "auto", "kernel": "default",
                         "accel": "tcg", "network": "auto", **settings}}
    if address:
        made["address"] = address
    (folder / "machine.json").write_text(json.dumps(made))
    (folder / "lock").touch()
    for path in (host.data, host.data / "machines", folder, *folder.iterdir()):
        os.chown(path, host.account.uid, host.account.gid)
    return folder


def networks(host):
    return {row["name"]: row for row in json.loads(host.ok("network", "list", "--format", "json"))}


def addresses(host):
    return {row["name"]: row["ip"] for row in json.loads(host.ok("list", "--format", "json"))}


def test_the_default_network_is_always_there(host):
    assert host.ok("network", "list").split() == "NAME UPLINK CREATED MACHINES default - -".split()
    assert host.ok("network", "ls", "-q") == "default\n"
    assert networks(host) == {"default": {"name": "default", "uplink": None, "created": None, "machines": []}}


def test_networks_are_made_and_deleted(host):
    record(host, "web", "127.88.3.7")
    record(host, "db", "127.88.4.1", network="lab")
    record(host, "alone", "127.88.4.2", network="none")
    record(host, "apart", "127.88.4.3", isolate=True)
    assert host.ok("network", "create", "lab") == "lab\n"
    host.ok("network", "create", "vault", "--internal")
    host.ok("network", "create", "slow", "--uplink", "slirp")
    found = networks(host)
    assert list(found) == ["default", "lab", "slow", "vault"]
    assert [found[name]["uplink"] for name in found] == [None, "auto", "slirp", "none"]
    assert [row["name"] for row in found["default"]["machines"]] == ["web"]
    assert found["lab"]["machines"] == [{"name": "db", "host": "db.annex.internal", "ip": "127.88.4.1",
                                         "address": "198.19.4.1", "address6": "fd61:6e6e:6578::401"}]
    assert json.loads(host.ok("network", "inspect", "lab")) == [found["lab"]]
    assert "db" in host.ok("network", "list").splitlines()[2]
    host.ok("network", "rm", "vault", "slow")
    assert list(networks(host)) == ["default", "lab"]


def test_a_network_that_a_machine_is_in_stays(host):
    host.ok("network", "create", "lab")
    host.ok("network", "create", "free")
    record(host, "db", "127.88.4.1", network="lab")
    result = host.annex("network", "delete", "lab", "free")
    check_failure(result, 4, "network delete lab: network lab is that of machine 'db'",
                  "annex set -n db network=auto")
    assert list(networks(host)) == ["default", "lab"]


@pytest.mark.parametrize("words, status, message, hint", [
    ("create lab", 4, "a network named 'lab' exists", "annex network inspect lab"),
    ("create default", 2, "network name 'default' is invalid: it means something else",
     "choose a name such as 'work' or 'lab-2'"),
    ("create Lab", 2, "network name 'Lab' is invalid: only a-z, 0-9 and - are allowed",
     "choose a name such as 'work' or 'lab-2'"),
    ("delete nope", 3, "there is no network 'nope'", "annex network list"),
    ("inspect nope", 3, "there is no network 'nope'", "annex network list"),
    ("delete default", 2, "network default is always there", None),
    ("delete ../x", 2, "network name '../x' is invalid: only a-z, 0-9 and - are allowed",
     "choose a name such as 'work' or 'lab-2'"),
])
def test_what_can_not_be_done_with_networks(user_host, words, status, message, hint):
    user_host.ok("network", "create", "lab")
    check_failure(user_host.annex("network", *words.split()), status, f"network {words}: {message}", hint)


def test_a_broken_network_is_told_and_can_go(user_host):
    user_host.ok("network", "create", "lab")
    path = user_host.data / "networks" / "lab.json"
    path.write_text("{}")
    check_failure(user_host.annex("network", "list"), 1, f"network list: {path}: version is missing")
    user_host.ok("network", "delete", "lab")
    assert list(networks(user_host)) == ["default"]


def test_a_machine_is_set_to_a_network_that_is_there(user_host):
    record(user_host, "db", "127.88.4.1")
    check_failure(user_host.annex("set", "-n", "db", "network=lab"), 3, "set db: network=lab: there is no network 'lab'",
                  "annex network list; to make it: annex network create lab")
    user_host.ok("network", "create", "lab")
    user_host.ok("set", "-n", "db", "network=lab")
    assert [row["name"] for row in networks(user_host)["lab"]["machines"]] == ["db"]
    # What was deleted by hand is no obstacle to other settings, nor to leaving it.
    (user_host.data / "networks" / "lab.json").unlink()
    user_host.ok("set", "-n", "db", "memory=1G")
    user_host.ok("set", "-n", "db", "network=auto")


def test_a_start_tells_that_the_network_is_gone(user_host):
    machine = Machine(user_host, network="lab")
    user_host.env.update(machine.env)
    try:
        process = machine.supervise()
        assert process.wait(20) != 0
        assert "there is no network 'lab'" in process.stderr.read()
    finally:
        machine.remove()


def test_new_machines_have_addresses_of_their_own(user_host, test_image):
    """Ten at once, beside a socket of somebody and a machine of an older annex."""
    record(user_host, "old")
    kernel = user_host.file("kernel", elf_kernel())
    source = f"oci:{test_image('busybox')}"

    def create(name):
        return user_host.ok("create", "--no-boot", "--kernel", kernel, "-n", name, source).strip()

    create("first")
    with concurrent.futures.ThreadPoolExecutor(5) as pool:
        names = list(pool.map(create, [f"many-{number}" for number in range(5)]))
    found = addresses(user_host)
    assert set(found) == {"old", "first", *names}
    assert found.pop("old") is None
    assert len(set(found.values())) == len(found)
    for name, ip in found.items():
        x, y = (int(number) for number in ip.removeprefix("127.88.").split("."))
        assert 1 <= x <= 254 and 1 <= y <= 254
        assert json.loads(user_host.ok("inspect", name))[0]["ip"] == ip
        with socket.create_server((ip, 0)):
            pass
    assert found["first"] in user_host.ok("list")


def test_a_machine_of_an_older_annex_gets_its_address_as_it_starts(user_host):
    machine = Machine(user_host)
    user_host.env.update(machine.env)
    try:
        record(user_host, "other", "127.88.4.1")
        assert addresses(user_host)["dev"] is None
        machine.supervise()
        machine.guest()
        ip = addresses(user_host)["dev"]
        assert ip.startswith("127.88.") and ip != "127.88.4.1"
        assert json.loads((machine.folder / "machine.json").read_text())["address"] == ip
    finally:
        machine.remove()


def test_an_address_that_is_none_is_told(user_host):
    folder = record(user_host, "db", "10.0.0.1")
    result = user_host.annex("list")
    check_failure(result, 1, f"list: {folder}/machine.json: address: not one of 127.88.0.0/16 for a machine")
    shutil.rmtree(folder)


class Etc:
    """A host with an /etc of its own, in which whoever it is runs annex."""

    def __init__(self, host, hosts, folder=None, extra="true", after="true"):
        self.host, self.extra, self.after = host, extra, after
        self.folder = folder or host.folder / "etc"
        self.hosts = self.folder / "hosts"
        if folder:
            return
        self.folder.mkdir(mode=0o755)
        for name in ("passwd", "group", "nsswitch.conf", "ld.so.cache", "localtime", "machine-id"):
            if os.path.exists(f"/etc/{name}"):
                shutil.copy(f"/etc/{name}", self.folder / name)
        self.hosts.write_bytes(hosts)

    def annex(self, *words, account=None, env=None, **options):
        account = account or self.host.account
        script = f"mount --bind {self.folder} /etc && {self.extra} && " \
                 f"{{ setpriv --reuid={account.uid} --regid={account.gid} --init-groups \"$@\"; status=$?; " \
                 f"{self.after}; exit $status; }}"
        return subprocess.run(["unshare", "-m", "sh", "-c", script, "sh", str(ANNEX), *map(str, words)],
                              env=self.host.environment(env), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                              timeout=annex_test.TIMEOUT, **{"stdin": subprocess.DEVNULL, **options})

    def ok(self, *words, **options):
        done = self.annex(*words, **options)
        assert done.returncode == 0, done.stderr
        return done

    def read(self):
        return self.hosts.read_bytes()


HEAD = b"127.0.0.1\tlocalhost\r\n\n# \xff\n192.0.2.7 db.example.org db # ours"
CAN_MOUNT = os.geteuid() == 0 and subprocess.run(["unshare", "-m", "true"], stderr=subprocess.DEVNULL).returncode == 0
needs_mounts = pytest.mark.skipif(not CAN_MOUNT, reason="it takes root and mounts")


def block(user, *lines, of=None):
    """Of lines that were handed over, or of a host's machines."""
    origin = [f"# those in {of.data}"] if of else []
    return b"".join(line.encode() + b"\n" for line in (f"# >>> annex: machines of {user}", *origin, *lines,
                                                       f"# <<< annex: machines of {user}"))


DEV, DB = "127.88.3.7 dev.annex.internal dev", "127.88.4.1 db.annex.internal"


@pytest.fixture
def root_host():
    with annex_test.Host(annex_test.myself()) as made:
        yield made


def machines(host):
    record(host, "dev", "127.88.3.7")
    record(host, "db", "127.88.4.1")
    record(host, "old")


def test_hosts_prints_the_machines(host):
    assert host.ok("hosts") == ""
    assert json.loads(host.ok("hosts", "--format", "json")) == []
    record(host, "dev", "127.88.3.7")
    record(host, "localhost", "127.88.3.8")
    record(host, "old")
    assert host.ok("hosts") == f"{DEV}\n127.88.3.8 localhost.annex.internal\n"
    assert json.loads(host.ok("hosts", "--format", "json")) == [
        {"machine": "dev", "ip": "127.88.3.7", "names": ["dev.annex.internal", "dev"]},
        {"machine": "localhost", "ip": "127.88.3.8", "names": ["localhost.annex.internal"]}]


@needs_mounts
def test_a_block_is_kept_and_taken_out(root_host):
    machines(root_host)
    etc = Etc(root_host, HEAD)
    os.chmod(etc.hosts, 0o640)
    os.chown(etc.hosts, 7, 8)
    inode = etc.hosts.stat().st_ino
    assert etc.ok("hosts").stdout == f"{DB}\n{DEV}\n"
    etc.ok("hosts", "--install")
    kept = block("root", DB, DEV, of=root_host)
    assert etc.read() == HEAD + b"\n" + kept
    assert etc.hosts.stat().st_ino != inode
    assert (etc.hosts.stat().st_mode & 0o7777, etc.hosts.stat().st_uid, etc.hosts.stat().st_gid) == (0o640, 7, 8)
    # What names resolve to is what is meant.
    inode = etc.hosts.stat().st_ino
    etc.ok("hosts", "--install")
    assert (etc.read(), etc.hosts.stat().st_ino) == (HEAD + b"\n" + kept, inode)
    assert etc.ok("delete", "--force", "db").stderr == ""
    assert etc.read() == HEAD + b"\n" + block("root", DEV, of=root_host)
    # Machines of another folder are none of its business.
    elsewhere = root_host.folder / "elsewhere"
    shutil.copytree(root_host.folder / "data", elsewhere)
    assert etc.ok("delete", "--force", "dev", env={"XDG_DATA_HOME": str(elsewhere)}).stderr == ""
    assert etc.read() == HEAD + b"\n" + block("root", DEV, of=root_host)
    etc.ok("hosts", "--remove")
    assert etc.read() == HEAD + b"\n"
    etc.ok("hosts", "--remove")
    assert [path.name for path in etc.folder.glob("hosts*")] == ["hosts"]


@needs_mounts
def test_a_new_machine_is_in_the_block(root_host, test_image):
    etc = Etc(root_host, HEAD + b"\n")
    etc.ok("hosts", "--install")
    assert etc.read() == HEAD + b"\n" + block("root", of=root_host)
    kernel = root_host.file("kernel", elf_kernel())
    done = etc.ok("create", "--no-boot", "--kernel", kernel, "-n", "dev", f"oci:{test_image('busybox')}")
    assert "hosts" not in done.stderr
    assert etc.read() == HEAD + b"\n" + block("root", f"{addresses(root_host)['dev']} dev.annex.internal dev", of=root_host)


@needs_mounts
def test_a_user_hands_the_lines_to_root(user_host, root_host):
    machines(user_host)
    etc = Etc(user_host, HEAD + b"\n")
    lines = etc.ok("hosts").stdout
    result = etc.annex("hosts", "--install")
    check_failure(result, 1, "hosts: cannot write /etc/hosts: Permission denied",
                  "annex hosts | sudo annex hosts --install -")
    etc.ok("hosts", "--remove")  # there is none
    name = user_host.account.name
    sudo = {"SUDO_UID": str(user_host.account.uid), "XDG_DATA_HOME": str(root_host.folder / "data")}

    def as_root(*words, **options):
        return etc.annex("hosts", *words, account=annex_test.myself(), env=sudo, **options)

    check_failure(as_root("--install"), 2, f"hosts: root has no machines: those of {name} are not told by sudo",
                  f"as {name}: annex hosts | sudo annex hosts --install -")
    done = subprocess_input(as_root, lines)
    assert done.returncode == 0, done.stderr
    assert etc.read() == HEAD + b"\n" + block(name, DB, DEV)
    # Another's block stands beside it.
    record(root_host, "dev", "127.88.9.9")
    Etc(root_host, None, folder=etc.folder).ok("hosts", "--install")
    assert etc.read() == HEAD + b"\n" + block(name, DB, DEV) + block("root", "127.88.9.9 dev.annex.internal", of=root_host)
    # The user's own commands can't follow, and say so.
    done = etc.ok("delete", "--force", "db")
    assert done.stderr == "/etc/hosts names other machines than there are now, until " \
                          "'annex hosts | sudo annex hosts --install -'\n"
    check_failure(etc.annex("hosts", "--remove"), 1, "hosts: cannot write /etc/hosts: Permission denied",
                  "sudo annex hosts --remove")
    assert as_root("--remove").returncode == 0
    assert etc.read() == HEAD + b"\n" + block("root", "127.88.9.9 dev.annex.internal", of=root_host)
    assert etc.ok("delete", "--force", "dev").stderr == ""


def subprocess_input(run, lines):
    read, write = os.pipe()
    os.write(write, lines.encode())
    os.close(write)
    try:
        return run("--install", "-", stdin=read)
    finally:
        os.close(read)


@needs_mounts
def test_root_takes_no_other_lines(root_host):
    etc = Etc(root_host, HEAD)
    for lines in ("10.0.0.1 www.example.org\n", f"{DEV}\n127.88.3.7 dev.annex.internal bank\n", "x"):
        done = subprocess_input(lambda *words, **options: etc.annex("hosts", *words, **options), lines)
        check_failure(done, 2, f"hosts: '{lines.splitlines()[-1]}' is no line of 'annex hosts'")
    assert etc.read() == HEAD


@needs_mounts
def test_a_file_that_can_not_be_replaced_is_written_in_place(root_host):
    """As in containers: the file is a mount. And where the disk is full, nothing has changed."""
    machines(root_host)
    real = root_host.folder / "real-hosts"
    real.write_bytes(HEAD + b"\n")
    etc = Etc(root_host, b"hidden", extra=f"mount --bind {real} /etc/hosts")
    inode = real.stat().st_ino
    etc.ok("hosts", "--install")
    assert (real.read_bytes(), real.stat().st_ino) == (HEAD + b"\n" + block("root", DB, DEV, of=root_host), inode)
    etc.ok("hosts", "--remove")
    assert (real.read_bytes(), etc.read()) == (HEAD + b"\n", b"hidden")
    small = root_host.folder / "small"
    small.mkdir()
    # A page is full to its last byte, and there is no other.
    fill = f"mount -t tmpfs -o size=4k none {small} && yes '#' | head -c 4096 > {small}/hosts && " \
           f"mount --bind {small}/hosts /etc/hosts && exec 3>{real}"
    full = Etc(root_host, None, folder=etc.folder, extra=fill, after=f"cat {small}/hosts >&3")
    check_failure(full.annex("hosts", "--install"), 1, "hosts: cannot write /etc/hosts: No space left on device")
    assert real.read_bytes() == b"#\n" * 2048


@needs_mounts
def test_a_link_is_followed(root_host):
    machines(root_host)
    etc = Etc(root_host, HEAD + b"\n")
    etc.hosts.rename(etc.folder / "hosts.real")
    etc.hosts.symlink_to("hosts.real")
    etc.ok("hosts", "--install")
    assert etc.hosts.is_symlink()
    assert etc.read() == HEAD + b"\n" + block("root", DB, DEV, of=root_host)


@pytest.mark.parametrize("words, message, hint", [
    ("--install --remove", "--install and --remove contradict each other", None),
    ("--install --format json", "--format goes with printing only", None),
    ("--user x", "--user goes with --install and --remove only", None),
    ("--install --user x", "--user goes with lines of that user, on standard input",
     "as x: annex hosts | sudo annex hosts --install -"),
    ("--install --user no-such-user -", "there is no user 'no-such-user'", None),
    ("-", "'-' is not expected", "annex hosts | sudo annex hosts --install -"),
    ("--install x", "'x' is not expected", "annex hosts | sudo annex hosts --install -"),
])
def test_what_hosts_can_not_be_asked(user_host, words, message, hint):
    check_failure(user_host.annex("hosts", *words.split()), 2, f"hosts: {message}", hint)
