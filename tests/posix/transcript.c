/*
 * A long list of calls on a few names, by whoever runs this and, if that is root, by others; what each gave, and now
 * and then all that is there. The same seed makes the same calls, so that two file systems can be compared line by
 * line. What may differ between right ones is left out: numbers, times, sizes of folders; owners of links, which give
 * and forbid nothing.
 */
#include "posix.h"

#include <grp.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>

#include "random.h"

#define SLOTS      4
#define TREE_EVERY 20

static const char *const paths[] = {"a", "b", "c", "d", "d/a", "d/b", "e", "e/a", "e/f", "e/f/a", "l", "l/a", "d/l"};
static const uid_t ids[] = {0, OTHER, OTHER2};
static const mode_t modes[] = {0777, 0755, 0700,  0644,  0666,  0600,  0640, 0500,
			       0400, 0,    01775, 02775, 04755, 06711, 0070, 0007};

struct player {
	struct random random;
	int slots[SLOTS];
	unsigned step;
	uid_t id; /* who does it */
};

static unsigned below(struct player *player, unsigned limit)
{
	return random_below(&player->random, limit);
}

#define PICK(player, array) ((array)[below(player, COUNT_OF(array))])

static void said(const struct player *player, long result, const char *format, ...) PRINTF(3, 4);

static void said(const struct player *player, long result, const char *format, ...)
{
	int error = errno;
	va_list values;

	printf("%u ", player->step);
	va_start(values, format);
	vprintf(format, values);
	va_end(values);
	if (player->id)
		printf(" as %u", player->id);
	if (result < 0)
		printf(": %s\n", error_name(error));
	else
		printf(": %ld\n", result);
}

/* --- on names --- */

static void play_open(struct player *player)
{
	static const int flags[] = {O_RDONLY,
				    O_RDWR,
				    O_WRONLY,
				    O_RDWR | O_CREAT,
				    O_WRONLY | O_CREAT | O_EXCL,
				    O_RDWR | O_CREAT | O_TRUNC,
				    O_WRONLY | O_APPEND | O_CREAT,
				    O_RDONLY | O_DIRECTORY,
				    O_RDWR | O_NOFOLLOW,
				    O_RDONLY | O_TRUNC,
				    O_PATH,
				    O_RDWR | O_CREAT | O_NOFOLLOW};
	const char *path = PICK(player, paths);
	int flag = PICK(player, flags), slot = (int)below(player, SLOTS);
	mode_t mode = PICK(player, modes);
	struct stat st;
	int fd;

	if (stat(path, &st) == 0 && S_ISCHR(st.st_mode))
		return; /* devices may be closed */
	fd = open(path, flag | O_NONBLOCK, mode & 06777);

	said(player, fd < 0 ? -1 : slot, "open %s %x %o", path, (unsigned)flag, mode);
	if (fd < 0)
		return;
	if (player->slots[slot] >= 0)
		close(player->slots[slot]);
	player->slots[slot] = fd;
}

static void play_make(struct player *player)
{
	const char *path = PICK(player, paths);
	mode_t mode = PICK(player, modes);

	switch (below(player, 5)) {
	case 0:
		said(player, mkfifo(path, mode & 0777), "mkfifo %s %o", path, mode & 0777);
		break;
	case 1:
		said(player, mknod(path, S_IFCHR | (mode & 0777), makedev(1, 3)), "mknod %s %o", path, mode & 0777);
		break;
	default:
		said(player, mkdir(path, mode & 01777), "mkdir %s %o", path, mode & 01777);
		break;
	}
}

static void play_remove(struct player *player)
{
	const char *path = PICK(player, paths);

	if (below(player, 2))
		said(player, unlink(path), "unlink %s", path);
	else
		said(player, rmdir(path), "rmdir %s", path);
}

static void play_rename(struct player *player)
{
	const char *from = PICK(player, paths), *to = PICK(player, paths);
	unsigned flags = below(player, 3) ? 0 : 1 + below(player, 2);

	said(player, rename_with(from, to, flags), "rename %s %s %u", from, to, flags);
}

static void play_link(struct player *player)
{
	static const char *const targets[] = {"a", "d", "../a", "e/f", "nothing", "l", "../e/", "./a"};
	const char *from = PICK(player, paths), *to = PICK(player, paths), *target = PICK(player, targets);

	if (below(player, 2))
		said(player, link(from, to), "link %s %s", from, to);
	else
		said(player, symlink(target, to), "symlink %s %s", target, to);
}

static void play_mode(struct player *player)
{
	const char *path = PICK(player, paths);
	mode_t mode = PICK(player, modes);
	uid_t uid = PICK(player, ids), gid = PICK(player, ids);

	if (below(player, 3)) {
		said(player, chmod(path, mode), "chmod %s %o", path, mode);
		return;
	}
	if (!is_root() && player->id == 0)
		uid = gid = geteuid(); /* its number is another one elsewhere */
	switch (below(player, 3)) {
	case 0:
		gid = (gid_t)-1;
		break;
	case 1:
		uid = (uid_t)-1;
		break;
	default:
		break;
	}
	said(player, chown(path, uid, gid), "chown %s", path);
}

static void play_size(struct player *player)
{
	const char *path = PICK(player, paths);
	off_t size = below(player, 20000);

	said(player, truncate(path, size), "truncate %s %ld", path, (long)size);
}

static void play_look(struct player *player)
{
	static const int ways[] = {F_OK, R_OK, W_OK, X_OK, R_OK | W_OK};
	const char *path = PICK(player, paths);
	char target[64] = "";
	int way = PICK(player, ways);
	struct stat st;

	switch (below(player, 3)) {
	case 0:
		said(player, faccessat(AT_FDCWD, path, way, AT_EACCESS), "access %s %d", path, way);
		break;
	case 1:
		said(player, stat(path, &st) < 0 ? -1 : (long)st.st_mode, "stat %s", path);
		break;
	default:
		said(player, readlink(path, target, sizeof(target)), "readlink %s", path);
		break;
	}
}

static void play_attribute(struct player *player)
{
	static const char *const names[] = {"user.a", "user.long-name", "unknown.a", "none"};
	const char *path = PICK(player, paths), *name = names[below(player, 8) ? below(player, 2) : below(player, 4)];
	char value[300];
	size_t size = below(player, sizeof(value));

	memset(value, 'a' + (int)below(player, 26), sizeof(value));
	switch (below(player, 4)) {
	case 0:
		said(player, getxattr(path, name, value, below(player, 2) ? sizeof(value) : 0), "getxattr %s %s", path,
		     name);
		break;
	case 1:
		said(player, removexattr(path, name), "removexattr %s %s", path, name);
		break;
	default:
		said(player, setxattr(path, name, value, size, (int)below(player, 3)), "setxattr %s %s %zu", path, name,
		     size);
		break;
	}
}

static void play_times(struct player *player)
{
	const char *path = PICK(player, paths);
	struct timespec times[2] = {{(time_t)below(player, 100000), 5}, {(time_t)below(player, 100000), 6}};
	bool now = below(player, 2);

	said(player, utimensat(AT_FDCWD, path, now ? NULL : times, 0), "utimes %s %d", path, now);
}

/* --- on what is open --- */

static uint64_t digest(const char *data, size_t size)
{
	uint64_t hash = 14695981039346656037u;

	for (size_t i = 0; i < size; i++)
		hash = (hash ^ (unsigned char)data[i]) * 1099511628211u;
	return hash;
}

static void play_data(struct player *player)
{
	static char data[8000];
	unsigned slot = below(player, SLOTS);
	int fd = player->slots[slot], other = player->slots[below(player, SLOTS)];
	off_t at = below(player, 20000), to = below(player, 20000);
	size_t size = below(player, sizeof(data));
	struct stat st;
	ssize_t n;

	memset(data, 'a' + (int)below(player, 26), size);
	switch (below(player, 8)) {
	case 0:
		n = pread(fd, data, size, at);
		said(player, n, "read %u %zu at %ld", slot, size, (long)at);
		if (n > 0)
			printf("  %llx\n", (unsigned long long)digest(data, (size_t)n));
		break;
	case 1:
		said(player, ftruncate(fd, at), "ftruncate %u %ld", slot, (long)at);
		break;
	case 2:
		said(player, fallocate(fd, 0, at, (off_t)size + 1), "fallocate %u", slot);
		break;
	case 3:
		said(player, copy_file_range(fd, &at, other, &to, size, 0), "copy %u %zu", slot, size);
		break;
	case 4:
		if (fstat(fd, &st) == 0 && S_ISREG(st.st_mode))
			said(player, lseek(fd, 0, SEEK_END), "seek %u", slot);
		break;
	default:
		said(player, pwrite(fd, data, size, at), "write %u %zu at %ld", slot, size, (long)at);
		break;
	}
}

static void play_descriptor(struct player *player)
{
	unsigned slot = below(player, SLOTS);
	int fd = player->slots[slot];
	mode_t mode = PICK(player, modes);
	struct stat st = {0};

	switch (below(player, 3)) {
	case 0:
		said(player, close(fd), "close %u", slot);
		player->slots[slot] = -1;
		break;
	case 1:
		said(player, fchmod(fd, mode), "fchmod %u %o", slot, mode);
		break;
	default:
		said(player, fstat(fd, &st), "fstat %u", slot);
		if (S_ISREG(st.st_mode))
			printf("  %o %lu %ld\n", st.st_mode, (unsigned long)st.st_nlink, (long)st.st_size);
		break;
	}
}

/* --- all that is there --- */

static int by_name(const void *a, const void *b)
{
	return strcmp(a, b);
}

static void tell_contents(const char *path)
{
	static char data[65536];
	int fd = open(path, O_RDONLY | O_NONBLOCK | O_NOFOLLOW);
	ssize_t n = fd < 0 ? -1 : read(fd, data, sizeof(data));

	if (n < 0)
		printf(" %s", error_name(errno));
	else
		printf(" %llx", (unsigned long long)digest(data, (size_t)n));
	if (fd >= 0)
		close(fd);
}

static void tell_one(const char *path)
{
	struct stat st;
	char text[512] = "";

	if (lstat(path, &st) < 0) {
		printf("  %s %s\n", path, error_name(errno));
		return;
	}
	printf("  %s %o", path, st.st_mode);
	if (!S_ISLNK(st.st_mode) && is_root())
		printf(" %u:%u", st.st_uid, st.st_gid);
	if (!S_ISDIR(st.st_mode))
		printf(" x%lu", (unsigned long)st.st_nlink);
	if (S_ISCHR(st.st_mode))
		printf(" %u:%u", major(st.st_rdev), minor(st.st_rdev));
	if (S_ISLNK(st.st_mode) && readlink(path, text, sizeof(text) - 1) >= 0)
		printf(" -> %s", text);
	if (S_ISREG(st.st_mode)) {
		printf(" %ld", (long)st.st_size);
		tell_contents(path);
		printf(" %ld", (long)getxattr(path, "user.a", text, sizeof(text)));
	}
	printf("\n");
}

static void tell_tree(const char *folder, int depth)
{
	char names[32][32], path[256];
	DIR *entries = opendir(folder);
	struct dirent *entry;
	size_t count = 0;

	if (!entries) {
		printf("  %s %s\n", folder, error_name(errno));
		return;
	}
	while ((entry = readdir(entries)) && count < COUNT_OF(names)) {
		if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
			snprintf(names[count++], sizeof(names[0]), "%.31s", entry->d_name);
	}
	closedir(entries);
	qsort(names, count, sizeof(names[0]), by_name);
	for (size_t i = 0; i < count; i++) {
		struct stat st;

		snprintf(path, sizeof(path), "%.200s/%.31s", folder, names[i]);
		tell_one(path);
		if (depth < 6 && lstat(path, &st) == 0 && S_ISDIR(st.st_mode))
			tell_tree(path, depth + 1);
	}
}

static void play_step(struct player *player)
{
	static void (*const plays[])(struct player * player) = {
		play_open,   play_open, play_open, play_make, play_make,       play_remove,     play_rename,
		play_rename, play_link, play_mode, play_mode, play_size,       play_look,       play_attribute,
		play_times,  play_data, play_data, play_data, play_descriptor, play_descriptor,
	};
	void (*play)(struct player * player) = PICK(player, plays);

	player->id = is_root() && below(player, 3) == 0 ? OTHER + 101 * below(player, 2) : 0;
	if (player->id && (setegid(player->id) < 0 || seteuid(player->id) < 0))
		abort();
	play(player);
	if (player->id && (seteuid(0) < 0 || setegid(0) < 0))
		abort();
}

int transcript_main(int argc, char **argv)
{
	struct player player = {.slots = {-1, -1, -1, -1}};
	unsigned steps = argc > 3 ? (unsigned)atoi(argv[3]) : 0;

	/* Links lead out of a folder at most once. */
	if (argc < 4 || chdir(argv[1]) < 0 || mkdir("inside", 0777) < 0 || chdir("inside") < 0 ||
	    (is_root() && setgroups(0, NULL) < 0)) {
		fprintf(stderr, "posix-suite: transcript FOLDER SEED STEPS\n");
		return 2;
	}
	player.random = random_from((uint64_t)atoi(argv[2]));
	umask(022);
	for (player.step = 0; player.step < steps; player.step++) {
		play_step(&player);
		if (player.step % TREE_EVERY == TREE_EVERY - 1)
			tell_tree(".", 0);
	}
	tell_tree(".", 0);
	return 0;
}
