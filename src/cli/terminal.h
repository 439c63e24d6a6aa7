#pragma once
#include "base/error.h"

/* Put the terminal on standard input into raw mode, in which interrupts are still ours. It is put back by
 * terminal_restore(), when the process exits, and when a signal ends it. Nested calls are one. */
MUST_USE int terminal_make_raw(struct annex_error **err);
/* The same with a mode in which what is typed is not shown, and keys do what they always do, except those that stop or
 * quit a process: a shell would get a terminal back that shows nothing. */
MUST_USE int terminal_make_silent(struct annex_error **err);
/* From now on the keys that interrupt are bytes like others. No-op unless raw. */
void terminal_pass_keys(void);
/* Once more, after somebody else may have changed it (the process was stopped and goes on). No-op unless raw. */
void terminal_renew(void);
/* Async-signal-safe. */
void terminal_restore(void);

/* Of standard output, else input, else error; 24 lines of 80 columns where none is a terminal. */
void terminal_size(unsigned *ret_rows, unsigned *ret_columns);
