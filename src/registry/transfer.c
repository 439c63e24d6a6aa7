/*
 * A transfer is one libcurl handle that is used once for each redirect: start_hop() points it at an address,
 * transfer_end_hop() decides whether what came is the answer or a way to the next. The body goes to the sink, or to
 * memory within the request's limit; that of an error or a redirect always goes to memory, and is cut, not refused.
 */
#include "registry/transfer.h"

#include "base/log.h"
#include "base/sigpipe.h"
#include "base/time.h"
#include "registry/diagnosis.h"
#include "registry/endpoint.h"
#include "registry/response.h"
#include "registry/tls.h"
#include "registry/url.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#define RECEIVE_BUFFER (256l << 10)

void transfer_fail(struct http_transfer *transfer, enum failure failure, struct annex_error *error)
{
	if (transfer->failure == FAILURE_NONE) {
		transfer->failure = failure;
		transfer->error = error;
	} else {
		annex_error_free(error);
	}
}

void transfer_is_active(struct http_transfer *transfer)
{
	transfer->active_at = time_monotonic_ms();
	transfer->trickle = 0;
}

static void count_bytes(struct http_transfer *transfer, size_t size)
{
	transfer->trickle += size;
	if (transfer->trickle >= HTTP_STALL_BYTES)
		transfer_is_active(transfer);
}

static int out_of_memory(struct http_transfer *transfer)
{
	struct annex_error *error = NULL;

	fail_memory(&error);
	transfer_fail(transfer, FAILURE_LOCAL, error);
	return -1;
}

static bool is_redirect(const struct http_response *response)
{
	unsigned status = response->status;

	return response->location &&
	       (status == 301 || status == 302 || status == 303 || status == 307 || status == 308);
}

static bool is_good(unsigned status)
{
	return status == 200 || status == 206;
}

/* A status line begins an answer anew: those before it were interim ones. What comes behind the body counts for
 * nothing. */
static size_t on_header(char *line, size_t one, size_t size, void *data)
{
	struct http_transfer *transfer = data;

	(void)one;
	count_bytes(transfer, size);
	if (!transfer->begun && size >= 5 && memcmp(line, "HTTP/", 5) == 0)
		http_response_clear(&transfer->response);
	transfer->header_size += size;
	if (transfer->header_size > HTTP_HEADER_LIMIT) {
		struct annex_error *error = NULL;

		fail(&error, ANNEX_ERROR_CORRUPT, "%s sends more than %u KiB of headers", transfer->domain,
		     HTTP_HEADER_LIMIT >> 10);
		transfer_fail(transfer, FAILURE_UNWANTED, error);
		return 0;
	}
	if (!transfer->begun && response_keep_header(&transfer->response, line, size) < 0) {
		out_of_memory(transfer);
		return 0;
	}
	return size;
}

static int too_large(struct http_transfer *transfer)
{
	struct annex_error *error = NULL;
	size_t limit = transfer->request.limit;
	bool in_mebibytes = limit >= 1u << 20;

	fail(&error, ANNEX_ERROR_CORRUPT, "%s from %s is larger than %zu %s", transfer->what, transfer->domain,
	     in_mebibytes ? limit >> 20 : limit, in_mebibytes ? "MiB" : "bytes");
	transfer_fail(transfer, FAILURE_UNWANTED, error);
	return -1;
}

/* Once, before the first byte of the body, or at the end of an answer without one. */
static int begin_body(struct http_transfer *transfer)
{
	struct http_response *response = &transfer->response;
	struct annex_error *error = NULL;
	uint64_t length;
	long status = 0;

	if (transfer->begun)
		return 0;
	transfer->begun = true;
	transfer_is_active(transfer);
	transfer->http->events++;
	curl_easy_getinfo(transfer->easy, CURLINFO_RESPONSE_CODE, &status);
	response->status = (unsigned)status;
	if (!is_good(response->status) || is_redirect(response))
		return 0;
	if (!transfer->request.sink) {
		if (transfer->request.method != HTTP_HEAD && response->content_length &&
		    text_to_u64(&length, response->content_length, 10) == 0 && length > transfer->request.limit)
			return too_large(transfer);
		return 0;
	}
	if (transfer->request.sink->begin(response, transfer->request.data, &error) == 0)
		return 0;
	transfer_fail(transfer, FAILURE_UNWANTED, error);
	return -1;
}

static size_t keep_body(struct http_transfer *transfer, const char *bytes, size_t size)
{
	struct text *body = &transfer->response.body;
	bool good = is_good(transfer->response.status);
	size_t limit = good ? transfer->request.limit : HTTP_ERROR_LIMIT;

	if (size > limit - body->size) {
		if (good)
			return too_large(transfer), 0;
		text_add_bytes(body, bytes, limit - body->size);
		transfer->cut = true;
		return 0;
	}
	text_add_bytes(body, bytes, size);
	if (text_ok(body))
		return size;
	out_of_memory(transfer);
	return 0;
}

static size_t on_body(char *bytes, size_t one, size_t size, void *data)
{
	struct http_transfer *transfer = data;
	struct annex_error *error = NULL;

	(void)one;
	count_bytes(transfer, size);
	if (begin_body(transfer) < 0)
		return 0;
	if (!transfer->request.sink || !is_good(transfer->response.status))
		return keep_body(transfer, bytes, size);
	transfer->http->events++;
	switch (transfer->request.sink->take(bytes, size, transfer->request.data, &error)) {
	case HTTP_TAKEN:
		return size;
	case HTTP_PAUSED:
		transfer->paused = true;
		return CURL_WRITEFUNC_PAUSE;
	case HTTP_FAILED:
		break;
	}
	transfer_fail(transfer, FAILURE_UNWANTED, error);
	return 0;
}

/* An option that older versions of libcurl don't have, and don't need. */
static void set_if_there(CURL *easy, const char *name, long value)
{
	const struct curl_easyoption *option = curl_easy_option_by_name(name);

	if (option)
		curl_easy_setopt(easy, option->id, value);
}

static CURLcode set_method(struct http_transfer *transfer)
{
	CURL *easy = transfer->easy;

	switch (transfer->request.method) {
	case HTTP_HEAD:
		return curl_easy_setopt(easy, CURLOPT_NOBODY, 1L);
	case HTTP_POST:
		return curl_easy_setopt(easy, CURLOPT_POSTFIELDS, transfer->form);
	case HTTP_GET:
		break;
	}
	return curl_easy_setopt(easy, CURLOPT_HTTPGET, 1L);
}

static CURLcode set_options(struct http_transfer *transfer)
{
	CURL *easy = transfer->easy;
	CURLcode code = set_method(transfer);

	if (code == CURLE_OK)
		code = curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
	if (code == CURLE_OK)
		code = curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, transfer->reason);
	if (code == CURLE_OK)
		code = curl_easy_setopt(easy, CURLOPT_PRIVATE, transfer);
	if (code == CURLE_OK)
		code = curl_easy_setopt(easy, CURLOPT_HEADERFUNCTION, on_header);
	if (code == CURLE_OK)
		code = curl_easy_setopt(easy, CURLOPT_HEADERDATA, transfer);
	if (code == CURLE_OK)
		code = curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, on_body);
	if (code == CURLE_OK)
		code = curl_easy_setopt(easy, CURLOPT_WRITEDATA, transfer);
	if (code == CURLE_OK)
		code = curl_easy_setopt(easy, CURLOPT_BUFFERSIZE, RECEIVE_BUFFER);
	if (code == CURLE_OK)
		code = curl_easy_setopt(easy, CURLOPT_USERAGENT, "annex/" ANNEX_VERSION);
	if (code == CURLE_OK)
		code = curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS, (long)time_scaled_ms(HTTP_CONNECT_MS, 1));
	if (code == CURLE_OK)
		code = curl_easy_setopt(easy, CURLOPT_SUPPRESS_CONNECT_HEADERS, 1L);
	/* One that does not know HTTP/2 says so here; that is no error. */
	curl_easy_setopt(easy, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_2TLS);
	set_if_there(easy, "CA_CACHE_TIMEOUT", 0);
	set_if_there(easy, "QUICK_EXIT", 1); /* a cancel does not wait for a resolver that hangs */
	return code;
}

static int add_header(struct http_transfer *transfer, const char *name, const char *value)
{
	auto_free char *line = NULL;
	struct curl_slist *longer;

	if (asprintf(&line, "%s: %s", name, value) < 0) {
		line = NULL;
		return -ENOMEM;
	}
	longer = curl_slist_append(transfer->headers, line);
	if (!longer)
		return -ENOMEM;
	transfer->headers = longer;
	return 0;
}

static int make_headers(struct http_transfer *transfer, bool with_authorization)
{
	char range[40];
	int result;

	curl_slist_free_all(TAKE(transfer->headers));
	result = add_header(transfer, "Accept-Encoding", "identity");
	if (result == 0)
		result = add_header(transfer, "Accept", transfer->accept ? transfer->accept : "*/*");
	if (result == 0 && with_authorization)
		result = add_header(transfer, "Authorization", transfer->authorization);
	if (result == 0 && transfer->request.offset) {
		snprintf(range, sizeof(range), "bytes=%llu-", (unsigned long long)transfer->request.offset);
		result = add_header(transfer, "Range", range);
	}
	if (result == 0 && transfer->request.offset && transfer->if_range)
		result = add_header(transfer, "If-Range", transfer->if_range);
	return result;
}

static int refuse(struct http_transfer *transfer, struct annex_error *error)
{
	transfer_fail(transfer, FAILURE_UNWANTED, error);
	return -1;
}

bool http_may_ask(const char *url, enum http_plain plain)
{
	auto_free char *domain = NULL;

	if (url_is_https(url) || plain == HTTP_PLAIN_NEVER || !url_is_http(url))
		return url_is_https(url);
	if (plain == HTTP_PLAIN_ANYWHERE)
		return true;
	domain = url_domain(url);
	return domain && endpoint_is_loopback(domain);
}

/* What HTTPS protected stays protected, even where HTTP would have done from the start. */
static int check_scheme(struct http_transfer *transfer, const char *url)
{
	struct annex_error *error = NULL;
	const char *from = transfer->domain ? transfer->domain : "this";
	auto_free char *public = url_public(url);

	if (!public)
		return out_of_memory(transfer);
	if (http_may_ask(url, transfer->is_secure ? HTTP_PLAIN_NEVER : transfer->request.plain)) {
		transfer->is_secure = url_is_https(url);
		return 0;
	}
	if (url_is_http(url)) {
		fail(&error, ANNEX_ERROR_NETWORK, "%s redirects %s, which nothing protects: %.200s", from,
		     transfer->is_secure ? "from HTTPS to HTTP" : "to HTTP elsewhere", public);
		fail_hint(&error, "the registry's administrator has to change that");
	} else {
		fail(&error, ANNEX_ERROR_NETWORK, "%s redirects to an address that is not of HTTP: %.200s", from,
		     public);
		fail_hint(&error, "the registry's administrator has to change that");
	}
	return refuse(transfer, error);
}

/* No proxy leads back to this host itself. */
static CURLcode set_address(struct http_transfer *transfer, const char *url)
{
	CURL *easy = transfer->easy;
	CURLcode code = tls_apply(easy, transfer->host, !transfer->request.insecure);

	if (code == CURLE_OK)
		code = curl_easy_setopt(easy, CURLOPT_URL, url);
	if (code == CURLE_OK)
		code = curl_easy_setopt(easy, CURLOPT_PROXY, endpoint_is_loopback(transfer->domain) ? "" : NULL);
	if (code == CURLE_OK)
		code = curl_easy_setopt(easy, CURLOPT_HTTPHEADER, transfer->headers);
	return code;
}

static int cannot_set(struct http_transfer *transfer, CURLcode code)
{
	struct annex_error *error = NULL;

	if (code == CURLE_OUT_OF_MEMORY)
		return out_of_memory(transfer);
	fail(&error, ANNEX_ERROR_UNSUPPORTED, "this host's libcurl can't do what is needed: %s",
	     curl_easy_strerror(code));
	fail_hint(&error, "annex needs libcurl with OpenSSL");
	return refuse(transfer, error);
}

/* Points the handle at an address and lets it go. */
static int start_hop(struct http_transfer *transfer, const char *url)
{
	struct annex_error *error = NULL;
	bool with_authorization = transfer->authorization && url_same_origin(url, transfer->url);
	CURLcode code;

	if (check_scheme(transfer, url) < 0)
		return -1;
	free(transfer->domain);
	transfer->domain = url_domain(url);
	if (!transfer->domain) {
		auto_free char *public = url_public(url);

		fail(&error, ANNEX_ERROR_NETWORK, "malformed address '%.200s'", public ? public : "");
		return refuse(transfer, error);
	}
	if (tls_host(&transfer->host, transfer->http->tls, transfer->domain, &error) < 0)
		return refuse(transfer, error);
	*transfer->reason = '\0';
	transfer->begun = transfer->cut = false;
	transfer->header_size = 0;
	if (make_headers(transfer, with_authorization) < 0)
		return out_of_memory(transfer);
	code = set_address(transfer, url);
	if (code != CURLE_OK)
		return cannot_set(transfer, code);
	transfer_is_active(transfer);
	if (curl_multi_add_handle(transfer->http->multi, transfer->easy) != CURLM_OK)
		return out_of_memory(transfer);
	transfer->running = true;
	return 0;
}

static void end(struct http_transfer *transfer)
{
	transfer->ended = true;
	transfer->paused = false;
	transfer->http->events++;
}

static void follow(struct http_transfer *transfer)
{
	auto_free char *next = NULL;
	char *base = NULL;
	struct annex_error *error = NULL;

	if (++transfer->redirects > HTTP_REDIRECT_LIMIT) {
		fail(&error, ANNEX_ERROR_NETWORK, "%s redirects in a circle, or more than %u times", transfer->domain,
		     HTTP_REDIRECT_LIMIT);
		refuse(transfer, error);
		return;
	}
	if (transfer->request.method == HTTP_POST) {
		fail(&error, ANNEX_ERROR_NETWORK, "%s redirects a request that holds a secret", transfer->domain);
		refuse(transfer, error);
		return;
	}
	curl_easy_getinfo(transfer->easy, CURLINFO_EFFECTIVE_URL, &base);
	if (url_join(&next, base, transfer->response.location, &error) < 0) {
		fail_while(&error, "%s redirects", transfer->domain);
		refuse(transfer, error);
		return;
	}
	http_response_clear(&transfer->response);
	start_hop(transfer, next);
}

static const char *http_version(long version)
{
	switch (version) {
	case CURL_HTTP_VERSION_2_0:
		return "HTTP/2";
	case CURL_HTTP_VERSION_1_1:
		return "HTTP/1.1";
	default:
		return "HTTP/1.0";
	}
}

static void log_end(const struct http_transfer *transfer, CURLcode code)
{
	static const char *const methods[] = {[HTTP_GET] = "GET", [HTTP_HEAD] = "HEAD", [HTTP_POST] = "POST"};
	auto_free char *public = NULL;
	char *url = NULL;
	long version = 0;

	curl_easy_getinfo(transfer->easy, CURLINFO_EFFECTIVE_URL, &url);
	curl_easy_getinfo(transfer->easy, CURLINFO_HTTP_VERSION, &version);
	public = url_public(url ? url : "");
	if (code == CURLE_OK)
		log_debug("http: %s %s: %u, %s", methods[transfer->request.method], public ? public : "",
			  transfer->response.status, http_version(version));
	else
		log_debug("http: %s %s: %s", methods[transfer->request.method], public ? public : "",
			  *transfer->reason ? transfer->reason : curl_easy_strerror(code));
}

void transfer_end_hop(struct http_transfer *transfer, CURLcode code)
{
	struct annex_error *error = NULL;
	enum failure failure;

	if (code == CURLE_WRITE_ERROR && transfer->cut)
		code = CURLE_OK;
	if (code == CURLE_OK)
		begin_body(transfer);
	log_end(transfer, code);
	curl_multi_remove_handle(transfer->http->multi, transfer->easy);
	transfer->running = false;
	if (code != CURLE_OK && transfer->failure == FAILURE_NONE) {
		failure = diagnose(&error, transfer->easy, code, transfer->domain, transfer->reason, transfer->host,
				   transfer->header_size > 0);
		transfer_fail(transfer, failure, error);
	}
	if (transfer->failure == FAILURE_NONE && is_redirect(&transfer->response))
		follow(transfer);
	transfer->response.redirected = transfer->redirects > 0;
	if (!transfer->running)
		end(transfer);
}

int http_start(struct http_transfer **ret, struct http *http, const struct http_request *request,
	       struct annex_error **err)
{
	struct http_transfer *transfer = calloc(1, sizeof(*transfer));

	if (!transfer)
		return fail_memory(err);
	transfer->http = http;
	transfer->request = *request;
	transfer->next = http->transfers;
	http->transfers = transfer;
	transfer->easy = curl_easy_init();
	if (!transfer->easy || text_copy(&transfer->url, request->url) < 0 ||
	    text_copy(&transfer->authorization, request->authorization) < 0 ||
	    text_copy(&transfer->accept, request->accept) < 0 || text_copy(&transfer->form, request->form) < 0 ||
	    text_copy(&transfer->if_range, request->if_range) < 0 ||
	    text_copy(&transfer->what, request->what ? request->what : "the answer") < 0 ||
	    set_options(transfer) != CURLE_OK) {
		http_transfer_free(transfer);
		return fail_memory(err);
	}
	if (start_hop(transfer, transfer->url) < 0)
		end(transfer);
	*ret = transfer;
	return 0;
}

bool http_is_ended(const struct http_transfer *transfer)
{
	return transfer->ended;
}

enum failure http_failure(const struct http_transfer *transfer)
{
	return transfer->failure;
}

int http_take_error(struct http_transfer *transfer, struct annex_error **err)
{
	if (err)
		*err = TAKE(transfer->error);
	return -1;
}

struct http_response *http_response(struct http_transfer *transfer)
{
	return &transfer->response;
}

void http_transfer_free(struct http_transfer *transfer)
{
	struct http_transfer **at;
	struct sigpipe guard;

	if (!transfer)
		return;
	for (at = &transfer->http->transfers; *at != transfer; at = &(*at)->next)
		assert(*at);
	*at = transfer->next;
	sigpipe_hold(&guard); /* the end of a TLS connection is written */
	if (transfer->running)
		curl_multi_remove_handle(transfer->http->multi, transfer->easy);
	curl_easy_cleanup(transfer->easy);
	sigpipe_release(&guard);
	curl_slist_free_all(transfer->headers);
	http_response_clear(&transfer->response);
	free(transfer->url);
	text_wipe(&transfer->authorization);
	free(transfer->accept);
	text_wipe(&transfer->form);
	free(transfer->if_range);
	free(transfer->what);
	free(transfer->domain);
	annex_error_free(transfer->error);
	free(transfer);
}
