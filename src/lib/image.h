#pragma once
#include "base/text.h"

/* An image as the making of a machine needs it. */
struct annex_context;

struct image_found {
	char *name;        /* familiar: "debian:12" */
	char *id;          /* "sha256:…" of the configuration */
	char *base_key;    /* of the base disk in the store */
	char *base_path;   /* absolute */
	char *stop_signal; /* as the configuration has it, or NULL */
	struct text_list environment;
	struct text_list command; /* entrypoint and command */
	int hold;                 /* keeps the base disk until this is cleared; 0: nothing is held */
};
void image_found_clear(struct image_found *found);
#define auto_image_found CLEANUP(image_found_clear)

/* By what the user gives to `annex create`: the name or id of an imported image, else a source that is imported now.
 * platform and input_fd as in annex_image_import_options. NOT_FOUND with a hint when it is neither. The base disk stays
 * at least until image_found_clear(), so a machine's record must be there by then. */
MUST_USE int image_find_or_import(struct image_found *ret, struct annex_context *context, const char *text,
				  const char *platform, int input_fd, struct annex_error **err);

/* Remove base disks that neither an image nor a machine uses or is about to use. */
MUST_USE int image_collect(struct annex_context *context, struct annex_error **err);
