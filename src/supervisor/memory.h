#pragma once
#include "supervisor/supervisor.h"

/* The memory of a machine that runs. */
#define MEMORY_STILL_MS                                                                                             \
	2000u               /* that it may not have moved for before it counts as stuck; grows with the accelerator \
			     */
#define MEMORY_LOOK_MS 200u /* between two looks how far it has got */

/* A guest whose memory shrinks must keep so much that it can use, and a part of what it has then. */
#define MEMORY_SPARE      (24ull << 20)
#define MEMORY_SPARE_PART 16u

struct memory;

/* What was asked for is there, or `why` it is not; `reached` (0: not known) is what there is. */
typedef void memory_fn(uint64_t reached, const char *why, void *data);

/* Behind the plan, which has what the machine starts with. */
MUST_USE int memory_new(struct memory **ret, struct supervisor *supervisor, memory_fn *fn, void *data,
			struct annex_error **err);
void memory_free(struct memory *memory); /* NULL is allowed */

/* The most that it can have while it runs. */
uint64_t memory_most(const struct memory *memory);
/* Change it; the callback comes, maybe at once. `available`: what the guest can do without. One at a time. */
void memory_change(struct memory *memory, uint64_t wanted, uint64_t available);

/* Can the guest give that much, of what it can do without? */
bool memory_can_spare(uint64_t available, uint64_t before, uint64_t after);
