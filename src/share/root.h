#pragma once
#include "base/cleanup.h"
#include "base/error.h"

#include "share/mask.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

/* The root folder that the guest sees: it holds the shares, each a folder or a file of the host, by their names. */
#define SHARES_LIMIT 1024

/* How long the guest may believe what it has seen. */
enum share_cache {
	SHARE_CACHE_AUTO, /* a second; contents are looked at anew when a file that changed is opened */
	SHARE_CACHE_NONE, /* not at all */
	SHARE_CACHE_ALWAYS,
};

struct share_options {
	const char *name; /* in the root folder: 1 to 255 bytes without a slash */
	bool read_only;
	enum share_cache cache;
	const char *const *masks; /* paths of a folder that don't exist for the guest; ends with NULL; may be NULL */
};

struct inode;
struct share {
	_Atomic(unsigned) refs;
	uint64_t id; /* never given twice */
	char *name;
	int fd;      /* O_PATH */
	int nothing; /* what stands for its files when it is removed */
	bool folder;
	bool read_only;
	enum share_cache cache;
	struct masks *masks;
	_Atomic(bool) removed; /* all of it is stale */
};

struct root;

MUST_USE int root_new(struct root **ret, struct annex_error **err);
void root_free(struct root *root);
/* `fd` is of the folder or the file, in whatever way it was opened, and stays the caller's.
 * Annex errors: usage, exists, unsupported (neither a folder nor a file). */
MUST_USE int root_add(struct root *root, int fd, const struct share_options *options, struct annex_error **err);
/* The caller gets the share, which is no longer found; NULL if there is none of this name. */
struct share *root_remove(struct root *root, const char *name);

/* The share with this name, or the first one with an id of at least `id`; NULL: none. The caller's reference. */
struct share *root_find(struct root *root, const char *name);
struct share *root_next(struct root *root, uint64_t id);

/* Puts nothing in the place of a descriptor, so that the host's file system can be unmounted: calls under way fail. */
void share_close(const struct share *share, int fd);
struct share *share_ref(struct share *share);
void share_unref(struct share *share); /* NULL is allowed */
static inline void cleanup_share(struct share **share)
{
	share_unref(*share);
}
#define auto_share CLEANUP(cleanup_share)
