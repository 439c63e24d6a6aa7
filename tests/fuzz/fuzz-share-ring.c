/* A driver's memory, whole: first byte size and features, then what lies in memory from address 0, the ring first. */
#include "share/ring.h"

#include <string.h>
#include <sys/mman.h>

#define HALF 65536u
#define FAR  0x100000u /* the guest's address of the second half */
#define USER 0x7000000000

static char *bytes;
static struct memory *memory;
static struct ring_chain chain;

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool truth)
{
	if (!truth)
		abort();
}

static void begin(void)
{
	auto_close int fd = memfd_create("guest", MFD_CLOEXEC);
	struct memory_region first = {0, HALF, USER, 0}, second = {FAR, HALF, USER + HALF, HALF};
	struct memory *none = NULL, *half = NULL;

	require(fd >= 0 && ftruncate(fd, 2 * HALF) == 0);
	require(memory_new(&none, NULL) == 0 && memory_with(&half, none, &first, fd, NULL) == 0 &&
		memory_with(&memory, half, &second, fd, NULL) == 0);
	memory_unref(none);
	memory_unref(half);
	bytes = mmap(NULL, 2 * HALF, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	require(bytes != MAP_FAILED);
}

static bool is_inside(const struct iovec *part)
{
	const char *first = memory_at_guest(memory, 0, HALF), *second = memory_at_guest(memory, FAR, HALF);
	const char *start = part->iov_base;
	bool joined = first + HALF == second || second + HALF == first;
	const char *low = first < second ? first : second;

	if (joined)
		return start >= low && start + part->iov_len <= low + 2 * (size_t)HALF;
	return (start >= first && start + part->iov_len <= first + HALF) ||
	       (start >= second && start + part->iov_len <= second + HALF);
}

static void check_chain(void)
{
	size_t total = 0;

	require(chain.in_count + chain.out_count <= RING_CHAIN_LIMIT);
	for (unsigned i = 0; i < chain.in_count + chain.out_count; i++) {
		require(is_inside(&chain.parts[i]) && chain.parts[i].iov_len > 0);
		total += chain.parts[i].iov_len;
	}
	require(total == chain.size && total <= RING_CHAIN_BYTES);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct ring ring = {0};
	struct ring_addresses addresses;
	size_t rest = size > 0 ? size - 1 : 0;

	if (!bytes)
		begin();
	if (size == 0)
		return 0;
	ring.size = 1u << (data[0] & 7);
	ring.event_index = data[0] & 8;
	ring.indirect = data[0] & 16;
	memset(bytes, 0, 2 * (size_t)HALF);
	memcpy(bytes, data + 1, rest < 2 * HALF ? rest : 2 * HALF);
	addresses.descriptors = USER;
	addresses.available = USER + ring.size * sizeof(struct vring_desc);
	addresses.used = (addresses.available + 6 + 2 * ring.size + 3) & ~3ull;
	require(ring_place(&ring, memory, &addresses));
	for (unsigned i = 0; i < 64; i++) {
		auto_error struct annex_error *err = NULL;
		int taken = ring_take(&ring, &chain, &err);

		require((taken < 0) == (err != NULL));
		if (taken <= 0)
			break;
		check_chain();
		(void)!ring_arm(&ring);
		ring_put(&ring, chain.head, i);
		(void)!ring_wants_call(&ring);
	}
	return 0;
}
