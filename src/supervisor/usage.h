#pragma once
#include "supervisor/supervisor.h"

/* What the machine uses, for whoever asks: nothing is counted or asked for while nobody does. */
#define USAGE_WAIT_MS 2000u /* for the guest and for QEMU to answer */

MUST_USE int usage_new(struct usage **ret, struct supervisor *supervisor); /* -errno */
void usage_free(struct usage *usage);                                      /* NULL is allowed */

/* clients_tell_usage() is called for it, at once or later. */
void usage_ask(struct usage *usage);
/* What the guest says; what can't be true is cut. */
void usage_on_measured(struct usage *usage, const struct message_measured *measured);

/* Of what QEMU answers to query-blockstats: the bytes that went through its disks. Pure. */
void usage_disks(struct message_usage *ret, const json_t *blockstats);
