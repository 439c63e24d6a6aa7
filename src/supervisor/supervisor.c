/*
 * The machine's life. Events come from QEMU, the guest's link, clients, signals and the one deadline; each is put to
 * the lifecycle table, which says whether it means anything in the present state, and then acted upon. All ways end in
 * QEMU's own end, behind which on_ended() tells everyone and stops the loop.
 *
 * Why a machine has failed is recorded once, by the first who knows. A machine that has failed but whose QEMU still
 * runs is STOPPING; it becomes FAILED at its end.
 *
 * A machine that is started again gets a supervisor as new: when everyone was told of the end, the process executes
 * itself anew and hands the lock to itself (main.c). That one waits in RESTARTING and can be told to stop, or to start
 * at once.
 */
#include "supervisor/supervisor.h"

#include "base/log.h"
#include "base/spawn.h"
#include "base/time.h"
#include "base/text.h"
#include "supervisor/clients.h"
#include "supervisor/clock.h"
#include "supervisor/console.h"
#include "supervisor/guest.h"
#include "supervisor/logfile.h"
#include "supervisor/notify.h"
#include "supervisor/relay.h"
#include "supervisor/restart.h"
#include "supervisor/resources.h"
#include "supervisor/sessions.h"
#include "supervisor/shares.h"
#include "supervisor/usage.h"

#include <malloc.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

enum { SHOWN_LINES = 8 }; /* of the console, when the kernel has panicked */

static void say(const struct supervisor *supervisor, const char *what, const char *more)
{
	if (supervisor->foreground)
		fprintf(stderr, "annex: machine '%s': %s%s%s\n", supervisor->record->name, what, more ? ": " : "",
			more ? more : "");
	log_debug("%s%s%s", what, more ? ": " : "", more ? more : "");
}

/* Put an event to the lifecycle table; tells everyone when the state has changed. */
static bool happens(struct supervisor *supervisor, enum machine_event event)
{
	enum machine_state before = supervisor->state;

	if (!machine_next_state(&supervisor->state, event))
		return false;
	if (supervisor->state != before) {
		say(supervisor, machine_state_name(supervisor->state), NULL);
		clients_tell_state(supervisor->clients);
	}
	return true;
}

static void set_deadline(struct supervisor *supervisor, enum supervisor_phase phase, uint64_t after_ms)
{
	supervisor->phase = phase;
	supervisor->deadline_at = time_monotonic_ms() + after_ms;
	loop_timer_restart(supervisor->deadline, phase == PHASE_NONE ? UINT64_MAX : after_ms);
}

static uint64_t scaled(const struct supervisor *supervisor, uint64_t ms)
{
	return time_scaled_ms(ms, supervisor_slowness(supervisor));
}

/* $ANNEX_BOOT_TIMEOUT, in seconds, is for images that need longer. */
static uint64_t boot_ms(const struct supervisor *supervisor)
{
	const char *set = getenv("ANNEX_BOOT_TIMEOUT");
	uint32_t seconds = 0;

	if (set && text_to_u32(&seconds, set, 10) == 0 && seconds > 0)
		return (uint64_t)seconds * 1000;
	return scaled(supervisor, SUPERVISOR_BOOT_MS);
}

static void quit(struct supervisor *supervisor)
{
	set_deadline(supervisor, PHASE_QUIT, SUPERVISOR_QUIT_MS);
	if (!supervisor->vm)
		return;
	if (qemu_vm_is_started(supervisor->vm))
		qemu_vm_quit(supervisor->vm);
	else
		qemu_vm_kill(supervisor->vm);
}

/* Is it started again if it ends now? The record's policy counts, which may have changed meanwhile. */
static unsigned next_attempt(const struct supervisor *supervisor)
{
	auto_machine_record struct machine_record record = {0};
	auto_error struct annex_error *err = NULL;

	if (machine_record_load(&record, supervisor->paths, &err) < 0)
		return 0; /* it has been deleted */
	return restart_next(&(struct restart_end){
		.policy = record.settings.restart,
		.asked = supervisor->asked,
		.failed = supervisor->failure != NULL,
		.attempt = supervisor->attempt,
		.up_ms = supervisor->up_at ? time_monotonic_ms() - supervisor->up_at + 1 : 0,
	});
}

/* Tell the service manager, with how long that may take, besides QEMU's own end. For it, a machine that is started
 * again doesn't stop. */
static void tell_stopping(const struct supervisor *supervisor, uint64_t within_ms)
{
	char text[64];

	if (next_attempt(supervisor) > 0)
		return;
	snprintf(text, sizeof(text), "STOPPING=1\nEXTEND_TIMEOUT_USEC=%llu",
		 (unsigned long long)(within_ms + 2ull * SUPERVISOR_QUIT_MS) * 1000);
	notify(text);
}

/* Let the guest stop by itself for so long, if there is one that listens. */
static void shut_down(struct supervisor *supervisor, uint64_t timeout_ms, uint64_t grace_ms)
{
	if (!guest_is_up(supervisor->guest)) {
		quit(supervisor);
		return;
	}
	guest_shutdown(supervisor->guest, timeout_ms);
	set_deadline(supervisor, PHASE_STOP, timeout_ms + grace_ms);
}

static void give_up(struct supervisor *supervisor);

void supervisor_stop(struct supervisor *supervisor, int64_t timeout_ms)
{
	uint64_t timeout = timeout_ms < 0 ? scaled(supervisor, SUPERVISOR_STOP_MS) : (uint64_t)timeout_ms;

	timeout = timeout < UINT32_MAX ? timeout : UINT32_MAX;
	supervisor->asked = true;
	supervisor->next_attempt = 0; /* it may just have ended by itself */
	if (!supervisor->finished && supervisor->state == MACHINE_RESTARTING) {
		give_up(supervisor);
		return;
	}
	if (supervisor->finished || !happens(supervisor, MACHINE_STOP) || supervisor->phase == PHASE_QUIT)
		return;
	tell_stopping(supervisor, timeout + scaled(supervisor, SUPERVISOR_GRACE_MS));
	if (timeout == 0)
		quit(supervisor);
	else if (supervisor->phase != PHASE_STOP || time_monotonic_ms() + timeout < supervisor->deadline_at)
		shut_down(supervisor, timeout, scaled(supervisor, SUPERVISOR_GRACE_MS));
}

/* The machine is no good any more, for the reason in *err, which is taken. */
static void break_off(struct supervisor *supervisor, struct annex_error *err, bool in_order)
{
	if (!supervisor->failure)
		supervisor->failure = TAKE(err);
	annex_error_free(err);
	say(supervisor, "fails", annex_error_message(supervisor->failure));
	if (!happens(supervisor, MACHINE_BROKE) || supervisor->phase == PHASE_QUIT)
		return;
	tell_stopping(supervisor, scaled(supervisor, SUPERVISOR_BROKEN_MS));
	if (in_order)
		shut_down(supervisor, scaled(supervisor, SUPERVISOR_BROKEN_MS), 0);
	else
		quit(supervisor);
}

static void hint_at_logs(const struct supervisor *supervisor, struct annex_error **err)
{
	fail_hint(err, "annex logs %s", supervisor->record->name);
}

static void on_deadline(struct loop_source *source, void *data)
{
	struct supervisor *supervisor = data;
	struct annex_error *err = NULL;

	(void)source;
	switch (supervisor->phase) {
	case PHASE_NONE:
		return;
	case PHASE_BOOT:
		fail(&err, ANNEX_ERROR_TIMEOUT, "the machine did not come up in %llu seconds; it was waiting for %s",
		     (unsigned long long)boot_ms(supervisor) / 1000,
		     supervisor->waiting                     ? supervisor->waiting
		     : guest_is_up(supervisor->guest)        ? "its init"
		     : supervisor->state == MACHINE_STARTING ? "QEMU"
							     : "its kernel");
		fail_hint(&err, "annex logs --boot %s", supervisor->record->name);
		break_off(supervisor, err, true);
		return;
	case PHASE_STOP:
		say(supervisor, "did not stop in time and is ended", NULL);
		quit(supervisor);
		return;
	case PHASE_QUIT:
		if (supervisor->vm)
			qemu_vm_kill(supervisor->vm);
		return;
	case PHASE_WAIT:
		supervisor_start_now(supervisor);
		return;
	}
}

static char *copy_short(const char *text)
{
	return strndup(text, SUPERVISOR_WAITING_MAX);
}

/* NULL: nothing. Tells everyone when it has changed. */
static void set_waiting(struct supervisor *supervisor, const char *what)
{
	if (text_equal(what, supervisor->waiting))
		return;
	free(supervisor->waiting);
	supervisor->waiting = what ? copy_short(what) : NULL;
	if (supervisor->waiting)
		say(supervisor, "waits for", supervisor->waiting);
	clients_tell_state(supervisor->clients);
}

void supervisor_on_waiting(struct supervisor *supervisor, const char *what)
{
	if (supervisor->state == MACHINE_BOOTING || supervisor->state == MACHINE_STOPPING)
		set_waiting(supervisor, what);
}

void supervisor_on_ready(struct supervisor *supervisor, const char *init)
{
	free(supervisor->waiting);
	supervisor->waiting = NULL;
	log_debug("init is %s", init);
	if (!happens(supervisor, MACHINE_AGENT_READY))
		return;
	set_deadline(supervisor, PHASE_NONE, 0);
	supervisor->up_at = time_monotonic_ms();
	clock_begin_checks(supervisor->clock);
	resources_on_ready(supervisor->resources);
	notify("READY=1");
	malloc_trim(0); /* what making the plan took */
}

void supervisor_on_halted(struct supervisor *supervisor, const struct message_halted *halted)
{
	auto_free char *text = copy_short(halted->text);
	bool was_up = supervisor->state == MACHINE_RUNNING;
	struct annex_error *err = NULL;

	switch (halted->reason) {
	case HALTED_REBOOT:
		/* One that never comes up, and reboots again and again, has no more time than any other. */
		if (happens(supervisor, MACHINE_REBOOTED) && was_up)
			set_deadline(supervisor, PHASE_BOOT, boot_ms(supervisor));
		clients_tell_state(supervisor->clients);
		return;
	case HALTED_CRASH:
		if (supervisor->state != MACHINE_STOPPING) {
			fail(&err, ANNEX_ERROR_GUEST, "the machine's init ended: %s",
			     text && *text ? text : "it crashed");
			hint_at_logs(supervisor, &err);
			supervisor->failure = supervisor->failure ? supervisor->failure : TAKE(err);
			annex_error_free(err);
		}
		break;
	default:
		break;
	}
	if (!happens(supervisor, MACHINE_GUEST_OFF) || supervisor->phase == PHASE_STOP ||
	    supervisor->phase == PHASE_QUIT)
		return;
	tell_stopping(supervisor, scaled(supervisor, SUPERVISOR_STOP_MS));
	set_deadline(supervisor, PHASE_STOP, scaled(supervisor, SUPERVISOR_STOP_MS));
}

void supervisor_on_guest_failure(struct supervisor *supervisor, const struct message_failure *failure)
{
	struct annex_error *err = NULL;

	guest_failure(&err, failure->kind, failure->os, failure->message, failure->hint);
	if (supervisor->state != MACHINE_BOOTING) {
		log_info("the guest says: %s", annex_error_message(err));
		annex_error_free(err);
		return;
	}
	hint_at_logs(supervisor, &err);
	break_off(supervisor, err, true);
}

void supervisor_on_broken_guest(struct supervisor *supervisor, const char *what)
{
	struct annex_error *err = NULL;

	log_info("the guest broke the protocol: %s", what);
	guest_free(TAKE(supervisor->guest));
	clients_end_sessions(supervisor->clients, "the guest broke the protocol", NULL);
	fail(&err, ANNEX_ERROR_GUEST, "the guest broke the protocol: %s", what);
	hint_at_logs(supervisor, &err);
	break_off(supervisor, err, false);
}

void supervisor_on_broken_shares(struct supervisor *supervisor, const struct annex_error *why)
{
	struct annex_error *err = NULL;

	if (supervisor->finished || supervisor->state == MACHINE_STOPPING) {
		log_info("%s", annex_error_message(why));
		return;
	}
	fail_relayed(&err, annex_error_kind(why), annex_error_errno(why), annex_error_message(why),
		     annex_error_hint(why));
	hint_at_logs(supervisor, &err);
	break_off(supervisor, err, true);
}

static void keep_failure(const struct supervisor *supervisor)
{
	auto_error struct annex_error *err = NULL;
	struct machine_failure failure = {
		.kind = annex_error_kind(supervisor->failure),
		.message = strdup(annex_error_message(supervisor->failure)),
		.hint = annex_error_hint(supervisor->failure) ? strdup(annex_error_hint(supervisor->failure)) : NULL,
		.when = time_realtime_ns() / 1000000000,
	};

	if (failure.message && machine_failure_save(&failure, supervisor->paths, &err) < 0)
		log_info("%s", annex_error_message(err));
	machine_failure_clear(&failure);
}

/* The kernel's reason, and what led to it. */
static void record_panic(struct supervisor *supervisor)
{
	auto_free char *reason = supervisor->console ? console_panic(supervisor->console) : NULL;
	auto_free char *tail = supervisor->console ? console_tail(supervisor->console, SHOWN_LINES) : NULL;
	struct annex_error *err = NULL;

	if (!supervisor->panicked && !reason)
		return;
	fail(&err, ANNEX_ERROR_GUEST, "the machine's kernel panicked: %s", reason ? reason : "it did not say why");
	if (tail && *tail)
		fail_hint(&err, "annex logs %s; the console ended with: %s", supervisor->record->name, tail);
	hint_at_logs(supervisor, &err);
	annex_error_free(supervisor->failure);
	supervisor->failure = err;
}

static void on_drain_over(struct loop_source *source, void *data)
{
	struct supervisor *supervisor = data;

	(void)source;
	supervisor->drained = true;
}

/* The last word: nothing of the machine runs any more. The lock goes first, so that whoever hears of the end can start
 * the machine again. */
static void finish(struct supervisor *supervisor)
{
	const struct annex_error *failure = supervisor->failure;

	supervisor->finished = true;
	supervisor->next_attempt = next_attempt(supervisor);
	set_deadline(supervisor, PHASE_NONE, 0);
	guest_free(TAKE(supervisor->guest));
	if (failure)
		keep_failure(supervisor);
	unlink(supervisor->socket);
	unlink(supervisor->paths->run);
	if (!supervisor->next_attempt) {
		cleanup_close(&supervisor->lock);
		supervisor->lock = -1;
	}
	clients_end_sessions(supervisor->clients, failure ? annex_error_message(failure) : "the machine has stopped",
			     failure ? annex_error_hint(failure) : NULL);
	clients_tell_state(supervisor->clients);
	clients_close(supervisor->clients);
	loop_source_free(TAKE(supervisor->deadline));
	if (loop_add_timer(&supervisor->deadline, supervisor->loop, SUPERVISOR_DRAIN_MS, on_drain_over, supervisor) < 0)
		supervisor->drained = true;
}

/* It is not to be started again. */
static void give_up(struct supervisor *supervisor)
{
	annex_error_free(TAKE(supervisor->failure));
	unlink(supervisor->paths->failure);
	machine_next_state(&supervisor->state, MACHINE_STOP);
	tell_stopping(supervisor, SUPERVISOR_DRAIN_MS);
	finish(supervisor);
}

static void on_ended(struct supervisor *supervisor, const struct qemu_event *event)
{
	auto_free char *said = NULL;
	bool expected;

	console_drain(supervisor->console);
	said = supervisor->console && !supervisor->heard ? console_agent(supervisor->console) : NULL;
	expected = supervisor->state == MACHINE_STOPPING && !said;
	if (!supervisor->failure && !expected && event->err)
		fail_relayed(&supervisor->failure, annex_error_kind(event->err), annex_error_errno(event->err),
			     annex_error_message(event->err), annex_error_hint(event->err));
	if (supervisor->panicked || supervisor->reset)
		record_panic(supervisor);
	if (!supervisor->failure && !expected) {
		fail(&supervisor->failure, ANNEX_ERROR_GUEST, "the virtual machine ended by itself%s%s",
		     said ? ": " : "", said ? said : "");
		hint_at_logs(supervisor, &supervisor->failure);
	}
	machine_next_state(&supervisor->state, MACHINE_QEMU_EXITED);
	supervisor->state = supervisor->failure ? MACHINE_FAILED : MACHINE_STOPPED;
	say(supervisor, machine_state_name(supervisor->state),
	    supervisor->failure ? annex_error_message(supervisor->failure) : NULL);
	qemu_vm_free(TAKE(supervisor->vm));
	supervisor->run.vm_pid = 0;
	finish(supervisor);
}

/* The guest's kernel or QEMU ends the virtual machine; ENDED follows. */
static void on_shutdown(struct supervisor *supervisor, const struct qemu_event *event)
{
	const char *reason = event->reason ? event->reason : "";

	if (!event->by_guest)
		return;
	if (strcmp(reason, "guest-panic") == 0)
		supervisor->panicked = true;
	if (strcmp(reason, "guest-reset") == 0)
		supervisor->reset = true; /* by a panic, too */
	if (supervisor->reset && !supervisor->failure && supervisor->state != MACHINE_STOPPING) {
		fail(&supervisor->failure, ANNEX_ERROR_GUEST, "the machine's kernel reset the machine");
		hint_at_logs(supervisor, &supervisor->failure);
	}
	if (happens(supervisor, MACHINE_GUEST_OFF) && supervisor->phase != PHASE_QUIT)
		set_deadline(supervisor, PHASE_QUIT, SUPERVISOR_QUIT_MS);
}

static void on_retry(struct loop_source *source, void *data)
{
	struct supervisor *supervisor = data;

	(void)source;
	if (supervisor->vm)
		qemu_vm_resume(supervisor->vm);
}

/* When there is no space, the guest stands still and knows nothing; its writes are tried again until there is some. */
static void on_disk_error(struct supervisor *supervisor, const char *reason)
{
	log_info("writing the disk %s failed: %s", supervisor->paths->disk, reason ? reason : "?");
	if (!reason || strcmp(reason, "nospace") != 0)
		return; /* the guest was told, and knows better what it means */
	set_waiting(supervisor, "space on the host for its disk");
	loop_timer_restart(supervisor->retry, SUPERVISOR_RETRY_MS);
}

static void on_resumed(struct supervisor *supervisor)
{
	if (supervisor->state == MACHINE_RUNNING)
		set_waiting(supervisor, NULL);
	clock_catch_up(supervisor->clock);
}

static void on_vm_event(struct qemu_vm *vm, const struct qemu_event *event, void *data)
{
	struct supervisor *supervisor = data;
	struct annex_error *err = NULL;

	(void)vm;
	switch (event->kind) {
	case QEMU_STARTED:
		happens(supervisor, MACHINE_QMP_READY);
		break;
	case QEMU_RESET:
		/* The plan makes QEMU end instead; the guest's link would have to start over. */
		fail(&err, ANNEX_ERROR_GUEST, "the virtual machine was reset");
		break_off(supervisor, err, false);
		break;
	case QEMU_PANICKED:
		supervisor->panicked = true;
		break;
	case QEMU_SHUTDOWN:
		on_shutdown(supervisor, event);
		break;
	case QEMU_IO_ERROR:
		on_disk_error(supervisor, event->reason);
		break;
	case QEMU_ENDED:
		on_ended(supervisor, event);
		break;
	case QEMU_RESUMED:
		on_resumed(supervisor);
		break;
	case QEMU_PAUSED:
		break;
	}
}

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

	if (machine_run_save(&supervisor->run, paths, err) < 0 ||
	    machine_prepare_disk(paths, supervisor->record, err) < 0 ||
	    machine_plan_make(&supervisor->plan, paths, supervisor->record, supervisor->agent, err) < 0 ||
	    logfile_open(&supervisor->boot_log,
			 &(struct logfile_options){.path = paths->boot_log, .limit = LOGFILE_BOOT_MAX}, err) < 0)
		return -1;
	if (describe(supervisor, err) < 0 || resources_new(&supervisor->resources, supervisor, err) < 0 ||
	    shares_new(&supervisor->shares, supervisor, &device, err) < 0)
		return -1;
	supervisor->plan.qemu.share_fd = device;
	supervisor->run.accelerator = strdup(qemu_accel_name(supervisor->plan.accel.kind));
	if (qemu_vm_start(&supervisor->vm, supervisor->loop, &supervisor->plan.probe, &supervisor->plan.qemu,
			  on_vm_event, supervisor, err) < 0)
		return -1;
	supervisor->run.vm_pid = qemu_vm_pid(supervisor->vm);
	supervisor->run.vm_start = spawn_start_time(qemu_vm_pid(supervisor->vm));
	if (machine_run_save(&supervisor->run, paths, err) < 0)
		return -1;
	console = qemu_vm_take_console(supervisor->vm);
	port = qemu_vm_take_port(supervisor->vm, 0);
	if (console_new(&supervisor->console, supervisor->loop, console, paths, err) < 0) {
		cleanup_close(&port);
		return -1;
	}
	set_deadline(supervisor, PHASE_BOOT, boot_ms(supervisor));
	return guest_new(&supervisor->guest, supervisor, port, err);
}

static void on_signal(struct loop_source *source, int signal, void *data)
{
	struct supervisor *supervisor = data;
	bool again = supervisor->state == MACHINE_STOPPING;

	(void)source;
	say(supervisor, strsignal(signal), NULL);
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
		result = loop_add_timer(&supervisor->deadline, supervisor->loop, UINT64_MAX, on_deadline, supervisor);
	if (result == 0)
		result = loop_add_timer(&supervisor->retry, supervisor->loop, UINT64_MAX, on_retry, supervisor);
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
	happens(supervisor, MACHINE_START);
	if (start(supervisor, &supervisor->failure) == 0)
		return;
	if (supervisor->vm) {
		happens(supervisor, MACHINE_BROKE);
		quit(supervisor);
	} else {
		machine_next_state(&supervisor->state, MACHINE_QEMU_EXITED);
		finish(supervisor);
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
	set_deadline(supervisor, PHASE_NONE, 0);
	annex_error_free(TAKE(supervisor->failure));
	free(TAKE(supervisor->waiting));
	supervisor->run.started = time_realtime_ns() / 1000000000;
	if (read_record(supervisor, &supervisor->failure) == 0) {
		launch(supervisor);
		return;
	}
	happens(supervisor, MACHINE_START);
	machine_next_state(&supervisor->state, MACHINE_QEMU_EXITED);
	finish(supervisor);
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
	happens(supervisor, MACHINE_RETRY);
	log_info("machine '%s' %s", supervisor->record->name, text);
	set_deadline(supervisor, PHASE_WAIT, wait);
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
