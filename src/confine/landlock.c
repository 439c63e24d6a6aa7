/*
 * A ruleset that handles every access right the running kernel knows, and has no rule: all of them are denied. What was
 * opened before stays as it is: rights are checked when a file is opened, not when it is used.
 */
#include "confine/landlock.h"

#include <stdint.h>
#include <sys/syscall.h>

/* As in <linux/landlock.h>. A shorter structure is allowed; one with zeroes behind what the kernel knows too. */
struct ruleset {
	uint64_t files;
	uint64_t network;
	uint64_t scoped;
};

/* What each version of the ABI added. */
static const struct ruleset added[] = {
	{.files = 0x1fff},  /* 1: execute, write, read, list, remove, make */
	{.files = 1 << 13}, /* 2: rename and link between folders */
	{.files = 1 << 14}, /* 3: truncate */
	{.network = 0x3},   /* 4: bind and connect TCP */
	{.files = 1 << 15}, /* 5: ioctl on devices */
	{.scoped = 0x3},    /* 6: abstract Unix sockets, signals */
};

enum { CREATE_RULESET_VERSION = 1 };

int landlock_abi(void)
{
	long abi = syscall(SYS_landlock_create_ruleset, NULL, (size_t)0, CREATE_RULESET_VERSION);

	return abi > 0 ? (int)abi : 0;
}

int landlock_confine(int abi)
{
	struct ruleset ruleset = {0};
	auto_close int fd = -1;

	for (int i = 0; i < abi && i < (int)COUNT_OF(added); i++) {
		ruleset.files |= added[i].files;
		ruleset.network |= added[i].network;
		ruleset.scoped |= added[i].scoped;
	}
	fd = (int)syscall(SYS_landlock_create_ruleset, &ruleset, sizeof(ruleset), 0);
	if (fd < 0 || syscall(SYS_landlock_restrict_self, fd, 0) < 0)
		return -errno;
	return 0;
}
