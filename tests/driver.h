#pragma once
/* A little driver of one split virtqueue, in memory that the caller shares with the device. Needs nothing of src/share.
 */
#include <linux/virtio_ring.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct driver {
	char *memory;  /* the guest's address 0 */
	uint64_t ring; /* where the queue begins in it */
	unsigned size;
	bool event_index;
	struct vring vring;
	uint16_t offered, collected;
};

#define DRIVER_RING_BYTES 32768 /* enough for 1024 descriptors */

static inline void driver_open(struct driver *driver, char *memory, uint64_t ring, unsigned size, bool event_index)
{
	*driver = (struct driver){.memory = memory, .ring = ring, .size = size, .event_index = event_index};
	vring_init(&driver->vring, size, memory + ring, 64);
	memset(memory + ring, 0, DRIVER_RING_BYTES);
}

static inline uint64_t driver_offset(const struct driver *driver, const void *at)
{
	return (uint64_t)((const char *)at - driver->memory);
}

static inline void driver_describe(struct driver *driver, unsigned index, uint64_t address, uint32_t size,
				   uint16_t flags, uint16_t next)
{
	driver->vring.desc[index] = (struct vring_desc){address, size, flags, next};
}

/* True: the device wants a kick. */
static inline bool driver_offer(struct driver *driver, uint16_t head)
{
	struct vring *vring = &driver->vring;
	uint16_t before = driver->offered++;

	__atomic_store_n(&vring->avail->ring[before % driver->size], head, __ATOMIC_RELAXED);
	__atomic_store_n(&vring->avail->idx, driver->offered, __ATOMIC_SEQ_CST);
	if (!driver->event_index)
		return !(__atomic_load_n(&vring->used->flags, __ATOMIC_SEQ_CST) & VRING_USED_F_NO_NOTIFY);
	return vring_need_event(__atomic_load_n((uint16_t *)(void *)&vring->used->ring[driver->size], __ATOMIC_SEQ_CST),
				driver->offered, before);
}

/* The next chain that the device gave back; false: none, and the device is asked to call for the next. */
static inline bool driver_collect(struct driver *driver, uint32_t *head, uint32_t *size)
{
	struct vring *vring = &driver->vring;
	const vring_used_elem_t *element = &vring->used->ring[driver->collected % driver->size];

	if (__atomic_load_n(&vring->used->idx, __ATOMIC_ACQUIRE) == driver->collected) {
		__atomic_store_n(&vring->avail->ring[driver->size], driver->collected, __ATOMIC_SEQ_CST);
		if (__atomic_load_n(&vring->used->idx, __ATOMIC_SEQ_CST) == driver->collected)
			return false;
	}
	*head = __atomic_load_n(&element->id, __ATOMIC_RELAXED);
	*size = __atomic_load_n(&element->len, __ATOMIC_RELAXED);
	driver->collected++;
	return true;
}
