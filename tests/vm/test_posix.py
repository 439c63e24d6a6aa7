"""The share as a file system: tests/posix on it, by the host's user, by root and by others, and what the host sees.

One program does the same in the machine and on the host: cases that every file system has to pass, transcripts of calls
that must give the same on both sides, random input and output. The suite's user shares as an ordinary user would, and
root (where the suite runs as root) with real owners.
"""

import concurrent.futures
import functools
import os
import shutil
import stat
import subprocess

import pytest

import annex_test
import machines
from annex_test import BUILD, TIMEOUT
from machines import BOOT

SUITE = BUILD / "tests" / "posix" / "posix-suite"
ROOT, OTHER = ("--root",), ("-u", "5252:5252")
SLOW = 10 * TIMEOUT

# What a share is not like a local file system in; docs/shares.md says so too.
DIFFERENT = {
    "waiting for a range is interrupted by a signal",  # Linux's virtio-fs tells its server of no signal
    "who waits for a lock can be killed",
}
# Of root's files where an ordinary user shares them: the group's part of the mode, which is the mask of a list too, is
# less on the host than in the machine, so that the host's group gains nothing.
DIFFERENT_ROOT = {"lists of a folder are inherited"}


@pytest.fixture(scope="module", params=annex_test.accounts())
def host(request, host):
    return host if request.param == "user" else request.getfixturevalue("root_host")


@pytest.fixture(scope="module")
def folder(host):
    """What is shared; `plain` lies beside it."""
    path = host.folder / "posix"
    host.program(["mkdir", "-p", path / "auto/u", path / "auto/r", path / "none/u", path / "none/r", path / "plain",
                  path / "ro/folder"], check=True)
    host.program(["sh", "-c", "printf text >file; ln -s file link"], cwd=path / "ro", check=True)
    shutil.copy2(SUITE, path / "auto" / "posix-suite")
    os.chmod(path / "auto" / "posix-suite", 0o755)
    return path


@pytest.fixture(scope="module")
def machine(host, folder):
    made = machines.create(host, "busybox", "posix", "--memory", "512M", "--network", "none", "--no-boot")
    host.ok("set", "-n", "posix", f"volume={folder}/auto:/srv/auto",
            f"volume={folder}/none:/srv/none:cache=none", f"volume={folder}/ro:/srv/ro:ro")
    yield made.up()
    host.ok("delete", "-f", "posix", timeout=BOOT)


def suite(machine, *words, options=ROOT, **more):
    return machine.run("/srv/auto/posix-suite", *words, options=options, timeout=SLOW, **more)


def on_host(host, *words, **more):
    return host.program([host.folder / "posix/auto/posix-suite", *words], timeout=SLOW, **more)


def user(host):
    """Who the host's user is in the machine; root's machine has somebody else."""
    return ("-u", f"{host.account.uid}:{host.account.gid}") if host.account.uid else OTHER


def both(*calls):
    """At once; what each returned."""
    with concurrent.futures.ThreadPoolExecutor() as pool:
        return [future.result() for future in [pool.submit(*call) for call in calls]]


def verdicts(result):
    """The names of cases by what became of them, and all that was said."""
    found = {"ok": set(), "not ok": set(), "skip": set()}
    for line in result.stdout.splitlines():
        for word in found:
            if line.startswith(f"{word} "):
                found[word].add(line[len(word) + 1:].split(":")[0])
    return found, "\n".join(line for line in result.stdout.splitlines() if not line.startswith("ok ")) + result.stderr


def test_every_case_passes(host, machine):
    calls = [(suite, machine, "cases", "/srv/none/r")]
    if host.account.uid:
        calls.append((functools.partial(suite, options=user(host)), machine, "cases", "/srv/auto/u"))
    for result, of_root, least in zip(both(*calls), (DIFFERENT_ROOT, set()), (150, 135)):
        found, said = verdicts(result)
        assert found["not ok"] == DIFFERENT | (of_root if host.account.uid else set()), said
        assert len(found["ok"]) > least, said


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_the_same_calls_give_the_same_as_on_the_host(host, machine, folder, seed):
    """By the user everything; by root what root does on its own disk of the machine."""
    name, steps = f"t{seed}", 500
    host.program(["mkdir", folder / "plain" / name, folder / "auto/u" / name], check=True)
    wanted = on_host(host, "transcript", folder / "plain" / name, str(seed), str(steps))
    mine = ROOT if host.account.uid == 0 else user(host)
    got = suite(machine, "transcript", f"/srv/auto/u/{name}", str(seed), str(steps), options=mine)
    assert (wanted.returncode, got.returncode) == (0, 0), wanted.stderr + got.stderr
    assert got.stdout.splitlines() == wanted.stdout.splitlines()
    machine.sh(f"mkdir -p /root/{name} /srv/none/r/{name}")
    wanted = suite(machine, "transcript", f"/root/{name}", str(seed), str(steps))
    got = suite(machine, "transcript", f"/srv/none/r/{name}", str(seed), str(steps))
    assert (wanted.returncode, got.returncode) == (0, 0), wanted.stderr + got.stderr
    assert got.stdout.splitlines() == wanted.stdout.splitlines()


@pytest.mark.parametrize("cache", ["auto", "none"])
def test_random_input_and_output_is_what_it_should_be(host, machine, cache):
    machine.sh(f"mkdir /srv/{cache}/fsx")
    for result in both((suite, machine, "fsx", f"/srv/{cache}/fsx", "17", "400")):
        assert result.returncode == 0 and result.stdout.startswith("ok: "), result.stdout + result.stderr


def test_what_is_shared_read_only_does_not_change(host, machine):
    for options in (ROOT, user(host))[:2 if host.account.uid else 1]:
        result = suite(machine, "readonly", "/srv/ro", options=options)
        assert (result.returncode, result.stdout) == (0, "ok\n"), result.stdout + result.stderr


def test_what_root_sets_stays_in_the_machine(host, machine, folder):
    """The guest sees it again; on the host the files stay the user's, with modes that harm nobody."""
    machine.sh("cd /srv/auto; mkdir kept; cd kept; echo x >suid; chown 0:0 suid; chmod 4755 suid; echo x >data; "
               "chown 33:33 data; chmod 640 data; mknod null c 1 3; mkdir d; chown 999:999 d; chmod 2770 d; mkfifo f; "
               "chown 7:7 f; sync")
    look = "cd /srv/auto/kept; stat -c '%n %u:%g %a %F %t:%T' *"
    wanted = ("d 999:999 2770 directory 0:0\ndata 33:33 640 regular file 0:0\nf 7:7 644 fifo 0:0\n"
              "null 0:0 644 character special file 1:3\nsuid 0:0 4755 regular file 0:0\n")
    assert machine.sh(look) == wanted
    machine.sh("echo 3 >/proc/sys/vm/drop_caches; sleep 1.1")
    assert machine.sh(look) == wanted
    if host.account.uid == 0:
        assert (folder / "auto/kept/data").stat().st_uid == 33
        return
    for path in (folder / "auto/kept").iterdir():
        shown = path.lstat()
        assert (shown.st_uid, shown.st_gid) == (host.account.uid, host.account.gid), path
        assert stat.S_ISREG(shown.st_mode) or path.name == "d"
        assert shown.st_mode & (stat.S_ISUID | stat.S_IWOTH | stat.S_IWGRP) == 0 or path.name == "d", oct(shown.st_mode)
    assert (folder / "auto/kept/data").stat().st_mode & 0o077 == 0  # the group 33 of the guest is nobody's here
    assert host.program(["cat", folder / "auto/kept/data"], check=True).stdout == "x\n"


@pytest.mark.parametrize("kind", ["flock", "posix", "opening"])
def test_locks_hold_between_the_machine_and_the_host(host, machine, folder, kind):
    lock = folder / "auto" / "lock"
    host.program(["touch", lock], check=True)
    guest = machine.popen("/srv/auto/posix-suite", "shared", "/srv/auto", "hold", kind, options=ROOT)
    assert guest.stdout.readline() == b"held\n"
    assert on_host(host, "shared", folder / "auto", "try", kind).stdout == "locked\n"
    guest.communicate(timeout=TIMEOUT)
    assert on_host(host, "shared", folder / "auto", "try", kind).stdout == "free\n"

    ours = subprocess.Popen([folder / "auto/posix-suite", "shared", folder / "auto", "hold", kind], stdin=subprocess.PIPE,
                            stdout=subprocess.PIPE, **host.account.switch)
    assert ours.stdout.readline() == b"held\n"
    assert suite(machine, "shared", "/srv/auto", "try", kind).stdout == "locked\n"
    ours.communicate(timeout=TIMEOUT)
    assert suite(machine, "shared", "/srv/auto", "try", kind).stdout == "free\n"


@pytest.mark.parametrize("cache", ["auto", "none"])
def test_the_machine_and_the_host_count_together(host, machine, folder, cache):
    """Each reads the last number that the other wrote."""
    place = folder / cache
    host.program(["sh", "-c", "echo 0 >count; touch lock"], cwd=place, check=True)
    both((suite, machine, "shared", f"/srv/{cache}", "count", "posix", "60"),
         (on_host, host, "shared", place, "count", "posix", "60"))
    assert (place / "count").read_text() == "120\n"


def test_the_machine_and_the_host_write_to_one_file(host, machine, folder):
    host.program(["touch", folder / "auto/blocks"], check=True)
    for result in both((suite, machine, "shared", "/srv/auto", "blocks", "0", "2000"),
                       (on_host, host, "shared", folder / "auto", "blocks", "1", "2000")):
        assert result.returncode == 0, result.stderr
    for result in (suite(machine, "shared", "/srv/auto", "verify", "2000"),
                   on_host(host, "shared", folder / "auto", "verify", "2000")):
        assert result.stdout == "ok\n", result.stderr


def test_a_full_disk_is_told_and_survived(host, machine, folder):
    if os.geteuid() != 0:
        pytest.skip("only root can mount a small file system")
    small = folder / "small"
    small.mkdir()
    os.chown(small, host.account.uid, host.account.gid)
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size=4m,uid={host.account.uid},gid={host.account.gid}", "none", small],
                   check=True)
    try:
        host.ok("mount", "-n", "posix", small, "/srv/small")
        result = suite(machine, "full", "/srv/small")
        assert (result.returncode, result.stdout) == (0, "ok\n"), result.stdout + result.stderr
        host.ok("umount", "-n", "posix", "/srv/small")
    finally:
        subprocess.run(["umount", "-l", small], check=True)
