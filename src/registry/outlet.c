#include "registry/outlet.h"

#include <stdio.h>
#include <string.h>

/* How much went into the pipe now; -1: its reader is gone, or another error, which is stored. */
static ssize_t pipe_write(struct outlet *outlet, const char *bytes, size_t size, struct annex_error **err)
{
	size_t done = 0;

	while (done < size) {
		ssize_t n = write(outlet->fd, bytes + done, size - done);

		if (n >= 0) {
			done += (size_t)n;
			continue;
		}
		if (errno == EAGAIN)
			break;
		if (errno == EINTR)
			continue;
		if (errno == EPIPE) {
			outlet->is_gone = true;
			return fail(err, ANNEX_ERROR_CANCELLED, "nobody reads %s any more", outlet->digest);
		}
		return fail_os(err, errno, "writing %s", outlet->digest);
	}
	return (ssize_t)done;
}

static int wrong_size(const struct outlet *outlet, const char *how, struct annex_error **err)
{
	fail(err, ANNEX_ERROR_CORRUPT, "%s from %s is %s than the %llu bytes that the manifest says", outlet->digest,
	     outlet->from, how, (unsigned long long)outlet->size);
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
static int begin_part(struct outlet *outlet, const struct http_response *response, struct annex_error **err)
{
	uint64_t first, total;

	if (!response->content_range || !parse_range(&first, &total, response->content_range) ||
	    first != outlet->received) {
		outlet->whole = true;
		return fail(err, ANNEX_ERROR_NETWORK, "%s: the registry sent another part than the one asked for",
			    outlet->digest);
	}
	if (total != UINT64_MAX && total != outlet->size)
		return wrong_size(outlet, total > outlet->size ? "larger" : "smaller", err);
	return 0;
}

static int on_begin(const struct http_response *response, void *data, struct annex_error **err)
{
	struct outlet *outlet = data;
	uint64_t length;

	outlet->skip = 0;
	outlet->begun = true;
	if (failure_is_web_page(response))
		return failure_web_page(err, outlet->from, response);
	if (response->status == 206)
		return begin_part(outlet, response, err);
	outlet->skip = outlet->received;
	if (response->etag && !text_starts(response->etag, "W/") && !outlet->etag)
		outlet->etag = strdup(response->etag); /* NULL: goes on without */
	if (response->content_length && text_to_u64(&length, response->content_length, 10) == 0 &&
	    length != outlet->size)
		return wrong_size(outlet, length > outlet->size ? "larger" : "smaller", err);
	return 0;
}

static enum http_taken on_bytes(const char *bytes, size_t size, void *data, struct annex_error **err)
{
	struct outlet *outlet = data;
	ssize_t done;

	if (outlet->rest_size)
		return HTTP_PAUSED;
	if (outlet->skip) {
		size_t skipped = size < outlet->skip ? size : (size_t)outlet->skip;

		outlet->skip -= skipped;
		bytes += skipped;
		size -= skipped;
	}
	if (size > outlet->size - outlet->received) {
		wrong_size(outlet, "larger", err);
		return HTTP_FAILED;
	}
	done = pipe_write(outlet, bytes, size, err);
	if (done < 0)
		return HTTP_FAILED;
	if ((size_t)done < size) {
		outlet->rest = malloc(size - (size_t)done);
		if (!outlet->rest) {
			fail_memory(err);
			return HTTP_FAILED;
		}
		outlet->rest_at = 0;
		outlet->rest_size = size - (size_t)done;
		memcpy(outlet->rest, bytes + done, outlet->rest_size);
	}
	outlet->received += size;
	return HTTP_TAKEN;
}

const struct http_sink outlet_sink = {on_begin, on_bytes};

int outlet_embed(struct outlet *outlet, const char *data, struct annex_error **err)
{
	if (!outlet->size)
		return 0;
	outlet->rest = malloc(outlet->size);
	if (!outlet->rest)
		return fail_memory(err);
	memcpy(outlet->rest, data, outlet->size);
	outlet->rest_size = outlet->size;
	outlet->rest_at = 0;
	outlet->received = outlet->size;
	return 0;
}

int outlet_flush(struct outlet *outlet, struct annex_error **err)
{
	ssize_t done;

	if (!outlet->rest_size)
		return 0;
	done = pipe_write(outlet, outlet->rest + outlet->rest_at, outlet->rest_size, err);
	if (done < 0)
		return -1;
	outlet->rest_at += (size_t)done;
	outlet->rest_size -= (size_t)done;
	if (!outlet->rest_size)
		free(TAKE(outlet->rest));
	return 0;
}

void outlet_close(struct outlet *outlet)
{
	if (outlet->fd >= 0)
		close(TAKE_FD(outlet->fd));
	free(TAKE(outlet->rest));
	outlet->rest_size = outlet->rest_at = 0;
}

void outlet_clear(struct outlet *outlet)
{
	outlet_close(outlet);
	free(TAKE(outlet->digest));
	free(TAKE(outlet->etag));
}
