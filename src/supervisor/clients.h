#pragma once
#include "supervisor/supervisor.h"

/* The clients' connections: the listening socket and everyone who came. */
#define CLIENTS_MAX 256u
/* What may wait for a client that does not read; more, and it is dropped. A session's windows fill at most this, in
 * frames of one byte each; so do a connection's, of which some that are just over may be in its session's part. */
#define CLIENT_QUEUE_SESSION \
	((size_t)2 * WIRE_WINDOW * (FRAME_HEADER + 1) + (size_t)WIRE_CONNECTIONS_MAX * WIRE_CONNECTION_WINDOW)
#define CLIENT_QUEUE_CONNECTION ((size_t)WIRE_CONNECTION_WINDOW * (FRAME_HEADER + TRANSFER_HEADER + 1))
#define CLIENT_QUEUE_CONTROL    (4u << 20) /* a list of sessions fits */
/* Clients are told changes of state only while no more than this waits for them; later, the last one. */
#define CLIENT_QUEUE_STATES (64u << 10)

/* Listens at supervisor->socket, replacing what is there. *first (-1: none) is a connection that watches already; taken
 * on success. */
MUST_USE int clients_new(struct clients **ret, struct supervisor *supervisor, int *first, struct annex_error **err);
void clients_free(struct clients *clients);

void clients_tell_state(struct clients *clients);
/* The answer to what a client (`owner`, as it was given) asked on stream 0: DONE, or FAILURE. */
void clients_answer(struct clients *clients, const void *owner, const struct annex_error *err);
/* The answer to all that asked by STATS. */
void clients_tell_usage(struct clients *clients, const struct message_usage *usage);
/* Send, or pass on, a session's message; `owner` is the relay's. */
void clients_send(struct clients *clients, const void *owner, enum message_kind kind, uint16_t stream,
		  const void *body);
void clients_forward(struct clients *clients, const void *owner, enum message_kind kind, uint16_t stream,
		     const void *payload, size_t size);
/* End every session: the guest is gone. */
void clients_end_sessions(struct clients *clients, const char *why, const char *hint);
/* The guest takes more: read from those who had to wait. */
void clients_resume(struct clients *clients);
/* Listen no more, let everyone read what waits, then close; clients_are_gone() tells when. */
void clients_close(struct clients *clients);
bool clients_are_gone(const struct clients *clients);
