#include "machine/hostzone.h"

#include "base/file.h"
#include "base/text.h"

#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

static void read_rule(struct hostzone *zone, const char *path)
{
	auto_free char *data = NULL;
	size_t size = 0;

	if (file_read(&data, &size, AT_FDCWD, path, ZONE_FILE_MAX) < 0 || !zone_rule_of(zone->rule, data, size))
		zone->rule[0] = '\0';
}

static bool take_name(struct hostzone *ret, const char *root, const char *name)
{
	char path[PATH_MAX];

	if (!name || !zone_is_name(name))
		return false;
	strcpy(ret->name, name);
	snprintf(path, sizeof(path), "%s" ZONE_FOLDER "/%s", root, name);
	read_rule(ret, path);
	return true;
}

bool hostzone_of_variable(struct hostzone *ret, const char *root, const char *value)
{
	*ret = (struct hostzone){0};
	value += *value == ':';
	/* "EST5EDT" is both: what has a file is a name. */
	if (take_name(ret, root, *value == '/' ? zone_of_path(value) : value) && (ret->rule[0] || !zone_is_rule(value)))
		return true;
	*ret = (struct hostzone){0};
	if (!zone_is_rule(value))
		return false;
	strcpy(ret->rule, value);
	return true;
}

/* The link, and where /etc/localtime is a copy, what Debian keeps beside it. */
static void find_name(struct hostzone *ret, const char *root)
{
	char path[PATH_MAX], target[PATH_MAX];
	auto_free char *text = NULL;
	ssize_t length;

	snprintf(path, sizeof(path), "%s/etc/localtime", root);
	length = readlink(path, target, sizeof(target) - 1);
	target[length > 0 ? length : 0] = '\0';
	if (take_name(ret, root, zone_of_path(target)))
		return;
	snprintf(path, sizeof(path), "%s/etc/timezone", root);
	if (file_read(&text, NULL, AT_FDCWD, path, ZONE_FILE_MAX) < 0)
		return;
	text[strcspn(text, " \t\r\n")] = '\0';
	take_name(ret, root, text);
}

void hostzone_find(struct hostzone *ret, const char *root, const char *value)
{
	char path[PATH_MAX];

	if (value && *value && hostzone_of_variable(ret, root, value))
		return;
	*ret = (struct hostzone){0};
	find_name(ret, root);
	snprintf(path, sizeof(path), "%s/etc/localtime", root);
	read_rule(ret, path);
}
