#pragma once
#include "base/error.h"
#include "base/text.h"

#include <stdbool.h>

/* What a WWW-Authenticate header asks for: RFC 9110, section 11, and the token specification of the distribution
 * project. Pure; what a server sends is read within these limits, past which it is ignored. */
#define CHALLENGE_HEADER_LIMIT 16384u /* bytes of one header */
#define CHALLENGE_LIMIT        16u    /* schemes */

enum challenge_scheme {
	CHALLENGE_OTHER, /* Negotiate, Digest, …: not supported by registries */
	CHALLENGE_BASIC,
	CHALLENGE_BEARER,
};

struct challenge {
	enum challenge_scheme scheme;
	char *realm, *service, *scope, *error; /* NULL: not said */
};

struct challenge_list {
	struct challenge items[CHALLENGE_LIMIT];
	size_t count;
};
void challenge_list_clear(struct challenge_list *list);
#define auto_challenge_list CLEANUP(challenge_list_clear)

/* Adds those of one header. What is malformed ends the header, and those before it stay. -ENOMEM. */
MUST_USE int challenge_parse(struct challenge_list *into, const char *header);
/* The one to answer: bearer before basic; NULL: there is none that we can. */
const struct challenge *challenge_choose(const struct challenge_list *list);
