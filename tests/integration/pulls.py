"""What the tests of pulling share: images to pull, and what a host's image store holds."""

import json
import os
import random
import re
import subprocess
import time

import pytest

import annex_test
import oci
import registries
import test_kernel

TIMEOUT = annex_test.TIMEOUT
SCALE = float(os.environ.get("ANNEX_TIMEOUT_SCALE") or 1)
# Clients give up soon, for tests in which they must; or at once, where nothing but waiting is to fail.
SOON = {"ANNEX_TIMEOUT_SCALE": str(0.02 * SCALE)}
AT_ONCE = {"ANNEX_TIMEOUT_SCALE": str(0.006 * SCALE)}


def noise(size, seed=0):
    """Bytes that don't get smaller; the same ones for the same seed."""
    return random.Random(seed).randbytes(size)


def layered(folder, sizes=(20_000, 300_000, 900_000), compression="gzip", tag="latest", lower=()):
    """A layout of one image: a layer of each size (or of what Layers `lower` hold, first)."""
    layout = oci.Layout(folder)
    layers = [*lower, *(layout.layer(oci.Tar().file(f"data/{tag}-{number}", noise(size, f"{tag}-{number}")), compression)
                        for number, size in enumerate(sizes))]
    layout.tag(tag, layout.image(layers, {"Cmd": ["/bin/sh"]})).save()
    layout.layers = layers
    return layout


# Fixtures, for the tests that import them.

@pytest.fixture(scope="module")
def place():
    with registries.Place() as made:
        yield made


@pytest.fixture(scope="module")
def layout(place):
    return layered(place.folder / "image")


def digests(layout, tag=None, platform=None):
    return [layer["digest"] for layer in oci.resolve(layout.folder, tag, platform)["layers"]]


def pull(host, name, *more, scheme=None, env=None, **options):
    words = ["--scheme", scheme] if scheme else []
    return host.annex("image", "pull", "--progress", "none", *words, *more, name, env=env, **options)


def pulled(host, name, *more, **options):
    """Pulls, which must succeed; the one image that then has this name, as `image inspect` shows it."""
    result = pull(host, name, *more, **options)
    assert result.returncode == 0, result.stderr
    described, = json.loads(host.ok("image", "inspect", name))
    return described


def images(host):
    return json.loads(host.ok("image", "list", "--format", "json"))


def store(host):
    """What the store holds: paths and sizes; without locks, which stay."""
    root = host.data / "images"
    return {str(path.relative_to(root)): path.stat().st_size for path in sorted(root.rglob("*"))
            if path.is_file() and not re.search(r"(^|/)lock$|\.lock$", str(path))}


def bases(host):
    return sorted((host.data / "images" / "bases").glob("*.ext4"))


def drafts(host):
    """The parts of a disk that is not finished, by layer: files that the next try goes on with."""
    return [name for name in store(host) if re.fullmatch(r"bases/[0-9a-f]+\.layers/[0-9a-f]{64}", name)]


def check_disks(host):
    for disk in bases(host):
        done = subprocess.run(["e2fsck", "-fn", disk], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                              env={**os.environ, "PATH": os.environ["PATH"] + ":/usr/sbin:/sbin"})
        assert done.returncode == 0, done.stdout


def check_failed(result, status, message, hint):
    """One line of what went wrong, one of what helps (regular expressions), and nothing on standard output."""
    assert (result.returncode, result.stdout) == (status, ""), (result.returncode, result.stdout, result.stderr)
    lines = result.stderr.splitlines()
    assert len(lines) == 2, result.stderr
    assert re.match(r"annex: cannot pull \S+: ", lines[0]), lines[0]
    assert re.search(message, lines[0]), f"{message!r} is not in {lines[0]!r}"
    assert lines[1].startswith("hint: ") and re.search(hint, lines[1]), f"{hint!r} is not in {lines[1]!r}"


def check_nothing_more(host, before):
    """The store is what it was, apart from unfinished layers, which `image prune` removes."""
    now = store(host)
    unfinished = {name for name in now if name not in before}
    assert {name: size for name, size in now.items() if name in before} == before
    assert all(re.match(r"bases/[0-9a-f]+\.(layers/|part$)", name) for name in unfinished), unfinished
    assert not unfinished or drafts(host), f"unfinished without a complete layer: {unfinished}"
    host.ok("image", "prune", "--force")
    assert store(host) == before
    assert not list((host.data / "images" / "tmp").glob("*"))


def fake_kernel(host):
    """A kernel that is enough to make machines, which are not started."""
    path = host.file("vmlinux", test_kernel.elf_kernel(), 0o644)
    host.ok("kernel", "install", "--file", path)


def wait_until(condition, what, process=None):
    """Wait for what nobody announces. The deadline, or the end of a process that should bring it about, only ends a test
    that has failed."""
    end = time.monotonic() + TIMEOUT
    while not condition():
        assert not process or process.poll() is None or condition(), f"it ended before {what}: {process.stderr.read()}"
        assert time.monotonic() < end, f"waited in vain until {what}"
        time.sleep(0.01)


def trust(host, registry_host, authority, client=None):
    """Puts an authority (and a client's certificate) where annex looks for a registry's: certs.d."""
    folder = host.folder / "config" / "containers" / "certs.d" / registry_host
    folder.mkdir(parents=True)
    (folder / "ca.crt").write_bytes(authority.ca.read_bytes())
    if client:
        (folder / "client.cert").write_bytes(client.chain.read_bytes())
        (folder / "client.key").write_bytes(client.key.read_bytes())
    for path in (host.folder / "config").rglob("*"):
        os.chown(path, host.account.uid, host.account.gid)


def configure(host, path, content, mode=0o600):
    """Writes a file below the user's home, or below the configuration folder ("config/…")."""
    target = host.folder / (path if path.startswith("config/") else f"home/{path}")
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(content if isinstance(content, str) else json.dumps(content))
    target.chmod(mode)
    while target != host.folder:
        os.chown(target, host.account.uid, host.account.gid)
        target = target.parent
    return host.folder / path


__all__ = ["AT_ONCE", "SOON", "TIMEOUT", "bases", "check_disks", "check_failed", "check_nothing_more", "configure", "digests", "drafts",
           "fake_kernel", "images", "layered", "layout", "noise", "place", "pull", "pulled", "store", "trust", "wait_until"]
