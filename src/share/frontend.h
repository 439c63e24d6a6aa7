#pragma once
#include "share/vhost.h"

/* The socket to the front end: whole messages with their descriptors. Blocks. */
struct frontend_message {
	struct vhost_message message;
	int fds[VHOST_TABLE_REGION_LIMIT]; /* -EBADF: none, or taken */
	unsigned fd_count;
};

/* 1: a message, whose descriptors frontend_clear() closes; 0: the other side has closed the connection; -1: it broke
 * the protocol. */
MUST_USE int frontend_receive(struct frontend_message *ret, int socket, struct annex_error **err);
void frontend_clear(struct frontend_message *message);
#define auto_frontend_message CLEANUP(frontend_clear)

/* A connection that is gone is no error: frontend_receive() tells of it. */
MUST_USE int frontend_send(int socket, const uint8_t *bytes, size_t size, struct annex_error **err);
