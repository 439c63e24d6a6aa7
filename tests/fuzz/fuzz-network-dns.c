#include "network/dns.h"
#include "network/lesson.h"

#include "base/text.h"

#include <arpa/inet.h>
#include <assert.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char *const allow[] = {"example.org", "*.example.net:443", NULL};

static unsigned replies;

/* Whatever was asked: an answer is one, of the question's id, and fits. */
static void on_reply(uint64_t from, const uint8_t *message, size_t size, void *data)
{
	const uint8_t *question = data;
	ns_msg parsed;

	assert(from == 7 && size >= NS_HFIXEDSZ && memcmp(message, question, 2) == 0 && (message[2] & 0x80));
	if (ns_initparse(message, (int)size, &parsed) < 0)
		__builtin_trap();
	replies++;
}

static bool find(uint32_t *ret, const char *name, void *data)
{
	(void)data;
	assert(*name && !strpbrk(name, "./\\"));
	*ret = 0x309;
	return *name == 'd';
}

/* What the machine sends. */
static void check_question(struct policy *policy, const uint8_t *data, size_t size)
{
	static const char *const hosts[] = {"127.0.0.1 me", "192.0.2.1 example.org a.example.net", NULL};
	static const struct message_network_resolve resolve = {.hosts = hosts};
	struct dns_options options = {.policy = policy, .name = "dev", .place = 0x307, .find = find, .reply = on_reply};
	auto_loop struct loop *loop = NULL;
	auto_dns struct dns *dns = NULL;
	uint8_t copy[DNS_QUERY_LIMIT];

	if (size > sizeof(copy) || loop_new(&loop) < 0)
		return;
	memcpy(copy, data, size);
	options.data = copy;
	if (dns_new(&dns, loop, &options, NULL) < 0 || dns_set_upstream(dns, &resolve) < 0)
		return;
	replies = 0;
	dns_query(dns, copy, size, 7);
	assert(replies <= 1);
}

/* What the host's resolvers say to a question of which the input begins with the type. */
static void check_answer(struct policy *policy, const uint8_t *data, size_t size)
{
	struct question question = {.id = 1,
				    .name = "www.example.net",
				    .type = data[0] & 1 ? ns_t_a : ns_t_aaaa,
				    .class_of = ns_c_in,
				    .room = QUESTION_UDP_SIZE};
	uint8_t asked[QUESTION_UDP_SIZE];
	size_t asked_size = question_write(asked, &question);
	struct packet_address own = {.of.v4 = {htonl(INADDR_LOOPBACK)}};
	static struct reply reply;
	enum lesson lesson;
	ns_msg parsed;
	ns_rr record;

	question.end = asked_size;
	(void)question_match(&question, 1, data, size);
	reply_begin(&reply, &question, asked, 0, 0, data[0] & 2 ? QUESTION_UDP_SIZE : REPLY_SIZE);
	lesson = lesson_learn(&reply, policy, &question, data, size);
	reply_end(&reply);
	assert(reply.size <= REPLY_SIZE && !policy_may_answer(policy, &own));
	if (lesson != LESSON_PARTS)
		return;
	/* What is written anew names nobody whom it may not. */
	if (ns_initparse(reply.bytes, (int)reply.size, &parsed) < 0)
		__builtin_trap();
	for (int i = 0; i < ns_msg_count(parsed, ns_s_an); i++) {
		if (ns_parserr(&parsed, ns_s_an, i, &record) < 0)
			__builtin_trap();
		assert(record.type != ns_t_a || record.rdata[0] != 127);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct policy_options options = {.flags = 2, .allow = allow};
	auto_policy struct policy *open = NULL, *isolated = NULL;

	if (size == 0 || size > DNS_MESSAGE_LIMIT || policy_new(&open, &options, NULL) < 0)
		return 0;
	options.flags = NETWORK_ISOLATED;
	if (policy_new(&isolated, &options, NULL) < 0)
		return 0;
	check_question(open, data, size);
	check_question(isolated, data, size);
	check_answer(isolated, data, size);
	return 0;
}
