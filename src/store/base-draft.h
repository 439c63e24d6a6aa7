#pragma once
#include "store/base.h"

/*
 * A base that is being made: KEY.part is its disk, KEY.layers/HEX the index of the layer whose diff id is sha256:HEX.
 * It survives its maker, with the layers that are complete, so that the next one goes on. All this needs that the
 * caller holds the base alone, from before the draft is opened until after it is published or freed.
 */
#define BASE_DRAFT_KEEP  (INT64_C(7) * 24 * 60 * 60) /* seconds that an interrupted draft waits for its next maker */
#define BASE_DRAFT_TITLE 1024u                       /* bytes of a title */

struct base_draft;

/* A draft that can't be trusted any more is thrown away, and a new one begun. */
MUST_USE int base_draft_open(struct base_draft **ret, struct store *store, const char *key, struct annex_error **err);
/* Start anew: nothing is kept, and its space is free at once, whoever else has the disk open. With base_draft_free()
 * behind it nothing is left of the draft. Needs no space. */
MUST_USE int base_draft_reset(struct base_draft *draft, struct annex_error **err);
/* What is being made, for people who look at what is unfinished: "debian:12". */
MUST_USE int base_draft_set_title(struct base_draft *draft, const char *title, struct annex_error **err);
/* Empty when no layer is complete. Open for reading and writing; the draft's, and the same all the time. */
int base_draft_disk(const struct base_draft *draft);
/* The index of a layer. *ret_complete: it is from a maker that was interrupted, and read-only; else new, empty, for
 * reading and writing. The caller closes it. */
MUST_USE int base_draft_index(int *ret_fd, bool *ret_complete, struct base_draft *draft, const char *diff_id,
			      struct annex_error **err);
/* The layer's index and its contents on the disk are complete. */
MUST_USE int base_draft_keep(struct base_draft *draft, const char *diff_id, struct annex_error **err);
/* The disk is synced, made read-only and moved to its place. A disk that can't be synced is thrown away. */
MUST_USE int base_draft_publish(struct base_draft *draft, struct annex_error **err);
/* What is complete and not published stays for the next maker; a draft without a complete layer is removed. */
void base_draft_free(struct base_draft *draft);
static inline void cleanup_base_draft(struct base_draft **draft)
{
	base_draft_free(*draft);
}
#define auto_base_draft CLEANUP(cleanup_base_draft)

/* Drafts that were left, for those who look on. */
struct base_draft_info {
	char key[BASE_KEY_TEXT];
	char *title;   /* NULL: it has none */
	uint64_t size; /* bytes on disk */
	bool is_held;  /* by its maker, who is at work */
	bool is_stale; /* nobody will go on with it: older than BASE_DRAFT_KEEP, or no draft but what is left of one */
};
struct base_draft_list {
	struct base_draft_info *items;
	size_t count;
};
void base_draft_list_clear(struct base_draft_list *list);
#define auto_base_draft_list CLEANUP(base_draft_list_clear)
MUST_USE int base_draft_list(struct base_draft_list *ret, struct store *store, struct annex_error **err);
/* Remove a draft without waiting, with `only_stale` only if it is that. *ret_size: bytes on disk that came free, 0 when
 * there was nothing to remove. -EWOULDBLOCK when the base is held. -errno. */
MUST_USE int base_draft_remove(uint64_t *ret_size, struct store *store, const char *key, bool only_stale);
