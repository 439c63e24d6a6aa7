#pragma once
#include <netinet/in.h>
#include <stdbool.h>
#include <sys/types.h>

/*
 * Whose is a connection from this host? The kernel is asked for the socket at its other end (sock_diag(7)). Only of
 * IPv4, as a machine's address is, and of sockets of this host, as all are that reach the loopback.
 */
struct caller;

/* Whom to let in: a user, and root. -errno. Makes sockets of its own to see whether the kernel answers: before the
 * process is confined. */
int caller_new(struct caller **ret, uid_t uid);
void caller_free(struct caller *caller); /* NULL is allowed */

/* May who has the socket `peer`, connected to our `local`, come in? Everybody may where the kernel does not answer such
 * questions, which is logged once; nobody may whose socket is gone, or while it can't be asked. */
bool caller_admits(struct caller *caller, int protocol, const struct sockaddr_in *peer,
		   const struct sockaddr_in *local);
