#pragma once
#include "lib/image.h"

struct annex_context;

/* An image for a new machine. */
struct obtained {
	struct annex_image *image;
	const char *name; /* familiar, the one that the user gave if it is a name: "debian:12"; the image's */
	int hold;         /* keeps the base disk until this is cleared; 0: nothing is held */
};
void obtained_clear(struct obtained *obtained);
#define auto_obtained CLEANUP(obtained_clear)

/* How to come by it; texts as in annex_machine_options. */
struct obtain_options {
	const char *platform;
	const char *pull;
	const char *scheme;
	int input_fd;
};

/* By what the user gives to `annex create`: a source is imported; else it is the name or id of an image that is here,
 * or it is pulled, as `pull` says. The base disk stays at least until obtained_clear(), so a machine's record must be
 * there by then. */
MUST_USE int obtain_image(struct obtained *ret, struct annex_context *context, const char *text,
			  const struct obtain_options *options, struct annex_error **err);
