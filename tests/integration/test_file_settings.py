"""What a machine is set to have of the host's files: the settings, kept and shown, and what a start makes of them."""

import json
import os
import pathlib
import pwd
import subprocess
import sys

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "fakes"))

from machine import Machine  # noqa: E402

USAGE, NOT_FOUND = 2, 3


@pytest.fixture
def machine(host):
    """A machine that an annex without these settings made."""
    made = Machine(host)
    host.env.update(made.env)
    for name in ("data", "data/inner", "other"):
        (host.folder / "home" / name).mkdir()
    subprocess.run(["chown", "-R", f"{host.account.uid}:{host.account.gid}", host.folder / "home"], check=True)
    yield made
    made.close()
    subprocess.run(["flock", made.folder / "lock", "rm", "-rf", made.folder], check=True)


@pytest.fixture
def home(host):
    return str((host.folder / "home").resolve())


def settings(host):
    return json.loads(host.ok("inspect", "dev"))[0]["settings"]


def change(host, *pairs):
    assert host.ok("set", "-n", "dev", *pairs) == ""
    return settings(host)


def test_a_machine_has_the_home_without_secrets_unless_told_otherwise(host, machine):
    shown = settings(host)
    assert (shown["home-mount"], shown["home-target"], shown["volume"]) == ("rw", "", [])
    assert {".ssh", ".gnupg", ".aws", ".config/gh", ".docker/config.json", ".mozilla"} <= set(shown["mask"])
    assert shown["mask"] == sorted(shown["mask"])
    assert ".gitconfig" not in shown["mask"]


def test_volumes_are_kept_by_their_place(host, machine, home):
    shown = change(host, "volume=data:/x", f"volume={home}//other/:/a/b/:ro,cache=none", "volume=~/data/inner:/x/y:rw")
    assert shown["volume"] == [f"{home}/other:/a/b:ro,cache=none", f"{home}/data:/x", f"{home}/data/inner:/x/y"]
    shown = change(host, "volume=other:/x", "volume=-/a/b")
    assert shown["volume"] == [f"{home}/other:/x", f"{home}/data/inner:/x/y"]


def test_masks_are_kept_relative_to_the_home(host, machine):
    before = settings(host)["mask"]
    own = pwd.getpwuid(host.account.uid).pw_dir
    shown = change(host, "mask=~/web/keys/", "mask=notes//./x", f"mask={own}/z" if own != "/" else "mask=z")
    assert set(shown["mask"]) - set(before) == {"web/keys", "notes/x", "z"}
    shown = change(host, "mask=-web/keys", "mask=-z", "mask=-~/notes/x", "mask=-.ssh")
    assert set(before) - set(shown["mask"]) == {".ssh"} and len(shown["mask"]) == len(before) - 1
    assert change(host, "mask=.ssh")["mask"] == before


@pytest.mark.parametrize("pair, status, message, hint", [
    ("home-mount=yes", USAGE, "home-mount=yes: must be one of rw, ro, none", None),
    ("home-target=host", USAGE, "must be an absolute path, not 'host'", "annex set home-target=/host"),
    ("home-target=/dev/x", USAGE, "/dev is the machine's own", "annex set home-target=/host"),
    ("volume=data", USAGE, "'data' doesn't say where the machine is to have it", "HOST:GUEST[:OPTIONS]"),
    ("volume=data:x", USAGE, "must be an absolute path, not 'x'", "HOST:GUEST[:OPTIONS]"),
    ("volume=data:/proc", USAGE, "/proc is the machine's own", "HOST:GUEST[:OPTIONS]"),
    ("volume=data:/x:r", USAGE, "'r' is no option of a volume", "HOST:GUEST[:OPTIONS]"),
    ("volume=gone:/x", NOT_FOUND, "there is no 'gone'", "mkdir -p 'gone'"),
    ("volume=-/x", NOT_FOUND, "there is no volume at '/x'", None),
    ("volume=-x", USAGE, "must be an absolute path, not 'x'", "volume=-GUEST"),
    ("mask=/etc", USAGE, "mask '/etc' is not below the home", "mask=.ssh"),
    ("mask=a/../..", USAGE, "mask 'a/../..' has '..' in it", "mask=.ssh"),
    ("mask=~", USAGE, "is the home itself", "mask=.ssh"),
    ("mask=-a", NOT_FOUND, "there is no mask 'a'", None),
])
def test_what_makes_no_sense_is_refused_and_changes_nothing(host, machine, pair, status, message, hint):
    before = settings(host)
    result = host.annex("set", "-n", "dev", "cpus=2", pair)
    assert result.returncode == status and result.stdout == ""
    assert message in result.stderr and (hint or "") in result.stderr
    assert settings(host) == before


def test_a_share_lacks_annexs_own_and_what_is_masked_wherever_it_lies(host, machine, home):
    change(host, "home-mount=none", f"volume={host.folder}:/all:ro", "volume=data:/data")
    _, guest = machine.run()
    assert [share.split(" ", 1)[1] for share in guest.config.shares] == ["dr /all", "d /data"]
    all_of_it, inner = json.loads(host.ok("mount", "-n", "dev", "--format", "json"))
    data = os.path.relpath(host.data.resolve(), host.folder.resolve())
    assert {data, "run/annex"} <= set(all_of_it["masks"]) and all_of_it["readOnly"]
    assert inner["masks"] == [] and not inner["readOnly"]


def test_annexs_own_is_no_volume(host, machine):
    change(host, "home-mount=none")
    for folder in (machine.folder, host.data, machine.runtime.parent / "annex"):
        folder.mkdir(parents=True, exist_ok=True)
        change(host, f"volume={folder}:/x")
        result = host.annex("start", "dev")
        assert result.returncode == USAGE and "no machine gets what is in" in result.stderr
        assert "annex set -n dev volume=-/x" in result.stderr


def test_a_start_names_the_volume_that_is_gone(host, machine, home):
    change(host, "home-mount=none", "volume=data/inner:/x")
    (host.folder / "home" / "data" / "inner").rmdir()
    result = host.annex("start", "dev")
    assert result.returncode == NOT_FOUND
    assert f"cannot share {home}/data/inner: No such file or directory" in result.stderr
    assert "hint: annex set -n dev volume=-/x" in result.stderr
    assert change(host, "volume=-/x")["volume"] == []


def test_a_start_follows_no_link_that_took_the_place_of_a_volume(host, machine, home):
    change(host, "home-mount=none", "volume=data/inner:/x")
    inner = host.folder / "home" / "data" / "inner"
    inner.rmdir()
    inner.symlink_to("/etc")
    result = host.annex("start", "dev")
    assert result.returncode == USAGE and f"cannot share {home}/data/inner: it is a link to /etc now" in result.stderr


def test_a_record_that_makes_no_sense_is_not_believed(host, machine):
    path = machine.folder / "machine.json"
    record = json.loads(path.read_text())
    for key, value in (("home-mount", "sometimes"), ("volume", ["/a"]), ("mask", ["../x"]), ("home-target", "x")):
        path.write_text(json.dumps({**record, "settings": {**record["settings"], key: value}}))
        result = host.annex("start", "dev")
        assert result.returncode == 1 and "machine.json" in result.stderr
