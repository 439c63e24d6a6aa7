#pragma once
#include "loop/loop.h"

/* Stand-ins for a screen's terminals, /dev/tty1 and so on: what waits for a login there, waits. */
#define TERMINALS_COUNT 6u

struct terminals;

/* -errno. */
MUST_USE int terminals_new(struct terminals **ret, struct loop *loop);
void terminals_free(struct terminals *terminals);
/* In the agent's mounts; NULL past the last one, and of no terminals. */
const char *terminals_path(const struct terminals *terminals, unsigned index);
