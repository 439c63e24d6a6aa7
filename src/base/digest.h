#pragma once
#include "base/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* SHA-256 by libcrypto. Text form as OCI has it: "sha256:" and 64 lower-case hexadecimal digits. */
#define DIGEST_TEXT 72 /* with the NUL */
struct digest;

MUST_USE int digest_new(struct digest **ret); /* -ENOMEM */
void digest_add(struct digest *digest, const void *bytes, size_t size);
void digest_finish(struct digest *digest, char ret[DIGEST_TEXT]); /* once; then only digest_free() */
void digest_free(struct digest *digest);
static inline void cleanup_digest(struct digest **digest)
{
	digest_free(*digest);
}
#define auto_digest CLEANUP(cleanup_digest)

void digest_of(char ret[DIGEST_TEXT], const void *bytes, size_t size);
MUST_USE int digest_of_file(char ret[DIGEST_TEXT], int dir, const char *path); /* -errno */
/* Is it "sha256:" and 64 lower-case digits? */
bool digest_is_valid(const char *text);
/* Its digits: what stands behind "sha256:". */
const char *digest_hex(const char *digest);

/* Have libcrypto load all that it would load later, and no configuration: for a process that can't open files soon. */
MUST_USE int digest_prepare(void); /* -ENOMEM */
