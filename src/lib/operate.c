/* Machines at work: starting, stopping, deleting, changing. */
#include "lib/machine.h"

#include "base/file.h"
#include "kernel/kernel.h"
#include "lib/image.h"
#include "lib/share.h"
#include "machine/plan.h"
#include "qemu/args.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>

API int annex_machine_start(struct annex_machine *machine, struct annex_error **err)
{
	auto_link struct link *link = NULL;

	if (machine_reload(machine, err) < 0 || link_open(&link, machine->context, &machine->paths, true, err) < 0 ||
	    link_wait_running(link, err) < 0)
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
	auto_link struct link *link = NULL;

	if (link_open(&link, machine->context, &machine->paths, false, err) < 0)
		return -1;
	if (link && link_stop(link, timeout_ms, err) < 0)
		return fail_while(err, "cannot stop machine '%s'", machine->record.name);
	return 0;
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

	if (annex_machine_stop(machine, timeout_ms, err) < 0 || remove_folder(machine, err) < 0 ||
	    machine_default_name(&standard, machine->context, err) < 0)
		return -1;
	if (text_equal(standard, machine->record.name) && machine_default_write(machine->context, NULL, err) < 0)
		return -1;
	machine_sweep(machine->context);
	return image_collect(machine->context, err);
}

/* What needs more than the table knows: kernels must be there, disks only grow. */
int machine_check_settings(const struct annex_context *context, struct machine_settings *settings,
			   const struct machine_settings *before, struct annex_error **err)
{
	char now[TEXT_SIZE_BUFFER], wanted[TEXT_SIZE_BUFFER];
	auto_free char *folder = path_join(context->data, "kernels"), *absolute = NULL;

	if (!folder)
		return fail_memory(err);
	if (before && settings->disk < before->disk) {
		fail(err, ANNEX_ERROR_USAGE, "disk=%s: the disk has %s, and a disk can only grow",
		     text_from_size(wanted, settings->disk), text_from_size(now, before->disk));
		return fail_hint(err, "a smaller disk needs a new machine: annex create --disk SIZE");
	}
	if (before && text_equal(settings->kernel, before->kernel))
		return 0;
	if (strcmp(settings->kernel, "default") == 0)
		return 0;
	if (strchr(settings->kernel, '/')) {
		absolute = realpath(settings->kernel, NULL);
		if (absolute) {
			free(settings->kernel);
			settings->kernel = TAKE(absolute);
		}
	}
	return kernel_check(folder, settings->kernel, err);
}

static int change(struct annex_machine *machine, const char *const *pairs, struct annex_error **err)
{
	auto_close int lock = file_lock(AT_FDCWD, machine->paths.edit_lock, LOCK_EX);
	auto_settings struct machine_settings before = {0};

	if (lock < 0)
		return fail_os(err, lock, "cannot lock machine '%s'", machine->record.name);
	if (machine_reload(machine, err) < 0 || settings_copy(&before, &machine->record.settings, err) < 0)
		return -1;
	for (; *pairs; pairs++) {
		auto_free char *pair = NULL;

		if (share_setting(&pair, *pairs, err) < 0 || settings_apply(&machine->record.settings, pair, err) < 0)
			return -1;
	}
	if (machine_check_settings(machine->context, &machine->record.settings, &before, err) < 0 ||
	    share_change(machine, &before.volumes, &machine->record.settings.volumes, err) < 0)
		return -1;
	if (machine_record_save(&machine->record, machine->paths.record, err) == 0)
		return 0;
	(void)!share_change(machine, &machine->record.settings.volumes, &before.volumes, NULL);
	return -1;
}

API int annex_machine_set(struct annex_machine *machine, const char *const *settings, int *ret_pending,
			  struct annex_error **err)
{
	auto_error struct annex_error *ignored = NULL;
	auto_machine_run struct machine_run run = {0};
	auto_json json_t *set = NULL;
	auto_link struct link *link = NULL;

	if (change(machine, settings, err) < 0) {
		if (machine_reload(machine, &ignored) < 0)
			return -1; /* the first cause is told */
		return -1;
	}
	if (!ret_pending)
		return 0;
	if (link_open(&link, machine->context, &machine->paths, false, err) < 0)
		return -1;
	set = settings_encode(&machine->record.settings);
	*ret_pending = link && machine_run_load(&run, &machine->paths, &ignored) == 0 && run.settings &&
		       !json_equal(run.settings, set);
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
