#include "confine/support.h"

#include "confine/landlock.h"

#include <linux/seccomp.h>
#include <stdint.h>
#include <sys/syscall.h>
#include <unistd.h>

struct support support_probe(void)
{
	static const uint32_t action = SECCOMP_RET_KILL_PROCESS;

	return (struct support){.landlock = landlock_abi(),
				.seccomp = syscall(SYS_seccomp, SECCOMP_GET_ACTION_AVAIL, 0, &action) == 0};
}
