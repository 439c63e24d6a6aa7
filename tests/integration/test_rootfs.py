"""The base image that is built from layers, against what GNU tar makes of them and against the rules for whiteouts.

tests/rootfs-build builds; tests/rootfs-list reads the result with libext2fs, so no loop device is needed. Where the
suite runs as root, every entry is compared with what GNU tar extracts, and the image is mounted if that is possible.
"""
import gzip
import hashlib
import io
import json
import os
import pathlib
import re
import shutil
import stat
import struct
import subprocess
import tarfile
import tempfile
import time

import pytest

import annex_test

BUILDER = annex_test.for_everybody(annex_test.BUILD / "tests" / "rootfs-build")
LISTER = annex_test.BUILD / "tests" / "rootfs-list"
ROOT = os.geteuid() == 0
os.environ["PATH"] += ":/usr/sbin:/sbin"  # e2fsck and debugfs, also for an ordinary user
as_root = pytest.mark.skipif(not ROOT, reason="extracting owners, devices and attributes takes root")
CORRUPT, UNSUPPORTED, CANCELLED = 8, 9, 11
TAR = ["tar", "--xattrs", "--xattrs-include=*", "--acls", "--numeric-owner"]


def digest(data):
    return "sha256:" + hashlib.sha256(data).hexdigest()


def with_kernel_ids(acl):
    """The kernel gives entries without an id the id -1, libext2fs gives them 0; ext4 stores none."""
    raw = bytes.fromhex(acl)
    for at in range(4, len(raw), 8):
        if raw[at] not in (2, 8):
            raw = raw[:at + 4] + b"\xff" * 4 + raw[at + 8:]
    return raw.hex()


class Image:
    """A built image: its entries by path, as rootfs-list gives them."""

    def __init__(self, path):
        self.path = path
        check = subprocess.run(["e2fsck", "-fn", path], capture_output=True, text=True)
        assert check.returncode == 0, check.stdout + check.stderr
        listed = subprocess.run([LISTER, path], capture_output=True, check=True, text=True)
        self.entries = {}
        for line in listed.stdout.splitlines():
            entry = json.loads(line)
            assert entry["same_times"]
            for name in entry["attributes"]:
                if name.startswith("system.posix_acl_"):
                    entry["attributes"][name] = with_kernel_ids(entry["attributes"][name])
            self.entries[bytes.fromhex(entry["path"])] = entry
        lost = self.entries.pop(b"lost+found")
        assert stat.S_ISDIR(lost["mode"])

    def __getitem__(self, path):
        return self.entries[path.encode() if isinstance(path, str) else path]

    def names(self):
        return sorted(path.decode() for path in self.entries if path)

    def content_is(self, path, data):
        return self[path]["digest"] == digest(data) and self[path]["size"] == len(data)


class Failed(Exception):
    def __init__(self, output):
        super().__init__(output)
        self.kind, self.message = re.fullmatch(r"(\d+): (.*)\n", output, re.DOTALL).groups()
        self.kind = int(self.kind)
        assert "\n" not in self.message


class Builder:
    def __init__(self, folder):
        self.folder = folder
        self.count = 0

    def path(self, suffix):
        self.count += 1
        return self.folder / f"{self.count}{suffix}"

    def command(self, layers):
        """Layers are bytes of a plain tar, (bytes, plain bytes) of a compressed one, or paths of plain ones."""
        arguments = []
        for layer in layers:
            if isinstance(layer, pathlib.Path):
                arguments.append(f"{layer},,")
                continue
            stored, plain = layer if isinstance(layer, tuple) else (layer, layer)
            path = self.path(".layer")
            path.write_bytes(stored)
            arguments.append(f"{path},,{digest(plain)}")
        return [BUILDER, self.path(".ext4"), *arguments]

    def run(self, command, **options):
        made = subprocess.run(command, capture_output=True, text=True, **options)
        if made.returncode == 1:
            assert not command[1].exists(), "a failed build leaves nothing"
            raise Failed(made.stderr)
        assert made.returncode == 0, made.stderr
        assert int(made.stdout) == command[1].stat().st_size
        return Image(command[1])

    def __call__(self, *layers, **options):
        return self.run(self.command(layers), **options)


@pytest.fixture
def build(tmp_path):
    yield Builder(tmp_path)
    shutil.rmtree(tmp_path)


def entry(name, content=b"", **fields):
    info = tarfile.TarInfo(name)
    info.size = len(content)
    info.mode = 0o644
    info.mtime = 1700000000
    for key, value in fields.items():
        setattr(info, key, value)
    return info, content


def folder(name, mode=0o755, **fields):
    return entry(name, type=tarfile.DIRTYPE, mode=mode, **fields)


def link(name, target, **fields):
    return entry(name, type=tarfile.SYMTYPE, linkname=target, **fields)


def hard(name, target):
    return entry(name, type=tarfile.LNKTYPE, linkname=target)


def layer(*entries, format=tarfile.PAX_FORMAT):
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=format, encoding="utf-8", errors="surrogateescape") as archive:
        for info, content in entries:
            archive.addfile(info, io.BytesIO(content))
    return out.getvalue()


def refused(build, *layers, kind=CORRUPT):
    with pytest.raises(Failed) as caught:
        build(*layers)
    assert caught.value.kind == kind, caught.value.message
    return caught.value.message


# --- against GNU tar -----------------------------------------------------------------------------------------------


def describe(path):
    """What lstat() and friends say, in the terms of rootfs-list."""
    st = os.lstat(path)
    found = {"mode": st.st_mode, "uid": st.st_uid, "gid": st.st_gid, "mtime": st.st_mtime_ns}
    found["attributes"] = {name: os.getxattr(path, name, follow_symlinks=False).hex()
                           for name in os.listxattr(path, follow_symlinks=False)}
    if stat.S_ISREG(st.st_mode):
        found.update(size=st.st_size, links=st.st_nlink, digest=digest(pathlib.Path(os.fsdecode(path)).read_bytes()))
    elif stat.S_ISLNK(st.st_mode):
        found.update(size=st.st_size, links=st.st_nlink, target=os.readlink(path).hex())
    elif stat.S_ISDIR(st.st_mode):
        found.update(links=2 + sum(item.is_dir(follow_symlinks=False) for item in os.scandir(path)))
    else:
        found.update(links=st.st_nlink)
        if not stat.S_ISFIFO(st.st_mode):
            found.update(device=[os.major(st.st_rdev), os.minor(st.st_rdev)])
    return st.st_ino, found


def compare_trees(image, tree, ignore_mtime=()):
    tree = os.fsencode(tree)
    seen, groups = set(), {}
    for top, folders, files in os.walk(tree):
        for name in [b""] * (top == tree) + folders + files:
            path = os.path.join(top, name) if name else top
            relative = os.path.relpath(path, tree) if name else b""
            number, expected = describe(path)
            got = image[relative]
            if relative == b"":
                expected["links"] += 1  # lost+found
            if relative in ignore_mtime:
                expected["mtime"] = got["mtime"]
            assert {key: got[key] for key in expected} == expected, relative
            groups.setdefault(number, set()).add(got["number"])
            seen.add(relative)
    assert seen == set(image.entries)
    assert all(len(numbers) == 1 for numbers in groups.values()), "the same hard links"
    assert len({min(numbers) for numbers in groups.values()}) == len(groups)


def extract(tree, *layers):
    tree.mkdir()
    for data in layers:
        subprocess.run([*TAR, "-xp", "--same-owner", "-C", tree], input=data, check=True)


def pack(tree, *options):
    return subprocess.run([*TAR, "--sparse", *options, "-cC", tree, "."], capture_output=True, check=True).stdout


def make_zoo(tree):
    """One of everything that a file system can hold."""
    tree.mkdir()
    for name, mode in {"plain": 0o644, "setuid": 0o4755, "setgid": 0o2755, "none": 0, "all": 0o7777}.items():
        (tree / name).write_text(name * 1000)
        os.chown(tree / name, 1000, 4000000000)
        os.chmod(tree / name, mode)
    (tree / "sticky").mkdir()
    os.chmod(tree / "sticky", 0o1777)
    (tree / "empty").touch()
    for size in (1, 59, 60, 61, 4094, 4095):
        os.symlink("t" * size, tree / f"link{size}")
    os.chown(tree / "link1", 77, 88, follow_symlinks=False)
    os.link(tree / "plain", tree / "sticky" / "same")
    os.link(tree / "plain", tree / "zz-same")
    os.link(tree / "link60", tree / "link60-same", follow_symlinks=False)
    os.mkfifo(tree / "fifo")
    os.mknod(tree / "null", stat.S_IFCHR | 0o666, os.makedev(1, 3))
    os.mknod(tree / "sda", stat.S_IFBLK | 0o660, os.makedev(8, 0))
    os.mknod(tree / "big", stat.S_IFBLK | 0o660, os.makedev(4095, 1048575))
    os.mknod(tree / "high-minor", stat.S_IFCHR | 0o660, os.makedev(1, 256))
    for number, when in enumerate((0, 1, -1, -2**31, 2**31 - 1, 2**31, 2**32 - 1, 2**32, 2**33 + 5, 1700000000)):
        path = tree / f"time{number}"
        path.write_text(str(when))
        os.utime(path, ns=(when * 10**9 + 123456789 * (when > 0),) * 2)
    make_odd_names(tree)
    make_attributes(tree)
    make_sparse(tree)


def make_odd_names(tree):
    names = [b"space name", b"new\nline", b"quote\"'\\", "\u00e9t\u00e9".encode(), "e\u0301te\u0301".encode(), b"\xff\xfe\x80",
             b"n" * 255, b"\xc3\xa9" * 127, b"-dash", b"..dots", b"...", b".hidden"]
    for name in names:
        with open(os.path.join(os.fsencode(tree), name), "wb") as file:
            file.write(name)
    deep = tree
    for depth in range(20):
        deep = deep / f"folder-with-a-name-that-makes-the-path-long-{depth:03}"
        deep.mkdir()
    (deep / "end").write_text("deep")
    os.symlink(os.fsencode("\u00e9") + b"\xff", os.path.join(os.fsencode(tree), b"link-\xff"))
    os.link(os.path.join(os.fsencode(tree), b"\xff\xfe\x80"), os.path.join(os.fsencode(tree), b"hard-\xfe"))


def make_attributes(tree):
    (tree / "attributes").mkdir()
    os.setxattr(tree / "attributes", "user.folder", b"yes")
    for name, size in {"few": 3, "inode": 40, "block": 900, "large": 3000}.items():
        path = tree / "attributes" / name
        path.write_text(name)
        os.setxattr(path, f"user.{name}", bytes(range(256)) * (size // 256) + b"\0" * (size % 256))
        os.setxattr(path, "trusted.overlay.x", b"\0\n=1")
        os.setxattr(path, "user.empty", b"")
    ping = tree / "attributes" / "ping"
    ping.write_text("ping")
    os.setxattr(ping, "security.capability", struct.pack("<5I", 0x02000001, 1 << 13, 0, 0, 0))
    acl = tree / "attributes" / "acl"
    acl.mkdir()
    subprocess.run(["setfacl", "-m", "u:1234:rwx,g:4321:r-x,m::r-x", "-dm", "u:0:r,g:7:-,o::r", acl], check=True)
    (acl / "file").write_text("inherits")
    subprocess.run(["setfacl", "-m", "u:7:---,g::rw", acl / "file"], check=True)


def make_sparse(tree):
    with open(tree / "sparse", "wb") as file:
        file.seek(5 << 20)
        file.write(b"middle")
        file.seek(1 << 26)
        file.write(b"late")
        file.truncate((1 << 26) + 12345)
    with open(tree / "hole", "wb") as file:
        file.truncate(23456789)
    with open(tree / "comb", "wb") as file:
        for block in range(2000):
            file.seek(block * 8192)
            file.write(b"tooth")
    (tree / "zeros").write_bytes(b"\0" * 100000 + b"x" + b"\0" * 100000)
    for size in (1, 511, 512, 513, 4095, 4096, 4097, 70000, 1 << 20):
        (tree / f"size{size}").write_bytes(os.urandom(size))


@as_root
@pytest.mark.parametrize("options", [["--format=posix"], ["--format=posix", "--sparse-version=0.0"],
                                     ["--format=posix", "--sparse-version=0.1"], ["--format=gnu", "--no-xattrs", "--no-acls"]],
                         ids=["posix", "sparse-0.0", "sparse-0.1", "gnu"])
def test_everything_is_as_gnu_tar_extracts_it(build, tmp_path, options):
    make_zoo(tmp_path / "zoo")
    data = pack(tmp_path / "zoo", *options)
    extract(tmp_path / "tree", data)
    image = build(data)
    compare_trees(image, tmp_path / "tree")
    assert image["sparse"]["sectors"] == image["zeros"]["sectors"] * 2 == 16
    assert image["hole"]["sectors"] == 0
    assert 2000 * 8 <= image["comb"]["sectors"] < 2010 * 8
    assert image["link59"]["sectors"] == 0 and image["link60"]["sectors"] == 8
    assert image.path.stat().st_blocks * 512 < 40 << 20


@as_root
def test_a_mounted_image_is_as_gnu_tar_extracts_it(build, tmp_path):
    make_zoo(tmp_path / "zoo")
    data = pack(tmp_path / "zoo", "--format=posix")
    extract(tmp_path / "tree", data)
    image = build(data)
    (tmp_path / "mounted").mkdir()
    mount = subprocess.run(["mount", "-o", "loop,ro", image.path, tmp_path / "mounted"], capture_output=True, text=True)
    if mount.returncode:
        pytest.skip(f"no loop mounts here: {mount.stderr.strip()}")
    try:
        lost = tmp_path / "tree" / "lost+found"
        lost.mkdir(0o700)
        for top, folders, files in os.walk(os.fsencode(tmp_path / "tree")):
            for name in folders + files:
                path = os.path.join(top, name)
                if path != os.fsencode(lost):
                    other = os.path.join(os.fsencode(tmp_path / "mounted"), os.path.relpath(path, os.fsencode(tmp_path / "tree")))
                    assert describe(path)[1] == describe(other)[1], path
    finally:
        subprocess.run(["umount", tmp_path / "mounted"], check=True)


@as_root
def test_layers_above_each_other_are_as_gnu_tar_extracts_them(build, tmp_path):
    first = layer(folder("."), folder("a", uid=5), entry("a/file", b"old"), hard("a/same", "a/file"), entry("a/kept", b"kept"),
                  folder("b"), folder("b/c", mtime=1), link("l", "b/c"), entry("b/c/x", b"x"))
    second = layer(entry("a/file", b"new", uid=9), hard("b/link-to-lower", "a/same"), folder("b", mode=0o700, mtime=7, gid=3),
                   entry("l/through-link", b"t"), hard("b/new", "b/link-to-lower"), entry("b/c/x", b"twice"),
                   entry("b/c/x", b"second time"))
    extract(tmp_path / "tree", first, second)
    image = build(first, second)
    # GNU tar leaves the time at which it changed them to folders that the second layer does not have.
    compare_trees(image, tmp_path / "tree", ignore_mtime={b"", b"a", b"b", b"b/c"})
    assert image["b"]["mtime"] == 7 * 10**9
    assert image["a"]["mtime"] == 1700000000 * 10**9
    assert image["b/c"]["mtime"] == 10**9
    assert image["a/same"]["links"] == 3


# --- the rules of layers -------------------------------------------------------------------------------------------


LOWER = [folder("d"), entry("d/a", b"1"), entry("d/b", b"2"), folder("d/sub"), entry("d/sub/x", b"3"), entry("e", b"4")]


def test_a_whiteout_hides_what_lower_layers_have(build):
    image = build(layer(*LOWER), layer(entry("d/.wh.a"), entry(".wh.e"), entry("d/.wh.nothing"), entry("no/.wh.thing")))
    assert image.names() == ["d", "d/b", "d/sub", "d/sub/x"]


def test_a_whiteout_hides_a_whole_folder(build):
    assert build(layer(*LOWER), layer(entry(".wh.d"))).names() == ["e"]


def test_a_whiteout_spares_its_own_layer_wherever_it_stands(build):
    image = build(layer(*LOWER), layer(entry("e", b"new"), entry(".wh.e"), folder("d"), entry("d/own", b"o"), entry(".wh.d")))
    assert image.names() == ["d", "d/own", "e"]
    assert image.content_is("e", b"new")
    image = build(layer(*LOWER), layer(entry("d/sub/own", b"o"), entry(".wh.d")))
    assert image.names() == ["d", "d/sub", "d/sub/own", "e"]


def test_what_was_hidden_can_come_back_as_something_else(build):
    image = build(layer(*LOWER), layer(entry(".wh.d"), entry("d", b"a file")), layer(entry(".wh.d"), folder("d"), link("d/l", "..")))
    assert image.names() == ["d", "d/l", "e"]


@pytest.mark.parametrize("at", [0, 1, 2, 3])
def test_an_opaque_folder_keeps_only_its_own_layers_files(build, at):
    upper = [folder("d", mode=0o700), entry("d/new", b"n"), entry("d/sub/own", b"o")]
    upper.insert(at, entry("d/.wh..wh..opq"))
    image = build(layer(*LOWER), layer(*upper))
    assert image.names() == ["d", "d/new", "d/sub", "d/sub/own", "e"]
    assert image["d"]["mode"] == stat.S_IFDIR | 0o700


def test_opacity_ends_with_its_layer(build):
    image = build(layer(*LOWER), layer(folder("d"), entry("d/.wh..wh..opq"), entry("d/n")), layer(entry("d/later")))
    assert image.names() == ["d", "d/later", "d/n", "e"]


def test_leftovers_of_aufs_are_ignored(build):
    image = build(layer(folder(".wh..wh.plnk"), entry(".wh..wh.plnk/1.2", b"x"), entry(".wh..wh.aufs"), entry("a")))
    assert image.names() == ["a"]


def test_types_change_between_layers(build):
    first = layer(folder("d"), entry("d/x"), entry("f", b"f"), link("l", "d"), entry("p", type=tarfile.FIFOTYPE))
    second = layer(entry("d", b"file"), folder("f"), entry("f/y"), folder("l"), entry("l/z"), link("p", "f"))
    image = build(first, second)
    assert image.names() == ["d", "f", "f/y", "l", "l/z", "p"]
    assert image.content_is("d", b"file")
    assert stat.S_ISDIR(image["l"]["mode"]) and stat.S_ISLNK(image["p"]["mode"])


def test_hard_links_outlive_the_name_they_were_made_from(build):
    first = layer(entry("a", b"one"), hard("b", "a"), hard("c", "./a"), folder("d"), entry("d/f", b"two"), hard("e", "/d/f"))
    second = layer(entry("a", b"other"), entry(".wh.b"), entry(".wh.d"))
    image = build(first, second)
    assert image.names() == ["a", "c", "e"]
    assert image.content_is("a", b"other") and image.content_is("c", b"one") and image.content_is("e", b"two")
    assert [image[name]["links"] for name in "ace"] == [1, 1, 1]


def test_a_hard_link_to_itself_or_into_what_it_replaces_is_kept(build):
    image = build(layer(entry("a", b"one"), hard("a", "a"), folder("d"), entry("d/f", b"two"), hard("d", "d/f")))
    assert image.names() == ["a", "d"]
    assert image.content_is("d", b"two") and image["d"]["links"] == 1 and image["a"]["links"] == 1


def test_missing_parents_are_made_for_root(build):
    image = build(layer(entry("./a/b/c", b"x", uid=5, mtime=1234567890), entry("/abs//olute/./name", b"y")))
    assert image.names() == ["a", "a/b", "a/b/c", "abs", "abs/olute", "abs/olute/name"]
    for name in ("a", "a/b"):
        made = image[name]
        assert (made["mode"], made["uid"], made["gid"], made["mtime"]) == (stat.S_IFDIR | 0o755, 0, 0, 1234567890 * 10**9)


def test_parents_that_are_links_are_followed_within_the_image(build):
    image = build(layer(folder("usr/lib"), link("lib", "usr/lib"), link("abs", "/usr/../usr/lib"), link("out", "../../../usr"),
                        link("chain", "lib"), link("dangling", "var/made")),
                  layer(entry("lib/a"), entry("abs/b"), entry("out/c"), entry("chain/d"), entry("dangling/e"), hard("h", "abs/a")))
    assert set(image.names()) >= {"usr/lib/a", "usr/lib/b", "usr/c", "usr/lib/d", "var/made/e", "h"}
    assert image["h"]["number"] == image["usr/lib/a"]["number"]
    assert stat.S_ISLNK(image["dangling"]["mode"])


def test_the_root_folder_has_the_metadata_of_its_last_entry(build):
    image = build(layer(folder("./", mode=0o700, uid=1)), layer(folder(".", mode=0o1755, gid=2, mtime=99)))
    root = image[""]
    assert (root["mode"], root["uid"], root["gid"], root["mtime"]) == (stat.S_IFDIR | 0o1755, 0, 2, 99 * 10**9)


def test_attributes_of_a_folder_are_those_of_the_last_layer(build):
    first = layer(folder("d", pax_headers={"SCHILY.xattr.user.a": "1", "SCHILY.xattr.user.b": "2"}))
    second = layer(folder("d", pax_headers={"SCHILY.xattr.user.b": "3", "LIBARCHIVE.xattr.user.c%3d": "NA"}))
    assert build(first)["d"]["attributes"] == {"user.a": b"1".hex(), "user.b": b"2".hex()}
    assert build(first, second)["d"]["attributes"] == {"user.b": b"3".hex(), "user.c=": b"4".hex()}


def test_an_access_list_in_the_kernels_form_is_kept(build):
    entries = [(1, 7, 0xffffffff), (2, 5, 1000), (4, 5, 0xffffffff), (16, 5, 0xffffffff), (32, 0, 0xffffffff)]
    acl = struct.pack("<I", 2) + b"".join(struct.pack("<HHI", *item) for item in entries)
    info, content = entry("f", b"x", mode=0o750)
    pax = b"SCHILY.xattr.system.posix_acl_access=" + acl + b"\n"
    record = str(len(pax) + 3).encode() + b" " + pax  # two digits and a space
    header = tarfile.TarInfo("pax")
    header.type, header.size = b"x", len(record)
    data = header.tobuf(tarfile.USTAR_FORMAT) + record.ljust(512, b"\0") + info.tobuf(tarfile.USTAR_FORMAT)
    assert build(data + content.ljust(512, b"\0") + b"\0" * 1024)["f"]["attributes"] == {"system.posix_acl_access": acl.hex()}


def test_unknown_namespaces_and_sockets_are_left_out(build):
    image = build(layer(entry("f", b"x", pax_headers={"SCHILY.xattr.com.apple.x": "1", "SCHILY.xattr.user.k": "v"})))
    assert image["f"]["attributes"] == {"user.k": b"v".hex()}


def test_no_layers_and_empty_layers_make_an_empty_system(build):
    assert build().names() == []
    assert build(layer(), layer()).names() == []


def test_a_folder_of_many_files_has_an_index(build):
    count = 100000
    start = time.monotonic()
    image = build(layer(*(entry(f"many/file-with-a-longer-name-{number:06}") for number in range(count)), format=tarfile.USTAR_FORMAT))
    assert time.monotonic() - start < 120
    assert len(image.entries) == count + 2
    shown = subprocess.run(["debugfs", "-R", "htree_dump /many", image.path], capture_output=True, text=True, check=True)
    assert "Indirect levels: 1" in shown.stdout
    found = subprocess.run(["debugfs", "-R", "stat /many/file-with-a-longer-name-054321", image.path], capture_output=True, text=True)
    assert "Type: regular" in found.stdout


def test_folders_of_every_size_up_to_two_levels_are_sound(build):
    for count in (1, 100, 254, 255, 256, 300, 5000):
        assert len(build(layer(*(entry(f"{number:0200}") for number in range(count)))).entries) == count + 1


def test_a_folder_with_more_subfolders_than_links_can_count(build):
    image = build(layer(*(folder(f"d/{number}") for number in range(65010)), format=tarfile.USTAR_FORMAT))
    assert image["d"]["links"] == 1


def test_many_small_files_get_inodes_enough(build):
    image = build(layer(*(entry(f"{number % 100}/{number}", b"x") for number in range(40000)), format=tarfile.USTAR_FORMAT))
    assert len(image.entries) == 40101
    assert image.path.stat().st_size <= 2 << 30


def test_data_larger_than_a_block_group_steps_over_superblocks(build, tmp_path):
    data = os.urandom(1 << 20)
    path = tmp_path / "large.tar"
    with tarfile.open(path, "w") as archive:
        for number in range(3):
            info = tarfile.TarInfo(f"large{number}")
            info.size = 150 << 20
            archive.addfile(info, Repeated(data))
    image = build(path)
    expected = hashlib.sha256()
    for _ in range(150):
        expected.update(data)
    assert {image[f"large{number}"]["digest"] for number in range(3)} == {"sha256:" + expected.hexdigest()}


class Repeated:
    def __init__(self, data):
        self.data = data * 2
        self.at = 0

    def read(self, size):
        size = min(size, len(self.data) // 2)
        start = self.at % (len(self.data) // 2)
        self.at += size
        return self.data[start:start + size]


def test_replaced_contents_are_free_blocks(build):
    data = os.urandom(20 << 20)
    image = build(layer(entry("a", data)), layer(entry("a", b"small")), layer(entry("b", data)), layer(entry(".wh.b")))
    assert image.names() == ["a"]
    shown = subprocess.run(["dumpe2fs", "-h", image.path], capture_output=True, text=True, check=True).stdout
    free, size = (int(re.search(rf"{what}: +(\d+)", shown).group(1)) for what in ("Free blocks", "Block count"))
    assert (size - free) * 4096 < 80 << 20  # the journal has 64 MiB of them


# --- what goes wrong -----------------------------------------------------------------------------------------------


PLAIN = layer(*LOWER, entry("random", os.urandom(300000)))


def test_gzip_members_and_zstd_frames_follow_each_other(build):
    half = len(PLAIN) // 2
    image = build(PLAIN)
    assert build((gzip.compress(PLAIN[:half]) + gzip.compress(b"") + gzip.compress(PLAIN[half:]), PLAIN)).names() == image.names()
    frames = [subprocess.run(["zstd", "-c"], input=part, capture_output=True, check=True).stdout
              for part in (PLAIN[:half], PLAIN[half:])]
    skippable = b"\x50\x2a\x4d\x18\x04\0\0\0skip"
    assert build((frames[0] + skippable + frames[1], PLAIN)).names() == image.names()


@pytest.mark.parametrize("pack", [gzip.compress, lambda data: subprocess.run(
    ["zstd", "-c"], input=data, capture_output=True, check=True).stdout], ids=["gzip", "zstd"])
def test_damaged_compressed_layers_are_refused(build, pack):
    packed = pack(PLAIN)
    assert "truncated" in refused(build, (packed[:-9], PLAIN))
    assert "truncated" in refused(build, (packed[:len(packed) // 2], PLAIN))
    flipped = bytearray(packed)
    flipped[len(packed) // 2] ^= 0x55
    refused(build, (bytes(flipped), PLAIN))
    refused(build, (packed + b"rubbish at the end", PLAIN))


def test_layers_that_are_no_tar_archives_are_refused(build):
    assert "not a tar archive" in refused(build, b"hello world" * 1000)
    assert "layer 2 of 2" in refused(build, PLAIN, os.urandom(5000))
    assert "Truncated" in refused(build, PLAIN[:200000])


def test_wrong_digests_are_refused_and_named(build):
    path = build.path(".layer")
    path.write_bytes(PLAIN)
    wrong = digest(b"wrong")
    for arguments, message in ((f"{path},{wrong},", "wrong digest"), (f"{path},,{wrong}", "wrong diff id")):
        with pytest.raises(Failed) as caught:
            build.run([BUILDER, build.path(".ext4"), arguments])
        assert caught.value.kind == CORRUPT and message in caught.value.message
        assert digest(PLAIN) in caught.value.message
    path.write_bytes(PLAIN[:100000])  # damaged on the way: the digest explains it better than tar does
    with pytest.raises(Failed, match="wrong digest"):
        build.run([BUILDER, build.path(".ext4"), f"{path},{digest(PLAIN)},{digest(PLAIN)}"])


def test_names_that_lead_outside_are_refused(build):
    for name in ("../x", "a/../../x", "/..", "a/.."):
        assert "climbs" in refused(build, layer(entry(name)))
    assert "climbs" in refused(build, layer(entry("a"), hard("b", "../a")))
    assert "not there" in refused(build, layer(hard("b", "missing")))
    assert "not there" in refused(build, layer(folder("d"), hard("b", "d")))
    assert "circle" in refused(build, layer(link("a", "b"), link("b", "a"), entry("a/x")))
    refused(build, layer(entry(".wh.")))
    refused(build, layer(entry("n" * 256)))
    refused(build, layer(entry("/".join(["d"] * 2100))))
    refused(build, layer(entry(".", b"the root as a file")))


def test_what_ext4_cannot_hold_is_refused(build):
    large = {"SCHILY.xattr.user.large": "v" * 5000}
    assert "attributes" in refused(build, layer(entry("f", pax_headers=large)), kind=UNSUPPORTED)
    two = {"SCHILY.xattr.user.a": "v" * 2000, "SCHILY.xattr.user.b": "v" * 2000}
    build(layer(entry("f", pax_headers=two)))
    assert "hard links" in refused(build, layer(entry("f"), *(hard(f"l{n}", "f") for n in range(65000))), kind=UNSUPPORTED)


def test_an_existing_file_is_left_alone(build, tmp_path):
    (tmp_path / "taken").write_text("mine")
    made = subprocess.run([BUILDER, tmp_path / "taken"], capture_output=True, text=True)
    assert made.returncode == 2 and "exists" in made.stderr
    assert (tmp_path / "taken").read_text() == "mine"


def test_a_cancelled_build_leaves_nothing(build):
    with pytest.raises(Failed) as caught:
        build(PLAIN, env={**os.environ, "ROOTFS_BUILD_CANCEL": "1000"})
    assert caught.value.kind == CANCELLED


@pytest.mark.skipif(not ROOT, reason="mounting a small tmpfs takes root")
def test_a_full_disk_is_said_and_leaves_nothing(build, tmp_path):
    small = tmp_path / "small"
    small.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=12m", "tmpfs", small], capture_output=True).returncode:
        pytest.skip("no mounts here")
    try:
        command = build.command([layer(entry("a", os.urandom(20 << 20)))])
        command[1] = small / "image.ext4"
        with pytest.raises(Failed, match="No space left"):
            build.run(command)
        command = build.command([layer(entry("a", os.urandom(11 << 20)))])  # the contents fit, the rest does not
        command[1] = small / "image.ext4"
        with pytest.raises(Failed, match="No space left"):
            build.run(command)
        assert not list(small.iterdir())
    finally:
        subprocess.run(["umount", small], check=True)


def test_the_image_grows_to_64_gib_and_1_tib(build):
    for size in (64 << 30, 1 << 40):
        image = build(PLAIN)
        os.truncate(image.path, size)
        subprocess.run(["resize2fs", image.path], check=True, capture_output=True)
        grown = Image(image.path)
        assert grown.names() == image.names()
        shown = subprocess.run(["dumpe2fs", "-h", image.path], capture_output=True, text=True, check=True).stdout
        assert int(re.search(r"Block count: +(\d+)", shown).group(1)) * 4096 == size
        assert image.path.stat().st_blocks * 512 < 64 << 20


def test_the_file_system_has_what_it_should(build):
    shown = subprocess.run(["dumpe2fs", "-h", build(PLAIN).path], capture_output=True, text=True, check=True).stdout
    features = set(re.search(r"Filesystem features: +(.*)", shown).group(1).split())
    assert features >= {"has_journal", "extent", "64bit", "metadata_csum", "flex_bg", "dir_index", "large_file", "huge_file",
                        "dir_nlink", "extra_isize", "resize_inode", "sparse_super"}
    assert re.search(r"volume name: +annex-root\n", shown)
    assert re.search(r"Inode size:\s+256\n", shown)
    free, size = (int(re.search(rf"{what}: +(\d+)", shown).group(1)) for what in ("Free blocks", "Block count"))
    assert free * 4096 >= 256 << 20 and size * 4096 <= 512 << 20


@as_root
def test_an_ordinary_user_builds_the_same_image(tmp_path):
    make_zoo(tmp_path / "zoo")
    data = pack(tmp_path / "zoo", "--format=posix")
    extract(tmp_path / "tree", data)
    with tempfile.TemporaryDirectory(prefix="annex-test-") as theirs:  # tmp_path lies below a private folder
        os.chown(theirs, 65534, 65534)
        image = Builder(pathlib.Path(theirs))(data, user=65534, group=65534, extra_groups=[])
        assert os.stat(image.path).st_uid == 65534
        compare_trees(image, tmp_path / "tree")
    shutil.rmtree(tmp_path)
