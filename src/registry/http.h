#pragma once
#include "base/error.h"
#include "base/text.h"
#include "registry/failure.h"

#include <poll.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * HTTP by libcurl's multi interface: any number of transfers side by side in the caller's thread. Nothing here knows of
 * registries. Redirects are followed; the authorization goes nowhere but to the origin that it was meant for, and never
 * from HTTPS to HTTP.
 *
 * Time-outs grow with ANNEX_TIMEOUT_SCALE.
 */
#define HTTP_REDIRECT_LIMIT 10u
#define HTTP_HEADER_LIMIT   (128u << 10) /* bytes of the headers of one answer */
#define HTTP_ERROR_LIMIT    (64u << 10)  /* bytes that are read of an answer that is an error or a redirect */
#define HTTP_CONNECT_MS     30000u
#define HTTP_STALL_MS       60000u /* while we want more, with fewer bytes than… */
#define HTTP_STALL_BYTES    1024u
#define HTTP_STEP_MS        100 /* how long something blocks before the cancel check is called */
#define HTTP_POLL_LIMIT     16u /* descriptors of http_poll() */

struct http;
struct http_options {
	int (*check)(void *data);                     /* non-zero cancels; may be NULL */
	void (*notice)(const char *text, void *data); /* may be NULL */
	void *data;
};
MUST_USE int http_new(struct http **ret, const struct http_options *options, struct annex_error **err);
void http_free(struct http *http); /* after its transfers */

enum http_method { HTTP_GET, HTTP_HEAD, HTTP_POST };

/* Where HTTP will do; HTTPS does everywhere. */
enum http_plain {
	HTTP_PLAIN_NEVER,
	HTTP_PLAIN_LOOPBACK, /* on this host itself */
	HTTP_PLAIN_ANYWHERE, /* somebody has asked for it */
};
/* May this address be asked? */
bool http_may_ask(const char *url, enum http_plain plain);

/* Texts are NULL when absent. */
struct http_response {
	unsigned status;
	char *content_type, *content_digest, *content_range, *content_encoding, *content_length;
	char *etag, *location, *retry_after;
	struct text_list challenges; /* WWW-Authenticate */
	struct text body;
	bool redirected; /* it comes from elsewhere than what was asked */
};
void http_response_clear(struct http_response *response);
#define auto_http_response CLEANUP(http_response_clear)

enum http_taken { HTTP_FAILED = -1, HTTP_TAKEN, HTTP_PAUSED };

/* Takes the body of an answer 200 or 206 as it comes. Called within http_poll(). */
struct http_sink {
	/* The headers are there. -1: not wanted. */
	int (*begin)(const struct http_response *response, void *data, struct annex_error **err);
	/* PAUSED: nothing was taken; the same bytes come again after http_resume(). */
	enum http_taken (*take)(const char *bytes, size_t size, void *data, struct annex_error **err);
};

/* All is copied but the sink. */
struct http_request {
	enum http_method method;
	const char *url;
	const char *authorization; /* the header's value */
	const char *accept;
	const char *form;     /* of POST: application/x-www-form-urlencoded */
	uint64_t offset;      /* bytes to leave out */
	const char *if_range; /* only of this entity */
	bool insecure;        /* certificates are not verified */
	enum http_plain plain;
	size_t limit;                 /* bytes of the body */
	const char *what;             /* the body, for messages: "the manifest" */
	const struct http_sink *sink; /* NULL: the body is kept in the response */
	void *data;
};

struct http_transfer;
MUST_USE int http_start(struct http_transfer **ret, struct http *http, const struct http_request *request,
			struct annex_error **err);
bool http_is_ended(const struct http_transfer *transfer);
/* Of a transfer that ended. NONE: there is an answer, whatever its status. */
enum failure http_failure(const struct http_transfer *transfer);
/* The error, once, if it failed; returns -1. */
int http_take_error(struct http_transfer *transfer, struct annex_error **err);
struct http_response *http_response(struct http_transfer *transfer);
/* Goes on after HTTP_PAUSED; not within a sink. */
void http_resume(struct http_transfer *transfer);
void http_transfer_free(struct http_transfer *transfer);
static inline void cleanup_http_transfer(struct http_transfer **transfer)
{
	http_transfer_free(*transfer);
}
#define auto_http_transfer CLEANUP(cleanup_http_transfer)

/* Has the caller cancelled? It is asked twenty times per second at most. */
bool http_is_cancelled(struct http *http);
/* Moves all transfers; returns when something happened to one of them or to a descriptor, at the latest after
 * HTTP_STEP_MS. -1: cancelled, or the machinery failed; failures of transfers are theirs. */
MUST_USE int http_poll(struct http *http, struct pollfd *fds, size_t count, int timeout_ms, struct annex_error **err);
/* Waits while the transfers go on; notice: NULL: not worth one. */
MUST_USE int http_wait(struct http *http, uint64_t ms, const char *notice, struct annex_error **err);
/* One request from start to end. */
MUST_USE int http_perform(struct http_response *ret, enum failure *ret_failure, struct http *http,
			  const struct http_request *request, struct annex_error **err);
