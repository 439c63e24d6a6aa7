#pragma once
#include "base/error.h"

#include <stdbool.h>

/* The few things that are asked of URLs, by libcurl's parser, so that it and this agree on what one means. */
#define URL_LIMIT 8192 /* bytes of one that a server sends us to */

/* "host[:port]", the port only where it is not the scheme's own. NULL: malformed, or memory ran out. The caller frees.
 */
char *url_domain(const char *url);
/* Scheme, host and port are the same: only then may credentials go to both. */
bool url_same_origin(const char *a, const char *b);
bool url_is_https(const char *url);
bool url_is_http(const char *url);
/* Without its query and fragment, which may hold signatures: for logs and messages. The caller frees; NULL: memory. */
char *url_public(const char *url);
/* Where `location`, absolute or relative, leads from `base`. CORRUPT: malformed, or it holds a user's name. */
MUST_USE int url_join(char **ret, const char *base, const char *location, struct annex_error **err);
/* Adds "?name=value" or "&name=value", escaped. -ENOMEM, -EINVAL. */
MUST_USE int url_add_query(char **url, const char *name, const char *value);
