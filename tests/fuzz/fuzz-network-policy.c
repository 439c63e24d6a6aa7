#include "network/policy.h"

#include "base/text.h"
#include "network/reserved.h"
#include "wire/message.h"

#include <assert.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char *const allow[] = {"10.0.0.0/8:80-90", "2001:db8::/32", "example.org", NULL};

static bool permitted(const struct packet *packet)
{
	struct rule rule;

	for (size_t i = 0; allow[i]; i++) {
		if (rule_parse(&rule, allow[i], NULL) == 0 && rule_has_address(&rule, &packet->destination))
			return true;
	}
	return false;
}

/* A frame goes nowhere that nobody may reach, and, isolated, only where a rule says. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const uint32_t flags[] = {0, NETWORK_HOST_ACCESS, NETWORK_ISOLATED};
	struct packet packet;

	if (!packet_parse(&packet, data, size))
		return 0;
	for (size_t i = 0; i < COUNT_OF(flags); i++) {
		struct policy_options options = {.flags = flags[i], .allow = allow};
		auto_policy struct policy *policy = NULL;

		if (policy_new(&policy, &options, NULL) < 0 || !policy_allows(policy, &packet))
			continue;
		assert(packet.is_ip && !packet.has_options);
		assert(reserved_address(&packet.destination) != RESERVED_NEVER);
		assert(flags[i] == NETWORK_HOST_ACCESS || reserved_address(&packet.destination) == RESERVED_NOT);
		assert(flags[i] != NETWORK_ISOLATED || (!packet.is_fragment && permitted(&packet)));
	}
	return 0;
}
