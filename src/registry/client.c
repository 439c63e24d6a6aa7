/*
 * Endpoints are asked in order, and whatever fails at one is tried at the next: a mirror may lack the image, be
 * away, or want a login. The last one's error counts, since it is the registry itself; what mirrors said is added. A
 * mirror that could not be reached is not asked again.
 *
 * A document asked for by digest is verified by who reads it (registry/resolve.c); one asked for by tag has the digest
 * of its bytes, which must be what the registry says it is.
 */
#include "registry/client.h"

#include "base/digest.h"
#include "registry/exchange.h"
#include "registry/suggest.h"

#include <stdio.h>
#include <string.h>

struct registry_client {
	struct exchange *exchange;
};

int registry_client_new(struct registry_client **ret, const struct registry_client_options *options,
			struct annex_error **err)
{
	auto_registry_client struct registry_client *client = calloc(1, sizeof(*client));

	if (!client)
		return fail_memory(err);
	if (exchange_new(&client->exchange, options, err) < 0)
		return -1;
	*ret = TAKE(client);
	return 0;
}

void registry_client_free(struct registry_client *client)
{
	if (!client)
		return;
	exchange_free(client->exchange);
	free(client);
}

struct exchange *registry_client_exchange(struct registry_client *client)
{
	return client->exchange;
}

/* One question to whoever knows. */
struct question {
	struct registry_client *client;
	const struct reference *reference;
	const struct endpoint_list *endpoints;
	struct exchange_request request;
	bool by_digest;
};

static bool is_unreachable(const struct annex_error *error)
{
	return annex_error_kind(error) == ANNEX_ERROR_NETWORK || annex_error_kind(error) == ANNEX_ERROR_TIMEOUT;
}

/* A body that is what it says it is: neither encoded nor of another digest than was asked for, or was said. */
static int check_document(const struct question *question, const struct endpoint *endpoint,
			  const struct http_response *response, struct annex_error **err)
{
	const char *wanted = question->by_digest ? question->request.name : response->content_digest;
	char digest[DIGEST_TEXT];

	if (response->content_encoding && strcasecmp(response->content_encoding, "identity") != 0) {
		fail(err, ANNEX_ERROR_UNSUPPORTED, "%s sends %s encoded (%.40s), which it was asked not to do",
		     endpoint->domain, question->request.what, response->content_encoding);
		return fail_hint(err, "the registry, or a proxy in between, should not change what it is asked for");
	}
	if (!wanted || !digest_is_valid(wanted))
		return 0;
	digest_of(digest, response->body.data ? response->body.data : "", response->body.size);
	if (strcmp(wanted, digest) == 0)
		return 0;
	fail(err, ANNEX_ERROR_CORRUPT, "%s from %s is damaged: the digest of its contents is %s, not %s",
	     question->request.what, endpoint->domain, digest, wanted);
	failure_hint(err);
	return -1;
}

/* A HEAD that a registry can't answer is asked in another way. */
static bool cannot_head(const struct question *question, unsigned status)
{
	return question->request.method == HTTP_HEAD && status >= 400 && status != 401 && status != 403 &&
	       status != 404 && status != 429 && (status < 500 || status == 501);
}

static int refused(const struct question *question, const struct endpoint *endpoint,
		   const struct http_response *response, struct annex_error **err)
{
	char name[DIGEST_TEXT + REFERENCE_TAG_LIMIT];
	struct failure_subject subject = {
		.domain = endpoint_name(endpoint->domain), .path = endpoint->path, .name = name};

	snprintf(name, sizeof(name), "%c%s", question->by_digest ? '@' : ':', question->request.name);
	if (strcmp(question->request.folder, "blobs") == 0)
		subject.blob = question->request.name;
	return failure_of_status(err, &subject, response);
}

static int ask_one(struct http_response *ret, const struct question *question, const struct endpoint *endpoint,
		   struct annex_error **err)
{
	auto_http_response struct http_response response = {0};
	enum failure failure;

	if (exchange(&response, &failure, question->client->exchange, endpoint, &question->request, err) < 0)
		return -1;
	if (failure_is_web_page(&response) && response.status < 400)
		return failure_web_page(err, endpoint->domain, &response);
	if (response.status != 200 && !cannot_head(question, response.status))
		return refused(question, endpoint, &response, err);
	if (question->request.method != HTTP_HEAD && check_document(question, endpoint, &response, err) < 0)
		return -1;
	*ret = response;
	response = (struct http_response){0};
	return 0;
}

/* Adds what the mirrors said to the error of the registry itself. */
static void mention(struct annex_error **err, const struct text *mirrors)
{
	const char *hint;
	struct annex_error *longer = NULL;

	if (!err || !mirrors->size)
		return;
	hint = annex_error_hint(*err);
	fail(&longer, annex_error_kind(*err), "%s (before that: %s)", annex_error_message(*err), mirrors->data);
	if (hint)
		fail_hint(&longer, "%s", hint);
	annex_error_free(*err);
	*err = longer;
}

static int ask(struct http_response *ret, const struct question *question, struct annex_error **err)
{
	auto_text struct text mirrors = {0};
	auto_error struct annex_error *last = NULL;

	for (size_t i = 0; i < question->endpoints->count; i++) {
		const struct endpoint *endpoint = &question->endpoints->items[i];
		auto_error struct annex_error *why = NULL;

		if ((endpoint->digest_only && !question->by_digest) ||
		    exchange_is_away(question->client->exchange, endpoint))
			continue;
		if (ask_one(ret, question, endpoint, &why) == 0)
			return 0;
		if (annex_error_kind(why) != ANNEX_ERROR_CANCELLED && endpoint->is_mirror) {
			text_printf(&mirrors, "%smirror %s: %s", mirrors.size ? "; " : "", endpoint->domain,
				    annex_error_message(why));
			if (is_unreachable(why) && exchange_note_away(question->client->exchange, endpoint) < 0)
				return fail_memory(err);
		}
		annex_error_free(last);
		last = TAKE(why);
		if (annex_error_kind(last) == ANNEX_ERROR_CANCELLED)
			break;
	}
	if (!last)
		return fail(err, ANNEX_ERROR_NETWORK, "no registry is left to ask for %s", question->reference->domain);
	if (!text_ok(&mirrors))
		return fail_memory(err);
	failure_hint(&last);
	if (annex_error_kind(last) != ANNEX_ERROR_CANCELLED)
		mention(&last, &mirrors);
	if (err)
		*err = TAKE(last);
	return -1;
}

static int manifest_question(struct question *ret, char **accept, struct registry_client *client,
			     const struct reference *reference, const struct endpoint_list *endpoints,
			     enum http_method method, struct annex_error **err)
{
	*accept = media_accept();
	if (!*accept)
		return fail_memory(err);
	*ret = (struct question){
		.client = client,
		.reference = reference,
		.endpoints = endpoints,
		.by_digest = reference->digest != NULL,
		.request = {.method = method,
			    .what = "the manifest",
			    .folder = "manifests",
			    .name = reference->digest ? reference->digest
				    : reference->tag  ? reference->tag
						      : "latest",
			    .accept = *accept,
			    .limit = MANIFEST_SIZE_LIMIT},
	};
	return 0;
}

/* Known tags that are like the one that is not there; a failure to find them is no failure. */
static void hint_tags(struct question *question, struct annex_error **err)
{
	auto_http_response struct http_response response = {0};
	auto_error struct annex_error *ignored = NULL;
	auto_free char *names = NULL;
	const char *tag = question->reference->tag ? question->reference->tag : "latest";

	if (!err || annex_error_kind(*err) != ANNEX_ERROR_NOT_FOUND)
		return;
	if (question->by_digest) {
		fail_hint(err, "check the digest; or has the registry removed it?");
		return;
	}
	question->request = (struct exchange_request){.method = HTTP_GET,
						      .what = "the list of tags",
						      .folder = "tags",
						      .name = "list?n=1000",
						      .accept = "application/json",
						      .limit = CLIENT_TAGS_LIMIT};
	if (ask(&response, question, &ignored) == 0)
		names = suggest_tags(response.body.data ? response.body.data : "", response.body.size, tag);
	if (names)
		fail_hint(err, "there is %s", names);
	else
		fail_hint(err, "check the name and the tag");
}

int registry_head(char **ret_digest, struct registry_client *client, const struct reference *reference,
		  struct annex_error **err)
{
	auto_endpoint_list struct endpoint_list endpoints = {0};
	auto_http_response struct http_response response = {0};
	auto_free char *accept = NULL;
	char digest[DIGEST_TEXT];
	struct question question;

	if (reference->digest) {
		*ret_digest = strdup(reference->digest);
		return *ret_digest ? 0 : fail_memory(err);
	}
	if (endpoint_find(&endpoints, reference, err) < 0 ||
	    manifest_question(&question, &accept, client, reference, &endpoints, HTTP_HEAD, err) < 0)
		return -1;
	if (ask(&response, &question, err) < 0) {
		hint_tags(&question, err);
		return -1;
	}
	if (response.status == 200 && response.content_digest && digest_is_valid(response.content_digest)) {
		*ret_digest = TAKE(response.content_digest);
		return 0;
	}
	http_response_clear(&response);
	question.request.method = HTTP_GET;
	if (ask(&response, &question, err) < 0)
		return -1;
	digest_of(digest, response.body.data ? response.body.data : "", response.body.size);
	*ret_digest = strdup(digest);
	return *ret_digest ? 0 : fail_memory(err);
}

struct resolution {
	struct question question;
	struct http_response root;
	char digest[DIGEST_TEXT]; /* of root */
	bool has_root;            /* its bytes are still here */
};

static int fetch(char **ret, size_t *ret_size, const struct descriptor *wanted, size_t limit, void *data,
		 struct annex_error **err)
{
	struct resolution *resolution = data;
	struct question question = resolution->question;
	auto_http_response struct http_response response = {0};
	const struct media_type *type = NULL;
	struct text *body = &response.body;

	if (resolution->has_root && strcmp(wanted->digest, resolution->digest) == 0) {
		resolution->has_root = false;
		*ret_size = resolution->root.body.size;
		*ret = text_take(&resolution->root.body);
		return *ret ? 0 : fail_memory(err);
	}
	if (wanted->media_type && media_find(&type, wanted->media_type, err) < 0)
		return -1;
	question.by_digest = true;
	question.request.name = wanted->digest;
	question.request.limit = limit;
	if (type && type->kind == MEDIA_CONFIG) {
		question.request.folder = "blobs";
		question.request.what = "the image's configuration";
		question.request.accept = NULL;
	}
	if (ask(&response, &question, err) < 0)
		return -1;
	*ret_size = body->size;
	*ret = text_take(body);
	return *ret ? 0 : fail_memory(err);
}

/* The media type without its parameters; NULL where it says nothing: documents tell themselves what they are. */
static int media_type_of(char **ret, const struct http_response *response, const char *domain, struct annex_error **err)
{
	static const char *const vague[] = {"application/json", "text/plain", "application/octet-stream", "text/json"};
	const char *said = response->content_type ? response->content_type : "";
	auto_free char *type = strndup(said, strcspn(said, "; \t"));

	*ret = NULL;
	if (!type)
		return fail_memory(err);
	if (!*type)
		return 0;
	for (size_t i = 0; i < COUNT_OF(vague); i++) {
		if (strcasecmp(type, vague[i]) == 0)
			return 0;
	}
	if (!text_starts(type, "application/")) {
		fail(err, ANNEX_ERROR_CORRUPT, "%s answered with '%.80s' in place of a manifest", domain, type);
		return fail_hint(err, "is it a registry? or is a proxy in between?");
	}
	*ret = TAKE(type);
	return 0;
}

int registry_resolve(struct image_manifest *ret, char **ret_root, struct registry_client *client,
		     const struct reference *reference, const struct platform *platform, struct annex_error **err)
{
	auto_endpoint_list struct endpoint_list endpoints = {0};
	auto_free char *accept = NULL, *root = NULL;
	struct resolution resolution = {0};
	struct descriptor entry = {0};
	int result;

	if (endpoint_find(&endpoints, reference, err) < 0 ||
	    manifest_question(&resolution.question, &accept, client, reference, &endpoints, HTTP_GET, err) < 0)
		return -1;
	if (ask(&resolution.root, &resolution.question, err) < 0) {
		hint_tags(&resolution.question, err);
		return -1;
	}
	digest_of(resolution.digest, resolution.root.body.data ? resolution.root.body.data : "",
		  resolution.root.body.size);
	resolution.has_root = true;
	result = media_type_of(&entry.media_type, &resolution.root, reference->domain, err);
	if (result == 0) {
		root = strdup(resolution.digest);
		result = root ? 0 : fail_memory(err);
	}
	if (result == 0) {
		entry.digest = root;
		entry.size = resolution.root.body.size;
		result = resolve_manifest(ret, &entry, 1, platform, fetch, &resolution, err);
	}
	http_response_clear(&resolution.root);
	free(entry.media_type);
	if (result < 0) {
		failure_hint(err);
		return -1;
	}
	*ret_root = TAKE(root);
	return 0;
}

int registry_check_login(struct registry_client *client, const char *domain, const struct credential *credential,
			 struct annex_error **err)
{
	auto_endpoint_list struct endpoint_list endpoints = {0};
	auto_http_response struct http_response response = {0};
	char host[REFERENCE_NAME_LIMIT + 1], path[] = "library/login", nothing[] = "";
	const struct exchange_request request = {.what = "the answer", .limit = HTTP_ERROR_LIMIT};
	const struct failure_subject subject = {.domain = domain};
	struct endpoint endpoint;
	enum failure failure;

	snprintf(host, sizeof(host), "%s", domain);
	if (endpoint_find(&endpoints, &(struct reference){.domain = host, .path = path}, err) < 0)
		return -1;
	if (!endpoints.count)
		return fail(err, ANNEX_ERROR_NOT_FOUND, "there is no registry for %s", domain);
	endpoint = endpoints.items[endpoints.count - 1];
	endpoint.path = nothing;
	auth_use(exchange_auth(client->exchange), credential);
	if (exchange(&response, &failure, client->exchange, &endpoint, &request, err) < 0) {
		failure_hint(err);
		return -1;
	}
	if (failure_is_web_page(&response) && response.status != 401)
		return failure_web_page(err, domain, &response);
	if (response.status != 200)
		return failure_of_status(err, &subject, &response);
	return 0;
}
