/*
 * The machine's life. Events come from QEMU, the guest's link, clients, signals and the one deadline; each is put to
 * the lifecycle table, which says whether it means anything in the present state, and then acted upon. All ways end in
 * QEMU's own end, behind which life_finish() tells everyone and stops the loop.
 *
 * Why a machine has failed is recorded once, by the first who knows. A machine that has failed but whose QEMU still
 * runs is STOPPING; it becomes FAILED at its end.
 *
 * A machine that is started again gets a supervisor as new: when everyone was told of the end, the process executes
 * itself anew and hands the lock to itself (main.c). That one waits in RESTARTING and can be told to stop, or to start
 * at once.
 */
#include "supervisor/life.h"

#include "base/log.h"
#include "base/text.h"
#include "base/time.h"
#include "supervisor/clients.h"
#include "supervisor/clock.h"
#include "supervisor/guest.h"
#include "supervisor/network.h"
#include "supervisor/notify.h"
#include "supervisor/resources.h"
#include "supervisor/restart.h"

#include <malloc.h>
#include <stdio.h>
#include <string.h>

void life_say(const struct supervisor *supervisor, const char *what, const char *more)
{
	if (supervisor->foreground)
		fprintf(stderr, "annex: machine '%s': %s%s%s\n", supervisor->record->name, what, more ? ": " : "",
			more ? more : "");
	log_debug("%s%s%s", what, more ? ": " : "", more ? more : "");
}

bool life_happens(struct supervisor *supervisor, enum machine_event event)
{
	enum machine_state before = supervisor->state;

	if (!machine_next_state(&supervisor->state, event))
		return false;
	if (supervisor->state != before) {
		life_say(supervisor, machine_state_name(supervisor->state), NULL);
		clients_tell_state(supervisor->clients);
	}
	return true;
}

void life_set_deadline(struct supervisor *supervisor, enum supervisor_phase phase, uint64_t after_ms)
{
	supervisor->phase = phase;
	supervisor->deadline_at = time_monotonic_ms() + after_ms;
	loop_timer_restart(supervisor->deadline, phase == PHASE_NONE ? UINT64_MAX : after_ms);
}

static uint64_t scaled(const struct supervisor *supervisor, uint64_t ms)
{
	return time_scaled_ms(ms, supervisor_slowness(supervisor));
}

uint64_t life_boot_ms(const struct supervisor *supervisor)
{
	const char *set = getenv("ANNEX_BOOT_TIMEOUT");
	uint32_t seconds = 0;

	if (set && text_to_u32(&seconds, set, 10) == 0 && seconds > 0)
		return (uint64_t)seconds * 1000;
	return scaled(supervisor, SUPERVISOR_BOOT_MS);
}

void life_quit(struct supervisor *supervisor)
{
	life_set_deadline(supervisor, PHASE_QUIT, SUPERVISOR_QUIT_MS);
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
		life_quit(supervisor);
		return;
	}
	guest_shutdown(supervisor->guest, timeout_ms);
	life_set_deadline(supervisor, PHASE_STOP, timeout_ms + grace_ms);
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
	if (supervisor->finished || !life_happens(supervisor, MACHINE_STOP) || supervisor->phase == PHASE_QUIT)
		return;
	tell_stopping(supervisor, timeout + scaled(supervisor, SUPERVISOR_GRACE_MS));
	if (timeout == 0)
		life_quit(supervisor);
	else if (supervisor->phase != PHASE_STOP || time_monotonic_ms() + timeout < supervisor->deadline_at)
		shut_down(supervisor, timeout, scaled(supervisor, SUPERVISOR_GRACE_MS));
}

void life_break_off(struct supervisor *supervisor, struct annex_error *err, bool in_order)
{
	if (!supervisor->failure)
		supervisor->failure = TAKE(err);
	annex_error_free(err);
	life_say(supervisor, "fails", annex_error_message(supervisor->failure));
	if (!life_happens(supervisor, MACHINE_BROKE) || supervisor->phase == PHASE_QUIT)
		return;
	tell_stopping(supervisor, scaled(supervisor, SUPERVISOR_BROKEN_MS));
	if (in_order)
		shut_down(supervisor, scaled(supervisor, SUPERVISOR_BROKEN_MS), 0);
	else
		life_quit(supervisor);
}

void life_hint_at_logs(const struct supervisor *supervisor, struct annex_error **err)
{
	fail_hint(err, "annex logs %s", supervisor->record->name);
}

void life_on_deadline(struct loop_source *source, void *data)
{
	struct supervisor *supervisor = data;
	struct annex_error *err = NULL;

	(void)source;
	switch (supervisor->phase) {
	case PHASE_NONE:
		return;
	case PHASE_BOOT:
		fail(&err, ANNEX_ERROR_TIMEOUT, "the machine did not come up in %llu seconds; it was waiting for %s",
		     (unsigned long long)life_boot_ms(supervisor) / 1000,
		     supervisor->waiting                     ? supervisor->waiting
		     : guest_is_up(supervisor->guest)        ? "its init"
		     : supervisor->state == MACHINE_STARTING ? "QEMU"
							     : "its kernel");
		fail_hint(&err, "annex logs --boot %s", supervisor->record->name);
		life_break_off(supervisor, err, true);
		return;
	case PHASE_STOP:
		life_say(supervisor, "did not stop in time and is ended", NULL);
		life_quit(supervisor);
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
	return text_clean(text, SUPERVISOR_WAITING_MAX);
}

void life_set_waiting(struct supervisor *supervisor, const char *what)
{
	if (text_equal(what, supervisor->waiting))
		return;
	free(supervisor->waiting);
	supervisor->waiting = what ? copy_short(what) : NULL;
	if (supervisor->waiting)
		life_say(supervisor, "waits for", supervisor->waiting);
	clients_tell_state(supervisor->clients);
}

void supervisor_on_waiting(struct supervisor *supervisor, const char *what)
{
	if (supervisor->state == MACHINE_BOOTING || supervisor->state == MACHINE_STOPPING)
		life_set_waiting(supervisor, what);
}

void supervisor_on_ready(struct supervisor *supervisor, const char *init)
{
	free(supervisor->waiting);
	supervisor->waiting = NULL;
	log_debug("init is %s", init);
	if (!life_happens(supervisor, MACHINE_AGENT_READY))
		return;
	life_set_deadline(supervisor, PHASE_NONE, 0);
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
		if (life_happens(supervisor, MACHINE_REBOOTED) && was_up)
			life_set_deadline(supervisor, PHASE_BOOT, life_boot_ms(supervisor));
		clients_tell_state(supervisor->clients);
		return;
	case HALTED_CRASH:
		if (supervisor->state != MACHINE_STOPPING) {
			fail(&err, ANNEX_ERROR_GUEST, "the machine's init ended: %s",
			     text && *text ? text : "it crashed");
			life_hint_at_logs(supervisor, &err);
			supervisor->failure = supervisor->failure ? supervisor->failure : TAKE(err);
			annex_error_free(err);
		}
		break;
	default:
		break;
	}
	if (!life_happens(supervisor, MACHINE_GUEST_OFF) || supervisor->phase == PHASE_STOP ||
	    supervisor->phase == PHASE_QUIT)
		return;
	tell_stopping(supervisor, scaled(supervisor, SUPERVISOR_STOP_MS));
	life_set_deadline(supervisor, PHASE_STOP, scaled(supervisor, SUPERVISOR_STOP_MS));
}

bool life_may_note(struct supervisor *supervisor)
{
	return supervisor->notes < SUPERVISOR_NOTES_MAX && ++supervisor->notes;
}

void supervisor_on_guest_failure(struct supervisor *supervisor, const struct message_failure *failure)
{
	struct annex_error *err = NULL;

	guest_failure(&err, failure->kind, failure->os, failure->message, failure->hint);
	if (supervisor->state != MACHINE_BOOTING) {
		if (life_may_note(supervisor))
			log_info("the guest says: %s", annex_error_message(err));
		annex_error_free(err);
		return;
	}
	life_hint_at_logs(supervisor, &err);
	life_break_off(supervisor, err, true);
}

void supervisor_on_broken_guest(struct supervisor *supervisor, const char *what)
{
	struct annex_error *err = NULL;

	log_info("the guest broke the protocol: %s", what);
	guest_free(TAKE(supervisor->guest));
	clients_end_sessions(supervisor->clients, "the guest broke the protocol", NULL);
	fail(&err, ANNEX_ERROR_GUEST, "the guest broke the protocol: %s", what);
	life_hint_at_logs(supervisor, &err);
	life_break_off(supervisor, err, false);
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
	life_hint_at_logs(supervisor, &err);
	life_break_off(supervisor, err, true);
}

void supervisor_on_broken_network(struct supervisor *supervisor, const struct annex_error *why)
{
	struct annex_error *err = NULL;

	if (supervisor->finished || supervisor->state == MACHINE_STOPPING) {
		log_info("%s", annex_error_message(why));
		return;
	}
	fail_relayed(&err, annex_error_kind(why), annex_error_errno(why), annex_error_message(why),
		     annex_error_hint(why));
	if (!annex_error_hint(why))
		life_hint_at_logs(supervisor, &err);
	life_break_off(supervisor, err, false);
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

static void on_drain_over(struct loop_source *source, void *data)
{
	struct supervisor *supervisor = data;

	(void)source;
	supervisor->drained = true;
}

/* The lock goes first, so that whoever hears of the end can start
 * the machine again. */
void life_finish(struct supervisor *supervisor)
{
	const struct annex_error *failure = supervisor->failure;

	supervisor->finished = true;
	supervisor->next_attempt = next_attempt(supervisor);
	life_set_deadline(supervisor, PHASE_NONE, 0);
	guest_free(TAKE(supervisor->guest));
	network_free(TAKE(supervisor->network)); /* its sockets on the host are free for the next start */
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
	life_finish(supervisor);
}
