#include "guest/login.h"

#include "base/file.h"
#include "base/zone.h"
#include "guest/env.h"
#include "guest/locale.h"
#include "guest/runtime.h"
#include "guest/termdb.h"

#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#define USER_PATH "/usr/local/bin:/usr/bin:/bin:/usr/local/games:/usr/games" /* as Debian's login has it */

enum { COLORTERM_MAX = 64 };

static char *read_text(const char *root, const char *name)
{
	char path[PATH_MAX], *text = NULL;

	snprintf(path, sizeof(path), "%s%s", root, name);
	return file_read_regular(&text, NULL, AT_FDCWD, path, LOGIN_FILE_MAX) == 0 ? text : NULL;
}

static bool is_there(const char *root, const char *folder, const char *name)
{
	char path[PATH_MAX];

	snprintf(path, sizeof(path), "%s%s/%s", root, folder, name);
	return access(path, F_OK) == 0;
}

static const char *said(const char *const *list, const char *name)
{
	size_t length = strlen(name);

	for (; list && *list; list++) {
		if (strncmp(*list, name, length) == 0 && (*list)[length] == '=')
			return *list + length + 1;
	}
	return NULL;
}

static int set_file(struct text_list *env, const char *root, const char *name)
{
	auto_free char *text = read_text(root, name);

	return text ? env_set_text(env, text) : 0;
}

static int set_some(struct text_list *env, const char *const *assignments, size_t from, size_t to)
{
	for (size_t i = 0; i < to && assignments[i]; i++) {
		if (i >= from && env_set(env, assignments[i]) < 0)
			return -ENOMEM;
	}
	return 0;
}

/* Time. */

/* The host's zone is the machine's, by /etc/localtime, and stands above the image's TZ; without that file, by the rule.
 */
static int set_machine_zone(struct text_list *env, const char *root, const struct message_config *config)
{
	bool has_file = is_there(root, "/etc", "localtime"), has_rule = zone_is_rule(config->time_zone_rule);

	if (!*config->time_zone && !has_rule)
		return 0;
	if (!has_file)
		return has_rule ? env_set_pair(env, "TZ", config->time_zone_rule) : 0;
	env_remove(env, "TZ=");
	return 0;
}

static int set_zone(struct text_list *env, const struct login *login)
{
	const char *wanted = said(login->open->login, "TZ"), *rule = login->open->time_zone_rule, *name;

	if (!wanted)
		return 0;
	wanted += *wanted == ':';
	name = *wanted == '/' ? zone_of_path(wanted) : wanted;
	if (name && zone_is_name(name) && is_there(login->root, ZONE_FOLDER, name))
		return env_set_pair(env, "TZ", name);
	return zone_is_rule(rule) ? env_set_pair(env, "TZ", rule) : 0;
}

/* Language. */

static bool can_speak(const struct login *login, const char *name)
{
	return name && *name && locale_is_name(name) && locale_is_there(login->root, name);
}

/* Of what the machine itself is set to, if it is anything. */
static int set_own_language(struct text_list *env, const char *root)
{
	static const char *const files[] = {"/etc/locale.conf", "/etc/default/locale"};
	const char *found = NULL;

	for (size_t i = 0; i < COUNT_OF(files) && !found; i++) {
		auto_text_list struct text_list set = {0};

		if (set_file(&set, root, files[i]) < 0)
			return -ENOMEM;
		found = env_get(&set, "LANG");
		if (found && locale_is_name(found) && locale_is_there(root, found))
			return env_set_pair(env, "LANG", found);
		found = NULL;
	}
	return env_set_pair(env, "LANG", locale_default(root));
}

static int set_language(struct text_list *env, const struct login *login)
{
	const char *language = said(login->open->login, "LANG"), *all = said(login->open->login, "LC_ALL");
	int result = 0;

	/* The image's LC_ALL would hide the host's language. */
	if (can_speak(login, language) || can_speak(login, all)) {
		env_remove(env, "LC_");
		env_remove(env, "LANGUAGE=");
	}
	if (can_speak(login, language))
		result = env_set_pair(env, "LANG", language);
	for (const char *const *each = login->open->login; each && *each && result == 0; each++) {
		const char *equals = strchr(*each, '=');

		if (equals && text_starts(*each, "LC_") && can_speak(login, equals + 1))
			result = env_set(env, *each);
	}
	return result < 0 || env_get(env, "LANG") ? result : set_own_language(env, login->root);
}

/* Terminal. */

static bool is_plain(const char *text)
{
	size_t length = strlen(text);

	for (size_t i = 0; i < length; i++) {
		if (text[i] < ' ' || text[i] > '~')
			return false;
	}
	return length > 0 && length <= COLORTERM_MAX;
}

static int set_terminal(struct text_list *env, const struct login *login)
{
	const char *wanted = said(login->open->login, "TERM"), *colors = said(login->open->login, "COLORTERM");
	struct termdb_choice choice = {.name = wanted && is_plain(wanted) ? wanted : "dumb"};
	int result;

	if (login->open->flags & OPEN_TERMINAL)
		choice = termdb_choose(login->root, wanted ? wanted : "xterm-256color", &login->open->terminfo);
	result = env_set_pair(env, "TERM", choice.name);
	if (choice.needs_folders)
		result |= env_set_pair(env, "TERMINFO_DIRS", TERMDB_OWN_FOLDERS);
	if (login->open->flags & OPEN_TERMINAL && colors && is_plain(colors))
		result |= env_set_pair(env, "COLORTERM", colors);
	return result;
}

/* Who it is. */

/* "ENV_PATH PATH=/bin:/usr/bin" in /etc/login.defs, with or without "PATH=". */
static int set_path(struct text_list *env, const char *root, bool super)
{
	auto_free char *definitions = read_text(root, "/etc/login.defs");
	const char *wanted = super ? "ENV_SUPATH" : "ENV_PATH";
	char *at = definitions, *line;

	while ((line = strsep(&at, "\n"))) {
		line += strspn(line, " \t");
		if (!text_starts(line, wanted) || !strchr(" \t", line[strlen(wanted)]))
			continue;
		line += strlen(wanted);
		line += strspn(line, " \t");
		line[strcspn(line, " \t\r")] = '\0';
		line += text_starts(line, "PATH=") ? strlen("PATH=") : 0;
		if (*line)
			return env_set_pair(env, "PATH", line);
	}
	return env_set_pair(env, "PATH", super ? ENV_PATH : USER_PATH);
}

static int set_runtime(struct text_list *env, const struct login *login)
{
	char folder[RUNTIME_PATH_MAX], bus[RUNTIME_PATH_MAX + 16];
	int result;

	env_remove(env, "XDG_RUNTIME_DIR=");
	env_remove(env, "DBUS_SESSION_BUS_ADDRESS=");
	if (!runtime_folder(folder, login->root, login->user->uid, login->user->gid))
		return 0;
	result = env_set_pair(env, "XDG_RUNTIME_DIR", folder);
	snprintf(bus, sizeof(bus), "unix:path=%s/bus", folder);
	if (runtime_has_bus(login->root, folder))
		result |= env_set_pair(env, "DBUS_SESSION_BUS_ADDRESS", bus);
	return result;
}

static int set_user(struct text_list *env, const struct login *login)
{
	const struct passwd_user *user = login->user;
	int result = env_set_pair(env, "HOME", user->home);

	result |= env_set_pair(env, "USER", user->name);
	result |= env_set_pair(env, "LOGNAME", user->name);
	result |= env_set_pair(env, "SHELL", login->shell);
	if (!env_get(env, "PATH"))
		result |= set_path(env, login->root, user->uid == 0);
	if (login->agent && !env_get(env, "SSH_AUTH_SOCK"))
		result |= env_set_pair(env, "SSH_AUTH_SOCK", login->agent);
	return result | set_runtime(env, login);
}

/* Proxies. */

static bool is_proxy(const char *assignment)
{
	static const char *const names[] = {"http_proxy=", "https_proxy=", "ftp_proxy=", "all_proxy=", "no_proxy="};

	for (size_t i = 0; i < COUNT_OF(names); i++) {
		if (strncasecmp(assignment, names[i], strlen(names[i])) == 0)
			return true;
	}
	return false;
}

static int set_proxies(struct text_list *env, const char *const *said)
{
	int result = 0;

	for (; said && *said && result == 0; said++)
		result = is_proxy(*said) ? env_set(env, *said) : 0;
	return result;
}

int login_set_machine(struct text_list *env, const char *root, const struct message_config *config)
{
	int result = set_some(env, config->environment, 0, config->image_environment);

	result |= set_proxies(env, config->proxies);
	result |= set_machine_zone(env, root, config);
	return result | set_some(env, config->environment, config->image_environment, SIZE_MAX);
}

int login_environment(struct text_list *ret, const struct login *login, struct annex_error **err)
{
	const struct message_config *config = login->config;
	auto_text_list struct text_list env = {0};
	int result = set_file(&env, login->root, "/etc/environment");

	result |= set_some(&env, config->environment, 0, config->image_environment);
	result |= set_machine_zone(&env, login->root, config);
	result |= set_zone(&env, login);
	result |= set_language(&env, login);
	result |= set_terminal(&env, login);
	result |= set_proxies(&env, login->open->login);
	result |= set_some(&env, config->environment, config->image_environment, SIZE_MAX);
	result |= set_user(&env, login);
	result |= env_set_all(&env, login->open->environment);
	if (result < 0)
		return fail_memory(err);
	*ret = env;
	env = (struct text_list){0};
	return 0;
}
