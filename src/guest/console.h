#pragma once
#include "base/error.h"
#include "loop/loop.h"

/* The terminal that is the machine's /dev/console; what is written to it goes to the VM's console. */
struct console;

MUST_USE int console_new(struct console **ret, struct loop *loop, struct annex_error **err);
void console_free(struct console *console);
const char *console_path(const struct console *console); /* of the terminal, as the agent sees it */
