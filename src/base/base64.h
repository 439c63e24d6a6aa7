#pragma once
#include "base/error.h"

#include <stddef.h>

/* Base64 of RFC 4648, section 4, with its padding. */

/* The caller frees it; NULL: out of memory. */
char *base64_encode(const void *bytes, size_t size);
/* A NUL stands behind *ret_size bytes; the caller frees them. -EINVAL (anything but the alphabet and right padding is
 * in it), -ENOMEM. */
MUST_USE int base64_decode(char **ret, size_t *ret_size, const char *text);
