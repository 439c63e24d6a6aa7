/*
 * One entry for each registry and repository that challenged us. It remembers the challenge, so that an expired token
 * is renewed before the next request instead of after its failure.
 */
#include "registry/auth.h"

#include "base/base64.h"
#include "base/log.h"
#include "base/time.h"
#include "json/json.h"
#include "registry/challenge.h"
#include "registry/request.h"
#include "registry/url.h"

#include <string.h>

static const char client_id[] = "annex";

struct entry {
	struct entry *next;
	char *domain, *path; /* path: NULL: the registry as such */
	struct challenge_list challenges;
	const struct challenge *chosen;
	char *value;         /* of Authorization, or NULL: none that counts now */
	uint64_t expires_ms; /* monotonic; 0: never */
};

struct auth {
	struct http *http;
	struct entry *entries;
	const struct credential *given;
	bool is_given;
};

int auth_new(struct auth **ret, struct http *http, struct annex_error **err)
{
	struct auth *auth = calloc(1, sizeof(*auth));

	if (!auth)
		return fail_memory(err);
	auth->http = http;
	*ret = auth;
	return 0;
}

static void entry_free(struct entry *entry)
{
	free(entry->domain);
	free(entry->path);
	challenge_list_clear(&entry->challenges);
	text_wipe(&entry->value);
	free(entry);
}

static void drop_entries(struct auth *auth)
{
	struct entry *entry;

	while ((entry = auth->entries)) {
		auth->entries = entry->next;
		entry_free(entry);
	}
}

void auth_free(struct auth *auth)
{
	if (!auth)
		return;
	drop_entries(auth);
	free(auth);
}

void auth_use(struct auth *auth, const struct credential *credential)
{
	drop_entries(auth);
	auth->given = credential;
	auth->is_given = true;
}

static struct entry *find(const struct auth *auth, const struct auth_target *target)
{
	for (struct entry *entry = auth->entries; entry; entry = entry->next) {
		if (strcmp(entry->domain, target->domain) == 0 && text_equal(entry->path, target->path))
			return entry;
	}
	return NULL;
}

static int add(struct entry **ret, struct auth *auth, const struct auth_target *target, struct annex_error **err)
{
	struct entry *entry = calloc(1, sizeof(*entry));

	if (!entry)
		return fail_memory(err);
	if (text_copy(&entry->domain, target->domain) < 0 || text_copy(&entry->path, target->path) < 0) {
		entry_free(entry);
		return fail_memory(err);
	}
	entry->next = auth->entries;
	auth->entries = entry;
	*ret = entry;
	return 0;
}

static int check_cancelled(void *data)
{
	return http_is_cancelled(data);
}

static int find_credential(struct credential *ret, const struct auth *auth, const struct auth_target *target,
			   struct annex_error **err)
{
	if (!auth->is_given)
		return credential_find(ret, target->domain, target->path,
				       &(struct credential_wait){check_cancelled, auth->http}, err);
	*ret = (struct credential){0};
	if (!auth->given)
		return 0;
	if (text_copy(&ret->username, auth->given->username) < 0 ||
	    text_copy(&ret->password, auth->given->password) < 0 ||
	    text_copy(&ret->identity_token, auth->given->identity_token) < 0) {
		credential_clear(ret);
		return fail_memory(err);
	}
	return 0;
}

static bool has_password(const struct credential *credential)
{
	return credential->username && *credential->username && credential->password;
}

/* "Basic …" */
static int basic_value(char **ret, const struct credential *credential, struct annex_error **err)
{
	auto_secret char *joined = NULL, *encoded = NULL;

	if (asprintf(&joined, "%s:%s", credential->username, credential->password) < 0) {
		joined = NULL;
		return fail_memory(err);
	}
	encoded = base64_encode(joined, strlen(joined));
	if (!encoded)
		return fail_memory(err);
	if (asprintf(ret, "Basic %s", encoded) < 0)
		return fail_memory(err);
	return 0;
}

/* repository:PATH:pull, or what the registry asks for where it is about the registry as such. */
static int scope_of(char **ret, const struct auth_target *target, const struct challenge *challenge,
		    struct annex_error **err)
{
	*ret = NULL;
	if (target->path) {
		if (asprintf(ret, "repository:%s:pull", target->path) < 0)
			return fail_memory(err);
	} else if (challenge->scope) {
		*ret = strdup(challenge->scope);
		if (!*ret)
			return fail_memory(err);
	}
	return 0;
}

static int check_realm(const struct auth_target *target, const char *realm, struct annex_error **err)
{
	auto_free char *public = url_public(realm);

	if (!public)
		return fail_memory(err);
	if (http_may_ask(realm, target->plain))
		return 0;
	if (url_is_http(realm))
		fail(err, ANNEX_ERROR_NETWORK, "%s sends us to log in over HTTP, which nothing protects: %.200s",
		     target->domain, public);
	else
		fail(err, ANNEX_ERROR_CORRUPT, "%s sends us to log in at '%.200s', which is not an address of HTTP",
		     target->domain, public);
	return fail_hint(err, "the registry's administrator has to change the realm of its challenge");
}

static int get_url(char **ret, const struct challenge *challenge, const char *scope,
		   const struct credential *credential, struct annex_error **err)
{
	auto_free char *url = strndup(challenge->realm, strcspn(challenge->realm, "#"));
	int result = url ? 0 : -ENOMEM;

	if (result == 0 && challenge->service)
		result = url_add_query(&url, "service", challenge->service);
	if (result == 0 && scope)
		result = url_add_query(&url, "scope", scope);
	if (result == 0 && has_password(credential))
		result = url_add_query(&url, "account", credential->username);
	if (result < 0)
		return fail_memory(err);
	*ret = TAKE(url);
	return 0;
}

/* As in a query, and the leading '?' left out. */
static int post_form(char **ret, const struct challenge *challenge, const char *scope,
		     const struct credential *credential, struct annex_error **err)
{
	auto_secret char *form = strdup("?grant_type=refresh_token");
	int result = form ? 0 : -ENOMEM;

	if (result == 0)
		result = url_add_query(&form, "client_id", client_id);
	if (result == 0 && challenge->service)
		result = url_add_query(&form, "service", challenge->service);
	if (result == 0 && scope)
		result = url_add_query(&form, "scope", scope);
	if (result == 0)
		result = url_add_query(&form, "refresh_token", credential->identity_token);
	if (result < 0)
		return fail_memory(err);
	*ret = strdup(form + 1);
	return *ret ? 0 : fail_memory(err);
}

struct token {
	char *token, *access_token;
};

static const struct json_row token_rows[] = {
	JSON_ROW(JSON_ROW_TEXT, "token", struct token, token, false),
	JSON_ROW(JSON_ROW_TEXT, "access_token", struct token, access_token, false),
};

static bool is_token(const char *text)
{
	size_t length = text ? strlen(text) : 0;

	for (size_t i = 0; i < length; i++) {
		if (text[i] <= ' ' || text[i] > '~')
			return false;
	}
	return length > 0 && length <= AUTH_TOKEN_LIMIT;
}

/* How much of a token's life is left, by its own clock if that makes sense beside ours; renewed a little sooner. */
static uint64_t life_ms(const json_t *body)
{
	const char *issued = json_string_value(json_object_get(body, "issued_at"));
	int64_t now = time_realtime_ns() / 1000000000, at;
	int64_t life = (int64_t)json_integer_value(json_object_get(body, "expires_in"));

	if (life <= 0)
		life = AUTH_LIFETIME_S;
	if (life > 86400)
		life = 86400;
	if (issued && time_parse(&at, issued) == 0 && at < now && now - at < life)
		life -= now - at;
	return (uint64_t)(life > 20 ? life - 10 : life - life / 2) * 1000;
}

static int take_token(struct entry *entry, const struct http_response *response, uint64_t asked_ms, const char *domain,
		      struct annex_error **err)
{
	auto_json json_t *body = NULL;
	struct token token = {0};
	const char *text;
	int result;

	if (failure_is_web_page(response))
		return failure_web_page(err, domain, response);
	/* The parser's own words would quote the answer, and with it the token. */
	if (json_parse(&body, response->body.data ? response->body.data : "", response->body.size, "the token", NULL) <
	    0)
		return fail(err, ANNEX_ERROR_CORRUPT, "the answer to the login is not JSON");
	result = json_decode(&token, body, token_rows, COUNT_OF(token_rows), "the token", err);
	text = token.token && *token.token ? token.token : token.access_token;
	if (result == 0 && !is_token(text))
		result = fail(err, ANNEX_ERROR_CORRUPT, "there is no token in the answer");
	text_wipe(&entry->value);
	if (result == 0 && asprintf(&entry->value, "Bearer %s", text) < 0) {
		entry->value = NULL;
		result = fail_memory(err);
	}
	entry->expires_ms = asked_ms + life_ms(body);
	text_wipe(&token.token);
	text_wipe(&token.access_token);
	return result;
}

static int token_failure(const struct auth_target *target, struct annex_error **err)
{
	if (err && (annex_error_kind(*err) == ANNEX_ERROR_CANCELLED || annex_error_kind(*err) == ANNEX_ERROR_NO_MEMORY))
		return -1;
	fail_while(err, "logging in to %s", target->domain);
	return fail_hint(err,
			 "the registry's login service is broken, or something answers in its place: try again later");
}

static int fetch_token(struct entry *entry, struct auth *auth, const struct auth_target *target,
		       struct annex_error **err)
{
	const struct challenge *challenge = entry->chosen;
	auto_http_response struct http_response response = {0};
	auto_credential struct credential credential = {0};
	auto_free char *scope = NULL, *url = NULL;
	auto_secret char *basic = NULL, *form = NULL;
	uint64_t now = time_monotonic_ms();
	enum failure failure;
	struct http_request request = {.method = HTTP_GET,
				       .accept = "application/json",
				       .insecure = target->insecure,
				       .plain = target->plain,
				       .limit = AUTH_DOCUMENT_LIMIT,
				       .what = "the token"};

	if (check_realm(target, challenge->realm, err) < 0 || scope_of(&scope, target, challenge, err) < 0 ||
	    find_credential(&credential, auth, target, err) < 0)
		return -1;
	if (credential.identity_token && *credential.identity_token) {
		request.method = HTTP_POST;
		if (post_form(&form, challenge, scope, &credential, err) < 0)
			return -1;
		request.url = challenge->realm;
		request.form = form;
	} else {
		if (has_password(&credential) && basic_value(&basic, &credential, err) < 0)
			return -1;
		if (get_url(&url, challenge, scope, &credential, err) < 0)
			return -1;
		request.url = url;
		request.authorization = basic;
	}
	log_debug("http: token for %s %s", target->domain, target->path ? target->path : "");
	if (request_perform(&response, &failure, auth->http, &request, err) < 0)
		return token_failure(target, err);
	if (response.status != 200) {
		struct failure_subject subject = {.domain = target->domain, .path = target->path};

		if (response.status == 400 || response.status == 404)
			response.status = 401;
		return failure_of_status(err, &subject, &response);
	}
	return take_token(entry, &response, now, target->domain, err) < 0 ? token_failure(target, err) : 0;
}

static int renew(struct entry *entry, struct auth *auth, const struct auth_target *target, struct annex_error **err)
{
	auto_credential struct credential credential = {0};

	text_wipe(&entry->value);
	if (entry->chosen->scheme == CHALLENGE_BEARER)
		return fetch_token(entry, auth, target, err);
	if (find_credential(&credential, auth, target, err) < 0)
		return -1;
	return has_password(&credential) ? basic_value(&entry->value, &credential, err) : 0;
}

int auth_value(char **ret, struct auth *auth, const struct auth_target *target, struct annex_error **err)
{
	struct entry *entry = find(auth, target);

	*ret = NULL;
	if (!entry || !entry->chosen)
		return 0;
	if (entry->expires_ms && time_monotonic_ms() >= entry->expires_ms && renew(entry, auth, target, err) < 0)
		return -1;
	if (!entry->value)
		return 0;
	*ret = strdup(entry->value);
	return *ret ? 0 : fail_memory(err);
}

int auth_answer(bool *ret_answered, struct auth *auth, const struct auth_target *target,
		const struct text_list *challenges, struct annex_error **err)
{
	auto_challenge_list struct challenge_list list = {0};
	struct entry *entry = find(auth, target);

	*ret_answered = false;
	if (!entry && add(&entry, auth, target, err) < 0)
		return -1;
	for (size_t i = 0; i < challenges->count; i++) {
		if (challenge_parse(&list, challenges->items[i]) < 0)
			return fail_memory(err);
	}
	challenge_list_clear(&entry->challenges);
	entry->challenges = list;
	list = (struct challenge_list){0};
	entry->chosen = challenge_choose(&entry->challenges);
	if (!entry->chosen) {
		text_wipe(&entry->value);
		return 0;
	}
	if (renew(entry, auth, target, err) < 0)
		return -1;
	*ret_answered = entry->value != NULL;
	return 0;
}
