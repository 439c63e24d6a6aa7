/*
 * Making a machine: everything is put together in a scratch folder beside the machines and published by one rename, so
 * a machine is there as a whole or not at all.
 */
#include "lib/machine.h"

#include "base/file.h"
#include "base/time.h"
#include "lib/autostart.h"
#include "lib/defaults.h"
#include "lib/obtain.h"
#include "machine/name.h"
#include "machine/network.h"
#include "machine/place.h"
#include "machine/plan.h"
#include "rootfs/overlay.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>

/* Names of machines made from one image: debian, debian-2, debian-3. */
static int free_name(char **ret, const struct annex_context *context, const char *image, struct annex_error **err)
{
	auto_free char *stem = machine_name_from_image(image);

	if (!stem)
		return fail_memory(err);
	for (unsigned i = 1; i < 10000; i++) {
		auto_free char *name = NULL, *folder = NULL;

		if (i == 1 ? !(name = strdup(stem)) : asprintf(&name, "%.*s-%u", MACHINE_NAME_MAX - 5, stem, i) < 0)
			return fail_memory(err);
		if (asprintf(&folder, "%s/machines/%s", context->data, name) < 0)
			return fail_memory(err);
		if (!file_exists(AT_FDCWD, folder)) {
			*ret = TAKE(name);
			return 0;
		}
	}
	return fail(err, ANNEX_ERROR_EXISTS, "too many machines are named %s", stem);
}

static int refuse_taken(const struct machine_paths *paths, struct annex_error **err)
{
	fail(err, ANNEX_ERROR_EXISTS, "a machine named '%s' exists", paths->name);
	return fail_hint(err, "choose another name with --name, or 'annex delete %s'", paths->name);
}

static int fill_settings(struct machine_record *record, const struct annex_context *context, const char *const *pairs,
			 struct annex_error **err)
{
	if (defaults_load(&record->settings, context, err) < 0 ||
	    defaults_apply(&record->settings, context, pairs, err) < 0)
		return -1;
	return machine_check_settings(context, &record->settings, NULL, err);
}

static int add_texts(struct text_list *to, const struct text_list *from)
{
	for (size_t i = 0; i < from->count; i++) {
		if (text_list_add(to, from->items[i]) < 0)
			return -ENOMEM;
	}
	return 0;
}

static int fill_record(struct machine_record *record, const struct obtained *obtained, const char *name,
		       struct annex_error **err)
{
	const struct image_record *image = &obtained->image->record;
	const struct image_config *config = &obtained->image->config;

	record->version = MACHINE_RECORD_VERSION;
	record->created = time_realtime_ns() / 1000000000;
	record->name = strdup(name);
	record->image = strdup(obtained->name);
	record->image_id = strdup(image->id);
	record->base = strdup(image->base);
	record->stop_signal = config->stop_signal ? strdup(config->stop_signal) : NULL;
	record->user = strdup(config->user ? config->user : "");
	record->folder = strdup(config->folder ? config->folder : "");
	if (!record->name || !record->image || !record->image_id || !record->base || !record->user || !record->folder ||
	    (config->stop_signal && !record->stop_signal) || add_texts(&record->environment, &config->env) < 0 ||
	    add_texts(&record->init_argv, &config->entrypoint) < 0 ||
	    add_texts(&record->init_argv, &config->command) < 0)
		return fail_memory(err);
	return machine_id_make(&record->id, err);
}

/* The machine's folder, whole, at `scratch`. */
static int build(const char *scratch, const struct machine_record *record, const char *base, struct annex_error **err)
{
	auto_free char *disk = path_join(scratch, "disk.qcow2"), *path = path_join(scratch, "machine.json"),
		       *lock = path_join(scratch, "lock");
	auto_close int fd = -1;

	if (!disk || !path || !lock)
		return fail_memory(err);
	if (mkdir(scratch, 0700) < 0)
		return fail_os(err, errno, "cannot make folder %s", scratch);
	fd = open(lock, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	if (fd < 0)
		return fail_os(err, errno, "cannot make %s", lock);
	if (overlay_create(disk, base, record->settings.disk, err) < 0)
		return -1;
	return machine_record_save(record, path, err);
}

static int publish(const char *scratch, const struct machine_paths *paths, struct annex_error **err)
{
	auto_free char *machines = path_join(paths->data, "machines");
	int result;

	if (!machines)
		return fail_memory(err);
	/* rename() replaces an empty folder only: a machine is never overwritten. */
	if (rename(scratch, paths->folder) < 0) {
		if (errno == ENOTEMPTY || errno == EEXIST)
			return refuse_taken(paths, err);
		return fail_os(err, errno, "cannot make machine '%s'", paths->name);
	}
	result = file_sync_folder(AT_FDCWD, machines);
	return result < 0 ? fail_os(err, result, "cannot make machine '%s'", paths->name) : 0;
}

static int make(struct machine_record *record, const struct machine_paths *paths, struct annex_context *context,
		const struct annex_image *image, struct annex_error **err)
{
	auto_machine_network struct machine_network network = {0};
	auto_free char *scratch = NULL;
	auto_close int lock = -1; /* until its record can be read */
	int result;

	if (machine_scratch_path(&scratch, context, "new", record->id, err) < 0 ||
	    machine_place_lock(&lock, context->data, err) < 0 ||
	    machine_network_resolve(&network, context->data, record->settings.network, err) < 0 ||
	    machine_place_choose(&record->place, context->data, record->id, err) < 0)
		return -1;
	result = build(scratch, record, image->base_path, err);
	if (result == 0)
		result = context_check_cancelled(context, err);
	if (result == 0)
		result = publish(scratch, paths, err);
	if (result < 0 && file_remove_tree(AT_FDCWD, scratch) < 0)
		return -1; /* the next sweep removes it */
	return result;
}

/* What can be refused is refused before the image is unpacked. */
static int check_first(struct machine_record *record, struct machine_paths *paths, struct annex_context *context,
		       const char *image, const struct annex_machine_options *options, struct annex_error **err)
{
	auto_machine_network struct machine_network network = {0};
	auto_kernel struct kernel *kernel = NULL;
	auto_free char *name = NULL;

	if (options->name ? machine_name_check(options->name, err) < 0 : free_name(&name, context, image, err) < 0)
		return -1;
	if (machine_paths_make(paths, context->data, context->config, context->runtime,
			       options->name ? options->name : name, err) < 0)
		return -1;
	if (file_exists(AT_FDCWD, paths->folder))
		return refuse_taken(paths, err);
	if (fill_settings(record, context, options->settings, err) < 0 ||
	    machine_network_resolve(&network, context->data, record->settings.network, err) < 0 ||
	    (record->settings.autostart && autostart_check(err) < 0))
		return -1;
	return machine_open_kernel(&kernel, paths, &record->settings, err);
}

/* What refers to a machine that is there. */
static int settle(struct annex_machine *machine, bool make_default, struct annex_error **err)
{
	auto_free char *standard = NULL;
	auto_error struct annex_error *ignored = NULL;

	if (autostart_sync(machine, err) < 0) {
		(void)!annex_machine_delete(machine, 0, &ignored);
		return -1;
	}
	if (machine_default_name(&standard, machine->context, err) < 0)
		return -1;
	return standard && !make_default ? 0 : machine_default_write(machine->context, machine->record.name, err);
}

API int annex_machine_create(struct annex_machine **ret, struct annex_context *context, const char *image,
			     const struct annex_machine_options *options, struct annex_error **err)
{
	struct annex_machine_options chosen = ANNEX_MACHINE_OPTIONS_INIT;
	auto_machine_record struct machine_record record = {0};
	auto_machine_paths struct machine_paths paths = {0};
	auto_obtained struct obtained found = {0};
	struct obtain_options with = {0};
	auto_machine struct annex_machine *machine = NULL;

	if (options)
		memcpy(&chosen, options, options->size < sizeof(chosen) ? options->size : sizeof(chosen));
	with = (struct obtain_options){chosen.platform, chosen.pull, chosen.scheme, chosen.input_fd};
	machine_sweep(context);
	if (check_first(&record, &paths, context, image, &chosen, err) < 0 ||
	    obtain_image(&found, context, image, &with, err) < 0 || fill_record(&record, &found, paths.name, err) < 0 ||
	    machine_check_init(&record, found.image->base_path, err) < 0 ||
	    machine_record_check_service(&record, err) < 0 || make(&record, &paths, context, found.image, err) < 0)
		return fail_while(err, "cannot create machine from %s", image);
	if (machine_open_named(&machine, context, paths.name, err) < 0 || settle(machine, chosen.make_default, err) < 0)
		return -1;
	*ret = TAKE(machine);
	return 0;
}
