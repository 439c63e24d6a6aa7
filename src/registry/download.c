/*
 * A blob is WAITING (for its turn, or for the pause before another try), RUNNING, or DONE. `received` counts the bytes
 * that were taken from the network in order; they are in the pipe, but for the last ones in `rest`, which the pipe had
 * no room for. So another try always goes on at `received`, whatever happened.
 *
 * While `rest` is not empty nothing more is taken: the transfer is paused, and TCP holds back the sender.
 *
 * A blob's sources are the endpoints in order, then the layer's own addresses (HTTPS only, and without credentials).
 */
#include "registry/download.h"

#include "base/digest.h"
#include "base/log.h"
#include "base/sigpipe.h"
#include "base/time.h"
#include "registry/exchange.h"
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
	char *digest;
	uint64_t size, received;
	struct text_list urls;
	const char *data;
	int fd;
	char *rest;
	size_t rest_size, rest_at;
	struct http_transfer *transfer;
	char *etag;
	uint64_t skip; /* bytes to drop, of an answer that begins at the beginning */
	size_t source;
	struct retry retry;
	uint64_t marked;     /* `received` when `retry` was new */
	uint64_t not_before; /* when the next try may begin */
	bool whole;          /* the source knows no ranges */
	bool authorized;     /* a 401 of this source was answered */
	bool is_gone;        /* its reader is */
};

struct registry_download {
	struct exchange *exchange;
	struct endpoint_list endpoints;
	char *domain, *path; /* of the reference, for messages */
	size_t count;
	struct blob blobs[];
};

static void blob_end(struct blob *blob)
{
	http_transfer_free(TAKE(blob->transfer));
	if (blob->fd >= 0)
		close(TAKE_FD(blob->fd));
	free(TAKE(blob->rest));
	blob->rest_size = blob->rest_at = 0;
	blob->state = DONE;
}

static void blob_clear(struct blob *blob)
{
	blob_end(blob);
	free(blob->digest);
	free(blob->etag);
	text_list_clear(&blob->urls);
}

static int blob_init(struct blob *blob, struct registry_download *download, const struct registry_blob *from,
		     struct annex_error **err)
{
	int flags = fcntl(from->fd, F_GETFL);

	blob->download = download;
	blob->size = from->size;
	blob->data = from->data;
	blob->digest = strdup(from->digest);
	if (!blob->digest)
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
		made->blobs[i].fd = blobs[i].fd;
	for (size_t i = 0; i < count; i++) {
		if (blob_init(&made->blobs[i], made, &blobs[i], err) < 0)
			return -1;
	}
	made->domain = strdup(reference->domain);
	made->path = strdup(reference->path);
	if (!made->domain || !made->path)
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
	free(download->domain);
	free(download->path);
	free(download);
}

uint64_t registry_download_done(const struct registry_download *download, size_t blob)
{
	return download->blobs[blob].received;
}

/* How much went into the pipe now; -1: its reader is gone, or another error, which is stored. */
static ssize_t pipe_write(struct blob *blob, const char *bytes, size_t size, struct annex_error **err)
{
	size_t done = 0;

	while (done < size) {
		ssize_t n = write(blob->fd, bytes + done, size - done);

		if (n >= 0) {
			done += (size_t)n;
			continue;
		}
		if (errno == EAGAIN)
			break;
		if (errno == EINTR)
			continue;
		if (errno == EPIPE) {
			blob->is_gone = true;
			return fail(err, ANNEX_ERROR_CANCELLED, "nobody reads %s any more", blob->digest);
		}
		return fail_os(err, errno, "writing %s", blob->digest);
	}
	return (ssize_t)done;
}

/* NULL: it is one of the layer's own addresses. */
static const struct endpoint *endpoint_of(const struct blob *blob)
{
	const struct endpoint_list *endpoints = &blob->download->endpoints;

	return blob->source < endpoints->count ? &endpoints->items[blob->source] : NULL;
}

static int wrong_size(const struct blob *blob, const char *how, struct annex_error **err)
{
	const struct endpoint *endpoint = endpoint_of(blob);

	fail(err, ANNEX_ERROR_CORRUPT, "%s from %s is %s than the %llu bytes that the manifest says", blob->digest,
	     endpoint ? endpoint->domain : "its own address", how, (unsigned long long)blob->size);
	failure_hint(err);
	return -1;
}

/* "bytes FIRST-LAST/TOTAL" */
static bool parse_range(uint64_t *ret_first, uint64_t *ret_total, const char *text)
{
	auto_free char *first = NULL;
	size_t digits;

	if (strncasecmp(text, "bytes ", 6) != 0)
		return false;
	text += 6;
	digits = strspn(text, "0123456789");
	first = strndup(text, digits);
	text += digits;
	if (*text != '-')
		return false;
	text += 1 + strspn(text + 1, "0123456789");
	if (*text != '/')
		return false;
	*ret_total = UINT64_MAX;
	if (!first || text_to_u64(ret_first, first, 10) < 0)
		return false;
	return strcmp(text + 1, "*") == 0 || text_to_u64(ret_total, text + 1, 10) == 0;
}

/* The rest that was asked for. */
static int begin_part(struct blob *blob, const struct http_response *response, struct annex_error **err)
{
	uint64_t first, total;

	if (!response->content_range || !parse_range(&first, &total, response->content_range) ||
	    first != blob->received) {
		blob->whole = true;
		return fail(err, ANNEX_ERROR_NETWORK, "%s: the registry sent another part than the one asked for",
			    blob->digest);
	}
	if (total != UINT64_MAX && total != blob->size)
		return wrong_size(blob, total > blob->size ? "larger" : "smaller", err);
	return 0;
}

static int on_begin(const struct http_response *response, void *data, struct annex_error **err)
{
	struct blob *blob = data;
	uint64_t length;

	blob->skip = 0;
	blob->authorized = false;
	if (failure_is_web_page(response))
		return failure_web_page(err, blob->download->domain, response);
	if (response->status == 206)
		return begin_part(blob, response, err);
	blob->skip = blob->received;
	if (response->etag && !text_starts(response->etag, "W/") && !blob->etag)
		blob->etag = strdup(response->etag); /* NULL: goes on without */
	if (response->content_length && text_to_u64(&length, response->content_length, 10) == 0 && length != blob->size)
		return wrong_size(blob, length > blob->size ? "larger" : "smaller", err);
	return 0;
}

static enum http_taken on_bytes(const char *bytes, size_t size, void *data, struct annex_error **err)
{
	struct blob *blob = data;
	ssize_t done;

	if (blob->rest_size)
		return HTTP_PAUSED;
	if (blob->skip) {
		size_t skipped = size < blob->skip ? size : (size_t)blob->skip;

		blob->skip -= skipped;
		bytes += skipped;
		size -= skipped;
	}
	if (size > blob->size - blob->received) {
		wrong_size(blob, "larger", err);
		return HTTP_FAILED;
	}
	done = pipe_write(blob, bytes, size, err);
	if (done < 0)
		return HTTP_FAILED;
	if ((size_t)done < size) {
		blob->rest = malloc(size - (size_t)done);
		if (!blob->rest) {
			fail_memory(err);
			return HTTP_FAILED;
		}
		blob->rest_at = 0;
		blob->rest_size = size - (size_t)done;
		memcpy(blob->rest, bytes + done, blob->rest_size);
	}
	blob->received += size;
	return HTTP_TAKEN;
}

static const struct http_sink sink = {on_begin, on_bytes};

/* What is embedded needs no transfer: it goes the way of the rest. */
static int start_embedded(struct blob *blob, struct annex_error **err)
{
	blob->state = RUNNING;
	if (!blob->size)
		return 0;
	blob->rest = malloc(blob->size);
	if (!blob->rest)
		return fail_memory(err);
	memcpy(blob->rest, blob->data, blob->size);
	blob->rest_size = blob->size;
	blob->rest_at = 0;
	blob->received = blob->size;
	return 0;
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
				       .what = blob->digest,
				       .limit = HTTP_ERROR_LIMIT,
				       .sink = &sink,
				       .data = blob,
				       .offset = blob->whole ? 0 : blob->received,
				       .if_range = blob->etag};

	assert(in_reach(download, blob));
	blob->state = RUNNING;
	if (endpoint) {
		const struct exchange_request what = {.folder = "blobs", .name = blob->digest};
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
	blob->marked = blob->received;
	blob->whole = blob->authorized = false;
	blob->not_before = 0;
	free(TAKE(blob->etag));
	blob->state = WAITING;
	if (in_reach(blob->download, blob) && !is_ours(*why)) {
		log_debug("http: %s: %s; next source", blob->digest, annex_error_message(*why));
		return 0;
	}
	failure_hint(why);
	if (!is_ours(*why) && !strstr(annex_error_message(*why), blob->digest))
		fail_while(why, "%s", blob->digest);
	if (err)
		*err = TAKE(*why);
	return -1;
}

/* Another try at the same source, later. False: it is not worth it. */
static bool try_again(struct blob *blob, enum failure failure, const struct http_response *response)
{
	uint64_t delay;

	if (blob->received - blob->marked >= RETRY_PROGRESS) {
		blob->retry = (struct retry){0};
		blob->marked = blob->received;
	}
	if (!request_next(&delay, &blob->retry, failure, response, blob->received > 0))
		return false;
	log_debug("http: %s broke at %llu of %llu; another try in %llu ms", blob->digest,
		  (unsigned long long)blob->received, (unsigned long long)blob->size, (unsigned long long)delay);
	blob->not_before = time_monotonic_ms() + delay;
	blob->state = WAITING;
	return true;
}

static int refused(struct blob *blob, const struct http_response *response, struct annex_error **err)
{
	const struct endpoint *endpoint = endpoint_of(blob);
	struct failure_subject subject = {.domain = endpoint ? exchange_domain(endpoint) : "its own address",
					  .path = blob->download->path,
					  .blob = blob->digest};

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

	if (response->status == 416 && !blob->whole) {
		blob->whole = true;
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

	if (blob->is_gone) {
		blob_end(blob);
		return 0;
	}
	if (failure == FAILURE_NONE && response->status != 200 && response->status != 206)
		return unanswered(blob, response, err);
	if (blob->received == blob->size && failure != FAILURE_UNWANTED)
		return 0; /* ends when the rest is written */
	if (failure == FAILURE_NONE) {
		failure = FAILURE_BROKEN;
		fail(&why, ANNEX_ERROR_NETWORK, "%s ended after %llu of %llu bytes", blob->digest,
		     (unsigned long long)blob->received, (unsigned long long)blob->size);
	} else {
		http_take_error(transfer, &why);
	}
	if (failure == FAILURE_UNWANTED && blob->whole && blob->received &&
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
		fcntl(blob->fd, F_SETPIPE_SZ, PIPE_SIZE); /* fewer wake-ups, if the kernel lets us */
		if (blob->data || !blob->size) {
			if (start_embedded(blob, err) < 0)
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
	ssize_t done;

	if (blob->state != RUNNING && !blob->rest_size)
		return 0;
	if (blob->rest_size) {
		done = pipe_write(blob, blob->rest + blob->rest_at, blob->rest_size, err);
		if (done < 0)
			return -1;
		blob->rest_at += (size_t)done;
		blob->rest_size -= (size_t)done;
		if (blob->rest_size)
			return 0;
		free(TAKE(blob->rest));
		if (blob->transfer)
			http_resume(blob->transfer);
	}
	if (!blob->rest_size && !blob->transfer && blob->received == blob->size)
		blob_end(blob);
	return 0;
}

static int look_after(struct blob *blob, struct annex_error **err)
{
	struct annex_error *why = NULL;

	if (blob->state == DONE)
		return 0;
	if (flush(blob, &why) < 0) {
		if (blob->is_gone) {
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

		if (blob->rest_size)
			fds[count++] = (struct pollfd){.fd = blob->fd, .events = POLLOUT};
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
