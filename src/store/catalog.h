#pragma once
#include "store/record.h"
#include "store/store.h"

/* The records of a store, and the documents that belong to them. */
#define CATALOG_ID_SHORTEST 6u /* digits of an id's start that may stand for it */

struct catalog_blob {
	const char *digest;
	const char *bytes;
	size_t size;
};

/* Publish an image: the blobs, then the record, whose version and sequence are set here. Its names move to it from
 * other images; names that an image of this id has already stay. */
MUST_USE int catalog_add(struct store *store, struct image_record *record, const struct catalog_blob *blobs,
			 size_t count, struct annex_error **err);

struct catalog {
	struct image_record *items; /* latest import first */
	size_t count;
};
void catalog_clear(struct catalog *catalog);
#define auto_catalog CLEANUP(catalog_clear)

MUST_USE int catalog_list(struct catalog *ret, struct store *store, struct annex_error **err);
/* By its name in normalised spelling (NULL: not by name), else by id, digest of its manifest or of the index that one
 * of its names led to, or start of the id as in `text`. NOT_FOUND; USAGE when several ids start so. */
MUST_USE int catalog_find(struct image_record *ret, struct store *store, const char *name, const char *text,
			  struct annex_error **err);
/* The same search. A name is taken away, and the record goes with its last name; found by its id, the record goes. */
MUST_USE int catalog_delete(struct store *store, const char *name, const char *text, struct annex_error **err);
/* A document by its digest, which is checked. The caller frees *ret. */
MUST_USE int catalog_read_blob(char **ret, size_t *ret_size, struct store *store, const char *digest, size_t limit,
			       struct annex_error **err);
/* Bytes on disk of a record and its documents: what goes with it besides the base. */
uint64_t catalog_documents_size(const struct store *store, const struct image_record *record);
/* Does anything outside the store use the base? Asked while nobody can begin to hold it. */
typedef bool catalog_in_use_fn(const char *key, void *data);
/* Remove what no record names: blobs, leftovers of interrupted writes, and bases, unless they are held or in use; and
 * drafts of bases that nobody will go on with. */
MUST_USE int catalog_collect(struct store *store, catalog_in_use_fn *in_use, void *data, struct annex_error **err);
