"""A machine straight from a registry."""

import json

import pytest

import annex_test
import machines
import registries


@pytest.fixture(scope="module")
def name():
    """An image in docker-registry."""
    with registries.Place() as place:
        yield registries.push(place.registry(), "team/busybox", annex_test.image("busybox"))


def test_a_machine_from_a_registry_boots_and_outlives_its_image(host, name):
    printed = host.ok("create", name, "-n", "pulled", "--memory", "256M", "--cpus", "1", "--disk", "1G", timeout=machines.BOOT)
    machine = machines.Machine(host, "pulled")
    try:
        assert printed == "pulled\n" and machine.inspect()["image"] == f"{name}:latest"
        assert machine.sh("cat /etc/motd /opt/replaced/*; ls /etc/removed 2>&1 || echo kept > /root/kept") == \
            "from the second layer\nnew\nls: /etc/removed: No such file or directory\n"
        host.ok("image", "delete", name)
        assert name not in [text for image in json.loads(host.ok("image", "list", "--format", "json")) for text in image["names"]]
        machine.stop()
        assert machine.up().sh("cat /root/kept") == "kept\n"
    finally:
        host.ok("delete", "--force", "pulled", timeout=machines.BOOT)
