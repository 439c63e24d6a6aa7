#pragma once
#include "base/error.h"
#include "registry/failure.h"

/* Which failures are worth another try, and when. Pure: time and chance are given. */
#define RETRY_LIMIT          4u          /* further tries of one request without progress */
#define RETRY_TIMEOUT_LIMIT  1u          /* of them after time-outs, which have waited long already */
#define RETRY_DELAY_MS       500u        /* before the second try; doubles */
#define RETRY_DELAY_LIMIT_MS 16000u      /* until here */
#define RETRY_WAIT_LIMIT_MS  120000u     /* what servers may make us wait for one request, in all */
#define RETRY_PROGRESS       (64u << 10) /* bytes after which a transfer that breaks is as good as new */

struct retry {
	unsigned tries, timeouts;
	uint64_t waited_ms; /* because servers said so */
};

/* status: of the answer, 0 where there was none. after_ms: what Retry-After asks for, -1: nothing. chance: any number.
 * begun: there was an answer before, so that an unreachable host is a passing thing. False: give up. */
bool retry_next(uint64_t *ret_delay_ms, struct retry *retry, enum failure failure, unsigned status, int64_t after_ms,
		bool begun, uint32_t chance);
/* Seconds, or a date (RFC 9110, 10.2.3); -1: neither. now: seconds since 1970. */
int64_t retry_parse_after(const char *text, int64_t now);
