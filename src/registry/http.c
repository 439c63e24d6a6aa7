/*
 * Each transfer has a connection to itself while it runs, also with HTTP/2: a paused one then holds back its sender by
 * TCP's window, where streams that share a connection would have to be buffered. Connections are reused one after the
 * other.
 *
 * Stalls are timed here and not by libcurl, which knows whole seconds only: from the last time that enough had come,
 * or that a paused transfer went on. A byte now and then is a stall too.
 */
#include "registry/http.h"

#include "base/sigpipe.h"
#include "base/time.h"
#include "registry/tls.h"
#include "registry/transfer.h"

#include <assert.h>
#include <pthread.h>

static pthread_once_t global_once = PTHREAD_ONCE_INIT;

/* Never undone: the program may use libcurl too. */
static void init_global(void)
{
	curl_global_init(CURL_GLOBAL_DEFAULT);
}

int http_new(struct http **ret, const struct http_options *options, struct annex_error **err)
{
	struct http *http;

	pthread_once(&global_once, init_global);
	http = calloc(1, sizeof(*http));
	if (http)
		http->multi = curl_multi_init();
	if (!http || !http->multi || tls_new(&http->tls, err) < 0) {
		http_free(http);
		return fail_memory(err);
	}
	http->options = *options;
	curl_multi_setopt(http->multi, CURLMOPT_PIPELINING, (long)CURLPIPE_NOTHING);
	*ret = http;
	return 0;
}

void http_free(struct http *http)
{
	struct sigpipe guard;

	if (!http)
		return;
	assert(!http->transfers);
	sigpipe_hold(&guard); /* the ends of TLS connections are written */
	curl_multi_cleanup(http->multi);
	sigpipe_release(&guard);
	tls_free(http->tls);
	free(http);
}

void http_resume(struct http_transfer *transfer)
{
	struct sigpipe guard;

	if (!transfer->paused)
		return;
	transfer->paused = false;
	transfer_is_active(transfer);
	sigpipe_hold(&guard);
	curl_easy_pause(transfer->easy, CURLPAUSE_CONT);
	sigpipe_release(&guard);
}

static void check_stalls(struct http *http)
{
	uint64_t now = time_monotonic_ms(), limit = time_scaled_ms(HTTP_STALL_MS, 1);

	for (struct http_transfer *transfer = http->transfers; transfer; transfer = transfer->next) {
		struct annex_error *error = NULL;

		if (!transfer->running || transfer->paused || now - transfer->active_at < limit)
			continue;
		fail(&error, ANNEX_ERROR_TIMEOUT, "%s has sent %s for %llu s", transfer->domain,
		     transfer->trickle ? "next to nothing" : "nothing", (unsigned long long)(limit + 999) / 1000);
		fail_hint(&error, "try again: what was downloaded is kept");
		transfer_fail(transfer, FAILURE_TIMEOUT, error);
		transfer_end_hop(transfer, CURLE_OPERATION_TIMEDOUT);
	}
}

static int fail_multi(CURLMcode code, struct annex_error **err)
{
	if (code == CURLM_OUT_OF_MEMORY)
		return fail_memory(err);
	return fail(err, ANNEX_ERROR_NETWORK, "libcurl: %s", curl_multi_strerror(code));
}

static int perform(struct http *http, struct annex_error **err)
{
	int running, left;
	CURLMsg *message;
	CURLMcode code = curl_multi_perform(http->multi, &running);

	if (code != CURLM_OK)
		return fail_multi(code, err);
	while ((message = curl_multi_info_read(http->multi, &left))) {
		struct http_transfer *transfer = NULL;

		if (message->msg != CURLMSG_DONE)
			continue;
		curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, (char **)&transfer);
		transfer_end_hop(transfer, message->data.result);
	}
	check_stalls(http);
	return 0;
}

static int poll_once(struct http *http, struct pollfd *fds, size_t count, int timeout_ms, struct annex_error **err)
{
	struct curl_waitfd extra[HTTP_POLL_LIMIT] = {0};
	unsigned events = http->events;
	CURLMcode code;

	assert(count <= HTTP_POLL_LIMIT);
	if (perform(http, err) < 0)
		return -1;
	for (size_t i = 0; i < count; i++) {
		extra[i].fd = fds[i].fd;
		extra[i].events = (short)((fds[i].events & POLLIN ? CURL_WAIT_POLLIN : 0) |
					  (fds[i].events & POLLOUT ? CURL_WAIT_POLLOUT : 0));
	}
	if (http->events != events)
		timeout_ms = 0;
	code = curl_multi_poll(http->multi, extra, (unsigned)count, timeout_ms, NULL);
	if (code != CURLM_OK)
		return fail_multi(code, err);
	for (size_t i = 0; i < count; i++)
		fds[i].revents = extra[i].revents;
	return perform(http, err);
}

/* Data can come thousands of times a second; the question is worth asking less often. */
bool http_is_cancelled(struct http *http)
{
	uint64_t now = time_monotonic_ms();

	if (!http->options.check || (http->checked_at && now - http->checked_at < HTTP_STEP_MS / 2))
		return false;
	http->checked_at = now;
	return http->options.check(http->options.data) != 0;
}

int http_poll(struct http *http, struct pollfd *fds, size_t count, int timeout_ms, struct annex_error **err)
{
	struct sigpipe guard;
	int result;

	if (http_is_cancelled(http))
		return fail(err, ANNEX_ERROR_CANCELLED, "cancelled");
	sigpipe_hold(&guard);
	result = poll_once(http, fds, count, timeout_ms < 0 || timeout_ms > HTTP_STEP_MS ? HTTP_STEP_MS : timeout_ms,
			   err);
	sigpipe_release(&guard);
	return result;
}

static void notify(struct http *http, const char *text)
{
	if (http->options.notice)
		http->options.notice(text, http->options.data);
}

int http_wait(struct http *http, uint64_t ms, const char *notice, struct annex_error **err)
{
	uint64_t now = time_monotonic_ms(), until = now + ms;
	int result = 0;

	if (notice)
		notify(http, notice);
	for (; result == 0 && now < until; now = time_monotonic_ms())
		result = http_poll(http, NULL, 0, until - now < HTTP_STEP_MS ? (int)(until - now) : HTTP_STEP_MS, err);
	if (notice)
		notify(http, NULL);
	return result;
}

int http_perform(struct http_response *ret, enum failure *ret_failure, struct http *http,
		 const struct http_request *request, struct annex_error **err)
{
	auto_http_transfer struct http_transfer *transfer = NULL;

	*ret_failure = FAILURE_LOCAL;
	if (http_start(&transfer, http, request, err) < 0)
		return -1;
	while (!transfer->ended) {
		if (http_poll(http, NULL, 0, HTTP_STEP_MS, err) < 0)
			return -1;
	}
	*ret_failure = transfer->failure;
	if (transfer->failure != FAILURE_NONE)
		return http_take_error(transfer, err);
	*ret = transfer->response;
	transfer->response = (struct http_response){0};
	return 0;
}
