#pragma once
#include "registry/reference.h"

#include <stdbool.h>
#include <stddef.h>

/* Where an image is asked for: its own registry, or what registries.conf puts before it or in its place. */
struct endpoint {
	char *domain;     /* "host[:port]" to connect to: "registry-1.docker.io" for docker.io */
	char *path;       /* of the repository there: "library/debian" */
	bool insecure;    /* no certificate needs to be valid, and HTTP will do where there is no TLS */
	bool is_mirror;   /* when it fails, the next one is tried */
	bool digest_only; /* not to be asked what a tag means */
};
struct endpoint_list {
	struct endpoint *items;
	size_t count;
};
void endpoint_list_clear(struct endpoint_list *list);
#define auto_endpoint_list CLEANUP(endpoint_list_clear)

/* At least one, in the order to try. UNSUPPORTED: the registry is blocked; the message names the file that does it.
 * CORRUPT: a configuration is damaged. */
MUST_USE int endpoint_find(struct endpoint_list *ret, const struct reference *reference, struct annex_error **err);

/* Where to connect to for a registry's name: "registry-1.docker.io" for docker.io, else the same. */
const char *endpoint_host(const char *domain);
/* The other way round: the registry as people know it. */
const char *endpoint_name(const char *host);

/* Is it this host itself: "localhost" and what is below it, 127.0.0.0/8, [::1]; with or without a port? */
bool endpoint_is_loopback(const char *domain);
