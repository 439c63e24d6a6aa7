#pragma once
#include "cli/command.h"

/* What the commands that take images share. */
static inline void cleanup_image(struct annex_image **image)
{
	annex_image_unref(*image);
}
#define auto_image CLEANUP(cleanup_image)

/* The name it got last, or its id. */
const char *images_name(const struct annex_image *image);

typedef int images_fn(struct cli *cli, const char *name, void *data, struct annex_error **err);
/* Call `fn` for each name. Failures are reported as they come and don't keep the others from their turn, interrupts do;
 * the first one's exit status is the result. */
MUST_USE int images_each(struct cli *cli, const struct option_list *names, images_fn *fn, void *data);

/* How registries are spoken to; `structure` has a `const char *scheme`. */
#define SCHEME_ROW(structure)                                                                               \
	{                                                                                                   \
		OPTION_CHOICE, 0, "scheme", offsetof(structure, scheme), "auto|https|http",                 \
			"how to speak to the registry (default auto: HTTPS, and HTTP on this host itself)", \
			COMPLETES_NOTHING                                                                   \
	}
