"""What annex-guest makes of the host's files, in real virtual machines, with the test as its supervisor and
tests/tools/share-host as the server."""

import os
import pathlib
import shutil
import signal
import subprocess
import tempfile
import time

import pytest

import guest_vm
from guest_vm import DEFAULT_USER

pytestmark = pytest.mark.skipif(not shutil.which("qemu-system-x86_64"), reason="no QEMU")

UID, GID = 4321, 4322
USAGE, NOT_FOUND, EXISTS, BUSY, UNSUPPORTED, TIMEOUT = 2, 3, 4, 5, 9, 10
FOLDER_IF_THERE = 32


class Host:
    """Folders of the user whom the machine knows as ada."""

    def __init__(self):
        self.root = pathlib.Path(tempfile.mkdtemp(prefix="annex-shares-", dir="/var/tmp"))
        self.root.chmod(0o755)

    def folder(self, name, mode=0o755, **files):
        path = self.root / name
        path.mkdir(mode=mode)
        self.own(path)
        for file, text in files.items():
            (path / file).write_text(text)
            self.own(path / file)
        return path

    def own(self, path):
        if os.geteuid() == 0:  # a server of root's has the ids of the host
            os.chown(path, UID, GID)

    def close(self):
        shutil.rmtree(self.root, ignore_errors=True)


@pytest.fixture(scope="module")
def host():
    made = Host()
    yield made
    made.close()


@pytest.fixture(scope="module")
def start(test_image, host):
    """A function that starts machines which end with the module."""
    made = []

    def begin(image, exports, shares, launch=True, **options):
        machine = guest_vm.Machine(test_image(image), exports=exports, shares=shares, **options)
        made.append(machine)
        return machine.start() if launch else machine

    yield begin
    for each in made:
        each.close()


@pytest.fixture(scope="module")
def machine(start, host):
    """BusyBox: a home, a folder that is read-only, a file, one in another share, the modules."""
    host.folder("home", 0o700, hello="hello\n")
    host.folder("data", file="data\n")
    host.folder("inner", file="inner\n")
    exports = {"home": ("rw", host.root / "home"), "volume-1": ("ro", host.root / "data"),
               "volume-2": ("rw", host.root / "data" / "file"), "volume-3": ("rw", host.root / "inner"),
               "modules": ("ro", guest_vm.modules())}
    shares = ["home dh /home/ada", "volume-1 dr /srv/with a blank/data", "volume-2 f /etc/conf.d/one.conf",
              "volume-3 d /home/ada/deep/inner", f"modules dr /lib/modules/{guest_vm.modules().name}"]
    return start("busybox", exports, shares)


@pytest.fixture(scope="module")
def debian(start, host):
    host.folder("debian-home", 0o700, hello="hello\n")
    host.folder("debian-data", 0o755)
    exports = {"home": ("rw", host.root / "debian-home"), "data": ("rw", host.root / "debian-data"),
               "modules": ("ro", guest_vm.modules())}
    shares = ["home dh /home/ada", "data d /srv/data", f"modules dr /lib/modules/{guest_vm.modules().name}"]
    return start("debian", exports, shares, cpus=2, memory=1024)


def test_the_home_is_the_host_s_with_the_same_owner(machine, host):
    session = machine.run("sh", "-c", "pwd; echo $HOME; cat hello; stat -c '%u %g %a' . hello; echo new >made")
    assert session.output.decode().splitlines() == \
        ["/home/ada", "/home/ada", "hello", f"{UID} {GID} 700", f"{UID} {GID} 644"], session.errors
    made = host.root / "home" / "made"
    assert made.read_text() == "new\n"
    assert made.stat().st_uid == (os.geteuid() or UID)


def test_nothing_is_copied_into_a_shared_home(debian, host):
    assert debian.run("sh", "-c", "ls -A ~").output.decode().split() == [".config", "hello"]
    assert debian.root("ls -A /etc/skel").split(), "the image has what would be copied"
    # Of the machine's own folder of units the place is there, and nothing in it.
    assert sorted(str(path.relative_to(host.root / "debian-home")) for path in (host.root / "debian-home").rglob("*")) == [
        ".config", ".config/systemd", "hello"]


def test_a_share_that_is_read_only_is_so_for_root_too(machine):
    assert machine.root("cat '/srv/with a blank/data/file'") == "data\n"
    flags = machine.root("grep ' /srv/with' /proc/self/mountinfo").split()[5]
    assert "ro" in flags.split(",")
    for script in ("echo x >'/srv/with a blank/data/new'", "mount -o remount,bind,rw '/srv/with a blank/data' && "
                   "echo x >'/srv/with a blank/data/new'"):
        assert machine.run("sh", "-c", script, user="root").exit[0] != 0


def test_a_file_can_be_shared_alone(machine, host):
    assert machine.root("cat /etc/conf.d/one.conf; stat -c %F /etc/conf.d/one.conf") == "data\nregular file\n"
    machine.root("echo changed >/etc/conf.d/one.conf")
    assert (host.root / "data" / "file").read_text() == "changed\n"
    machine.root("echo data >/etc/conf.d/one.conf")


def test_folders_on_the_way_are_made(machine):
    assert machine.root("stat -c '%u %a' '/srv/with a blank' /etc/conf.d").split() == ["0", "755"] * 2
    assert machine.root("cat /home/ada/deep/inner/file") == "inner\n"


def test_what_is_made_in_a_share_is_its_owner_s(machine):
    assert machine.root("stat -c '%u %g' /home/ada/deep").split() == [str(UID), str(GID)]


def test_set_user_id_and_devices_do_nothing_in_shares(machine):
    flags = [line.split()[5].split(",") for line in machine.root("cat /proc/self/mountinfo").splitlines()
             if " - virtiofs annex " in line]
    assert len(flags) == 5 and all({"nosuid", "nodev"} <= set(each) for each in flags)


def test_reads_are_done_far_ahead(machine):
    device = machine.root("stat -c %d /home/ada").strip()
    assert machine.root(f"cat /sys/class/bdi/{int(device) >> 8}:{int(device) & 255}/read_ahead_kb") == "1024\n"


def test_the_mount_of_all_shares_is_not_the_machine_s(machine):
    assert machine.run("sh", "-c", "ls /shares", user="root").exit[0] != 0
    assert "/ / " not in "".join(line for line in machine.root("cat /proc/self/mountinfo").splitlines() if "virtiofs" in line)


def test_modprobe_of_busybox_finds_the_kernel_s_modules(machine):
    machine.root("modprobe dummy && grep -q ^dummy /proc/modules && modprobe -r dummy")


def test_modprobe_of_kmod_finds_the_kernel_s_modules(debian):
    """By the host's kmod, since the image, as many, has none."""
    kmod = "LD_LIBRARY_PATH=$(echo /srv/host/usr/lib/*-linux-gnu /srv/host/usr/lib64 | tr ' ' :) exec -a modprobe /srv/host/usr/bin/kmod"
    debian.share_host.add("host", "/", "ro")
    assert debian.bind("host dr /srv/host").kind == 0
    shown = debian.run("bash", "-c", f"({kmod} xt_conntrack); grep -c '^xt_conntrack' /proc/modules; ({kmod} -n -v fs-btrfs)",
                       user="root").output.decode().splitlines()
    assert debian.unbind("/srv/host").kind == 0
    assert shown[0] == "1" and shown[-1].endswith("/btrfs.ko "), shown


def test_the_kernel_loads_what_is_asked_of_it(machine):
    """By the modprobe of BusyBox."""
    machine.root("! grep -q ^tun /proc/modules; cat /dev/net/tun 2>/dev/null; grep -q ^tun /proc/modules")
    machine.root("mount -t btrfs none /mnt 2>/dev/null; grep -q '^btrfs' /proc/modules")


def test_the_kernel_loads_what_is_asked_of_it_in_an_image_without_modprobe(debian):
    debian.root("! command -v modprobe; cat /dev/net/tun 2>/dev/null; grep -q ^tun /proc/modules")
    debian.root("mount -t btrfs none /mnt 2>/dev/null; grep -q '^btrfs' /proc/modules && grep -q ^raid6_pq /proc/modules")
    assert debian.root("mount -t nonsense none /mnt 2>&1 || echo $?").splitlines()[-1] == "32"


# Where a session begins.

@pytest.mark.parametrize("folder,flags,shown", [
    ("/home/ada/deep", FOLDER_IF_THERE, "/home/ada/deep"), ("/home/ada/none", FOLDER_IF_THERE, "/home/ada"),
    ("/root", FOLDER_IF_THERE, "/home/ada"), ("/etc/passwd", FOLDER_IF_THERE, "/home/ada"), ("", FOLDER_IF_THERE, "/home/ada")])
def test_a_session_begins_in_its_folder_if_it_is_there(machine, folder, flags, shown):
    assert machine.run("pwd", flags=DEFAULT_USER | flags, folder=folder).output.decode() == shown + "\n"


def test_a_folder_that_must_be_there_is_missed(machine):
    assert machine.run("pwd", folder="/home/ada/none").failure.message.startswith("cannot go to the folder")


def test_root_s_home_stays(machine):
    assert machine.root("pwd; echo $HOME") == "/root\n/root\n"


# While it runs.

def test_a_share_comes_and_goes(machine, host):
    machine.share_host.add("mount-1", host.folder("live", file="live\n"))
    assert machine.bind("mount-1 d /mnt/live/a").kind == 0
    assert machine.root("cat /mnt/live/a/file; stat -c %a /mnt/live") == "live\n755\n"
    machine.root("dd if=/dev/zero of=/mnt/live/a/large bs=64k count=64 2>/dev/null")
    assert machine.unbind("/mnt/live/a").kind == 0
    assert (host.root / "live" / "large").stat().st_size == 4 << 20
    machine.share_host.remove("mount-1")
    assert machine.root("ls /mnt/live/a; grep -c mount-1 /proc/self/mountinfo || true") == "0\n"


def test_what_is_in_use_stays_unless_forced(machine, host):
    machine.share_host.add("mount-2", host.folder("used", file="used\n"))
    assert machine.bind("mount-2 d /mnt/used").kind == 0
    user = machine.open("sh", "-c", "cd /mnt/used; echo there; read x", user="root").wait_for(b"there")
    refused = machine.unbind("/mnt/used")
    assert (refused.kind, refused.message) == (BUSY, "/mnt/used is in use")
    assert machine.root("cat /mnt/used/file") == "used\n"
    assert machine.unbind("/mnt/used", force=1).kind == 0
    assert machine.root("ls /mnt/used") == ""
    user.close()
    user.wait()
    machine.share_host.remove("mount-2")


def test_what_root_has_unmounted_can_be_taken_away(machine, host):
    machine.share_host.add("mount-3", host.folder("gone"))
    assert machine.bind("mount-3 d /mnt/gone").kind == 0
    machine.root("umount /mnt/gone")
    assert machine.unbind("/mnt/gone").kind == 0


def test_answers_come_in_order(machine, host):
    machine.share_host.add("mount-4", host.folder("ordered"))
    before = len(machine.bound)
    for name, fields in (("BIND", {"share": "mount-4 d /mnt/ordered"}), ("BIND", {"share": "mount-4 d /mnt/ordered"}),
                         ("UNBIND", {"target": "/mnt/ordered"}), ("UNBIND", {"target": "/mnt/ordered"})):
        machine.send(name, **fields)
    machine.wait_until(lambda: len(machine.bound) == before + 4, 60, "four answers")
    assert [answer.kind for answer in machine.bound[before:]] == [0, EXISTS, 0, NOT_FOUND]


@pytest.mark.parametrize("share,kind,message", [
    ("nothing d /mnt/x", NOT_FOUND, 'the host has no share "nothing"'),
    ("home f /mnt/x", USAGE, 'the share "home" is a folder, not a file'),
    ("volume-2 d /mnt/x", USAGE, 'the share "volume-2" is a file, not a folder'),
    ("home d /etc/passwd", USAGE, "/etc/passwd is a file, not a folder, in the machine"),
    ("home d /etc/passwd/x", USAGE, "/etc/passwd is a file, not a folder, in the machine"),
    ("volume-2 f /etc", USAGE, "/etc is a folder, not a file, in the machine"),
    ("home d /srv/with a blank/data/x", 1, "cannot make /srv/with a blank/data/x in the machine: Read-only file system"),
    ("home x /mnt/x", 12, 'malformed share "home x /mnt/x"'),
    ("home d /mnt/../../x", 12, 'malformed share "home d /mnt/../../x"')])
def test_what_cannot_be_bound_is_said(machine, share, kind, message):
    answer = machine.bind(share)
    assert (answer.kind, answer.message) == (kind, message)


def test_links_in_the_machine_do_not_lead_out_of_it(machine):
    machine.root("ln -s /shares /mnt/out; ln -s ../../../../proc/1/root/tmp /mnt/up; ln -s /nowhere /mnt/dangling")
    answer = machine.bind("home d /mnt/dangling")
    assert (answer.kind, answer.message) == (USAGE, "/mnt/dangling is a link to nowhere in the machine")
    assert machine.bind("home d /mnt/up/found").message.startswith("cannot open /mnt/up in the machine: Symbolic link loop")
    assert machine.bind("home d /mnt/out/found").message == "/mnt/out is a link to nowhere in the machine"
    machine.root("mkdir -p /real/place; ln -s ../real/place /mnt/in")
    assert machine.bind("home d /mnt/in/found").kind == 0
    assert machine.root("cat /real/place/found/hello") == "hello\n"
    assert machine.unbind("/mnt/in/found").kind == 0


def test_a_reboot_inside_keeps_shares_old_and_new(machine, host):
    machine.share_host.add("mount-5", host.folder("kept", file="kept\n"))
    assert machine.bind("mount-5 d /mnt/kept").kind == 0
    # As many inits leave it, and some the root too.
    machine.root("mount -o remount,ro /home/ada; mount -o remount,ro /")
    halted, ready = len(machine.halted), len(machine.ready)
    machine.open("reboot", "-f", user="root")
    machine.wait_until(lambda: len(machine.ready) > ready, 120, "READY again")
    assert guest_vm.HALTED[machine.halted[halted].reason] == "reboot"
    assert machine.root("cat /mnt/kept/file /etc/conf.d/one.conf /home/ada/deep/inner/file") == "kept\ndata\ninner\n"
    machine.root("echo again >/home/ada/again; echo again >/root/again")
    assert machine.unbind("/mnt/kept").kind == 0


def test_what_was_written_last_is_there_after_the_end(start, host):
    host.folder("late")
    machine = start("busybox", {"late": ("rw", host.root / "late")}, ["late d /srv/late"])
    machine.root("dd if=/dev/urandom of=/srv/late/bytes bs=1M count=20 2>/dev/null; sha256sum /srv/late/bytes >/srv/late/sum")
    machine.open("sh", "-c", "exec 3>>/srv/late/open; echo data >&3; echo there; sleep 1000", user="root").wait_for(b"there")
    assert machine.shutdown() == 0
    assert (host.root / "late" / "open").read_text() == "data\n"
    assert os.system(f"cd {host.root}/late && sed 's|/srv/late/||' sum | sha256sum --check --quiet") == 0


# systemd.

def test_systemd_has_nothing_to_complain_about(debian):
    assert debian.root("systemctl --failed --no-legend; systemctl is-system-running") == "running\n"
    assert debian.root("systemctl show -P ActiveState home-ada.mount").strip() == "active"
    assert debian.root("findmnt -n -o SOURCE,FSTYPE /home/ada").split() == ["annex[/home]", "virtiofs"]


def test_services_see_shares_that_come_later(debian, host):
    debian.root("systemd-run -q --unit=looks -p PrivateTmp=yes sleep 1000")
    debian.share_host.add("mount-1", host.folder("debian-live", file="live\n"))
    assert debian.bind("mount-1 d /mnt/live").kind == 0
    assert debian.root("nsenter -t $(systemctl show -P MainPID looks) -m cat /mnt/live/file") == "live\n"
    assert debian.root("systemctl show -P ActiveState mnt-live.mount").strip() == "active"
    assert debian.unbind("/mnt/live").kind == 0
    assert debian.root("systemctl --failed --no-legend; systemctl stop looks") == ""


def test_the_users_services_are_the_machines_own(debian, host):
    units = host.root / "debian-home" / ".config" / "systemd"
    assert list(units.iterdir()) == []  # the folder is where that of the machine is mounted
    (units / "user").mkdir()
    (units / "user" / "hosts.service").write_text("[Service]\nExecStart=/bin/false\n")
    script = """mkdir -p ~/.config/systemd/user && cd ~/.config/systemd/user && ls &&
        printf '[Service]\\nExecStart=/bin/sleep 1000\\n[Install]\\nWantedBy=default.target\\n' >mine.service &&
        systemctl --user daemon-reload && systemctl --user -q enable --now mine && systemctl --user is-active mine &&
        ls -A && systemctl --user --failed --no-legend"""
    session = debian.run("sh", "-c", script)
    assert (session.exit, session.output.decode().split()) == ((0, 0), ["active", "default.target.wants", "mine.service"])
    assert [path.name for path in (units / "user").iterdir()] == ["hosts.service"]


def test_a_session_can_save_into_its_home_while_systemd_stops(debian, host):
    debian.open("sh", "-c", "trap 'echo saved >~/saved; exit' TERM HUP; cd /; echo there; while :; do sleep 0.1; done"
                ).wait_for(b"there")
    assert debian.shutdown() == 0
    assert (host.root / "debian-home" / "saved").read_text() == "saved\n"
    console = (debian.folder / "console").read_text(errors="replace")
    assert "Failed unmounting" not in console and "still in use" not in console


# Where it can't be.

def test_links_of_an_image_do_not_lead_out_of_its_disk(start, host):
    host.folder("caught", file="caught\n")
    machine = start("busybox", {}, [])
    machine.root("ln -s /../../shares /opt/out; mkdir -p /usr/local; ln -s /usr/local /opt/in")
    machine.shutdown()
    machine.exports = {"caught": ("rw", host.root / "caught")}
    machine.start(shares=["caught d /opt/in/caught"])
    assert machine.root("cat /usr/local/caught/file") == "caught\n"
    machine.shutdown()
    machine.launch()
    machine.configure(shares=["caught d /opt/out/caught"])
    machine.wait_until(lambda: machine.failures, 60, "FAILURE")
    assert machine.failures[0].message == "cannot share /opt/out/caught: /opt/out is a link to nowhere in the machine"
    assert machine.failures[0].hint == "annex set volume=-/opt/out/caught"


def test_a_home_of_its_own_follows_one_that_was_shared(start, host):
    host.folder("first", 0o700)
    machine = start("debian", {"home": ("rw", host.root / "first")}, ["home dh /home/ada"], cpus=2, memory=1024)
    machine.root("mkdir -p /etc/skel; touch /etc/skel/.from-skel")
    machine.shutdown()
    machine.exports = {}
    machine.start(shares=[])
    assert machine.run("sh", "-c", "stat -c '%u %a' ~; ls -A ~ | grep from-skel; touch ~/mine").output.decode().split() == \
        [str(UID), "700", ".from-skel"]


def test_a_share_without_a_device_ends_the_boot(start):
    machine = start("busybox", None, ["home dh /home/ada"], launch=False)
    machine.launch()
    machine.configure()
    machine.wait_until(lambda: machine.failures, 60, "FAILURE")
    assert machine.failures[0].message == 'the virtual machine has no virtio-fs device "annex"'


def test_modules_are_done_without_where_nothing_can_be_shared(start):
    machine = start("busybox", None, [f"modules dr /lib/modules/{guest_vm.modules().name}"])
    assert machine.bind("x d /mnt/x").kind == UNSUPPORTED
    assert machine.unbind("/mnt/x").kind == UNSUPPORTED


@pytest.fixture
def without_driver(host):
    """A folder with a kernel that lacks virtio-fs."""
    folder = host.root / "kernels"
    subprocess.run(["cp", "-rs", guest_vm.kernels(), folder], check=True)
    for path in [*folder.glob("*/initramfs-*"), *folder.rglob("lock")]:
        path.unlink()
    for name in ("modules.dep", "modules.dep.bin"):
        path = next(folder.glob(f"*/lib/modules/*/{name}"), None)
        if path:
            lines = path.read_bytes().splitlines(keepends=True)
            path.unlink()
            path.write_bytes(b"".join(line for line in lines if b"virtiofs" not in line))
    return folder


def test_a_kernel_without_the_driver_is_named(start, host, without_driver):
    modules = f"modules dr /lib/modules/{guest_vm.modules().name}"
    machine = start("busybox", {"data": ("rw", host.folder("undriven")), "modules": ("ro", guest_vm.modules())}, [modules],
                    kernels=without_driver)
    machine.root("! grep virtiofs /proc/filesystems; ! grep annex /proc/self/mountinfo")
    machine.shutdown()
    machine.launch()
    machine.configure(shares=["data d /srv/data", modules])
    machine.wait_until(lambda: machine.failures, 60, "FAILURE")
    assert machine.failures[0].kind == UNSUPPORTED
    assert machine.failures[0].message == "the kernel has no driver for virtio-fs (virtiofs), by which files are shared"
    assert machine.failures[0].hint == "use a kernel with CONFIG_VIRTIO_FS, or home-mount=none and no volumes"


def test_a_server_that_does_not_answer_holds_up_only_who_asks(start, host):
    machine = start("busybox", {"data": ("rw", host.folder("slow", file="slow\n"))}, [], deadline_factor=1)
    machine.share_host.process.send_signal(signal.SIGSTOP)
    try:
        began = time.monotonic()
        machine.send("BIND", share="data d /mnt/slow")
        assert machine.root("echo alive") == "alive\n"
        machine.wait_until(lambda: machine.bound, 60, "BOUND")
        assert (machine.bound[0].kind, machine.bound[0].message) == (TIMEOUT, "/mnt/slow could not be mounted in time")
        assert time.monotonic() - began >= 9 * guest_vm.SCALE
    finally:
        machine.share_host.process.send_signal(signal.SIGCONT)
    machine.wait_until(lambda: machine.bind("data d /mnt/slow").kind in (0, EXISTS), 60, "it is bound")
    assert machine.root("cat /mnt/slow/file") == "slow\n"
