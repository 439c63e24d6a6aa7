#pragma once
#include "registry/auth.h"
#include "registry/client.h"
#include "registry/endpoint.h"
#include "registry/http.h"

/*
 * Requests to one registry: what scheme it speaks, who we are for it, and what is worth another try. What the client
 * and its downloads share.
 */
struct exchange;
MUST_USE int exchange_new(struct exchange **ret, const struct registry_client_options *options,
			  struct annex_error **err);
void exchange_free(struct exchange *exchange);
struct http *exchange_http(struct exchange *exchange);
struct auth *exchange_auth(struct exchange *exchange);

struct exchange_request {
	enum http_method method;
	const char *what;   /* for messages: "the manifest" */
	const char *folder; /* "manifests", "blobs", "tags"; NULL: the registry's root, /v2/ */
	const char *name;   /* below it */
	const char *accept;
	size_t limit;
};

/* The answer may have any status. Blocks. */
MUST_USE int exchange(struct http_response *ret, enum failure *ret_failure, struct exchange *exchange,
		      const struct endpoint *endpoint, const struct exchange_request *request,
		      struct annex_error **err);

/* For requests that are made elsewhere: where to, and who we are. Asks the registry's root when it is not known yet
 * which scheme it speaks. Both are the caller's; *ret_authorization is NULL when none is known. */
MUST_USE int exchange_prepare(char **ret_url, char **ret_authorization, struct exchange *exchange,
			      const struct endpoint *endpoint, const struct exchange_request *request,
			      struct annex_error **err);
/* Mirrors that could not be reached are not asked again. */
bool exchange_is_away(const struct exchange *exchange, const struct endpoint *endpoint);
MUST_USE int exchange_note_away(struct exchange *exchange, const struct endpoint *endpoint); /* -ENOMEM */
/* Fills in whom an authorization is for; pointers are the endpoint's. */
void exchange_target(struct auth_target *ret, const struct exchange *exchange, const struct endpoint *endpoint);
