#pragma once
#include "base/text.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * Sockets that listen, as the kernel tells them: TCP in LISTEN, UDP bound and not connected. Pure.
 */
#define SOCKTABLE_NAME 16u

struct sock {
	uint8_t protocol; /* IPPROTO_TCP, IPPROTO_UDP */
	uint8_t family;   /* AF_INET, AF_INET6 */
	bool only_v6;     /* of a wildcard: it doesn't take IPv4 too */
	bool searched;    /* its owner, who may not be known all the same */
	uint16_t port;
	uint8_t address[16]; /* of IPv4 the first 4 */
	uint32_t inode;
	uint32_t pid;   /* of its owner, as the machine counts; 0: not known */
	uint32_t owner; /* the same, as the agent counts */
	char name[SOCKTABLE_NAME];
	uint64_t since_ms; /* it was seen first */
};

struct socktable {
	struct sock *socks;
	size_t count, capacity;
	bool has_v6_flags; /* else what is bound to an IPv4 wildcard at the same port tells */
};

/* -ENOMEM. Further ones than WIRE_PORTS_MAX are left out. */
MUST_USE int socktable_add(struct socktable *table, const struct sock *sock);
/* A message of NETLINK_SOCK_DIAG, without the header of netlink; others than such sockets are passed over. */
MUST_USE int socktable_add_diag(struct socktable *table, uint8_t protocol, const void *bytes, size_t size);
/* Lines of /proc/net/tcp, tcp6, udp or udp6. */
MUST_USE int socktable_add_lines(struct socktable *table, uint8_t protocol, uint8_t family, const char *lines);
void socktable_clear(struct socktable *table);

/* Take over what an older table knows of the same sockets. Both are sorted then. */
void socktable_inherit(struct socktable *table, struct socktable *older, uint64_t now_ms);

/* UDP sockets of ports that the kernel chooses are mostly of clients: only those that stay count. */
#define SOCKTABLE_STAYS_MS 5000u
struct socktable_range {
	uint16_t first, last;
};
/* When there will be more to tell than now: milliseconds from now; UINT64_MAX: no such time is known. */
uint64_t socktable_due(const struct socktable *table, uint64_t now_ms, const struct socktable_range *clients);
/* As PORT_LISTENING has them, at most WIRE_PORTS_MAX. -ENOMEM. */
MUST_USE int socktable_texts(struct text_list *ret, const struct socktable *table, uint64_t now_ms,
			     const struct socktable_range *clients);
