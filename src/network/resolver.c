/*
 * Each lookup has a socket of its own for each server that it asks, connected to it: the kernel picks a random port,
 * drops what comes from elsewhere, and tells at once when nobody listens. An answer counts when its id and its question
 * are ours. Sockets of servers that were slow stay open until the lookup ends: the first answer wins.
 *
 * Which server is next: the one that was asked least; of those, one that has not lately been silent; of those, the
 * first. That they can't answer (SERVFAIL, REFUSED, NOTIMP) is passed on only when none can.
 *
 * Whatever ends a lookup does so from the loop, never from inside resolver_ask().
 */
#include "network/resolver.h"

#include "base/cleanup.h"
#include "base/text.h"
#include "base/time.h"
#include "loop/stream.h"

#include <arpa/inet.h>
#include <assert.h>
#include <string.h>
#include <sys/random.h>

#define LENGTH 2u /* of a message over TCP */

struct server {
	struct sockaddr_storage address;
	uint64_t down_until_ms;
};

struct attempt {
	struct lookup *lookup;
	unsigned tried;
	bool bad; /* it has answered that it can't */
	int fd;
	struct loop_source *source; /* UDP */
	struct stream *stream;      /* TCP */
};

struct lookup {
	struct resolver *resolver;
	struct lookup *previous, *next;
	struct question question;
	uint16_t id; /* ours */
	bool tcp, deciding;
	uint8_t *message; /* behind its length */
	size_t size;
	uint64_t deadline_ms;
	struct loop_source *timer;
	struct attempt attempts[RESOLVER_SERVER_LIMIT];
	struct attempt *last;
	uint8_t *refusal; /* the first answer that was none */
	size_t refusal_size;
	resolver_fn *fn;
	void *data;
};

struct resolver {
	struct loop *loop;
	struct server servers[RESOLVER_SERVER_LIMIT];
	size_t server_count;
	struct lookup *lookups;
	size_t lookup_count;
	uint8_t *buffer;
};

static void next_server(struct lookup *lookup);

int resolver_new(struct resolver **ret, struct loop *loop)
{
	struct resolver *resolver = calloc(1, sizeof(*resolver));

	if (!resolver)
		return -ENOMEM;
	resolver->loop = loop;
	resolver->buffer = malloc(NS_MAXMSG);
	if (!resolver->buffer) {
		free(resolver);
		return -ENOMEM;
	}
	*ret = resolver;
	return 0;
}

void resolver_free(struct resolver *resolver)
{
	if (!resolver)
		return;
	assert(!resolver->lookups);
	free(resolver->buffer);
	free(resolver);
}

static int parse_v6(struct sockaddr_storage *ret, const char *text, char *scope, uint16_t port)
{
	struct sockaddr_in6 made = {.sin6_family = AF_INET6, .sin6_port = htons(port)};

	if (inet_pton(AF_INET6, text, &made.sin6_addr) != 1)
		return -EINVAL;
	if (scope && text_to_u32(&made.sin6_scope_id, scope, 10) < 0)
		return -EINVAL;
	memcpy(ret, &made, sizeof(made));
	return 0;
}

int resolver_parse_server(struct sockaddr_storage *ret, const char *text)
{
	struct sockaddr_in made = {.sin_family = AF_INET};
	struct sockaddr_storage address = {0};
	auto_free char *copy = NULL;
	char *port_text, *scope;
	uint32_t port = NS_DEFAULTPORT;
	int result = 0;

	if (text_copy(&copy, text) < 0)
		return -ENOMEM;
	port_text = strchr(copy, '#');
	if (port_text)
		*port_text++ = '\0';
	scope = strchr(copy, '%');
	if (scope)
		*scope++ = '\0';
	if (port_text && (text_to_u32(&port, port_text, 10) < 0 || port == 0 || port > UINT16_MAX))
		return -EINVAL;
	made.sin_port = htons((uint16_t)port);
	if (!scope && inet_pton(AF_INET, copy, &made.sin_addr) == 1)
		memcpy(&address, &made, sizeof(made));
	else
		result = parse_v6(&address, copy, scope, (uint16_t)port);
	if (result == 0)
		*ret = address;
	return result;
}

static void close_attempt(struct attempt *attempt)
{
	loop_source_free(attempt->source);
	attempt->source = NULL;
	stream_free(attempt->stream);
	attempt->stream = NULL;
	cleanup_close(&attempt->fd);
	attempt->fd = -EBADF;
}

void resolver_forget(struct lookup *lookup)
{
	struct resolver *resolver;

	if (!lookup)
		return;
	resolver = lookup->resolver;
	if (lookup->previous)
		lookup->previous->next = lookup->next;
	else
		resolver->lookups = lookup->next;
	if (lookup->next)
		lookup->next->previous = lookup->previous;
	resolver->lookup_count--;
	for (size_t i = 0; i < RESOLVER_SERVER_LIMIT; i++)
		close_attempt(&lookup->attempts[i]);
	loop_source_free(lookup->timer);
	free(lookup->message);
	free(lookup->refusal);
	free(lookup);
}

/* `message` may be in the resolver's buffer, or the lookup's. */
static void finish(struct lookup *lookup, uint8_t *message, size_t size)
{
	if (message)
		ns_put16(lookup->question.id, message);
	lookup->fn(message, size, lookup->data);
	resolver_forget(lookup);
}

static struct server *server_of(const struct attempt *attempt)
{
	return &attempt->lookup->resolver->servers[attempt - attempt->lookup->attempts];
}

static void mark_down(const struct attempt *attempt)
{
	server_of(attempt)->down_until_ms = time_monotonic_ms() + RESOLVER_DOWN_MS;
}

/* This server will not answer this question. */
static void give_up(struct attempt *attempt)
{
	struct lookup *lookup = attempt->lookup;

	close_attempt(attempt);
	attempt->bad = true;
	/* While another one has its time, this has no say in what is next. */
	if (!lookup->last || attempt == lookup->last)
		loop_timer_restart(lookup->timer, 0);
}

static bool is_refusal(int code)
{
	return code == ns_r_servfail || code == ns_r_notimpl || code == ns_r_refused;
}

static void keep_refusal(struct lookup *lookup, const uint8_t *message, size_t size)
{
	if (lookup->refusal)
		return;
	lookup->refusal = malloc(size);
	if (!lookup->refusal)
		return;
	memcpy(lookup->refusal, message, size);
	lookup->refusal_size = size;
}

/* False: it was no answer to what was asked. The lookup may be gone if it was. */
static bool take_answer(struct attempt *attempt, uint8_t *message, size_t size)
{
	struct lookup *lookup = attempt->lookup;
	int code = question_match(&lookup->question, lookup->id, message, size);

	if (code < 0)
		return false;
	server_of(attempt)->down_until_ms = 0;
	if (!is_refusal(code)) {
		finish(lookup, message, size);
		return true;
	}
	keep_refusal(lookup, message, size);
	give_up(attempt);
	return true;
}

static void on_datagram(struct loop_source *source, int fd, uint32_t events, void *data)
{
	struct attempt *attempt = data;
	uint8_t *buffer = attempt->lookup->resolver->buffer;
	ssize_t size;

	(void)source;
	(void)events;
	do {
		size = recv(fd, buffer, NS_MAXMSG, MSG_DONTWAIT);
		if (size >= 0 && take_answer(attempt, buffer, (size_t)size))
			return;
	} while (size >= 0 || errno == EINTR);
	if (errno == EAGAIN)
		return;
	/* Nobody listens there, or there is no way. */
	mark_down(attempt);
	give_up(attempt);
}

static int connect_to(const struct server *server, int type)
{
	auto_close int fd = socket(server->address.ss_family, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	if (fd < 0)
		return -errno;
	if (connect(fd, (const struct sockaddr *)&server->address,
		    server->address.ss_family == AF_INET ? sizeof(struct sockaddr_in) : sizeof(struct sockaddr_in6)) <
		    0 &&
	    errno != EINPROGRESS)
		return -errno;
	return TAKE_FD(fd);
}

static int ask_by_udp(struct attempt *attempt)
{
	struct lookup *lookup = attempt->lookup;
	int result = 0;

	if (attempt->fd < 0) {
		attempt->fd = connect_to(server_of(attempt), SOCK_DGRAM);
		if (attempt->fd < 0)
			return attempt->fd;
		result = loop_add_fd(&attempt->source, lookup->resolver->loop, attempt->fd, EPOLLIN, on_datagram,
				     attempt);
	}
	if (result == 0 && send(attempt->fd, lookup->message + LENGTH, lookup->size, MSG_DONTWAIT | MSG_NOSIGNAL) < 0)
		result = -errno;
	return result;
}

static size_t on_stream(struct stream *stream, const void *bytes, size_t size, void *data)
{
	struct attempt *attempt = data;
	uint8_t *buffer = attempt->lookup->resolver->buffer;
	size_t length;

	(void)stream;
	if (size < LENGTH)
		return 0;
	length = ns_get16(bytes);
	if (size < LENGTH + length)
		return 0;
	memcpy(buffer, (const uint8_t *)bytes + LENGTH, length);
	/* One connection is for one question. */
	if (!take_answer(attempt, buffer, length))
		give_up(attempt);
	return 0;
}

static void on_stream_end(struct stream *stream, int os, void *data)
{
	struct attempt *attempt = data;

	(void)stream;
	if (os != 0)
		mark_down(attempt);
	give_up(attempt);
}

static int ask_by_tcp(struct attempt *attempt)
{
	static const struct stream_callbacks callbacks = {.on_data = on_stream, .on_end = on_stream_end};
	struct lookup *lookup = attempt->lookup;
	struct stream_options options = {.callbacks = &callbacks, .data = attempt, .read_cap = LENGTH + NS_MAXMSG};
	int result;

	options.fd_in = connect_to(server_of(attempt), SOCK_STREAM);
	if (options.fd_in < 0)
		return options.fd_in;
	options.fd_out = options.fd_in;
	result = stream_new(&attempt->stream, lookup->resolver->loop, &options);
	if (result < 0) {
		close(options.fd_in);
		return result;
	}
	return stream_write(attempt->stream, lookup->message, LENGTH + lookup->size);
}

static struct attempt *choose(struct lookup *lookup)
{
	const struct resolver *resolver = lookup->resolver;
	uint64_t now = time_monotonic_ms();
	struct attempt *best = NULL;

	for (size_t i = 0; i < resolver->server_count; i++) {
		struct attempt *other = &lookup->attempts[i];
		bool down = resolver->servers[i].down_until_ms > now;

		if (other->bad || other->tried >= (lookup->tcp ? 1 : RESOLVER_ROUNDS))
			continue;
		if (!best || other->tried < best->tried ||
		    (other->tried == best->tried && !down && server_of(best)->down_until_ms > now))
			best = other;
	}
	return best;
}

static bool is_asked(const struct lookup *lookup)
{
	for (size_t i = 0; i < RESOLVER_SERVER_LIMIT; i++) {
		if (lookup->attempts[i].fd >= 0 || lookup->attempts[i].stream)
			return true;
	}
	return false;
}

/* Nobody is left to ask: who was asked may still answer. */
static void wait_or_finish(struct lookup *lookup)
{
	uint64_t now = time_monotonic_ms();

	if (is_asked(lookup) && now < lookup->deadline_ms)
		loop_timer_restart(lookup->timer, lookup->deadline_ms - now);
	else
		finish(lookup, lookup->refusal, lookup->refusal_size);
}

static void next_server(struct lookup *lookup)
{
	struct attempt *attempt;

	while ((attempt = choose(lookup))) {
		attempt->tried++;
		lookup->last = attempt;
		if ((lookup->tcp ? ask_by_tcp(attempt) : ask_by_udp(attempt)) == 0) {
			loop_timer_restart(lookup->timer, lookup->tcp ? RESOLVER_TCP_TRY_MS : RESOLVER_TRY_MS);
			return;
		}
		close_attempt(attempt);
		attempt->bad = true;
		mark_down(attempt);
	}
	lookup->last = NULL;
	wait_or_finish(lookup);
}

static void on_timer(struct loop_source *source, void *data)
{
	struct lookup *lookup = data;

	(void)source;
	if (lookup->last && !lookup->last->bad)
		mark_down(lookup->last);
	next_server(lookup);
}

static int new_lookup(struct lookup **ret, struct resolver *resolver, const uint8_t *message, size_t size)
{
	struct lookup *lookup = calloc(1, sizeof(*lookup));
	int result = -ENOMEM;

	if (!lookup)
		return -ENOMEM;
	lookup->resolver = resolver;
	for (size_t i = 0; i < RESOLVER_SERVER_LIMIT; i++)
		lookup->attempts[i] = (struct attempt){.lookup = lookup, .fd = -EBADF};
	lookup->message = malloc(LENGTH + size);
	if (lookup->message)
		result = loop_add_timer(&lookup->timer, resolver->loop, 0, on_timer, lookup);
	if (result == 0 && getrandom(&lookup->id, sizeof(lookup->id), 0) != sizeof(lookup->id))
		result = -errno;
	if (result < 0) {
		loop_source_free(lookup->timer);
		free(lookup->message);
		free(lookup);
		return result;
	}
	ns_put16((unsigned)size, lookup->message);
	memcpy(lookup->message + LENGTH, message, size);
	ns_put16(lookup->id, lookup->message + LENGTH);
	lookup->size = size;
	*ret = lookup;
	return 0;
}

int resolver_ask(struct lookup **ret, struct resolver *resolver, const uint8_t *message, size_t size,
		 const struct question *question, bool tcp, resolver_fn *fn, void *data)
{
	struct lookup *lookup;
	int result;

	assert(size >= NS_HFIXEDSZ && size <= NS_MAXMSG);
	if (resolver->server_count == 0)
		return -ENOENT;
	if (resolver->lookup_count >= RESOLVER_LOOKUP_LIMIT)
		return -EAGAIN;
	result = new_lookup(&lookup, resolver, message, size);
	if (result < 0)
		return result;
	lookup->question = *question;
	lookup->tcp = tcp;
	lookup->deadline_ms = time_monotonic_ms() + RESOLVER_DEADLINE_MS;
	lookup->fn = fn;
	lookup->data = data;
	lookup->next = resolver->lookups;
	if (lookup->next)
		lookup->next->previous = lookup;
	resolver->lookups = lookup;
	resolver->lookup_count++;
	*ret = lookup;
	return 0;
}

static bool same_servers(const struct resolver *resolver, const struct server *servers, size_t count)
{
	if (count != resolver->server_count)
		return false;
	for (size_t i = 0; i < count; i++) {
		if (memcmp(&servers[i].address, &resolver->servers[i].address, sizeof(servers[i].address)) != 0)
			return false;
	}
	return true;
}

static void begin_anew(struct lookup *lookup)
{
	for (size_t i = 0; i < RESOLVER_SERVER_LIMIT; i++) {
		close_attempt(&lookup->attempts[i]);
		lookup->attempts[i].tried = 0;
		lookup->attempts[i].bad = false;
	}
	lookup->last = NULL;
	lookup->deadline_ms = time_monotonic_ms() + RESOLVER_DEADLINE_MS;
	loop_timer_restart(lookup->timer, 0);
}

void resolver_set_servers(struct resolver *resolver, const char *const *texts)
{
	struct server servers[RESOLVER_SERVER_LIMIT] = {0};
	size_t count = 0;

	for (size_t i = 0; texts && texts[i] && count < RESOLVER_SERVER_LIMIT; i++) {
		if (resolver_parse_server(&servers[count].address, texts[i]) == 0)
			count++;
	}
	if (same_servers(resolver, servers, count))
		return;
	memcpy(resolver->servers, servers, sizeof(servers));
	resolver->server_count = count;
	for (struct lookup *lookup = resolver->lookups; lookup; lookup = lookup->next)
		begin_anew(lookup);
}
