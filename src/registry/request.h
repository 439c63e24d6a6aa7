#pragma once
#include "registry/http.h"

/* One request, again and again while its failure may pass (registry/retry.h): unreachable for a moment, 5xx, 429. The
 * answer's status is the caller's to judge. Blocks. */
MUST_USE int request_perform(struct http_response *ret, enum failure *ret_failure, struct http *http,
			     const struct http_request *request, struct annex_error **err);

/* The pause before the next try, as text for people: "waiting 12 s for ghcr.io (429 Too Many Requests)". Waits.
 * response: NULL where there was none. False in *ret_again: give up. */
struct retry;
MUST_USE int request_pause(bool *ret_again, struct http *http, struct retry *retry, enum failure failure,
			   const struct http_response *response, const char *url, struct annex_error **err);
/* The same without waiting. */
bool request_next(uint64_t *ret_delay_ms, struct retry *retry, enum failure failure,
		  const struct http_response *response, bool begun);
