#pragma once
#include "base/error.h"
#include "base/text.h"

/* The image's files that name the machine: /etc/hostname, /etc/hosts; and /etc/mtab. */
#define FILES_SIZE_MAX (1u << 20) /* bytes of one of them */

struct files_names {
	const char *name;               /* of the machine */
	const char *domain;             /* of all machines; may be empty */
	const char *address, *address6; /* as in CONFIG; empty: none */
};

/* Write what is absent, empty or ours; what the machine's owner changed stays. Runs with the disk as root.
 * *ret_hostname (the caller's) is the name that is then in effect. */
MUST_USE int files_write(char **ret_hostname, const struct files_names *names, struct annex_error **err);

/* The folders that every machine has, where the image lacks them. Runs with the disk as root. */
MUST_USE int files_make_folders(struct annex_error **err);

/* /etc/hosts with lines for the machine, which is called `hostname` inside; false when it is right as it is. Pure. */
bool files_hosts(struct text *out, const char *hosts, const struct files_names *names, const char *hostname);
