#pragma once
#include "base/text.h"
#include "guest/resolver.h"

#include <stdbool.h>

/*
 * What the machine's own programs are told below /run, which is new at each start of its init: that the interface is
 * configured (systemd-networkd, NetworkManager, ifupdown), where names are asked for (systemd-resolved, resolvconf),
 * and which proxies there are (systemd). What the machine's owner writes below /etc comes before it.
 */
struct dropin {
	const char *interface; /* empty: there is none */
	bool systemd;          /* is the init */
	const struct resolver *resolver;
	const char *const *proxies;
};

/* Runs in the machine, before its init. What goes wrong is only logged. */
void dropin_write(const struct dropin *dropin);

/* Again, as the machine runs: the search domains have changed. In a process for this, which may be another program
 * then. */
void dropin_change_names(const struct dropin *dropin);

/* systemd's configuration with these variables for all services. `percent`: it expands %. Pure. */
void dropin_environment(struct text *out, const char *const *variables, bool percent);
