#pragma once
#include "network/dns.h"

#include "base/text.h"

#include <arpa/inet.h>
#include <arpa/nameser.h>
#include <resolv.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

/* Writing and reading messages of DNS, for tests of the resolver. */
static inline size_t write_question(uint8_t ret[1024], uint16_t id, const char *name, unsigned type, unsigned room)
{
	int size;

	memset(ret, 0, NS_HFIXEDSZ);
	ns_put16(id, ret);
	ns_put16(0x0100, ret + 2);
	ns_put16(1, ret + 4);
	size = dn_comp(name, ret + NS_HFIXEDSZ, 512, NULL, NULL);
	assert_true(size > 0);
	size += NS_HFIXEDSZ;
	ns_put16(type, ret + size);
	ns_put16(ns_c_in, ret + size + 2);
	size += NS_QFIXEDSZ;
	if (room) {
		ns_put16(1, ret + 10);
		memset(ret + size, 0, 11);
		ns_put16(ns_t_opt, ret + size + 1);
		ns_put16(room, ret + size + 3);
		size += 11;
	}
	return (size_t)size;
}

/* "CODE: NAME TYPE DATA, …", of the answers; "tc " before it when it is truncated. */
static inline void describe(struct text *ret, const uint8_t *message, size_t size)
{
	char name[NS_MAXDNAME], address[INET6_ADDRSTRLEN];
	ns_msg parsed;
	ns_rr record;

	text_clear(ret);
	assert_int_equal(ns_initparse(message, (int)size, &parsed), 0);
	text_printf(ret, "%s%d:", ns_msg_getflag(parsed, ns_f_tc) ? "tc " : "", ns_msg_getflag(parsed, ns_f_rcode));
	for (int i = 0; i < ns_msg_count(parsed, ns_s_an); i++) {
		assert_int_equal(ns_parserr(&parsed, ns_s_an, i, &record), 0);
		text_printf(ret, " %s", ns_rr_name(record));
		if (record.type == ns_t_a || record.type == ns_t_aaaa)
			text_printf(ret, " %s",
				    inet_ntop(record.type == ns_t_a ? AF_INET : AF_INET6, record.rdata, address,
					      sizeof(address)));
		else if (record.type == ns_t_ptr || record.type == ns_t_cname)
			text_printf(ret, " %s",
				    dn_expand(message, message + size, record.rdata, name, sizeof(name)) >= 0 ? name
													      : "?");
		else
			text_printf(ret, " type%u/%u", record.type, record.rdlength);
	}
}
