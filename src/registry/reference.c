/*
 * The grammar is regular, so each part is checked by a function that walks it once:
 *
 *   path component   [a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*
 *   domain           component(\.component)*(:PORT)? or [IPv6](:PORT)?, component without a dash at either end
 *   tag              [A-Za-z0-9_][A-Za-z0-9_.-]{0,127}
 *
 * The first component is a domain when it can't be a path of Docker's library: it holds a dot, a colon or an upper-case
 * letter, starts with a bracket, or is "localhost".
 */
#include "registry/reference.h"

#include "base/digest.h"
#include "base/text.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

#define LOWER  "abcdefghijklmnopqrstuvwxyz"
#define UPPER  "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
#define DIGITS "0123456789"

static const char default_domain[] = "docker.io";
static const char default_folder[] = "library/";
static const char default_tag[] = "latest";

static bool is_one_of(char c, const char *any)
{
	return c && strchr(any, c);
}

static bool is_path_component(const char *at, const char *end)
{
	for (;;) {
		size_t word = strspn(at, LOWER DIGITS);

		if (word == 0)
			return false;
		at += word;
		if (at >= end)
			return at == end;
		if (*at == '-')
			at += strspn(at, "-");
		else if (*at == '.')
			at++;
		else if (*at == '_')
			at += at[1] == '_' ? 2 : 1;
		else
			return false;
	}
}

static bool is_path(const char *path)
{
	for (const char *at = path;;) {
		const char *end = at + strcspn(at, "/");

		if (!is_path_component(at, end))
			return false;
		if (!*end)
			return true;
		at = end + 1;
	}
}

static bool is_port(const char *text)
{
	uint32_t port;

	return strspn(text, DIGITS) == strlen(text) && text_to_u32(&port, text, 10) == 0 && port >= 1 && port <= 65535;
}

/* What follows the host: nothing or a port. */
static bool is_domain_tail(const char *tail)
{
	return !*tail || (*tail == ':' && is_port(tail + 1));
}

static bool is_domain(const char *domain)
{
	if (*domain == '[') {
		size_t address = strspn(domain + 1, DIGITS "abcdefABCDEF:");

		return address >= 2 && domain[1 + address] == ']' && is_domain_tail(domain + address + 2);
	}
	for (const char *at = domain;;) {
		size_t length = strspn(at, LOWER UPPER DIGITS "-");

		if (length == 0 || at[0] == '-' || at[length - 1] == '-')
			return false;
		at += length;
		if (*at != '.')
			return is_domain_tail(at);
		at++;
	}
}

static bool names_a_domain(const char *text, size_t length)
{
	return *text == '[' || (length == 9 && strncmp(text, "localhost", 9) == 0) ||
	       strcspn(text, ".:" UPPER) < length;
}

/* What Docker's own registry is called elsewhere than in names of images. */
static bool is_default_domain(const char *domain)
{
	static const char *const others[] = {"index.docker.io", "registry-1.docker.io", "registry.hub.docker.com"};

	for (size_t i = 0; i < COUNT_OF(others); i++) {
		if (strcmp(domain, others[i]) == 0)
			return true;
	}
	return false;
}

int reference_parse_domain(char **ret, const char *text, struct annex_error **err)
{
	const char *scheme = strstr(text, "://"), *at = scheme ? scheme + 3 : text;
	size_t length = strcspn(at, "/");
	auto_free char *domain = strndup(at, length);

	if (!domain)
		return fail_memory(err);
	if (strlen(text) > REFERENCE_NAME_LIMIT || !is_domain(domain)) {
		fail(err, ANNEX_ERROR_USAGE, "'%.100s' is not the name of a registry", text);
		return fail_hint(err, "registries are named like ghcr.io or localhost:5000");
	}
	if (!scheme && at[length] && at[length + 1]) {
		fail(err, ANNEX_ERROR_USAGE, "'%.100s' is not the name of a registry, but of something in one", text);
		return fail_hint(err, "the registry is %s", domain);
	}
	if (!names_a_domain(domain, length)) {
		fail(err, ANNEX_ERROR_USAGE, "'%.100s' is not the name of a registry", text);
		return fail_hint(err, "a registry's name has a dot or a port in it, or is localhost");
	}
	*ret = is_default_domain(domain) ? strdup(default_domain) : TAKE(domain);
	return *ret ? 0 : fail_memory(err);
}

bool reference_is_tag(const char *text)
{
	size_t length = strlen(text);

	return length > 0 && length <= REFERENCE_TAG_LIMIT && is_one_of(*text, LOWER UPPER DIGITS "_") &&
	       strspn(text, LOWER UPPER DIGITS "_.-") == length;
}

/* Splits "domain/path" or "path", which is modified by nobody afterwards. */
static int split_name(struct reference *into, const char *name)
{
	size_t first = strcspn(name, "/");

	if (!name[first] || !names_a_domain(name, first)) {
		into->domain = strdup(default_domain);
		into->path = strdup(name);
	} else {
		into->domain = strndup(name, first);
		into->path = strdup(name + first + 1);
	}
	if (!into->domain || !into->path)
		return -ENOMEM;
	if (strcmp(into->domain, "index.docker.io") == 0)
		strcpy(into->domain, default_domain);
	if (strcmp(into->domain, default_domain) == 0 && !strchr(into->path, '/')) {
		char *joined;

		if (asprintf(&joined, "%s%s", default_folder, into->path) < 0)
			return -ENOMEM;
		free(into->path);
		into->path = joined;
	}
	return 0;
}

static int malformed(struct annex_error **err, const char *text, const char *reason)
{
	fail(err, ANNEX_ERROR_USAGE, "'%.100s' is not the name of an image: %s", text, reason);
	return fail_hint(err, "names look like debian:12 or ghcr.io/organisation/name:tag");
}

static int check(const struct reference *made, const char *text, struct annex_error **err)
{
	if (!is_domain(made->domain))
		return malformed(err, text, "the registry's host name is malformed");
	if (!is_path(made->path)) {
		if (strspn(made->path, LOWER DIGITS "._-/") != strlen(made->path) &&
		    strspn(made->path, LOWER UPPER DIGITS "._-/") == strlen(made->path))
			return malformed(err, text, "upper-case letters are not allowed in it");
		return malformed(err, text,
				 "its parts are lower-case letters and digits with single separators between them");
	}
	if (strlen(made->domain) + 1 + strlen(made->path) > REFERENCE_NAME_LIMIT)
		return malformed(err, text, "it is longer than 255 bytes");
	if (strlen(text) == 64 && strspn(text, DIGITS "abcdef") == 64)
		return malformed(err, text, "64 hexadecimal digits are an id");
	if (made->tag && !reference_is_tag(made->tag))
		return malformed(err, text, "a tag is at most 128 letters, digits, dots, dashes and underscores");
	if (!made->digest || digest_is_valid(made->digest))
		return 0;
	if (!text_starts(made->digest, "sha256:") && strchr(made->digest, ':') && !strpbrk(made->digest, "/@"))
		return fail(err, ANNEX_ERROR_UNSUPPORTED, "'%.100s': only SHA-256 digests are supported", text);
	return malformed(err, text, "a digest is sha256: and 64 lower-case hexadecimal digits");
}

int reference_parse(struct reference *ret, const char *text, struct annex_error **err)
{
	auto_reference struct reference made = {0};
	auto_free char *name = NULL;
	char *at, *colon;

	if (!*text)
		return malformed(err, text, "it is empty");
	if (strlen(text) > REFERENCE_TEXT_LIMIT)
		return malformed(err, text, "it is too long");
	if (strstr(text, "://"))
		return malformed(err, text, "leave out the part up to ://");
	name = strdup(text);
	if (!name)
		return fail_memory(err);
	at = strchr(name, '@');
	if (at) {
		*at = '\0';
		made.digest = strdup(at + 1);
		if (!made.digest)
			return fail_memory(err);
	}
	colon = strrchr(name, ':');
	if (colon && !strchr(colon, '/') && !strchr(colon, ']')) {
		*colon = '\0';
		made.tag = strdup(colon + 1);
		if (!made.tag)
			return fail_memory(err);
	}
	if (split_name(&made, name) < 0)
		return fail_memory(err);
	if (check(&made, text, err) < 0)
		return -1;
	*ret = made;
	made = (struct reference){0};
	return 0;
}

void reference_clear(struct reference *reference)
{
	free(reference->domain);
	free(reference->path);
	free(reference->tag);
	free(reference->digest);
	*reference = (struct reference){0};
}

static char *spell(const struct reference *reference, const char *domain, const char *path)
{
	auto_text struct text text = {0};

	assert(domain && path);
	text_printf(&text, "%s%s%s", domain, *domain ? "/" : "", path);
	if (reference->tag || !reference->digest)
		text_printf(&text, ":%s", reference->tag ? reference->tag : default_tag);
	if (reference->digest)
		text_printf(&text, "@%s", reference->digest);
	return text_take(&text);
}

char *reference_text(const struct reference *reference)
{
	return spell(reference, reference->domain, reference->path);
}

char *reference_familiar(const struct reference *reference)
{
	const char *path = reference->path;

	if (strcmp(reference->domain, default_domain) != 0)
		return reference_text(reference);
	/* What is left must still mean the same: one more slash, or a first part that looks like a domain, would not.
	 */
	if (text_starts(path, default_folder) && !strchr(path + strlen(default_folder), '/'))
		path += strlen(default_folder);
	else if (names_a_domain(path, strcspn(path, "/")))
		return reference_text(reference);
	return spell(reference, "", path);
}

int reference_normalise(char **ret, const char *text, struct annex_error **err)
{
	auto_reference struct reference reference = {0};
	char *made;

	if (reference_parse(&reference, text, err) < 0)
		return -1;
	made = reference_text(&reference);
	if (!made)
		return fail_memory(err);
	*ret = made;
	return 0;
}
