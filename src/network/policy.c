/*
 * Two kinds of rules permit addresses: networks for good, and names for as long as DNS says that they lead there. The
 * latter are learned from the answers that the resolver passes on (an address and the rule that it came by), in a table
 * of a fixed size: when it is full, what has been of no use for longest goes.
 *
 * When a TTL has ended, no new connections may be begun to an address, but flows that are under way go on. Nothing
 * needs to remember flows for that: whoever carries the packets outside makes a connection only for a SYN, so that any
 * other segment of TCP belongs to one that was permitted, or leads nowhere. UDP has no beginnings; there an address
 * stays while something is sent to it every few minutes, as NATs have it.
 *
 * What passes is a list of what is known to be needed: TCP, UDP, and ICMP's echo requests, without IP options. Others
 * nobody carries anyway.
 */
#include "network/policy.h"

#include "base/text.h"
#include "base/time.h"
#include "network/reserved.h"
#include "wire/message.h"

#include <assert.h>
#include <netinet/icmp6.h>
#include <netinet/ip_icmp.h>
#include <netinet/tcp.h>
#include <string.h>

#define BUCKETS 1024u
#define NONE    UINT16_MAX

struct learned {
	struct packet_address address;
	uint16_t rule;
	uint16_t next;     /* in its bucket, or of the free ones */
	uint64_t until_ms; /* connections may be begun */
	uint64_t used_ms;  /* the last packet; 0: none */
};

struct policy {
	uint32_t flags;
	struct rule *rules;
	size_t rule_count;
	const struct local *local;
	uint64_t (*now_ms)(void);
	struct learned *learned; /* POLICY_LEARNED_LIMIT of them, made when the first is needed */
	uint16_t free, buckets[BUCKETS];
};

bool policy_is_isolated(const struct policy *policy)
{
	return policy->flags & NETWORK_ISOLATED;
}

bool policy_has_host_access(const struct policy *policy)
{
	return (policy->flags & NETWORK_HOST_ACCESS) && !policy_is_isolated(policy);
}

static int parse_rules(struct rule **ret, size_t *ret_count, const char *const *allow, struct annex_error **err)
{
	auto_free struct rule *rules = NULL;
	size_t count = 0;

	while (allow && allow[count])
		count++;
	if (count > POLICY_RULE_LIMIT)
		return fail(err, ANNEX_ERROR_USAGE, "%zu rules of what is allowed are too many: %u at most", count,
			    POLICY_RULE_LIMIT);
	rules = calloc(count + 1, sizeof(*rules));
	if (!rules)
		return fail_memory(err);
	for (size_t i = 0; i < count; i++) {
		if (rule_parse(&rules[i], allow[i], err) < 0)
			return -1;
	}
	*ret = TAKE(rules);
	*ret_count = count;
	return 0;
}

int policy_new(struct policy **ret, const struct policy_options *options, struct annex_error **err)
{
	auto_policy struct policy *policy = calloc(1, sizeof(*policy));

	if (!policy)
		return fail_memory(err);
	policy->flags = options->flags;
	policy->local = options->local;
	policy->now_ms = options->now_ms ? options->now_ms : time_monotonic_ms;
	if (parse_rules(&policy->rules, &policy->rule_count, options->allow, err) < 0)
		return -1;
	*ret = TAKE(policy);
	return 0;
}

void policy_free(struct policy *policy)
{
	if (!policy)
		return;
	free(policy->rules);
	free(policy->learned);
	free(policy);
}

static size_t bucket_of(const struct packet_address *address)
{
	uint32_t hash = packet_address_hash(HASH_BEGIN, address);

	return (hash ^ hash >> 16) % BUCKETS;
}

static int make_table(struct policy *policy)
{
	if (policy->learned)
		return 0;
	policy->learned = calloc(POLICY_LEARNED_LIMIT, sizeof(*policy->learned));
	if (!policy->learned)
		return -ENOMEM;
	for (size_t i = 0; i < BUCKETS; i++)
		policy->buckets[i] = NONE;
	for (size_t i = 0; i < POLICY_LEARNED_LIMIT; i++)
		policy->learned[i].next = (uint16_t)(i + 1 < POLICY_LEARNED_LIMIT ? i + 1 : NONE);
	policy->free = 0;
	return 0;
}

static void forget(struct policy *policy, uint16_t at)
{
	struct learned *entry = &policy->learned[at];
	uint16_t *link = &policy->buckets[bucket_of(&entry->address)];

	while (*link != at)
		link = &policy->learned[*link].next;
	*link = entry->next;
	*entry = (struct learned){.next = policy->free};
	policy->free = at;
}

static uint64_t last_use(const struct learned *entry)
{
	return entry->until_ms > entry->used_ms ? entry->until_ms : entry->used_ms;
}

/* The table is full: every entry is one. */
static void forget_oldest(struct policy *policy)
{
	size_t oldest = 0;

	for (size_t i = 1; i < POLICY_LEARNED_LIMIT; i++) {
		if (last_use(&policy->learned[i]) < last_use(&policy->learned[oldest]))
			oldest = i;
	}
	forget(policy, (uint16_t)oldest);
}

static void learn(struct policy *policy, const struct packet_address *address, uint16_t rule, uint64_t until_ms)
{
	uint16_t *bucket = &policy->buckets[bucket_of(address)];
	uint16_t at = *bucket;

	while (at != NONE &&
	       !(policy->learned[at].rule == rule && address_equal(&policy->learned[at].address, address)))
		at = policy->learned[at].next;
	if (at == NONE) {
		if (policy->free == NONE)
			forget_oldest(policy);
		at = policy->free;
		policy->free = policy->learned[at].next;
		policy->learned[at] = (struct learned){.address = *address, .rule = rule, .next = *bucket};
		*bucket = at;
	}
	if (policy->learned[at].until_ms < until_ms)
		policy->learned[at].until_ms = until_ms;
}

/* False: no name that a rule could have. What DNS messages escape in texts is none: "a\.b.org" is no name below b.org.
 */
static bool normalize(char ret[RULE_NAME_LIMIT + 1], const char *name)
{
	size_t size = strlen(name);

	if (size > 1 && name[size - 1] == '.')
		size--;
	if (size > RULE_NAME_LIMIT)
		return false;
	for (size_t i = 0; i < size; i++) {
		char c = name[i];

		if (c >= 'A' && c <= 'Z')
			c = (char)(c - 'A' + 'a');
		if (!strchr("abcdefghijklmnopqrstuvwxyz0123456789-_.", c))
			return false;
		ret[i] = c;
	}
	ret[size] = '\0';
	return true;
}

bool policy_may_resolve(const struct policy *policy, const char *name)
{
	char normal[RULE_NAME_LIMIT + 1];

	if (!policy_is_isolated(policy))
		return true;
	if (!normalize(normal, name))
		return false;
	for (size_t i = 0; i < policy->rule_count; i++) {
		if (rule_has_name(&policy->rules[i], normal))
			return true;
	}
	return false;
}

static enum local_kind find_local(const struct policy *policy, const struct packet_address *address)
{
	struct packet_address inner;
	enum local_kind kind;

	if (!policy->local)
		return LOCAL_NOT;
	kind = local_find(policy->local, address);
	if (kind == LOCAL_NOT && reserved_embedded(&inner, address))
		kind = local_find(policy->local, &inner);
	return kind;
}

bool policy_may_answer(const struct policy *policy, const struct packet_address *address)
{
	return !policy_is_isolated(policy) ||
	       (reserved_address(address) == RESERVED_NOT && find_local(policy, address) == LOCAL_NOT);
}

void policy_learn(struct policy *policy, const char *name, const struct packet_address *address, uint32_t ttl)
{
	uint64_t seconds = ttl < POLICY_TTL_LIMIT ? ttl : POLICY_TTL_LIMIT;
	char normal[RULE_NAME_LIMIT + 1];

	if (!policy_is_isolated(policy) || !policy_may_answer(policy, address) || !normalize(normal, name))
		return;
	for (size_t i = 0; i < policy->rule_count; i++) {
		if (rule_has_name(&policy->rules[i], normal) && make_table(policy) == 0)
			learn(policy, address, (uint16_t)i, policy->now_ms() + seconds * 1000 + POLICY_GRACE_MS);
	}
}

static bool rule_equal(const struct rule *a, const struct rule *b)
{
	return a->kind == b->kind && strcmp(a->name, b->name) == 0 && a->first == b->first && a->last == b->last;
}

/* The number of a rule of a name among others; NONE: it is gone. */
static uint16_t find_rule(const struct rule *rule, const struct rule *rules, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		if (rule_equal(rule, &rules[i]))
			return (uint16_t)i;
	}
	return NONE;
}

static void renumber(struct policy *policy, const struct rule *rules, size_t count)
{
	for (size_t i = 0; i < BUCKETS && policy->learned; i++) {
		for (uint16_t at = policy->buckets[i], next; at != NONE; at = next) {
			struct learned *entry = &policy->learned[at];

			next = entry->next;
			entry->rule = find_rule(&policy->rules[entry->rule], rules, count);
			if (entry->rule == NONE)
				forget(policy, at);
		}
	}
}

int policy_update(struct policy *policy, uint32_t flags, const char *const *allow, struct annex_error **err)
{
	struct rule *rules;
	size_t count;

	if (parse_rules(&rules, &count, allow, err) < 0)
		return -1;
	renumber(policy, rules, count);
	free(policy->rules);
	policy->rules = rules;
	policy->rule_count = count;
	policy->flags = flags;
	return 0;
}

static bool is_echo(const struct packet *packet)
{
	uint8_t type = packet->destination.v6 ? ICMP6_ECHO_REQUEST : ICMP_ECHO;

	return packet->is_fragment || (packet->payload_size > 0 && packet->payload[0] == type);
}

/* Whether it is of a kind that leaves a machine at all. */
static bool is_carried(const struct packet *packet)
{
	if (!packet->is_ip || packet->has_options)
		return false;
	if (packet->protocol == IPPROTO_TCP || packet->protocol == IPPROTO_UDP)
		return true;
	return packet->protocol == (packet->destination.v6 ? IPPROTO_ICMPV6 : IPPROTO_ICMP) && is_echo(packet);
}

/* ICMP has no ports: only a rule for all of them is meant for it too. */
static bool permits_port(const struct rule *rule, const struct packet *packet)
{
	if (packet->protocol == IPPROTO_TCP || packet->protocol == IPPROTO_UDP)
		return rule_has_port(rule, packet->destination_port);
	return !rule->first;
}

static bool begins_connection(const struct packet *packet)
{
	struct tcphdr header;

	if (packet->payload_size < sizeof(header))
		return true;
	memcpy(&header, packet->payload, sizeof(header));
	return header.syn && !header.ack;
}

static bool is_alive(const struct learned *entry, const struct packet *packet, uint64_t now)
{
	if (now < entry->until_ms)
		return true;
	if (entry->used_ms == 0 || now - entry->until_ms > POLICY_FLOW_MS)
		return false;
	if (packet->protocol == IPPROTO_TCP)
		return !begins_connection(packet) && now - entry->used_ms <= POLICY_TCP_IDLE_MS;
	return packet->protocol == IPPROTO_UDP && now - entry->used_ms <= POLICY_UDP_IDLE_MS;
}

static bool is_learned(struct policy *policy, const struct packet *packet)
{
	uint64_t now = policy->now_ms();
	uint16_t at = policy->learned ? policy->buckets[bucket_of(&packet->destination)] : NONE;
	bool found = false;

	for (; at != NONE; at = policy->learned[at].next) {
		struct learned *entry = &policy->learned[at];

		if (!address_equal(&entry->address, &packet->destination) ||
		    !permits_port(&policy->rules[entry->rule], packet) || !is_alive(entry, packet, now))
			continue;
		entry->used_ms = now;
		found = true;
	}
	return found;
}

/* What the host's link has for the host takes a rule that is about nothing else: 0.0.0.0/0 does not mean it. */
static bool is_ruled(const struct policy *policy, const struct packet *packet, enum reserved kind)
{
	for (size_t i = 0; i < policy->rule_count; i++) {
		const struct rule *rule = &policy->rules[i];

		if (rule_has_address(rule, &packet->destination) && permits_port(rule, packet) &&
		    (kind == RESERVED_NOT || reserved_network(&rule->address, rule->prefix) == kind))
			return true;
	}
	return false;
}

bool policy_allows(struct policy *policy, const struct packet *packet)
{
	enum reserved kind = reserved_address(&packet->destination);
	enum local_kind local;

	if (!is_carried(packet) || kind == RESERVED_NEVER)
		return false;
	local = find_local(policy, &packet->destination);
	if (local == LOCAL_BROADCAST)
		return false;
	if (!policy_is_isolated(policy))
		return policy_has_host_access(policy) || (local == LOCAL_NOT && kind == RESERVED_NOT);
	/* A part of a datagram does not tell its port. */
	if (local == LOCAL_OWN || packet->is_fragment)
		return false;
	return is_ruled(policy, packet, kind) || is_learned(policy, packet);
}
