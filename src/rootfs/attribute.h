#pragma once
#include "rootfs/tree.h"

struct archive_entry;

enum {
	ATTRIBUTE_COUNT = 256,      /* extended attributes of one file */
	ATTRIBUTE_BYTES = 4096,     /* of them together: ext4 keeps them in a block */
	ATTRIBUTE_ACL_ENTRIES = 500 /* of one access control list */
};

/* Take the extended attributes and access control lists of the entry in place of the node's own; the node's mode gets
 * the mask of its access list. Namespaces that Linux does not know are left out. UNSUPPORTED: more than ext4 holds. */
MUST_USE int attribute_take(struct tree *tree, struct tree_node *node, struct archive_entry *entry,
			    struct annex_error **err);

/* Step through a node's attributes; `at` starts as 0. False behind the last one. */
struct attribute {
	const char *name; /* NUL-terminated */
	const void *value;
	uint32_t size;
};
bool attribute_next(struct attribute *ret, uint32_t *at, const struct tree_node *node);
