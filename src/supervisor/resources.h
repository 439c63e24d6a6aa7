#pragma once
#include "supervisor/supervisor.h"

/* What the machine has of the host's processors, memory and disk, changed while it runs. */
#define RESOURCES_ASKED_MAX 64u    /* of clients that wait for their turn */
#define RESOURCES_OWED_MAX  8u     /* answers of a guest that took too long */
#define RESOURCES_ANSWER_MS 30000u /* for the guest to answer; grows with the accelerator */

/* Free space of the disk goes back to the host so long after the machine has come up and then once a day; so long after
 * a time at which it had other things to do. $ANNEX_TRIM_AFTER, in seconds, is for tests of the first one. */
#define RESOURCES_TRIM_FIRST_MS 300000u
#define RESOURCES_TRIM_MS       86400000u
#define RESOURCES_TRIM_RETRY_MS 600000u

/* Behind the plan, whose processors and memory the machine starts with. */
MUST_USE int resources_new(struct resources **ret, struct supervisor *supervisor, struct annex_error **err);
void resources_free(struct resources *resources); /* NULL is allowed */

/* The machine has come up. */
void resources_on_ready(struct resources *resources);
/* A client asks; clients_answer() says when everything is done that could be. What could not has a reason from then on.
 */
void resources_apply(struct resources *resources, const void *client, const struct message_apply *apply);
/* The client is gone: nobody waits for the answer; what was asked is done all the same. */
void resources_forget(struct resources *resources, const void *client);

/* The guest's answer; false: it was asked nothing. */
bool resources_on_adjusted(struct resources *resources, const struct message_adjusted *adjusted);

/* JSON object of why settings wait, by their keys; the resources' own. NULL is allowed, and given when there are none.
 */
const char *resources_reasons(const struct resources *resources);
