#include "network/rule.h"

#include "base/text.h"
#include "network/address.h"
#include "network/reserved.h"

#include <arpa/inet.h>
#include <string.h>

#define LABEL_LIMIT 63u

static int usage(struct annex_error **err, const char *text, const char *why)
{
	auto_free char *clean = text_clean(text, RULE_TEXT_LIMIT);

	if (!clean)
		return fail_memory(err);
	fail(err, ANNEX_ERROR_USAGE, "'%s' can't be allowed: %s", clean, why);
	return fail_hint(err, "HOST[:PORT], '*.DOMAIN[:PORT]', 10.0.0.0/8[:PORT] or [2001:db8::1]:PORT; "
			      "a range of ports is FROM-TO");
}

static const char *parse_port(uint16_t *ret, const char *text)
{
	uint32_t number;

	if (*text == '0' || text_to_u32(&number, text, 10) < 0 || number > UINT16_MAX)
		return "a port is a number from 1 to 65535";
	*ret = (uint16_t)number;
	return NULL;
}

/* NULL is "all of them". The helpers of this kind return what is wrong, or NULL. */
static const char *parse_ports(struct rule *rule, const char *text)
{
	char first[8] = "";
	const char *dash, *why;

	if (!text)
		return NULL;
	dash = strchr(text, '-');
	if (!dash) {
		why = parse_port(&rule->first, text);
		rule->last = rule->first;
		return why;
	}
	if ((size_t)(dash - text) >= sizeof(first))
		return "a port is a number from 1 to 65535";
	memcpy(first, text, (size_t)(dash - text));
	why = parse_port(&rule->first, first);
	if (!why)
		why = parse_port(&rule->last, dash + 1);
	if (!why && rule->first > rule->last)
		return "its range of ports ends before it begins";
	return why;
}

/* Whether the bits behind the prefix are 0. */
static bool is_network(const struct packet_address *address, unsigned prefix)
{
	const uint8_t *bytes = address->v6 ? address->of.v6_.s6_addr : (const uint8_t *)&address->of.v4;
	unsigned size = address->v6 ? 16 : 4;

	for (unsigned i = 0; i < size; i++) {
		unsigned bits = prefix > i * 8 ? prefix - i * 8 : 0;

		if (bits < 8 && (bytes[i] & (0xffu >> bits)) != 0)
			return false;
	}
	return true;
}

static const char *parse_prefix(struct rule *rule, const char *text)
{
	uint32_t most = rule->address.v6 ? 128 : 32, prefix = most;

	if (text && ((*text == '0' && text[1]) || text_to_u32(&prefix, text, 10) < 0 || prefix > most))
		return rule->address.v6 ? "behind '/' belongs a number from 0 to 128"
					: "behind '/' belongs a number from 0 to 32";
	rule->prefix = prefix;
	if (!is_network(&rule->address, prefix))
		return "the address has more bits than its '/' says: name the network's first address";
	if (reserved_network(&rule->address, prefix) == RESERVED_NEVER)
		return "no machine can reach that: loopback, link-local, multicast and annex's own addresses stay "
		       "inside";
	return NULL;
}

static const char *parse_v6(struct rule *rule, const char *address, const char *prefix)
{
	rule->kind = RULE_NETWORK;
	rule->address.v6 = true;
	if (inet_pton(AF_INET6, address, &rule->address.of.v6_) != 1)
		return "it has no IPv6 address where one belongs";
	return parse_prefix(rule, prefix);
}

static const char *parse_labels(const char *name)
{
	for (const char *label = name;;) {
		size_t size = strcspn(label, ".");

		if (size == 0 || size > LABEL_LIMIT || label[0] == '-' || label[size - 1] == '-' ||
		    strspn(label, "abcdefghijklmnopqrstuvwxyz0123456789-_") < size)
			return "it is no host's name (others than ASCII are written as xn--…)";
		if (!label[size])
			return NULL;
		label += size + 1;
	}
}

static bool is_below(const char *name, const char *domain)
{
	size_t size = strlen(name), under = strlen(domain);

	return size >= under && strcmp(name + size - under, domain) == 0 &&
	       (size == under || name[size - under - 1] == '.');
}

/* As URLs have it: what ends with a number is meant as an address. */
static bool is_numeric(const char *name)
{
	const char *dot = strrchr(name, '.'), *last = dot ? dot + 1 : name;

	return strspn(last, "0123456789") == strlen(last) || text_starts(last, "0x");
}

static const char *parse_name(struct rule *rule, char *host)
{
	size_t size = strlen(host);

	if (strcmp(host, "*") == 0)
		return "say 0.0.0.0/0 and ::/0 for everything";
	rule->kind = text_starts(host, "*.") ? RULE_BELOW : RULE_NAME;
	if (rule->kind == RULE_BELOW) {
		host += 2;
		size -= 2;
	}
	if (size > 1 && host[size - 1] == '.')
		host[--size] = '\0';
	for (char *c = host; *c; c++) {
		if (*c >= 'A' && *c <= 'Z')
			*c = (char)(*c - 'A' + 'a');
	}
	if (size > RULE_NAME_LIMIT)
		return "a name has 253 characters at most";
	if (is_numeric(host))
		return "it is no IPv4 address and no name";
	if (is_below(host, ADDRESS_DOMAIN))
		return "names of annex.internal lead to machines and to the host, which isolation keeps away";
	if (is_below(host, "localhost"))
		return "localhost is the machine itself";
	memcpy(rule->name, host, size + 1);
	return parse_labels(rule->name);
}

static const char *parse_host(struct rule *rule, char *host)
{
	char *slash = strchr(host, '/');

	if (slash)
		*slash++ = '\0';
	if (inet_pton(AF_INET, host, &rule->address.of.v4) == 1) {
		rule->kind = RULE_NETWORK;
		return parse_prefix(rule, slash);
	}
	return slash ? "only an address has a '/'" : parse_name(rule, host);
}

static const char *parse_bracketed(struct rule *rule, char *text)
{
	char *end = strchr(text, ']'), *prefix = NULL, *port = NULL;
	const char *why;

	if (!end)
		return "its '[' is never closed";
	*end++ = '\0';
	if (*end == '/') {
		prefix = end + 1;
		end = prefix + strcspn(prefix, ":");
	}
	if (*end == ':') {
		*end = '\0';
		port = end + 1;
	} else if (*end) {
		return "behind its ']' belongs /N or :PORT";
	}
	why = parse_v6(rule, text, prefix);
	return why ? why : parse_ports(rule, port);
}

static const char *parse(struct rule *rule, char *text)
{
	char *colon = strchr(text, ':'), *slash;
	const char *why;

	if (strstr(text, "://"))
		return "it is a URL: only its host and port count";
	if (*text == '[')
		return parse_bracketed(rule, text + 1);
	if (colon && strchr(colon + 1, ':')) {
		slash = strchr(text, '/');
		if (slash)
			*slash++ = '\0';
		return parse_v6(rule, text, slash);
	}
	if (colon)
		*colon++ = '\0';
	why = parse_host(rule, text);
	return why ? why : parse_ports(rule, colon);
}

int rule_parse(struct rule *ret, const char *text, struct annex_error **err)
{
	auto_free char *copy = NULL;
	struct rule rule = {0};
	const char *why;

	if (strlen(text) > RULE_TEXT_LIMIT)
		return usage(err, text, "it is too long");
	if (text_copy(&copy, text) < 0)
		return fail_memory(err);
	why = parse(&rule, copy);
	if (why)
		return usage(err, text, why);
	*ret = rule;
	return 0;
}

static void add_network(struct text *text, const struct rule *rule)
{
	bool v6 = rule->address.v6, brackets = v6 && rule->first;
	char buffer[ADDRESS_TEXT];

	if (brackets)
		text_add_char(text, '[');
	text_add(text, inet_ntop(v6 ? AF_INET6 : AF_INET, &rule->address.of, buffer, sizeof(buffer)));
	if (brackets)
		text_add_char(text, ']');
	if (rule->prefix != (v6 ? 128 : 32))
		text_printf(text, "/%u", rule->prefix);
}

char *rule_text(const struct rule *rule)
{
	auto_text struct text text = {0};

	if (rule->kind == RULE_NETWORK)
		add_network(&text, rule);
	else
		text_printf(&text, "%s%s", rule->kind == RULE_BELOW ? "*." : "", rule->name);
	if (rule->first)
		text_printf(&text, ":%u", rule->first);
	if (rule->last != rule->first)
		text_printf(&text, "-%u", rule->last);
	return text_take(&text);
}

bool rule_has_name(const struct rule *rule, const char *name)
{
	if (rule->kind == RULE_NAME)
		return strcmp(name, rule->name) == 0;
	return rule->kind == RULE_BELOW && strlen(name) > strlen(rule->name) && is_below(name, rule->name);
}

bool rule_has_address(const struct rule *rule, const struct packet_address *address)
{
	return rule->kind == RULE_NETWORK && address_within(address, &rule->address, rule->prefix);
}

bool rule_has_port(const struct rule *rule, uint16_t port)
{
	return !rule->first || (port >= rule->first && port <= rule->last);
}
