#pragma once
#include "network/dns.h"
#include "network/question.h"

/*
 * What the resolver answers itself: the zones of machines' names and addresses, which are never asked of anybody else,
 * localhost, and the names of the host's /etc/hosts.
 */
struct names;

#define NAMES_TTL 10u /* s */

MUST_USE int names_new(struct names **ret, const struct dns_options *options);
void names_free(struct names *names);
static inline void cleanup_names(struct names **names)
{
	names_free(*names);
}
#define auto_names CLEANUP(cleanup_names)

/* Lines of an /etc/hosts, "ADDRESS NAME…"; what is malformed is left out. -ENOMEM: nothing has changed. */
MUST_USE int names_set_hosts(struct names *names, const char *const *lines);

/* False: others know. `reply` was begun with this question, and is not ended; its flags may change. */
bool names_answer_zone(struct names *names, const struct question *question, struct reply *reply);
/* The same for names of /etc/hosts, which the policy learns. */
bool names_answer_host(struct names *names, const struct question *question, struct reply *reply);
