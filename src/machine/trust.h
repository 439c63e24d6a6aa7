#pragma once
#include "base/error.h"

#include <stddef.h>

/*
 * The certificates of authorities that the host's administrator trusts beside those of its distribution: what is in the
 * folders that Debian and Alpine, Fedora, SUSE and Arch have for them. PEM, one after the other, each with a line
 * before it: "# HASH NAME", HASH being what OpenSSL names links to it by.
 */
#define TRUST_SIZE_MAX         (256u << 10) /* bytes of all of it */
#define TRUST_CERTIFICATES_MAX 256u
#define TRUST_FILES_MAX        4096u      /* that are looked at */
#define TRUST_FILE_MAX         (1u << 20) /* bytes of one */
#define TRUST_DEPTH_MAX        8u         /* folders in folders */

/*
 * `root`: "", or a folder that stands for the host's root. The caller frees *ret; "" and 0: there are none. What is no
 * certificate of an authority, or is valid no more, is left out, which is logged, as is what is too much. Fails only
 * for want of memory. Reads files, some milliseconds.
 */
MUST_USE int trust_collect(char **ret, size_t *ret_size, const char *root, struct annex_error **err);
