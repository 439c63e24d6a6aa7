/*
 * Four kinds of system calls. What the decoder needs is allowed, as narrowly as its arguments can tell. What a library
 * tries on its way and can do without is refused with an error that it knows: opening files, making sockets, asking
 * for a process. What no library here ever tries, and only somebody who has taken over the process would, ends the
 * process. All the rest does not exist, as on an older kernel: a C library that tries something newer falls back.
 *
 * fstat() is, on most kernels and C libraries, newfstatat() or statx() with an empty path, which a filter can't read:
 * so the process can tell whether a path exists and what its inode says, but nothing of what is in it.
 */
#include "confine/filter.h"

#include <assert.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <sched.h>
#include <seccomp.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>

/* Names, a space between two of them: no architecture has all of them. */
static const char allowed[] =
	/* what is open */
	"close copy_file_range dup dup2 dup3 eventfd2 fadvise64 fadvise64_64 fallocate fdatasync fstat fstat64 fsync "
	"ftruncate ftruncate64 "
	"_llseek lseek poll ppoll pread64 preadv pwrite64 pwritev read readv sync_file_range sync_file_range2 write "
	"writev "
	/* memory */
	"brk madvise mremap munmap "
	/* threads, and waiting */
	"clock_getres clock_gettime clock_nanosleep futex gettid gettimeofday nanosleep restart_syscall rseq "
	"sched_getaffinity sched_yield set_robust_list "
	/* signals to oneself */
	"rt_sigaction rt_sigprocmask rt_sigreturn sigaltstack "
	/* questions */
	"getcpu getegid geteuid getgid getpid getppid getrandom getrlimit getrusage getuid sysinfo uname "
	/* the end */
	"exit exit_group";

/* Answered with EACCES: files by their names. */
static const char closed[] =
	"access chdir chmod chown creat faccessat faccessat2 fchmodat fchownat getcwd lchown link linkat lstat lstat64 "
	"mkdir mkdirat mknod mknodat open openat openat2 readlink readlinkat rename renameat renameat2 rmdir stat "
	"stat64 "
	"statfs statfs64 symlink symlinkat truncate truncate64 unlink unlinkat utimensat";

/* Answered with EPERM: other processes and the network. */
static const char refused[] = "accept accept4 bind connect fork kill listen recvfrom recvmsg rt_sigqueueinfo sendmsg "
			      "sendto socket socketpair "
			      "tkill vfork";

static const char deadly[] =
	"acct add_key bpf capset chroot clock_settime delete_module execve execveat finit_module fsmount fsopen "
	"init_module io_uring_enter io_uring_register io_uring_setup ioperm iopl kcmp kexec_file_load kexec_load "
	"keyctl "
	"modify_ldt mount mount_setattr move_mount name_to_handle_at open_by_handle_at open_tree perf_event_open "
	"personality pidfd_getfd pidfd_open pidfd_send_signal pivot_root process_madvise process_vm_readv "
	"process_vm_writev ptrace quotactl reboot request_key seccomp setdomainname setfsgid setfsuid setgid setgroups "
	"sethostname setns setregid setresgid setresuid setreuid settimeofday setuid swapoff swapon syslog umount2 "
	"unshare userfaultfd vhangup";

/* What depends on arguments. */
struct rule {
	uint32_t action;
	const char *call;
	unsigned count;
	struct scmp_arg_cmp when[2];
};

#define IF(at, value)                                   \
	{                                               \
		(at), SCMP_CMP_EQ, (uint64_t)(value), 0 \
	}
#define IF_BITS(at, mask, value)                                              \
	{                                                                     \
		(at), SCMP_CMP_MASKED_EQ, (uint64_t)(mask), (uint64_t)(value) \
	}

/* A thread of this process, in no new namespace. */
#define THREAD_BITS                                                                                                  \
	(CLONE_THREAD | CLONE_NEWNS | CLONE_NEWCGROUP | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWUSER | CLONE_NEWPID | \
	 CLONE_NEWNET)

static const struct rule rules[] = {
	{SCMP_ACT_ALLOW, "mmap", 1, {IF_BITS(2, PROT_EXEC, 0)}},
	{SCMP_ACT_ALLOW, "mmap2", 1, {IF_BITS(2, PROT_EXEC, 0)}},
	{SCMP_ACT_ALLOW, "mprotect", 1, {IF_BITS(2, PROT_EXEC, 0)}},
	{SCMP_ACT_ERRNO(EACCES), "mmap", 1, {IF_BITS(2, PROT_EXEC, PROT_EXEC)}},
	{SCMP_ACT_ERRNO(EACCES), "mmap2", 1, {IF_BITS(2, PROT_EXEC, PROT_EXEC)}},
	{SCMP_ACT_ERRNO(EACCES), "mprotect", 1, {IF_BITS(2, PROT_EXEC, PROT_EXEC)}},
	/* clone3() hides its flags behind a pointer; as it does not exist, the C library uses clone(). */
	{SCMP_ACT_ALLOW, "clone", 1, {IF_BITS(0, THREAD_BITS, CLONE_THREAD)}},
	{SCMP_ACT_ERRNO(EPERM), "clone", 1, {IF_BITS(0, CLONE_THREAD, 0)}},
	{SCMP_ACT_ALLOW, "newfstatat", 1, {IF(3, AT_EMPTY_PATH)}},
	{SCMP_ACT_ERRNO(EACCES), "newfstatat", 1, {IF_BITS(3, AT_EMPTY_PATH, 0)}},
	{SCMP_ACT_ALLOW, "fstatat64", 1, {IF(3, AT_EMPTY_PATH)}},
	{SCMP_ACT_ALLOW, "statx", 1, {IF(2, AT_EMPTY_PATH)}},
	{SCMP_ACT_ERRNO(EACCES), "statx", 1, {IF_BITS(2, AT_EMPTY_PATH, 0)}},
	/* Neither flags nor locks: open files are shared with the parent. */
	{SCMP_ACT_ALLOW, "fcntl", 1, {IF(1, F_DUPFD)}},
	{SCMP_ACT_ALLOW, "fcntl", 1, {IF(1, F_DUPFD_CLOEXEC)}},
	{SCMP_ACT_ALLOW, "fcntl", 1, {IF(1, F_GETFD)}},
	{SCMP_ACT_ALLOW, "fcntl", 1, {IF(1, F_GETFL)}},
	{SCMP_ACT_ALLOW, "ioctl", 1, {IF(1, FICLONERANGE)}},
	{SCMP_ACT_ALLOW, "prctl", 1, {IF(0, PR_SET_NAME)}},
	{SCMP_ACT_ALLOW, "prlimit64", 2, {IF(0, 0), IF(2, 0)}}, /* to ask for one's own */
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

static int add_all(scmp_filter_ctx filter)
{
	static const struct {
		uint32_t action;
		const char *calls;
	} lists[] = {
		{SCMP_ACT_ALLOW, allowed},
		{SCMP_ACT_ERRNO(EACCES), closed},
		{SCMP_ACT_ERRNO(EPERM), refused},
		{SCMP_ACT_KILL_PROCESS, deadly},
	};
	const struct scmp_arg_cmp self = IF(0, getpid());
	int result = add(filter, SCMP_ACT_ALLOW, "tgkill", 1, &self); /* abort() */

	for (size_t i = 0; result == 0 && i < COUNT_OF(lists); i++)
		result = add_list(filter, lists[i].action, lists[i].calls);
	for (size_t i = 0; result == 0 && i < COUNT_OF(rules); i++)
		result = add(filter, rules[i].action, rules[i].call, rules[i].count, rules[i].when);
	return result;
}

/* What only makes it faster may be missing. Speculation is left alone: there are no secrets in the process, and on
 * kernels before 5.16 its mitigation would slow the decoder down. */
static int tune(scmp_filter_ctx filter)
{
	(void)seccomp_attr_set(filter, SCMP_FLTATR_CTL_OPTIMIZE, 2);
	(void)seccomp_attr_set(filter, SCMP_FLTATR_CTL_SSB, 1);
	(void)seccomp_attr_set(filter, SCMP_FLTATR_API_SYSRAWRC, 1);
	return seccomp_attr_set(filter, SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_KILL_PROCESS);
}

int filter_load(struct annex_error **err)
{
	scmp_filter_ctx filter = seccomp_init(SCMP_ACT_ERRNO(ENOSYS));
	int result;

	if (!filter)
		return fail(err, ANNEX_ERROR_SYSTEM, "libseccomp makes no filter");
	result = tune(filter);
	if (result == 0)
		result = add_all(filter);
	if (result == 0)
		result = seccomp_load(filter);
	seccomp_release(filter);
	return result == 0 ? 0 : fail_os(err, result, "cannot load the filter of system calls");
}
