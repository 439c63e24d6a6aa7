#pragma once
#include "guest/link.h"

#include <stddef.h>

/* The kernel's log, sent to the host: what is there when it starts, and later messages as they come. */
#define KLOG_BURST_MAX (256u << 10) /* bytes at once; more is dropped, */
#define KLOG_REFILL_MS 10000u       /* until as much may be sent again */

struct klog;

MUST_USE int klog_new(struct klog **ret, struct loop *loop, struct link *link); /* -errno */
void klog_free(struct klog *klog);

/* A record of /dev/kmsg as a line "[    1.234567] text\n"; false when it is none. Pure. */
bool klog_format(struct text *out, const char *record, size_t size);
