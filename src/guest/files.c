/*
 * A file is ours when it still holds what we wrote: for /etc/hostname, where no comment is possible, that is remembered
 * in STATE; our lines in hosts say so in a comment.
 *
 * A machine's name has the address that others know it by, so that what a service tells them of itself is right; for a
 * machine without a network it is 127.0.1.1, as Debian has it.
 */
#include "guest/files.h"

#include "base/file.h"
#include "base/log.h"
#include "guest/etcfile.h"

#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#define STATE "/var/lib/annex"

static const char our_line[] = "# annex";

static int put(const char *path, const char *text, mode_t mode, struct annex_error **err)
{
	int result = file_write_atomic(AT_FDCWD, path, text, strlen(text), mode);

	return result < 0 ? fail_os(err, result, "cannot write %s", path) : 0;
}

/* The text without its last newline; empty when there is no such file. */
static int get(char **ret, const char *path, struct annex_error **err)
{
	int result = file_read_regular(ret, NULL, AT_FDCWD, path, FILES_SIZE_MAX);

	if (result == -ENOENT || result == -ELOOP) {
		*ret = strdup("");
		result = *ret ? 0 : -ENOMEM;
	}
	if (result == -EINVAL)
		return fail(err, ANNEX_ERROR_GUEST, "%s of the image is not a file", path);
	return result < 0 ? fail_os(err, result, "cannot read %s", path) : 0;
}

static bool is_name(const char *text)
{
	size_t length = strlen(text);

	for (size_t i = 0; i < length; i++) {
		if (text[i] <= ' ' || text[i] > '~')
			return false;
	}
	return length > 0 && length <= HOST_NAME_MAX;
}

/* As hostname(5) has it: the first word that is in no comment. NULL: there is none, or it could not be set. */
static const char *find_name(char *text)
{
	char *line;

	while ((line = strsep(&text, "\n"))) {
		line += strspn(line, " \t\r");
		line[strcspn(line, " \t\r")] = '\0';
		if (*line && *line != '#')
			return is_name(line) ? line : NULL;
	}
	return NULL;
}

static int write_hostname(char **ret, const char *hostname, struct annex_error **err)
{
	auto_free char *text = NULL, *written = NULL, *line = NULL;
	const char *now, *ours;
	bool blank;

	if (get(&text, "/etc/hostname", err) < 0 || get(&written, STATE "/hostname", err) < 0)
		return -1;
	blank = !text[strspn(text, " \t\r\n")];
	now = find_name(text);
	ours = find_name(written);
	if (!blank && ours && !text_equal(now, ours)) { /* the machine's owner gave it another name */
		*ret = strdup(now ? now : hostname);
		return *ret ? 0 : fail_memory(err);
	}
	if (asprintf(&line, "%s\n", hostname) < 0) {
		line = NULL;
		return fail_memory(err);
	}
	if (!text_equal(now, hostname) && put("/etc/hostname", line, 0644, err) < 0)
		return -1;
	if (!text_equal(ours, hostname) && put(STATE "/hostname", line, 0644, err) < 0)
		return -1;
	*ret = strdup(hostname);
	return *ret ? 0 : fail_memory(err);
}

static bool names_host(const char *line, size_t length, const char *hostname)
{
	size_t name = strlen(hostname), end = strcspn(line, "#\n");

	if (end < length)
		length = end;
	for (size_t i = 0; i + name <= length; i++) {
		if (strncmp(line + i, hostname, name) == 0 && i > 0 && strchr(" \t", line[i - 1]) &&
		    (i + name == length || strchr(" \t", line[i + name])))
			return true;
	}
	return false;
}

static bool is_ours(const char *line, size_t length)
{
	return length > strlen(our_line) && strncmp(line + length - strlen(our_line), our_line, strlen(our_line)) == 0;
}

/* The canonical name, which `hostname -f` shows, comes first. */
static void add_own_line(struct text *out, const char *address, const struct files_names *names, const char *hostname)
{
	text_add_bytes(out, address, strcspn(address, "/"));
	text_add_char(out, '\t');
	if (*names->domain)
		text_printf(out, "%s.%s ", names->name, names->domain);
	text_printf(out, "%s\t%s\n", hostname, our_line);
}

static void add_own_lines(struct text *out, const struct files_names *names, const char *hostname)
{
	if (*names->address)
		add_own_line(out, names->address, names, hostname);
	if (*names->address6)
		add_own_line(out, names->address6, names, hostname);
	if (out->size == 0)
		text_printf(out, "127.0.1.1\t%s\t%s\n", hostname, our_line);
}

bool files_hosts(struct text *out, const char *hosts, const struct files_names *names, const char *hostname)
{
	auto_text struct text before = {0}, wanted = {0}, others = {0};
	bool known = false, local = false;

	for (size_t length; *hosts; hosts += length) {
		struct text *into = &others;

		length = strcspn(hosts, "\n");
		if (is_ours(hosts, length)) {
			into = &before;
		} else {
			known |= names_host(hosts, length, hostname);
			local |= names_host(hosts, length, "localhost");
		}
		text_add_bytes(into, hosts, length);
		text_add_char(into, '\n');
		length += hosts[length] == '\n';
	}
	if (!known)
		add_own_lines(&wanted, names, hostname);
	if (!local)
		text_add(out, "127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n");
	text_add_bytes(out, others.data, others.size);
	text_add_bytes(out, wanted.data, wanted.size);
	out->broken |= before.broken || wanted.broken || others.broken;
	return !local || before.size != wanted.size ||
	       (wanted.size > 0 && memcmp(before.data, wanted.data, wanted.size) != 0);
}

static int write_hosts(const struct files_names *names, const char *hostname, struct annex_error **err)
{
	auto_text struct text made = {0};
	auto_free char *now = NULL;

	if (get(&now, "/etc/hosts", err) < 0)
		return -1;
	if (!files_hosts(&made, now, names, hostname))
		return text_ok(&made) ? 0 : fail_memory(err);
	return text_ok(&made) ? put("/etc/hosts", made.data, 0644, err) : fail_memory(err);
}

/* As container engines do: old programs, and the scripts of sysvinit, look for mounts there. */
static int link_mtab(struct annex_error **err)
{
	if (symlink("/proc/mounts", "/etc/mtab") < 0 && errno != EEXIST)
		return fail_os(err, errno, "cannot make /etc/mtab");
	return 0;
}

int files_make_folders(struct annex_error **err)
{
	static const struct {
		const char *path;
		mode_t mode;
		bool needed; /* something is mounted there */
	} folders[] = {
		{"/proc", 0755, true},  {"/sys", 0755, true},   {"/dev", 0755, true},       {"/run", 0755, true},
		{"/tmp", 01777, false}, {"/root", 0700, false}, {"/var/tmp", 01777, false},
	};

	for (size_t i = 0; i < COUNT_OF(folders); i++) {
		int result;

		if (file_exists(AT_FDCWD, folders[i].path))
			continue;
		result = etcfile_make_folders(folders[i].path, folders[i].mode);
		if (result == 0 && chmod(folders[i].path, folders[i].mode) < 0)
			result = -errno;
		if (result < 0 && folders[i].needed)
			return fail_os(err, result, "cannot make %s of the image", folders[i].path);
		if (result < 0)
			log_info("cannot make %s: %s", folders[i].path, strerror(-result));
	}
	return 0;
}

int files_write(char **ret_hostname, const struct files_names *names, struct annex_error **err)
{
	auto_free char *name = NULL;
	int result = etcfile_make_folders("/etc", 0755);

	if (result == 0)
		result = etcfile_make_folders(STATE, 0755);
	if (result < 0)
		return fail_os(err, result, "cannot make %s", STATE);
	if (write_hostname(&name, names->name, err) < 0 || write_hosts(names, name, err) < 0 || link_mtab(err) < 0)
		return -1;
	*ret_hostname = TAKE(name);
	return 0;
}
