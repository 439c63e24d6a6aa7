#pragma once
#include "annex/context.h"

#include <signal.h>

/* SIGINT, SIGTERM and SIGHUP cancel what the library does; whoever asked for it cleans up, and the process then ends by
 * the same signal. */

/* The context stays the caller's, who calls interrupt_forget() before it goes. */
void interrupt_install(struct annex_context *context);
void interrupt_forget(void);
/* The signal that came, or 0. */
int interrupt_signal(void);
/* The same, and forget it: it was not meant for us. The library is usable again. */
int interrupt_take(struct annex_context *context);
/* Make the library usable again, to clean up after an interrupt. */
void interrupt_begin_cleanup(struct annex_context *context);
/* How many times the process was stopped and went on: then others may have written to the terminal. */
unsigned interrupt_resumed(void);
/* End by the signal that came. */
_Noreturn void interrupt_die(void);
/* Signals that a session passes on, and those that tell it about its terminal. */
void interrupt_session_signals(sigset_t *ret);
/* Those of them that do not cancel, for which there is nobody before the session has begun. */
void interrupt_held_signals(sigset_t *ret);
