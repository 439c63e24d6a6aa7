#include "supervisor/events.h"

#include "base/log.h"
#include "supervisor/clients.h"
#include "supervisor/clock.h"
#include "supervisor/console.h"
#include "supervisor/guest.h"
#include "supervisor/life.h"

#include <string.h>

enum { SHOWN_LINES = 8 }; /* of the console, when the kernel has panicked */

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
	life_hint_at_logs(supervisor, &err);
	annex_error_free(supervisor->failure);
	supervisor->failure = err;
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
		life_hint_at_logs(supervisor, &supervisor->failure);
	}
	machine_next_state(&supervisor->state, MACHINE_QEMU_EXITED);
	supervisor->state = supervisor->failure ? MACHINE_FAILED : MACHINE_STOPPED;
	life_say(supervisor, machine_state_name(supervisor->state),
		 supervisor->failure ? annex_error_message(supervisor->failure) : NULL);
	qemu_vm_free(TAKE(supervisor->vm));
	supervisor->run.vm_pid = 0;
	life_finish(supervisor);
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
		life_hint_at_logs(supervisor, &supervisor->failure);
	}
	if (life_happens(supervisor, MACHINE_GUEST_OFF) && supervisor->phase != PHASE_QUIT)
		life_set_deadline(supervisor, PHASE_QUIT, SUPERVISOR_QUIT_MS);
}

void events_on_retry(struct loop_source *source, void *data)
{
	struct supervisor *supervisor = data;

	(void)source;
	if (supervisor->vm)
		qemu_vm_resume(supervisor->vm);
}

/* When there is no space, the guest stands still and knows nothing; its writes are tried again until there is some. */
static void on_disk_error(struct supervisor *supervisor, const char *reason)
{
	if (life_may_note(supervisor))
		log_info("writing the disk %s failed: %s", supervisor->paths->disk, reason ? reason : "?");
	if (!reason || strcmp(reason, "nospace") != 0)
		return; /* the guest was told, and knows better what it means */
	life_set_waiting(supervisor, "space on the host for its disk");
	loop_timer_restart(supervisor->retry, SUPERVISOR_RETRY_MS);
}

static void on_resumed(struct supervisor *supervisor)
{
	if (supervisor->state == MACHINE_RUNNING)
		life_set_waiting(supervisor, NULL);
	clock_catch_up(supervisor->clock);
}

void events_on_vm(struct qemu_vm *vm, const struct qemu_event *event, void *data)
{
	struct supervisor *supervisor = data;
	struct annex_error *err = NULL;

	(void)vm;
	switch (event->kind) {
	case QEMU_STARTED:
		life_happens(supervisor, MACHINE_QMP_READY);
		break;
	case QEMU_RESET:
		/* The plan makes QEMU end instead; the guest's link would have to start over. */
		fail(&err, ANNEX_ERROR_GUEST, "the virtual machine was reset");
		life_break_off(supervisor, err, false);
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
