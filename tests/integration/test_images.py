"""The test images themselves, and the module that writes them."""

import io
import json
import os
import pathlib
import subprocess
import tarfile

import pytest

import oci

MAKE = pathlib.Path(__file__).resolve().parent.parent / "images" / "make"


def make(name, cache):
    return subprocess.Popen([MAKE, name], env=dict(os.environ, ANNEX_TEST_CACHE=str(cache)), stdout=subprocess.PIPE,
                            stderr=subprocess.PIPE, text=True)


def files(folder, layer):
    return tarfile.open(fileobj=io.BytesIO(oci.expand(folder, layer)))


@pytest.mark.parametrize("name", ["busybox", "noinit", "debian", "apps"])
def test_image_is_well_formed(test_image, name):
    oci.verify(test_image(name))
    manifest = oci.resolve(test_image(name), "latest")
    config = json.loads(oci.read_blob(test_image(name), manifest["config"]))
    assert config["architecture"] == oci.host_platform()["architecture"]
    assert config["config"]["Cmd"]


def test_busybox_image_has_an_init_and_layers_of_both_compressions(test_image):
    first, second = oci.resolve(test_image("busybox"))["layers"]
    assert (first["mediaType"], second["mediaType"]) == (oci.LAYERS["gzip"], oci.LAYERS["zstd"])
    with files(test_image("busybox"), first) as archive:
        assert archive.getmember("sbin/init").linkname == "/bin/busybox"
    with files(test_image("busybox"), second) as archive:
        assert {"etc/.wh.removed", "opt/replaced/.wh..wh..opq"} < set(archive.getnames())


def test_noinit_image_has_no_init(test_image):
    layer, = oci.resolve(test_image("noinit"))["layers"]
    with files(test_image("noinit"), layer) as archive:
        assert "bin/sh" in archive.getnames()
        assert not [name for name in archive.getnames() if os.path.basename(name) in ("init", "linuxrc")]


def test_debian_image_says_nothing_about_the_host_it_was_made_on(test_image):
    names = set()
    for layer in oci.resolve(test_image("debian"))["layers"]:
        with files(test_image("debian"), layer) as archive:
            names.update(os.path.normpath(member.name) for member in archive)
            for member in archive:
                if os.path.normpath(member.name) == "etc/machine-id":
                    assert member.size == 0
    assert {"dev", "usr/sbin/init", "usr/sbin/sshd", "etc/machine-id"} <= names
    assert not {"etc/hostname", "etc/resolv.conf", "usr/bin/udevadm"} & names


def test_two_makes_at_once_make_an_image_once(tmp_path):
    both = [make("busybox", tmp_path) for _ in range(2)]
    (first, first_log), (second, second_log) = [one.communicate(timeout=60) for one in both]
    assert [one.returncode for one in both] == [0, 0]
    assert first == second
    assert (first_log + second_log).count("making") == 1
    assert {path.name for path in tmp_path.iterdir()} == {"busybox.lock", pathlib.Path(first.strip()).name}
    again, log = (one := make("busybox", tmp_path)).communicate(timeout=60)
    assert (one.returncode, again, log) == (0, first, "")


def test_an_image_is_the_same_whenever_it_is_made(tmp_path, test_image):
    made, _ = make("busybox", tmp_path).communicate(timeout=60)
    assert (pathlib.Path(made.strip()) / "index.json").read_bytes() == \
        (test_image("busybox") / "index.json").read_bytes()


def test_what_a_killed_make_left_is_removed(tmp_path):
    (tmp_path / "noinit.half-left").mkdir()
    one = make("noinit", tmp_path)
    one.communicate(timeout=60)
    assert one.returncode == 0
    assert not (tmp_path / "noinit.half-left").exists()


def test_a_cache_that_others_can_write_is_refused(tmp_path):
    tmp_path.chmod(0o777)
    one = make("noinit", tmp_path)
    _, log = one.communicate(timeout=60)
    assert one.returncode == 1
    assert "hint: set ANNEX_TEST_CACHE" in log


def test_verify_finds_damage(tmp_path):
    def damaged(name, damage):
        layout = oci.simple(tmp_path / name)
        manifest = oci.resolve(layout.folder)
        damage(layout, manifest)
        with pytest.raises((ValueError, OSError)):
            oci.verify(layout.folder)

    oci.verify(oci.simple(tmp_path / "whole").folder)
    damaged("truncated", lambda layout, manifest: os.truncate(layout.path(manifest["layers"][0]), 20))
    damaged("changed", lambda layout, manifest: layout.path(manifest["config"]).write_bytes(
        layout.path(manifest["config"]).read_bytes().replace(b"2023", b"2024")))
    damaged("other", lambda layout, manifest: layout.path(manifest["config"]).write_bytes(b"{}"))
    damaged("gone", lambda layout, manifest: layout.path(manifest["config"]).unlink())
    layout = oci.Layout(tmp_path / "diff_id")
    layer = layout.layer(oci.Tar().file("a"))
    layout.tag(None, layout.image([layer._replace(diff_id="sha256:" + "0" * 64)])).save()
    with pytest.raises(ValueError, match="contents are not"):
        oci.verify(layout.folder)


def test_nested_indexes_lead_to_the_image_of_the_platform(tmp_path):
    layout = oci.Layout(tmp_path)
    other = layout.image([], platform={"architecture": "sparc64", "os": "linux"})
    own = layout.image([layout.layer(oci.Tar().file("own"), "zstd")])
    layout.tag("nested", layout.index([other, layout.index([own])])).tag("other", layout.index([other])).save()
    oci.verify(tmp_path)
    assert len(oci.resolve(tmp_path, "nested")["layers"]) == 1
    with pytest.raises(LookupError):
        oci.resolve(tmp_path, "other")


def test_archives_hold_what_the_layout_holds(tmp_path):
    layout = oci.Layout(tmp_path / "layout")
    tar = (oci.Tar().folder("d", 0o1777).file("d/f", "x", 0o4755, uid=3, gid=4, xattrs={"user.bytes": b"\xff\0=\n"})
           .hardlink("a", "d/f").symlink("l", "d/f").fifo("p").device("n", 1, 3).whiteout("d/gone").opaque("d"))
    layout.tag("one", layout.image([layout.layer(tar, how) for how in oci.LAYERS], {"Cmd": ["x"]})).save()
    oci.verify(layout.folder)

    with tarfile.open(oci.oci_archive(layout.folder, tmp_path / "oci.tar")) as archive:
        archive.extractall(tmp_path / "unpacked")
    oci.verify(tmp_path / "unpacked")

    with tarfile.open(oci.docker_archive(layout.folder, tmp_path / "docker.tar")) as archive:
        entry, = json.load(archive.extractfile("manifest.json"))
        assert json.load(archive.extractfile(entry["Config"]))["config"]["Cmd"] == ["x"]
        assert archive.extractfile(entry["Layers"][-1]).read() == tar.data()

    listed = subprocess.run(["tar", "--xattrs", "-tvvf", "-"], input=tar.data(), stdout=subprocess.PIPE, check=True)
    assert b"-rwsr-xr-x* 3/4" in listed.stdout
    assert b"user.bytes" in listed.stdout
