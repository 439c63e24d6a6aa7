#pragma once
#include "base/error.h"

/*
 * Unix sockets by their path, also one that is longer than an address has room for, as long as the last name has
 * (SOCKET_NAME_MAX). A socket that nobody listens on and that belongs to this user is stale: what a killed program
 * left.
 */
#define SOCKET_NAME_MAX 80u

/* Listen at a path, for nobody but this user; a stale socket there is replaced. Non-blocking. EXISTS: something else is
 * there; NOT_FOUND: its folder isn't. */
MUST_USE int socket_listen(int *ret, const char *path, struct annex_error **err);
/* Stop: who connects from now on is refused, also where another process has a copy of the descriptor. Closes it. */
void socket_close(int *fd);
/* Remove what is there if it is a stale socket. -errno; -EEXIST: it is something else. */
MUST_USE int socket_remove_stale(const char *path);

/* Connect a new socket. `flags`: SOCK_NONBLOCK, then -EAGAIN when more wait there than its owner lets wait. Else at
 * most `timeout_s` seconds. -errno. */
MUST_USE int socket_connect(int *ret, const char *path, int flags, unsigned timeout_s);

/* As much room for what is sent, up to 4 MiB, as may be had: for sockets that frames go through. Who sends those
 * without waiting loses what has no room. */
void socket_enlarge(int fd);
