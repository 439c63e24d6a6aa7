#pragma once
#include "store/base.h"

/* A finished base that has the contents of a layer which another base needs too. */
struct base_donor {
	int hold;  /* keeps it */
	int disk;  /* read-only */
	int index; /* of the layer, read-only; whether it survived the last power loss, its checksum says */
	char key[BASE_KEY_TEXT];
};
void base_donor_clear(struct base_donor *donor);
#define auto_base_donor CLEANUP(base_donor_clear)

/* Looks for one without waiting, which is not `key`. *ret is all -EBADF when there is none; that is no error. */
MUST_USE int base_find_donor(struct base_donor *ret, struct store *store, const char *key, const char *diff_id,
			     struct annex_error **err);
/* The index proved to be damaged: remove it, so that it is never offered again. The base stays as it is. */
void base_drop_index(struct store *store, const char *key, const char *diff_id);
