"""The registry client alone, driven by tests/tools/registry-tool, against registries that do as they are told: which
requests it makes, what it goes on with, when it waits, and how soon it lets itself be cancelled. How pulls as a whole
behave is in test_pull*.py; who learns which secret, in test_registry_access.py."""

import base64
import email.utils
import hashlib
import json
import os
import re
import socket
import subprocess
import time

import pytest

import annex_test
import oci
import registries
from pulls import SOON, configure, digests, layered, layout, noise, place, trust
from registries import fake

import proxy  # of fakes/, found through registries

TOOL = annex_test.for_everybody(annex_test.BUILD / "tests" / "registry-tool")


class Result:
    def __init__(self, done, took):
        self.status, self.out, self.took = done.returncode, done.stdout, took
        lines = [line for line in done.stderr.splitlines() if not line.startswith("annex[")]
        self.notices = [line[8:] for line in lines if line.startswith("notice: ")]
        self.lines = [line for line in lines if not line.startswith("notice: ")]

    def __repr__(self):
        return f"{self.status} {self.out!r} {self.lines} {self.notices} ({self.took:.2f} s)"

    def failed(self, kind, message, hint="."):
        assert self.status == 1 and len(self.lines) == 2, self
        assert re.match(f"{kind}: .*{message}", self.lines[0]), self
        assert re.match(f"hint: .*{hint}", self.lines[1]), self
        return self


def tool(host, *words, env=None, **options):
    began = time.monotonic()
    done = host.program([TOOL, *map(str, words)], env={**SOON, **(env or {})}, **options)
    return Result(done, time.monotonic() - began)


def ok(host, *words, **options):
    result = tool(host, *words, **options)
    assert result.status == 0, result
    return result


def download(host, name, *more, **options):
    """Downloads; the layers must be what their digests say."""
    folder = host.folder / "layers"
    folder.mkdir(exist_ok=True)
    folder.chmod(0o777)
    result = ok(host, *more, "download", name, folder, **options)
    for number, digest in enumerate(json.loads(result.out.splitlines()[0])["layers"]):
        assert "sha256:" + hashlib.sha256((folder / str(number)).read_bytes()).hexdigest() == digest
    return result


def fail_to_download(host, name, *more, **options):
    folder = host.folder / "layers"
    folder.mkdir(exist_ok=True)
    folder.chmod(0o777)
    return tool(host, *more, "download", name, folder, **options)


@pytest.fixture(scope="module")
def client():
    with annex_test.Host(annex_test.unprivileged()) as made:
        yield made


@pytest.fixture
def one(layout):
    with fake.Registry() as made:
        made.serve("team/app", layout.folder)
        yield made


@pytest.fixture
def name(one):
    return f"{one.host}/team/app"


def root(layout):
    return json.loads((layout.folder / "index.json").read_bytes())["manifests"][0]["digest"]


# --- what a name leads to ---

def test_what_a_tag_leads_to_costs_one_request(client, one, name, layout):
    assert ok(client, "head", name).out.strip() == root(layout)
    assert [(request.method, request.path) for request in one.requests] == [("HEAD", "/v2/team/app/manifests/latest")]
    accepted = one.requests[0].headers["accept"]
    for kind in (oci.INDEX, oci.MANIFEST, oci.DOCKER_INDEX, oci.DOCKER_MANIFEST):
        assert kind in accepted
    assert one.requests[0].headers["user-agent"].startswith("annex/")


@pytest.mark.parametrize("rule", [{"status": 405}, {"status": 501}, {"status": 400},
                                  {"headers": {"Docker-Content-Digest": None}},
                                  {"headers": {"Docker-Content-Digest": "md5:1"}}], ids=lambda rule: "-".join(map(str, rule.values())))
def test_a_registry_that_can_t_say_it_by_head_is_asked_for_the_document(client, one, name, layout, rule):
    one.on("/manifests/", method="HEAD", **rule)
    one.on("/manifests/", method="GET", headers={"Docker-Content-Digest": None})
    assert ok(client, "head", name).out.strip() == root(layout)
    assert [request.method for request in one.requests] == ["HEAD", "GET"]


def test_a_digest_leads_to_itself_without_a_question(client, one, name, layout):
    assert ok(client, "head", f"{name}@{root(layout)}").out.strip() == root(layout)
    assert one.requests == []


def test_a_document_must_have_the_digest_that_the_registry_says(client, one, name):
    one.on("/manifests/", headers={"Docker-Content-Digest": "sha256:" + "1" * 64})
    tool(client, "resolve", name).failed("corrupt", "the manifest from .* is damaged: .*sha256:1111")


def test_a_document_of_another_type_than_said_is_refused(client, one, name):
    one.on("/manifests/", type="image/png")
    tool(client, "resolve", name).failed("corrupt", "'image/png' in place of a manifest")
    one.reset()
    one.on("/manifests/", type=oci.INDEX)
    tool(client, "resolve", name).failed("corrupt", "calls itself|index")


@pytest.mark.parametrize("kind", ["application/json", "text/plain; charset=utf-8", "application/octet-stream", None,
                                  oci.MANIFEST + "; charset=utf-8"])
def test_a_type_that_says_nothing_is_no_hindrance(client, one, name, layout, kind):
    one.on("/manifests/", headers={"Content-Type": kind})
    assert json.loads(ok(client, "resolve", name).out)["root"] == root(layout)


def test_an_encoded_document_is_refused(client, one, name):
    one.on("/manifests/", headers={"Content-Encoding": "gzip", "Docker-Content-Digest": None})
    tool(client, "resolve", name).failed("unsupported", "encoded .gzip.")
    assert one.requests[-1].headers["accept-encoding"] == "identity"


def test_tags_that_are_alike_are_told(client, place, layout):
    plain = place.registry()
    registries.push(plain, "team/app", layout.folder)
    tool(client, "head", f"{plain.host}/team/app:latst").failed("not-found", "has no image team/app:latst", "there is latest")


def test_an_index_and_the_platform_that_is_asked_for(client, one, place):
    layout = oci.Layout(place.folder / "platforms")
    layer = layout.layer(oci.Tar().file("a", "b"))
    images = {arch: layout.image([layer], platform={"os": "linux", "architecture": arch}) for arch in ("amd64", "arm64")}
    layout.tag("latest", layout.index(list(images.values()))).save()
    one.serve("team/both", layout.folder)
    for arch, image in images.items():
        found = json.loads(ok(client, "--platform", f"linux/{arch}", "resolve", f"{one.host}/team/both").out)
        assert (found["manifest"], found["platform"]) == (image["digest"], f"linux/{arch}")
    tool(client, "--platform", "linux/s390x", "resolve", f"{one.host}/team/both").failed("not-found", "linux/s390x.*linux/amd64")


# --- schemes and addresses ---

def test_the_scheme_is_found_out_once(client, one, name):
    download(client, name)
    assert len(one.handshake_failures) == 0 and one.count() == 1 + 1 + 3


def test_http_2_where_it_is_offered(user_host, place, layout):
    plain, secure = place.registry(), place.registry(tls=place.authority.certificate())
    registries.push(plain, "team/app", layout.folder)
    trust(user_host, secure.host, place.authority)
    for one, version in ((plain, "HTTP/1.1"), (secure, "HTTP/2")):
        done = user_host.program([TOOL, "head", f"{one.host}/team/app"], env={"ANNEX_DEBUG": "1"})
        assert re.search(f"HEAD {one.url}/v2/team/app/manifests/latest: 200, {version}$", done.stderr, re.MULTILINE), done.stderr


def test_the_system_s_authorities_are_a_folder_or_a_file(user_host, place, layout):
    folder = place.folder / "authorities"
    folder.mkdir()
    (folder / "one.pem").write_bytes(place.authority.ca.read_bytes())
    registries.openssl("rehash", folder)
    nothing = {"SSL_CERT_FILE": "/nowhere", "SSL_CERT_DIR": "/nowhere"}
    with fake.Registry(tls=place.authority.certificate()) as one:
        one.serve("team/app", layout.folder)
        name = f"{one.host}/team/app"
        tool(user_host, "head", name, env=nothing).failed("network", "certificate")
        ok(user_host, "head", name, env={**nothing, "SSL_CERT_DIR": str(folder)})
        ok(user_host, "head", name, env={**nothing, "SSL_CERT_FILE": str(place.authority.ca)})


def test_an_authority_that_can_t_be_read_is_named(user_host, place, layout):
    with fake.Registry(tls=place.authority.certificate()) as one:
        path = configure(user_host, f"config/containers/certs.d/{one.host}/ca.crt", "no certificate")
        tool(user_host, "head", f"{one.host}/team/app").failed("corrupt", f"{path} holds no certificate")


def test_ipv6_is_an_address_like_others(client, layout):
    if not socket.has_ipv6:
        pytest.skip("no IPv6")
    import threading

    class Six(fake.Server):
        address_family = socket.AF_INET6

    with fake.Registry() as one:
        one.serve("team/app", layout.folder)
        port, one.port = one.port, 0
        try:
            server = Six(one, "::1")
        except OSError:
            pytest.skip("no IPv6")
        one.port = port
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        try:
            download(client, f"[::1]:{server.server_address[1]}/team/app")
        finally:
            server.shutdown()
            server.server_close()


def test_an_authority_of_one_host_counts_for_no_other(user_host, place, layout):
    """Not even when one pull leads to both."""
    certificate = place.authority.certificate()
    with fake.Registry(tls=certificate) as first, fake.Registry(tls=certificate) as second:
        first.serve("team/app", layout.folder)
        second.serve("team/app", layout.folder)
        trust(user_host, first.host, place.authority)
        first.on("/blobs/", location=second.url + "{path}")
        result = fail_to_download(user_host, f"{first.host}/team/app")
        result.failed("network", f"the certificate of {second.host}.*issue", "certs.d")
        assert first.requests and second.requests == []
        trust(user_host, second.host, place.authority)
        download(user_host, f"{first.host}/team/app")


def test_a_client_s_key_with_a_passphrase_is_no_question(user_host, place, layout):
    made = place.authority.client()
    locked = place.folder / "locked.key"
    registries.openssl("ec", "-in", made.key, "-aes256", "-passout", "pass:secret", "-out", locked)
    locked.chmod(0o644)
    with fake.Registry(tls=place.authority.certificate(), client_ca=place.authority.ca) as one:
        trust(user_host, one.host, place.authority, registries.Certificate(made.chain, locked))
        tool(user_host, "head", f"{one.host}/team/app").failed("auth", f"the client certificate for {one.host} can't be used")
        assert one.requests == []


def test_docker_s_own_registry_has_other_hosts_than_its_name(user_host, place, layout):
    hosts = ("registry-1.docker.io", "auth.docker.io")
    certificate = place.authority.certificate(hosts=hosts)
    env = {"SSL_CERT_FILE": str(place.authority.ca)}
    tokens = fake.Tokens({"anna": "secret"})
    with fake.Registry(tls=certificate, tokens=tokens, realm="https://auth.docker.io/token") as hub, \
            fake.Registry(tls=certificate, tokens=tokens) as auth, \
            proxy.Proxy({"registry-1.docker.io:443": hub.host, "auth.docker.io:443": auth.host}) as way:
        hub.serve("library/app", layout.folder)
        env["https_proxy"] = way.url
        tool(user_host, "head", "app", env=env).failed(
            "auth", r"docker.io denies access to library/app \(401 .*\); it may not even exist", "annex image login docker.io")
        auth.requests.clear()
        configure(user_host, ".docker/config.json",
                  {"auths": {"https://index.docker.io/v1/": {"auth": base64.b64encode(b"anna:secret").decode()}}})
        assert ok(user_host, "head", "app", env=env).out.strip() == root(layout)
        assert [request.path for request in auth.requests] == [
            "/token?service=fake&scope=repository%3Alibrary%2Fapp%3Apull&account=anna"]
        ok(user_host, "login", "docker.io", "anna", "secret", env=env)
        tool(user_host, "login", "docker.io", "anna", "wrong", env=env).failed("auth", "docker.io refuses the login")


def test_this_host_is_never_asked_for_through_a_proxy(client, one, name):
    gone = "http://127.0.0.1:1"
    ok(client, "head", name, env={"http_proxy": gone, "https_proxy": gone, "all_proxy": gone, "no_proxy": ""})


# --- blobs ---

def test_a_few_blobs_come_at_once_in_their_order(client, one, place):
    layout = layered(place.folder / "many", [50_000] * 9, tag="latest")
    one.serve("team/many", layout.folder)
    one.on("/blobs/", pace=(20_000, 0.1))
    with_config = oci.resolve(layout.folder)["config"]["digest"]
    download(client, f"{one.host}/team/many")
    asked = [request.path.rpartition("/")[2] for request in one.asked("GET", "/blobs/")]
    assert asked[0] == with_config and sorted(asked[1:5]) == sorted(digests(layout)[:4])
    assert sorted(asked[1:]) == sorted(digests(layout))


def test_a_slow_reader_is_no_stalled_transfer(client, one, place):
    """The time-out is 1.2 s here; the reader takes 4 s for what the pipes don't hold."""
    layout = layered(place.folder / "slow", [6_000_000], compression="plain")
    one.serve("team/slow", layout.folder)
    result = download(client, f"{one.host}/team/slow", "--slow", "45")
    assert result.took > 2.5 and one.count("GET", digests(layout)[0]) == 1


def test_a_reader_that_leaves_ends_its_blob_only(client, one, name, layout):
    result = fail_to_download(client, name, "--leave", "2")
    assert result.status == 0 and result.lines == [], result
    sizes = [layer["size"] for layer in oci.resolve(layout.folder)["layers"]]
    assert f"0: {sizes[0]} of {sizes[0]}" in result.out and f"1: {sizes[1]} of {sizes[1]}" in result.out


def test_a_broken_transfer_goes_on_where_it_broke(client, one, name, layout):
    digest = digests(layout)[2]
    one.on("/blobs/" + digest, times=2, cut=300_000)
    download(client, name)
    asked = one.asked("GET", digest)
    assert [request.headers.get("range") for request in asked] == [None, "bytes=300000-", "bytes=600000-"]
    assert [request.headers.get("if-range") for request in asked] == [None, f'"{digest}"', f'"{digest}"']


@pytest.mark.parametrize("second", [{"no_range": True}, {"status": 416}, {"content_range": "bytes 5-6/7"},
                                    {"headers": {"ETag": '"another"'}, "no_range": True}],
                         ids=["ignored", "416", "another part", "another entity"])
def test_a_server_without_ranges_sends_all_again(client, one, name, layout, second):
    digest = digests(layout)[2]
    one.on("/blobs/" + digest, times=1, cut=300_000).on("/blobs/" + digest, times=1, **second)
    download(client, name)


def test_a_server_that_never_gets_on_is_given_up(client, one, name, layout):
    digest = digests(layout)[2]
    one.on("/blobs/" + digest, cut=1000)
    fail_to_download(client, name).failed("network", digest)
    assert 3 <= one.count("GET", digest) <= 6


def test_sizes_are_held_to_while_they_come(client, one, name, layout):
    digest = digests(layout)[1]
    one.on("/blobs/" + digest, endless=b"more and ")
    fail_to_download(client, name).failed("corrupt", f"{digest}.* larger than")
    assert one.asked("GET", digest)[0].sent < 30 << 20
    one.reset()
    one.on("/blobs/" + digest, body=lambda data: data[:-1])
    fail_to_download(client, name).failed("corrupt", f"{digest}.* smaller than")


@pytest.mark.parametrize("fault", [{"status": 403}, {"status": 307, "headers": {"Location": "/elsewhere"}}],
                         ids=["error", "redirect"])
def test_what_is_said_beside_a_status_is_not_read_for_ever(client, one, name, fault):
    one.on("/manifests/", endless=b"and another thing: ", **fault)
    result = tool(client, "resolve", name)
    assert result.status == 1 and one.requests[0].sent < 30 << 20, result


@pytest.mark.parametrize("part", ["/manifests/", "/blobs/"])
def test_a_byte_now_and_then_is_a_stall_too(client, one, name, part):
    """The time-out is 1.2 s here."""
    one.on(part, method="GET", pace=(1, 0.2))
    result = fail_to_download(client, name).failed("timeout", "has sent next to nothing for")
    assert result.took < 20


def test_what_comes_behind_a_document_does_not_change_it(client, one, name, layout):
    digest = "sha256:" + 64 * "0"
    one.on("/manifests/", chunked=True, trailers={"Docker-Content-Digest": digest, "HTTP/1.1 403": "no", "Location": "/x"})
    assert json.loads(ok(client, "resolve", name).out)["root"] == root(layout)


def test_empty_layers_come_too(client, one, place):
    layout = oci.Layout(place.folder / "empty")
    empty = layout.layer(oci.Tar(), "gzip")
    layout.tag("latest", layout.image([empty, layout.layer(oci.Tar().file("a", "b"), "plain"), empty])).save()
    one.serve("team/empty", layout.folder)
    download(client, f"{one.host}/team/empty")


def embed(layout, document, wrong=False):
    for descriptor in [document["config"], *document["layers"]]:
        data = layout.path(descriptor).read_bytes()
        descriptor["data"] = base64.b64encode(data[::-1] if wrong else data).decode()


@pytest.mark.parametrize("wrong, asked", [(False, 0), (True, 3)], ids=["right", "wrong"])
def test_embedded_contents_are_used_if_they_are_right(client, one, place, wrong, asked):
    layout = oci.Layout(place.folder / f"embedded-{wrong}")
    layers = [layout.layer(oci.Tar().file("a", noise(3000)), "plain"), layout.layer(oci.Tar().file("b", noise(90_000)))]
    layout.tag("latest", layout.image(layers, change=lambda document: embed(layout, document, wrong))).save()
    one.serve("team/embedded", layout.folder)
    download(client, f"{one.host}/team/embedded")
    assert one.count(part="/blobs/") == asked


def test_layers_that_registries_may_not_have_come_from_elsewhere(user_host, place, layout):
    with fake.Registry(users={"anna": "secret"}) as one, fake.Registry(tls=place.authority.certificate()) as other:
        trust(user_host, other.host, place.authority)
        configure(user_host, ".docker/config.json",
                  {"auths": {host: {"auth": base64.b64encode(b"anna:secret").decode()} for host in (one.host, other.host)}})
        other.serve("team/app", layout.folder)
        made = oci.Layout(place.folder / "foreign")
        foreign = made.layer(oci.Tar().file("a", noise(200_000)), "gzip",
                             media_type=oci.OCI + "layer.nondistributable.v1.tar+gzip")
        digest = foreign.descriptor["digest"]
        foreign.descriptor["urls"] = ["http://127.0.0.1:1/insecure", f"{other.url}/v2/team/app/blobs/nothing",
                                      f"{other.url}/v2/team/foreign/blobs/{digest}"]
        made.tag("latest", made.image([foreign])).save()
        one.serve("team/foreign", made.folder)
        other.serve("team/foreign", made.folder)
        download(user_host, f"{one.host}/team/foreign")
        assert other.requests == []  # the registry has it
        one.on("/blobs/" + digest, status=404)
        download(user_host, f"{one.host}/team/foreign")
        assert [request.status for request in other.requests] == [404, 200]
        assert not [request for request in other.requests if request.authorization]


def test_a_mirror_that_breaks_in_the_middle_is_replaced_there(user_host, layout):
    digest = digests(layout)[2]
    with fake.Registry() as one, fake.Registry() as mirror:
        one.serve("team/app", layout.folder)
        mirror.serve("team/app", layout.folder)
        configure(user_host, "config/containers/registries.conf",
                  f'[[registry]]\nlocation = "{one.host}"\n[[registry.mirror]]\nlocation = "{mirror.host}"\n')
        mirror.on(digest, times=1, cut=300_000).on(digest, status=500)
        download(user_host, f"{one.host}/team/app")
        assert [(request.path.rpartition("/")[2], request.headers.get("range")) for request in one.asked(part="/blobs/")] == [
            (digest, "bytes=300000-")]


def test_a_mirror_s_damaged_document_is_not_the_end(user_host, layout):
    with fake.Registry() as one, fake.Registry() as mirror:
        one.serve("team/app", layout.folder)
        mirror.serve("team/app", layout.folder)
        configure(user_host, "config/containers/registries.conf",
                  f'[[registry]]\nlocation = "{one.host}"\n[[registry.mirror]]\nlocation = "{mirror.host}"\n')
        mirror.on("/manifests/", body=lambda data: data + b" ", headers={"Docker-Content-Digest": None})
        ok(user_host, "resolve", f"{one.host}/team/app@{root(layout)}")
        assert one.count("GET", "/manifests/") == 1
        one.on("/manifests/", status=404)
        tool(user_host, "resolve", f"{one.host}/team/app@{root(layout)}").failed(
            "not-found", f"{one.host} has no image.*before that: mirror {mirror.host}: .*damaged")


# --- waiting ---

def test_who_waits_says_so(client, one, name):
    one.on("/manifests/", times=1, status=429, headers={"Retry-After": 2})
    result = ok(client, "head", name)
    assert result.took >= 2
    assert result.notices == [f"waiting 2 s for {one.host} (429 Too Many Requests)", "-"]


def test_blobs_that_all_wait_say_so(client, one, name, layout):
    for digest in digests(layout):
        one.on("/blobs/" + digest, times=1, status=503, headers={"Retry-After": 2})
    result = download(client, name)
    assert result.took >= 2 and set(result.notices) == {f"waiting 2 s for {one.host} (503 Service Unavailable)", "-"}


def test_a_date_is_waited_for(client, one, name):
    one.on("/manifests/", times=1, status=503, headers={"Retry-After": email.utils.formatdate(time.time() + 3, usegmt=True)})
    assert ok(client, "head", name).took >= 1.5


def test_a_wait_past_reason_is_left_to_the_user(client, one, name):
    one.on("/manifests/", status=429, headers={"Retry-After": 3600})
    tool(client, "head", name).failed("network", "429", "try again in 61 minutes")
    assert one.count() == 1


@pytest.mark.parametrize("fault", [{"hang": True}, {"stall": 10}, {"pace": (1, 0.5)}, {"status": 429, "headers": {"Retry-After": 60}},
                                   {"status": 503}], ids=["hang", "stall", "pace", "retry-after", "back-off"])
@pytest.mark.parametrize("part", ["/manifests/", "layer"])
def test_a_cancel_is_heard_soon_wherever_it_comes(client, one, name, layout, part, fault):
    one.on("/blobs/" + digests(layout)[1] if part == "layer" else part, **fault)
    result = fail_to_download(client, name, "--cancel-after", "700", env={"ANNEX_TIMEOUT_SCALE": "1"})
    assert result.status == 1 and result.lines == ["cancelled: cancelled"], result
    assert result.took < 15, result  # each of these waits is longer


def test_a_cancel_is_heard_while_a_credential_helper_thinks(user_host, layout):
    (user_host.folder / "home" / "bin").mkdir()
    user_host.file("bin/docker-credential-slow", "#!/bin/sh\nexec sleep 60\n", 0o755)
    configure(user_host, ".docker/config.json", {"credsStore": "slow"})
    with fake.Registry(users={"anna": "secret"}) as one:
        one.serve("team/app", layout.folder)
        env = {"ANNEX_TIMEOUT_SCALE": "1", "PATH": f"{user_host.env['HOME']}/bin:{user_host.env['PATH']}"}
        result = tool(user_host, "--cancel-after", "500", "head", f"{one.host}/team/app", env=env)
    assert result.status == 1 and result.lines == ["cancelled: cancelled"] and result.took < 5, result


def test_a_cancel_is_heard_while_the_reader_is_slow(client, one, place):
    layout = layered(place.folder / "slow-cancel", [6_000_000], compression="plain")
    one.serve("team/slow", layout.folder)
    folder = client.folder / "layers"
    folder.mkdir(exist_ok=True)
    folder.chmod(0o777)
    # The readers take what is in their pipes, which is what lasts here.
    result = tool(client, "--slow", "20", "--cancel-after", "500", "download", f"{one.host}/team/slow", folder)
    assert result.status == 1 and result.lines == ["cancelled: cancelled"], result


def test_a_resolver_that_hangs_can_be_cancelled(client):
    """Nothing answers in 192.0.2.0/24: there the connection hangs, as the resolver of some hosts does."""
    result = tool(client, "--cancel-after", "500", "head", "192.0.2.1/team/app", env={"ANNEX_TIMEOUT_SCALE": "1"})
    assert result.status == 1 and result.took < 15, result


# --- login ---

def test_a_login_is_checked_with_the_registry(client, layout):
    with fake.Registry(users={"anna": "secret"}) as one, fake.Registry(tokens=fake.Tokens({"anna": "secret"})) as tokens:
        for registry in (one, tokens):
            ok(client, "login", registry.host, "anna", "secret")
            tool(client, "login", registry.host, "anna", "wrong").failed("auth", f"{registry.host} refuses the login")
        tool(client, "login", one.host).failed("auth", "refuses")


def test_a_login_to_what_is_no_registry_is_refused(client, one):
    one.on("/v2/", status=404, body=b"<html>", type="text/html")
    tool(client, "login", one.host, "anna", "secret").failed("network", "not a registry")
    one.reset()
    one.on("/v2/", status=200, body=b"<html>", type="text/html")
    tool(client, "login", one.host, "anna", "secret").failed("network", "not a registry")


def test_no_secret_is_in_what_is_logged(client, layout):
    with fake.Registry(tokens=fake.Tokens({"anna": "secret"})) as one, fake.Registry() as storage:
        one.serve("team/app", layout.folder)
        storage.serve("team/app", layout.folder)
        one.on("/blobs/", location=storage.url + "{path}?signature=geheim")
        configure(client, ".docker/config.json", {"auths": {one.host: {"auth": base64.b64encode(b"anna:secret").decode()}}})
        folder = client.folder / "layers"
        folder.mkdir(exist_ok=True)
        folder.chmod(0o777)
        done = client.program([TOOL, "download", f"{one.host}/team/app", folder], env={"ANNEX_DEBUG": "1"})
        assert done.returncode == 0 and storage.url in done.stderr
        for secret in ("secret", base64.b64encode(b"anna:secret").decode(), "token-", "geheim"):
            assert secret not in done.stderr, done.stderr
