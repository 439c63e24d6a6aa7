#pragma once
#include "base/text.h"

struct archive_entry;

enum {
	ATTRIBUTE_COUNT = 256,                   /* extended attributes of one file */
	ATTRIBUTE_BYTES = 4096,                  /* of names and values together: ext4 keeps them in a block */
	ATTRIBUTE_PACKED = ATTRIBUTE_BYTES + 16, /* bytes of the last one's framing, and to spare */
	ATTRIBUTE_ACL_ENTRIES = 500              /* of one access control list */
};

/* Append the extended attributes and access control lists of the entry to `packed`, which is empty; *mode gets the mask
 * of its access list. Namespaces that Linux does not know are left out. UNSUPPORTED: more than ext4 holds. */
MUST_USE int attribute_pack(struct text *packed, uint32_t *mode, struct archive_entry *entry, struct annex_error **err);
/* Were they packed like that? For bytes from elsewhere. */
bool attribute_are_valid(const char *packed, size_t size);

/* Step through packed attributes, which are valid; `at` starts as 0. False behind the last one. */
struct attribute {
	const char *name; /* NUL-terminated */
	const void *value;
	uint32_t size;
};
bool attribute_next(struct attribute *ret, uint32_t *at, const char *packed, size_t size);
