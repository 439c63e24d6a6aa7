"""Pulls that are interrupted, killed, or run out of room, at any moment: nothing is lost, nothing stays but complete layers,
and the next try goes on where this one ended."""

import os
import pathlib
import random
import resource
import signal
import subprocess
import time

import pytest

import annex_test
import oci
from pulls import (SOON, TIMEOUT, bases, check_disks, check_failed, check_nothing_more, digests, drafts, images, layered, noise, pull,
                   pulled, store, wait_until)
from registries import fake


@pytest.fixture
def one():
    with fake.Registry() as made:
        yield made


@pytest.fixture
def layout(tmp_path):
    return layered(tmp_path / "image")


def stages(layout):
    """Parts of paths, each of which can be made to hang: every moment of a pull."""
    first, second, third = digests(layout)
    return {"manifest": "/manifests/", "config": oci.resolve(layout.folder)["config"]["digest"], "first": first, "second": second,
            "third": third}


def status(pid):
    """The fields of a process's status that are text; none when it is gone. Everybody may read them."""
    try:
        return dict(line.split(":\t", 1) for line in pathlib.Path(f"/proc/{pid}/status").read_text().splitlines() if ":\t" in line)
    except (FileNotFoundError, ProcessLookupError):
        return {}


def helpers(process):
    """The processes that a pull has started."""
    everybody = [int(folder.name) for folder in pathlib.Path("/proc").glob("[0-9]*")]
    return [pid for pid in everybody if status(pid).get("PPid") == str(process.pid)]


def end(process, number):
    """Ends a pull by a signal; its helpers must end with it. What it printed."""
    started = helpers(process)
    process.send_signal(number)
    said = process.communicate(timeout=TIMEOUT)
    assert process.returncode == -number, said
    wait_until(lambda: not any(status(pid).get("State", "Z")[0] != "Z" for pid in started), "its helpers are gone too")
    return said


def begin(host, one, layout, stage):
    """A pull that stands still at a stage; the others of its layers, if any, are complete."""
    part = stages(layout)[stage]
    one.reset()
    one.on(part, stall=1000 if stage in ("first", "second", "third") else 10)
    name = one.serve("team/app", layout.folder)
    process = host.start("image", "pull", "--progress", "none", name, text=True)
    wait_until(lambda: one.count("GET", part), f"it asks for {part}", process)
    if stage in ("first", "second", "third"):
        wait_until(lambda: len(drafts(host)) >= 2, "the other layers are complete", process)
        assert len(helpers(process)) == 1
    return name, process


def finish(host, one, layout, stage):
    """The next try, which asks only for what was not complete."""
    one.reset()
    pulled(host, f"{one.host}/team/app")
    asked = {request.path.rsplit("/", 1)[1] for request in one.asked("GET", "/blobs/")} - {stages(layout)["config"]}
    if stage in ("first", "second", "third"):
        assert asked == {stages(layout)[stage]}
    assert drafts(host) == [] or len(bases(host)) == 1
    check_disks(host)


def leave(host):
    """The store without what the image needs: a finished image is no leftover."""
    host.ok("image", "delete", *[name for image in images(host) for name in image["names"]])
    assert store(host) == {}


@pytest.mark.parametrize("stage", ["manifest", "config", "first", "second", "third"])
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_keeps_complete_layers_only(host, one, layout, stage, number):
    before = store(host)
    name, process = begin(host, one, layout, stage)
    output, errors = end(process, number)
    assert output == "" and len(errors.splitlines()) <= 2, errors
    assert images(host) == []
    finish(host, one, layout, stage)
    leave(host)
    if number == signal.SIGINT:
        _, process = begin(host, one, layout, stage)
        end(process, number)
        check_nothing_more(host, before)


@pytest.mark.parametrize("stage", ["manifest", "config", "first", "second", "third"])
def test_a_kill_loses_nothing_again_and_again(host, one, layout, stage):
    before = store(host)
    for _ in range(2):
        name, process = begin(host, one, layout, stage)
        end(process, signal.SIGKILL)
        assert images(host) == []
    finish(host, one, layout, stage)
    leave(host)
    name, process = begin(host, one, layout, stage)
    end(process, signal.SIGKILL)
    check_nothing_more(host, before)


def test_ctrl_c_on_a_terminal_ends_it_at_once(user_host, one, layout):
    one.on(digests(layout)[2], stall=1000)
    name = one.serve("team/app", layout.folder)
    shown = user_host.terminal(annex_test.ANNEX, "image", "pull", name)
    wait_until(lambda: len(drafts(user_host)) == 2, "two layers are complete")
    shown.sendintr()
    shown.wait()
    assert shown.signalstatus == signal.SIGINT
    finish(user_host, one, layout, "third")


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT])
def test_it_gets_there_however_often_it_is_ended_at_whatever_moment(user_host, one, tmp_path, number):
    sizes = [60_000 + 10_000 * count for count in range(8)]
    layout = layered(tmp_path / "image", sizes)
    one.on("/blobs/", pace=(10_000, 0.004))
    name = one.serve("team/app", layout.folder)
    chance = random.Random(7)
    ended = 0
    for attempt in range(60):
        process = user_host.start("image", "pull", name, text=True)
        try:
            process.wait(chance.uniform(0.005, 0.02 + 0.02 * attempt))
        except subprocess.TimeoutExpired:
            process.send_signal(number)
            ended += 1
        output, errors = process.communicate(timeout=TIMEOUT)
        assert process.returncode in (0, -number), errors
        if process.returncode == 0:
            break
    assert ended > 2 and len(images(user_host)) == 1
    check_disks(user_host)
    for number, size in enumerate(sizes):
        assert content(bases(user_host)[0], f"data/latest-{number}") == noise(size, f"latest-{number}")
    leave(user_host)


def content(disk, path):
    return subprocess.run(["/usr/sbin/debugfs", "-R", f"cat {path}", disk], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
                          check=True).stdout


def test_the_death_of_the_unpacking_process_is_said(user_host, one, layout):
    before = store(user_host)
    name, process = begin(user_host, one, layout, "third")
    unpacker, = helpers(process)
    os.kill(unpacker, signal.SIGKILL)
    output, errors = process.communicate(timeout=TIMEOUT)
    lines = errors.splitlines()
    assert (process.returncode, output) == (1, "") and "signal" in lines[0] and len(lines) <= 2, errors
    finish(user_host, one, layout, "third")
    leave(user_host)
    assert store(user_host) == before


@pytest.mark.parametrize("number", [signal.SIGSEGV, signal.SIGSYS])
def test_nothing_of_an_unpacking_process_that_crashed_is_kept(user_host, one, layout, number):
    before = store(user_host)
    _, process = begin(user_host, one, layout, "third")
    wait_until(lambda: len(drafts(user_host)) == 2, "two layers are complete")
    unpacker, = helpers(process)
    os.kill(unpacker, number)
    _, errors = process.communicate(timeout=TIMEOUT)
    assert process.returncode == 1 and "annex-unpack" in errors, errors
    assert store(user_host) == before


def test_layers_from_before_a_reboot_are_not_trusted(user_host, one, layout):
    _, process = begin(user_host, one, layout, "third")
    end(process, signal.SIGKILL)
    boot, = (user_host.data / "images" / "bases").glob("*.layers/boot")
    boot.chmod(0o600)
    boot.write_text("00000000-0000-0000-0000-000000000000\n")
    one.reset()
    pulled(user_host, f"{one.host}/team/app")
    assert {digest for digest in digests(layout) if one.count("GET", digest)} == set(digests(layout))
    check_disks(user_host)


@pytest.mark.parametrize("damage", [lambda data: data[:len(data) // 2], lambda data: b"", lambda data: b"\xff" * len(data)],
                         ids=["half", "empty", "other"])
def test_a_damaged_unfinished_layer_is_made_again(user_host, one, layout, damage):
    _, process = begin(user_host, one, layout, "third")
    end(process, signal.SIGKILL)
    for name in drafts(user_host):
        path = user_host.data / "images" / name
        path.chmod(0o600)
        path.write_bytes(damage(path.read_bytes()))
    one.reset()
    pulled(user_host, f"{one.host}/team/app")
    for number, size in enumerate((20_000, 300_000, 900_000)):
        assert content(bases(user_host)[0], f"data/latest-{number}") == noise(size, f"latest-{number}")
    check_disks(user_host)


def test_prune_leaves_a_download_that_goes_on_alone(user_host, one, layout):
    name, process = begin(user_host, one, layout, "third")
    kept = drafts(user_host)
    user_host.ok("image", "prune", "--all", "--force")
    assert drafts(user_host) == kept
    process.terminate()
    process.communicate(timeout=TIMEOUT)
    finish(user_host, one, layout, "third")


def test_another_image_s_failure_leaves_the_tag_where_it_was(user_host, one, layout, tmp_path):
    name = one.serve("team/app", layout.folder)
    first = pulled(user_host, name)
    other = layered(tmp_path / "other", [50_000, 60_000], tag="latest")
    other.folder.joinpath("extra").write_text("")
    one.serve("team/app", other.folder)
    one.on(digests(other)[1], body=lambda data: data[:-1] + b"!")
    result = pull(user_host, name, env=SOON)
    assert result.returncode == 1
    image, = images(user_host)
    assert (image["id"], image["names"]) == (first["id"], [f"{name}:latest"])


class SmallDisk:
    """The host's data on a file system of its own, of this size."""

    def __init__(self, host, size):
        self.host = host
        host.data.mkdir()
        self.options = f"size={size},uid={host.account.uid},gid={host.account.gid},mode=700"
        done = subprocess.run(["mount", "-t", "tmpfs", "-o", self.options, "annex-test", host.data], stderr=subprocess.PIPE,
                              text=True)
        if done.returncode != 0:
            pytest.skip(f"a small file system can't be mounted here: {done.stderr.strip()}")

    def resize(self, size):
        subprocess.run(["mount", "-o", f"remount,size={size}", self.host.data], check=True)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        subprocess.run(["umount", self.host.data], check=True)


@pytest.mark.skipif(os.geteuid() != 0, reason="a small file system can be mounted by root only")
def test_a_full_disk_is_said_at_any_point_and_leaves_room(host, one, layout):
    name = one.serve("team/app", layout.folder)
    failed = []
    with SmallDisk(host, "16k") as disk:
        for size in (16, 40, 64, 100, 200, 400, 700, 1000, 1300, 1500, 1600, 1700, 1800, 2000, 2500, 3000, 4000, 8000, 16000):
            disk.resize(f"{size}k")
            result = pull(host, name)
            if result.returncode == 0:
                break
            failed.append(size)
            lines = result.stderr.splitlines()
            assert (result.returncode, result.stdout, len(lines)) == (1, "", 2), (size, result.stderr)
            assert lines[0].startswith("annex: ") and lines[0].endswith("No space left on device"), (size, lines)
            assert "annex image prune" in lines[1], lines
            assert bases(host) == [] and images(host) == []
        assert len(failed) > 5 and len(images(host)) == 1
        check_disks(host)
        leave(host)


def test_a_limit_on_files_is_said_and_nothing_stays(user_host, one, layout):
    name = one.serve("team/app", layout.folder)
    before = store(user_host)

    def limit():
        resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, 200_000))

    result = pull(user_host, name, preexec_fn=limit)
    assert (result.returncode, result.stdout) == (1, ""), (result.returncode, result.stderr)
    assert "File too large" in result.stderr and len(result.stderr.splitlines()) <= 2, result.stderr
    check_nothing_more(user_host, before)
    pulled(user_host, name)


def test_too_few_descriptors_for_all_layers_are_said(user_host, one, tmp_path):
    many = layered(tmp_path / "many", [100] * 30)
    name = one.serve("team/many", many.folder)
    before = store(user_host)
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    result = pull(user_host, name, preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (60, most)))
    check_failed(result, 1, "Too many open files", "ulimit -n 376")
    check_nothing_more(user_host, before)
    pulled(user_host, name)


def test_a_stalled_registry_is_left_and_the_next_try_goes_on(user_host, one, layout):
    one.on(digests(layout)[2], stall=1000)
    name = one.serve("team/app", layout.folder)
    began = time.monotonic()
    result = pull(user_host, name, env=SOON)
    assert result.returncode == 1 and time.monotonic() - began < TIMEOUT, result.stderr
    finish(user_host, one, layout, "third")
