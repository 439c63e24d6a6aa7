"""What a machine must neither see nor change of what it shares, whatever its root tries."""

import os
import shutil

from shares import CANARY, fingerprint, folder, put

TAG = "annex"  # of the device, see WIRE_SHARE_TAG


# --- masks ---

def hidden(ground):
    """Every path of what is masked, by any of its names."""
    return [str(ground / name) for name in ("vault/inner", "vault/inner/key", "vault/inner/deep", "vault/inner/deep/key",
                                            "vault/file", "linked", "linked/key", "later", "alias", "target", "target/key",
                                            "vault/open/../inner/key", "vault/./inner", "vault//file", "gone/hidden")]


LOOKS = """
def looks(path, beside=None):
    beside = beside or base
    for function, arguments in (
            (os.stat, ()), (os.lstat, ()), (os.listdir, ()), (os.open, (os.O_RDONLY,)), (os.open, (os.O_PATH,)),
            (os.open, (os.O_RDWR,)), (os.open, (os.O_RDONLY | os.O_DIRECTORY,)), (os.readlink, ()), (os.chdir, ()),
            (os.chmod, (0o777,)), (os.chown, (-1, -1)), (os.truncate, (0,)), (os.utime, ()), (os.unlink, ()), (os.rmdir, ()),
            (os.getxattr, ("user.x",)), (os.setxattr, ("user.x", b"")), (os.statvfs, ()), (os.rename, (beside + "/taken",)),
            (os.link, (beside + "/taken",)), (rename2, (beside + "/taken", NOREPLACE)), (rename2, (beside + "/visible", EXCHANGE))):
        fails("ENOENT", function, path, *arguments)
    assert not os.path.lexists(beside + "/taken") and read(beside + "/visible") == b"visible"
"""


def test_a_masked_path_does_not_exist(apps, somebody):
    somebody(LOOKS, base=apps.ground)
    somebody("for path in paths: looks(path)", paths=hidden(apps.ground))
    assert set(somebody("os.listdir(base)")) == {"vault", "visible"}
    assert set(somebody("os.listdir(base + '/vault')")) == {"open", "visible"}
    # By folders that are open, by /proc, by links in the home and in the machine, and by upper-case letters.
    somebody("""
        fd = os.open(base + "/vault/open", os.O_RDONLY)
        for name in ("../inner", "../inner/key", "../file", "../../alias", "../../target/key"):
            fails("ENOENT", os.stat, name, dir_fd=fd)
            fails("ENOENT", os.open, name, os.O_RDONLY, dir_fd=fd)
            looks(f"/proc/self/fd/{fd}/{name}")
        os.chdir(base + "/vault/open")
        looks("/proc/self/cwd/../inner")
        looks("../inner/key")
        os.chdir("/")
        os.close(fd)
        for place in (base + "/vault/open", "/tmp"):
            for target in (base + "/vault/inner", base + "/vault/inner/key", base + "/alias"):
                os.symlink(target, place + "/way")
                for function in (os.stat, read, os.listdir):
                    fails("ENOENT", function, place + "/way")
                os.unlink(place + "/way")
        for name in ("vault/INNER", "vault/Inner/key", "vault/FILE", "LINKED", "Later"):
            looks(f"{base}/{name}")
    """)


def test_nothing_can_be_made_in_the_place_of_what_is_masked(apps, somebody):
    before = fingerprint(apps.ground / "vault")
    somebody("""
        os.mkdir(base + "/other")
        write(base + "/plain", b"plain")
        for name in ("vault/inner", "vault/file", "vault/INNER", "linked", "later", "LATER"):
            path = f"{base}/{name}"
            for function, arguments in (
                    (os.mkdir, ()), (os.open, (os.O_CREAT | os.O_RDWR,)), (os.open, (os.O_CREAT | os.O_EXCL | os.O_WRONLY,)),
                    (os.mknod, (stat.S_IFREG | 0o644,)), (os.mkfifo, ())):
                fails("EACCES", function, path, *arguments)
            for function, source, arguments in (
                    (os.symlink, "/etc", ()), (os.link, base + "/plain", ()), (os.rename, base + "/plain", ()),
                    (os.rename, base + "/other", ()), (rename2, base + "/plain", (NOREPLACE,))):
                fails("EACCES", function, source, path, *arguments)
            # In it there is nothing either.
            for function, arguments in ((os.mkdir, ()), (os.open, (os.O_CREAT | os.O_RDWR,)), (os.symlink, ())):
                both = ("/etc", path + "/new") if function is os.symlink else (path + "/new", *arguments)
                fails("ENOENT", function, *both)
            fails("ENOENT", os.rename, base + "/plain", path + "/new")
        # What lies on the way to it stays where it is.
        for function, arguments in ((os.rename, (base + "/vault", base + "/moved")), (os.rename, (base + "/other", base + "/vault")),
                                    (rename2, (base + "/vault", base + "/other", EXCHANGE)),
                                    (rename2, (base + "/other", base + "/vault", EXCHANGE))):
            fails("EBUSY", function, *arguments)
        fails("ENOTEMPTY", os.rmdir, base + "/vault")
        os.rmdir(base + "/other")
        os.unlink(base + "/plain")
    """, base=apps.ground)
    assert fingerprint(apps.ground / "vault") == before
    assert not os.path.lexists(apps.ground / "later")


def test_a_folder_on_the_way_to_a_mask_can_be_made(apps, user):
    """And hides from then on what the mask says, whoever makes that."""
    user("""
        os.mkdir(base + "/other")
        fails("EBUSY", os.rename, base + "/other", base + "/way")
        os.rmdir(base + "/other")
        os.mkdir(base + "/way")
        fails("EACCES", os.mkdir, base + "/way/hidden")
        write(base + "/way/seen", b"")
    """, base=apps.ground)
    folder(apps.host, apps.ground / "way/hidden")
    put(apps.host, apps.ground / "way/hidden/key", CANARY)
    user("""
        until(lambda: os.listdir(base + "/way") == ["seen"])
        fails("ENOENT", os.stat, base + "/way/hidden")
        fails("ENOENT", read, base + "/way/hidden/key")
        fails("ENOTEMPTY EBUSY", shutil.rmtree, base + "/way")
    """)
    assert (apps.ground / "way/hidden/key").read_text() == CANARY
    shutil.rmtree(apps.ground / "way")


def test_root_finds_nothing_by_another_mount(apps, root):
    root(LOOKS, base=apps.ground)
    root("""
        os.makedirs("/mnt/again", exist_ok=True)
        subprocess.run(["mount", "--bind", base, "/mnt/again"], check=True)
        try:
            for name in ("vault/inner", "vault/file", "alias", "later"):
                looks("/mnt/again/" + name, "/mnt/again")
            fails("EACCES", os.mkdir, "/mnt/again/later")
        finally:
            subprocess.run(["umount", "/mnt/again"], check=True)
        # The folder on the way itself, by a mount of its own.
        subprocess.run(["mount", "--bind", base + "/vault", "/mnt/again"], check=True)
        try:
            assert set(os.listdir("/mnt/again")) == {"open", "visible"}
            looks("/mnt/again/inner", "/mnt/again")
            fails("EACCES", os.mkdir, "/mnt/again/INNER")
        finally:
            subprocess.run(["umount", "/mnt/again"], check=True)
    """)


def test_root_finds_nothing_by_file_handles(apps, root):
    root("""
        class Handle(ctypes.Structure):
            _fields_ = [("size", ctypes.c_uint), ("type", ctypes.c_int), ("bytes", ctypes.c_ubyte * 128)]
        handle, mount = Handle(size=128), ctypes.c_int()
        folder = os.open(base, os.O_RDONLY)
        call("name_to_handle_at", folder, "vault/open/file", ctypes.byref(handle), ctypes.byref(mount), 0)
        # FUSE's: the number of the node in two halves, and a generation; of the parent behind it for some.
        high, low, generation = struct.unpack("=III", bytes(handle.bytes[:12]))
        assert handle.size in (12, 24)
        found = {}
        for number in [*range(1, 6000), *range(max(1, low - 3000), low + 3000)]:
            if handle.size == 24:
                handle.bytes[12:24] = (ctypes.c_ubyte * 12)(*struct.pack("=III", 0, 1, 0))
            handle.bytes[:12] = (ctypes.c_ubyte * 12)(*struct.pack("=III", 0, number, generation))
            try:
                fd = call("open_by_handle_at", folder, ctypes.byref(handle), os.O_RDONLY | os.O_NONBLOCK)
            except OSError:
                continue
            # What a folder lists, the kernel knows from then on, so this goes on to what is in it.
            found[number] = os.listdir(fd) if stat.S_ISDIR(os.fstat(fd).st_mode) else os.pread(fd, 100, 0)
            os.close(fd)
        os.close(folder)
    """, base=apps.ground)
    found = root("found").values()
    assert b"visible" in found, "no handle was found at all"
    assert CANARY.encode() not in found


def test_what_the_host_renames_stays_masked(apps, somebody):
    ground = apps.ground
    somebody(LOOKS, base=ground)
    for old, new, more in (("vault/inner", "away", "key"), ("vault/file", "shown", ""), ("vault", "moved", "inner/key")):
        os.rename(ground / old, ground / new)
        try:
            names = [ground / new / more, ground / new / "inner", ground / new / "file"] if old == "vault" else [
                ground / new, ground / new / more]
            somebody("for path in paths: looks(path)", paths=[str(path) for path in names])
        finally:
            os.rename(ground / new, ground / old)
        somebody("for path in paths: looks(path)", paths=hidden(ground))
    somebody("until(lambda: set(os.listdir(base + '/vault')) == {'open', 'visible'})")


def test_a_mask_hides_what_the_host_makes_later(apps, somebody):
    ground = apps.ground
    somebody(LOOKS, base=ground)
    folder(apps.host, ground / "later")
    try:
        put(apps.host, ground / "later/key", CANARY)
        somebody("looks(base + '/later'); looks(base + '/later/key'); looks(base + '/LATER/key')")
        # Moved away, it is known after the next look at the masks, which a second brings.
        somebody("until(lambda: time.sleep(1.1) or not os.path.exists(base + '/vault/inner'))")
        os.rename(ground / "later", ground / "moved")
        try:
            somebody("until(lambda: not os.path.lexists(base + '/moved'), seconds=10)")
            somebody("looks(base + '/moved/key')")
        finally:
            os.rename(ground / "moved", ground / "later")
    finally:
        shutil.rmtree(ground / "later")


# --- what may not be changed ---

CHANGES = """
def changes(top):
    for function, arguments in (
            (os.open, ("new", os.O_CREAT | os.O_WRONLY)), (os.open, ("file", os.O_WRONLY)), (os.open, ("file", os.O_RDWR)),
            (os.open, ("file", os.O_RDONLY | os.O_TRUNC)), (os.open, ("file", os.O_CREAT | os.O_APPEND | os.O_RDWR)),
            (os.open, (".", os.O_TMPFILE | os.O_RDWR)), (os.mkdir, ("new",)), (os.rmdir, ("folder",)), (os.unlink, ("file",)),
            (os.unlink, ("link",)), (os.rename, ("file", "new")), (os.rename, ("file", "link")), (os.rename, ("folder", "new")),
            (rename2, ("file", "folder", EXCHANGE)), (rename2, ("file", "new", NOREPLACE)), (os.link, ("file", "new")),
            (os.symlink, ("file", "new")), (os.mknod, ("new", stat.S_IFREG | 0o644)), (os.mknod, ("new", stat.S_IFCHR, 259)),
            (os.mkfifo, ("new",)), (os.chmod, ("file", 0o777)), (os.chmod, ("folder", 0o777)), (os.chown, ("file", 7, 7)),
            (os.lchown, ("link", 7, 7)), (os.chown, (".", 7, 7)), (os.truncate, ("file", 0)), (os.truncate, ("file", 1 << 20)),
            (os.utime, ("file",)), (os.utime, ("folder", (1, 1))), (os.setxattr, ("file", "user.x", b"x")),
            (os.setxattr, ("file", "user.annex.owner", b"0:0:104755:0")), (os.removexattr, ("file", "user.kept"))):
        os.chdir(top)
        fails("EROFS EOPNOTSUPP" if "user.annex.owner" in arguments else "EROFS", function, *arguments)
    # By what is open for reading.
    fd = os.open("file", os.O_RDONLY)
    for function, arguments in ((os.fchmod, (0o777,)), (os.fchown, (7, 7)), (os.utime, ()), (os.setxattr, ("user.x", b"x"))):
        fails("EROFS", function, fd, *arguments)
    for function, arguments in ((os.write, (b"x",)), (os.ftruncate, (0,)), (os.posix_fallocate, (0, 1 << 20))):
        fails("EBADF EINVAL", function, fd, *arguments)
    fails("EROFS EPERM ENOTTY", fcntl.ioctl, fd, 0x40086602, struct.pack("L", 0x80))  # FS_IOC_SETFLAGS: no time of access
    fails("EACCES", mmap.mmap, fd, 0, mmap.MAP_SHARED, mmap.PROT_READ | mmap.PROT_WRITE)
    fcntl.flock(fd, fcntl.LOCK_SH)
    assert os.pread(fd, 100, 0) == b"first"
    os.close(fd)
    assert sorted(os.listdir(top)) == ["file", "folder", "link"]
    os.chdir("/")
"""


def test_a_read_only_share_is_so_for_everybody_and_in_the_server(apps, root, user):
    os.setxattr(apps.volumes / "fixed/file", "user.kept", b"kept")
    before = fingerprint(apps.volumes / "fixed")
    for somebody in (root, user):
        somebody(CHANGES)
        somebody("changes('/srv/fixed')")
    # The machine's root can take the mount's own flag away, and mount all of it anew.
    root("""
        subprocess.run(["mount", "-o", "remount,bind,rw", "/srv/fixed"], check=True)
        try:
            changes("/srv/fixed")
        finally:
            subprocess.run(["mount", "-o", "remount,bind,ro", "/srv/fixed"], check=True)
    """)
    assert fingerprint(apps.volumes / "fixed") == before


def test_another_mount_of_the_device_shows_no_more(apps, root):
    root(LOOKS + CHANGES, base=apps.ground)
    before = fingerprint(apps.volumes / "fixed"), fingerprint(apps.ground / "vault")
    root("""
        os.makedirs("/mnt/device", exist_ok=True)
        done = subprocess.run(["mount", "-t", "virtiofs", tag, "/mnt/device"], stderr=subprocess.PIPE, text=True)
    """, tag=TAG)
    assert root("done.returncode") == 0, root("done.stderr")
    try:
        fixed = root("[path for path in map('/mnt/device/{}'.format, os.listdir('/mnt/device')) if os.path.isdir(path + '/folder')]")
        assert len(fixed) == 1
        root("changes(path)", path=fixed[0])
        home = root("[path for path, _, _ in os.walk('/mnt/device') if path.endswith('/' + name)]", name=apps.ground.name) or \
            root("['/mnt/device/home']")
        assert len(home) == 1
        root("""
            for name in ("vault/inner", "vault/file", "alias", "later"):
                looks(f"{home}/{name}", home)
            # The root of all shares is nobody's to change.
            for function, arguments in ((os.mkdir, ("new",)), (os.open, ("new", os.O_CREAT | os.O_RDWR)), (os.rmdir, ("home",)),
                                        (os.rename, ("home", "new")), (os.symlink, ("/", "new")), (os.chmod, (".", 0o777))):
                os.chdir("/mnt/device")
                fails("EROFS EXDEV EPERM EINVAL", function, *arguments)
            os.chdir("/")
        """, home=home[0])
    finally:
        root("subprocess.run(['umount', '/mnt/device'], check=True)")
    assert (fingerprint(apps.volumes / "fixed"), fingerprint(apps.ground / "vault")) == before
