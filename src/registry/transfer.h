#pragma once
#include "registry/http.h"

#include <curl/curl.h>

/* What http.c, which moves all transfers, and transfer.c, which knows what one of them is about, share. */
struct tls;
struct tls_host;

struct http {
	struct http_options options;
	CURLM *multi;
	struct tls *tls;
	struct http_transfer *transfers;
	uint64_t checked_at; /* when somebody was last asked whether to go on */
	unsigned events;     /* counts what http_poll() has to return for */
};

struct http_transfer {
	struct http *http;
	struct http_transfer *next;
	CURL *easy;
	struct curl_slist *headers;
	struct http_request request;
	char *url, *authorization, *accept, *form, *if_range, *what; /* copies that request points to */
	struct http_response response;
	size_t header_size;
	struct tls_host *host;
	char *domain; /* of the address that is asked now */
	char reason[CURL_ERROR_SIZE];
	enum failure failure;
	struct annex_error *error;
	unsigned redirects;
	uint64_t active_at; /* when enough had come last */
	size_t trickle;     /* bytes since then */
	bool running, paused, begun, ended;
	bool cut;       /* more of an error or a redirect is not wanted */
	bool is_secure; /* the address asked now is of HTTPS */
};

/* libcurl is done with the address that was asked: the answer is there, or the way to the next, or an error. */
void transfer_end_hop(struct http_transfer *transfer, CURLcode code);
/* From here on it has time again. */
void transfer_is_active(struct http_transfer *transfer);
/* Keeps the first error, which it takes. */
void transfer_fail(struct http_transfer *transfer, enum failure failure, struct annex_error *error);
