#include "network/lesson.h"

#include <netinet/in.h>
#include <resolv.h>
#include <string.h>
#include <strings.h>

struct chain {
	ns_msg message;
	char name[NS_MAXDNAME]; /* where it has led to so far */
	uint32_t ttl;           /* the least on the way */
	struct reply *reply;
};

/* Finds one CNAME further. False: there is none. */
static bool follow(struct chain *chain)
{
	char target[NS_MAXDNAME];
	ns_rr record;

	for (int i = 0; i < ns_msg_count(chain->message, ns_s_an); i++) {
		if (ns_parserr(&chain->message, ns_s_an, i, &record) < 0)
			return false;
		if (ns_rr_type(record) != ns_t_cname || ns_rr_class(record) != ns_c_in ||
		    strcasecmp(record.name, chain->name) != 0)
			continue;
		if (ns_name_uncompress(ns_msg_base(chain->message), ns_msg_end(chain->message), ns_rr_rdata(record),
				       target, sizeof(target)) < 0)
			return false;
		reply_add_name(chain->reply, ns_s_an, chain->name, ns_t_cname, ns_rr_ttl(record), target);
		if (ns_rr_ttl(record) < chain->ttl)
			chain->ttl = ns_rr_ttl(record);
		memcpy(chain->name, target, sizeof(target));
		return true;
	}
	return false;
}

/* False: the record is none of a kind that has one. */
static bool read_address(struct packet_address *ret, const ns_rr *record)
{
	*ret = (struct packet_address){0};
	if (record->type == ns_t_a && record->rdlength == NS_INADDRSZ) {
		memcpy(&ret->of.v4, record->rdata, NS_INADDRSZ);
		return true;
	}
	ret->v6 = true;
	memcpy(&ret->of.v6_, record->rdata, record->rdlength == NS_IN6ADDRSZ ? NS_IN6ADDRSZ : 0);
	return record->type == ns_t_aaaa && record->rdlength == NS_IN6ADDRSZ;
}

enum lesson lesson_learn(struct reply *reply, struct policy *policy, const struct question *question,
			 const uint8_t *message, size_t size)
{
	struct chain chain = {.ttl = UINT32_MAX, .reply = reply};
	enum lesson lesson = LESSON_WHOLE;
	ns_rr record;

	if (ns_initparse(message, (int)size, &chain.message) < 0)
		return LESSON_NONE;
	if (question->type != ns_t_a && question->type != ns_t_aaaa)
		return LESSON_WHOLE;
	memcpy(chain.name, question->name, sizeof(chain.name));
	for (unsigned i = 0; i < LESSON_CHAIN_LIMIT && follow(&chain); i++)
		continue;
	for (int i = 0; i < ns_msg_count(chain.message, ns_s_an); i++) {
		struct packet_address address;

		if (ns_parserr(&chain.message, ns_s_an, i, &record) < 0)
			return LESSON_NONE;
		if (ns_rr_class(record) != ns_c_in || !read_address(&address, &record))
			continue;
		if (!policy_may_answer(policy, &address)) {
			lesson = LESSON_PARTS;
			continue;
		}
		if (strcasecmp(record.name, chain.name) != 0)
			continue;
		policy_learn(policy, question->name, &address,
			     ns_rr_ttl(record) < chain.ttl ? ns_rr_ttl(record) : chain.ttl);
		reply_add_address(reply, chain.name, ns_rr_ttl(record), &address);
	}
	return lesson;
}
