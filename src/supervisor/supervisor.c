/* How a machine's supervisor is made, starts it, and is taken apart. What happens meanwhile is in life.c. */
#include "supervisor/supervisor.h"

#include "base/log.h"
#include "base/spawn.h"
#include "base/time.h"
#include "machine/place.h"
#include "supervisor/clients.h"
#include "supervisor/clock.h"
#include "supervisor/console.h"
#include "supervisor/events.h"
#include "supervisor/guest.h"
#include "supervisor/life.h"
#include "supervisor/logfile.h"
#include "supervisor/network.h"
#include "supervisor/relay.h"
#include "supervisor/resources.h"
#include "supervisor/restart.h"
#include "supervisor/sessions.h"
#include "supervisor/shares.h"
#include "supervisor/usage.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>

void supervisor_describe(const struct supervisor *supervisor, struct message_state *ret)
{
	const struct annex_error *failure =
		supervisor->finished || supervisor->state == MACHINE_FAILED || supervisor->state == MACHINE_RESTARTING
			? supervisor->failure
			: NULL;

	*ret = (struct message_state){
		.state = supervisor->state,
		.waiting = supervisor->waiting,
		.failure = failure ? annex_error_message(failure) : NULL,
		.hint = failure ? annex_error_hint(failure) : NULL,
		.failure_kind = failure ? annex_error_kind(failure) : 0,
		.pid = (uint32_t)getpid(),
		.vm_pid = (uint32_t)supervisor->run.vm_pid,
		.cpus = (uint32_t)supervisor->record->settings.cpus,
		.memory = supervisor->record->settings.memory,
		.started = supervisor->run.started,
		.accelerator = supervisor->run.accelerator,
		.settings = supervisor->settings,
		.shares = supervisor->shared,
		.restarts = supervisor->attempt,
		.reasons = resources_reasons(supervisor->resources),
		.network = network_told(supervisor->network),
	};
}

/* JSON of the settings in effect and of what is shared. */
static int describe(struct supervisor *supervisor, struct annex_error **err)
{
	auto_json json_t *settings = settings_encode(&supervisor->record->settings);
	auto_json json_t *shares = machine_shares_encode(&supervisor->plan.shares);
	auto_free char *settings_text = settings ? json_text(settings, false) : NULL;
	auto_free char *shares_text = shares ? json_text(shares, false) : NULL;

	if (!settings_text || !shares_text)
		return fail_memory(err);
	free(supervisor->settings);
	free(supervisor->shared);
	supervisor->settings = TAKE(settings_text);
	supervisor->shared = TAKE(shares_text);
	json_decref(supervisor->run.settings);
	supervisor->run.settings = TAKE(settings);
	return 0;
}

void supervisor_on_changed(struct supervisor *supervisor)
{
	auto_error struct annex_error *err = NULL;

	if (describe(supervisor, &err) < 0 || machine_run_save(&supervisor->run, supervisor->paths, &err) < 0)
		log_info("%s", annex_error_message(err));
	clients_tell_state(supervisor->clients);
}

/* Everything up to a QEMU that runs; what fails here is the machine's failure. */
static int start(struct supervisor *supervisor, struct annex_error **err)
{
	const struct machine_paths *paths = supervisor->paths;
	auto_close int device = -1;
	int port, console;

	if (machine_place_settle(supervisor->record, paths, err) < 0 ||
	    machine_run_save(&supervisor->run, paths, err) < 0 ||
	    machine_prepare_disk(paths, supervisor->record, err) < 0 ||
	    machine_plan_make(&supervisor->plan, paths, supervisor->record, supervisor->agent, err) < 0 ||
	    logfile_open(&supervisor->boot_log,
			 &(struct logfile_options){.path = paths->boot_log, .limit = LOGFILE_BOOT_MAX}, err) < 0)
		return -1;
	if (describe(supervisor, err) < 0 || resources_new(&supervisor->resources, supervisor, err) < 0 ||
	    shares_new(&supervisor->shares, supervisor, &device, err) < 0 ||
	    network_new(&supervisor->network, supervisor, err) < 0)
		return -1;
	supervisor->plan.qemu.share_fd = device;
	supervisor->run.accelerator = strdup(qemu_accel_name(supervisor->plan.accel.kind));
	if (qemu_vm_start(&supervisor->vm, supervisor->loop, &supervisor->plan.probe, &supervisor->plan.qemu,
			  events_on_vm, supervisor, err) < 0)
		return -1;
	supervisor->run.vm_pid = qemu_vm_pid(supervisor->vm);
	supervisor->run.vm_start = spawn_start_time(qemu_vm_pid(supervisor->vm));
	if (machine_run_save(&supervisor->run, paths, err) < 0)
		return -1;
	console = qemu_vm_take_console(supervisor->vm);
	port = qemu_vm_take_port(supervisor->vm, PLAN_PORT_GUEST);
	if (console_new(&supervisor->console, supervisor->loop, console, paths, err) < 0) {
		cleanup_close(&port);
		return -1;
	}
	life_set_deadline(supervisor, PHASE_BOOT, life_boot_ms(supervisor));
	if (guest_new(&supervisor->guest, supervisor, port, err) < 0)
		return -1;
	return network_start(supervisor->network, qemu_vm_take_port(supervisor->vm, PLAN_PORT_PORTS), err);
}

static void on_signal(struct loop_source *source, int signal, void *data)
{
	struct supervisor *supervisor = data;
	bool again = supervisor->state == MACHINE_STOPPING;

	(void)source;
	life_say(supervisor, strsignal(signal), NULL);
	supervisor_stop(supervisor, again ? 0 : -1);
}

static int make(struct supervisor *supervisor, int *first_client, struct annex_error **err)
{
	static const int signals[SUPERVISOR_SIGNALS] = {SIGTERM, SIGINT, SIGHUP};
	int result;

	if (describe(supervisor, err) < 0)
		return -1;
	supervisor->run.socket = strdup(supervisor->socket);
	supervisor->run.pid = getpid();
	supervisor->run.pid_start = spawn_start_time(getpid());
	supervisor->run.started = time_realtime_ns() / 1000000000;
	result = loop_new(&supervisor->loop);
	if (result == 0)
		result = relay_new(&supervisor->relay);
	if (result == 0)
		result = sessions_new(&supervisor->sessions, supervisor);
	if (result == 0)
		result = loop_add_timer(&supervisor->deadline, supervisor->loop, UINT64_MAX, life_on_deadline,
					supervisor);
	if (result == 0)
		result = loop_add_timer(&supervisor->retry, supervisor->loop, UINT64_MAX, events_on_retry, supervisor);
	if (result == 0)
		result = clock_new(&supervisor->clock, supervisor);
	if (result == 0)
		result = usage_new(&supervisor->usage, supervisor);
	for (size_t i = 0; result == 0 && i < SUPERVISOR_SIGNALS; i++)
		result = loop_add_signal(&supervisor->signals[i], supervisor->loop, signals[i], on_signal, supervisor);
	if (result < 0)
		return fail_os(err, result, "cannot prepare to run");
	return clients_new(&supervisor->clients, supervisor, first_client, err);
}

static void launch(struct supervisor *supervisor)
{
	unlink(supervisor->paths->failure);
	life_happens(supervisor, MACHINE_START);
	if (start(supervisor, &supervisor->failure) == 0)
		return;
	if (supervisor->vm) {
		life_happens(supervisor, MACHINE_BROKE);
		life_quit(supervisor);
	} else {
		machine_next_state(&supervisor->state, MACHINE_QEMU_EXITED);
		life_finish(supervisor);
	}
}

/* What was set while it waited counts. */
static int read_record(struct supervisor *supervisor, struct annex_error **err)
{
	struct machine_record record = {0};

	if (machine_record_load(&record, supervisor->paths, err) < 0)
		return -1;
	machine_record_clear(supervisor->record);
	*supervisor->record = record;
	return describe(supervisor, err);
}

void supervisor_start_now(struct supervisor *supervisor)
{
	if (supervisor->finished || supervisor->state != MACHINE_RESTARTING)
		return;
	life_set_deadline(supervisor, PHASE_NONE, 0);
	annex_error_free(TAKE(supervisor->failure));
	free(TAKE(supervisor->waiting));
	supervisor->run.started = time_realtime_ns() / 1000000000;
	if (read_record(supervisor, &supervisor->failure) == 0) {
		launch(supervisor);
		return;
	}
	life_happens(supervisor, MACHINE_START);
	machine_next_state(&supervisor->state, MACHINE_QEMU_EXITED);
	life_finish(supervisor);
}

/* This process is what one that ended made of itself: it waits, and tells why the machine has ended. */
static void wait_to_start(struct supervisor *supervisor)
{
	auto_machine_failure struct machine_failure failure = {0};
	auto_error struct annex_error *err = NULL;
	uint64_t wait = time_scaled_ms(restart_wait_ms(supervisor->attempt), 1);
	char at[TIME_BUFFER], text[64 + TIME_BUFFER];

	if (machine_failure_load(&failure, supervisor->paths, NULL) == 0)
		fail_relayed(&supervisor->failure, (unsigned)failure.kind, 0, failure.message, failure.hint);
	snprintf(text, sizeof(text), "starts again at %s",
		 time_format(at, time_realtime_ns() / 1000000000 + (int64_t)(wait / 1000)));
	supervisor->waiting = strdup(text);
	if (machine_run_save(&supervisor->run, supervisor->paths, &err) < 0)
		log_info("%s", annex_error_message(err));
	life_happens(supervisor, MACHINE_RETRY);
	log_info("machine '%s' %s", supervisor->record->name, text);
	life_set_deadline(supervisor, PHASE_WAIT, wait);
}

int supervisor_run(struct supervisor *supervisor, int *first_client, struct annex_error **err)
{
	if (make(supervisor, first_client, err) < 0)
		return -1;
	if (supervisor->attempt > 0)
		wait_to_start(supervisor);
	else
		launch(supervisor);
	while (!supervisor->finished || !(supervisor->drained || clients_are_gone(supervisor->clients)))
		loop_turn(supervisor->loop, -1);
	return 0;
}

void supervisor_clear(struct supervisor *supervisor)
{
	if (supervisor->clients)
		clients_free(TAKE(supervisor->clients));
	network_free(TAKE(supervisor->network));
	shares_free(TAKE(supervisor->shares));
	resources_free(TAKE(supervisor->resources));
	guest_free(TAKE(supervisor->guest));
	console_free(TAKE(supervisor->console));
	logfile_close(TAKE(supervisor->boot_log));
	qemu_vm_free(TAKE(supervisor->vm));
	relay_free(TAKE(supervisor->relay));
	sessions_free(TAKE(supervisor->sessions));
	loop_source_free(TAKE(supervisor->deadline));
	loop_source_free(TAKE(supervisor->retry));
	clock_free(TAKE(supervisor->clock));
	usage_free(TAKE(supervisor->usage));
	for (size_t i = 0; i < SUPERVISOR_SIGNALS; i++)
		loop_source_free(TAKE(supervisor->signals[i]));
	loop_free(TAKE(supervisor->loop));
	machine_plan_clear(&supervisor->plan);
	machine_run_clear(&supervisor->run);
	annex_error_free(TAKE(supervisor->failure));
	free(TAKE(supervisor->waiting));
	free(TAKE(supervisor->settings));
	free(TAKE(supervisor->shared));
	cleanup_close(&supervisor->lock);
	supervisor->lock = -1;
}
