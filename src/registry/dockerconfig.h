#pragma once
#include "json/json.h"
#include "registry/credential.h"

/*
 * A file with credentials: Docker's config.json, or containers-auth.json(5). Both have "auths", whose keys are domains,
 * domains with paths (containers), or URLs (Docker, for its own registry), "credHelpers" and "credsStore".
 */
#define DOCKERCONFIG_SIZE_LIMIT  (1u << 20) /* bytes */
#define DOCKERCONFIG_ENTRY_LIMIT 1024u      /* of auths, of credHelpers */
#define DOCKERCONFIG_NAME_LIMIT  128u       /* bytes of a helper's name */

struct dockerconfig {
	char *path;
	json_t *root;   /* an object; empty when there is no file */
	bool is_docker; /* Docker's own, which knows its registry by a URL and marks what helpers keep */
	int lock;       /* or -EBADF */
};
#define DOCKERCONFIG_INIT                 \
	{                                 \
		NULL, NULL, false, -EBADF \
	}
void dockerconfig_clear(struct dockerconfig *config);
#define auto_dockerconfig CLEANUP(dockerconfig_clear)

/* NOT_FOUND: there is no such file. CORRUPT: damaged; the message names it. */
MUST_USE int dockerconfig_read(struct dockerconfig *ret, const char *path, bool is_docker, struct annex_error **err);
/* The same for changing it: others who do that wait until dockerconfig_clear(). A missing file is made, with its
 * folder. *ret->path is where the links lead to that `path` may be. */
MUST_USE int dockerconfig_edit(struct dockerconfig *ret, const char *path, bool is_docker, struct annex_error **err);

/* The name of the helper (of docker-credential-NAME) for a domain, or for all domains; *ret is NULL when there is none,
 * else the config's. */
MUST_USE int dockerconfig_helper(const char **ret, const struct dockerconfig *config, const char *domain,
				 struct annex_error **err);
MUST_USE int dockerconfig_store(const char **ret, const struct dockerconfig *config, struct annex_error **err);

/* What the file itself holds for the domain and the path (or NULL); all NULL when it holds nothing. */
MUST_USE int dockerconfig_find(struct credential *ret, const struct dockerconfig *config, const char *domain,
			       const char *path, struct annex_error **err);
/* Does it hold any for just this domain? */
bool dockerconfig_holds(const struct dockerconfig *config, const char *domain);

/* Add the domains that it has anything for. */
MUST_USE int dockerconfig_list(struct text_list *list, const struct dockerconfig *config, struct annex_error **err);

/* Change the object in memory. A NULL credential marks a domain whose credentials a helper keeps. */
MUST_USE int dockerconfig_put(struct dockerconfig *config, const char *domain, const struct credential *credential,
			      struct annex_error **err);
/* *ret_removed: an entry with credentials went; *ret_changed: any entry did. */
MUST_USE int dockerconfig_remove(struct dockerconfig *config, const char *domain, bool *ret_removed, bool *ret_changed,
				 struct annex_error **err);
/* What was edited replaces the file, readable for its owner only; everything else in it stays as it was. */
MUST_USE int dockerconfig_write(struct dockerconfig *config, struct annex_error **err);

/* What the domain is called where keys are names for helpers: its own name and, of Docker's registry, the other one. */
#define DOCKERCONFIG_SERVERS 2
size_t dockerconfig_servers(const char *ret[DOCKERCONFIG_SERVERS], const struct dockerconfig *config,
			    const char *domain);
