"""annex image pull, and create from a registry: what is asked for, what is not asked for again, and what comes of it."""

import base64
import json
import subprocess

import pytest

import annex_test
import oci
import registries
from pulls import (TIMEOUT, bases, check_disks, check_failed, configure, digests, fake_kernel, images, layered, noise, pull,
                   pulled, store, trust, wait_until)
from registries import fake

ARCH = oci.host_platform()["architecture"]
OTHER = "s390x" if ARCH != "s390x" else "amd64"


@pytest.fixture(scope="module")
def place():
    with registries.Place() as made:
        yield made


@pytest.fixture
def one():
    """A fake registry, which records what it is asked."""
    with fake.Registry() as made:
        yield made


def content(disk, path):
    return subprocess.run(["/usr/sbin/debugfs", "-R", f"cat {path}", disk], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
                          check=True).stdout


def test_an_image_comes_from_a_real_registry_with_layers_of_every_compression(host, place):
    layout = oci.Layout(place.folder / f"mixed-{host.account.name}")
    files = {how: noise(400_000, how) for how in oci.LAYERS}
    layers = [layout.layer(oci.Tar().file(f"data/{how}", data).file("data/who", how), how) for how, data in files.items()]
    layout.tag("1.0", layout.image(layers, {"Cmd": ["/bin/x"], "Env": ["A=b"]})).save()
    name = registries.push(place.registry(), "team/mixed", layout.folder) + ":1.0"
    result = host.annex("image", "pull", name)
    assert (result.returncode, result.stdout) == (0, name + "\n"), result.stderr
    image, = images(host)
    assert image["names"] == [name] and image["platform"] == "linux/" + ARCH
    described, = json.loads(host.ok("image", "inspect", name))
    assert described["config"]["env"] == ["A=b"] and described["config"]["command"] == ["/bin/x"]
    disk, = bases(host)
    check_disks(host)
    assert {how: content(disk, f"data/{how}") for how in files} == files
    assert content(disk, "data/who") == list(oci.LAYERS)[-1].encode()


def test_the_tag_is_latest_when_none_is_given(user_host, one, tmp_path):
    one.serve("app", layered(tmp_path / "image", [100]).folder)
    assert pull(user_host, f"{one.host}/app").stdout == f"{one.host}/app:latest\n"
    assert one.count(part="/manifests/latest") > 0


def test_an_image_that_did_not_change_costs_one_head_request(host, one, tmp_path):
    name = one.serve("team/app", layered(tmp_path / "image").folder)
    first = pulled(host, name)
    assert one.count("GET", "/blobs/") == 4  # three layers and the configuration
    before = store(host)
    for _ in range(2):
        one.reset()
        assert pulled(host, name)["id"] == first["id"]
        assert [(request.method, request.path) for request in one.requests] == [("HEAD", "/v2/team/app/manifests/latest")]
    assert store(host) == before


def test_create_pulls_what_is_missing_always_or_never(host, one, tmp_path):
    fake_kernel(host)
    name = one.serve("team/app", layered(tmp_path / "image").folder)

    def create(machine, *more):
        one.reset()
        return host.annex("create", "--no-boot", "--progress", "none", name, "-n", machine, *more)

    result = create("early", "--pull", "never")
    assert (result.returncode, one.requests) == (3, []), result.stderr
    assert f"annex image pull {name}" in result.stderr
    result = create("first")
    assert (result.returncode, result.stdout) == (0, "first\n"), result.stderr
    assert one.count("GET", "/blobs/") == 4
    for more in ([], ["--pull", "missing"], ["--pull", "never"]):
        result = create(f"again{len(more)}{more[-1:] == ['never']}".lower(), *more)
        assert (result.returncode, one.requests) == (0, []), result.stderr
    assert create("always", "--pull", "always").returncode == 0
    assert [request.method for request in one.requests] == ["HEAD"]
    assert create("wrong", "--pull", "sometimes").returncode == 2


def test_a_tag_that_moved_is_followed(host, one, tmp_path):
    fake_kernel(host)
    old = layered(tmp_path / "old")
    name = one.serve("team/app", old.folder)
    first = pulled(host, name)
    new = layered(tmp_path / "new", [5_000])
    one.serve("team/app", new.folder)
    host.ok("create", "--no-boot", name, "-n", "web")
    one.reset()
    second = pulled(host, name)
    assert second["id"] != first["id"] and one.count("HEAD", "/manifests/") == 1
    assert {image["id"]: image["names"] for image in images(host)} == {first["id"]: [], second["id"]: [f"{name}:latest"]}
    host.ok("create", "--no-boot", name, "-n", "other")
    machines = json.loads(host.ok("inspect", "web", "other"))
    assert [machine["imageId"] for machine in machines] == [first["id"], second["id"]]
    host.ok("image", "delete", first["id"])
    assert len(bases(host)) == 2
    host.ok("delete", "-f", "web")
    assert len(bases(host)) == 1


def test_a_digest_names_the_image_for_ever(host, one, tmp_path):
    layout = layered(tmp_path / "image")
    index, = json.loads((layout.folder / "index.json").read_bytes())["manifests"]
    name = f"{one.serve('team/app', layout.folder)}@{index['digest']}"
    assert pulled(host, name)["digest"] == index["digest"]
    assert one.count(part="/manifests/latest") == 0
    one.reset()
    pulled(host, name)
    assert one.requests == []
    other = name[:-64] + "0" * 64
    result = pull(host, other)
    assert result.returncode == 3, result.stderr


def platforms(folder):
    """A nested index of images for several platforms; each holds its own name."""
    layout = oci.Layout(folder)

    def image(*names):
        platform = dict(zip(("os", "architecture", "variant"), names))
        return layout.image([layout.layer(oci.Tar().file("platform", "/".join(names)))], platform=platform)

    arms = layout.index([image("linux", "arm", "v6"), image("linux", "arm", "v7"), image("linux", "arm64", "v8")])
    rest = [image("windows", ARCH), image("linux", ARCH), image("linux", "s390x" if ARCH != "s390x" else "amd64")]
    layout.tag("latest", layout.index([arms, *rest])).save()
    return layout


@pytest.mark.parametrize("wanted, found", [
    (None, f"linux/{ARCH}"), ("linux/arm/v7", "linux/arm/v7"), ("linux/arm/v6", "linux/arm/v6"), ("linux/arm64", "linux/arm64/v8"),
    ("linux/arm64/v8", "linux/arm64/v8"), (f"linux/{OTHER}", f"linux/{OTHER}")])
def test_the_platform_is_chosen_from_nested_indexes(user_host, one, tmp_path, wanted, found):
    name = one.serve("team/app", platforms(tmp_path / "image").folder)
    more = ["--platform", wanted] if wanted else []
    described = pulled(user_host, name, *more)
    assert described["platform"] == found
    disk, = bases(user_host)
    assert content(disk, "platform").decode() == found
    one.reset()
    pulled(user_host, name, *more)
    assert [request.method for request in one.requests] == ["HEAD"]


def test_another_platform_is_another_image(user_host, one, tmp_path):
    fake_kernel(user_host)
    name = one.serve("team/app", platforms(tmp_path / "image").folder)
    pulled(user_host, name)
    assert pulled(user_host, name, "--platform", "linux/arm64")["platform"] == "linux/arm64/v8"
    result = pull(user_host, name, "--platform", "linux/mips64le")
    assert result.returncode == 3 and "linux/mips64le" in result.stderr and "linux/arm/v7" in result.stderr, result.stderr


def test_arch_of_create_chooses_too(user_host, one, tmp_path):
    fake_kernel(user_host)
    name = one.serve("team/app", platforms(tmp_path / "image").folder)
    result = user_host.annex("create", "--no-boot", "--arch", "mips64le", name, "-n", "web")
    assert result.returncode == 3 and "linux/mips64le" in result.stderr, result.stderr
    user_host.ok("create", "--no-boot", "--arch", ARCH, name, "-n", "web")


def test_what_builders_attest_beside_an_image_is_no_choice(user_host, one, tmp_path):
    layout = oci.Layout(tmp_path / "image")
    image = layout.image([layout.layer(oci.Tar().file("a", "b"))])
    statement = oci.Layer(layout.blob({"predicate": {}}, "application/vnd.in-toto+json"), "sha256:" + "0" * 64)
    attested = layout.image([statement], platform={"architecture": "unknown", "os": "unknown"})
    attested["annotations"] = {"vnd.docker.reference.digest": image["digest"],
                               "vnd.docker.reference.type": "attestation-manifest"}
    layout.tag("latest", layout.index([attested, image])).save()
    name = one.serve("team/app", layout.folder)
    assert pulled(user_host, name)["digest"] == image["digest"]
    result = pull(user_host, name, "--platform", "linux/mips64le")
    assert result.returncode == 3 and "unknown" not in result.stderr, result.stderr


def test_an_image_of_one_other_platform_is_not_taken_for_ours(user_host, one, tmp_path):
    layout = oci.Layout(tmp_path / "image")
    layer = layout.layer(oci.Tar().file("a", "b"))
    layout.tag("latest", layout.image([layer], platform={"architecture": OTHER, "os": "linux"})).save()
    name = one.serve("team/app", layout.folder)
    check_failed(pull(user_host, name), 3, f"linux/{OTHER}", f"--platform linux/{OTHER}|--arch {OTHER}")
    assert store(user_host) == {} and one.count(part=layer.descriptor["digest"]) == 0
    assert pulled(user_host, name, "--platform", f"linux/{OTHER}")["platform"] == f"linux/{OTHER}"


def test_short_names_are_docker_hub_s(user_host, one, tmp_path):
    one.serve("library/app", layered(tmp_path / "image").folder)
    configure(user_host, "config/containers/registries.conf", f'[[registry]]\nprefix = "docker.io"\nlocation = "{one.host}"\n')
    for name in ("app", "library/app", "docker.io/app:latest", "docker.io/library/app"):
        assert pull(user_host, name).stdout == "app:latest\n"
    assert one.count("GET", "/v2/library/app/blobs/") == 4 and images(user_host)[0]["names"] == ["app:latest"]


def test_docker_media_types_are_as_good(user_host, place, tmp_path):
    layout = oci.Layout(tmp_path / "image")
    layer = layout.layer(oci.Tar().file("a", "b"), media_type=oci.DOCKER_LAYER)
    layout.tag("latest", layout.index([layout.image([layer], docker=True)], docker=True)).save()
    name = registries.push(place.registry(), "team/docker", layout.folder)
    pulled(user_host, name)
    disk, = bases(user_host)
    assert content(disk, "a") == b"b"


def test_layers_of_another_image_are_not_downloaded_again(host, one, tmp_path):
    first = layered(tmp_path / "first")
    pulled(host, one.serve("team/first", first.folder))
    second = oci.Layout(tmp_path / "second")
    for layer in first.layers:
        second.path(layer.descriptor).write_bytes(first.path(layer.descriptor).read_bytes())
    top = second.layer(oci.Tar().file("data/top", "new").whiteout("data/latest-0"))
    second.tag("latest", second.image([*first.layers, top])).save()
    one.reset()
    pulled(host, one.serve("team/second", second.folder))
    config = oci.resolve(second.folder)["config"]["digest"]
    assert {request.path.rsplit("/", 1)[1] for request in one.asked("GET", "/blobs/")} == {config, top.descriptor["digest"]}
    check_disks(host)
    names = [content(disk, "data/top") for disk in bases(host)]
    assert sorted(names) == [b"", b"new"]
    for disk in bases(host):
        assert content(disk, "data/latest-2") == noise(900_000, "latest-2")


def test_a_layer_that_an_image_repeats_is_right_both_times(user_host, one, tmp_path):
    layout = oci.Layout(tmp_path / "image")
    a, b = (layout.layer(oci.Tar().file("same", text).file(text, text * 50_000)) for text in "ab")
    empty = layout.layer(oci.Tar())
    layout.tag("latest", layout.image([a, empty, b, empty, a])).save()
    pulled(user_host, one.serve("app", layout.folder))
    disk, = bases(user_host)
    assert (content(disk, "same"), content(disk, "b")) == (b"a", b"b" * 50_000)


def test_an_image_without_layers_is_an_empty_disk(user_host, one, tmp_path):
    layout = oci.Layout(tmp_path / "image")
    layout.tag("latest", layout.image([])).save()
    result = pull(user_host, one.serve("app", layout.folder))
    # Nothing can be run from it: either it is refused as a whole or there is a disk.
    assert result.returncode == (0 if bases(user_host) else 1), result.stderr


def test_deleting_an_image_keeps_the_machines_made_from_it(host, one, tmp_path):
    fake_kernel(host)
    name = one.serve("team/app", layered(tmp_path / "image").folder)
    host.ok("create", "--no-boot", name, "-n", "web")
    host.ok("image", "delete", name)
    assert images(host) == [] and len(bases(host)) == 1
    host.ok("image", "prune", "--all", "--force")
    check_disks(host)
    disk = host.data / "machines" / "web" / "disk.qcow2"
    subprocess.run(["qemu-img", "check", disk], check=True, stdout=subprocess.DEVNULL)
    host.ok("delete", "-f", "web")
    assert bases(host) == []


@pytest.mark.parametrize("command", [["create", "--no-boot", "-n"], ["image", "pull"]], ids=["create", "pull"])
def test_the_same_image_at_once_is_downloaded_once(host, one, tmp_path, command):
    fake_kernel(host)
    layout = layered(tmp_path / "image")
    name = one.serve("team/app", layout.folder)
    one.on("/blobs/" + digests(layout)[2], pace=(100_000, 0.05))
    words = [[*command, f"m{number}"] if command[0] == "create" else command for number in range(3)]
    running = [host.start(*words[number], name, text=True) for number in range(3)]
    for process in running:
        output, errors = process.communicate(timeout=TIMEOUT)
        assert process.returncode == 0, errors
    for digest in digests(layout):
        assert one.count("GET", digest) == 1
    assert len(images(host)) == len(bases(host)) == 1
    check_disks(host)


def test_different_images_at_once_don_t_disturb_each_other(user_host, one, tmp_path):
    names = []
    for number in range(4):
        layout = layered(tmp_path / f"image{number}", [200_000, 100 + number])
        names.append(one.serve(f"team/app{number}", layout.folder))
    running = [user_host.start("image", "pull", name, text=True) for name in names]
    for process in running:
        output, errors = process.communicate(timeout=TIMEOUT)
        assert process.returncode == 0, errors
    assert len(images(user_host)) == len(bases(user_host)) == 4
    check_disks(user_host)


def test_pulls_deletes_and_prunes_at_once_agree(user_host, one, tmp_path):
    first = layered(tmp_path / "first")
    second = oci.Layout(tmp_path / "second")
    for layer in first.layers:
        second.path(layer.descriptor).write_bytes(first.path(layer.descriptor).read_bytes())
    second.tag("latest", second.image([*first.layers, second.layer(oci.Tar().file("top", "new"))])).save()
    names = [one.serve("first", first.folder), one.serve("second", second.folder)]
    words = [*(["image", "pull", name] for name in names * 2), *(["image", "delete", name] for name in names),
             ["image", "prune", "--force"], ["image", "prune", "--all", "--force"], ["image", "list"], ["df"]]
    for _ in range(3):
        running = [(command, user_host.start(*command, text=True)) for command in words]
        for command, process in running:
            _, errors = process.communicate(timeout=TIMEOUT)
            # Who comes too late to delete something is told so.
            assert process.returncode in ((0, 3) if "delete" in command else (0,)), (command, errors)
        check_disks(user_host)
    for name in names:
        pulled(user_host, name)
    check_disks(user_host)
    assert sorted(content(disk, "top") for disk in bases(user_host)) == [b"", b"new"]
    user_host.ok("image", "delete", *names)
    assert store(user_host) == {}


@pytest.mark.parametrize("fault", [{"method": "HEAD", "status": 405},
                                   {"headers": {"Docker-Content-Digest": None}}, {"method": "HEAD", "status": 501}],
                         ids=["405", "no digest", "501"])
def test_registries_without_head_or_digest_are_served_too(user_host, one, tmp_path, fault):
    layout = layered(tmp_path / "image")
    name = one.on("/manifests/", **fault).serve("team/app", layout.folder)
    pulled(user_host, name)
    before = len(one.requests)
    pulled(user_host, name)
    assert not [request for request in one.requests[before:] if "/blobs/" in request.path]


@pytest.mark.parametrize("fault", [{"chunked": True}, {"length": None}, {"pace": (20_000, 0.001)},
                                   {"headers": {"Docker-Content-Digest": None}, "type": "text/plain"},
                                   {"no_range": True}], ids=["chunked", "no length", "slow", "bare", "no ranges"])
def test_blobs_come_in_every_way_that_http_has(user_host, one, tmp_path, fault):
    layout = layered(tmp_path / "image")
    pulled(user_host, one.on("/blobs/", **fault).serve("team/app", layout.folder))
    check_disks(user_host)


@pytest.mark.parametrize("secure", [True, False], ids=["https", "http"])
def test_layers_that_are_not_distributed_come_from_their_addresses(user_host, place, one, tmp_path, secure):
    layout = oci.Layout(tmp_path / "image")
    layer = layout.layer(oci.Tar().file("base", "b" * 1000), media_type=oci.OCI + "layer.nondistributable.v1.tar+gzip")
    digest = layer.descriptor["digest"]
    certificate = place.authority.certificate(hosts=["127.0.0.2"]) if secure else None
    with fake.Registry(address="127.0.0.2", tls=certificate) as elsewhere:
        other = layered(tmp_path / "other")
        other.path(digest).write_bytes(layout.path(digest).read_bytes())
        elsewhere.serve("other", other.folder)
        trust(user_host, elsewhere.host, place.authority)
        layer.descriptor["urls"] = [f"{elsewhere.url}/v2/other/blobs/{digest}"]
        layout.tag("latest", layout.image([layer])).save()
        layout.path(digest).unlink()
        name = one.serve("team/app", layout.folder)
        # Strangers' addresses are trusted with nothing: HTTPS only.
        if not secure:
            check_failed(pull(user_host, name), 3, digest[:19], ".")
            assert elsewhere.requests == []
            return
        pulled(user_host, name)
        assert elsewhere.count("GET", digest) == 1 and elsewhere.requests[0].authorization is None
    disk, = bases(user_host)
    assert content(disk, "base") == b"b" * 1000


def test_what_a_descriptor_brings_along_is_not_asked_for(user_host, one, tmp_path):
    layout = oci.Layout(tmp_path / "image")
    layer = layout.layer(oci.Tar().file("a", "b"))

    def embed(manifest):
        manifest["config"]["data"] = base64.b64encode(layout.path(manifest["config"]).read_bytes()).decode()

    layout.tag("latest", layout.image([layer], change=embed)).save()
    pulled(user_host, one.serve("app", layout.folder))
    assert one.count(part=oci.resolve(layout.folder)["config"]["digest"]) == 0


def test_a_terminal_shows_progress_and_a_pipe_one_line_per_step(user_host, one, tmp_path):
    name = one.serve("team/app", layered(tmp_path / "image").folder)
    result = user_host.annex("image", "pull", name)
    assert result.returncode == 0 and "\x1b" not in result.stderr and result.stderr.count("\n") < 30, result.stderr
    user_host.ok("image", "delete", name)
    shown = user_host.terminal(annex_test.ANNEX, "image", "pull", name)
    shown.expect(name + ":latest")
    shown.wait()
    assert shown.exitstatus == 0


def test_a_configuration_of_nothing_changes_nothing(user_host, one, tmp_path):
    configure(user_host, ".docker/config.json", {})
    configure(user_host, "config/containers/registries.conf", "")
    pulled(user_host, one.serve("team/app", layered(tmp_path / "image").folder))


def test_waiting_for_another_s_download_can_be_interrupted(user_host, one, tmp_path):
    layout = layered(tmp_path / "image")
    name = one.on("/blobs/" + digests(layout)[2], times=1, stall=1000).serve("team/app", layout.folder)
    first = user_host.start("image", "pull", name, text=True)
    wait_until(lambda: one.count("GET", digests(layout)[2]), "the first one downloads", first)
    second = user_host.start("image", "pull", name, text=True)
    wait_until(lambda: one.count("GET", oci.resolve(layout.folder)["config"]["digest"]) == 2, "the second one waits", second)
    second.terminate()
    output, errors = second.communicate(timeout=TIMEOUT)
    assert second.returncode != 0 and output == ""
    assert first.poll() is None
    first.terminate()
    first.communicate(timeout=TIMEOUT)
    pulled(user_host, name)
