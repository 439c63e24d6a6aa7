#include "registry/request.h"

#include "base/time.h"
#include "registry/retry.h"
#include "registry/url.h"

#include <stdio.h>
#include <sys/random.h>

/* Pauses shorter than this are not worth a notice. */
#define NOTICE_MS 2000u

bool request_next(uint64_t *ret_delay_ms, struct retry *retry, enum failure failure,
		  const struct http_response *response, bool begun)
{
	int64_t after = -1;
	uint32_t chance = 0;

	if (response && response->retry_after)
		after = retry_parse_after(response->retry_after, time_realtime_ns() / 1000000000);
	if (getrandom(&chance, sizeof(chance), GRND_NONBLOCK) < 0)
		chance = (uint32_t)time_realtime_ns();
	if (!retry_next(ret_delay_ms, retry, failure, response ? response->status : 0, after, begun, chance))
		return false;
	if (after < 0)
		*ret_delay_ms = time_scaled_ms(*ret_delay_ms, 1);
	return true;
}

char *request_notice(uint64_t delay_ms, const struct http_response *response, const char *domain)
{
	char status[FAILURE_STATUS_BUFFER];
	char *made;

	if (delay_ms < NOTICE_MS ||
	    asprintf(&made, "waiting %llu s for %s (%s)", (unsigned long long)(delay_ms + 999) / 1000, domain,
		     response ? failure_status(status, response->status) : "the connection broke") < 0)
		return NULL;
	return made;
}

/* False in *ret_again: give up. */
static int pause_before(bool *ret_again, struct http *http, struct retry *retry, enum failure failure,
			const struct http_response *response, const char *url, struct annex_error **err)
{
	auto_free char *notice = NULL, *domain = url_domain(url);
	uint64_t delay;

	*ret_again = request_next(&delay, retry, failure, response, false);
	if (!*ret_again)
		return 0;
	notice = request_notice(delay, response, domain ? domain : "the registry");
	return http_wait(http, delay, notice, err);
}

int request_perform(struct http_response *ret, enum failure *ret_failure, struct http *http,
		    const struct http_request *request, struct annex_error **err)
{
	struct retry retry = {0};

	for (;;) {
		auto_http_response struct http_response response = {0};
		auto_error struct annex_error *why = NULL;
		bool again, answered = http_perform(&response, ret_failure, http, request, &why) == 0;

		if (pause_before(&again, http, &retry, *ret_failure, answered ? &response : NULL, request->url, err) <
		    0) {
			*ret_failure = FAILURE_LOCAL;
			return -1;
		}
		if (again)
			continue;
		if (answered) {
			*ret = response;
			response = (struct http_response){0};
			return 0;
		}
		if (err)
			*err = TAKE(why);
		return -1;
	}
}
