#include "guest/timezone.h"

#include "base/file.h"
#include "base/text.h"
#include "base/zone.h"

#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#define STATE "/var/lib/annex/time-zone"

enum { TEXT_MAX = 4096 };

struct place {
	char path[PATH_MAX];
};

static struct place at(const char *root, const char *name)
{
	struct place place;

	snprintf(place.path, sizeof(place.path), "%s%s", root, name);
	return place;
}

static bool knows(const char *root, const char *zone)
{
	struct place place = at(root, ZONE_FOLDER);
	auto_free char *path = path_join(place.path, zone);
	struct stat st;

	return path && stat(path, &st) == 0 && S_ISREG(st.st_mode);
}

/* The zone that /etc/localtime leads to: "" without it, "?" when it leads elsewhere. */
static void find_set(char ret[PATH_MAX], const char *root)
{
	struct place place = at(root, "/etc/localtime");
	char target[PATH_MAX];
	ssize_t length = readlink(place.path, target, sizeof(target) - 1);
	const char *zone;

	if (length < 0) {
		strcpy(ret, errno == ENOENT ? "" : "?");
		return;
	}
	target[length] = '\0';
	zone = zone_of_path(target);
	strcpy(ret, zone ? zone : "?");
}

static int set_link(const char *root, const char *zone)
{
	struct place link = at(root, "/etc/localtime"), made = at(root, "/etc/.localtime.annex"),
		     etc = at(root, "/etc");
	auto_free char *target = path_join(ZONE_FOLDER, zone);

	if (!target)
		return -ENOMEM;
	if (unlink(made.path) < 0 && errno != ENOENT)
		return -errno;
	if (symlink(target, made.path) < 0 || rename(made.path, link.path) < 0)
		return -errno;
	return file_sync_folder(AT_FDCWD, etc.path);
}

static int write_line(const char *path, const char *zone)
{
	char line[ZONE_NAME_MAX + 2];

	snprintf(line, sizeof(line), "%s\n", zone);
	return file_write_atomic(AT_FDCWD, path, line, strlen(line), 0644);
}

#define WAS "was "

/* The zone that was set last, and, while that is not done, the one before it: a start that was interrupted goes on. */
struct known {
	char *text;
	const char *zone, *was; /* or NULL */
};

static void known_clear(struct known *known)
{
	free(known->text);
}

static int read_known(struct known *ret, const char *path)
{
	int result = file_read_regular(&ret->text, NULL, AT_FDCWD, path, TEXT_MAX);
	char *at = ret->text;

	if (result < 0)
		return result == -ENOENT ? 0 : result;
	ret->zone = strsep(&at, "\n");
	if (at && text_starts(at, WAS)) {
		at[strcspn(at, "\n")] = '\0';
		ret->was = at + strlen(WAS);
	}
	return 0;
}

static int begin(const char *path, const char *zone, const char *was)
{
	auto_text struct text lines = {0};

	text_printf(&lines, "%s\n" WAS "%s\n", zone, was);
	return text_ok(&lines) ? file_write_atomic(AT_FDCWD, path, lines.data, lines.size, 0644) : -ENOMEM;
}

int timezone_set(const char *root, const char *zone, struct annex_error **err)
{
	struct place state = at(root, STATE), text = at(root, "/etc/timezone"),
		     debian = at(root, "/etc/debian_version");
	CLEANUP(known_clear) struct known known = {0};
	char now[PATH_MAX];
	int result;

	if (!zone_is_name(zone) || !knows(root, zone))
		return 0;
	find_set(now, root);
	result = read_known(&known, state.path);
	if (result < 0)
		return fail_os(err, result, "cannot read %s", STATE);
	if (known.zone && !text_equal(known.zone, now) && !text_equal(known.was, now))
		return 0; /* chosen in the machine */
	if (text_equal(known.zone, zone) && !known.was)
		return 0;
	/* Behind a link that was set without it, the owner would seem to have chosen it. */
	if (strcmp(now, zone) != 0)
		result = begin(state.path, zone, now);
	if (result == 0 && strcmp(now, zone) != 0)
		result = set_link(root, zone);
	if (result == 0 && (file_exists(AT_FDCWD, text.path) || file_exists(AT_FDCWD, debian.path)))
		result = write_line(text.path, zone);
	if (result == 0)
		result = write_line(state.path, zone);
	return result < 0 ? fail_os(err, result, "cannot set the time zone %s", zone) : 0;
}
