#pragma once
#include "supervisor/supervisor.h"

/* What the machine sees of the host's files: the process that serves them, and what clients share while it runs. */
#define SHARES_ASKED_MAX 64u /* of clients that wait for their turn */
#define SHARES_ANSWER_MS \
	30000u /* for the guest to do it, or to tell that it took too long; grows with the accelerator */

/* Starts annex-share with what the plan shares. *ret_device is QEMU's end of the device, the caller's. */
MUST_USE int shares_new(struct shares **ret, struct supervisor *supervisor, int *ret_device, struct annex_error **err);
void shares_free(struct shares *shares); /* ends it; NULL is allowed */

/* A client asks; clients_answer() gives the answer, at once or later. */
void shares_mount(struct shares *shares, const void *client, const struct message_mount *mount);
void shares_umount(struct shares *shares, const void *client, const struct message_umount *umount);
/* The client is gone: nobody waits for the answers; what was asked is done all the same. */
void shares_forget(struct shares *shares, const void *client);

/* The ids of the processes that serve; at most `limit`. How many there are. */
size_t shares_pids(const struct shares *shares, pid_t *ret, size_t limit);

/* The guest's answer; false: it was asked nothing. */
bool shares_on_bound(struct shares *shares, const struct message_bound *bound);
