#pragma once
#include "base/spawn.h"
#include "base/text.h"
#include "loop/loop.h"

/*
 * One annex-share, as who started it sees it: asked one thing at a time, in the packets of share/control.h. What it
 * says on standard error is logged, up to a limit.
 */
#define PEER_LINE_LIMIT 1024u       /* bytes of a line that is logged */
#define PEER_LOG_LIMIT  (64u << 10) /* bytes that are logged in all */
#define PEER_SAID_LIMIT (16u << 10) /* bytes that are kept to tell why it ended */
#define PEER_END_MS     1000        /* that freeing it waits for its end, at most */

struct peer;

/* From the loop. Either may free the peer. */
struct peer_callbacks {
	void (*on_answer)(const struct annex_error *refusal, void *data); /* NULL: done */
	/* Once, and last. NULL: well. */
	void (*on_ended)(const struct annex_error *err, void *data);
};

/* With more descriptors of its own, which stay the caller's. */
MUST_USE int peer_start(struct peer **ret, struct loop *loop, const char *program, const struct spawn_fd *fds,
			size_t fd_count, const struct peer_callbacks *callbacks, void *data, struct annex_error **err);
/* Only when what was asked before is answered. */
MUST_USE int peer_ask(struct peer *peer, const struct text *packet, const int *fds, unsigned fd_count,
		      struct annex_error **err);
/* Kills it, and tells that this was why it ended. */
void peer_end(struct peer *peer, const struct annex_error *why);
pid_t peer_pid(const struct peer *peer);
void peer_free(struct peer *peer); /* kills it; NULL is allowed */
