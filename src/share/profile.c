/*
 * Which files can be reached is for Landlock to say; the filter lets those calls pass that work with files at all. What
 * changes or tells what is known of a file (its mode, its owner, its times, its attributes) Landlock knows nothing of:
 * a server that was taken over could do that to files outside, as far as its user may, but not read or write them.
 */
#include "share/profile.h"

#include "confine/capability.h"
#include "confine/filter.h"

#include <linux/capability.h>
#include <linux/fs.h>
#include <sched.h>

static const struct filter_rule rules[] = {
	/* A thread parts with the process's umask and working folder (share/thread.c), and with nothing else. */
	{SCMP_ACT_ALLOW, "unshare", 1, {FILTER_IF(0, CLONE_FS)}},
	{SCMP_ACT_KILL_PROCESS, "unshare", 1, {FILTER_UNLESS(0, CLONE_FS)}},
	{SCMP_ACT_ALLOW, "fcntl", 1, {FILTER_IF(1, F_DUPFD)}},
	{SCMP_ACT_ALLOW, "fcntl", 1, {FILTER_IF(1, F_DUPFD_CLOEXEC)}},
	{SCMP_ACT_ALLOW, "fcntl", 1, {FILTER_IF(1, F_GETFD)}},
	{SCMP_ACT_ALLOW, "fcntl", 1, {FILTER_IF(1, F_SETFD)}},
	{SCMP_ACT_ALLOW, "fcntl", 1, {FILTER_IF(1, F_GETFL)}},
	{SCMP_ACT_ALLOW, "fcntl", 1, {FILTER_IF(1, F_OFD_GETLK)}},
	{SCMP_ACT_ALLOW, "fcntl", 1, {FILTER_IF(1, F_OFD_SETLK)}},
	{SCMP_ACT_ALLOW, "fcntl64", 1, {FILTER_IF(1, F_DUPFD_CLOEXEC)}},
	{SCMP_ACT_ALLOW, "fcntl64", 1, {FILTER_IF(1, F_OFD_GETLK)}},
	{SCMP_ACT_ALLOW, "fcntl64", 1, {FILTER_IF(1, F_OFD_SETLK)}},
	{SCMP_ACT_ALLOW, "ioctl", 1, {FILTER_IF(1, FS_IOC_GETFLAGS)}},
	{SCMP_ACT_ALLOW, "ioctl", 1, {FILTER_IF(1, FS_IOC_SETFLAGS)}},
};

static const struct filter filter = {
	.allowed =
		/* what is open */
	"close copy_file_range dup dup2 dup3 fadvise64 fadvise64_64 fallocate fchdir fchmod fchown fchown32 "
	"fdatasync fgetxattr flistxattr flock fremovexattr fsetxattr fstat fstat64 fstatfs fstatfs64 fsync "
	"ftruncate ftruncate64 getdents64 _llseek lseek pread64 preadv preadv2 pwrite64 pwritev pwritev2 read "
	"readv sync_file_range sync_file_range2 syncfs write writev "
	/* by name, beneath a folder or through /proc/self/fd */
	"access chdir chmod faccessat faccessat2 fchmodat fchmodat2 fchownat fstatat64 getxattr lgetxattr linkat "
	"listxattr llistxattr lremovexattr lsetxattr mkdirat mknodat newfstatat open openat openat2 readlink "
	"readlinkat removexattr renameat renameat2 setxattr statfs statfs64 statx symlinkat umask unlinkat "
	"utimensat utimensat_time64 "
	/* the device: what the front end says, and the queues' events */
	"epoll_create1 epoll_ctl epoll_pwait epoll_wait eventfd2 recvfrom recvmsg sendmsg sendto "
	"timerfd_create timerfd_settime timerfd_settime64",
	.closed = "",
	.refused = "",
	.deadly = "accept accept4 bind connect listen socket socketpair",
	.rules = rules,
	.rule_count = COUNT_OF(rules),
};

/* Of root: any file, any owner; the guest's owners are kept in trusted attributes, which takes SYS_ADMIN. No devices.
 */
const struct confine_profile share_profile = {
	.filter = &filter,
	.landlock_least = SHARE_LANDLOCK_LEAST,
	.capabilities = CAPABILITY(CAP_CHOWN) | CAPABILITY(CAP_DAC_OVERRIDE) | CAPABILITY(CAP_DAC_READ_SEARCH) |
			CAPABILITY(CAP_FOWNER) | CAPABILITY(CAP_FSETID) | CAPABILITY(CAP_SYS_ADMIN),
};
