#pragma once
#include "base/error.h"

#include <stdbool.h>
#include <stddef.h>

/*
 * containers-registries.conf(5): which registries are blocked, insecure, elsewhere, or have mirrors. Read are
 *
 *   $CONTAINERS_REGISTRIES_CONF, else $XDG_CONFIG_HOME/containers/registries.conf, else
 *   /etc/containers/registries.conf; and then
 *   /etc/containers/registries.conf.d, and $XDG_CONFIG_HOME/containers/registries.conf.d, each in the order of names,
 *
 * where what comes later replaces what came before for the same prefix. What concerns short names
 * (unqualified-search-registries, aliases) is left alone on purpose: ours always mean docker.io.
 */
#define REGISTRIES_ENTRY_LIMIT  1024u /* in all files together */
#define REGISTRIES_MIRROR_LIMIT 32u   /* of one registry */
#define REGISTRIES_FILE_LIMIT   256u  /* in one folder */

enum registries_pull { REGISTRIES_PULL_ALL, REGISTRIES_PULL_DIGEST_ONLY, REGISTRIES_PULL_TAG_ONLY };

struct registries_mirror {
	char *location; /* "host[:port][/path]" */
	bool insecure;
	enum registries_pull pull;
};

struct registries_entry {
	char *file;
	char *prefix;   /* of names: "host[:port][/path…]" or "*.host" */
	char *location; /* what stands in its place; NULL: the prefix itself */
	bool insecure, blocked;
	struct registries_mirror *mirrors;
	size_t mirror_count;
};

struct registries {
	struct registries_entry *entries;
	size_t count;
};
void registries_clear(struct registries *registries);
#define auto_registries CLEANUP(registries_clear)

/* CORRUPT names the file, and the line where it can. */
MUST_USE int registries_load(struct registries *ret, struct annex_error **err);
/* Add those of one document. `file` names it. */
MUST_USE int registries_add(struct registries *registries, const char *bytes, size_t size, const char *file,
			    struct annex_error **err);
/* The entry for an image's full name, "domain/path:tag"; *ret_length: how much of the name the prefix stands for. NULL:
 * there is none. */
const struct registries_entry *registries_find(size_t *ret_length, const struct registries *registries,
					       const char *name);
