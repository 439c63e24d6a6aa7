#pragma once
#include "base/error.h"

#include <stddef.h>
#include <stdint.h>

/*
 * The guest's memory, as the front end describes it: regions of files that both sides map. A memory never changes:
 * another arrangement is another memory, which shares the mappings that both have. So whoever holds a reference may go
 * on using what it looked up there, in any thread, whatever the front end does meanwhile.
 */
#define MEMORY_REGION_LIMIT 64

struct memory_region {
	uint64_t guest_address; /* where the guest sees it */
	uint64_t size;
	uint64_t user_address; /* where the front end's process sees it */
	uint64_t offset;       /* in the file */
};

struct memory;

/* The empty memory: its first reference. */
MUST_USE int memory_new(struct memory **ret, struct annex_error **err);
/* `old` and one region more. The descriptor stays the caller's. */
MUST_USE int memory_with(struct memory **ret, const struct memory *old, const struct memory_region *region, int fd,
			 struct annex_error **err);
/* `old` less the region with these addresses and size. */
MUST_USE int memory_without(struct memory **ret, const struct memory *old, const struct memory_region *region,
			    struct annex_error **err);
struct memory *memory_ref(struct memory *memory);
void memory_unref(struct memory *memory); /* NULL is allowed */
static inline void cleanup_memory(struct memory **memory)
{
	memory_unref(*memory);
}
#define auto_memory CLEANUP(cleanup_memory)

/* Where the range is in this process; NULL unless all of it lies in one region. */
void *memory_at_guest(const struct memory *memory, uint64_t address, uint64_t size);
void *memory_at_user(const struct memory *memory, uint64_t address, uint64_t size);
/* The same for as much of the range as lies in the region where it begins: *ret_size bytes, at most `size`. */
void *memory_part(size_t *ret_size, const struct memory *memory, uint64_t address, uint64_t size);
