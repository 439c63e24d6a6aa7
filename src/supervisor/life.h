#pragma once
#include "supervisor/supervisor.h"

/* What can happen to a machine, and what is done then; for the parts of its supervisor. */

/* On standard error where that is a foreground supervisor's; `more` may be NULL. */
void life_say(const struct supervisor *supervisor, const char *what, const char *more);
/* Put an event to the lifecycle table; tells everyone when the state has changed. False: it means nothing now. */
bool life_happens(struct supervisor *supervisor, enum machine_event event);
/* What is waited for from now on, and for how long. */
void life_set_deadline(struct supervisor *supervisor, enum supervisor_phase phase, uint64_t after_ms);
void life_on_deadline(struct loop_source *source, void *data); /* a loop_timer_fn; data: the supervisor */
/* How long a boot may take: $ANNEX_BOOT_TIMEOUT, in seconds, is for images that need longer. */
uint64_t life_boot_ms(const struct supervisor *supervisor);
/* What the machine waits for, NULL: nothing. Tells everyone when it has changed. */
void life_set_waiting(struct supervisor *supervisor, const char *what);
/* May a line be logged of what the guest can cause as often as it likes? It must not fill the host's disk. */
bool life_may_note(struct supervisor *supervisor);
void life_hint_at_logs(const struct supervisor *supervisor, struct annex_error **err);

/* The machine is no good any more, for the reason in *err, which is taken. In order: its guest may stop by itself. */
void life_break_off(struct supervisor *supervisor, struct annex_error *err, bool in_order);
/* End QEMU; on_ended() of events.c follows. */
void life_quit(struct supervisor *supervisor);
/* The last word: nothing of the machine runs any more. */
void life_finish(struct supervisor *supervisor);
