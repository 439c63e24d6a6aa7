"""Guest kernels: installed from packages and files, listed, chosen, deleted, and booted with their initramfs."""

import hashlib
import json
import os
import pathlib
import pwd
import re
import shutil
import signal
import struct
import subprocess
import time
import zlib

import pytest

TESTS = pathlib.Path(__file__).resolve().parent.parent
RELEASE = "6.9.1-test"
USAGE, NOT_FOUND, NETWORK, CORRUPT, UNSUPPORTED, CANCELLED = 2, 3, 7, 8, 9, 11


def build_folder():
    return pathlib.Path(os.environ.get("ANNEX_BUILD", TESTS.parent / "build"))


def elf_kernel(release=RELEASE, pvh=True, virtio=True, machine=None):
    """The smallest ELF file that passes for a kernel of this host."""
    if machine is None:
        machine = 183 if os.uname().machine == "aarch64" else 62
    image = bytearray(16384)
    struct.pack_into("<4sBBB9xHHIQQQIHHHHHH", image, 0, b"\x7fELF", 2, 1, 1, 2, machine, 1, 0, 64, 0, 0, 64, 56, 2, 0, 0, 0)
    struct.pack_into("<IIQQQQQQ", image, 64, 1, 5, 4096, 0, 0, 8192, 8192, 0)
    struct.pack_into("<IIQQQQQQ", image, 120, 4, 4, 512, 0, 0, 16, 16, 4)
    struct.pack_into("<III4s", image, 512, 4, 4, 18 if pvh else 17, b"Xen\0")
    banner = f"Linux version {release} (x@y) #1".encode()
    image[5000 : 5000 + len(banner)] = banner
    if virtio:
        image[6000:6012] = b"\0virtio_blk\0"
    return bytes(image)


def bzimage(kernel, release=RELEASE):
    packer = zlib.compressobj(9, zlib.DEFLATED, 31)
    payload = packer.compress(kernel) + packer.flush()
    image = bytearray(1024) + payload + bytes(512)
    image[0x1F1] = 1
    image[0x202:0x208] = b"HdrS\x0f\x02"
    struct.pack_into("<H", image, 0x20E, 0x180)
    image[0x380 : 0x380 + len(release) + 3] = release.encode() + b" x\0"
    struct.pack_into("<II", image, 0x248, 0, len(payload))
    return bytes(image)


def module(info):
    """A module with this .modinfo."""
    text = "".join(f"{line}\0" for line in info).encode()
    image = bytearray(512) + text
    struct.pack_into("<4sBBB9xHHIQQQIHHHHHH", image, 0, b"\x7fELF", 2, 1, 1, 1, 62, 1, 0, 0, 64, 0, 64, 0, 0, 64, 3, 2)
    struct.pack_into("<IIQQQQIIQQ", image, 128, 1, 1, 0, 0, 512, len(text), 0, 0, 1, 0)
    struct.pack_into("<IIQQQQIIQQ", image, 192, 10, 3, 0, 0, 400, 20, 0, 0, 1, 0)
    image[400:420] = b"\0.modinfo\0.shstrtab\0"
    return bytes(image)


def modules_tree(folder, release=RELEASE):
    """lib/modules/RELEASE as modules_install makes it, without what depmod adds."""
    where = folder / "lib/modules" / release
    (where / "kernel/virtio").mkdir(parents=True)
    magic = f"vermagic={release} SMP"
    (where / "kernel/virtio/virtio_blk.ko").write_bytes(module([magic, "depends=virtio"]))
    (where / "kernel/virtio/virtio.ko").write_bytes(module([magic, "depends=virtio_ring"]))
    (where / "kernel/virtio/virtio_ring.ko").write_bytes(module([magic, "depends="]))
    (where / "modules.order").write_text("kernel/virtio/virtio.ko\n")
    (where / "modules.builtin").write_text("kernel/virtio_console.ko\nkernel/ext4.ko\n")
    (where / "build").symlink_to("/usr/src/nothing")
    return where


def package(folder, name, tree, compression="xz"):
    control = tree / "DEBIAN/control"
    control.parent.mkdir(exist_ok=True)
    control.write_text(f"Package: {name}\nVersion: 1\nArchitecture: all\nMaintainer: x <x@y>\nDescription: x\n")
    path = folder / f"{name}_1_all.deb"
    subprocess.run(["dpkg-deb", "--root-owner-group", f"-Z{compression}", "-b", tree, path], check=True,
                   stdout=subprocess.DEVNULL)
    return path


def kernel_package(folder, release=RELEASE, compression="xz", with_modules=True, kernel=None):
    tree = folder / f"tree-{release}"
    (tree / "boot").mkdir(parents=True)
    (tree / "boot" / f"vmlinuz-{release}").write_bytes(bzimage(kernel or elf_kernel(release, virtio=False), release))
    if with_modules:
        modules_tree(tree, release)
    return package(folder, f"linux-image-{release}", tree, compression)


class Tool:
    def __init__(self, folder):
        self.folder = folder
        self.command = [build_folder() / "tests/kernel-tool", folder]

    def run(self, *arguments, **options):
        return subprocess.run([*self.command, *arguments], capture_output=True, text=True, **options)

    def ok(self, *arguments, **options):
        done = self.run(*arguments, **options)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def fails(self, kind, *arguments, **options):
        """One line, of that kind, and perhaps a hint; returns both."""
        done = self.run(*arguments, **options)
        assert done.returncode == 1, (done.stdout, done.stderr)
        lines = [line for line in done.stderr.splitlines() if not line.startswith(("reading", "copying", "unpacking", "down"))]
        assert lines[0].startswith(f"{kind}: "), lines
        assert len(lines) == 1 or (len(lines) == 2 and lines[1].startswith("hint: ")), lines
        return "\n".join(lines)

    def contents(self):
        """All there is but locks, to see that nothing half-made stays."""
        return sorted(str(p.relative_to(self.folder)) for p in self.folder.rglob("*") if p.name != "lock")


@pytest.fixture
def tool(tmp_path):
    return Tool(tmp_path / "kernels")


@pytest.fixture
def agent(tmp_path):
    path = tmp_path / "agent"
    path.write_bytes(b"\x7fELF and so on")
    return path


needs_dpkg = pytest.mark.skipif(not shutil.which("dpkg-deb"), reason="dpkg-deb is not installed")


@needs_dpkg
@pytest.mark.parametrize("compression", ["xz", "zstd", "gzip", "none"])
def test_a_package_is_installed_with_its_modules_and_their_index(tool, tmp_path, compression):
    deb = kernel_package(tmp_path, compression=compression)
    out = tool.ok("install", "--deb", deb)
    assert out.startswith(f"{RELEASE} {RELEASE} default\n")
    assert f"source package {deb.name}" in out
    folder = tool.folder / RELEASE
    assert (folder / "vmlinux").read_bytes() == elf_kernel(virtio=False)
    modules = folder / "lib/modules" / RELEASE
    assert not (modules / "build").exists() and not (modules / "build").is_symlink()
    assert "kernel/virtio/virtio_blk.ko: kernel/virtio/virtio.ko kernel/virtio/virtio_ring.ko" in (
        modules / "modules.dep"
    ).read_text()


@needs_dpkg
def test_modules_in_a_package_of_their_own_are_found_beside(tool, tmp_path):
    deb = kernel_package(tmp_path, with_modules=False)
    said = tool.fails(NOT_FOUND, "install", "--deb", deb)
    assert f"hint: put linux-modules-{RELEASE}_" in said
    modules_tree(tmp_path / "modules")
    package(tmp_path, f"linux-modules-{RELEASE}", tmp_path / "modules")
    assert f"lib/modules/{RELEASE}\n" in tool.ok("install", "--deb", deb)


@needs_dpkg
def test_a_package_cut_off_anywhere_is_corrupt_and_leaves_nothing(tool, tmp_path):
    whole = kernel_package(tmp_path).read_bytes()
    cut = tmp_path / "cut.deb"
    for size in range(9, len(whole) - 200, len(whole) // 12):
        cut.write_bytes(whole[:size])
        tool.fails(CORRUPT, "install", "--deb", cut)
        assert tool.contents() == []


@needs_dpkg
def test_a_damaged_package_is_corrupt(tool, tmp_path):
    damaged = bytearray(kernel_package(tmp_path).read_bytes())
    middle = len(damaged) - 300
    damaged[middle : middle + 40] = b"x" * 40
    path = tmp_path / "damaged.deb"
    path.write_bytes(damaged)
    tool.fails(CORRUPT, "install", "--deb", path)
    assert tool.contents() == []


def test_what_is_no_package_is_refused(tool, tmp_path):
    for name, content in (("empty.deb", b""), ("text.deb", b"hello world\n" * 9)):
        (tmp_path / name).write_bytes(content)
        assert "is not a Debian package" in tool.fails(USAGE, "install", "--deb", tmp_path / name)
    tool.fails(USAGE, "install", "--deb", tmp_path)
    tool.fails(NOT_FOUND, "install", "--deb", tmp_path / "missing.deb")
    (tmp_path / "library.a").write_bytes(ar([("object.o", b"x")]))
    assert "is not a Debian package" in tool.fails(USAGE, "install", "--deb", tmp_path / "library.a")
    assert tool.contents() == []


@needs_dpkg
def test_a_package_without_a_kernel_is_refused(tool, tmp_path):
    (tmp_path / "meta/usr/share/doc").mkdir(parents=True)
    deb = package(tmp_path, "linux-image-meta", tmp_path / "meta")
    assert "the package holds no kernel" in tool.fails(USAGE, "install", "--deb", deb)


def ar(members):
    return b"!<arch>\n" + b"".join(
        f"{name:<16}{0:<12}{0:<6}{0:<6}{100644:<8}{len(data):<10}`\n".encode() + data + b"\n" * (len(data) % 2)
        for name, data in members
    )


@pytest.mark.parametrize("name", ["lib/modules/../../../evil", "lib/modules/6.9.1-test/../../../../evil", "../evil",
                                  "lib/modules/evil", "lib/modules/.hidden/evil"])
def test_a_package_that_leads_out_of_its_folder_is_refused(tool, tmp_path, name):
    import io
    import tarfile

    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w") as tar:
        entry = tarfile.TarInfo(name)
        entry.size = 4
        tar.addfile(entry, io.BytesIO(b"evil"))
    path = tmp_path / "evil.deb"
    path.write_bytes(ar([("debian-binary", b"2.0\n"), ("control.tar", b""), ("data.tar", data.getvalue())]))
    tool.fails(CORRUPT, "install", "--deb", path)
    assert tool.contents() == []
    assert not list(tmp_path.rglob("evil"))


def test_a_link_in_a_package_is_not_followed(tool, tmp_path):
    import io
    import tarfile

    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w") as tar:
        link = tarfile.TarInfo(f"lib/modules/{RELEASE}/kernel")
        link.type = tarfile.SYMTYPE
        link.linkname = str(tmp_path)
        tar.addfile(link)
        entry = tarfile.TarInfo(f"lib/modules/{RELEASE}/kernel/evil")
        entry.size = 4
        tar.addfile(entry, io.BytesIO(b"evil"))
    path = tmp_path / "link.deb"
    path.write_bytes(ar([("debian-binary", b"2.0\n"), ("data.tar", data.getvalue())]))
    tool.fails(USAGE, "install", "--deb", path)
    assert not (tmp_path / "evil").exists()


def test_a_file_is_installed_with_the_modules_it_is_given(tool, tmp_path):
    kernel = tmp_path / "vmlinuz"
    kernel.write_bytes(bzimage(elf_kernel(virtio=False)))
    modules = modules_tree(tmp_path)
    assert "add --modules" in tool.fails(UNSUPPORTED, "install", "--file", kernel)
    tool.fails(USAGE, "install", "--file", kernel, "--modules", tmp_path)
    tool.fails(NOT_FOUND, "install", "--file", kernel, "--modules", tmp_path / "none")
    tool.fails(USAGE, "install", "--file", kernel, "--modules", kernel)
    assert tool.contents() == []
    out = tool.ok("install", "--file", kernel, "--modules", modules)
    assert f"modules {tool.folder}/{RELEASE}/lib/modules/{RELEASE}\n" in out
    assert f"source {kernel}\n" in out


def test_modules_of_another_kernel_are_refused(tool, tmp_path):
    kernel = tmp_path / "vmlinuz"
    kernel.write_bytes(bzimage(elf_kernel(virtio=False)))
    modules = modules_tree(tmp_path, "5.0-other")
    said = tool.fails(USAGE, "install", "--file", kernel, "--modules", modules)
    assert "the modules are for kernel 5.0-other, not for 6.9.1-test" in said


def test_a_kernel_without_pvh_is_booted_by_its_bzimage(tool, tmp_path):
    kernel = tmp_path / "vmlinuz"
    kernel.write_bytes(bzimage(elf_kernel(pvh=False)))
    assert f"image {tool.folder}/{RELEASE}/vmlinuz\n" in tool.ok("install", "--file", kernel)
    assert (tool.folder / RELEASE / "vmlinuz").read_bytes() == kernel.read_bytes()


def install(tool, tmp_path, release, *options):
    kernel = tmp_path / f"vmlinux-{release}"
    kernel.write_bytes(elf_kernel(release))
    return tool.ok("install", "--file", kernel, *options)


def test_the_first_kernel_is_the_default_and_others_on_demand(tool, tmp_path):
    assert tool.ok("list") == ""
    assert "hint: annex kernel install" in tool.fails(NOT_FOUND, "open")
    install(tool, tmp_path, "6.10.0")
    install(tool, tmp_path, "6.9.0")
    assert tool.ok("list") == "6.9.0\n6.10.0 default\n"
    install(tool, tmp_path, "6.11.0", "--default")
    assert tool.ok("list") == "6.9.0\n6.10.0\n6.11.0 default\n"
    tool.ok("set", "6.9.0")
    assert tool.ok("open").startswith("6.9.0 6.9.0 default\n")
    for name in ("6.8", "..", ".files", "", "-x"):
        assert "hint: annex kernel list" in tool.fails(NOT_FOUND, "set", name)
        tool.fails(NOT_FOUND, "delete", name)
        tool.fails(NOT_FOUND, "check", name)


def test_deleting_the_default_passes_it_to_the_newest(tool, tmp_path):
    for release in ("6.9.0", "6.10.0", "6.8.0"):
        install(tool, tmp_path, release)
    tool.ok("delete", "6.9.0")
    assert tool.ok("list") == "6.8.0\n6.10.0 default\n"
    tool.ok("delete", "6.8.0")
    tool.ok("delete", "6.10.0")
    assert tool.contents() == []
    tool.fails(NOT_FOUND, "open")


def test_the_same_kernel_stays_and_another_of_that_release_replaces_it(tool, tmp_path):
    install(tool, tmp_path, "6.9.0")
    before = os.stat(tool.folder / "6.9.0/vmlinux").st_ino
    install(tool, tmp_path, "6.9.0")
    assert os.stat(tool.folder / "6.9.0/vmlinux").st_ino == before
    other = elf_kernel("6.9.0") + b"more"
    (tmp_path / "other").write_bytes(other)
    tool.ok("install", "--file", tmp_path / "other")
    assert (tool.folder / "6.9.0/vmlinux").read_bytes() == other
    assert tool.ok("list") == "6.9.0 default\n"
    assert [p for p in tool.contents() if p.startswith(".tmp")] == []


def test_what_a_killed_installation_left_is_removed_by_the_next(tool, tmp_path):
    left = tool.folder / ".tmp-999999/lib/modules"
    left.mkdir(parents=True)
    (left / "x").write_text("x")
    install(tool, tmp_path, "6.9.0")
    assert not (tool.folder / ".tmp-999999").exists()


def test_installations_at_once_wait_for_each_other(tool, tmp_path):
    kernel = tmp_path / "vmlinux"
    kernel.write_bytes(elf_kernel())
    running = [subprocess.Popen([*tool.command, "install", "--file", kernel], stdout=subprocess.DEVNULL) for _ in range(6)]
    assert [process.wait() for process in running] == [0] * 6
    assert tool.ok("list") == f"{RELEASE} default\n"


def test_a_damaged_record_is_named_and_can_be_deleted(tool, tmp_path):
    install(tool, tmp_path, "6.9.0")
    (tool.folder / "6.9.0/kernel.json").write_text('{"version": 1}')
    assert "hint: annex kernel delete 6.9.0" in tool.fails(CORRUPT, "open", "6.9.0")
    assert "hint: annex kernel delete 6.9.0" in tool.fails(CORRUPT, "list")
    tool.ok("delete", "6.9.0")
    assert tool.contents() == []


def test_a_damaged_default_is_mended_by_setting_it(tool, tmp_path):
    install(tool, tmp_path, "6.9.0")
    (tool.folder / "default.json").write_text("{")
    assert "hint: annex kernel set NAME" in tool.fails(CORRUPT, "open")
    assert tool.ok("list") == "6.9.0\n"
    tool.ok("set", "6.9.0")
    assert tool.ok("open").startswith("6.9.0 6.9.0 default\n")


def test_what_is_no_kernel_in_the_folder_is_passed_over(tool, tmp_path):
    install(tool, tmp_path, "6.9.0")
    (tool.folder / "lost+found").mkdir()
    (tool.folder / "6.8-file").write_text("")
    assert tool.ok("list") == "6.9.0 default\n"


def test_a_path_names_a_kernel_file(tool, tmp_path):
    kernel = tmp_path / "my-kernel"
    kernel.write_bytes(bzimage(elf_kernel()))
    tool.ok("check", kernel)
    assert not tool.folder.exists(), "a check writes nothing"
    digest = hashlib.sha256(kernel.read_bytes()).hexdigest()
    out = tool.ok("open", kernel)
    assert out.startswith(f"{kernel} {RELEASE}\n")
    assert f"image {tool.folder}/.files/{digest}/vmlinux\n" in out and "modules -\n" in out
    assert tool.ok("open", kernel) == out
    assert tool.ok("list") == ""
    kernel.write_bytes(bzimage(elf_kernel() + b"rebuilt"))
    tool.ok("open", kernel)
    assert not (tool.folder / ".files" / digest).exists(), "what was built before goes"
    modules = modules_tree(tmp_path)
    assert f"modules {modules}\n" in tool.ok("open", kernel)


def test_a_path_that_is_no_kernel_for_this_host_is_refused(tool, tmp_path):
    good = bzimage(elf_kernel())
    other = 62 if os.uname().machine == "aarch64" else 183
    for name, content, kind, part in (
        ("empty", b"", USAGE, "it is empty"),
        ("text", b"#!/bin/sh\nexit\n", USAGE, "not a Linux kernel"),
        ("program", pathlib.Path("/bin/true").read_bytes(), USAGE, "a program, not a Linux kernel"),
        ("cut", good[: len(good) - 600], CORRUPT, "cut off"),
        ("foreign", elf_kernel(machine=other), UNSUPPORTED, "it is a kernel for"),
        ("bare", elf_kernel(virtio=False), UNSUPPORTED, "its modules are not found"),
    ):
        path = tmp_path / name
        path.write_bytes(content)
        assert part in tool.fails(kind, "check", path)
        if name != "bare":  # which boots with an initrd of one's own
            assert part in tool.fails(kind, "open", path)
    tool.fails(USAGE, "check", f"{tmp_path}/")
    tool.fails(USAGE, "check", "/dev/zero")
    tool.fails(NOT_FOUND, "check", tmp_path / "missing")
    os.mkfifo(tmp_path / "fifo")
    tool.fails(USAGE, "check", tmp_path / "fifo", timeout=10)
    assert not [path for path in tool.contents() if path != ".files"]


def test_an_initramfs_is_made_once_for_an_agent(tool, tmp_path, agent):
    kernel = tmp_path / "vmlinuz"
    kernel.write_bytes(bzimage(elf_kernel(virtio=False)))
    tool.ok("install", "--file", kernel, "--modules", modules_tree(tmp_path))
    first = tool.ok("initramfs", agent).strip()
    made = os.stat(first)
    assert tool.ok("initramfs", agent).strip() == first
    assert os.stat(first).st_ino == made.st_ino
    names = subprocess.run(["cpio", "-t", "--quiet"], stdin=open(first, "rb"), capture_output=True, text=True, check=True)
    assert names.stdout.split() == [
        "dev", "proc", "sys", "root", "run", "modules", "dev/console", "init",
        "modules/001-virtio_ring.ko", "modules/002-virtio.ko", "modules/003-virtio_blk.ko", "modules/order",
    ]
    agent.write_bytes(b"another agent")
    second = tool.ok("initramfs", agent).strip()
    assert second != first and os.path.exists(first)
    os.utime(first, (time.time() - 90000,) * 2)
    agent.write_bytes(b"a third one")
    tool.ok("initramfs", agent)
    assert not os.path.exists(first), "what no start can be using any more is removed"


DEPMOD = next((path for path in ("/usr/sbin/depmod", "/sbin/depmod", "/usr/bin/depmod") if os.path.exists(path)), None)
HIDDEN = ["unshare", "-m", "sh", "-c", f"mount --bind /dev/null {DEPMOD} && exec \"$@\"", "sh"]
needs_depmod = pytest.mark.skipif(not DEPMOD, reason="depmod is not installed")
can_hide = os.geteuid() == 0 and subprocess.run(["unshare", "-m", "true"], stderr=subprocess.DEVNULL).returncode == 0
needs_hiding = pytest.mark.skipif(not can_hide, reason="depmod can be hidden by root only, and not in a chroot")


@needs_depmod
def test_indexes_that_are_missing_are_made_at_the_next_start(tool, tmp_path, agent):
    """With a PATH as ordinary users have it."""
    environment = {**os.environ, "PATH": "/usr/local/bin:/usr/bin:/bin", "TMPDIR": str(tmp_path)}
    kernel = tmp_path / "vmlinuz"
    kernel.write_bytes(bzimage(elf_kernel(virtio=False)))
    tool.ok("install", "--file", kernel, "--modules", modules_tree(tmp_path), env=environment)
    modules = tool.folder / RELEASE / "lib/modules" / RELEASE
    made = {path.name: path.read_bytes() for path in modules.glob("*.bin")}
    assert {"modules.dep.bin", "modules.alias.bin", "modules.symbols.bin", "modules.builtin.bin"} <= set(made)
    for name in made:
        (modules / name).unlink()
    tool.ok("initramfs", agent, env=environment)
    assert {path.name: path.read_bytes() for path in modules.glob("*.bin")} == made
    assert not list(tmp_path.glob("annex-depmod-*"))


@needs_depmod
@needs_hiding
def test_without_depmod_a_kernel_is_installed_and_what_is_missing_said(tmp_path):
    kernel = tmp_path / "vmlinuz"
    kernel.write_bytes(bzimage(elf_kernel(virtio=False)))
    environment = {**os.environ, "XDG_DATA_HOME": str(tmp_path / "data")}
    done = subprocess.run([*HIDDEN, build_folder() / "annex", "kernel", "install", "--file", kernel, "--modules",
                           modules_tree(tmp_path)], capture_output=True, text=True, env=environment)
    assert (done.returncode, done.stdout) == (0, f"{RELEASE}\n"), done.stderr
    assert "annex: depmod is not installed: modprobe in machines will not find the kernel's modules\nhint: install kmod" in done.stderr
    assert not list((tmp_path / "data").rglob("*.bin"))
    told = subprocess.run([*HIDDEN, build_folder() / "annex", "doctor"], capture_output=True, text=True, env=environment).stdout
    assert re.search(r"could be better +depmod +depmod is not installed", told), told


def test_no_initramfs_without_modules_that_are_needed(tool, tmp_path, agent):
    kernel = tmp_path / "vmlinux"
    kernel.write_bytes(elf_kernel(virtio=False))
    assert "virtio_blk is a module" in tool.fails(UNSUPPORTED, "initramfs", kernel, agent)


@pytest.mark.skipif(os.geteuid() != 0, reason="mounting a small file system needs root")
def test_a_full_disk_leaves_nothing_half_made(tmp_path):
    small = tmp_path / "small"
    small.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=256k", "none", small], check=True)
    try:
        tool = Tool(small / "kernels")
        install(tool, tmp_path, "6.9.0")
        kernel = tmp_path / "large"
        kernel.write_bytes(elf_kernel("6.10.0") + os.urandom(400000))
        assert "No space left on device" in tool.fails(1, "install", "--file", kernel)
        assert tool.ok("list") == "6.9.0 default\n"
        assert not list(tool.folder.glob(".tmp*"))
    finally:
        subprocess.run(["umount", small], check=True)


def fake_apt(folder, show, download):
    for name, script in (("apt-cache", show), ("apt-get", download)):
        path = folder / name
        path.write_text("#!/bin/sh\n" + script)
        path.chmod(0o755)
    return dict(os.environ, PATH=f"{folder}:{os.environ['PATH']}", TMPDIR=str(folder))


SHOW = """case "$3" in
linux-image-cloud-*) echo "Package: $3"; echo "Depends: linux-image-6.9.1-test (= 1)";;
linux-image-6.9.1-test) echo "Package: $3"; echo "Depends: kmod, linux-base";;
*) echo "E: No packages found" >&2; exit 100;;
esac
"""


@needs_dpkg
def test_the_distributions_kernel_is_downloaded_and_not_installed(tool, tmp_path):
    deb = kernel_package(tmp_path)
    bin_folder = tmp_path / "bin"
    bin_folder.mkdir()
    environment = fake_apt(bin_folder, SHOW, f'echo "$@" >{tmp_path}/asked; cp {deb} .\n')
    done = tool.run("install", env=environment)
    assert done.returncode == 0, done.stderr
    assert done.stderr == f"downloading linux-image-{RELEASE}\nunpacking {deb.name}\n"
    asked = (tmp_path / "asked").read_text()
    assert f"download linux-image-{RELEASE}" in asked
    assert ("APT::Sandbox::User=root" in asked) == (os.geteuid() == 0)
    assert not list(tool.folder.glob(".download*"))


def test_a_download_that_was_killed_is_cleared_away_by_the_next(tool, tmp_path):
    environment = fake_apt(tmp_path, SHOW, "kill -9 $PPID; sleep 1\n")
    assert tool.run("install", env=environment).returncode == -signal.SIGKILL
    assert list(tool.folder.glob(".download*"))
    environment = fake_apt(tmp_path, SHOW, "echo 'E: no' >&2; exit 100\n")
    tool.fails(NETWORK, "install", env=environment)
    assert not list(tool.folder.glob(".download*"))


def test_failures_of_apt_come_with_the_command_that_helps(tool, tmp_path):
    environment = fake_apt(tmp_path, SHOW, "echo 'E: Could not resolve host' >&2; exit 100\n")
    said = tool.fails(NETWORK, "install", env=environment)
    assert "Could not resolve host" in said and "--deb FILE" in said
    environment = fake_apt(tmp_path, "exit 100\n", "exit 1\n")
    assert "hint: sudo apt-get update" in tool.fails(NOT_FOUND, "install", env=environment)
    nothing = tmp_path / "nothing"
    nothing.mkdir()
    environment["PATH"] = str(nothing)
    assert "--file /boot/vmlinuz-$(uname -r)" in tool.fails(UNSUPPORTED, "install", env=environment)
    assert tool.contents() == []


def test_a_kernel_is_installed_by_an_ordinary_user(tmp_path):
    if os.geteuid() != 0:
        pytest.skip("the other tests run as an ordinary user already")
    nobody = pwd.getpwnam("nobody")
    place = pathlib.Path(subprocess.run(["mktemp", "-d", "/var/tmp/annex-test-XXXXXX"], capture_output=True, text=True,
                                        check=True).stdout.strip())
    try:
        program = shutil.copy(build_folder() / "tests/kernel-tool", place / "kernel-tool")
        (place / "vmlinux").write_bytes(elf_kernel())
        os.chmod(place, 0o755)
        (place / "home").mkdir()
        os.chown(place / "home", nobody.pw_uid, nobody.pw_gid)
        done = subprocess.run(["setpriv", f"--reuid={nobody.pw_uid}", f"--regid={nobody.pw_gid}", "--clear-groups", program,
                               place / "home/data/kernels", "install", "--file", place / "vmlinux"],
                              capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        assert json.loads((place / "home/data/kernels/default.json").read_text())["name"] == RELEASE
    finally:
        shutil.rmtree(place)


def boot(image, initramfs):
    """What the machine says on its console until it powers off."""
    qemu = shutil.which(f"qemu-system-{os.uname().machine}")
    if not qemu or os.uname().machine != "x86_64":
        pytest.skip("no QEMU for x86-64 here")
    # fmt: off
    done = subprocess.run(
        [qemu, "-M", "q35", "-accel", "tcg", "-m", "512", "-nodefaults", "-display", "none", "-no-reboot",
         "-kernel", image, "-initrd", initramfs, "-append", "console=ttyS0 quiet panic=-1", "-serial", "stdio",
         "-device", "virtio-serial-pci", "-chardev", "null,id=guest",
         "-device", "virtserialport,chardev=guest,name=org.annex.guest",
         "-blockdev", "driver=null-co,node-name=disk,size=1048576", "-device", "virtio-blk-pci,drive=disk",
         "-netdev", "user,id=net", "-device", "virtio-net-pci,netdev=net", "-device", "virtio-balloon-pci"],
        stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=120, check=False)
    # fmt: on
    return done.stdout + done.stderr


def assert_booted(console):
    assert "agent: net: " in console and " eth0" in console, console
    assert "agent: block: vda" in console, console
    assert "agent: ports: vport" in console, console
    failed = [line for line in console.splitlines() if line.startswith("agent: module") and "inserted" not in line]
    assert all("No such device" in line for line in failed), console


def test_the_distributions_kernel_boots_with_its_initramfs(real_kernel, boot_agent):
    image = next(line.split()[1] for line in real_kernel.ok("open").splitlines() if line.startswith("image "))
    initramfs = real_kernel.ok("initramfs", boot_agent).strip()
    assert_booted(boot(image, initramfs))


def test_the_distributions_bzimage_installs_as_a_file_and_boots_itself(real_kernel, boot_agent, tool, tmp_path):
    name = real_kernel.ok("list").split()[0]
    sandbox = ["-o", "APT::Sandbox::User=root"] if os.geteuid() == 0 else []
    subprocess.run(["apt-get", "-q", *sandbox, "download", f"linux-image-{name}"], cwd=tmp_path, check=True,
                   stdout=subprocess.DEVNULL)
    subprocess.run(["dpkg-deb", "-x", next(tmp_path.glob("*.deb")), tmp_path / "x"], check=True)
    vmlinuz = tmp_path / "x/boot" / f"vmlinuz-{name}"
    tool.ok("install", "--file", vmlinuz, "--modules", next((tmp_path / "x").glob(f"**/lib/modules/{name}")))
    assert (tool.folder / name / "vmlinux").read_bytes() == (real_kernel.folder / name / "vmlinux").read_bytes()
    assert_booted(boot(vmlinuz, tool.ok("initramfs", boot_agent).strip()))
