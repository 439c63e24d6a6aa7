/*
 * What clients ask is done one after the other, and of each request first the disk, then processors, then memory. Each
 * goes through steps that QEMU and the guest answer in turn. Whatever can't be done leaves a reason, and the setting
 * waits for the next start; what was done is in effect, and told as what QEMU and the guest say, not what was asked
 * for.
 *
 * Disk: QEMU grows it, the guest lets its file system fill it.
 *
 * Processors: QEMU adds those that were never there; the guest uses as many as it is told. What it uses no more stays
 * where it is and sleeps.
 *
 * Memory: the guest tells what it can do without; memory.c does the rest.
 *
 * What the machine may reach is annex-network's to know, which takes it over before anything else is done.
 *
 * Giving free space of the disk back to the host is a request as well, but nobody's: any other takes its place.
 */
#include "supervisor/resources.h"

#include "base/log.h"
#include "base/time.h"
#include "json/json.h"
#include "supervisor/clients.h"
#include "supervisor/guest.h"
#include "supervisor/memory.h"
#include "supervisor/network.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

enum resource { RESOURCE_DISK, RESOURCE_CPUS, RESOURCE_MEMORY, RESOURCES };

static const char *const keys[RESOURCES] = {"disk", "cpus", "memory"};

struct task {
	struct task *next;
	const void *client; /* NULL: it is gone, or nobody asked */
	bool is_trim;
	bool asked[RESOURCES];
	uint64_t wanted[RESOURCES];
	enum resource at;  /* work */
	bool asks_network; /* these are to be in effect: */
	char *host_access;
	struct text_list allow;
};

struct resources {
	struct supervisor *supervisor;
	struct task *first; /* at work */
	struct task *last;
	unsigned count;
	bool in_guest;                /* the first one waits for its answer */
	unsigned owed;                /* answers that nobody waits for any more */
	struct loop_source *deadline; /* of the guest's answer */
	struct loop_source *trim;
	char *reasons[RESOURCES];
	char *told; /* them as JSON, or NULL */

	struct memory *memory;
	unsigned processors; /* of QEMU, used or not */
};

static void next_step(struct resources *resources);
static void begin(struct resources *resources);

static void free_task(struct task *task)
{
	if (!task)
		return;
	free(task->host_access);
	text_list_clear(&task->allow);
	free(task);
}

static uint64_t scaled(const struct resources *resources, uint64_t ms)
{
	return time_scaled_ms(ms, supervisor_slowness(resources->supervisor));
}

/* Reasons. */

static void tell_reasons(struct resources *resources)
{
	auto_json json_t *object = json_object();
	bool any = false;

	for (size_t i = 0; object && i < RESOURCES; i++) {
		any |= resources->reasons[i] != NULL;
		if (resources->reasons[i])
			json_object_set_new(object, keys[i], json_string(resources->reasons[i]));
	}
	free(resources->told);
	resources->told = any ? json_text(object, false) : NULL;
}

static void set_reason(struct resources *resources, enum resource which, char *reason)
{
	free(resources->reasons[which]);
	resources->reasons[which] = reason;
	tell_reasons(resources);
}

const char *resources_reasons(const struct resources *resources)
{
	return resources ? resources->told : NULL;
}

/* The key at work is done, as far as the setting in effect tells; or it waits, for a reason that people can read. */
static void done(struct resources *resources)
{
	struct task *task = resources->first;

	set_reason(resources, task->at, NULL);
	task->at++;
	next_step(resources);
}

static void wait_for_restart(struct resources *resources, const char *format, ...) PRINTF_LIKE(2, 3);
static void wait_for_restart(struct resources *resources, const char *format, ...)
{
	struct task *task = resources->first;
	char *reason = NULL;
	va_list args;

	va_start(args, format);
	if (vasprintf(&reason, format, args) < 0)
		reason = NULL;
	va_end(args);
	set_reason(resources, task->at, reason);
	task->at++;
	next_step(resources);
}

static void wait_as_told(struct resources *resources, const struct message_adjusted *adjusted)
{
	auto_free char *reason = text_clean(adjusted->message, GUEST_FAILURE_MAX);

	wait_for_restart(resources, "%s", reason ? reason : "");
}

/* Asking the guest. */

static void ask_guest(struct resources *resources, enum message_adjustment what, uint64_t value)
{
	if (resources->owed >= RESOURCES_OWED_MAX) {
		wait_for_restart(resources, "the machine does not answer");
		return;
	}
	resources->in_guest = true;
	guest_adjust(resources->supervisor->guest, what, value);
	loop_timer_restart(resources->deadline, scaled(resources, RESOURCES_ANSWER_MS));
}

static void finish(struct resources *resources)
{
	struct task *task = resources->first;

	resources->first = task->next;
	resources->last = resources->first ? resources->last : NULL;
	resources->count--;
	if (!task->is_trim)
		supervisor_on_changed(resources->supervisor);
	if (task->client)
		clients_answer(resources->supervisor->clients, task->client, NULL);
	free_task(task);
	begin(resources);
}

static void on_trimmed(struct resources *resources, const struct message_adjusted *adjusted)
{
	auto_free char *said = text_clean(adjusted->message, GUEST_FAILURE_MAX);
	bool again = adjusted->kind == ANNEX_ERROR_BUSY;

	if (adjusted->kind == 0)
		log_debug("%llu bytes of the disk were trimmed", (unsigned long long)adjusted->value);
	else if (!again)
		log_info("the disk was not trimmed: %s", said ? said : "");
	loop_timer_restart(resources->trim, again ? RESOURCES_TRIM_RETRY_MS : RESOURCES_TRIM_MS);
	finish(resources);
}

static void on_deadline(struct loop_source *source, void *data)
{
	struct resources *resources = data;

	(void)source;
	if (!resources->in_guest || resources->first->is_trim) /* that takes as long as it takes */
		return;
	resources->in_guest = false;
	resources->owed++;
	wait_for_restart(resources, "the machine does not answer");
}

/* Disk. */

static void on_disk(struct qmp *qmp, const json_t *result, const struct annex_error *err, void *data)
{
	struct resources *resources = data;

	(void)qmp;
	if (result)
		ask_guest(resources, ADJUST_DISK, resources->first->wanted[RESOURCE_DISK]);
	else
		wait_for_restart(resources, "%s", annex_error_message(err));
}

static void execute(struct resources *resources, const char *command, json_t *arguments, qmp_reply_fn *fn)
{
	struct qemu_vm *vm = resources->supervisor->vm;
	int result = -ENOTCONN;

	if (vm && arguments)
		result = qemu_vm_execute(vm, command, arguments, fn, resources);
	else
		json_decref(arguments);
	if (result < 0)
		wait_for_restart(resources, "QEMU can't be asked: %s", strerror(-result));
}

static void begin_disk(struct resources *resources)
{
	uint64_t wanted = resources->first->wanted[RESOURCE_DISK];

	execute(resources, "block_resize",
		json_pack("{s:s, s:I}", "node-name", QEMU_NODE_DISK, "size", (json_int_t)wanted), on_disk);
}

static void on_disk_filled(struct resources *resources, const struct message_adjusted *adjusted)
{
	if (adjusted->kind != 0) {
		wait_as_told(resources, adjusted);
		return;
	}
	resources->supervisor->record->settings.disk = resources->first->wanted[RESOURCE_DISK];
	done(resources);
}

/* Processors. */

static void ask_for_processors(struct resources *resources);

static void on_processor(struct qmp *qmp, const json_t *result, const struct annex_error *err, void *data)
{
	struct resources *resources = data;

	(void)qmp;
	if (!result) {
		wait_for_restart(resources, "%s", annex_error_message(err));
		return;
	}
	resources->processors++;
	ask_for_processors(resources);
}

/* The last one listed that is not there yet is the one with the lowest number. */
static void on_places(struct qmp *qmp, const json_t *result, const struct annex_error *err, void *data)
{
	struct resources *resources = data;
	json_t *arguments = NULL;

	(void)qmp;
	for (size_t i = json_array_size(result); !arguments && i > 0; i--) {
		const json_t *place = json_array_get(result, i - 1);

		if (json_object_get(place, "qom-path"))
			continue;
		arguments = json_deep_copy(json_object_get(place, "props"));
		if (arguments)
			json_object_set(arguments, "driver", json_object_get(place, "type"));
	}
	if (arguments)
		execute(resources, "device_add", arguments, on_processor);
	else
		wait_for_restart(resources, "%s", err ? annex_error_message(err) : "there is no place for a processor");
}

static void ask_for_processors(struct resources *resources)
{
	uint64_t wanted = resources->first->wanted[RESOURCE_CPUS];

	if (wanted <= resources->processors)
		ask_guest(resources, ADJUST_CPUS, wanted);
	else
		execute(resources, "query-hotpluggable-cpus", json_object(), on_places);
}

static void begin_processors(struct resources *resources)
{
	unsigned most = resources->supervisor->plan.qemu.cpus_max;
	uint64_t wanted = resources->first->wanted[RESOURCE_CPUS];

	if (wanted > resources->processors && wanted > most)
		wait_for_restart(resources, "a running machine can have up to %u",
				 most > resources->processors ? most : resources->processors);
	else
		ask_for_processors(resources);
}

static void on_processors_used(struct resources *resources, const struct message_adjusted *adjusted)
{
	if (adjusted->value > 0 && adjusted->value <= resources->processors)
		resources->supervisor->record->settings.cpus = adjusted->value;
	if (adjusted->kind != 0)
		wait_as_told(resources, adjusted);
	else
		done(resources);
}

/* Memory. */

static void begin_memory(struct resources *resources)
{
	uint64_t wanted = resources->first->wanted[RESOURCE_MEMORY], most = memory_most(resources->memory);
	char text[TEXT_SIZE_BUFFER];

	if (wanted > most)
		wait_for_restart(resources, "a running machine can have up to %s", text_from_size(text, most));
	else
		ask_guest(resources, ADJUST_MEMORY, wanted);
}

static void on_memory_prepared(struct resources *resources, const struct message_adjusted *adjusted)
{
	if (adjusted->kind == 0)
		memory_change(resources->memory, resources->first->wanted[RESOURCE_MEMORY], adjusted->value);
	else
		wait_as_told(resources, adjusted);
}

static void on_memory_changed(uint64_t reached, const char *why, void *data)
{
	struct resources *resources = data;

	if (reached > 0)
		resources->supervisor->record->settings.memory = reached;
	if (why)
		wait_for_restart(resources, "%s", why);
	else
		done(resources);
}

/* Tasks. */

static const struct {
	void (*begin)(struct resources *resources);
	void (*on_adjusted)(struct resources *resources, const struct message_adjusted *adjusted);
} steps[RESOURCES] = {
	[RESOURCE_DISK] = {begin_disk, on_disk_filled},
	[RESOURCE_CPUS] = {begin_processors, on_processors_used},
	[RESOURCE_MEMORY] = {begin_memory, on_memory_prepared},
};

static bool is_needed(const struct resources *resources, const struct task *task)
{
	const struct machine_settings *now = &resources->supervisor->record->settings;
	const uint64_t there[RESOURCES] = {
		[RESOURCE_DISK] = now->disk, [RESOURCE_CPUS] = now->cpus, [RESOURCE_MEMORY] = now->memory};

	return task->asked[task->at] && task->wanted[task->at] != there[task->at];
}

static void next_step(struct resources *resources)
{
	struct task *task = resources->first;

	while (task->at < RESOURCES && !is_needed(resources, task)) {
		if (task->asked[task->at])
			set_reason(resources, task->at, NULL);
		task->at++;
	}
	if (task->at < RESOURCES)
		steps[task->at].begin(resources);
	else
		finish(resources);
}

static void on_network_changed(void *data)
{
	next_step(data);
}

static void change_network(struct resources *resources)
{
	struct supervisor *supervisor = resources->supervisor;
	struct machine_settings *settings = &supervisor->record->settings;
	struct task *task = resources->first;

	free(settings->host_access);
	settings->host_access = TAKE(task->host_access);
	text_list_clear(&settings->allow);
	settings->allow = task->allow;
	task->allow = (struct text_list){0};
	network_apply(supervisor->network, on_network_changed, resources);
}

static void begin(struct resources *resources)
{
	if (!resources->first)
		return;
	if (resources->first->is_trim)
		ask_guest(resources, ADJUST_TRIM, 0);
	else if (resources->first->asks_network)
		change_network(resources);
	else
		next_step(resources);
}

bool resources_on_adjusted(struct resources *resources, const struct message_adjusted *adjusted)
{
	struct task *task = resources->first;

	if (resources->owed > 0) {
		resources->owed--;
		return true;
	}
	if (!task || !resources->in_guest)
		return false;
	resources->in_guest = false;
	if (task->is_trim)
		on_trimmed(resources, adjusted);
	else
		steps[task->at].on_adjusted(resources, adjusted);
	return true;
}

/* Takes the task. */
static void add(struct resources *resources, struct task *task)
{
	if (resources->last)
		resources->last->next = task;
	else
		resources->first = task;
	resources->last = task;
	if (resources->count++ == 0) {
		begin(resources);
	} else if (resources->first->is_trim && resources->in_guest) {
		resources->in_guest = false;
		resources->owed++;
		loop_timer_restart(resources->trim, RESOURCES_TRIM_RETRY_MS);
		finish(resources);
	}
}

static int read_request(struct task *task, const struct supervisor *supervisor, const struct message_apply *apply,
			struct annex_error **err)
{
	auto_settings struct machine_settings wanted = {0};

	if (settings_copy(&wanted, &supervisor->record->settings, err) < 0)
		return -1;
	for (size_t i = 0; apply->settings[i]; i++) {
		const char *pair = apply->settings[i];
		size_t length = strcspn(pair, "=");

		if (settings_apply(&wanted, pair, err) < 0)
			return -1;
		for (size_t k = 0; k < RESOURCES; k++)
			task->asked[k] |= strlen(keys[k]) == length && strncmp(keys[k], pair, length) == 0;
		task->asks_network |= text_starts(pair, "host-access=") || text_starts(pair, "allow=");
	}
	task->host_access = TAKE(wanted.host_access);
	task->allow = wanted.allow;
	wanted.allow = (struct text_list){0};
	task->wanted[RESOURCE_DISK] = wanted.disk;
	task->wanted[RESOURCE_CPUS] = wanted.cpus;
	task->wanted[RESOURCE_MEMORY] = wanted.memory;
	return 0;
}

void resources_apply(struct resources *resources, const void *client, const struct message_apply *apply)
{
	auto_error struct annex_error *err = NULL;
	struct task *task = NULL;

	if (resources->count >= RESOURCES_ASKED_MAX)
		fail(&err, ANNEX_ERROR_BUSY, "too many requests at once");
	else if (!(task = calloc(1, sizeof(*task))))
		fail_memory(&err);
	if (task && read_request(task, resources->supervisor, apply, &err) == 0) {
		task->client = client;
		add(resources, task);
		return;
	}
	free_task(task);
	clients_answer(resources->supervisor->clients, client, err);
}

void resources_forget(struct resources *resources, const void *client)
{
	for (struct task *task = resources ? resources->first : NULL; task; task = task->next) {
		if (task->client == client)
			task->client = NULL;
	}
}

static void on_trim(struct loop_source *source, void *data)
{
	struct resources *resources = data;
	struct task *task;

	(void)source;
	task = resources->supervisor->state == MACHINE_RUNNING ? calloc(1, sizeof(*task)) : NULL;
	if (!task || resources->owed > 0) {
		free_task(task);
		loop_timer_restart(resources->trim, RESOURCES_TRIM_RETRY_MS);
		return;
	}
	task->is_trim = true;
	add(resources, task);
}

static uint64_t first_trim_ms(void)
{
	const char *set = getenv("ANNEX_TRIM_AFTER");
	uint32_t seconds = 0;

	return set && text_to_u32(&seconds, set, 10) == 0 ? (uint64_t)seconds * 1000 : RESOURCES_TRIM_FIRST_MS;
}

void resources_on_ready(struct resources *resources)
{
	loop_timer_restart(resources->trim, first_trim_ms());
}

int resources_new(struct resources **ret, struct supervisor *supervisor, struct annex_error **err)
{
	struct resources *resources = calloc(1, sizeof(*resources));
	int result;

	if (!resources)
		return fail_memory(err);
	resources->supervisor = supervisor;
	resources->processors = supervisor->plan.qemu.cpus;
	result = loop_add_timer(&resources->deadline, supervisor->loop, UINT64_MAX, on_deadline, resources);
	if (result == 0)
		result = loop_add_timer(&resources->trim, supervisor->loop, UINT64_MAX, on_trim, resources);
	if (result < 0) {
		resources_free(resources);
		return fail_os(err, result, "cannot prepare to run");
	}
	if (memory_new(&resources->memory, supervisor, on_memory_changed, resources, err) < 0) {
		resources_free(resources);
		return -1;
	}
	*ret = resources;
	return 0;
}

void resources_free(struct resources *resources)
{
	struct task *next;

	if (!resources)
		return;
	loop_source_free(resources->deadline);
	memory_free(resources->memory);
	loop_source_free(resources->trim);
	for (struct task *task = resources->first; task; task = next) {
		next = task->next;
		free_task(task);
	}
	for (size_t i = 0; i < RESOURCES; i++)
		free(resources->reasons[i]);
	free(resources->told);
	free(resources);
}
