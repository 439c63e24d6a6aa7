"""Layers that are on a disk already: another image's (copied), or this one's from a build that was interrupted (kept).

Blobs that must not be read are given as /dev/null, whose digest is nobody's.
"""
import os
import stat
import subprocess
import threading

import pytest

from test_rootfs import BUILDER, CANCELLED, CORRUPT, Failed, Image, build, digest, entry, folder, hard, layer, link

assert build  # the fixture

DATA = os.urandom(3 << 20)
SPARSE = b"\0" * (1 << 20) + b"x" * 5000 + b"\0" * (1 << 20) + b"end"
LAYERS = [
    layer(folder("d", mode=0o1777), entry("d/a", DATA, mode=0o4755, uid=7), entry("d/b", b"b" * 10000), hard("d/c", "d/a"),
          link("l", "d/a" * 40), entry("sparse", SPARSE), entry("x", b"x", pax_headers={"SCHILY.xattr.user.k": "v"})),
    layer(entry("d/.wh.b"), folder("e"), entry("e/f", DATA[:70000]), hard("e/g", "d/c"), entry("d/a", b"new")),
    layer(folder("e"), entry("e/.wh..wh..opq"), entry("e/own", DATA[5:500000]), entry("l/implied", b"i")),
]


def arguments(build, layers, unread=()):
    made = []
    for number, data in enumerate(layers):
        path = build.path(".layer")
        path.write_bytes(data)
        made.append(f"{'/dev/null' if number in unread else path},{digest(data)},{digest(data)}")
    return made


def run(build, out, layers, unread=(), **environment):
    command = [BUILDER, out, *arguments(build, layers, unread)]
    made = subprocess.run(command, capture_output=True, text=True,
                          env={**os.environ, **{f"ROOTFS_BUILD_{key}": str(value) for key, value in environment.items()}})
    if made.returncode == 1:
        raise Failed(made.stderr)
    assert made.returncode == 0, made.stderr
    return Image(out)


@pytest.fixture
def donor(build):
    """An image of the first two layers, with their indexes."""
    indexes = build.path(".indexes")
    indexes.mkdir()
    return run(build, build.path(".ext4"), LAYERS[:2], INDEXES=indexes), indexes


def corrupt(function, *args, **options):
    with pytest.raises(Failed) as caught:
        function(*args, **options)
    assert caught.value.kind == CORRUPT, caught.value.message
    return caught.value.message


# --- from another image --------------------------------------------------------------------------------------------


def test_a_copied_layer_is_as_a_decoded_one(build, donor):
    image, indexes = donor
    copied = run(build, build.path(".ext4"), LAYERS, unread=(0, 1), DONOR=f"{image.path},{indexes}")
    assert copied.entries == build(*LAYERS).entries
    assert copied.content_is("d/c", DATA) and copied["d/c"]["links"] == 1  # e/g was hidden
    assert copied.content_is("sparse", SPARSE) and copied["sparse"]["sectors"] == 3 * 8


def test_a_copied_layer_can_be_copied_again(build, donor):
    image, indexes = donor
    again = build.path(".indexes")
    again.mkdir()
    second = run(build, build.path(".ext4"), LAYERS, unread=(0, 1), DONOR=f"{image.path},{indexes}", INDEXES=again)
    third = run(build, build.path(".ext4"), LAYERS, unread=(0, 1, 2), DONOR=f"{second.path},{again}")
    assert third.entries == second.entries == build(*LAYERS).entries


def test_what_a_later_layer_replaced_can_still_be_copied(build, donor):
    image, indexes = donor
    assert "d/b" not in image.names()
    lower = run(build, build.path(".ext4"), LAYERS[:1], unread=(0,), DONOR=f"{image.path},{indexes}")
    assert lower.entries == build(LAYERS[0]).entries
    assert lower.content_is("d/a", DATA) and lower.content_is("d/b", b"b" * 10000)


def test_a_damaged_index_of_a_donor_is_refused(build, donor):
    image, indexes = donor
    path = indexes / digest(LAYERS[0])
    whole = path.read_bytes()
    for bad in (b"", whole[:50], whole[:-1], whole[:-20], whole[:200] + bytes([whole[200] ^ 1]) + whole[201:], whole + b"x"):
        path.write_bytes(bad)
        message = corrupt(run, build, build.path(".ext4"), LAYERS, unread=(0, 1), DONOR=f"{image.path},{indexes}")
        assert "index is damaged" in message and "layer 1 of 3" in message
    path.write_bytes((indexes / digest(LAYERS[1])).read_bytes())
    assert "another layer" in corrupt(run, build, build.path(".ext4"), LAYERS, unread=(0, 1), DONOR=f"{image.path},{indexes}")


def test_a_donor_that_is_too_short_is_refused(build, donor):
    image, indexes = donor
    os.truncate(image.path, 2 << 20)
    assert "damaged" in corrupt(run, build, build.path(".ext4"), LAYERS, unread=(0, 1), DONOR=f"{image.path},{indexes}")


# --- from a build that was interrupted -----------------------------------------------------------------------------


def interrupted(build, layers):
    """A disk and indexes of all layers but the last, of which half has come when the build is cancelled."""
    indexes, out, pipe = build.path(".indexes"), build.path(".ext4"), build.path(".pipe")
    indexes.mkdir()
    os.mkfifo(pipe)
    end = []

    def feed():
        end.append(os.open(pipe, os.O_WRONLY))
        try:
            os.write(end[0], layers[-1][:len(layers[-1]) // 2])
        except BrokenPipeError:
            pass

    feeder = threading.Thread(target=feed)
    feeder.start()
    wrong = digest(b"of no use")
    command = [BUILDER, out, *arguments(build, layers[:-1]), f"{pipe},{wrong},{wrong}"]
    environment = {"ROOTFS_BUILD_INDEXES": str(indexes), "ROOTFS_BUILD_CANCEL_LAYERS": str(len(layers) - 1)}
    made = subprocess.run(command, capture_output=True, text=True, env={**os.environ, **environment})
    feeder.join()
    os.close(end[0])
    assert made.stderr.startswith(f"{CANCELLED}:"), made.stderr
    assert sorted(path.name for path in indexes.iterdir() if path.suffix != ".part") == \
        sorted(digest(data) for data in layers[:-1])
    return out, indexes


def test_an_interrupted_build_goes_on_with_the_layers_that_were_done(build):
    out, indexes = interrupted(build, LAYERS)
    image = run(build, out, LAYERS, unread=(0, 1), INDEXES=indexes, KEEP=1)
    assert image.entries == build(*LAYERS).entries


def test_what_an_interrupted_build_left_behind_is_gone(build):
    """Of a file system that was begun, or of layers that were not done: tables that are not written must be zeros."""
    rubbish = layer(entry("rubbish", b"\xff" * (20 << 20)))
    out, indexes = interrupted(build, [*LAYERS[:2], rubbish])
    with open(out, "r+b") as disk:
        disk.seek(0, 2)
        disk.write(b"\xff" * (80 << 20))
    image = run(build, out, LAYERS, unread=(0, 1), INDEXES=indexes, KEEP=1)
    assert image.entries == build(*LAYERS).entries
    assert image.path.stat().st_blocks * 512 < 16 << 20


@pytest.mark.parametrize("holes", [{}, {"NO_HOLES": 1}], ids=["holes", "zeros"])
def test_nothing_stays_between_kept_layers_on_any_file_system(build, holes):
    rubbish = layer(entry("rubbish", b"\xff" * (8 << 20)))
    out, indexes = interrupted(build, [LAYERS[0], rubbish, LAYERS[1], LAYERS[2]])
    image = run(build, out, LAYERS, unread=(0, 1), INDEXES=indexes, KEEP=1, **holes)
    assert image.entries == build(*LAYERS).entries
    assert b"\xff" * 4096 not in image.path.read_bytes()


def test_kept_and_copied_layers_go_together(build, donor):
    donor_image, donor_indexes = donor
    out, indexes = interrupted(build, [LAYERS[0], layer(entry("other")), LAYERS[2]])
    image = run(build, out, LAYERS, unread=(0, 1), INDEXES=indexes, KEEP=1, DONOR=f"{donor_image.path},{donor_indexes}")
    assert image.entries == build(*LAYERS).entries


def test_a_finished_image_can_be_built_again_from_its_own_indexes(build, donor):
    image, indexes = donor
    again = run(build, image.path, LAYERS[:2], unread=(0, 1), INDEXES=indexes, KEEP=1)
    assert again.entries == image.entries


def test_a_damaged_index_of_a_kept_layer_is_refused(build):
    out, indexes = interrupted(build, LAYERS)
    path = indexes / digest(LAYERS[0])
    whole = path.read_bytes()
    for at in range(100, len(whole), 37):
        path.write_bytes(whole[:at] + bytes([whole[at] ^ 0x80]) + whole[at + 1:])
        message = corrupt(run, build, out, LAYERS, unread=(0, 1), INDEXES=indexes, KEEP=1)
        assert "index is damaged" in message and "layer 1 of 3" in message
    path.write_bytes(whole)
    os.truncate(out, 1 << 20)  # the contents are not there
    assert "index is damaged" in corrupt(run, build, out, LAYERS, unread=(0, 1), INDEXES=indexes, KEEP=1)


def test_a_build_that_met_a_bad_layer_goes_on_with_the_others(build):
    indexes, out = build.path(".indexes"), build.path(".ext4")
    indexes.mkdir()
    bad = LAYERS[2][:100000]
    with pytest.raises(Failed) as caught:
        run(build, out, [*LAYERS[:2], bad], INDEXES=indexes)
    assert caught.value.kind == CORRUPT and "layer 3 of 3" in caught.value.message
    image = run(build, out, LAYERS, INDEXES=indexes, KEEP=1)
    assert image.entries == build(*LAYERS).entries


def test_many_layers_with_one_of_each_kind(build, donor):
    donor_image, donor_indexes = donor
    layers = [LAYERS[0], *(layer(entry(f"n{number}", os.urandom(1000 * number))) for number in range(20)), LAYERS[1]]
    image = run(build, build.path(".ext4"), layers, unread=(0, 21), DONOR=f"{donor_image.path},{donor_indexes}")
    assert image.entries == build(*layers).entries
    assert stat.S_ISREG(image["n19"]["mode"])
