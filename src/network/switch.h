#pragma once
#include "base/text.h"
#include "loop/loop.h"
#include "network/packet.h"

#include <sys/socket.h>
#include <sys/un.h>

/*
 * Machine to machine, without a daemon: the machines of a network share a folder, RUNTIME/annex/networks/NETWORK. Each
 * has a datagram socket there, named by its place ("3.7"), and a link MACHINE -> 3.7. A datagram is an Ethernet frame,
 * sent to the socket of the machine that it is for; the bound address of the socket that it came from tells whose it
 * is. The folder is the registry: a socket that refuses is a machine that is gone.
 */
#define SWITCH_PEERS_MAX   32u         /* machines that are sent to at a time, each by a socket of its own */
#define SWITCH_QUEUE_MAX   (2u << 20)  /* bytes that wait for one of them; what comes then is lost */
#define SWITCH_QUEUES_MAX  (16u << 20) /* bytes that wait for all */
#define SWITCH_RECEIVE_MAX 64u         /* frames taken in one turn of the loop */
#define SWITCH_LIST_MAX    65536u      /* entries of the folder that are looked at */

struct network_switch;

/* A frame for this machine, from the machine whose addresses it has. The packet is the switch's. */
typedef void switch_deliver_fn(const struct packet *packet, void *data);

/*
 * Join the network of `folder` (absolute; made, 0700) as machine `name`. What a process that was killed has left behind
 * is replaced; BUSY: a machine with that place is there. To be called before the process is confined: its working
 * folder becomes the one above `folder`, since names of sockets are relative to it from then on (they are short, and
 * need no path that the process might no longer see). Afterwards it makes, opens and binds nothing: it sends, receives,
 * connects its sockets to those in the folder, and reads links.
 */
MUST_USE int switch_new(struct network_switch **ret, struct loop *loop, const char *folder, uint32_t place,
			const char *name, switch_deliver_fn *deliver, void *data, struct annex_error **err);
/* The socket's and the link's names stay; switch_forget() removes them. NULL is allowed. */
void switch_free(struct network_switch *sw);
static inline void cleanup_switch(struct network_switch **sw)
{
	switch_free(*sw);
}
#define auto_switch CLEANUP(cleanup_switch)

/* To the machine whose hardware address it is for. The caller has seen to it that its source is this machine. Nobody is
 * waited for: it is lost when that machine is gone, or reads too slowly. What is no IP, or for all, is not sent. */
void switch_send(struct network_switch *sw, const struct packet *packet);
/* While `hold`, frames of others are left with them: the link to this machine is full. */
void switch_hold(struct network_switch *sw, bool hold);

/* Does a machine with this place run in this network, or one of this name? This one does. */
bool switch_has(struct network_switch *sw, uint32_t place);
bool switch_find(uint32_t *ret, struct network_switch *sw, const char *name);
/* The names of those that run, sorted. */
MUST_USE int switch_list(struct text_list *ret, struct network_switch *sw, struct annex_error **err);

/* For whoever has seen the machine's annex-network end: what it left in the folder goes. */
void switch_forget(const char *folder, const char *name, uint32_t place);
/* "RUNTIME/networks/NAME", of the network NAME; the caller frees it. NULL: no memory. */
char *switch_folder(const char *runtime, const char *network);

/* Pure: whose socket is that, in this network? And is a frame from there one for machine `place`, rightly addressed? */
bool switch_sender(uint32_t *ret, const char *network, const struct sockaddr_un *address, socklen_t size);
bool switch_accepts(struct packet *ret, uint32_t place, uint32_t from, const uint8_t *frame, size_t size);
