"""The commands on images as their users see them: what they print, ask and leave, with and without a terminal."""

import json
import os
import re

import pytest

import oci
from annex_test import ANNEX

NOTHING = "there is nothing to delete\n"


@pytest.fixture
def stocked(user_host, test_image):
    """A host with one image."""
    user_host.ok("image", "import", "--name", "tiny:1", f"oci:{test_image('busybox')}")
    return user_host


def layout(host, name, size=1000):
    """An image of one layer with a file that does not get smaller."""
    made = oci.Layout(host.folder / name)
    layer = made.layer(oci.Tar().file("etc/noise", os.urandom(size)), "gzip")
    made.tag("1", made.image([layer], {"Cmd": ["/bin/sh"]})).save()
    return made.folder


def make_unnamed(host):
    """An image that lost its name to another one."""
    host.ok("image", "import", "--name", "app:1", f"oci:{layout(host, 'first')}")
    lost, = json.loads(host.ok("image", "inspect", "app:1"))
    host.ok("image", "import", "--name", "app:1", f"oci:{layout(host, 'second')}")
    return lost["id"]


def test_prune_takes_what_has_no_name(user_host):
    for words in (["--force"], ["--dry-run"], ["--all", "-f"]):
        result = user_host.annex("image", "prune", *words)
        assert (result.returncode, result.stdout, result.stderr) == (0, "", NOTHING)
    lost = make_unnamed(user_host)
    shown = user_host.annex("image", "prune", "--dry-run")
    assert shown.returncode == 0 and lost[7:19] in shown.stdout and "app:1" not in shown.stdout
    assert re.fullmatch(r"would free [\d.]+ [KM]iB\n", shown.stderr)
    assert lost in user_host.ok("image", "list", "-q")
    gone = user_host.annex("image", "prune", "--force")
    assert (gone.returncode, gone.stdout) == (0, shown.stdout)
    assert gone.stderr == shown.stderr.replace("would free", "freed")
    assert user_host.ok("image", "list", "-q") == "app:1\n"
    everything = user_host.annex("image", "prune", "--force", "--all")
    assert everything.returncode == 0 and "app:1" in everything.stdout
    assert user_host.ok("image", "list", "-q") == ""


def test_prune_asks_on_a_terminal(user_host):
    lost = make_unnamed(user_host)
    for answer, status in (("n", 1), ("y", 0)):
        shown = user_host.terminal(ANNEX, "image", "prune")
        shown.expect(lost[7:19] + r".*\r\nDelete all this, which frees [\d.]+ [KM]iB\? \[y/N\] ")
        shown.sendline(answer)
        rest = shown.read()
        shown.wait()
        assert shown.exitstatus == status
        assert ("freed" in rest) == (lost not in user_host.ok("image", "list", "-q")) == (answer == "y")
    shown = user_host.terminal(ANNEX, "image", "prune")
    assert shown.read() == NOTHING.replace("\n", "\r\n")


def test_df_shows_where_the_room_went(stocked):
    lines = stocked.ok("df").splitlines()
    assert lines[0].split() == ["KIND", "COUNT", "ACTIVE", "SIZE", "RECLAIMABLE"]
    rows = {row["kind"]: row for row in json.loads(stocked.ok("df", "--format", "json"))}
    assert list(rows) == ["images", "unfinished downloads", "machines", "kernels"]
    assert all(line.startswith(kind) for line, kind in zip(lines[1:], rows, strict=True))
    assert rows["images"]["count"] == 1 and rows["images"]["active"] == 0
    assert rows["images"]["size"] >= rows["images"]["reclaimable"] > 100_000
    assert rows["machines"] == {"kind": "machines", "count": 0, "active": 0, "size": 0, "reclaimable": 0}
