#pragma once
#include "base/error.h"

#include <stddef.h>
#include <sys/types.h>

/* Bytes and descriptors over Unix sockets. -errno. */
#define RIGHTS_LIMIT 80 /* descriptors that travel with bytes */

/* Once, never raising SIGPIPE; `flags` as of sendmsg(). */
MUST_USE ssize_t rights_send(int socket, const void *bytes, size_t size, const int *fds, unsigned count, int flags);
/*
 * As recvmsg(), restarted after signals. Descriptors that come along are put behind the *count that `fds` has. More
 * than `limit` (at most RIGHTS_LIMIT) in all, or bytes of a packet that did not fit: -EMSGSIZE. What is among `fds` is
 * the caller's in any case.
 */
MUST_USE ssize_t rights_receive(int socket, void *bytes, size_t size, int *fds, unsigned *count, unsigned limit,
				int flags);
void rights_close(int *fds, unsigned *count);
