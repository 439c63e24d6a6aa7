#pragma once
#include "base/error.h"

#include <stdbool.h>

/*
 * Names of images, in the grammar of the OCI distribution specification 1.1 and with the defaults of Docker:
 * [DOMAIN[:PORT]/]PATH[:TAG][@DIGEST], where "debian" means docker.io/library/debian.
 */
#define REFERENCE_NAME_LIMIT 255 /* bytes of domain and path together */
#define REFERENCE_TAG_LIMIT  128
#define REFERENCE_TEXT_LIMIT 512 /* bytes of the whole */

struct reference {
	char *domain; /* "docker.io", "localhost:5000", "[::1]:5000" */
	char *path;   /* "library/debian" */
	char *tag;    /* NULL when none was written */
	char *digest; /* "sha256:…", NULL when none was written */
};

/* USAGE with the reason; digests of other algorithms than SHA-256 are UNSUPPORTED. */
MUST_USE int reference_parse(struct reference *ret, const char *text, struct annex_error **err);
void reference_clear(struct reference *reference);
#define auto_reference CLEANUP(reference_clear)

/* The one spelling, for records and comparisons: "docker.io/library/debian:12"; the tag "latest" where there is neither
 * tag nor digest. NULL when memory ran out; the caller frees it. */
char *reference_text(const struct reference *reference);
/* The short spelling, for people: "debian:12". */
char *reference_familiar(const struct reference *reference);

/* reference_parse() and reference_text() in one. */
MUST_USE int reference_normalise(char **ret, const char *text, struct annex_error **err);

bool reference_is_tag(const char *text);

/* A registry's domain, as in the names of its images, from what people write: "ghcr.io", "https://ghcr.io/",
 * "index.docker.io". USAGE; the caller frees it. */
MUST_USE int reference_parse_domain(char **ret, const char *text, struct annex_error **err);
