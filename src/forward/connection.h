#pragma once
#include "loop/loop.h"
#include "wire/message.h"

/* How messages of a session's connections leave, to whoever has the link. */
struct forward_link {
	void (*send)(enum message_kind kind, const void *body, void *data);
	void (*send_data)(enum message_kind kind, const void *payload, size_t size, void *data);
	bool (*has_room)(void *data); /* no more waits to be sent than is good */
};

/*
 * One end of a connection: between a socket and the link. Both directions end each for itself, as those of a socket do
 * (shutdown()); an end that is done says DISCONNECT, and the connection is over when both have. No function of it frees
 * it or calls `moved`, which tells that its socket did something and may free it.
 */
struct connection {
	struct connection *next; /* its owner's */
	uint32_t number, forward;
	bool ours; /* this side began it */
	const struct forward_link *link;
	void *link_data;
	void (*moved)(struct connection *connection, void *data);
	void *data;

	struct loop_source *source;
	int fd;            /* -1: there is none yet, or no more */
	struct text queue; /* what came and is not written, from `start` on */
	size_t start;
	uint32_t credit;     /* bytes that may be sent */
	uint32_t due;        /* bytes written or dropped, and not yet given back as credit */
	bool read_ended;     /* our end is told */
	bool write_ended;    /* the peer's end has come */
	bool deaf;           /* nobody reads what is written to the socket */
	bool done, got_done; /* DISCONNECT was sent, has come */
};

struct connection *connection_new(uint32_t number, uint32_t forward, bool ours, const struct forward_link *link,
				  void *link_data); /* NULL: no memory */
void connection_free(struct connection *connection);

/* Its socket, non-blocking, or -errno. Taken, also on failure. */
void connection_attach(struct connection *connection, struct loop *loop, int fd);
void connection_resume(struct connection *connection); /* the link may have room */

/* What the peer sent. False: it broke the protocol. */
MUST_USE bool connection_take(struct connection *connection, const void *bytes, size_t size);
MUST_USE bool connection_credit(struct connection *connection, uint32_t bytes);
MUST_USE bool connection_take_done(struct connection *connection);

bool connection_is_over(const struct connection *connection);
/* Who had the socket's other end is gone, and not all that it wrote is sent. */
bool connection_has_unsent(const struct connection *connection);
bool connection_has_unwritten(const struct connection *connection);
