"""Benchmarks of sessions: many that start at once, and what one writes."""

import os
import selectors
import subprocess
import time

from measure import BUILD, Comparison

AT_ONCE = (1, 10, 50)
WRITTEN = 64 << 20


def start_times(command, count, environment=None):
    """Milliseconds that each of so many commands takes that are started at once."""
    begin = time.monotonic()
    started = [subprocess.Popen([*map(str, command)], env=environment, stdin=subprocess.DEVNULL) for _ in range(count)]
    left = {os.pidfd_open(process.pid): process for process in started}
    times = []
    with selectors.DefaultSelector() as selector:
        for descriptor in left:
            selector.register(descriptor, selectors.EVENT_READ)
        while left:
            for key, _ in selector.select():
                times.append((time.monotonic() - begin) * 1000)
                selector.unregister(key.fd)
                os.close(key.fd)
                assert left.pop(key.fd).wait() == 0, f"{command} failed"
    return times


def bench_start(annex, runs, ssh):
    table = Comparison("Sessions that start at once", "ms",
                       "So many `annex run -- true` started at the same time, each until it has ended, against as many "
                       "`ssh … true` over one connection that is there already, in the same machine (Debian). The host has "
                       "two processors for all of it.")
    start_times([*ssh, "true"], 1)  # a user's first login starts a service manager
    for count in AT_ONCE:
        ours, theirs = [], []
        for _ in range(runs):
            ours += start_times([BUILD / "annex", "run", "-n", "debian", "--", "true"], count, annex.environment)
            theirs += start_times([*ssh, "true"], count)
        table.add(f"{count} at once", ours, "ssh, connection kept", theirs, 0)
    return table


def output_seconds(command, environment=None):
    start = time.monotonic()
    done = subprocess.run(["sh", "-c", '"$@" | wc -c', "sh", *map(str, command), "head", "-c", str(WRITTEN), "/dev/zero"],
                          env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, check=True)
    assert int(done.stdout) == WRITTEN, "bytes got lost"
    return time.monotonic() - start


def bench_output(annex, runs, ssh):
    table = Comparison("Standard output of a session", "s",
                       f"{WRITTEN >> 20} MiB that a command in the machine writes (`head -c {WRITTEN} /dev/zero`), until the "
                       "last byte is here.")
    ours, theirs = [], []
    for _ in range(runs):
        ours.append(output_seconds([BUILD / "annex", "run", "-n", "debian", "--"], annex.environment))
        theirs.append(output_seconds(ssh))
    table.add("`annex run`", ours, "ssh, connection kept", theirs)
    return table
