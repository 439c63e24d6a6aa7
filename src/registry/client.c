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
	struct text_list away; /* domains of mirrors that were not reached */
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
	text_list_clear(&client->away);
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

static bool is_away(const struct registry_client *client, const char *domain)
{
	for (size_t i = 0; i < client->away.count; i++) {
		if (strcmp(client->away.items[i], domain) == 0)
			return true;
	}
	return false;
}

static bool is_unreachable(const struct annex_error *error)
{
	return annex_error_kind(error) == ANNEX_ERROR_NETWORK || annex_error_kind(error) == ANNEX_ERROR_TIMEOUT;
}

static void describe(struct failure_subject *ret, char name[DIGEST_TEXT + REFERENCE_TAG_LIMIT],
		     const struct question *question, const struct endpoint *endpoint)
{
	const struct reference *reference = question->reference;
	bool is_manifest = strcmp(question->request.folder, "manifests") == 0;

	*name = '\0';
	if (!is_manifest)
		snprintf(name, DIGEST_TEXT + REFERENCE_TAG_LIMIT, " with the blob %s", question->request.name);
	else
		snprintf(name, DIGEST_TEXT + REFERENCE_TAG_LIMIT, "%c%s", question->by_digest ? '@' : ':',
			 question->request.name);
	*ret = (struct failure_subject){.domain = endpoint->is_mirror ? endpoint->domain : reference->domain,
					.path = endpoint->is_mirror ? endpoint->path : reference->path,
					.name = name};
}

static int ask_one(struct http_response *ret, const struct question *question, const struct endpoint *endpoint,
		   struct annex_error **err)
{
	char name[DIGEST_TEXT + REFERENCE_TAG_LIMIT];
	auto_http_response struct http_response response = {0};
	struct failure_subject subject;
	enum failure failure;

	if (exchange(&response, &failure, question->client->exchange, endpoint, &question->request, err) < 0)
		return -1;
	describe(&subject, name, question, endpoint);
	if (failure_is_web_page(&response) && response.status < 400)
		return failure_web_page(err, endpoint->domain, &response);
	/* A registry that can't HEAD is asked in another way. */
	if (response.status == 200 ||
	    (question->request.method == HTTP_HEAD && response.status != 401 && response.status != 403 &&
	     response.status != 404 && response.status != 429 && response.status < 500) ||
	    (question->request.method == HTTP_HEAD && response.status == 501)) {
		*ret = response;
		response = (struct http_response){0};
		return 0;
	}
	return failure_of_status(err, &subject, &response);
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
		    (endpoint->is_mirror && is_away(question->client, endpoint->domain)))
			continue;
		if (ask_one(ret, question, endpoint, &why) == 0)
			return 0;
		if (annex_error_kind(why) != ANNEX_ERROR_CANCELLED && endpoint->is_mirror) {
			text_printf(&mirrors, "%smirror %s: %s", mirrors.size ? "; " : "", endpoint->domain,
				    annex_error_message(why));
			if (is_unreachable(why) && text_list_add(&question->client->away, endpoint->domain) < 0)
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

/* A body that is what it says it is: neither encoded nor of another digest than was said. */
static int check_document(char digest[DIGEST_TEXT], const struct http_response *response, const char *domain,
			  struct annex_error **err)
{
	const char *said = response->content_digest;

	if (response->content_encoding && strcasecmp(response->content_encoding, "identity") != 0)
		return fail(err, ANNEX_ERROR_UNSUPPORTED,
			    "%s sends the manifest encoded (%.40s), which it was asked not to do", domain,
			    response->content_encoding);
	digest_of(digest, response->body.data ? response->body.data : "", response->body.size);
	if (said && digest_is_valid(said) && strcmp(said, digest) != 0) {
		fail(err, ANNEX_ERROR_CORRUPT,
		     "the manifest from %s is damaged: its digest is %s, and the registry says %s", domain, digest,
		     said);
		return fail_hint(err, "try again; if it stays so, the registry or a proxy in between is broken");
	}
	return 0;
}

/* Known tags that are like the one that is not there; a failure to find them is no failure. */
static void hint_tags(struct question *question, struct annex_error **err)
{
	auto_http_response struct http_response response = {0};
	auto_error struct annex_error *ignored = NULL;
	auto_free char *names = NULL;
	const char *tag = question->reference->tag ? question->reference->tag : "latest";

	if (!err || annex_error_kind(*err) != ANNEX_ERROR_NOT_FOUND || question->by_digest)
		return;
	question->request = (struct exchange_request){.method = HTTP_GET,
						      .what = "the list of tags",
						      .folder = "tags",
						      .name = "list?n=1000",
						      .accept = "application/json",
						      .limit = CLIENT_TAGS_LIMIT};
	if (ask(&response, question, &ignored) < 0)
		return;
	names = suggest_tags(response.body.data ? response.body.data : "", response.body.size, tag);
	if (names && *names)
		fail_hint(err, "there is %s", names);
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
	if (ask(&response, &question, err) < 0 || check_document(digest, &response, reference->domain, err) < 0)
		return -1;
	*ret_digest = strdup(digest);
	return *ret_digest ? 0 : fail_memory(err);
}

struct resolution {
	struct question question;
	struct http_response root;
	char digest[DIGEST_TEXT]; /* of root */
};

static int fetch(char **ret, size_t *ret_size, const struct descriptor *wanted, size_t limit, void *data,
		 struct annex_error **err)
{
	struct resolution *resolution = data;
	struct question question = resolution->question;
	auto_http_response struct http_response response = {0};
	const struct media_type *type = NULL;
	struct text *body = &response.body;

	if (resolution->root.body.data && strcmp(wanted->digest, resolution->digest) == 0) {
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
	result = check_document(resolution.digest, &resolution.root, reference->domain, err);
	if (result == 0)
		result = media_type_of(&entry.media_type, &resolution.root, reference->domain, err);
	if (result == 0) {
		root = strdup(reference->digest ? reference->digest : resolution.digest);
		result = root ? 0 : fail_memory(err);
	}
	if (result == 0) {
		entry.digest = root;
		entry.size = resolution.root.body.size;
		result = resolve_manifest(ret, &entry, 1, platform, fetch, &resolution, err);
	}
	http_response_clear(&resolution.root);
	free(entry.media_type);
	if (result < 0)
		return -1;
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
	if (exchange(&response, &failure, client->exchange, &endpoint, &request, err) < 0)
		return -1;
	if (failure_is_web_page(&response) && response.status != 401)
		return failure_web_page(err, domain, &response);
	if (response.status != 200)
		return failure_of_status(err, &subject, &response);
	return 0;
}
