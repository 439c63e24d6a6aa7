"""Writes and checks OCI image layouts, for the test images and for tests that need a small, odd or broken image.

    layout = oci.Layout(folder)
    files = oci.Tar().folder("etc").file("etc/motd", "hello\\n").whiteout("etc/issue")
    image = layout.image([layout.layer(files, "zstd")], {"Cmd": ["/bin/sh"]})
    layout.tag("latest", image)
    layout.save()                       # oci:folder:latest

Everything that makes up an image is a plain dict until it is written, and `change` arguments are called with that
dict just before, so a test can make it wrong; layout.path(descriptor) is the blob's file, to be truncated or damaged.
The same input always gives the same bytes, and so the same digests.
"""

import collections
import gzip
import hashlib
import io
import json
import os
import pathlib
import subprocess
import tarfile

DATE = 1672531200  # the time of every file and image: fixed, so that digests are
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

OCI = "application/vnd.oci.image."
INDEX, MANIFEST, CONFIG = OCI + "index.v1+json", OCI + "manifest.v1+json", OCI + "config.v1+json"
LAYERS = {"plain": OCI + "layer.v1.tar", "gzip": OCI + "layer.v1.tar+gzip", "zstd": OCI + "layer.v1.tar+zstd"}
DOCKER = "application/vnd.docker."
DOCKER_INDEX = DOCKER + "distribution.manifest.list.v2+json"
DOCKER_MANIFEST = DOCKER + "distribution.manifest.v2+json"
DOCKER_CONFIG = DOCKER + "container.image.v1+json"
DOCKER_LAYER = DOCKER + "image.rootfs.diff.tar.gzip"
REF_NAME = "org.opencontainers.image.ref.name"

COMPRESSORS = {"gzip": ["gzip", "-nc"], "zstd": ["zstd", "-qc", "-T0"]}
EXPANDERS = {"gzip": ["gzip", "-dc"], "zstd": ["zstd", "-dqc"]}

Layer = collections.namedtuple("Layer", "descriptor diff_id")


class Tar:
    """A layer's tar archive under construction; each method adds an entry and returns the Tar."""

    def __init__(self):
        self._entries = []

    def _add(self, path, kind, mode, data=b"", link="", uid=0, gid=0, mtime=DATE, xattrs=None, device=(0, 0)):
        info = tarfile.TarInfo(path)
        info.type, info.mode, info.linkname = kind, mode, link
        info.uid, info.gid, info.mtime, info.size = uid, gid, mtime, len(data)
        info.devmajor, info.devminor = device
        # tarfile writes a pax header's value as UTF-8, and as it came where it holds escaped bytes.
        info.pax_headers = {"SCHILY.xattr." + name: value.decode("utf-8", "surrogateescape")
                            for name, value in (xattrs or {}).items()}
        self._entries.append((info, data))
        return self

    def folder(self, path, mode=0o755, **more):
        return self._add(path, tarfile.DIRTYPE, mode, **more)

    def file(self, path, data=b"", mode=0o644, **more):
        return self._add(path, tarfile.REGTYPE, mode, data.encode() if isinstance(data, str) else data, **more)

    def symlink(self, path, target, **more):
        return self._add(path, tarfile.SYMTYPE, 0o777, link=target, **more)

    def hardlink(self, path, target, **more):
        return self._add(path, tarfile.LNKTYPE, 0o644, link=target, **more)

    def fifo(self, path, mode=0o644, **more):
        return self._add(path, tarfile.FIFOTYPE, mode, **more)

    def device(self, path, major, minor, mode=0o600, block=False, **more):
        return self._add(path, tarfile.BLKTYPE if block else tarfile.CHRTYPE, mode, device=(major, minor), **more)

    def whiteout(self, path):
        parent, name = os.path.split(path)
        return self.file(os.path.join(parent, ".wh." + name))

    def opaque(self, folder):
        return self.file(os.path.join(folder, ".wh..wh..opq"))

    def data(self, order=lambda entry: entry[0].name):
        """The archive. Sorted, as entries' order then says nothing; order=None keeps the order they were added in."""
        entries = sorted(self._entries, key=order) if order else self._entries
        # A hard link must come after what it links to.
        if order:
            entries = ([entry for entry in entries if not entry[0].islnk()]
                       + [entry for entry in entries if entry[0].islnk()])
        buffer = io.BytesIO()
        with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT, errors="surrogateescape") as archive:
            for info, data in entries:
                archive.addfile(info, io.BytesIO(data))
        return buffer.getvalue()


class Layout:
    """An OCI layout folder. Blobs are written at once, index.json by save()."""

    def __init__(self, folder):
        self.folder = pathlib.Path(folder)
        (self.folder / "blobs" / "sha256").mkdir(parents=True, exist_ok=True)
        (self.folder / "oci-layout").write_text('{"imageLayoutVersion":"1.0.0"}\n')
        self._manifests = []

    def path(self, descriptor):
        """The file of the blob that a descriptor, or a digest, names."""
        digest = descriptor if isinstance(descriptor, str) else descriptor["digest"]
        return self.folder / "blobs" / pathlib.Path(*digest.split(":", 1))

    def blob(self, data, media_type, change=None):
        """Writes bytes, or a value as JSON, as a blob; returns its descriptor."""
        if not isinstance(data, bytes):
            if change:
                change(data)
            data = encode(data)
        result = {"mediaType": media_type, "digest": "sha256:" + hashlib.sha256(data).hexdigest(), "size": len(data)}
        self.path(result).write_bytes(data)
        return result

    def layer(self, source, compression="gzip", media_type=None):
        """Writes a layer from a Tar, the bytes of an archive, or the path of one; returns a Layer."""
        if isinstance(source, Tar):
            source = source.data()
        media_type = media_type or LAYERS[compression]
        if isinstance(source, bytes):
            data = source
            if compression == "gzip":
                data = gzip.compress(source, mtime=0)
            elif compression != "plain":
                data = subprocess.run(COMPRESSORS[compression], input=source, stdout=subprocess.PIPE, check=True).stdout
            return Layer(self.blob(data, media_type), "sha256:" + hashlib.sha256(source).hexdigest())
        with open(source, "rb") as plain:
            diff_id = digest_of(plain)
        half = self.folder / "blobs" / "half"
        with open(source, "rb") as plain, open(half, "w+b") as packed:
            subprocess.run(COMPRESSORS.get(compression, ["cat"]), stdin=plain, stdout=packed, check=True)
            packed.seek(0)
            result = {"mediaType": media_type, "digest": digest_of(packed), "size": os.fstat(packed.fileno()).st_size}
        half.rename(self.path(result))
        return Layer(result, diff_id)

    def image(self, layers, config=None, platform=None, change=None, change_config=None, docker=False):
        """Writes an image's config and manifest; returns the manifest's descriptor, with its platform."""
        platform = platform or host_platform()
        # What a platform has beyond these belongs into the index only.
        document = {key: platform[key] for key in ("architecture", "os", "variant") if key in platform}
        document.update(created=date_text(), config=dict({"Env": ["PATH=" + PATH]}, **(config or {})),
                        rootfs={"type": "layers", "diff_ids": [layer.diff_id for layer in layers]},
                        history=[{"created": date_text(), "created_by": "tests/images"} for _ in layers])
        described = self.blob(document, DOCKER_CONFIG if docker else CONFIG, change_config)
        manifest = {"schemaVersion": 2, "mediaType": DOCKER_MANIFEST if docker else MANIFEST, "config": described,
                    "layers": [layer.descriptor for layer in layers]}
        return dict(self.blob(manifest, manifest["mediaType"], change), platform=platform)

    def index(self, manifests, change=None, docker=False):
        """Writes an index of manifests (or of indexes); returns its descriptor."""
        media_type = DOCKER_INDEX if docker else INDEX
        return self.blob({"schemaVersion": 2, "mediaType": media_type, "manifests": manifests}, media_type, change)

    def tag(self, name, descriptor):
        """Puts a manifest or an index into index.json, under a name, or without one for None."""
        annotations = dict(descriptor.get("annotations", {}), **({REF_NAME: name} if name is not None else {}))
        self._manifests.append(dict(descriptor, **({"annotations": annotations} if annotations else {})))
        return self

    def save(self, change=None):
        """Writes index.json; returns the folder."""
        document = {"schemaVersion": 2, "mediaType": INDEX, "manifests": self._manifests}
        if change:
            change(document)
        (self.folder / "index.json").write_bytes(encode(document))
        return self.folder


def simple(folder, files=None, tag="latest", config=None, compression="gzip"):
    """A layout of one image with one layer of the given files (path: contents); returns the Layout, saved."""
    tar = Tar()
    for path, contents in (files or {"etc/hello": "hello\n"}).items():
        tar.file(path, contents)
    layout = Layout(folder)
    layout.tag(tag, layout.image([layout.layer(tar, compression)], config)).save()
    return layout


def oci_archive(folder, target):
    """Packs a layout as an OCI archive (oci-archive:target)."""
    folder = pathlib.Path(folder)
    with tarfile.open(target, "w", format=tarfile.PAX_FORMAT) as archive:
        for path in sorted(path for path in folder.rglob("*")):
            _pack(archive, path, str(path.relative_to(folder)))
    return target


def docker_archive(folder, target, name="annex/test:latest", tag=None, change=None):
    """Packs one image of a layout as `docker save` does (docker-archive:target): plain layers, manifest.json."""
    folder = pathlib.Path(folder)
    manifest = resolve(folder, tag)
    config = read_blob(folder, manifest["config"])
    config_name = manifest["config"]["digest"].split(":")[1] + ".json"
    layers = {}
    for diff_id, layer in zip(json.loads(config)["rootfs"]["diff_ids"], manifest["layers"]):
        layers[diff_id.split(":")[1] + "/layer.tar"] = expand(folder, layer)
    document = [{"Config": config_name, "RepoTags": [name] if name else None, "Layers": list(layers)}]
    if change:
        change(document)
    with tarfile.open(target, "w", format=tarfile.PAX_FORMAT) as archive:
        for path, data in dict(layers, **{config_name: config, "manifest.json": encode(document)}).items():
            info = tarfile.TarInfo(path)
            info.size, info.mtime, info.mode = len(data), DATE, 0o644
            archive.addfile(info, io.BytesIO(data))
    return target


class Saved:
    """An archive of any images, in the format of docker save, entry by entry: for what docker_archive() can't be made to do."""

    def __init__(self, path):
        self.path, self.images = path, []
        self.archive = tarfile.open(path, "w")

    def file(self, name, data):
        info = tarfile.TarInfo(name)
        info.size = len(data)
        self.archive.addfile(info, io.BytesIO(data))

    def link(self, name, target, kind=tarfile.SYMTYPE):
        info = tarfile.TarInfo(name)
        info.type, info.linkname = kind, target
        self.archive.addfile(info)

    def image(self, names, layers, plain, config_name=None):
        """Adds an image and its configuration; layers are the names of files, plain their tar archives."""
        config = encode({"architecture": host_platform()["architecture"], "os": "linux", "rootfs": {
            "type": "layers", "diff_ids": ["sha256:" + hashlib.sha256(data).hexdigest() for data in plain]}})
        config_name = config_name or hashlib.sha256(config).hexdigest() + ".json"
        self.file(config_name, config)
        self.images.append({"Config": config_name, "RepoTags": names, "Layers": layers})

    def close(self):
        """Writes manifest.json; returns the source's name."""
        self.file("manifest.json", encode(self.images))
        self.archive.close()
        return f"docker-archive:{self.path}"


def resolve(folder, tag=None, platform=None):
    """The manifest, as a dict, that a tag (or the only entry of index.json) leads to for a platform."""
    wanted = platform or host_platform()
    entries = json.loads((pathlib.Path(folder) / "index.json").read_bytes())["manifests"]
    if tag is not None:
        entries = [entry for entry in entries if entry.get("annotations", {}).get(REF_NAME) == tag]
    while True:
        entries = [entry for entry in entries if entry.get("platform", wanted) == wanted]
        if not entries:
            raise LookupError(f"no image in {folder} under the tag {tag} for {wanted}")
        document = json.loads(read_blob(folder, entries[0]))
        if "manifests" not in document:
            return document
        entries = document["manifests"]


def verify(folder):
    """Raises ValueError unless every blob that index.json leads to has the size and the digest it should have."""
    for entry in json.loads((pathlib.Path(folder) / "index.json").read_bytes())["manifests"]:
        _verify(folder, entry)


def _verify(folder, entry):
    document = json.loads(_checked(folder, entry))
    for inner in document.get("manifests", []):
        _verify(folder, inner)
    if "layers" not in document:
        return
    config = json.loads(_checked(folder, document["config"]))
    diff_ids = config["rootfs"]["diff_ids"]
    if len(diff_ids) != len(document["layers"]):
        raise ValueError(f"{entry['digest']}: {len(diff_ids)} diff_ids for {len(document['layers'])} layers")
    for diff_id, layer in zip(diff_ids, document["layers"]):
        _checked(folder, layer)
        if diff_id != "sha256:" + hashlib.sha256(expand(folder, layer)).hexdigest():
            raise ValueError(f"{layer['digest']}: its contents are not {diff_id}")


def _checked(folder, descriptor):
    data = read_blob(folder, descriptor)
    if descriptor["digest"] != "sha256:" + hashlib.sha256(data).hexdigest():
        raise ValueError(f"{descriptor['digest']}: wrong contents")
    if descriptor["size"] != len(data):
        raise ValueError(f"{descriptor['digest']}: {len(data)} bytes, not {descriptor['size']}")
    return data


def expand(folder, layer):
    """The plain archive of a layer."""
    data = read_blob(folder, layer)
    for name, command in EXPANDERS.items():
        if layer["mediaType"].endswith(name):
            return subprocess.run(command, input=data, stdout=subprocess.PIPE, check=True).stdout
    return data


def read_blob(folder, descriptor):
    algorithm, value = descriptor["digest"].split(":", 1)
    return (pathlib.Path(folder) / "blobs" / algorithm / value).read_bytes()


def _pack(archive, path, name):
    info = archive.gettarinfo(path, name)
    info.uid = info.gid = 0
    info.uname = info.gname = ""
    info.mtime, info.mode = DATE, 0o755 if path.is_dir() else 0o644
    if path.is_dir():
        archive.addfile(info)
    else:
        with open(path, "rb") as data:
            archive.addfile(info, data)


def digest_of(stream):
    sha256 = hashlib.sha256()
    while block := stream.read(1 << 20):
        sha256.update(block)
    return "sha256:" + sha256.hexdigest()


def encode(value):
    return json.dumps(value, separators=(",", ":"), sort_keys=True).encode()


def date_text():
    return "2023-01-01T00:00:00Z"


def host_platform():
    names = {"x86_64": "amd64", "aarch64": "arm64"}
    return {"architecture": names.get(os.uname().machine, os.uname().machine), "os": "linux"}
