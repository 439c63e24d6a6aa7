#pragma once
#include "guest/link.h"

/*
 * A session's forwards on the agent's side. What they lead to is reached, and what they made in the machine is removed,
 * by children that enter the machine and become the session's user: a path of the user's must neither be followed with
 * the agent's rights nor make the agent wait.
 */
struct forwarding;

struct forwarding_options {
	struct loop *loop;
	struct link *link;
	uint16_t stream;
	unsigned number;       /* of the session */
	const int *init_pidfd; /* and the configuration: the caller's, -1 and NULL when there is no init */
	const struct message_config *const *config;
	void (*moved)(void *data); /* something was sent; may free the forwarding */
	void *data;
};

/* *ret is NULL when OPEN has no forwards. -EPROTO, -ENOMEM. */
MUST_USE int forwarding_new(struct forwarding **ret, const struct message_open *open,
			    const struct forwarding_options *options);
/* Close all; remove what was made in the machine. */
void forwarding_free(struct forwarding *forwarding);

/* A socket that the session's process made for a forward; taken. */
void forwarding_listen(struct forwarding *forwarding, uint32_t forward, int fd);
void forwarding_run(struct forwarding *forwarding); /* the program runs: take connections */
MUST_USE bool forwarding_handle(struct forwarding *forwarding, const struct message *message);
void forwarding_resume(struct forwarding *forwarding);

/* The program has ended: no more connections. */
void forwarding_finish(struct forwarding *forwarding);
/* What the program wrote before it ended is still to be sent. */
bool forwarding_is_busy(const struct forwarding *forwarding);
