#pragma once
#include <stdbool.h>

/*
 * How far a machine's init has come, by what can be seen of it: what PID 1 is, what runs below it, and the marks that
 * it leaves. It can ask for nothing but files, so it may block as they do.
 */
enum phase_kind {
	PHASE_UNKNOWN,  /* PID 1 is no init that is known, or still a script */
	PHASE_STARTING, /* it starts what belongs to a start */
	PHASE_UP,
	PHASE_STOPPING, /* it powers off or reboots */
};

#define PHASE_WHAT_MAX 128u

struct phase {
	enum phase_kind kind;
	char what[PHASE_WHAT_MAX]; /* STARTING: what it waits for, if that can be told; of printable characters */
};

/* `root`: of the machine's files, /proc among them, where PID 1 is its init. One look can fall between two steps of a
 * start, where nothing runs: UP counts when the next look shows it too. */
void phase_look(struct phase *ret, int root);
