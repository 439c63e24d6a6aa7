/*
 * /etc/passwd is written last: whoever finds the user's line there finds all the rest done. A home folder or permission
 * that was removed later is not made again by that, but a missing home is: a login without one is of little use.
 */
#include "guest/account.h"

#include "base/file.h"
#include "base/log.h"
#include "base/time.h"
#include "guest/passwd.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

enum { NS_PER_DAY_S = 86400, SKEL_DEPTH_MAX = 16 };

/* The text of a file; empty when there is none (*ret_there, which may be NULL). */
static int get(char **ret, bool *ret_there, const char *path, struct annex_error **err)
{
	int result = file_read(ret, NULL, AT_FDCWD, path, PASSWD_FILE_MAX);

	if (ret_there)
		*ret_there = result == 0;
	if (result == -ENOENT) {
		*ret = strdup("");
		result = *ret ? 0 : -ENOMEM;
	}
	return result < 0 ? fail_os(err, result, "cannot read %s", path) : 0;
}

static int add_line(const char *path, const char *text, char *line, mode_t mode, struct annex_error **err)
{
	auto_text struct text made = {0};
	int result;

	if (!line)
		return fail_memory(err);
	text_add(&made, text);
	passwd_append(&made, line);
	if (!text_ok(&made))
		return fail_memory(err);
	result = file_replace(AT_FDCWD, path, made.data, made.size, mode);
	return result < 0 ? fail_os(err, result, "cannot write %s", path) : 0;
}

static char *PRINTF_LIKE(1, 2) format(const char *format, ...)
{
	va_list args;
	char *made;
	int length;

	va_start(args, format);
	length = vasprintf(&made, format, args);
	va_end(args);
	return length < 0 ? NULL : made;
}

/* The wanted name, or one that nobody has. */
static char *free_name(const char *text, const char *wanted, uint32_t id)
{
	auto_free char *other = format("%s-host", wanted);

	if (!other)
		return NULL;
	if (*wanted && passwd_is_field(wanted) && !passwd_has_name(text, wanted))
		return strdup(wanted);
	if (*wanted && passwd_is_field(other) && !passwd_has_name(text, other))
		return TAKE(other);
	return format("annex-%u", id);
}

static int ensure_group(const struct account *account, struct annex_error **err)
{
	auto_free char *text = NULL, *shadow = NULL, *name = NULL, *line = NULL, *shadow_line = NULL;
	bool there = false;

	if (get(&text, NULL, "/etc/group", err) < 0 || get(&shadow, &there, "/etc/gshadow", err) < 0)
		return -1;
	if (passwd_group_has_gid(text, account->gid))
		return 0;
	name = free_name(text, account->group, account->gid);
	if (!name)
		return fail_memory(err);
	line = format("%s:x:%u:", name, account->gid);
	shadow_line = format("%s:!::", name);
	if (there && !passwd_has_name(shadow, name) && add_line("/etc/gshadow", shadow, shadow_line, 0640, err) < 0)
		return -1;
	return add_line("/etc/group", text, line, 0644, err);
}

static const char *choose_shell(const struct account *account)
{
	if (account->shell[0] == '/' && passwd_is_field(account->shell) && access(account->shell, X_OK) == 0)
		return account->shell;
	return access("/bin/bash", X_OK) == 0 ? "/bin/bash" : "/bin/sh";
}

static void copy_tree(int to, int from, const struct account *account, unsigned depth);

static void copy_link(int to, int from, const char *name, const struct account *account)
{
	char target[4096];
	ssize_t length = readlinkat(from, name, target, sizeof(target) - 1);

	target[length > 0 ? length : 0] = '\0';
	if (symlinkat(target, to, name) == 0)
		fchownat(to, name, account->uid, account->gid, AT_SYMLINK_NOFOLLOW);
}

static void copy_file(int to, int from, const char *name, mode_t mode, const struct account *account)
{
	auto_close int in = openat(from, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	auto_close int out = openat(to, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, mode);

	if (in >= 0 && out >= 0 && file_copy(out, in) == 0)
		fchown(out, account->uid, account->gid);
}

static void copy_folder(int to, int from, const char *name, mode_t mode, const struct account *account, unsigned depth)
{
	auto_close int in = -1, out = -1;

	if (depth >= SKEL_DEPTH_MAX || mkdirat(to, name, 0700) < 0)
		return;
	in = openat(from, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	out = openat(to, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	if (in >= 0 && out >= 0)
		copy_tree(out, TAKE_FD(in), account, depth + 1);
	if (out >= 0 && fchown(out, account->uid, account->gid) == 0)
		fchmod(out, mode);
}

/* Copies files, folders and links; what can't be copied is left out. */
static void copy_tree(int to, int from, const struct account *account, unsigned depth)
{
	DIR *folder = fdopendir(from);
	struct dirent *entry;

	if (!folder) {
		close(from);
		return;
	}
	while ((entry = readdir(folder))) {
		const char *name = entry->d_name;
		struct stat st;

		if (strcmp(name, ".") == 0 || strcmp(name, "..") == 0 ||
		    fstatat(dirfd(folder), name, &st, AT_SYMLINK_NOFOLLOW) < 0)
			continue;
		if (S_ISLNK(st.st_mode))
			copy_link(to, dirfd(folder), name, account);
		else if (S_ISREG(st.st_mode))
			copy_file(to, dirfd(folder), name, st.st_mode & 0777, account);
		else if (S_ISDIR(st.st_mode))
			copy_folder(to, dirfd(folder), name, st.st_mode & 0777, account, depth);
	}
	closedir(folder);
}

/* What a shared home was bound to: an empty folder of root's. */
static bool is_mount_point(const char *path)
{
	auto_close int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	DIR *folder = NULL;
	struct stat st;
	size_t count = 0;

	if (fd < 0 || fstat(fd, &st) < 0 || st.st_uid != 0)
		return false;
	folder = fdopendir(fd);
	if (!folder)
		return false;
	fd = -1; /* the stream has it */
	while (count <= 2 && readdir(folder))
		count++;
	closedir(folder);
	return count == 2;
}

static int make_folder(const char *home, struct annex_error **err)
{
	auto_free char *parent = strdup(home);
	char *slash = parent ? strrchr(parent, '/') : NULL;
	int result = 0;

	if (!parent)
		return fail_memory(err);
	*slash = '\0';
	if (*parent)
		result = file_make_folders(parent, 0755);
	if (result == 0 && mkdir(home, 0700) < 0 && (errno != EEXIST || chmod(home, 0700) < 0))
		result = -errno;
	return result < 0 ? fail_os(err, result, "cannot make the home folder %s", home) : 0;
}

static int make_home(const struct account *account, const char *home, struct annex_error **err)
{
	auto_close int from = -1, to = -1;

	if (account->home_is_shared || home[0] != '/' || (file_exists(AT_FDCWD, home) && !is_mount_point(home)))
		return 0;
	if (make_folder(home, err) < 0)
		return -1;
	from = open("/etc/skel", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	to = open(home, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	if (from >= 0 && to >= 0)
		copy_tree(to, TAKE_FD(from), account, 0);
	if (to < 0 || fchown(to, account->uid, account->gid) < 0)
		return fail_os(err, errno, "cannot make the home folder %s", home);
	return 0;
}

static int add_user(char **ret_name, const struct account *account, const char *text, struct annex_error **err)
{
	auto_free char *shadow = NULL, *name = free_name(text, account->name, account->uid);
	auto_free char *line = NULL, *shadow_line = NULL;
	bool there = false;

	if (!name)
		return fail_memory(err);
	if (account->home[0] != '/' || !passwd_is_field(account->home))
		return fail(err, ANNEX_ERROR_USAGE, "\"%s\" cannot be a home folder", account->home);
	if (ensure_group(account, err) < 0 || get(&shadow, &there, "/etc/shadow", err) < 0 ||
	    make_home(account, account->home, err) < 0)
		return -1;
	shadow_line =
		format("%s:!*:%lld:0:99999:7:::", name, (long long)(time_realtime_ns() / 1000000000 / NS_PER_DAY_S));
	line = format("%s:%s:%u:%u::%s:%s", name, there ? "x" : "*", account->uid, account->gid, account->home,
		      choose_shell(account));
	if (there && !passwd_has_name(shadow, name) && add_line("/etc/shadow", shadow, shadow_line, 0640, err) < 0)
		return -1;
	if (add_line("/etc/passwd", text, line, 0644, err) < 0)
		return -1;
	*ret_name = TAKE(name);
	return 0;
}

/* A file of its own; sudo ignores files with a dot in their name, and reads a backslash as an escape. */
static int allow_sudo(const char *name, struct annex_error **err)
{
	auto_free char *path = format("/etc/sudoers.d/annex-%s", name);
	auto_free char *text = format("%s ALL=(ALL:ALL) NOPASSWD: ALL\n", name);
	int result;

	if (!path || !text)
		return fail_memory(err);
	if (!file_exists(AT_FDCWD, "/etc/sudoers.d") || strpbrk(name, "/\\ ,=!#%\"'"))
		return 0;
	for (char *at = path + strlen("/etc/sudoers.d/"); *at; at++)
		*at = *at == '.' || *at == '~' ? '_' : *at;
	if (file_exists(AT_FDCWD, path))
		return 0;
	result = file_write_atomic(AT_FDCWD, path, text, strlen(text), 0440);
	return result < 0 ? fail_os(err, result, "cannot write %s", path) : 0;
}

/* The shared home is that of whoever has the user's id. */
static int move_home(const struct account *account, const struct passwd_user *known, const char *text,
		     struct annex_error **err)
{
	auto_text struct text made = {0};
	int result;

	if (!account->home_is_shared || text_equal(known->home, account->home))
		return 0;
	if (!passwd_is_field(account->home))
		return fail(err, ANNEX_ERROR_USAGE, "\"%s\" cannot be a home folder", account->home);
	passwd_set_home(&made, text, known->name, account->home);
	if (!text_ok(&made))
		return fail_memory(err);
	result = file_replace(AT_FDCWD, "/etc/passwd", made.data, made.size, 0644);
	return result < 0 ? fail_os(err, result, "cannot write /etc/passwd") : 0;
}

/* One whose home was that of the host, and is so no longer, gets one of its own. */
static int adopt(const struct account *account, const struct passwd_user *known, const char *text,
		 struct annex_error **err)
{
	if (move_home(account, known, text, err) < 0)
		return -1;
	if (text_equal(known->home, account->home) && is_mount_point(known->home) &&
	    make_home(account, known->home, err) < 0)
		return -1;
	return allow_sudo(known->name, err);
}

int account_ensure(const struct account *account, struct annex_error **err)
{
	auto_passwd_user struct passwd_user known = {0};
	auto_free char *text = NULL, *name = NULL;
	int result;

	if (account->uid == 0)
		return 0;
	if (get(&text, NULL, "/etc/passwd", err) < 0)
		return -1;
	if (!*text) {
		free(text);
		text = strdup("root:x:0:0:root:/root:/bin/sh\n");
		if (!text)
			return fail_memory(err);
	}
	result = passwd_by_uid(&known, text, account->uid);
	if (result == -ENOMEM)
		return fail_memory(err);
	if (result == 0)
		return adopt(account, &known, text, err);
	if (add_user(&name, account, text, err) < 0)
		return -1;
	return allow_sudo(name, err);
}
