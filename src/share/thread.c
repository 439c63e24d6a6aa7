#include "share/thread.h"

#include <sched.h>
#include <sys/stat.h>
#include <unistd.h>

static bool is_alone(void)
{
	static _Thread_local bool tried, alone;

	if (!tried) {
		tried = true;
		alone = unshare(CLONE_FS) == 0;
	}
	return alone;
}

void thread_use_umask(mode_t mask)
{
	umask(is_alone() ? mask & 0777 : 0);
}

bool thread_enter(int folder)
{
	return is_alone() && fchdir(folder) == 0;
}

/* No thread stays in a folder of the host, whose file system could not be unmounted then. */
void thread_leave(void)
{
	if (chdir("/") < 0)
		return; /* stays, until it enters the next one */
}
