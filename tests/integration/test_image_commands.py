"""The commands on images as their users see them: what they print, ask and leave, with and without a terminal."""

import json
import os
import re
import signal
import stat

import pytest

import oci
import registries
from annex_test import ANNEX, check_failure

NOTHING = "there is nothing to delete\n"


@pytest.fixture
def stocked(user_host, test_image):
    """A host with one image."""
    user_host.ok("image", "import", "--name", "tiny:1", f"oci:{test_image('busybox')}")
    return user_host


@pytest.fixture
def registry():
    """One that notes its requests."""
    with registries.Place() as place:
        yield place.fake()


def layout(host, name, size=1000):
    """An image of one layer with a file that does not get smaller."""
    made = oci.Layout(host.folder / name)
    layer = made.layer(oci.Tar().file("etc/noise", os.urandom(size)), "gzip")
    made.tag("1", made.image([layer], {"Cmd": ["/bin/sh"]})).save()
    return made.folder


def test_export_writes_what_import_reads(stocked):
    home = stocked.folder / "home"
    result = stocked.annex("image", "export", "-o", "tiny.tar", "tiny:1")
    assert (result.returncode, result.stdout) == (0, ""), result.stderr
    assert sorted(path.name for path in home.iterdir()) == ["tiny.tar"]
    assert stocked.ok("image", "import", "--name", "again:1", "oci-archive:tiny.tar") == "again:1\n"
    first, second = json.loads(stocked.ok("image", "inspect", "tiny:1", "again:1"))
    assert first["config"] == second["config"] and first["platform"] == second["platform"]
    piped = stocked.annex("save", "tiny:1", text=False)
    assert (piped.returncode, piped.stdout) == (0, (home / "tiny.tar").read_bytes())


def test_export_replaces_a_file_and_keeps_what_is_none(stocked):
    home = stocked.folder / "home"
    stocked.file("out.tar", "old")
    (home / "link.tar").symlink_to("out.tar")
    stocked.ok("image", "export", "-o", "link.tar", "tiny:1")
    assert (home / "link.tar").is_symlink() and (home / "out.tar").stat().st_size > 1000
    stocked.ok("image", "export", "-o", "/dev/null", "tiny:1")
    assert stat.S_ISCHR(os.stat("/dev/null").st_mode)


def test_an_export_that_fails_leaves_the_old_file(stocked):
    home = stocked.folder / "home"
    stocked.file("out.tar", "old")
    for output, status, reason in (("/nowhere/x.tar", 1, "cannot write into /nowhere/: No such file or directory"),
                                   (".", 2, ". is a folder"), ("/dev/full", 1, "No space left on device")):
        result = stocked.annex("image", "export", "-o", output, "tiny:1")
        assert result.returncode == status, result.stderr
        assert re.search(f"^annex: .*tiny:1: .*{re.escape(reason)}$", result.stderr, re.MULTILINE), result.stderr
    assert stocked.annex("image", "export", "-o", "out.tar", "nope:1").returncode == 3
    assert [path.name for path in home.iterdir()] == ["out.tar"] and (home / "out.tar").read_text() == "old"


def test_an_archive_is_not_for_a_terminal(stocked):
    shown = stocked.terminal(ANNEX, "image", "export", "tiny:1")
    shown.expect_exact("annex: image export tiny:1: an archive is nothing for a terminal\r\n"
                       "hint: annex image export -o FILE tiny:1\r\n")
    shown.wait()
    assert shown.exitstatus == 2


def test_a_pull_says_what_it_did(user_host, registry):
    registry.serve("team/app", layout(user_host, "app"))
    name = f"{registry.host}/team/app:1"
    first = user_host.annex("image", "pull", name)
    assert (first.returncode, first.stdout) == (0, f"{name}\n")
    assert first.stderr.splitlines()[-1] == f"pulled {name}" and "\x1b" not in first.stderr
    again = user_host.annex("pull", name)
    assert (again.returncode, again.stdout) == (0, f"{name}\n")
    assert again.stderr.splitlines()[-1] == f"{name} is up to date"
    quiet = user_host.annex("pull", "-q", name)
    assert (quiet.returncode, quiet.stdout, quiet.stderr) == (0, f"{name}\n", "")


def test_files_are_imported_not_pulled(user_host):
    check_failure(user_host.annex("image", "pull", "oci:folder"), 2,
                  "cannot pull oci:folder: files are imported, not pulled", "annex image import oci:folder")


def test_inspect_says_where_names_led(user_host, registry):
    folder = layout(user_host, "app")
    registry.serve("team/app", folder)
    name = f"{registry.host}/team/app"
    user_host.ok("image", "pull", f"{name}:1")
    digest = json.loads(user_host.ok("image", "inspect", f"{name}:1"))[0]["digest"]
    user_host.ok("image", "pull", f"{name}@{digest}")
    user_host.ok("image", "import", "--name", "app:2", f"oci:{folder}")
    described, = json.loads(user_host.ok("image", "inspect", f"{name}:1"))
    assert described["names"] == ["app:2", f"{name}@{digest}", f"{name}:1"]
    assert described["registryDigests"] == [f"{name}@{digest}"]
    assert json.loads(user_host.ok("image", "inspect", described["registryDigests"][0])) == [described]


def test_each_image_gets_its_turn(user_host, registry):
    for name in ("one", "two"):
        registry.serve(f"team/{name}", layout(user_host, name))
    one, none, two = (f"{registry.host}/team/{name}:1" for name in ("one", "none", "two"))
    result = user_host.annex("image", "pull", "--progress", "none", one, none, two)
    assert (result.returncode, result.stdout) == (3, f"{one}\n{two}\n")
    assert f"annex: cannot pull {none}: " in result.stderr


def test_programs_can_follow_a_pull(user_host, registry):
    registry.serve("team/app", layout(user_host, "app", 200_000))
    name = f"{registry.host}/team/app:1"
    result = user_host.annex("image", "pull", "--progress", "json", name)
    assert (result.returncode, result.stdout) == (0, f"{name}\n")
    reports = [json.loads(line) for line in result.stderr.splitlines()]
    assert all(set(report) == {"step", "text", "done", "total", "finished", "item", "index", "count"}
               for report in reports)
    layers = [report for report in reports if report["item"]]
    assert layers and layers[-1]["finished"] and layers[-1]["done"] == layers[-1]["total"] > 200_000
    assert layers[-1]["item"].startswith("sha256:") and (layers[-1]["index"], layers[-1]["count"]) == (0, 1)


def test_an_interrupted_pull_leaves_a_clean_screen(user_host, registry):
    registry.serve("team/app", layout(user_host, "app", 3_000_000))
    registry.on("/blobs/", pace=(65536, 0.1))
    name = f"{registry.host}/team/app:1"
    shown = user_host.terminal(ANNEX, "image", "pull", name)
    shown.expect(r"[0-9a-f]{12}  downloading .* of .*MiB +[1-9]\d?%")
    shown.sendintr()
    shown.expect_exact(f"\x1b[Jannex: cannot pull {name}: cancelled\r\n")
    assert shown.read() == ""
    shown.wait()
    assert shown.signalstatus == signal.SIGINT


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


def test_df_shows_each_image(stocked):
    summary, images, machines = stocked.ok("df", "-v").split("\n\n")
    assert summary + "\n" == stocked.ok("df")
    assert images.splitlines()[0].split() == ["IMAGE", "ID", "MACHINES", "SIZE", "RECLAIMABLE"]
    assert machines.split() == ["MACHINE", "STATE", "DISK", "USED", "SIZE", "RECLAIMABLE"]
    everything = json.loads(stocked.ok("df", "--verbose", "--format", "json"))
    assert everything["usage"] == json.loads(stocked.ok("df", "--format", "json")) and everything["machines"] == []
    image, = everything["images"]
    listed, = json.loads(stocked.ok("image", "list", "--format", "json"))
    assert (image["name"], image["id"], image["machines"]) == (listed["names"][0], listed["id"], 0)
    assert image["size"] == image["reclaimable"] == everything["usage"][0]["size"]
    assert images.splitlines()[1].split()[:3] == [image["name"], image["id"][7:19], "0"]
