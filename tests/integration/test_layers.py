"""What is reused of layers: those that an interrupted import left complete, and those that another image's disk has."""

import hashlib
import json
import os
import signal
import subprocess
import time

import pytest

import annex_test
import oci

SMALL, LARGE, OTHER = "etc/small", "data/large", "etc/other"


@pytest.fixture
def place(host):
    """A folder for sources, which whoever the host is can read."""
    folder = host.folder / "sources"
    folder.mkdir()
    return folder


def small():
    return oci.Tar().file(SMALL, b"small" * 1000)


def large(megabytes=24):
    tar = oci.Tar()
    for number in range(megabytes):
        tar.file(f"{LARGE}{number}", os.urandom(1 << 19).hex())
    return tar


def make(folder, *tars):
    """An image of these layers; each as it is asked for later by its number."""
    layout = oci.Layout(folder)
    layout.layers = [layout.layer(tar) for tar in tars]
    layout.tag("latest", layout.image(layout.layers)).save()
    return layout


def blob(layout, number):
    return layout.path(layout.layers[number].descriptor)


def spoil(path):
    """Other bytes, as many."""
    path.write_bytes(b"x" * path.stat().st_size)


def kept(host, layout, number):
    """The indexes of a layer that are complete."""
    return list((host.data / "images" / "bases").glob(f"*.layers/{layout.layers[number].diff_id.split(':')[1]}"))


def left(host):
    """All in the folder of bases but locks."""
    return sorted(path.name for path in (host.data / "images" / "bases").iterdir() if path.suffix != ".lock")


def unfinished(host):
    row, = [row for row in json.loads(host.ok("df", "--format", "json")) if row["kind"] == "unfinished downloads"]
    return row


def disks(host):
    return sorted((host.data / "images" / "bases").glob("*.ext4"))


def check_disk(disk, path, data):
    subprocess.run(["e2fsck", "-fn", disk], check=True, stdout=subprocess.DEVNULL)
    read = subprocess.run(["debugfs", "-R", f"cat /{path}", disk], check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    assert read.stdout == data


def check_large(disk, tar):
    for info, data in tar._entries[:: 7]:
        check_disk(disk, info.name, data)


def interrupt(host, layout, number, name="image"):
    """Import it until its first layer is complete, and end that by a signal. When it was faster, all is undone, and it
    is tried again."""
    for _ in range(20):
        process = host.start("image", "import", f"oci:{layout.folder}", "--name", name, text=True)
        deadline = time.monotonic() + annex_test.TIMEOUT
        while not kept(host, layout, 0) and process.poll() is None:
            assert time.monotonic() < deadline, "the layer is never complete"
            time.sleep(0.002)
        process.send_signal(number)
        _, errors = process.communicate(timeout=annex_test.TIMEOUT)
        if process.returncode == -number and disks(host) == []:
            return
        assert process.returncode in (0, -number), errors
        host.ok("image", "prune", "--all", "--force")
        assert left(host) == []
    raise AssertionError("the import is always complete before it can be ended")


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_an_import_goes_on_where_it_was_interrupted(host, place, number):
    contents = large()
    layout = make(place / "image", small(), contents)
    interrupt(host, layout, number)
    assert unfinished(host)["count"] == 1 and unfinished(host)["reclaimable"] > 0
    spoil(blob(layout, 0))  # nobody needs it any more
    assert host.ok("image", "import", f"oci:{layout.folder}") == "image:latest\n"
    disk, = disks(host)
    check_disk(disk, SMALL, b"small" * 1000)
    check_large(disk, contents)
    assert unfinished(host)["count"] == 0
    assert left(host) == [disk.name, disk.stem + ".layers"]


def test_one_interruption_after_another(host, place):
    contents = large()
    layout = make(place / "image", small(), contents, oci.Tar().file(OTHER, b"other"))
    for number in (signal.SIGKILL, signal.SIGINT, signal.SIGKILL):
        interrupt(host, layout, number)
    host.ok("image", "import", f"oci:{layout.folder}")
    disk, = disks(host)
    check_disk(disk, SMALL, b"small" * 1000)
    check_disk(disk, OTHER, b"other")
    check_large(disk, contents)


def test_after_a_reboot_an_interrupted_import_begins_anew(host, place):
    layout = make(place / "image", small(), large())
    interrupt(host, layout, signal.SIGKILL)
    boot, = (host.data / "images" / "bases").glob("*.layers/boot")
    boot.write_text("11111111-2222-4333-8444-555555555555\n")
    good = blob(layout, 0).read_bytes()
    spoil(blob(layout, 0))
    assert host.annex("image", "import", f"oci:{layout.folder}").returncode == 1
    blob(layout, 0).write_bytes(good)
    host.ok("image", "import", f"oci:{layout.folder}")
    disk, = disks(host)
    check_disk(disk, SMALL, b"small" * 1000)


def test_prune_removes_what_an_interruption_left(host, place):
    layout = make(place / "image", small(), large())
    interrupt(host, layout, signal.SIGKILL)
    told = host.annex("image", "prune", "--force")
    assert told.returncode == 0 and f"unfinished download of oci:{layout.folder}" in told.stdout
    assert left(host) == [] and unfinished(host)["size"] == 0


def test_a_layer_that_another_image_has_is_not_read_again(host, place):
    contents = large(4)
    one = make(place / "one", small(), contents)
    two = make(place / "two", small(), contents, oci.Tar().file(OTHER, b"other").whiteout(SMALL))
    host.ok("image", "import", f"oci:{one.folder}")
    first, = disks(host)
    for number in (0, 1):
        spoil(blob(two, number))
    host.ok("image", "import", f"oci:{two.folder}")
    second, = set(disks(host)) - {first}
    check_disk(second, OTHER, b"other")
    check_disk(second, SMALL, b"")
    check_large(second, contents)
    host.ok("image", "delete", "one")
    assert disks(host) == [second]
    check_large(second, contents)
    host.ok("image", "delete", "two")
    assert left(host) == []


@pytest.mark.parametrize("damage", ["empty", "truncated", "changed"])
def test_a_damaged_index_costs_only_that_its_layer_is_read_again(host, place, damage):
    one = make(place / "one", small(), large(2))
    two = make(place / "two", small(), oci.Tar().file(OTHER, b"other"))
    host.ok("image", "import", f"oci:{one.folder}")
    first, = disks(host)
    index, = kept(host, one, 0)
    data = bytearray(index.read_bytes())
    data[len(data) // 2] ^= 1
    index.write_bytes({"empty": b"", "truncated": bytes(data[:-3]), "changed": bytes(data)}[damage])
    host.ok("image", "import", f"oci:{two.folder}")
    second, = set(disks(host)) - {first}
    check_disk(second, SMALL, b"small" * 1000)
    check_disk(second, OTHER, b"other")
    assert not index.exists()


def test_a_layer_that_is_wrong_says_nothing_about_those_that_are_copied(host, place):
    contents = large(8)
    one = make(place / "one", contents, small())
    two = make(place / "two", contents, oci.Tar().file(OTHER, b"other"))
    host.ok("image", "import", f"oci:{one.folder}")
    spoil(blob(two, 1))
    assert host.annex("image", "import", f"oci:{two.folder}").returncode == 1
    assert kept(host, one, 0)


def test_a_failure_keeps_the_layers_that_are_good(host, place):
    contents = large(2)
    layout = make(place / "image", small(), contents)
    good = blob(layout, 1).read_bytes()
    blob(layout, 1).write_bytes(good[:len(good) // 2].ljust(len(good), b"\0"))
    assert host.annex("image", "import", f"oci:{layout.folder}").returncode == 1
    blob(layout, 1).write_bytes(good)
    assert hashlib.sha256(good).hexdigest() == layout.layers[1].descriptor["digest"][7:]
    host.ok("image", "import", f"oci:{layout.folder}")
    disk, = disks(host)
    check_disk(disk, SMALL, b"small" * 1000)
    check_large(disk, contents)
    assert unfinished(host)["count"] == 0


def test_pruning_and_importing_at_once_lose_nothing(host, place):
    layouts = [make(place / name, small(), oci.Tar().file(OTHER, name)) for name in ("one", "two", "three")]
    running = []
    for _ in range(3):
        running += [(layout, host.start("image", "import", f"oci:{layout.folder}", text=True)) for layout in layouts]
        running.append((None, host.start("image", "prune", "--all", "--force", text=True)))
    for layout, process in running:
        output, errors = process.communicate(timeout=annex_test.TIMEOUT)
        assert process.returncode == 0, errors
        assert layout is None or output == layout.folder.name + ":latest\n"
    for layout in layouts:
        host.ok("image", "import", f"oci:{layout.folder}")
    assert len(disks(host)) == 3
    for disk in disks(host):
        check_disk(disk, SMALL, b"small" * 1000)
    host.ok("image", "prune", "--all", "--force")
    assert left(host) == []
