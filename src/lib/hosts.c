/*
 * /etc/hosts is replaced in one step, with the mode, the owner and the attributes that it has. Where that can't be (in
 * a container it is a mount of its own; or only the file may be written, not its folder) it is written in place, after
 * the room that it needs was taken: a disk that is full is told before anything has changed. Links are followed to
 * where the file is. Who changes it holds a lock on its folder, so that two users' commands at once both have effect.
 */
#include "annex/network.h"

#include "base/file.h"
#include "lib/machine.h"
#include "machine/hosts.h"

#include <fcntl.h>
#include <pwd.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>

#define HOSTS "/etc/hosts"

struct hosts_file {
	char *path; /* no link */
	char *bytes;
	size_t size;
	bool is_there;
	int lock;
};

static void close_file(struct hosts_file *file)
{
	free(file->path);
	free(file->bytes);
	cleanup_close(&file->lock);
}
#define auto_hosts_file CLEANUP(close_file)

static int lock_folder(struct hosts_file *file, struct annex_error **err)
{
	auto_free char *folder = strndup(file->path, (size_t)(path_name(file->path) - file->path));

	if (!folder)
		return fail_memory(err);
	file->lock = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	while (file->lock >= 0 && flock(file->lock, LOCK_EX) < 0) {
		if (errno != EINTR)
			return fail_os(err, errno, "cannot lock %s", folder);
	}
	return file->lock < 0 ? fail_os(err, errno, "cannot open %s", folder) : 0;
}

static int open_file(struct hosts_file *ret, bool locked, struct annex_error **err)
{
	auto_hosts_file struct hosts_file file = {.lock = -EBADF};
	struct stat st;
	int result;

	file.path = realpath(HOSTS, NULL);
	if (!file.path && errno == ENOENT && lstat(HOSTS, &st) < 0)
		file.path = strdup(HOSTS);
	if (!file.path)
		return fail_os(err, errno, "cannot read " HOSTS);
	if (locked && lock_folder(&file, err) < 0)
		return -1;
	result = file_read_regular(&file.bytes, &file.size, AT_FDCWD, file.path, MACHINE_HOSTS_MAX);
	file.is_there = result == 0;
	if (result == -ENOENT)
		file.bytes = strdup("");
	if (result < 0 && result != -ENOENT)
		return fail_os(err, result, "cannot read %s", file.path);
	if (!file.bytes)
		return fail_memory(err);
	*ret = file;
	file = (struct hosts_file){.lock = -EBADF};
	return 0;
}

static int write_in_place(const struct hosts_file *file, const struct text *text)
{
	auto_close int fd = open(file->path, O_WRONLY | O_CLOEXEC | O_NOFOLLOW);
	int result;

	if (fd < 0)
		return -errno;
	/* Unlike the others, this one returns the error. */
	result = text->size > file->size ? -posix_fallocate(fd, 0, (off_t)text->size) : 0;
	if (result == 0)
		result = file_write_at(fd, text->data, text->size, 0);
	if (result < 0) {
		/* What was there, as far as it goes. */
		(void)!file_write_at(fd, file->bytes, file->size, 0);
		(void)!ftruncate(fd, (off_t)file->size);
		return result;
	}
	return ftruncate(fd, (off_t)text->size) < 0 || fsync(fd) < 0 ? -errno : 0;
}

static int write_file(const struct hosts_file *file, const struct text *text)
{
	int result = file_replace(AT_FDCWD, file->path, text->data, text->size, 0644);

	if (file->is_there && (result == -EBUSY || result == -EACCES || result == -EPERM || result == -EROFS)) {
		int again = write_in_place(file, text);

		result = again == 0 || result == -EBUSY ? again : result;
	}
	return result;
}

/* The file with the user's block brought up to date; hosts NULL: without it. 1: that makes a difference. */
static int edit(struct text *ret, const struct hosts_file *file, const char *user, struct machine_hosts *hosts,
		struct annex_error **err)
{
	if (hosts)
		machine_hosts_yield(hosts, file->bytes, file->size, user);
	machine_hosts_edit(ret, file->bytes, file->size, user, hosts);
	if (!text_ok(ret))
		return fail_memory(err);
	return ret->size != file->size || (ret->size > 0 && memcmp(ret->data, file->bytes, ret->size) != 0);
}

/* The same, written. *ret_os: why that could not be. */
static int change(int *ret_os, const struct hosts_file *file, const char *user, struct machine_hosts *hosts,
		  struct annex_error **err)
{
	auto_text struct text text = {0};
	int differs = edit(&text, file, user, hosts, err);

	if (differs < 0)
		return -1;
	*ret_os = 0;
	if (differs)
		*ret_os = write_file(file, &text);
	return 0;
}

/* Whose block it is. */
static int user_name(char **ret, const char *given, struct annex_error **err)
{
	const struct passwd *found = given ? NULL : getpwuid(geteuid());

	if (given || found)
		*ret = strdup(given ? given : found->pw_name);
	else if (asprintf(ret, "%u", (unsigned)geteuid()) < 0)
		*ret = NULL;
	if (!*ret)
		return fail_memory(err);
	if (!**ret || strpbrk(*ret, "\t\r\n\v\f") || text_ends(*ret, " ")) {
		fail(err, ANNEX_ERROR_USAGE, "'%s' is no user's name", *ret);
		free(TAKE(*ret));
		return -1;
	}
	return 0;
}

/* Those that no machine is called by, on its own. */
static bool is_reserved(const char *name)
{
	char own[256] = "";

	if (gethostname(own, sizeof(own) - 1) < 0)
		own[0] = '\0';
	own[strcspn(own, ".")] = '\0';
	return strcmp(name, "localhost") == 0 || strcasecmp(name, own) == 0;
}

/* Machines whose record can't be read have no address that could be known; other commands tell of them. */
static int list_hosts(struct machine_hosts *ret, struct annex_context *context, struct annex_error **err)
{
	auto_machine_hosts struct machine_hosts hosts = {0};
	auto_text_list struct text_list names = {0};

	if (machine_names(&names, context, err) < 0)
		return -1;
	for (size_t i = 0; i < names.count; i++) {
		auto_machine struct annex_machine *machine = NULL;

		if (machine_open_named(&machine, context, names.items[i], NULL) < 0 || machine->record.place == 0)
			continue;
		if (machine_hosts_add(&hosts, names.items[i], machine->record.place, true) < 0)
			return fail_memory(err);
	}
	*ret = hosts;
	hosts = (struct machine_hosts){0};
	return 0;
}

static void reserve(struct machine_hosts *hosts)
{
	for (size_t i = 0; i < hosts->count; i++)
		hosts->items[i].bare = hosts->items[i].bare && !is_reserved(hosts->items[i].name);
}

/* As they would stand in the file. */
static int show_hosts(struct machine_hosts *ret, struct annex_context *context, struct annex_error **err)
{
	auto_hosts_file struct hosts_file file = {.lock = -EBADF};
	auto_free char *user = NULL;

	if (user_name(&user, NULL, err) < 0 || open_file(&file, false, err) < 0 || list_hosts(ret, context, err) < 0)
		return -1;
	reserve(ret);
	machine_hosts_yield(ret, file.bytes, file.size, user);
	return 0;
}

API int annex_hosts_text(char **ret, struct annex_context *context, struct annex_error **err)
{
	auto_machine_hosts struct machine_hosts hosts = {0};
	auto_text struct text text = {0};

	if (show_hosts(&hosts, context, err) < 0)
		return -1;
	machine_hosts_print(&text, &hosts);
	*ret = text_take(&text);
	return *ret ? 0 : fail_memory(err);
}

API int annex_hosts_describe(char **ret, struct annex_context *context, struct annex_error **err)
{
	auto_machine_hosts struct machine_hosts hosts = {0};
	auto_json json_t *array = json_array();
	int result = array ? 0 : -1;

	if (show_hosts(&hosts, context, err) < 0)
		return -1;
	for (size_t i = 0; result == 0 && i < hosts.count; i++) {
		const struct machine_host *host = &hosts.items[i];
		char address[ADDRESS_TEXT];
		json_t *names = json_pack("[s+]", host->name, "." ADDRESS_DOMAIN);

		if (names && host->bare)
			json_array_append_new(names, json_string(host->name));
		result = json_array_append_new(array, json_pack("{s:s, s:s, s:o}", "machine", host->name, "ip",
								place_host_text(address, host->place), "names", names));
	}
	*ret = result == 0 ? json_text(array, true) : NULL;
	return *ret ? 0 : fail_memory(err);
}

static int refuse(const struct hosts_file *file, int os, const char *command, struct annex_error **err)
{
	fail_os(err, os, "cannot write %s", file->path);
	return (os == -EACCES || os == -EPERM) && geteuid() != 0 ? fail_hint(err, "%s", command) : -1;
}

API int annex_hosts_install(struct annex_context *context, const char *user, const char *lines,
			    struct annex_error **err)
{
	auto_machine_hosts struct machine_hosts hosts = {0};
	auto_hosts_file struct hosts_file file = {.lock = -EBADF};
	auto_free char *name = NULL;
	int os = 0;

	if (user_name(&name, user, err) < 0 ||
	    (lines ? machine_hosts_parse(&hosts, lines, err) < 0 : list_hosts(&hosts, context, err) < 0))
		return -1;
	reserve(&hosts);
	hosts.origin = lines ? NULL : context->data;
	if (open_file(&file, true, err) < 0 || change(&os, &file, name, &hosts, err) < 0)
		return -1;
	return os < 0 ? refuse(&file, os, "annex hosts | sudo annex hosts --install -", err) : 0;
}

API int annex_hosts_remove(const char *user, struct annex_error **err)
{
	auto_hosts_file struct hosts_file file = {.lock = -EBADF};
	auto_free char *name = NULL;
	int os = 0;

	if (user_name(&name, user, err) < 0 || open_file(&file, true, err) < 0 ||
	    change(&os, &file, name, NULL, err) < 0)
		return -1;
	return os < 0 ? refuse(&file, os, "sudo annex hosts --remove", err) : 0;
}

/* Lines that somebody handed over are of machines that only they know: these are compared, and not changed. */
static int compare(int *ret_stale, const struct hosts_file *file, const char *user, struct machine_hosts *hosts,
		   struct annex_error **err)
{
	auto_text struct text text = {0};
	int differs = edit(&text, file, user, hosts, err);

	*ret_stale = differs > 0;
	return differs < 0 ? -1 : 0;
}

API int annex_hosts_follow(int *ret_stale, struct annex_context *context, struct annex_error **err)
{
	auto_machine_hosts struct machine_hosts hosts = {0};
	auto_hosts_file struct hosts_file file = {.lock = -EBADF}, locked = {.lock = -EBADF};
	auto_free char *user = NULL;
	enum machine_hosts_kept kept;
	int os = 0;

	*ret_stale = 0;
	if (user_name(&user, NULL, err) < 0 || open_file(&file, false, err) < 0)
		return -1;
	kept = machine_hosts_kept(file.bytes, file.size, user, context->data);
	if (kept == MACHINE_HOSTS_NOT_KEPT || kept == MACHINE_HOSTS_KEPT_ELSEWHERE)
		return 0;
	if (list_hosts(&hosts, context, err) < 0)
		return -1;
	reserve(&hosts);
	if (kept == MACHINE_HOSTS_KEPT)
		return compare(ret_stale, &file, user, &hosts, err);
	hosts.origin = context->data;
	if (open_file(&locked, true, err) < 0)
		return -1;
	/* Somebody may have taken it out meanwhile. */
	if (machine_hosts_kept(locked.bytes, locked.size, user, context->data) != MACHINE_HOSTS_KEPT_HERE)
		return 0;
	if (change(&os, &locked, user, &hosts, err) < 0)
		return -1;
	*ret_stale = os == -EACCES || os == -EPERM || os == -EROFS;
	return os < 0 && !*ret_stale ? refuse(&locked, os, "", err) : 0;
}
