#ifndef ANNEX_REGISTRY_H
#define ANNEX_REGISTRY_H

#include <stddef.h>

#include <annex/context.h>

#ifdef __cplusplus
extern "C" {
#endif

/*
 * Registries that ask who one is. Credentials are kept where Docker and Podman keep them, so that what one of them
 * stored serves all. A registry is named as in images' names: "ghcr.io", "localhost:5000", "docker.io"; the address of
 * one ("https://ghcr.io/") will do.
 */
struct annex_login_options {
	size_t size;
	const char *username; /* must be there */
	const char *password; /* must be there; for many registries a token that one makes on their web pages */
	const char *scheme;   /* "auto", "https" or "http"; NULL: auto: HTTPS, and HTTP for this host's own loopback */
};
#define ANNEX_LOGIN_OPTIONS_INIT                                     \
	{                                                            \
		sizeof(struct annex_login_options), NULL, NULL, NULL \
	}

/*
 * Check the credentials with the registry, then store them: where there are some for it already, else in Docker's
 * configuration if there is one, else in $XDG_CONFIG_HOME/containers/auth.json; by the credential helper that the file
 * names, if it does. *ret_where tells where, for people: a path (they are readable there for whoever can read the file)
 * or "docker-credential-NAME"; the caller frees it. Blocks; can be cancelled. Errors: AUTH (they don't work), USAGE,
 * NETWORK, TIMEOUT, CORRUPT (a file that holds credentials is damaged), SYSTEM.
 */
int annex_registry_login(char **ret_where, struct annex_context *context, const char *registry,
			 const struct annex_login_options *options, struct annex_error **err);
/* Forget the credentials, wherever they are. NOT_FOUND: there are none. */
int annex_registry_logout(struct annex_context *context, const char *registry, struct annex_error **err);
/* The registries for which there are credentials in files, or marks of a helper's; no helper is asked. Ends with NULL;
 * free with annex_registry_list_free(). */
int annex_registry_list(char ***ret, size_t *ret_count, struct annex_context *context, struct annex_error **err);
void annex_registry_list_free(char **list);

#ifdef __cplusplus
}
#endif

#endif
