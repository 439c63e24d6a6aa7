"""Layers at the limits of what they may say, and beyond."""
import gzip
import os
import pathlib
import re
import subprocess
import tarfile
import time

import pytest

from test_rootfs import CORRUPT, UNSUPPORTED, Failed, build, digest, entry, folder, hard, layer, link, pack, refused

assert build  # the fixture
END = b"\0" * 1024


def record(kind, name, data, **fields):
    info, _ = entry(name, data, type=kind, **fields)
    return info.tobuf(tarfile.USTAR_FORMAT) + data + b"\0" * (-len(data) % 512)


def pax(**headers):
    """Records of a PAX header; "__" in a name is a dot."""
    out = b""
    for name, value in headers.items():
        body = b" " + name.replace("__", ".").encode() + b"=" + value + b"\n"
        size = len(body) + 1
        while len(body) + len(str(size)) != size:
            size = len(body) + len(str(size))
        out += str(size).encode() + body
    return out


def sparse(segments, size, mapping=None):
    """A sparse file in GNU's format 1.0."""
    mapping = mapping or "".join(f"{number}\n" for number in (len(segments), *(n for at, data in segments for n in (at, len(data)))))
    body = mapping.encode() + b"\0" * (-len(mapping) % 512) + b"".join(data for _, data in segments)
    header = pax(GNU__sparse__major=b"1", GNU__sparse__minor=b"0", GNU__sparse__name=b"sparse", GNU__sparse__realsize=b"%d" % size)
    return record(b"x", "pax", header) + record(b"0", "GNUSparseFile.0/sparse", body) + END


# --- what must come out right --------------------------------------------------------------------------------------


def test_times_before_1970_keep_their_fractions(build):
    times = {"-1.5": -1500000000, "-2.25": -2250000000, "-86400.000000001": -86400000000001, "-3": -3000000000,
             "-2147483647.75": -2147483647750000000, "1.5": 1500000000, "0.000000001": 1, "1700000000.123456789": 1700000000123456789}
    image = build(layer(*(entry(f"t{text}", pax_headers={"mtime": text}) for text in times)))
    assert {name[1:]: image[name]["mtime"] for name in image.names()} == times


def test_times_that_ext4_has_not_become_the_nearest(build):
    image = build(layer(entry("early", pax_headers={"mtime": "-3000000000.75"}), entry("late", pax_headers={"mtime": "8000000000"})))
    assert image["early"]["mtime"] == -2**31 * 10**9 and image["late"]["mtime"] == 8000000000 * 10**9


def test_the_last_of_several_entries_for_a_name_counts(build):
    image = build(layer(entry("f", b"first", uid=1), entry("f", b"second, longer", uid=2), folder("d"), entry("d/x"), entry("d", b"file"),
                        link("l", "f"), folder("l"), entry("l/y"), entry("./f", b"third")))
    assert image.names() == ["d", "f", "l", "l/y"]
    assert image.content_is("f", b"third") and image["f"]["uid"] == 0 and image.content_is("d", b"file")


def test_a_hard_link_keeps_what_its_target_was_then(build):
    image = build(layer(entry("a", b"one"), hard("b", "a"), entry("a", b"two"), hard("c", "a")), layer(entry("a", b"three"), hard("d", "c")))
    assert image.content_is("a", b"three") and image.content_is("b", b"one")
    assert image.content_is("c", b"two") and image["c"]["number"] == image["d"]["number"] and image["c"]["links"] == 2


def test_owners_up_to_the_largest_are_kept(build):
    image = build(layer(entry("f", uid=4294967294, gid=2**31, pax_headers={"uid": "4294967294", "gid": "2147483648"})))
    assert image["f"]["uid"] == 4294967294 and image["f"]["gid"] == 2**31
    refused(build, layer(entry("f", pax_headers={"uid": "4294967295"})))
    refused(build, layer(entry("f", pax_headers={"gid": "99999999999"})))


def test_a_sparse_file_of_several_gib(build):
    size = (6 << 30) + 12345
    segments = [(0, b"start" * 1000), ((4 << 30) + 4096 * 3, b"m" * 4096), ((5 << 30) + 100, b"odd"), (size - 7, b"the end")]
    image = build(sparse(segments, size))
    listed = subprocess.run(["debugfs", "-R", "stat /sparse", image.path], capture_output=True, text=True, check=True).stdout
    assert f"Size: {size}" in listed
    raw = image.path.open("rb")
    for at, data in segments:
        command = ["debugfs", "-R", f"bmap /sparse {at // 4096}", image.path]
        block = int(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
        raw.seek(block * 4096 + at % 4096)
        assert raw.read(min(len(data), 4096 - at % 4096)) == data[:4096 - at % 4096]
    assert image.path.stat().st_blocks * 512 < 8 << 20


def test_a_file_in_many_pieces(build, tmp_path):
    """More extents than one block of their tree can name."""
    path = tmp_path / "tree" / "comb"
    path.parent.mkdir()
    with path.open("wb") as file:
        for block in range(30000):
            file.seek(block * 8192)
            file.write(b"tooth")
    image = build(pack(path.parent, "--format=posix"))
    assert image.content_is("comb", path.read_bytes())


def test_names_and_targets_up_to_the_longest(build):
    deep = "/".join(["n" * 255] * 15) + "/" + "m" * 250
    assert len(deep) == 4090
    image = build(layer(entry(deep, b"x"), link("l", "t" * 4095)))
    assert image.content_is(deep, b"x") and image["l"]["size"] == 4095
    refused(build, layer(entry(deep + "/" + "o" * 10)))
    refused(build, layer(link("l", "t" * 4096)))


def test_data_behind_what_has_none_is_skipped(build):
    """Whiteouts, links and left-overs of other tools, with contents."""
    data = os.urandom(9 << 20)
    plain = layer(entry("f", b"x"), entry(".wh.gone", data), entry(".wh..wh.plnk/x", data), entry("g", b"y"))
    assert build(plain).names() == ["f", "g"]


# --- what is too much ----------------------------------------------------------------------------------------------


def test_a_decompression_bomb_is_refused_before_the_disk_fills(build):
    size = 6 << 30
    header = record(b"x", "pax", pax(size=b"%d" % size)) + record(b"0", "zeros", b"")
    zeros = gzip.compress(b"\0" * (64 << 20))
    with pytest.raises(Failed) as caught:
        build((gzip.compress(header) + zeros * (size >> 26), b"whatever"))
    assert caught.value.kind == CORRUPT and "decompression bomb" in caught.value.message


def test_much_that_compresses_well_is_no_bomb_yet(build):
    plain = layer(entry("zeros", b"\0" * (200 << 20)))
    assert build((gzip.compress(plain), plain))["zeros"]["sectors"] == 0


def test_headers_that_are_too_large_are_refused(build):
    file = record(b"0", "f", b"")
    for data in (record(b"x", "pax", pax(comment=b"c" * (2 << 20))) + file, record(b"x", "pax", pax(comment=b"c" * (200 << 10))) + file,
                 record(b"L", "././@LongLink", b"n" * (2 << 20)) + file, record(b"K", "././@LongLink", b"n" * (200 << 10)) + file,
                 record(b"x", "pax", pax(comment=b"c")) * 1000 + file, record(b"g", "pax", pax(comment=b"c")) * 1000 + file):
        message = refused(build, data + END)
        assert len(message) < 600
    build(record(b"x", "pax", pax(comment=b"c" * (60 << 10))) + file + END)
    build((record(b"g", "pax", pax(comment=b"c")) + file) * 1000 + END)


def test_a_large_access_list_costs_little(build):
    acl = b",".join(b"user:%d:rwx" % number for number in range(5000))
    start = time.monotonic()
    assert "access list" in refused(build, record(b"x", "pax", pax(SCHILY__acl__access=acl)) + record(b"0", "f", b"") + END,
                                   kind=UNSUPPORTED)
    assert time.monotonic() - start < 60


def test_maps_of_sparse_files_that_lie_are_refused(build):
    good = [(0, b"a" * 512), (4096, b"b" * 512)]
    build(sparse(good, 8192))
    for mapping in ("2\n4096\n512\n0\n512\n", "2\n0\n512\n256\n512\n", "1\n-5\n512\n", "x\n", "99999999999999999999\n0\n1\n",
                    "3000000\n" + "0\n0\n" * 3000000, f"1\n{1 << 50}\n512\n"):
        refused(build, sparse(good, 8192, mapping))
    refused(build, sparse([(1 << 43, b"x")], (1 << 43) + 1))


def test_sizes_that_lie_are_refused(build):
    for size in ("-1", "99999999999999999999", str(1 << 43), str(1 << 62)):
        refused(build, record(b"x", "pax", pax(size=size.encode())) + record(b"0", "f", b"x") + END)


def test_devices_that_linux_has_not_are_refused(build):
    refused(build, layer(entry("f", type=tarfile.CHRTYPE, pax_headers={"SCHILY.devmajor": "4096", "SCHILY.devminor": "0"})))
    refused(build, layer(entry("f", type=tarfile.BLKTYPE, pax_headers={"SCHILY.devmajor": "1", "SCHILY.devminor": str(1 << 20)})))


def test_folders_within_folders_end_somewhere(build):
    names, at = [], ""
    for _ in range(30):
        at += "d/" * 100
        names.append(folder(at))
    message = refused(build, layer(*names))
    assert re.search("more than 2048 folders|longer than 4095", message)
    # Links make a path longer than it is written.
    steps = [folder("a/" * 1000), link("one", "a/" * 1000), folder("one/" + "b/" * 1000), link("two", "one/" + "b/" * 1000),
             folder("two/" + "c/" * 1000)]
    assert "more than 2048 folders" in refused(build, layer(*steps))


def test_links_that_multiply_are_refused(build):
    doubling = [link("l0", "x")] + [link(f"l{number + 1}", f"l{number}/../l{number}") for number in range(60)] + [entry("l60/f")]
    assert "circle" in refused(build, layer(*doubling))


def test_a_layer_fails_before_those_above_it_are_read(build, tmp_path):
    """Nothing hangs on a pipe that nobody writes to."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    holder = os.open(pipe, os.O_RDWR)
    path = build.path(".layer")
    path.write_bytes(b"no archive" * 1000)
    command = build.command([])
    wrong = digest(b"")
    with pytest.raises(Failed, match="layer 1 of 2"):
        build.run([*command, f"{path},,", f"{pipe},{wrong},{wrong}"], timeout=60)
    os.close(holder)


def test_memory_stays_small_however_large_the_layer(build, tmp_path):
    path = tmp_path / "large"
    with path.open("wb") as file:
        for _ in range(300):
            file.write(os.urandom(1 << 20))
    plain = tmp_path / "large.tar"
    with tarfile.open(plain, "w") as archive:
        archive.add(path, "large")
    path.unlink()
    command = ["/usr/bin/time", "-f", "%M", *build.command([plain])]
    if not pathlib.Path(command[0]).exists():
        pytest.skip("GNU time is not installed")
    made = subprocess.run(command, capture_output=True, text=True, check=True)
    assert int(made.stderr) < 64 << 10
