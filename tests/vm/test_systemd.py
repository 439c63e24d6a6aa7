"""A machine with systemd."""

import re
import signal

import pexpect

from annex_test import TIMEOUT
from machines import BOOT, wait_until

UNIT = """[Unit]
Description=Marks that it ran
[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=/bin/sh -c 'echo ran >/run/marker.state'
[Install]
WantedBy=multi-user.target
"""


def test_systemd_is_up_and_all_its_units_are_well(debian):
    result = debian.run("systemctl", "is-system-running", "--wait", timeout=BOOT)
    assert result.stdout == "running\n", debian.ok("systemctl", "--failed", "--no-pager")
    assert result.returncode == 0
    assert debian.ok("cat", "/proc/1/comm") == "systemd\n"
    assert debian.ok("systemd-detect-virt", "--container").strip() not in ("", "none")


def test_systemd_owns_its_cgroups(debian):
    assert debian.ok("stat", "-f", "-c", "%T", "/sys/fs/cgroup") == "cgroup2fs\n"
    assert debian.sh("systemd-run --quiet --wait --pipe -p MemoryMax=64M cat /proc/self/cgroup").startswith("0::/system.slice/run-")


def test_the_machine_is_what_the_host_says(debian):
    assert debian.ok("hostname") == "debian\n"
    assert debian.ok("cat", "/etc/machine-id").strip() == debian.inspect()["id"]
    assert re.search(r"^198\.19\.\S+\s+debian\.annex\.internal debian\b", debian.ok("cat", "/etc/hosts"), re.MULTILINE)
    assert 7 << 20 < int(debian.ok("df", "-k", "--output=size", "/").splitlines()[1]) <= 8 << 20


def test_the_user_may_become_root(debian):
    assert debian.ok("sudo", "-n", "id", "-u") == "0\n"
    assert debian.ok("id", "-un").strip() == debian.host.account.name


def test_the_users_services_are_up(debian):
    assert debian.ok("systemctl", "--user", "is-system-running") == "running\n", debian.ok("systemctl", "--user", "--failed")
    assert "org.freedesktop.systemd1" in debian.ok("busctl", "--user", "list", "--no-pager", "--no-legend")
    assert debian.ok("loginctl", "show-user", debian.host.account.name, "-p", "Linger") == "Linger=yes\n"
    folder = debian.ok("sh", "-c", "echo $XDG_RUNTIME_DIR").strip()
    assert debian.ok("stat", "-c", "%u %a %m", folder) == f"{debian.host.account.uid} 700 {folder}\n"


def test_other_ways_to_log_in_work(debian):
    assert debian.ok("sudo", "-n", "-i", "sh", "-c", "id -un; pwd") == "root\n/root\n"
    assert debian.sh(f"su - {debian.host.account.name} -c 'id -un; echo $HOME'").splitlines()[0] == debian.host.account.name


def test_a_login_shell_reads_its_profile(debian):
    script = "echo $0; shopt -q login_shell && echo login; echo $PROFILE; exit 3\n"
    debian.sh("echo 'PROFILE=read' >/etc/profile.d/test.sh")
    result = debian.host.annex("run", "-n", "debian", input=script)
    assert (result.stdout, result.returncode) == ("-bash\nlogin\nread\n", 3), result.stderr
    debian.sh("rm /etc/profile.d/test.sh")


def test_the_journal_and_the_bus_work(debian):
    debian.sh("logger -t annex-test hello from the test")
    wait_until(lambda: "hello from the test" in debian.sh("journalctl -t annex-test -o cat --no-pager"), "the journal has it")
    assert "org.freedesktop.systemd1" in debian.ok("busctl", "list", "--no-pager", "--no-legend")


def test_files_and_enabled_services_survive_a_stop(debian):
    debian.ok("tee", "/etc/systemd/system/marker.service", options=["--root"], input=UNIT)
    debian.sh("systemctl enable --now --quiet marker.service; echo kept >/var/lib/marker")
    assert debian.ok("cat", "/run/marker.state") == "ran\n"
    debian.stop()
    assert debian.state == "stopped"
    debian.host.ok("start", debian.name, timeout=BOOT, env={"TZ": "Europe/Berlin"})
    assert debian.ok("readlink", "/etc/localtime") == "/usr/share/zoneinfo/Europe/Berlin\n"
    assert debian.ok("cat", "/etc/timezone") == "Europe/Berlin\n"
    assert debian.ok("date", "+%Z") in ("CET\n", "CEST\n")
    assert debian.ok("date", "+%Z", env={"TZ": "Asia/Tokyo"}) == "JST\n"
    assert debian.ok("cat", "/var/lib/marker") == "kept\n"
    assert debian.ok("systemctl", "is-active", "marker.service") == "active\n"
    assert debian.ok("cat", "/run/marker.state") == "ran\n"
    # It was stopped in order before.
    assert "Stopped marker.service" in debian.sh("journalctl -u marker --no-pager -o cat")


def test_systemd_can_reboot_the_machine(debian):
    boots = debian.sh("cut -d ' ' -f 22 /proc/1/stat")
    debian.run("systemctl", "reboot", options=["--root"])
    wait_until(lambda: debian.run("cut", "-d", " ", "-f", "22", "/proc/1/stat").stdout not in ("", boots), "systemd is a new one",
               timeout=BOOT)
    assert debian.ok("systemctl", "is-system-running", "--wait", timeout=BOOT) == "running\n"


def test_a_login_shell_on_a_terminal(debian):
    child = debian.terminal("bash", "-l")
    child.send("echo $((6*7)); tty; exit 3\r")
    child.expect(r"42\r\n/dev/pts/\d+\r\n")
    child.wait()
    child.close()
    assert child.exitstatus == 3


def test_logind_lists_the_terminals_that_are_in_use(debian):
    child = debian.terminal("sh", "-c", "tty; exec sleep 1000")
    child.expect(r"^/dev/(pts/\d+)\r\n")
    line = f"{child.match[1]}\n"
    wait_until(lambda: line in debian.ok("loginctl", "--no-pager", "--no-legend", "list-sessions"), "logind lists it")
    child.close(force=True)
    wait_until(lambda: line not in debian.ok("loginctl", "--no-pager", "--no-legend", "list-sessions"), "it is gone")
    assert debian.ok("systemctl", "--failed", "--no-legend", "--no-pager") == ""


def test_the_hosts_terminal_is_known_to_all(debian):
    source = debian.host.file("entry", "annex-term|of a test, am, colors#0x1000000, bel=^G, Tc, Smulx=\\E[4:%p1%dm,\n")
    debian.host.program(["tic", "-x", "-o", debian.host.folder / "home" / ".terminfo", source]).check_returncode()
    script = "echo $TERM; infocmp -x | grep -c Smulx; sudo -n infocmp -x | grep -c Smulx; sudo -n sh -c 'echo $TERM'"
    child = debian.terminal("sh", "-c", script, env={"TERM": "annex-term"})
    child.expect_exact("annex-term\r\n1\r\n1\r\nannex-term\r\n")
    child.expect_exact(pexpect.EOF)
    child.close()
    assert debian.ok("stat", "-c", "%U %a", "/etc/terminfo/a/annex-term") == "root 644\n"
    child = debian.terminal("sh", "-c", "echo $TERM", env={"TERM": "annex-nobody-knows"})
    child.expect_exact("xterm-256color\r\n")
    child.close()


def test_a_session_is_no_unit_that_systemd_would_kill(debian):
    client = debian.popen("sh", "-c", "echo ready; exec sleep 1000")
    assert client.stdout.readline() == b"ready\n"
    debian.sh("systemctl daemon-reload; systemctl daemon-reexec", timeout=BOOT)
    assert client.poll() is None
    client.send_signal(signal.SIGTERM)
    client.communicate(timeout=TIMEOUT)
    assert client.returncode == 128 + signal.SIGTERM


def test_systemd_can_power_the_machine_off(debian):
    debian.run("systemctl", "poweroff", options=["--root"])
    wait_until(lambda: debian.state == "stopped", "it is stopped", timeout=BOOT)
    assert debian.inspect()["failure"] is None
