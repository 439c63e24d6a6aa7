/*
 * Regions are kept in order of their guest addresses and never overlap there, so that a look-up is a binary search.
 * A mapping belongs to all memories that have its region, and is undone with the last of them.
 *
 * A file that is shorter than its region would raise SIGBUS at the first access behind its end: it is refused. The
 * front end could still truncate it later; it is trusted not to, and harms only its own machine. The guest cannot.
 */
#include "share/memory.h"

#include <inttypes.h>
#include <sys/mman.h>
#include <sys/stat.h>

struct mapping {
	unsigned refs;
	char *start; /* of the region, behind the slack that page sizes ask for */
	void *mapped;
	size_t size; /* mapped */
};

struct entry {
	struct memory_region region;
	struct mapping *mapping;
};

struct memory {
	unsigned refs;
	unsigned count;
	struct entry entries[];
};

static void mapping_unref(struct mapping *mapping)
{
	if (!mapping || __atomic_sub_fetch(&mapping->refs, 1, __ATOMIC_ACQ_REL) > 0)
		return;
	munmap(mapping->mapped, mapping->size);
	free(mapping);
}

static void cleanup_mapping(struct mapping **mapping)
{
	mapping_unref(*mapping);
}

static int check_region(const struct memory_region *region, struct annex_error **err)
{
	if (region->size == 0 || region->size > SIZE_MAX / 4)
		return fail(err, ANNEX_ERROR_CORRUPT, "guest memory: a region of %" PRIu64 " bytes", region->size);
	if (region->guest_address > UINT64_MAX - region->size || region->user_address > UINT64_MAX - region->size ||
	    region->offset > INT64_MAX - region->size)
		return fail(err, ANNEX_ERROR_CORRUPT, "guest memory: a region that ends behind the last address");
	return 0;
}

/* Files on hugetlbfs can only be mapped in units of their pages, which are their block size. */
static size_t map_unit(const struct stat *info)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE), block = (size_t)info->st_blksize;

	return block > page && block <= (1u << 30) && (block & (block - 1)) == 0 ? block : page;
}

static int map_region(struct mapping **ret, const struct memory_region *region, int fd, struct annex_error **err)
{
	auto_free struct mapping *mapping = calloc(1, sizeof(*mapping));
	struct stat info;
	uint64_t slack;
	size_t unit;

	if (!mapping)
		return fail_memory(err);
	if (fstat(fd, &info) < 0)
		return fail_os(err, errno, "guest memory: cannot look at its file");
	if (!S_ISREG(info.st_mode) || (uint64_t)info.st_size < region->offset + region->size)
		return fail(err, ANNEX_ERROR_CORRUPT, "guest memory: the file is shorter than its region");
	unit = map_unit(&info);
	slack = region->offset & (unit - 1);
	mapping->refs = 1;
	mapping->size = (size_t)((slack + region->size + unit - 1) & ~(uint64_t)(unit - 1));
	mapping->mapped = mmap(NULL, mapping->size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, fd,
			       (off_t)(region->offset - slack));
	if (mapping->mapped == MAP_FAILED)
		return fail_os(err, errno, "guest memory: cannot map %" PRIu64 " bytes", region->size);
	mapping->start = (char *)mapping->mapped + slack;
	*ret = TAKE(mapping);
	return 0;
}

static int allocate(struct memory **ret, unsigned count, struct annex_error **err)
{
	struct memory *memory = calloc(1, sizeof(*memory) + count * sizeof(*memory->entries));

	if (!memory)
		return fail_memory(err);
	memory->refs = 1;
	*ret = memory;
	return 0;
}

static void append(struct memory *memory, const struct entry *entry)
{
	__atomic_add_fetch(&entry->mapping->refs, 1, __ATOMIC_RELAXED);
	memory->entries[memory->count++] = *entry;
}

int memory_new(struct memory **ret, struct annex_error **err)
{
	return allocate(ret, 0, err);
}

int memory_with(struct memory **ret, const struct memory *old, const struct memory_region *region, int fd,
		struct annex_error **err)
{
	CLEANUP(cleanup_mapping) struct mapping *mapping = NULL;
	struct memory *memory;
	unsigned before = 0;

	if (check_region(region, err) < 0)
		return -1;
	if (old->count >= MEMORY_REGION_LIMIT)
		return fail(err, ANNEX_ERROR_CORRUPT, "guest memory: more than %u regions", MEMORY_REGION_LIMIT);
	for (unsigned i = 0; i < old->count; i++) {
		const struct memory_region *other = &old->entries[i].region;

		if (region->guest_address < other->guest_address + other->size &&
		    other->guest_address < region->guest_address + region->size)
			return fail(err, ANNEX_ERROR_CORRUPT, "guest memory: two regions at %#" PRIx64,
				    region->guest_address);
		before += other->guest_address < region->guest_address;
	}
	if (map_region(&mapping, region, fd, err) < 0 || allocate(&memory, old->count + 1, err) < 0)
		return -1;
	for (unsigned i = 0; i < before; i++)
		append(memory, &old->entries[i]);
	append(memory, &(struct entry){*region, mapping});
	for (unsigned i = before; i < old->count; i++)
		append(memory, &old->entries[i]);
	*ret = memory;
	return 0;
}

int memory_without(struct memory **ret, const struct memory *old, const struct memory_region *region,
		   struct annex_error **err)
{
	struct memory *memory;

	if (allocate(&memory, old->count, err) < 0)
		return -1;
	for (unsigned i = 0; i < old->count; i++) {
		const struct memory_region *other = &old->entries[i].region;

		if (other->guest_address != region->guest_address || other->user_address != region->user_address ||
		    other->size != region->size)
			append(memory, &old->entries[i]);
	}
	if (memory->count == old->count) {
		memory_unref(memory);
		return fail(err, ANNEX_ERROR_CORRUPT, "guest memory: no region at %#" PRIx64 " to remove",
			    region->guest_address);
	}
	*ret = memory;
	return 0;
}

struct memory *memory_ref(struct memory *memory)
{
	__atomic_add_fetch(&memory->refs, 1, __ATOMIC_RELAXED);
	return memory;
}

void memory_unref(struct memory *memory)
{
	if (!memory || __atomic_sub_fetch(&memory->refs, 1, __ATOMIC_ACQ_REL) > 0)
		return;
	for (unsigned i = 0; i < memory->count; i++)
		mapping_unref(memory->entries[i].mapping);
	free(memory);
}

void *memory_part(size_t *ret_size, const struct memory *memory, uint64_t address, uint64_t size)
{
	unsigned low = 0, high = memory->count;

	while (low < high) {
		unsigned middle = (low + high) / 2;
		const struct entry *entry = &memory->entries[middle];

		if (address < entry->region.guest_address) {
			high = middle;
		} else if (address - entry->region.guest_address >= entry->region.size) {
			low = middle + 1;
		} else {
			uint64_t skip = address - entry->region.guest_address, left = entry->region.size - skip;

			*ret_size = (size_t)(size < left ? size : left);
			return entry->mapping->start + skip;
		}
	}
	return NULL;
}

void *memory_at_guest(const struct memory *memory, uint64_t address, uint64_t size)
{
	size_t part;
	void *start = memory_part(&part, memory, address, size);

	return start && part == size ? start : NULL;
}

void *memory_at_user(const struct memory *memory, uint64_t address, uint64_t size)
{
	for (unsigned i = 0; i < memory->count; i++) {
		const struct memory_region *region = &memory->entries[i].region;

		if (address >= region->user_address && address - region->user_address < region->size &&
		    size <= region->size - (address - region->user_address))
			return memory->entries[i].mapping->start + (address - region->user_address);
	}
	return NULL;
}
