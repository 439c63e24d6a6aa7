#pragma once
#include "rootfs/tree.h"

struct index_reader;

/* Apply a layer to the tree of those below it, all of it, by its index. `check` is called now and then; non-zero
 * cancels. */
struct merge_check {
	int (*fn)(void *data);
	void *data;
};
MUST_USE int merge_layer(struct tree *tree, struct index_reader *index, const struct merge_check *check,
			 struct annex_error **err);
