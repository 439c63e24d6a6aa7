#!/usr/bin/python3
"""A registry of images that does what it should, except where it was told not to.

    with registry.Registry() as fake:                       # Registry(tls=certificate, client_ca=path): over HTTPS
        fake.serve("library/hello", layout.folder)          # image: fake.host + "/library/hello:latest"
        fake.on("/blobs/" + digest, times=2, cut=1000)      # twice the connection ends after 1000 bytes
        …
        assert fake.count("HEAD", "/manifests/") == 1       # fake.requests has them all, with their headers

It serves OCI layouts (tests/images/oci.py) as they are at the time of a request. on() makes a rule: the first one
whose text is part of the request's path, whose method is the request's, and which is not used up (`times`, after
`after` requests went by) changes the answer:

    status=503                  another status; with it the body is an error document unless there is a `body`
    headers={"Retry-After": 1}  headers, added or replaced; None takes one away
    body=bytes, or a function   another body (a function gets the right one), with its right length
    type="text/html"            another Content-Type
    location="http://…"         a redirect (status 307 unless told); {path}: the path that was asked for
    hang=True                   no answer, until the client goes
    drop=True                   the connection is reset without an answer
    cut=N, reset=N              the connection is closed, or reset, after N bytes of the body
    stall=N                     nothing follows N bytes of the body, until the client goes
    pace=(N, SECONDS)           N bytes at a time, SECONDS apart
    length=N                    a wrong Content-Length; None: none, the body ends with the connection
    chunked=True                chunked, without a length
    endless=bytes               the body (chunked) repeats this for ever
    endless_headers=True        so do the headers
    trailers={…}                headers behind the body of a chunked answer
    no_range=True               a Range is ignored: status 200 and all of it
    content_range="bytes 0-1/2" a wrong Content-Range, to a request with a Range

tokens=Tokens(…) or users={name: password} ask for a bearer token or for basic authentication. As a program (--help) it
serves layouts until it is killed: for trying something by hand, and for tests in C.
"""

import argparse
import base64
import http.server
import json
import pathlib
import re
import select
import socket
import ssl
import struct
import sys
import threading
import time
import urllib.parse

import background

OCI = "application/vnd.oci.image."
REF_NAME = "org.opencontainers.image.ref.name"
ENDLESS = 1 << 32  # so much at most, should a client really take it
NOT_GIVEN = object()


class Request:
    """What came in, and what was answered."""

    def __init__(self, method, path, headers, body=b""):
        self.method, self.path, self.headers, self.body = method, path, headers, body
        self.status, self.sent = None, 0

    def __repr__(self):
        return f"{self.method} {self.path} -> {self.status} ({self.sent} bytes)"

    @property
    def authorization(self):
        return self.headers.get("authorization")


class Tokens:
    """A token server's tokens. Each is good for `uses` requests (None: any number) and, as the server tells the client,
    for `expires_in` seconds; `lifetime` is how long they are really good. With `users` only they get one.
    Tests of odd answers change `answer`, a function of the document that is sent."""

    def __init__(self, users=None, uses=None, expires_in=300, lifetime=None, identity_token=None, answer=None):
        self.users, self.uses, self.expires_in, self.lifetime = users, uses, expires_in, lifetime
        self.identity_token, self.answer = identity_token, answer or (lambda document: document)
        self.given = {}  # token: [uses left, when it ends, scopes]
        self.lock = threading.Lock()

    def make(self, _service, _scopes, _user):
        return f"token-{len(self.given) + 1}"

    def issue(self, service, scopes, user):
        with self.lock:
            token = self.make(service, scopes, user)
            ends = None if self.lifetime is None else time.monotonic() + self.lifetime
            self.given[token] = [self.uses, ends, scopes]
        return self.answer({"token": token, "access_token": token, "expires_in": self.expires_in})

    def allow(self, token, scope):
        with self.lock:
            found = self.given.get(token)
            if not found or scope not in found[2] or (found[1] is not None and time.monotonic() > found[1]):
                return False
            if found[0] is not None:
                if found[0] == 0:
                    return False
                found[0] -= 1
            return True


class Rule:
    FAULTS = {"status", "headers", "body", "type", "location", "hang", "drop", "cut", "reset", "stall", "pace", "length",
              "chunked", "endless", "endless_headers", "trailers", "no_range", "content_range"}

    def __init__(self, part, method, times, after, faults):
        unknown = set(faults) - self.FAULTS
        if unknown:
            raise TypeError(f"no such fault: {', '.join(sorted(unknown))}")
        self.part, self.method, self.times, self.after, self.faults = part, method, times, after, faults

    def take(self, request):
        """Is this request for this rule? Counts it."""
        if self.part not in request.path or (self.method and self.method != request.method):
            return False
        if self.after > 0:
            self.after -= 1
            return False
        if self.times is not None:
            if self.times == 0:
                return False
            self.times -= 1
        return True


class Answer:
    def __init__(self, status, body=b"", headers=None):
        self.status, self.body, self.headers = status, body, dict(headers or {})


def error(status, code, message, headers=None):
    body = json.dumps({"errors": [{"code": code, "message": message, "detail": None}]}).encode()
    return Answer(status, body, {"Content-Type": "application/json", **(headers or {})})


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = 0

    def log_message(self, *_):
        pass

    def handle_request(self):
        registry = self.server.registry
        size = int(self.headers.get("Content-Length") or 0)
        headers = {name.lower(): ", ".join(self.headers.get_all(name)) for name in self.headers}
        request = Request(self.command, self.path, headers, self.rfile.read(size) if size else b"")
        faults = registry.take(request)
        if faults.get("drop"):
            return self.end(reset=True)
        if faults.get("hang"):
            return self.wait_for_end()
        answer = registry.answer(request)
        self.change(request, answer, faults)
        request.status = answer.status
        self.send(request, answer, faults)

    do_GET = do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = handle_request

    def change(self, request, answer, faults):
        """Makes the answer what the rule wants; ranges are cut out at the end."""
        if "location" in faults:
            answer.status, answer.body = 307, b""
            answer.headers = {"Location": faults["location"].replace("{path}", request.path)}
        if "status" in faults:
            answer.status = faults["status"]
            if "location" not in faults and "body" not in faults and answer.status >= 300:
                said = error(answer.status, "FAULT", "the fake was told to")
                answer.body, answer.headers = said.body, said.headers
        if "body" in faults:
            answer.body = faults["body"](answer.body) if callable(faults["body"]) else faults["body"]
        if "type" in faults:
            answer.headers["Content-Type"] = faults["type"]
        self.cut_range(request, answer, faults)
        for name, value in (faults.get("headers") or {}).items():
            answer.headers = {old: kept for old, kept in answer.headers.items() if old.lower() != name.lower()}
            if value is not None:
                answer.headers[name] = str(value)

    def cut_range(self, request, answer, faults):
        asked = re.fullmatch(r"bytes=(\d+)-(\d*)", request.headers.get("range", ""))
        if not asked or answer.status != 200 or "Accept-Ranges" not in answer.headers or faults.get("no_range"):
            return
        if request.headers.get("if-range", answer.headers.get("ETag")) != answer.headers.get("ETag"):
            return
        total, first = len(answer.body), int(asked[1])
        last = min(int(asked[2] or total), total - 1)
        if first >= total or first > last:
            answer.status, answer.body = 416, b""
            answer.headers["Content-Range"] = f"bytes */{total}"
            return
        answer.status, answer.body = 206, answer.body[first:last + 1]
        answer.headers["Content-Range"] = faults.get("content_range", f"bytes {first}-{last}/{total}")

    def send(self, request, answer, faults):
        chunked = "endless" in faults or faults.get("chunked", False)
        length = faults.get("length", len(answer.body))
        self.send_response(answer.status)
        for name, value in answer.headers.items():
            self.send_header(name, value)
        if chunked:
            self.send_header("Transfer-Encoding", "chunked")
        elif length is not None and answer.status not in (204, 304):
            self.send_header("Content-Length", str(length))
        if not chunked and (length is None or length != len(answer.body)):
            self.send_header("Connection", "close")
            self.close_connection = True
        while faults.get("endless_headers"):
            self.send_header("X-Filler", "f" * 1000)
            self.flush_headers()
        self.end_headers()
        if request.method == "HEAD":
            return
        stops = [faults[name] for name in ("cut", "reset", "stall") if name in faults]
        self.send_body(request, answer.body[:stops[0]] if stops else answer.body, chunked, faults.get("pace"))
        while "endless" in faults and request.sent < ENDLESS:
            self.send_body(request, faults["endless"] * (1 + 65536 // len(faults["endless"])), True, None)
        if "stall" in faults:
            return self.wait_for_end()
        if stops:
            return self.end(reset="reset" in faults)
        if chunked:
            trailers = "".join(f"{name}: {value}\r\n" for name, value in faults.get("trailers", {}).items())
            self.wfile.write(f"0\r\n{trailers}\r\n".encode())

    def send_body(self, request, body, chunked, pace):
        step, pause = pace or (1 << 18, 0)
        for at in range(0, len(body), step):
            if at and pause and self.server.registry.stopping.wait(pause):
                return
            piece = body[at:at + step]
            self.wfile.write(b"%x\r\n%s\r\n" % (len(piece), piece) if chunked else piece)
            request.sent += len(piece)

    def wait_for_end(self):
        """Until the client is gone, or the registry ends."""
        while not self.server.registry.stopping.is_set():
            readable, _, _ = select.select([self.connection], [], [], 0.1)
            if readable:
                try:
                    if not self.connection.recv(4096):
                        break
                except OSError:
                    break
        self.end()

    def end(self, reset=False):
        self.close_connection = True
        if reset:
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            # Through its number, as other objects still hold this socket open.
            socket.socket(fileno=self.connection.detach()).close()


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 128

    def __init__(self, registry, address):
        self.registry = registry
        super().__init__((address, registry.port), Handler)

    def finish_request(self, request, client_address):
        """In the connection's own thread, so that nobody who is slow to greet holds up the others."""
        registry = self.registry
        try:
            if registry.context:
                request.settimeout(60)
                request = registry.context.wrap_socket(request, server_side=True)
                request.settimeout(None)
            with registry.lock:
                registry.connections.add(request)
            super().finish_request(request, client_address)
        except ssl.SSLError as problem:
            registry.handshake_failures.append(str(problem))
        except (OSError, ValueError):
            pass  # the client went away, or we did
        finally:
            with registry.lock:
                registry.connections.discard(request)
            # What TLS wrapped is another object than what the server closes.
            if isinstance(request, ssl.SSLSocket) and request.fileno() >= 0:
                request.close()

    def shutdown_request(self, request):
        if request.fileno() >= 0:
            super().shutdown_request(request)


class Registry(background.Background):
    """Listens from the start until close(). tls: something with the paths `chain` and `key`."""

    def __init__(self, tls=None, client_ca=None, address="127.0.0.1", port=0, users=None, tokens=None, realm=None):
        self.users, self.tokens, self.realm = users, tokens, realm
        self.requests, self.rules, self.repositories, self.handshake_failures = [], [], {}, []
        self.lock, self.connections = threading.Lock(), set()
        self.context, self.port = None, port
        if tls:
            self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            self.context.load_cert_chain(tls.chain, tls.key)
            if client_ca:
                self.context.verify_mode = ssl.CERT_REQUIRED
                self.context.load_verify_locations(client_ca)
        server = Server(self, address)
        self.port = server.server_address[1]
        self.host = f"{address}:{self.port}"
        self.url = f"{'https' if tls else 'http'}://{self.host}"
        self.start(server)

    def close(self):
        super().close()
        with self.lock:
            left = list(self.connections)
        for connection in left:
            try:
                connection.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass

    def serve(self, repository, folder):
        """Serves the tags and blobs of a layout; returns the name of its image `latest`, without a tag."""
        self.repositories[repository] = pathlib.Path(folder)
        return f"{self.host}/{repository}"

    def on(self, part, times=None, after=0, method=None, **faults):
        """Adds a rule; returns self."""
        with self.lock:
            self.rules.append(Rule(part, method, times, after, faults))
        return self

    def reset(self):
        """Forgets rules and requests."""
        with self.lock:
            self.rules.clear()
            self.requests.clear()

    def take(self, request):
        with self.lock:
            self.requests.append(request)
            return next((rule.faults for rule in self.rules if rule.take(request)), {})

    def asked(self, method=None, part=""):
        """The requests with this method and with this in their path."""
        return [request for request in list(self.requests)
                if part in request.path and method in (None, request.method)]

    def count(self, method=None, part=""):
        return len(self.asked(method, part))

    def answer(self, request):
        path, _, query = request.path.partition("?")
        if self.tokens and path == "/token":
            return self.token(request, urllib.parse.parse_qs(request.body.decode() if request.method == "POST" else query))
        if not path.startswith("/v2/"):
            return error(404, "NOT_FOUND", "no such page")
        found = re.fullmatch(r"/v2/(.+)/(manifests|blobs|tags)/([^/]+)", path)
        refused = self.refuse(request, f"repository:{found[1]}:pull" if found else "")
        if refused:
            return refused
        if path == "/v2/":
            return Answer(200, b"{}", {"Content-Type": "application/json"})
        if request.method not in ("GET", "HEAD"):
            return error(405, "UNSUPPORTED", "this registry only serves")
        if not found:
            return error(404, "NOT_FOUND", "no such page")
        folder = self.repositories.get(found[1])
        if not folder:
            return error(404, "NAME_UNKNOWN", "repository name not known to registry")
        return {"manifests": self.manifest, "blobs": self.blob, "tags": self.tags}[found[2]](request, folder, found[3])

    def refuse(self, request, scope):
        """The answer to who may not do this, or None."""
        kind, _, value = (request.authorization or "").partition(" ")
        if self.tokens:
            if kind.lower() == "bearer" and self.tokens.allow(value, scope):
                return None
            challenge = f'Bearer realm="{self.realm or self.url + "/token"}",service="fake"'
            challenge += f',scope="{scope}"' if scope else ""
            challenge += ',error="invalid_token"' if kind.lower() == "bearer" else ""
            return error(401, "UNAUTHORIZED", "authentication required", {"WWW-Authenticate": challenge})
        if self.users and not known(self.users, request.authorization):
            return error(401, "UNAUTHORIZED", "authentication required", {"WWW-Authenticate": 'Basic realm="fake"'})
        return None

    def token(self, request, fields):
        user = None
        if request.method == "POST":
            given = {name: values[0] for name, values in fields.items()}
            if given.get("grant_type") == "refresh_token" and given.get("refresh_token") == self.tokens.identity_token:
                user = "refreshed"
            elif given.get("grant_type") == "password":
                pair = f"{given.get('username')}:{given.get('password')}".encode()
                user = known(self.tokens.users or {}, "Basic " + base64.b64encode(pair).decode())
            if not user:
                return error(401, "UNAUTHORIZED", "authentication failed")
        elif request.authorization:
            user = known(self.tokens.users or {}, request.authorization)
            if not user:
                return error(401, "UNAUTHORIZED", "incorrect username or password")
        # Whoever is nobody gets a token too, as from real servers; one that allows nothing.
        allowed = fields.get("scope", []) if user or not self.tokens.users else []
        allowed = [scope for text in allowed for scope in text.split(" ")] + [""]
        document = self.tokens.issue(fields.get("service", [""])[0], allowed, user)
        return Answer(200, document if isinstance(document, bytes) else json.dumps(document).encode(),
                      {"Content-Type": "application/json"})

    def manifest(self, request, folder, reference):
        index = json.loads((folder / "index.json").read_bytes())
        tagged = [entry for entry in index["manifests"]
                  if entry.get("annotations", {}).get(REF_NAME) == reference]
        digest = tagged[0]["digest"] if tagged else reference
        data = read_blob(folder, digest)
        if data is None:
            return error(404, "MANIFEST_UNKNOWN", "manifest unknown")
        kind = tagged[0]["mediaType"] if tagged else type_of(data)
        accepted = re.split(r"\s*[,;]\s*", request.headers.get("accept", "*/*"))
        if kind not in accepted and "*/*" not in accepted and kind.startswith(OCI):
            return error(404, "MANIFEST_UNKNOWN", "OCI manifest found, but accept header does not support OCI manifests")
        return Answer(200, data, {"Content-Type": kind, "Docker-Content-Digest": digest, "ETag": f'"{digest}"'})

    def tags(self, request, folder, what):
        if what != "list":
            return error(404, "NOT_FOUND", "no such page")
        index = json.loads((folder / "index.json").read_bytes())
        names = {entry.get("annotations", {}).get(REF_NAME) for entry in index["manifests"]} - {None}
        document = {"name": request.path.split("/tags/")[0][len("/v2/"):], "tags": sorted(names)}
        return Answer(200, json.dumps(document).encode(), {"Content-Type": "application/json"})

    def blob(self, _request, folder, digest):
        data = read_blob(folder, digest)
        if data is None:
            return error(404, "BLOB_UNKNOWN", "blob unknown to registry")
        return Answer(200, data, {"Content-Type": "application/octet-stream", "Docker-Content-Digest": digest,
                                  "ETag": f'"{digest}"', "Accept-Ranges": "bytes"})


def known(users, authorization):
    """The name of the user whose basic authentication this is, or None."""
    kind, _, value = (authorization or "").partition(" ")
    try:
        name, _, password = base64.b64decode(value, validate=True).decode().partition(":")
    except ValueError:
        return None
    return name if kind.lower() == "basic" and users.get(name) == password else None


def read_blob(folder, digest):
    if not re.fullmatch(r"[a-z0-9]+:[0-9a-f]+", digest):
        return None
    try:
        return (folder / "blobs" / digest.replace(":", "/")).read_bytes()
    except FileNotFoundError:
        return None


def type_of(data):
    try:
        document = json.loads(data)
    except ValueError:
        return "application/octet-stream"
    if "mediaType" in document:
        return document["mediaType"]
    return OCI + ("index.v1+json" if "manifests" in document else "manifest.v1+json")


class Files:
    """A certificate, as Registry wants one."""

    def __init__(self, chain, key):
        self.chain, self.key = chain, key


def main():
    """Prints where it listens, then every request, one a line, to standard output."""
    parser = argparse.ArgumentParser(description="Serve OCI layouts as a registry that misbehaves as told.")
    parser.add_argument("layouts", nargs="*", metavar="REPOSITORY=FOLDER")
    parser.add_argument("--tls", nargs=2, metavar=("CHAIN", "KEY"), help="serve over HTTPS")
    parser.add_argument("--client-ca", metavar="FILE", help="ask clients for a certificate of this authority")
    parser.add_argument("--address", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--user", metavar="NAME:PASSWORD", help="ask for basic authentication")
    parser.add_argument("--tokens", action="store_true", help="ask for a token (that --user gets)")
    parser.add_argument("--rule", action="append", default=[], metavar="JSON",
                        help="""like '{"part": "/blobs/", "times": 1, "cut": 100}'""")
    wanted = parser.parse_args()
    users = dict([wanted.user.split(":", 1)]) if wanted.user else None
    with Registry(Files(*wanted.tls) if wanted.tls else None, wanted.client_ca, wanted.address, wanted.port,
                  None if wanted.tokens else users, Tokens(users) if wanted.tokens else None) as registry:
        for pair in wanted.layouts:
            registry.serve(*pair.split("=", 1))
        for text in wanted.rule:
            rule = json.loads(text)
            for name in ("body", "endless"):
                if name in rule:
                    rule[name] = rule[name].encode()
            registry.on(**rule)
        print(registry.url, flush=True)
        told = 0
        while True:
            time.sleep(0.1)
            for request in registry.requests[told:]:
                print(repr(request), request.authorization or "", request.headers.get("range", ""), flush=True)
                told += 1


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        pass
