/* Machines at work: starting, stopping, deleting, changing. */
#include "lib/machine.h"

#include "base/file.h"
#include "base/inits.h"
#include "kernel/kernel.h"
#include "lib/autostart.h"
#include "lib/defaults.h"
#include "lib/image.h"
#include "lib/network.h"
#include "lib/port.h"
#include "lib/request.h"
#include "lib/share.h"
#include "machine/hardware.h"
#include "machine/lifecycle.h"
#include "machine/plan.h"
#include "qemu/args.h"
#include "rootfs/rootfs.h"
#include "store/base.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>

API int annex_machine_start(struct annex_machine *machine, struct annex_error **err)
{
	auto_link struct link *by_unit = NULL, *link = NULL;

	if (machine_reload(machine, err) < 0)
		return fail_while(err, "cannot start machine '%s'", machine->record.name);
	autostart_heal(machine);
	/* The link that is opened then starts the machine if need be, and waits for one that is ending. */
	if (autostart_start(&by_unit, machine, err) < 0 ||
	    link_open(&link, machine->context, &machine->paths, true, err) < 0 || link_wait_running(link, err) < 0)
		return fail_while(err, "cannot start machine '%s'", machine->record.name);
	return 0;
}

API int annex_machine_start_foreground(struct annex_machine *machine, struct annex_error **err)
{
	auto_text_list struct text_list argv = {0};
	auto_link struct link *link = NULL;

	if (machine_reload(machine, err) < 0 || link_open(&link, machine->context, &machine->paths, false, err) < 0)
		return -1;
	if (link)
		return fail(err, ANNEX_ERROR_BUSY, "machine '%s' runs already", machine->record.name);
	if (machine_supervisor_argv(&argv, machine->context, &machine->paths, true, err) < 0)
		return -1;
	execv(argv.items[0], argv.items);
	return fail_os(err, errno, "cannot run %s", argv.items[0]);
}

API int annex_machine_command_line(char **ret, struct annex_machine *machine, struct annex_error **err)
{
	auto_machine_plan struct machine_plan plan = {0};
	auto_text_list struct text_list args = {0};
	auto_free char *agent = NULL;

	if (machine_reload(machine, err) < 0 || context_helper(&agent, machine->context, "annex-guest", err) < 0 ||
	    machine_plan_make(&plan, &machine->paths, &machine->record, agent, err) < 0 ||
	    qemu_args(&args, &plan.probe, &plan.qemu, err) < 0)
		return -1;
	*ret = qemu_args_text(&args);
	return *ret ? 0 : fail_memory(err);
}

API int annex_machine_stop(struct annex_machine *machine, int64_t timeout_ms, struct annex_error **err)
{
	int result;

	do {
		auto_link struct link *link = NULL;

		if (link_open(&link, machine->context, &machine->paths, false, err) < 0)
			return -1;
		result = link ? link_stop(link, timeout_ms, err) : 0;
	} while (result > 0);
	return result < 0 ? fail_while(err, "cannot stop machine '%s'", machine->record.name) : 0;
}

/* Move it out of sight while holding its lock, so that it can't be started, then remove it at leisure. */
static int remove_folder(struct annex_machine *machine, struct annex_error **err)
{
	auto_close int lock = file_lock(AT_FDCWD, machine->paths.lock, LOCK_EX | LOCK_NB);
	auto_free char *scratch = NULL;
	int result;

	if (lock == -ENOENT)
		return fail(err, ANNEX_ERROR_NOT_FOUND, "there is no machine '%s'", machine->record.name);
	if (lock == -EWOULDBLOCK)
		return fail(err, ANNEX_ERROR_BUSY, "machine '%s' was started meanwhile", machine->record.name);
	if (lock < 0)
		return fail_os(err, lock, "cannot lock machine '%s'", machine->record.name);
	if (machine_scratch_path(&scratch, machine->context, "gone", machine->record.id, err) < 0)
		return -1;
	if (rename(machine->paths.folder, scratch) < 0)
		return fail_os(err, errno, "cannot remove machine '%s'", machine->record.name);
	result = file_remove_tree(AT_FDCWD, scratch);
	return result < 0 ? fail_os(err, result, "cannot remove %s", scratch) : 0;
}

API int annex_machine_delete(struct annex_machine *machine, int64_t timeout_ms, struct annex_error **err)
{
	auto_free char *standard = NULL;

	if (annex_machine_stop(machine, timeout_ms, err) < 0 || autostart_remove(machine, err) < 0 ||
	    remove_folder(machine, err) < 0 || machine_default_name(&standard, machine->context, err) < 0)
		return -1;
	if (text_equal(standard, machine->record.name) && machine_default_write(machine->context, NULL, err) < 0)
		return -1;
	machine_sweep(machine->context);
	return image_collect(machine->context, err);
}

static bool is_program(struct rootfs *rootfs, const char *path)
{
	uint32_t mode = 0;

	return rootfs_resolve(rootfs, path, NULL, &mode) == 0 && S_ISREG(mode) && (mode & 0111);
}

int machine_check_init(const struct machine_record *record, const char *base, struct annex_error **err)
{
	auto_rootfs struct rootfs *rootfs = NULL;
	const char *command = record->init_argv.count > 0 ? record->init_argv.items[0] : NULL;

	if (strcmp(record->settings.init, "image") != 0)
		return 0;
	if (rootfs_open(&rootfs, base, err) < 0)
		return -1;
	if (command && init_is_named_by(command) && is_program(rootfs, command))
		return 0;
	for (const char *const *place = init_places; *place; place++) {
		if (is_program(rootfs, *place))
			return 0;
	}
	fail(err, ANNEX_ERROR_UNSUPPORTED, "init=image: image %s brings no init", record->image);
	return fail_hint(err,
			 "init=auto takes the image's, or one that is installed later, and annex's own until then");
}

/* Less than nothing is left of what the host has: it would only end in its out-of-memory killer. */
static int check_memory(const struct machine_settings *settings, struct annex_error **err)
{
	uint64_t host = (uint64_t)sysconf(_SC_PHYS_PAGES) * (uint64_t)sysconf(_SC_PAGESIZE);
	char wanted[TEXT_SIZE_BUFFER], there[TEXT_SIZE_BUFFER];

	if (settings->memory <= host)
		return 0;
	return fail(err, ANNEX_ERROR_USAGE, "memory=%s: this host has %s", text_from_size(wanted, settings->memory),
		    text_from_size(there, host));
}

static int check_disk(const struct machine_settings *settings, const struct machine_settings *before,
		      struct annex_error **err)
{
	char now[TEXT_SIZE_BUFFER], wanted[TEXT_SIZE_BUFFER];

	if (settings->disk >= before->disk)
		return 0;
	fail(err, ANNEX_ERROR_USAGE, "disk=%s: the disk has %s, and a disk can only grow",
	     text_from_size(wanted, settings->disk), text_from_size(now, before->disk));
	return fail_hint(err, "a smaller disk needs a new machine: annex create --disk SIZE");
}

static int check_kernel(const struct annex_context *context, struct machine_settings *settings,
			struct annex_error **err)
{
	auto_free char *folder = path_join(context->data, "kernels"), *absolute = NULL;

	if (!folder)
		return fail_memory(err);
	if (strcmp(settings->kernel, "default") == 0)
		return 0;
	if (strchr(settings->kernel, '/')) {
		absolute = realpath(settings->kernel, NULL);
		if (absolute) {
			free(settings->kernel);
			settings->kernel = TAKE(absolute);
		}
	}
	return kernel_check(folder, settings->kernel, err) < 0 ? fail_while(err, "kernel=%s", settings->kernel) : 0;
}

/* What was so before is no business of this change. */
int machine_check_settings(const struct annex_context *context, struct machine_settings *settings,
			   const struct machine_settings *before, struct annex_error **err)
{
	if ((!before || settings->memory != before->memory) && check_memory(settings, err) < 0)
		return -1;
	if (before && check_disk(settings, before, err) < 0)
		return -1;
	if (hardware_check(settings, before, context->data, err) < 0)
		return -1;
	if (settings->service && text_equal(settings->init, "image")) {
		fail(err, ANNEX_ERROR_USAGE, "service=true: the built-in init runs the service, but init=image");
		return fail_hint(err, "use init=builtin, or let the image's own init start it");
	}
	return before && text_equal(settings->kernel, before->kernel) ? 0 : check_kernel(context, settings, err);
}

/* A base that is gone is told by start. */
static int check_new_init(struct annex_machine *machine, const struct machine_settings *before,
			  struct annex_error **err)
{
	auto_free char *base = NULL;

	if (text_equal(machine->record.settings.init, before->init))
		return 0;
	if (asprintf(&base, "%s/images/bases/%s" BASE_DISK, machine->context->data, machine->record.base) < 0) {
		base = NULL;
		return fail_memory(err);
	}
	return file_exists(AT_FDCWD, base) ? machine_check_init(&machine->record, base, err) : 0;
}

/* What was done before something failed. */
static void take_back(struct annex_machine *machine, const struct machine_settings *before)
{
	auto_error struct annex_error *ignored = NULL;
	struct machine_settings *settings = &machine->record.settings;

	if (port_change(machine, &settings->publish, &before->publish, &ignored) < 0)
		annex_error_free(TAKE(ignored));
	if (share_change(machine, &settings->volumes, &before->volumes, &ignored) < 0)
		annex_error_free(TAKE(ignored));
	settings_clear(settings);
	if (settings_copy(settings, before, &ignored) == 0 &&
	    machine_record_save(&machine->record, machine->paths.record, &ignored) == 0)
		(void)!autostart_sync(machine, &ignored);
}

static int change(struct annex_machine *machine, const char *const *pairs, struct annex_error **err)
{
	auto_close int lock = file_lock(AT_FDCWD, machine->paths.edit_lock, LOCK_EX), network = -1;
	auto_settings struct machine_settings before = {0};
	struct machine_settings *settings = &machine->record.settings;

	if (lock < 0)
		return fail_os(err, lock, "cannot lock machine '%s'", machine->record.name);
	if (machine_reload(machine, err) < 0 || settings_copy(&before, settings, err) < 0 ||
	    defaults_apply(settings, machine->context, pairs, err) < 0 ||
	    machine_check_settings(machine->context, settings, &before, err) < 0 ||
	    network_claim(&network, machine->context, settings, &before, err) < 0 ||
	    check_new_init(machine, &before, err) < 0 ||
	    (settings->autostart && !before.autostart && autostart_check(err) < 0) ||
	    machine_record_check_service(&machine->record, err) < 0 ||
	    share_change(machine, &before.volumes, &settings->volumes, err) < 0)
		return -1;
	if (port_change(machine, &before.publish, &settings->publish, err) == 0 &&
	    machine_record_save(&machine->record, machine->paths.record, err) == 0 && autostart_sync(machine, err) == 0)
		return 0;
	take_back(machine, &before);
	return -1;
}

/* A setting as it is now, a list as what makes that of whatever there was. */
static int add_setting(struct text_list *ret, const char *key, const json_t *value)
{
	int result = 0;

	if (json_is_string(value))
		return text_list_printf(ret, "%s=%s", key, json_string_value(value));
	if (!json_is_array(value))
		return text_list_printf(ret, "%s=%lld", key, (long long)json_integer_value(value));
	result = text_list_printf(ret, "%s=-", key);
	for (size_t i = 0; result == 0 && i < json_array_size(value); i++)
		result = text_list_printf(ret, "%s=%s", key, json_string_value(json_array_get(value, i)));
	return result;
}

/* "KEY=VALUE" of what the pairs have changed and a running machine can take over. */
static int list_live(struct text_list *ret, const json_t *set, const char *const *pairs, struct annex_error **err)
{
	for (; *pairs; pairs++) {
		auto_free char *key = strndup(*pairs, strcspn(*pairs, "="));

		if (!key)
			return fail_memory(err);
		if (setting_is_live(key) && add_setting(ret, key, json_object_get(set, key)) < 0)
			return fail_memory(err);
	}
	return 0;
}

/* A machine that runs takes over what it can; the record has it all, and what waits is told as pending. */
static int apply(struct annex_machine *machine, const json_t *set, const char *const *pairs, struct annex_error **err)
{
	auto_text_list struct text_list live = {0};
	auto_link_state struct link_state state = {0};
	auto_link struct link *link = NULL;

	if (list_live(&live, set, pairs, err) < 0)
		return -1;
	if (live.count == 0)
		return 0;
	if (link_open(&link, machine->context, &machine->paths, false, err) < 0 ||
	    (link && link_state(link, &state, err) < 0))
		return -1;
	if (!link || state.state != MACHINE_RUNNING)
		return 0;
	return request_apply(link, (const char *const *)live.items, err);
}

static bool names_one_of(const char *const *settings, const json_t *keys)
{
	for (; *settings; settings++) {
		if (json_object_getn(keys, *settings, strcspn(*settings, "=")))
			return true;
	}
	return false;
}

API int annex_machine_set(struct annex_machine *machine, const char *const *settings, int *ret_pending,
			  struct annex_error **err)
{
	auto_error struct annex_error *ignored = NULL;
	auto_machine_run struct machine_run run = {0};
	auto_json json_t *set = NULL, *differences = NULL;
	auto_link struct link *link = NULL;

	if (change(machine, settings, err) < 0) {
		if (machine_reload(machine, &ignored) < 0)
			return -1; /* the first cause is told */
		return -1;
	}
	set = settings_encode(&machine->record.settings);
	if (!set)
		return fail_memory(err);
	if (apply(machine, set, settings, err) < 0)
		return -1;
	if (!ret_pending)
		return 0;
	if (link_open(&link, machine->context, &machine->paths, false, err) < 0)
		return -1;
	if (link && machine_run_load(&run, &machine->paths, &ignored) == 0 && run.settings)
		differences = machine_pending(set, run.settings);
	*ret_pending = names_one_of(settings, differences);
	return 0;
}

API const char *annex_setting_key(size_t index)
{
	return setting_key(index);
}

API const char *annex_setting_help(size_t index)
{
	return setting_help(index);
}

API const char *annex_setting_words(size_t index)
{
	return setting_words(index);
}
