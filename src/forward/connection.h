#pragma once
#include "loop/loop.h"
#include "wire/message.h"

struct connection;

/* How messages of connections leave, to whoever has the link. */
struct forward_link {
	void (*send)(enum message_kind kind, const void *body, void *data);
	/* In front of the payload are FRAME_HEADER bytes that may be overwritten. */
	void (*send_data)(enum message_kind kind, void *payload, size_t size, void *data);
	/* No more waits to be sent than is good. False: the connection has something to send, and does once it is
	 * resumed. */
	bool (*has_room)(struct connection *connection, void *data);
};

/* How connections of a kind are carried: both ends have to agree. */
struct connection_rules {
	uint32_t window; /* in each direction, to begin with */
	uint32_t widest; /* window that a reader who keeps up is given */
	uint32_t chunk;  /* bytes read from the socket at once, at most MESSAGE_DATA_MAX */
	/* It is a TCP connection: an error of a socket breaks both directions, and DISCONNECT from who has not told its
	 * end, or has not been told ours, passes that on: the socket is reset. */
	bool resets;
};

/*
 * One end of a connection: between a socket and the link. Both directions end each for itself, as those of a socket do
 * (shutdown()); an end that is done says DISCONNECT, and the connection is over when both have. No function of it frees
 * it or calls `moved`, which tells that its socket did something and may free it.
 */
struct connection {
	struct connection *next; /* its owner's, as are the next two */
	struct connection *previous_held, *next_held;
	uint32_t number, forward;
	bool ours; /* this side began it */
	const struct connection_rules *rules;
	const struct forward_link *link;
	void *link_data;
	void (*moved)(struct connection *connection, void *data);
	void *data;

	struct loop_source *source;
	int fd;          /* -1: there is none yet, or no more */
	bool connecting; /* it is not connected yet */
	bool reset_by_close;
	struct text queue; /* what came and is not written, from `start` on */
	size_t start;
	uint32_t window;     /* the peer's, by now */
	uint32_t credit;     /* bytes that may be sent */
	uint32_t due;        /* bytes written or dropped, and not yet given back as credit */
	bool held;           /* has_room() said no; until it is resumed */
	bool read_ended;     /* our end is told */
	bool write_ended;    /* the peer's end has come */
	bool deaf;           /* nobody reads what is written to the socket */
	bool done, got_done; /* DISCONNECT was sent, has come */
};

/* NULL: no memory. */
struct connection *connection_new(uint32_t number, uint32_t forward, bool ours, const struct connection_rules *rules,
				  const struct forward_link *link, void *link_data);
void connection_free(struct connection *connection);

/* Its socket, non-blocking, or -errno. Taken, also on failure. */
void connection_attach(struct connection *connection, struct loop *loop, int fd);
/* One that connect() has said EINPROGRESS for. */
void connection_attach_connecting(struct connection *connection, struct loop *loop, int fd);
/* Even if this process is killed, who has the socket's other end learns that it was not all. */
void connection_guard(struct connection *connection);
void connection_poll(struct connection *connection);   /* take what the socket may have to be read already */
void connection_resume(struct connection *connection); /* the link may have room */
/* Close it without a word to the peer, which has gone; a TCP socket is reset. */
void connection_abort(struct connection *connection);

/* What the peer sent. False: it broke the protocol. */
MUST_USE bool connection_take(struct connection *connection, const void *bytes, size_t size);
MUST_USE bool connection_credit(struct connection *connection, uint32_t bytes);
MUST_USE bool connection_take_done(struct connection *connection);

bool connection_is_over(const struct connection *connection);
/* Who had the socket's other end is gone, and not all that it wrote is sent. */
bool connection_has_unsent(const struct connection *connection);
bool connection_has_unwritten(const struct connection *connection);
