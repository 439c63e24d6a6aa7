/*
 * A question is answered by the first who knows: names.c, of itself; then, if the machine may ask for that name at all,
 * the host's /etc/hosts; then the host's resolvers, by the way that the question came, so that what is too large for a
 * datagram comes back as "truncated" and is asked again over TCP.
 *
 * The resolvers' answers are passed on as they are. For an isolated machine it is otherwise: what is asked is written
 * anew, so that a question carries nothing but a permitted name and a type; and of an answer's addresses the policy
 * learns those that count, while those that nobody may reach are taken out, for which the answer is written anew.
 */
#include "network/dns.h"

#include "network/dnsstream.h"
#include "network/lesson.h"
#include "network/names.h"
#include "network/resolver.h"

#include <assert.h>
#include <netinet/in.h>
#include <resolv.h>
#include <string.h>

struct connection {
	struct dns *dns;
	struct connection *previous, *next;
	struct dnsstream *stream;
};

/* A question that others are asked. */
struct asking {
	struct dns *dns;
	struct asking *previous, *next;
	struct lookup *lookup;
	struct question question;
	struct connection *connection; /* NULL: a datagram, … */
	uint64_t from;                 /* … of whom */
	uint8_t *message;              /* as far as the question's end */
};

struct dns {
	struct loop *loop;
	struct dns_options options;
	struct names *names;
	struct resolver *resolver;
	struct asking *askings;
	struct connection *connections;
	size_t connection_count;
	struct reply reply; /* the one that is being made */
};

int dns_new(struct dns **ret, struct loop *loop, const struct dns_options *options, struct annex_error **err)
{
	auto_dns struct dns *dns = calloc(1, sizeof(*dns));

	if (!dns)
		return fail_memory(err);
	dns->loop = loop;
	dns->options = *options;
	if (names_new(&dns->names, options) < 0 || resolver_new(&dns->resolver, loop) < 0)
		return fail_memory(err);
	*ret = TAKE(dns);
	return 0;
}

static void free_asking(struct asking *asking)
{
	struct dns *dns = asking->dns;

	if (asking->previous)
		asking->previous->next = asking->next;
	else
		dns->askings = asking->next;
	if (asking->next)
		asking->next->previous = asking->previous;
	resolver_forget(asking->lookup);
	free(asking->message);
	free(asking);
}

static void free_connection(struct connection *connection)
{
	struct dns *dns = connection->dns;

	for (struct asking *asking = dns->askings, *next; asking; asking = next) {
		next = asking->next;
		if (asking->connection == connection)
			free_asking(asking);
	}
	if (connection->previous)
		connection->previous->next = connection->next;
	else
		dns->connections = connection->next;
	if (connection->next)
		connection->next->previous = connection->previous;
	dns->connection_count--;
	dnsstream_free(connection->stream);
	free(connection);
}

void dns_free(struct dns *dns)
{
	if (!dns)
		return;
	while (dns->connections)
		free_connection(dns->connections);
	while (dns->askings)
		free_asking(dns->askings);
	resolver_free(dns->resolver);
	names_free(dns->names);
	free(dns);
}

static void send_back(struct dns *dns, struct connection *connection, uint64_t from, const uint8_t *message,
		      size_t size)
{
	if (connection)
		dnsstream_reply(connection->stream, message, size);
	else if (message)
		dns->options.reply(from, message, size, dns->options.data);
}

static void begin_reply(struct dns *dns, const struct question *question, const uint8_t *message, int code, bool tcp)
{
	reply_begin(&dns->reply, question, message, 0, code, tcp ? REPLY_SIZE : question->room);
}

static void send_reply(struct dns *dns, struct connection *connection, uint64_t from)
{
	reply_end(&dns->reply);
	send_back(dns, connection, from, dns->reply.bytes, dns->reply.size);
}

static void send_code(struct dns *dns, const struct question *question, const uint8_t *message, int code,
		      struct connection *connection, uint64_t from)
{
	begin_reply(dns, question, message, code, connection != NULL);
	send_reply(dns, connection, from);
}

/* The question's letters as they were asked: some check them. */
static void restore_question(const struct asking *asking, uint8_t *message, size_t size)
{
	const struct question *question = &asking->question;

	if (size >= question->end &&
	    dn_skipname(message + NS_HFIXEDSZ, message + size) == (int)(question->end - NS_HFIXEDSZ - NS_QFIXEDSZ))
		memcpy(message + NS_HFIXEDSZ, asking->message + NS_HFIXEDSZ, question->end - NS_HFIXEDSZ);
}

/* What an isolated machine gets of an answer. */
static void send_lesson(struct asking *asking, uint8_t *message, size_t size)
{
	struct dns *dns = asking->dns;
	enum lesson lesson;

	begin_reply(dns, &asking->question, asking->message, ns_r_noerror, asking->connection != NULL);
	lesson = lesson_learn(&dns->reply, dns->options.policy, &asking->question, message, size);
	if (lesson == LESSON_WHOLE) {
		restore_question(asking, message, size);
		send_back(dns, asking->connection, asking->from, message, size);
	} else if (lesson == LESSON_PARTS) {
		send_reply(dns, asking->connection, asking->from);
	} else {
		send_code(dns, &asking->question, asking->message, ns_r_servfail, asking->connection, asking->from);
	}
}

static void on_answer(uint8_t *message, size_t size, void *data)
{
	struct asking *asking = data;
	struct dns *dns = asking->dns;

	asking->lookup = NULL;
	if (!message)
		send_code(dns, &asking->question, asking->message, ns_r_servfail, asking->connection, asking->from);
	else if (policy_is_isolated(dns->options.policy))
		send_lesson(asking, message, size);
	else
		send_back(dns, asking->connection, asking->from, message, size);
	free_asking(asking);
}

/* -errno, and nothing was asked. */
static int ask_others(struct dns *dns, const struct question *question, const uint8_t *message, size_t size,
		      struct connection *connection, uint64_t from)
{
	struct asking *asking = calloc(1, sizeof(*asking));
	uint8_t plain[QUESTION_UDP_SIZE];
	int result = -ENOMEM;

	if (!asking)
		return -ENOMEM;
	asking->dns = dns;
	asking->question = *question;
	asking->connection = connection;
	asking->from = from;
	asking->message = malloc(question->end);
	if (asking->message) {
		memcpy(asking->message, message, question->end);
		if (policy_is_isolated(dns->options.policy)) {
			size = question_write(plain, question);
			message = plain;
		}
		result = size < NS_HFIXEDSZ ? -EINVAL
					    : resolver_ask(&asking->lookup, dns->resolver, message, size, question,
							   connection != NULL, on_answer, asking);
	}
	if (result < 0) {
		free(asking->message);
		free(asking);
		return result;
	}
	asking->next = dns->askings;
	if (asking->next)
		asking->next->previous = asking;
	dns->askings = asking;
	return 0;
}

/* Who asks again for want of an answer gets the one that is on its way. */
static bool is_asked(const struct dns *dns, const struct question *question, uint64_t from)
{
	for (const struct asking *asking = dns->askings; asking; asking = asking->next) {
		if (!asking->connection && asking->from == from && asking->question.id == question->id &&
		    asking->question.type == question->type && strcmp(asking->question.name, question->name) == 0)
			return true;
	}
	return false;
}

/* Whole zones are not for a stub, and "any" of a name has no rule of what it teaches. */
static bool may_ask(const struct dns *dns, const struct question *question)
{
	bool isolated = policy_is_isolated(dns->options.policy);

	if (question->type == ns_t_axfr || question->type == ns_t_ixfr)
		return false;
	if (isolated && (question->type == ns_t_any || question->class_of != ns_c_in))
		return false;
	return policy_may_resolve(dns->options.policy, question->name);
}

static void answer(struct dns *dns, const uint8_t *message, size_t size, struct connection *connection, uint64_t from)
{
	struct question question;
	int code = question_parse(&question, message, size);
	bool in;

	if (code != 0) {
		if (code > 0)
			send_code(dns, &question, message, code, connection, from);
		else
			send_back(dns, connection, from, NULL, 0);
		return;
	}
	in = question.class_of == ns_c_in || question.class_of == ns_c_any;
	begin_reply(dns, &question, message, ns_r_noerror, connection != NULL);
	if (in && names_answer_zone(dns->names, &question, &dns->reply)) {
		send_reply(dns, connection, from);
		return;
	}
	if (!may_ask(dns, &question)) {
		send_code(dns, &question, message, ns_r_refused, connection, from);
		return;
	}
	if (in && names_answer_host(dns->names, &question, &dns->reply)) {
		send_reply(dns, connection, from);
		return;
	}
	if (!connection && is_asked(dns, &question, from))
		return;
	if (ask_others(dns, &question, message, size, connection, from) < 0)
		send_code(dns, &question, message, ns_r_servfail, connection, from);
}

void dns_query(struct dns *dns, const uint8_t *message, size_t size, uint64_t from)
{
	if (size <= DNS_QUERY_LIMIT)
		answer(dns, message, size, NULL, from);
}

static void on_message(struct dnsstream *stream, const uint8_t *message, size_t size, void *data)
{
	struct connection *connection = data;

	(void)stream;
	answer(connection->dns, message, size, connection, 0);
}

static void on_end(struct dnsstream *stream, void *data)
{
	(void)stream;
	free_connection(data);
}

void dns_serve(struct dns *dns, int fd)
{
	static const struct dnsstream_callbacks callbacks = {.on_message = on_message, .on_end = on_end};
	struct connection *connection = NULL;

	if (dns->connection_count < DNS_CONNECTION_LIMIT)
		connection = calloc(1, sizeof(*connection));
	if (!connection || dnsstream_new(&connection->stream, dns->loop, fd, &callbacks, connection) < 0) {
		free(connection);
		close(fd);
		return;
	}
	connection->dns = dns;
	connection->next = dns->connections;
	if (connection->next)
		connection->next->previous = connection;
	dns->connections = connection;
	dns->connection_count++;
}

int dns_set_upstream(struct dns *dns, const struct message_network_resolve *resolve)
{
	if (names_set_hosts(dns->names, resolve->hosts) < 0)
		return -ENOMEM;
	resolver_set_servers(dns->resolver, resolve->servers);
	return 0;
}
