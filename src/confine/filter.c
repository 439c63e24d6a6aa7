/* What every confined program needs, and none. */
#include "confine/filter.h"

#include <assert.h>
#include <sched.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>

#define DEADLY                                                                                                       \
	"acct add_key bpf capset chroot clock_settime delete_module execve execveat finit_module fsmount fsopen "    \
	"init_module io_uring_enter io_uring_register io_uring_setup ioperm iopl kcmp kexec_file_load kexec_load "   \
	"keyctl "                                                                                                    \
	"modify_ldt mount mount_setattr move_mount name_to_handle_at open_by_handle_at open_tree perf_event_open "   \
	"personality pidfd_getfd pidfd_open pidfd_send_signal pivot_root process_madvise process_vm_readv "          \
	"process_vm_writev ptrace quotactl reboot request_key seccomp setdomainname setfsgid setfsuid setgid "       \
	"setgroups "                                                                                                 \
	"sethostname setns setregid setresgid setresuid setreuid settimeofday setuid swapoff swapon syslog umount2 " \
	"userfaultfd vhangup"

/* A thread of this process, in no new namespace. */
#define THREAD_BITS                                                                                                  \
	(CLONE_THREAD | CLONE_NEWNS | CLONE_NEWCGROUP | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWUSER | CLONE_NEWPID | \
	 CLONE_NEWNET)

static const struct filter_rule rules[] = {
	{SCMP_ACT_ALLOW, "mmap", 1, {FILTER_IF_BITS(2, PROT_EXEC, 0)}},
	{SCMP_ACT_ALLOW, "mmap2", 1, {FILTER_IF_BITS(2, PROT_EXEC, 0)}},
	{SCMP_ACT_ALLOW, "mprotect", 1, {FILTER_IF_BITS(2, PROT_EXEC, 0)}},
	{SCMP_ACT_ERRNO(EACCES), "mmap", 1, {FILTER_IF_BITS(2, PROT_EXEC, PROT_EXEC)}},
	{SCMP_ACT_ERRNO(EACCES), "mmap2", 1, {FILTER_IF_BITS(2, PROT_EXEC, PROT_EXEC)}},
	{SCMP_ACT_ERRNO(EACCES), "mprotect", 1, {FILTER_IF_BITS(2, PROT_EXEC, PROT_EXEC)}},
	/* clone3() hides its flags behind a pointer; as it does not exist, the C library uses clone(). */
	{SCMP_ACT_ALLOW, "clone", 1, {FILTER_IF_BITS(0, THREAD_BITS, CLONE_THREAD)}},
	{SCMP_ACT_ERRNO(EPERM), "clone", 1, {FILTER_IF_BITS(0, CLONE_THREAD, 0)}},
	{SCMP_ACT_ALLOW, "prctl", 1, {FILTER_IF(0, PR_SET_NAME)}},
	{SCMP_ACT_ALLOW, "prlimit64", 2, {FILTER_IF(0, 0), FILTER_IF(2, 0)}}, /* to ask for one's own */
};

static const struct filter common = {
	.allowed =
		/* memory */
	"brk madvise mremap munmap "
	/* threads, and waiting */
	"clock_getres clock_gettime clock_nanosleep futex gettid gettimeofday nanosleep poll ppoll "
	"restart_syscall "
	"rseq sched_getaffinity sched_yield set_robust_list "
	/* signals to oneself */
	"rt_sigaction rt_sigprocmask rt_sigreturn sigaltstack "
	/* questions */
	"getcpu getegid geteuid getgid getpid getppid getrandom getrlimit getrusage getuid sysinfo uname "
	/* the end */
	"exit exit_group",
	.closed = "",
	.refused = "fork kill rt_sigqueueinfo tkill vfork",
	.deadly = DEADLY,
	.rules = rules,
	.rule_count = COUNT_OF(rules),
};

/* What this architecture or this libseccomp does not know can't be meant. */
static int add(scmp_filter_ctx filter, uint32_t action, const char *call, unsigned count,
	       const struct scmp_arg_cmp *when)
{
	int number = seccomp_syscall_resolve_name(call);

	return number < 0 ? 0 : seccomp_rule_add_array(filter, action, number, count, when);
}

static int add_list(scmp_filter_ctx filter, uint32_t action, const char *calls)
{
	int result = 0;

	for (size_t length; result == 0 && *calls; calls += length) {
		char call[32] = {0};

		calls += strspn(calls, " ");
		length = strcspn(calls, " ");
		assert(length < sizeof(call));
		memcpy(call, calls, length);
		result = add(filter, action, call, 0, NULL);
	}
	return result;
}

static int add_all(scmp_filter_ctx filter, const struct filter *own)
{
	const struct {
		uint32_t action;
		const char *calls;
	} lists[] = {
		{SCMP_ACT_ALLOW, own->allowed},
		{SCMP_ACT_ERRNO(EACCES), own->closed},
		{SCMP_ACT_ERRNO(EPERM), own->refused},
		{SCMP_ACT_KILL_PROCESS, own->deadly},
	};
	int result = 0;

	for (size_t i = 0; result == 0 && i < COUNT_OF(lists); i++)
		result = add_list(filter, lists[i].action, lists[i].calls);
	for (size_t i = 0; result == 0 && i < own->rule_count; i++)
		result = add(filter, own->rules[i].action, own->rules[i].call, own->rules[i].count, own->rules[i].when);
	return result;
}

/* What only makes it faster may be missing. Speculation is left alone: there are no secrets in the process, and on
 * kernels before 5.16 its mitigation would slow it down. */
static int tune(scmp_filter_ctx filter)
{
	(void)seccomp_attr_set(filter, SCMP_FLTATR_CTL_OPTIMIZE, 2);
	(void)seccomp_attr_set(filter, SCMP_FLTATR_CTL_SSB, 1);
	(void)seccomp_attr_set(filter, SCMP_FLTATR_API_SYSRAWRC, 1);
	return seccomp_attr_set(filter, SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_KILL_PROCESS);
}

int filter_load(const struct filter *own, struct annex_error **err)
{
	scmp_filter_ctx filter = seccomp_init(SCMP_ACT_ERRNO(ENOSYS));
	const struct scmp_arg_cmp self = FILTER_IF(0, getpid());
	int result;

	if (!filter)
		return fail(err, ANNEX_ERROR_SYSTEM, "libseccomp makes no filter");
	result = tune(filter);
	if (result == 0)
		result = add(filter, SCMP_ACT_ALLOW, "tgkill", 1, &self); /* abort() */
	if (result == 0)
		result = add_all(filter, &common);
	if (result == 0)
		result = add_all(filter, own);
	if (result == 0)
		result = seccomp_load(filter);
	seccomp_release(filter);
	return result == 0 ? 0 : fail_os(err, result, "cannot load the filter of system calls");
}
