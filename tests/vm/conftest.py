"""What the tests with real machines share.

A boot under emulation takes seconds, so machines live as long as the suite: tests use them one after the other and
leave them running and as they were. Those that stop, break or change a machine make one of their own, or say so.
The suite runs as an ordinary user; as root there are a few tests more, which show that root is served as well.
"""

import os
import pathlib
import sys
import tempfile

import pytest

TESTS = pathlib.Path(__file__).resolve().parent.parent
sys.path.insert(0, str(TESTS / "images"))  # for `import oci`
sys.path.insert(0, str(TESTS))  # for `import annex_test`
sys.path.insert(0, str(TESTS / "vm"))  # for `import machines`

import annex_test  # noqa: E402
import machines  # noqa: E402
import shares  # noqa: E402


def pytest_configure():
    annex_test.end_in_order()


@pytest.fixture(scope="session")
def test_image():
    """A function that returns the path of the OCI layout of a test image; each is made when first asked for."""
    return annex_test.image


@pytest.fixture(scope="session", autouse=True)
def sanitizers():
    """Fails when any process, a detached supervisor too, had something to report."""
    with tempfile.TemporaryDirectory(prefix="annex-reports-", dir="/var/tmp") as folder:
        os.chmod(folder, 0o1777)
        for name in ("ASAN_OPTIONS", "UBSAN_OPTIONS"):
            os.environ[name] = f"{os.environ.get(name, '')}:log_path={folder}/report".lstrip(":")
        yield
        reports = [path.read_text(errors="replace") for path in pathlib.Path(folder).iterdir()]
    assert not reports, "\n".join(reports)


@pytest.fixture(scope="session")
def host(sanitizers):
    """An ordinary user's host, with a kernel."""
    with machines.host(annex_test.unprivileged()) as made:
        yield made


@pytest.fixture(scope="session")
def root_host(sanitizers):
    """Root's, with a kernel; where the suite runs as root."""
    with machines.host(annex_test.myself()) as made:
        yield made


# Calls itself one that loses no data, so that network=auto takes whichever passt this host has.
PASST = """#!/bin/sh
[ "$1" = --version ] && exec echo passt 2099_01_01.test
exec passt "$@"
"""


@pytest.fixture(scope="session")
def busybox_machine(host):
    host.env["ANNEX_PASST"] = str(host.file("passt", PASST, mode=0o755))
    try:
        return machines.create(host, "busybox", "busybox", "--memory", "512M")
    finally:
        del host.env["ANNEX_PASST"]


@pytest.fixture(scope="session")
def debian_machine(host):
    return machines.create(host, "debian", "debian", "--memory", "1G", "--disk", "8G")


@pytest.fixture(scope="session")
def noinit_machine(host):
    return machines.create(host, "noinit", "noinit", "--memory", "512M", "-e", "FROM_SETTING=set", "--network", "none")


@pytest.fixture(scope="session")
def apps_machine(host):
    with shares.machine(host) as made:
        yield made


@pytest.fixture
def busybox(busybox_machine):
    """A running machine with busybox's init."""
    return busybox_machine.up()


@pytest.fixture
def debian(debian_machine):
    """A running machine with systemd."""
    return debian_machine.up()


@pytest.fixture
def apps(apps_machine):
    """A running machine without an init, with real programs and shares."""
    return apps_machine.up()


@pytest.fixture
def root(apps):
    with shares.Guest(apps, root=True) as guest:
        yield guest


@pytest.fixture
def user(apps):
    with shares.Guest(apps) as guest:
        yield guest


@pytest.fixture(params=["user", "root"])
def somebody(request):
    return request.getfixturevalue(request.param)


@pytest.fixture
def place(apps, request):
    """A folder of the test in the home, by the path that it has on both sides."""
    name = request.node.name.split("[")[0]
    yield shares.folder(apps.host, apps.ground / name)
    apps.sh(f"rm -rf {apps.ground / name}")


@pytest.fixture
def noinit(noinit_machine):
    """A running machine whose image has no init."""
    return noinit_machine.up()


@pytest.fixture(scope="module")
def spare(host):
    """A small machine that tests may kill; its disk is small enough to be checked as a whole."""
    made = machines.create(host, "busybox", "spare", "--memory", "256M", "--cpus", "1", "--disk", "1G", "--no-boot")
    yield made
    made.host.ok("delete", "--force", "spare", timeout=machines.BOOT)
