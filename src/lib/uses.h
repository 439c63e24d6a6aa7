#pragma once
#include "base/text.h"
#include "lib/context.h"

/* What the machines use of images and kernels, as their records say. A machine that is being made has no record yet: it
 * holds its base until it has one. */
struct uses {
	struct text_list bases;   /* keys */
	struct text_list images;  /* ids */
	struct text_list kernels; /* as the settings name them */
	bool unclear;             /* a record can't be read: anything may be in use */
};
void uses_clear(struct uses *uses);
#define auto_uses CLEANUP(uses_clear)

MUST_USE int uses_load(struct uses *ret, const struct annex_context *context, struct annex_error **err);
bool uses_base(const struct uses *uses, const char *key);
/* By its id, or by its base. */
bool uses_image(const struct uses *uses, const char *id, const char *key);
/* How many machines use the image or its base. */
size_t uses_image_count(const struct uses *uses, const char *id, const char *key);
bool uses_kernel(const struct uses *uses, const char *name);
