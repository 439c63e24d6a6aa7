#pragma once
#include "base/error.h"

/* Machine names are host names: ^[a-z0-9]([a-z0-9-]*[a-z0-9])?$, at most 56 characters. */
#define MACHINE_NAME_MAX 56

MUST_USE int machine_name_check(const char *name, struct annex_error **err);
/* From an image's name: "ghcr.io/org/Debian_Dev:12" gives "debian-dev"; "machine" when nothing is left. The caller
 * frees it; NULL: out of memory. */
char *machine_name_from_image(const char *image);
