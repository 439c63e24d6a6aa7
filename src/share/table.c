#include "share/table.h"

#define FIRST_SIZE 16

uint64_t table_hash(uint64_t seed, uint64_t value)
{
	/* The finisher of splitmix64. */
	uint64_t x = seed * 0x9e3779b97f4a7c15u + value;

	x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
	x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
	return x ^ (x >> 31);
}

static struct table_entry **bucket_of(const struct table *table, uint64_t hash)
{
	return &table->buckets[hash & (table->size - 1)];
}

static void grow(struct table *table)
{
	size_t size = table->size ? table->size * 2 : FIRST_SIZE;
	struct table grown = {
		.buckets = calloc(size, sizeof(struct table_entry *)), .size = size, .count = table->count};

	if (!grown.buckets)
		return; /* fuller buckets are slower, not wrong */
	for (size_t i = 0; i < table->size; i++) {
		for (struct table_entry *entry = table->buckets[i], *next; entry; entry = next) {
			struct table_entry **bucket = bucket_of(&grown, entry->hash);

			next = entry->next;
			entry->next = *bucket;
			*bucket = entry;
		}
	}
	free(table->buckets);
	*table = grown;
}

int table_add(struct table *table, struct table_entry *entry, uint64_t hash)
{
	struct table_entry **bucket;

	if (table->count >= table->size)
		grow(table);
	if (!table->buckets)
		return -ENOMEM;
	bucket = bucket_of(table, hash);
	entry->hash = hash;
	entry->next = *bucket;
	*bucket = entry;
	table->count++;
	return 0;
}

void table_remove(struct table *table, struct table_entry *entry)
{
	struct table_entry **at = bucket_of(table, entry->hash);

	while (*at != entry)
		at = &(*at)->next;
	*at = entry->next;
	entry->next = NULL;
	table->count--;
}

struct table_entry *table_find(const struct table *table, uint64_t hash)
{
	struct table_entry *entry = table->size ? *bucket_of(table, hash) : NULL;

	return entry && entry->hash != hash ? table_next(&(struct table_entry){.next = entry, .hash = hash}) : entry;
}

struct table_entry *table_next(const struct table_entry *entry)
{
	struct table_entry *next = entry->next;

	while (next && next->hash != entry->hash)
		next = next->next;
	return next;
}

struct table_entry *table_any(const struct table *table)
{
	for (size_t i = 0; table->count && i < table->size; i++) {
		if (table->buckets[i])
			return table->buckets[i];
	}
	return NULL;
}

void table_each(const struct table *table, void (*visit)(struct table_entry *entry, void *data), void *data)
{
	for (size_t i = 0; i < table->size; i++) {
		for (struct table_entry *entry = table->buckets[i]; entry; entry = entry->next)
			visit(entry, data);
	}
}

void table_clear(struct table *table)
{
	free(table->buckets);
	*table = (struct table){0};
}
