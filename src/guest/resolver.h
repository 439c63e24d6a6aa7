#pragma once
#include "base/error.h"
#include "base/text.h"

#include <stdbool.h>

/* /etc/resolv.conf of the machine, while it is still as annex wrote it. */
#define RESOLVER_FILE       "/etc/resolv.conf"
#define RESOLVER_FILE_MAX   (1u << 20) /* bytes of one that is there */
#define RESOLVER_SEARCH_MAX 255u       /* bytes of the search list: musl ignores a longer one */

struct resolver {
	const char *dns;    /* servers with commas or spaces between them; empty: none */
	const char *domain; /* of the machines, or empty */
	const char *const *search;
};

/* Write it if it is absent, empty or ours. A link stays: what it leads to is written, below /run as well. Runs in the
 * machine, with all that is mounted there. */
MUST_USE int resolver_write(const struct resolver *resolver, struct annex_error **err);

/* Is it a link, which another program keeps the end of? */
bool resolver_is_link(void);

/* "annex.internal example.com": as many as there is room for. Pure. */
void resolver_search(struct text *out, const struct resolver *resolver);
/* The whole file. Pure. */
void resolver_make(struct text *out, const struct resolver *resolver);
