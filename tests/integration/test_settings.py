"""Settings: what each takes, what new machines are set to, how what waits is shown. No machine runs but a fake one."""

import json
import os
import pathlib
import subprocess
import sys

import pytest

import annex_test
from annex_test import check_failure
from test_kernel import elf_kernel

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "fakes"))

from machine import Machine  # noqa: E402

CPUS = "must be between 1 and 255"
MEMORY = "must be between 96 MiB and 4 TiB"
DISK = "must be between 256 MiB and 16 TiB"
SIZE_HINT = "sizes are written 512M, 4G or 1.5g; a bare number is bytes"
VOLUME_HINT = "a volume is HOST:GUEST[:OPTIONS], such as /srv/data:/data:ro,cache=none"


@pytest.fixture
def machine(user_host):
    made = Machine(user_host)
    user_host.env.update(made.env)
    yield made
    made.remove()


@pytest.fixture
def guest(user_host, machine):
    """The machine runs."""
    machine.supervise()
    made = machine.guest()
    made.ready()
    machine.connect(watch=True).expect_state("running")
    return made


def inspect(host, name="dev"):
    return json.loads(host.ok("inspect", name))[0]


def configure(host, text):
    folder = host.folder / "config" / "annex"
    folder.mkdir(exist_ok=True)
    path = folder / "config.json"
    path.write_text(text if isinstance(text, str) else json.dumps(text))
    for changed in (folder, path):
        os.chown(changed, host.account.uid, host.account.gid)
    return path


REFUSED = [
    ("cpus=0", CPUS, None),
    ("cpus=256", CPUS, None),
    ("cpus=-1", "not a whole number", None),
    ("cpus=two", "not a whole number", None),
    ("cpus=1.5", "not a whole number", None),
    ("cpus=", "not a whole number", None),
    ("cpus=99999999999999999999", "not a whole number", None),
    ("memory=0", MEMORY, None),
    ("memory=64", MEMORY, None),
    ("memory=63M", MEMORY, None),
    ("memory=5T", MEMORY, None),
    ("memory=4 T", "not a size", SIZE_HINT),
    ("memory=lots", "not a size", SIZE_HINT),
    ("memory=", "not a size", SIZE_HINT),
    ("memory=-1G", "not a size", SIZE_HINT),
    ("disk=255M", DISK, None),
    ("disk=17T", DISK, None),
    ("disk=big", "not a size", SIZE_HINT),
    ("home-mount=", "must be one of rw, ro, none", None),
    ("home-mount=r", "must be one of rw, ro, none", None),
    ("home-mount=rw|ro", "must be one of rw, ro, none", None),
    ("init=systemd", "must be one of auto, image, builtin", None),
    ("init=", "must be one of auto, image, builtin", None),
    ("kernel=", "must not be empty", None),
    ("kernel=nope", "there is no kernel 'nope'", "annex kernel list"),
    ("virtualization=maybe", "must be true or false", None),
    ("virtualization=", "must be true or false", None),
    ("accel=hvf", "must be one of auto, kvm, tcg", None),
    ("network=My Net", "network name 'My Net' is invalid: only a-z, 0-9 and - are allowed", "choose a name such as 'work' or 'lab-2'"),
    ("host-access=perhaps", "must be one of on, off", None),
    ("ca=true", "must be one of on, off", None),
    ("isolate=maybe", "must be true or false", None),
    ("env=A", "not of the form NAME=VALUE", "annex set env=NAME=VALUE, or env=-NAME to remove it"),
    ("env==x", "not of the form NAME=VALUE", "annex set env=NAME=VALUE, or env=-NAME to remove it"),
    ("env=", "not of the form NAME=VALUE", "annex set env=NAME=VALUE, or env=-NAME to remove it"),
    ("autostart=sometimes", "must be true or false", None),
    ("service=nginx", "must be true or false", None),
    ("restart=", "must be one of no, on-failure, always", None),
    ("restart=true", "must be one of no, on-failure, always", None),
    ("service=yes please", "must be true or false", None),
    ("ssh-agent=", "must be one of on, off", None),
    ("ssh-agent=true", "must be one of on, off", None),
]


@pytest.mark.parametrize("pair, why, hint", REFUSED, ids=[row[0] for row in REFUSED])
def test_a_bad_value_is_one_line_and_changes_nothing(user_host, machine, pair, why, hint):
    before = (machine.folder / "machine.json").read_text()
    result = user_host.annex("set", "-n", "dev", "env=X=1", pair)
    check_failure(result, 3 if hint == "annex kernel list" else 2, f"set dev: {pair}: {why}", hint)
    assert (machine.folder / "machine.json").read_text() == before


SAID_OTHERWISE = [
    ("colour=blue", "there is no setting 'colour'", 2),
    ("=x", "there is no setting ''", 2),
    ("memory", "'memory' is not of the form KEY=VALUE", 2),
    ("dev", "'dev' is not of the form KEY=VALUE", 2),
    ("colour=default", "there is no setting 'colour'", 2),
    ("volume=/tmp:/x:rw,ro", "the options rw and ro of a volume contradict each other", 2),
    ("volume=/tmp:/x:cache=none,cache=auto", "the options cache=none and cache=auto of a volume contradict each other", 2),
    ("volume=-/nowhere", "there is no volume at '/nowhere'", 3),
    ("publish=-8080", "no port is published as '8080'", 3),
    ("publish=http:80", "publish=http:80: 'http' is no port: 1 to 65535, or two with '-' between them", 2),
    ("publish=127.0.0.1:80", "publish=127.0.0.1:80: behind '127.0.0.1' there must be two ports: the host's and the machine's",
     2),
    ("publish=", "publish=: there is no port", 2),
    ("mask=-nothing", "there is no mask 'nothing'", 3),
    ("mask=../x", None, 2),
    ("mask=", None, 2),
    ("allow=a b", None, 2),
    ("allow=", None, 2),
    ("allow=-a.example", "there is no rule 'a.example'", 3),
    ("publish=x", None, 2),
    ("publish=-1", None, 3),
    ("home-target=relative", "home-target=relative: the place in the machine must be an absolute path, not 'relative'", 2),
    ("disk=512M", "disk=512 MiB: the disk has 1 GiB, and a disk can only grow", 2),
    ("disk=1023M", "disk=1023 MiB: the disk has 1 GiB, and a disk can only grow", 2),
]


@pytest.mark.parametrize("pair, message, status", SAID_OTHERWISE, ids=[row[0] for row in SAID_OTHERWISE])
def test_what_makes_no_sense_is_refused(user_host, machine, pair, message, status):
    before = (machine.folder / "machine.json").read_text()
    result = user_host.annex("set", "-n", "dev", pair)
    assert (result.returncode, result.stdout) == (status, "")
    first = result.stderr.splitlines()[0]
    assert first.startswith("annex: set dev: ") and (not message or first == f"annex: set dev: {message}")
    assert (machine.folder / "machine.json").read_text() == before


def test_more_memory_than_the_host_has_is_refused(user_host, machine):
    result = user_host.annex("set", "-n", "dev", "memory=3T")
    assert result.returncode == 2 and result.stderr.startswith("annex: set dev: memory=3 TiB: this host has "), result.stderr


def test_a_place_for_a_home_that_is_not_there_is_refused(user_host, machine):
    result = user_host.annex("set", "-n", "dev", "home-mount=none", "home-target=/host")
    check_failure(result, 2, "set dev: home-target=/host: there is no home to put there, by home-mount=none",
                  "home-mount=rw or home-mount=ro gives the machine the home")
    user_host.ok("set", "-n", "dev", "home-target=/host")
    user_host.ok("set", "-n", "dev", "home-mount=none")
    assert inspect(user_host)["settings"]["home-target"] == "/host"


def test_what_isolation_overrules_is_refused_beside_it(user_host, machine):
    for pair in ("home-mount=rw", "home-mount=ro", "host-access=on", "ssh-agent=on"):
        for pairs in ((pair, "isolate=true"), ("isolate=on", pair)):
            check_failure(user_host.annex("set", "-n", "dev", *pairs), 2,
                          f"set dev: {pair}: an isolated machine has no home, no SSH agent and no access to this host",
                          f"leave out one of {pair} and isolate")
    user_host.ok("set", "-n", "dev", "home-mount=ro", "host-access=off")
    user_host.ok("set", "-n", "dev", "isolate=true", "home-mount=none", "allow=192.0.2.7:443", "allow=*.Example.org")
    told = inspect(user_host)["settings"]
    assert told["isolate"] is True and told["allow"] == ["*.example.org", "192.0.2.7:443"]
    user_host.ok("set", "-n", "dev", "isolate=false", "home-mount=rw")
    check_failure(user_host.annex("set", "-n", "dev", "allow=a.example"), 2,
                  "set dev: allow=a.example: the machine is not isolated, and reaches everything",
                  "isolate=true (create: --isolate) leaves it nothing but what is allowed")
    check_failure(user_host.annex("set", "-n", "dev", "allow=-b.example"), 3, "set dev: there is no rule 'b.example'",
                  "annex set -n dev")
    user_host.ok("set", "-n", "dev", "allow=-", "host-access=default")
    told = inspect(user_host)["settings"]
    assert (told["home-mount"], told["host-access"], told["allow"]) == ("rw", "on", [])


def test_default_is_what_a_new_machine_has(user_host, machine):
    before = inspect(user_host)["settings"]
    user_host.ok("set", "-n", "dev", "cpus=7", "mask=x", "mask=-.ssh", "env=A=1", "restart=always", "home-target=/h",
                 "network=slirp")
    user_host.ok("set", "-n", "dev", "mask=default", "env=default", "restart=default", "home-target=default",
                 "network=default", "cpus=default")
    after = inspect(user_host)["settings"]
    assert after == {**before, "network": "auto", "cpus": after["cpus"]} and after["cpus"] == os.cpu_count()
    configure(user_host, {"version": 1, "defaults": {"cpus": 5, "env": ["B=2"], "mask": ["-.ssh"]}})
    assert inspect(user_host)["settings"] == after
    user_host.ok("set", "-n", "dev", "mask=default", "env=default", "cpus=default", "cpus=default")
    changed = inspect(user_host)["settings"]
    assert changed["cpus"] == 5 and changed["env"] == ["B=2"] and ".ssh" not in changed["mask"]


def test_what_waits_for_a_restart_is_shown(user_host, machine, guest):
    listed, = json.loads(user_host.ok("list", "--format", "json"))
    assert listed["pending"] == {} and listed["waiting"] is None
    result = user_host.annex("set", "-n", "dev", "cpus=200", "env=A=1")
    assert (result.returncode, result.stdout) == (0, "")
    assert result.stderr.splitlines()[-1] == "cpus=200, env=A=1 will take effect after 'annex restart dev'"
    told = inspect(user_host)
    assert told["pending"] == {"cpus": 200, "env": ["A=1"]} and told["settings"]["cpus"] == 1
    listed, = json.loads(user_host.ok("list", "--format", "json"))
    assert listed["pending"] == told["pending"] and listed["cpus"] == 1
    header, row = user_host.ok("list").splitlines()
    assert header.split() == "NAME CREATED IP CPUS MEMORY DISK STATE DEFAULT NOTE".split()
    assert row.endswith("after restart: cpus env")
    shown = {words[0]: words[1:] for words in map(str.split, user_host.ok("set", "-n", "dev").splitlines())}
    assert shown["SETTING"] == ["VALUE", "PENDING"]
    assert shown["cpus"] == ["1", "200"] and shown["env"] == ["A=1"] and shown["memory"] == ["512M"]
    assert user_host.annex("set", "-n", "dev", "cpus=1", "env=-A").stderr == ""
    assert inspect(user_host)["pending"] == {}


def test_settings_of_which_nothing_in_the_machine_depends_never_wait(user_host, machine, guest):
    supervisor = machine.running["pid"]
    assert user_host.annex("set", "--now", "-n", "dev", "restart=on-failure").stderr == ""
    told = inspect(user_host)
    assert told["pending"] == {} and told["settings"]["restart"] == "on-failure"
    # Not even where others wait, which nobody asked for now.
    user_host.ok("set", "-n", "dev", "env=A=1")
    assert user_host.annex("set", "--now", "-n", "dev", "restart=always").stderr == ""
    assert inspect(user_host)["pending"] == {"env": ["A=1"]} and machine.running["pid"] == supervisor
    user_host.ok("set", "-n", "dev", "env=-A")


def test_each_mask_is_shown_once(user_host, machine, guest):
    text = user_host.ok("inspect", "dev")
    assert text.count('".ssh"') == 1
    assert all("masks" not in share for share in json.loads(text)[0]["shares"])
    assert user_host.annex("set", "--now", "-n", "dev").returncode == 2


def test_the_words_of_settings_are_completed(user_host):
    def offered(*words):
        return [line.split("\t")[0] for line in user_host.ok("__complete", "--", *words).splitlines()]

    assert offered("set", "restart=") == ["restart=no", "restart=on-failure", "restart=always"]
    assert offered("set", "autostart=t") == ["autostart=true"]
    assert offered("create", "--restart", "on") == ["on-failure"]


# --- config.json ---

@pytest.fixture
def create(user_host, test_image):
    kernel = user_host.file("kernel", elf_kernel())

    def create(*words):
        return user_host.annex("create", "--no-boot", "--kernel", kernel, *words, f"oci:{test_image('noinit')}")

    yield create


def test_new_machines_are_set_to_what_the_configuration_says(user_host, create):
    (user_host.folder / "home" / "data").mkdir()
    home = str((user_host.folder / "home").resolve())
    path = configure(user_host, {"version": 1, "defaults": {
        "cpus": 3, "memory": "1G", "disk": 2 << 30, "home-mount": "ro", "env": ["A=1", "B=1"], "mask": ["x", "-.ssh"],
        "volume": ["~/data:/data:ro"], "restart": "on-failure", "virtualization": False, "publish": ["8080:80"]}})
    real = path.rename(path.with_name("real.json"))
    path.symlink_to(real)
    made = create("-n", "web", "--cpus", "2", "-e", "B=2", "--mask", "y", "-v", "data:/more", "-p", "5353:53/udp",
                  "--publish", "127.0.0.1:8080:81/tcp")
    assert (made.returncode, made.stdout) == (0, "web\n"), made.stderr
    settings = inspect(user_host, "web")["settings"]
    assert (settings["cpus"], settings["memory"], settings["disk"], settings["home-mount"]) == (2, 1 << 30, 2 << 30, "ro")
    assert settings["env"] == ["A=1", "B=2"] and settings["restart"] == "on-failure"
    assert {"x", "y", ".gnupg"} < set(settings["mask"]) and ".ssh" not in settings["mask"]
    assert settings["volume"] == [f"{home}/data:/data:ro", f"{home}/data:/more"]
    assert settings["publish"] == ["5353:53/udp", "8080:81"]
    real.write_text('{"version": 1, "defaults": {"cpus": 5}}')
    assert inspect(user_host, "web")["settings"] == settings


def test_create_knows_what_a_machine_may_reach(user_host, create):
    made = create("-n", "box", "--isolate", "--allow", "deb.debian.org:443", "--allow", "192.0.2.0/24", "--network", "slirp",
                  "--ca", "off")
    assert made.returncode == 0, made.stderr
    told = inspect(user_host, "box")["settings"]
    assert (told["isolate"], told["allow"]) == (True, ["192.0.2.0/24", "deb.debian.org:443"])
    assert (told["network"], told["ca"], told["host-access"], told["home-mount"]) == ("slirp", "off", "off", "none")
    for words, said in (
            (("--isolate", "--home-mount", "rw"), "home-mount=rw: an isolated machine has no home"),
            (("--isolate", "--host-access", "on"), "host-access=on: an isolated machine has no home"),
            (("--isolate", "--ssh-agent", "on"), "ssh-agent=on: an isolated machine has no home"),
            (("--allow", "a.example"), "allow=a.example: the machine is not isolated"),
            (("--isolate", "--allow", "a b"), "'a b' can't be allowed"),
            (("--network", "no such"), "network name 'no such' is invalid")):
        refused = create("-n", "other", *words)
        assert refused.returncode == 2 and said in refused.stderr, refused.stderr
    configure(user_host, {"version": 1, "defaults": {"isolate": True, "allow": ["a.example"], "host-access": "off"}})
    assert create("-n", "other", "--allow", "b.example").returncode == 0
    assert inspect(user_host, "other")["settings"]["allow"] == ["a.example", "b.example"]


def test_init_of_an_image_without_one_is_refused(user_host, create):
    assert create("-n", "web").returncode == 0
    check_failure(user_host.annex("set", "-n", "web", "init=image"), 1,
                  f"set web: init=image: image {inspect(user_host, 'web')['image']} brings no init",
                  "init=auto takes the image's, or one that is installed later, and annex's own until then")
    user_host.ok("set", "-n", "web", "init=builtin")


MISTAKES = [
    ("{", "1: not JSON: "),
    ('{"version": 1,\n}', "2: not JSON: "),
    ("[]", "1: not a JSON object"),
    ('{"version": 7}', "1: version: not one that this annex knows, which is 1"),
    ('{"version": 1,\n"colour": 1}', "2: colour: there is no such key"),
    ('{"version": 1, "defaults": {\n"colour": 1}}', "2: colour: there is no such setting"),
    ('{"version": 1, "defaults": {\n\n"cpus": 0}}', f"3: cpus=0: {CPUS}"),
    ('{"version": 1, "defaults": {\n"cpus": {}}}', "2: cpus: must be a text, a whole number, true or false"),
    ('{"version": 1, "defaults": {\n"memory": true}}', "2: memory=true: not a size"),
    ('{"version": 1, "defaults": {\n"env": "A=1"}}', "2: env: must be a list of texts"),
    ('{"version": 1, "defaults": {\n"env": ["A"]}}', "2: env=A: not of the form NAME=VALUE"),
    ('{"version": 1, "defaults": {\n"volume": ["/nowhere:/x"]}}', "2: there is no '/nowhere'"),
    ('{"version": 1, "defaults": {\n"publish": ["x"]}}', "2: publish=x: 'x' is no port"),
    ('{"version": 1, "defaults": {\n"volume": ["x:/x"]}}', "2: volume: must be an absolute path"),
]


def test_a_mistake_in_the_configuration_is_told_with_its_line(user_host):
    for text, message in MISTAKES:
        path = configure(user_host, text)
        result = user_host.annex("create", "oci:/nowhere")
        assert (result.returncode, result.stdout) == (1, ""), result.stderr
        assert result.stderr.startswith(f"annex: cannot create machine from oci:/nowhere: {path}:{message}"), result.stderr
        assert not list((user_host.data / "machines").glob("*"))


def test_a_configuration_that_cannot_be_read_is_told(user_host):
    path = configure(user_host, "{}")
    path.unlink()
    path.mkdir()
    result = user_host.annex("create", "oci:/nowhere")
    assert result.returncode == 1 and f"cannot read {path}: Is a directory" in result.stderr
    path.rmdir()
    path.write_text("{}")
    path.chmod(0)
    os.chown(path, user_host.account.uid, user_host.account.gid)
    if user_host.account.uid != 0:
        result = user_host.annex("create", "oci:/nowhere")
        assert result.returncode == 1 and f"cannot read {path}: Permission denied" in result.stderr


def test_each_setting_is_documented_refuses_nonsense_and_can_be_a_default(user_host):
    offered = [line.split("\t")[0] for line in user_host.ok("__complete", "--", "set", "").splitlines()]
    keys = {word.removesuffix("=") for word in offered}
    documented = (annex_test.ROOT / "docs" / "settings.md").read_text()
    assert [key for key in sorted(keys) if f"\n| `{key}` |" not in documented] == []
    refused = {row[0].split("=")[0] for row in REFUSED} | {row[0].split("=")[0] for row in SAID_OTHERWISE}
    assert keys - refused == set()
    for key in sorted(keys):
        path = configure(user_host, {"version": 1, "defaults": {key: {}}})
        result = user_host.annex("create", "oci:/nowhere")
        assert f"{path}:1: {key}: must be " in result.stderr, result.stderr
