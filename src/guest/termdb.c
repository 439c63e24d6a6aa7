/*
 * Debian, Fedora, Alpine and most others build ncurses to look into /etc/terminfo first, which is for the machine's
 * owner, and have the folder: an entry there is seen by all users, through sudo and su too. In images without it,
 * ncurses may not know it (Arch): the entry goes below /usr/local, which a variable tells; sudo drops that, so root
 * gets a link in its home, where ncurses always looks.
 */
#include "guest/termdb.h"

#include "base/file.h"
#include "base/log.h"
#include "base/terminfo.h"

#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

static const char common[] = "/etc/terminfo", own[] = "/usr/local/share/terminfo";
static const char *const folders[] = {common, "/lib/terminfo", "/usr/share/terminfo", "/usr/lib/terminfo"};
/* In this order, where the image has them. */
static const char *const instead[] = {"xterm-256color", "xterm", "vt100", "linux", "ansi", "dumb"};
static const char *const instead_of_screens[] = {"screen-256color", "screen"};

static bool has_folder(const char *root, const char *folder)
{
	char path[PATH_MAX];

	snprintf(path, sizeof(path), "%s%s/.", root, folder);
	return access(path, F_OK) == 0;
}

static bool has_entry(const char *root, const char *folder, const char *name)
{
	char path[PATH_MAX];

	snprintf(path, sizeof(path), "%s%s/%c/%s", root, folder, name[0], name);
	if (access(path, F_OK) == 0)
		return true;
	snprintf(path, sizeof(path), "%s%s/%02x/%s", root, folder, (unsigned char)name[0], name);
	return access(path, F_OK) == 0;
}

static bool is_known(const char *root, const char *name)
{
	for (size_t i = 0; i < COUNT_OF(folders); i++) {
		if (has_entry(root, folders[i], name))
			return true;
	}
	return false;
}

/* Links there are the machine's owner's business: both are root. */
static int put(const char *root, const char *folder, const char *name, const struct message_bytes *entry)
{
	char path[PATH_MAX];
	int result;

	snprintf(path, sizeof(path), "%s%s/%c", root, folder, name[0]);
	result = file_make_folders(path, 0755);
	if (result < 0)
		return result;
	snprintf(path, sizeof(path), "%s%s/%c/%s", root, folder, name[0], name);
	return file_write_atomic(AT_FDCWD, path, entry->bytes, entry->size, 0644);
}

static void link_for_root(const char *root, const char *name)
{
	char path[PATH_MAX], target[PATH_MAX];

	snprintf(path, sizeof(path), "%s/root/.terminfo/%c", root, name[0]);
	if (!has_folder(root, "/root") || file_make_folders(path, 0755) < 0)
		return;
	snprintf(path, sizeof(path), "%s/root/.terminfo/%c/%s", root, name[0], name);
	snprintf(target, sizeof(target), "%s/%c/%s", own, name[0], name);
	if (symlink(target, path) < 0 && errno != EEXIST)
		log_info("cannot make %s: %s", path, strerror(errno));
}

static bool install(bool *ret_own, const char *root, const char *name, const struct message_bytes *entry)
{
	int result;

	if (!terminfo_is_entry(entry->bytes, entry->size, name))
		return false;
	*ret_own = !has_folder(root, common);
	result = put(root, *ret_own ? own : common, name, entry);
	if (result < 0) {
		log_info("cannot keep what the terminal %s can do: %s", name, strerror(-result));
		return false;
	}
	if (*ret_own)
		link_for_root(root, name);
	return true;
}

static const char *next_best(const char *root, const char *wanted)
{
	bool screen = text_starts(wanted, "screen") || text_starts(wanted, "tmux");

	for (size_t i = 0; screen && i < COUNT_OF(instead_of_screens); i++) {
		if (is_known(root, instead_of_screens[i]))
			return instead_of_screens[i];
	}
	for (size_t i = 0; i < COUNT_OF(instead); i++) {
		if (is_known(root, instead[i]))
			return instead[i];
	}
	return "dumb";
}

struct termdb_choice termdb_choose(const char *root, const char *wanted, const struct message_bytes *entry)
{
	struct termdb_choice choice = {.name = wanted};
	bool any = false;

	if (!terminfo_is_name(wanted))
		return (struct termdb_choice){.name = next_best(root, "")};
	if (is_known(root, wanted))
		return choice;
	if (has_entry(root, own, wanted)) {
		choice.needs_folders = true;
		return choice;
	}
	for (size_t i = 0; i < COUNT_OF(folders); i++)
		any |= has_folder(root, folders[i]);
	if (any && !install(&choice.needs_folders, root, wanted, entry))
		choice = (struct termdb_choice){.name = next_best(root, wanted)};
	return choice;
}
