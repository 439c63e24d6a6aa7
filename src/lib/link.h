#pragma once
#include "base/error.h"
#include "wire/message.h"

#include <stdbool.h>
#include <stdint.h>

/*
 * A connection to the supervisor of a machine, made when it is needed: link_open() finds the supervisor that runs or
 * starts one. Everything here blocks, and ends with CANCELLED when the context is cancelled.
 */
struct annex_context;
struct machine_paths;
struct link;

/* Waits that don't depend on the machine's speed: for a supervisor to answer, or for one that ends to be gone. */
#define LINK_ANSWER_MS 10000u

/* *ret is NULL on success when the machine does not run and start is false. start: spawn a supervisor if none runs; of
 * several that do this at once one wins and the others connect to it; one that is ending is waited for first. Cleans
 * up what a killed supervisor left. */
MUST_USE int link_open(struct link **ret, struct annex_context *context, const struct machine_paths *paths, bool start,
		       struct annex_error **err);
void link_free(struct link *link);
static inline void cleanup_link(struct link **link)
{
	link_free(*link);
}
#define auto_link CLEANUP(cleanup_link)

/* Wait until the machine runs; reports progress through the context (step "boot", the text is what is waited for). The
 * supervisor's failure is given as it is; a machine that is stopped meanwhile is BUSY. */
MUST_USE int link_wait_running(struct link *link, struct annex_error **err);

/* Stop the machine and wait until its supervisor is gone: the machine's lock is free then. timeout_ms as in
 * annex_machine_stop(). Reports progress (step "stop"). 1: at that moment it failed by itself, and waits to be started
 * again: that is to be stopped too. */
MUST_USE int link_stop(struct link *link, int64_t timeout_ms, struct annex_error **err);

/* What struct message_state carries, with texts of its own; free with link_state_clear(). */
struct link_state {
	uint32_t state; /* enum machine_state */
	uint32_t failure_kind;
	uint32_t pid;    /* of the supervisor */
	uint32_t vm_pid; /* of QEMU, or 0 */
	uint32_t cpus;
	uint64_t memory;
	int64_t started; /* seconds since 1970 */
	char *waiting;
	char *failure;
	char *hint;
	char *accelerator;
	char *settings; /* JSON object of the settings in effect */
	char *shares;   /* JSON list of what is shared */
	uint32_t restarts;
	char *reasons; /* JSON object: why a setting waits, by its key */
	char *network; /* JSON object: what is in effect */
};
MUST_USE int link_state(struct link *link, struct link_state *ret, struct annex_error **err);
void link_state_clear(struct link_state *state);
#define auto_link_state CLEANUP(link_state_clear)

/* What the machine uses: ask, then wait for the answer, however often that takes. 1: *ret is the answer; 0: the
 * supervisor is gone; TIMEOUT: not yet. */
MUST_USE int link_ask_usage(struct link *link, struct annex_error **err);
MUST_USE int link_usage(struct link *link, struct message_usage *ret, int timeout_ms, struct annex_error **err);

/* For requests: ask, and wait for one message of this kind, which is valid until the next. 0: the supervisor is gone;
 * its FAILURE is given as it is. */
MUST_USE int link_ask(struct link *link, enum message_kind kind, const void *body, struct annex_error **err);
MUST_USE int link_expect(struct link *link, struct message *ret, enum message_kind kind, int timeout_ms,
			 struct annex_error **err);

/* For a session: gives up the connection, on which nothing but HELLO was exchanged then (no other function was used).
 * Non-blocking; the caller's. */
int link_take_fd(struct link *link);
