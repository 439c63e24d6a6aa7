#include "network/publish.h"

#include "base/text.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

static const char form[] = "a port is [IP:]HOST:GUEST[/udp], such as 8080:80 or 0.0.0.0:5353:53/udp";

/* A text that is taken apart; each part is NUL-terminated, or NULL where it is not given. */
struct parts {
	char copy[PUBLISH_TEXT_LIMIT];
	char *address, *host, *guest, *protocol;
};

/* "[::1]:8080:80": what is behind the bracket. */
static int split_bracket(char **ret_rest, struct parts *parts, const char *text, struct annex_error **err)
{
	char *end = strchr(parts->copy, ']');

	if (!end || end[1] != ':')
		return fail(err, ANNEX_ERROR_USAGE, "'%s': there must be ']:' behind an IPv6 address", text);
	*end = '\0';
	parts->address = parts->copy + 1;
	*ret_rest = end + 2;
	return 0;
}

static int split(struct parts *parts, const char *text, struct annex_error **err)
{
	char *rest = parts->copy, *words[3] = {NULL};
	size_t count = 0;

	if (strlen(text) >= sizeof(parts->copy))
		return fail(err, ANNEX_ERROR_USAGE, "a published port of %zu bytes is too long", strlen(text));
	memcpy(parts->copy, text, strlen(text) + 1);
	parts->protocol = strchr(parts->copy, '/');
	if (parts->protocol)
		*parts->protocol++ = '\0';
	if (*rest == '[' && split_bracket(&rest, parts, text, err) < 0)
		return -1;
	for (char *word = rest; word; count++) {
		if (count == (parts->address ? 2 : 3))
			return fail(err, ANNEX_ERROR_USAGE, "'%s' has too many ':'; IPv6 addresses are in brackets: %s",
				    text, "[::1]:8080:80");
		words[count] = word;
		word = strchr(word, ':');
		if (word)
			*word++ = '\0';
	}
	if (count == 3)
		parts->address = words[0];
	parts->host = count == 3 ? words[1] : words[0];
	parts->guest = count == 1 ? NULL : words[count - 1];
	return 0;
}

static int parse_protocol(int *ret, const char *word, struct annex_error **err)
{
	if (strcasecmp(word, "tcp") != 0 && strcasecmp(word, "udp") != 0)
		return fail(err, ANNEX_ERROR_USAGE, "'%s' is no protocol that can be published: tcp or udp", word);
	*ret = strcasecmp(word, "tcp") == 0 ? IPPROTO_TCP : IPPROTO_UDP;
	return 0;
}

static bool is_for_many(const struct packet_address *address)
{
	return address->v6 ? IN6_IS_ADDR_MULTICAST(&address->of.v6_)
			   : IN_MULTICAST(ntohl(address->of.v4.s_addr)) || address->of.v4.s_addr == INADDR_BROADCAST;
}

static int parse_address(struct packet_address *ret, const char *word, struct annex_error **err)
{
	if (inet_pton(AF_INET, word, &ret->of.v4) == 1) {
		ret->v6 = false;
	} else if (inet_pton(AF_INET6, word, &ret->of.v6_) == 1) {
		ret->v6 = true;
		if (IN6_IS_ADDR_V4MAPPED(&ret->of.v6_))
			return fail(err, ANNEX_ERROR_USAGE, "'%s' is an IPv4 address: write it as one", word);
	} else {
		fail(err, ANNEX_ERROR_USAGE, "'%s' is no address of this host", word);
		if (!*word || strcmp(word, "*") == 0)
			return fail_hint(err, "0.0.0.0:HOST:GUEST is reachable by everybody; HOST:GUEST at %s only",
					 PUBLISH_DEFAULT);
		if (strcasecmp(word, "localhost") == 0)
			return fail_hint(err, "HOST:GUEST alone is at %s", PUBLISH_DEFAULT);
		return -1;
	}
	return is_for_many(ret) ? fail(err, ANNEX_ERROR_USAGE, "nothing can listen at '%s'", word) : 0;
}

static int parse_number(uint32_t *ret, const char *digits, size_t length, const char *word, struct annex_error **err)
{
	char copy[8] = "";

	if (length < sizeof(copy))
		memcpy(copy, digits, length);
	if (text_to_u32(ret, copy, 10) < 0 || *ret > UINT16_MAX)
		return fail(err, ANNEX_ERROR_USAGE, "'%s' is no port: 1 to 65535, or two with '-' between them", word);
	return 0;
}

/* "8080" or "8000-8010". */
static int parse_range(uint16_t *ret_first, uint16_t *ret_count, const char *word, struct annex_error **err)
{
	size_t length = strcspn(word, "-");
	uint32_t first = 0, last = 0;

	if (parse_number(&first, word, length, word, err) < 0)
		return -1;
	last = first;
	if (word[length] && parse_number(&last, word + length + 1, strlen(word + length + 1), word, err) < 0)
		return -1;
	if (last < first)
		return fail(err, ANNEX_ERROR_USAGE, "the range '%s' ends before it begins", word);
	if (word[length] && first == 0)
		return fail(err, ANNEX_ERROR_USAGE, "the range '%s' begins with 0, which is no port", word);
	if (last - first >= PUBLISH_PORTS_MAX)
		return fail(err, ANNEX_ERROR_USAGE, "the range '%s' has more than %u ports", word, PUBLISH_PORTS_MAX);
	*ret_first = (uint16_t)first;
	*ret_count = (uint16_t)(last - first + 1);
	return 0;
}

static int parse_guest(struct publish *made, const char *host, const char *guest, struct annex_error **err)
{
	uint16_t count = 0;

	if (!*guest)
		return fail(err, ANNEX_ERROR_USAGE, "the port of the machine is missing");
	/* "127.0.0.1:8080" */
	if (strchr(host, '.'))
		return fail(err, ANNEX_ERROR_USAGE, "behind '%s' there must be two ports: the host's and the machine's",
			    host);
	if (parse_range(&made->guest, &count, guest, err) < 0)
		return -1;
	if (made->guest == 0)
		return fail(err, ANNEX_ERROR_USAGE, "0 is no port of the machine");
	if (made->host != 0 && count != made->count)
		return fail(err, ANNEX_ERROR_USAGE, "'%s' and '%s' are not as many ports", host, guest);
	made->count = count;
	return 0;
}

static int parse_parts(struct publish *made, const struct parts *parts, bool is_pattern, struct annex_error **err)
{
	const char *host = parts->host;

	made->protocol = IPPROTO_TCP;
	if ((parts->protocol && parse_protocol(&made->protocol, parts->protocol, err) < 0) ||
	    parse_address(&made->address, parts->address ? parts->address : PUBLISH_DEFAULT, err) < 0)
		return -1;
	made->count = 1;
	if (*host && !(parts->guest && strchr(host, '.')) && parse_range(&made->host, &made->count, host, err) < 0)
		return -1;
	if (parts->guest)
		return parse_guest(made, host, parts->guest, err);
	if (made->host == 0)
		return fail(err, ANNEX_ERROR_USAGE, *host ? "'%s' is no port of the machine" : "there is no port%s",
			    host);
	made->guest = is_pattern ? 0 : made->host;
	return 0;
}

int publish_parse(struct publish *ret, const char *text, struct annex_error **err)
{
	struct publish made = {0};
	struct parts parts = {0};

	if (split(&parts, text, err) < 0 || parse_parts(&made, &parts, false, err) < 0)
		return fail_hint(err, "%s", form);
	*ret = made;
	return 0;
}

int publish_pattern_parse(struct publish_pattern *ret, const char *text, struct annex_error **err)
{
	struct publish_pattern made = {0};
	struct parts parts = {0};

	if (split(&parts, text, err) < 0 || parse_parts(&made.publish, &parts, true, err) < 0)
		return fail_hint(err, "%s", form);
	made.any_address = !parts.address;
	made.any_guest = !parts.guest;
	made.any_protocol = !parts.protocol;
	*ret = made;
	return 0;
}

static int compare_numbers(uint32_t a, uint32_t b)
{
	return (a > b) - (a < b);
}

static int compare_addresses(const struct packet_address *a, const struct packet_address *b)
{
	if (a->v6 != b->v6)
		return a->v6 ? 1 : -1;
	return a->v6 ? memcmp(&a->of.v6_, &b->of.v6_, sizeof(a->of.v6_))
		     : memcmp(&a->of.v4, &b->of.v4, sizeof(a->of.v4));
}

int publish_compare(const struct publish *a, const struct publish *b)
{
	int order = compare_numbers(a->host, b->host);

	if (order == 0)
		order = compare_addresses(&a->address, &b->address);
	if (order == 0)
		order = compare_numbers((uint32_t)a->protocol, (uint32_t)b->protocol);
	if (order == 0)
		order = compare_numbers(a->guest, b->guest);
	return order ? order : compare_numbers(a->count, b->count);
}

bool publish_takes_place(const struct publish *a, const struct publish *b)
{
	return a->protocol == b->protocol && a->host == b->host && a->count == b->count &&
	       compare_addresses(&a->address, &b->address) == 0 && (a->host != 0 || a->guest == b->guest);
}

static bool is_any(const struct packet_address *address)
{
	return address->v6 ? IN6_IS_ADDR_UNSPECIFIED(&address->of.v6_) : address->of.v4.s_addr == INADDR_ANY;
}

bool publish_collides(const struct publish *a, const struct publish *b)
{
	if (a->protocol != b->protocol || a->address.v6 != b->address.v6)
		return false;
	if (!is_any(&a->address) && !is_any(&b->address) && compare_addresses(&a->address, &b->address) != 0)
		return false;
	/* Free ones are never alike, but they would be the same words. */
	if (a->host == 0 || b->host == 0)
		return a->host == b->host && a->guest < b->guest + b->count && b->guest < a->guest + a->count;
	return a->host < b->host + b->count && b->host < a->host + a->count;
}

bool publish_matches(const struct publish_pattern *pattern, const struct publish *publish)
{
	const struct publish *wanted = &pattern->publish;

	return wanted->host == publish->host && wanted->count == publish->count &&
	       (pattern->any_guest || wanted->guest == publish->guest) &&
	       (pattern->any_protocol || wanted->protocol == publish->protocol) &&
	       (pattern->any_address || compare_addresses(&wanted->address, &publish->address) == 0);
}

static const char *address_text(char buffer[INET6_ADDRSTRLEN], const struct packet_address *address)
{
	return address->v6 ? inet_ntop(AF_INET6, &address->of.v6_, buffer, INET6_ADDRSTRLEN)
			   : inet_ntop(AF_INET, &address->of.v4, buffer, INET6_ADDRSTRLEN);
}

const char *publish_place(char buffer[PUBLISH_PLACE_TEXT], const struct packet_address *address, uint16_t port,
			  int protocol)
{
	char of[INET6_ADDRSTRLEN] = "";

	snprintf(buffer, PUBLISH_PLACE_TEXT, address->v6 ? "[%s]:%u%s" : "%s:%u%s", address_text(of, address), port,
		 protocol == IPPROTO_UDP ? "/udp" : "");
	return buffer;
}

static void add_range(struct text *text, unsigned first, unsigned count)
{
	text_printf(text, "%u", first);
	if (count > 1 && first > 0)
		text_printf(text, "-%u", first + count - 1);
}

char *publish_text(const struct publish *publish)
{
	auto_text struct text text = {0};
	char buffer[INET6_ADDRSTRLEN] = "";
	const char *address = address_text(buffer, &publish->address);

	if (!text_equal(address, PUBLISH_DEFAULT))
		text_printf(&text, publish->address.v6 ? "[%s]:" : "%s:", address);
	add_range(&text, publish->host, publish->count);
	text_add_char(&text, ':');
	add_range(&text, publish->guest, publish->count);
	if (publish->protocol == IPPROTO_UDP)
		text_add(&text, "/udp");
	return text_take(&text);
}
