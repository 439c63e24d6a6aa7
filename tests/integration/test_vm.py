"""Bare virtual machines: examples/bare-kernel, with a fake QEMU and with the real one."""

import os
import shutil
import subprocess

import annex_test
import pytest

FAKE = annex_test.for_everybody(annex_test.ROOT / "tests" / "fakes" / "qemu")
EXAMPLE = annex_test.for_everybody(annex_test.BUILD / "examples" / "bare-kernel", "libannex.so.0")


def bare_kernel(*arguments, fake=None, **variables):
    """Run the example: its console, what happened, its exit status."""
    environment = {**os.environ, **variables}
    environment.pop("ANNEX_QEMU", None)
    if fake is not None:
        environment.update(ANNEX_QEMU=str(FAKE), FAKE_QEMU=fake)
    done = subprocess.run([EXAMPLE, *map(str, arguments)], env=environment, stdin=subprocess.DEVNULL, timeout=180,
                          capture_output=True, text=True, check=False)
    events = [line.removeprefix("bare-kernel: ") for line in done.stderr.splitlines()]
    return done.stdout, events, done.returncode


@pytest.mark.parametrize(("fake", "events"), [
    ("off", ["started", "powered off", "ended"]),
    ("panic", ["started", "panicked", "ended"]),
    ("reset", ["started", "reset", "powered off", "ended"]),
    ("die", ["started", "ended"]),
])
def test_what_the_guest_does_arrives_as_events(fake, events):
    console, told, status = bare_kernel("kernel", fake=f"console=hello;{fake}")
    assert (console, told, status) == ("hello", events, 0)


@pytest.mark.parametrize(("fake", "message"), [
    ("fail=no such luck", "QEMU: no such luck"),
    ("version=5.0.0", f"{FAKE} is QEMU 5.0.0; 7.0 or later is needed"),
    ("refuse", "QEMU: the guest is refused"),
], ids=("fails", "old", "refuses"))  # with the path in them, no two processes would have the same tests
def test_a_start_that_fails_says_why(fake, message):
    assert bare_kernel("kernel", fake=fake) == ("", [message], 1)


def test_a_missing_qemu_is_said():
    console, told, status = bare_kernel("kernel", PATH="/no/such/folder")
    assert (console, status) == ("", 1)
    assert told[0].startswith("QEMU (qemu-system-") and told[0].endswith(") is not installed")


def test_a_missing_kernel_is_named_by_the_real_qemu():
    if not shutil.which(f"qemu-system-{os.uname().machine}"):
        pytest.skip("QEMU is not installed")
    console, told, status = bare_kernel("/no/such/kernel")
    assert (console, status) == ("", 1)
    assert "/no/such/kernel" in told[0] and "No such file or directory" in told[0]


def test_the_distributions_kernel_boots_and_powers_off(real_kernel, boot_agent):
    image = next(line.split()[1] for line in real_kernel.ok("open").splitlines() if line.startswith("image "))
    initramfs = real_kernel.ok("initramfs", boot_agent).strip()
    console, told, status = bare_kernel(image, initramfs, "console=ttyS0 quiet panic=-1")
    assert (told, status) == (["started", "powered off", "ended"], 0), console
    assert "agent: " in console


def test_a_kernel_without_init_panics_and_is_reset(real_kernel, tmp_path):
    """Without the panic device's driver, the kernel's own restart is what is seen."""
    image = next(line.split()[1] for line in real_kernel.ok("open").splitlines() if line.startswith("image "))
    nothing = tmp_path / "nothing"
    nothing.write_bytes(bytes(512))
    process = subprocess.Popen([EXAMPLE, image, nothing, "console=ttyS0 panic=-1"], stdin=subprocess.DEVNULL,
                               stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        seen = ""
        for line in process.stdout:
            seen += line
            if "Kernel panic" in line:
                break
        assert "Kernel panic" in seen
        assert [process.stderr.readline(), process.stderr.readline()] == ["bare-kernel: started\n", "bare-kernel: reset\n"]
    finally:
        process.kill()
        process.communicate()
