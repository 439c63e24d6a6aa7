/* What a machine has of the host's files: to be told, and to be changed while it runs. */
#include "lib/change.h"
#include "lib/request.h"
#include "lib/share.h"

#include "json/json.h"
#include "machine/home.h"
#include "machine/lifecycle.h"
#include "machine/volume.h"

#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static const char setting[] = "volume=";

static int canonical(char **ret, const char *path, struct annex_error **err)
{
	const char *home = getenv("HOME");
	auto_free char *expanded = NULL;
	char *real;

	if (home && (strcmp(path, "~") == 0 || text_starts(path, "~/"))) {
		if (asprintf(&expanded, "%s%s", home, path + 1) < 0) {
			expanded = NULL;
			return fail_memory(err);
		}
		path = expanded;
	}
	real = realpath(path, NULL);
	if (real) {
		*ret = real;
		return 0;
	}
	if (errno != ENOENT && errno != ENOTDIR)
		return fail_os(err, errno, "cannot share %s", path);
	fail(err, ANNEX_ERROR_NOT_FOUND, "there is no '%s'", path);
	return fail_hint(err, "if it is to be a folder: mkdir -p '%s'", path);
}

int share_volume(char **ret, const char *text, struct annex_error **err)
{
	const char *guest = volume_find_guest(text);
	auto_free char *host = NULL, *real = NULL;

	if (!guest || guest == text + 1) { /* for the parser to refuse */
		*ret = strdup(text);
		return *ret ? 0 : fail_memory(err);
	}
	host = strndup(text, (size_t)(guest - 1 - text));
	if (!host)
		return fail_memory(err);
	if (canonical(&real, host, err) < 0)
		return -1;
	if (asprintf(ret, "%s:%s", real, guest) < 0) {
		*ret = NULL;
		return fail_memory(err);
	}
	return 0;
}

int share_setting(char **ret, const char *pair, struct annex_error **err)
{
	size_t length = strlen(setting);
	auto_free char *volume = NULL;

	if (!text_starts(pair, setting) || pair[length] == '-') {
		*ret = strdup(pair);
		return *ret ? 0 : fail_memory(err);
	}
	if (share_volume(&volume, pair + length, err) < 0)
		return -1;
	if (asprintf(ret, "%s%s", setting, volume) < 0) {
		*ret = NULL;
		return fail_memory(err);
	}
	return 0;
}

/* A volume that the record has gained, or lost. */
static int change_one(struct link *link, const char *text, bool is_new, struct annex_error **err)
{
	auto_volume struct volume volume = {0};

	if (is_new)
		return request_mount(link, text, true, err);
	return volume_parse(&volume, text, err) < 0 ? -1 : request_umount(link, volume.guest, false, true, err);
}

int share_change(struct annex_machine *machine, const struct text_list *before, const struct text_list *after,
		 struct annex_error **err)
{
	return change_list(machine, before, after, change_one, err);
}

API int annex_machine_mount(struct annex_machine *machine, const char *volume, struct annex_error **err)
{
	auto_volume struct volume parsed = {0};
	auto_free char *absolute = NULL;
	auto_link struct link *link = NULL;

	if (share_volume(&absolute, volume, err) < 0 || volume_parse(&parsed, absolute, err) < 0 ||
	    change_open(&link, machine, err) < 0)
		return -1;
	return request_mount(link, absolute, false, err);
}

API int annex_machine_umount(struct annex_machine *machine, const char *target, int force, struct annex_error **err)
{
	auto_free char *guest = NULL;
	auto_link struct link *link = NULL;

	if (volume_guest(&guest, target, err) < 0 || change_open(&link, machine, err) < 0)
		return -1;
	return request_umount(link, guest, force, false, err);
}

/* *ret is NULL when the machine does not run. */
static int running_shares(json_t **ret, struct annex_machine *machine, struct annex_error **err)
{
	auto_link_state struct link_state state = {0};
	auto_link struct link *link = NULL;

	*ret = NULL;
	if (link_open(&link, machine->context, &machine->paths, false, err) < 0)
		return -1;
	if (link && link_state(link, &state, err) < 0)
		return -1;
	if (!state.shares || !*state.shares)
		return 0;
	return json_parse(ret, state.shares, strlen(state.shares), "shares", err);
}

static int describe(json_t **ret, struct annex_machine *machine, struct annex_error **err)
{
	auto_machine_shares struct machine_shares shares = {0};
	auto_free char *home = NULL;

	if (running_shares(ret, machine, err) < 0)
		return -1;
	if (*ret)
		return 0;
	if (machine_home(&home, err) < 0 ||
	    machine_shares_make(&shares, &machine->paths, &machine->record.settings, home, NULL, NULL, err) < 0)
		return -1;
	*ret = machine_shares_encode(&shares);
	return *ret ? 0 : fail_memory(err);
}

API int annex_machine_shares(char **ret, struct annex_machine *machine, struct annex_error **err)
{
	auto_json json_t *list = NULL;

	if (machine_reload(machine, err) < 0 || describe(&list, machine, err) < 0)
		return -1;
	*ret = json_text(list, true);
	return *ret ? 0 : fail_memory(err);
}

int share_folder(char **ret, struct annex_machine *machine, struct annex_error **err)
{
	auto_json json_t *list = NULL;
	auto_free char *here = getcwd(NULL, 0);

	*ret = NULL;
	if (!here || *here != '/') /* it has been removed, or lies outside of our root */
		return 0;
	if (running_shares(&list, machine, err) < 0)
		return -1;
	*ret = list ? machine_shares_map(list, here) : NULL;
	return 0;
}
