#include "guest/socktable.h"

#include "wire/message.h"

#include <arpa/inet.h>
#include <linux/inet_diag.h>
#include <linux/netlink.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { FIRST_CAPACITY = 32, LINE_MAX_ = 256, V4_SIZE = 4, V6_SIZE = 16 };

int socktable_add(struct socktable *table, const struct sock *sock)
{
	size_t capacity = table->capacity ? table->capacity * 2 : FIRST_CAPACITY;
	struct sock *grown;

	if (sock->port == 0 || table->count == WIRE_PORTS_MAX)
		return 0;
	if (table->count == table->capacity) {
		grown = realloc(table->socks, capacity * sizeof(*grown));
		if (!grown)
			return -ENOMEM;
		table->socks = grown;
		table->capacity = capacity;
	}
	table->socks[table->count++] = *sock;
	return 0;
}

void socktable_clear(struct socktable *table)
{
	free(table->socks);
	*table = (struct socktable){0};
}

static unsigned state_of(uint8_t protocol)
{
	return protocol == IPPROTO_TCP ? TCP_LISTEN : TCP_CLOSE;
}

/* An IPv4 address that an IPv6 socket is bound to is one. */
static void unmap(struct sock *sock)
{
	static const uint8_t mapped[] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};

	if (sock->family != AF_INET6 || memcmp(sock->address, mapped, sizeof(mapped)) != 0)
		return;
	sock->family = AF_INET;
	memmove(sock->address, sock->address + sizeof(mapped), V4_SIZE);
	memset(sock->address + V4_SIZE, 0, V6_SIZE - V4_SIZE);
}

static bool is_wildcard(const struct sock *sock)
{
	static const uint8_t zero[V6_SIZE];

	return memcmp(sock->address, zero, sizeof(zero)) == 0;
}

/* Whether it takes IPv6 only, which the kernel tells of those that may take both. */
static bool find_flag(bool *ret, const uint8_t *at, size_t size)
{
	struct nlattr attribute;

	while (size >= sizeof(attribute)) {
		memcpy(&attribute, at, sizeof(attribute));
		if (attribute.nla_len < sizeof(attribute) || attribute.nla_len > size)
			return false;
		if (attribute.nla_type == INET_DIAG_SKV6ONLY && attribute.nla_len > sizeof(attribute)) {
			*ret = at[sizeof(attribute)];
			return true;
		}
		if ((size_t)NLA_ALIGN(attribute.nla_len) >= size)
			return false;
		at += (size_t)NLA_ALIGN(attribute.nla_len);
		size -= (size_t)NLA_ALIGN(attribute.nla_len);
	}
	return false;
}

int socktable_add_diag(struct socktable *table, uint8_t protocol, const void *bytes, size_t size)
{
	struct sock sock = {.protocol = protocol};
	struct inet_diag_msg message;

	if (size < sizeof(message))
		return 0;
	memcpy(&message, bytes, sizeof(message));
	if (message.idiag_state != state_of(protocol) ||
	    (message.idiag_family != AF_INET && message.idiag_family != AF_INET6))
		return 0;
	sock.family = message.idiag_family;
	sock.port = ntohs(message.id.idiag_sport);
	sock.inode = message.idiag_inode;
	memcpy(sock.address, message.id.idiag_src, sock.family == AF_INET ? V4_SIZE : V6_SIZE);
	if (find_flag(&sock.only_v6, (const uint8_t *)bytes + sizeof(message), size - sizeof(message)))
		table->has_v6_flags = true;
	unmap(&sock);
	return socktable_add(table, &sock);
}

/* Hexadecimal digits of words that the kernel prints as numbers of this machine. */
static bool parse_address(struct sock *sock, const char *hex)
{
	size_t words = strlen(hex) / 8;
	char digits[9] = {0};

	if (strlen(hex) != (sock->family == AF_INET ? 8u : 32u))
		return false;
	for (size_t i = 0; i < words; i++) {
		uint32_t word = 0;

		memcpy(digits, hex + 8 * i, 8);
		if (text_to_u32(&word, digits, 16) < 0)
			return false;
		memcpy(sock->address + 4 * i, &word, sizeof(word));
	}
	return true;
}

/* "0: 0100007F:1F90 00000000:0000 0A 0:0 00:0 0 uid 0 inode …" */
static bool parse_line(struct sock *sock, char *line)
{
	const char *fields[10] = {0};
	uint32_t port = 0, state = 0;
	char *address, *word;
	size_t count = 0;

	while (count < COUNT_OF(fields) && (word = strsep(&line, " "))) {
		if (*word)
			fields[count++] = word;
	}
	if (count < COUNT_OF(fields) || text_to_u32(&state, fields[3], 16) < 0 || state != state_of(sock->protocol))
		return false;
	address = strdup(fields[1]);
	word = address ? strchr(address, ':') : NULL;
	if (word)
		*word++ = '\0';
	if (!word || !parse_address(sock, address) || text_to_u32(&port, word, 16) < 0 || port > UINT16_MAX ||
	    text_to_u32(&sock->inode, fields[9], 10) < 0)
		port = 0;
	free(address);
	sock->port = (uint16_t)port;
	return port > 0;
}

int socktable_add_lines(struct socktable *table, uint8_t protocol, uint8_t family, const char *lines)
{
	char line[LINE_MAX_];
	int result = 0;

	for (; *lines && result == 0; lines += strcspn(lines, "\n"), lines += *lines == '\n') {
		struct sock sock = {.protocol = protocol, .family = family};
		size_t length = strcspn(lines, "\n");

		length = length < sizeof(line) - 1 ? length : sizeof(line) - 1;
		memcpy(line, lines, length);
		line[length] = '\0';
		if (!parse_line(&sock, line))
			continue;
		unmap(&sock);
		result = socktable_add(table, &sock);
	}
	return result;
}

static int compare(const void *left, const void *right)
{
	const struct sock *a = left, *b = right;

	if (a->protocol != b->protocol)
		return a->protocol < b->protocol ? -1 : 1;
	if (a->port != b->port)
		return a->port < b->port ? -1 : 1;
	if (a->family != b->family)
		return a->family < b->family ? -1 : 1;
	if (memcmp(a->address, b->address, sizeof(a->address)) != 0)
		return memcmp(a->address, b->address, sizeof(a->address));
	return a->inode < b->inode ? -1 : a->inode > b->inode;
}

static void sort(struct socktable *table)
{
	if (table->count > 0)
		qsort(table->socks, table->count, sizeof(table->socks[0]), compare);
}

void socktable_inherit(struct socktable *table, struct socktable *older, uint64_t now_ms)
{
	sort(table);
	sort(older);
	for (size_t i = 0; i < table->count; i++) {
		struct sock *sock = &table->socks[i], *same = NULL;

		if (older->count > 0)
			same = bsearch(sock, older->socks, older->count, sizeof(*sock), compare);
		sock->since_ms = same ? same->since_ms : now_ms;
		if (!same)
			continue;
		sock->searched = same->searched;
		sock->pid = same->pid;
		sock->owner = same->owner;
		memcpy(sock->name, same->name, sizeof(sock->name));
	}
}

static bool is_of_client(const struct sock *sock, const struct socktable_range *clients)
{
	return sock->protocol == IPPROTO_UDP && sock->port >= clients->first && sock->port <= clients->last;
}

static bool counts(const struct sock *sock, uint64_t now_ms, const struct socktable_range *clients)
{
	return !is_of_client(sock, clients) || now_ms - sock->since_ms >= SOCKTABLE_STAYS_MS;
}

uint64_t socktable_due(const struct socktable *table, uint64_t now_ms, const struct socktable_range *clients)
{
	uint64_t due = UINT64_MAX;

	for (size_t i = 0; i < table->count; i++) {
		const struct sock *sock = &table->socks[i];
		uint64_t left = sock->since_ms + SOCKTABLE_STAYS_MS - now_ms;

		if (!counts(sock, now_ms, clients) && left < due)
			due = left;
	}
	return due;
}

/* An IPv6 wildcard that takes IPv4 too, as it is where the machine's programs ask for no other. */
static bool takes_both(const struct socktable *table, const struct sock *sock)
{
	if (sock->family != AF_INET6 || !is_wildcard(sock))
		return false;
	if (table->has_v6_flags)
		return !sock->only_v6;
	for (size_t i = 0; i < table->count; i++) {
		const struct sock *other = &table->socks[i];

		if (other->family == AF_INET && other->protocol == sock->protocol && other->port == sock->port &&
		    is_wildcard(other))
			return false;
	}
	return true;
}

static int add_text(struct text_list *list, const struct sock *sock, const char *address)
{
	char text[WIRE_PORT_TEXT_MAX];

	snprintf(text, sizeof(text), "%s %s %u %u %s", sock->protocol == IPPROTO_TCP ? "tcp" : "udp", address,
		 sock->port, sock->pid, sock->name);
	return list->count < WIRE_PORTS_MAX ? text_list_add(list, text) : 0;
}

/* Several may share an address (SO_REUSEPORT): the one that is known best speaks for them. */
static bool is_same_place(const struct sock *a, const struct sock *b)
{
	return a->protocol == b->protocol && a->port == b->port && a->family == b->family &&
	       memcmp(a->address, b->address, sizeof(a->address)) == 0;
}

int socktable_texts(struct text_list *ret, const struct socktable *table, uint64_t now_ms,
		    const struct socktable_range *clients)
{
	auto_text_list struct text_list list = {0};
	const struct sock *last = NULL;
	char address[INET6_ADDRSTRLEN];
	int result = 0;

	for (size_t i = 0; i < table->count && result == 0; i++) {
		const struct sock *sock = &table->socks[i];

		if (!counts(sock, now_ms, clients) || (last && is_same_place(last, sock)))
			continue;
		last = sock;
		inet_ntop(sock->family, sock->address, address, sizeof(address));
		result = add_text(&list, sock, address);
		if (result == 0 && takes_both(table, sock))
			result = add_text(&list, sock, "0.0.0.0");
	}
	if (result < 0)
		return result;
	text_list_clear(ret);
	*ret = list;
	list = (struct text_list){0};
	return 0;
}
