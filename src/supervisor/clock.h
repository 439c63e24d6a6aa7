#pragma once
#include "supervisor/supervisor.h"

/*
 * The guest's clock is to tell the host's time. It is set right at once when it must have stood still, and checked now
 * and then for what nobody noticed and for the small differences between two clocks.
 */
#define CLOCK_SOON_MS  1000u             /* from setting it to looking at what became of it */
#define CLOCK_LEAST_MS 60000u            /* between two checks; doubled each time that nothing is wrong */
#define CLOCK_MOST_MS  960000u           /* up to this */
#define CLOCK_LATE_MS  1000u             /* a check that comes so much too late: we stood still ourselves */
#define CLOCK_FINE_NS  INT64_C(20000000) /* a difference that is left alone */

MUST_USE int clock_new(struct clock **ret, struct supervisor *supervisor); /* -errno */
void clock_free(struct clock *clock);                                      /* NULL is allowed */

/* The machine is up, and can be asked. */
void clock_begin_checks(struct clock *clock);
/* The guest's clock may have stood still. */
void clock_catch_up(struct clock *clock);
/* The guest's answer; it was asked and has answered at these times of the host. */
void clock_on_measured(struct clock *clock, const struct message_measured *measured, int64_t asked_ns,
		       int64_t answered_ns);

/* What a measurement says. Pure. */
enum clock_verdict {
	CLOCK_FINE,
	CLOCK_UNSURE, /* the answer took too long to tell */
	CLOCK_SLEW,   /* by *ret_ns, a little at a time */
	CLOCK_STEP,
};
enum clock_verdict clock_judge(int64_t *ret_ns, int64_t guest_ns, int64_t asked_ns, int64_t answered_ns);
