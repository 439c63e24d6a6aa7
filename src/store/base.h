#pragma once
#include "store/store.h"

#include <stdbool.h>
#include <stdint.h>

/* Base disks: what an image's layers make, once for all images and machines that are made of the same layers. */
#define BASE_FORMAT   1u /* goes into the keys; changes when the same layers give another disk */
#define BASE_KEY_TEXT 65 /* with the NUL */

/* Names in the folder of bases: KEY and one of these. */
#define BASE_DISK      ".ext4"
#define BASE_DRAFT     ".part"   /* store/base-draft.h */
#define BASE_LAYERS    ".layers" /* a folder */
#define BASE_FILE_NAME (BASE_KEY_TEXT + 8)
void base_file_name(char ret[BASE_FILE_NAME], const char *key, const char *ending);
/* KEY from "KEYending"; other names are none of ours. */
bool base_key_of_file(char ret[BASE_KEY_TEXT], const char *name, const char *ending);

/* The key of the disk that these layers, bottom first, make. */
void base_key(char ret[BASE_KEY_TEXT], const char *const *diff_ids, size_t count);

/* The caller frees it; NULL: out of memory. The file may not exist. */
char *base_path(const struct store *store, const char *key);
bool base_exists(const struct store *store, const char *key);
/* Bytes on disk with the indexes of its layers, 0 when it does not exist. */
uint64_t base_size(const struct store *store, const char *key);

/* Non-zero ends the wait. */
typedef int base_wait_fn(void *data);

/* Hold a base, so that it stays: shared. Waits while somebody makes or removes it; `waiting` (may be NULL) is called
 * while it does, and ends it with CANCELLED. Closing the descriptor lets go. */
MUST_USE int base_hold(int *ret_fd, struct store *store, const char *key, base_wait_fn *waiting, void *data,
		       struct annex_error **err);
/* Hold it alone, to make it. */
MUST_USE int base_hold_alone(int *ret_fd, struct store *store, const char *key, base_wait_fn *waiting, void *data,
			     struct annex_error **err);
/* Without waiting: -EWOULDBLOCK while somebody holds it, for the shared hold while somebody holds it alone. -errno. */
MUST_USE int base_try_hold_alone(int *ret_fd, struct store *store, const char *key);
MUST_USE int base_try_hold(int *ret_fd, struct store *store, const char *key);

/* Remove the disk and what belongs to it. The caller holds the base alone. -errno. */
MUST_USE int base_remove(struct store *store, const char *key);
