#include "registry/url.h"

#include "base/text.h"

#include <curl/curl.h>
#include <string.h>

static void cleanup_url(CURLU **url)
{
	curl_url_cleanup(*url);
}
#define auto_url CLEANUP(cleanup_url)

static void cleanup_part(char **part)
{
	curl_free(*part);
}
#define auto_part CLEANUP(cleanup_part)

static CURLU *parse(const char *text)
{
	CURLU *url = curl_url();

	if (url && curl_url_set(url, CURLUPART_URL, text, CURLU_NON_SUPPORT_SCHEME) == CURLUE_OK)
		return url;
	curl_url_cleanup(url);
	return NULL;
}

char *url_domain(const char *url)
{
	auto_url CURLU *parsed = parse(url);
	auto_part char *host = NULL, *port = NULL;
	char *made = NULL;

	if (!parsed || curl_url_get(parsed, CURLUPART_HOST, &host, 0) != CURLUE_OK)
		return NULL;
	if (curl_url_get(parsed, CURLUPART_PORT, &port, CURLU_NO_DEFAULT_PORT) != CURLUE_OK)
		return strdup(host);
	return asprintf(&made, "%s:%s", host, port) < 0 ? NULL : made;
}

static bool same_part(CURLU *a, CURLU *b, CURLUPart part)
{
	auto_part char *first = NULL, *second = NULL;

	return curl_url_get(a, part, &first, CURLU_DEFAULT_PORT) == CURLUE_OK &&
	       curl_url_get(b, part, &second, CURLU_DEFAULT_PORT) == CURLUE_OK && strcasecmp(first, second) == 0;
}

bool url_same_origin(const char *a, const char *b)
{
	auto_url CURLU *first = parse(a), *second = parse(b);

	return first && second && same_part(first, second, CURLUPART_SCHEME) &&
	       same_part(first, second, CURLUPART_HOST) && same_part(first, second, CURLUPART_PORT);
}

bool url_is_https(const char *url)
{
	return strncasecmp(url, "https://", 8) == 0;
}

bool url_is_http(const char *url)
{
	return strncasecmp(url, "http://", 7) == 0;
}

char *url_public(const char *url)
{
	return strndup(url, strcspn(url, "?#"));
}

int url_join(char **ret, const char *base, const char *location, struct annex_error **err)
{
	auto_url CURLU *url = strlen(location) <= URL_LIMIT ? parse(base) : NULL;
	auto_part char *made = NULL, *user = NULL;
	CURLUcode code = CURLUE_MALFORMED_INPUT;

	if (url)
		code = curl_url_set(url, CURLUPART_URL, location, CURLU_NON_SUPPORT_SCHEME | CURLU_URLENCODE);
	if (code == CURLUE_OK && curl_url_get(url, CURLUPART_USER, &user, 0) == CURLUE_OK)
		return fail(err, ANNEX_ERROR_CORRUPT, "it leads to an address with a user's name in it");
	if (code == CURLUE_OK)
		code = curl_url_get(url, CURLUPART_URL, &made, 0);
	if (code == CURLUE_OUT_OF_MEMORY)
		return fail_memory(err);
	if (code != CURLUE_OK)
		return fail(err, ANNEX_ERROR_CORRUPT, "it leads to a malformed address");
	*ret = strdup(made);
	return *ret ? 0 : fail_memory(err);
}

int url_add_query(char **url, const char *name, const char *value)
{
	auto_part char *escaped = curl_easy_escape(NULL, value, 0);
	char *made;

	if (!escaped)
		return -ENOMEM;
	if (asprintf(&made, "%s%c%s=%s", *url, strchr(*url, '?') ? '&' : '?', name, escaped) < 0)
		return -ENOMEM;
	free(*url);
	*url = made;
	return 0;
}
