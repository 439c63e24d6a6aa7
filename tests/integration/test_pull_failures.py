"""Pulls that fail: one line of what went wrong, one that helps, the right exit status; what was there is still there, and
nothing else. And pulls that nearly fail: what is broken once is tried again, from where it broke off."""

import email.utils
import gzip
import json
import re
import time

import pytest

import annex_test
import oci
import registries
from pulls import (AT_ONCE, SOON, bases, check_disks, check_failed, check_nothing_more, digests, fake_kernel, images, layered, layout, place,
                   pull, pulled, store, trust)
from registries import fake


@pytest.fixture(scope="module")
def served(place):
    """One fake registry for all; each test sets it up anew."""
    return place.fake()


@pytest.fixture
def one(request, served, layout):
    served.users = served.tokens = None
    served.reset()
    served.serve("team/app", layout.folder)
    host = request.getfixturevalue("kept") if "kept" in request.fixturenames else None
    yield served
    # What a test pulled, or a failed one left, is not the next one's.
    if host and len(list((host.data / "images" / "records").iterdir())) > 1:
        host.ok("image", "delete", f"{served.host}/team/app")


@pytest.fixture(scope="module")
def kept(place):
    """A host with an image that must survive whatever happens."""
    with annex_test.Host(annex_test.unprivileged()) as host:
        other = layered(place.folder / "kept", [3000], tag="kept")
        with fake.Registry() as registry:
            pulled(host, registry.serve("team/kept", other.folder) + ":kept")
        yield host


def impatient(fault):
    """Options of a pull that waits no longer than it must; without a try at HTTPS, which would need its time."""
    return {"env": AT_ONCE, "scheme": "http"} if "hang" in fault or "stall" in fault else {"env": SOON}


def check(kept, name, status, message, hint, more=(), **options):
    before, listed = store(kept), images(kept)
    result = pull(kept, name, *more, **options)
    check_failed(result, status, message, hint)
    assert images(kept) == listed
    check_nothing_more(kept, before)
    return result


# --- who does not answer, or does not want to ---

def test_an_unknown_host_is_said(kept):
    check(kept, "registry.invalid/team/app", 1, r"unknown host registry\.invalid", "name", env=SOON)


def test_a_refused_connection_is_said(kept, place):
    address = place.refusing()
    check(kept, f"{address}/team/app", 1, f"{address}.*refused", r".", env=SOON)


@pytest.mark.parametrize("fault, status, message, hint", [
    ({"status": 403}, 1, "403|denie[sd]|forbidden", "annex image login {host}"),
    ({"status": 401}, 1, "401|login|authenticat|credentials", "annex image login {host}"),
    ({"status": 401, "headers": {"WWW-Authenticate": "Negotiate"}}, 1, "401|Negotiate|authenticat", "."),
    ({"status": 401, "headers": {"WWW-Authenticate": 'Bearer realm="'}}, 1, "401|challenge|authenticat", "."),
    ({"status": 401, "headers": {"WWW-Authenticate": 'Bearer service="x"'}}, 1, "401|challenge|realm|authenticat", "."),
    ({"status": 401, "headers": {"WWW-Authenticate": 'Bearer realm="file:///etc/passwd"'}}, 1, "file:|401|realm|challenge", "."),
    ({"status": 404}, 3, "has no image", "."),
    ({"status": 429, "headers": {"Retry-After": 0}}, 1, "429|too many", "."),
    ({"status": 429, "headers": {"Retry-After": 86400 * 365}}, 1, "429|too many", "."),
    ({"status": 429, "headers": {"Retry-After": "Fri, 31 Dec 2199 23:59:59 GMT"}}, 1, "429|too many", "."),
    ({"status": 429, "headers": {"Retry-After": "9" * 40}}, 1, "429|too many", "."),
    ({"status": 500}, 1, "500", "."),
    ({"status": 502}, 1, "502", "."),
    ({"status": 503, "headers": {"Retry-After": "soon"}}, 1, "503", "."),
    ({"status": 418}, 1, "418", "."),
    ({"status": 200, "body": b"<html>Log in to the hotel's network</html>", "type": "text/html"}, 1,
     "web page", "."),
    ({"hang": True}, 1, "has sent (next to )?nothing for", "."),
    ({"drop": True}, 1, "connection.*(reset|closed|broke)", "."),
    ({"stall": 10}, 1, "has sent (next to )?nothing for", "."),
    ({"endless_headers": True}, 1, "header|answer|too", "."),
], ids=lambda value: "-".join(map(str, value.values()))[:24].replace(" ", "-") if isinstance(value, dict) else "")
def test_a_registry_that_does_not_want_is_quoted(kept, one, fault, status, message, hint):
    one.on("/manifests/", **fault)
    check(kept, f"{one.host}/team/app", status, f"(?i){message}", hint.format(host=one.host), **impatient(fault))
    assert one.count() < 20


@pytest.mark.parametrize("fault, message", [
    ({"status": 403}, "403|denie[sd]|forbidden"), ({"status": 404}, "has no"), ({"status": 500}, "500"),
    ({"status": 429, "headers": {"Retry-After": 0}}, "429|too many"), ({"hang": True}, "has sent (next to )?nothing for"),
    ({"drop": True}, "connection.*(reset|closed|broke)"), ({"cut": 0}, "connection.*(closed|broke)"),
    ({"stall": 0}, "has sent (next to )?nothing for"),
], ids=lambda value: "-".join(map(str, value))[:24] if isinstance(value, dict) else "")
@pytest.mark.parametrize("which", ["config", "layer"])
def test_a_blob_that_does_not_come_is_said(kept, one, layout, which, fault, message):
    digest = digests(layout)[1] if which == "layer" else oci.resolve(layout.folder)["config"]["digest"]
    one.on("/blobs/" + digest, **fault)
    status = 3 if fault.get("status") == 404 else 1
    result = check(kept, f"{one.host}/team/app", status, f"(?i){message}", ".", **impatient(fault))
    assert one.count(part=digest) < 20
    assert which == "config" or digest[:19] in result.stderr


def test_what_is_not_there_is_not_found(kept, one):
    check(kept, f"{one.host}/team/app:none", 3, "none", ".")
    check(kept, f"{one.host}/team/none", 3, "team/none", ".")
    check(kept, f"{one.host}/team/app@sha256:{'1' * 64}", 3, "sha256:1111", ".")


def test_a_real_registry_s_no_is_as_clear(kept, place, layout):
    plain = place.registry()
    name = registries.push(plain, "team/app", layout.folder)
    check(kept, f"{name}:none", 3, "none", ".")
    check(kept, f"{plain.host}/team/none", 3, "team/none", ".")


def test_a_name_that_is_none_is_a_usage_error(kept):
    for name in ("Team/App", "host/..//app", "a:b:c", "", "http://localhost/app", "x@sha256:12"):
        before = store(kept)
        result = pull(kept, name)
        assert result.returncode == 2 and result.stderr.startswith("annex: "), (name, result.stderr)
        assert len(result.stderr.splitlines()) <= 2
        assert store(kept) == before


# --- documents ---

def manifest_with(change):
    def body(data):
        document = json.loads(data)
        change(document)
        return json.dumps(document).encode()
    return body


@pytest.mark.parametrize("fault, message", [
    ({"body": b""}, "empty|JSON|manifest"),
    ({"body": b"{"}, "JSON|manifest"),
    ({"body": b"[]"}, "manifest|JSON|object"),
    ({"body": b"[" * 100_000}, "JSON|nest|manifest"),
    ({"body": b" " * (5 << 20) + b"{}"}, "large|big|bytes|limit|MiB"),
    ({"endless": b" "}, "large|big|bytes|limit|MiB"),
    ({"body": b'{"schemaVersion":1,"fsLayers":[]}', "type": "application/vnd.docker.distribution.manifest.v1+prettyjws"},
     "schema 1|schema version 1|schemaVersion 1|v1"),
    ({"body": manifest_with(lambda document: document.update(layers=document["layers"] * 300))}, "layers"),
    ({"body": manifest_with(lambda document: document["layers"][0].update(size=-1))}, "size"),
    ({"body": manifest_with(lambda document: document["layers"][0].update(size=1 << 62))}, "size|large|bytes"),
    ({"body": manifest_with(lambda document: document["layers"][0].update(digest="sha256:../../etc/passwd"))}, "digest"),
    ({"body": manifest_with(lambda document: document["layers"][0].update(mediaType="text/plain"))}, "text/plain"),
    ({"body": manifest_with(lambda document: document["config"].update(
        mediaType="application/vnd.cncf.helm.config.v1+json"))}, "artifact.*helm"),
], ids=["empty", "half", "array", "deep", "large", "endless", "schema-1", "many-layers", "negative", "huge", "traversal",
        "layer-type", "artifact"])
def test_a_document_that_is_none_of_an_image_is_refused(kept, one, fault, message):
    # Without the digest's header, else the changed document is refused for that.
    one.on("/manifests/", **{"headers": {"Docker-Content-Digest": None}, **fault})
    result = pull(kept, f"{one.host}/team/app", env=SOON)
    before = store(kept)
    assert (result.returncode, result.stdout) == (1, ""), result.stderr
    first, *rest = result.stderr.splitlines()
    assert first.startswith("annex: cannot pull ") and len(rest) <= 1 and len(first) < 1000, result.stderr
    assert re.search(f"(?i){message}", first), first
    check_nothing_more(kept, before)
    assert one.count(part="/blobs/") <= 1


def test_a_changed_document_is_refused(kept, one, layout):
    manifest, = json.loads((layout.folder / "index.json").read_bytes())["manifests"]
    one.on("/manifests/", body=lambda data: data.replace(b"schemaVersion", b"schemaversion"))
    check_corrupt(kept, f"{one.host}/team/app@{manifest['digest']}", manifest["digest"][:19])
    one.reset()
    digest = oci.resolve(layout.folder)["config"]["digest"]
    one.on("/blobs/" + digest, body=lambda data: data.replace(b"2023", b"2024"))
    check_corrupt(kept, f"{one.host}/team/app", digest[:19])


def check_corrupt(kept, name, message, **options):
    before = store(kept)
    result = pull(kept, name, **options)
    assert (result.returncode, result.stdout) == (1, ""), result.stderr
    first, *rest = result.stderr.splitlines()
    assert first.startswith(f"annex: cannot pull {name}: ") and message in first and len(rest) <= 1, result.stderr
    check_nothing_more(kept, before)


@pytest.mark.parametrize("change", [
    lambda data: data[:1000] + bytes([data[1000] ^ 1]) + data[1001:], lambda data: data + b"more",
    lambda data: data[:-1], lambda data: b"", lambda data: gzip.compress(b"other"), lambda data: data[:-8] + b"\0" * 8,
    lambda data: b"<html>" * (len(data) // 6) + b"x" * (len(data) % 6)],
    ids=["flipped", "longer", "shorter", "empty", "other", "checksum", "html"])
@pytest.mark.parametrize("how", [{}, {"chunked": True}], ids=["length", "chunked"])
def test_a_layer_that_is_not_what_the_manifest_says_is_refused(kept, one, layout, change, how):
    digest = digests(layout)[1]
    one.on("/blobs/" + digest, body=change, no_range=True, **how)
    check_corrupt(kept, f"{one.host}/team/app", digest[:19], env=SOON)
    assert one.count("GET", digest) < 12


def test_an_index_that_leads_nowhere_is_not_followed_for_ever(kept, one, place):
    layout = oci.Layout(place.folder / "deep")
    inner = layout.image([layout.layer(oci.Tar().file("a", "b"))])
    for _ in range(30):
        inner = layout.index([inner])
    layout.tag("latest", inner).save()
    one.serve("team/deep", layout.folder)
    result = pull(kept, f"{one.host}/team/deep")
    assert result.returncode == 1 and "nest" in result.stderr, result.stderr
    assert one.count() < 20


# --- redirects ---

@pytest.mark.parametrize("location, message", [
    ("{path}", "redirect"), ("file:///etc/passwd", "file|redirect"), ("ftp://127.0.0.1/x", "ftp|redirect"), ("gopher://127.0.0.1/x",
     "gopher|redirect"), ("http://", "redirect|URL|address"), ("//", "redirect|URL|address")],
    ids=["loop", "file", "ftp", "gopher", "no-host", "nothing"])
@pytest.mark.parametrize("part", ["/manifests/", "/blobs/"])
def test_a_redirect_to_where_nobody_should_go_is_refused(kept, one, part, location, message):
    one.on(part, location=location)
    before = store(kept)
    result = pull(kept, f"{one.host}/team/app", env=SOON)
    assert (result.returncode, result.stdout) == (1, ""), result.stderr
    lines = result.stderr.splitlines()
    assert len(lines) <= 2 and lines[0].startswith("annex: cannot pull "), result.stderr
    assert re.search(f"(?i){message}", lines[0]), lines[0]
    assert "root:" not in result.stderr
    check_nothing_more(kept, before)
    assert one.count() < 100


def test_a_redirect_from_https_to_http_is_refused(user_host, place, layout):
    with fake.Registry(tls=place.authority.certificate()) as secure, fake.Registry() as plain:
        secure.serve("team/app", layout.folder)
        plain.serve("team/app", layout.folder)
        trust(user_host, secure.host, place.authority)
        secure.on("/blobs/" + digests(layout)[0], location=plain.url + "{path}")
        result = pull(user_host, f"{secure.host}/team/app", env=SOON)
        check_failed(result, 1, "redirects from HTTPS to HTTP", ".")
        assert plain.requests == []


def test_a_long_but_honest_chain_of_redirects_is_followed_or_refused_clearly(kept, one, layout):
    for number in range(4):
        one.on("/blobs/", times=1, location="{path}")
    pulled(kept, f"{one.host}/team/app")


# --- what is broken once ---

def test_what_stands_still_once_is_tried_again(kept, one, layout):
    first, second, _ = digests(layout)
    one.on("/manifests/", times=1, hang=True).on(first, times=1, stall=1000).on(second, times=1, hang=True)
    pulled(kept, f"{one.host}/team/app", env=SOON)
    assert [request.headers.get("range") for request in one.asked("GET", first)] == [None, "bytes=1000-"]
    assert [one.count("GET", part) for part in ("/manifests/", second)] == [2, 2]
    check_disks(kept)


@pytest.mark.parametrize("fault", [
    {"cut": 1000}, {"reset": 1000}, {"cut": 0}, {"drop": True}, {"status": 500}, {"status": 503},
    {"status": 503, "headers": {"Retry-After": "0"}}, {"status": 502, "body": b"<html>", "type": "text/html"},
    {"status": 429, "headers": {"Retry-After": "1"}}, {"status": 429}, {"cut": 2000, "chunked": True},
    {"status": 503, "headers": {"Retry-After": "Thu, 01 Jan 1970 00:00:00 GMT"}}],
    ids=lambda fault: "-".join(map(str, fault))[:30] + str(fault.get("status", "")))
@pytest.mark.parametrize("part", ["/manifests/", "config", "layer"])
def test_what_is_broken_once_is_tried_again(kept, one, layout, part, fault):
    digest = {"config": oci.resolve(layout.folder)["config"]["digest"], "layer": digests(layout)[2]}.get(part)
    if part == "/manifests/":
        fault = {name: min(value, 100) if name in ("cut", "reset") else value for name, value in fault.items()}
    one.on(f"/blobs/{digest}" if digest else part, times=1, **fault)
    pulled(kept, f"{one.host}/team/app", env=SOON)
    check_disks(kept)
    if part == "layer":
        first, second = one.asked("GET", digest)
        # What was on its way when a connection is reset may be lost.
        if first.sent and "cut" in fault:
            assert second.headers.get("range", "").startswith("bytes="), second.headers
            assert first.sent + second.sent <= oci.resolve(layout.folder)["layers"][2]["size"] + 1000


def test_a_date_to_retry_after_is_waited_for(kept, one, layout):
    began = time.time()
    when = email.utils.formatdate(began + 2, usegmt=True)
    one.on("/blobs/" + digests(layout)[0], times=1, status=503, headers={"Retry-After": when})
    pulled(kept, f"{one.host}/team/app")
    assert time.time() >= int(began) + 1


@pytest.mark.parametrize("second", [
    {"no_range": True}, {"content_range": "bytes 0-5/6"}, {"content_range": "nonsense"}, {"status": 416},
    {"status": 206, "headers": {"Content-Range": None}}, {"body": lambda data: data[:100]}, {"body": lambda data: data + b"more"}],
    ids=["ignored", "wrong", "nonsense", "416", "none", "shorter", "longer"])
def test_a_broken_resume_never_makes_a_wrong_disk(kept, one, layout, second):
    digest = digests(layout)[2]
    one.on("/blobs/" + digest, times=1, cut=100_000).on("/blobs/" + digest, times=1, **second)
    before = store(kept)
    result = pull(kept, f"{one.host}/team/app", env=SOON)
    if result.returncode == 0:
        check_disks(kept)
    else:
        assert result.returncode == 1 and len(result.stderr.splitlines()) <= 2, result.stderr
        check_nothing_more(kept, before)


def test_a_connection_that_breaks_again_and_again_still_gets_there(kept, one, layout):
    digest = digests(layout)[2]
    one.on("/blobs/" + digest, times=4, cut=100_000)
    pulled(kept, f"{one.host}/team/app", env=SOON)
    asked = one.asked("GET", digest)
    assert [request.headers.get("range") for request in asked] == [None] + [f"bytes={n * 100_000}-" for n in range(1, 5)]
    check_disks(kept)


def test_failures_are_the_same_for_create(user_host, one):
    fake_kernel(user_host)
    before = store(user_host)
    for name, status in ((f"{one.host}/team/none", 3), (f"{one.host}/team/app:none", 3)):
        result = user_host.annex("create", "--progress", "none", "--no-boot", name, "-n", "web")
        lines = result.stderr.splitlines()
        assert (result.returncode, result.stdout, len(lines)) == (status, "", 2), result.stderr
        assert lines[0].startswith("annex: ") and lines[1].startswith("hint: ")
    assert json.loads(user_host.ok("list", "--format", "json")) == [] and store(user_host) == before


def test_hostile_answers_control_no_terminal(kept, one):
    said = json.dumps({"errors": [{"code": "DENIED", "message": "no\n\x1b[2Jannex: all is well"}]}).encode()
    one.on("/manifests/", status=403, body=said, type="application/json")
    result = pull(kept, f"{one.host}/team/app", env=SOON)
    assert result.returncode == 1 and "\x1b" not in result.stderr and len(result.stderr.splitlines()) == 2, result.stderr
    one.reset()
    one.on("/manifests/", status=403, body=b'{"errors":[{"code":"DENIED","message":"' + b"x" * 100_000 + b'"}]}')
    result = pull(kept, f"{one.host}/team/app", env=SOON)
    assert result.returncode == 1 and len(result.stderr) < 2000


def test_root_is_told_the_same(host, one):
    check_failed(pull(host, f"{one.host}/team/none"), 3, "team/none", ".")
    assert bases(host) == [] and store(host) == {}
    pulled(host, f"{one.host}/team/app")
