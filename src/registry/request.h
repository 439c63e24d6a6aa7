#pragma once
#include "registry/http.h"

/* One request, again and again while its failure may pass (registry/retry.h): a broken connection, 5xx, 429. The
 * answer's status is the caller's to judge. Blocks. */
MUST_USE int request_perform(struct http_response *ret, enum failure *ret_failure, struct http *http,
			     const struct http_request *request, struct annex_error **err);

/* For those who wait themselves: for how long, before another try; false: give up. response: NULL where there was none;
 * begun: there was an answer before, so that an unreachable host is a passing thing. */
struct retry;
bool request_next(uint64_t *ret_delay_ms, struct retry *retry, enum failure failure,
		  const struct http_response *response, bool begun);
/* "waiting 12 s for ghcr.io (429 Too Many Requests)", which the caller frees; NULL: too short to be worth a notice. */
char *request_notice(uint64_t delay_ms, const struct http_response *response, const char *domain);
