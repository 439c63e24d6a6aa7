#pragma once
#include "loop/loop.h"
#include "wire/message.h"

/*
 * The guest's end of the ports' link: tells what listens, and connects to it.
 */
struct portlink;

/* The link's descriptor is taken, also on failure. -errno. */
MUST_USE int portlink_new(struct portlink **ret, struct loop *loop, int fd);
void portlink_free(struct portlink *link); /* NULL is allowed, as below: then there is no such link */
/* Begin, or begin anew with another marker. */
void portlink_begin(struct portlink *link, const uint8_t marker[WIRE_MARKER]);
void portlink_hurry(struct portlink *link); /* something goes on in the machine. Cheap */
