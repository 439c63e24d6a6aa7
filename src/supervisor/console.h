#pragma once
#include "base/text.h"
#include "loop/loop.h"
#include "machine/paths.h"

/* The machine's serial console: into its log, and its last part in memory for when the machine fails. */
struct console;

#define CONSOLE_TAIL_MAX 4096u /* bytes kept in memory */

/* Takes the descriptor in any case. */
MUST_USE int console_new(struct console **ret, struct loop *loop, int fd, const struct machine_paths *paths,
			 struct annex_error **err);
void console_free(struct console *console);

/* Read what is there: QEMU is gone. NULL is allowed. */
void console_drain(struct console *console);
/* The last `lines` lines, made printable, in one: "this | that"; what follows a kernel's panic, its stack and
 * registers, is left out. The caller frees it; NULL: out of memory. */
char *console_tail(const struct console *console, unsigned lines);
/* What the kernel said when it panicked ("Attempted to kill init! exitcode=0x0000000b"), or NULL. */
char *console_panic(const struct console *console);
/* What the guest's agent said there, since it could not say it in any other way, or NULL. */
char *console_agent(const struct console *console);
