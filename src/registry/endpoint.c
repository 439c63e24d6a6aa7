#include "registry/endpoint.h"

#include "base/text.h"
#include "registry/registries.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

void endpoint_list_clear(struct endpoint_list *list)
{
	for (size_t i = 0; i < list->count; i++) {
		free(list->items[i].domain);
		free(list->items[i].path);
	}
	free(list->items);
	*list = (struct endpoint_list){0};
}

const char *endpoint_host(const char *domain)
{
	return strcmp(domain, "docker.io") == 0 || strcmp(domain, "index.docker.io") == 0 ? "registry-1.docker.io"
											  : domain;
}

const char *endpoint_name(const char *host)
{
	return strcmp(host, endpoint_host("docker.io")) == 0 ? "docker.io" : host;
}

static int place(struct endpoint *endpoint, const char *domain, const char *path, struct annex_error **err)
{
	endpoint->domain = strdup(endpoint_host(domain));
	endpoint->path = strdup(path);
	return endpoint->domain && endpoint->path ? 0 : fail_memory(err);
}

/* `location` with the rest of the image's name behind it. */
static int place_elsewhere(struct endpoint *endpoint, const char *location, const char *rest, const char *file,
			   struct annex_error **err)
{
	auto_reference struct reference made = {0};
	auto_error struct annex_error *reason = NULL;
	auto_free char *name = NULL;
	size_t domain;

	if (asprintf(&name, "%s%s", location, rest) < 0) {
		name = NULL;
		return fail_memory(err);
	}
	domain = strcspn(name, "/");
	if (reference_parse(&made, name, &reason) < 0 || strlen(made.domain) != domain ||
	    strncmp(made.domain, name, domain) != 0) {
		fail(err, ANNEX_ERROR_CORRUPT, "%s: with location '%.100s', %.200s would be no image of a registry",
		     file, location, name);
		return fail_hint(err,
				 "a location is host[:port][/path]; the host has a dot or a port, or is localhost");
	}
	return place(endpoint, made.domain, made.path, err);
}

static bool is_wanted(const struct registries_mirror *mirror, const struct reference *reference)
{
	return mirror->pull != REGISTRIES_PULL_TAG_ONLY || !reference->digest;
}

/* The endpoints are counted as they get hold of anything. */
static int add_mirrors(struct endpoint_list *list, const struct registries_entry *entry,
		       const struct reference *reference, const char *rest, struct annex_error **err)
{
	for (size_t i = 0; i < entry->mirror_count; i++) {
		const struct registries_mirror *mirror = &entry->mirrors[i];
		struct endpoint *endpoint = &list->items[list->count];

		if (!is_wanted(mirror, reference))
			continue;
		list->count++;
		endpoint->insecure = mirror->insecure;
		endpoint->is_mirror = true;
		endpoint->digest_only = mirror->pull == REGISTRIES_PULL_DIGEST_ONLY;
		if (place_elsewhere(endpoint, mirror->location, rest, entry->file, err) < 0)
			return -1;
	}
	return 0;
}

static int add_all(struct endpoint_list *list, const struct registries_entry *entry, size_t matched,
		   const struct reference *reference, struct annex_error **err)
{
	auto_free char *name = NULL;
	const char *rest = "";

	if (asprintf(&name, "%s/%s", reference->domain, reference->path) < 0) {
		name = NULL;
		return fail_memory(err);
	}
	if (matched < strlen(name))
		rest = name + matched;
	list->items = calloc(1 + (entry ? entry->mirror_count : 0), sizeof(*list->items));
	if (!list->items)
		return fail_memory(err);
	if (entry && add_mirrors(list, entry, reference, rest, err) < 0)
		return -1;
	list->count++;
	list->items[list->count - 1].insecure = entry && entry->insecure;
	if (!entry || !entry->location)
		return place(&list->items[list->count - 1], reference->domain, reference->path, err);
	return place_elsewhere(&list->items[list->count - 1], entry->location, rest, entry->file, err);
}

int endpoint_find(struct endpoint_list *ret, const struct reference *reference, struct annex_error **err)
{
	auto_endpoint_list struct endpoint_list made = {0};
	auto_registries struct registries registries = {0};
	auto_free char *name = reference_text(reference);
	const struct registries_entry *entry;
	size_t matched = 0;

	if (!name)
		return fail_memory(err);
	if (registries_load(&registries, err) < 0)
		return -1;
	entry = registries_find(&matched, &registries, name);
	if (entry && entry->blocked) {
		fail(err, ANNEX_ERROR_UNSUPPORTED, "registry %s is blocked by %s", entry->prefix, entry->file);
		return fail_hint(err, "take \"blocked = true\" out of %s, or use another registry", entry->file);
	}
	if (add_all(&made, entry, matched, reference, err) < 0)
		return -1;
	*ret = made;
	made = (struct endpoint_list){0};
	return 0;
}

bool endpoint_is_loopback(const char *domain)
{
	static const char tail[] = ".localhost";
	bool is_bracketed = *domain == '[';
	size_t length = is_bracketed ? strcspn(++domain, "]") : strcspn(domain, ":");
	auto_free char *host = strndup(domain, length);
	struct in6_addr address6;
	struct in_addr address;

	if (!host)
		return false;
	if (is_bracketed)
		return inet_pton(AF_INET6, host, &address6) == 1 && IN6_IS_ADDR_LOOPBACK(&address6);
	if (inet_pton(AF_INET, host, &address) == 1)
		return ntohl(address.s_addr) >> 24 == 127;
	return strcasecmp(host, "localhost") == 0 ||
	       (length >= sizeof(tail) && strcasecmp(host + length - strlen(tail), tail) == 0);
}
