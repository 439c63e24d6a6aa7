#pragma once
#include "base/error.h"

#include <fcntl.h>
#include <seccomp.h>
#include <stddef.h>
#include <stdint.h>

/*
 * The system calls that a confined process may make. Four kinds: those that it needs are allowed, as narrowly as their
 * arguments can tell. What a library tries on its way and can do without is refused with an error that it knows. What
 * only somebody who has taken over the process would try ends the process. All the rest does not exist, as on an older
 * kernel: a C library that tries something newer falls back. What every program needs, and none, is in filter.c; here a
 * program adds its own. Lists are names with a space between two of them; no architecture has all of them, and no call
 * may be in two lists, or in a list and a rule.
 */
struct filter_rule {
	uint32_t action;
	const char *call;
	unsigned count;
	struct scmp_arg_cmp when[3];
};

struct filter {
	const char *allowed;
	const char *closed;  /* EACCES */
	const char *refused; /* EPERM */
	const char *deadly;
	const struct filter_rule *rules; /* what depends on arguments */
	size_t rule_count;
};

#define FILTER_IF(at, value)                            \
	{                                               \
		(at), SCMP_CMP_EQ, (uint64_t)(value), 0 \
	}
#define FILTER_UNLESS(at, value)                        \
	{                                               \
		(at), SCMP_CMP_NE, (uint64_t)(value), 0 \
	}
#define FILTER_IF_BITS(at, mask, value)                                       \
	{                                                                     \
		(at), SCMP_CMP_MASKED_EQ, (uint64_t)(mask), (uint64_t)(value) \
	}

/* For ever, for this thread and what it starts; no_new_privs must be set. */
MUST_USE int filter_load(const struct filter *own, struct annex_error **err);
