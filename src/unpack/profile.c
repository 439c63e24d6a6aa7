/*
 * fstat() is, on most kernels and C libraries, newfstatat() or statx() with an empty path, which a filter can't read:
 * so the process can tell whether a path exists and what its inode says, but nothing of what is in it.
 */
#include "unpack/profile.h"

#include "confine/filter.h"

#include <linux/fs.h>

static const struct filter_rule rules[] = {
	{SCMP_ACT_ALLOW, "newfstatat", 1, {FILTER_IF(3, AT_EMPTY_PATH)}},
	{SCMP_ACT_ERRNO(EACCES), "newfstatat", 1, {FILTER_IF_BITS(3, AT_EMPTY_PATH, 0)}},
	{SCMP_ACT_ALLOW, "fstatat64", 1, {FILTER_IF(3, AT_EMPTY_PATH)}},
	{SCMP_ACT_ALLOW, "statx", 1, {FILTER_IF(2, AT_EMPTY_PATH)}},
	{SCMP_ACT_ERRNO(EACCES), "statx", 1, {FILTER_IF_BITS(2, AT_EMPTY_PATH, 0)}},
	/* Neither flags nor locks: open files are shared with the parent. */
	{SCMP_ACT_ALLOW, "fcntl", 1, {FILTER_IF(1, F_DUPFD)}},
	{SCMP_ACT_ALLOW, "fcntl", 1, {FILTER_IF(1, F_DUPFD_CLOEXEC)}},
	{SCMP_ACT_ALLOW, "fcntl", 1, {FILTER_IF(1, F_GETFD)}},
	{SCMP_ACT_ALLOW, "fcntl", 1, {FILTER_IF(1, F_GETFL)}},
	{SCMP_ACT_ALLOW, "ioctl", 1, {FILTER_IF(1, FICLONERANGE)}},
};

static const struct filter filter = {
	.allowed =
		"close copy_file_range dup dup2 dup3 eventfd2 fadvise64 fadvise64_64 fallocate fdatasync fstat fstat64 "
		"fsync ftruncate ftruncate64 _llseek lseek pread64 preadv pwrite64 pwritev read readv sync_file_range "
		"sync_file_range2 write writev",
	.closed =
		"access chdir chmod chown creat faccessat faccessat2 fchmodat fchownat getcwd lchown link linkat lstat "
		"lstat64 mkdir mkdirat mknod mknodat open openat openat2 readlink readlinkat rename renameat renameat2 "
		"rmdir stat stat64 statfs statfs64 symlink symlinkat truncate truncate64 unlink unlinkat utimensat",
	.refused = "accept accept4 bind connect listen recvfrom recvmsg sendmsg sendto socket socketpair",
	.deadly = "unshare",
	.rules = rules,
	.rule_count = COUNT_OF(rules),
};

const struct confine_profile unpack_profile = {.filter = &filter, .landlock_least = 1};
