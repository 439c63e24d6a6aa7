#pragma once
#include "guest/link.h"

#include <stdbool.h>
#include <sys/types.h>

/*
 * What the machine has of the host's files: bound to its place before each start of init, and added and taken away
 * while it runs, as the host asks.
 */
#define SHARES_MAX       1024u
#define SHARES_QUEUE_MAX 1024u /* requests that wait */

struct shares;

MUST_USE int shares_new(struct shares **ret, struct loop *loop, struct link *link, struct annex_error **err);
void shares_free(struct shares *shares);

/* Mount the file system and remember what the configuration shares. Blocks: for the boot. Fails when the machine would
 * be without something that was asked for; the kernel's modules are there only where they can be. */
MUST_USE int shares_set(struct shares *shares, const char *const *texts, struct annex_error **err);
/* Bind all below `root`, in the process that becomes init. */
MUST_USE int shares_bind(const struct shares *shares, const char *root, struct annex_error **err);

/* The init whose mounts are changed; -1: there is none, and requests wait for the next. `factor`: by which waits grow.
 */
void shares_set_machine(struct shares *shares, int init_pidfd, unsigned factor);
/* Each is answered by BOUND, in order. */
void shares_handle_bind(struct shares *shares, const struct message_bind *message);
void shares_handle_unbind(struct shares *shares, const struct message_unbind *message);
/* What init `pid` unmounts as it stops is mounted again until it is gone, for those who end after that. shares_hold():
 * it stops now; it may also do so by itself. */
void shares_watch(struct shares *shares, pid_t pid);
void shares_hold(struct shares *shares);
bool shares_has_child(const struct shares *shares, pid_t pid);
