#pragma once
#include "base/error.h"
#include "wire/message.h"

/*
 * The authorities that the host trusts beside its distribution's, in the image's trust store: as files in the folder
 * that its distribution has for such, where its tools find them ever after, and in what these tools have made of all,
 * so that they count at once. What was brought earlier and isn't among them any more goes. Runs with the disk as root.
 */
#define TRUST_MAX        256u       /* certificates */
#define TRUST_BUNDLE_MAX (8u << 20) /* bytes of a file with all that the image trusts */
#define TRUST_STATE      "/var/lib/annex/certificates"

/* What goes wrong with one file keeps no other from being written; the last error is told. */
MUST_USE int trust_set(const struct message_bytes *certificates, struct annex_error **err);
