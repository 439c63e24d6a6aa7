"""What goes wrong, and what is said then: one line, a hint, the right exit status, and nothing half-made."""

import os
import pathlib
import shutil
import signal
import subprocess
import tempfile

import pytest

import annex_test
import machines
import oci
import programs
from annex_test import TIMEOUT, Host, image
from machines import BOOT, Machine, wait_until

# Of the time that a boot may take: enough for one that works, and not too long to wait for one that does not.
SOON = {"ANNEX_TIMEOUT_SCALE": str(0.04 * float(os.environ.get("ANNEX_TIMEOUT_SCALE") or 1))}


def check_told(result, status, *said):
    """One line of what went wrong, which says all this, and at most one hint; a boot log may stand before them."""
    assert (result.returncode, result.stdout) == (status, ""), result.stderr
    lines = result.stderr.splitlines()
    at = next(number for number, line in enumerate(lines) if line.startswith("annex: "))
    assert len(lines) - at <= 2 and all(line.startswith("hint: ") for line in lines[at + 1:]), result.stderr
    for part in said:
        assert part in lines[at], result.stderr


def check_nothing_made(host):
    """No machine, no image, no disk, no work that was begun, no process."""
    for folder in ("machines", "images/tmp", "images/bases", "images/records"):
        path = host.data / folder
        # Lock files stay for good, as one that is removed can be held by two.
        assert not path.exists() or [entry for entry in path.iterdir() if entry.suffix != ".lock"] == [], folder
    check_nothing_runs(host)


def check_nothing_runs(host):
    """A supervisor may be about to end when a command that waited for its machine's end does."""
    wait_until(lambda: not machines.processes(host), "nothing runs")


@pytest.fixture
def fresh(host):
    """A host with a kernel and nothing else."""
    with Host(host.account) as made:
        link_kernels(host, made)
        yield made


def link_kernels(source, target):
    """Kernels never change once they are installed, so hard links will do."""
    subprocess.run(["cp", "-al", source.data / "kernels", make_data_folder(target) / "kernels"], check=True)


def make_data_folder(host):
    host.data.mkdir(mode=0o700, exist_ok=True)
    os.chown(host.data, host.account.uid, host.account.gid)
    return host.data


def scripted_image(folder, init):
    """An image whose init is a script. It is called systemd, as that is what is waited for until it says that it is up."""
    files = programs.root(applets=("sh", "sleep")).folder("lib").folder("lib/systemd")
    files.file("lib/systemd/systemd", init, 0o755).symlink("sbin/init", "/lib/systemd/systemd")
    layout = oci.Layout(folder)
    layout.tag("latest", layout.image([layout.layer(files)], {"Cmd": ["/sbin/init"]})).save()
    return f"oci:{folder}"


@pytest.fixture
def open_folder():
    """A temporary folder that others can read, too."""
    with tempfile.TemporaryDirectory(dir="/var/tmp") as name:
        os.chmod(name, 0o755)
        yield pathlib.Path(name)


def test_a_panic_is_told_with_the_consoles_last_lines(fresh, open_folder):
    source = scripted_image(open_folder / "image", "#!/bin/sh\necho c >/proc/sysrq-trigger\nexec sleep 1000\n")
    result = fresh.annex("create", source, "-n", "panics", "--memory", "256M", timeout=BOOT)
    check_told(result, 1, "create ", "panicked", "sysrq")
    assert "Call Trace:" in fresh.ok("logs", "panics") and "</TASK>" in result.stderr.split("annex: ")[0]
    assert "hint: annex logs panics; the console ended with: " in result.stderr
    assert "Kernel panic - not syncing: sysrq triggered crash" in result.stderr
    machine = Machine(fresh, "panics")
    assert machine.state == "failed" and "panicked" in machine.inspect()["failure"]
    assert "Kernel panic" in fresh.ok("logs", "panics")
    check_nothing_runs(fresh)


def test_a_panic_of_a_machine_that_ran_ends_its_sessions_and_it_is_started_again(spare):
    spare.up()
    supervisor = spare.inspect()["supervisorPid"]
    assert spare.host.annex("set", "-n", "spare", "restart=on-failure").stderr == ""
    client = spare.popen("sh", "-c", "echo ready; exec sleep 1000")
    assert client.stdout.readline() == b"ready\n"
    spare.run("sh", "-c", "echo c >/proc/sysrq-trigger", options=["--root"])
    _, errors = client.communicate(timeout=TIMEOUT)
    assert client.returncode == 125 and errors.startswith(b"annex: run in spare: ") and b"sysrq triggered crash" in errors
    wait_until(lambda: spare.state == "running" and spare.inspect()["restarts"] == 1, "it runs again", BOOT)
    assert spare.inspect()["supervisorPid"] == supervisor
    assert "Kernel panic" in spare.host.ok("logs", "spare")
    assert spare.ok("echo", "alive") == "alive\n"
    spare.host.ok("set", "-n", "spare", "restart=no")


def test_a_machine_that_never_comes_up_says_what_it_waited_for(fresh, open_folder):
    source = scripted_image(open_folder / "image", "#!/bin/sh\nexec sleep 100000\n")
    result = fresh.annex("create", source, "-n", "never", "--memory", "256M", timeout=BOOT, env=SOON)
    check_told(result, 1, "did not come up in ", "it was waiting for ")
    assert "annex logs" in result.stderr
    assert Machine(fresh, "never").state == "failed"
    check_nothing_runs(fresh)


def test_an_init_that_ends_at_once_is_told(fresh, open_folder):
    source = scripted_image(open_folder / "image", "#!/bin/sh\nexit 3\n")
    result = fresh.annex("create", source, "-n", "ends", "--memory", "256M", timeout=BOOT)
    check_told(result, 1, "the machine's init ended: /sbin/init exited with status 3 before it was up")
    assert Machine(fresh, "ends").state == "failed"


def test_an_init_that_ends_at_once_without_a_fault_is_told_too(fresh, open_folder):
    source = scripted_image(open_folder / "image", "#!/bin/sh\nexit 0\n")
    result = fresh.annex("create", source, "-n", "ends", "--memory", "256M", timeout=BOOT)
    check_told(result, 1, "/sbin/init exited with status 0 before it was up")


FOREIGN = b"\x7fELF\1\1\1" + bytes(9) + b"\2\0\x28\0" + bytes(100)  # of a 32-bit ARM


def test_an_init_of_another_kind_of_processor_is_told(fresh, open_folder):
    source = scripted_image(open_folder / "image", FOREIGN)
    result = fresh.annex("create", source, "-n", "bad", "--memory", "256M", timeout=BOOT)
    check_told(result, 1, "cannot run /sbin/init: Exec format error")
    assert "hint: annex set init=builtin" in result.stderr
    assert Machine(fresh, "bad").state == "failed"


def module(host, name):
    return next((host.data / "kernels").glob(f"*/lib/modules/*/kernel/**/{name}.ko"))


def change_module(host, path, content):
    """None: there is none. Links to what others have are replaced; what was made of the modules is made again."""
    path.unlink(missing_ok=True)
    if content is not None:
        path.write_bytes(content)
        path.chmod(0o644)
    for made in (host.data / "kernels").glob("*/initramfs*"):
        made.unlink()


def test_a_driver_that_is_missing_is_named(fresh):
    """One that the kernel doesn't bring, before the start; one that doesn't work, by the machine itself."""
    fresh.ok("create", f"oci:{image('busybox')}", "-n", "driverless", "--memory", "256M", "--home-mount", "none", "--no-boot",
             timeout=BOOT)
    other = module(fresh, "loop").read_bytes()
    for name, said in (("virtio_blk", "the kernel has no driver for the disk (virtio_blk)"),
                       ("virtio_console", "the kernel has no driver for the control port (virtio_console)")):
        path = module(fresh, name)
        kept = path.read_bytes()
        change_module(fresh, path, None)
        check_told(fresh.annex("start", "driverless", timeout=BOOT), 1, f"{name}.ko")
        change_module(fresh, path, other)
        check_told(fresh.annex("start", "driverless", timeout=BOOT), 1, said)
        change_module(fresh, path, kept)


def test_a_corrupt_kernel_is_told(fresh):
    kernel = next((fresh.data / "kernels").glob("*/vmlinux"))
    content = bytearray(kernel.read_bytes())
    content[4 << 20:12 << 20] = b"\xf4" * (8 << 20)  # halts
    kernel.unlink()
    kernel.write_bytes(content)
    kernel.chmod(0o644)
    result = fresh.annex("create", f"oci:{image('busybox')}", "-n", "corrupt", "--memory", "256M", timeout=BOOT, env=SOON)
    check_told(result, 1, "machine 'corrupt'")
    assert Machine(fresh, "corrupt").state == "failed"
    kernel.write_bytes(content[:100_000])
    result = fresh.annex("start", "corrupt", timeout=BOOT)
    check_told(result, 1, "corrupt")
    check_nothing_runs(fresh)


def test_a_kernel_that_is_none_is_refused_when_it_is_set(spare):
    host = spare.host
    for name, content in (("empty", b""), ("alien", b"#!/bin/sh\n" * 1000)):
        path = host.file(name, content)
        check_told(host.annex("set", "-n", "spare", f"kernel={path}"), 2, str(path))
        result = host.annex("create", f"oci:{image('busybox')}", "-n", "alien", "--kernel", path)
        check_told(result, 2, str(path))
    assert host.annex("set", "-n", "spare", "kernel=/nowhere/vmlinux").returncode == 3
    assert spare.inspect()["settings"]["kernel"] == "default"


def test_without_a_kernel_there_is_no_machine():
    with Host(annex_test.unprivileged()) as bare:
        result = bare.annex("create", f"oci:{image('busybox')}", "-n", "kernelless")
        check_told(result, 3, "kernel")
        assert "hint: annex kernel install" in result.stderr
        check_nothing_made(bare)


def test_without_qemu_the_package_is_named(spare):
    spare.stop()
    result = spare.host.annex("start", "spare", env={"PATH": "/nowhere"})
    check_told(result, 3, "spare", "is not installed")
    assert "hint: sudo apt-get install qemu-system-" in result.stderr
    check_told(spare.host.annex("start", "spare", env={"ANNEX_QEMU": "/nowhere/qemu"}), 3, "/nowhere/qemu")
    check_told(spare.host.annex("start", "spare", env={"ANNEX_QEMU": "/bin/true"}), 1, "/bin/true")
    result = spare.host.annex("run", "-n", "spare", "--", "true", env={"ANNEX_QEMU": "/nowhere/qemu"})
    check_told(result, 125, "/nowhere/qemu")
    assert spare.state in ("stopped", "failed")


def read_until(stream, *words):
    """Read lines until one has one of the words."""
    seen = b""
    while line := stream.readline():
        seen += line
        if any(word in line for word in words):
            return seen
    raise AssertionError(f"it ended before it said {words}: {seen}")


def interrupted(host, source, *words):
    """Interrupt a create as soon as it says one of these words."""
    client = host.start("create", source, "-n", "interrupted", "--memory", "256M", "--progress", "plain")
    read_until(client.stderr, *words)
    client.send_signal(signal.SIGINT)
    out, errors = client.communicate(timeout=BOOT)
    assert client.returncode in (-signal.SIGINT, 130, 1), errors
    assert out == b""
    return errors


def test_an_interrupted_import_leaves_what_prune_removes(fresh):
    """That are complete layers, or the image, when it was faster than we."""
    interrupted(fresh, f"oci:{image('debian')}", b"layer", b"unpack", b"import", b"disk")
    fresh.ok("image", "prune", "--all", "--force")
    check_nothing_made(fresh)


def test_an_interrupted_first_boot_leaves_no_machine(fresh):
    interrupted(fresh, f"oci:{image('debian')}", b"boot", b"virtual machine")
    check_nothing_runs(fresh)
    assert list((fresh.data / "machines").iterdir()) == []
    assert fresh.ok("list", "-q") == ""


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can make a file system that is full")
def test_a_full_disk_is_told_and_nothing_half_made_stays(host):
    with Host(host.account) as full:
        data = make_data_folder(full)
        kernels = sum(path.lstat().st_blocks for path in (host.data / "kernels").rglob("*")) * 512
        subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={kernels + (24 << 20)},mode=0700,uid={host.account.uid}",
                        "tmpfs", data], check=True)
        try:
            shutil.copytree(host.data / "kernels", data / "kernels", symlinks=True)
            subprocess.run(["chown", "-R", f"{host.account.uid}:{host.account.gid}", data / "kernels"], check=True)
            result = full.annex("create", f"oci:{image('debian')}", "-n", "full", "--no-boot", timeout=BOOT)
            check_told(result, 1, "No space left on device")
            assert "hint: " in result.stderr
            check_nothing_made(full)
            # What is small enough still works.
            full.ok("create", f"oci:{image('busybox')}", "-n", "small", "--no-boot", timeout=BOOT)
            full.ok("delete", "-f", "small")
        finally:
            subprocess.run(["umount", "-l", data], check=True)
