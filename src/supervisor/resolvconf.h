#pragma once
#include "base/text.h"

/* What the host's files say about names (resolv.conf(5), hosts(5)). Pure. */
#define RESOLVCONF_LIMIT     (64u << 10) /* bytes of resolv.conf that are looked at */
#define RESOLVCONF_SERVERS   3u          /* as the resolver's MAXNS */
#define RESOLVCONF_SEARCH    32u         /* domains */
#define RESOLVCONF_NAME      253u        /* bytes of one */
#define RESOLVCONF_HOSTS     (1u << 20)  /* bytes of hosts that are looked at */
#define RESOLVCONF_HOST_LINE 1024u       /* bytes of a line of hosts; longer ones don't count */
#define RESOLVCONF_LINES     16384u      /* of hosts */

struct resolvconf {
	struct text_list servers; /* as struct message_network_resolve has them */
	struct text_list search;
};

/* `text` NULL: there is no such file. Without a server the resolver asks this host. -ENOMEM. */
MUST_USE int resolvconf_parse(struct resolvconf *ret, const char *text);
void resolvconf_clear(struct resolvconf *conf);
#define auto_resolvconf CLEANUP(resolvconf_clear)

/* The lines of hosts that say something, words with one space between them. -ENOMEM. */
MUST_USE int resolvconf_hosts(struct text_list *ret, const char *text);
