/*
 * Which scheme a registry speaks is found out by its first request and remembered. HTTPS is tried first; HTTP only
 * where that is allowed (this host itself, and what registries.conf calls insecure) and only when the other side did
 * not speak TLS: a certificate that is wrong is never a reason for HTTP. When HTTP does not work either, the error of
 * HTTPS counts.
 */
#include "registry/exchange.h"

#include "registry/request.h"

#include <stdio.h>
#include <string.h>

struct peer {
	struct peer *next;
	char *domain;
	bool known, plain;
	bool away; /* a mirror that was not reached */
};

struct exchange {
	struct http *http;
	struct auth *auth;
	enum registry_scheme scheme;
	struct peer *peers;
};

int exchange_new(struct exchange **ret, const struct registry_client_options *options, struct annex_error **err)
{
	struct exchange *made = calloc(1, sizeof(*made));

	if (!made)
		return fail_memory(err);
	made->scheme = options->scheme;
	if (http_new(&made->http, &(struct http_options){options->check, options->notice, options->data}, err) < 0 ||
	    auth_new(&made->auth, made->http, err) < 0) {
		exchange_free(made);
		return -1;
	}
	*ret = made;
	return 0;
}

void exchange_free(struct exchange *exchange)
{
	struct peer *peer;

	if (!exchange)
		return;
	while ((peer = exchange->peers)) {
		exchange->peers = peer->next;
		free(peer->domain);
		free(peer);
	}
	auth_free(exchange->auth);
	http_free(exchange->http);
	free(exchange);
}

struct http *exchange_http(struct exchange *exchange)
{
	return exchange->http;
}

struct auth *exchange_auth(struct exchange *exchange)
{
	return exchange->auth;
}

static int find_peer(struct peer **ret, struct exchange *exchange, const char *domain, struct annex_error **err)
{
	struct peer *peer;

	for (peer = exchange->peers; peer; peer = peer->next) {
		if (strcmp(peer->domain, domain) == 0) {
			*ret = peer;
			return 0;
		}
	}
	peer = calloc(1, sizeof(*peer));
	if (!peer)
		return fail_memory(err);
	peer->domain = strdup(domain);
	if (!peer->domain) {
		free(peer);
		return fail_memory(err);
	}
	peer->known = exchange->scheme != REGISTRY_AUTO;
	peer->plain = exchange->scheme == REGISTRY_HTTP;
	peer->next = exchange->peers;
	exchange->peers = peer;
	*ret = peer;
	return 0;
}

bool exchange_is_away(const struct exchange *exchange, const struct endpoint *endpoint)
{
	for (const struct peer *peer = exchange->peers; peer; peer = peer->next) {
		if (strcmp(peer->domain, endpoint->domain) == 0)
			return peer->away;
	}
	return false;
}

int exchange_note_away(struct exchange *exchange, const struct endpoint *endpoint)
{
	struct peer *peer;

	if (!endpoint->is_mirror)
		return 0;
	if (find_peer(&peer, exchange, endpoint->domain, NULL) < 0)
		return -ENOMEM;
	peer->away = true;
	return 0;
}

static enum http_plain plain_of(const struct exchange *exchange, const struct endpoint *endpoint)
{
	if (exchange->scheme == REGISTRY_HTTP || (exchange->scheme == REGISTRY_AUTO && endpoint->insecure))
		return HTTP_PLAIN_ANYWHERE;
	return exchange->scheme == REGISTRY_AUTO && endpoint_is_loopback(endpoint->domain) ? HTTP_PLAIN_LOOPBACK
											   : HTTP_PLAIN_NEVER;
}

static bool may_be_plain(const struct exchange *exchange, const struct endpoint *endpoint)
{
	return plain_of(exchange, endpoint) != HTTP_PLAIN_NEVER;
}

void exchange_target(struct auth_target *ret, const struct exchange *exchange, const struct endpoint *endpoint)
{
	*ret = (struct auth_target){.domain = endpoint_name(endpoint->domain),
				    .path = *endpoint->path ? endpoint->path : NULL,
				    .insecure = endpoint->insecure,
				    .plain = plain_of(exchange, endpoint)};
}

static int make_url(char **ret, const struct endpoint *endpoint, const struct exchange_request *request, bool plain,
		    struct annex_error **err)
{
	const char *scheme = plain ? "http" : "https";
	int length = request->folder ? asprintf(ret, "%s://%s/v2/%s/%s/%s", scheme, endpoint->domain, endpoint->path,
						request->folder, request->name)
				     : asprintf(ret, "%s://%s/v2/", scheme, endpoint->domain);

	return length < 0 ? fail_memory(err) : 0;
}

/* With what authorization there is, and once more with the one that the answer asks for. */
static int ask(struct http_response *ret, enum failure *ret_failure, struct exchange *exchange,
	       const struct endpoint *endpoint, const struct exchange_request *request, bool plain,
	       struct annex_error **err)
{
	struct auth_target target;
	bool again = true;

	exchange_target(&target, exchange, endpoint);
	for (unsigned tries = 0; again; tries++) {
		auto_free char *url = NULL, *authorization = NULL;
		auto_http_response struct http_response response = {0};

		*ret_failure = FAILURE_LOCAL;
		if (make_url(&url, endpoint, request, plain, err) < 0 ||
		    auth_value(&authorization, exchange->auth, &target, err) < 0 ||
		    request_perform(&response, ret_failure, exchange->http,
				    &(struct http_request){.method = request->method,
							   .url = url,
							   .authorization = authorization,
							   .accept = request->accept,
							   .insecure = endpoint->insecure,
							   .plain = target.plain,
							   .limit = request->limit,
							   .what = request->what},
				    err) < 0)
			return -1;
		again = false;
		if (response.status == 401 && tries == 0 && !response.redirected) {
			*ret_failure = FAILURE_NONE;
			if (auth_answer(&again, exchange->auth, &target, &response.challenges, err) < 0)
				return -1;
		}
		if (!again) {
			*ret = response;
			response = (struct http_response){0};
		}
	}
	return 0;
}

static bool may_fall_back(const struct exchange *state, const struct peer *peer, const struct endpoint *endpoint,
			  enum failure failure)
{
	return !peer->known && may_be_plain(state, endpoint) &&
	       (failure == FAILURE_NO_TLS || failure == FAILURE_HANDSHAKE || failure == FAILURE_REFUSED);
}

/* Did the peer answer plain HTTP, in whatever way? To an HTTPS server that means 400. */
static bool speaks_http(int result, enum failure failure, const struct http_response *response)
{
	return result == 0 ? response->status != 400 : failure == FAILURE_NONE;
}

int exchange(struct http_response *ret, enum failure *ret_failure, struct exchange *state,
	     const struct endpoint *endpoint, const struct exchange_request *request, struct annex_error **err)
{
	auto_http_response struct http_response response = {0};
	auto_error struct annex_error *why = NULL, *plain_why = NULL;
	enum failure plain_failure = FAILURE_LOCAL;
	struct peer *peer;
	int result;

	*ret_failure = FAILURE_LOCAL;
	if (find_peer(&peer, state, endpoint->domain, err) < 0)
		return -1;
	result = ask(&response, ret_failure, state, endpoint, request, peer->plain, &why);
	if (result < 0 && may_fall_back(state, peer, endpoint, *ret_failure)) {
		int plain_result = ask(&response, &plain_failure, state, endpoint, request, true, &plain_why);

		/* What is not TLS is HTTP, or nothing. */
		if (*ret_failure == FAILURE_NO_TLS || speaks_http(plain_result, plain_failure, &response)) {
			peer->plain = true;
			*ret_failure = plain_failure;
			result = plain_result;
			annex_error_free(why);
			why = TAKE(plain_why);
		}
	}
	peer->known |= *ret_failure == FAILURE_NONE;
	if (result == 0) {
		*ret = response;
		response = (struct http_response){0};
	} else if (err) {
		*err = TAKE(why);
	}
	return result;
}

int exchange_prepare(char **ret_url, char **ret_authorization, struct exchange *state, const struct endpoint *endpoint,
		     const struct exchange_request *request, struct annex_error **err)
{
	struct auth_target target;
	struct peer *peer;

	if (find_peer(&peer, state, endpoint->domain, err) < 0)
		return -1;
	if (!peer->known && may_be_plain(state, endpoint)) {
		auto_http_response struct http_response response = {0};
		const struct exchange_request root = {.what = "the answer", .limit = HTTP_ERROR_LIMIT};
		enum failure failure;

		if (exchange(&response, &failure, state, endpoint, &root, err) < 0)
			return -1;
	}
	exchange_target(&target, state, endpoint);
	if (make_url(ret_url, endpoint, request, peer->plain, err) < 0)
		return -1;
	if (auth_value(ret_authorization, state->auth, &target, err) < 0) {
		free(TAKE(*ret_url));
		return -1;
	}
	return 0;
}
