/*
 * Machines as objects: finding them, and what is known about them. Nothing is cached between calls: the record is read
 * again and the supervisor asked each time, since other programs work on the same machines.
 */
#include "lib/machine.h"

#include "base/file.h"
#include "base/time.h"
#include "base/spawn.h"
#include "lib/autostart.h"
#include "machine/lifecycle.h"
#include "machine/name.h"
#include "rootfs/overlay.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

static int make_paths(struct machine_paths *ret, const struct annex_context *context, const char *name,
		      struct annex_error **err)
{
	return machine_paths_make(ret, context->data, context->config, context->runtime, name, err);
}

int machine_open_named(struct annex_machine **ret, struct annex_context *context, const char *name,
		       struct annex_error **err)
{
	auto_machine struct annex_machine *machine = NULL;

	if (machine_name_check(name, err) < 0)
		return -1;
	machine = calloc(1, sizeof(*machine));
	if (!machine)
		return fail_memory(err);
	machine->references = 1;
	machine->context = annex_context_ref(context);
	if (make_paths(&machine->paths, context, name, err) < 0 || machine_reload(machine, err) < 0)
		return -1;
	*ret = TAKE(machine);
	return 0;
}

int machine_reload(struct annex_machine *machine, struct annex_error **err)
{
	struct machine_record record = {0};

	if (machine_record_load(&record, &machine->paths, err) < 0)
		return -1;
	/* Callers hold on to the name. */
	if (text_equal(machine->record.name, record.name)) {
		char *same = record.name;

		record.name = machine->record.name;
		machine->record.name = same;
	}
	machine_record_clear(&machine->record);
	machine->record = record;
	return 0;
}

API int annex_machine_open(struct annex_machine **ret, struct annex_context *context, const char *name,
			   struct annex_error **err)
{
	const char *set = getenv("ANNEX_MACHINE");
	auto_free char *standard = NULL;

	if (!name && set && *set)
		name = set;
	if (name)
		return machine_open_named(ret, context, name, err);
	if (machine_default_name(&standard, context, err) < 0)
		return -1;
	if (!standard) {
		fail(err, ANNEX_ERROR_NOT_FOUND, "no machine is named, and there is no default machine");
		return fail_hint(err, "name one, or choose the default by 'annex set-default NAME'");
	}
	return machine_open_named(ret, context, standard, err);
}

API void annex_machine_unref(struct annex_machine *machine)
{
	if (!machine || --machine->references > 0)
		return;
	machine_paths_clear(&machine->paths);
	machine_record_clear(&machine->record);
	link_state_clear(&machine->state);
	machine_failure_clear(&machine->failure);
	free(machine->pending);
	annex_context_unref(machine->context);
	free(machine);
}

API const char *annex_machine_name(const struct annex_machine *machine)
{
	return machine->record.name;
}

API const char *annex_machine_state_name(enum annex_machine_state state)
{
	return machine_state_name((enum machine_state)state);
}

static int compare_texts(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

int machine_names(struct text_list *ret, const struct annex_context *context, struct annex_error **err)
{
	auto_free char *folder = path_join(context->data, "machines");
	auto_text_list struct text_list names = {0};
	struct dirent *entry;
	int result = 0;
	DIR *open;

	if (!folder)
		return fail_memory(err);
	open = opendir(folder);
	if (!open && errno != ENOENT)
		return fail_os(err, errno, "cannot read %s", folder);
	while (open && result == 0 && (entry = readdir(open))) {
		if (machine_name_check(entry->d_name, NULL) == 0)
			result = text_list_add(&names, entry->d_name);
	}
	if (open)
		closedir(open);
	if (result < 0)
		return fail_memory(err);
	if (names.count > 0)
		qsort(names.items, names.count, sizeof(*names.items), compare_texts);
	*ret = names;
	names = (struct text_list){0};
	return 0;
}

API int annex_machine_list(struct annex_machine ***ret, size_t *ret_count, struct annex_context *context,
			   struct annex_error **err)
{
	auto_text_list struct text_list names = {0};
	struct annex_machine **list;
	size_t count = 0;

	if (machine_names(&names, context, err) < 0)
		return -1;
	list = calloc(names.count + 1, sizeof(struct annex_machine *));
	if (!list)
		return fail_memory(err);
	for (size_t i = 0; i < names.count; i++) {
		auto_error struct annex_error *cause = NULL;

		if (machine_open_named(&list[count], context, names.items[i], &cause) == 0) {
			count++;
		} else if (annex_error_kind(cause) != ANNEX_ERROR_NOT_FOUND) { /* deleted meanwhile: not there */
			annex_machine_list_free(list, count);
			if (err)
				*err = TAKE(cause);
			return -1;
		}
	}
	*ret = list;
	*ret_count = count;
	return 0;
}

API void annex_machine_list_free(struct annex_machine **list, size_t count)
{
	for (size_t i = 0; i < count; i++)
		annex_machine_unref(list[i]);
	free(list);
}

/* Ask the supervisor, or see how the machine ended. */
static int look(struct annex_machine *machine, struct annex_error **err)
{
	auto_link struct link *link = NULL;
	auto_error struct annex_error *cause = NULL;

	link_state_clear(&machine->state);
	machine_failure_clear(&machine->failure);
	if (link_open(&link, machine->context, &machine->paths, false, err) < 0)
		return -1;
	if (link)
		return link_state(link, &machine->state, err);
	machine->state.state = MACHINE_STOPPED;
	if (machine_failure_load(&machine->failure, &machine->paths, &cause) == 0)
		machine->state.state = MACHINE_FAILED;
	return 0;
}

/* What the supervisor says in JSON; NULL: nothing. */
static int told(json_t **ret, const char *text, const char *what, struct annex_error **err)
{
	return text && *text ? json_parse(ret, text, strlen(text), what, err) : 0;
}

/* The settings in effect: those of the record where nothing runs, and where they need no restart. */
static int effective_settings(json_t **ret, const struct annex_machine *machine, const json_t *set,
			      struct annex_error **err)
{
	auto_json json_t *effective = NULL;
	const char *key;

	if (told(&effective, machine->state.settings, "settings", err) < 0)
		return -1;
	if (!effective)
		effective = json_copy((json_t *)set);
	for (size_t i = 0; effective && (key = setting_key(i)); i++) {
		if (setting_is_at_once(key))
			json_object_set(effective, key, json_object_get(set, key));
	}
	*ret = TAKE(effective);
	return *ret ? 0 : fail_memory(err);
}

json_t *machine_pending(const json_t *set, const json_t *effective)
{
	json_t *differences = json_object();
	const char *key;
	json_t *value;

	json_object_foreach((json_t *)set, key, value)
	{
		if (differences && !setting_is_at_once(key) && !json_equal(value, json_object_get(effective, key)))
			json_object_set(differences, key, value);
	}
	return differences;
}

static int find_pending(struct annex_machine *machine, struct annex_error **err)
{
	auto_json json_t *set = settings_encode(&machine->record.settings), *effective = NULL, *pending = NULL;

	if (!set)
		return fail_memory(err);
	if (effective_settings(&effective, machine, set, err) < 0)
		return -1;
	pending = machine_pending(set, effective);
	free(machine->pending);
	machine->pending = pending ? json_text(pending, false) : NULL;
	return machine->pending ? 0 : fail_memory(err);
}

/* What only a machine that runs has, and what is in effect meanwhile. */
static void show_running(struct annex_machine_info *info, const struct link_state *state)
{
	info->started = state->started;
	info->memory = state->memory ? state->memory : info->memory;
	info->cpus = state->cpus ? state->cpus : info->cpus;
	info->pid = (int)state->pid;
	info->vm_pid = (int)state->vm_pid;
	info->restarts = state->restarts;
	if (state->failure && *state->failure)
		info->failure = state->failure;
	if (state->waiting && *state->waiting)
		info->waiting = state->waiting;
}

API int annex_machine_info(const struct annex_machine_info **ret, struct annex_machine *machine,
			   struct annex_error **err)
{
	auto_free char *standard = NULL;
	const struct machine_record *record = &machine->record;
	const struct link_state *state = &machine->state;
	uint64_t disk = record->settings.disk, used = 0;

	if (machine_reload(machine, err) < 0 || look(machine, err) < 0 || find_pending(machine, err) < 0 ||
	    machine_default_name(&standard, machine->context, err) < 0)
		return -1;
	if (overlay_info(&disk, &used, machine->paths.disk, NULL) < 0)
		used = 0; /* a disk that is gone is told by start */
	machine->info = (struct annex_machine_info){
		.name = record->name,
		.id = record->id,
		.image = record->image,
		.ip = record->place ? place_host_text(machine->address, record->place) : NULL,
		.failure = machine->failure.message,
		.created = record->created,
		.memory = record->settings.memory,
		.disk = disk > record->settings.disk ? disk : record->settings.disk,
		.disk_used = used,
		.cpus = (unsigned)record->settings.cpus,
		.state = (enum annex_machine_state)state->state,
		.is_default = text_equal(standard, record->name),
		.pending = machine->pending,
	};
	if (state->state != MACHINE_STOPPED && state->state != MACHINE_FAILED)
		show_running(&machine->info, state);
	*ret = &machine->info;
	return 0;
}

/* Each mask is told once, by the setting. */
static int list_shares(json_t **ret, const struct annex_machine *machine, struct annex_error **err)
{
	auto_json json_t *shares = NULL;
	json_t *share;
	size_t i;

	if (told(&shares, machine->state.shares, "shares", err) < 0)
		return -1;
	json_array_foreach(shares, i, share) json_object_del(share, "masks");
	*ret = shares ? TAKE(shares) : json_array();
	return *ret ? 0 : fail_memory(err);
}

/* The reasons of what still waits. */
static int list_reasons(json_t **ret, const struct annex_machine *machine, const json_t *waits,
			struct annex_error **err)
{
	auto_json json_t *reasons = NULL, *found = json_object();
	const char *key;
	json_t *reason;

	if (told(&reasons, machine->state.reasons, "reasons", err) < 0)
		return -1;
	json_object_foreach(reasons, key, reason)
	{
		if (json_object_get(waits, key))
			json_object_set(found, key, reason);
	}
	*ret = TAKE(found);
	return *ret ? 0 : fail_memory(err);
}

static json_t *text_or_null(const char *text)
{
	return text && *text ? json_string(text) : json_null();
}

static json_t *number_or_null(int number)
{
	return number ? json_integer(number) : json_null();
}

static int describe(json_t *object, struct annex_machine *machine, const struct annex_machine_info *info,
		    struct annex_error **err)
{
	auto_json json_t *set = settings_encode(&machine->record.settings), *effective = NULL, *shares = NULL;
	auto_json json_t *autostart = NULL;
	auto_json json_t *waits = NULL, *reasons = NULL, *network = NULL;
	char created[TIME_BUFFER], started[TIME_BUFFER];
	bool runs = info->pid != 0, complete = true;

	if (!set)
		return fail_memory(err);
	if (effective_settings(&effective, machine, set, err) < 0 || list_shares(&shares, machine, err) < 0 ||
	    autostart_describe(&autostart, machine, err) < 0)
		return -1;
	if (told(&network, machine->state.network, "network", err) < 0)
		return -1;
	waits = machine_pending(set, effective);
	settings_isolate(effective);
	if (list_reasons(&reasons, machine, waits, err) < 0)
		return -1;
	const struct {
		const char *key;
		json_t *value;
	} members[] = {
		{"name", json_string(info->name)},
		{"id", json_string(info->id)},
		{"state", json_string(annex_machine_state_name(info->state))},
		{"failure", text_or_null(info->failure)},
		{"waiting", text_or_null(info->waiting)},
		{"restarts", json_integer(info->restarts)},
		{"autostart", TAKE(autostart)},
		{"default", json_boolean(info->is_default)},
		{"created", json_string(time_format(created, info->created))},
		{"started", text_or_null(info->started ? time_format(started, info->started) : NULL)},
		{"image", json_string(info->image)},
		{"imageId", json_string(machine->record.image_id)},
		{"ip", text_or_null(info->ip)},
		{"diskUsed", json_integer((json_int_t)info->disk_used)},
		{"accelerator", text_or_null(runs ? machine->state.accelerator : NULL)},
		{"supervisorPid", number_or_null(info->pid)},
		{"vmPid", number_or_null(info->vm_pid)},
		{"folder", json_string(machine->paths.folder)},
		{"network", network ? TAKE(network) : json_null()},
		{"shares", TAKE(shares)},
		{"settings", json_incref(effective)},
		{"pending", TAKE(waits)},
		{"pendingReasons", TAKE(reasons)},
	};
	for (size_t i = 0; i < COUNT_OF(members); i++)
		complete = json_object_set_new(object, members[i].key, members[i].value) == 0 && complete;
	return complete ? 0 : fail_memory(err);
}

API int annex_machine_describe(char **ret, struct annex_machine *machine, struct annex_error **err)
{
	auto_json json_t *object = json_object();
	const struct annex_machine_info *info = NULL;

	if (annex_machine_info(&info, machine, err) < 0 || describe(object, machine, info, err) < 0)
		return -1;
	*ret = json_text(object, true);
	return *ret ? 0 : fail_memory(err);
}

/* The default machine is kept in DATA/default.json. */
int machine_default_name(char **ret, const struct annex_context *context, struct annex_error **err)
{
	auto_free char *path = path_join(context->data, "default.json");
	auto_error struct annex_error *cause = NULL;
	auto_json json_t *value = NULL;
	const char *name;

	if (!path)
		return fail_memory(err);
	if (json_read_file(&value, AT_FDCWD, path, &cause) < 0) {
		if (annex_error_kind(cause) == ANNEX_ERROR_NOT_FOUND) {
			*ret = NULL;
			return 0;
		}
		if (err)
			*err = TAKE(cause);
		return -1;
	}
	name = json_string_value(json_object_get(value, "machine"));
	if (!name || machine_name_check(name, NULL) < 0)
		return fail(err, ANNEX_ERROR_CORRUPT, "%s: machine: not a machine's name", path);
	*ret = strdup(name);
	return *ret ? 0 : fail_memory(err);
}

int machine_default_write(const struct annex_context *context, const char *name, struct annex_error **err)
{
	auto_free char *path = path_join(context->data, "default.json");
	auto_json json_t *value = name ? json_pack("{s:i, s:s}", "version", 1, "machine", name) : NULL;

	if (!path || (name && !value))
		return fail_memory(err);
	if (name)
		return json_write_file(AT_FDCWD, path, value, err);
	return unlink(path) < 0 && errno != ENOENT ? fail_os(err, errno, "cannot remove %s", path) : 0;
}

API int annex_machine_set_default(struct annex_machine *machine, struct annex_error **err)
{
	return machine_default_write(machine->context, machine->record.name, err);
}

int machine_scratch_path(char **ret, const struct annex_context *context, const char *purpose, const char *id,
			 struct annex_error **err)
{
	auto_free char *machines = NULL;

	if (context_folder(&machines, context, "machines", err) < 0)
		return -1;
	if (asprintf(ret, "%s/.%s-%d-%llu-%s", machines, purpose, (int)getpid(), spawn_start_time(getpid()), id) < 0)
		return fail_memory(err);
	return 0;
}

/* ".purpose-PID-START-ID": does that process still live? */
static bool scratch_is_in_use(const char *name)
{
	auto_free char *copy = strdup(name);
	char *at = copy, *pid_text, *start_text;
	uint64_t pid = 0, start = 0;

	if (!copy)
		return true;
	strsep(&at, "-");
	pid_text = strsep(&at, "-");
	start_text = strsep(&at, "-");
	if (!pid_text || !start_text || text_to_u64(&pid, pid_text, 10) < 0 || text_to_u64(&start, start_text, 10) < 0)
		return true;
	return spawn_start_time((pid_t)pid) == start;
}

void machine_sweep(const struct annex_context *context)
{
	auto_free char *machines = path_join(context->data, "machines");
	DIR *open = machines ? opendir(machines) : NULL;
	struct dirent *entry;

	while (open && (entry = readdir(open))) {
		if ((text_starts(entry->d_name, ".new-") || text_starts(entry->d_name, ".gone-")) &&
		    !scratch_is_in_use(entry->d_name) && file_remove_tree(dirfd(open), entry->d_name) < 0)
			continue; /* the next sweep tries again */
	}
	if (open)
		closedir(open);
}

int machine_supervisor_argv(struct text_list *ret, const struct annex_context *context,
			    const struct machine_paths *paths, bool foreground, struct annex_error **err)
{
	auto_text_list struct text_list argv = {0};
	auto_free char *program = NULL;
	int result;

	if (context_helper(&program, context, "annex-supervisor", err) < 0)
		return -1;
	result = text_list_add(&argv, program);
	if (result == 0)
		result = text_list_add(&argv, "--data") | text_list_add(&argv, context->data) |
			 text_list_add(&argv, "--config") | text_list_add(&argv, context->config) |
			 text_list_add(&argv, "--runtime") | text_list_add(&argv, context->runtime);
	if (result == 0 && foreground)
		result = text_list_add(&argv, "--foreground");
	if (result == 0)
		result = text_list_add(&argv, paths->name);
	if (result < 0)
		return fail_memory(err);
	*ret = argv;
	argv = (struct text_list){0};
	return 0;
}
