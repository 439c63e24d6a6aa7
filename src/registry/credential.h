#pragma once
#include "base/error.h"
#include "base/text.h"

#include <stdbool.h>

/*
 * Credentials of registries, as Docker and Podman keep them. They are looked for in
 *
 *   $REGISTRY_AUTH_FILE, and then nowhere else; or
 *   $XDG_RUNTIME_DIR/containers/auth.json, $XDG_CONFIG_HOME/containers/auth.json, $DOCKER_CONFIG/config.json
 *
 * in this order; in each of them through the domain's helper (credHelpers), the helper for all (credsStore), and what
 * the file itself holds (auths). Messages never hold a secret.
 */
struct credential {
	char *username, *password; /* both or none */
	char *identity_token;      /* to be traded for bearer tokens (OAuth 2's refresh token) */
};
/* Wiped, too. */
void credential_clear(struct credential *credential);
#define auto_credential CLEANUP(credential_clear)
bool credential_is_empty(const struct credential *credential);

/* Asked a few times per second while a helper runs: non-zero cancels (CANCELLED). */
struct credential_wait {
	int (*check)(void *data);
	void *data;
};

/* For a registry's domain and a repository's path, which may be NULL: files can have credentials for a part of a
 * registry, and the longest match is taken. All NULL when there are none: that is no error. Blocks while a helper runs.
 * CORRUPT: a file or a helper's answer is damaged; TIMEOUT, SYSTEM: a helper hangs, fails or is missing. `wait` may be
 * NULL. */
MUST_USE int credential_find(struct credential *ret, const char *domain, const char *path,
			     const struct credential_wait *wait, struct annex_error **err);

/*
 * Stores them where a search finds them first: in the file (or the helper it names) that has some for the domain, else
 * in Docker's file if there is one, else in $XDG_CONFIG_HOME/containers/auth.json. *ret_where tells where, for people:
 * a path or "docker-credential-NAME"; the caller frees it. USAGE: can't be written down in that form.
 */
MUST_USE int credential_store(char **ret_where, const char *domain, const struct credential *credential,
			      struct annex_error **err);
/* The domains for which there are any, in order; as far as files tell: helpers are not asked. */
MUST_USE int credential_list(struct text_list *ret, struct annex_error **err);

/* Everywhere. NOT_FOUND when there were none. Those for a part of the registry stay. */
MUST_USE int credential_erase(const char *domain, struct annex_error **err);
