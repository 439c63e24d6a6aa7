#pragma once
#include "network/process.h"
#include "supervisor/supervisor.h"

/* What is published of the machine's ports, and what clients ask about its ports. */
#define PUBLISHING_ASKED_MAX 64u /* requests of clients that wait */

struct publishing;

MUST_USE int publishing_new(struct publishing **ret, struct supervisor *supervisor, struct annex_error **err);
void publishing_free(struct publishing *publishing); /* NULL is allowed */
/* An annex-network that has just been started: it is asked for all that is published. */
MUST_USE int publishing_begin(struct publishing *publishing, struct network_process *process, struct annex_error **err);
/* It has ended. */
void publishing_end(struct publishing *publishing);

/* See network.h. */
void publishing_list(struct publishing *publishing, const void *client);
void publishing_add(struct publishing *publishing, const void *client, const char *port, bool kept);
void publishing_remove(struct publishing *publishing, const void *client, const char *port, bool kept);
void publishing_forget(struct publishing *publishing, const void *client);
