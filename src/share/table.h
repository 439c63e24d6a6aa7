#pragma once
#include "base/cleanup.h"
#include "base/error.h"

#include <stddef.h>
#include <stdint.h>

/* A hash table of entries that lie inside of what they find. It locks nothing. Zero-initialise it. */
struct table_entry {
	struct table_entry *next;
	uint64_t hash;
};

struct table {
	struct table_entry **buckets;
	size_t size; /* a power of two */
	size_t count;
};

#define TABLE_OWNER(entry, type, member) ((type *)(void *)((char *)(entry)-offsetof(type, member)))

uint64_t table_hash(uint64_t seed, uint64_t value);                                    /* mixes `value` into `seed` */
MUST_USE int table_add(struct table *table, struct table_entry *entry, uint64_t hash); /* -ENOMEM */
void table_remove(struct table *table, struct table_entry *entry);                     /* must be in it */
/* The first entry with this hash, and the next one behind an entry; NULL at the end. */
struct table_entry *table_find(const struct table *table, uint64_t hash);
struct table_entry *table_next(const struct table_entry *entry);
/* Any entry; NULL when the table is empty. */
struct table_entry *table_any(const struct table *table);
/* Calls `visit` for every entry; it must not change the table. */
void table_each(const struct table *table, void (*visit)(struct table_entry *entry, void *data), void *data);
void table_clear(struct table *table); /* the entries are not its own */
