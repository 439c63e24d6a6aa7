"""The test registries themselves: a fake that lies only as it was told, and real ones that ask for what they should."""

import http.client
import json
import socket
import ssl
import subprocess
import urllib.error
import urllib.request

import pytest

import oci
import registries
from registries import fake

import proxy  # of fakes/, found through registries


@pytest.fixture(scope="module")
def place():
    with registries.Place() as made:
        yield made


@pytest.fixture(scope="module")
def layout(place):
    made = oci.Layout(place.folder / "layout")
    image = made.image([made.layer(oci.Tar().file("a", "b" * 5000), "plain")])
    made.tag("latest", made.index([image])).tag("old", made.blob({"schemaVersion": 1}, "application/json")).save()
    return made


@pytest.fixture
def one(place, layout):
    with fake.Registry() as made:
        made.serve("team/app", layout.folder)
        yield made


def layer(layout):
    return oci.resolve(layout.folder, "latest")["layers"][0]


def blob_path(layout):
    return f"/v2/team/app/blobs/{layer(layout)['digest']}"


def fetch(url, method="GET", context=None, **headers):
    """The status, the headers and the body."""
    asked = urllib.request.Request(url, method=method, headers={name.replace("_", "-"): text for name, text in headers.items()})
    handlers = [urllib.request.ProxyHandler({})]
    if context:
        handlers.append(urllib.request.HTTPSHandler(context=context))
    try:
        with urllib.request.build_opener(*handlers).open(asked, timeout=30) as answer:
            return answer.status, answer.headers, answer.read()
    except urllib.error.HTTPError as problem:
        return problem.code, problem.headers, problem.read()


def blob(one, layout, **headers):
    return fetch(one.url + blob_path(layout), **headers)


def test_it_serves_a_layout_as_it_is(one, layout):
    assert fetch(one.url + "/v2/")[0] == 200
    status, headers, body = fetch(one.url + "/v2/team/app/manifests/latest")
    assert (status, headers["Content-Type"]) == (200, oci.INDEX)
    inner, = json.loads(body)["manifests"]
    status, headers, body = fetch(one.url + "/v2/team/app/manifests/" + inner["digest"], Accept=oci.MANIFEST)
    assert (headers["Content-Type"], headers["Docker-Content-Digest"]) == (oci.MANIFEST, inner["digest"])
    status, headers, body = fetch(one.url + "/v2/team/app/manifests/latest", "HEAD")
    assert (status, body) == (200, b"") and int(headers["Content-Length"]) > 100
    status, headers, body = blob(one, layout)
    assert (status, body) == (200, layout.path(layer(layout)).read_bytes())
    assert fetch(one.url + "/v2/team/app/manifests/latest", Accept="application/json")[0] == 404
    assert json.loads(fetch(one.url + "/v2/team/app/tags/list")[2]) == {"name": "team/app", "tags": ["latest", "old"]}
    assert fetch(one.url + "/v2/team/app/manifests/none")[0] == 404
    assert fetch(one.url + "/v2/team/none/manifests/latest")[0] == 404
    assert fetch(one.url + "/v2/team/app/blobs/sha256:" + "0" * 64)[0] == 404
    assert fetch(one.url + "/v2/team/app/blobs/..%2f..%2findex.json")[0] == 404
    assert [one.count("HEAD"), one.count("GET", "/blobs/")] == [1, 3]
    assert one.requests[-1].status == 404 and one.requests[2].headers["accept"] == oci.MANIFEST


def test_it_serves_ranges(one, layout):
    whole, tag = layout.path(layer(layout)).read_bytes(), f'"{layer(layout)["digest"]}"'
    for asked, first, last in (("bytes=100-", 100, len(whole)), ("bytes=0-9", 0, 10), ("bytes=5-999999", 5, len(whole))):
        status, headers, body = blob(one, layout, Range=asked)
        assert (status, body) == (206, whole[first:last])
        assert headers["Content-Range"] == f"bytes {first}-{last - 1}/{len(whole)}"
    assert blob(one, layout, Range="bytes=5-", If_Range=tag)[0] == 206
    assert blob(one, layout, Range="bytes=5-", If_Range='"other"')[::2] == (200, whole)
    status, headers, _ = blob(one, layout, Range=f"bytes={len(whole)}-")
    assert (status, headers["Content-Range"]) == (416, f"bytes */{len(whole)}")


def test_a_rule_counts(one, layout):
    one.on("/blobs/", after=1, times=2, status=503, headers={"Retry-After": 7}).on("/blobs/", method="HEAD", status=404)
    answers = [blob(one, layout) for _ in range(4)]
    assert [status for status, _, _ in answers] == [200, 503, 503, 200] and answers[1][1]["Retry-After"] == "7"
    assert fetch(one.url + blob_path(layout), "HEAD")[0] == 404
    one.reset()
    assert blob(one, layout)[0] == 200 and one.count() == 1
    with pytest.raises(TypeError):
        one.on("/", no_such_fault=True)


def test_answers_are_changed_as_told(one, layout):
    whole = layout.path(layer(layout)).read_bytes()

    def changed(**faults):
        one.reset()
        return fetch(one.on("", **faults).url + blob_path(layout), Range="bytes=10-")

    assert changed(no_range=True)[::2] == (200, whole)
    assert changed(content_range="bytes 0-5/6")[1]["Content-Range"] == "bytes 0-5/6"
    assert changed(body=lambda data: data + b"more")[2] == whole[10:] + b"more"
    status, headers, body = changed(body=b"<html>" * 10, type="text/html", no_range=True)
    assert (status, headers["Content-Type"], body) == (200, "text/html", b"<html>" * 10)
    status, headers, body = changed(chunked=True, headers={"docker-content-digest": None, "X": "y"})
    assert (headers["Transfer-Encoding"], headers["Content-Length"], body) == ("chunked", None, whole[10:])
    assert (headers["Docker-Content-Digest"], headers["X"]) == (None, "y")
    assert changed(length=None)[1]["Content-Length"] is None and changed(length=None)[2] == whole[10:]
    assert changed(pace=(2000, 0.001))[2] == whole[10:]
    assert changed(length=5)[2] == whole[10:15]


def test_a_redirect_leads_away_with_the_path(one, layout, place):
    with fake.Registry(address="127.0.0.2") as other:
        other.serve("team/app", layout.folder)
        one.on("/blobs/", location=other.url + "{path}")
        status, _, body = blob(one, layout)
        assert (status, body) == (200, layout.path(layer(layout)).read_bytes())
        assert other.count("GET", "/blobs/") == 1


def test_bodies_end_where_they_should_not(one, layout):
    for fault in ({"cut": 1000}, {"reset": 1000}, {"length": 10 ** 6}):
        one.reset()
        one.on("/blobs/", **fault)
        connection = http.client.HTTPConnection(one.host, timeout=30)
        connection.request("GET", blob_path(layout))
        with pytest.raises((http.client.IncompleteRead, ConnectionResetError)):
            connection.getresponse().read()
        connection.close()
    one.reset()
    one.on("", drop=True)
    connection = http.client.HTTPConnection(one.host, timeout=30)
    with pytest.raises((ConnectionResetError, http.client.RemoteDisconnected)):
        connection.request("GET", "/v2/")
        connection.getresponse()
    connection.close()


def read_for_a_while(one, path, wanted):
    """Reads until there is nothing for half a second, or `wanted` bytes came; how many did."""
    with socket.create_connection((one.host.split(":")[0], one.port), timeout=30) as raw:
        raw.sendall(f"GET {path} HTTP/1.1\r\nHost: {one.host}\r\n\r\n".encode())
        count = 0
        raw.settimeout(0.5)
        try:
            while count < wanted:
                count += len(raw.recv(1 << 16))
        except TimeoutError:
            pass
        return count


def test_it_hangs_and_never_ends(one, layout):
    path = blob_path(layout)
    one.on("/hang", hang=True).on(path, times=1, stall=1000).on(path, times=1, endless=b"for ever")
    one.on(path, endless_headers=True)
    assert read_for_a_while(one, "/hang", 1) == 0
    assert 1000 < read_for_a_while(one, path, 1 << 20) < 2000
    assert read_for_a_while(one, path, 10 << 20) >= 10 << 20
    assert read_for_a_while(one, path, 10 << 20) >= 10 << 20


def test_basic_authentication_is_asked_for(layout):
    with fake.Registry(users={"anna": "secret"}) as one:
        one.serve("team/app", layout.folder)
        status, headers, _ = blob(one, layout)
        assert (status, headers["WWW-Authenticate"]) == (401, 'Basic realm="fake"')
        assert blob(one, layout, Authorization="Basic YW5uYTp3cm9uZw==")[0] == 401
        assert blob(one, layout, Authorization="Basic YW5uYTpzZWNyZXQ=")[0] == 200


def test_tokens_are_for_a_scope_and_for_some_uses(layout):
    with fake.Registry(tokens=fake.Tokens({"anna": "secret"}, uses=2, identity_token="id")) as one:
        one.serve("team/app", layout.folder)
        status, headers, _ = blob(one, layout)
        assert status == 401
        assert headers["WWW-Authenticate"] == \
            f'Bearer realm="{one.url}/token",service="fake",scope="repository:team/app:pull"'

        def token(scope, **more):
            return json.loads(fetch(f"{one.url}/token?scope={scope}", **more)[2])["token"]

        good = {"Authorization": "Basic YW5uYTpzZWNyZXQ="}
        assert fetch(one.url + "/token", Authorization="Basic YW5uYTp3cm9uZw==")[0] == 401
        for useless in (token("repository:team/app:pull"), token("repository:other:pull", **good), "made-up"):
            assert blob(one, layout, Authorization="Bearer " + useless)[0] == 401
        useful = token("repository:team/app:pull", **good)
        assert [blob(one, layout, Authorization="Bearer " + useful)[0] for _ in range(3)] == [200, 200, 401]
        form = b"grant_type=refresh_token&refresh_token=id&scope=repository:team/app:pull"
        given = urllib.request.urlopen(one.url + "/token", form, timeout=30).read()
        assert blob(one, layout, Authorization="Bearer " + json.loads(given)["access_token"])[0] == 200


def test_certificates_are_what_they_are_called(place):
    authority = place.authority
    trusting = ssl.create_default_context(cafile=authority.ca)
    for certificate, problem in ((authority.certificate(), None), (authority.certificate(expired=True), "expired"),
                                 (authority.self_signed(), "self-signed|self signed"),
                                 (authority.certificate(hosts=["other.example"]), "IP address mismatch")):
        with fake.Registry(tls=certificate) as one:
            if problem:
                with pytest.raises(urllib.error.URLError, match=problem):
                    fetch(one.url + "/v2/", context=trusting)
            else:
                assert fetch(one.url + "/v2/", context=trusting)[0] == 200


def test_client_certificates_are_asked_for(place):
    with fake.Registry(tls=place.authority.certificate(), client_ca=place.authority.ca) as one:
        trusting = ssl.create_default_context(cafile=place.authority.ca)
        with pytest.raises(OSError):
            fetch(one.url + "/v2/", context=trusting)
        assert one.requests == []
        client = place.authority.client()
        trusting.load_cert_chain(client.chain, client.key)
        assert fetch(one.url + "/v2/", context=trusting)[0] == 200


def test_real_registries_share_their_storage_and_ask_for_what_they_should(place, layout):
    plain = place.registry()
    registries.push(plain, "team/app", layout.folder, "latest")
    status, headers, _ = fetch(plain.url + "/v2/team/app/manifests/latest", Accept=oci.INDEX)
    assert (status, headers["Content-Type"]) == (200, oci.INDEX)
    closed = place.registry(tls=place.authority.certificate(), users={"anna": "secret"})
    trusting = ssl.create_default_context(cafile=place.authority.ca)
    assert blob(closed, layout, context=trusting)[0] == 401
    good = {"Authorization": "Basic YW5uYTpzZWNyZXQ="}
    assert blob(closed, layout, context=trusting, **good)[2] == layout.path(layer(layout)).read_bytes()
    server = place.token_server(users={"anna": "secret"})
    guarded = place.registry(tokens=server)
    status, headers, _ = blob(guarded, layout)
    assert status == 401 and f'Bearer realm="{server.url}/token"' in headers["WWW-Authenticate"]
    address = f"{server.url}/token?service=annex%20test%20registry&scope=repository:team/app:pull"
    tokens = [json.loads(fetch(address, **more)[2])["token"] for more in ({}, good)]
    assert [blob(guarded, layout, Authorization="Bearer " + token)[0] for token in tokens] == [401, 200]
    server.tokens.lifetime = -1
    late = json.loads(fetch(address, **good)[2])["token"]
    assert blob(guarded, layout, Authorization="Bearer " + late)[0] == 401


def through(way, url, context=None, **headers):
    handlers = [urllib.request.ProxyHandler({"http": way, "https": way})]
    handlers += [urllib.request.HTTPSHandler(context=context)] if context else []
    with urllib.request.build_opener(*handlers).open(urllib.request.Request(url, headers=headers), timeout=30) as answer:
        return answer.status, answer.read()


def test_a_proxy_tunnels_fetches_and_asks_who_it_is(one, place, layout):
    whole = layout.path(layer(layout)).read_bytes()
    certificate = place.authority.certificate(hosts=["registry.example"])
    trusting = ssl.create_default_context(cafile=place.authority.ca)
    with fake.Registry(tls=certificate) as secure, \
            proxy.Proxy({"registry.example:80": one.host, "registry.example:443": secure.host}) as way:
        secure.serve("team/app", layout.folder)
        assert through(way.url, "http://registry.example" + blob_path(layout)) == (200, whole)
        assert through(way.url, "https://registry.example" + blob_path(layout), trusting) == (200, whole)
        assert way.requests == ["GET http://registry.example" + blob_path(layout), "CONNECT registry.example:443"]
        assert one.count() == secure.count() == 1
    with proxy.Proxy({"registry.example:80": one.host}, "guest:key") as way:
        with pytest.raises(urllib.error.HTTPError, match="407"):
            through(way.url, "http://registry.example/v2/")
        assert through(way.url.replace("//", "//guest:key@"), "http://registry.example/v2/")[0] == 200
        assert "proxy-authorization" not in one.requests[-1].headers


def test_nobody_listens_where_connections_are_refused(place):
    host, port = place.refusing().split(":")
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection((host, int(port)), timeout=30)


def test_the_fake_is_a_program_too(layout):
    command = [registries.__file__.replace("registries.py", "fakes/registry.py"), f"team/app={layout.folder}", "--user", "a:b",
               "--tokens", "--rule", '{"part": "/blobs/", "status": 500}']
    process = subprocess.Popen(["/usr/bin/python3", *command], stdout=subprocess.PIPE, text=True)
    try:
        url = process.stdout.readline().strip()
        assert fetch(url + blob_path(layout))[0] == 500
        assert process.stdout.readline().startswith("GET /v2/team/app/blobs/")
    finally:
        process.kill()
        process.communicate()
