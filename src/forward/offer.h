#pragma once
#include "wire/message.h"

/* The forwards of a session as OPEN carries them (WIRE_FORWARD_…). Pure. */
struct offer {
	bool agent;       /* the guest chooses the path */
	bool by_guest;    /* the guest listens, the client connects; else the other way round */
	const char *path; /* in the machine; points into the text. Empty for the agent's */
};

/* False: it is none. */
MUST_USE bool offer_parse(struct offer *ret, const char *text);
/* How many; -EPROTO: one is none, or they are too many. NULL is none. */
MUST_USE int offer_count(const char *const *forwards);
