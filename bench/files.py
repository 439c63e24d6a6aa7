"""Benchmarks of shared files: annex-share against QEMU's own virtiofsd and against the machine's own disk, in one machine.

The machine is one of annex's with a shared folder; what starts QEMU for it adds a second virtio-fs device, which virtiofsd
serves. So kernel, processors and memory are the same, and so is the file system of the host that both serve.
"""

import os
import pathlib
import shutil
import statistics
import subprocess
import sys
import tarfile
import tempfile
import time

from measure import ROOT, Annex, Table, image, spread

VIRTIOFSD = ("/usr/lib/qemu/virtiofsd", "/usr/libexec/virtiofsd", "/usr/lib/virtiofsd")
NAME = "files"
INSIDE = "/opt/bench"
ROUNDS = 4  # at most: each takes two minutes where the processors are emulated
PROCESSORS = 2
REPOSITORY_FILES = 12000  # virtiofsd needs a descriptor for each, and may have 20,000 on some hosts
IDLE_SECONDS = 5
ROWS = {
    "write": "dd, 512 MiB written in 1 MiB blocks",
    "read": "dd, 512 MiB read in 1 MiB blocks",
    "randread": "fio, 6,144 random 4 KiB reads",
    "randwrite": "fio, 6,144 random 4 KiB writes",
    "create": "5,000 files created",
    "stat": "5,000 files looked at",
    "list": "a folder of 5,000 files listed, 10 times",
    "unlink": "5,000 files removed",
    "find": "find over 50,000 files",
    "status": f"git status of {REPOSITORY_FILES:,} files",
    "untar": "untar of annex's source",
    "compile": "6 files of it compiled",
}
NOTE = ("In one machine of 1 GiB and 2 processors, as root: a folder that annex shares, one that QEMU's own virtiofsd shares "
        "(as root, default options), both on the same file system of the host, and a folder on the machine's own ext4 disk. "
        "Caches of the machine are dropped before all rows but those that write and compile. What the host's page cache has "
        "of a file counts as written. Medians of {} rounds; in each, every row is run on all three in turn, on one of the "
        "processors, on the other in the next: whether that is the one which takes the device's interrupts makes a difference "
        "of a quarter.")


def source(target):
    """What git would make an archive of, without git."""
    with tarfile.open(target, "w") as archive:
        for name in ("bench", "completions", "docs", "examples", "include", "src", "tests", "tools"):
            archive.add(ROOT / name, name, filter=lambda info: None if "__pycache__" in info.name else info)


def repository(folder, target):
    """Small files in 400 folders, committed."""
    git = ["git", "-C", folder, "-c", "user.name=bench", "-c", "user.email=bench@localhost", "-c", "gc.auto=0"]
    folder.mkdir()
    subprocess.run([*git, "init", "-q"], check=True)
    for number in range(REPOSITORY_FILES):
        place = folder / f"part-{number % 20}" / f"module-{number % 400}"
        place.mkdir(parents=True, exist_ok=True)
        (place / f"file-{number}.txt").write_text(f"{number}\n" * (5 + number % 100))
    subprocess.run([*git, "add", "-A"], check=True)
    subprocess.run([*git, "commit", "-q", "-m", "all"], check=True)
    subprocess.run([*git, "repack", "-q", "-a", "-d"], check=True)
    with tarfile.open(target, "w") as archive:
        archive.add(folder, folder.name)


def program_with_libraries(target):
    """fio as it is here, for a machine of another distribution."""
    target.mkdir()
    fio = pathlib.Path(shutil.which("fio"))
    shutil.copy(fio, target / "fio")
    for line in subprocess.run(["ldd", fio], stdout=subprocess.PIPE, text=True, check=True).stdout.splitlines():
        words = [word for word in line.split() if word.startswith("/")]
        if words:
            name = "ld.so" if "=>" not in line else pathlib.Path(words[0]).name
            shutil.copy(words[0], target / name)


def processes(of):
    """Children first: virtiofsd serves from one."""
    found = subprocess.run(["pgrep", "-P", str(of)], stdout=subprocess.PIPE, text=True, check=False).stdout.split()
    return [int(pid) for pid in found] + [of]


def memory_mib(pids):
    kib = 0
    for pid in pids:
        for line in pathlib.Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith(("RssAnon:", "RssFile:")):
                kib += int(line.split()[1])
    return kib / 1024


def processor_ticks(pids):
    fields = [pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split() for pid in pids]
    return sum(int(words[11]) + int(words[12]) for words in fields)


class Files:
    NAMES = ("files",)

    def __init__(self, runs):
        self.count = min(runs, ROUNDS)
        self.folder = None
        self.peer = None
        self.annex = None

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.annex:
            self.annex("stop", "--all", check=False)
        if self.peer:
            self.peer.terminate()
            self.peer.wait()
        if self.folder:
            shutil.rmtree(self.folder, ignore_errors=True)

    @staticmethod
    def check():
        absent = [name for name in ("fio", "git") if not shutil.which(name)]
        if not any(os.path.exists(path) for path in VIRTIOFSD):
            absent.append("virtiofsd")
        if absent:
            sys.exit(f"bench: {', '.join(absent)}: not installed\n  hint: tools/install-deps --bench")
        if os.getuid() != 0:
            sys.exit("bench: virtiofsd needs root here\n  hint: sudo bench/run.py")

    def inside(self, *words, **options):
        return self.annex("run", "-n", NAME, "--root", "--workdir", "/", "--", *words, **options)

    def start(self):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="annex-bench-", dir="/var/tmp"))
        for name in ("ours", "theirs", "tools"):
            (self.folder / name).mkdir()
        socket = self.folder / "peer.sock"
        self.peer = subprocess.Popen(
            [next(path for path in VIRTIOFSD if os.path.exists(path)), f"--socket-path={socket}", "-f",
             "-o", f"source={self.folder / 'theirs'}"], stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        wrapper = self.folder / "qemu"
        wrapper.write_text("#!/bin/bash\nmore=()\nfor word; do\n"
                           f"\t[[ $word != guest={NAME} ]] || more=(-chardev socket,id=peer,path={socket} \\\n"
                           "\t\t-device vhost-user-fs-pci,chardev=peer,tag=peer,queue-size=1024,num-request-queues=1)\n"
                           'done\nexec qemu-system-x86_64 "$@" "${more[@]}"\n')
        wrapper.chmod(0o755)
        self.annex = Annex(self.folder)
        self.annex("kernel", "install")
        self.annex.environment["ANNEX_QEMU"] = str(wrapper)
        self.annex("create", "-n", NAME, "--memory", "1G", "--cpus", str(PROCESSORS), "--home-mount", "none",
                   "-v", f"{self.folder / 'ours'}:/srv/ours", "oci:" + image("apps"))

    def prepare(self):
        print("preparing a machine", flush=True)
        self.start()
        tools = self.folder / "tools"
        source(tools / "source.tar")
        repository(self.folder / "ours" / "repository", tools / "repository.tar")
        program_with_libraries(tools / "fio")
        for name in ("rows.sh", "many.c"):
            shutil.copy(ROOT / "bench" / name, tools / name)
        subprocess.run(["cc", "-O2", "-o", self.folder / "many", tools / "many.c"], check=True)
        subprocess.run(["tar", "-xf", tools / "repository.tar", "-C", self.folder / "theirs"], check=True)
        for place in (self.folder / "ours", self.folder / "theirs"):
            (place / "find").mkdir()
            subprocess.run([self.folder / "many", "tree", place / "find", "50000"], check=True)
            # The index notes how the files look here.
            subprocess.run(["git", "-C", place / "repository", "status"], stdout=subprocess.DEVNULL, check=True)
        pack = subprocess.Popen(["tar", "-c", "-C", tools, "."], stdout=subprocess.PIPE)
        self.inside("sh", "-ec", f"mkdir -p {INSIDE} /srv/local /srv/theirs; mount -t virtiofs peer /srv/theirs; "
                    f"tar -x -C {INSIDE}; gcc -O2 -o {INSIDE}/many {INSIDE}/many.c", stdin=pack.stdout)
        pack.wait()
        for place in ("ours", "theirs", "local"):
            self.inside(f"{INSIDE}/rows.sh", "prepare", f"/srv/{place}")

    def rounds(self):
        times = {(row, place): [] for row in ROWS for place in ("ours", "theirs", "local")}
        places = ["ours", "theirs", "local"]
        for number in range(self.count):
            for row in ROWS:
                for place in places:
                    said = self.inside(f"{INSIDE}/rows.sh", "measure", f"/srv/{place}", row, str(number % PROCESSORS)).stdout
                    times[row, place].append(int(said) / 1e6)
                print(f"  {row}: " + ", ".join(f"{place} {times[row, place][-1]:.2f} s" for place in sorted(places)), flush=True)
            places.append(places.pop(0))  # nobody is always the first
        return times

    def server(self):
        supervisor = self.annex.inspect(NAME)["supervisorPid"]
        return [pid for pid in processes(supervisor) if pathlib.Path(f"/proc/{pid}/comm").read_text() == "annex-share\n"]

    def tables(self, _name):
        self.prepare()
        times = self.rounds()
        about = f"accelerator {self.annex.inspect(NAME)['accelerator']}"
        table = Table("Shared files", ["what", "annex, s", "virtiofsd, s", "ext4 in the machine, s", "virtiofsd / annex",
                                       "ext4 / annex"], NOTE.format(self.count), about)
        ratios = []
        for row, what in ROWS.items():
            ours, theirs, local = (times[row, place] for place in ("ours", "theirs", "local"))
            ratios.append(statistics.median(theirs) / statistics.median(ours))
            table.row(what, spread(ours, 2), spread(theirs, 2), spread(local, 2), f"{ratios[-1]:.2f}",
                      f"{statistics.median(local) / statistics.median(ours):.2f}")
        return [table, self.held_to(ratios, about)]

    def held_to(self, ratios, about):
        table = Table("What sharing files is held to", ["what", "measured", "wanted"], "", about)
        ours, theirs = self.server(), processes(self.peer.pid)
        table.row("virtiofsd's time over annex's, lowest row", f"{min(ratios):.2f}", "1.00 or more")
        table.row("virtiofsd's time over annex's, median row", f"{statistics.median(ratios):.2f}", "1.30 or more")
        table.row("memory of annex-share after all rows, MiB", f"{memory_mib(ours):.1f}", "less than 30")
        table.row("virtiofsd's, for comparison, MiB", f"{memory_mib(theirs):.1f}", "-")
        time.sleep(1)
        before = processor_ticks(ours)
        time.sleep(IDLE_SECONDS)
        used = (processor_ticks(ours) - before) / os.sysconf("SC_CLK_TCK")
        table.row(f"processor time of annex-share in {IDLE_SECONDS} idle seconds, s", f"{used:.2f}", "0")
        return table
