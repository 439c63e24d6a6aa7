#pragma once
#include "loop/loop.h"
#include "wire/message.h"

#include <stdbool.h>
#include <sys/types.h>

/*
 * The supervisor's side of annex-network, the program that is a machine's network: it is confined before it looks at
 * anything that the guest sends. What it answers is taken for a stranger's word.
 */
#define NETWORK_PROCESS_WAITING_LIMIT 256u /* requests beside the first ones */
#define NETWORK_PROCESS_PROGRAM       "annex-network"

struct network_process;

struct network_process_options {
	const char *program; /* path of annex-network */
	/* Its marker: WIRE_MARKER bytes when `ports` is given, else none. NETWORK_ETHERNET when `ethernet` is. */
	struct message_network_setup setup;
	/* All of these stay the caller's. -1: there is none. */
	int ethernet; /* our end of QEMU's link: a datagram socket, a frame each packet */
	int ports;    /* our end of the ports' link: a connected stream socket */
	int uplink;   /* of passt, connected: a stream socket */
	const struct message_network_resolve *resolve; /* what is known at the start; may be NULL */
};

/* From the loop. Any of them may free the process. */
struct network_callbacks {
	void (*on_serving)(void *data); /* once: the guest's frames are carried from now on */
	/* Once, and last: the machine has no network any more. What it said is part of why; NULL: it ended well. */
	void (*on_ended)(const struct annex_error *err, void *data);
};

/*
 * What comes of a request. NULL: done. `ports` is what network_process_list() gets, else NULL; NULL-terminated JSON
 * objects, valid JSON as far as a stranger's word goes: UTF-8 without control characters.
 */
typedef void network_answer_fn(const struct annex_error *refusal, const char *const *ports, void *data);

/* Starts it. Does not block; what fails in the child before it serves comes by on_ended(). The loop's thread must be
 * the caller's. */
MUST_USE int network_process_start(struct network_process **ret, struct loop *loop,
				   const struct network_process_options *options,
				   const struct network_callbacks *callbacks, void *data, struct annex_error **err);
/*
 * Requests are answered in order, from the loop, each exactly once: also when the process ends first (BUSY), but not
 * when it is freed. -1 when it could not be asked: then there is no answer. BUSY: too many wait, or it has ended.
 * `answer` may be NULL. They may be made before on_serving(): they are done behind the first ones.
 */
/* passt is there, or has gone: -1. The descriptor stays the caller's. */
MUST_USE int network_process_uplink(struct network_process *process, int uplink, network_answer_fn *answer, void *data,
				    struct annex_error **err);
/* "[IP:]HOST:GUEST[/udp]", ranges allowed. */
MUST_USE int network_process_publish(struct network_process *process, const char *port, network_answer_fn *answer,
				     void *data, struct annex_error **err);
MUST_USE int network_process_unpublish(struct network_process *process, const char *port, network_answer_fn *answer,
				       void *data, struct annex_error **err);
MUST_USE int network_process_list(struct network_process *process, network_answer_fn *answer, void *data,
				  struct annex_error **err);
MUST_USE int network_process_resolve(struct network_process *process, const struct message_network_resolve *resolve,
				     network_answer_fn *answer, void *data, struct annex_error **err);
/* What a new SETUP says of NETWORK_HOST_ACCESS, NETWORK_ISOLATED and `allow` holds from now on; the rest is not looked
 * at. */
MUST_USE int network_process_change(struct network_process *process, const struct message_network_setup *setup,
				    network_answer_fn *answer, void *data, struct annex_error **err);
pid_t network_process_pid(const struct network_process *process); /* 0: it has ended */
/* Ends it, without further callbacks. NULL is allowed. */
void network_process_free(struct network_process *process);
static inline void cleanup_network_process(struct network_process **process)
{
	network_process_free(*process);
}
#define auto_network_process CLEANUP(cleanup_network_process)
