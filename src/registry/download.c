/*
 * A blob is WAITING (for its turn, or for the pause before another try), RUNNING, or DONE. Its bytes go through an
 * outlet (registry/outlet.h), so that each try goes on where the last one broke, whoever sends: its sources are the
 * endpoints in order, then the layer's own addresses (HTTPS only, and without credentials). A full pipe pauses the
 * transfer, and TCP holds back the sender.
 */
#include "registry/download.h"

#include "base/digest.h"
#include "base/log.h"
#include "base/sigpipe.h"
#include "base/time.h"
#include "registry/exchange.h"
#include "registry/outlet.h"
#include "registry/request.h"
#include "registry/retry.h"

#include <assert.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>

#define PIPE_SIZE (1 << 20)

enum state { WAITING, RUNNING, DONE };

struct blob {
	struct registry_download *download;
	enum state state;
	struct outlet outlet;
	struct text_list urls;
	const char *data; /* embedded, or NULL */
	struct http_transfer *transfer;
	size_t source;
	struct retry retry;
	uint64_t marked;     /* `received` when `retry` was new */
	uint64_t not_before; /* when the next try may begin */
	bool authorized;     /* a 401 of this source was answered */
	char *notice;        /* what it waits for, for people; NULL: not worth one */
};

struct registry_download {
	struct exchange *exchange;
	struct endpoint_list endpoints;
	char *path; /* of the reference, for messages */
	size_t count;
	struct blob blobs[];
};

static void blob_end(struct blob *blob)
{
	http_transfer_free(TAKE(blob->transfer));
	outlet_close(&blob->outlet);
	blob->state = DONE;
}

static void blob_clear(struct blob *blob)
{
	blob_end(blob);
	outlet_clear(&blob->outlet);
	text_list_clear(&blob->urls);
	free(blob->notice);
}

static int blob_init(struct blob *blob, struct registry_download *download, const struct registry_blob *from,
		     struct annex_error **err)
{
	int flags = fcntl(from->fd, F_GETFL);

	blob->download = download;
	blob->outlet.size = from->size;
	blob->data = from->data;
	blob->outlet.digest = strdup(from->digest);
	if (!blob->outlet.digest)
		return fail_memory(err);
	for (const char *const *url = from->urls; url && *url; url++) {
		if (text_list_add(&blob->urls, *url) < 0)
			return fail_memory(err);
	}
	if (flags < 0 || fcntl(from->fd, F_SETFL, flags | O_NONBLOCK) < 0)
		return fail_os(err, errno, "a pipe for a layer");
	return 0;
}

int registry_download_start(struct registry_download **ret, struct registry_client *client,
			    const struct reference *reference, const struct registry_blob *blobs, size_t count,
			    struct annex_error **err)
{
	auto_registry_download struct registry_download *made = calloc(1, sizeof(*made) + count * sizeof(struct blob));

	if (!made) {
		for (size_t i = 0; i < count; i++)
			close(blobs[i].fd);
		return fail_memory(err);
	}
	made->exchange = registry_client_exchange(client);
	made->count = count;
	for (size_t i = 0; i < count; i++)
		made->blobs[i].outlet.fd = blobs[i].fd;
	for (size_t i = 0; i < count; i++) {
		if (blob_init(&made->blobs[i], made, &blobs[i], err) < 0)
			return -1;
	}
	made->path = strdup(reference->path);
	if (!made->path)
		return fail_memory(err);
	if (endpoint_find(&made->endpoints, reference, err) < 0)
		return -1;
	*ret = TAKE(made);
	return 0;
}

void registry_download_free(struct registry_download *download)
{
	if (!download)
		return;
	for (size_t i = 0; i < download->count; i++)
		blob_clear(&download->blobs[i]);
	endpoint_list_clear(&download->endpoints);
	free(download->path);
	free(download);
}

uint64_t registry_download_done(const struct registry_download *download, size_t blob)
{
	return download->blobs[blob].outlet.received;
}

/* NULL: it is one of the layer's own addresses. */
static const struct endpoint *endpoint_of(const struct blob *blob)
{
	const struct endpoint_list *endpoints = &blob->download->endpoints;

	return blob->source < endpoints->count ? &endpoints->items[blob->source] : NULL;
}

static bool in_reach(const struct registry_download *download, const struct blob *blob)
{
	return blob->source < download->endpoints.count + blob->urls.count;
}

static int start_transfer(struct blob *blob, struct annex_error **err)
{
	struct registry_download *download = blob->download;
	const struct endpoint *endpoint = endpoint_of(blob);
	auto_free char *url = NULL, *authorization = NULL;
	struct http_request request = {.method = HTTP_GET,
				       .what = blob->outlet.digest,
				       .limit = HTTP_ERROR_LIMIT,
				       .sink = &outlet_sink,
				       .data = &blob->outlet,
				       .offset = blob->outlet.whole ? 0 : blob->outlet.received,
				       .if_range = blob->outlet.etag};

	assert(in_reach(download, blob));
	blob->state = RUNNING;
	blob->outlet.from = endpoint ? endpoint->domain : "its own address";
	if (endpoint) {
		const struct exchange_request what = {.folder = "blobs", .name = blob->outlet.digest};
		struct auth_target target;

		if (exchange_prepare(&url, &authorization, download->exchange, endpoint, &what, err) < 0)
			return -1;
		exchange_target(&target, download->exchange, endpoint);
		request.authorization = authorization;
		request.insecure = target.insecure;
		request.plain = target.plain;
		request.url = url;
	} else {
		request.url = blob->urls.items[blob->source - download->endpoints.count];
	}
	return http_start(&blob->transfer, exchange_http(download->exchange), &request, err);
}

const char *registry_download_waiting(const struct registry_download *download)
{
	uint64_t now = time_monotonic_ms();
	const struct blob *first = NULL;
	unsigned under_way = 0;

	for (size_t i = 0; i < download->count && under_way < DOWNLOAD_PARALLEL; i++) {
		const struct blob *blob = &download->blobs[i];

		if (blob->state == DONE)
			continue;
		under_way++;
		if (blob->state == RUNNING || blob->not_before <= now)
			return NULL;
		if (!first || blob->not_before < first->not_before)
			first = blob;
	}
	return first ? first->notice : NULL;
}

static bool is_ours(const struct annex_error *error)
{
	enum annex_error_kind kind = annex_error_kind(error);

	return kind == ANNEX_ERROR_CANCELLED || kind == ANNEX_ERROR_SYSTEM || kind == ANNEX_ERROR_NO_MEMORY;
}

/* The next source, or the error. */
static int next_source(struct blob *blob, struct annex_error **why, struct annex_error **err)
{
	const struct endpoint *endpoint = endpoint_of(blob);
	enum annex_error_kind kind = annex_error_kind(*why);

	if (endpoint && (kind == ANNEX_ERROR_NETWORK || kind == ANNEX_ERROR_TIMEOUT) &&
	    exchange_note_away(blob->download->exchange, endpoint) < 0)
		return fail_memory(err);
	blob->source++;
	blob->retry = (struct retry){0};
	blob->marked = blob->outlet.received;
	blob->outlet.whole = blob->authorized = false;
	blob->not_before = 0;
	free(TAKE(blob->outlet.etag));
	blob->state = WAITING;
	if (in_reach(blob->download, blob) && !is_ours(*why)) {
		log_debug("http: %s: %s; next source", blob->outlet.digest, annex_error_message(*why));
		return 0;
	}
	failure_hint(why);
	if (!is_ours(*why) && !strstr(annex_error_message(*why), blob->outlet.digest))
		fail_while(why, "%s", blob->outlet.digest);
	if (err)
		*err = TAKE(*why);
	return -1;
}

/* Another try at the same source, later. False: it is not worth it. */
static bool try_again(struct blob *blob, enum failure failure, const struct http_response *response)
{
	uint64_t delay;

	if (blob->outlet.received - blob->marked >= RETRY_PROGRESS) {
		blob->retry = (struct retry){0};
		blob->marked = blob->outlet.received;
	}
	if (!request_next(&delay, &blob->retry, failure, response, blob->outlet.received > 0))
		return false;
	log_debug("http: %s broke at %llu of %llu; another try in %llu ms", blob->outlet.digest,
		  (unsigned long long)blob->outlet.received, (unsigned long long)blob->outlet.size,
		  (unsigned long long)delay);
	blob->not_before = time_monotonic_ms() + delay;
	blob->state = WAITING;
	free(blob->notice);
	blob->notice = request_notice(delay, response, blob->outlet.from);
	return true;
}

static int refused(struct blob *blob, const struct http_response *response, struct annex_error **err)
{
	const struct endpoint *endpoint = endpoint_of(blob);
	struct failure_subject subject = {.domain = endpoint ? endpoint_name(endpoint->domain) : "its own address",
					  .path = blob->download->path,
					  .blob = blob->outlet.digest};

	return failure_of_status(err, &subject, response);
}

/* A challenge of the registry's. The new token is used before others renew it: there are some that are good for one
 * request. */
static int renew(bool *ret_renewed, struct blob *blob, const struct http_response *response, struct annex_error **err)
{
	struct exchange *exchange = blob->download->exchange;
	const struct endpoint *endpoint = endpoint_of(blob);
	struct auth_target target;

	*ret_renewed = false;
	if (blob->outlet.begun)
		blob->authorized = blob->outlet.begun = false;
	if (response->status != 401 || response->redirected || blob->authorized || !endpoint)
		return 0;
	blob->authorized = true;
	exchange_target(&target, exchange, endpoint);
	if (auth_answer(ret_renewed, exchange_auth(exchange), &target, &response->challenges, err) < 0)
		return -1;
	return *ret_renewed ? start_transfer(blob, err) : 0;
}

/* An answer that is no blob: a challenge, a range that is not liked, or an error. */
static int unanswered(struct blob *blob, const struct http_response *response, struct annex_error **err)
{
	auto_error struct annex_error *why = NULL;
	bool renewed;

	if (response->status == 416 && !blob->outlet.whole) {
		blob->outlet.whole = true;
		blob->state = WAITING;
		return 0;
	}
	if (renew(&renewed, blob, response, &why) < 0)
		return next_source(blob, &why, err);
	if (renewed)
		return 0;
	/* The registry's addresses in a storage expire: it gives another. */
	if (response->redirected &&
	    (response->status == 400 || response->status == 401 || response->status == 403 ||
	     response->status == 410) &&
	    try_again(blob, FAILURE_BROKEN, NULL))
		return 0;
	if (try_again(blob, FAILURE_NONE, response))
		return 0;
	refused(blob, response, &why);
	return next_source(blob, &why, err);
}

/* A transfer ended, in whatever way. */
static int conclude(struct blob *blob, struct annex_error **err)
{
	auto_http_transfer struct http_transfer *transfer = TAKE(blob->transfer);
	auto_error struct annex_error *why = NULL;
	const struct http_response *response = http_response(transfer);
	enum failure failure = http_failure(transfer);

	if (blob->outlet.is_gone) {
		blob_end(blob);
		return 0;
	}
	if (failure == FAILURE_NONE && response->status != 200 && response->status != 206)
		return unanswered(blob, response, err);
	if (blob->outlet.received == blob->outlet.size && failure != FAILURE_UNWANTED)
		return 0; /* ends when the rest is written */
	if (failure == FAILURE_NONE) {
		failure = FAILURE_BROKEN;
		fail(&why, ANNEX_ERROR_NETWORK, "%s ended after %llu of %llu bytes", blob->outlet.digest,
		     (unsigned long long)blob->outlet.received, (unsigned long long)blob->outlet.size);
	} else {
		http_take_error(transfer, &why);
	}
	if (failure == FAILURE_UNWANTED && blob->outlet.whole && blob->outlet.received &&
	    annex_error_kind(why) == ANNEX_ERROR_NETWORK)
		failure = FAILURE_BROKEN; /* a part that was not asked for */
	if (try_again(blob, failure, NULL))
		return 0;
	return next_source(blob, &why, err);
}

static bool is_away(const struct blob *blob)
{
	const struct endpoint *endpoint = endpoint_of(blob);

	return endpoint && exchange_is_away(blob->download->exchange, endpoint);
}

/* Starts what has its turn: those that are waiting for another try keep their place. */
static int start_some(struct registry_download *download, uint64_t now, struct annex_error **err)
{
	unsigned under_way = 0;

	for (size_t i = 0; i < download->count && under_way < DOWNLOAD_PARALLEL; i++) {
		struct blob *blob = &download->blobs[i];
		auto_error struct annex_error *why = NULL;

		if (blob->state == DONE)
			continue;
		under_way++;
		if (blob->state == RUNNING || now < blob->not_before)
			continue;
		while (is_away(blob))
			blob->source++;
		fcntl(blob->outlet.fd, F_SETPIPE_SZ, PIPE_SIZE); /* fewer wake-ups, if the kernel lets us */
		if (blob->data || !blob->outlet.size) {
			blob->state = RUNNING;
			if (outlet_embed(&blob->outlet, blob->data, err) < 0)
				return -1;
		} else if (start_transfer(blob, &why) < 0 && next_source(blob, &why, err) < 0) {
			return -1;
		}
	}
	return 0;
}

/* Writes what is left over; when all is, the transfer goes on, or the blob is done. */
static int flush(struct blob *blob, struct annex_error **err)
{
	bool was_full = blob->outlet.rest_size > 0;

	if (outlet_flush(&blob->outlet, err) < 0)
		return -1;
	if (blob->outlet.rest_size)
		return 0;
	if (was_full && blob->transfer)
		http_resume(blob->transfer);
	if (blob->state == RUNNING && !blob->outlet.rest_size && !blob->transfer &&
	    blob->outlet.received == blob->outlet.size)
		blob_end(blob);
	return 0;
}

static int look_after(struct blob *blob, struct annex_error **err)
{
	struct annex_error *why = NULL;

	if (blob->state == DONE)
		return 0;
	if (flush(blob, &why) < 0) {
		if (blob->outlet.is_gone) {
			annex_error_free(why);
			blob_end(blob);
			return 0;
		}
		if (err)
			*err = why;
		else
			annex_error_free(why);
		return -1;
	}
	if (blob->transfer && http_is_ended(blob->transfer) && conclude(blob, err) < 0)
		return -1;
	return blob->state == RUNNING && !blob->transfer ? flush(blob, err) : 0;
}

/* Descriptors to wait for, and for how long: until the first pause is over. */
static size_t list_descriptors(struct pollfd fds[HTTP_POLL_LIMIT], int *timeout_ms,
			       const struct registry_download *download, int also_fd, uint64_t now)
{
	size_t count = 0;

	for (size_t i = 0; i < download->count && count < HTTP_POLL_LIMIT - 1; i++) {
		const struct blob *blob = &download->blobs[i];

		if (blob->outlet.rest_size)
			fds[count++] = (struct pollfd){.fd = blob->outlet.fd, .events = POLLOUT};
		if (blob->state == WAITING && blob->not_before > now && blob->not_before - now < (uint64_t)*timeout_ms)
			*timeout_ms = (int)(blob->not_before - now);
	}
	if (also_fd >= 0)
		fds[count++] = (struct pollfd){.fd = also_fd, .events = POLLIN};
	return count;
}

static int look_after_all(struct registry_download *download, bool *ret_ended, struct annex_error **err)
{
	struct sigpipe held;
	bool ended = true;
	int result = 0;

	sigpipe_hold(&held);
	for (size_t i = 0; result == 0 && i < download->count; i++) {
		result = look_after(&download->blobs[i], err);
		ended &= download->blobs[i].state == DONE;
	}
	sigpipe_release(&held);
	*ret_ended = ended;
	return result;
}

int registry_download_poll(struct registry_download *download, int also_fd, int timeout_ms, bool *ret_ended,
			   struct annex_error **err)
{
	struct pollfd fds[HTTP_POLL_LIMIT];
	size_t count;
	bool ended = false;

	if (start_some(download, time_monotonic_ms(), err) < 0 || look_after_all(download, &ended, err) < 0)
		return -1;
	count = list_descriptors(fds, &timeout_ms, download, also_fd, time_monotonic_ms());
	if (!ended && (http_poll(exchange_http(download->exchange), fds, count, timeout_ms, err) < 0 ||
		       look_after_all(download, &ended, err) < 0))
		return -1;
	*ret_ended = ended;
	return 0;
}
