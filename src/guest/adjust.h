#pragma once
#include "guest/link.h"

/*
 * What the host changes of the virtual machine while it runs. Each request is answered in turn; a child does it, since
 * all of it may block. One that only tidies up gives way to the next.
 */
#define ADJUSTS_MAX 16u /* requests that wait */

struct adjusts;

MUST_USE int adjusts_new(struct adjusts **ret, struct loop *loop, struct link *link, struct annex_error **err);
/* Kills what is under way. */
void adjusts_free(struct adjusts *adjusts);

/* `factor` as in time_scaled_ms(). */
void adjusts_handle(struct adjusts *adjusts, const struct message_adjust *adjust, unsigned factor);
bool adjusts_has_child(const struct adjusts *adjusts, pid_t pid);

/* What the running kernel should do otherwise, from the boot on. */
void adjusts_settle(void);

/* From /proc/loadavg: does the machine do next to nothing? */
bool adjusts_is_idle(const char *load);
/* From /proc/meminfo, in bytes; 0: it does not tell. */
uint64_t adjusts_available(const char *meminfo);
