"""Services: an image's own command under the built-in init; PostgreSQL, nginx and Redis under systemd."""

import json
import os
import pathlib
import tempfile

import pytest

import machines
import oci
import programs
from machines import BOOT, Machine, wait_until

SERVICE = """\
#!/bin/sh
echo "started as $(id -u):$(id -g) in $(pwd) with $GREETING, $1 and $HOME"
trap 'echo asked; sleep 1; echo stopped | tee /srv/state/stopped; exit 0' QUIT
[ -t 1 ] && echo on a terminal
echo to stderr >/dev/stderr
while :; do sleep 0.1; done
"""
CONFIG = {"Entrypoint": ["service"], "Cmd": ["an argument"], "User": "app:1235", "WorkingDir": "/srv/app/deep",
          "StopSignal": "SIGQUIT", "Env": ["PATH=/opt/bin:/bin:/usr/bin:/sbin", "GREETING=hello"]}


def service_image(folder, **config):
    """BusyBox' programs, without an init, and a script as the image's command."""
    files = programs.root(("cat", "id", "kill", "poweroff", "pwd", "reboot", "sh", "sleep", "tee"))
    files.file("etc/passwd", "root:x:0:0:root:/root:/bin/sh\napp:x:1234:1234:An Application:/srv/app:/bin/sh\n")
    files.file("etc/group", "root:x:0:\napp:x:1234:\nextra:x:1235:\n")
    files.folder("opt/bin").file("opt/bin/service", SERVICE, 0o755).folder("srv/state", uid=1234)
    layout = oci.Layout(folder)
    layout.tag("latest", layout.image([layout.layer(files)], {**CONFIG, **config})).save()
    return f"oci:{folder}"


@pytest.fixture(scope="module")
def open_folder():
    """A temporary folder that others can read, too."""
    with tempfile.TemporaryDirectory(dir="/var/tmp") as name:
        os.chmod(name, 0o755)
        yield pathlib.Path(name)


@pytest.fixture(scope="module")
def service(host, open_folder):
    host.ok("create", service_image(open_folder / "image"), "-n", "service", "--service", "--init", "builtin", "--memory", "256M",
            "--cpus", "1", "--home-mount", "none", "--network", "none", timeout=BOOT)
    yield Machine(host, "service")
    host.ok("delete", "-f", "service", timeout=BOOT)


def starts(machine):
    return machine.host.ok("logs", machine.name).count("started as")


def test_the_image_s_command_runs_as_the_image_says(service):
    wait_until(lambda: "to stderr" in service.host.ok("logs", "service"), "it has said all")
    said = service.host.ok("logs", "service")
    assert "started as 1234:1235 in /srv/app/deep with hello, an argument and /srv/app" in said
    assert "on a terminal" not in said
    assert service.sh("cat /proc/1/cmdline").startswith("annex-init")
    assert service.inspect()["settings"]["service"] is True and service.inspect()["settings"]["init"] == "builtin"


def test_a_service_that_ends_is_started_again(service):
    before = starts(service)
    service.sh("kill -9 $(pidof service 2>/dev/null || sed -n 's/ (service) .*//p' /proc/[0-9]*/stat)")
    wait_until(lambda: starts(service) > before, "it runs again")
    assert "annex: the service was ended by signal 9 (Killed)" in service.host.ok("logs", "service")
    assert service.state == "running"


def test_the_image_s_stop_signal_stops_it_first(service):
    service.stop()
    said = service.host.ok("logs", "service")
    assert said.rindex("asked") < said.rindex("stopped")
    service.up()
    assert service.sh("cat /srv/state/stopped") == "stopped\n"
    before = starts(service)
    service.run("reboot", options=["--root"])
    wait_until(lambda: starts(service) > before, "it runs again", timeout=BOOT)
    assert service.host.ok("logs", "service").count("asked") == 2


def test_a_service_can_be_taken_away_and_given(service):
    host = service.host
    refused = host.annex("set", "-n", "service", "init=image")
    assert refused.returncode == 2 and "service=true: the built-in init runs the service, but init=image" in refused.stderr
    host.ok("set", "-n", "service", "--now", "service=false", timeout=BOOT)
    assert service.sh("cat /proc/1/cmdline") == "annex-init\0"


def test_a_service_that_can_not_be_is_refused(service, open_folder):
    host = service.host
    source = service_image(open_folder / "none", Entrypoint=[], Cmd=[])
    none = host.annex("create", source, "-n", "none", "--service")
    assert none.returncode == 2 and "has neither an entrypoint nor a command" in none.stderr
    both = host.annex("create", source, "-n", "none", "--service", "--init", "image")
    assert both.returncode == 2 and "init=image" in both.stderr
    assert host.annex("inspect", "none").returncode == 3
    missing = service_image(open_folder / "missing", Entrypoint=["/opt/bin/gone"])
    result = host.annex("create", missing, "-n", "gone", "--service", "--memory", "256M", "--home-mount", "none", timeout=BOOT)
    assert result.returncode == 1 and "the image's service: /opt/bin/gone: no such program in the image" in result.stderr
    assert "hint: annex set service=false" in result.stderr
    host.ok("delete", "-f", "gone")


APT = """\
set -e
export DEBIAN_FRONTEND=noninteractive
apt-get -q update && apt-get -q -y -o APT::Install-Recommends=false install redis-server
redis-cli set kept redis
su postgres -c "psql -qc 'create table kept (name text)' -c \\"insert into kept values ('postgres')\\""
echo nginx >/var/www/html/kept
"""
ASK = """\
redis-cli get kept
su postgres -c 'psql -Atc "select name from kept"'
exec 3<>/dev/tcp/127.0.0.1/80
printf 'GET /kept HTTP/1.0\\r\\n\\r\\n' >&3
tail -n 1 <&3
"""


def test_services_of_packages_survive_a_restart(host):
    """Under a newer systemd; Redis is installed by apt in the machine."""
    made = machines.create(host, "services", "services", "--memory", "1G", "--network", "none")
    state = made.run("systemctl", "is-system-running", "--wait", timeout=BOOT).stdout
    assert state == "running\n", made.ok("systemctl", "--failed", "--no-pager")
    assert int(made.ok("systemctl", "--version").split()[1]) > 252
    made.sh(APT, timeout=BOOT)
    made.stop()
    made.up()
    assert made.ok("bash", "-c", ASK, options=["--root"]).split() == ["redis", "postgres", "nginx"]
    assert made.ok("systemctl", "is-system-running", "--wait", timeout=BOOT) == "running\n"
    complaints = json.loads("[" + ",".join(made.sh("journalctl -b -p warning -o json --no-pager").splitlines()) + "]")
    # The image is without the module for sessions that its own configuration names.
    assert not [line["MESSAGE"] for line in complaints
                if line.get("_TRANSPORT") != "kernel" and "pam_systemd.so" not in line["MESSAGE"]]
    host.ok("delete", "-f", "services", timeout=BOOT)
