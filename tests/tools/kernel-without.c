/* Runs a program on a kernel that lacks something: kernel-without landlock|seccomp|both PROGRAM [ARGUMENT]... */
#include "base/error.h"

#include <seccomp.h>
#include <stdio.h>
#include <string.h>

static int leave_out(scmp_filter_ctx filter, const char *call)
{
	return seccomp_rule_add(filter, SCMP_ACT_ERRNO(ENOSYS), seccomp_syscall_resolve_name(call), 0);
}

static int leave_all_out(scmp_filter_ctx filter, const char *what)
{
	int result = 0;

	if (strcmp(what, "seccomp") != 0)
		result = leave_out(filter, "landlock_create_ruleset");
	if (result == 0 && strcmp(what, "landlock") != 0)
		result = leave_out(filter, "seccomp");
	return result;
}

int main(int argc, char **argv)
{
	scmp_filter_ctx filter = seccomp_init(SCMP_ACT_ALLOW);

	if (argc < 3 || !filter || leave_all_out(filter, argv[1]) != 0 || seccomp_load(filter) != 0) {
		fprintf(stderr, "usage: kernel-without landlock|seccomp|both PROGRAM [ARGUMENT]...\n");
		return 2;
	}
	seccomp_release(filter);
	execvp(argv[2], argv + 2);
	perror(argv[2]);
	return 2;
}
