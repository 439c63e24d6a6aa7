"""What annex is measured against: the same kernel and disk under a plain QEMU command line."""

import contextlib
import dataclasses
import os
import pathlib
import shutil
import stat
import subprocess
import tempfile
import time

MARKER = "annex-bench-is-up"
DEADLINE = 600

INIT = """#!/bin/busybox sh
/bin/busybox mount -t devtmpfs dev /dev
for module in $(/bin/busybox cat /modules/order); do
	/bin/busybox insmod /modules/$module
done
while ! /bin/busybox mount -t ext4 /dev/vda /root; do
	/bin/busybox sleep 0.01
done
/bin/busybox mount -t proc proc /root/proc
/bin/busybox mount -t sysfs sys /root/sys
/bin/busybox mount -t devtmpfs dev /root/dev
exec /bin/busybox switch_root /root /sbin/init
"""


@dataclasses.dataclass
class Peer:
    seconds: float  # from the process's start to the marker
    pid: int


def forwarding_qemu(folder, port):
    """A program for ANNEX_QEMU: QEMU with a forwarded port, so that ssh reaches the very machine (debian) that annex runs."""
    wrapper = folder / "qemu"
    wrapper.write_text("#!/bin/bash\nours= words=()\nfor word; do\n"
                       '\t[[ $word == guest=debian ]] && ours=yes\n'
                       f'\t[[ $word == user,id=* && $ours ]] && word+=",hostfwd=tcp:127.0.0.1:{port}-:22"\n'
                       '\twords+=("$word")\ndone\nexec qemu-system-x86_64 "${words[@]}"\n')
    wrapper.chmod(0o755)
    return wrapper


def initramfs(annex, folder):
    """busybox, and the modules that annex's own initramfs loads."""
    kernel = next(path for path in (annex.data / "kernels").iterdir() if (path / "kernel.json").exists())
    ours = next(kernel.glob("initramfs-*"))
    tree = folder / "initramfs"
    tree.mkdir()
    with open(ours, "rb") as archive:
        subprocess.run(["cpio", "-idm", "--quiet", "--no-preserve-owner"], cwd=tree, stdin=archive, check=False,
                       stderr=subprocess.DEVNULL)
    for name in ("bin", "root", "dev"):
        (tree / name).mkdir(exist_ok=True)
    shutil.copy("/bin/busybox", tree / "bin" / "busybox")
    (tree / "init").unlink()
    (tree / "init").write_text(INIT)
    (tree / "init").chmod(stat.S_IRWXU)
    made = folder / "initramfs.cpio"
    names = subprocess.run(["find", "."], cwd=tree, stdout=subprocess.PIPE, check=True).stdout
    with open(made, "wb") as archive:
        subprocess.run(["cpio", "-o", "-H", "newc", "--quiet"], cwd=tree, input=names, stdout=archive, check=True)
    return kernel / "vmlinux", made


@contextlib.contextmanager
def plain_qemu(annex, name, memory, cpus):
    """Boot the machine's disk (by an overlay that is thrown away) until the marker is on the console."""
    with tempfile.TemporaryDirectory(prefix="annex-peer-") as made:
        folder = pathlib.Path(made)
        kernel, initrd = initramfs(annex, folder)
        disk = folder / "disk.qcow2"
        subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", "-F", "qcow2", "-b",
                        annex.data / "machines" / name / "disk.qcow2", disk], check=True)
        start = time.monotonic()
        process = subprocess.Popen(
            ["qemu-system-x86_64", "-M", "q35", "-accel", accelerator(annex, name), "-smp", str(cpus), "-m", memory,
             "-nographic", "-no-reboot", "-kernel", kernel, "-initrd", initrd, "-append", "console=ttyS0 quiet panic=-1",
             "-drive", f"file={disk},if=virtio,format=qcow2", "-netdev", "user,id=n", "-device", "virtio-net-pci,netdev=n"],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        try:
            yield Peer(wait_for_marker(process, start), process.pid)
        finally:
            process.kill()
            process.wait()


def accelerator(annex, name):
    return annex.inspect(name)["accelerator"] or os.environ.get("ANNEX_BENCH_ACCEL", "tcg")


def wait_for_marker(process, start):
    seen = b""
    while True:
        piece = os.read(process.stdout.fileno(), 65536)
        if not piece:
            raise RuntimeError(f"the plain QEMU ended; its console: {seen.decode(errors='replace')[-2000:]}")
        seen += piece
        if MARKER.encode() in seen:
            return time.monotonic() - start
        if time.monotonic() - start > DEADLINE:
            raise RuntimeError(f"no marker; the console: {seen.decode(errors='replace')[-2000:]}")
