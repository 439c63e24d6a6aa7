#pragma once
#include "supervisor/supervisor.h"

/*
 * The machine's network: the process that it is (annex-network), passt where that carries what goes outside, what both
 * need to know of this host, and what clients ask. Each of the two is started anew when it dies; the machine doesn't
 * notice, but for connections of that moment.
 */
#define NETWORK_DEATHS_MAX 10u /* of annex-network, each within a minute of the one before; then it stays dead */
#define NETWORK_CALM_MS    60000u
#define NETWORK_AGAIN_MS   100u   /* before the first restart in a row; doubled each time */
#define NETWORK_AGAIN_MOST 30000u /* but no more than this */

/* What of it is there before QEMU is: plan.qemu.network_fd is its end of the link, until network_start(). */
MUST_USE int network_new(struct network **ret, struct supervisor *supervisor, struct annex_error **err);
/* Takes `ports`, our end of that link. What fails in the processes is told by supervisor_on_broken_network(). */
MUST_USE int network_start(struct network *network, int ports, struct annex_error **err);
void network_free(struct network *network); /* ends all of it; NULL is allowed */

/* What the guest is told of it; lists are the network's, and stay until the loop turns. */
void network_fill(const struct network *network, struct message_config *config);
/* JSON of what is in effect, for STATE. */
const char *network_told(const struct network *network);
/* The ids of its processes; at most `limit`. How many there are. NULL is allowed. */
size_t network_pids(const struct network *network, pid_t *ret, size_t limit);

/* A client asks; the answer is given by clients.h, at once or later. */
void network_list(struct network *network, const void *client);
void network_publish(struct network *network, const void *client, const struct message_publish *publish);
void network_unpublish(struct network *network, const void *client, const struct message_unpublish *unpublish);
/* The client is gone. What was asked is done all the same. NULL is allowed. */
void network_forget(struct network *network, const void *client);
/* The settings in effect have changed in what annex-network decides by. `answer` is called with `data` when it does so,
 * at once or later, unless the network is freed first. */
void network_apply(struct network *network, void (*answer)(void *data), void *data);
