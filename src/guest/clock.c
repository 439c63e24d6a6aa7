#include "guest/clock.h"

#include "base/log.h"
#include "base/time.h"

#include <string.h>
#include <sys/timex.h>
#include <time.h>

static void set(int64_t realtime_ns)
{
	struct timespec now = {.tv_sec = realtime_ns / 1000000000, .tv_nsec = realtime_ns % 1000000000};

	if (clock_settime(CLOCK_REALTIME, &now) < 0)
		log_info("cannot set the clock: %s", strerror(errno));
}

void clock_begin(int64_t realtime_ns)
{
	if (realtime_ns > 0)
		set(realtime_ns);
}

bool clock_is_disciplined(void)
{
	struct timex state = {0};

	return adjtimex(&state) >= 0 && !(state.status & STA_UNSYNC);
}

/* The kernel moves it by at most half a millisecond a second. What was still to be moved is forgotten. */
static void slew(int64_t by_ns)
{
	struct timex change = {.modes = ADJ_OFFSET_SINGLESHOT, .offset = (long)(by_ns / 1000)};

	if (adjtimex(&change) < 0)
		log_info("cannot adjust the clock: %s", strerror(errno));
}

void clock_handle(const struct message_clock *message)
{
	int64_t off = 0;

	if (message->realtime_ns <= 0) {
		if (message->slew_ns > -CLOCK_STEP_NS && message->slew_ns < CLOCK_STEP_NS && !clock_is_disciplined())
			slew(message->slew_ns);
		return;
	}
	if (__builtin_sub_overflow(message->realtime_ns, time_realtime_ns(), &off) || off <= -CLOCK_STEP_NS ||
	    off >= CLOCK_STEP_NS)
		set(message->realtime_ns);
}
