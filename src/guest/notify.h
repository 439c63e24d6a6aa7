#pragma once
#include "base/error.h"
#include "loop/loop.h"

#include <stddef.h>

/* The socket on which an init tells how far it is (sd_notify(3)). */
#define NOTIFY_ADDRESS    "@annex/notify" /* abstract: of the network namespace, which agent and machine share */
#define NOTIFY_SIZE_MAX   4096            /* bytes of a message */
#define NOTIFY_STATUS_MAX 256

struct notify_news {
	bool ready;
	char status[NOTIFY_STATUS_MAX]; /* may be empty */
};

struct notify;
typedef void notify_fn(const struct notify_news *news, void *data);

MUST_USE int notify_new(struct notify **ret, struct loop *loop, notify_fn *fn, void *data, struct annex_error **err);
void notify_free(struct notify *notify);
/* Only messages of this process count; 0: of none. */
void notify_listen_to(struct notify *notify, pid_t pid);

/* Lines of "K=V"; control characters of a status become spaces, a counter at its end is cut off. Pure. */
void notify_parse(struct notify_news *ret, const char *message, size_t size);
