#pragma once
#include "base/error.h"
#include "base/text.h"

/* What an image is made for, in the names of the OCI image specification (Go's): "linux/amd64", "linux/arm/v7". */
#define PLATFORM_LIMIT 64 /* bytes of its text form, with the NUL */

struct platform {
	char os[PLATFORM_LIMIT / 4];
	char architecture[PLATFORM_LIMIT / 4];
	char variant[PLATFORM_LIMIT / 4]; /* "" when there is none */
};

/* This machine's, by uname. */
void platform_host(struct platform *ret);
/* "OS/ARCH[/VARIANT]" or "ARCH"; the kernel's names (x86_64, aarch64) are understood too. USAGE. */
MUST_USE int platform_parse(struct platform *ret, const char *text, struct annex_error **err);
/* From the fields of a document; NULLs are "". -EINVAL: too long or unprintable. */
MUST_USE int platform_set(struct platform *ret, const char *os, const char *architecture, const char *variant);

const char *platform_text(char buffer[PLATFORM_LIMIT], const struct platform *platform);

/* How well an image for `offered` runs where `wanted` is asked for: 0 not at all, else the more the better. */
unsigned platform_match(const struct platform *wanted, const struct platform *offered);
