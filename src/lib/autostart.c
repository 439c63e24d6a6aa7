/*
 * Unit and link are written by us, and systemd is told to read its units again: that works without a user manager at
 * hand, too, which reads them when it starts. Whether it looks there at all is asked of it when it can be.
 *
 * A unit is ours if it says so and names this machine's id; one of a machine that is gone is nobody's.
 */
#include "lib/autostart.h"

#include "base/file.h"
#include "base/spawn.h"
#include "base/time.h"
#include "lib/wait.h"
#include "machine/name.h"
#include "machine/unit.h"

#include <dirent.h>
#include <fcntl.h>
#include <pwd.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>

enum {
	UNIT_START_MS = 10000, /* until the supervisor that systemd starts listens; else we start one */
	UNIT_LOOK_MS = 20,
};

/* What of our environment its supervisor needs: a user manager has another one. */
static const char *const kept[] = {"PATH",       "ANNEX_BOOT_TIMEOUT", "ANNEX_KERNEL", "ANNEX_LIBEXECDIR",
				   "ANNEX_QEMU", "ANNEX_TIMEOUT_SCALE"};

struct place {
	char *folder, *file, *wants, *link, *name;
};

static void clear_place(struct place *place)
{
	free(place->folder);
	free(place->file);
	free(place->wants);
	free(place->link);
	free(place->name);
}
#define auto_place CLEANUP(clear_place)

static int make_place(struct place *ret, const char *machine, struct annex_error **err)
{
	auto_place struct place made = {0};

	if (context_base_folder(&made.folder, "XDG_CONFIG_HOME", ".config", "systemd/user", err) < 0)
		return -1;
	made.name = unit_file_name(machine);
	made.file = made.name ? path_join(made.folder, made.name) : NULL;
	made.wants = path_join(made.folder, "default.target.wants");
	made.link = made.wants && made.name ? path_join(made.wants, made.name) : NULL;
	if (!made.file || !made.wants || !made.link)
		return fail_memory(err);
	*ret = made;
	made = (struct place){0};
	return 0;
}

/* True: systemctl --user did as it was told. */
static bool systemctl(const char *verb, const char *unit)
{
	const char *const argv[] = {"systemctl", "--user", "--quiet", "--no-block", verb, unit, NULL};
	auto_error struct annex_error *ignored = NULL;
	int status = 0;

	return spawn_capture(NULL, NULL, &status, argv, UNIT_LIMIT, &ignored) == 0 && WIFEXITED(status) &&
	       WEXITSTATUS(status) == 0;
}

int autostart_check(struct annex_error **err)
{
	auto_free char *program = spawn_find("systemctl");

	if (program && (access("/run/systemd/system", F_OK) == 0 || systemctl("daemon-reload", NULL)))
		return 0;
	fail(err, ANNEX_ERROR_UNSUPPORTED, "autostart=true: there is no systemd here that could start it");
	return fail_hint(err, "the line '@reboot annex start NAME' in your crontab does it elsewhere: see crontab -e");
}

static int expected_text(char **ret, const struct annex_machine *machine, struct annex_error **err)
{
	auto_text_list struct text_list environment = {0};
	auto_free char *program = NULL;
	struct unit unit;

	if (context_helper(&program, machine->context, "annex-supervisor", err) < 0)
		return -1;
	for (size_t i = 0; i < COUNT_OF(kept); i++) {
		const char *value = getenv(kept[i]);

		if (value && *value && text_list_printf(&environment, "%s=%s", kept[i], value) < 0)
			return fail_memory(err);
	}
	unit = (struct unit){
		.name = machine->record.name,
		.id = machine->record.id,
		.data = machine->context->data,
		.config = machine->context->config,
		.runtime = machine->context->runtime,
		.program = program,
		.environment = (const char *const *)environment.items,
		.restarts = strcmp(machine->record.settings.restart, "no") != 0,
	};
	return unit_text(ret, &unit, err) < 0 ? fail_while(err, "autostart") : 0;
}

/* *ret and the mark's texts are NULL where there is no file. */
static int read_unit(char **ret, struct unit_mark *ret_mark, const char *path, struct annex_error **err)
{
	auto_free char *text = NULL;
	int result = file_read(&text, NULL, AT_FDCWD, path, UNIT_LIMIT);

	*ret = NULL;
	*ret_mark = (struct unit_mark){0};
	if (result == -ENOENT)
		return 0;
	if (result < 0)
		return fail_os(err, result, "cannot read %s", path);
	if (unit_read(ret_mark, text, err) < 0) {
		fail_while(err, "%s", path);
		return fail_hint(err, "rm %s", path);
	}
	*ret = TAKE(text);
	return 0;
}

/* Is there, below its data folder, a machine with that id and the unit's name? */
static bool has_machine(const struct unit_mark *mark, const char *unit, bool *ret_wants)
{
	auto_machine_record struct machine_record record = {0};
	auto_machine_paths struct machine_paths paths = {0};
	auto_error struct annex_error *ignored = NULL;
	size_t length = strlen(unit) - strlen("annex-.service");
	auto_free char *name = strndup(unit + strlen("annex-"), length);

	if (!name || machine_paths_make(&paths, mark->data, "/", "/", name, &ignored) < 0 ||
	    machine_record_load(&record, &paths, &ignored) < 0)
		return false;
	*ret_wants = record.settings.autostart;
	return strcmp(record.id, mark->id) == 0;
}

/* Nobody else's may be written over. */
static int check_owner(const struct annex_machine *machine, const struct place *place, const struct unit_mark *mark,
		       struct annex_error **err)
{
	bool wants;

	if (!mark->id) {
		fail(err, ANNEX_ERROR_EXISTS, "autostart: %s is in the way, which annex has not written", place->file);
		return fail_hint(err, "remove it, or rename it");
	}
	if (strcmp(mark->id, machine->record.id) == 0 || !has_machine(mark, place->name, &wants))
		return 0;
	fail(err, ANNEX_ERROR_EXISTS, "autostart: %s is of the machine '%s' in %s", place->file, machine->record.name,
	     mark->data);
	return fail_hint(err, "one of the two needs another name");
}

static bool is_linked(const struct place *place)
{
	struct stat st;

	return stat(place->link, &st) == 0;
}

static int make_link(const struct place *place, struct annex_error **err)
{
	auto_free char *target = path_join("..", place->name);
	int result;

	if (!target)
		return fail_memory(err);
	if (is_linked(place))
		return 0;
	result = file_make_folders(place->wants, 0755);
	if (result < 0)
		return fail_os(err, result, "cannot make folder %s", place->wants);
	unlink(place->link);
	return symlink(target, place->link) < 0 ? fail_os(err, errno, "cannot make %s", place->link) : 0;
}

static int remove_files(const struct place *place, struct annex_error **err)
{
	const char *const paths[] = {place->link, place->file};

	for (size_t i = 0; i < COUNT_OF(paths); i++) {
		if (unlink(paths[i]) < 0 && errno != ENOENT)
			return fail_os(err, errno, "cannot remove %s", paths[i]);
	}
	(void)systemctl("daemon-reload", NULL);
	return 0;
}

/* A manager that runs must see it; one that starts later can't be asked. */
static int enable(const struct place *place, struct annex_error **err)
{
	if (make_link(place, err) < 0)
		return -1;
	if (!systemctl("daemon-reload", NULL) || systemctl("is-enabled", place->name))
		return 0;
	fail(err, ANNEX_ERROR_UNSUPPORTED, "autostart=true: your systemd does not look for units in %s", place->folder);
	return fail_hint(err, "systemctl --user show-environment tells its XDG_CONFIG_HOME, which must be the same");
}

static int write_unit(const struct place *place, const char *text, struct annex_error **err)
{
	int result = file_make_folders(place->folder, 0755);

	if (result == 0)
		result = file_write_atomic(AT_FDCWD, place->file, text, strlen(text), 0644);
	if (result < 0)
		return fail_os(err, result, "cannot write %s", place->file);
	if (enable(place, err) == 0)
		return 0;
	(void)!remove_files(place, NULL);
	return -1;
}

int autostart_remove(struct annex_machine *machine, struct annex_error **err)
{
	auto_place struct place place = {0};
	auto_unit_mark struct unit_mark mark = {0};
	auto_free char *text = NULL;

	if (make_place(&place, machine->record.name, err) < 0 || read_unit(&text, &mark, place.file, err) < 0)
		return -1;
	if (!text && !is_linked(&place)) {
		unlink(place.link); /* to a unit that somebody else has removed */
		return 0;
	}
	return mark.id && strcmp(mark.id, machine->record.id) == 0 ? remove_files(&place, err) : 0;
}

int autostart_sync(struct annex_machine *machine, struct annex_error **err)
{
	auto_place struct place place = {0};
	auto_unit_mark struct unit_mark mark = {0};
	auto_free char *text = NULL, *wanted = NULL;

	if (!machine->record.settings.autostart)
		return autostart_remove(machine, err);
	if (make_place(&place, machine->record.name, err) < 0 || expected_text(&wanted, machine, err) < 0 ||
	    read_unit(&text, &mark, place.file, err) < 0)
		return -1;
	if (text && check_owner(machine, &place, &mark, err) < 0)
		return -1;
	if (text_equal(text, wanted) && is_linked(&place))
		return 0;
	return write_unit(&place, wanted, err);
}

int autostart_problem(char **ret, struct annex_machine *machine, struct annex_error **err)
{
	auto_place struct place place = {0};
	auto_unit_mark struct unit_mark mark = {0};
	auto_free char *text = NULL, *problem = NULL;
	int length = 0;

	if (make_place(&place, machine->record.name, err) < 0 || read_unit(&text, &mark, place.file, err) < 0)
		return -1;
	if (!text)
		length = asprintf(&problem, "%s is gone", place.file);
	else if (!mark.id || strcmp(mark.id, machine->record.id) != 0)
		length = asprintf(&problem, "%s is not of this machine", place.file);
	else if (access(mark.program, X_OK) < 0)
		length = asprintf(&problem, "%s starts %s, which is gone", place.file, mark.program);
	else if (!is_linked(&place))
		length = asprintf(&problem, "%s is not enabled", place.file);
	if (length < 0) {
		problem = NULL;
		return fail_memory(err);
	}
	*ret = TAKE(problem);
	return 0;
}

void autostart_heal(struct annex_machine *machine)
{
	auto_error struct annex_error *ignored = NULL;
	auto_free char *problem = NULL;

	if (machine->record.settings.autostart && autostart_problem(&problem, machine, &ignored) == 0 && problem)
		(void)!autostart_sync(machine, &ignored);
}

/* The value of a line "KEY=VALUE" of `systemctl show`; empty: it isn't there. */
static const char *shown(const char *text, const char *key)
{
	const char *found = strstr(text, key);

	return found ? found + strlen(key) : "";
}

/* Is a job of the unit under way, or is it neither at rest nor failed? */
static bool is_at_work(const char *unit)
{
	static const char *const states[] = {"active\n", "activating\n", "reloading\n", "deactivating\n"};
	const char *const argv[] = {"systemctl", "--user", "show", "--property=Job,ActiveState", unit, NULL};
	auto_error struct annex_error *ignored = NULL;
	auto_free char *text = NULL;
	int status = 0;

	if (spawn_capture(&text, NULL, &status, argv, UNIT_LIMIT, &ignored) < 0)
		return false;
	for (size_t i = 0; i < COUNT_OF(states); i++) {
		if (text_starts(shown(text, "ActiveState="), states[i]))
			return true;
	}
	return *shown(text, "Job=") >= '1' && *shown(text, "Job=") <= '9';
}

/* In order, and of the annex that is at work here. */
static bool is_usable(const struct annex_machine *machine, const struct place *place)
{
	auto_unit_mark struct unit_mark mark = {0};
	auto_error struct annex_error *ignored = NULL;
	auto_free char *text = NULL, *program = NULL;

	return read_unit(&text, &mark, place->file, &ignored) == 0 && mark.id &&
	       strcmp(mark.id, machine->record.id) == 0 && strcmp(mark.data, machine->context->data) == 0 &&
	       context_helper(&program, machine->context, "annex-supervisor", &ignored) == 0 &&
	       strcmp(mark.program, program) == 0;
}

int autostart_start(struct link **ret, struct annex_machine *machine, struct annex_error **err)
{
	auto_place struct place place = {0};
	uint64_t end = time_monotonic_ms() + UNIT_START_MS;

	*ret = NULL;
	if (!machine->record.settings.autostart)
		return 0;
	if (make_place(&place, machine->record.name, err) < 0 ||
	    link_open(ret, machine->context, &machine->paths, false, err) < 0)
		return -1;
	if (*ret || !is_usable(machine, &place) || !systemctl("start", place.name))
		return 0;
	while (!*ret && is_at_work(place.name) && time_monotonic_ms() < end) {
		if (wait_fd(machine->context, -1, 0, UNIT_LOOK_MS, err) < 0 ||
		    link_open(ret, machine->context, &machine->paths, false, err) < 0)
			return -1;
	}
	return 0;
}

/* loginctl enable-linger makes this file: then the user's manager starts with the host. */
static bool lingers(void)
{
	const struct passwd *user = getpwuid(getuid());
	auto_free char *path = user ? path_join("/var/lib/systemd/linger", user->pw_name) : NULL;

	return path && access(path, F_OK) == 0;
}

int autostart_describe(json_t **ret, struct annex_machine *machine, struct annex_error **err)
{
	auto_place struct place place = {0};
	auto_free char *problem = NULL;

	if (!machine->record.settings.autostart) {
		*ret = json_null();
		return 0;
	}
	if (make_place(&place, machine->record.name, err) < 0 || autostart_problem(&problem, machine, err) < 0)
		return -1;
	*ret = json_pack("{s:s, s:s, s:s, s:s?}", "unit", place.name, "path", place.file, "starts",
			 lingers() ? "host" : "login", "problem", problem);
	return *ret ? 0 : fail_memory(err);
}

static bool is_orphan(const struct annex_context *context, const char *folder, const char *name)
{
	auto_unit_mark struct unit_mark mark = {0};
	auto_error struct annex_error *ignored = NULL;
	auto_free char *path = path_join(folder, name), *text = NULL;
	bool wants = false;

	if (!path || read_unit(&text, &mark, path, &ignored) < 0 || !mark.data || strcmp(mark.data, context->data) != 0)
		return false;
	return !has_machine(&mark, name, &wants) || !wants;
}

int autostart_orphans(struct text_list *ret, const struct annex_context *context, struct annex_error **err)
{
	auto_free char *folder = NULL;
	struct dirent *entry;
	int result = 0;
	DIR *open;

	if (context_base_folder(&folder, "XDG_CONFIG_HOME", ".config", "systemd/user", err) < 0)
		return -1;
	open = opendir(folder);
	while (open && result == 0 && (entry = readdir(open))) {
		if (text_starts(entry->d_name, "annex-") && text_ends(entry->d_name, ".service") &&
		    is_orphan(context, folder, entry->d_name))
			result = text_list_printf(ret, "%s/%s", folder, entry->d_name);
	}
	if (open)
		closedir(open);
	return result < 0 ? fail_memory(err) : 0;
}
