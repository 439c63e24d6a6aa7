#include "lib/host.h"

#include "base/file.h"
#include "base/terminfo.h"
#include "machine/hostzone.h"
#include "machine/proxy.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>

/* As in the distributions' builds of ncurses. */
static const char standard_folders[] = "/etc/terminfo:/lib/terminfo:/usr/share/terminfo:/usr/lib/terminfo:"
				       "/usr/local/share/terminfo:/run/current-system/sw/share/terminfo";

static const char *const always[] = {
	"LANG",           "LC_ALL",      "LC_ADDRESS",  "LC_COLLATE", "LC_CTYPE",   "LC_IDENTIFICATION",
	"LC_MEASUREMENT", "LC_MESSAGES", "LC_MONETARY", "LC_NAME",    "LC_NUMERIC", "LC_PAPER",
	"LC_TELEPHONE",   "LC_TIME",     "TERM",        "TZ"};

static char *read_entry(size_t *ret_size, const char *folder, int length, const char *name)
{
	auto_free char *path = NULL, *data = NULL;
	size_t size = 0;

	if (asprintf(&path, "%.*s/%c/%s", length, folder, name[0], name) < 0) {
		path = NULL;
		return NULL;
	}
	if (file_read(&data, &size, AT_FDCWD, path, TERMINFO_ENTRY_MAX) < 0 || !terminfo_is_entry(data, size, name))
		return NULL;
	*ret_size = size;
	return TAKE(data);
}

/* An empty part stands for the standard folders. */
static char *look_in(size_t *ret_size, const char *folders, const char *name)
{
	char *found = NULL;

	while (!found) {
		size_t length = strcspn(folders, ":");

		if (length > 0)
			found = read_entry(ret_size, folders, (int)length, name);
		else if (folders != standard_folders)
			found = look_in(ret_size, standard_folders, name);
		if (!folders[length])
			break;
		folders += length + 1;
	}
	return found;
}

char *host_terminfo(size_t *ret_size, const char *name)
{
	const char *own = getenv("TERMINFO"), *home = getenv("HOME"), *folders = getenv("TERMINFO_DIRS");
	auto_free char *below_home = NULL;
	char *found = NULL;

	if (!terminfo_is_name(name))
		return NULL;
	if (own && *own == '/')
		found = read_entry(ret_size, own, (int)strlen(own), name);
	if (!found && home && *home == '/' && (below_home = path_join(home, ".terminfo")))
		found = read_entry(ret_size, below_home, (int)strlen(below_home), name);
	if (!found && folders && *folders)
		found = look_in(ret_size, folders, name);
	return found ? found : look_in(ret_size, standard_folders, name);
}

static int add(struct host_login *login, const char *name)
{
	const char *value = getenv(name);

	return value && *value ? text_list_printf(&login->variables, "%s=%s", name, value) : 0;
}

int host_login_make(struct host_login *ret, bool terminal, struct annex_error **err)
{
	auto_host_login struct host_login login = {0};
	const char *term = getenv("TERM"), *tz = getenv("TZ");
	struct hostzone zone;
	int result = 0;

	for (size_t i = 0; i < COUNT_OF(always) && result == 0; i++)
		result = add(&login, always[i]);
	if (terminal && result == 0)
		result = add(&login, "COLORTERM");
	if (terminal && term)
		login.terminfo = host_terminfo(&login.terminfo_size, term);
	if (tz && hostzone_of_variable(&zone, "", tz) && !(login.time_zone_rule = strdup(zone.rule)))
		result = -ENOMEM;
	if (result < 0)
		return fail_memory(err);
	*ret = login;
	login = (struct host_login){0};
	return 0;
}

int host_login_add_proxies(struct host_login *login, bool host_access, struct annex_error **err)
{
	auto_proxies struct proxies proxies = {0};

	if (proxies_find(&proxies, host_access, err) < 0)
		return -1;
	for (size_t i = 0; i < proxies.variables.count; i++) {
		if (text_list_add(&login->variables, proxies.variables.items[i]) < 0)
			return fail_memory(err);
	}
	return 0;
}

void host_login_clear(struct host_login *login)
{
	text_list_clear(&login->variables);
	free(login->time_zone_rule);
	free(login->terminfo);
	*login = (struct host_login){0};
}
