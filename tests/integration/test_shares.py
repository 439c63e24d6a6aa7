"""Shares as their user has them: the command line, with a machine whose guest is the test."""

import json
import pathlib
import subprocess
import sys

import pytest

from annex_test import TIMEOUT, check_failure

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "fakes"))

from machine import Machine  # noqa: E402
from protocol import KINDS  # noqa: E402
from test_kernel import elf_kernel  # noqa: E402


@pytest.fixture
def machine(host):
    """A machine without the home, for it is the account's own."""
    made = Machine(host, **{"home-mount": "none", "mask": ["secret", "keys/private"]})
    made.env["ANNEX_MACHINE"] = "dev"
    host.env.update(made.env)
    (host.folder / "home" / "data").mkdir()
    (host.folder / "home" / "data" / "old").mkdir()
    host.file("notes", "")
    subprocess.run(["chown", "-R", f"{host.account.uid}:{host.account.gid}", host.folder / "home"], check=True)
    yield made
    made.close()
    subprocess.run(["rm", "-rf", made.folder], check=True)


@pytest.fixture
def home(host):
    return str((host.folder / "home").resolve())


@pytest.fixture
def guest(machine):
    """The guest of a machine that runs."""
    return machine.run()[1]


def asked(host, guest, *words, question="BIND", **failure):
    """Run annex while the guest answers one question; what it was asked, and how annex ended."""
    running = host.start(*words, text=True)
    try:
        heard = guest.bind(question, **failure)
        out, errors = running.communicate(timeout=TIMEOUT)
    except Exception:
        running.kill()
        print("annex said:", *running.communicate())
        raise
    return heard, subprocess.CompletedProcess(words, running.returncode, out, errors)


def mounted(host, guest, *words):
    question, result = asked(host, guest, "mount", *words)
    assert (result.returncode, result.stdout, result.stderr) == (0, "", "")
    return question.share.split(" ", 2)


def unmounted(host, guest, *words, said=""):
    question, result = asked(host, guest, "umount", *words, question="UNBIND")
    assert (result.returncode, result.stdout, result.stderr) == (0, "", said)
    return question


def shares(host):
    return json.loads(host.ok("mount", "--format", "json"))


def rows(host):
    first, *lines = (line.split() for line in host.ok("mount").splitlines())
    assert first == ["SOURCE", "TARGET", "MODE", "CACHE", "KEPT"]
    return lines


def test_a_folder_is_mounted_shown_and_unmounted(host, guest, home):
    name, flags, target = mounted(host, guest, f"{home}/data", "/srv")
    assert (name, flags, target) == ("mount-1", "d", "/srv")
    assert rows(host) == [[f"{home}/data", "/srv", "rw", "auto", "no"]]
    question = unmounted(host, guest, "/srv")
    assert (question.target, question.force) == ("/srv", 0)
    assert rows(host) == []


SPELLINGS = [
    (["data", "/srv"], "/data", "d", ["rw", "auto"]),
    (["data:/srv"], "/data", "d", ["rw", "auto"]),
    (["./data/../data/", "/srv/"], "/data", "d", ["rw", "auto"]),
    (["~/data:/srv:ro"], "/data", "dr", ["ro", "auto"]),
    (["data", "/srv:ro,cache=none"], "/data", "dr", ["ro", "none"]),
    (["data:/srv:cache=always,rw"], "/data", "d", ["rw", "always"]),
    (["notes", "/srv"], "/notes", "f", ["rw", "auto"]),
    (["--name", "dev", "notes:/srv:ro"], "/notes", "fr", ["ro", "auto"]),
    ([".", "/srv"], "", "d", ["rw", "auto"]),
]


@pytest.mark.parametrize("words, source, flags, modes", SPELLINGS, ids=[" ".join(row[0]) for row in SPELLINGS])
def test_spellings(host, guest, home, words, source, flags, modes):
    assert mounted(host, guest, *words)[1:] == [flags, "/srv"]
    assert rows(host) == [[home + source, "/srv", *modes, "no"]]


def test_names_with_colons_blanks_and_control_characters(host, guest, home):
    (pathlib.Path(home) / "a:b c\x1b[31m").mkdir()
    assert mounted(host, guest, "a:b c\x1b[31m", "/srv/x y")[1:] == ["d", "/srv/x y"]
    shown = host.ok("mount")
    assert "\x1b" not in shown and "/srv/x y" in shown
    [share] = [share for share in shares(host) if share["name"] == "mount-1"]
    assert share["source"] == f"{home}/a:b c\x1b[31m"


def test_shares_as_json_and_as_names(host, guest, home):
    mounted(host, guest, ".", "/srv:ro")
    mounted(host, guest, "notes", "/etc/notes")
    assert [share for share in shares(host) if share["name"] != "modules"] == [
        {"name": "mount-1", "source": home, "target": "/srv", "type": "folder", "readOnly": True, "cache": "auto",
         "masks": shares(host)[0]["masks"], "kept": False},
        {"name": "mount-2", "source": f"{home}/notes", "target": "/etc/notes", "type": "file", "readOnly": False,
         "cache": "auto", "masks": [], "kept": False}]
    assert host.ok("mount", "-q") == "/srv\n/etc/notes\n"
    [inspected], listed = json.loads(host.ok("inspect", "dev")), shares(host)
    for share in listed:
        del share["masks"]  # which `inspect` tells once, among the settings
    assert inspected["shares"] == listed


def test_a_volume_that_is_set_is_there_at_once_and_is_kept(host, machine, guest, home):
    question, result = asked(host, guest, "set", "volume=data:/srv:ro")
    assert (result.returncode, result.stdout, result.stderr) == (0, "", "")
    assert question.share.endswith(" dr /srv")
    assert rows(host) == [[f"{home}/data", "/srv", "ro", "auto", "yes"]]
    record = json.loads((machine.folder / "machine.json").read_text())
    assert record["settings"]["volume"] == [f"{home}/data:/srv:ro"]
    question, result = asked(host, guest, "set", "volume=-/srv", question="UNBIND")
    assert (result.returncode, result.stderr, question.target) == (0, "", "/srv")
    assert rows(host) == []


def test_only_settings_that_wait_are_said_to_wait(host, guest):
    question, result = asked(host, guest, "set", "volume=data:/srv", "mask=more", "init=builtin")
    assert (result.returncode, result.stdout) == (0, "")
    assert result.stderr == "mask=more, init=builtin will take effect after 'annex restart dev'\n"


def test_who_unmounts_a_volume_that_is_kept_is_told_that_it_comes_back(host, guest):
    asked(host, guest, "set", "volume=data:/srv")
    unmounted(host, guest, "/srv/",
              said="/srv/ is shared again at the next start, unless 'annex set -n dev volume=-/srv'\n")


def test_what_was_unmounted_can_be_forgotten_and_changed(host, guest, home):
    for pair in ("volume=-/srv", "volume=data:/srv:ro"):
        asked(host, guest, "set", "volume=data:/srv")
        unmounted(host, guest, "/srv", said="/srv is shared again at the next start, unless "
                                            "'annex set -n dev volume=-/srv'\n")
        if pair.endswith("ro"):
            assert asked(host, guest, "set", pair)[1].returncode == 0
            assert rows(host) == [[f"{home}/data", "/srv", "ro", "auto", "yes"]]
        else:
            host.ok("set", pair)
            assert rows(host) == []
    assert json.loads(host.ok("inspect", "dev"))[0]["pending"] == {}


def test_what_was_mounted_can_be_kept(host, machine, guest, home):
    mounted(host, guest, "data", "/srv")
    host.ok("set", "volume=data:/srv")
    assert rows(host) == [[f"{home}/data", "/srv", "rw", "auto", "yes"]]
    [inspected] = json.loads(host.ok("inspect", "dev"))
    assert (inspected["settings"]["volume"], inspected["pending"]) == ([f"{home}/data:/srv"], {})
    mounted(host, guest, "data", "/other")
    result = host.annex("set", "volume=notes:/other")
    assert result.returncode == 4 and f"{home}/data is shared there" in result.stderr
    assert json.loads((machine.folder / "machine.json").read_text())["settings"]["volume"] == [f"{home}/data:/srv"]


def test_a_machine_that_is_stopped_shows_what_a_start_shares(host, machine, home):
    assert rows(host) == []
    host.ok("set", "volume=data:/srv:ro", "volume=notes:/srv/notes")
    assert rows(host) == [[f"{home}/data", "/srv", "ro", "auto", "yes"],
                          [f"{home}/notes", "/srv/notes", "rw", "auto", "yes"]]
    guest = machine.run()[1]
    assert [share.split(" ", 1)[1] for share in guest.config.shares if "modules" not in share] == \
        ["dr /srv", "f /srv/notes"]


def test_a_stopped_machine_mounts_nothing(host, machine):
    check_failure(host.annex("mount", "data", "/srv"), 4, "mount in dev: machine 'dev' is not running",
                  "annex start dev; or for every start: annex set -n dev volume=data:/srv")
    check_failure(host.annex("umount", "/srv"), 4, "umount /srv in dev: machine 'dev' is not running", None)
    host.ok("set", "volume=data:/srv")
    check_failure(host.annex("umount", "/srv"), 4, "umount /srv in dev: machine 'dev' is not running",
                  "annex set -n dev volume=-/srv")


def test_a_machine_that_boots_or_stops_mounts_nothing(host, machine):
    machine.supervise()
    guest = machine.guest()
    for words in (["mount", "data", "/srv"], ["umount", "/srv"]):
        result = host.annex(*words)
        assert result.returncode == 4 and result.stderr.splitlines()[0].endswith(" in dev: the machine is not up yet")
        assert result.stderr.splitlines()[1] == "hint: annex start dev"
    guest.ready()
    client = machine.connect(watch=True)
    client.expect_state("running")
    client.send("STOP", timeout_ms=60000)
    guest.link.expect("SHUTDOWN")
    result = host.annex("mount", "data", "/srv")
    check_failure(result, 4, "mount in dev: the machine is being stopped", "annex start dev")


REFUSED = [
    ("mount nowhere /srv", 3, "mount in dev: there is no 'nowhere'",
     "if it is to be a folder: mkdir -p 'nowhere'"),
    ("mount notes/x /srv", 3, "mount in dev: there is no 'notes/x'", None),
    ("mount data /", 2, "mount in dev: nothing can take the place of the machine's '/'", None),
    ("mount data /proc/x", 2, "mount in dev: nothing can be put at '/proc/x': /proc is the machine's own", None),
    ("mount data /a/../b", 2, "mount in dev: '/a/../b' has '..' in it", None),
    ("mount data /srv:or", 2, "mount in dev: 'or' is no option of a volume: ro, rw, cache=auto, none or always", None),
    ("mount data /srv:", 2, "mount in dev: '' is no option of a volume: ro, rw, cache=auto, none or always", None),
    ("mount data:srv", 2, "mount in dev: the place in the machine must be an absolute path, not 'srv'", None),
    ("mount data:", 2, "mount in dev: 'data:' doesn't say where the machine is to have it", None),
    ("mount :/srv", 2, None, None),
    ("umount /nowhere", 3, "umount /nowhere in dev: nothing is shared at /nowhere",
     "annex mount -n dev shows what is shared"),
    ("umount nowhere", 2, "umount nowhere in dev: the place in the machine must be an absolute path, not 'nowhere'", None),
    ("set volume=nowhere:/srv", 3, "set dev: there is no 'nowhere'", None),
    ("set volume=-/srv", 3, "set dev: there is no volume at '/srv'", None),
    ("set mask=-nothing", 3, "set dev: there is no mask 'nothing'", None),
    ("set mask=/etc/passwd", 2, None, None),
    ("set home-mount=yes", 2, "set dev: home-mount=yes: must be one of rw, ro, none", None),
    ("set home-target=host", 2, None, None),
]


@pytest.mark.parametrize("words, status, message, hint", REFUSED, ids=[row[0] for row in REFUSED])
def test_what_is_refused(host, guest, words, status, message, hint):
    result = host.annex(*words.split())
    assert (result.returncode, result.stdout) == (status, "")
    lines = result.stderr.splitlines()
    assert len(lines) <= 2 and lines[0].startswith("annex: ") and (not lines[1:] or lines[1].startswith("hint: "))
    if message:
        assert lines[0] == f"annex: {message}"
    if hint:
        assert lines[1] == f"hint: {hint}"


def test_what_is_taken_is_refused(host, guest, home):
    mounted(host, guest, "data", "/srv")
    result = host.annex("mount", "notes", "/srv")
    check_failure(result, 4, f"mount in dev: cannot share {home}/notes at /srv: {home}/data is shared there",
                  "annex mount -n dev shows what is shared")
    assert rows(host) == [[f"{home}/data", "/srv", "rw", "auto", "no"]]


def test_the_kernels_modules_can_not_be_unmounted(host, guest):
    for share in shares(host):
        if share["name"] == "modules":
            assert host.annex("umount", share["target"]).returncode == 3


def test_what_is_in_use_needs_force(host, guest):
    mounted(host, guest, "data", "/srv")
    busy = {"kind": KINDS["BUSY"], "message": "it is in use"}
    question, result = asked(host, guest, "umount", "/srv", question="UNBIND", **busy)
    check_failure(result, 4, "umount /srv in dev: it is in use", "annex umount -n dev --force /srv")
    assert len(rows(host)) == 1
    assert unmounted(host, guest, "--force", "/srv").force
    assert rows(host) == []


def test_what_the_guest_can_not_mount_is_not_shared(host, guest):
    question, result = asked(host, guest, "mount", "data", "/srv", kind=KINDS["GUEST"], message="there is a file")
    check_failure(result, 1, "mount in dev: there is a file", None)
    assert rows(host) == []


def test_a_machine_that_is_unknown(host):
    for words in (["mount"], ["mount", ".", "/srv"], ["umount", "/srv"]):
        result = host.annex(*words, "-n", "nobody")
        assert result.returncode == 3 and result.stderr.startswith(f"annex: {words[0]} nobody: ")


def test_shells_complete_what_is_shared(host, machine, guest):
    mounted(host, guest, "data", "/srv")
    for words in (["umount", "/s"], ["umount", "-n", "dev", "-f", "/s"], ["umount", "--name=dev", ""]):
        shown = host.ok("__complete", "--", *words).splitlines()
        assert [line.split("\t")[0] for line in shown] == ["/srv"]
    assert host.ok("__complete", "--", "umount", "-nobody", "") == ""
    assert host.ok("__complete", "--", "set", "volume=-") == ""
    host.ok("set", "volume=data:/srv")
    assert host.ok("__complete", "--", "set", "volume=-").startswith("volume=-/srv\t")


def test_a_session_starts_in_the_folder_of_the_host(host, guest, home):
    mounted(host, guest, "data", "/srv")
    for folder, wanted in (("data", "/srv"), ("data/old", "/srv/old"), (".", "")):
        running = host.start("run", "true", cwd=f"{home}/{folder}")
        opened = guest.accept()
        assert opened.folder == wanted and opened.flags & 32 == (32 if wanted else 0)
        guest.link.send("EXIT", opened.stream, status=0)
        assert running.wait(TIMEOUT) == 0
    running = host.start("run", "-w", "/etc", "true", cwd=f"{home}/data")
    opened = guest.accept()
    assert opened.folder == "/etc" and not opened.flags & 32
    guest.link.send("EXIT", opened.stream, status=0)
    assert running.wait(TIMEOUT) == 0


@pytest.fixture
def create(host, test_image):
    """annex create --no-boot of a small image."""
    kernel = host.file("kernel", elf_kernel())
    (host.folder / "home" / "site").mkdir()

    def create(*words):
        return host.annex("create", "--no-boot", "--kernel", kernel, *words, f"oci:{test_image('noinit')}")

    yield create


def test_a_machine_is_made_with_volumes_masks_and_a_home(host, create, home):
    made = create("-n", "web", "-v", "site:/srv:ro", "--volume=kernel:/etc/k", "--home-mount", "ro", "--home-target",
                  "/host/", "--mask", "work/x", "--mask", "~/y", "--mask=-.ssh")
    assert (made.returncode, made.stdout) == (0, "web\n"), made.stderr
    settings = json.loads(host.ok("inspect", "web"))[0]["settings"]
    assert settings["volume"] == [f"{home}/kernel:/etc/k", f"{home}/site:/srv:ro"]
    assert (settings["home-mount"], settings["home-target"]) == ("ro", "/host")
    assert {"work/x", "y", ".gnupg"} < set(settings["mask"]) and ".ssh" not in settings["mask"]
    table = [line.split() for line in host.ok("mount", "-n", "web").splitlines()[1:]]
    assert [f"{home}/site", "/srv", "ro", "auto", "yes"] in table and [f"{home}/kernel", "/etc/k", "rw", "auto", "yes"] in table


NOT_MADE = [
    (["-v", "nowhere:/x"], 3, "there is no 'nowhere'", "if it is to be a folder: mkdir -p 'nowhere'"),
    (["-v", "site"], 2, "'site' doesn't say where the machine is to have it", None),
    (["-v", "site:/x:r0"], 2, "'r0' is no option of a volume: ro, rw, cache=auto, none or always", None),
    (["-v", "site:/tmp/x"], 2, "nothing can be put at '/tmp/x': /tmp is the machine's own",
     "choose a place outside of /tmp, which machines empty when they start"),
    (["--mask", "/etc/x"], 2, "mask '/etc/x' is not below the home", None),
    (["--mask=-.nothing"], 3, "there is no mask '.nothing'", None),
    (["--home-target", "x"], 2, "home-target=x: the place in the machine must be an absolute path, not 'x'", None),
]


@pytest.mark.parametrize("words, status, message, hint", NOT_MADE, ids=[" ".join(row[0]) for row in NOT_MADE])
def test_a_machine_that_can_not_be_is_not_made(host, create, words, status, message, hint):
    result = create(*words)
    assert (result.returncode, result.stdout) == (status, "")
    lines = [line for line in result.stderr.splitlines() if line.startswith(("annex:", "hint:"))]
    assert lines[0].startswith("annex: cannot create machine from oci:") and lines[0].endswith(f": {message}")
    if hint:
        assert lines[1] == f"hint: {hint}"
    assert host.ok("list", "-q") == ""
