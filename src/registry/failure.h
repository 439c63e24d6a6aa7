#pragma once
#include "base/error.h"

#include <stdbool.h>
#include <stdint.h>

/* How a transfer failed below HTTP, as far as somebody reacts to it. */
enum failure {
	FAILURE_NONE,
	FAILURE_UNKNOWN_HOST,
	FAILURE_REFUSED,   /* nobody listens, or no way there */
	FAILURE_NO_TLS,    /* what the peer speaks is not TLS */
	FAILURE_HANDSHAKE, /* it may be, but not with us */
	FAILURE_UNTRUSTED, /* its certificate does not count */
	FAILURE_TIMEOUT,
	FAILURE_BROKEN,   /* the connection ended too soon, or what came was not HTTP */
	FAILURE_UNWANTED, /* we don't want the answer: too large, a redirect to nowhere, … */
	FAILURE_LOCAL,    /* memory, cancelled: trying again is no use */
};

struct http_response;

/* What was asked for, for messages. */
struct failure_subject {
	const char *domain; /* as the user knows it: "docker.io" */
	const char *path;   /* of the repository; NULL: the registry as such */
	const char *name;   /* ":tag", "@sha256:…", or NULL */
	const char *blob;   /* what of it, where it is not the manifest: a digest; or NULL */
};

/* An answer that is not what was hoped for; returns -1. AUTH, NOT_FOUND, NETWORK. */
int failure_of_status(struct annex_error **err, const struct failure_subject *subject,
		      const struct http_response *response);
/* A web page in place of a registry's answer: of a captive portal, a proxy, or another service. */
bool failure_is_web_page(const struct http_response *response);
int failure_web_page(struct annex_error **err, const char *domain, const struct http_response *response);
/* A general hint, by the kind of the error, where nobody knew a better one. */
void failure_hint(struct annex_error **err);
/* "404 Not Found"; the buffer of at least 48 bytes is returned. */
#define FAILURE_STATUS_BUFFER 48
const char *failure_status(char buffer[FAILURE_STATUS_BUFFER], unsigned status);
