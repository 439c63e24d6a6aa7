#pragma once
#include "loop/loop.h"
#include "supervisor/resolvconf.h"
#include "wire/message.h"

/*
 * How this host looks names up: its resolv.conf and hosts, and whenever they change, by whatever way: written in place,
 * replaced by another file, what they are links to, or a file that is mounted there. Nothing is asked again and again.
 *
 * $ANNEX_RESOLV_CONF and $ANNEX_HOSTS name other files than those in /etc.
 */
#define HOSTNAMES_RESOLV_CONF "/etc/resolv.conf"
#define HOSTNAMES_HOSTS       "/etc/hosts"
#define HOSTNAMES_LINKS_MAX   8u  /* that lead to a file */
#define HOSTNAMES_SETTLE_MS   50u /* a change is looked at when it is this old: files are often written in steps */

struct hostnames;

/* From the loop: `resolve` says something else than before, or the search domains do. */
typedef void hostnames_changed_fn(bool resolve, bool search, void *data);

MUST_USE int hostnames_new(struct hostnames **ret, struct loop *loop, hostnames_changed_fn *fn, void *data,
			   struct annex_error **err);
void hostnames_free(struct hostnames *names); /* NULL is allowed */
/* As it is now; the lists are valid until the next change. */
struct message_network_resolve hostnames_resolve(const struct hostnames *names);
const char *const *hostnames_search(const struct hostnames *names); /* NULL: none */
