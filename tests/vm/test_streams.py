"""Much data, and those who don't take it."""

import hashlib
import subprocess
import threading

from annex_test import TIMEOUT
from machines import resident

MIB = 1 << 20
# What a supervisor may hold more than when it idles: the windows of the stalled sessions, and the allocator's slack.
SUPERVISOR_SLACK = 24 * MIB


def keystream(size):
    """A process that writes so many bytes that no two blocks of are alike."""
    command = f"openssl enc -aes-128-ctr -K 00 -iv 00 -in /dev/zero 2>/dev/null | head -c {size}"
    return subprocess.Popen(["sh", "-c", command], stdout=subprocess.PIPE)


def pump(source, *targets):
    """Copy a stream; the number of bytes and their digest."""
    sha256, size = hashlib.sha256(), 0
    while block := source.read(256 * 1024):
        sha256.update(block)
        size += len(block)
        for target in targets:
            target.write(block)
    for target in targets:
        target.close()
    return size, sha256.hexdigest()


def test_a_gibibyte_goes_through_and_comes_back_byte_by_byte(busybox):
    size, sent = 1 << 30, []
    source = keystream(size)
    client = busybox.popen("cat")
    feeder = threading.Thread(target=lambda: sent.append(pump(source.stdout, client.stdin)))
    feeder.start()
    received = pump(client.stdout)
    feeder.join()
    assert received == sent[0]
    assert received[0] == size
    assert client.wait(TIMEOUT) == 0
    assert client.stderr.read() == b""
    source.wait(TIMEOUT)
    for stream in (source.stdout, client.stdout, client.stderr):
        stream.close()


def test_readers_that_stall_stall_nobody_else(busybox):
    supervisor = busybox.inspect()["supervisorPid"]
    before = resident(supervisor)
    stalled = [busybox.popen("sh", "-c", "yes; true") for _ in range(4)]
    stalled += [busybox.popen("sh", "-c", "echo ready; sleep 1000") for _ in range(4)]
    for client in stalled:
        client.stdout.read(2)  # it runs
    feeders = [threading.Thread(target=fill, args=[client.stdin], daemon=True) for client in stalled[4:]]
    for feeder in feeders:
        feeder.start()
    data = bytes(range(256)) * 16384
    result = busybox.run("cat", input=data, text=False)
    assert result.stdout == data
    assert busybox.ok("head", "-c", "4194304", "/dev/zero", text=False) == bytes(4194304)
    assert resident(supervisor) - before < SUPERVISOR_SLACK
    for client in stalled:
        assert client.poll() is None
        client.kill()
        client.wait(TIMEOUT)
    for feeder in feeders:
        feeder.join(TIMEOUT)
    for client in stalled:
        client.stdout.close()
        client.stderr.close()
    assert busybox.ok("echo", "alive") == "alive\n"


def fill(stream):
    """Write until the reader goes."""
    try:
        while True:
            stream.write(bytes(65536))
    except OSError:
        pass


def test_a_reader_that_goes_on_gets_all(busybox):
    client = busybox.popen("seq", "500000")
    client.stdin.close()
    assert client.stdout.read(1) == b"1"
    busybox.ok("true")  # meanwhile it waits for us
    rest = client.stdout.read()
    assert b"1" + rest == b"".join(b"%d\n" % number for number in range(1, 500001))
    assert client.wait(TIMEOUT) == 0
    client.stdout.close()
    client.stderr.close()


def test_a_session_that_ends_before_its_input_drops_the_rest(busybox):
    result = busybox.run("head", "-c", "5", input=b"0123456789" * MIB, text=False)
    assert (result.returncode, result.stdout) == (0, b"01234")
