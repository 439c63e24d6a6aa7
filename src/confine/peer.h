#pragma once
#include "base/spawn.h"
#include "base/text.h"
#include "loop/loop.h"
#include "wire/message.h"

/*
 * A confined program that is asked for things, as who started it sees it: one request of wire/message.h at a time, each
 * frame a packet of a Unix socket, answered as confine/answer.h has it. What it says on standard error is logged, up to
 * a limit.
 */
#define PEER_FD         3           /* the socket, in the program */
#define PEER_LINE_LIMIT 1024u       /* bytes of a line that is logged */
#define PEER_LOG_LIMIT  (64u << 10) /* bytes that are logged in all */
#define PEER_SAID_LIMIT (16u << 10) /* bytes that are kept to tell why it ended */
#define PEER_END_MS     1000        /* that freeing it waits for its end, at most */

struct peer;

/* From the loop. Any of them may free the peer. */
struct peer_callbacks {
	void (*on_answer)(const struct annex_error *refusal, void *data); /* NULL: done */
	/* An answer that is neither DONE nor FAILURE, up to MESSAGE_MAX bytes. -1: it makes no sense, and the peer is
	 * ended for it. NULL: there is no such answer. */
	int (*on_message)(const struct message *message, void *data, struct annex_error **err);
	/* Once, and last. NULL: well. */
	void (*on_ended)(const struct annex_error *err, void *data);
};

struct peer_options {
	const char *program;        /* its path */
	const char *name;           /* for logs and errors; must outlive the peer */
	const struct spawn_fd *fds; /* more descriptors of its own, which stay the caller's */
	size_t fd_count;
};

MUST_USE int peer_start(struct peer **ret, struct loop *loop, const struct peer_options *options,
			const struct peer_callbacks *callbacks, void *data, struct annex_error **err);
/* Only when what was asked before is answered. Descriptors go with the first frame, and stay the caller's. */
MUST_USE int peer_ask(struct peer *peer, const struct text *frames, const int *fds, unsigned fd_count,
		      struct annex_error **err);
/* Kills it, and tells that this was why it ended. */
void peer_end(struct peer *peer, const struct annex_error *why);
pid_t peer_pid(const struct peer *peer);
void peer_free(struct peer *peer); /* kills it; NULL is allowed */
