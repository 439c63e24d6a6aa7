"""The setting autostart: units of systemd, written for a fake systemctl, and started by a real user manager where there
can be one. No machine runs but a fake one."""

import json
import os
import pathlib
import shutil
import subprocess
import sys
import time

import pytest

import annex_test
from annex_test import check_failure
from test_kernel import elf_kernel

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "fakes"))

from machine import SUPERVISOR, Machine, is_alive, wait_for  # noqa: E402

LINGERS = pathlib.Path("/var/lib/systemd/linger", annex_test.unprivileged().name).exists()
SAID = "annex-dev.service starts it with this host\n" if LINGERS else \
    "annex-dev.service starts it when you log in\nhint: loginctl enable-linger lets it start with this host\n"


class Systemctl:
    """In the place of systemctl: it keeps what it was asked, and fails with the verbs of `fails`."""

    def __init__(self, host):
        self.log = host.file("systemctl.log", "")
        self.failing = host.file("systemctl.fails", "")
        self.program = host.file("bin-systemctl", f"""#!/bin/sh
echo "$*" >> {self.log}
! grep -qx -e "$4" {self.failing}
""", 0o755)
        folder = host.folder / "bin"
        folder.mkdir()
        (folder / "systemctl").symlink_to(self.program)
        host.env["PATH"] = f"{folder}:{host.env['PATH']}"

    def fails(self, *verbs):
        self.failing.write_text("".join(verb + "\n" for verb in verbs))

    def asked(self):
        said = [line.split("--no-block ")[-1].split()[0] for line in self.log.read_text().splitlines()]
        self.log.write_text("")
        return said


@pytest.fixture
def systemctl(user_host):
    return Systemctl(user_host)


@pytest.fixture
def machine(user_host):
    made = Machine(user_host)
    user_host.env.update(made.env)
    yield made
    made.remove()


@pytest.fixture
def units(user_host):
    return user_host.folder / "config" / "systemd" / "user"


def inspect(host, name="dev"):
    return json.loads(host.ok("inspect", name))[0]


def is_enabled(units, name="dev"):
    link = units / "default.target.wants" / f"annex-{name}.service"
    return link.is_symlink() and link.resolve() == (units / f"annex-{name}.service").resolve()


def files(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if not path.is_dir())


def findings(host):
    return [(found["level"], found["text"], found["hint"])
            for found in json.loads(host.annex("doctor", "--format", "json").stdout) if found["subject"] == "autostart"]


def test_the_setting_makes_and_removes_a_unit(user_host, machine, systemctl, units):
    assert inspect(user_host)["autostart"] is None
    result = user_host.annex("set", "-n", "dev", "autostart=true")
    assert (result.returncode, result.stdout, result.stderr) == (0, "", SAID)
    unit = units / "annex-dev.service"
    text = unit.read_text()
    assert f'\nExecStart="{machine.helpers}/annex-supervisor" --data "{user_host.data}"' in text
    assert "\nRestart=no\n" in text and f'\nEnvironment="PATH={user_host.env["PATH"]}"\n' in text
    assert is_enabled(units) and {"daemon-reload", "is-enabled"} <= set(systemctl.asked())
    assert inspect(user_host)["autostart"] == {"unit": "annex-dev.service", "path": str(unit), "starts": "host" if LINGERS else "login",
                                               "problem": None}
    assert user_host.annex("set", "-n", "dev", "restart=always").stderr == ""
    assert "\nRestart=on-abnormal\n" in unit.read_text()
    systemctl.asked()
    user_host.ok("set", "-n", "dev", "env=A=1")
    assert systemctl.asked() == []
    assert user_host.annex("set", "-n", "dev", "autostart=false").stderr == ""
    assert files(units) == [] and systemctl.asked() == ["daemon-reload"]
    assert inspect(user_host)["autostart"] is None


def test_a_machine_that_goes_takes_its_unit_with_it(user_host, machine, systemctl, units):
    user_host.ok("set", "-n", "dev", "autostart=true")
    user_host.ok("delete", "-f", "dev")
    assert files(units) == []
    machine.folder.mkdir(parents=True)


@pytest.fixture
def create(user_host, test_image):
    kernel = user_host.file("kernel", elf_kernel())

    def create(*words):
        return user_host.annex("create", "--no-boot", "--kernel", kernel, *words, f"oci:{test_image('noinit')}")

    yield create


def test_a_link_to_a_unit_that_somebody_has_removed_goes_too(user_host, machine, systemctl, units):
    user_host.ok("set", "-n", "dev", "autostart=true")
    (units / "annex-dev.service").unlink()
    user_host.ok("set", "-n", "dev", "autostart=false")
    assert files(units) == [] and not (units / "default.target.wants" / "annex-dev.service").is_symlink()


def test_a_unit_that_was_damaged_is_told_with_what_helps(user_host, machine, systemctl, units):
    user_host.ok("set", "-n", "dev", "autostart=true")
    unit = units / "annex-dev.service"
    unit.write_text("[Service]\n\n[X-Annex]\nId=0\n")
    result = user_host.annex("delete", "-f", "dev")
    assert result.returncode == 1 and result.stderr.endswith(f"hint: rm {unit}\n") and machine.folder.exists()


def test_new_machines_can_have_it(user_host, create, systemctl, units):
    made = create("-n", "web", "--autostart", "--restart", "on-failure")
    assert (made.returncode, made.stdout) == (0, "web\n") and SAID.replace("dev", "web") in made.stderr
    assert is_enabled(units, "web")
    (units / "annex-more.service").write_text("[Service]\nExecStart=/bin/true\n")
    failed = create("-n", "more", "--autostart")
    assert failed.returncode == 4 and f"{units}/annex-more.service is in the way, which annex has not written" in failed.stderr
    assert user_host.ok("list", "-q") == "web\n" and "annex-more.service" in files(units)
    (units / "annex-more.service").unlink()
    assert create("-n", "other").returncode == 0 and not (units / "annex-other.service").exists()


def test_without_systemd_it_is_refused_with_what_else_there_is(user_host, machine, create, units):
    before = (machine.folder / "machine.json").read_text()
    result = user_host.annex("set", "-n", "dev", "autostart=true", env={"PATH": "/nowhere"})
    check_failure(result, 1, "set dev: autostart=true: there is no systemd here that could start it",
                  "the line '@reboot annex start NAME' in your crontab does it elsewhere: see crontab -e")
    assert (machine.folder / "machine.json").read_text() == before and not units.exists()
    result = user_host.annex("create", "--autostart", "--kernel", user_host.folder / "home" / "kernel", "oci:/nowhere",
                             env={"PATH": "/nowhere"})
    assert result.returncode == 1 and "there is no systemd here" in result.stderr


def test_a_manager_that_looks_elsewhere_is_told(user_host, machine, systemctl, units):
    systemctl.fails("is-enabled")
    result = user_host.annex("set", "-n", "dev", "autostart=true", "env=A=1")
    assert result.returncode == 1 and f"your systemd does not look for units in {units}" in result.stderr
    shown = inspect(user_host)
    assert files(units) == [] and shown["autostart"] is None and shown["settings"]["env"] == []


def test_units_of_others_stay(user_host, machine, systemctl, units):
    units.mkdir(parents=True)
    unit = units / "annex-dev.service"
    unit.write_text("[Service]\nExecStart=/bin/true\n")
    subprocess.run(["chown", "-R", f"{user_host.account.uid}:{user_host.account.gid}", user_host.folder / "config"], check=True)
    result = user_host.annex("set", "-n", "dev", "autostart=true")
    check_failure(result, 4, f"set dev: autostart: {unit} is in the way, which annex has not written", "remove it, or rename it")
    user_host.ok("delete", "-f", "dev")
    assert unit.read_text() == "[Service]\nExecStart=/bin/true\n"
    machine.folder.mkdir(parents=True)


def test_a_machine_of_that_name_elsewhere_keeps_its_unit(user_host, machine, systemctl, units):
    user_host.ok("set", "-n", "dev", "autostart=true")
    other = user_host.folder / "other" / "annex" / "machines" / "dev"
    shutil.copytree(machine.folder, other)
    record = json.loads((other / "machine.json").read_text())
    record["id"] = "0" * 32
    (other / "machine.json").write_text(json.dumps(record))
    subprocess.run(["chown", "-R", f"{user_host.account.uid}:{user_host.account.gid}", user_host.folder / "other"], check=True)
    elsewhere = {"XDG_DATA_HOME": str(user_host.folder / "other")}
    text = (units / "annex-dev.service").read_text()
    result = user_host.annex("set", "-n", "dev", "autostart=true", env=elsewhere)
    assert result.returncode == 4 and f"is of the machine 'dev' in {user_host.data}" in result.stderr
    user_host.ok("set", "-n", "dev", "autostart=false", env=elsewhere)
    assert (units / "annex-dev.service").read_text() == text
    # That of a machine that is gone is nobody's.
    (machine.folder / "machine.json").rename(machine.folder / "gone")
    user_host.ok("set", "-n", "dev", "autostart=true", env=elsewhere)
    assert "0" * 32 in (units / "annex-dev.service").read_text()


def test_what_has_come_apart_is_told_and_mended(user_host, machine, systemctl, units):
    unit = units / "annex-dev.service"
    user_host.ok("set", "-n", "dev", "autostart=true")
    assert findings(user_host) == [("good", "machines that systemd starts: 1", None)]
    good = unit.read_text()
    unit.write_text(good.replace(str(machine.helpers), "/opt/moved"))
    told = f"machine 'dev' does not start by itself: {unit} starts /opt/moved/annex-supervisor, which is gone"
    assert findings(user_host) == [("could-be-better", told, "annex set -n dev autostart=true")]
    assert inspect(user_host)["autostart"]["problem"] in told
    start_and_stop(user_host, machine)
    assert unit.read_text() == good
    unit.unlink()
    assert "is gone" in findings(user_host)[0][1]
    user_host.ok("set", "-n", "dev", "autostart=true")
    assert unit.read_text() == good and is_enabled(units)
    (units / "default.target.wants" / "annex-dev.service").unlink()
    assert "is not enabled" in findings(user_host)[0][1]
    start_and_stop(user_host, machine)
    assert is_enabled(units)
    # Of another installation that is there: left alone until somebody sets something.
    unit.write_text(good.replace(str(machine.helpers), str(SUPERVISOR.parent)))
    start_and_stop(user_host, machine)
    assert str(SUPERVISOR.parent) in unit.read_text()
    user_host.ok("set", "-n", "dev", "env=A=1")
    assert unit.read_text() == good
    (machine.folder / "machine.json").rename(machine.folder / "gone")
    assert findings(user_host) == [("could-be-better", f"the machine of {unit} is gone", f"rm {unit}")]


def start_and_stop(host, machine):
    starting = host.start("start", "dev")
    machine.guest().ready()
    assert starting.wait(annex_test.TIMEOUT) == 0
    host.ok("stop", "--time", "0", "dev")


def test_systemd_understands_the_unit(user_host, machine, systemctl, units):
    if not shutil.which("systemd-analyze"):
        pytest.skip("systemd-analyze is not installed")
    user_host.ok("set", "-n", "dev", "autostart=true", "restart=on-failure")
    checked = user_host.program(["systemd-analyze", "verify", "--user", "--man=no", units / "annex-dev.service"])
    assert checked.returncode == 0 and "annex-dev" not in checked.stderr, checked.stderr


# --- a real user manager ---

MANAGER = """
set -e
mount --make-rprivate /
umount -R /sys/fs/cgroup
mount -t cgroup2 none /sys/fs/cgroup
mkdir -p /run/systemd
mount -t tmpfs none /run/systemd
mkdir /run/systemd/system /sys/fs/cgroup/$1
chown -R $2 /sys/fs/cgroup/$1
echo $$ > /sys/fs/cgroup/$1/cgroup.procs
exec setpriv --reuid $2 --regid $3 --init-groups /lib/systemd/systemd --user --log-target=console
"""


class Manager:
    def __init__(self, host):
        self.host = host
        self.name = f"annex-test-{os.getpid()}"
        self.process = subprocess.Popen(
            ["unshare", "-m", "sh", "-c", MANAGER, "sh", self.name, str(host.account.uid), str(host.account.gid)],
            env=host.environment(), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)

    def ctl(self, *words, **options):
        return self.host.program(["systemctl", "--user", *words], **options)

    def show(self, name):
        return self.ctl("show", "-P", name, "annex-dev.service").stdout.strip()

    def is_up(self):
        end = time.monotonic() + 30
        while self.process.poll() is None and time.monotonic() < end:
            if self.ctl("daemon-reload").returncode == 0:
                return True
            time.sleep(0.05)
        return False

    def close(self):
        """Its end is that of its units; then its control groups are empty."""
        self.ctl("exit")
        try:
            said, _ = self.process.communicate(timeout=30)
        except subprocess.TimeoutExpired:
            self.process.kill()
            said, _ = self.process.communicate()
        clean = ("mount --make-rprivate / && umount -R /sys/fs/cgroup && mount -t cgroup2 none /sys/fs/cgroup && "
                 "find /sys/fs/cgroup/$1 -depth -type d -exec rmdir {} +")
        subprocess.run(["unshare", "-m", "sh", "-c", clean, "sh", self.name], stderr=subprocess.DEVNULL)
        return said


@pytest.fixture
def manager(user_host, machine):
    if os.geteuid() != 0 or not pathlib.Path("/lib/systemd/systemd").exists():
        pytest.skip("a user manager of its own needs root, and systemd")
    made = Manager(user_host)
    if not made.is_up():
        pytest.skip(f"no user manager of systemd can run here: {made.close()[-200:]}")
    yield made
    made.close()


def begin(manager, machine):
    """systemctl start, which returns when the machine is up; its guest."""
    starting = subprocess.Popen(["systemctl", "--user", "start", "annex-dev"], env=manager.host.environment(),
                                **manager.host.account.switch)
    guest = machine.guest()
    assert starting.poll() is None
    guest.ready()
    assert starting.wait(annex_test.TIMEOUT) == 0
    return guest


def test_systemd_starts_stops_and_watches_a_machine(user_host, machine, manager, units):
    result = user_host.annex("set", "-n", "dev", "autostart=true", "restart=on-failure")
    assert (result.returncode, result.stderr) == (0, SAID)
    assert "annex-dev.service" in manager.ctl("list-dependencies", "default.target").stdout
    guest = begin(manager, machine)
    pid = machine.running["pid"]
    assert manager.show("ActiveState") == "active" and manager.show("MainPID") == str(pid)

    # What fails is started again by the supervisor, and systemd sees nothing of it.
    guest.happen("die")
    machine.guest().ready()
    machine.connect(watch=True).expect_state("running")
    assert (manager.show("MainPID"), manager.show("NRestarts")) == (str(pid), "0")

    # A supervisor that is killed is started again by systemd.
    os.kill(pid, 9)
    machine.guest().ready()
    machine.connect(watch=True).expect_state("running")
    assert machine.running["pid"] != pid and manager.show("NRestarts") == "1"

    # annex stop is the end.
    user_host.ok("stop", "--time", "0", "dev")
    wait_for(lambda: manager.show("ActiveState") == "inactive")
    assert manager.show("Result") == "success" and machine.is_clean()

    # systemctl stop asks the machine, and waits.
    guest = begin(manager, machine)
    vm_pid = machine.running["vmPid"]
    stopping = subprocess.Popen(["systemctl", "--user", "stop", "annex-dev"], env=user_host.environment(),
                                **user_host.account.switch)
    guest.link.expect("SHUTDOWN")
    assert is_alive(vm_pid) and manager.show("ActiveState") == "deactivating"
    guest.power_off()
    assert stopping.wait(annex_test.TIMEOUT) == 0
    assert manager.show("Result") == "success" and machine.is_clean()

    # annex start lets the unit do it; a failure comes through.
    starting = user_host.start("start", "dev")
    machine.guest().ready()
    assert starting.wait(annex_test.TIMEOUT) == 0
    assert manager.show("MainPID") == str(machine.running["pid"])
    restarting = user_host.start("restart", "--time", "0", "dev")
    machine.guest().ready()
    assert restarting.wait(annex_test.TIMEOUT) == 0
    assert manager.show("MainPID") == str(machine.running["pid"])
    user_host.ok("stop", "--time", "0", "dev")
    kernel = user_host.folder / "home" / "kernel"
    kernel.rename(kernel.with_name("away"))
    result = user_host.annex("start", "dev")
    assert result.returncode == 3 and "kernel" in result.stderr
    kernel.with_name("away").rename(kernel)

    # One that was started by hand is started.
    foreground = machine.supervise()
    machine.guest().ready()
    machine.connect(watch=True).expect_state("running")
    pid = machine.running["pid"]
    assert pid == foreground.pid
    assert manager.ctl("start", "annex-dev").returncode == 0
    assert manager.show("Result") == "success" and machine.running["pid"] == pid
    user_host.ok("stop", "--time", "0", "dev")

    user_host.ok("set", "-n", "dev", "autostart=false")
    assert "annex-dev" not in manager.ctl("list-dependencies", "default.target").stdout
    assert manager.show("LoadState") == "not-found"
