/*
 * Split virtqueues, the device's side.
 *
 * Guest memory can change under every look at it. So each index is loaded once, atomically; a descriptor is copied
 * before anything of it is judged; and addresses count only by what memory_part() makes of them. A chain can't loop: a
 * table has at most RING_CHAIN_LIMIT descriptors, and a walk takes no more steps than the table has.
 *
 * Order between the two sides:
 *  - the driver's index is loaded with acquire before the entries that it covers;
 *  - ours is stored after the used entry that it covers;
 *  - both sides of event suppression first tell, then look (we: index, then the driver's event; our event, then the
 * driver's index). Stores and loads of those are sequentially consistent, which makes them the full barrier that this
 * needs.
 *
 * What the driver writes to `used` is never believed: how far we are is known here only.
 */
#include "share/ring.h"

#include <inttypes.h>
#include <string.h>

/* Numbers in rings are little-endian (VIRTIO_F_VERSION_1), as this process is. */
_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "a big-endian host has to swap the numbers in rings");

static int broken(struct annex_error **err, const char *what, uint64_t number)
{
	return fail(err, ANNEX_ERROR_GUEST, "virtqueue: %s (%" PRIu64 ")", what, number);
}

bool ring_is_size(uint64_t size)
{
	return size > 0 && size <= RING_SIZE_LIMIT && (size & (size - 1)) == 0;
}

bool ring_is_placed(const struct ring *ring)
{
	return ring->used;
}

bool ring_place(struct ring *ring, const struct memory *memory, const struct ring_addresses *addresses)
{
	const uint64_t number = ring->size, event = sizeof(uint16_t);
	void *descriptors = memory_at_user(memory, addresses->descriptors, number * sizeof(struct vring_desc));
	void *available = memory_at_user(memory, addresses->available,
					 sizeof(struct vring_avail) + number * sizeof(uint16_t) + event);
	void *used = memory_at_user(memory, addresses->used,
				    sizeof(struct vring_used) + number * sizeof(struct vring_used_elem) + event);
	bool placed = descriptors && available && used && (uintptr_t)descriptors % VRING_DESC_ALIGN_SIZE == 0 &&
		      (uintptr_t)available % VRING_AVAIL_ALIGN_SIZE == 0 &&
		      (uintptr_t)used % VRING_USED_ALIGN_SIZE == 0;

	ring->memory = memory;
	ring->descriptors = placed ? descriptors : NULL;
	ring->available = placed ? available : NULL;
	ring->used = placed ? used : NULL;
	return placed;
}

uint16_t ring_used_index(const struct ring *ring)
{
	return __atomic_load_n(&ring->used->idx, __ATOMIC_RELAXED);
}

void ring_resume(struct ring *ring, uint16_t next)
{
	ring->next_available = next;
	ring->next_used = next;
	ring->next_told = next;
}

/* The driver's index, and how many chains lie before it. */
static int count_available(unsigned *ret, const struct ring *ring, struct annex_error **err)
{
	uint16_t index = __atomic_load_n(&ring->available->idx, __ATOMIC_ACQUIRE);
	unsigned count = (uint16_t)(index - ring->next_available);

	if (count > ring->size)
		return broken(err, "more requests than its size", count);
	*ret = count;
	return 0;
}

/* A table of descriptors: the ring's own, or an indirect one. */
struct table {
	const struct vring_desc *own; /* NULL: indirect */
	uint64_t address;             /* of an indirect one */
	unsigned count;
};

static int read_descriptor(struct vring_desc *ret, const struct ring *ring, const struct table *table, unsigned index,
			   struct annex_error **err)
{
	const void *from;

	if (index >= table->count)
		return broken(err, "a descriptor behind the end of the table", index);
	from = table->own
		       ? &table->own[index]
		       : memory_at_guest(ring->memory, table->address + (uint64_t)index * sizeof(*ret), sizeof(*ret));
	if (!from)
		return broken(err, "an indirect table outside of memory", table->address);
	memcpy(ret, from, sizeof(*ret));
	/* Nobody reads it again from there for a value that was copied. */
	__asm__ volatile("" : "+m"(*ret) : : "memory");
	return 0;
}

static int add_part(struct ring_chain *chain, void *start, size_t size, bool writable, struct annex_error **err)
{
	unsigned count = chain->in_count + chain->out_count;
	struct iovec *last = count > 0 ? &chain->parts[count - 1] : NULL;

	/* What touches in this process is one part; reading and writing ones stay apart. */
	if (last && writable == (chain->out_count > 0) && (char *)last->iov_base + last->iov_len == (char *)start) {
		last->iov_len += size;
		return 0;
	}
	if (count == RING_CHAIN_LIMIT)
		return broken(err, "a request in too many parts", count);
	chain->parts[count] = (struct iovec){start, size};
	if (writable)
		chain->out_count++;
	else
		chain->in_count++;
	return 0;
}

/* The guest's buffer may lie in several regions: it becomes as many parts. */
static int add_buffer(struct ring_chain *chain, const struct ring *ring, const struct vring_desc *descriptor,
		      struct annex_error **err)
{
	const bool writable = descriptor->flags & VRING_DESC_F_WRITE;
	uint64_t address = descriptor->addr;
	size_t left = descriptor->len;

	if (!writable && chain->out_count > 0)
		return broken(err, "a buffer to read behind one to write", descriptor->addr);
	if (left > RING_CHAIN_BYTES - chain->size)
		return broken(err, "a request of too many bytes", chain->size + left);
	chain->size += left;
	while (left > 0) {
		size_t part = 0;
		void *start = memory_part(&part, ring->memory, address, left);

		if (!start)
			return broken(err, "a buffer outside of memory", address);
		if (add_part(chain, start, part, writable, err) < 0)
			return -1;
		address += part;
		left -= part;
	}
	return 0;
}

static int enter_indirect(struct table *table, const struct ring *ring, const struct vring_desc *descriptor,
			  struct annex_error **err)
{
	if (!ring->indirect)
		return broken(err, "an indirect table that was not negotiated", descriptor->addr);
	if (!table->own)
		return broken(err, "an indirect table in an indirect table", descriptor->addr);
	if (descriptor->flags & VRING_DESC_F_NEXT)
		return broken(err, "a descriptor behind an indirect table", descriptor->next);
	if (descriptor->len == 0 || descriptor->len % sizeof(*descriptor) != 0 ||
	    descriptor->len / sizeof(*descriptor) > RING_CHAIN_LIMIT)
		return broken(err, "an indirect table with a bad size", descriptor->len);
	if (descriptor->addr > UINT64_MAX - descriptor->len)
		return broken(err, "an indirect table outside of memory", descriptor->addr);
	*table = (struct table){.address = descriptor->addr, .count = descriptor->len / sizeof(*descriptor)};
	return 0;
}

static int read_chain(struct ring_chain *chain, const struct ring *ring, struct annex_error **err)
{
	struct table table = {.own = ring->descriptors, .count = ring->size};
	unsigned index = chain->head, steps = 0;

	for (;;) {
		struct vring_desc descriptor;

		if (steps++ == table.count)
			return broken(err, "a chain that is longer than its table", steps);
		if (read_descriptor(&descriptor, ring, &table, index, err) < 0)
			return -1;
		if (descriptor.flags & VRING_DESC_F_INDIRECT) {
			if (enter_indirect(&table, ring, &descriptor, err) < 0)
				return -1;
			index = steps = 0;
			continue;
		}
		if (add_buffer(chain, ring, &descriptor, err) < 0)
			return -1;
		if (!(descriptor.flags & VRING_DESC_F_NEXT))
			return 0;
		index = descriptor.next;
	}
}

int ring_take(struct ring *ring, struct ring_chain *chain, struct annex_error **err)
{
	unsigned count = 0;

	if (count_available(&count, ring, err) < 0)
		return -1;
	if (count == 0)
		return 0;
	chain->head =
		__atomic_load_n(&ring->available->ring[ring->next_available & (ring->size - 1)], __ATOMIC_RELAXED);
	chain->in_count = chain->out_count = 0;
	chain->size = 0;
	if (read_chain(chain, ring, err) < 0)
		return -1;
	ring->next_available++;
	return 1;
}

/* Behind the used entries, where vring_used has no name for it. */
static uint16_t *kick_event(const struct ring *ring)
{
	return (uint16_t *)(void *)&ring->used->ring[ring->size];
}

bool ring_arm(struct ring *ring)
{
	if (ring->event_index)
		__atomic_store_n(kick_event(ring), ring->next_available, __ATOMIC_SEQ_CST);
	/* Without that feature drivers kick always: we never ask them not to. */
	return __atomic_load_n(&ring->available->idx, __ATOMIC_SEQ_CST) == ring->next_available;
}

void ring_disarm(struct ring *ring)
{
	/* The driver kicks when it passes this index: it has, and is a whole round from it. */
	if (ring->event_index)
		__atomic_store_n(kick_event(ring), (uint16_t)(ring->next_available - 1), __ATOMIC_RELAXED);
}

void ring_put(struct ring *ring, uint16_t head, uint32_t size)
{
	vring_used_elem_t *element = &ring->used->ring[ring->next_used & (ring->size - 1)];

	__atomic_store_n(&element->id, (uint32_t)head, __ATOMIC_RELAXED);
	__atomic_store_n(&element->len, size, __ATOMIC_RELAXED);
	ring->next_used++;
	__atomic_store_n(&ring->used->idx, ring->next_used, __ATOMIC_SEQ_CST);
}

bool ring_wants_call(struct ring *ring)
{
	uint16_t told = ring->next_told;

	ring->next_told = ring->next_used;
	if (told == ring->next_used)
		return false;
	if (!ring->event_index)
		return !(__atomic_load_n(&ring->available->flags, __ATOMIC_SEQ_CST) & VRING_AVAIL_F_NO_INTERRUPT);
	return vring_need_event(__atomic_load_n(&ring->available->ring[ring->size], __ATOMIC_SEQ_CST), ring->next_used,
				told);
}
