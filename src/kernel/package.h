#pragma once
#include "base/error.h"

#include <stddef.h>
#include <stdint.h>

#define PACKAGE_ENTRIES_LIMIT 200000u      /* files in a package */
#define PACKAGE_BYTES_LIMIT   (8ull << 30) /* unpacked */
#define PACKAGE_PATH_LIMIT    1024u

/* What a Debian package of a kernel, or of its modules, holds. */
struct package {
	char *image; /* boot/vmlinuz-…; NULL: none */
	size_t image_size;
	char *release; /* of lib/modules/RELEASE; NULL: it holds no modules */
};
void package_clear(struct package *package);
#define auto_package CLEANUP(package_clear)

/* Unpack the modules of a .deb below `dir`, as lib/modules/RELEASE/…, and its kernel into memory. Nothing else is
 * written; names that lead out of `dir` are CORRUPT, as is a damaged package; a file that is no package is USAGE. */
MUST_USE int package_unpack(struct package *ret, int dir, const char *path, struct annex_error **err);
