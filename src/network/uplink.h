#pragma once
#include "network/packet.h"

#include <stdbool.h>

/* What carries frames outside, and back: libslirp in this process (network/nat.h), or passt (network/passt.h). */
struct uplink;

struct uplink_type {
	void (*send)(struct uplink *uplink, const struct packet *packet); /* may lose it */
	void (*settle)(struct uplink *uplink); /* behind some of these; NULL: it need not know */
	/* While the machine takes less than comes, nothing more is read. */
	void (*hold)(struct uplink *uplink, bool hold);
};

struct uplink {
	const struct uplink_type *type;
};

/* A frame for the machine, whoever it says that it is from. */
typedef void uplink_deliver_fn(const uint8_t *frame, size_t size, void *data);
