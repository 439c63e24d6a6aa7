#include "registry/failure.h"

#include "json/json.h"
#include "registry/http.h"
#include "registry/retry.h"

#include "base/time.h"

#include <stdio.h>
#include <string.h>

#define MESSAGE_LIMIT 160 /* bytes of what a registry says itself */

struct status_name {
	unsigned status;
	const char *name;
};

static const struct status_name status_names[] = {
	{200, "OK"},
	{204, "No Content"},
	{304, "Not Modified"},
	{400, "Bad Request"},
	{401, "Unauthorized"},
	{403, "Forbidden"},
	{404, "Not Found"},
	{405, "Method Not Allowed"},
	{406, "Not Acceptable"},
	{407, "Proxy Authentication Required"},
	{408, "Request Timeout"},
	{410, "Gone"},
	{416, "Range Not Satisfiable"},
	{429, "Too Many Requests"},
	{451, "Unavailable For Legal Reasons"},
	{500, "Internal Server Error"},
	{501, "Not Implemented"},
	{502, "Bad Gateway"},
	{503, "Service Unavailable"},
	{504, "Gateway Timeout"},
};

const char *failure_status(char buffer[FAILURE_STATUS_BUFFER], unsigned status)
{
	const char *name = "";

	for (size_t i = 0; i < COUNT_OF(status_names); i++) {
		if (status_names[i].status == status)
			name = status_names[i].name;
	}
	snprintf(buffer, FAILURE_STATUS_BUFFER, "%u%s%s", status, *name ? " " : "", name);
	return buffer;
}

/* {"errors":[{"code":…,"message":…}]}, or what token servers say: {"details":…}, {"error_description":…}. "": nothing
 * that is worth telling. */
static void own_words(char into[MESSAGE_LIMIT], const struct http_response *response)
{
	auto_error struct annex_error *ignored = NULL;
	auto_json json_t *body = NULL;
	const json_t *first;
	const char *text = NULL;

	*into = '\0';
	if (!response->body.size || *response->body.data != '{' ||
	    json_parse(&body, response->body.data, response->body.size, "answer", &ignored) < 0)
		return;
	first = json_array_get(json_object_get(body, "errors"), 0);
	text = json_string_value(json_object_get(first, "message"));
	if (!text || !*text)
		text = json_string_value(json_object_get(first, "code"));
	if (!text)
		text = json_string_value(json_object_get(body, "details"));
	if (!text)
		text = json_string_value(json_object_get(body, "error_description"));
	if (text && *text)
		snprintf(into, MESSAGE_LIMIT, ": %s", text);
}

bool failure_is_web_page(const struct http_response *response)
{
	return response->content_type && strncasecmp(response->content_type, "text/html", 9) == 0;
}

int failure_web_page(struct annex_error **err, const char *domain, const struct http_response *response)
{
	char status[FAILURE_STATUS_BUFFER];

	fail(err, ANNEX_ERROR_NETWORK,
	     "%s is not a registry, or something answers in its place: it sent a web page (%s)", domain,
	     failure_status(status, response->status));
	return fail_hint(err, "check the name; is a proxy, or the login page of this network, in between?");
}

void failure_hint(struct annex_error **err)
{
	if (!err || annex_error_hint(*err))
		return;
	switch (annex_error_kind(*err)) {
	case ANNEX_ERROR_CORRUPT:
		fail_hint(
			err,
			"the image is damaged in the registry, or on the way from there: try again, or push it again");
		break;
	case ANNEX_ERROR_NETWORK:
	case ANNEX_ERROR_TIMEOUT:
		fail_hint(err, "try again; ANNEX_DEBUG=1 shows what was asked for");
		break;
	case ANNEX_ERROR_UNSUPPORTED:
		fail_hint(err, "ask for another tag, or push the image again with a current tool");
		break;
	default:
		break;
	}
}

static int denied(struct annex_error **err, const struct failure_subject *subject, const struct http_response *response,
		  const char *words)
{
	char status[FAILURE_STATUS_BUFFER];

	failure_status(status, response->status);
	if (!subject->path) {
		fail(err, ANNEX_ERROR_AUTH, "%s refuses the login (%s%s)", subject->domain, status, words);
		return fail_hint(err, "check the user name and the password, or the access token in its place");
	}
	/* Who may not see a repository is not told whether it exists. */
	fail(err, ANNEX_ERROR_AUTH, "%s denies access to %s (%s%s); it may not even exist", subject->domain,
	     subject->path, status, words);
	return fail_hint(err, "annex image login %s", subject->domain);
}

static int too_many(struct annex_error **err, const struct failure_subject *subject,
		    const struct http_response *response)
{
	int64_t after = -1;

	if (response->retry_after)
		after = retry_parse_after(response->retry_after, time_realtime_ns() / 1000000000);
	fail(err, ANNEX_ERROR_NETWORK, "%s gets too many requests from here (429)", subject->domain);
	if (after > RETRY_WAIT_LIMIT_MS)
		return fail_hint(err, "try again in %lld minutes; a login often raises the limit: annex image login %s",
				 (long long)after / 60000 + 1, subject->domain);
	return fail_hint(err, "try again later; a login often raises the limit: annex image login %s", subject->domain);
}

static int not_found(struct annex_error **err, const struct failure_subject *subject)
{
	if (!subject->path) {
		fail(err, ANNEX_ERROR_NETWORK, "%s is not a registry: it answered 404 Not Found", subject->domain);
		return fail_hint(err, "check the name");
	}
	if (subject->blob) {
		fail(err, ANNEX_ERROR_NOT_FOUND, "%s has no %s, which belongs to %s", subject->domain, subject->blob,
		     subject->path);
		return fail_hint(err, "the image is not complete in the registry: push it again");
	}
	fail(err, ANNEX_ERROR_NOT_FOUND, "%s has no image %s%s", subject->domain, subject->path,
	     subject->name ? subject->name : "");
	return -1;
}

int failure_of_status(struct annex_error **err, const struct failure_subject *subject,
		      const struct http_response *response)
{
	char status[FAILURE_STATUS_BUFFER], words[MESSAGE_LIMIT];

	own_words(words, response);
	if (failure_is_web_page(response) && (response->status == 403 || (response->status == 404 && !subject->path)))
		return failure_web_page(err, subject->domain, response);
	switch (response->status) {
	case 401:
	case 403:
		return denied(err, subject, response, words);
	case 404:
		return not_found(err, subject);
	case 429:
		return too_many(err, subject, response);
	default:
		break;
	}
	fail(err, ANNEX_ERROR_NETWORK, "%s answered %s%s", subject->domain, failure_status(status, response->status),
	     words);
	if (response->status >= 500)
		return fail_hint(err, "that is the registry's own trouble: try again later");
	failure_hint(err);
	return -1;
}
