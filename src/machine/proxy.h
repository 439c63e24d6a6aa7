#pragma once
#include "base/error.h"
#include "base/text.h"

#include <stdbool.h>

/*
 * The proxies that the environment of this process tells of (http_proxy, https_proxy, ftp_proxy, all_proxy, no_proxy,
 * in lower and upper case), as a machine has them: one on the host's loopback is at host.annex.internal there. What
 * leads to no proxy is added to no_proxy: the machines among themselves, and their own loopback.
 */
#define PROXY_VALUE_MAX                                                                              \
	4096u /* bytes; longer values, and those with control characters, are as if they weren't set \
	       */

struct proxies {
	struct text_list variables; /* "K=V" */
	bool left_out;              /* at least one is on the host's loopback, where the machine can't go */
};
void proxies_clear(struct proxies *proxies);
#define auto_proxies CLEANUP(proxies_clear)

/* `host_access`: the machine reaches the host's loopback. Fails only for want of memory. For machines that are isolated
 * nobody asks. */
MUST_USE int proxies_find(struct proxies *ret, bool host_access, struct annex_error **err);

/* Is there any? */
bool proxies_are_set(void);

/* One value as a machine has it; *ret (the caller's) is NULL when there is no way to it. -ENOMEM. Pure. */
MUST_USE int proxy_translate(char **ret, const char *value, bool host_access);
