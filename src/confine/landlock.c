/*
 * A ruleset that handles every access right the running kernel knows: what no rule allows is denied. What was opened
 * before stays as it is: rights are checked when a file is opened, not when it is used.
 */
#include "confine/landlock.h"

#include <stdint.h>
#include <sys/stat.h>
#include <sys/syscall.h>

/* As in <linux/landlock.h>. A shorter structure is allowed; one with zeroes behind what the kernel knows too. */
struct ruleset {
	uint64_t files;
	uint64_t network;
	uint64_t scoped;
};

struct __attribute__((packed)) beneath {
	uint64_t files;
	int32_t fd;
};

#define BIT(n) (UINT64_C(1) << (n))

/* What each version of the ABI added. */
static const struct ruleset added[] = {
	{.files = 0x1fff},  /* 1: execute, write, read, list, remove, make */
	{.files = BIT(13)}, /* 2: rename and link between folders */
	{.files = BIT(14)}, /* 3: truncate */
	{.network = 0x3},   /* 4: bind and connect TCP */
	{.files = BIT(15)}, /* 5: ioctl on devices */
	{.scoped = 0x3},    /* 6: abstract Unix sockets, signals */
};

#define EXECUTE BIT(0)
#define READ    (BIT(2) | BIT(3)) /* files and folders */
#define DEVICES BIT(15)
#define OF_FILE (BIT(0) | BIT(1) | BIT(2) | BIT(14)) /* the rights that a file can have itself */

enum { CREATE_RULESET_VERSION = 1, RULE_PATH_BENEATH = 1 };

int landlock_abi(void)
{
	long abi = syscall(SYS_landlock_create_ruleset, NULL, (size_t)0, CREATE_RULESET_VERSION);

	return abi > 0 ? (int)abi : 0;
}

static struct ruleset known(int abi)
{
	struct ruleset ruleset = {0};

	for (int i = 0; i < abi && i < (int)COUNT_OF(added); i++) {
		ruleset.files |= added[i].files;
		ruleset.network |= added[i].network;
		ruleset.scoped |= added[i].scoped;
	}
	return ruleset;
}

int landlock_begin(int abi, bool network)
{
	struct ruleset ruleset = known(abi);
	long fd;

	if (network)
		ruleset.network = 0;
	fd = syscall(SYS_landlock_create_ruleset, &ruleset, sizeof(ruleset), 0);

	return fd < 0 ? -errno : (int)fd; /* close-on-exec by itself */
}

int landlock_allow(int rules, int abi, int fd, bool changes)
{
	struct beneath beneath = {.files = known(abi).files & ~(EXECUTE | DEVICES), .fd = fd};
	struct stat st;

	if (!changes)
		beneath.files &= READ;
	if (fstat(fd, &st) < 0)
		return -errno;
	if (!S_ISDIR(st.st_mode))
		beneath.files &= OF_FILE;
	return syscall(SYS_landlock_add_rule, rules, RULE_PATH_BENEATH, &beneath, 0) < 0 ? -errno : 0;
}

int landlock_enter(int rules)
{
	return syscall(SYS_landlock_restrict_self, rules, 0) < 0 ? -errno : 0;
}
