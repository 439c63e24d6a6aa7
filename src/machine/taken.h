#pragma once
#include "machine/paths.h"
#include "network/packet.h"

#include <stdint.h>

/*
 * Who on this host has a port: what the kernel tells about sockets, the open files of processes as far as this user may
 * see them, and the records of the user's other machines. Reads /proc; blocks as long as that takes.
 */

/* "nginx (pid 77)", "machine 'web'", "a program of user 'www-data'"; NULL: nobody has it, or nobody can tell. `paths`
 * are those of the machine that wants it. The caller frees *ret. */
MUST_USE int taken_by(char **ret, const struct machine_paths *paths, const struct packet_address *address,
		      uint16_t port, int protocol, struct annex_error **err);
/*
 * Make *err of what annex-network refused to publish, and return -1: where a port is taken, it says which one, and by
 * whom. `publish` is what was asked for; `kept`: by the setting, else for now.
 */
int taken_refuse(struct annex_error **err, const struct annex_error *refusal, const struct machine_paths *paths,
		 const char *publish, bool kept);

/* A line of /proc/net/tcp, tcp6, udp or udp6: somebody's socket. False: it is none, or one of TCP that does not listen.
 * Pure. */
struct taken_line {
	struct packet_address address; /* an IPv6 one that is IPv4's is that */
	uint16_t port;
	uint32_t uid;
	uint64_t inode;
};
bool taken_parse_line(struct taken_line *ret, const char *line, int protocol);
