#pragma once
#include "registry/credential.h"

/*
 * Credential helpers: programs docker-credential-NAME, of Docker's credential helper protocol. They block, until the
 * deadline at the latest: they may be asking the user. `wait` may be NULL.
 */
#define HELPER_OUTPUT_LIMIT (64u << 10) /* bytes of an answer */
#define HELPER_DEADLINE_MS  120000u

/* All NULL: it has none, which is no error. NOT_FOUND: there is no such program. */
MUST_USE int helper_get(struct credential *ret, const char *name, const char *server,
			const struct credential_wait *wait, struct annex_error **err);
MUST_USE int helper_store(const char *name, const char *server, const struct credential *credential,
			  struct annex_error **err);
/* One that has none is content. */
MUST_USE int helper_erase(const char *name, const char *server, struct annex_error **err);
