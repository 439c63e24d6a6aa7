"""Ways to a registry: TLS and its certificates, credentials, tokens, mirrors, proxies, redirects; and who must not learn
which secret on the way."""

import base64
import json
import socket
import time

import pytest

import registries
from pulls import (SOON, TIMEOUT, check_failed, check_nothing_more, configure, digests, images, layout, place, pull,
                   pulled, store, trust)
from registries import fake

import proxy  # of fakes/, found through registries

ANNA = {"anna": "pass:word"}
SECRET = base64.b64encode(b"anna:pass:word").decode()
WRONG = base64.b64encode(b"anna:wrong").decode()


@pytest.fixture(scope="module")
def certificate(place):
    return place.authority.certificate(hosts=("localhost", "127.0.0.1", "127.0.0.2", "registry.example", "mirror.example"))


@pytest.fixture(scope="module")
def secure(place, layout, certificate):
    """docker-registry with TLS, for everybody."""
    made = place.registry(tls=certificate)
    registries.push(place.registry(), "team/app", layout.folder)
    return made


@pytest.fixture(scope="module")
def closed(place, secure, certificate):
    """The same with a password."""
    return place.registry(tls=certificate, users=ANNA)


def serving(layout, **options):
    made = fake.Registry(**options)
    made.serve("team/app", layout.folder)
    return made


# --- TLS ---

def test_tls_with_an_authority_from_certs_d(host, place, secure):
    before = store(host)
    check_failed(pull(host, f"{secure.host}/team/app"), 1, "certificate.*(authority|issuer|annex test)", r"certs\.d")
    check_nothing_more(host, before)
    trust(host, secure.host, place.authority)
    pulled(host, f"{secure.host}/team/app")


def test_http_2_is_spoken_where_it_is_offered(user_host, place, secure):
    trust(user_host, secure.host, place.authority)
    result = pull(user_host, f"{secure.host}/team/app", env={"ANNEX_DEBUG": "1"})
    assert result.returncode == 0 and "HTTP/2" in result.stderr and "HTTP/1" not in result.stderr, result.stderr


@pytest.mark.parametrize("kind, message", [
    ("expired", "expired"), ("self-signed", "self.signed|trust|not signed|authority|issuer"),
    ("other host", r"(other\.example.*not 127\.0\.0\.1)|(127\.0\.0\.1.*(match|name|is for))|(match|name).*127\.0\.0\.1")])
def test_a_bad_certificate_is_described(user_host, place, layout, kind, message):
    authority = place.authority
    made = {"expired": lambda: authority.certificate(expired=True), "self-signed": authority.self_signed,
            "other host": lambda: authority.certificate(hosts=["other.example"])}[kind]()
    with serving(layout, tls=made) as one:
        trust(user_host, one.host, authority)
        result = pull(user_host, f"{one.host}/team/app", env=SOON)
        check_failed(result, 1, f"(?i)certificate.*({message})|({message}).*certificate", ".")
        # Which one it is: whom it is for.
        assert ("other.example" if kind == "other host" else "localhost") in result.stderr, result.stderr
        assert one.requests == [] and len(one.handshake_failures) < 4


def test_a_client_certificate_is_shown_where_it_is_asked_for(user_host, place, layout, certificate):
    with serving(layout, tls=certificate, client_ca=place.authority.ca) as one:
        name = f"{one.host}/team/app"
        trust(user_host, one.host, place.authority)
        result = pull(user_host, name, env=SOON)
        check_failed(result, 1, "(?i)certificate|tls|alert", ".")
        assert one.requests == []
    with serving(layout, tls=certificate, client_ca=place.authority.ca) as one:
        trust(user_host, one.host, place.authority, place.authority.client())
        pulled(user_host, f"{one.host}/team/app")


def test_https_and_http_are_what_scheme_says(user_host, place, layout, certificate):
    with serving(layout) as plain, serving(layout, tls=certificate) as tls:
        trust(user_host, tls.host, place.authority)
        check_failed(pull(user_host, f"{plain.host}/team/app", scheme="https", env=SOON), 1, "(?i)tls|ssl|https", ".")
        assert plain.requests == []
        result = pull(user_host, f"{tls.host}/team/app", scheme="http", env=SOON)
        assert result.returncode == 1 and len(result.stderr.splitlines()) <= 2, result.stderr
        pulled(user_host, f"{plain.host}/team/app", scheme="http")
        pulled(user_host, f"{tls.host}/team/app", scheme="https")
        pulled(user_host, f"{tls.host}/team/app", scheme="auto")
        assert pull(user_host, f"{plain.host}/team/app", scheme="ftp").returncode == 2


def test_http_is_for_loopback_or_for_who_asks(user_host, layout):
    with serving(layout) as one, proxy.Proxy({"registry.example:80": one.host, "registry.example:443": one.host}) as way:
        env = {"http_proxy": way.url, "https_proxy": way.url, "no_proxy": "", **SOON}
        result = pull(user_host, "registry.example/team/app", env=env)
        check_failed(result, 1, r"registry\.example", ".")
        assert one.requests == []
        pulled(user_host, "registry.example/team/app", scheme="http", env=env)
        assert one.requests


# --- credentials ---

def docker_config(host, registry, auth):
    return configure(host, ".docker/config.json", {"auths": {registry.host: {"auth": auth}}})


def test_a_password_is_taken_from_docker_s_or_podman_s_files(host, place, closed):
    name = f"{closed.host}/team/app"
    trust(host, closed.host, place.authority)
    login = f"annex image login {closed.host}"
    check_failed(pull(host, name), 1, "(?i)401|log in|authenticat|credentials|unauthori", login)
    docker_config(host, closed, WRONG)
    check_failed(pull(host, name), 1, r"(?i)anna|401|refused|authenticat|credentials|unauthori", login)
    docker_config(host, closed, SECRET)
    pulled(host, name)
    host.ok("image", "delete", name)
    configure(host, ".docker/config.json", {})
    check_failed(pull(host, name), 1, ".", login)
    auths = {f"{closed.host}/team": {"auth": SECRET}, closed.host: {"auth": WRONG}}
    configure(host, "config/containers/auth.json", {"auths": auths})
    pulled(host, name)


def helper(host, content):
    """A credential helper on the user's PATH."""
    (host.folder / "home" / "bin").mkdir(exist_ok=True)
    host.file("bin/docker-credential-test", f"#!/bin/sh\n{content}\n", 0o755)
    return {"PATH": f"{host.env['HOME']}/bin:{host.env['PATH']}"}


@pytest.mark.parametrize("how", ["credHelpers", "credsStore"])
def test_a_credential_helper_is_asked(user_host, place, closed, how):
    trust(user_host, closed.host, place.authority)
    setting = {closed.host: "test"} if how == "credHelpers" else "test"
    configure(user_host, ".docker/config.json", {how: setting, "auths": {closed.host: {}}})
    env = helper(user_host, f"""\
[ "$1" = get ] && [ "$(cat)" = {closed.host} ] && \\
echo '{{"ServerURL":"x","Username":"anna","Secret":"pass:word"}}'""")
    pulled(user_host, f"{closed.host}/team/app", env=env)


def test_a_helper_that_fails_is_named(user_host, place, closed):
    trust(user_host, closed.host, place.authority)
    configure(user_host, ".docker/config.json", {"credHelpers": {closed.host: "test"}})
    env = helper(user_host, "echo no key ring; exit 1")
    result = pull(user_host, f"{closed.host}/team/app", env=env)
    check_failed(result, 1, "docker-credential-test", ".")
    assert "no key ring" in result.stderr
    result = pull(user_host, f"{closed.host}/team/app")
    check_failed(result, 1, "docker-credential-test", ".")


def test_login_checks_stores_and_logout_forgets(host, place, closed):
    trust(host, closed.host, place.authority)
    result = host.annex("image", "login", closed.host, "--username", "anna", "--password-stdin", input="wrong\n")
    assert (result.returncode, result.stdout) == (1, ""), result.stderr
    assert pull(host, f"{closed.host}/team/app").returncode == 1
    host.ok("image", "login", closed.host, "--username", "anna", "--password-stdin", input="pass:word\n")
    files = [path for path in host.folder.rglob("*.json") if SECRET in path.read_text()]
    assert files and all(path.stat().st_mode & 0o077 == 0 for path in files)
    pulled(host, f"{closed.host}/team/app")
    host.ok("image", "logout", closed.host)
    assert not [path for path in host.folder.rglob("*.json") if SECRET in path.read_text()]
    assert host.annex("image", "logout", closed.host).returncode == 3
    host.ok("image", "delete", f"{closed.host}/team/app")
    assert pull(host, f"{closed.host}/team/app").returncode == 1


def test_login_tells_who_is_not_there(user_host, place):
    address = place.refusing()
    result = user_host.annex("image", "login", address, "--username", "a", "--password-stdin", input="b", env=SOON)
    lines = result.stderr.splitlines()
    assert (result.returncode, result.stdout) == (1, "") and len(lines) <= 2 and address in lines[0], result.stderr


# --- tokens ---

def test_a_token_server_lets_in_whom_it_knows(host, place, layout, secure):
    server = place.token_server(users=ANNA)
    guarded = place.registry(tokens=server)
    name = f"{guarded.host}/team/app"
    login = f"annex image login {guarded.host}"
    check_failed(pull(host, name), 1, "denies access to team/app", login)
    docker_config(host, guarded, WRONG)
    check_failed(pull(host, name), 1, "(?i)anna|refuse|authenticat|credentials|denie|unauthori", login)
    docker_config(host, guarded, SECRET)
    server.requests.clear()
    pulled(host, name)
    # One token serves the whole pull.
    assert server.count() == 1 and "scope=repository%3Ateam%2Fapp%3Apull" in server.requests[0].path.replace(":", "%3A").replace(
        "team/app", "team%2Fapp")


def test_an_open_token_server_needs_no_credentials(user_host, place, secure):
    server = place.token_server()
    pulled(user_host, f"{place.registry(tokens=server).host}/team/app")
    assert server.count() == 1 and server.requests[0].authorization is None


@pytest.mark.parametrize("tokens", [{"uses": 3}, {"uses": 4}, {"lifetime": 0.1, "expires_in": 60}, {"expires_in": 0},
                                    {"answer": lambda document: {"access_token": document["token"]}}],
                         ids=["three uses", "four uses", "short", "no time", "access_token"])
def test_tokens_that_end_during_a_pull_are_renewed(user_host, layout, tokens):
    with serving(layout, tokens=fake.Tokens(ANNA, **tokens)) as one:
        if "lifetime" in tokens:
            one.on("/blobs/", pace=(50_000, 0.05))
            one.rules[0].faults["cut"] = 200_000
            one.rules[0].times = 3
        docker_config(user_host, one, SECRET)
        pulled(user_host, f"{one.host}/team/app")
        assert one.count(part="/token") >= (2 if "uses" in tokens else 1)


@pytest.mark.parametrize("answer", [b"", b"{}", b"[]", b'{"token":5}', b'{"token":"a\\r\\nX: y"}', b"<html>", b"[" * 10_000,
                                    json.dumps({"token": "x" * (10 << 20)}).encode()],
                         ids=["empty", "none", "array", "number", "header", "html", "deep", "large"])
def test_a_token_server_s_nonsense_is_refused(user_host, layout, answer):
    with serving(layout, tokens=fake.Tokens(answer=lambda _: answer)) as one:
        result = pull(user_host, f"{one.host}/team/app", env=SOON)
        lines = result.stderr.splitlines()
        assert (result.returncode, result.stdout) == (1, "") and len(lines) <= 2 and len(result.stderr) < 2000, result.stderr
        assert not [request for request in one.requests if "x" in request.headers]
        assert one.count() < 10


def test_a_token_that_is_cut_off_is_in_no_message(user_host, layout):
    with serving(layout, tokens=fake.Tokens(answer=lambda _: b'{"token":"hush-hush')) as one:
        result = pull(user_host, f"{one.host}/team/app", env={"ANNEX_DEBUG": "1", **SOON})
        assert result.returncode == 1 and "not JSON" in result.stderr and "hush" not in result.stderr, result.stderr


def test_an_identity_token_is_exchanged(user_host, layout):
    with serving(layout, tokens=fake.Tokens(ANNA, identity_token="identity")) as one:
        configure(user_host, ".docker/config.json", {"auths": {one.host: {
            "auth": base64.b64encode(b"00000000-0000-0000-0000-000000000000:").decode(), "identitytoken": "identity"}}})
        pulled(user_host, f"{one.host}/team/app")
        assert one.asked("POST", "/token")


def test_a_token_server_elsewhere_gets_no_more_than_it_should(user_host, layout):
    tokens = fake.Tokens(ANNA)
    with fake.Registry(tokens=tokens, address="127.0.0.2") as server, \
            serving(layout, tokens=tokens, realm=server.url + "/token") as one:
        docker_config(user_host, one, SECRET)
        pulled(user_host, f"{one.host}/team/app")
        assert {request.path.split("?")[0] for request in server.requests} == {"/token"}
        assert not [request for request in one.requests if (request.authorization or "").startswith("Basic")]


# --- redirects ---

@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_blobs_in_another_storage_come_without_our_credentials(user_host, layout, status):
    with serving(layout, users=ANNA) as one, serving(layout, address="127.0.0.2") as storage:
        one.on("/blobs/", location=storage.url + "{path}?signature=1", status=status)
        docker_config(user_host, one, SECRET)
        pulled(user_host, f"{one.host}/team/app")
        assert storage.count("GET") >= 3
        assert not [request for request in storage.requests if request.authorization or "cookie" in request.headers]


def test_another_port_is_another_host(user_host, layout):
    with serving(layout, tokens=fake.Tokens(ANNA)) as one, serving(layout) as storage:
        one.on("/blobs/", location=storage.url + "{path}")
        docker_config(user_host, one, SECRET)
        pulled(user_host, f"{one.host}/team/app")
        assert storage.count("GET") >= 3 and not [request for request in storage.requests if request.authorization]


def test_a_broken_storage_is_asked_for_the_rest(user_host, layout):
    digest = digests(layout)[2]
    with serving(layout, users=ANNA) as one, serving(layout, address="127.0.0.2") as storage:
        one.on("/blobs/", location=storage.url + "{path}")
        storage.on(digest, times=1, cut=100_000)
        docker_config(user_host, one, SECRET)
        pulled(user_host, f"{one.host}/team/app", env=SOON)
        assert [request.headers.get("range") for request in storage.asked("GET", digest)][-1] == "bytes=100000-"
        assert one.count("GET", digest) >= 2


def test_a_registry_of_this_host_leads_to_no_http_elsewhere(user_host, layout):
    with serving(layout) as one, serving(layout) as storage, proxy.Proxy({"storage.example:80": storage.host}) as way:
        one.on("/blobs/", location="http://storage.example{path}")
        env = {"http_proxy": way.url, **SOON}
        check_failed(pull(user_host, f"{one.host}/team/app", env=env), 1, r"redirects to HTTP elsewhere.*storage\.example", ".")
        assert storage.requests == [] and way.requests == []
        pulled(user_host, f"{one.host}/team/app", scheme="http", env=env)


def test_a_registry_of_this_host_sends_no_password_to_http_elsewhere(user_host, layout):
    tokens = fake.Tokens(ANNA)
    with fake.Registry(tokens=tokens) as server, proxy.Proxy({"login.example:80": server.host}) as way, \
            serving(layout, tokens=tokens, realm="http://login.example/token") as one:
        docker_config(user_host, one, SECRET)
        env = {"http_proxy": way.url, **SOON}
        check_failed(pull(user_host, f"{one.host}/team/app", env=env), 1, r"log in over HTTP.*login\.example", ".")
        assert server.requests == [] and way.requests == []
        pulled(user_host, f"{one.host}/team/app", scheme="http", env=env)


# --- mirrors, blocked registries ---

def conf(host, text):
    return configure(host, "config/containers/registries.conf", text)


def test_a_mirror_is_asked_first_and_the_registry_when_it_fails(user_host, layout, place):
    with serving(layout) as one, fake.Registry() as mirror:
        mirror.serve("copies/app", layout.folder)
        conf(user_host, f"""\
[[registry]]
prefix = "registry.example/team"
location = "{one.host}/team"
[[registry.mirror]]
location = "{place.refusing()}/nobody"
[[registry.mirror]]
location = "{mirror.host}/copies"
""")
        described = pulled(user_host, "registry.example/team/app", env=SOON)
        assert mirror.count("GET", "/v2/copies/app/blobs/") == 4 and one.requests == []
        assert images(user_host)[0]["names"] == ["registry.example/team/app:latest"] and described["platform"]
        user_host.ok("image", "delete", "registry.example/team/app")
        mirror.on("", status=404)
        pulled(user_host, "registry.example/team/app", env=SOON)
        assert one.count("GET", "/v2/team/app/blobs/") == 4


def test_a_mirror_does_not_get_the_registry_s_password(user_host, layout):
    with serving(layout, users=ANNA) as one, serving(layout) as mirror:
        docker_config(user_host, one, SECRET)
        conf(user_host, f'[[registry]]\nlocation = "{one.host}"\n[[registry.mirror]]\nlocation = "{mirror.host}"\n')
        pulled(user_host, f"{one.host}/team/app")
        assert mirror.count("GET", "/blobs/") == 4 and not [request for request in mirror.requests if request.authorization]


def test_a_blocked_registry_is_named_with_who_blocks_it(user_host, layout):
    with serving(layout) as one:
        path = conf(user_host, f'[[registry]]\nlocation = "{one.host}"\nblocked = true\n')
        before = store(user_host)
        check_failed(pull(user_host, f"{one.host}/team/app"), 1, "blocked", str(path))
        check_nothing_more(user_host, before)
        assert one.requests == []


def test_an_insecure_registry_may_show_any_certificate(user_host, place, layout):
    with serving(layout, tls=place.authority.self_signed()) as one:
        check_failed(pull(user_host, f"{one.host}/team/app", env=SOON), 1, "(?i)certificate", ".")
        conf(user_host, f'[[registry]]\nlocation = "{one.host}"\ninsecure = true\n')
        pulled(user_host, f"{one.host}/team/app")


def test_a_broken_configuration_is_named_with_its_line(user_host, layout):
    with serving(layout) as one:
        path = conf(user_host, '[[registry]]\nlocation = "unfinished\n')
        result = pull(user_host, f"{one.host}/team/app")
        assert result.returncode != 0 and str(path) in result.stderr and "2" in result.stderr, result.stderr
        assert one.requests == [] and len(result.stderr.splitlines()) <= 2


# --- proxies ---

def test_a_proxy_leads_to_a_registry(user_host, place, layout, certificate):
    with serving(layout, tls=certificate) as one, \
            proxy.Proxy({"registry.example:443": one.host}, "guest:door key") as way:
        trust(user_host, "registry.example", place.authority)
        address = way.url.replace("//", "//guest:door%20key@")
        pulled(user_host, "registry.example/team/app", env={"https_proxy": address})
        assert set(way.requests) == {"CONNECT registry.example:443"}
        assert not [request for request in one.requests if "proxy-authorization" in request.headers]
        user_host.ok("image", "delete", "registry.example/team/app")
        result = pull(user_host, "registry.example/team/app", env={"HTTPS_PROXY": way.url, **SOON})
        check_failed(result, 1, "(?i)proxy.*407|407.*proxy", ".")
        way.requests.clear()
        result = pull(user_host, "registry.example/team/app",
                      env={"https_proxy": address, "no_proxy": "registry.example", **SOON})
        assert result.returncode == 1 and way.requests == []


def test_a_proxy_that_is_gone_is_named(user_host, place):
    address = place.refusing()
    result = pull(user_host, "registry.example/team/app", env={"https_proxy": f"http://{address}", **SOON})
    check_failed(result, 1, "(?i)proxy|" + address, ".")


def test_no_proxy_is_asked_for_what_is_on_this_host(user_host, layout):
    with serving(layout, users=ANNA) as one, proxy.Proxy() as way:
        docker_config(user_host, one, SECRET)
        pulled(user_host, f"{one.host}/team/app", env={"http_proxy": way.url, "https_proxy": way.url, "no_proxy": ""})
        assert way.requests == []


# --- time ---

def test_a_hanging_handshake_ends(user_host, place):
    with socket.create_server(("127.0.0.1", 0)) as silent:
        began = time.monotonic()
        result = pull(user_host, f"127.0.0.1:{silent.getsockname()[1]}/team/app", scheme="https", env=SOON)
        check_failed(result, 1, "does not answer", ".")
        assert time.monotonic() - began < TIMEOUT


def test_credentials_are_in_no_message(user_host, place, closed):
    trust(user_host, closed.host, place.authority)
    docker_config(user_host, closed, WRONG)
    result = pull(user_host, f"{closed.host}/team/app", env={"ANNEX_DEBUG": "1"})
    assert result.returncode == 1 and WRONG not in result.stderr and "wrong" not in result.stderr, result.stderr


