"""Exporting an image, and reading again what was exported: as annex, as GNU tar, as other tools would."""

import gzip
import io
import json
import os
import signal
import subprocess
import tarfile
import tempfile
import time

import pytest

import annex_test
import oci
import test_rootfs

ACCESS_LIST = bytes.fromhex("02000000" "01000700ffffffff" "02000500e9030000" "04000500ffffffff" "10000700ffffffff"
                            "20000500ffffffff")
SPARSE = 9 << 20


def sparse_layer():
    """A file with a large hole, one that is nothing but a hole, one with small holes; as GNU tar writes them."""
    with tempfile.TemporaryDirectory() as folder:
        for name, size, places in (("holes", SPARSE, (0, SPARSE - 5000)), ("hole", SPARSE, ()), ("small", 40000, (8192,))):
            with open(os.path.join(folder, name), "wb") as file:
                file.truncate(size)
                for place in places:
                    file.seek(place)
                    file.write(b"here")
        return subprocess.run(["tar", "--sparse", "--format=posix", "--mtime=@1672531200", "--owner=0", "--group=0", "-cC",
                               folder, "holes", "hole", "small"], capture_output=True, check=True).stdout


def layers():
    first = oci.Tar().folder("etc").file("etc/motd", "hello\n", mtime=1672531200.25, uid=1000, gid=1001).folder("gone")
    first.file("gone/file", "x").folder("opaque", mode=0o1777).file("opaque/lower", "y").symlink("link", "etc/motd")
    first.file("suid", os.urandom(10000), mode=0o4755, xattrs={"security.capability": b"\x01\0\0\x02" + bytes(16),
                                                               "user.note": b"\xff\0"})
    first.file("listed", "z", mode=0o775, xattrs={"system.posix_acl_access": ACCESS_LIST})
    first.fifo("pipe").device("null", 1, 3, mode=0o666).hardlink("etc/motd.again", "etc/motd")
    first.file(os.fsdecode(b"not-utf8-\xff\xfe"), "n").file("caf\u00e9", "u").file("d" * 120 + "/" + "f" * 200, "long")
    first.file("early", "e", mtime=-5)
    second = oci.Tar().whiteout("gone").opaque("opaque").file("opaque/upper", "1").hardlink("again", "suid")
    return [first.data(), sparse_layer(), second.data(order=None), oci.Tar().data(), oci.Tar().data()]


@pytest.fixture(scope="module")
def layout():
    with tempfile.TemporaryDirectory(prefix="annex-export-", dir="/var/tmp") as folder:
        os.chmod(folder, 0o755)
        yield make_layout(folder)


def make_layout(folder):
    made = oci.Layout(os.path.join(folder, "image"))
    image = made.image([made.layer(data) for data in layers()], {"Cmd": ["/bin/sh"], "Env": ["A=b"]})
    made.tag("latest", image)
    made.save()
    return made.folder


def tree_of(host, name):
    """Everything of the base disk but what differs between two file systems."""
    disk = json.loads(host.ok("image", "inspect", name))[0]["disk"]
    image = test_rootfs.Image(disk)
    numbers = {}
    for entry in image.entries.values():
        entry["number"] = numbers.setdefault(entry["number"], len(numbers))
    return image.entries


def export(host, *options, name="example/zoo:1"):
    path = host.folder / "home" / "zoo.tar"
    assert host.ok("image", "export", *options, "-o", str(path), name) == ""
    return path


@pytest.fixture
def exporter(host, layout):
    host.ok("image", "import", "--name", "example/zoo:1", f"oci:{layout}")
    return host


def test_an_exported_image_comes_back_with_every_file_as_it_was(exporter):
    path = export(exporter)
    before = json.loads(exporter.ok("image", "inspect", "example/zoo:1"))[0]
    exporter.ok("image", "import", "--name", "copy:1", f"oci-archive:{path}")
    after = json.loads(exporter.ok("image", "inspect", "copy:1"))[0]
    assert after["disk"] != before["disk"]
    assert tree_of(exporter, "copy:1") == tree_of(exporter, "example/zoo:1")
    assert (after["config"], after["platform"], after["created"]) == \
        (before["config"], before["platform"], before["created"])
    assert len(after["layers"]) == len(before["layers"])


def test_what_comes_back_from_docker_archive_is_the_same(exporter):
    path = export(exporter)
    exporter.ok("image", "import", "--name", "oci:1", f"oci-archive:{path}")
    assert exporter.ok("image", "import", f"docker-archive:{path}") == "example/zoo:1\n"
    oci_one, docker_one = (json.loads(exporter.ok("image", "inspect", name))[0] for name in ("oci:1", "example/zoo:1"))
    assert oci_one["id"] == docker_one["id"]


def test_the_archive_is_a_sound_layout_and_the_same_each_time(exporter, tmp_path):
    path = export(exporter)
    first = path.read_bytes()
    path.unlink()
    assert export(exporter).read_bytes() == first
    with tarfile.open(path) as archive:
        names = archive.getnames()
        assert len(names) == len(set(names))
        archive.extractall(tmp_path)
    oci.verify(tmp_path)
    entry, = json.loads((tmp_path / "index.json").read_text())["manifests"]
    assert entry["annotations"] == {"io.containerd.image.name": "docker.io/example/zoo:1", oci.REF_NAME: "1"}
    saved, = json.loads((tmp_path / "manifest.json").read_text())
    assert saved["RepoTags"] == ["example/zoo:1"]
    assert all((tmp_path / layer).exists() for layer in [*saved["Layers"], saved["Config"]])


def test_the_layers_are_those_that_came(exporter, layout, tmp_path):
    with tarfile.open(export(exporter)) as archive:
        archive.extractall(tmp_path)
    manifest = oci.resolve(tmp_path)
    for was, descriptor in zip(oci.resolve(layout)["layers"], manifest["layers"]):
        one, other = (tarfile.open(fileobj=io.BytesIO(data)) for data in
                      (gzip.decompress(oci.read_blob(layout, was)), oci.read_blob(tmp_path, descriptor)))
        assert [os.path.normpath(name) for name in one.getnames()] == [os.path.normpath(name) for name in other.getnames()]


def test_other_tools_read_the_archive(exporter, tmp_path):
    path = export(exporter)
    listed = subprocess.run(["tar", "-tf", path], capture_output=True, text=True, check=True).stdout
    assert "oci-layout" in listed and "manifest.json" in listed
    # The hole is a hole in the archive too.
    assert path.stat().st_size < SPARSE


def test_standard_output_is_an_archive_too_but_a_terminal_is_not(exporter):
    path = export(exporter)
    out = exporter.annex("image", "export", "example/zoo:1", text=False).stdout
    assert out == path.read_bytes()
    terminal = exporter.terminal(annex_test.ANNEX, "image", "export", "example/zoo:1")
    terminal.expect("annex: .*terminal")
    terminal.expect("hint: ")
    terminal.wait()
    assert terminal.exitstatus == 2


def test_an_unknown_image_is_not_exported(exporter):
    path = exporter.folder / "home" / "none.tar"
    result = exporter.annex("image", "export", "-o", str(path), "nosuch:1")
    assert result.returncode == 3
    assert result.stderr.startswith("annex: image export nosuch:1: ")
    assert not path.exists()


def test_an_interrupted_export_leaves_no_file(exporter):
    folder = exporter.folder / "home"
    before = sorted(os.listdir(folder))
    running = exporter.start("image", "export", "-o", str(folder / "zoo.tar"), "example/zoo:1", "--progress", "plain")
    running.stderr.readline()
    running.send_signal(signal.SIGINT)
    running.communicate(timeout=annex_test.TIMEOUT)
    after = sorted(os.listdir(folder))
    assert after == before if running.returncode else after == sorted([*before, "zoo.tar"])


def test_a_lost_index_is_said(exporter):
    for index in exporter.data.glob("images/bases/*.layers/*"):
        index.unlink()
    result = exporter.annex("image", "export", "example/zoo:1", text=False)
    assert result.returncode == 3
    assert b"layer 1 of 5 is not here any more\nhint: annex image delete " in result.stderr


def test_terabytes_of_holes_take_no_time(exporter):
    size, layer = 7 << 40, io.BytesIO()
    with tarfile.open(fileobj=layer, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for number in range(100):
            entry, where = tarfile.TarInfo("sparse"), b"1\n%d\n0\n" % size
            entry.size = 512
            entry.pax_headers = {"GNU.sparse.major": "1", "GNU.sparse.minor": "0", "GNU.sparse.name": f"hole-{number}",
                                 "GNU.sparse.realsize": str(size)}
            archive.addfile(entry, io.BytesIO(where.ljust(512, b"\0")))
    made = oci.Layout(exporter.folder / "holes")
    made.tag("latest", made.image([made.layer(layer.getvalue())])).save()
    exporter.ok("image", "import", "--name", "holes:1", f"oci:{made.folder}")
    began = time.monotonic()
    assert len(exporter.annex("image", "export", "holes:1", text=False).stdout) < 1 << 20
    assert time.monotonic() - began < 15
