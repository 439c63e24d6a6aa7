#include "network/services.h"

#include "base/text.h"
#include "wire/message.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

static bool parse_protocol(uint8_t *ret, const char *text)
{
	if (text_equal(text, "tcp"))
		*ret = IPPROTO_TCP;
	else if (text_equal(text, "udp"))
		*ret = IPPROTO_UDP;
	else
		return false;
	return true;
}

/* Only as inet_ntop() writes it: what is equal is to be equal as text. */
static bool is_address(const char *text)
{
	char again[INET6_ADDRSTRLEN];
	struct in6_addr v6;
	struct in_addr v4;

	if (inet_pton(AF_INET, text, &v4) == 1)
		return inet_ntop(AF_INET, &v4, again, sizeof(again)) && strcmp(text, again) == 0;
	return inet_pton(AF_INET6, text, &v6) == 1 && inet_ntop(AF_INET6, &v6, again, sizeof(again)) &&
	       strcmp(text, again) == 0;
}

/* "tcp ADDRESS PORT PID PROGRAM", which is taken apart in place. */
static bool parse(struct port_socket *ret, char *text)
{
	const char *protocol = strsep(&text, " "), *address = strsep(&text, " "), *port = strsep(&text, " "),
		   *pid = strsep(&text, " ");
	uint32_t number = 0;

	if (!pid || !text || !parse_protocol(&ret->protocol, protocol) || !is_address(address) ||
	    text_to_u32(&number, port, 10) < 0 || number == 0 || number > UINT16_MAX ||
	    text_to_u32(&ret->pid, pid, 10) < 0)
		return false;
	ret->port = (uint16_t)number;
	ret->address = address;
	ret->process = text;
	/* It ends up in lists on somebody's terminal. */
	for (; *text; text++) {
		if (*text < ' ' || *text > '~')
			*text = '?';
	}
	return true;
}

static int compare(const void *left, const void *right)
{
	const struct port_socket *a = left, *b = right;

	if (a->protocol != b->protocol)
		return a->protocol < b->protocol ? -1 : 1;
	if (a->port != b->port)
		return a->port < b->port ? -1 : 1;
	return strcmp(a->address, b->address);
}

static void sort(struct services *services)
{
	size_t kept = 0;

	if (services->count == 0)
		return;
	qsort(services->sockets, services->count, sizeof(services->sockets[0]), compare);
	for (size_t i = 1; i < services->count; i++) {
		if (compare(&services->sockets[kept], &services->sockets[i]) != 0)
			services->sockets[++kept] = services->sockets[i];
	}
	services->count = kept + 1;
}

static int fill(struct services *services, const char *const *texts)
{
	char *at = services->texts;

	for (; *texts; texts++) {
		size_t size = strlen(*texts) + 1;

		memcpy(at, *texts, size);
		if (!parse(&services->sockets[services->count], at))
			return -EPROTO;
		services->count++;
		at += size;
	}
	return 0;
}

int services_parse(struct services *ret, const char *const *texts)
{
	struct services services = {0};
	size_t count = 0, bytes = 0;
	int result;

	for (; texts[count]; count++) {
		size_t size = strlen(texts[count]) + 1;

		if (count == WIRE_PORTS_MAX || size > WIRE_PORT_TEXT_MAX)
			return -EPROTO;
		bytes += size;
	}
	services.sockets = calloc(count + 1, sizeof(services.sockets[0]));
	services.texts = malloc(bytes + 1);
	result = services.sockets && services.texts ? fill(&services, texts) : -ENOMEM;
	if (result < 0) {
		services_clear(&services);
		return result;
	}
	sort(&services);
	*ret = services;
	return 0;
}

void services_clear(struct services *services)
{
	free(services->sockets);
	free(services->texts);
	*services = (struct services){0};
}

/* The lower, the rather. */
static int rank(const char *address)
{
	if (strchr(address, ':'))
		return strcmp(address, "::") == 0 ? 3 : strcmp(address, "::1") == 0 ? 4 : 5;
	return strcmp(address, "0.0.0.0") == 0 ? 0 : text_starts(address, "127.") ? 1 : 2;
}

const char *services_address(const struct services *services, uint8_t protocol, uint16_t port)
{
	const char *best = NULL;

	for (size_t i = 0; i < services->count; i++) {
		const struct port_socket *at = &services->sockets[i];

		if (at->protocol == protocol && at->port == port && (!best || rank(at->address) < rank(best)))
			best = at->address;
	}
	if (!best)
		return "";
	return strcmp(best, "0.0.0.0") == 0 ? "127.0.0.1" : strcmp(best, "::") == 0 ? "::1" : best;
}
