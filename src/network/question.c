#include "network/question.h"

#include <assert.h>
#include <netinet/in.h>
#include <resolv.h>
#include <string.h>

#define FLAG_ANSWER    0x8000u
#define FLAG_TRUNCATED 0x0200u
#define FLAG_RECURSE   0x0100u
#define FLAG_RECURSES  0x0080u
#define FLAG_UNCHECKED 0x0010u
#define OPCODE_OF(f)   (((f) >> 11) & 0xfu)
#define OPT_SIZE       11u

/* What an OPT record, if there is one, says of who asks. */
static int read_edns(struct question *question, ns_msg *message)
{
	ns_rr record;

	for (int i = 0; i < ns_msg_count(*message, ns_s_ar); i++) {
		if (ns_parserr(message, ns_s_ar, i, &record) < 0)
			return ns_r_formerr;
		if (ns_rr_type(record) != ns_t_opt)
			continue;
		question->edns = true;
		question->dnssec = ns_rr_ttl(record) & NS_OPT_DNSSEC_OK;
		if (record.rr_class > QUESTION_UDP_SIZE)
			question->room = record.rr_class;
	}
	return 0;
}

static int read_question(struct question *question, ns_msg *message)
{
	const uint8_t *start = ns_msg_base(*message) + NS_HFIXEDSZ;
	ns_rr record;
	int size;

	if (ns_msg_count(*message, ns_s_qd) != 1 || ns_parserr(message, ns_s_qd, 0, &record) < 0)
		return ns_r_formerr;
	size = dn_skipname(start, ns_msg_end(*message));
	if (size < 0)
		return ns_r_formerr;
	memcpy(question->name, record.name, sizeof(question->name));
	question->type = record.type;
	question->class_of = record.rr_class;
	question->end = (size_t)(NS_HFIXEDSZ + size + NS_QFIXEDSZ);
	return 0;
}

int question_parse(struct question *ret, const uint8_t *message, size_t size)
{
	struct question question = {.room = QUESTION_UDP_SIZE};
	ns_msg parsed;
	int code;

	if (size < NS_HFIXEDSZ || size > NS_MAXMSG)
		return -1;
	question.id = (uint16_t)ns_get16(message);
	question.flags = (uint16_t)ns_get16(message + 2);
	if (question.flags & FLAG_ANSWER)
		return -1;
	if (OPCODE_OF(question.flags) != ns_o_query)
		code = ns_r_notimpl;
	else if (ns_initparse(message, (int)size, &parsed) < 0)
		code = ns_r_formerr;
	else
		code = read_question(&question, &parsed);
	if (code == 0)
		code = read_edns(&question, &parsed);
	*ret = question;
	return code;
}

int question_match(const struct question *question, uint16_t id, const uint8_t *message, size_t size)
{
	struct question other = {0};
	ns_msg parsed;
	int code;

	if (size < NS_HFIXEDSZ || size > NS_MAXMSG || ns_get16(message) != id)
		return -1;
	other.flags = (uint16_t)ns_get16(message + 2);
	code = other.flags & 0xf;
	if (!(other.flags & FLAG_ANSWER) || OPCODE_OF(other.flags) != ns_o_query ||
	    ns_initparse(message, (int)size, &parsed) < 0)
		return -1;
	/* Who could not read the question can't repeat it. */
	if (ns_msg_count(parsed, ns_s_qd) == 0 &&
	    (code == ns_r_formerr || code == ns_r_servfail || code == ns_r_notimpl || code == ns_r_refused))
		return code;
	if (read_question(&other, &parsed) != 0 || other.type != question->type ||
	    other.class_of != question->class_of || strcasecmp(other.name, question->name) != 0)
		return -1;
	return code;
}

static void add_edns(uint8_t *at, size_t room, bool dnssec)
{
	*at++ = 0;
	ns_put16(ns_t_opt, at);
	ns_put16((unsigned)room, at + 2);
	ns_put32(dnssec ? NS_OPT_DNSSEC_OK : 0, at + 4);
	ns_put16(0, at + 8);
}

size_t question_write(uint8_t ret[QUESTION_UDP_SIZE], const struct question *question)
{
	char name[NS_MAXDNAME];
	int size;

	memset(ret, 0, NS_HFIXEDSZ);
	ns_put16(question->id, ret);
	ns_put16(question->flags & (FLAG_RECURSE | FLAG_UNCHECKED), ret + 2);
	ns_put16(1, ret + 4);
	memcpy(name, question->name, sizeof(name));
	for (char *c = name; *c; c++) {
		if (*c >= 'A' && *c <= 'Z')
			*c = (char)(*c - 'A' + 'a');
	}
	size = dn_comp(name, ret + NS_HFIXEDSZ, NS_MAXCDNAME, NULL, NULL);
	if (size < 0)
		return 0;
	size += NS_HFIXEDSZ;
	ns_put16(question->type, ret + size);
	ns_put16(question->class_of, ret + size + 2);
	size += NS_QFIXEDSZ;
	if (question->edns) {
		ns_put16(1, ret + 10);
		add_edns(ret + size, question->room, question->dnssec);
		size += (int)OPT_SIZE;
	}
	return (size_t)size;
}

void reply_begin(struct reply *reply, const struct question *question, const uint8_t *message, uint16_t flags, int code,
		 size_t limit)
{
	reply->limit = limit < REPLY_SIZE ? limit : REPLY_SIZE;
	reply->edns = question->edns;
	reply->dnssec = question->dnssec;
	/* There is always room for the question and for this. */
	if (reply->edns)
		reply->limit -= OPT_SIZE;
	memset(reply->counts, 0, sizeof(reply->counts));
	reply->flags =
		(uint16_t)(FLAG_ANSWER | FLAG_RECURSES | flags | (question->flags & (FLAG_RECURSE | FLAG_UNCHECKED)) |
			   (OPCODE_OF(question->flags) << 11) | (unsigned)code);
	reply->size = NS_HFIXEDSZ;
	memset(reply->bytes, 0, NS_HFIXEDSZ);
	ns_put16(question->id, reply->bytes);
	if (question->end == 0)
		return;
	memcpy(reply->bytes + NS_HFIXEDSZ, message + NS_HFIXEDSZ, question->end - NS_HFIXEDSZ);
	reply->size = question->end;
	reply->counts[ns_s_qd] = 1;
}

static void add(struct reply *reply, ns_sect section, const char *owner, uint16_t type, uint32_t ttl, const void *data,
		size_t size)
{
	uint8_t name[NS_MAXCDNAME] = {0xc0, NS_HFIXEDSZ};
	int name_size = *owner ? dn_comp(owner, name, sizeof(name), NULL, NULL) : 2;
	uint8_t *at = reply->bytes + reply->size;

	if (name_size < 0 || reply->limit - reply->size < (size_t)name_size + NS_RRFIXEDSZ + size) {
		reply->flags |= FLAG_TRUNCATED;
		return;
	}
	memcpy(at, name, (size_t)name_size);
	at += name_size;
	ns_put16(type, at);
	ns_put16(ns_c_in, at + 2);
	ns_put32(ttl, at + 4);
	ns_put16((unsigned)size, at + 8);
	memcpy(at + NS_RRFIXEDSZ, data, size);
	reply->size += (size_t)name_size + NS_RRFIXEDSZ + size;
	reply->counts[section]++;
}

void reply_add_name(struct reply *reply, ns_sect section, const char *owner, uint16_t type, uint32_t ttl,
		    const char *name)
{
	uint8_t data[NS_MAXCDNAME];
	int size = dn_comp(name, data, sizeof(data), NULL, NULL);

	if (size < 0)
		reply->flags |= FLAG_TRUNCATED;
	else
		add(reply, section, owner, type, ttl, data, (size_t)size);
}

void reply_add_address(struct reply *reply, const char *owner, uint32_t ttl, const struct packet_address *address)
{
	if (address->v6)
		add(reply, ns_s_an, owner, ns_t_aaaa, ttl, &address->of.v6_, NS_IN6ADDRSZ);
	else
		add(reply, ns_s_an, owner, ns_t_a, ttl, &address->of.v4, NS_INADDRSZ);
}

void reply_add_zone(struct reply *reply, const char *zone, uint32_t ttl)
{
	uint8_t data[2 * NS_MAXCDNAME + 20];
	int server = dn_comp(zone, data, NS_MAXCDNAME, NULL, NULL), mail;

	assert(server > 0);
	mail = dn_comp(".", data + server, NS_MAXCDNAME, NULL, NULL);
	assert(mail > 0);
	server += mail;
	/* Serial, refresh, retry, expire, and how long "there is none" holds. */
	for (size_t i = 0; i < 5; i++)
		ns_put32(i == 0 ? 1 : ttl, data + server + i * NS_INT32SZ);
	add(reply, ns_s_ns, zone, ns_t_soa, ttl, data, (size_t)server + 20);
}

void reply_end(struct reply *reply)
{
	if (reply->edns) {
		add_edns(reply->bytes + reply->size, QUESTION_EDNS_SIZE, reply->dnssec);
		reply->size += OPT_SIZE;
		reply->counts[ns_s_ar]++;
	}
	ns_put16(reply->flags, reply->bytes + 2);
	for (size_t i = 0; i < COUNT_OF(reply->counts); i++)
		ns_put16(reply->counts[i], reply->bytes + 4 + i * NS_INT16SZ);
}
