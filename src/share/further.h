#pragma once
#include "share/bridge.h"
#include "confine/peer.h"

#include <stdint.h>

/*
 * A further annex-share, which serves one share that was added while the machine runs: the supervisor's record of it,
 * and the two ends of the bridge (share/bridge.h) between it and the process that has the device.
 */
struct further {
	struct further *next;
	void *owner;
	uint16_t number;
	char *name; /* of its share */
	struct peer *peer;
	int device_ends[BRIDGE_FDS_LIMIT], own_ends[BRIDGE_FDS_LIMIT]; /* until they are handed over */
	unsigned device_count, own_count;
};

/* Starts it. The callbacks' data is the record. */
MUST_USE int further_new(struct further **ret, struct loop *loop, const char *program, uint16_t number,
			 const char *name, unsigned slots, const struct peer_callbacks *callbacks, void *owner,
			 struct annex_error **err);
void further_free(struct further *further); /* ends it; NULL is allowed */
