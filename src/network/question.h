#pragma once
#include "base/error.h"
#include "network/packet.h"

#include <arpa/nameser.h>

/*
 * Messages of DNS (RFC 1035, 6891), by libresolv: questions as a stranger sent them, and answers of our own. Pure.
 */
#define QUESTION_UDP_SIZE  512u  /* of an answer, for who says nothing of it */
#define QUESTION_EDNS_SIZE 1232u /* of what we take by UDP ourselves */
#define REPLY_SIZE         8192u

struct question {
	uint16_t id, flags;
	char name[NS_MAXDNAME]; /* as libresolv writes it: escaped, without a dot at its end; "" is the root */
	uint16_t type, class_of;
	size_t end;    /* where it ends in its message; it begins behind the header */
	uint16_t room; /* what may be sent back in a datagram */
	bool edns, dnssec;
};

/* 0; -1: nothing that may be answered; else the response code that it deserves: *ret has what could be read. */
MUST_USE int question_parse(struct question *ret, const uint8_t *message, size_t size);
/* The response code of an answer to this question; -1: it is none. Names are compared without regard to case. */
int question_match(const struct question *question, uint16_t id, const uint8_t *message, size_t size);
/* The same question with nothing but what it needs, in lower case. Returns its size. */
size_t question_write(uint8_t ret[QUESTION_UDP_SIZE], const struct question *question);

/* An answer in the making. Records that have no room are left out, and the answer is marked as truncated. */
struct reply {
	uint8_t bytes[REPLY_SIZE];
	size_t size, limit;
	uint16_t counts[ns_s_max];
	uint16_t flags;
	bool edns, dnssec;
};

#define REPLY_AUTHORITATIVE 0x0400u

/* `limit`: of the answer's bytes. The question is repeated from `message`, when it had one. */
void reply_begin(struct reply *reply, const struct question *question, const uint8_t *message, uint16_t flags, int code,
		 size_t limit);
/* owner "": of the question's name. */
void reply_add_name(struct reply *reply, ns_sect section, const char *owner, uint16_t type, uint32_t ttl,
		    const char *name);
void reply_add_address(struct reply *reply, const char *owner, uint32_t ttl, const struct packet_address *address);
/* Of a zone of our own, for what it has not. */
void reply_add_zone(struct reply *reply, const char *zone, uint32_t ttl);
void reply_end(struct reply *reply);
