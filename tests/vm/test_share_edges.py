"""What is hard for a file system between two kernels: what the host changes under the machine's feet, limits, what could
lead out, and ends."""

import os
import pathlib
import shutil
import signal
import stat

import pytest

import annex_test
import machines
import shares
from machines import wait_until
from shares import CANARY, Guest, fingerprint, folder, put

# --- what the host changes ---

def test_a_change_of_the_host_is_seen_soon(apps, place, user):
    put(apps.host, place / "file", "old")
    assert user("read(place + '/file')", place=place) == b"old"
    assert user("os.path.exists(place + '/none')") is False
    put(apps.host, place / "file", "new and longer")
    put(apps.host, place / "none", "here")
    folder(apps.host, place / "folder")
    user("until(lambda: read(place + '/file') == b'new and longer' and os.stat(place + '/file').st_size == 14, seconds=20)")
    user("until(lambda: os.path.exists(place + '/none') and 'none' in os.listdir(place), seconds=20)")
    os.chmod(place / "file", 0o600)
    (place / "none").unlink()
    (place / "folder").rmdir()
    user("until(lambda: os.stat(place + '/file').st_mode & 0o777 == 0o600, seconds=20)")
    user("until(lambda: os.listdir(place) == ['file'] and not os.path.exists(place + '/folder'), seconds=20)")


def test_without_a_cache_a_change_of_the_host_is_seen_at_once(apps, user):
    live = apps.volumes / "live"
    for number in range(15):
        content = f"version {number} " * (number % 3 + 1)
        put(apps.host, live / "file", content)
        assert user("(read('/srv/live/file'), os.stat('/srv/live/file').st_size)") == (content.encode(), len(content))
        put(apps.host, live / f"new{number}", "x")
        assert user(f"os.stat('/srv/live/new{number}').st_size, read('/srv/live/new{number}')") == (1, b"x")
        os.rename(live / f"new{number}", live / "moved")
        assert user(f"os.path.lexists('/srv/live/new{number}'), os.path.lexists('/srv/live/moved')") == (False, True)
        os.chmod(live / "moved", 0o640)
        assert user("os.stat('/srv/live/moved').st_mode & 0o777") == 0o640
        (live / "moved").unlink()
        assert user("os.path.lexists('/srv/live/moved'), 'moved' in os.listdir('/srv/live')") == (False, False)
        # And the other way round.
        user(f"write('/srv/live/file', b'{number}')")
        assert (live / "file").read_text() == str(number)
    # An open file, too: what was appended is there at the next look.
    user("fd = os.open('/srv/live/file', os.O_RDONLY)")
    with open(live / "file", "a") as file:
        file.write(" appended")
        file.flush()
        assert user("os.fstat(fd).st_size, os.pread(fd, 100, 0)") == (11, b"14 appended")
    user("os.close(fd)")


def test_a_shared_file_is_a_file_on_both_sides(apps, user, root):
    single = apps.volumes / "single/file"
    assert user("read('/srv/file')") == b"first"
    user("write('/srv/file', b'second')")
    assert single.read_text() == "second"
    with open(single, "w") as file:
        file.write("third of the host's")
    user("until(lambda: read('/srv/file') == b\"third of the host's\", seconds=20)")
    assert root("fails('EBUSY EXDEV', os.unlink, '/srv/file'), os.listdir('/srv').count('file')")[1] == 1
    # Replaced on the host, it is one that is gone, or the one that it was; never another.
    put(apps.host, single.with_name("other"), "other")
    os.rename(single.with_name("other"), single)
    user("""
        for path in ("/srv/file",):
            try:
                assert read(path) == b"third of the host's", read(path)
            except OSError as error:
                assert error.errno in (errno.ESTALE, errno.ENOENT), error
    """)


READER = """
seen, failed = {}, {}
def reads(path, held):
    data = read(path)
    # One version, and all of it.
    assert data and data == data[:8] * int(data[:8]), (len(data), data[:80])
    seen[data[:8]] = seen.get(data[:8], 0) + 1
    assert os.pread(held, 8, 0) == b"00000100"
def reader(path, held):
    while not os.path.exists(path + ".end"):
        try:
            reads(path, held)
        except OSError as error:
            failed[errno.errorcode[error.errno]] = failed.get(errno.errorcode[error.errno], 0) + 1
    assert os.fstat(held).st_size == 800
"""


def test_a_file_that_the_host_replaces_is_one_or_the_other(apps, place, user):
    put(apps.host, place / "file", "00000100" * 100)
    user(READER, place=place)
    user("held = os.open(place + '/file', os.O_RDONLY)")
    user.start("reader(place + '/file', held)")
    for number in range(101, 400):
        put(apps.host, place / "new", f"{number:08}" * number)
        os.rename(place / "new", place / "file")
    put(apps.host, place / "file.end", "")
    user.finish()
    user("os.close(held)")
    # One that is replaced again and again just when it is opened is stale in the end, as on any network's file system.
    assert user("len(seen)") >= 1 and set(user("failed")) <= {"ESTALE"}
    user("until(lambda: read(place + '/file')[:8] == b'00000399', seconds=20)")


def test_a_folder_that_the_host_replaces_is_one_or_the_other(apps, place, user):
    for name, content in (("folder", "old"), ("other", "new")):
        folder(apps.host, place / name)
        put(apps.host, place / name / "file", content)
    user("""
        folder = os.open(place + "/folder", os.O_RDONLY)
        file = os.open(place + "/folder/file", os.O_RDWR)
        os.chdir(place + "/folder")
        assert read("file") == b"old"
    """, place=place)
    shutil.rmtree(place / "folder")
    os.rename(place / "other", place / "folder")
    user("""
        def old(function, *arguments, **more):
            try:
                return function(*arguments, **more) in (b"old", [], 3)
            except OSError as error:
                return error.errno in (errno.ENOENT, errno.ESTALE)
        until(lambda: read(place + "/folder/file") == b"new", seconds=20)
        # What was open is of the folder that is gone: never the new one's.
        assert os.pread(file, 10, 0) == b"old" and os.fstat(file).st_nlink == 0
        os.pwrite(file, b"mine", 0)
        assert old(read, "file") and old(os.listdir, folder)
        fails("ENOENT ESTALE", os.stat, "file", dir_fd=folder)
        fails("ENOENT ESTALE", os.open, "more", os.O_CREAT | os.O_RDWR)
        fails("ENOENT ESTALE", os.mkdir, "more", dir_fd=folder)
        fails("ENOENT ESTALE", os.unlink, "file")
        os.chdir("/")
        os.close(folder)
        os.close(file)
        assert read(place + "/folder/file") == b"new"
    """)
    assert os.listdir(place / "folder") == ["file"] and (place / "folder/file").read_text() == "new"
    # Something of another type.
    shutil.rmtree(place / "folder")
    put(apps.host, place / "folder", "a file")
    user("until(lambda: os.path.isfile(place + '/folder') and read(place + '/folder') == b'a file', seconds=20)")
    (place / "folder").unlink()
    (place / "folder").symlink_to("nowhere")
    user("until(lambda: os.path.islink(place + '/folder') and os.readlink(place + '/folder') == 'nowhere', seconds=20)")


def test_a_number_that_the_host_uses_again_is_another_file(apps, place, user):
    """ext4 gives the number of a file that was removed to the next one."""
    user("held = []", place=place)
    for number in range(30):
        put(apps.host, place / "file", f"{number:08}")
        user("""
            until(lambda: os.path.exists(place + "/file") and read(place + "/file") == b"%08d" % number, seconds=20)
            held.append(os.open(place + "/file", os.O_RDONLY))
        """ if number % 5 == 0 else "os.path.exists(place + '/file')", number=number)
        (place / "file").unlink()
    assert user("[os.pread(fd, 100, 0) for fd in held]") == [f"{number:08}".encode() for number in range(0, 30, 5)]
    user("for fd in held: os.close(fd)")


def test_a_shared_folder_that_the_host_deletes_is_gone_and_no_more(apps, user, root):
    doomed = apps.volumes / "doomed"
    user("""
        os.chdir("/srv/doomed")
        file = os.open("file", os.O_RDWR)
        folder = os.open(".", os.O_RDONLY)
        assert os.read(file, 10) == b"first"
    """)
    shutil.rmtree(doomed)
    user("""
        until(lambda: not os.path.exists("/srv/doomed/file"), seconds=20)
        for function, arguments in ((os.listdir, ()), (os.listdir, ("/srv/doomed",))):
            try:
                assert function(*arguments) == []
            except OSError as error:
                assert error.errno in (errno.ENOENT, errno.ESTALE), error
        for path in ("new", "/srv/doomed/new"):
            for function, arguments in ((os.mkdir, ()), (os.open, (os.O_CREAT | os.O_RDWR,)), (os.stat, ())):
                fails("ENOENT ESTALE", function, path, *arguments)
        # The open file lives on.
        assert os.pwrite(file, b"second", 0) == 6 and os.pread(file, 10, 0) == b"second"
        os.fsync(file)
        os.statvfs(folder)
        os.close(file)
        os.close(folder)
        os.chdir("/")
        os.sync()
    """)
    root("subprocess.run(['df'], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, timeout=60)")
    # All else is as it was.
    user("write(base + '/still', b'x'); os.unlink(base + '/still')", base=apps.ground)
    # A new folder at its place is another one, which this start does not share.
    folder(apps.host, doomed)
    put(apps.host, doomed / "file", "another")
    user("""
        try:
            assert os.listdir("/srv/doomed") == []
        except OSError as error:
            assert error.errno in (errno.ENOENT, errno.ESTALE), error
        fails("ENOENT ESTALE", read, "/srv/doomed/file")
    """)


# --- limits ---

def test_a_full_disk_of_the_host_is_no_space_in_the_machine(apps, user):
    if not apps.small_is_small:
        pytest.skip("only root can mount a small file system")
    user("""
        os.chdir("/srv/small")
        write("first", b"1" * 100000)
        block, written = os.urandom(1 << 20), 0
        fd = os.open("big", os.O_CREAT | os.O_RDWR)
        try:
            while written < size * 2:
                written += os.write(fd, block)
            raise AssertionError(f"all of {written} bytes have been written")
        except OSError as error:
            assert error.errno == errno.ENOSPC, error
        assert written > size // 2
        fails("ENOSPC", os.posix_fallocate, fd, written, size)
        # What was written is right, and what is there can be changed and read.
        assert all(os.pread(fd, 1 << 20, at) == block[:min(1 << 20, written - at)] for at in range(0, written, 1 << 20))
        assert os.pwrite(fd, b"changed", 0) == 7
        os.fsync(fd)
        assert read("first") == b"1" * 100000
        fails("ENOSPC", write, "second", b"2" * (1 << 20))
        # By a mapping of what has no room yet: the error comes when it is written, at the latest.
        hole = os.open("hole", os.O_CREAT | os.O_RDWR)
        os.ftruncate(hole, 1 << 20)
        mapped = mmap.mmap(hole, 1 << 20)
        mapped[:] = b"m" * (1 << 20)
        fails("ENOSPC EIO", mapped.flush)
        mapped.close()
        with contextlib.suppress(OSError):
            os.close(hole)
        # It goes on when there is room again.
        os.ftruncate(fd, 1 << 20)
        os.unlink("hole")
        write("second", b"2" * (2 << 20))
        assert os.pwrite(fd, block, 1 << 20) == 1 << 20
        os.fsync(fd)
        os.close(fd)
        assert read("second") == b"2" * (2 << 20)
    """, size=shares.SMALL)
    small = apps.volumes / "small"
    assert (small / "second").read_bytes() == b"2" * (2 << 20) and (small / "first").read_bytes() == b"1" * 100000
    block = user("block")
    assert (small / "big").read_bytes() == b"changed" + block[7:] + block
    user("for name in os.listdir(): os.unlink(name)\nos.chdir('/')")


def test_names_and_paths_as_long_as_they_may_be(apps, place, user):
    long, odd = b"n" * 255, b"\377\001\n of any kind \200" + b"\303" * 230
    user("""
        os.chdir(place)
        for name in (long, odd, "\u00e4\u4e2d".encode()):
            write(name, name)
            assert read(name) == name and name in os.listdir(os.fsencode(place))
            other = b"o" + name[1:]
            os.rename(name, other)
            os.link(other, name)
            os.unlink(other)
        for function, arguments in ((os.open, (os.O_CREAT | os.O_RDWR,)), (os.mkdir, ()), (os.stat, ())):
            fails("ENAMETOOLONG", function, long + b"n", *arguments)
        # A path of 4,095 bytes, the longest that there is; and deeper by folders that are open.
        at = len(os.fsencode(place))
        names = []
        while at + 1 + 200 < 4095 - 2:
            names.append(b"d" * 200)
            at += 201
        names.append(b"f" * (4095 - at - 1))
        deep = os.fsencode(place) + b"/" + b"/".join(names)
        assert len(deep) == 4095
        os.makedirs(os.path.dirname(deep))
        write(deep, b"deep")
        assert read(deep) == b"deep" and os.stat(deep).st_size == 4
        fails("ENAMETOOLONG", os.stat, deep + b"x")
        os.symlink(deep, b"link")
        assert os.readlink(b"link") == deep and read(b"link") == b"deep"
        os.chdir(os.path.dirname(deep))
        for level in range(50):
            os.mkdir(b"x" * 200)
            os.chdir(b"x" * 200)
        write(b"deepest", b"deepest")
        assert read(b"deepest") == b"deepest"
        os.chdir("/")
    """, place=place, long=long, odd=odd)
    top = os.fsencode(place)
    assert {long, odd, "\u00e4\u4e2d".encode()} <= set(os.listdir(top))
    for name in (long, odd):
        assert pathlib.Path(os.fsdecode(top + b"/" + name)).read_bytes() == name
    # And what the host makes.
    odder = b"\376" + b"\\ '\"" + b"\t" * 250
    put(apps.host, pathlib.Path(os.fsdecode(top + b"/" + odder)), "of the host")
    user("until(lambda: odder in os.listdir(os.fsencode(place)) and read(os.fsencode(place) + b'/' + odder) == b'of the host')",
         odder=odder)


# --- what could lead out ---

def test_links_lead_where_they_lead_in_the_machine(apps, place, user):
    outside = apps.host.folder / "outside"
    for name, target in (("absolute", outside / "canary"), ("folder", outside), ("relative", "../" * 20 + str(outside)[1:] + "/canary"),
                         ("etc", "/etc/debian_version"), ("root", "/")):
        (place / name).symlink_to(target)
    assert (place / "absolute").read_text() == CANARY
    user("""
        for name in ("absolute", "folder/canary", "relative"):
            for function in (read, os.stat, os.listdir):
                fails("ENOENT", function, f"{place}/{name}")
            fails("ENOENT", os.open, f"{place}/{name}", os.O_CREAT | os.O_RDWR)
        assert read(place + "/etc") == read("/etc/debian_version")
        assert sorted(os.listdir(place + "/root")) == sorted(os.listdir("/"))
        # Beyond the top of a share lies the machine's own folder.
        assert os.stat(base + "/..").st_ino == os.stat(os.path.dirname(base)).st_ino
        for path in (place + "/" + "../" * 30 + "etc/debian_version", "/srv/live/../../etc/debian_version"):
            assert read(path) == read("/etc/debian_version")
    """, place=place, base=apps.ground)
    assert os.listdir(outside) == ["canary"]


RACE = """
def race(place, outside, seconds):
    inner, link = place + "/inner", place + "/link"
    os.mkdir(inner)
    write(inner + "/canary", b"inside")
    os.symlink(outside, link)
    end, children = time.monotonic() + seconds, []
    def each(work):
        children.append(os.fork())
        if children[-1] == 0:
            count = tries = 0
            try:
                while time.monotonic() < end or count < 3 and time.monotonic() < end + 60:
                    tries += 1
                    with contextlib.suppress(OSError):
                        count += work(tries) is not None
                os._exit(0 if count else 2)
            except BaseException as error:
                print(error, file=sys.stderr)
                os._exit(1)
    def check(path):
        data = read(path)
        assert data in (b"inside", b""), data
        return data
    def make(count):
        os.close(os.open(f"{inner}/made{count}", os.O_CREAT | os.O_EXCL | os.O_WRONLY))
        os.unlink(f"{inner}/made{count}")
        return True
    def deeper(count):
        os.mkdir(f"{inner}/dir{count}")
        os.rmdir(f"{inner}/dir{count}")
        return True
    each(lambda count: rename2(inner, link, EXCHANGE) or True)
    each(lambda count: check(inner + "/canary"))
    each(make)
    each(deeper)
    each(lambda count: os.chmod(inner + "/canary", 0o600 + count % 2) or True)
    return [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]
"""


def test_a_link_that_takes_a_folders_place_leads_nowhere(apps, place, somebody):
    outside = apps.host.folder / "outside"
    before = fingerprint(outside)
    target = folder(apps.host, place / "of")
    somebody(RACE)
    assert somebody("race(place, outside, 3)", place=target, outside=outside) == [0] * 5
    # The same while the host itself changes them about.
    target = folder(apps.host, place / "with")
    folder(apps.host, target / "a")
    put(apps.host, target / "a/canary", "inside")
    (target / "b").symlink_to(outside)
    somebody.start("""
        end, results = time.monotonic() + 3, set()
        while time.monotonic() < end:
            with contextlib.suppress(OSError):
                results.add(read(place + "/a/canary"))
            with contextlib.suppress(OSError):
                os.close(os.open(f"{place}/a/made", os.O_CREAT | os.O_WRONLY))
            with contextlib.suppress(OSError):
                os.unlink(f"{place}/a/made")
    """, place=target)
    for _ in range(3000):
        os.rename(target / "a", target / "c")
        os.rename(target / "b", target / "a")
        os.rename(target / "a", target / "b")
        os.rename(target / "c", target / "a")
    somebody.finish()
    assert CANARY.encode() not in somebody("results")
    assert fingerprint(outside) == before


def test_devices_and_set_id_programs_of_the_machine_are_harmless(apps, root):
    root("""
        os.mkdir("/srv/data/special")
        os.chdir("/srv/data/special")
        os.mknod("null", stat.S_IFCHR | 0o666, os.makedev(1, 3))
        os.mknod("disk", stat.S_IFBLK | 0o660, os.makedev(254, 0))
        assert os.stat("null").st_rdev == os.makedev(1, 3) and os.stat("disk").st_rdev == os.makedev(254, 0)
        shutil.copy("/usr/bin/id", "id")
        for mode in (0o4755, 0o2755, 0o6755):
            os.chmod("id", mode)
            assert os.stat("id").st_mode & 0o7777 == mode
        os.mkdir("folder")
        os.chmod("folder", 0o3777)
        # Nor do they work in the machine, where the host may have made them: shares are mounted so.
        fails("EACCES", os.open, "null", os.O_RDWR)
        said = subprocess.run(["setpriv", "--reuid=7", "--regid=7", "--clear-groups", "./id"], stdout=subprocess.PIPE, text=True)
        os.chdir("/")
    """)
    assert root("said.stdout").startswith("uid=7") and "euid=0" not in root("said.stdout")
    try:
        for name, mode in (("null", 0o644), ("disk", 0o600), ("id", 0o755)):
            status = (apps.volumes / "data/special" / name).lstat()
            assert stat.S_ISREG(status.st_mode) and status.st_mode & 0o7777 == mode, (name, oct(status.st_mode))
            assert status.st_uid == apps.host.account.uid, name
        assert (apps.volumes / "data/special/null").stat().st_size == 0
    finally:
        root("shutil.rmtree('/srv/data/special')")


# --- what ends ---


def test_a_machine_stops_in_order_after_all_this(apps):
    """And starts only when all that it shares is there."""
    server, = apps.children("annex-share")
    apps.stop()
    assert apps.inspect()["failure"] is None and not machines.is_alive(server)
    doomed = apps.volumes / "doomed"
    shutil.rmtree(doomed)
    result = apps.host.annex("start", apps.name, timeout=machines.BOOT)
    assert result.returncode == 3 and str(doomed) in result.stderr and "hint: " in result.stderr, result.stderr
    folder(apps.host, doomed)
    put(apps.host, doomed / "file", "again")
    apps.up()
    assert apps.ok("cat", "/srv/doomed/file") == "again"


@pytest.mark.parametrize("name", ["annex-share", "annex-supervisor"])
def test_a_server_or_supervisor_that_is_killed_takes_all_with_it(apps, place, name):
    servers = apps.children("annex-share")
    client = apps.popen("sh", "-c", f"cd {place}; echo ready; while echo line; do :; done >>file")
    assert client.stdout.readline() == b"ready\n"
    wait_until(lambda: (place / "file").exists() and (place / "file").stat().st_size > 1000, "it writes")
    pid, = apps.children(name)
    os.kill(pid, signal.SIGKILL)
    client.communicate(timeout=machines.BOOT)
    assert client.returncode == 125
    wait_until(lambda: not any(map(machines.is_alive, servers)), "no server runs")
    wait_until(lambda: not apps.children("annex-supervisor"), "no supervisor runs")
    assert apps.state == ("failed" if name == "annex-share" else "stopped")
    if name == "annex-share":
        assert "annex-share" in apps.inspect()["failure"]
    apps.up()
    assert apps.ok("tail", "-n", "1", place / "file") == "line\n"


# The last one: what it starts has few descriptors.
def test_more_files_are_open_than_the_server_may_have_descriptors(apps):
    crowd = """
        resource.setrlimit(resource.RLIMIT_NOFILE, (20000, 20000))
        os.makedirs(base + "/crowd", exist_ok=True)
        os.chdir(base + "/crowd")
        names = [f"file{number}" for number in range(500)]
        for name in names:
            write(name, name.encode())
        fds = [os.open(names[number % 500], os.O_RDWR) for number in range(6000)]
        os.unlink(names[0])
        os.rename(names[1], "renamed")
    """
    apps.stop()
    started = apps.host.program(["sh", "-c", "ulimit -n 4096; exec \"$@\"", "sh", annex_test.ANNEX, "start", apps.name],
                                timeout=machines.BOOT)
    assert started.returncode == 0, started.stderr
    with Guest(apps, root=True) as root, Guest(apps) as user:
        root(crowd, base=apps.ground)
        server, = apps.children("annex-share")
        assert "4096" in pathlib.Path(f"/proc/{server}/limits").read_text().split("Max open files")[1].split("\n")[0]
        # All of them work, and so does everybody else.
        root("""
            for number, fd in list(enumerate(fds))[::3]:
                assert os.pread(fd, 100, 0).rstrip(b"!") == names[number % 500].encode()
            for fd in fds[-500::5]:
                assert os.pwrite(fd, b"!", len(os.pread(fd, 100, 0))) == 1
        """)
        user("""
            os.makedirs(base + "/others/of/mine")
            assert len(os.listdir(base + "/crowd")) == 499
            write(base + "/others/of/mine/file", b"fine")
            shutil.rmtree(base + "/others")
        """, base=apps.ground)
        assert len(os.listdir(f"/proc/{server}/fd")) < 4096
        assert (apps.ground / "crowd/file5").read_text() == "file5!"
        root("""
            for fd in fds:
                os.close(fd)
            os.chdir("/")
            shutil.rmtree(base + "/crowd")
        """)
