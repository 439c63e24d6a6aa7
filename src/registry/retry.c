#include "registry/retry.h"

#include "base/text.h"

#include <curl/curl.h>
#include <string.h>

/* Past this it does not matter any more, and sums can't overflow. */
#define AFTER_LIMIT_MS (366ll * 86400 * 1000)

static bool is_passing(enum failure failure, unsigned status, bool begun)
{
	switch (failure) {
	case FAILURE_NONE:
		return status == 408 || status == 429 || status == 500 || status == 502 || status == 503 ||
		       status == 504;
	case FAILURE_TIMEOUT:
	case FAILURE_BROKEN:
		return true;
	case FAILURE_UNKNOWN_HOST:
	case FAILURE_REFUSED:
	case FAILURE_NO_TLS:
	case FAILURE_HANDSHAKE:
		return begun;
	case FAILURE_UNTRUSTED:
	case FAILURE_UNWANTED:
	case FAILURE_LOCAL:
		return false;
	}
	return false;
}

/* Half of the pause is certain, half is chance, so that clients that failed together don't come back together. */
static uint64_t pause_of(unsigned tries, uint32_t chance)
{
	uint64_t whole = RETRY_DELAY_MS;

	for (unsigned i = 1; i < tries && whole < RETRY_DELAY_LIMIT_MS; i++)
		whole *= 2;
	if (whole > RETRY_DELAY_LIMIT_MS)
		whole = RETRY_DELAY_LIMIT_MS;
	return whole / 2 + chance % (whole / 2 + 1);
}

bool retry_next(uint64_t *ret_delay_ms, struct retry *retry, enum failure failure, unsigned status, int64_t after_ms,
		bool begun, uint32_t chance)
{
	if (!is_passing(failure, status, begun) || retry->tries >= RETRY_LIMIT)
		return false;
	if (failure == FAILURE_TIMEOUT && ++retry->timeouts > RETRY_TIMEOUT_LIMIT)
		return false;
	if (after_ms >= 0) {
		if ((uint64_t)after_ms > RETRY_WAIT_LIMIT_MS - retry->waited_ms)
			return false;
		retry->waited_ms += (uint64_t)after_ms;
	}
	retry->tries++;
	*ret_delay_ms = after_ms >= 0 ? (uint64_t)after_ms : pause_of(retry->tries, chance);
	return true;
}

int64_t retry_parse_after(const char *text, int64_t now)
{
	uint64_t seconds;
	time_t when;
	int result;

	text += strspn(text, " \t");
	result = text_to_u64(&seconds, text, 10);
	if (result == -ERANGE || (result == 0 && seconds > AFTER_LIMIT_MS / 1000))
		return AFTER_LIMIT_MS;
	if (result == 0)
		return (int64_t)seconds * 1000;
	when = curl_getdate(text, NULL);
	if (when < 0)
		return -1;
	if (when <= now)
		return 0;
	return when - now > AFTER_LIMIT_MS / 1000 ? AFTER_LIMIT_MS : (int64_t)(when - now) * 1000;
}
