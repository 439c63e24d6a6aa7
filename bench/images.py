"""Benchmarks of images: from a registry on loopback to a bootable disk.

A turn measures, one after the other: the stages that every way to the disk consists of, each alone; annex; podman with
mke2fs; skopeo with umoci and mke2fs. Each begins with an empty store on a disk that is idle, and finds the registry's
files in the page cache.
"""

import collections
import contextlib
import dataclasses
import os
import pathlib
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

import slowlink
from measure import BUILD, ROOT, Annex, Comparison, Table, image, spread

sys.path[1:1] = [str(ROOT / "tests"), str(ROOT / "tests/images")]

import oci  # noqa: E402
import registries  # noqa: E402

REPOSITORY = "bench/debian"
DISK = "1200M"  # mke2fs must be told; annex's disks are as large as its contents need
CORES = 2  # that the stages may use
LINK = 200  # Mbit/s
MIB = 1 << 20
PROGRAMS = ("podman", "skopeo", "umoci", "mke2fs", "igzip", "curl", "openssl", "eatmydata", "docker-registry")


@dataclasses.dataclass
class Took:
    wall: float
    cpu: float  # of the process and all that it waited for


def took(command, environment=None, input=None):
    """Runs a command with nobody else at the disk."""
    os.sync()
    with tempfile.TemporaryFile() as said, tempfile.TemporaryFile() as given:
        given.write((input or "").encode())
        given.seek(0)
        start = time.monotonic()
        process = subprocess.Popen(list(map(str, command)), stdin=given, stdout=subprocess.DEVNULL, stderr=said,
                                   env=environment)
        _, status, usage = os.wait4(process.pid, 0)
        wall = time.monotonic() - start
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            said.seek(0)
            raise subprocess.CalledProcessError(process.returncode, command, stderr=said.read())
    return Took(wall, usage.ru_utime + usage.ru_stime)


@contextlib.contextmanager
def scratch():
    """A folder on the disk that stores are on; the next measurement begins when it is really gone."""
    folder = pathlib.Path(tempfile.mkdtemp(prefix="annex-bench-", dir="/var/tmp"))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        os.sync()


def mke2fs(tree, disk):
    return ["mke2fs", "-q", "-F", "-t", "ext4", "-d", tree, disk, DISK]


class Podman:
    def __init__(self, folder):
        self.command = ["podman", "--root", folder / "storage", "--runroot", folder / "run", "--storage-driver", "overlay"]

    def pull(self, reference):
        return [*self.command, "pull", "-q", "--tls-verify=false", reference]

    @contextlib.contextmanager
    def tree(self, reference):
        mounted = subprocess.run([*self.command, "image", "mount", reference], stdout=subprocess.PIPE, text=True, check=True)
        try:
            yield mounted.stdout.strip()
        finally:
            subprocess.run([*self.command, "image", "umount", reference], stdout=subprocess.DEVNULL, check=True)


def peak_mib(command, environment):
    """The sum of the highest resident sizes that a command and its descendants ever had, each on its own."""
    highest = {}
    process = subprocess.Popen(list(map(str, command)), stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                               stderr=subprocess.DEVNULL, env=environment)
    while process.poll() is None:
        for pid in family(process.pid):
            with contextlib.suppress(OSError):
                for line in pathlib.Path(f"/proc/{pid}/status").read_text().splitlines():
                    if line.startswith("VmHWM:"):
                        highest[pid] = int(line.split()[1]) / 1024
        time.sleep(0.005)
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, command)
    return sum(highest.values())


def family(pid):
    result = [pid]
    with contextlib.suppress(OSError):
        for task in os.listdir(f"/proc/{pid}/task"):
            for child in pathlib.Path(f"/proc/{pid}/task/{task}/children").read_text().split():
                result += family(int(child))
    return result


class Images:
    """The registry that the benchmarks pull from, set up when the first of them asks; what was measured, by name."""

    NAMES = ("pull", "share", "cached", "stages", "link")

    def __init__(self, runs):
        self.runs = runs
        self.place = None
        self.seconds = collections.defaultdict(list)
        self.cpu = collections.defaultdict(list)
        self.memory = collections.defaultdict(list)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.place:
            self.place.close()
            shutil.rmtree(self.plain, ignore_errors=True)

    @staticmethod
    def check():
        """Ends the program now rather than after an hour."""
        absent = [program for program in PROGRAMS if not shutil.which(program)]
        if absent:
            sys.exit(f"bench: {', '.join(absent)}: not installed\n  hint: tools/install-deps --bench")
        if os.getuid() != 0:
            sys.exit("bench: podman's overlay and umoci's ownership need root here\n  hint: sudo bench/run.py")

    def tables(self, name):
        self.prepare()
        return {"pull": self.pull_tables, "share": self.share_tables, "cached": self.cached_tables,
                "stages": self.stage_tables, "link": self.link_tables}[name]()

    def prepare(self):
        if self.place:
            return
        layout = pathlib.Path(image("bench"))
        self.place = registries.Place()
        self.registry = self.place.registry()
        registries.push(self.registry, REPOSITORY, layout)
        self.layers = oci.resolve(layout, "latest")["layers"]
        self.fifth = oci.resolve(layout, "other")["layers"][-1]["size"]
        self.urls = [f"{self.registry.url}/v2/{REPOSITORY}/blobs/{layer['digest']}" for layer in self.layers]
        blobs = [layout / "blobs" / layer["digest"].replace(":", "/") for layer in self.layers]
        self.packed = sorted(blobs, key=lambda path: -path.stat().st_size)
        self.plain = pathlib.Path(tempfile.mkdtemp(prefix="annex-bench-", dir="/var/tmp"))
        for blob in self.packed:
            with open(self.plain / f"{blob.name}.tar", "wb") as output:
                subprocess.run(["igzip", "-dc", blob], stdout=output, check=True)
        sizes = [(self.plain / f"{layer['digest'].split(':')[1]}.tar").stat().st_size for layer in self.layers]
        self.bytes, self.shared = sum(sizes), sum(sizes[:-1])
        took(self.download())

    def reference(self, tag="latest", host=None):
        return f"{host or self.registry.host}/{REPOSITORY}:{tag}"

    def annex_pull(self, *words, **options):
        return [BUILD / "annex", "image", "pull", self.reference(*words, **options)]

    def note(self, name, measured):
        self.seconds[name].append(measured.wall)
        self.cpu[name].append(measured.cpu)

    def median(self, *names):
        return statistics.median(self.sums(*names))

    def sums(self, *names):
        return [sum(parts) for parts in zip(*(self.seconds[name] for name in names))]

    # What is measured, once for all tables

    def turns(self):
        if self.seconds["annex"]:
            return
        for number in range(self.runs):
            print(f"  turn {number + 1} of {self.runs}", flush=True)
            self.measure_stages()
            self.measure_annex()
            self.measure_podman()
            self.measure_umoci()

    def download(self):
        outputs = (word for url in self.urls for word in (url, "-o", "/dev/null"))
        return ["curl", "-sfZ", "--parallel-max", len(self.urls), *outputs]

    def measure_stages(self):
        def each(command, files):
            return took(["xargs", "-P", str(CORES), "-n1", *command], input="\n".join(map(str, files)))
        tars = sorted(self.plain.iterdir(), key=lambda path: -path.stat().st_size)
        before = self.registry_cpu()
        self.note("download", took(self.download()))
        self.cpu["registry"].append(self.registry_cpu() - before)
        self.note("hash packed", each(["openssl", "dgst", "-sha256"], self.packed))
        self.note("inflate", each(["igzip", "-dc"], self.packed))
        self.note("hash plain", each(["openssl", "dgst", "-sha256"], tars))
        self.note("decode", each(["tar", "-tf"], tars))
        with scratch() as folder:
            self.note("write", took(["dd", "if=/dev/zero", f"of={folder}/a", "bs=1M", f"count={self.bytes // MIB}"]))
        with scratch() as folder:
            self.note("write, sync", took(["dd", "if=/dev/zero", f"of={folder}/a", "bs=1M", f"count={self.bytes // MIB}",
                                           "conv=fsync"]))

    def registry_cpu(self):
        fields = pathlib.Path(f"/proc/{self.registry.process.pid}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def measure_annex(self):
        with scratch() as folder:
            environment = Annex(folder).environment
            self.note("annex", took(self.annex_pull(), environment))
            self.note("annex, other", took(self.annex_pull("other"), environment))
        with scratch() as folder:
            self.note("annex, single", took(self.annex_pull("single"), Annex(folder).environment))
        with scratch() as folder:
            self.note("annex, no sync", took(["eatmydata", *self.annex_pull()], Annex(folder).environment))
        with scratch() as folder:
            self.memory["annex"].append(peak_mib(self.annex_pull(), Annex(folder).environment))

    def measure_podman(self):
        with scratch() as folder:
            podman = Podman(folder)
            for suffix, tag in (("", "latest"), (", other", "other")):
                reference = self.reference(tag)
                self.note("podman" + suffix, took(podman.pull(reference)))
                with podman.tree(reference) as tree:
                    self.note("podman, mke2fs" + suffix, took(mke2fs(tree, folder / tag)))
        if not self.memory["podman"]:
            with scratch() as folder:
                self.memory["podman"].append(peak_mib(Podman(folder).pull(self.reference()), None))

    def measure_umoci(self):
        with scratch() as folder:
            self.note("skopeo", took(["skopeo", "copy", "-q", "--src-tls-verify=false", f"docker://{self.reference()}",
                                      f"oci:{folder}/layout:latest"]))
            self.note("umoci", took(["umoci", "unpack", "--image", f"{folder}/layout:latest", folder / "bundle"]))
            self.note("umoci, mke2fs", took(mke2fs(folder / "bundle" / "rootfs", folder / "disk")))
            (folder / "disk").unlink()
            self.note("mke2fs, no sync", took(["eatmydata", *mke2fs(folder / "bundle" / "rootfs", folder / "disk")]))

    # Tables

    def about_image(self):
        sizes = ", ".join(f"{layer['size'] / 1e6:.0f}" for layer in self.layers)
        return (f"A Debian of {self.bytes / 1e6:.0f} MB in five gzip layers ({sizes} MB), from docker-registry on loopback "
                "with its files in the page cache, into an empty store.")

    def pull_tables(self):
        self.turns()
        result = Comparison("From a registry to a bootable disk", "s", self.about_image() + " The disk is an ext4 file system "
                            "in a file; annex has synced it when it is done, and so has mke2fs; what the peers unpack "
                            "before is not synced.")
        ours = self.seconds["annex"]
        result.add("disk", ours, "podman, `mke2fs -d`", self.sums("podman", "podman, mke2fs"))
        result.add("disk", ours, "skopeo, umoci, `mke2fs -d`", self.sums("skopeo", "umoci", "umoci, mke2fs"))
        result.add("disk, against no disk", ours, "`podman pull` alone", self.seconds["podman"])
        result.add("processor time", self.cpu["annex"], "podman, `mke2fs -d`",
                   [a + b for a, b in zip(self.cpu["podman"], self.cpu["podman, mke2fs"])])
        result.add("all in one layer", self.seconds["annex, single"], "five layers", ours)
        return [result, self.limits()]

    def limits(self):
        faster = min(self.median("podman", "podman, mke2fs"), self.median("skopeo", "umoci", "umoci, mke2fs"))
        ours, (stage, floor) = self.median("annex"), self.floor()
        table = Table("What a pull is held to", ["what", "measured", "wanted, at most"])
        table.row("time, of the faster peer's", f"{ours / faster:.2f}", "0.30")
        fastest = min(self.sums("podman", "podman, mke2fs") + self.sums("skopeo", "umoci", "umoci, mke2fs"))
        table.row("time, of the peers' fastest run", f"{ours / fastest:.2f}", "-")
        table.row(f"time, of the slowest stage's alone ({stage})", f"{ours / floor:.2f}", "1.50")
        table.row("time, of what the processors need for all stages", f"{ours / (self.work() / CORES):.2f}", "-")
        table.row("a second image that shares four of five layers, of the first's time",
                  f"{self.median('annex, other') / ours:.2f}", "0.35")
        table.row("peak memory, all processes together, MiB", spread(self.memory["annex"], 0), "100")
        table.row("`podman pull`'s, for comparison, MiB", spread(self.memory["podman"], 0), "-")
        return table

    def share_tables(self):
        self.turns()
        writing = self.median("write, sync") * self.shared / self.bytes
        result = Comparison("A second image that shares four of five layers", "s",
                            f"The fifth layer ({self.fifth / 1e6:.0f} MB) is another; the first image is in the store. What "
                            "the images share goes from disk to disk, which costs nothing where the host's file system "
                            "shares blocks (XFS, btrfs). Elsewhere it is written again; writing and syncing "
                            f"{self.shared / 1e6:.0f} MB alone takes {writing:.2f} s.")
        result.add("disk", self.seconds["annex, other"], "podman, `mke2fs -d`",
                   self.sums("podman, other", "podman, mke2fs, other"))
        result.add("disk, against the first image", self.seconds["annex, other"], "annex, first image", self.seconds["annex"])
        return [result]

    STAGES = {"download": "download (curl, five at once)", "hash packed": "SHA-256 of the layers as they come (openssl)",
              "inflate": "inflate (igzip)", "hash plain": "SHA-256 of the plain layers (openssl)",
              "decode": "the tar headers (GNU tar)", "write": "write as much to a file (dd)",
              "write, sync": "write and sync it (dd)"}

    def floor(self):
        stage = max(self.STAGES, key=self.median)
        return self.STAGES[stage], self.median(stage)

    def work(self):
        """Processor time of all stages, each once."""
        return sum(statistics.median(self.cpu[name]) for name in [*self.STAGES, "registry"] if name != "write")

    def stage_tables(self):
        self.turns()
        work, (stage, floor) = self.work(), self.floor()
        ours, unsynced = self.median("annex"), self.median("annex, no sync")
        bound = (f"All of them need {work:.2f} s of processor time together, the registry's included: {work / CORES:.2f} s on "
                 f"two cores. The slowest alone, {stage}, takes {floor:.2f} s. A pull takes {ours:.2f} s, "
                 f"{max(ours - unsynced, 0):.2f} s of it because it waits for the disk at the end. ")
        bound += "The processors bound it." if work / CORES >= floor else f"What bounds it is this one stage: {stage}."
        table = Table("The stages of a pull, each alone", ["stage", "time, s", "processor time, s"],
                      "With all of its input in memory, one process per layer, two at a time. " + bound)
        for name, text in self.STAGES.items():
            table.row(text, spread(self.seconds[name], 2), spread(self.cpu[name], 2))
        table.row("the registry while it is downloaded from", "-", spread(self.cpu["registry"], 2))
        rows = {"annex": "annex, all of it", "annex, no sync": "annex, without waiting for the disk (eatmydata)",
                "podman": "`podman pull`", "podman, mke2fs": "`mke2fs -d` of podman's tree",
                "skopeo": "`skopeo copy`", "umoci": "`umoci unpack`", "umoci, mke2fs": "`mke2fs -d` of umoci's tree",
                "mke2fs, no sync": "`mke2fs -d` of umoci's tree, without waiting for the disk"}
        for name, text in rows.items():
            table.row(text, spread(self.seconds[name], 2), spread(self.cpu[name], 2))
        return [table]

    def cached_tables(self):
        result = Comparison("An image that is here", "ms", "The same image by its name in the registry. A pull finds that "
                            "its tag has not changed; `create` asks nobody.")
        create, pull, theirs, their_pull = [], [], [], []
        with scratch() as folder:
            annex, podman, reference = Annex(folder), Podman(folder), self.reference()
            annex("kernel", "install")
            annex("image", "pull", reference)
            took(podman.pull(reference))
            for number in range(self.runs * 2):
                command = [BUILD / "annex", "create", "--no-boot", "-n", f"m{number}", reference]
                create.append(took(command, annex.environment).wall * 1000)
                theirs.append(took([*podman.command, "create", "--name", f"m{number}", reference]).wall * 1000)
                pull.append(took(self.annex_pull(), annex.environment).wall * 1000)
                their_pull.append(took(podman.pull(reference)).wall * 1000)
            subprocess.run([*podman.command, "rm", "-fa"], stdout=subprocess.DEVNULL, check=True)
        result.add("`annex create --no-boot`", create, "`podman create`", theirs, 0)
        result.add("`annex image pull`", pull, "`podman pull`", their_pull, 0)
        return [result]

    def link_tables(self):
        """Over a link whose transfer takes longer than all else, a pull should take hardly longer than the transfer."""
        result = Comparison(f"The same over a link of {LINK} Mbit/s", "s",
                            "A forwarder in between lets through no more than that. The transfer alone is curl's, of all "
                            "layers at once.")
        ours, theirs, transfer = [], [], []
        with slowlink.Link(self.registry.port, LINK * 1_000_000 // 8) as link:
            host = f"127.0.0.1:{link.port}"
            for _ in range(min(self.runs, 3)):
                transfer.append(took([str(word).replace(self.registry.host, host) for word in self.download()]).wall)
                with scratch() as folder:
                    command = self.annex_pull(host=host)
                    ours.append(took(command, Annex(folder).environment).wall)
                with scratch() as folder:
                    podman, reference = Podman(folder), self.reference(host=host)
                    pulled = took(podman.pull(reference))
                    with podman.tree(reference) as tree:
                        theirs.append(pulled.wall + took(mke2fs(tree, folder / "disk")).wall)
        result.add("disk", ours, "podman, `mke2fs -d`", theirs)
        result.add("disk", ours, "the transfer alone", transfer)
        return [result]
