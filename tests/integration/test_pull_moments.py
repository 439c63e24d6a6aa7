"""A pull that ends at each of its steps: strace kills it, interrupts it, or tells it that the disk is full, at the first
call that changes something on disk, at the second, and so on to the last."""

import concurrent.futures
import os
import shutil
import signal
import subprocess

import pytest

import annex_test
from pulls import TIMEOUT, bases, check_disks, check_failed, check_nothing_more, images, layered, pulled, store
from registries import fake

# System calls that change something on disk, and every how many of them a pull is ended. strace counts each call, in each
# thread.
STEPS = {"mkdirat": 1, "renameat": 1, "fsync": 1, "unlinkat": 1, "fchmod": 1, "ftruncate": 1, "pwrite64": 5}
# Those that may fail for want of room.
ROOM = {"mkdirat": 1, "renameat": 1, "fsync": 1, "ftruncate": 1, "pwrite64": 3}
MOST = 100  # more than a pull has of any


@pytest.fixture(scope="module")
def traced():
    """What starts a program under strace, if that is possible here."""
    if not shutil.which("strace"):
        pytest.skip("strace is not installed")
    probe = subprocess.run(["strace", "-o", "/dev/null", "true"], stderr=subprocess.PIPE, text=True,
                           **annex_test.unprivileged().switch)
    if probe.returncode != 0:
        pytest.skip(f"nothing can be traced here: {probe.stderr.strip()}")
    # Leaks can't be looked for under another's trace.
    options = {"ASAN_OPTIONS": os.environ.get("ASAN_OPTIONS", "") + ":detect_leaks=0"}

    def run(host, call, fault, number, *words):
        return host.program(["strace", "-f", "-qq", "-o", "/dev/null", "-e", f"trace={call}",
                             "-e", f"inject={call}:{fault}:when={number}", annex_test.ANNEX, *words], env=options,
                            timeout=2 * TIMEOUT)
    return run


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    layout = layered(tmp_path_factory.mktemp("moments") / "image", (20_000, 200_000))
    with fake.Registry() as one:
        yield one.serve("team/app", layout.folder)


def at_each(traced, served, calls, fault, check, every=1):
    """Pulls on a host of its own with the fault at each of the calls, until a pull has none that late; how often it failed."""
    def attempt(call, number):
        with annex_test.Host(annex_test.unprivileged()) as host:
            result = traced(host, call, fault, number, "image", "pull", "--progress", "none", served)
            try:
                check(host, result)
                if len(images(host)) == 0:
                    pulled(host, served)
                check_disks(host)
                assert len(images(host)) == len(bases(host)) == 1
                host.ok("image", "delete", served)
                assert store(host) == {}
            except AssertionError as problem:
                raise AssertionError(f"{fault} at {call} {number}: {problem}") from problem
            return result.returncode != 0

    def attempts(call):
        count = 0
        for number in range(1, MOST, calls[call] * every):
            if not attempt(call, number):
                return count
            count += 1
        raise AssertionError(f"a pull has more than {MOST} calls of {call}")

    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        return sum(pool.map(attempts, calls))


def test_a_kill_at_each_step(traced, served):
    def check(_, result):
        # -9: annex was killed; 1: its helper was.
        assert result.returncode in (0, 1, -signal.SIGKILL), result.stderr
        if result.returncode == 1:
            assert "signal 9" in result.stderr and len(result.stderr.splitlines()) <= 2, result.stderr
    assert at_each(traced, served, STEPS, "signal=SIGKILL", check) > 20


def test_an_interrupt_at_each_step(traced, served):
    def check(_, result):
        # Who is about to end may ignore it.
        assert result.returncode in (0, -signal.SIGINT) and len(result.stderr.splitlines()) <= 2, result.stderr
    ours = {call: every for call, every in STEPS.items() if call not in ("ftruncate", "pwrite64")}
    assert at_each(traced, served, ours, "signal=SIGINT", check, 2) > 1


@pytest.mark.parametrize("error, every", [("ENOSPC", 1), ("EIO", 4)])
def test_a_disk_that_fails_at_each_step(traced, served, error, every):
    def check(host, result):
        if result.returncode == 0:
            return
        if error == "ENOSPC":
            check_failed(result, 1, "No space left on device$", "annex image prune")
        else:
            assert result.returncode == 1 and "Input/output error" in result.stderr.splitlines()[0], result.stderr
        # A disk that is complete stays for the next try too.
        if images(host) == [] and not bases(host):
            check_nothing_more(host, {})
        elif images(host) == []:
            host.ok("image", "prune", "--force")
            assert store(host) == {}
    assert at_each(traced, served, ROOM, f"error={error}", check, every) > 2
