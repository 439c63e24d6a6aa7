"""annex image login and logout, with real registries, and beside the tools that share the files."""

import base64
import json
import os
import re
import shutil
import signal
import stat
import subprocess

import pexpect
import pytest

import registries
from annex_test import ANNEX, Host, check_failure, unprivileged

USERS = {"anna": "secret", "bert": "x:y ä"}


@pytest.fixture(scope="module")
def place():
    with registries.Place() as made:
        yield made


@pytest.fixture(scope="module")
def closed(place):
    return place.registry(users=USERS)


def auths(host, path="config/containers/auth.json"):
    """Who is logged in where, by the file."""
    file = host.folder / path
    if not file.exists():
        return {}
    entries = json.loads(file.read_text())["auths"]
    return {domain: base64.b64decode(entry["auth"]).decode() for domain, entry in entries.items() if entry}


def write(host, path, content, mode=0o600):
    """A file beneath the host's folder, and the folders above it."""
    file = host.folder / path
    for folder in reversed(file.parents):
        if not folder.exists():
            folder.mkdir(mode=0o700)
            os.chown(folder, host.account.uid, host.account.gid)
    file.write_text(content if isinstance(content, str) else json.dumps(content))
    file.chmod(mode)
    os.chown(file, host.account.uid, host.account.gid)
    return file


def login(host, registry, name="anna", password="secret\n", *words, **options):
    return host.annex("image", "login", "-u", name, "--password-stdin", *words, registry, input=password, **options)


def test_a_login_is_checked_and_kept(host, closed):
    done = login(host, closed.host)
    file = host.folder / "config/containers/auth.json"
    assert (done.returncode, done.stdout) == (0, ""), done.stderr
    assert f"annex: logged in to {closed.host} as anna\n" in done.stderr
    assert f"the password is in {file}, not encrypted" in done.stderr
    assert "secret" not in done.stderr
    assert auths(host) == {closed.host: "anna:secret"}
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert file.stat().st_uid == host.account.uid


def test_the_password_is_all_that_comes_but_the_last_line_s_end(user_host, closed):
    assert login(user_host, closed.host, "bert", "x:y ä\r\n").returncode == 0
    assert auths(user_host) == {closed.host: "bert:x:y ä"}
    assert login(user_host, closed.host, "anna", "secret").returncode == 0
    assert auths(user_host) == {closed.host: "anna:secret"}


def test_the_spelling_of_other_tools_is_understood(user_host, closed):
    done = user_host.annex("registry", "login", "--scheme", "http", "--username", "anna", "--password-stdin", closed.host,
                           input="secret")
    assert done.returncode == 0, done.stderr
    assert auths(user_host) == {closed.host: "anna:secret"}
    assert user_host.annex("registry", "logout", closed.host).returncode == 0


def test_a_password_on_the_command_line_is_taken_with_a_warning(user_host, closed):
    done = user_host.annex("image", "login", "-u", "anna", "-p", "secret", closed.host)
    assert done.returncode == 0
    assert "annex: a password on the command line can be seen by others; --password-stdin hides it\n" in done.stderr


@pytest.mark.parametrize("kind", ["htpasswd", "tokens"])
def test_a_wrong_password_is_refused_and_not_kept(user_host, place, closed, kind):
    registry = closed if kind == "htpasswd" else place.registry(tokens=place.token_server(users=USERS))
    assert login(user_host, registry.host).returncode == 0
    for name, password in (("anna", "wrong"), ("nobody", "secret"), ("anna", "secret ")):
        done = login(user_host, registry.host, name, password)
        assert (done.returncode, done.stdout) == (1, "")
        assert re.match(f"annex: image login {registry.host}: .*refuses.*\nhint: check the user name and the password",
                        done.stderr), done.stderr
        assert password not in done.stderr
    assert auths(user_host) == {registry.host: "anna:secret"}


def test_a_registry_that_can_not_be_asked_keeps_nothing(user_host, place):
    for registry, message in ((place.refusing(), "cannot connect to"), ("registry.invalid", "unknown host registry.invalid")):
        done = login(user_host, registry)
        assert done.returncode == 1
        assert f"image login {registry}: {message}" in done.stderr
    assert auths(user_host) == {}


USAGE = [
    (["image", "login", "-u", "a", "-p", "b", "anna"], "'anna' is not the name of a registry"),
    (["image", "login", "-u", "a", "-p", "b", "ghcr.io/org"], "'ghcr.io/org' is not the name of a registry, but of something in one"),
    (["image", "login", "-u", "a", "-p", "b", "-"], "'-' is not the name of a registry"),
    (["image", "login", "-u", "a:b", "-p", "b", "ghcr.io"], "a user name can't have a colon"),
    (["image", "login", "-u", "", "-p", "b", "ghcr.io"], "the user name is empty"),
    (["image", "login", "-u", "a", "--password-stdin", "ghcr.io"], "the password is empty"),
    (["image", "login", "-u", "a", "-p", "b", "--password-stdin", "ghcr.io"],
     "--password and --password-stdin exclude each other"),
    (["image", "login", "--password-stdin", "ghcr.io"], "--password-stdin needs --username"),
    (["image", "login", "-u", "a", "ghcr.io"], "there is no terminal to ask for a user name and a password on"),
    (["image", "login"], "there is no terminal to ask for a user name and a password on"),
    (["image", "logout", "ghcr"], "'ghcr' is not the name of a registry"),
]


@pytest.mark.parametrize("words, message", USAGE, ids=[" ".join(row[0]) for row in USAGE])
def test_what_can_not_be_a_login_is_a_usage_error(user_host, words, message):
    done = user_host.annex(*words)
    registry = words[-1] if words[-1] != "login" else "docker.io"
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith(f"annex: {' '.join(words[:2])} {registry}: {message}\n")


def test_an_address_is_as_good_as_a_name(user_host, closed):
    assert login(user_host, f"http://{closed.host}/v2/").returncode == 0
    assert auths(user_host) == {closed.host: "anna:secret"}
    assert user_host.annex("image", "logout", f"https://{closed.host}").returncode == 0
    assert auths(user_host) == {}


def ask(host, *words, **options):
    return host.terminal(ANNEX, "image", "login", *words, **options)


def test_on_a_terminal_both_are_asked_for_and_the_password_is_not_shown(host, closed):
    with ask(host, closed.host) as terminal:
        terminal.expect_exact("Username: ")
        terminal.sendline("anna")
        terminal.expect_exact("Password: ")
        assert terminal.waitnoecho(30)
        terminal.sendline("secret")
        terminal.expect_exact(f"logged in to {closed.host} as anna")
        said = terminal.before
        terminal.expect(pexpect.EOF)
        said += terminal.before
    assert terminal.exitstatus == 0
    assert "secret" not in said
    assert auths(host) == {closed.host: "anna:secret"}


def shell(host):
    """A shell on a terminal: what it shows after a command that ended tells how the terminal was left."""
    terminal = host.terminal("/bin/sh", env={"PS1": "ready> "})
    terminal.expect_exact("ready> ")
    return terminal


@pytest.mark.parametrize("key, status", [("\x03", 130), ("\x04", 2), ("\x1c\r", 1)], ids=["ctrl-c", "ctrl-d", "ctrl-backslash"])
def test_a_terminal_shows_again_what_is_typed_however_the_question_ends(user_host, closed, key, status):
    with shell(user_host) as terminal:
        terminal.sendline(f"{ANNEX} image login -u anna {closed.host}")
        terminal.expect_exact("Password: ")
        assert terminal.waitnoecho(30)
        terminal.send(key)
        terminal.expect_exact("ready> ")
        terminal.sendline("echo status=$?")
        terminal.expect_exact("echo status=$?")  # it is shown
        terminal.expect_exact(f"status={status}")
        terminal.sendline("stty -a")
        terminal.expect(r" echo ")
    assert auths(user_host) == {}


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_the_question(user_host, closed, number):
    with shell(user_host) as terminal:
        terminal.sendline(f"{ANNEX} image login -u anna {closed.host} & echo pid=$!; fg >&-")
        terminal.expect(r"pid=(\d+)")
        pid = int(terminal.match[1])
        terminal.expect_exact("Password: ")
        assert terminal.waitnoecho(30)
        os.kill(pid, number)
        terminal.expect_exact("ready> ")
        terminal.sendline("stty -a")
        terminal.expect(r" echo ")


def test_a_logout_forgets(host, closed):
    write(host, "home/.docker/config.json", {"auths": {closed.host: {"auth": "YTpi"}, "other.io": {"auth": "YTpi"}}})
    assert login(host, closed.host).returncode == 0
    done = host.annex("image", "logout", closed.host)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", f"annex: logged out of {closed.host}\n")
    assert auths(host) == {}
    assert auths(host, "home/.docker/config.json") == {"other.io": "a:b"}
    check_failure(host.annex("image", "logout", closed.host), 3,
                  f"image logout {closed.host}: there are no credentials for {closed.host}")


def test_registries_with_credentials_are_completed(user_host, closed):
    write(user_host, "home/.docker/config.json", {"auths": {"https://index.docker.io/v1/": {}, "other.io/org": {"auth": "YTpi"}}})
    assert login(user_host, closed.host).returncode == 0
    assert user_host.ok("__complete", "--", "image", "logout", "").split() == [closed.host, "docker.io", "other.io"]


HELPER = """\
#!/bin/sh
kept=$HOME/kept
case $1 in
store) cat >"$kept" ;;
get)
	read -r server
	if [ -f "$kept" ] && grep -q "$server" "$kept"; then cat "$kept"; else echo "credentials not found in native keychain"; exit 1; fi
	;;
erase) rm "$kept" ;;
esac
"""


def test_a_credential_helper_keeps_what_it_is_set_for(user_host, closed):
    write(user_host, "home/bin/docker-credential-kept", HELPER, 0o700)
    write(user_host, "home/.docker/config.json", {"credsStore": "kept", "psFormat": "x"})
    env = {"PATH": f"{user_host.folder}/home/bin:{os.environ['PATH']}"}
    done = login(user_host, closed.host, env=env)
    assert (done.returncode, done.stderr) == (0, f"annex: logged in to {closed.host} as anna\n")
    assert json.loads((user_host.folder / "home/.docker/config.json").read_text()) == \
        {"credsStore": "kept", "psFormat": "x", "auths": {closed.host: {}}}
    assert json.loads((user_host.folder / "home/kept").read_text())["Secret"] == "secret"
    assert user_host.annex("image", "logout", closed.host, env=env).returncode == 0
    assert not (user_host.folder / "home/kept").exists()
    check_failure(login(user_host, closed.host), 1,
                  f"image login {closed.host}: credentials for {closed.host}: program docker-credential-kept is not installed",
                  f"install or repair docker-credential-kept, or take it out of {user_host.folder}/home/.docker/config.json")


def test_logins_at_once_lose_nothing(user_host, place):
    plain = place.registry()
    hosts = [plain.host, *(f"{name}.localhost:{plain.port}" for name in "abcdefg")]
    running = [user_host.start("image", "login", "-u", "anna", "-p", "secret", host) for host in hosts]
    for one in running:
        _, said = one.communicate()
        assert one.returncode == 0, said
    assert auths(user_host) == {host: "anna:secret" for host in hosts}


def test_an_authority_of_ones_own_is_trusted_from_certs_d(user_host, place):
    tls = place.registry(tls=place.authority.certificate(), users=USERS)
    refused = login(user_host, tls.host)
    assert refused.returncode == 1
    assert "unknown issuer" in refused.stderr and "certs.d" in refused.stderr
    write(user_host, f"config/containers/certs.d/{tls.host}/ca.crt", place.authority.ca.read_text())
    assert login(user_host, tls.host).returncode == 0
    assert login(user_host, tls.host, "anna", "wrong").returncode == 1


def test_a_blocked_registry_is_not_asked(user_host, closed):
    file = write(user_host, "config/containers/registries.conf", f'[[registry]]\nlocation = "{closed.host}"\nblocked = true\n')
    done = login(user_host, closed.host)
    assert done.returncode == 1
    assert f"registry {closed.host} is blocked by {file}" in done.stderr
    write(user_host, "config/containers/registries.conf", "[[registry]]\nlocation = 'a.io'\nblocked = maybe\n")
    done = login(user_host, closed.host)
    assert done.returncode == 1
    assert f"{file}: line 3: a value is not supported" in done.stderr


def skopeo(host, *words, **options):
    if not shutil.which("skopeo"):
        pytest.skip("skopeo is not installed")
    return host.program(["skopeo", *words], **options)


def test_skopeo_uses_what_annex_keeps(user_host, closed, place, test_image):
    registries.push(place.registry(), "team/app", test_image("busybox"))
    where = ["--tls-verify=false", f"docker://{closed.host}/team/app"]
    assert skopeo(user_host, "list-tags", *where).returncode != 0
    assert login(user_host, closed.host).returncode == 0
    listed = skopeo(user_host, "list-tags", *where)
    assert listed.returncode == 0, listed.stderr
    assert skopeo(user_host, "logout", "--authfile", f"{user_host.folder}/config/containers/auth.json", closed.host).returncode == 0
    check_failure(user_host.annex("image", "logout", closed.host), 3,
                  f"image logout {closed.host}: there are no credentials for {closed.host}")


def test_annex_replaces_and_removes_what_skopeo_keeps(user_host, closed):
    kept = skopeo(user_host, "login", "--tls-verify=false", "-u", "anna", "--password-stdin", closed.host, input="secret")
    assert kept.returncode == 0, kept.stderr
    assert auths(user_host, "run/containers/auth.json") == {closed.host: "anna:secret"}
    assert login(user_host, closed.host, "bert", "x:y ä").returncode == 0
    assert auths(user_host, "run/containers/auth.json") == {closed.host: "bert:x:y ä"}
    assert auths(user_host) == {}
    assert skopeo(user_host, "login", "--get-login", closed.host).stdout == "bert\n"
    assert user_host.annex("image", "logout", closed.host).returncode == 0
    assert skopeo(user_host, "login", "--get-login", closed.host).returncode != 0
