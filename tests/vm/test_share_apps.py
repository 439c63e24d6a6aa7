"""Real programs in the home that a machine shares with its host: what they make is right, there and here."""

import os
import pathlib
import stat
import subprocess

import pytest

from annex_test import TIMEOUT
from machines import BOOT
from shares import put

LONG = 5 * TIMEOUT


def entries(folder):
    """Each path below a folder, and its lstat()."""
    for parent, folders, files in os.walk(folder):
        for name in folders + files:
            path = pathlib.Path(parent) / name
            yield path, path.lstat()


def check_owned(folder, account):
    """On the host all of it is the user's, and nothing has set-id bits or is a device."""
    for path, status in entries(folder):
        assert (status.st_uid, status.st_gid) == (account.uid, account.gid), path
        assert not stat.S_ISBLK(status.st_mode) and not stat.S_ISCHR(status.st_mode), path
        assert stat.S_ISDIR(status.st_mode) or not status.st_mode & (stat.S_ISUID | stat.S_ISGID), path


def history(commits, files):
    """A stream for git fast-import; each commit changes a few of the files."""
    for commit in range(1, commits + 1):
        yield f"commit refs/heads/main\nmark :{commit}\ncommitter A <a@example.org> {1700000000 + commit} +0000\n"
        yield f"data <<.\ncommit {commit}\n.\n"
        for file in range(files) if commit == 1 else range(commit % 7, files, 7):
            text = "".join(f"line {line} of {file} as of {commit}\n" for line in range(20 + file % 50))
            yield f"M 100644 inline folder{file % 12}/file{file}\ndata {len(text)}\n{text}\n"


GIT = """\
cd "$1"
export GIT_CONFIG_GLOBAL=$1/config
git config --global user.email a@example.org
git config --global user.name A
git init -q --bare -b main origin.git
git -C origin.git fast-import --quiet <history
git clone -q origin.git work
cd work
test -z "$(git status --porcelain)"
git switch -q -c topic
for i in 1 2 3; do
	echo "change $i" >>folder$i/file$i
	git mv folder$i/file1$i folder$i/moved$i 2>/dev/null || git mv folder$i/file$i folder$i/moved$i
	git commit -qam "topic $i"
done
git switch -q main
echo other >>folder0/file0
git commit -qam other
git merge -q --no-edit topic
git gc -q
git fsck --strict
test -z "$(git status --porcelain)"
git push -q origin main
git rev-parse HEAD
"""


def test_git(apps, place):
    put(apps.host, place / "history", "".join(history(20, 150)))
    head = apps.ok("bash", "-euc", GIT, "git", place, timeout=LONG).strip()
    # The host finds the same, and nothing that git would have to look at again.
    for words in (["status", "--porcelain"], ["fsck", "--strict", "--no-progress"], ["diff-index", "HEAD"]):
        result = apps.host.program(["git", "-C", place / "work", *words])
        assert (result.returncode, result.stdout) == (0, ""), result.stderr
    assert apps.host.program(["git", "-C", place / "origin.git", "rev-parse", "main"]).stdout.strip() == head
    check_owned(place, apps.host.account)


BUILD = """\
cd "$1"
tar xf /usr/src/bzip2.tar.gz --strip-components 1
make -j2 CFLAGS='-Wall -O1 -D_FILE_OFFSET_BITS=64' bzip2 bzip2recover libbz2.a
make test
"""


def test_a_program_is_built_and_passes_its_tests(apps, place):
    apps.ok("bash", "-euc", BUILD, "build", place, timeout=LONG)
    assert (place / "bzip2").stat().st_mode & 0o111 == 0o111
    assert (place / "libbz2.a").read_bytes().startswith(b"!<arch>\n")
    # Nothing is to be built anew.
    assert "up to date" in apps.ok("make", "-C", place, "bzip2")
    check_owned(place, apps.host.account)


# Owners, modes, links, a hole, special files; on the machine's own disk.
TREE = """\
mkdir -p /var/tmp/tree/deep/er
cd /var/tmp/tree
cp -a /etc/apt /etc/default /usr/bin/passwd .
chown -R 1234:4321 apt
chown 7:8 passwd
chmod 4755 passwd
ln passwd deep/hard
ln -s ../passwd deep/er/soft
ln -s /nowhere dangling
truncate -s 10M hole
printf data | dd of=hole bs=1 seek=5M conv=notrunc status=none
mkfifo fifo
mknod null c 1 3
mknod disk b 8 1
mkdir shared
chgrp 100 shared
chmod 2770 shared
mkdir sticky
chmod 1777 sticky
touch -d '2001-02-03 04:05:06.789' deep/er
setfattr -n user.mark -v value apt/sources.list
printf x >"$(printf 'bytes\\377\\001 of any kind')"
chmod 0000 default/useradd
"""


@pytest.fixture(scope="module")
def tree(apps_machine):
    apps_machine.up().sh(TREE)
    yield
    apps_machine.up().sh("rm -r /var/tmp/tree")


TAR_ROOT = """\
cd "$1"
tar -C /var/tmp --numeric-owner --xattrs --sort name -cSf tree.tar tree
tar --numeric-owner --xattrs -xpSf tree.tar
tar --numeric-owner --compare -f tree.tar
tar --numeric-owner --xattrs --sort name -cSf again.tar tree
# The owner of a symbolic link is the one thing that can't be kept.
list() { tar -tvf $1 --numeric-owner --full-time | sed -E 's|^(l\\S+ )\\S+ +|\\1|'; }
list tree.tar >/tmp/one
list again.tar >/tmp/two
diff /tmp/one /tmp/two
stat -c '%u:%g %a' tree/passwd tree/apt
stat -c '%F %t:%T' tree/null tree/disk
getfattr --only-values -n user.mark tree/apt/sources.list
"""


def test_tar_as_root_keeps_owners_in_the_machine_only(apps, place, tree):
    said = apps.ok("bash", "-euc", TAR_ROOT, "tar", place, options=["--root"], timeout=LONG)
    assert said == "7:8 4755\n1234:4321 755\ncharacter special file 1:3\nblock special file 8:1\nvalue"
    check_owned(place, apps.host.account)
    unpacked = place / "tree"
    assert (unpacked / "hole").stat().st_size == 10 << 20 and (unpacked / "hole").stat().st_blocks * 512 < 1 << 20
    assert (unpacked / "passwd").samefile(unpacked / "deep/hard")
    assert stat.S_ISREG((unpacked / "null").lstat().st_mode) and (unpacked / "null").lstat().st_size == 0
    assert (unpacked / "null").lstat().st_mode & 0o777 == (unpacked / "disk").lstat().st_mode & 0o777 == 0o644
    assert os.readlink(unpacked / "dangling") == "/nowhere"


TAR_USER = """\
cd "$1"
umask 022
sudo tar -C /var/tmp -cf all.tar --exclude null --exclude disk --exclude useradd tree
tar -xf all.tar
tar -cf again.tar tree
test -z "$(find tree ! -user "$(id -un)")"
test -z "$(find tree -perm /6000 -type f)"
tar --compare -f again.tar
"""


def test_tar_as_the_user_makes_the_users_files(apps, place, tree):
    apps.ok("bash", "-euc", TAR_USER, "tar", place, timeout=LONG)
    check_owned(place, apps.host.account)


RSYNC = """\
same() {
	rsync -aHAXn --delete --itemize-changes "$@" >/tmp/changes
	# The owner of a symbolic link is the one thing that can't be kept.
	! grep -v '^.L....og... ' /tmp/changes
}
cd "$1"
rsync -aHAX /var/tmp/tree /usr/lib/python3.11/json /usr/lib/python3.11/email ./
same /var/tmp/tree /usr/lib/python3.11/json /usr/lib/python3.11/email ./
rsync -aHAX ./ /var/tmp/back
same ./ /var/tmp/back
same -c /var/tmp/tree/ /var/tmp/back/tree/
echo changed >>tree/default/useradd
rm -r tree/apt
rsync -aHAX --delete ./ /var/tmp/back
same ./ /var/tmp/back
rm -r /var/tmp/back
"""


def test_rsync_finds_no_difference_after_copying_to_and_fro(apps, place, tree):
    apps.ok("bash", "-euc", RSYNC, "rsync", place, options=["--root"], timeout=LONG)
    check_owned(place, apps.host.account)


SQLITE = """\
cd "$1"
sqlite3 db 'PRAGMA journal_mode = WAL; CREATE TABLE t (who, n, text);' >/dev/null
writer() {
	for i in $(seq 1 60); do
		echo "BEGIN IMMEDIATE; INSERT INTO t VALUES ($1, $i, hex(randomblob(400))); INSERT INTO t VALUES ($1, -$i, ''); COMMIT;"
		test $((i % 20)) != 0 || echo 'PRAGMA wal_checkpoint(PASSIVE);'
	done | sqlite3 -cmd '.timeout 60000' -bail db >/dev/null
}
writer 1 & one=$!
writer 2 & two=$!
while kill -0 $one 2>/dev/null; do
	test "$(sqlite3 -cmd '.timeout 60000' db 'SELECT coalesce(sum(n), 0) FROM t')" = 0
done
wait $one
wait $two
sqlite3 db 'PRAGMA integrity_check; SELECT who, count(*), sum(n) FROM t GROUP BY who'
# One that dies in the midst of a transaction leaves nothing of it.
coproc sqlite3 db
echo "BEGIN; UPDATE t SET n = 7; INSERT INTO t SELECT 3, 3, hex(randomblob(20000)) FROM t LIMIT 100; SELECT 'done';" >&${COPROC[1]}
read -r answer <&${COPROC[0]}
kill -9 $COPROC_PID
wait $COPROC_PID || true
sqlite3 db 'PRAGMA integrity_check; SELECT count(*), sum(n) FROM t'
"""


def test_sqlite_with_wal_in_several_processes(apps, place):
    said = apps.ok("bash", "-euc", SQLITE, "sqlite", place, timeout=LONG).split()
    assert said == ["ok", "1|120|0", "2|120|0", "ok", "240|0"]
    check_owned(place, apps.host.account)


# Adds numbers and counts them, until both sides have done so for some time.
COUNTING = """
import os, sqlite3, sys, time
path, who, other = sys.argv[1:]
database = sqlite3.connect(path, timeout=120, isolation_level=None)
done = 0
while done < 25 or not os.path.exists(f"{path}.{other}"):
    database.execute("BEGIN IMMEDIATE")
    database.execute("INSERT INTO entry VALUES (?, ?)", (who, done))
    database.execute("UPDATE total SET n = n + 1")
    database.execute("COMMIT")
    done += 1
    if done == 25:
        open(f"{path}.{who}", "w").close()
    time.sleep(0.05)  # who waits for the lock asks for it now and then
print(done)
"""


def test_sqlite_without_wal_from_both_sides_at_once(apps):
    """With cache=none. In WAL mode the processes share memory, which the two kernels don't: then what one side writes is lost."""
    live = apps.volumes / "live"
    apps.ok("sqlite3", "/srv/live/db", "CREATE TABLE entry (who, n); CREATE TABLE total (n); INSERT INTO total VALUES (0)")
    ours = ["/usr/bin/python3", "-c", COUNTING, live / "db", "host", "machine"]
    host = subprocess.Popen(ours, stdout=subprocess.PIPE, **apps.host.account.switch)
    machine = apps.ok("python3", "-c", COUNTING, "/srv/live/db", "machine", "host", timeout=LONG)
    done = int(host.communicate(timeout=LONG)[0]), int(machine)
    assert host.returncode == 0 and min(done) >= 25
    said = apps.ok("sqlite3", "/srv/live/db", "PRAGMA integrity_check; SELECT who, count(*) FROM entry GROUP BY who; SELECT n FROM total")
    assert said.split() == ["ok", f"host|{done[0]}", f"machine|{done[1]}", str(sum(done))]
    apps.sh("rm /srv/live/db*")


POSTGRES = """\
bin=$(echo /usr/lib/postgresql/*/bin)
data=$1/data
as() { setpriv --reuid postgres --regid postgres --init-groups -- "$@"; }
sql() { as psql -qAtX -h /tmp postgres -c "$1"; }
start() { as $bin/pg_ctl -s -w -D $data -l /tmp/postgres.log -o '-c jit=off -k /tmp -c listen_addresses=' start || { cat /tmp/postgres.log; exit 1; }; }
cd /
install -d -o postgres -g postgres -m 700 $data
as $bin/initdb --no-sync -D $data >/dev/null
test -z "$(find $data ! -user postgres)"
start
as $bin/pgbench -q -h /tmp -i -s 1 postgres 2>/dev/null
# It is killed in the midst of its work, with all its children, and recovers.
as $bin/pgbench -n -h /tmp -c 2 -T 600 postgres >/tmp/bench.log 2>&1 &
bench=$!
until test "$(sql 'SELECT count(*) FROM pgbench_history')" -ge 100; do :; done
before=$(sql 'SELECT count(*) FROM pgbench_history')
kill -9 $(cat $data/postmaster.pid | head -1) $(pgrep -u postgres -f '^postgres:')
wait $bench || true
start
after=$(sql 'SELECT count(*) FROM pgbench_history')
test $after -ge $before
sql 'SELECT (SELECT sum(abalance) FROM pgbench_accounts) = (SELECT sum(delta) FROM pgbench_history),
	(SELECT sum(tbalance) FROM pgbench_tellers) = (SELECT sum(delta) FROM pgbench_history),
	(SELECT sum(bbalance) FROM pgbench_branches) = (SELECT sum(delta) FROM pgbench_history),
	(SELECT count(*) FROM pgbench_accounts)'
sql 'CHECKPOINT'
as $bin/pg_ctl -s -w -D $data stop
as $bin/pg_controldata $data | grep 'cluster state'
"""


@pytest.fixture
def volume(apps):
    """The folder that the machine has at /srv/data; into the home, which is the user's only, others can't look."""
    yield apps.volumes / "data"
    apps.sh("rm -r /srv/data/*")


def test_postgres_with_its_data_on_a_share(apps, volume):
    said = apps.ok("bash", "-euc", POSTGRES, "postgres", "/srv/data", options=["--root"], timeout=LONG).splitlines()
    assert said[0] == "t|t|t|100000"
    assert said[1].split() == ["Database", "cluster", "state:", "shut", "down"]
    # On the host it is the user's, and closed to everybody else as it is in the machine.
    check_owned(volume, apps.host.account)
    assert (volume / "data").stat().st_mode & 0o7777 == 0o700
    assert (volume / "data/PG_VERSION").stat().st_mode & 0o7777 == 0o600
    assert apps.sh("stat -c %U:%a /srv/data/data/base") == "postgres:700\n"


SUDO = """\
cd "$1"
echo root | sudo tee roots >/dev/null
sudo mkdir folder
echo secret | sudo tee folder/secret >/dev/null
sudo chmod 600 folder/secret
sudo chmod 700 folder
stat -c '%U:%a %n' roots folder
! echo more >>roots
! cat folder/secret
# What is the user's own, root may change whatever its mode; and it stays the user's.
echo mine >mine
chmod 400 mine
mkdir closed
chmod 000 closed
echo more | sudo tee -a mine >/dev/null
echo new | sudo tee closed/new >/dev/null
stat -c '%U:%a %n' mine closed
cat mine
sudo chown "$(id -un):$(id -gn)" roots
echo more >>roots
mv roots taken
sudo rm -r folder
ls
"""


def test_sudo_in_the_home(apps, place):
    def status(name):
        found = (place / name).stat()
        return found.st_uid, found.st_gid, found.st_mode & 0o7777

    ours = apps.host.account.uid, apps.host.account.gid
    user = apps.ok("id", "-un").strip()
    assert apps.ok("bash", "-uec", SUDO, "sudo", place).splitlines() == [
        "root:644 roots", "root:700 folder", f"{user}:400 mine", f"{user}:0 closed", "mine", "more", "closed", "mine", "taken"]
    assert status("taken") == (*ours, 0o644) and status("mine") == (*ours, 0o400) and status("closed") == (*ours, 0)
    assert (place / "taken").read_text() == "root\nmore\n"
    # A file of the machine's root belongs to the user here, who can always read, write and remove it; others can't more.
    apps.sh(f"cd {place}; umask 022; echo data >public; umask 077; echo data >private; umask 777; echo data >none; mkdir -m 0 shut")
    assert [status(name) for name in ("public", "private", "none", "shut")] == [
        (*ours, 0o644), (*ours, 0o600), (*ours, 0o600), (*ours, 0o700)]
    for name in ("public", "private", "none"):
        result = apps.host.program(["sh", "-c", f"cat {place}/{name} && echo more >>{place}/{name}"])
        assert (result.returncode, result.stdout) == (0, "data\n"), result.stderr
    assert apps.sh(f"cd {place}; cat public private none; stat -c '%U:%a' public private none shut") == \
        "data\nmore\n" * 3 + "root:644\nroot:600\nroot:0\nroot:0\n"
    assert apps.host.program(["rm", "-rf", *(place / name for name in ("private", "none", "shut"))]).returncode == 0


def test_everything_is_still_well_after_a_stop(apps, place):
    """What programs wrote before the machine stopped is on the host, and owners are kept."""
    apps.sh(f"cd {place}; cp -a /etc/apt .; chown -R 1234:4321 apt; head -c 3000000 /dev/urandom >random; sha256sum random >sum")
    apps.stop()
    assert apps.host.program(["sha256sum", "-c", "sum"], cwd=place).returncode == 0
    apps.host.ok("start", apps.name, timeout=BOOT)
    assert apps.sh(f"cd {place}; sha256sum --quiet -c sum; stat -c %u:%g apt") == "1234:4321\n"
