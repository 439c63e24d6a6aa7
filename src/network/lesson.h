#pragma once
#include "network/policy.h"
#include "network/question.h"

/*
 * What the policy learns of an answer of the host's resolvers: the addresses at the end of the chain of names that
 * begins with the question's. An answer is a stranger's: it may name the host's own addresses, to have the machine go
 * there. Pure.
 */
enum lesson {
	LESSON_WHOLE, /* nothing is wrong with it */
	LESSON_PARTS, /* it names what it may not: `reply` has the rest */
	LESSON_NONE,  /* it can't be read */
};

#define LESSON_CHAIN_LIMIT 16u /* names that lead to others */

/* `reply` was begun with the question, and is not ended. */
enum lesson lesson_learn(struct reply *reply, struct policy *policy, const struct question *question,
			 const uint8_t *message, size_t size);
