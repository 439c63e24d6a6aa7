#pragma once
#include "registry/credential.h"
#include "registry/http.h"

/*
 * Who we are for a registry: basic authentication, and bearer tokens by the distribution project's token specification
 * (GET with basic authentication, or OAuth 2 with an identity token). A token is for one repository; it is kept until
 * shortly before it expires, then fetched anew. Secrets are never logged and never in errors.
 */
#define AUTH_TOKEN_LIMIT    (64u << 10)  /* bytes of a token */
#define AUTH_DOCUMENT_LIMIT (256u << 10) /* bytes of a token server's answer */
#define AUTH_LIFETIME_S     60u          /* of a token that does not say */

struct auth;
MUST_USE int auth_new(struct auth **ret, struct http *http, struct annex_error **err);
void auth_free(struct auth *auth);
/* From now on this credential, whatever is stored; NULL: anonymous. Borrowed. */
void auth_use(struct auth *auth, const struct credential *credential);

/* Whom a request goes to. */
struct auth_target {
	const char *domain; /* of the registry, as credentials know it */
	const char *path;   /* of the repository, or NULL */
	/* As in struct http_request; of the request itself. */
	bool insecure;
	enum http_plain plain;
};

/* The value of Authorization to begin with; NULL: none is known. The caller frees. */
MUST_USE int auth_value(char **ret, struct auth *auth, const struct auth_target *target, struct annex_error **err);
/* After a 401: what its challenges ask for. *ret_answered: there is a new value to try. Without one, *ret_answered is
 * false: the 401 stands. */
MUST_USE int auth_answer(bool *ret_answered, struct auth *auth, const struct auth_target *target,
			 const struct text_list *challenges, struct annex_error **err);
