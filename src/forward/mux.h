#pragma once
#include "forward/connection.h"

/*
 * One end of the ports' link (wire/message.h), the same for annex-network and the guest: it finds the marker, takes
 * messages apart, and carries TCP connections. Whoever has it begins and answers them, and handles all other messages.
 */
struct mux;

enum mux_side { MUX_HOST, MUX_GUEST };

struct mux_callbacks {
	void (*on_up)(void *data); /* both markers are found */
	/* It is down, and all connections are reset. Why: what the peer did that breaks the protocol; NULL: it closed
	 * its end. Not called by mux_begin(). */
	void (*on_down)(const char *why, void *data);
	/* All but those of connections. False: it breaks the protocol. */
	bool (*on_message)(const struct message *message, void *data);
};

#define MUX_ROOM      (128u << 10) /* bytes queued above which nothing more is read from sockets */
#define MUX_QUEUE_MAX (16u << 20)  /* bytes queued above which the peer counts as one that broke the protocol */

/* The descriptor is taken, also on failure. It is down until mux_begin(). -errno. */
MUST_USE int mux_new(struct mux **ret, struct loop *loop, enum mux_side side, int fd,
		     const struct mux_callbacks *callbacks, void *data);
void mux_free(struct mux *mux); /* resets all connections */

/* Begin, or begin anew: connections are reset. -errno. */
MUST_USE int mux_begin(struct mux *mux, const uint8_t marker[WIRE_MARKER]);
bool mux_is_up(const struct mux *mux);
bool mux_has_room_for_datagrams(const struct mux *mux); /* which are dropped where not: more than there is for others */

void mux_send(struct mux *mux, enum message_kind kind, const void *body); /* dropped while it is down */
/* As connections' links do: with FRAME_HEADER bytes in front that may be overwritten. */
void mux_send_data(struct mux *mux, enum message_kind kind, void *payload, size_t size);

/* A connection that this side begins, under a number that is free; NULL: there is none, or no memory. */
struct connection *mux_open(struct mux *mux);
/* One that the peer has begun. NULL: its number is none, or taken, or there is no memory. */
struct connection *mux_accept(struct mux *mux, uint32_t number);
/* Its socket, or -errno; taken. It is freed when it is over. */
void mux_attach(struct mux *mux, struct connection *connection, int fd, bool connecting);
size_t mux_count(const struct mux *mux);
