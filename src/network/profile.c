/*
 * Sockets of IPv4 and IPv6 are its work. New Unix sockets it can't make: Landlock does not keep a process from
 * connecting to one by its path, and behind some (the session bus, a container engine) is all that the user may do.
 * Those of the switch (network/switch.h), datagram sockets all of them, are made before, as are netlink's.
 *
 * fstat() is, on most kernels and C libraries, newfstatat() or statx() with an empty path.
 */
#include "network/profile.h"

#include "confine/capability.h"
#include "confine/filter.h"

#include <linux/capability.h>
#include <linux/sockios.h>
#include <netinet/in.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#define KIND_BITS 0xf /* of a socket's type */
#define SOCKET(family, kind, protocol)                                                                   \
	{                                                                                                \
		SCMP_ACT_ALLOW, "socket", 3,                                                             \
		{                                                                                        \
			FILTER_IF(0, family), FILTER_IF_BITS(1, KIND_BITS, kind), FILTER_IF(2, protocol) \
		}                                                                                        \
	}

static const struct filter_rule rules[] = {
	/* By the family's own protocol of that kind, and no other that a kernel may have (SCTP, MPTCP, UDP-Lite, …). */
	SOCKET(AF_INET, SOCK_STREAM, 0),
	SOCKET(AF_INET, SOCK_STREAM, IPPROTO_TCP),
	SOCKET(AF_INET, SOCK_DGRAM, 0),
	SOCKET(AF_INET, SOCK_DGRAM, IPPROTO_UDP),
	SOCKET(AF_INET, SOCK_DGRAM, IPPROTO_ICMP),
	SOCKET(AF_INET6, SOCK_STREAM, 0),
	SOCKET(AF_INET6, SOCK_STREAM, IPPROTO_TCP),
	SOCKET(AF_INET6, SOCK_DGRAM, 0),
	SOCKET(AF_INET6, SOCK_DGRAM, IPPROTO_UDP),
	SOCKET(AF_INET6, SOCK_DGRAM, IPPROTO_ICMPV6),
	/* Where ICMP needs a raw one, there is none. */
	{SCMP_ACT_ERRNO(EPERM), "socket", 1, {FILTER_IF_BITS(1, KIND_BITS, SOCK_RAW)}},
	{SCMP_ACT_KILL_PROCESS, "socket", 1, {FILTER_IF(0, AF_UNIX)}},
	{SCMP_ACT_ALLOW, "newfstatat", 1, {FILTER_IF(3, AT_EMPTY_PATH)}},
	{SCMP_ACT_ERRNO(EACCES), "newfstatat", 1, {FILTER_IF_BITS(3, AT_EMPTY_PATH, 0)}},
	{SCMP_ACT_ALLOW, "fstatat64", 1, {FILTER_IF(3, AT_EMPTY_PATH)}},
	{SCMP_ACT_ALLOW, "statx", 1, {FILTER_IF(2, AT_EMPTY_PATH)}},
	{SCMP_ACT_ERRNO(EACCES), "statx", 1, {FILTER_IF_BITS(2, AT_EMPTY_PATH, 0)}},
	{SCMP_ACT_ALLOW, "fcntl", 1, {FILTER_IF(1, F_DUPFD_CLOEXEC)}},
	{SCMP_ACT_ALLOW, "fcntl", 1, {FILTER_IF(1, F_GETFD)}},
	{SCMP_ACT_ALLOW, "fcntl", 1, {FILTER_IF(1, F_SETFD)}},
	{SCMP_ACT_ALLOW, "fcntl", 1, {FILTER_IF(1, F_GETFL)}},
	{SCMP_ACT_ALLOW, "fcntl", 1, {FILTER_IF(1, F_SETFL)}},
	{SCMP_ACT_ALLOW, "fcntl64", 1, {FILTER_IF(1, F_DUPFD_CLOEXEC)}},
	{SCMP_ACT_ALLOW, "fcntl64", 1, {FILTER_IF(1, F_GETFD)}},
	{SCMP_ACT_ALLOW, "fcntl64", 1, {FILTER_IF(1, F_SETFD)}},
	{SCMP_ACT_ALLOW, "fcntl64", 1, {FILTER_IF(1, F_GETFL)}},
	{SCMP_ACT_ALLOW, "fcntl64", 1, {FILTER_IF(1, F_SETFL)}},
	{SCMP_ACT_ALLOW, "ioctl", 1, {FILTER_IF(1, FIONREAD)}},
};

static const struct filter filter = {
	.allowed = "accept4 bind close connect epoll_create1 epoll_ctl epoll_pwait epoll_wait fstat fstat64 "
		   "getdents64 getpeername getsockname getsockopt _llseek listen lseek pipe2 read readlinkat readv "
		   "recvfrom recvmmsg recvmmsg_time64 recvmsg sendmmsg sendmsg sendto setsockopt shutdown splice "
		   "timerfd_create timerfd_settime timerfd_settime64 write writev",
	.closed = "access chdir chmod chown creat faccessat faccessat2 fchmodat fchownat getcwd lchown link linkat "
		  "lstat lstat64 mkdir mkdirat mknod mknodat open openat openat2 readlink rename renameat renameat2 "
		  "rmdir stat stat64 statfs statfs64 symlink symlinkat truncate truncate64 unlink unlinkat utimensat",
	.refused = "socketpair",
	.deadly = "unshare",
	.rules = rules,
	.rule_count = COUNT_OF(rules),
};

/* Of root: published ports below 1024. */
const struct confine_profile network_profile = {
	.filter = &filter,
	.landlock_least = 1,
	.network = true,
	.capabilities = CAPABILITY(CAP_NET_BIND_SERVICE),
};
