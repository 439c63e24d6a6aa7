"""Real registries (docker-registry) on random ports of loopback, and what belongs to them: an authority that makes
certificates, password files, a token server, a proxy, and a way to push images.

    with registries.Place() as place:                       # a folder with storage, which all its registries share
        plain = place.registry()                            # .host: "127.0.0.1:PORT"
        registries.push(plain, "team/app", layout.folder)   # the layout's tags; `tag=` for one of them
        tls = place.registry(tls=place.authority.certificate())
        closed = place.registry(tls=…, users={"anna": "secret"})
        tokens = place.registry(tokens=place.token_server(users={"anna": "secret"}))

Certificates: place.authority.certificate(hosts=…, expired=True), place.authority.self_signed(), .client(). Everything
ends with the Place, or earlier by close().
"""

import base64
import http.client
import json
import pathlib
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import uuid

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent / "fakes"))  # for `import registry`

import registry as fake  # noqa: E402

HOSTS = ("localhost", "127.0.0.1")
START = 60  # seconds for a registry to listen: only ends a test that has failed


class Place:
    """A folder that everybody can look into, and what runs on it."""

    def __init__(self):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="annex-registry-", dir="/var/tmp"))
        self.folder.chmod(0o755)
        self.running = []
        self._authority = None

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        for one in reversed(self.running):
            one.close()
        shutil.rmtree(self.folder, ignore_errors=True)

    def add(self, one):
        self.running.append(one)
        return one

    @property
    def authority(self):
        self._authority = self._authority or Authority(self.folder / "authority")
        return self._authority

    def registry(self, **options):
        """A docker-registry; see Registry for the options. Not every distribution has a package of it."""
        if not shutil.which("docker-registry"):
            pytest.skip("docker-registry is not installed")
        return self.add(Registry(self.folder, len(self.running), **options))

    def fake(self, **options):
        """A fake one (fakes/registry.py)."""
        return self.add(fake.Registry(**options))

    def token_server(self, **options):
        """A token server whose tokens docker-registry believes; options as for fakes/registry.py's Tokens."""
        return self.add(TokenServer(self.authority.token_signer(), **options))

    def refusing(self):
        """An address where connections are refused as long as this Place is there."""
        bound = self.add(socket.socket())
        bound.bind(("127.0.0.1", 0))
        return f"127.0.0.1:{bound.getsockname()[1]}"


class Certificate:
    """PEM files: the certificate, with what leads to its authority; its key."""

    def __init__(self, chain, key):
        self.chain, self.key = chain, key


def openssl(*words, input=None):
    """Runs openssl; what it printed, as bytes."""
    done = subprocess.run(["openssl", *map(str, words)], input=input, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert done.returncode == 0, f"openssl {' '.join(map(str, words))}: {done.stderr.decode()}"
    return done.stdout


CA_CONFIG = """\
[ca]
default_ca = this
[this]
database = {folder}/index
rand_serial = yes
unique_subject = no
new_certs_dir = {folder}
certificate = {folder}/ca.pem
private_key = {folder}/ca.key
default_md = sha256
policy = any
[any]
commonName = supplied
[req]
distinguished_name = name
prompt = no
[name]
commonName = annex test
[authority]
basicConstraints = critical, CA:TRUE
keyUsage = critical, keyCertSign, cRLSign
subjectKeyIdentifier = hash
"""


class Authority:
    """A certificate authority of its own; `ca` is its certificate."""

    def __init__(self, folder):
        self.folder, self.count = folder, 0
        folder.mkdir()
        self.config = folder / "openssl.cnf"
        self.config.write_text(CA_CONFIG.format(folder=folder))
        (folder / "index").write_text("")
        self.ca = folder / "ca.pem"
        openssl("req", "-x509", "-config", self.config, "-extensions", "authority", *self.new_key(folder / "ca.key"),
                "-subj", "/CN=annex test authority", "-days", "3650", "-out", self.ca)

    @staticmethod
    def new_key(path, kind="ec"):
        how = ["-newkey", "rsa:2048"] if kind == "rsa" else ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"]
        return [*how, "-nodes", "-keyout", path]

    def paths(self, name):
        self.count += 1
        return [self.folder / f"{name}-{self.count}.{suffix}" for suffix in ("pem", "key", "csr", "ext")]

    def certificate(self, hosts=HOSTS, expired=False, client=False, name=None):
        """One that this authority signed; hosts are names and addresses."""
        chain, key, request, extensions = self.paths("client" if client else "server")
        openssl("req", "-new", "-config", self.config, *self.new_key(key), "-subj", f"/CN={name or hosts[0]}", "-out", request)
        usage = "clientAuth" if client else "serverAuth"
        extensions.write_text(f"basicConstraints=CA:FALSE\nextendedKeyUsage={usage}\n{alternatives(hosts)}\n")
        start, end = ("20200101000000Z", "20200201000000Z") if expired else ("20200101000000Z", "20491231235959Z")
        openssl("ca", "-batch", "-notext", "-config", self.config, "-in", request, "-extfile", extensions,
                "-startdate", start, "-enddate", end, "-out", chain)
        self.open(key)
        return Certificate(chain, key)

    def client(self, name="annex test client"):
        return self.certificate(client=True, name=name)

    def self_signed(self, hosts=HOSTS):
        chain, key, _, _ = self.paths("self-signed")
        openssl("req", "-x509", "-config", self.config, *self.new_key(key), "-subj", f"/CN={hosts[0]}", "-days", "3650",
                "-addext", alternatives(hosts), "-out", chain)
        self.open(key)
        return Certificate(chain, key)

    def token_signer(self):
        chain, key, _, _ = self.paths("tokens")
        openssl("req", "-x509", "-config", self.config, *self.new_key(key, "rsa"), "-subj", "/CN=annex test tokens",
                "-days", "3650", "-out", chain)
        return Certificate(chain, key)

    @staticmethod
    def open(key):
        """These keys keep no secret, and the ordinary user's annex reads clients'."""
        key.chmod(0o644)


def alternatives(hosts):
    kinds = ["IP" if re.fullmatch(r"[0-9.]+|.*:.*", host) else "DNS" for host in hosts]
    return "subjectAltName=" + ",".join(f"{kind}:{host}" for kind, host in zip(kinds, hosts))


class Registry:
    """docker-registry, listening. tls: a Certificate. users: {name: password}. tokens: a TokenServer."""

    def __init__(self, folder, number, tls=None, users=None, tokens=None, address="127.0.0.1"):
        self.folder = folder / f"registry-{number}"
        self.folder.mkdir()
        config = {"version": "0.1", "log": {"level": "info", "accesslog": {"disabled": True}},
                  "storage": {"filesystem": {"rootdirectory": str(folder / "storage")}, "delete": {"enabled": True}},
                  "http": {"addr": f"{address}:0", "secret": "shared by those of one storage"}}
        if tls:
            config["http"]["tls"] = {"certificate": str(tls.chain), "key": str(tls.key)}
        if users:
            path = self.folder / "htpasswd"
            path.write_text("".join(map(htpasswd, users, users.values())))
            config["auth"] = {"htpasswd": {"realm": "annex test", "path": str(path)}}
        if tokens:
            config["auth"] = {"token": {"realm": tokens.url + "/token", "service": tokens.service, "issuer": tokens.issuer,
                                        "rootcertbundle": str(tokens.signer.chain)}}
        (self.folder / "config.yml").write_text(json.dumps(config))  # JSON is YAML
        self.log = self.folder / "log"
        with open(self.log, "wb") as log:
            # It ends with the suite even when that is killed.
            command = ["setpriv", "--pdeathsig", "KILL", "docker-registry", "serve", self.folder / "config.yml"]
            self.process = subprocess.Popen(command, cwd=self.folder, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                            env={"PATH": "/usr/bin:/bin", "OTEL_TRACES_EXPORTER": "none"})
        self.port = self.wait_for_port()
        self.host = f"{address}:{self.port}"
        self.url = f"{'https' if tls else 'http'}://{self.host}"

    def wait_for_port(self):
        """docker-registry takes a free port and tells it in its log."""
        end = time.monotonic() + START
        while True:
            said = self.log.read_text(errors="replace")
            found = re.search(r"listening on [^ ]*:(\d+)", said)
            if found:
                return int(found[1])
            if self.process.poll() is not None or time.monotonic() > end:
                self.close()
                raise RuntimeError(f"docker-registry does not listen: {said}")
            time.sleep(0.02)

    def close(self):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()


def htpasswd(name, password):
    done = subprocess.run(["htpasswd", "-niB", "-C", "4", name], input=password, text=True, stdout=subprocess.PIPE, check=True)
    return done.stdout.strip() + "\n"


class SignedTokens(fake.Tokens):
    """JSON web tokens (RS256, with the certificate in x5c). docker-registry takes them for 60 s more than they say, so
    that `lifetime` is how long it really takes them."""

    def __init__(self, signer, service, issuer, **options):
        super().__init__(**options)
        self.signer, self.service, self.issuer = signer, service, issuer
        self.x5c = re.search(r"-----BEGIN CERTIFICATE-----(.*?)-----END", signer.chain.read_text(), re.DOTALL)[1]

    def make(self, _service, scopes, user):
        now = int(time.time())
        ends = now + (self.expires_in if self.lifetime is None else self.lifetime - 60)
        header = {"typ": "JWT", "alg": "RS256", "x5c": ["".join(self.x5c.split())]}
        access = [{"type": kind, "name": name, "actions": actions.split(",")}
                  for kind, name, actions in (scope.split(":") for scope in scopes if scope.count(":") == 2)]
        claims = {"iss": self.issuer, "sub": user or "", "aud": self.service, "exp": ends, "nbf": now - 120, "iat": now - 120,
                  "jti": uuid.uuid4().hex, "access": access}
        text = b".".join(encode64(json.dumps(part).encode()) for part in (header, claims))
        signature = openssl("dgst", "-sha256", "-sign", self.signer.key, input=text)
        return (text + b"." + encode64(signature)).decode()


def encode64(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=")


class TokenServer(fake.Registry):
    """Its requests are recorded as a fake registry's are."""

    def __init__(self, signer, tls=None, **options):
        self.signer, self.service, self.issuer = signer, "annex test registry", "annex test issuer"
        super().__init__(tls=tls, tokens=SignedTokens(signer, self.service, self.issuer, **options))


def push(registry, repository, folder, tag=None):
    """Uploads what the tags of a layout (or one of them) lead to, into a plain registry that asks for no credentials."""
    folder = pathlib.Path(folder)
    connection = http.client.HTTPConnection(registry.host, timeout=60)
    pusher = Pusher(connection, f"/v2/{repository}", folder)
    try:
        for entry in json.loads((folder / "index.json").read_bytes())["manifests"]:
            name = entry.get("annotations", {}).get(fake.REF_NAME)
            if tag is None or name == tag:
                pusher.manifest(entry, name)
    finally:
        connection.close()
    return f"{registry.host}/{repository}"


class Pusher:
    def __init__(self, connection, base, folder):
        self.connection, self.base, self.folder = connection, base, folder

    def request(self, method, path, statuses, body=None, headers=None):
        self.connection.request(method, path, body, headers or {})
        answer = self.connection.getresponse()
        said = answer.read()
        assert answer.status in statuses, f"{method} {path}: {answer.status} {said.decode(errors='replace')}"
        return answer

    def blob(self, descriptor):
        digest = descriptor["digest"]
        data = fake.read_blob(self.folder, digest)
        if data is None or self.request("HEAD", f"{self.base}/blobs/{digest}", (200, 404)).status == 200:
            return  # a layer that is not distributed, or is there already
        place = self.request("POST", f"{self.base}/blobs/uploads/", (202,)).headers["Location"]
        path = place[place.index("/v2/"):]
        self.request("PUT", f"{path}{'&' if '?' in path else '?'}digest={digest}", (201,), data,
                     {"Content-Type": "application/octet-stream"})

    def manifest(self, entry, name=None):
        data = fake.read_blob(self.folder, entry["digest"])
        document = json.loads(data)
        for inner in document.get("manifests", []):
            if fake.read_blob(self.folder, inner["digest"]) is not None:
                self.manifest(inner)
        for descriptor in [document["config"], *document["layers"]] if "layers" in document else []:
            self.blob(descriptor)
        self.request("PUT", f"{self.base}/manifests/{name or entry['digest']}", (201,), data,
                     {"Content-Type": entry.get("mediaType") or fake.type_of(data)})
