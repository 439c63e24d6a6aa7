#pragma once
#include "machine/setting.h"

/* What a host can give to a machine. */

/* Refuse when it is set what the host can't give, rather than when the machine starts: USAGE, UNSUPPORTED. What is as
 * in `before` (NULL: a new machine) isn't looked at. `data` is where annex keeps its data. Blocks while QEMU is asked
 * what it can do, the first time. */
MUST_USE int hardware_check(const struct machine_settings *settings, const struct machine_settings *before,
			    const char *data, struct annex_error **err);

/* What a machine can be given while it runs: how many processors, and by how many bytes its memory can grow. */
struct hardware_room {
	unsigned cpus;
	uint64_t growth;
};
/* `host_memory` is without its swap. */
struct hardware_room hardware_room(const struct machine_settings *settings, unsigned host_cpus, uint64_t host_memory);
