#pragma once
#include "guest/socktable.h"

/*
 * Whose sockets those are, by the descriptors of all processes. That may be many, so it is done a part at a time.
 */
struct sockowner;

/* NULL: no memory, or nobody's is asked for. */
struct sockowner *sockowner_new(const struct socktable *table);
void sockowner_free(struct sockowner *search);

/* Look at some more processes. True: it is done. */
MUST_USE bool sockowner_step(struct sockowner *search, uint64_t until_ms);
/* What was found goes into the table, where none was searched for before. */
void sockowner_tell(const struct sockowner *search, struct socktable *table);
