#include "confine/capability.h"

#include <linux/capability.h>
#include <stdbool.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

/* What no program that is started could get back; with no_new_privs there is nothing to get, so it may fail. */
static void drop_bounds(uint64_t kept)
{
	for (unsigned i = 0; i < 64; i++) {
		if (!(kept & CAPABILITY(i)) && prctl(PR_CAPBSET_READ, i, 0, 0, 0) == 1)
			(void)prctl(PR_CAPBSET_DROP, i, 0, 0, 0);
	}
}

int capability_keep(uint64_t kept)
{
	struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct sets[2];

	drop_bounds(kept);
	if (syscall(SYS_capget, &header, sets) < 0)
		return -errno;
	for (unsigned i = 0; i < 2; i++) {
		uint32_t here = (uint32_t)(kept >> (32 * i));

		sets[i].permitted &= here;
		sets[i].effective &= here;
		sets[i].inheritable = 0;
	}
	return syscall(SYS_capset, &header, sets) < 0 ? -errno : 0;
}
