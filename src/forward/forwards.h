#pragma once
#include "forward/connection.h"
#include "forward/offer.h"

/*
 * One side's end of a session's forwards: the sockets it listens on, and all connections. The same for the library and
 * the guest, which differ in how they listen and connect.
 */
struct forwards;

enum forwards_side { FORWARDS_CLIENT, FORWARDS_GUEST };

struct forwards_callbacks {
	struct forward_link link;
	/* The peer has a connection through a forward: connect, and tell by forwards_attach(), at once or later. */
	void (*connect)(uint32_t forward, uint32_t connection, void *data);
	/* Data moved or a connection ended, other than by forwards_handle(). May free the forwards. */
	void (*moved)(void *data);
};

/* `offers` as OPEN carries them, well-formed; they may go. -ENOMEM. */
MUST_USE int forwards_new(struct forwards **ret, struct loop *loop, enum forwards_side side, const char *const *offers,
			  const struct forwards_callbacks *callbacks, void *data);
void forwards_free(struct forwards *forwards); /* nothing is told */

/* What this side listens on for a forward, non-blocking; taken. False: this side doesn't listen for that one, or does
 * already. */
bool forwards_listen(struct forwards *forwards, uint32_t forward, int fd);
/* Take connections, from now on. -errno. */
MUST_USE int forwards_run(struct forwards *forwards);
/* The socket of a connection, or -errno; taken. One that is over by now is let go. */
void forwards_attach(struct forwards *forwards, uint32_t connection, int fd);
bool forwards_awaits(const struct forwards *forwards, uint32_t connection); /* it is of use still */

/* CONNECT, TRANSFER, DISCONNECT, or CREDIT for a connection. False: it breaks the protocol, or is none of these. */
MUST_USE bool forwards_handle(struct forwards *forwards, const struct message *message);
void forwards_resume(struct forwards *forwards); /* the link may have room */

/* Listen no more; before that, take what has connected so far. */
void forwards_stop(struct forwards *forwards);
void forwards_finish(struct forwards *forwards);
/* All that was written to connections whose socket is closed now is sent; or all that came is written. */
bool forwards_are_sent(const struct forwards *forwards);
bool forwards_are_written(const struct forwards *forwards);
