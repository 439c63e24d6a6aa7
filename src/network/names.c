/*
 * The zones annex.internal, 19.198.in-addr.arpa and that of fd61:6e6e:6578::/64 are annex's: what they have not does
 * not exist. Who runs is found out with each question, so answers hold for seconds.
 *
 * Names of /etc/hosts that lead to the host's loopback can't be passed on as they are, as inside they would lead to the
 * machine itself. They lead to where the host's loopback is for it, the router's address, if it may go there; addresses
 * of machines' ports (127.88.x.y) to the machine. The host's localhost is not meant: every system has its own.
 */
#include "network/names.h"

#include "base/text.h"
#include "network/address.h"
#include "network/reserved.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>

#define ZONE4     "19.198.in-addr.arpa"
#define ZONE6     "0.0.0.0.8.7.5.6.e.6.e.6.1.6.d.f.ip6.arpa"
#define NIBBLES   32u
#define NAME_MOST 253u

struct host {
	char *name; /* lower case */
	struct packet_address address;
	size_t line;
};

struct names {
	struct dns_options options;
	char *own;
	struct host *hosts; /* by name; of one, as in the file */
	size_t count;
};

static void free_hosts(struct host *hosts, size_t count)
{
	for (size_t i = 0; i < count; i++)
		free(hosts[i].name);
	free(hosts);
}

int names_new(struct names **ret, const struct dns_options *options)
{
	auto_names struct names *names = calloc(1, sizeof(*names));

	if (!names || text_copy(&names->own, options->name) < 0)
		return -ENOMEM;
	names->options = *options;
	*ret = TAKE(names);
	return 0;
}

void names_free(struct names *names)
{
	if (!names)
		return;
	free_hosts(names->hosts, names->count);
	free(names->own);
	free(names);
}

static int compare_hosts(const void *a_, const void *b_)
{
	const struct host *a = a_, *b = b_;
	int order = strcmp(a->name, b->name);

	if (order == 0 && a->line != b->line)
		return a->line < b->line ? -1 : 1;
	return order;
}

/* A scope says nothing in a machine: what needs one can't be reached from there. */
static bool parse_address(struct packet_address *ret, const char *text)
{
	*ret = (struct packet_address){.v6 = strchr(text, ':') != NULL};
	return inet_pton(ret->v6 ? AF_INET6 : AF_INET, text, &ret->of) == 1;
}

struct hosts {
	struct host *items;
	size_t count, capacity;
};

static int add_host(struct hosts *hosts, const char *name, const struct packet_address *address, size_t line)
{
	struct host *made;
	size_t size = strlen(name);

	if (size > 1 && name[size - 1] == '.')
		size--;
	if (size == 0 || size > NAME_MOST)
		return 0;
	if (hosts->count == hosts->capacity) {
		size_t capacity = hosts->capacity ? hosts->capacity * 2 : 16;
		struct host *grown = reallocarray(hosts->items, capacity, sizeof(*grown));

		if (!grown)
			return -ENOMEM;
		hosts->items = grown;
		hosts->capacity = capacity;
	}
	made = &hosts->items[hosts->count];
	*made = (struct host){.name = strndup(name, size), .address = *address, .line = line};
	if (!made->name)
		return -ENOMEM;
	for (char *c = made->name; *c; c++)
		*c = (char)tolower((unsigned char)*c);
	hosts->count++;
	return 0;
}

static int add_line(struct hosts *hosts, const char *line, size_t number)
{
	auto_free char *copy = NULL;
	char *rest, *word;
	struct packet_address address;
	int result = 0;

	if (text_copy(&copy, line) < 0)
		return -ENOMEM;
	copy[strcspn(copy, "#")] = '\0';
	word = strtok_r(copy, " \t\r\n", &rest);
	if (!word || !parse_address(&address, word))
		return 0;
	while (result == 0 && (word = strtok_r(NULL, " \t\r\n", &rest)))
		result = add_host(hosts, word, &address, number);
	return result;
}

int names_set_hosts(struct names *names, const char *const *lines)
{
	struct hosts hosts = {0};

	for (size_t i = 0; lines && lines[i]; i++) {
		if (add_line(&hosts, lines[i], i) < 0) {
			free_hosts(hosts.items, hosts.count);
			return -ENOMEM;
		}
	}
	if (hosts.count > 1)
		qsort(hosts.items, hosts.count, sizeof(*hosts.items), compare_hosts);
	free_hosts(names->hosts, names->count);
	names->hosts = hosts.items;
	names->count = hosts.count;
	return 0;
}

static bool below(const char *name, const char *zone)
{
	size_t size = strlen(name), under = strlen(zone);

	return size >= under && strcasecmp(name + size - under, zone) == 0 &&
	       (size == under || name[size - under - 1] == '.');
}

/* The host has no IPv6 address by name: most of what it has for itself listens at 127.0.0.1 only, and not every program
 * tries a second address. */
static void add_place(const struct question *question, struct reply *reply, uint32_t place)
{
	struct packet_address address = {.of.v4 = place_guest(place)};
	struct packet_address address6 = {.v6 = true, .of.v6_ = place_guest6(place)};

	if (question->type == ns_t_a || question->type == ns_t_any)
		reply_add_address(reply, "", NAMES_TTL, &address);
	if (place != PLACE_GATEWAY && (question->type == ns_t_aaaa || question->type == ns_t_any))
		reply_add_address(reply, "", NAMES_TTL, &address6);
}

/* What does not exist, or has nothing of this type. */
static void deny(struct reply *reply, const char *zone, bool exists)
{
	reply->flags |= REPLY_AUTHORITATIVE | (exists ? ns_r_noerror : ns_r_nxdomain);
	if (reply->counts[ns_s_an] == 0)
		reply_add_zone(reply, zone, NAMES_TTL);
}

static bool find_place(const struct names *names, uint32_t *ret, const char *label)
{
	const struct dns_options *options = &names->options;

	if (strcmp(label, names->own) == 0) {
		*ret = options->place;
		return true;
	}
	if (strcmp(label, "host") == 0) {
		*ret = PLACE_GATEWAY;
		return policy_has_host_access(options->policy);
	}
	return !policy_is_isolated(options->policy) && options->find && options->find(ret, label, options->data);
}

static void answer_domain(const struct names *names, const struct question *question, struct reply *reply)
{
	size_t size = strlen(question->name) - strlen(ADDRESS_DOMAIN);
	char label[DNS_NAME_SIZE] = "";
	uint32_t place;
	bool exists = size == 0;

	/* With the dot between the two. */
	if (size > 1 && size <= sizeof(label)) {
		for (size_t i = 0; i < size - 1; i++)
			label[i] = (char)tolower((unsigned char)question->name[i]);
		exists = !strpbrk(label, ".\\/") && find_place(names, &place, label);
		if (exists)
			add_place(question, reply, place);
	}
	if (size == 0 && question->type == ns_t_soa)
		reply_add_zone(reply, ADDRESS_DOMAIN, NAMES_TTL);
	deny(reply, ADDRESS_DOMAIN, exists);
}

/* The name of an address of this network; the caller's buffer. */
static bool name_place(const struct names *names, char ret[DNS_NAME_SIZE], uint32_t place)
{
	const struct dns_options *options = &names->options;

	if (place == PLACE_GATEWAY) {
		memcpy(ret, "host", sizeof("host"));
		return policy_has_host_access(options->policy);
	}
	if (place == options->place) {
		*ret = '\0';
		strncat(ret, names->own, DNS_NAME_SIZE - 1);
		return true;
	}
	return !policy_is_isolated(options->policy) && options->name_of && options->name_of(ret, place, options->data);
}

/* "7.3.19.198.in-addr.arpa"; false: it is no whole address. */
static bool parse_reverse4(uint32_t *ret, const char *name)
{
	uint32_t bytes[2] = {0, 0};

	for (size_t i = 0; i < COUNT_OF(bytes); i++) {
		size_t digits = strspn(name, "0123456789");

		if (digits == 0 || digits > 3 || name[digits] != '.' || (digits > 1 && *name == '0'))
			return false;
		for (size_t j = 0; j < digits; j++)
			bytes[i] = bytes[i] * 10 + (uint32_t)(name[j] - '0');
		if (bytes[i] > 255)
			return false;
		name += digits + 1;
	}
	*ret = bytes[1] << 8 | bytes[0];
	return strcasecmp(name, ZONE4) == 0;
}

static bool parse_reverse6(uint32_t *ret, const char *name)
{
	struct in6_addr address = {0};

	for (unsigned i = 0; i < NIBBLES; i++, name += 2) {
		const char *digits = "0123456789abcdef",
			   *found = *name ? strchr(digits, tolower((unsigned char)*name)) : NULL;

		if (!found || name[1] != '.')
			return false;
		address.s6_addr[15 - i / 2] |= (uint8_t)((found - digits) << (i % 2 ? 4 : 0));
	}
	return strcasecmp(name, "ip6.arpa") == 0 && place_of_guest6(ret, &address);
}

static void answer_reverse(const struct names *names, const struct question *question, struct reply *reply,
			   const char *zone, bool whole, uint32_t place)
{
	char name[DNS_NAME_SIZE], full[DNS_NAME_SIZE + sizeof(ADDRESS_DOMAIN) + 1];
	/* The zone, and the steps between it and its addresses, have no records but are there. */
	bool exists = !whole;

	if (whole && name_place(names, name, place)) {
		exists = true;
		snprintf(full, sizeof(full), "%s." ADDRESS_DOMAIN, name);
		if (question->type == ns_t_ptr || question->type == ns_t_any)
			reply_add_name(reply, ns_s_an, "", ns_t_ptr, NAMES_TTL, full);
	}
	deny(reply, zone, exists);
}

static void answer_localhost(const struct question *question, struct reply *reply)
{
	struct packet_address address = {.of.v4 = {htonl(INADDR_LOOPBACK)}};
	struct packet_address address6 = {.v6 = true, .of.v6_ = in6addr_loopback};

	if (question->type == ns_t_a || question->type == ns_t_any)
		reply_add_address(reply, "", NAMES_TTL, &address);
	if (question->type == ns_t_aaaa || question->type == ns_t_any)
		reply_add_address(reply, "", NAMES_TTL, &address6);
	deny(reply, "localhost", true);
}

bool names_answer_zone(struct names *names, const struct question *question, struct reply *reply)
{
	const char *name = question->name;
	uint32_t place = 0;
	bool whole;

	if (strcasecmp(name, names->own) == 0) {
		add_place(question, reply, names->options.place);
		deny(reply, name, true);
	} else if (below(name, ADDRESS_DOMAIN)) {
		answer_domain(names, question, reply);
	} else if (below(name, ZONE4)) {
		whole = parse_reverse4(&place, name);
		answer_reverse(names, question, reply, ZONE4, whole, place);
	} else if (below(name, ZONE6)) {
		whole = parse_reverse6(&place, name);
		answer_reverse(names, question, reply, ZONE6, whole, place);
	} else if (below(name, "localhost")) {
		answer_localhost(question, reply);
	} else {
		return false;
	}
	return true;
}

static bool is_loopback(const struct packet_address *address)
{
	return address->v6 ? IN6_IS_ADDR_LOOPBACK(&address->of.v6_)
			   : ntohl(address->of.v4.s_addr) >> 24 == IN_LOOPBACKNET;
}

/* As systems name their own loopback. */
static bool is_localhost(const char *name)
{
	return text_starts(name, "localhost") || text_starts(name, "ip6-localhost") ||
	       text_starts(name, "ip6-loopback") || below(name, "localhost");
}

/* Where an entry leads from inside. False: nowhere. */
static bool translate(const struct names *names, struct packet_address *ret, const struct host *host)
{
	const struct dns_options *options = &names->options;
	char name[DNS_NAME_SIZE];
	uint32_t place;

	*ret = host->address;
	if (!host->address.v6 && place_of_host(&place, host->address.of.v4)) {
		ret->of.v4 = place_guest(place);
		return place_is_valid(place) && name_place(names, name, place);
	}
	if (!is_loopback(&host->address))
		return policy_may_answer(options->policy, &host->address);
	if (host->address.v6)
		return false;
	ret->of.v4 = place_guest(PLACE_GATEWAY);
	return policy_has_host_access(options->policy) && !is_localhost(host->name);
}

static size_t find_host(const struct names *names, const char *name)
{
	size_t low = 0, high = names->count;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (strcmp(names->hosts[middle].name, name) < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

bool names_answer_host(struct names *names, const struct question *question, struct reply *reply)
{
	char name[NS_MAXDNAME];
	bool known = false;
	size_t i;

	for (i = 0; question->name[i]; i++)
		name[i] = (char)tolower((unsigned char)question->name[i]);
	name[i] = '\0';
	for (i = find_host(names, name); i < names->count && strcmp(names->hosts[i].name, name) == 0; i++) {
		struct packet_address address;
		bool wanted;

		if (!translate(names, &address, &names->hosts[i]))
			continue;
		known = true;
		wanted = question->type == (address.v6 ? ns_t_aaaa : ns_t_a) || question->type == ns_t_any;
		if (!wanted)
			continue;
		policy_learn(names->options.policy, name, &address, NAMES_TTL);
		reply_add_address(reply, "", NAMES_TTL, &address);
	}
	return known;
}
