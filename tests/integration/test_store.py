"""Importing images and what becomes of bad ones: annex image import, list, inspect, delete."""

import gzip
import hashlib
import json
import lzma
import os
import shutil
import signal
import subprocess
import tarfile
import time

import pytest

import annex_test
import oci
import test_kernel

FILES = {"etc/hello": "hello\n", "bin/program": "x" * 100000}
INCOMPLETE = "the copy of the image is incomplete: make it again"
OTHER = "s390x" if os.uname().machine != "s390x" else "amd64"
HOST = "linux/" + oci.host_platform()["architecture"]


@pytest.fixture
def place(host):
    """A folder for sources, which whoever the host is can read."""
    folder = host.folder / "sources"
    folder.mkdir()
    return folder


def bases(host):
    return sorted((host.data / "images" / "bases").glob("*.ext4"))


def records(host):
    return [json.loads(path.read_text()) for path in sorted((host.data / "images" / "records").glob("*"))]


def temporary(host):
    folder = host.data / "images" / "tmp"
    return list(folder.iterdir()) if folder.exists() else []


def drafts(host):
    return list((host.data / "images" / "bases").glob("*.part"))


def check_nothing_is_there(host):
    assert (bases(host), drafts(host), records(host), temporary(host)) == ([], [], [], [])
    assert list((host.data / "images" / "blobs" / "sha256").glob("*")) == []


def attempt(host, source, *more):
    return host.annex("image", "import", "--progress", "none", source, *more)


def check_refused(host, source, status, message, hint=None, more=()):
    """Importing it fails with this line, and nothing stays."""
    result = attempt(host, source, *more)
    annex_test.check_failure(result, status, f"cannot import {source}: {message}", hint)
    check_nothing_is_there(host)


def compress(path, how):
    data = path.read_bytes()
    if how == "gzip":
        packed = gzip.compress(data)
    elif how == "xz":
        packed = lzma.compress(data, preset=0)
    else:
        packed = subprocess.run(["zstd", "-qc"], input=data, stdout=subprocess.PIPE, check=True).stdout
    target = path.with_name(path.name + "." + how)
    target.write_bytes(packed)
    return target


def images(host):
    return json.loads(host.ok("image", "list", "--format", "json"))


def test_every_kind_of_source_gives_the_same_image_and_one_disk(host, place):
    oci.simple(place / "hello", FILES)
    archive = oci.oci_archive(place / "hello", place / "hello.tar")
    docker = oci.docker_archive(place / "hello", place / "saved.tar")
    specs = [f"oci:{place}/hello", f"oci:{place}/hello:latest", f"oci-archive:{archive}", f"oci-archive:{archive}:latest",
             f"docker-archive:{docker}", f"docker-archive:{docker}:annex/test:latest", f"docker-archive:{docker}:latest",
             f"oci-archive:{docker}", f"docker-archive:{archive}"]
    specs += [f"oci-archive:{compress(archive, how)}" for how in ("gzip", "zstd", "xz")]
    for number, spec in enumerate(specs):
        assert host.ok("image", "import", spec, "--name", f"n{number}") == f"n{number}:latest\n"
    for path in (archive, docker, compress(archive, "gzip"), compress(docker, "zstd")):
        with open(path, "rb") as data:
            host.ok("image", "import", "-", "--name", path.name.replace("_", "-"), stdin=data)
    image, = images(host)
    assert len(image["names"]) == len(specs) + 4
    disk, = bases(host)
    subprocess.run(["e2fsck", "-fn", disk], check=True, stdout=subprocess.DEVNULL)
    assert temporary(host) == []


@pytest.mark.parametrize("compression", ["plain", "gzip", "zstd"])
def test_layers_of_every_compression_make_the_same_disk(user_host, compression):
    source = user_host.folder / "image"
    oci.simple(source, FILES, compression=compression)
    user_host.ok("image", "import", f"oci:{source}")
    record, = records(user_host)
    plain = oci.expand(source, oci.resolve(source)["layers"][0])
    diff_id = "sha256:" + hashlib.sha256(plain).hexdigest()
    assert [layer["diff_id"] for layer in record["layers"]] == [diff_id]
    assert record["base"] == hashlib.sha256(f"annex base 1\n{diff_id}\n".encode()).hexdigest()


def test_a_pipe_is_as_good_as_a_file(user_host):
    source = user_host.folder / "image"
    oci.simple(source, FILES)
    archive = oci.oci_archive(source, user_host.folder / "image.tar")
    process = user_host.start("image", "import", "-", "--name", "piped", text=False)
    data = archive.read_bytes()
    for at in range(0, len(data), 5000):
        process.stdin.write(data[at:at + 5000])
    output, errors = process.communicate(timeout=annex_test.TIMEOUT)
    assert (process.returncode, output) == (0, b"piped:latest\n"), errors


@pytest.mark.parametrize("entry, expected", [
    ({"org.opencontainers.image.ref.name": "12"}, "debian:12"),
    ({"org.opencontainers.image.ref.name": "quay.io/a/b:c"}, "quay.io/a/b:c"),
    ({"io.containerd.image.name": "docker.io/library/x:1", "org.opencontainers.image.ref.name": "1"}, "x:1"),
    ({}, "debian:latest")], ids=["tag", "reference", "containerd", "nothing"])
def test_the_name_is_what_the_source_says(user_host, entry, expected):
    layout = oci.simple(user_host.folder / "debian", FILES)
    layout.save(lambda index: index["manifests"][0].update(annotations=entry))
    assert user_host.ok("image", "import", f"oci:{layout.folder}") == expected + "\n"


def test_images_are_listed_inspected_and_deleted(host, place):
    config = {"Cmd": ["/bin/sh"], "Entrypoint": ["/init"], "User": "www", "WorkingDir": "/srv", "StopSignal": "SIGTERM",
              "Labels": {"a": "b"}, "Env": ["X=y"]}
    oci.simple(place / "one", FILES, config=config)
    oci.simple(place / "two", {"b": "c"})
    host.ok("image", "import", f"oci:{place}/one")
    host.ok("image", "import", f"oci:{place}/one", "--name", "ghcr.io/x/y:2")
    host.ok("image", "import", f"oci:{place}/two")
    two, one = images(host)
    assert (two["names"], one["names"]) == (["two:latest"], ["ghcr.io/x/y:2", "one:latest"])
    assert one["platform"] == HOST and one["created"] == "2023-01-01T00:00:00Z" and one["size"] > 100000
    assert sorted(host.ok("image", "list", "-q").split()) == ["ghcr.io/x/y:2", "one:latest", "two:latest"]
    for name in ("one", "docker.io/library/one:latest", "ghcr.io/x/y:2", one["id"], one["id"][7:15], one["digest"]):
        described, = json.loads(host.ok("image", "inspect", name))
        assert described["id"] == one["id"]
    assert described["config"] == {"env": ["X=y"], "entrypoint": ["/init"], "command": ["/bin/sh"], "user": "www",
                                   "workdir": "/srv", "stopSignal": "SIGTERM", "labels": {"a": "b"}}
    host.ok("image", "delete", "one")
    assert images(host)[1]["names"] == ["ghcr.io/x/y:2"] and len(bases(host)) == 2
    host.ok("image", "delete", one["id"])
    assert [image["names"] for image in images(host)] == [["two:latest"]] and len(bases(host)) == 1
    host.ok("image", "delete", "two")
    check_nothing_is_there(host)


def test_a_name_moves_to_the_newer_image(user_host):
    for content in "12":
        oci.simple(user_host.folder / "image", {"a": content})
        user_host.ok("image", "import", f"oci:{user_host.folder}/image")
        shutil.rmtree(user_host.folder / "image")
    assert [image["names"] for image in images(user_host)] == [["image:latest"], []]


def test_an_image_that_is_not_there_is_not_found(user_host):
    for verb, output in (("inspect", "[]\n"), ("delete", "")):
        for name in ("debian:12", "abcdef012345", "sha256:" + "0" * 64):
            result = user_host.annex("image", verb, name)
            assert (result.returncode, result.stdout) == (3, output)
            assert "is not here" in result.stderr and "hint: annex image " in result.stderr


def test_what_is_no_image_is_refused(host, place):
    (place / "empty").mkdir()
    (place / "text").write_text("this is no archive\n")
    (place / "nothing").write_text("")
    with tarfile.open(place / "other.tar", "w") as other:
        other.addfile(tarfile.TarInfo("etc"))
    suitable = "'docker save' and 'skopeo copy … oci-archive:FILE' make suitable ones"
    made = "'docker save' and 'skopeo copy … oci:DIR' make images that can be imported"
    check_refused(host, f"oci:{place}/empty", 1,
                  f"{place}/empty holds no image: there is no oci-layout and index.json", made)
    check_refused(host, f"oci-archive:{place}/other.tar", 1, f"{place}/other.tar holds no image: there is no oci-layout and "
                  "index.json, nor the manifest.json of docker save", made)
    for name in ("text", "nothing"):
        check_refused(host, f"oci-archive:{place}/{name}", 1, f"{place}/{name} is not a tar archive", suitable)
    check_refused(host, f"oci:{place}/none", 3, f"{place}/none does not exist")
    check_refused(host, f"oci:{place}/text", 2, f"{place}/text is not a folder",
                  f"for an archive: oci-archive:{place}/text or docker-archive:{place}/text")
    check_refused(host, f"oci-archive:{place}/empty", 2, f"{place}/empty is a folder, not an archive",
                  f"for an OCI layout: oci:{place}/empty")
    check_refused(host, f"{place}/empty", 2, f"'{place}/empty' is not a source of images",
                  "sources are oci:DIR, oci-archive:FILE, docker-archive:FILE and -")
    check_refused(host, "-", 1, "standard input is not a tar archive", suitable)


def test_a_truncated_archive_is_refused_wherever_it_ends(user_host):
    source = user_host.folder / "image"
    oci.simple(source, {"a": os.urandom(5000).hex()})
    whole = oci.oci_archive(source, user_host.folder / "image.tar")
    for path in (whole, compress(whole, "gzip"), compress(whole, "zstd"), compress(whole, "xz")):
        data = path.read_bytes()
        cut = user_host.folder / "cut"
        for size in (1, 100, len(data) // 3, len(data) // 2):
            cut.write_bytes(data[:size])
            result = attempt(user_host, f"oci-archive:{cut}")
            assert result.returncode == 1 and result.stdout == "", (path, size)
            assert len(result.stderr.splitlines()) == 2, result.stderr
            check_nothing_is_there(user_host)


@pytest.fixture
def layout(host, place):
    return oci.simple(place / "image", FILES)


def layer_of(layout):
    return oci.resolve(layout.folder)["layers"][0]


def test_a_truncated_layer_is_refused(host, layout):
    layer = layer_of(layout)
    path = layout.path(layer)
    path.write_bytes(path.read_bytes()[:-1])
    check_refused(host, f"oci:{layout.folder}", 1, f"layer 1 of 1 ({layer['digest']}) has {layer['size'] - 1} bytes, not "
                  f"{layer['size']}", "the copy of the image is truncated or damaged: make it again")


def test_a_corrupt_layer_is_refused(host, layout):
    path = layout.path(layer_of(layout))
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    result = attempt(host, f"oci:{layout.folder}")
    assert result.returncode == 1 and result.stdout == ""
    assert result.stderr.startswith(f"annex: cannot import oci:{layout.folder}: "), result.stderr
    check_nothing_is_there(host)


def test_another_layer_under_the_digest_is_refused(host, layout):
    other = oci.Layout(layout.folder.parent / "other").layer(oci.Tar().file("etc/hello", "HELLO\n").file(
        "bin/program", "x" * 100000))
    path = layout.path(layer_of(layout))
    data = layout.folder.parent.joinpath("other", "blobs", *other.descriptor["digest"].split(":")).read_bytes()
    path.write_bytes(data[:layer_of(layout)["size"]].ljust(layer_of(layout)["size"], b"\0"))
    result = attempt(host, f"oci:{layout.folder}")
    assert result.returncode == 1 and layer_of(layout)["digest"][:19] in result.stderr, result.stderr
    check_nothing_is_there(host)


def test_a_layer_that_is_not_its_diff_id_is_refused(host, place):
    layout = oci.Layout(place / "image")
    layer = layout.layer(oci.Tar().file("a", "b"))
    wrong = "sha256:" + "0" * 64
    layout.tag("latest", layout.image([layer], change_config=lambda config: config["rootfs"].update(diff_ids=[wrong])))
    layout.save()
    result = attempt(host, f"oci:{place}/image")
    assert result.returncode == 1 and wrong[:19] in result.stderr, result.stderr
    check_nothing_is_there(host)


def test_more_layers_than_diff_ids_are_refused(host, place):
    layout = oci.Layout(place / "image")
    layer = layout.layer(oci.Tar().file("a", "b"))
    layout.tag("latest", layout.image([layer], change_config=lambda config: config["rootfs"].update(diff_ids=[])))
    layout.save()
    check_refused(host, f"oci:{place}/image", 1, "the manifest has 1 layers, but the image's configuration has 0")


def test_missing_documents_and_layers_are_named(host, layout):
    manifest = oci.resolve(layout.folder)
    for descriptor in (manifest["layers"][0], manifest["config"]):
        path = layout.path(descriptor)
        path.rename(path.with_suffix(".away"))
        what = f"layer 1 of 1 ({descriptor['digest']})" if "layer" in descriptor["mediaType"] else descriptor["digest"]
        check_refused(host, f"oci:{layout.folder}", 1, f"{what} is missing in {layout.folder}", INCOMPLETE)
        path.with_suffix(".away").rename(path)


def test_a_changed_document_is_refused(host, layout):
    digest = oci.resolve(layout.folder)["config"]["digest"]
    path = layout.path(digest)
    data = path.read_bytes().replace(b"2023", b"2024")
    path.write_bytes(data)
    check_refused(host, f"oci:{layout.folder}", 1, f"image configuration {digest}: the digest of its contents is "
                  f"sha256:{hashlib.sha256(data).hexdigest()}")
    path.write_bytes(data + b" ")
    check_refused(host, f"oci:{layout.folder}", 1, f"image configuration {digest}: {len(data) + 1} bytes, not {len(data)}")


@pytest.mark.parametrize("media_type, message", [
    ("application/vnd.oci.image.layer.v1.tar+bzip2",
     "manifest: layer 1: unknown media type 'application/vnd.oci.image.layer.v1.tar+bzip2'"),
    ("application/vnd.oci.image.config.v1+json",
     "manifest: layer 1: 'application/vnd.oci.image.config.v1+json' stands where a layer belongs")], ids=["unknown", "misplaced"])
def test_a_layer_of_an_unknown_type_is_refused(host, place, media_type, message):
    layout = oci.Layout(place / "image")
    layer = layout.layer(oci.Tar().file("a", "b"), media_type=media_type)
    layout.tag("latest", layout.image([layer])).save()
    check_refused(host, f"oci:{place}/image", 1, message)


def test_an_artifact_is_refused_by_name(host, place):
    layout = oci.Layout(place / "chart")
    config = layout.blob({}, "application/vnd.cncf.helm.config.v1+json")
    manifest = {"schemaVersion": 2, "mediaType": oci.MANIFEST, "config": config, "layers": []}
    layout.tag("1", layout.blob(manifest, oci.MANIFEST)).save()
    check_refused(host, f"oci:{place}/chart", 1, "manifest: it is an artifact of type "
                  "'application/vnd.cncf.helm.config.v1+json', a Helm chart, not an image",
                  "a machine needs an image: of a system, or of a program with all that it needs")


def test_the_old_schema_is_refused_by_name(host, place):
    layout = oci.Layout(place / "old")
    old = "application/vnd.docker.distribution.manifest.v1+json"
    layout.tag("1", layout.blob({"schemaVersion": 1, "fsLayers": []}, old)).save()
    check_refused(host, f"oci:{place}/old", 1, "the manifest is of Docker's old schema 1, which is not supported",
                  "push or save the image again with a current tool")


def test_a_platform_that_is_not_there_is_answered_with_those_that_are(host, place):
    layout = oci.Layout(place / "multi")
    layer = layout.layer(oci.Tar().file("a", "b"))
    entries = [layout.image([layer], platform={"os": "linux", "architecture": name}) for name in ("arm64", "amd64")]
    layout.tag("1", layout.index(entries)).save()
    source = f"oci:{place}/multi"
    check_refused(host, source, 3, "there is no image for linux/s390x; there is linux/arm64, linux/amd64",
                  "--platform linux/arm64", ["--platform", "linux/s390x"])
    check_refused(host, source, 1, "platform windows/amd64: machines run Linux only", "--platform linux/amd64",
                  ["--platform", "windows/amd64"])
    check_refused(host, source, 2, "'linux/' is not a platform", "platforms look like linux/amd64 or linux/arm64",
                  ["--platform", "linux/"])
    for platform in ("linux/arm64", "x86_64"):
        host.ok("image", "import", source, "--platform", platform)
    assert sorted(image["platform"] for image in images(host)) == ["linux/amd64", "linux/arm64"]


def test_docker_images_and_manifest_lists_are_images_too(user_host):
    layout = oci.Layout(user_host.folder / "image")
    layer = layout.layer(oci.Tar().file("a", "b"), media_type=oci.DOCKER_LAYER)
    image = layout.image([layer], docker=True)
    layout.tag("latest", layout.index([image], docker=True)).save()
    user_host.ok("image", "import", f"oci:{layout.folder}")


def test_several_images_need_a_tag(host, place):
    layout = oci.Layout(place / "image")
    for tag in "12":
        layout.tag(tag, layout.image([layout.layer(oci.Tar().file("a", tag))]))
    layout.save()
    source = f"oci:{place}/image"
    check_refused(host, source, 3, f"there are several images in {place}/image: 1, 2", f"say which: {source}:1")
    check_refused(host, source + ":3", 3, f"there is no image '3' in {place}/image; there is 1, 2",
                  f"say which: {source}:1")
    assert host.ok("image", "import", source + ":2") == "image:2\n"


def saved_layer(path):
    return oci.Tar().file("etc/name", path).data()


def test_links_between_the_layers_of_docker_save_are_followed(user_host):
    saved = oci.Saved(user_host.folder / "saved.tar")
    layer = saved_layer("a")
    saved.file("one/layer.tar", layer)
    saved.link("two/layer.tar", "../one/layer.tar")
    saved.link("three/layer.tar", "one/layer.tar", tarfile.LNKTYPE)
    saved.image(["x:1"], ["one/layer.tar", "two/layer.tar", "three/layer.tar"], [layer] * 3)
    assert user_host.ok("image", "import", saved.close()) == "x:1\n"
    assert len(records(user_host)[0]["layers"]) == 3


def test_compressed_layers_of_docker_save_are_recognised(user_host):
    saved = oci.Saved(user_host.folder / "saved.tar")
    layers = [saved_layer(name) for name in "abc"]
    packed = [gzip.compress(layers[0], mtime=0), layers[1],
              subprocess.run(["zstd", "-qc"], input=layers[2], stdout=subprocess.PIPE, check=True).stdout]
    for number, data in enumerate(packed):
        saved.file(f"{number}/layer.tar", data)
    saved.image(None, [f"{number}/layer.tar" for number in range(3)], layers)
    assert user_host.ok("image", "import", saved.close()) == "saved:latest\n"


def test_a_tag_chooses_among_saved_images(host, place):
    saved = oci.Saved(place / "saved.tar")
    for name in ("a:1", "b:1", "b:2"):
        layer = saved_layer(name)
        saved.file(name, layer)
        saved.image([name], [name], [layer])
    source = saved.close()
    check_refused(host, source, 3, f"there are several images in {saved.path}: a:1, b:1, b:2",
                  f"say which: {source}:a:1")
    check_refused(host, source + ":1", 3, f"there is no image '1' in {saved.path}; there is a:1, b:1, b:2",
                  f"say which: {source}:a:1")
    assert host.ok("image", "import", source + ":2") == "b:2\n"
    assert host.ok("image", "import", source + ":b:1") == "b:1\n"


def test_a_broken_docker_save_is_refused(host, place):
    layer = saved_layer("a")
    saved = oci.Saved(place / "missing.tar")
    saved.image(["x:1"], ["gone/layer.tar"], [layer])
    check_refused(host, saved.close(), 1, "layer gone/layer.tar is missing", "the archive is incomplete: make it again")
    saved = oci.Saved(place / "digest.tar")
    saved.file("layer.tar", layer)
    saved.image(["x:1"], ["layer.tar"], [layer], "0" * 64 + ".json")
    result = attempt(host, saved.close())
    assert result.returncode == 1 and "the digest of its contents is" in result.stderr
    saved = oci.Saved(place / "outside.tar")
    saved.link("layer.tar", "/../../../../etc/passwd")
    saved.image(["x:1"], ["layer.tar"], [layer])
    check_refused(host, saved.close(), 1, f"{saved.path} holds a name that leads out of it or is too long")
    check_nothing_is_there(host)


def test_hostile_texts_reach_no_terminal(user_host):
    layout = oci.simple(user_host.folder / "image", FILES)
    layout.save(lambda index: index["manifests"][0].update(mediaType="x\n\x1b[2Jy"))
    result = attempt(user_host, f"oci:{layout.folder}")
    assert result.returncode == 1 and len(result.stderr.splitlines()) == 1 and "\x1b" not in result.stderr


def big(folder, megabytes=24):
    """An archive whose disk takes a moment to make."""
    layout = oci.Layout(folder)
    tar = oci.Tar()
    for number in range(megabytes):
        tar.file(f"data/{number}", os.urandom(1 << 19).hex())
    layout.tag("latest", layout.image([layout.layer(tar)])).save()
    return oci.oci_archive(folder, folder.with_suffix(".tar"))


def test_two_imports_at_once_make_one_disk(host, place):
    archive = big(place / "big")
    running = [host.start("image", "import", f"oci-archive:{archive}", "--name", name, text=True) for name in "abc"]
    for name, process in zip("abc", running):
        output, errors = process.communicate(timeout=annex_test.TIMEOUT)
        assert (process.returncode, output) == (0, f"{name}:latest\n"), errors
    image, = images(host)
    assert sorted(image["names"]) == ["a:latest", "b:latest", "c:latest"]
    disk, = bases(host)
    subprocess.run(["e2fsck", "-fn", disk], check=True, stdout=subprocess.DEVNULL)
    assert temporary(host) == []


def wait_for(condition):
    deadline = time.monotonic() + annex_test.TIMEOUT
    while not condition():
        assert time.monotonic() < deadline, "it never came to it"
        time.sleep(0.002)


def end_import(host, archive, number):
    """Ends an import of an image `big` while its disk is made. One that is faster than we are is tried again."""
    for _ in range(20):
        process = host.start("image", "import", f"oci-archive:{archive}", "--name", "big", text=True)
        wait_for(lambda: drafts(host) or process.poll() is not None)
        process.send_signal(number)
        output, errors = process.communicate(timeout=annex_test.TIMEOUT)
        if process.returncode != 0:
            assert (process.returncode, output) == (-number, ""), errors
            return
        host.ok("image", "delete", "big")
    raise AssertionError("imports are always complete before they can be ended")


@pytest.mark.parametrize("moment", ["reading", "unpacking"])
def test_a_killed_import_leaves_nothing_to_the_next(host, place, moment):
    archive = big(place / "big")
    if moment == "reading":
        process = host.start("image", "import", "-", "--name", "big", text=False)
        process.stdin.write(archive.read_bytes()[:10 << 20])
        wait_for(lambda: any(path.stat().st_size > 1 << 20 for path in (host.data / "images" / "tmp").rglob("*")))
        process.kill()
        process.communicate()
        assert len(temporary(host)) == 1 and bases(host) == []
    else:
        end_import(host, archive, signal.SIGKILL)
    assert records(host) == []
    assert host.ok("image", "list", "-q") == ""
    assert temporary(host) == []
    assert host.ok("image", "import", f"oci-archive:{archive}", "--name", "big") == "big:latest\n"
    subprocess.run(["e2fsck", "-fn", *bases(host)], check=True, stdout=subprocess.DEVNULL)
    assert drafts(host) == []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_import_leaves_complete_layers_at_most(host, place, number):
    end_import(host, big(place / "big"), number)
    assert (records(host), temporary(host)) == ([], [])
    host.ok("image", "prune", "--force")
    check_nothing_is_there(host)


@pytest.mark.skipif(os.geteuid() != 0, reason="a small file system can be mounted by root only")
def test_no_space_left_is_said_and_nothing_stays(host, place):
    archive = big(place / "big", 4)
    host.data.mkdir()
    options = f"size=5m,uid={host.account.uid},gid={host.account.gid},mode=700"
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", options, "annex-test", host.data], stderr=subprocess.PIPE, text=True)
    if mounted.returncode != 0:
        pytest.skip(f"a small file system can't be mounted here: {mounted.stderr.strip()}")
    try:
        hint = f"make room in {host.data}: annex image prune --all, or annex image delete NAME"
        for source in (f"oci-archive:{archive}", f"oci:{place}/big"):
            result = attempt(host, source)
            assert (result.returncode, result.stdout) == (1, "")
            first, second = result.stderr.splitlines()
            assert first.startswith(f"annex: cannot import {source}: ") and first.endswith("No space left on device"), first
            assert second == f"hint: {hint}"
            check_nothing_is_there(host)
    finally:
        subprocess.run(["umount", host.data], check=True)


def test_a_damaged_record_is_named(user_host):
    oci.simple(user_host.folder / "image", FILES)
    user_host.ok("image", "import", f"oci:{user_host.folder}/image")
    record, = (user_host.data / "images" / "records").iterdir()
    record.write_text("{}")
    result = user_host.annex("image", "list")
    assert result.returncode == 1 and record.name in result.stderr and f"rm '{record}'" in result.stderr


def test_the_store_is_private(user_host):
    oci.simple(user_host.folder / "image", FILES)
    user_host.ok("image", "import", f"oci:{user_host.folder}/image")
    for path in (user_host.data / "images").rglob("*"):
        assert path.stat().st_mode & 0o077 == 0, path
    assert all(path.stat().st_mode & 0o777 == 0o400 for path in bases(user_host))


def fake_kernel(host):
    """A kernel that is enough to make machines, which are not started."""
    path = host.file("vmlinux", test_kernel.elf_kernel(), 0o644)
    host.ok("kernel", "install", "--file", path)


def test_a_disk_stays_while_a_machine_uses_it(host, place):
    fake_kernel(host)
    oci.simple(place / "one", FILES)
    host.ok("create", "--no-boot", f"oci:{place}/one", "-n", "web")
    host.ok("image", "import", f"oci:{place}/one", "--name", "later")
    host.ok("create", "--no-boot", "one", "-n", "other")
    assert [machine["image"] for machine in json.loads(host.ok("inspect", "web", "other"))] == ["one:latest"] * 2
    disk, = bases(host)
    for name in ("one", "later"):
        host.ok("image", "delete", name)
    assert (bases(host), images(host)) == ([disk], [])
    host.ok("delete", "-f", "web")
    assert bases(host) == [disk]
    record = host.data / "machines" / "other" / "machine.json"
    kept = record.read_text()
    record.write_text("{")
    oci.simple(place / "two", {"a": "b"})
    host.ok("image", "import", f"oci:{place}/two")
    host.ok("image", "delete", "two")
    assert disk in bases(host)
    record.write_text(kept)
    host.ok("delete", "-f", "other")
    assert bases(host) == []


def test_a_machine_is_not_made_from_what_is_no_image(host, place):
    fake_kernel(host)
    result = host.annex("create", "--no-boot", "--pull", "never", "debian:12", "-n", "web")
    annex_test.check_failure(result, 3, "cannot create machine from debian:12: image debian:12 is not here",
                             "annex image pull debian:12")
    archive = host.file("debian.tar", "x")
    result = host.annex("create", "--no-boot", archive, "-n", "web")
    assert result.returncode == 2 and f"hint: for the archive: oci-archive:{archive}" in result.stderr
    oci.simple(place / "one", FILES)
    host.ok("image", "import", f"oci:{place}/one")
    result = host.annex("create", "--no-boot", "--pull", "never", "one", "-n", "web", "--platform", f"linux/{OTHER}")
    annex_test.check_failure(result, 3, f"cannot create machine from one: the image that is here is for {HOST}, not for "
                             f"linux/{OTHER}", f"annex image pull --platform linux/{OTHER} one")
    assert json.loads(host.ok("list", "--format", "json")) == []
