#pragma once
#include "network/local.h"
#include "network/rule.h"

/*
 * What may leave a machine for the outside, and which names it may ask for. Asked of every frame that is neither for
 * annex itself (the router's and the resolver's addresses) nor for another machine.
 */
struct policy;

#define POLICY_RULE_LIMIT    256u
#define POLICY_LEARNED_LIMIT 4096u   /* addresses of names, for each rule that they came by */
#define POLICY_GRACE_MS      120000u /* beyond its TTL, for who has just looked a name up */
#define POLICY_TTL_LIMIT     86400u  /* s */
/* While a flow goes on its address stays, though its name may lead elsewhere by now. */
#define POLICY_TCP_IDLE_MS 7440000u /* RFC 5382 */
#define POLICY_UDP_IDLE_MS 180000u
#define POLICY_FLOW_MS     86400000u /* at the longest, without the name leading there again */

struct policy_options {
	uint32_t flags;            /* of enum message_network_flags: HOST_ACCESS, ISOLATED */
	const char *const *allow;  /* rules; they count when isolated */
	const struct local *local; /* outlives the policy; NULL: the host has no address */
	uint64_t (*now_ms)(void);  /* NULL: time_monotonic_ms() */
};

/* USAGE: a rule is none. */
MUST_USE int policy_new(struct policy **ret, const struct policy_options *options, struct annex_error **err);
void policy_free(struct policy *policy);
static inline void cleanup_policy(struct policy **policy)
{
	policy_free(*policy);
}
#define auto_policy CLEANUP(cleanup_policy)

/* From now on these flags and rules. What was learned by a rule that is among the new ones too stays. USAGE, and then
 * nothing has changed. */
MUST_USE int policy_update(struct policy *policy, uint32_t flags, const char *const *allow, struct annex_error **err);
bool policy_is_isolated(const struct policy *policy);
/* Whether host.annex.internal leads to the host. Never when isolated. */
bool policy_has_host_access(const struct policy *policy);

bool policy_allows(struct policy *policy, const struct packet *packet);

/* A name as DNS messages have it, in text: any case, with or without a dot at its end. */
bool policy_may_resolve(const struct policy *policy, const char *name);
/* Whether an answer may name this address. Not when isolated and it is the host's, or one that nobody may reach: a name
 * could be made to lead there. */
bool policy_may_answer(const struct policy *policy, const struct packet_address *address);
/* Of a name that may be resolved: it leads there for so many seconds. */
void policy_learn(struct policy *policy, const char *name, const struct packet_address *address, uint32_t ttl);
