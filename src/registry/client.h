#pragma once
#include "registry/credential.h"
#include "registry/reference.h"
#include "registry/resolve.h"

/*
 * Images in registries: the OCI distribution specification 1.1 and Docker's registry API v2, with mirrors as
 * registries.conf has them. One thread; everything blocks, and asks `check` meanwhile.
 *
 * Kinds of errors: NOT_FOUND, AUTH, NETWORK, TIMEOUT, CORRUPT, UNSUPPORTED, CANCELLED.
 */
#define CLIENT_TAGS_LIMIT (256u << 10) /* bytes of a list of tags */

enum registry_scheme {
	REGISTRY_AUTO, /* HTTPS; for this host itself, and what registries.conf calls insecure, else HTTP */
	REGISTRY_HTTPS,
	REGISTRY_HTTP,
};

struct registry_client;
struct registry_client_options {
	enum registry_scheme scheme;
	/* Called a few times per second while something blocks; non-zero cancels (CANCELLED). May be NULL. */
	int (*check)(void *data);
	/* For people: what it waits for: "waiting 12 s for registry.example (429 Too Many Requests)"; NULL text: it
	 * goes on. May be NULL. */
	void (*notice)(const char *text, void *data);
	void *data;
};

MUST_USE int registry_client_new(struct registry_client **ret, const struct registry_client_options *options,
				 struct annex_error **err);
void registry_client_free(struct registry_client *client);
static inline void cleanup_registry_client(struct registry_client **client)
{
	registry_client_free(*client);
}
#define auto_registry_client CLEANUP(cleanup_registry_client)

/* What the reference's tag leads to now, or its digest as it stands: one HEAD request (a GET where a registry can't
 * HEAD or leaves the digest out). *ret_digest ("sha256:…") is the caller's. */
MUST_USE int registry_head(char **ret_digest, struct registry_client *client, const struct reference *reference,
			   struct annex_error **err);

/* The image for a platform. *ret_root: digest of the document that the reference leads to (index or manifest); the
 * caller frees it. CORRUPT; UNSUPPORTED: schema 1, artifacts. */
MUST_USE int registry_resolve(struct image_manifest *ret, char **ret_root, struct registry_client *client,
			      const struct reference *reference, const struct platform *platform,
			      struct annex_error **err);

/* Do these credentials work? credential may be NULL (anonymous). AUTH when not. */
MUST_USE int registry_check_login(struct registry_client *client, const char *domain,
				  const struct credential *credential, struct annex_error **err);

/* For downloads, which share connections and tokens with the client. */
struct exchange;
struct exchange *registry_client_exchange(struct registry_client *client);
