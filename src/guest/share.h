#pragma once
#include "base/error.h"

#include <stdbool.h>

/* What of the host the machine has, and where: an entry in the root folder of the one virtio-fs. */
#define SHARE_NAME_MAX   255u
#define SHARE_TARGET_MAX 4095u

struct share {
	char *name;
	char *target; /* in the machine: absolute, without "." and ".." */
	bool is_file;
	bool read_only;
	bool is_home; /* of the user */
};

/* "NAME FLAGS TARGET", as wire/message.h has it. GUEST when it is malformed. */
MUST_USE int share_parse(struct share *ret, const char *text, struct annex_error **err);
void share_clear(struct share *share);
#define auto_share CLEANUP(share_clear)

/* Those of the machine, in the order in which they are bound. */
struct share_list {
	struct share *items;
	size_t count;
};

/* Are they the running kernel's modules? They are there only where they can be. */
bool share_is_modules(const struct share *share);
/* Is the user's home among these texts? Malformed ones don't count. */
bool share_has_home(const char *const *texts);
